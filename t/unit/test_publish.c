/* SPDX-License-Identifier: Apache-2.0
 * A publish and its acknowledgement: sent when every leg has it, in the order received, or never. */
#include <stdio.h>
#include <string.h>

#include "common/base/err.h"
#include "common/metrics/page.h"
#include "t/support/fake_cluster.h"
#include "t/support/unit.h"
#include "t/support/worker_fixture.h"
#include "worker/conn.h"
#include "worker/durability.h"
#include "worker/flow.h"
#include "worker/storec.h"
#include "worker/worker.h"

static struct fx fx;

static bool
disk(const char *topic, unsigned listener)
{
	return durability_disk(fx.w[0].worker, listener, slice_str(topic));
}

/* By topic, else by listener, else for all; each change counts at once. */
START_TEST(where_it_is_to_be_kept)
{
	fx_open(&fx, 1, &fake_net, "session.durability", "memory", NULL);
	ck_assert(!disk("a", CONFIG_L_mqtt) && !disk("a", CONFIG_L_wss2));
	fx_set(&fx, "session.durability", "disk");
	ck_assert(disk("a", CONFIG_L_mqtt) && disk("a", CONFIG_L_wss2));
	fx_set(&fx, "listeners.mqtt.durability", "memory");
	ck_assert(!disk("a", CONFIG_L_mqtt) && disk("a", CONFIG_L_mqtt2));
	fx_set(&fx, "session.durability_topics", "a/b/# memory, +/x disk, a/# disk");
	ck_assert(!disk("a/b", CONFIG_L_mqtt2) && !disk("a/b/c", CONFIG_L_mqtt2) && disk("a/bc", CONFIG_L_mqtt));
	ck_assert(disk("a", CONFIG_L_mqtt) && disk("q/x", CONFIG_L_mqtt) && !disk("ab", CONFIG_L_mqtt) && disk("ab", CONFIG_L_ws));
	ck_assert(!disk("", CONFIG_L_mqtt) && !disk("$a/x", CONFIG_L_mqtt));
	fx_set(&fx, "session.durability_topics", "");
	ck_assert(!disk("a", CONFIG_L_mqtt) && disk("a", CONFIG_L_mqtt2));
	fx_set(&fx, "session.durability", "memory");
	fx_set(&fx, "listeners.mqtt.durability", "default");
	fx_set(&fx, "listeners.ws.durability", "disk");
	ck_assert(!disk("a", CONFIG_L_mqtt) && disk("a", CONFIG_L_ws));
	fx_close(&fx);
}
END_TEST

/* Said by the worker where it comes in, to all of them; a will's as that of its client's publishes. */
START_TEST(each_worker_knows_where)
{
	static const bool want[] = { false, true, true, false };
	struct fx_client *c;

	fx_open(&fx, 2, &fake_net, "session.durability_topics", "t/disk/# disk", NULL);
	for (unsigned k = 0; k < 2; k++) {
		c = fx_connected(&fx, k, k == 0 ? "s0" : "s1", 0, false);
		fx_send(c, "SUBSCRIBE 1 t/# 2");
		fx_expect(c, "SUBACK 1 2");
		fx_client_close(c);
	}
	c = fx_client(&fx, 0, 0);
	fx_send(c, "CONNECT p clean will=t/disk/will,1,0,x");
	fx_expect(c, "CONNACK 0");
	fx_send(c, "PUBLISH t/memory x qos=1,1");
	fx_send(c, "PUBLISH t/disk x qos=2,2");
	fx_run(&fx);
	fx_client_close(c);
	c = fx_connected(&fx, 0, "p", FX_CLEAN, false);
	fx_send(c, "PUBLISH t x qos=1,1");
	fx_run(&fx);
	for (unsigned k = 0; k < 2; k++) {
		struct flow *f = fx_session(&fx, k, k == 0 ? "s0" : "s1")->flow;

		for (unsigned i = 0; i < 4; i++) {
			struct queued q = flow_pop(f);

			ck_assert(q.msg->disk == want[i]);
			msg_drop(q.msg);
		}
	}
	fx_close(&fx);
}
END_TEST

/* Worker 1 has a subscriber of t and of nothing else. */
static struct fx_client *
far_subscriber(void)
{
	struct fx_client *s = fx_connected(&fx, 1, "far", FX_CLEAN, false);

	fx_send(s, "SUBSCRIBE 1 t 2");
	fx_expect(s, "SUBACK 1 2");
	return s;
}

/* Subscribed or not, near or far: acknowledged. [MQTT-4.3.2-4] [MQTT-4.3.3-2] */
START_TEST(nobody_wants_it)
{
	for (unsigned workers = 1; workers <= 2; workers++) {
		struct fx_client *p;

		fx_open(&fx, workers, &fake_net, NULL);
		p = fx_connected(&fx, 0, "p", FX_CLEAN, false);
		fx_send(p, "PUBLISH t x");
		fx_send(p, "PUBLISH t x qos=1,7");
		fx_send(p, "PUBLISH t x qos=2,8");
		fx_expect(p, "PUBACK 7");
		fx_expect(p, "PUBREC 8");
		fx_send(p, "PUBREL 8");
		fx_expect(p, "PUBCOMP 8");
		fx_expect(p, "");
		fx_close(&fx);
	}
}
END_TEST

/* [MQTT-4.6.0-2] [MQTT-4.6.0-3] */
START_TEST(acknowledgements_wait_and_keep_their_order)
{
	struct fx_client *p, *s;

	fx_open(&fx, 2, &fake_net, NULL);
	s = far_subscriber();
	p = fx_connected(&fx, 0, "p", FX_CLEAN, false);
	fx_run(&fx);
	fake_net_hold(1, 0, true);
	fx_send(p, "PUBLISH t far qos=1,1");
	fx_send(p, "PUBLISH u nobody qos=1,2");
	fx_send(p, "PUBLISH u nobody qos=2,3");
	fx_send(p, "PINGREQ");
	fx_expect(s, "PUBLISH t far qos=1,1");
	fx_expect(p, "PINGRESP");
	fx_expect(p, "");
	fake_net_hold(1, 0, false);
	fx_expect(p, "PUBACK 1");
	fx_expect(p, "PUBACK 2");
	fx_expect(p, "PUBREC 3");
	fx_close(&fx);
}
END_TEST

/* A neighbour dies with it: its successor gets it, or nobody there wants it. */
START_TEST(a_neighbour_dies_with_it)
{
	for (unsigned durable = 0; durable < 2; durable++) {
		struct fx_client *p, *s;

		fx_open(&fx, 2, &fake_net, NULL);
		s = fx_connected(&fx, 1, "far", durable ? 0 : FX_CLEAN, false);
		fx_send(s, "SUBSCRIBE 1 t 2");
		fx_expect(s, "SUBACK 1 2");
		p = fx_connected(&fx, 0, "p", FX_CLEAN, false);
		fx_run(&fx);
		fake_net_hold(0, 1, true);
		fx_send(p, "PUBLISH t x qos=1,1");
		fx_expect(p, "");
		fx_worker_kill(&fx, 1);
		fx_send(p, "PUBLISH t y qos=1,2");
		fx_expect(p, "");
		fx_worker_start(&fx, 1);
		fake_net_hold(0, 1, false);
		fx_expect(p, "PUBACK 1");
		fx_expect(p, "PUBACK 2");
		if (durable) {
			s = fx_connected(&fx, 0, "far", 0, true);
			fx_expect(s, "PUBLISH t x qos=1,*");
			fx_expect(s, "PUBLISH t y qos=1,*");
		}
		fx_close(&fx);
	}
}
END_TEST

START_TEST(retained_waits_for_the_store)
{
	struct fx_client *p;

	fx_open(&fx, 1, &fake_net, NULL);
	p = fx_connected(&fx, 0, "p", FX_CLEAN, false);
	fx.store.hold_commits = true;
	fx_send(p, "PUBLISH t x qos=1,1 retain");
	fx_send(p, "PUBLISH u y qos=1,2");
	fx_send(p, "PUBLISH t z qos=2,3 retain");
	fx_expect(p, "");
	fx.store.hold_commits = false;
	fx_expect(p, "PUBACK 1");
	fx_expect(p, "PUBACK 2");
	fx_expect(p, "PUBREC 3");
	ck_assert_str_eq(fake_store_retained(&fx.store, "t"), "z");
	fx_send(p, "PUBLISH t - qos=1,4 retain");       /* [MQTT-3.3.1-10] [MQTT-3.3.1-11] */
	fx_expect(p, "PUBACK 4");
	ck_assert_ptr_null(fake_store_retained(&fx.store, "t"));
	fx_send(p, "PUBLISH t q0 retain");
	fx_run(&fx);
	ck_assert_str_eq(fake_store_retained(&fx.store, "t"), "q0");
	fx_set(&fx, "features.retained", "false");
	fx_send(p, "PUBLISH t not qos=1,5 retain");
	fx_expect(p, "PUBACK 5");
	ck_assert_str_eq(fake_store_retained(&fx.store, "t"), "q0");
	fx_close(&fx);
}
END_TEST

/* A newer one of its topic is kept in its stead. */
START_TEST(refused_and_replaced)
{
	struct fx_client *p;

	fx_open(&fx, 1, &fake_net, NULL);
	p = fx_connected(&fx, 0, "p", 0, false);
	fx.store.hold_commits = true;
	fx_send(p, "PUBLISH t a qos=1,1 retain");
	fx_run(&fx);
	fx.store.fail_writes = FB_EDISK;
	fx_send(p, "PUBLISH t b qos=2,2 retain");
	fx_run(&fx);
	fx.store.fail_writes = 0;
	fx_send(p, "PUBLISH t c qos=1,3 retain");
	fx_send(p, "PUBLISH t d qos=1,4");
	fx_run(&fx);
	fx.store.hold_commits = false;
	fx_expect(p, "PUBACK 1");
	fx_expect(p, "PUBREC 2");
	fx_expect(p, "PUBACK 3");
	fx_expect(p, "PUBACK 4");
	fx_pass_ms(&fx, 2500);
	ck_assert_str_eq(fake_store_retained(&fx.store, "t"), "c");
	fx_close(&fx);
}
END_TEST

/* Nothing is acknowledged that is not kept: it waits for room, in its order, and QoS 0 is dropped. */
START_TEST(a_full_disk)
{
	struct fx_client *p, *s;
	unsigned writes;

	fx_open(&fx, 1, &fake_net, NULL);
	s = fx_connected(&fx, 0, "s", FX_CLEAN, false);
	fx_send(s, "SUBSCRIBE 1 t 2");
	fx_expect(s, "SUBACK 1 2");
	p = fx_connected(&fx, 0, "p", 0, false);
	fx.store.fail_writes = FB_EDISK;
	fx_send(p, "PUBLISH t a qos=1,1 retain");
	fx_expect(p, "");
	writes = fx.store.writes;
	fx_send(p, "PUBLISH t b qos=2,2 retain");
	fx_send(p, "PUBLISH u c qos=1,3 retain");
	fx_send(p, "PUBLISH u d qos=1,4");
	fx_expect(p, "");
	fx_expect(s, "PUBLISH t a qos=1,1");
	fx_expect(s, "PUBLISH t b qos=2,2");
	ck_assert_uint_eq(fx.store.writes, writes);
	fx_send(p, "PUBLISH v e retain");
	fx_run(&fx);
	ck_assert_uint_eq(METRIC_GET(dropped_store_full), 1);
	fx_pass_ms(&fx, 2500);
	ck_assert_uint_eq(fx.store.writes, writes + 3); /* each second the first */
	fx.store.fail_writes = 0;
	fx_expect(p, "");
	fx_pass_ms(&fx, 1100);
	fx_expect(p, "PUBACK 1");
	fx_expect(p, "PUBREC 2");
	fx_expect(p, "PUBACK 3");
	fx_expect(p, "PUBACK 4");
	ck_assert_str_eq(fake_store_retained(&fx.store, "t"), "b");
	ck_assert_str_eq(fake_store_retained(&fx.store, "u"), "c");
	ck_assert_ptr_null(fake_store_retained(&fx.store, "v"));
	ck_assert(storec_idle(fx.w[0].worker->store));
	fx_close(&fx);
}
END_TEST

/* A new store is asked at once. */
START_TEST(a_full_disk_and_another_store)
{
	struct fx_client *p;

	fx_open(&fx, 1, &fake_net, NULL);
	p = fx_connected(&fx, 0, "p", FX_CLEAN, false);
	fx.store.fail_writes = FB_EIO;
	fx_send(p, "PUBLISH t a qos=1,1 retain");
	fx_send(p, "PUBLISH u b qos=1,2 retain");
	fx_expect(p, "");
	fx_store_kill(&fx);
	fx_pass_ms(&fx, 1500);
	fx.store.fail_writes = 0;
	fx_store_start(&fx);
	fx_expect(p, "PUBACK 1");
	fx_expect(p, "PUBACK 2");
	ck_assert_str_eq(fake_store_retained(&fx.store, "u"), "b");
	fx_close(&fx);
}
END_TEST

/* Who gives up is not kept: he may publish something newer elsewhere. QoS 2 waits for the session to come back here. */
START_TEST(a_full_disk_and_gone)
{
	struct fx_client *p, *s;

	fx_open(&fx, 2, &fake_net, NULL);
	s = fx_connected(&fx, 0, "s", FX_CLEAN, false);
	fx_send(s, "SUBSCRIBE 1 # 2");
	fx_expect(s, "SUBACK 1 2");
	p = fx_connected(&fx, 0, "p", 0, false);
	fx.store.fail_writes = FB_EDISK;
	fx_send(p, "PUBLISH t a qos=1,1 retain");
	fx_send(p, "PUBLISH u b qos=2,2 retain");
	fx_send(p, "PUBLISH v c qos=2,3 retain");
	fx_expect(p, "");
	fx_client_close(p);
	fx_pass_ms(&fx, 1500);
	p = fx_connected(&fx, 0, "p", 0, true);
	fx_send(p, "PUBLISH u b qos=2,2 dup retain");
	fx_expect(p, "");
	fx.store.fail_writes = 0;
	fx_pass_ms(&fx, 1100);
	fx_expect(p, "PUBREC 2");
	fx_expect(s, "PUBLISH t a qos=1,1");
	fx_expect(s, "PUBLISH u b qos=2,2");
	fx_expect(s, "PUBLISH v c qos=2,3");
	fx_expect(s, "");
	ck_assert_ptr_null(fake_store_retained(&fx.store, "t"));
	ck_assert_str_eq(fake_store_retained(&fx.store, "u"), "b");
	/* It goes on at another worker: nothing of it is kept from here. */
	fx.store.fail_writes = FB_EDISK;
	fx_send(p, "PUBLISH w d qos=2,4 retain");
	fx_expect(p, "");
	fx_client_close(p);
	fx_run(&fx);
	p = fx_connected(&fx, 1, "p", 0, true);
	fx.store.fail_writes = 0;
	fx_pass_ms(&fx, 1500);
	ck_assert_ptr_null(fake_store_retained(&fx.store, "w"));
	fx_send(p, "PUBLISH w d qos=2,4 dup retain");
	fx_expect(p, "PUBREC 4");
	ck_assert_str_eq(fake_store_retained(&fx.store, "w"), "d");
	ck_assert(list_empty(&fx.w[0].worker->unkept));
	fx_close(&fx);
}
END_TEST

/* The store dies: what it had not committed is sent again to the next, and acknowledged then. */
START_TEST(the_store_dies)
{
	struct fx_client *p;

	fx_open(&fx, 1, &fake_net, NULL);
	p = fx_connected(&fx, 0, "p", FX_CLEAN, false);
	fx.store.hold_commits = true;
	fx_send(p, "PUBLISH t a qos=1,1 retain");
	fx_send(p, "PUBLISH u b qos=1,2 retain");
	fx_run(&fx);
	fx_store_kill(&fx);
	fx.store.hold_commits = false;
	fx_send(p, "PUBLISH v c qos=1,3 retain");
	fx_expect(p, "");
	fx_store_start(&fx);
	fx_expect(p, "PUBACK 1");
	fx_expect(p, "PUBACK 2");
	fx_expect(p, "PUBACK 3");
	ck_assert_str_eq(fake_store_retained(&fx.store, "u"), "b");
	fx_close(&fx);
}
END_TEST

START_TEST(qos_2_repeats)
{
	struct fx_client *p, *s;

	fx_open(&fx, 2, &fake_net, NULL);
	s = far_subscriber();
	p = fx_connected(&fx, 0, "p", 0, false);
	fx_run(&fx);
	fake_net_hold(1, 0, true);
	fx_send(p, "PUBLISH t x qos=2,1");
	fx_expect(s, "PUBLISH t x qos=2,1");
	fx_send(p, "PUBLISH t x qos=2,1 dup");          /* its PUBREC is still to come: one */
	fx_expect(p, "");
	fake_net_hold(1, 0, false);
	fx_expect(p, "PUBREC 1");
	fx_expect(p, "");
	fx_send(p, "PUBLISH t x qos=2,1 dup");
	fx_expect(p, "PUBREC 1");
	fx_expect(s, "");                               /* [MQTT-4.3.3-2] */
	fx_send(p, "PUBREL 1");
	fx_expect(p, "PUBCOMP 1");
	fx_send(p, "PUBREL 1");
	fx_expect(p, "PUBCOMP 1");
	fx_send(p, "PUBLISH t y qos=2,1");              /* the id is free again */
	fx_expect(p, "PUBREC 1");
	fx_expect(s, "PUBLISH t y qos=2,2");
	fx_close(&fx);
}
END_TEST

/* The connection ends before the PUBREC: the repeat waits for the first one's legs and is not delivered again. */
START_TEST(qos_2_outlives_its_connection)
{
	struct fx_client *p, *s;

	fx_open(&fx, 2, &fake_net, NULL);
	s = far_subscriber();
	p = fx_connected(&fx, 0, "p", 0, false);
	fx_run(&fx);
	fake_net_hold(0, 1, true);
	fx_send(p, "PUBLISH t x qos=2,1");
	fx_send(p, "PUBLISH t y qos=1,2");
	fx_run(&fx);
	fx_client_close(p);
	fx_run(&fx);
	p = fx_connect(&fx, 0, "p", 0);
	fx_send(p, "PUBLISH t x qos=2,1 dup");
	fx_run(&fx);
	fake_net_hold(0, 1, false);
	fx_expect(p, "CONNACK 0 present");
	fx_expect(p, "PUBREC 1");
	fx_expect(s, "PUBLISH t x qos=2,1");
	fx_expect(s, "PUBLISH t y qos=1,2");
	fx_expect(s, "");
	fx_send(p, "PUBREL 1");
	fx_expect(p, "PUBCOMP 1");
	fx_close(&fx);
}
END_TEST

/* Clients that leave while their publishes are on the way, with and without a session that lives on. */
START_TEST(gone_before_the_acknowledgement)
{
	struct fx_client *p, *s;

	fx_open(&fx, 2, &fake_net, NULL);
	s = far_subscriber();
	for (unsigned i = 0; i < 4; i++) {
		fake_net_hold(0, 1, false);
		p = fx_connect(&fx, 0, i & 1 ? "clean" : "durable", i & 1 ? FX_CLEAN : 0);
		fx_run(&fx);
		fake_net_hold(0, 1, true);
		fx_send(p, "PUBLISH t x qos=1,1");
		fx_send(p, "PUBLISH t x qos=2,2");
		if (i & 2)
			fx_send(p, "DISCONNECT");
		fx_run(&fx);
		fx_client_close(p);
		fx_run(&fx);
	}
	fake_net_hold(0, 1, false);
	/* The durable one's QoS 2 id was in use the second time: a repeat. */
	for (unsigned i = 0; i < 7; i++)
		ck_assert_int_eq(strncmp(fx_next(s), "PUBLISH t x", 11), 0);
	fx_expect(s, "");
	ck_assert(list_empty(&fx.w[0].worker->unkept));
	fx_close(&fx);
}
END_TEST

/* So many that are not acknowledged: the client is not read until half of them are. */
START_TEST(too_many_at_a_time)
{
	struct fx_client *p, *s;
	char text[64];

	fx_open(&fx, 2, &fake_net, "session.max_wait", "4", NULL);
	s = far_subscriber();
	p = fx_connected(&fx, 0, "p", FX_CLEAN, false);
	fx_run(&fx);
	fake_net_hold(1, 0, true);
	for (unsigned i = 1; i <= 20; i++) {
		snprintf(text, sizeof text, "PUBLISH t %u qos=1,%u", i, i);
		fx_send(p, text);
	}
	for (unsigned i = 1; i <= 4; i++) {
		snprintf(text, sizeof text, "PUBLISH t %u qos=2,%u", i, i);
		text[12 + (i > 9)] = '\0';
		ck_assert_int_eq(strncmp(fx_next(s), text, strlen(text)), 0);
	}
	fx_expect(s, "");
	fake_net_hold(1, 0, false);
	for (unsigned i = 1; i <= 20; i++) {
		snprintf(text, sizeof text, "PUBACK %u", i);
		fx_expect(p, text);
		if (i > 4)
			ck_assert_int_eq(strncmp(fx_next(s), "PUBLISH t ", 10), 0);
	}
	fx_expect(s, "");
	fx_close(&fx);
}
END_TEST

START_TEST(topics_and_sizes)
{
	static const char *const bad[] = { "PUBLISH a/# x", "PUBLISH + x qos=1,1", "PUBLISH a/b/c/d/e x", "PUBLISH t *5000",
		"PUBLISH t x qos=1,0" };
	struct fx_client *p;

	fx_open(&fx, 1, &fake_net, "mqtt.max_topic_levels", "4", "mqtt.max_packet_size", "4096", NULL);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		p = fx_connected(&fx, 0, "p", FX_CLEAN, false);
		fx_send(p, bad[i]);
		fx_expect(p, "END");
	}
	ck_assert_uint_eq(METRIC_GET(violations), sizeof bad / sizeof bad[0]);
	p = fx_connected(&fx, 0, "p", FX_CLEAN, false);
	fx_send(p, "PUBLISH a/b/c/d x qos=1,1");
	fx_expect(p, "PUBACK 1");
	fx_send(p, "PUBLISH t *4000 qos=1,2");
	fx_expect(p, "PUBACK 2");
	fx_close(&fx);
}
END_TEST

UNIT_MAIN("publish", where_it_is_to_be_kept, each_worker_knows_where, nobody_wants_it,
    acknowledgements_wait_and_keep_their_order, a_neighbour_dies_with_it,
    retained_waits_for_the_store, refused_and_replaced, a_full_disk,
    a_full_disk_and_another_store, a_full_disk_and_gone, the_store_dies, qos_2_repeats, qos_2_outlives_its_connection,
    gone_before_the_acknowledgement, too_many_at_a_time, topics_and_sizes)
