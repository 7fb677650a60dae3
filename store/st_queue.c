/* SPDX-License-Identifier: Apache-2.0
 *
 * A read waits until the asker's changes that it names are done; then it has its turn among the store's other long reads.
 * It collects records under a cursor and looks their bodies up after it, so that it never holds one lock while it waits
 * for another.
 *
 * Sessions are dropped a few at a time, each a part a transaction: what waits is in memory, and in qmeta or found again
 * by the next start. */
#include "store/st_queue.h"

#include <stdlib.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/ipc/qops.h"
#include "store/qmark.h"
#include "store/qstage.h"
#include "store/store.h"

#define GET_ROWS_MAX   1024u
#define GET_BYTES_MAX  (1024u * 1024)
#define DROPS_AT_ONCE  16u
#define FIND_NS        (3 * NS_PER_SEC)

/* ---- dropping ---- */

struct drop {
	struct batch_op op;
	struct list link;
	struct store *store;
	uint64_t qid, last;
	bool more;
};

static int
run_drop(struct batch_op *op, struct txn *x, struct rec_counts *counts)
{
	struct drop *d = container_of(op, struct drop, op);

	return qstage_drop(d->store->q.stage, x, d->qid, d->last, &d->more);
}

static void
drop_next(struct store *s)
{
	struct drop *d;

	while (s->q.dropping < DROPS_AT_ONCE && (d = LIST_FIRST(&s->q.drops, struct drop, link)) != NULL) {
		list_del(&d->link);
		s->q.dropping++;
		batch_put(s->qbatch, &d->op);
	}
}

static void
done_drop(struct batch_op *op)
{
	struct drop *d = container_of(op, struct drop, op);
	struct store *s = d->store;

	s->q.dropping--;
	/* What failed is found by the next start. */
	if (op->code == 0 && d->more)
		list_put_last(&s->q.drops, &d->link);
	else
		mem_free(d);
	drop_next(s);
}

static void
drop_later(struct store *s, uint64_t qid, uint64_t last)
{
	struct drop *d = mem_zalloc(sizeof *d);

	d->op.run = run_drop;
	d->op.done = done_drop;
	d->op.bytes = 64 * 1024;
	d->op.need = ENV_SHRINKS;
	d->store = s;
	d->qid = qid;
	d->last = last;
	list_put_last(&s->q.drops, &d->link);
}

size_t
queue_dropping(const struct store *s)
{
	size_t n = s->q.dropping;

	LIST_EACH(i, &s->q.drops)
		n++;
	return n;
}

void
queue_drop(struct store *s, uint64_t qid)
{
	if (qid == 0)
		return;
	drop_later(s, qid, UINT64_MAX);
	drop_next(s);
}

/* ---- changes ---- */

struct ops {
	struct batch_op op;
	struct slot *slot;
	struct buf skipped, unfinished;
	bool has_wills;
	struct slice bytes;             /* in data */
	uint8_t data[];
};

static int
run_ops(struct batch_op *op, struct txn *x, struct rec_counts *counts)
{
	struct ops *o = container_of(op, struct ops, op);
	int rc;

	buf_clear(&o->skipped);
	buf_clear(&o->unfinished);
	rc = qstage_apply(o->slot->store->q.stage, x, counts, o->bytes, &o->skipped, &o->unfinished);
	if (rc == 0 && o->has_wills)
		rc = will_rows_apply(x, op->stream->slot, op->stream->epoch, o->bytes);
	return rc;
}

void
queue_answer(struct slot *t, uint64_t seq, int code)
{
	CHAN_SEND(t->chan, Q_DONE, q_done, .seq = seq, .code = (uint16_t)-code);
}

static void
tell(struct slot *t, uint64_t seq, int code, const struct buf *skipped)
{
	if (code != 0 || buf_len(skipped) == 0) {
		numbers_tell(&t->queue, seq, code);
	} else if (t->chan != NULL) {
		CHAN_SEND(t->chan, Q_DONE, q_done, .seq = seq, .skipped = buf_slice(skipped));
		numbers_told(&t->queue, seq);
	}
}

static void
check_gets(struct slot *t)
{
	LIST_EACH(n, &t->gets) {
		struct queue_get *g = container_of(n, struct queue_get, link);

		if (g->min_seq <= t->queue.applied)
			work_put(&t->store->work, &g->job);
	}
}

static void
finish_drops(struct store *s, struct slice qids)
{
	uint64_t qid;

	while (slice_take_le64(&qids, &qid) == 0)
		queue_drop(s, qid);
}

static void
done_ops(struct batch_op *op)
{
	struct ops *o = container_of(op, struct ops, op);
	struct slot *t = o->slot;

	if (numbers_written(&t->queue, op))
		tell(t, op->seq, op->code, &o->skipped);
	if (o->has_wills && !op->stale && op->code == 0)
		will_rows_applied(t->store, o->bytes);
	if (!op->stale && op->code == 0)
		finish_drops(t->store, buf_slice(&o->unfinished));
	buf_fini(&o->skipped);
	buf_fini(&o->unfinished);
	mem_free(o);
	check_gets(t);
	slot_check_over(t);
}

/* What was skipped when these operations were applied, by an earlier store. */
static void
find_skipped(struct env *e, struct slice ops, struct buf *skipped)
{
	uint8_t key[REC_PAIR_BYTES];
	uint32_t index = 0;
	struct qop o;
	struct qitem i;

	while (qop_take(&ops, &o) == 0) {
		struct slice items = o.items;

		for (; o.type == QOP_PUT && qitem_take(&items, &i) == 0; index++) {
			if (o.msg.qos2_id != 0 && table_has(e, TABLE_seen, rec_pair_key(key, o.msg.qos2_id, i.qid)) &&
			    !table_has(e, TABLE_items, rec_pair_key(key, i.qid, i.n)))
				buf_put_le32(skipped, index);
		}
	}
}

static void
answer_again(struct slot *t, uint64_t seq, struct slice ops, const struct qstage_weight *w)
{
	struct buf skipped;

	buf_init(&skipped);
	if (w->has_ids)
		find_skipped(t->store->queue, ops, &skipped);
	tell(t, seq, numbers_again(&t->queue, seq), &skipped);
	buf_fini(&skipped);
}

void
queue_do_ops(struct slot *t, struct slice payload)
{
	struct qstage_weight w;
	struct ipc_q_ops p;
	struct ops *o;

	if (ipc_take_q_ops(payload, &p) != 0 || qstage_weigh(p.ops, &w) != 0)
		store_bad_message(IPC_Q_OPS);
	switch (numbers_accept(&t->queue, p.seq)) {
	case NUMBERS_DROP:
		return;
	case NUMBERS_AGAIN:
		answer_again(t, p.seq, p.ops, &w);
		return;
	case NUMBERS_NEW:
		break;
	}
	o = mem_alloc(sizeof *o + p.ops.len);
	*o = (struct ops){ .slot = t, .has_wills = w.has_wills, .bytes = slice_of(o->data, p.ops.len) };
	if (p.ops.len > 0)
		memcpy(o->data, p.ops.p, p.ops.len);
	o->op.run = run_ops;
	o->op.done = done_ops;
	o->op.bytes = w.bytes;
	o->op.updates = w.rows;
	o->op.need = w.grows ? ENV_GROWS : ENV_SHRINKS;
	numbers_put(&t->queue, t->store->qbatch, &o->op, p.seq);
}

/* ---- reading ---- */

/* To the last record of a session. */
static int
seek_last(struct cursor *c, uint64_t qid)
{
	uint8_t key[REC_PAIR_BYTES];

	return cursor_before(c, qid < UINT64_MAX ? rec_pair_key(key, qid + 1, 0) : slice_of(NULL, 0));
}

/* Records from n on, as u64 n and the bytes with their length. *more: there are others behind them. */
static int
collect(const struct queue_get *g, struct buf *out, bool *more)
{
	uint8_t key[REC_PAIR_BYTES];
	struct cursor *c;
	uint32_t rows = 0;
	int rc = cursor_open(g->slot->store->queue, NULL, TABLE_items, &c);

	if (rc != 0)
		return rc;
	*more = false;
	for (rc = cursor_seek(c, rec_pair_key(key, g->qid, g->from)); rc == 0; rc = cursor_next(c)) {
		struct slice k = cursor_key(c);

		if (k.len != REC_PAIR_BYTES || rec_number_of(k) != g->qid)
			break;
		*more = rows >= g->max_rows || buf_len(out) >= g->max_bytes;
		if (*more)
			break;
		buf_put_le64(out, rec_number_of(slice_of(k.p + 8, 8)));
		buf_put_le32_bytes(out, cursor_value(c));
		rows++;
	}
	cursor_close(c);
	return rc == FB_ENOENT ? 0 : rc;
}

/* FB_ENOENT: the row went meanwhile. */
static int
get_body(struct env *e, uint64_t number, struct buf *out, struct slice *msg)
{
	struct slice key;
	struct rec_body r;
	uint8_t bytes[8];
	int rc;

	key = rec_number_key(bytes, number);
	buf_clear(out);
	rc = table_get(e, NULL, TABLE_bodies, key, out);
	if (rc != 0)
		return rc;
	rc = rec_take_body(buf_slice(out), &r);
	if (rc == 0)
		*msg = r.msg;
	else
		rec_bad(TABLE_bodies, key, rc);
	return rc;
}

static int
put_row(struct env *e, struct buf *b, uint64_t qid, uint64_t n, struct slice value, struct buf *body)
{
	uint8_t key[REC_PAIR_BYTES];
	struct slice msg, left;
	struct rec_item r;
	struct qmsg m;
	int rc = rec_take_item(value, &r);

	if (rc == 0) {
		left = msg = r.msg;
		if (r.body != 0)
			rc = get_body(e, r.body, body, &msg);
		if (rc == FB_EIO || rc == FB_EAGAIN)
			return rc;
		if (rc != 0)
			return 0;
		left = msg;
		if ((r.flags & QITEM_RELEASED) == 0 && (qmsg_take(&left, &m) != 0 || left.len != 0))
			rc = FB_ECORRUPT;
	}
	if (rc != 0) {
		rec_bad(TABLE_items, rec_pair_key(key, qid, n), rc);
		return 0;
	}
	buf_put_le64(b, n);
	buf_put_u8(b, r.flags);
	buf_put_u8(b, r.direct);
	buf_put_slice(b, msg);
	return 0;
}

static int
put_rows(const struct queue_get *g, struct slice records, struct buf *out, bool *more)
{
	struct slice value;
	struct buf body;
	uint64_t n;
	int rc = 0;

	buf_init(&body);
	while (rc == 0 && slice_take_le64(&records, &n) == 0 && slice_take_le32_bytes(&records, &value) == 0) {
		rc = put_row(g->slot->store->queue, out, g->qid, n, value, &body);
		if (buf_len(out) >= g->max_bytes && records.len > 0) {
			*more = true;
			break;
		}
	}
	buf_fini(&body);
	return rc;
}

static void
get_free(struct queue_get *g)
{
	work_del(&g->job);
	list_del(&g->link);
	mem_free(g);
}

static bool
get_step(struct work_job *j)
{
	struct queue_get *g = container_of(j, struct queue_get, job);
	struct slot *t = g->slot;
	struct buf records, rows;
	bool more = false;
	int rc;

	if (chan_full(t->chan)) {
		slot_park(t, j);
		return false;
	}
	buf_init(&records);
	buf_init(&rows);
	rc = collect(g, &records, &more);
	if (rc == 0)
		rc = put_rows(g, buf_slice(&records), &rows, &more);
	if (rc != FB_EAGAIN)
		CHAN_SEND(t->chan, Q_ROWS, q_rows, .req = g->req, .code = (uint16_t)-rc, .more = more,
		    .rows = rc == 0 ? buf_slice(&rows) : slice_of(NULL, 0));
	buf_fini(&records);
	buf_fini(&rows);
	if (rc == FB_EAGAIN)
		return true;
	get_free(g);
	return false;
}

void
queue_do_get(struct slot *t, struct slice payload)
{
	struct ipc_q_get p;
	struct queue_get *g;

	if (ipc_take_q_get(payload, &p) != 0)
		store_bad_message(IPC_Q_GET);
	g = mem_zalloc(sizeof *g);
	g->job.step = get_step;
	g->slot = t;
	g->req = p.req;
	g->qid = p.qid;
	g->from = p.from;
	g->min_seq = p.min_seq;
	g->max_rows = p.max_rows < GET_ROWS_MAX ? p.max_rows : GET_ROWS_MAX;
	g->max_bytes = p.max_bytes < GET_BYTES_MAX ? p.max_bytes : GET_BYTES_MAX;
	list_put_last(&t->gets, &g->link);
	if (g->min_seq <= t->queue.applied)
		work_put(&t->store->work, &g->job);
}

void
queue_drop_slot(struct slot *t)
{
	while (!list_empty(&t->gets))
		get_free(container_of(t->gets.next, struct queue_get, link));
}

static int
range_once(struct cursor *c, uint64_t qid, uint64_t *first, uint64_t *last)
{
	uint8_t key[REC_PAIR_BYTES];
	int rc = cursor_seek(c, rec_pair_key(key, qid, 0));

	if (rc != 0)
		return rc;
	if (rec_number_of(cursor_key(c)) != qid)
		return FB_ENOENT;
	*first = rec_number_of(slice_of(cursor_key(c).p + 8, cursor_key(c).len - 8));
	rc = seek_last(c, qid);
	if (rc == 0 && rec_number_of(cursor_key(c)) != qid)
		rc = FB_EAGAIN;         /* it went in between */
	if (rc == 0)
		*last = rec_number_of(slice_of(cursor_key(c).p + 8, cursor_key(c).len - 8));
	return rc;
}

int
queue_range(struct env *queue, uint64_t qid, uint64_t *first, uint64_t *last)
{
	struct cursor *c;
	int rc;

	do {
		*first = 1;
		*last = 0;
		rc = cursor_open(queue, NULL, TABLE_items, &c);
		if (rc != 0)
			return rc;
		rc = range_once(c, qid, first, last);
		cursor_close(c);
	} while (rc == FB_EAGAIN);
	if (rc != 0) {
		*first = 1;
		*last = 0;
	}
	return rc == FB_ENOENT ? 0 : rc;
}

/* ---- start ---- */

static int
compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a;
	uint64_t y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

int
queue_find_marked(struct env *queue, struct buf *out)
{
	struct cursor *c;
	int rc = cursor_open(queue, NULL, TABLE_qmeta, &c);

	if (rc != 0)
		return rc;
	for (rc = cursor_seek(c, qmark_start()); rc == 0; rc = cursor_next(c)) {
		uint64_t qid = qmark_of(cursor_key(c));

		if (qid == 0)
			break;
		buf_put_le64(out, qid);
	}
	cursor_close(c);
	return rc == FB_ENOENT ? 0 : rc;
}

int
queue_find_gone(struct env *queue, const uint64_t *known, size_t count, struct buf *out)
{
	struct mono until = mono_add(clock_mono(), FIND_NS);
	uint8_t key[REC_PAIR_BYTES];
	struct cursor *c;
	int rc = cursor_open(queue, NULL, TABLE_items, &c);

	if (rc != 0)
		return rc;
	rc = cursor_seek(c, slice_of(NULL, 0));
	while (rc == 0) {
		uint64_t qid = rec_number_of(cursor_key(c));

		if (count == 0 || bsearch(&qid, known, count, sizeof *known, compare) == NULL)
			buf_put_le64(out, qid);
		if (qid == UINT64_MAX)
			break;
		if (mono_diff(until, clock_mono()) <= 0) {
			log_notice("store", "queues without a session are looked for again at the next start", " ");
			break;
		}
		rc = cursor_seek(c, rec_pair_key(key, qid + 1, 0));
	}
	cursor_close(c);
	return rc == FB_ENOENT ? 0 : rc;
}

/* ---- life ---- */

static void
on_begin(void *arg)
{
	qstage_begin(arg);
}

static int
on_end(void *arg, struct txn *x, struct rec_counts *counts)
{
	return qstage_end(arg, x, counts);
}

static const struct batch_hooks hooks = { .begin = on_begin, .end = on_end };

void
queue_start(struct store *s, struct buf *gone)
{
	struct slice left = buf_slice(gone);
	uint64_t qid, first, last;

	list_init(&s->q.drops);
	s->q.stage = qstage_new();
	batch_set_hooks(s->qbatch, &hooks, s->q.stage);
	if (left.len > 0)
		log_notice("store", "dropping queues whose sessions are gone", "count=%zu", left.len / sizeof qid);
	/* Nobody has written yet: what is behind the last row then is not meant. */
	while (slice_take_le64(&left, &qid) == 0) {
		if (queue_range(s->queue, qid, &first, &last) == 0)
			drop_later(s, qid, last);
	}
	buf_fini(gone);
	drop_next(s);
}

void
queue_fini(struct store *s)
{
	if (s->q.stage == NULL)
		return;
	while (!list_empty(&s->q.drops)) {
		struct drop *d = container_of(s->q.drops.next, struct drop, link);

		list_del(&d->link);
		mem_free(d);
	}
	qstage_free(s->q.stage);
	s->q.stage = NULL;
}
