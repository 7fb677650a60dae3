/* SPDX-License-Identifier: Apache-2.0
 * Retained messages for a new subscription: all of them, at the client's pace, never an older one behind a newer. */
#include <stdio.h>
#include <string.h>

#include "common/base/err.h"
#include "common/metrics/page.h"
#include "t/support/fake_cluster.h"
#include "t/support/unit.h"
#include "t/support/worker_fixture.h"
#include "worker/session.h"
#include "worker/worker.h"

static struct fx fx;

/* r/000 ... as the store's rows, payload the number. */
static void
keep(unsigned count, uint8_t qos)
{
	char topic[32], payload[16];

	for (unsigned i = 0; i < count; i++) {
		snprintf(topic, sizeof topic, "r/%03u", i);
		snprintf(payload, sizeof payload, "%u", i);
		fake_store_retain(&fx.store, topic, payload, qos);
	}
}

static void
expect_row(struct fx_client *c, unsigned i, const char *rest)
{
	char text[64];

	snprintf(text, sizeof text, "PUBLISH r/%03u %u%.30s retain", i, i, rest);
	fx_expect(c, text);
}

START_TEST(behind_the_suback)
{
	struct fx_client *c;

	fx_open(&fx, 1, &fake_net, NULL);
	keep(3, 2);
	c = fx_connected(&fx, 0, "c", FX_CLEAN, false);
	fx_send(c, "SUBSCRIBE 1 r/# 1");
	fx_expect(c, "SUBACK 1 1");
	expect_row(c, 0, " qos=1,1");                   /* [MQTT-3.3.1-6] [MQTT-3.3.1-8] */
	expect_row(c, 1, " qos=1,2");
	expect_row(c, 2, " qos=1,3");
	fx_expect(c, "");
	/* A subscription that is repeated gets them again. [MQTT-3.8.4-3] */
	fx_send(c, "SUBSCRIBE 2 r/001 0");
	fx_expect(c, "SUBACK 2 0");
	expect_row(c, 1, "");
	fx_send(c, "SUBSCRIBE 3 r/001 0");
	fx_expect(c, "SUBACK 3 0");
	expect_row(c, 1, "");
	fx_send(c, "SUBSCRIBE 4 nothing/+ 2");
	fx_expect(c, "SUBACK 4 2");
	fx_expect(c, "");
	fx_close(&fx);
}
END_TEST

START_TEST(in_parts)
{
	struct fx_client *c;

	fx_open(&fx, 1, &fake_net, NULL);
	keep(100, 0);
	fx.store.rows_a_get = 7;
	c = fx_connected(&fx, 0, "c", FX_CLEAN, false);
	fx_send(c, "SUBSCRIBE 1 # 1");
	fx_expect(c, "SUBACK 1 1");
	for (unsigned i = 0; i < 100; i++)
		expect_row(c, i, "");
	fx_expect(c, "");
	ck_assert_uint_ge(fx.store.gets, 15);
	fx_close(&fx);
}
END_TEST

/* The window is full: no more is asked for until the client acknowledges. */
START_TEST(at_the_pace_of_the_window)
{
	struct fx_client *c;
	char ack[32], rest[32];
	unsigned gets;

	fx_open(&fx, 1, &fake_net, "session.max_inflight", "4", NULL);
	keep(40, 1);
	fx.store.rows_a_get = 3;
	c = fx_connected(&fx, 0, "c", FX_CLEAN, false);
	fx_send(c, "SUBSCRIBE 1 r/+ 1");
	fx_expect(c, "SUBACK 1 1");
	for (unsigned i = 0; i < 4; i++) {
		snprintf(rest, sizeof rest, " qos=1,%u", i + 1);
		expect_row(c, i, rest);
	}
	fx_expect(c, "");
	gets = fx.store.gets;
	ck_assert_uint_le(gets, 3);
	fx_pass_ms(&fx, 1000);
	ck_assert_uint_eq(fx.store.gets, gets);
	ck_assert_uint_eq(METRIC_GET(queued), 0);
	for (unsigned i = 4; i < 40; i++) {
		snprintf(ack, sizeof ack, "PUBACK %u", i - 3);
		fx_send(c, ack);
		snprintf(rest, sizeof rest, " qos=1,%u", i + 1);
		expect_row(c, i, rest);
	}
	fx_close(&fx);
}
END_TEST

/* The socket is full: the rest waits in the store. */
START_TEST(at_the_pace_of_the_socket)
{
	struct fx_client *c;
	char topic[32];
	char *payload = malloc(1001);

	fx_open(&fx, 1, &fake_net, "session.output_bytes", "32KiB", NULL);
	memset(payload, 'x', 1000);
	payload[1000] = '\0';
	for (unsigned i = 0; i < 500; i++) {
		snprintf(topic, sizeof topic, "r/%03u", i);
		fake_store_retain(&fx.store, topic, payload, 0);
	}
	fx.store.rows_a_get = 10;
	c = fx_connected(&fx, 0, "c", FX_CLEAN | FX_SMALL, false);
	c->paused = true;
	fx_send(c, "SUBSCRIBE 1 r/# 0");
	fx_run(&fx);
	ck_assert_uint_le(fx.store.gets, 20);
	/* Others are served meanwhile. */
	fx_connected(&fx, 0, "other", FX_CLEAN, false);
	c->paused = false;
	fx_expect(c, "SUBACK 1 0");
	for (unsigned i = 0; i < 500; i++) {
		char text[64];

		snprintf(text, sizeof text, "PUBLISH r/%03u *1000 retain", i);
		fx_expect(c, text);
	}
	fx_expect(c, "");
	ck_assert_uint_eq(METRIC_GET(dropped_slow_reader), 0);
	free(payload);
	fx_close(&fx);
}
END_TEST

/* What was published since is newer than the row that the store still reads. */
START_TEST(a_topic_published_meanwhile_is_skipped)
{
	struct fx_client *c, *p;

	fx_open(&fx, 1, &fake_net, "session.max_inflight", "2", NULL);
	keep(6, 1);
	p = fx_connected(&fx, 0, "p", FX_CLEAN, false);
	c = fx_connected(&fx, 0, "c", FX_CLEAN, false);
	fx_send(c, "SUBSCRIBE 1 r/# 1");
	fx_expect(c, "SUBACK 1 1");
	expect_row(c, 0, " qos=1,1");
	expect_row(c, 1, " qos=1,2");
	fx_send(p, "PUBLISH r/003 new retain");
	fx_send(p, "PUBLISH r/004 - retain");
	fx_send(p, "PUBLISH r/002 new");                /* not retained: the row stands */
	fx_expect(c, "PUBLISH r/003 new");
	fx_expect(c, "PUBLISH r/004 ");
	fx_expect(c, "PUBLISH r/002 new");
	fx_send(c, "PUBACK 1");
	expect_row(c, 2, " qos=1,3");
	fx_send(c, "PUBACK 2");
	expect_row(c, 5, " qos=1,4");
	fx_expect(c, "");
	/* A later subscription gets what is there now. */
	fx_send(c, "PUBACK 3");
	fx_send(c, "PUBACK 4");
	fx_send(c, "SUBSCRIBE 2 r/003 0");
	fx_expect(c, "SUBACK 2 0");
	fx_expect(c, "PUBLISH r/003 new retain");
	fx_close(&fx);
}
END_TEST

START_TEST(several_filters_one_after_the_other)
{
	struct fx_client *c;

	fx_open(&fx, 1, &fake_net, "session.max_inflight", "2", NULL);
	keep(2, 1);
	fake_store_retain(&fx.store, "s/a", "A", 0);
	fake_store_retain(&fx.store, "t/b", "B", 1);
	c = fx_connected(&fx, 0, "c", FX_CLEAN, false);
	fx_send(c, "SUBSCRIBE 1 t/# 1 r/# 1 s/a 1");
	fx_send(c, "SUBSCRIBE 2 r/001 0");
	fx_expect(c, "SUBACK 1 1 1 1");
	fx_expect(c, "SUBACK 2 0");
	fx_expect(c, "PUBLISH t/b B qos=1,1 retain");
	expect_row(c, 0, " qos=1,2");
	fx_expect(c, "");
	fx_send(c, "PUBACK 1");
	expect_row(c, 1, " qos=1,3");
	fx_send(c, "PUBACK 2");
	fx_expect(c, "PUBLISH s/a A retain");
	expect_row(c, 1, "");
	fx_expect(c, "");
	fx_close(&fx);
}
END_TEST

START_TEST(unsubscribed_meanwhile)
{
	struct fx_client *c;
	const char *got;

	fx_open(&fx, 1, &fake_net, "session.max_inflight", "2", NULL);
	keep(50, 1);
	fake_store_retain(&fx.store, "s/a", "A", 1);
	fake_store_retain(&fx.store, "t/b", "B", 1);
	fx.store.rows_a_get = 1;
	c = fx_connected(&fx, 0, "c", FX_CLEAN, false);
	fx_send(c, "SUBSCRIBE 1 r/# 1 s/a 1 t/b 1");
	fx_expect(c, "SUBACK 1 1 1 1");
	expect_row(c, 0, " qos=1,1");
	expect_row(c, 1, " qos=1,2");
	fx_send(c, "UNSUBSCRIBE 2 s/a");
	fx_expect(c, "UNSUBACK 2");
	fx.store.hold_gets = true;
	fx_send(c, "PUBACK 1");
	fx_run(&fx);
	fx_send(c, "UNSUBSCRIBE 3 r/#");
	while (strcmp(got = fx_next(c), "UNSUBACK 3") != 0)
		ck_assert_str_ne(got, "");
	fx.store.hold_gets = false;
	fx_send(c, "PUBACK 2");
	fx_send(c, "PUBACK 3");
	while (strncmp(got = fx_next(c), "PUBLISH t/b B", 13) != 0)
		ck_assert_str_ne(got, "");
	fx_expect(c, "");
	fx_close(&fx);
}
END_TEST

/* A durable session that goes offline in the middle gets the rest when it is back. */
START_TEST(offline_meanwhile)
{
	struct fx_client *c;
	char text[64];

	fx_open(&fx, 1, &fake_net, "session.max_inflight", "2", NULL);
	keep(10, 1);
	fx.store.rows_a_get = 3;
	c = fx_connected(&fx, 0, "c", 0, false);
	fx_send(c, "SUBSCRIBE 1 r/# 1");
	fx_expect(c, "SUBACK 1 1");
	expect_row(c, 0, " qos=1,1");
	expect_row(c, 1, " qos=1,2");
	fx_client_close(c);
	fx_run(&fx);
	c = fx_connected(&fx, 0, "c", 0, true);
	fx_expect(c, "PUBLISH r/000 0 qos=1,1 retain dup");
	fx_expect(c, "PUBLISH r/001 1 qos=1,2 retain dup");
	for (unsigned i = 2; i < 10; i++) {
		snprintf(text, sizeof text, "PUBACK %u", i - 1);
		fx_send(c, text);
		snprintf(text, sizeof text, " qos=1,%u", i + 1);
		expect_row(c, i, text);
	}
	fx_close(&fx);
}
END_TEST

START_TEST(the_store_restarts_meanwhile)
{
	struct fx_client *c;

	fx_open(&fx, 1, &fake_net, NULL);
	keep(10, 0);
	fx.store.rows_a_get = 4;
	c = fx_connected(&fx, 0, "c", FX_CLEAN, false);
	fx.store.hold_gets = true;
	fx_send(c, "SUBSCRIBE 1 r/# 0");
	fx_expect(c, "SUBACK 1 0");
	fx_store_kill(&fx);
	fx.store.hold_gets = false;
	fx_expect(c, "");
	fx_store_start(&fx);
	for (unsigned i = 0; i < 10; i++)
		expect_row(c, i, "");
	fx.store.fail_gets = FB_EIO;
	fx_send(c, "SUBSCRIBE 2 r/# 0");
	fx_expect(c, "SUBACK 2 0");
	fx_expect(c, "");
	fx.store.fail_gets = 0;
	fx_send(c, "SUBSCRIBE 3 r/001 0");
	fx_expect(c, "SUBACK 3 0");
	expect_row(c, 1, "");
	fx_close(&fx);
}
END_TEST

/* What another worker's client retained before the SUBACK is read, even if the store has not committed it yet. */
START_TEST(reads_wait_for_writes)
{
	struct fx_client *c, *p;

	fx_open(&fx, 2, &fake_net, NULL);
	fake_store_retain(&fx.store, "t", "old", 0);
	p = fx_connected(&fx, 1, "p", FX_CLEAN, false);
	c = fx_connected(&fx, 0, "c", FX_CLEAN, false);
	fx_run(&fx);
	fx.store.hold_commits = true;
	fx_send(p, "PUBLISH t new retain");
	fx_run(&fx);
	fx_send(c, "SUBSCRIBE 1 t 0");
	fx_expect(c, "SUBACK 1 0");
	fx_expect(c, "");
	fx.store.hold_commits = false;
	fx_expect(c, "PUBLISH t new retain");
	fx_expect(c, "");
	fx_close(&fx);
}
END_TEST

/* Published between the subscription and its SUBACK: the newest comes last, whatever comes twice. */
START_TEST(published_before_the_suback)
{
	struct fx_client *c, *p;
	const char *text;
	char last[64] = "";

	fx_open(&fx, 3, &fake_net, NULL);
	fake_store_retain(&fx.store, "t", "old", 0);
	p = fx_connected(&fx, 1, "p", FX_CLEAN, false);
	c = fx_connected(&fx, 0, "c", FX_CLEAN, false);
	fx_run(&fx);
	fake_net_hold(0, 2, true);
	fx_send(c, "SUBSCRIBE 1 t 0");
	fx_run(&fx);
	fx.store.hold_commits = true;
	fx_send(p, "PUBLISH t new retain");
	fx_expect(c, "PUBLISH t new");
	fake_net_hold(0, 2, false);
	fx_expect(c, "SUBACK 1 0");
	fx_run(&fx);
	fx.store.hold_commits = false;
	while ((text = fx_next(c))[0] != '\0')
		snprintf(last, sizeof last, "%s", text);
	ck_assert(last[0] == '\0' || strcmp(last, "PUBLISH t new retain") == 0);
	fx_close(&fx);
}
END_TEST

/* A session that ends, or moves, in the middle takes nothing along that is not its own. */
START_TEST(gone_meanwhile)
{
	struct fx_client *c;

	fx_open(&fx, 2, &fake_net, "session.max_inflight", "2", NULL);
	keep(20, 1);
	fx.store.rows_a_get = 2;
	for (unsigned i = 0; i < 4; i++) {
		fx.store.hold_gets = i & 1;
		c = fx_connected(&fx, 0, "c", i & 2 ? 0 : FX_CLEAN, false);
		fx_send(c, "SUBSCRIBE 1 r/# 1");
		fx_run(&fx);
		if (i & 2)
			(void)fx_connect(&fx, 1, "c", 0);
		else
			fx_send(c, "DISCONNECT");
		fx_run(&fx);
		fx.store.hold_gets = false;
		fx_run(&fx);
		c = fx_connect(&fx, 1, "c", FX_CLEAN);
		fx_run(&fx);
		fx_send(c, "DISCONNECT");
		fx_run(&fx);
	}
	ck_assert_uint_eq(METRIC_GET(sessions), 0);
	fx_close(&fx);
}
END_TEST

START_TEST(off)
{
	struct fx_client *c;

	fx_open(&fx, 1, &fake_net, "features.retained", "false", NULL);
	keep(3, 0);
	c = fx_connected(&fx, 0, "c", FX_CLEAN, false);
	fx_send(c, "SUBSCRIBE 1 # 0");
	fx_expect(c, "SUBACK 1 0");
	fx_expect(c, "");
	fx_close(&fx);
}
END_TEST

UNIT_MAIN("retain", behind_the_suback, in_parts, at_the_pace_of_the_window, at_the_pace_of_the_socket,
    a_topic_published_meanwhile_is_skipped, several_filters_one_after_the_other, unsubscribed_meanwhile,
    offline_meanwhile, the_store_restarts_meanwhile, reads_wait_for_writes, published_before_the_suback,
    gone_meanwhile, off)
