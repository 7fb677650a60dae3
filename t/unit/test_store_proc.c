/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "common/admin/words.h"
#include "common/base/mem.h"
#include "t/support/store_rig.h"
#include "t/support/unit.h"

static void
session_put(struct rig *r, unsigned slot, uint64_t seq, const char *id)
{
	CHAN_SEND(r->worker[slot].chan, SESSION_PUT, session_put, .seq = seq, .client_id = slice_str(id),
	    .account = SLICE_LIT(""));
}

static void
sub_put(struct rig *r, unsigned slot, uint64_t seq, const char *id, const char *filter)
{
	CHAN_SEND(r->worker[slot].chan, SUB_PUT, sub_put, .seq = seq, .client_id = slice_str(id), .qos = 1,
	    .filter = slice_str(filter));
}

static void
retain(struct rig *r, unsigned slot, uint64_t seq, const char *topic, const char *payload)
{
	CHAN_SEND(r->worker[slot].chan, RETAIN, retain, .seq = seq, .qos = 1, .topic = slice_str(topic),
	    .payload = slice_str(payload));
}

static void
give_up(struct rig *r, unsigned slot, const char *id, uint64_t stamp)
{
	CHAN_SEND(r->worker[slot].chan, GIVE_UP, client, .stamp = stamp, .client_id = slice_str(id));
	(void)rig_open(r, slot, OPEN_ASSIGNED, "there and back", NULL, NULL);
}

static void
own(struct rig *r, unsigned slot, const char *id, bool durable, uint64_t stamp)
{
	CHAN_SEND(r->worker[slot].chan, OWN, own, .flags = OWN_HERE | (durable ? OWN_DURABLE : 0), .stamp = stamp,
	    .client_id = slice_str(id), .account = SLICE_LIT(""));
}

static void
start(struct rig *r, unsigned slots)
{
	rig_init(r, slots);
	rig_start(r, NULL);
	rig_wait_ready(r);
	for (unsigned i = 0; i < slots; i++)
		rig_worker(r, i, 0, true);
	for (unsigned i = 0; i < slots; i++)
		mem_free(rig_wait(&r->worker[i], IPC_LOADED));
}

START_TEST(starts_and_stops)
{
	struct rig r;

	start(&r, 1);
	ck_assert_int_eq(rig_stop(&r), 0);
	rig_fini(&r);
}
END_TEST

START_TEST(ids_have_one_owner)
{
	struct rig_opened o;
	struct rig r;

	start(&r, 2);
	o = rig_open(&r, 0, OPEN_CLEAN, "c", NULL, NULL);
	ck_assert_int_eq(o.code, 0);
	ck_assert_uint_eq(o.prev_slot, OPEN_NOBODY);
	o = rig_open(&r, 1, OPEN_CLEAN, "c", NULL, NULL);
	ck_assert_uint_eq(o.prev_slot, 0);
	/* No longer the owner: gives up its claim alone. */
	give_up(&r, 0, "c", o.prev_stamp);
	o = rig_open(&r, 0, OPEN_CLEAN, "c", NULL, NULL);
	ck_assert_uint_eq(o.prev_slot, 1);
	give_up(&r, 1, "c", o.prev_stamp);
	give_up(&r, 0, "c", o.stamp);
	o = rig_open(&r, 0, OPEN_CLEAN, "c", NULL, NULL);
	ck_assert_uint_eq(o.prev_slot, OPEN_NOBODY);
	rig_worker_gone(&r, 0);
	o = rig_open(&r, 1, OPEN_CLEAN, "d", NULL, NULL);
	rig_worker(&r, 0, 0, true);
	mem_free(rig_wait(&r.worker[0], IPC_LOADED));
	o = rig_open(&r, 1, OPEN_CLEAN, "c", NULL, NULL);
	ck_assert_uint_eq(o.prev_slot, OPEN_NOBODY);
	rig_fini(&r);
}
END_TEST

START_TEST(rows_of_a_dead_worker_go_to_its_successor)
{
	struct ipc_session_row row;
	struct rig_opened o;
	struct ipc_opened p;
	struct rig_msg *m;
	struct rig r;

	start(&r, 2);
	o = rig_open(&r, 0, 0, "d", NULL, NULL);
	session_put(&r, 0, 1, "d");
	sub_put(&r, 0, 2, "d", "a/b");
	sub_put(&r, 0, 3, "d", "a/#");
	ck_assert_int_eq(rig_wait_done(&r, 0, 3), 0);
	rig_worker_gone(&r, 0);
	rig_worker(&r, 0, 0, true);
	mem_free(rig_wait(&r.worker[0], IPC_LOADED));
	m = rig_peek(&r.worker[0], IPC_SESSION_ROW);
	ck_assert_ptr_nonnull(m);
	ck_assert_int_eq(ipc_take_session_row(m->payload, &row), 0);
	ck_assert(slice_eq(row.client_id, SLICE_LIT("d")));
	ck_assert_uint_gt(row.subs.len, 0);
	o = rig_open(&r, 1, 0, "d", NULL, NULL);
	ck_assert_uint_eq(o.prev_slot, 0);
	ck_assert(o.durable);
	give_up(&r, 0, "d", o.prev_stamp);
	/* The owner died and another one asks before there is a successor, for which the neighbours hold messages: it is
	 * taken from there. */
	rig_worker_gone(&r, 1);
	CHAN_SEND(r.worker[0].chan, OPEN, open, .req = 7, .client_id = SLICE_LIT("d"));
	rig_worker(&r, 1, 0, true);
	m = rig_wait(&r.worker[0], IPC_OPENED);
	ck_assert_int_eq(ipc_take_opened(m->payload, &p), 0);
	ck_assert_uint_eq(p.prev_slot, 1);
	ck_assert_uint_eq(p.subs.len, 0);
	mem_free(m);
	mem_free(rig_wait(&r.worker[1], IPC_SESSION_ROW));      /* it comes on another channel */
	rig_fini(&r);
}
END_TEST

START_TEST(a_clean_owner_deletes_the_row)
{
	struct rig_opened o;
	struct rig r;

	start(&r, 1);
	o = rig_open(&r, 0, 0, "d", NULL, NULL);
	session_put(&r, 0, 1, "d");
	sub_put(&r, 0, 2, "d", "x");
	ck_assert_int_eq(rig_wait_done(&r, 0, 2), 0);
	rig_kill(&r);
	rig_start(&r, NULL);
	rig_wait_ready(&r);
	/* Its channel comes with another incarnation, which opens before anything is loaded. */
	rig_worker(&r, 0, 0, false);
	CHAN_SEND(r.worker[0].chan, OPEN, open, .req = 1, .flags = OPEN_CLEAN, .client_id = SLICE_LIT("d"));
	chan_send(r.worker[0].chan, IPC_OWN_END);
	mem_free(rig_wait(&r.worker[0], IPC_LOADED));
	ck_assert_ptr_null(rig_peek(&r.worker[0], IPC_SESSION_ROW));
	mem_free(rig_wait(&r.worker[0], IPC_OPENED));
	/* The row is the new owner's to delete, before it tells the client. */
	CHAN_SEND(r.worker[0].chan, SESSION_DEL, session_del, .seq = 1, .client_id = SLICE_LIT("d"));
	ck_assert_int_eq(rig_wait_done(&r, 0, 1), 0);
	o = rig_open(&r, 0, 0, "d", NULL, NULL);
	ck_assert(!o.durable);
	rig_fini(&r);
}
END_TEST

/* The previous owner died before the session was taken from it: its successor gets the row, by the number that the
 * taker knows. */
START_TEST(a_move_that_broke_begins_again_at_the_successor)
{
	struct ipc_session_row row;
	struct ipc_client gone;
	struct ipc_opened p;
	struct rig_opened o;
	struct rig_msg *m;
	struct rig r;

	start(&r, 2);
	o = rig_open(&r, 0, 0, "d", NULL, NULL);
	session_put(&r, 0, 1, "d");
	sub_put(&r, 0, 2, "d", "x");
	ck_assert_int_eq(rig_wait_done(&r, 0, 2), 0);
	o = rig_open(&r, 1, 0, "d", NULL, NULL);
	ck_assert_uint_eq(o.prev_slot, 0);
	rig_worker_gone(&r, 0);
	CHAN_SEND(r.worker[1].chan, OPEN, open, .req = 7, .flags = OPEN_RELOAD, .stamp = o.stamp, .client_id = SLICE_LIT("d"));
	rig_worker(&r, 0, 0, true);
	m = rig_wait(&r.worker[1], IPC_OPENED);
	ck_assert_int_eq(ipc_take_opened(m->payload, &p), 0);
	ck_assert_uint_eq(p.prev_slot, 0);
	ck_assert_uint_eq(p.prev_stamp, o.prev_stamp);
	mem_free(m);
	mem_free(rig_wait(&r.worker[0], IPC_LOADED));
	m = rig_wait(&r.worker[0], IPC_SESSION_ROW);
	ck_assert_int_eq(ipc_take_session_row(m->payload, &row), 0);
	ck_assert_uint_eq(row.stamp, o.prev_stamp);
	mem_free(m);
	/* The taker had it all the same: the successor has to forget it. */
	give_up(&r, 1, "d", o.prev_stamp);
	m = rig_wait(&r.worker[0], IPC_DISOWN);
	ck_assert_int_eq(ipc_take_client(m->payload, &gone), 0);
	ck_assert_uint_eq(gone.stamp, o.prev_stamp);
	mem_free(m);
	rig_fini(&r);
}
END_TEST

START_TEST(assigned_ids_are_not_recorded)
{
	struct rig_opened o;
	struct rig r;

	start(&r, 2);
	o = rig_open(&r, 0, OPEN_CLEAN | OPEN_ASSIGNED, "auto-1", NULL, NULL);
	ck_assert(o.code == 0 && o.prev_slot == OPEN_NOBODY);
	o = rig_open(&r, 1, OPEN_CLEAN, "auto-1", NULL, NULL);
	ck_assert(o.code == 0 && o.prev_slot == OPEN_NOBODY);
	rig_fini(&r);
}
END_TEST

/* A read that names a write waits for it, also when it comes from another worker; one that can never come is not
 * waited for. */
START_TEST(reads_wait_for_the_writes_they_name)
{
	struct ipc_retain_rows p;
	struct buf min = { 0 };
	struct rig_msg *m;
	struct rig r;

	start(&r, 2);
	buf_put_le16(&min, 1);
	buf_put_le64(&min, r.worker[1].epoch);
	buf_put_le64(&min, 2);
	CHAN_SEND(r.worker[0].chan, RETAIN_GET, retain_get, .req = 1, .max_bytes = 1000, .filter = SLICE_LIT("#"),
	    .min = buf_slice(&min));
	retain(&r, 1, 1, "a", "x");
	ck_assert_int_eq(rig_wait_done(&r, 1, 1), 0);
	(void)rig_open(&r, 0, OPEN_CLEAN, "c", NULL, NULL);
	ck_assert_ptr_null(rig_peek(&r.worker[0], IPC_RETAIN_ROWS));
	retain(&r, 1, 2, "b", "x");
	m = rig_wait(&r.worker[0], IPC_RETAIN_ROWS);
	ck_assert_int_eq(ipc_take_retain_rows(m->payload, &p), 0);
	ck_assert_uint_eq(p.more, 0);
	ck_assert_uint_eq(p.rows.len, 2 * (1 + 8 + 4 + 1 + 4 + 4 + 1));
	mem_free(m);
	/* Without a filter nothing is read: it is told when the writes are applied. */
	CHAN_SEND(r.worker[0].chan, RETAIN_GET, retain_get, .req = 3, .min = buf_slice(&min));
	m = rig_wait(&r.worker[0], IPC_RETAIN_ROWS);
	ck_assert_int_eq(ipc_take_retain_rows(m->payload, &p), 0);
	ck_assert(p.req == 3 && p.code == 0 && p.more == 0 && p.rows.len == 0);
	mem_free(m);
	min.base[min.start + 10] = 9;
	CHAN_SEND(r.worker[0].chan, RETAIN_GET, retain_get, .req = 2, .max_bytes = 1000, .filter = SLICE_LIT("#"),
	    .min = buf_slice(&min));
	(void)rig_open(&r, 0, OPEN_CLEAN, "c", NULL, NULL);
	ck_assert_ptr_null(rig_peek(&r.worker[0], IPC_RETAIN_ROWS));
	rig_worker_gone(&r, 1);
	mem_free(rig_wait(&r.worker[0], IPC_RETAIN_ROWS));
	buf_fini(&min);
	rig_fini(&r);
}
END_TEST

/* 30,000 retained messages are read in full while others are served between the slices. */
START_TEST(a_long_read_stalls_nobody)
{
	enum { COUNT = 30000 };
	unsigned opens = 0;
	char topic[32], id[32];
	struct rig r;

	start(&r, 2);
	for (unsigned i = 0; i < COUNT; i++) {
		snprintf(topic, sizeof topic, "dev/%u/state", i);
		retain(&r, 0, i + 1, topic, "payload");
	}
	ck_assert_int_eq(rig_wait_done(&r, 0, COUNT), 0);
	/* A dozen turns of a millisecond, and an OPEN answered in each: unless this process does not get to run, so try. */
	for (unsigned tries = 0; tries < 10 && opens < 4; tries++) {
		opens = 0;
		CHAN_SEND(r.worker[0].chan, RETAIN_GET, retain_get, .req = 1, .max_bytes = 32 << 20,
		    .filter = SLICE_LIT("#"));
		while (rig_peek(&r.worker[0], IPC_RETAIN_ROWS) == NULL) {
			snprintf(id, sizeof id, "c%u", opens++);
			ck_assert_int_eq(rig_open(&r, 1, OPEN_CLEAN, id, NULL, NULL).code, 0);
		}
		rig_drop(&r.worker[0]);
	}
	ck_assert_uint_ge(opens, 4);
	ck_assert_uint_eq(rig_retained(&r, 1, "dev/+/state", 65536), COUNT);
	ck_assert_uint_eq(rig_retained(&r, 1, "+/77/#", 65536), 1);
	rig_fini(&r);
}
END_TEST

/* The numbering: everything unanswered is sent again, and is applied once. */
START_TEST(writes_are_applied_once_over_a_kill)
{
	enum { COUNT = 2000 };
	uint64_t seq = 0;
	struct ipc_done p;
	struct rig_msg *m;
	uint64_t answered;
	uint64_t epoch;
	char topic[32];
	struct rig r;

	start(&r, 1);
	epoch = r.worker[0].epoch;
	for (unsigned round = 0; round < 4; round++) {
		for (unsigned i = 0; i < COUNT; i++) {
			/* The last of each pair deletes what the first has put, but for one in ten. */
			snprintf(topic, sizeof topic, "t/%u", round * COUNT + i - i % 2);
			retain(&r, 0, ++seq, topic, i % 2 == 0 || i % 20 == 1 ? "x" : "");
		}
		/* Only the first answer is heard, and not that to the last write: it was on its way when the store died. */
		m = rig_wait(&r.worker[0], IPC_DONE);
		ck_assert_int_eq(ipc_take_done(m->payload, &p), 0);
		ck_assert_uint_eq(p.code, 0);
		answered = p.seq < seq ? p.seq : seq - 1;
		mem_free(m);
		rig_kill(&r);
		rig_start(&r, NULL);
		rig_wait_ready(&r);
		rig_worker(&r, 0, epoch, true);
		for (uint64_t s = answered + 1; s <= seq; s++) {
			unsigned i = (unsigned)(s - 1);

			snprintf(topic, sizeof topic, "t/%u", i - i % 2);
			retain(&r, 0, s, topic, i % 2 == 0 || i % COUNT % 20 == 1 ? "x" : "");
		}
		ck_assert_int_eq(rig_wait_done(&r, 0, seq), 0);
		mem_free(rig_wait(&r.worker[0], IPC_LOADED));
	}
	ck_assert_uint_eq(rig_retained(&r, 0, "t/#", 1000), 4 * COUNT / 20);
	ck_assert_uint_eq(rig_retained(&r, 0, "#", 1 << 20), 4 * COUNT / 20);
	rig_fini(&r);
}
END_TEST

/* A refusal is an answer as well: the next store knows its number, and gives it again. */
START_TEST(a_refusal_outlives_the_store)
{
	uint64_t e0, e1;
	struct rig r;

	start(&r, 2);
	e0 = r.worker[0].epoch;
	e1 = r.worker[1].epoch;
	(void)rig_open(&r, 1, 0, "c", NULL, NULL);
	session_put(&r, 0, 1, "c");
	ck_assert_int_eq(rig_wait_done(&r, 0, 1), FB_EOWNER);
	rig_kill(&r);
	rig_start(&r, NULL);
	rig_wait_ready(&r);
	rig_worker(&r, 0, e0, true);
	rig_worker(&r, 1, e1, true);
	(void)rig_open(&r, 0, 0, "c", NULL, NULL);
	session_put(&r, 0, 1, "c");
	ck_assert_int_eq(rig_wait_done(&r, 0, 1), FB_EOWNER);
	rig_fini(&r);
}
END_TEST

START_TEST(a_living_worker_keeps_what_it_names)
{
	struct rig_opened o;
	struct rig r;
	uint64_t e0, e1;

	start(&r, 2);
	e0 = r.worker[0].epoch;
	e1 = r.worker[1].epoch;
	o = rig_open(&r, 0, 0, "moved", NULL, NULL);
	session_put(&r, 0, 1, "moved");
	ck_assert_int_eq(rig_wait_done(&r, 0, 1), 0);
	o = rig_open(&r, 0, 0, "stays", NULL, NULL);
	session_put(&r, 0, 2, "stays");
	ck_assert_int_eq(rig_wait_done(&r, 0, 2), 0);
	o = rig_open(&r, 1, 0, "moved", NULL, NULL);
	ck_assert_uint_eq(o.prev_slot, 0);
	rig_kill(&r);
	rig_start(&r, NULL);
	rig_wait_ready(&r);
	/* Worker 0 has lost it to 1, whose channel comes late: the row's hint says 0 all the same. */
	rig_worker(&r, 0, e0, false);
	own(&r, 0, "clean", false, 1);
	own(&r, 0, "stays", true, 2);
	chan_send(r.worker[0].chan, IPC_OWN_END);
	for (int i = 0; i < 20; i++)
		(void)loop_turn(r.loop, false);
	ck_assert_ptr_null(rig_peek(&r.worker[0], IPC_LOADED));
	rig_worker(&r, 1, e1, false);
	own(&r, 1, "moved", true, 3);
	chan_send(r.worker[1].chan, IPC_OWN_END);
	mem_free(rig_wait(&r.worker[0], IPC_LOADED));
	mem_free(rig_wait(&r.worker[1], IPC_LOADED));
	ck_assert_ptr_null(rig_peek(&r.worker[0], IPC_SESSION_ROW));
	ck_assert_ptr_null(rig_peek(&r.worker[1], IPC_SESSION_ROW));
	o = rig_open(&r, 0, 0, "moved", NULL, NULL);
	ck_assert_uint_eq(o.prev_slot, 1);
	o = rig_open(&r, 1, OPEN_CLEAN, "clean", NULL, NULL);
	ck_assert_uint_eq(o.prev_slot, 0);
	rig_fini(&r);
}
END_TEST

static void
again_without(struct rig *r, uint64_t e0)
{
	rig_kill(r);
	rig_start(r, NULL);
	rig_wait_ready(r);
	rig_worker(r, 0, e0, false);
}

static uint64_t
row_stamp(struct rig *r, unsigned slot)
{
	struct ipc_session_row row;
	struct rig_msg *m = rig_wait(&r->worker[slot], IPC_SESSION_ROW);

	ck_assert_int_eq(ipc_take_session_row(m->payload, &row), 0);
	mem_free(m);
	return row.stamp;
}

/* It had moved to a worker that died with the store, whatever the row says: what the neighbours hold goes there. */
START_TEST(who_had_it_died_with_the_store)
{
	struct rig_opened o;
	struct rig_msg *m;
	struct ipc_opened p;
	struct rig r;
	uint64_t e0, stamp;

	start(&r, 2);
	e0 = r.worker[0].epoch;
	(void)rig_open(&r, 0, 0, "moved", NULL, NULL);
	session_put(&r, 0, 1, "moved");
	ck_assert_int_eq(rig_wait_done(&r, 0, 1), 0);
	o = rig_open(&r, 1, 0, "moved", NULL, NULL);
	ck_assert_uint_eq(o.prev_slot, 0);
	again_without(&r, e0);
	chan_send(r.worker[0].chan, IPC_OWN_END);
	mem_free(rig_wait(&r.worker[0], IPC_LOADED));
	CHAN_SEND(r.worker[0].chan, OPEN, open, .req = 7, .client_id = SLICE_LIT("moved"));
	rig_worker(&r, 1, 0, true);
	stamp = row_stamp(&r, 1);
	m = rig_wait(&r.worker[0], IPC_OPENED);
	ck_assert_int_eq(ipc_take_opened(m->payload, &p), 0);
	ck_assert(p.prev_slot == 1 && p.prev_stamp == stamp);
	mem_free(m);
	rig_fini(&r);
}
END_TEST

/* It moved while no store could be told: the next one writes to its row where it is, for the one after that. */
START_TEST(who_has_it_is_in_its_row)
{
	struct rig_opened o;
	struct rig r;
	uint64_t e0, e1;

	start(&r, 2);
	e0 = r.worker[0].epoch;
	e1 = r.worker[1].epoch;
	(void)rig_open(&r, 0, 0, "moved", NULL, NULL);
	session_put(&r, 0, 1, "moved");
	ck_assert_int_eq(rig_wait_done(&r, 0, 1), 0);
	o = rig_open(&r, 1, 0, "moved", NULL, NULL);
	again_without(&r, e0);
	rig_worker(&r, 1, e1, false);
	own(&r, 1, "moved", true, o.stamp);
	chan_send(r.worker[1].chan, IPC_OWN_END);
	chan_send(r.worker[0].chan, IPC_OWN_END);
	mem_free(rig_wait(&r.worker[0], IPC_LOADED));
	(void)rig_open(&r, 1, 0, "other", NULL, NULL);
	session_put(&r, 1, 1, "other");
	ck_assert_int_eq(rig_wait_done(&r, 1, 1), 0);
	again_without(&r, 0);
	chan_send(r.worker[0].chan, IPC_OWN_END);
	rig_worker(&r, 1, 0, true);
	mem_free(rig_wait(&r.worker[0], IPC_LOADED));
	ck_assert_ptr_null(rig_peek(&r.worker[0], IPC_SESSION_ROW));
	rig_fini(&r);
}
END_TEST

/* The same while it moves: its successor gets the row by the number that the taker knows, and the taker waits. */
START_TEST(who_it_was_taken_from_died_with_the_store)
{
	struct rig_opened first, second;
	struct rig_msg *m;
	struct ipc_opened p;
	struct rig r;
	uint64_t e0;

	start(&r, 2);
	e0 = r.worker[0].epoch;
	first = rig_open(&r, 1, 0, "moves", NULL, NULL);
	session_put(&r, 1, 1, "moves");
	ck_assert_int_eq(rig_wait_done(&r, 1, 1), 0);
	second = rig_open(&r, 0, 0, "moves", NULL, NULL);
	again_without(&r, e0);
	CHAN_SEND(r.worker[0].chan, OWN, own, .stamp = second.stamp, .prev_slot = 1, .prev_stamp = first.stamp,
	    .client_id = SLICE_LIT("moves"));
	chan_send(r.worker[0].chan, IPC_OWN_END);
	mem_free(rig_wait(&r.worker[0], IPC_LOADED));
	CHAN_SEND(r.worker[0].chan, OPEN, open, .req = 7, .flags = OPEN_RELOAD, .stamp = second.stamp,
	    .client_id = SLICE_LIT("moves"));
	rig_worker(&r, 1, 0, true);
	ck_assert_uint_eq(row_stamp(&r, 1), first.stamp);
	m = rig_wait(&r.worker[0], IPC_OPENED);
	ck_assert_int_eq(ipc_take_opened(m->payload, &p), 0);
	ck_assert(p.prev_slot == 1 && p.prev_stamp == first.stamp && p.stamp == second.stamp);
	mem_free(m);
	rig_fini(&r);
}
END_TEST

/* Who never let it go is to take it back from the dead one: no successor has it. */
START_TEST(who_has_it_takes_it_back_from_the_dead)
{
	struct rig_opened first, second, third;
	struct rig_msg *m;
	struct ipc_opened p;
	struct rig r;
	uint64_t e0;

	start(&r, 2);
	e0 = r.worker[0].epoch;
	first = rig_open(&r, 0, 0, "stays", NULL, NULL);
	session_put(&r, 0, 1, "stays");
	ck_assert_int_eq(rig_wait_done(&r, 0, 1), 0);
	second = rig_open(&r, 1, 0, "stays", NULL, NULL);
	third = rig_open(&r, 0, 0, "stays", NULL, NULL);
	ck_assert_uint_eq(third.prev_stamp, second.stamp);
	again_without(&r, e0);
	own(&r, 0, "stays", true, first.stamp);
	CHAN_SEND(r.worker[0].chan, OWN, own, .stamp = third.stamp, .prev_slot = 1, .prev_stamp = second.stamp,
	    .client_id = SLICE_LIT("stays"));
	chan_send(r.worker[0].chan, IPC_OWN_END);
	mem_free(rig_wait(&r.worker[0], IPC_LOADED));
	CHAN_SEND(r.worker[0].chan, OPEN, open, .req = 7, .flags = OPEN_RELOAD, .stamp = third.stamp,
	    .client_id = SLICE_LIT("stays"));
	m = rig_wait(&r.worker[0], IPC_OPENED);
	ck_assert_int_eq(ipc_take_opened(m->payload, &p), 0);
	ck_assert(p.prev_slot == 0 && p.prev_stamp == first.stamp && p.stamp == third.stamp);
	mem_free(m);
	rig_worker(&r, 1, 0, true);
	mem_free(rig_wait(&r.worker[1], IPC_LOADED));
	ck_assert_ptr_null(rig_peek(&r.worker[1], IPC_SESSION_ROW));
	rig_fini(&r);
}
END_TEST

/* Its worker died before the row was written: nobody was told that there is a session. */
START_TEST(a_session_without_a_row_never_was)
{
	struct rig_opened o;
	struct rig r;

	start(&r, 2);
	own(&r, 1, "no row", true, 7);
	rig_worker_gone(&r, 1);
	rig_worker(&r, 1, 0, true);
	mem_free(rig_wait(&r.worker[1], IPC_LOADED));
	o = rig_open(&r, 0, 0, "no row", NULL, NULL);
	ck_assert_int_eq(o.code, 0);
	ck_assert_uint_eq(o.prev_slot, OPEN_NOBODY);
	ck_assert_uint_eq(o.durable, 0);
	session_put(&r, 0, 1, "no row");
	ck_assert_int_eq(rig_wait_done(&r, 0, 1), 0);
	rig_fini(&r);
}
END_TEST

/* The owner is who got it last; the one before has a claim until it gives up. */
START_TEST(a_dead_owner_leaves_it_to_who_had_it_before)
{
	struct rig_opened first, second, o;
	struct rig r;

	start(&r, 3);
	first = rig_open(&r, 0, 0, "c", NULL, NULL);
	session_put(&r, 0, 1, "c");
	ck_assert_int_eq(rig_wait_done(&r, 0, 1), 0);
	second = rig_open(&r, 1, 0, "c", NULL, NULL);
	ck_assert(second.prev_slot == 0 && second.prev_stamp == first.stamp && second.stamp > first.stamp);
	/* Only the owner writes. */
	session_put(&r, 0, 2, "c");
	ck_assert_int_eq(rig_wait_done(&r, 0, 2), FB_EOWNER);
	o = rig_open(&r, 2, 0, "c", NULL, NULL);
	ck_assert_uint_eq(o.prev_slot, 1);
	give_up(&r, 2, "c", o.stamp);
	give_up(&r, 1, "c", second.stamp);
	o = rig_open(&r, 2, 0, "c", NULL, NULL);
	ck_assert_uint_eq(o.prev_slot, 0);
	ck_assert_uint_eq(o.prev_stamp, first.stamp);
	rig_fini(&r);
}
END_TEST

START_TEST(several_names_of_one_session_stand_in_line)
{
	struct rig_opened o;
	struct rig r;

	start(&r, 3);
	own(&r, 1, "c", true, 20);
	own(&r, 0, "c", true, 10);
	o = rig_open(&r, 2, 0, "c", NULL, NULL);
	ck_assert(o.prev_slot == 1 && o.prev_stamp == 20);
	give_up(&r, 1, "c", 20);
	give_up(&r, 2, "c", o.stamp);
	o = rig_open(&r, 2, 0, "c", NULL, NULL);
	ck_assert(o.prev_slot == 0 && o.prev_stamp == 10);
	rig_fini(&r);
}
END_TEST

/* The age in the only row that a new worker gets. */
static uint64_t
loaded_age(struct rig *r, unsigned slot)
{
	struct ipc_session_row p;
	struct rig_msg *m;
	uint64_t age;

	rig_worker(r, slot, 0, true);
	m = rig_wait(&r->worker[slot], IPC_SESSION_ROW);
	ck_assert_int_eq(ipc_take_session_row(m->payload, &p), 0);
	age = p.offline_ms;
	mem_free(m);
	mem_free(rig_wait(&r->worker[slot], IPC_LOADED));
	return age;
}

static void
start_again(struct rig *r)
{
	rig_start(r, NULL);
	rig_wait_ready(r);
}

START_TEST(sessions_age_while_the_node_is_up)
{
	uint64_t age, older;
	struct rig r;

	start(&r, 1);
	(void)rig_open(&r, 0, 0, "c", NULL, NULL);
	CHAN_SEND(r.worker[0].chan, SESSION_PUT, session_put, .seq = 1, .client_id = SLICE_LIT("c"), .offline_ms = 5000);
	ck_assert_int_eq(rig_wait_done(&r, 0, 1), 0);
	rig_worker_gone(&r, 0);
	age = loaded_age(&r, 0);
	ck_assert(age >= 5000 && age < 35000);
	/* It goes on where a graceful stop left it. */
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(rig_stop(&r), 0);
		start_again(&r);
		older = loaded_age(&r, 0);
		ck_assert(older >= age && older < age + 30000);
		age = older;
	}
	/* A kill makes it younger, by as much as was not written. */
	rig_kill(&r);
	start_again(&r);
	age = loaded_age(&r, 0);
	ck_assert(age >= 5000 && age <= older + 30000);
	/* Its client is back: also after a kill. */
	(void)rig_open(&r, 0, 0, "c", NULL, NULL);
	CHAN_SEND(r.worker[0].chan, SUB_PUT, sub_put, .seq = 1, .client_id = SLICE_LIT("c"), .filter = SLICE_LIT("t"));
	ck_assert_int_eq(rig_wait_done(&r, 0, 1), 0);
	rig_kill(&r);
	start_again(&r);
	ck_assert_uint_eq(loaded_age(&r, 0), 0);
	rig_fini(&r);
}
END_TEST

UNIT_MAIN("store_proc", starts_and_stops, ids_have_one_owner, rows_of_a_dead_worker_go_to_its_successor,
    a_clean_owner_deletes_the_row, writes_are_applied_once_over_a_kill, a_refusal_outlives_the_store,
    a_living_worker_keeps_what_it_names, who_had_it_died_with_the_store,
    who_has_it_is_in_its_row, who_it_was_taken_from_died_with_the_store,
    who_has_it_takes_it_back_from_the_dead, a_session_without_a_row_never_was, a_dead_owner_leaves_it_to_who_had_it_before,
    several_names_of_one_session_stand_in_line, a_move_that_broke_begins_again_at_the_successor,
    assigned_ids_are_not_recorded, sessions_age_while_the_node_is_up, reads_wait_for_the_writes_they_name, a_long_read_stalls_nobody)
