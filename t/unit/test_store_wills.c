/* SPDX-License-Identifier: Apache-2.0
 * What becomes of the wills that a dead worker leaves behind. The grace is short or endless: nothing here waits for it
 * but where a will is to come. */
#include "t/support/unit.h"

#include "common/admin/words.h"
#include "common/base/mem.h"
#include "common/ipc/qops.h"
#include "t/support/store_rig.h"

static struct rig r;
static uint64_t seq[RIG_SLOTS];

static const char *const at_once[] = { "session.will_grace", "0", NULL };
static const char *const never[] = { "session.will_grace", "1d", NULL };

static void
worker(unsigned slot)
{
	seq[slot] = 0;
	rig_worker(&r, slot, 0, true);
	mem_free(rig_wait(&r.worker[slot], IPC_LOADED));
}

static void
start(unsigned slots, const char *const *settings)
{
	rig_init(&r, slots);
	rig_start(&r, settings);
	rig_wait_ready(&r);
	for (unsigned i = 0; i < slots; i++) {
		seq[i] = 0;
		rig_worker(&r, i, 0, true);
	}
	for (unsigned i = 0; i < slots; i++)
		mem_free(rig_wait(&r.worker[i], IPC_LOADED));
}

static void
done(unsigned slot)
{
	struct ipc_q_done p = { 0 };

	while (p.seq < seq[slot]) {
		struct rig_msg *m = rig_wait(&r.worker[slot], IPC_Q_DONE);

		ck_assert_int_eq(ipc_take_q_done(m->payload, &p), 0);
		ck_assert_uint_eq(p.code, 0);
		mem_free(m);
	}
}

static void
ops(unsigned slot, struct buf *b)
{
	CHAN_SEND(r.worker[slot].chan, Q_OPS, q_ops, .seq = ++seq[slot], .ops = buf_slice(b));
	buf_fini(b);
	done(slot);
}

static void
put(unsigned slot, const char *id, uint64_t stamp, const char *payload)
{
	struct buf b = { 0 };

	qop_put_will(&b, &(struct qwill){ .client_id = slice_str(id), .account = SLICE_LIT("joe"), .stamp = stamp,
	    .disk = true }, &(struct qmsg){ .topic = SLICE_LIT("w"), .payload = slice_str(payload), .qos = 1, .retain = true });
	ops(slot, &b);
}

static void
del(unsigned slot, const char *id, uint64_t stamp)
{
	struct buf b = { 0 };

	qop_put_will_del(&b, slice_str(id), stamp);
	ops(slot, &b);
}

static uint64_t
open_id(unsigned slot, const char *id, unsigned flags)
{
	struct rig_opened o = rig_open(&r, slot, flags, id, NULL, NULL);

	ck_assert_int_eq(o.code, 0);
	return o.stamp;
}

/* A client with a will: its stamp. */
static uint64_t
client(unsigned slot, const char *id, const char *payload)
{
	uint64_t stamp = open_id(slot, id, OPEN_CLEAN);

	put(slot, id, stamp, payload);
	return stamp;
}

static void
session_put(unsigned slot, uint64_t n, const char *id)
{
	CHAN_SEND(r.worker[slot].chan, SESSION_PUT, session_put, .seq = n, .client_id = slice_str(id));
	ck_assert_int_eq(rig_wait_done(&r, slot, n), 0);
}

/* The will that comes: its stamp. */
static uint64_t
due(unsigned slot, const char *id, const char *payload)
{
	struct rig_msg *m = rig_wait(&r.worker[slot], IPC_WILL_DUE);
	struct ipc_will p;
	struct qmsg msg;
	uint64_t stamp;

	ck_assert_int_eq(ipc_take_will(m->payload, &p), 0);
	ck_assert(slice_eq(p.client_id, slice_str(id)));
	ck_assert(slice_eq(p.account, SLICE_LIT("joe")));
	ck_assert_uint_eq(p.disk, 1);
	ck_assert_int_eq(qmsg_take(&p.msg, &msg), 0);
	ck_assert(slice_eq(msg.topic, SLICE_LIT("w")) && slice_eq(msg.payload, slice_str(payload)));
	ck_assert(msg.qos == 1 && msg.retain && p.msg.len == 0);
	stamp = p.stamp;
	mem_free(m);
	return stamp;
}

/* Everything so far has been looked at: a will that is due now comes behind one that was due before. */
static void
nothing_due(unsigned from, unsigned to)
{
	open_id(from, "last", OPEN_CLEAN);
	put(from, "last", 1, "last");
	rig_worker_gone(&r, from);
	(void)due(to, "last", "last");
	ck_assert_ptr_null(rig_peek(&r.worker[to], IPC_WILL_DUE));
}

START_TEST(a_dead_workers_wills_go_to_the_others)
{
	uint64_t stamp;

	start(2, at_once);
	stamp = client(0, "a", "gone");
	(void)client(1, "b", "living");
	rig_worker_gone(&r, 0);
	ck_assert_uint_eq(due(1, "a", "gone"), stamp);
	del(1, "a", stamp);
	worker(0);
	nothing_due(0, 1);
	rig_fini(&r);
}
END_TEST

START_TEST(a_disconnect_leaves_nothing)
{
	uint64_t stamp;

	start(2, at_once);
	stamp = client(0, "a", "gone");
	del(0, "a", stamp);
	nothing_due(0, 1);
	rig_fini(&r);
}
END_TEST

/* Whatever comes late from an earlier connection. */
START_TEST(the_newest_connection_counts)
{
	uint64_t stamp;

	start(2, at_once);
	stamp = client(0, "a", "first");
	put(1, "a", stamp + 1, "second");
	put(0, "a", stamp, "first");
	del(0, "a", stamp);
	rig_worker_gone(&r, 1);
	ck_assert_uint_eq(due(0, "a", "second"), stamp + 1);
	rig_fini(&r);
}
END_TEST

/* Handed out again, until its row is gone: also by a new store. */
START_TEST(who_publishes_it_may_die_as_well)
{
	uint64_t stamp;

	start(3, at_once);
	stamp = client(0, "a", "gone");
	rig_worker_gone(&r, 0);
	while (rig_peek(&r.worker[1], IPC_WILL_DUE) == NULL && rig_peek(&r.worker[2], IPC_WILL_DUE) == NULL)
		rig_turn(&r);
	if (rig_peek(&r.worker[1], IPC_WILL_DUE) != NULL) {
		rig_worker_gone(&r, 1);
		ck_assert_uint_eq(due(2, "a", "gone"), stamp);
		rig_worker_gone(&r, 2);
	} else {
		rig_worker_gone(&r, 2);
		ck_assert_uint_eq(due(1, "a", "gone"), stamp);
		rig_worker_gone(&r, 1);
	}
	worker(1);
	ck_assert_uint_eq(due(1, "a", "gone"), stamp);
	rig_kill(&r);
	rig_start(&r, at_once);
	rig_wait_ready(&r);
	for (unsigned i = 0; i < 3; i++)
		rig_worker(&r, i, 0, true);
	ck_assert_uint_eq(due(0, "a", "gone"), stamp);
	rig_fini(&r);
}
END_TEST

/* The whole node died; and a living worker's are its own, whichever store it is. */
START_TEST(a_new_store_knows_whose_they_are)
{
	uint64_t stamp, e1;

	start(2, never);
	stamp = client(0, "a", "gone");
	(void)client(1, "b", "living");
	e1 = r.worker[1].epoch;
	rig_kill(&r);
	rig_start(&r, at_once);
	rig_wait_ready(&r);
	rig_worker(&r, 0, 0, true);
	rig_worker(&r, 1, e1, true);
	seq[0] = 0;
	mem_free(rig_wait(&r.worker[0], IPC_LOADED));
	mem_free(rig_wait(&r.worker[1], IPC_LOADED));
	ck_assert_uint_eq(due(0, "a", "gone"), stamp);
	del(0, "a", stamp);
	nothing_due(0, 1);
	rig_fini(&r);
}
END_TEST

/* Named by the worker that publishes it: no other one gets it. */
START_TEST(a_new_store_is_told_who_publishes_it)
{
	uint64_t stamp, e1;

	start(2, at_once);
	stamp = client(0, "a", "gone");
	rig_worker_gone(&r, 0);
	(void)due(1, "a", "gone");
	e1 = r.worker[1].epoch;
	rig_kill(&r);
	rig_start(&r, at_once);
	rig_wait_ready(&r);
	rig_worker(&r, 1, e1, false);
	CHAN_SEND(r.worker[1].chan, WILL_HERE, client, .stamp = stamp, .client_id = SLICE_LIT("a"));
	CHAN_SEND(r.worker[1].chan, WILL_HERE, client, .stamp = stamp, .client_id = SLICE_LIT("deleted"));
	chan_send(r.worker[1].chan, IPC_OWN_END);
	rig_worker(&r, 0, 0, true);
	mem_free(rig_wait(&r.worker[0], IPC_LOADED));
	mem_free(rig_wait(&r.worker[1], IPC_LOADED));
	seq[0] = 0;
	(void)client(0, "last", "last");
	ck_assert_ptr_null(rig_peek(&r.worker[0], IPC_WILL_DUE));
	rig_worker_gone(&r, 1);
	ck_assert_uint_eq(due(0, "a", "gone"), stamp);
	rig_fini(&r);
}
END_TEST

static void
set_grace(const char *value)
{
	CHAN_SEND(r.sup.chan, SETTING, setting, .path = SLICE_LIT("session.will_grace"), .value = slice_str(value));
	chan_send(r.sup.chan, IPC_SETTINGS_END);
}

START_TEST(who_comes_back_in_time_is_not_mourned)
{
	uint64_t stamp;

	start(2, never);
	(void)client(0, "back", "gone");
	(void)client(0, "back and away", "gone");
	stamp = client(0, "away", "gone");
	rig_worker_gone(&r, 0);
	(void)open_id(1, "back", OPEN_CLEAN);
	CHAN_SEND(r.worker[1].chan, GIVE_UP, client, .stamp = open_id(1, "back and away", OPEN_CLEAN),
	    .client_id = SLICE_LIT("back and away"));
	set_grace("0");
	ck_assert_uint_eq(due(1, "away", "gone"), stamp);
	del(1, "away", stamp);
	worker(0);
	nothing_due(0, 1);
	rig_fini(&r);
}
END_TEST

/* The client had moved on when its old worker died. */
START_TEST(who_was_elsewhere_already_is_not_mourned)
{
	start(2, at_once);
	(void)client(0, "a", "gone");
	(void)open_id(1, "a", OPEN_CLEAN);
	nothing_due(0, 1);
	rig_fini(&r);
}
END_TEST

/* A durable session that its worker's successor has got from its row is not its client come back. Not even to a new store:
 * the client is not said to be connected. */
START_TEST(a_loaded_session_is_not_a_client)
{
	uint64_t stamp, e0;
	struct ipc_session_row row;
	struct rig_msg *m;

	start(2, never);
	stamp = open_id(0, "a", 0);
	session_put(0, 1, "a");
	put(0, "a", stamp, "gone");
	rig_worker_gone(&r, 0);
	worker(0);
	m = rig_wait(&r.worker[0], IPC_SESSION_ROW);
	ck_assert_int_eq(ipc_take_session_row(m->payload, &row), 0);
	e0 = r.worker[0].epoch;
	rig_kill(&r);
	rig_start(&r, at_once);
	rig_wait_ready(&r);
	rig_worker(&r, 0, e0, false);
	CHAN_SEND(r.worker[0].chan, OWN, own, .flags = OWN_DURABLE | OWN_HERE, .stamp = row.stamp, .client_id = SLICE_LIT("a"));
	chan_send(r.worker[0].chan, IPC_OWN_END);
	mem_free(m);
	rig_worker(&r, 1, 0, false);
	chan_send(r.worker[1].chan, IPC_OWN_END);
	while (rig_peek(&r.worker[0], IPC_WILL_DUE) == NULL && rig_peek(&r.worker[1], IPC_WILL_DUE) == NULL)
		rig_turn(&r);
	ck_assert_uint_eq(due(rig_peek(&r.worker[0], IPC_WILL_DUE) != NULL ? 0 : 1, "a", "gone"), stamp);
	rig_fini(&r);
}
END_TEST

START_TEST(a_client_that_a_worker_names_is_back)
{
	uint64_t stamp, e1;

	start(2, never);
	stamp = client(0, "a", "gone");
	e1 = r.worker[1].epoch;
	rig_kill(&r);
	rig_start(&r, at_once);
	rig_wait_ready(&r);
	rig_worker(&r, 1, e1, false);
	CHAN_SEND(r.worker[1].chan, OWN, own, .flags = OWN_HERE | OWN_ONLINE, .stamp = stamp + 1, .client_id = SLICE_LIT("a"));
	chan_send(r.worker[1].chan, IPC_OWN_END);
	rig_worker(&r, 0, 0, true);
	mem_free(rig_wait(&r.worker[0], IPC_LOADED));
	mem_free(rig_wait(&r.worker[1], IPC_LOADED));
	seq[0] = 0;
	nothing_due(0, 1);
	rig_fini(&r);
}
END_TEST

START_TEST(reset_clears_them)
{
	start(2, never);
	(void)client(0, "a", "gone");
	(void)client(1, "b", "living");
	rig_worker_gone(&r, 0);
	worker(0);
	ck_assert_int_eq(rig_admin(&r, ADMIN_reset, NULL, NULL), 0);
	set_grace("0");
	rig_worker_gone(&r, 1);
	worker(1);
	nothing_due(0, 1);
	rig_fini(&r);
}
END_TEST

/* More than are handed out at a time, and than are looked at in one go: a client comes and goes meanwhile. */
START_TEST(many)
{
	unsigned n = 10000;
	struct buf b = { 0 };

	start(2, at_once);
	for (unsigned i = 0; i < n; i++) {
		char id[32];

		snprintf(id, sizeof id, "client-%u", i);
		qop_put_will(&b, &(struct qwill){ .client_id = slice_str(id), .stamp = i + 1 },
		    &(struct qmsg){ .topic = SLICE_LIT("w"), .payload = slice_str(id) });
	}
	qop_put_will(&b, &(struct qwill){ .client_id = SLICE_LIT("zz"), .stamp = 1 },
	    &(struct qmsg){ .topic = SLICE_LIT("w"), .payload = SLICE_LIT("zz") });
	ops(0, &b);
	rig_worker_gone(&r, 0);
	CHAN_SEND(r.worker[1].chan, GIVE_UP, client, .stamp = open_id(1, "zz", OPEN_CLEAN), .client_id = SLICE_LIT("zz"));
	for (unsigned i = 0; i < n; i++) {
		struct rig_msg *m = rig_wait(&r.worker[1], IPC_WILL_DUE);
		struct ipc_will p;

		ck_assert_int_eq(ipc_take_will(m->payload, &p), 0);
		ck_assert(!slice_eq(p.client_id, SLICE_LIT("zz")));
		qop_put_will_del(&b, p.client_id, p.stamp);
		mem_free(m);
		if (rig_peek(&r.worker[1], IPC_WILL_DUE) == NULL)
			ops(1, &b);
	}
	worker(0);
	nothing_due(0, 1);
	rig_fini(&r);
}
END_TEST

UNIT_MAIN("store_wills", a_dead_workers_wills_go_to_the_others, a_disconnect_leaves_nothing, the_newest_connection_counts,
    who_publishes_it_may_die_as_well, a_new_store_knows_whose_they_are, a_new_store_is_told_who_publishes_it,
    who_comes_back_in_time_is_not_mourned, who_was_elsewhere_already_is_not_mourned, a_loaded_session_is_not_a_client,
    a_client_that_a_worker_names_is_back, reset_clears_them, many)
