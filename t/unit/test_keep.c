/* SPDX-License-Identifier: Apache-2.0
 * Durability `disk`: who waits for the disk and who does not, what is written and what never is, what is there after a
 * crash, and that it comes in order and under its own packet id. */
#include "t/support/unit.h"

#include <stdio.h>
#include <string.h>

#include "common/ipc/qops.h"
#include "common/metrics/page.h"
#include "t/support/fake_cluster.h"
#include "t/support/worker_fixture.h"
#include "worker/backlog.h"
#include "worker/deliver.h"
#include "worker/flow.h"
#include "worker/keep.h"
#include "worker/move.h"
#include "worker/session.h"
#include "worker/worker.h"

static struct fx fx;

static struct fx_client *
durable(unsigned slot, const char *id, const char *subscribe)
{
	struct fx_client *c = fx_connected(&fx, slot, id, 0, false);

	fx_send(c, subscribe);
	ck_assert_int_eq(strncmp(fx_next(c), "SUBACK 1", 8), 0);
	return c;
}

static uint64_t
qid(unsigned slot, const char *id)
{
	return fx_session(&fx, slot, id)->qid;
}

static unsigned
rows(unsigned slot, const char *id)
{
	return fake_queue_count(&fx.store, qid(slot, id));
}

static void
nothing(struct fx_client *c)
{
	fx_expect(c, "");
}

static void
publish(struct fx_client *p, unsigned from, unsigned to, unsigned qos)
{
	for (unsigned i = from; i <= to; i++) {
		char text[64];

		snprintf(text, sizeof text, "PUBLISH t %u qos=%u,%u", i, qos, i);
		fx_send(p, text);
	}
}

static void
expect_acks(struct fx_client *p, unsigned from, unsigned to)
{
	for (unsigned i = from; i <= to; i++) {
		char text[64];

		snprintf(text, sizeof text, "PUBACK %u", i);
		fx_expect(p, text);
	}
}

/* Messages from..to, each acknowledged at once; their packet ids are id_less smaller. */
static void
expect_messages(struct fx_client *s, unsigned from, unsigned to, const char *dup)
{
	for (unsigned i = from; i <= to; i++) {
		char text[64];

		snprintf(text, sizeof text, "PUBLISH t %u qos=1,%u%s", i, i, dup);
		fx_expect(s, text);
		snprintf(text, sizeof text, "PUBACK %u", i);
		fx_send(s, text);
	}
	nothing(s);
}

START_TEST(an_absent_client_s_message_is_acknowledged_when_it_is_on_the_disk)
{
	struct fx_client *s, *p;

	fx_open(&fx, 1, &fake_net, "session.durability", "disk", NULL);
	s = durable(0, "s", "SUBSCRIBE 1 t 1");
	fx_client_close(s);
	p = fx_connected(&fx, 0, "p", FX_CLEAN, false);
	fx.store.hold_queue = true;
	publish(p, 1, 3, 1);
	nothing(p);
	fx.store.hold_queue = false;
	expect_acks(p, 1, 3);
	ck_assert_uint_eq(rows(0, "s"), 3);
	s = fx_connected(&fx, 0, "s", 0, true);
	expect_messages(s, 1, 3, "");
	ck_assert_uint_eq(rows(0, "s"), 0);
	fx_close(&fx);
}
END_TEST

START_TEST(what_a_client_acknowledges_first_is_never_written)
{
	struct fx_client *s, *p;
	unsigned ops;

	fx_open(&fx, 1, &fake_net, "session.durability", "disk", NULL);
	s = durable(0, "s", "SUBSCRIBE 1 t 1");
	p = fx_connected(&fx, 0, "p", FX_CLEAN, false);
	ops = fx.store.queue_ops;
	publish(p, 1, 1, 1);
	fx_expect(s, "PUBLISH t 1 qos=1,1");
	nothing(p);
	fx_send(s, "PUBACK 1");
	fx_expect(p, "PUBACK 1");
	fx_pass_ms(&fx, 100);
	ck_assert_uint_eq(fx.store.queue_ops, ops);
	fx_close(&fx);
}
END_TEST

START_TEST(a_client_that_is_late_does_not_hold_up_the_publisher)
{
	struct fx_client *s, *p;

	fx_open(&fx, 1, &fake_net, "session.durability", "disk", NULL);
	s = durable(0, "s", "SUBSCRIBE 1 t 1");
	p = fx_connected(&fx, 0, "p", FX_CLEAN, false);
	publish(p, 1, 1, 1);
	fx_expect(s, "PUBLISH t 1 qos=1,1");
	nothing(p);
	fx_pass_ms(&fx, 6);
	fx_expect(p, "PUBACK 1");
	ck_assert_uint_eq(rows(0, "s"), 1);
	fx_send(s, "PUBACK 1");
	fx_run(&fx);
	ck_assert_uint_eq(rows(0, "s"), 0);
	fx_close(&fx);
}
END_TEST

/* It goes away before it has acknowledged: then it is written at once. */
START_TEST(a_client_that_leaves)
{
	struct fx_client *s, *p;

	fx_open(&fx, 1, &fake_net, "session.durability", "disk", NULL);
	s = durable(0, "s", "SUBSCRIBE 1 t 1");
	p = fx_connected(&fx, 0, "p", FX_CLEAN, false);
	publish(p, 1, 1, 1);
	fx_expect(s, "PUBLISH t 1 qos=1,1");
	fx_client_close(s);
	fx_expect(p, "PUBACK 1");
	ck_assert_uint_eq(rows(0, "s"), 1);
	s = fx_connected(&fx, 0, "s", 0, true);
	expect_messages(s, 1, 1, " dup");
	ck_assert_uint_eq(rows(0, "s"), 0);
	fx_close(&fx);
}
END_TEST

START_TEST(clean_sessions_wait_for_nothing)
{
	struct fx_client *s, *p;

	fx_open(&fx, 1, &fake_net, "session.durability", "disk", NULL);
	s = fx_connected(&fx, 0, "s", FX_CLEAN, false);
	fx_send(s, "SUBSCRIBE 1 t 1");
	fx_expect(s, "SUBACK 1 1");
	p = fx_connected(&fx, 0, "p", FX_CLEAN, false);
	fx.store.hold_queue = true;
	publish(p, 1, 2, 1);
	expect_acks(p, 1, 2);
	fx_close(&fx);
}
END_TEST

/* Another worker is about to take what came here of its row: nothing of it is put, and nobody told that it is kept, until
 * that one is given up, or this one is told that it is not the owner. */
START_TEST(what_another_one_may_have_is_put_aside)
{
	for (unsigned how = 0; how < 3; how++) {
		struct fx_client *s, *p;
		struct worker *w;

		fx_open(&fx, 2, &fake_net, "session.durability", "disk", NULL);
		s = durable(0, "s", "SUBSCRIBE 1 t 1");
		fx_send(s, "DISCONNECT");
		fx_expect(s, "END");
		w = fx.w[0].worker;
		move_claimed(w, fx_session(&fx, 0, "s"));
		p = fx_connected(&fx, 0, "p", 1, false);
		publish(p, 1, 3, 1);
		fx_run(&fx);
		nothing(p);
		ck_assert_uint_eq(rows(0, "s"), 0);
		if (how == 0) {
			fx_pass_ms(&fx, 10100);
		} else if (how == 1) {
			s = fx_connected(&fx, 1, "s", 0, true);
		} else {
			fx_session(&fx, 0, "s")->flags |= SESSION_DISOWNED;
			session_end(w, fx_session(&fx, 0, "s"));
		}
		fx_run(&fx);
		fx_expect(p, "PUBACK 1");
		fx_expect(p, "PUBACK 2");
		fx_expect(p, "PUBACK 3");
		if (how == 0)
			ck_assert_uint_eq(rows(0, "s"), 3);
		fx_close(&fx);
	}
}
END_TEST

START_TEST(qos_2_goes_out_when_it_is_on_the_disk)
{
	struct fx_client *s, *p;

	fx_open(&fx, 1, &fake_net, "session.durability", "disk", NULL);
	s = durable(0, "s", "SUBSCRIBE 1 t 2");
	p = fx_connected(&fx, 0, "p", FX_CLEAN, false);
	fx.store.hold_queue = true;
	publish(p, 1, 1, 2);
	nothing(s);
	nothing(p);
	fx.store.hold_queue = false;
	fx_expect(p, "PUBREC 1");
	fx_expect(s, "PUBLISH t 1 qos=2,1");
	/* PUBREL goes out when the disk knows that PUBREC came. */
	fx.store.hold_queue = true;
	fx_send(s, "PUBREC 1");
	nothing(s);
	fx_send(s, "PUBREC 1");
	nothing(s);
	fx.store.hold_queue = false;
	fx_expect(s, "PUBREL 1");
	ck_assert_str_eq(fake_queue_row(&fx.store, qid(0, "s"), FLOW_FIRST), "released");
	fx_send(s, "PUBCOMP 1");
	fx_run(&fx);
	ck_assert_uint_eq(rows(0, "s"), 0);
	fx_close(&fx);
}
END_TEST

/* The worker dies: the same ids come again, and what was released is not published again. [MQTT-4.4.0-1] */
START_TEST(after_a_crash_the_ids_are_the_same)
{
	struct fx_client *s, *p;

	fx_open(&fx, 1, &fake_net, "session.durability", "disk", NULL);
	s = durable(0, "s", "SUBSCRIBE 1 t 2");
	p = fx_connected(&fx, 0, "p", FX_CLEAN, false);
	publish(p, 1, 4, 2);
	for (int i = 0; i < 4; i++)
		(void)fx_next(p);
	fx_expect(s, "PUBLISH t 1 qos=2,1");
	fx_expect(s, "PUBLISH t 2 qos=2,2");
	fx_expect(s, "PUBLISH t 3 qos=2,3");
	fx_expect(s, "PUBLISH t 4 qos=2,4");
	fx_send(s, "PUBREC 1");
	fx_expect(s, "PUBREL 1");
	fx_send(s, "PUBREC 3");
	fx_expect(s, "PUBREL 3");
	fx_send(s, "PUBCOMP 3");
	fx_run(&fx);
	fx_worker_kill(&fx, 0);
	fx_worker_start(&fx, 0);
	fx_run(&fx);
	s = fx_connected(&fx, 0, "s", 0, true);
	fx_expect(s, "PUBREL 1");
	fx_expect(s, "PUBLISH t 2 qos=2,2 dup");
	fx_expect(s, "PUBLISH t 4 qos=2,4 dup");
	nothing(s);
	fx_send(s, "PUBCOMP 1");
	fx_send(s, "PUBREC 2");
	fx_expect(s, "PUBREL 2");
	fx_send(s, "PUBCOMP 2");
	fx_send(s, "PUBREC 4");
	fx_expect(s, "PUBREL 4");
	fx_send(s, "PUBCOMP 4");
	fx_run(&fx);
	ck_assert_uint_eq(rows(0, "s"), 0);
	/* What comes now has an id that the client cannot know. */
	p = fx_connected(&fx, 0, "p", FX_CLEAN, false);
	publish(p, 5, 5, 2);
	fx_expect(s, "PUBLISH t 5 qos=2,*");
	for (int id = 1; id <= 4; id++) {
		char text[32];

		snprintf(text, sizeof text, "PUBLISH t 5 qos=2,%d", id);
		ck_assert_str_ne(s->text, text);
	}
	fx_close(&fx);
}
END_TEST

/* Beyond a head in memory what waits is on the disk alone. */
START_TEST(a_long_queue_is_on_the_disk)
{
	const unsigned all = 300;
	struct fx_client *s, *p;

	fx_open(&fx, 1, &fake_net, "session.durability", "disk", NULL);
	s = durable(0, "s", "SUBSCRIBE 1 t 1");
	fx_client_close(s);
	p = fx_connected(&fx, 0, "p", FX_CLEAN, false);
	publish(p, 1, all, 1);
	expect_acks(p, 1, all);
	ck_assert_uint_eq(rows(0, "s"), all);
	ck_assert_uint_le(flow_queued(fx_session(&fx, 0, "s")->flow), BACKLOG_HEAD_COUNT);
	ck_assert_uint_eq(METRIC_GET(queued), all);
	fx.store.rows_a_get = 7;
	s = fx_connected(&fx, 0, "s", 0, true);
	/* While it is read, more comes. */
	publish(p, all + 1, all + 5, 1);
	expect_acks(p, all + 1, all + 5);
	expect_messages(s, 1, all + 5, "");
	ck_assert_uint_eq(rows(0, "s"), 0);
	ck_assert_uint_eq(METRIC_GET(queued), 0);
	ck_assert_uint_eq(METRIC_GET(queued_bytes), 0);
	/* And all is as it was before: nothing is written for a client that is quick. */
	publish(p, all + 6, all + 6, 1);
	expect_messages(s, all + 6, all + 6, "");
	ck_assert_ptr_null(fx_session(&fx, 0, "s")->flow->backlog);
	fx_close(&fx);
}
END_TEST

START_TEST(a_long_queue_after_a_crash)
{
	const unsigned all = 200;
	struct fx_client *s, *p;
	struct backlog_state b;

	fx_open(&fx, 1, &fake_net, "session.durability", "disk", NULL);
	s = durable(0, "s", "SUBSCRIBE 1 t 1");
	fx_client_close(s);
	p = fx_connected(&fx, 0, "p", FX_CLEAN, false);
	publish(p, 1, all, 1);
	expect_acks(p, 1, all);
	fx_worker_kill(&fx, 0);
	fx_worker_start(&fx, 0);
	fx_run(&fx);
	ck_assert(backlog_get(fx_session(&fx, 0, "s")->flow, &b));
	ck_assert_uint_eq(b.to - b.from + 1, all);
	p = fx_connected(&fx, 0, "p", FX_CLEAN, false);
	fx_send(p, "PUBLISH t new qos=1,1");
	fx_expect(p, "PUBACK 1");
	s = fx_connected(&fx, 0, "s", 0, true);
	for (unsigned i = 1; i <= all; i++) {
		char text[64];

		snprintf(text, sizeof text, "PUBLISH t %u qos=1,%u dup", i, i);
		fx_expect(s, text);
		snprintf(text, sizeof text, "PUBACK %u", i);
		fx_send(s, text);
	}
	fx_expect(s, "PUBLISH t new qos=1,*");
	fx_close(&fx);
}
END_TEST

START_TEST(a_full_queue_drops_the_oldest)
{
	struct fx_client *s, *p;

	fx_open(&fx, 1, &fake_net, "session.durability", "disk", "session.buffer_limit", "100", NULL);
	s = durable(0, "s", "SUBSCRIBE 1 t 1");
	fx_client_close(s);
	p = fx_connected(&fx, 0, "p", FX_CLEAN, false);
	publish(p, 1, 250, 1);
	expect_acks(p, 1, 250);
	ck_assert_uint_eq(METRIC_GET(dropped_queue_full), 150);
	ck_assert_uint_eq(METRIC_GET(queued), 100);
	ck_assert_uint_eq(rows(0, "s"), 100);
	s = fx_connected(&fx, 0, "s", 0, true);
	expect_messages(s, 151, 250, "");
	ck_assert_uint_eq(rows(0, "s"), 0);
	fx_close(&fx);
}
END_TEST

/* Its queue and what it holds go along; the new owner goes on with the rows. */
START_TEST(a_session_that_moves)
{
	const unsigned all = 150;
	struct fx_client *s, *p;

	fx_open(&fx, 2, &fake_net, "session.durability", "disk", NULL);
	s = durable(0, "s", "SUBSCRIBE 1 t 1");
	p = fx_connected(&fx, 1, "p", FX_CLEAN, false);
	publish(p, 1, 5, 1);
	for (unsigned i = 1; i <= 5; i++)
		fx_expect(s, "PUBLISH t *");
	fx_client_close(s);
	publish(p, 6, all, 1);
	expect_acks(p, 1, all);
	ck_assert_uint_eq(rows(0, "s"), all);
	s = fx_connected(&fx, 1, "s", 0, true);
	for (unsigned i = 1; i <= 5; i++) {
		char text[64];

		snprintf(text, sizeof text, "PUBLISH t %u qos=1,%u dup", i, i);
		fx_expect(s, text);
		snprintf(text, sizeof text, "PUBACK %u", i);
		fx_send(s, text);
	}
	expect_messages(s, 6, all, "");
	ck_assert_uint_eq(rows(1, "s"), 0);
	fx_close(&fx);
}
END_TEST

START_TEST(a_publisher_at_a_neighbour_waits_too)
{
	struct fx_client *s, *p;

	fx_open(&fx, 2, &fake_net, "session.durability", "disk", NULL);
	s = durable(0, "s", "SUBSCRIBE 1 t 1");
	fx_client_close(s);
	p = fx_connected(&fx, 1, "p", FX_CLEAN, false);
	fx.store.hold_queue = true;
	publish(p, 1, 3, 1);
	nothing(p);
	fx.store.hold_queue = false;
	expect_acks(p, 1, 3);
	ck_assert_uint_eq(rows(0, "s"), 3);
	fx_close(&fx);
}
END_TEST

/* The store dies with changes in hand: they are sent again, nobody notices but by waiting. */
START_TEST(the_store_dies)
{
	struct fx_client *s, *p;

	fx_open(&fx, 1, &fake_net, "session.durability", "disk", NULL);
	s = durable(0, "s", "SUBSCRIBE 1 t 1");
	fx_client_close(s);
	p = fx_connected(&fx, 0, "p", FX_CLEAN, false);
	fx.store.hold_queue = true;
	publish(p, 1, 3, 1);
	nothing(p);
	fx_store_kill(&fx);
	publish(p, 4, 6, 1);
	nothing(p);
	fx.store.hold_queue = false;
	fx_store_start(&fx);
	expect_acks(p, 1, 6);
	ck_assert_uint_eq(rows(0, "s"), 6);
	s = fx_connected(&fx, 0, "s", 0, true);
	expect_messages(s, 1, 6, "");
	fx_close(&fx);
}
END_TEST

/* Messages for which nobody waits go the same way behind those on the disk: in order. */
START_TEST(memory_messages_behind_a_backlog_keep_their_order)
{
	struct fx_client *s, *p;

	fx_open(&fx, 1, &fake_net, "session.durability", "disk", NULL);
	s = durable(0, "s", "SUBSCRIBE 1 t 1");
	fx_client_close(s);
	p = fx_connected(&fx, 0, "p", FX_CLEAN, false);
	publish(p, 1, 100, 1);
	expect_acks(p, 1, 100);
	fx_set(&fx, "session.durability", "memory");
	fx.store.hold_queue = true;
	publish(p, 101, 110, 1);
	expect_acks(p, 101, 110);
	fx.store.hold_queue = false;
	s = fx_connected(&fx, 0, "s", 0, true);
	expect_messages(s, 1, 110, "");
	ck_assert_uint_eq(rows(0, "s"), 0);
	fx_close(&fx);
}
END_TEST

/* One message for many: each is closed by what comes first for it. */
START_TEST(many_recipients)
{
	struct fx_client *s[3], *p;

	fx_open(&fx, 1, &fake_net, "session.durability", "disk", NULL);
	s[0] = durable(0, "s0", "SUBSCRIBE 1 t 1");
	s[1] = durable(0, "s1", "SUBSCRIBE 1 t 1");
	s[2] = durable(0, "s2", "SUBSCRIBE 1 t 2");
	fx_client_close(s[1]);
	p = fx_connected(&fx, 0, "p", FX_CLEAN, false);
	publish(p, 1, 1, 1);
	fx_expect(s[0], "PUBLISH t 1 qos=1,1");
	fx_expect(s[2], "PUBLISH t 1 qos=1,1");
	ck_assert_uint_eq(rows(0, "s1"), 1);
	nothing(p);
	fx_send(s[0], "PUBACK 1");
	nothing(p);
	fx_send(s[2], "PUBACK 1");
	fx_expect(p, "PUBACK 1");
	ck_assert_uint_eq(rows(0, "s0") + rows(0, "s2"), 0);
	fx_close(&fx);
}
END_TEST

/* A session that ends takes its rows along, and nobody waits for it any more. */
START_TEST(a_session_that_ends)
{
	struct fx_client *s, *p;
	uint64_t id;

	fx_open(&fx, 1, &fake_net, "session.durability", "disk", NULL);
	s = durable(0, "s", "SUBSCRIBE 1 t 1");
	fx_client_close(s);
	id = qid(0, "s");
	p = fx_connected(&fx, 0, "p", FX_CLEAN, false);
	publish(p, 1, 2, 1);
	expect_acks(p, 1, 2);
	fx.store.hold_queue = true;
	publish(p, 3, 3, 1);
	nothing(p);
	s = fx_connected(&fx, 0, "s", FX_CLEAN, false);
	fx_expect(p, "PUBACK 3");
	fx.store.hold_queue = false;
	fx_run(&fx);
	ck_assert_uint_eq(fake_queue_count(&fx.store, id), 0);
	fx_close(&fx);
}
END_TEST

/* So does what came in the turn in which it ends, to a queue that is on the disk alone. */
START_TEST(a_session_that_ends_at_once)
{
	const struct cluster_pub m = { .topic = SLICE_LIT("t"), .payload = SLICE_LIT("last"), .qos = 1, .disk = true };
	struct worker *w;
	struct fx_client *s, *p;
	struct keep *keep;
	uint64_t id;

	fx_open(&fx, 1, &fake_net, "session.durability", "disk", NULL);
	w = fx.w[0].worker;
	s = durable(0, "s", "SUBSCRIBE 1 t 1");
	fx_client_close(s);
	id = qid(0, "s");
	p = fx_connected(&fx, 0, "p", FX_CLEAN, false);
	publish(p, 1, BACKLOG_HEAD_COUNT + 1, 1);
	expect_acks(p, 1, BACKLOG_HEAD_COUNT + 1);
	ck_assert_ptr_nonnull(fx_session(&fx, 0, "s")->flow->backlog);
	(void)deliver(w, &m, w->slot, &keep);
	session_end(w, fx_session(&fx, 0, "s"));
	fx_run(&fx);
	ck_assert_uint_eq(fake_queue_count(&fx.store, id), 0);
	fx_close(&fx);
}
END_TEST

UNIT_MAIN("keep", an_absent_client_s_message_is_acknowledged_when_it_is_on_the_disk,
    what_a_client_acknowledges_first_is_never_written, a_client_that_is_late_does_not_hold_up_the_publisher,
    a_client_that_leaves, clean_sessions_wait_for_nothing, what_another_one_may_have_is_put_aside, qos_2_goes_out_when_it_is_on_the_disk,
    after_a_crash_the_ids_are_the_same, a_long_queue_is_on_the_disk, a_long_queue_after_a_crash,
    a_full_queue_drops_the_oldest, a_session_that_moves, a_publisher_at_a_neighbour_waits_too, the_store_dies,
    memory_messages_behind_a_backlog_keep_their_order, many_recipients, a_session_that_ends,
    a_session_that_ends_at_once)
