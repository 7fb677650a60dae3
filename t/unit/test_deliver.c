/* SPDX-License-Identifier: Apache-2.0
 * From a publish to each session that it reaches: QoS, overlap, order, window, queue, output. */
#include <stdio.h>
#include <string.h>

#include "common/metrics/page.h"
#include "t/support/fake_cluster.h"
#include "t/support/unit.h"
#include "t/support/worker_fixture.h"
#include "worker/conn.h"
#include "worker/session.h"
#include "worker/worker.h"

static struct fx fx;

static struct fx_client *
subscriber(const char *id, unsigned flags, const char *subscribe)
{
	struct fx_client *c = fx_connected(&fx, 0, id, flags, false);

	fx_send(c, subscribe);
	ck_assert_int_eq(strncmp(fx_next(c), "SUBACK", 6), 0);
	return c;
}

/* count QoS 1 publishes t 1, 2, 3...; all are acknowledged. */
static void
publish_many(struct fx_client *p, unsigned first, unsigned count)
{
	char text[64];

	for (unsigned i = first; i < first + count; i++) {
		snprintf(text, sizeof text, "PUBLISH t %u qos=1,%u", i, i);
		fx_send(p, text);
	}
	for (unsigned i = first; i < first + count; i++) {
		snprintf(text, sizeof text, "PUBACK %u", i);
		fx_expect(p, text);
	}
}

/* The lower of what was published and what was granted. [MQTT-3.8.4-6] */
START_TEST(qos_is_lowered)
{
	static const char *const sent[] = { "PUBLISH t p", "PUBLISH t p qos=1,1", "PUBLISH t p qos=2,2" };
	struct fx_client *s[3], *p;

	fx_open(&fx, 1, &fake_net, NULL);
	s[0] = subscriber("s0", FX_CLEAN, "SUBSCRIBE 1 t 0");
	s[1] = subscriber("s1", FX_CLEAN, "SUBSCRIBE 1 t 1");
	s[2] = subscriber("s2", FX_CLEAN, "SUBSCRIBE 1 t 2");
	p = fx_connected(&fx, 0, "p", FX_CLEAN, false);
	for (unsigned i = 0; i < 3; i++) {
		fx_send(p, sent[i]);
		for (unsigned k = 0; k < 3; k++) {
			unsigned qos = i < k ? i : k;
			char text[64];

			/* Ids are the receiver's: s1 has had 0 or 1 before, s2 as well. */
			snprintf(text, sizeof text, qos == 0 ? "PUBLISH t p" : "PUBLISH t p qos=%u,%u", qos, i);
			fx_expect(s[k], text);
		}
	}
	fx_close(&fx);
}
END_TEST

START_TEST(the_highest_qos_granted)
{
	struct fx_client *s;

	fx_open(&fx, 1, &fake_net, "mqtt.max_qos", "1", NULL);
	s = fx_connected(&fx, 0, "s", FX_CLEAN, false);
	fx_send(s, "SUBSCRIBE 1 a 0 b 1 c 2");
	fx_expect(s, "SUBACK 1 0 1 1");
	fx_send(s, "PUBLISH c x qos=2,1");
	fx_expect(s, "PUBLISH c x qos=1,1");
	fx_close(&fx);
}
END_TEST

/* [MQTT-3.3.5-1] */
START_TEST(overlapping_filters_deliver_once)
{
	struct fx_client *s, *p;

	fx_open(&fx, 1, &fake_net, NULL);
	s = subscriber("s", FX_CLEAN, "SUBSCRIBE 1 a/b 0 a/+ 2 # 1 a/# 0 +/+ 1");
	p = fx_connected(&fx, 0, "p", FX_CLEAN, false);
	fx_send(p, "PUBLISH a/b x qos=2,1");
	fx_expect(s, "PUBLISH a/b x qos=2,1");
	fx_expect(s, "");
	fx_send(p, "PUBLISH a/b y");
	fx_expect(s, "PUBLISH a/b y");
	fx_send(s, "UNSUBSCRIBE 2 a/+");
	fx_expect(s, "UNSUBACK 2");
	fx_send(p, "PUBLISH a/b z qos=2,2");
	fx_expect(s, "PUBLISH a/b z qos=1,2");
	fx_expect(s, "");
	fx_close(&fx);
}
END_TEST

START_TEST(retain_is_off_for_those_who_are_there)
{
	struct fx_client *s, *p;

	fx_open(&fx, 1, &fake_net, NULL);
	s = subscriber("s", FX_CLEAN, "SUBSCRIBE 1 t 1");
	p = fx_connected(&fx, 0, "p", FX_CLEAN, false);
	fx_send(p, "PUBLISH t x retain");
	fx_expect(s, "PUBLISH t x");                    /* [MQTT-3.3.1-9] */
	fx_send(p, "PUBLISH t y qos=1,1 retain");
	fx_expect(s, "PUBLISH t y qos=1,1");
	fx_send(p, "PUBLISH t - retain");
	fx_expect(s, "PUBLISH t ");
	fx_close(&fx);
}
END_TEST

START_TEST(order_is_kept)
{
	struct fx_client *s, *p;
	char text[64];
	unsigned id;

	fx_open(&fx, 1, &fake_net, "session.max_inflight", "3", NULL);
	s = subscriber("s", FX_CLEAN, "SUBSCRIBE 1 t 2");
	p = fx_connected(&fx, 0, "p", FX_CLEAN, false);
	for (unsigned i = 1; i <= 60; i++) {
		snprintf(text, sizeof text, "PUBLISH t %u qos=%u,%u", i, i % 2 + 1, i);
		fx_send(p, text);
	}
	for (unsigned next = 1; next <= 60;) {
		const char *got = fx_next(s);

		ck_assert_str_ne(got, "");
		if (sscanf(got, "PUBREL %u", &id) == 1) {
			snprintf(text, sizeof text, "PUBCOMP %u", id);
		} else {
			snprintf(text, sizeof text, "PUBLISH t %u qos=%u,%u", next, next % 2 + 1, next);
			ck_assert_str_eq(got, text);
			snprintf(text, sizeof text, next % 2 ? "PUBREC %u" : "PUBACK %u", next);
			next++;
		}
		fx_send(s, text);
	}
	fx_close(&fx);
}
END_TEST

START_TEST(the_window_is_filled_again)
{
	struct fx_client *s, *p;

	fx_open(&fx, 1, &fake_net, "session.max_inflight", "3", NULL);
	s = subscriber("s", FX_CLEAN, "SUBSCRIBE 1 t 1");
	p = fx_connected(&fx, 0, "p", FX_CLEAN, false);
	publish_many(p, 1, 8);
	fx_expect(s, "PUBLISH t 1 qos=1,1");
	fx_expect(s, "PUBLISH t 2 qos=1,2");
	fx_expect(s, "PUBLISH t 3 qos=1,3");
	fx_expect(s, "");
	fx_send(s, "PUBACK 2");                         /* out of order: the oldest holds the window */
	fx_send(s, "PUBACK 7");                         /* unknown */
	fx_send(s, "PUBREC 1");                         /* of another QoS */
	fx_send(s, "PUBCOMP 3");
	fx_expect(s, "PUBREL 1");
	fx_expect(s, "");
	fx_send(s, "PUBACK 1");
	fx_expect(s, "PUBLISH t 4 qos=1,4");
	fx_expect(s, "PUBLISH t 5 qos=1,5");
	fx_expect(s, "");
	fx_send(s, "PUBACK 3");
	fx_send(s, "PUBACK 4");
	fx_send(s, "PUBACK 5");
	fx_expect(s, "PUBLISH t 6 qos=1,6");
	fx_expect(s, "PUBLISH t 7 qos=1,7");
	fx_expect(s, "PUBLISH t 8 qos=1,8");
	ck_assert_uint_eq(METRIC_GET(queued), 0);
	ck_assert_uint_eq(METRIC_GET(queued_bytes), 0);
	fx_close(&fx);
}
END_TEST

START_TEST(a_full_queue_drops_the_oldest)
{
	struct fx_client *s, *p;

	fx_open(&fx, 1, &fake_net, "session.buffer_limit", "3", NULL);
	s = subscriber("s", 0, "SUBSCRIBE 1 t 1");
	fx_client_close(s);
	p = fx_connected(&fx, 0, "p", FX_CLEAN, false);
	publish_many(p, 1, 5);
	ck_assert_uint_eq(METRIC_GET(dropped_queue_full), 2);
	ck_assert_uint_eq(METRIC_GET(queued), 3);
	fx_send(p, "PUBLISH t nobody-keeps-qos-0");
	s = fx_connected(&fx, 0, "s", 0, true);
	/* The place in the session gives the id: those that were dropped have had theirs. */
	fx_expect(s, "PUBLISH t 3 qos=1,3");
	fx_expect(s, "PUBLISH t 4 qos=1,4");
	fx_expect(s, "PUBLISH t 5 qos=1,5");
	fx_expect(s, "");
	fx_close(&fx);
}
END_TEST

START_TEST(a_queue_has_a_limit_of_bytes)
{
	struct fx_client *s, *p;
	char text[64];

	fx_open(&fx, 1, &fake_net, "session.buffer_bytes", "10000", NULL);
	s = subscriber("s", 0, "SUBSCRIBE 1 t 1");
	fx_client_close(s);
	p = fx_connected(&fx, 0, "p", FX_CLEAN, false);
	for (unsigned i = 1; i <= 10; i++) {
		snprintf(text, sizeof text, "PUBLISH t *%u qos=1,%u", 3000 + i, i);
		fx_send(p, text);
	}
	fx_run(&fx);
	ck_assert_uint_le(METRIC_GET(queued_bytes), 10000);
	ck_assert_uint_eq(METRIC_GET(queued) + METRIC_GET(dropped_queue_full), 10);
	/* One that is larger than the limit still gets in, alone. */
	fx_send(p, "PUBLISH t *20000 qos=1,11");
	fx_run(&fx);
	ck_assert_uint_eq(METRIC_GET(queued), 1);
	s = fx_connected(&fx, 0, "s", 0, true);
	fx_expect(s, "PUBLISH t *20000 qos=1,11");
	ck_assert_uint_eq(METRIC_GET(queued_bytes), 0);
	fx_close(&fx);
}
END_TEST

/* A client that does not read costs its limit; the others have theirs at once. */
START_TEST(a_slow_reader_costs_its_limit)
{
	struct fx_client *slow, *quick, *p;
	const struct conn *c;

	fx_open(&fx, 1, &fake_net, "session.output_bytes", "64KiB", "session.buffer_limit", "10", NULL);
	slow = fx_connected(&fx, 0, "slow", FX_CLEAN | FX_SMALL, false);
	fx_send(slow, "SUBSCRIBE 1 t 1");
	fx_expect(slow, "SUBACK 1 1");
	quick = subscriber("quick", FX_CLEAN, "SUBSCRIBE 1 t 0");
	p = fx_connected(&fx, 0, "p", FX_CLEAN, false);
	slow->paused = true;
	for (unsigned i = 0; i < 300; i++) {
		fx_send(p, "PUBLISH t *1000");
		fx_expect(quick, "PUBLISH t *1000");
	}
	c = fx_session(&fx, 0, "slow")->conn;
	ck_assert_uint_le(conn_pending(c), 66 * 1024);
	ck_assert_uint_gt(METRIC_GET(dropped_slow_reader), 100);
	/* QoS 1 waits, up to the queue's limit. */
	for (unsigned i = 1; i <= 30; i++) {
		char text[64];

		snprintf(text, sizeof text, "PUBLISH t %u qos=1,%u", i, i);
		fx_send(p, text);
	}
	fx_run(&fx);
	ck_assert_uint_eq(METRIC_GET(queued), 10);
	ck_assert_uint_le(conn_pending(c), 66 * 1024);
	slow->paused = false;
	while (strcmp(fx_next(slow), "PUBLISH t *1000") == 0)
		;
	ck_assert_str_eq(slow->text, "PUBLISH t 21 qos=1,21");
	for (unsigned i = 22; i <= 30; i++) {
		char text[64];

		snprintf(text, sizeof text, "PUBLISH t %u qos=1,%u", i, i);
		fx_expect(slow, text);
	}
	ck_assert_uint_eq(conn_pending(c), 0);
	fx_close(&fx);
}
END_TEST

/* Large payloads go by reference; each reader takes them at its own pace, none gets another's bytes. */
START_TEST(large_payloads)
{
	static const char *const sizes[] = { "*8191", "*8192", "*200000", "*300", "*65536", "*900000" };
	struct fx_client *s[4], *p;
	char text[64];

	fx_open(&fx, 1, &fake_net, "session.output_bytes", "4MiB", NULL);
	for (unsigned i = 0; i < 4; i++) {
		char id[8];

		snprintf(id, sizeof id, "s%u", i);
		s[i] = fx_connected(&fx, 0, id, FX_CLEAN | (i % 2 ? FX_SMALL : 0), false);
		fx_send(s[i], i < 2 ? "SUBSCRIBE 1 t 0" : "SUBSCRIBE 1 t 1");
		fx_expect(s[i], i < 2 ? "SUBACK 1 0" : "SUBACK 1 1");
		s[i]->paused = i != 0;
	}
	p = fx_connected(&fx, 0, "p", FX_CLEAN, false);
	for (unsigned i = 0; i < 6; i++) {
		snprintf(text, sizeof text, "PUBLISH t %s qos=1,%u", sizes[i], i + 1);
		fx_send(p, text);
		fx_run(&fx);
	}
	for (unsigned i = 1; i < 4; i++)
		s[i]->paused = false;
	for (unsigned i = 0; i < 4; i++) {
		for (unsigned k = 0; k < 6; k++) {
			snprintf(text, sizeof text, i < 2 ? "PUBLISH t %s" : "PUBLISH t %s qos=1,%u", sizes[k], k + 1);
			fx_expect(s[i], text);
		}
		fx_expect(s[i], "");
	}
	fx_close(&fx);
}
END_TEST

/* What was not acknowledged comes again, with DUP, in its order, before anything newer. [MQTT-4.4.0-1] */
START_TEST(sent_again_after_a_reconnect)
{
	struct fx_client *s, *p;

	fx_open(&fx, 1, &fake_net, "session.max_inflight", "4", NULL);
	s = subscriber("s", 0, "SUBSCRIBE 1 t 2");
	p = fx_connected(&fx, 0, "p", FX_CLEAN, false);
	fx_send(p, "PUBLISH t 1 qos=1,1");
	fx_send(p, "PUBLISH t 2 qos=2,2");
	fx_send(p, "PUBLISH t 3 qos=2,3");
	fx_send(p, "PUBLISH t 4 qos=1,4");
	fx_send(p, "PUBLISH t 5 qos=1,5");
	fx_expect(s, "PUBLISH t 1 qos=1,1");
	fx_expect(s, "PUBLISH t 2 qos=2,2");
	fx_expect(s, "PUBLISH t 3 qos=2,3");
	fx_expect(s, "PUBLISH t 4 qos=1,4");
	fx_send(s, "PUBREC 2");
	fx_expect(s, "PUBREL 2");
	fx_send(s, "PUBACK 4");
	fx_run(&fx);
	fx_client_close(s);
	s = fx_connected(&fx, 0, "s", 0, true);
	fx_expect(s, "PUBLISH t 1 qos=1,1 dup");        /* [MQTT-3.3.1-1] */
	fx_expect(s, "PUBREL 2");
	fx_expect(s, "PUBLISH t 3 qos=2,3 dup");
	fx_expect(s, "");
	fx_send(s, "PUBACK 1");
	fx_expect(s, "PUBLISH t 5 qos=1,5");
	fx_send(s, "PUBCOMP 2");
	fx_send(s, "PUBREC 3");
	fx_expect(s, "PUBREL 3");
	fx_send(s, "PUBCOMP 3");
	fx_send(s, "PUBACK 5");
	fx_run(&fx);
	fx_client_close(s);
	s = fx_connected(&fx, 0, "s", 0, true);
	fx_expect(s, "");
	fx_close(&fx);
}
END_TEST

START_TEST(sent_again_to_level_3_while_connected)
{
	struct fx_client *s, *modern, *p;

	fx_open(&fx, 1, &fake_net, "session.retry_after", "10s", "session.max_retries", "2", NULL);
	s = fx_client(&fx, 0, FX_LEVEL3);
	fx_send(s, "CONNECT s level=3 clean");
	fx_expect(s, "CONNACK 0");
	fx_send(s, "SUBSCRIBE 1 t 2");
	fx_expect(s, "SUBACK 1 2");
	modern = subscriber("m", FX_CLEAN, "SUBSCRIBE 1 t 2");
	p = fx_connected(&fx, 0, "p", FX_CLEAN, false);
	fx_send(p, "PUBLISH t 1 qos=1,1");
	fx_send(p, "PUBLISH t 2 qos=2,2");
	fx_expect(s, "PUBLISH t 1 qos=1,1");
	fx_expect(s, "PUBLISH t 2 qos=2,2");
	fx_expect(modern, "PUBLISH t 1 qos=1,1");
	fx_expect(modern, "PUBLISH t 2 qos=2,2");
	fx_pass_ms(&fx, 9800);
	fx_send(s, "PUBREC 2");
	fx_expect(s, "PUBREL 2");
	fx_send(p, "PUBLISH t 3 qos=1,3");
	fx_expect(s, "PUBLISH t 3 qos=1,3");
	fx_pass_ms(&fx, 400);
	/* What was there for the whole interval. */
	fx_expect(s, "PUBLISH t 1 qos=1,1 dup");
	fx_expect(s, "");
	/* An acknowledgement begins a new count. */
	fx_send(s, "PUBACK 1");
	fx_pass_ms(&fx, 10100);
	fx_expect(s, "");
	for (int i = 0; i < 2; i++) {
		fx_pass_ms(&fx, 10100);
		fx_expect(s, "PUBREL 2");
		fx_expect(s, "PUBLISH t 3 qos=1,3 dup");
	}
	/* Enough, whatever comes behind it; then the next has its turn. */
	fx_send(p, "PUBLISH t 4 qos=1,4");
	fx_expect(s, "PUBLISH t 4 qos=1,4");
	fx_pass_ms(&fx, 60000);
	fx_expect(s, "");
	fx_send(s, "PUBCOMP 2");
	fx_send(s, "PUBACK 3");
	fx_pass_ms(&fx, 20200);
	fx_expect(s, "PUBLISH t 4 qos=1,4 dup");
	fx_expect(modern, "PUBLISH t 3 qos=1,3");
	fx_expect(modern, "PUBLISH t 4 qos=1,4");
	fx_expect(modern, "");          /* [MQTT-4.4.0-1] */
	fx_close(&fx);
}
END_TEST

START_TEST(direct_messages)
{
	struct fx_client *a, *b, *both;

	fx_open(&fx, 2, &fake_net, NULL);
	a = fx_connected(&fx, 0, "a", FX_CLEAN, false);
	b = fx_connected(&fx, 1, "b", 0, false);
	fx_run(&fx);
	fx_send(a, "PUBLISH b hello qos=1,1");
	fx_expect(a, "PUBACK 1");
	fx_expect(b, "PUBLISH b hello qos=1,1");
	fx_send(b, "PUBACK 1");
	fx_send(a, "PUBLISH a to-myself");
	fx_expect(a, "PUBLISH a to-myself");
	fx_client_close(b);
	fx_run(&fx);
	fx_send(a, "PUBLISH b later qos=2,2");
	fx_expect(a, "PUBREC 2");
	b = fx_connected(&fx, 1, "b", 0, true);
	ck_assert_int_eq(strncmp(fx_next(b), "PUBLISH b later qos=2,", 22), 0);
	both = fx_connected(&fx, 0, "both", FX_CLEAN, false);
	fx_send(both, "SUBSCRIBE 1 both 0 # 1");
	fx_expect(both, "SUBACK 1 0 1");
	fx_send(b, "PUBLISH both once qos=2,9");
	fx_expect(both, "PUBLISH both once qos=2,1");
	fx_expect(both, "");
	/* Names with $ never are direct; nor is anything if it is off. */
	(void)fx_connected(&fx, 0, "$x", FX_CLEAN, false);
	fx_send(a, "PUBLISH $x no");
	fx_run(&fx);
	fx_set(&fx, "features.direct_messaging", "false");
	fx_send(b, "PUBLISH a no");
	fx_send(both, "UNSUBSCRIBE 2 #");
	fx_expect(a, "");
	fx_close(&fx);
}
END_TEST

/* Client ids that are no topics can be had, and make no harm to the routes. */
START_TEST(ids_that_are_no_topics)
{
	static const char *const ids[] = { "#", "+", "a/#/b", "a#", "+a", "/", "//", "a/", "$share/g/t" };
	struct fx_client *c, *p;

	fx_open(&fx, 2, &fake_net, NULL);
	p = fx_connected(&fx, 1, "p", FX_CLEAN, false);
	for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
		c = fx_connected(&fx, 0, ids[i], FX_CLEAN, false);
		fx_send(p, "PUBLISH t x qos=1,1");
		fx_expect(p, "PUBACK 1");
		fx_expect(c, "");
		fx_send(c, "DISCONNECT");
		fx_expect(c, "END");
	}
	ck_assert_uint_eq(METRIC_GET(link_msgs_in), 0);
	fx_close(&fx);
}
END_TEST

START_TEST(between_workers)
{
	struct fx_client *s, *p;
	char text[64];

	fx_open(&fx, 3, &fake_net, NULL);
	s = fx_connected(&fx, 2, "s", FX_CLEAN, false);
	fx_send(s, "SUBSCRIBE 1 t/# 2");
	fx_expect(s, "SUBACK 1 2");
	p = fx_connected(&fx, 0, "p", FX_CLEAN, false);
	for (unsigned i = 1; i <= 50; i++) {
		snprintf(text, sizeof text, "PUBLISH t/%u p qos=2,%u", i, i);
		fx_send(p, text);
	}
	for (unsigned i = 1; i <= 50; i++) {
		snprintf(text, sizeof text, "PUBLISH t/%u p qos=2,%u", i, i);
		fx_expect(s, text);
		snprintf(text, sizeof text, "PUBREC %u", i);
		fx_expect(p, text);
	}
	fx_send(s, "UNSUBSCRIBE 2 t/#");
	fx_expect(s, "UNSUBACK 2");
	fx_send(p, "PUBLISH t/1 x qos=1,99");
	fx_expect(p, "PUBACK 99");
	fx_expect(s, "");
	fx_close(&fx);
}
END_TEST

UNIT_MAIN("deliver", qos_is_lowered, the_highest_qos_granted, overlapping_filters_deliver_once,
    retain_is_off_for_those_who_are_there, order_is_kept, the_window_is_filled_again, a_full_queue_drops_the_oldest,
    a_queue_has_a_limit_of_bytes, a_slow_reader_costs_its_limit, large_payloads, sent_again_after_a_reconnect,
    sent_again_to_level_3_while_connected, direct_messages, ids_that_are_no_topics, between_workers)
