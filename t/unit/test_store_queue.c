/* SPDX-License-Identifier: Apache-2.0
 *
 * The queues on disk, through the real store: Q_OPS and Q_GET of workers that are this test. */
#include <string.h>

#include "common/admin/row.h"
#include "common/admin/words.h"
#include "common/base/mem.h"
#include "common/ipc/qops.h"
#include "store/env.h"
#include "store/rec.h"
#include "t/support/store_rig.h"
#include "t/support/unit.h"

static struct rig r;
static struct buf ops;
static uint64_t seq;            /* of worker 0's last Q_OPS */
static uint64_t wseq;           /* of its last write */
static char big[200];           /* a payload that is not tiny */

static void
begin(void)
{
	memset(big, 'b', sizeof big - 1);
	seq = wseq = 0;
	rig_init(&r, 2);
	rig_start(&r, NULL);
	rig_wait_ready(&r);
	for (unsigned i = 0; i < 2; i++)
		rig_worker(&r, i, 0, true);
	for (unsigned i = 0; i < 2; i++)
		mem_free(rig_wait(&r.worker[i], IPC_LOADED));
}

static void
end(void)
{
	buf_fini(&ops);
	rig_fini(&r);
}

/* The same workers at a new store, after a kill. */
static void
again(const char *const *settings)
{
	uint64_t epoch[2] = { r.worker[0].epoch, r.worker[1].epoch };

	if (r.pid > 0)
		rig_kill(&r);
	rig_start(&r, settings);
	rig_wait_ready(&r);
	for (unsigned i = 0; i < 2; i++)
		rig_worker(&r, i, epoch[i], true);
	for (unsigned i = 0; i < 2; i++)
		mem_free(rig_wait(&r.worker[i], IPC_LOADED));
}

static void
put_for(const struct qitem *items, uint32_t count, uint64_t id, const char *payload)
{
	qop_put_msg(&ops, &(struct qmsg){ .topic = SLICE_LIT("t"), .payload = slice_str(payload), .qos = 2, .qos2_id = id },
	    count);
	for (uint32_t i = 0; i < count; i++)
		qitem_put(&ops, &items[i]);
}

static void
put(uint64_t qid, uint64_t n, const char *payload)
{
	put_for(&(struct qitem){ .qid = qid, .n = n, .flags = 1 }, 1, 0, payload);
}

static void
send_as(uint64_t number)
{
	CHAN_SEND(r.worker[0].chan, Q_OPS, q_ops, .seq = number, .ops = buf_slice(&ops));
}

/* Until that number is done: the code of its own answer, and how many items of it were skipped. */
static int
wait_done(uint64_t number, unsigned *skipped)
{
	for (;;) {
		struct rig_msg *m = rig_wait(&r.worker[0], IPC_Q_DONE);
		struct ipc_q_done p;
		int code;

		ck_assert_int_eq(ipc_take_q_done(m->payload, &p), 0);
		ck_assert(p.code == 0 || p.seq <= number);
		code = p.seq == number ? -(int)p.code : 0;
		if (skipped != NULL)
			*skipped = p.seq == number ? (unsigned)p.skipped.len / 4 : 0;
		mem_free(m);
		if (p.seq >= number || p.code != 0)
			return code;
	}
}

/* Sends what was gathered: it is done without an error; how many items were skipped. */
static unsigned
send_ops(void)
{
	unsigned skipped = 0;

	send_as(++seq);
	buf_clear(&ops);
	ck_assert_int_eq(wait_done(seq, &skipped), 0);
	return skipped;
}

/* What waits for qid from n on, as text: "1:payload 2:payload"; "!" behind a number: released, "..." behind all: there is
 * more. */
static const char *
rows_from(uint64_t qid, uint64_t from, uint32_t max_rows, uint32_t max_bytes)
{
	static char text[1024];
	struct rig_msg *m;
	struct ipc_q_rows p;
	struct qrow row;
	size_t n = 0;

	CHAN_SEND(r.worker[0].chan, Q_GET, q_get, .req = 7, .qid = qid, .from = from, .min_seq = seq, .max_rows = max_rows,
	    .max_bytes = max_bytes);
	m = rig_wait(&r.worker[0], IPC_Q_ROWS);
	ck_assert_int_eq(ipc_take_q_rows(m->payload, &p), 0);
	ck_assert(p.req == 7 && p.code == 0);
	text[0] = '\0';
	while (qrow_take(&p.rows, &row) == 0)
		n += (size_t)snprintf(text + n, sizeof text - n, "%s%llu%s%.*s", n > 0 ? " " : "", (unsigned long long)row.n,
		    (row.flags & QITEM_RELEASED) != 0 ? "!" : ":", row.msg.payload.len < 10 ? (int)row.msg.payload.len : 3,
		    row.msg.payload.len > 0 ? (const char *)row.msg.payload.p : "");
	ck_assert_uint_eq(p.rows.len, 0);
	if (p.more)
		snprintf(text + n, sizeof text - n, "...");
	mem_free(m);
	return text;
}

static const char *
rows(uint64_t qid)
{
	return rows_from(qid, 0, 100, 1 << 20);
}

/* The store stops; how many records a table has. */
struct tally { uint64_t items, bodies, refs, seen, rows; };

static struct tally
tally(void)
{
	static const enum table tables[4] = { TABLE_items, TABLE_bodies, TABLE_refs, TABLE_seen };
	struct env_config cfg = { .name = ENV_queue, .cache_bytes = 1 << 20, .min_free_bytes = 1 };
	uint64_t n[4] = { 0 };
	struct rec_counts counts = { 0 };
	struct buf b = { 0 };
	struct cursor *c;
	struct env *e;
	char path[128];

	ck_assert_int_eq(rig_stop(&r), 0);
	snprintf(path, sizeof path, "%s/data", r.dir);
	cfg.dir = path;
	ck_assert_int_eq(env_open(&cfg, &e), 0);
	for (unsigned i = 0; i < 4; i++) {
		ck_assert_int_eq(cursor_open(e, NULL, tables[i], &c), 0);
		for (int rc = cursor_seek(c, slice_of(NULL, 0)); rc == 0; rc = cursor_next(c))
			n[i]++;
		cursor_close(c);
	}
	if (table_get(e, NULL, TABLE_qmeta, slice_of((const uint8_t *)"counts", 7), &b) == 0)
		ck_assert_int_eq(rec_take_qcounts(buf_slice(&b), &counts), 0);
	buf_fini(&b);
	env_close(e);
	return (struct tally){ n[0], n[1], n[2], n[3], counts.rows };
}

/* A durable session with that number. */
static void
session(const char *id, uint64_t qid)
{
	ck_assert_int_eq(rig_open(&r, 0, 0, id, NULL, NULL).code, 0);
	CHAN_SEND(r.worker[0].chan, SESSION_PUT, session_put, .seq = ++wseq, .client_id = slice_str(id), .qid = qid);
	ck_assert_int_eq(rig_wait_done(&r, 0, wseq), 0);
}

START_TEST(what_is_put_waits_until_it_is_deleted)
{
	const struct qitem both[] = { { .qid = 9, .n = 4, .flags = 2 }, { .qid = 5, .n = 8, .flags = 1, .direct = 3 } };
	struct tally t;

	begin();
	session("a", 9);
	session("b", 5);
	put(9, 2, "two");
	put(9, 1, "one");
	put_for(both, 2, 0, big);
	ck_assert_uint_eq(send_ops(), 0);
	ck_assert_str_eq(rows(9), "1:one 2:two 4:bbb");
	ck_assert_str_eq(rows(5), "8:bbb");
	ck_assert_str_eq(rows(6), "");
	ck_assert_str_eq(rows_from(9, 2, 1, 1000), "2:two...");
	ck_assert_str_eq(rows_from(9, 2, 9, 1), "2:two...");
	ck_assert_str_eq(rows_from(9, 4, 1, 1), "4:bbb");
	qop_put_row(&ops, QOP_DEL, 9, 1);
	qop_put_row(&ops, QOP_DEL, 9, 4);
	qop_put_row(&ops, QOP_DEL, 9, 77);
	send_ops();
	ck_assert_str_eq(rows(9), "2:two");
	ck_assert_str_eq(rows(5), "8:bbb");
	again(NULL);
	ck_assert_str_eq(rows(9), "2:two");
	ck_assert_str_eq(rows(5), "8:bbb");
	t = tally();
	ck_assert(t.items == 2 && t.bodies == 1 && t.refs == 1 && t.rows == 2);
	again(NULL);
	qop_put_row(&ops, QOP_DEL, 5, 8);
	send_ops();
	t = tally();
	ck_assert(t.items == 1 && t.bodies == 0 && t.refs == 0 && t.rows == 1);
	end();
}
END_TEST

START_TEST(what_is_put_and_deleted_together_leaves_nothing)
{
	const struct qitem both[] = { { .qid = 9, .n = 1, .flags = 2 }, { .qid = 5, .n = 1, .flags = 2 } };
	struct tally t;

	begin();
	put(9, 3, "x");
	put_for(both, 2, 0, big);
	qop_put_row(&ops, QOP_DEL, 9, 3);
	qop_put_row(&ops, QOP_DEL, 9, 1);
	qop_put_row(&ops, QOP_RELEASED, 5, 1);
	send_ops();
	ck_assert_str_eq(rows(9), "");
	ck_assert_str_eq(rows(5), "1!");
	/* And of a key whose row is here already. */
	put(5, 2, "x");
	send_ops();
	qop_put_row(&ops, QOP_DEL, 5, 2);
	put(5, 2, "again");
	send_ops();
	ck_assert_str_eq(rows(5), "1! 2:again");
	t = tally();
	ck_assert(t.items == 2 && t.bodies == 0 && t.refs == 0 && t.rows == 2);
	end();
}
END_TEST

START_TEST(a_released_row_stays_without_its_message)
{
	const struct qitem both[] = { { .qid = 9, .n = 1, .flags = 2 }, { .qid = 5, .n = 1, .flags = 2 } };
	struct tally t;

	begin();
	session("a", 9);
	session("b", 5);
	put_for(both, 2, 0, big);
	send_ops();
	qop_put_row(&ops, QOP_RELEASED, 9, 1);
	qop_put_row(&ops, QOP_RELEASED, 9, 2);          /* no row: all the same */
	send_ops();
	ck_assert_str_eq(rows(9), "1! 2!");
	qop_put_row(&ops, QOP_RELEASED, 5, 1);
	qop_put_row(&ops, QOP_DEL, 9, 2);
	send_ops();
	again(NULL);
	ck_assert_str_eq(rows(9), "1!");
	ck_assert_str_eq(rows(5), "1!");
	t = tally();
	ck_assert(t.items == 2 && t.bodies == 0 && t.refs == 0);
	end();
}
END_TEST

START_TEST(the_oldest_are_trimmed)
{
	begin();
	for (uint64_t n = 10; n < 15; n++)
		put(9, n, "x");
	put(10, 1, "x");
	send_ops();
	put(9, 15, "x");
	qop_put_trim(&ops, 9, 11, 2);
	qop_put_row(&ops, QOP_DEL, 9, 13);
	send_ops();
	ck_assert_str_eq(rows(9), "10:x 14:x 15:x");
	/* More than there are, also of those that are not written yet. */
	put(9, 16, "x");
	qop_put_row(&ops, QOP_DEL, 9, 15);
	qop_put_trim(&ops, 9, 14, 2);
	put(9, 17, "x");
	qop_put_trim(&ops, 9, 16, 9);
	send_ops();
	ck_assert_str_eq(rows(9), "10:x");
	ck_assert_str_eq(rows(10), "1:x");
	end();
}
END_TEST

START_TEST(a_session_has_a_qos2_publish_once)
{
	const uint64_t id = qos2_id_of(UINT64_C(0xabcdef0000001234), 7);
	const struct qitem first = { .qid = 9, .n = 1, .flags = 2 };
	const struct qitem more[] = { { .qid = 9, .n = 2, .flags = 2 }, { .qid = 5, .n = 1, .flags = 2 } };
	unsigned skipped;

	begin();
	session("a", 9);
	session("b", 5);
	put_for(&first, 1, id, big);
	ck_assert_uint_eq(send_ops(), 0);
	put_for(more, 2, id, big);
	ck_assert_uint_eq(send_ops(), 1);
	ck_assert_str_eq(rows(9), "1:bbb");
	ck_assert_str_eq(rows(5), "1:bbb");
	/* To a new store, what was done: answered as it was. */
	again(NULL);
	put_for(&first, 1, id, big);
	send_as(1);
	ck_assert_int_eq(wait_done(1, &skipped), 0);
	ck_assert_uint_eq(skipped, 0);
	buf_clear(&ops);
	put_for(more, 2, id, big);
	send_as(2);
	ck_assert_int_eq(wait_done(2, &skipped), 0);
	ck_assert_uint_eq(skipped, 1);
	buf_clear(&ops);
	/* Delivered: it is still known, until it is released. */
	qop_put_row(&ops, QOP_DEL, 9, 1);
	send_ops();
	put_for(&more[0], 1, id, big);
	ck_assert_uint_eq(send_ops(), 1);
	qop_put_forget(&ops, id);
	send_ops();
	put_for(&more[0], 1, id, big);
	ck_assert_uint_eq(send_ops(), 0);
	ck_assert_str_eq(rows(9), "2:bbb");
	/* The publisher's session ends. */
	qop_put_drop(&ops, UINT64_C(0xabcdef0000001234));
	send_ops();
	ck_assert_uint_eq(tally().seen, 0);
	end();
}
END_TEST

static void
put_many(uint64_t qid, unsigned from, unsigned to)
{
	for (unsigned n = from; n <= to; n++)
		put(qid, n, big);
	send_ops();
}

/* The store is busy by itself: something for it to do meanwhile. */
static void
busy(void)
{
	qop_put_row(&ops, QOP_DEL, 10, 999);
	send_ops();
}

START_TEST(a_dropped_session_goes_in_parts)
{
	struct tally t;

	begin();
	session("a", 9);
	session("b", 10);
	for (unsigned i = 0; i < 10; i++)
		put_many(9, 1 + i * 500, 500 + i * 500);
	put(10, 1, "x");
	qop_put_drop(&ops, 9);
	send_ops();
	/* A part is gone; what is left goes now, or after a restart. What comes behind it is another queue's. */
	put(9, 6000, "y");
	send_ops();
	again(NULL);
	while (strcmp(rows_from(9, 0, 1, 1), "6000:y") != 0)
		busy();
	t = tally();
	ck_assert(t.items == 2 && t.rows == 2);
	again(NULL);
	for (unsigned i = 0; i < 10; i++)
		put_many(9, 6001 + i * 500, 6500 + i * 500);
	qop_put_drop(&ops, 9);
	put(9, 20000, "z");
	send_ops();
	while (strcmp(rows_from(9, 0, 1, 1), "20000:z") != 0)
		busy();
	ck_assert_str_eq(rows(10), "1:x");
	end();
}
END_TEST

/* Full, the first fails, and all behind it until it comes again. */
START_TEST(order_outlives_a_full_disk)
{
	const char *const full[] = { "store.min_free", "1TiB", NULL };
	struct rig_msg *m;

	begin();
	session("a", 9);
	put(9, 1, "x");
	send_ops();
	again(full);
	put(9, 2, "y");
	send_as(2);
	buf_clear(&ops);
	qop_put_row(&ops, QOP_DEL, 9, 2);
	send_as(3);
	ck_assert_int_eq(wait_done(2, NULL), FB_EDISK);
	send_as(4);
	ck_assert_str_eq(rows_from(9, 0, 9, 99), "1:x");
	CHAN_SEND(r.sup.chan, SETTING, setting, .path = SLICE_LIT("store.min_free"), .value = SLICE_LIT("1MiB"));
	chan_send(r.sup.chan, IPC_SETTINGS_END);
	ck_assert_int_eq(rig_admin(&r, ADMIN_acl_set, NULL, "::2", "allow", NULL), 0);
	/* Those behind it are not done, nor answered, until it is. */
	send_as(3);
	buf_clear(&ops);
	put(9, 2, "y");
	send_as(2);
	ck_assert_int_eq(wait_done(2, NULL), 0);
	seq = 2;
	ck_assert_str_eq(rows(9), "1:x 2:y");
	ck_assert_ptr_null(rig_peek(&r.worker[0], IPC_Q_DONE));
	buf_clear(&ops);
	qop_put_row(&ops, QOP_DEL, 9, 2);
	send_ops();
	ck_assert_str_eq(rows(9), "1:x");
	m = rig_peek(&r.worker[0], IPC_Q_DONE);
	ck_assert_ptr_null(m);
	end();
}
END_TEST

static struct ipc_session_row
row_of(unsigned slot)
{
	struct rig_msg *m = rig_wait(&r.worker[slot], IPC_SESSION_ROW);
	struct ipc_session_row p;

	ck_assert_int_eq(ipc_take_session_row(m->payload, &p), 0);
	mem_free(m);
	return p;
}

START_TEST(a_row_says_what_waits)
{
	struct ipc_session_row p;
	struct ipc_opened o;
	struct rig_msg *m;

	begin();
	session("a", 77);
	put(77, 5, "x");
	put(77, 9, "x");
	put(78, 1, "x");
	send_ops();
	rig_worker_gone(&r, 0);
	rig_worker(&r, 0, 0, true);
	p = row_of(0);
	ck_assert(p.qid == 77 && p.q_first == 5 && p.q_last == 9);
	mem_free(rig_wait(&r.worker[0], IPC_LOADED));
	/* Asked for by OPEN, when nobody has it. */
	rig_worker_gone(&r, 0);
	rig_worker(&r, 0, 0, false);
	CHAN_SEND(r.worker[0].chan, OPEN, open, .req = 1, .client_id = SLICE_LIT("a"));
	chan_send(r.worker[0].chan, IPC_OWN_END);
	m = rig_wait(&r.worker[0], IPC_OPENED);
	ck_assert_int_eq(ipc_take_opened(m->payload, &o), 0);
	ck_assert(o.code == 0 && o.durable && o.prev_slot == OPEN_NOBODY);
	ck_assert(o.qid == 77 && o.q_first == 5 && o.q_last == 9);
	mem_free(m);
	end();
}
END_TEST

START_TEST(queues_go_with_their_sessions)
{
	struct tally t;

	begin();
	session("a", 77);
	session("b", 78);
	session("c", 79);
	for (uint64_t q = 77; q <= 79; q++)
		put(q, 1, big);
	send_ops();
	CHAN_SEND(r.worker[0].chan, SESSION_DEL, session_del, .seq = ++wseq, .client_id = SLICE_LIT("a"));
	ck_assert_int_eq(rig_wait_done(&r, 0, wseq), 0);
	/* A new session over the old row. */
	CHAN_SEND(r.worker[0].chan, SESSION_PUT, session_put, .seq = ++wseq, .client_id = SLICE_LIT("b"), .qid = 88);
	CHAN_SEND(r.worker[0].chan, SESSION_PUT, session_put, .seq = ++wseq, .client_id = SLICE_LIT("c"), .qid = 79);
	ck_assert_int_eq(rig_wait_done(&r, 0, wseq), 0);
	put(88, 1, big);
	send_ops();
	t = tally();
	ck_assert(t.items == 2);
	again(NULL);
	ck_assert_str_eq(rows(79), "1:bbb");
	ck_assert_str_eq(rows(88), "1:bbb");
	end();
}
END_TEST

START_TEST(queues_without_a_session_are_dropped_by_the_next_start)
{
	begin();
	session("a", 77);
	put(77, 1, "x");
	put(UINT64_MAX, 1, "x");
	put(1, 1, "x");
	put(1, 2, "x");
	send_ops();
	again(NULL);
	ck_assert_uint_eq(tally().items, 1);
	again(NULL);
	ck_assert_str_eq(rows(77), "1:x");
	end();
}
END_TEST

START_TEST(groups_have_queues_while_somebody_subscribes)
{
	const struct slice group = SLICE_LIT("$share/g/t");
	const uint64_t qid = qid_of_group(group);

	begin();
	session("a", 78);
	CHAN_SEND(r.worker[0].chan, SUB_PUT, sub_put, .seq = ++wseq, .client_id = SLICE_LIT("a"), .qos = 1, .filter = group);
	ck_assert_int_eq(rig_wait_done(&r, 0, wseq), 0);
	put(qid, 1, "x");
	put(qid_of_group(SLICE_LIT("$share/g/u")), 1, "x");
	put(76, 1, "x");
	send_ops();
	again(NULL);
	ck_assert_uint_eq(tally().items, 1);
	again(NULL);
	ck_assert_str_eq(rows(qid), "1:x");
	CHAN_SEND(r.worker[0].chan, SUB_DEL, sub_del, .seq = ++wseq, .client_id = SLICE_LIT("a"), .filter = group);
	ck_assert_int_eq(rig_wait_done(&r, 0, wseq), 0);
	again(NULL);
	ck_assert_uint_eq(tally().items, 0);
	end();
}
END_TEST

/* What `state` says of the queues. */
static uint64_t
waiting(void)
{
	uint64_t n = UINT64_MAX;
	bool queues = false;
	struct rig_msg *m;

	CHAN_SEND(r.sup.chan, ADMIN, admin, .id = 9, .rights = ADMIN_READ, .command = ADMIN_state);
	m = rig_wait(&r.sup, IPC_ADMIN_DONE);
	mem_free(m);
	while ((m = rig_peek(&r.sup, IPC_ADMIN_ROW)) != NULL) {
		struct ipc_admin_row p;
		struct row_field f;

		ck_assert_int_eq(ipc_take_admin_row(m->payload, &p), 0);
		while (row_next(&p.fields, &f) == 0) {
			if (slice_eq(f.name, SLICE_LIT("_table")))
				queues = slice_eq(f.text, SLICE_LIT("queues"));
			else if (queues && slice_eq(f.name, SLICE_LIT("messages")))
				n = (uint64_t)f.number;
		}
		list_del(&m->link);
		mem_free(m);
	}
	return n;
}

START_TEST(a_reset_clears_the_queues)
{
	struct tally t;

	begin();
	session("a", 77);
	put(77, 1, "x");
	put_for(&(struct qitem){ .qid = 77, .n = 2, .flags = 2 }, 1, 5, "x");
	send_ops();
	ck_assert_uint_eq(waiting(), 2);
	ck_assert_int_eq(rig_admin(&r, ADMIN_reset, NULL, NULL), 0);
	ck_assert_uint_eq(waiting(), 0);
	ck_assert_str_eq(rows(77), "");
	put(78, 1, "x");
	send_ops();
	ck_assert_str_eq(rows(78), "1:x");
	t = tally();
	ck_assert(t.items == 1 && t.seen == 0 && t.rows == 1);
	end();
}
END_TEST

/* Two workers, messages of all sizes, kills in between: what was answered is there. */
START_TEST(large_messages_are_kept)
{
	static char large[300000];
	const struct qitem both[] = { { .qid = 9, .n = 1, .flags = 1 }, { .qid = 5, .n = 1, .flags = 1 } };

	begin();
	session("a", 9);
	session("b", 5);
	memset(large, 'l', sizeof large - 1);
	put_for(both, 2, 0, large);
	put(9, 2, large);
	send_ops();
	again(NULL);
	ck_assert_str_eq(rows_from(9, 0, 9, 1), "1:lll...");
	ck_assert_str_eq(rows_from(5, 0, 9, 1 << 20), "1:lll");
	qop_put_row(&ops, QOP_DEL, 9, 1);
	qop_put_row(&ops, QOP_DEL, 5, 1);
	send_ops();
	ck_assert_uint_eq(tally().bodies, 0);
	end();
}
END_TEST

UNIT_MAIN("store_queue", what_is_put_waits_until_it_is_deleted, what_is_put_and_deleted_together_leaves_nothing,
    a_released_row_stays_without_its_message, the_oldest_are_trimmed, a_session_has_a_qos2_publish_once,
    a_dropped_session_goes_in_parts, order_outlives_a_full_disk, a_row_says_what_waits, queues_go_with_their_sessions,
    queues_without_a_session_are_dropped_by_the_next_start,
    groups_have_queues_while_somebody_subscribes, a_reset_clears_the_queues, large_messages_are_kept)
