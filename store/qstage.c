/* SPDX-License-Identifier: Apache-2.0
 *
 * A row that is changed once in a transaction, as nearly all are, has one entry, found by its key. What does not fit one
 * entry (a DEL and then a PUT of one key, a TRIM of rows that are only here) writes everything first.
 *
 * A PUT and its DEL leave nothing: a key is put once in its life, so that there is no older row below. */
#include "store/qstage.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/mem.h"
#include "common/ipc/qops.h"
#include "store/qmark.h"

#define TINY_BYTES  64u         /* a message of that size is written once for each session */
#define DROP_CHUNK  2000u       /* rows of a session that are dropped in one transaction */
#define DROP_WEIGHT 16384u
#define ROW_WEIGHT  48u         /* bytes of work that a row is worth, besides its message */

enum what { ROW_NOTHING, ROW_PUT, ROW_DEL, ROW_RELEASED };

struct row {
	uint64_t qid, n;
	uint64_t body;          /* known: of the row below */
	struct slice msg;       /* PUT, inline */
	uint32_t fresh;         /* PUT: of fresh, from 1; 0: inline */
	uint8_t what;
	uint8_t flags, direct;
	bool known;             /* the row below was looked at; it is there */
};

struct fresh {
	uint64_t number, refs;
	struct slice msg;
};

struct qstage {
	struct row *rows;
	uint32_t count, room;
	uint32_t *index;        /* of rows, from 1; 0: free. Twice room */
	struct fresh *fresh;    /* messages for several sessions */
	uint32_t fresh_count, fresh_room;
	uint64_t *dropped;      /* messages that wait in one session less */
	uint32_t dropped_count, dropped_room;
	struct cursor *edit;    /* while rows are written */
	struct buf value;
};

struct qstage *
qstage_new(void)
{
	return mem_zalloc(sizeof(struct qstage));
}

void
qstage_free(struct qstage *q)
{
	if (q == NULL)
		return;
	mem_free(q->rows);
	mem_free(q->index);
	mem_free(q->fresh);
	mem_free(q->dropped);
	buf_fini(&q->value);
	mem_free(q);
}

/* ---- entries ---- */

static uint32_t
place(const struct qstage *q, uint64_t qid, uint64_t n)
{
	uint64_t h = (qid ^ n * UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xff51afd7ed558ccd);

	return (uint32_t)(h >> 32) & (2 * q->room - 1);
}

static struct row *
find(const struct qstage *q, uint64_t qid, uint64_t n)
{
	if (q->count == 0)
		return NULL;
	for (uint32_t i = place(q, qid, n); q->index[i] != 0; i = (i + 1) & (2 * q->room - 1)) {
		struct row *r = &q->rows[q->index[i] - 1];

		if (r->qid == qid && r->n == n)
			return r;
	}
	return NULL;
}

static void
index_row(struct qstage *q, uint32_t at)
{
	uint32_t i = place(q, q->rows[at].qid, q->rows[at].n);

	while (q->index[i] != 0)
		i = (i + 1) & (2 * q->room - 1);
	q->index[i] = at + 1;
}

static struct row *
add(struct qstage *q, uint64_t qid, uint64_t n, enum what what)
{
	if (q->count == q->room) {
		q->room = q->room == 0 ? 1024 : 2 * q->room;
		q->rows = mem_realloc(q->rows, q->room * sizeof *q->rows);
		mem_free(q->index);
		q->index = mem_zalloc(2 * (size_t)q->room * sizeof *q->index);
		for (uint32_t i = 0; i < q->count; i++)
			index_row(q, i);
	}
	q->rows[q->count] = (struct row){ .qid = qid, .n = n, .what = (uint8_t)what };
	index_row(q, q->count);
	return &q->rows[q->count++];
}

static void
clear_rows(struct qstage *q)
{
	if (q->count > 0)
		memset(q->index, 0, 2 * (size_t)q->room * sizeof *q->index);
	q->count = q->fresh_count = 0;
}

void
qstage_begin(struct qstage *q)
{
	clear_rows(q);
	q->dropped_count = 0;
}

static uint32_t
add_fresh(struct qstage *q, uint64_t number, struct slice msg)
{
	if (q->fresh_count == q->fresh_room) {
		q->fresh_room = q->fresh_room == 0 ? 64 : 2 * q->fresh_room;
		q->fresh = mem_realloc(q->fresh, q->fresh_room * sizeof *q->fresh);
	}
	q->fresh[q->fresh_count] = (struct fresh){ .number = number, .msg = msg };
	return ++q->fresh_count;
}

static void
drop_body(struct qstage *q, uint64_t number)
{
	if (number == 0)
		return;
	if (q->dropped_count == q->dropped_room) {
		q->dropped_room = q->dropped_room == 0 ? 256 : 2 * q->dropped_room;
		q->dropped = mem_realloc(q->dropped, q->dropped_room * sizeof *q->dropped);
	}
	q->dropped[q->dropped_count++] = number;
}

/* ---- writing ---- */

static int
put_item(struct qstage *q, const struct row *r, const struct rec_item *item)
{
	uint8_t key[REC_PAIR_BYTES];

	buf_clear(&q->value);
	rec_put_item(&q->value, item);
	return cursor_put(q->edit, rec_pair_key(key, r->qid, r->n), buf_slice(&q->value));
}

/* To the row below, and what it is. One that cannot be read is there all the same, and has no message that we know of. */
static int
look(struct qstage *q, struct row *r)
{
	uint8_t key[REC_PAIR_BYTES], head[REC_ITEM_HEAD];
	struct slice k = rec_pair_key(key, r->qid, r->n);
	struct rec_item item = { .flags = 2 };
	size_t len = 0;
	int rc;

	rc = cursor_peek(q->edit, k, head, sizeof head, &len);
	if (rc != 0 || r->known)
		return rc;
	rc = rec_take_item(slice_of(head, len), &item);
	if (rc != 0)
		rec_bad(TABLE_items, k, rc);
	r->body = item.body;
	r->flags = item.flags;
	r->direct = item.direct;
	return 0;
}

static int
write_put(struct qstage *q, struct rec_counts *counts, struct row *r)
{
	struct fresh *f = r->fresh != 0 ? &q->fresh[r->fresh - 1] : NULL;

	counts->rows++;
	if (f != NULL)
		f->refs++;
	return put_item(q, r, &(struct rec_item){ .flags = r->flags, .direct = r->direct,
	    .body = f != NULL ? f->number : 0, .msg = r->msg });
}

static int
write_del(struct qstage *q, struct rec_counts *counts, struct row *r)
{
	int rc = look(q, r);

	if (rc != 0)
		return rc == FB_ENOENT ? 0 : rc;
	drop_body(q, r->body);
	counts->rows -= counts->rows > 0;
	return cursor_del(q->edit);
}

static int
write_released(struct qstage *q, struct rec_counts *counts, struct row *r)
{
	int rc = look(q, r);

	if (rc == FB_ENOENT) {
		r->flags = 2;
		counts->rows++;
	} else if (rc != 0) {
		return rc;
	}
	drop_body(q, r->body);
	return put_item(q, r, &(struct rec_item){ .flags = (r->flags & QITEM_RETAIN) | QITEM_RELEASED | 2,
	    .direct = r->direct });
}

static int
write_row(struct qstage *q, struct rec_counts *counts, struct row *r)
{
	switch ((enum what)r->what) {
	case ROW_NOTHING:
		return 0;
	case ROW_PUT:
		return write_put(q, counts, r);
	case ROW_DEL:
		return write_del(q, counts, r);
	case ROW_RELEASED:
		return write_released(q, counts, r);
	}
	return 0;
}

static int
put_refs(struct qstage *q, struct txn *x, struct slice key, uint64_t count)
{
	buf_clear(&q->value);
	rec_put_ref(&q->value, &(struct rec_ref){ .count = count });
	return table_put(x, TABLE_refs, key, buf_slice(&q->value));
}

static int
write_fresh(struct qstage *q, struct txn *x)
{
	int rc = 0;

	for (uint32_t i = 0; i < q->fresh_count && rc == 0; i++) {
		const struct fresh *f = &q->fresh[i];
		uint8_t key[8];

		if (f->refs == 0)
			continue;
		buf_clear(&q->value);
		rec_put_body(&q->value, &(struct rec_body){ .msg = f->msg });
		rc = table_put(x, TABLE_bodies, rec_number_key(key, f->number), buf_slice(&q->value));
		if (rc == 0)
			rc = put_refs(q, x, slice_of(key, sizeof key), f->refs);
	}
	return rc;
}

/* That many sessions less have the message. */
static int
unref(struct qstage *q, struct txn *x, uint64_t number, uint64_t less)
{
	struct rec_ref ref = { 0 };
	uint8_t key[8];
	struct slice k = rec_number_key(key, number);
	int rc;

	buf_clear(&q->value);
	rc = table_get(txn_env(x), x, TABLE_refs, k, &q->value);
	if (rc == 0) {
		rc = rec_take_ref(buf_slice(&q->value), &ref);
		if (rc != 0)
			rec_bad(TABLE_refs, k, rc);
		else if (ref.count > less)
			return put_refs(q, x, k, ref.count - less);
		rc = table_del(x, TABLE_refs, k);
	}
	if (rc == 0 || rc == FB_ENOENT)
		rc = table_del(x, TABLE_bodies, k);
	return rc == FB_ENOENT ? 0 : rc;
}

static int
by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a;
	uint64_t y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static int
write_dropped(struct qstage *q, struct txn *x)
{
	int rc = 0;

	if (q->dropped_count > 1)
		qsort(q->dropped, q->dropped_count, sizeof *q->dropped, by_number);
	for (uint32_t i = 0, end; i < q->dropped_count && rc == 0; i = end) {
		for (end = i + 1; end < q->dropped_count && q->dropped[end] == q->dropped[i]; end++)
			continue;
		rc = unref(q, x, q->dropped[i], end - i);
	}
	q->dropped_count = 0;
	return rc;
}

static int
by_key(const void *a, const void *b)
{
	const struct row *x = a;
	const struct row *y = b;

	if (x->qid != y->qid)
		return x->qid < y->qid ? -1 : 1;
	return x->n < y->n ? -1 : x->n > y->n;
}

static int
write_rows(struct qstage *q, struct txn *x, struct rec_counts *counts)
{
	int rc, closed;

	if (q->count == 0)
		return 0;
	if (q->count > 1)
		qsort(q->rows, q->count, sizeof *q->rows, by_key);
	rc = cursor_open_edit(x, TABLE_items, &q->edit);
	if (rc != 0)
		return rc;
	for (uint32_t i = 0; i < q->count && rc == 0; i++)
		rc = write_row(q, counts, &q->rows[i]);
	closed = cursor_close(q->edit);
	return rc != 0 ? rc : closed;
}

int
qstage_end(struct qstage *q, struct txn *x, struct rec_counts *counts)
{
	int rc = write_rows(q, x, counts);

	if (rc == 0)
		rc = write_fresh(q, x);
	if (rc == 0)
		rc = write_dropped(q, x);
	clear_rows(q);
	return rc;
}

/* ---- operations ---- */

static void
stage_item(struct qstage *q, const struct qitem *i, struct slice msg, uint32_t fresh)
{
	struct row *r = add(q, i->qid, i->n, ROW_PUT);

	r->flags = i->flags;
	r->direct = i->direct;
	r->fresh = fresh;
	r->msg = fresh == 0 ? msg : slice_of(NULL, 0);
}

static int
has_item(const struct qstage *q, struct txn *x, const struct qitem *i)
{
	uint8_t key[REC_PAIR_BYTES];
	const struct row *r = find(q, i->qid, i->n);

	if (r != NULL)
		return r->what == ROW_PUT || r->what == ROW_RELEASED ? 0 : FB_ENOENT;
	return table_has_in(x, TABLE_items, rec_pair_key(key, i->qid, i->n));
}

/* 0: to be put, and its session is known to have it now; FB_EEXIST: is there already, put by this; FB_ENOENT: skipped. */
static int
first_time(struct qstage *q, struct txn *x, uint64_t id, const struct qitem *i)
{
	uint8_t key[REC_PAIR_BYTES];
	struct slice k = rec_pair_key(key, id, i->qid);
	int rc = table_has_in(x, TABLE_seen, k);

	if (rc == 0) {
		rc = has_item(q, x, i);
		return rc == 0 ? FB_EEXIST : rc;
	}
	if (rc != FB_ENOENT)
		return rc;
	buf_clear(&q->value);
	rec_put_seen(&q->value, &(struct rec_seen){ 0 });
	return table_put(x, TABLE_seen, k, buf_slice(&q->value));
}

/* msg: its bytes as they came. *index: of the next item of the Q_OPS. */
static int
do_put(struct qstage *q, struct txn *x, struct rec_counts *counts, const struct qop *o, struct slice msg,
    uint32_t *index, struct buf *skipped)
{
	struct slice items = o->items;
	uint32_t fresh = 0;
	struct qitem i;
	int rc = 0;

	if (o->count > 1 && msg.len > TINY_BYTES)
		fresh = add_fresh(q, ++counts->bodies, msg);
	for (; rc == 0 && qitem_take(&items, &i) == 0; (*index)++) {
		if (o->msg.qos2_id != 0)
			rc = first_time(q, x, o->msg.qos2_id, &i);
		if (rc == FB_ENOENT)
			buf_put_le32(skipped, *index);
		if (rc == 0 && find(q, i.qid, i.n) != NULL) {
			/* That of fresh is written without a count by then, and the rest of it as well. */
			rc = qstage_end(q, x, counts);
			if (rc == 0 && fresh != 0)
				fresh = add_fresh(q, ++counts->bodies, msg);
		}
		if (rc == 0)
			stage_item(q, &i, msg, fresh);
		if (rc == FB_ENOENT || rc == FB_EEXIST)
			rc = 0;
	}
	return rc;
}

static void
do_del(struct qstage *q, uint64_t qid, uint64_t n)
{
	struct row *r = find(q, qid, n);

	if (r == NULL)
		(void)add(q, qid, n, ROW_DEL);
	else if (r->what == ROW_PUT)
		r->what = ROW_NOTHING;
	else if (r->what == ROW_RELEASED)
		r->what = ROW_DEL;
}

static int
do_released(struct qstage *q, struct txn *x, struct rec_counts *counts, const struct qop *o)
{
	struct row *r = find(q, o->qid, o->n);
	int rc = 0;

	if (r != NULL && r->what == ROW_PUT) {
		r->flags = (r->flags & QITEM_RETAIN) | QITEM_RELEASED | 2;
		r->msg = slice_of(NULL, 0);
		r->fresh = 0;
		return 0;
	}
	if (r != NULL && r->what == ROW_RELEASED)
		return 0;
	if (r != NULL)
		rc = qstage_end(q, x, counts);
	if (rc == 0)
		(void)add(q, o->qid, o->n, ROW_RELEASED);
	return rc;
}

/* The row that the cursor stands on is to go. false: it goes already. */
static bool
trim_row(struct qstage *q, struct slice key, struct slice value, uint64_t qid, uint64_t n)
{
	struct row *r = find(q, qid, n);
	struct rec_item item;
	int bad;

	if (r != NULL && r->what == ROW_DEL)
		return false;
	if (r != NULL) {
		r->what = ROW_DEL;
		return true;
	}
	bad = rec_take_item(value, &item);
	if (bad != 0)
		rec_bad(TABLE_items, key, bad);
	r = add(q, qid, n, ROW_DEL);
	r->known = true;
	r->body = bad == 0 ? item.body : 0;
	return true;
}

/* Of the rows below, before end: *count says how many are left to be trimmed. */
static int
trim_below(struct qstage *q, struct txn *x, uint64_t qid, uint64_t from, uint64_t end, uint64_t *count)
{
	uint8_t key[REC_PAIR_BYTES];
	struct cursor *c;
	int rc = cursor_open(txn_env(x), x, TABLE_items, &c);

	if (rc != 0)
		return rc;
	for (rc = cursor_seek(c, rec_pair_key(key, qid, from)); rc == 0 && *count > 0; rc = cursor_next(c)) {
		struct slice k = cursor_key(c);
		uint64_t n;

		if (k.len != REC_PAIR_BYTES || rec_number_of(k) != qid)
			break;
		n = rec_number_of(slice_of(k.p + 8, 8));
		if (n >= end)
			break;
		if (trim_row(q, k, cursor_value(c), qid, n))
			(*count)--;
	}
	cursor_close(c);
	return rc == FB_ENOENT ? 0 : rc;
}

/* The first row from there on that is only here, as far as we know. */
static uint64_t
first_here(const struct qstage *q, uint64_t qid, uint64_t from)
{
	uint64_t first = UINT64_MAX;

	for (uint32_t i = 0; i < q->count; i++) {
		const struct row *r = &q->rows[i];

		if (r->qid == qid && r->n >= from && r->n < first && (r->what == ROW_PUT || r->what == ROW_RELEASED))
			first = r->n;
	}
	return first;
}

static int
do_trim(struct qstage *q, struct txn *x, struct rec_counts *counts, uint64_t qid, uint64_t from, uint64_t *count)
{
	uint64_t end = first_here(q, qid, from);
	int rc = trim_below(q, x, qid, from, end, count);

	if (rc == 0 && *count > 0 && end != UINT64_MAX) {
		rc = qstage_end(q, x, counts);
		if (rc == 0)
			rc = trim_below(q, x, qid, from, UINT64_MAX, count);
	}
	return rc;
}

/* ---- dropped sessions ---- */

/* Rows up to last, and identities, as far as one transaction goes. */
static int
drop_part(struct qstage *q, struct txn *x, uint64_t qid, uint64_t last, bool *more)
{
	uint64_t left = DROP_CHUNK;
	uint64_t seen = 0;
	uint8_t prefix[8];
	int rc = trim_below(q, x, qid, 0, last < UINT64_MAX ? last + 1 : last, &left);

	/* The identities of its publishes: qos2_id_of(). */
	if (rc == 0)
		rc = table_del_prefix(x, TABLE_seen, slice_of(rec_number_key(prefix, qid).p, 6), DROP_CHUNK, &seen);
	*more = left == 0 || seen == DROP_CHUNK;
	return rc;
}

int
qstage_drop(struct qstage *q, struct txn *x, uint64_t qid, uint64_t last, bool *more)
{
	int rc = qmark_get(x, qid, &last);

	if (rc == 0 && last == UINT64_MAX)
		rc = qmark_last(x, qid, &last);
	if (rc == 0)
		rc = drop_part(q, x, qid, last, more);
	return rc != 0 ? rc : qmark_set(x, qid, *more, last);
}

static int
do_drop(struct qstage *q, struct txn *x, struct rec_counts *counts, uint64_t qid, struct buf *unfinished)
{
	uint64_t last = 0;
	bool more = false;
	int rc = 0;

	if (first_here(q, qid, 0) != UINT64_MAX)
		rc = qstage_end(q, x, counts);
	if (rc == 0)
		rc = qmark_last(x, qid, &last);
	if (rc == 0)
		rc = drop_part(q, x, qid, last, &more);
	if (more && unfinished != NULL)
		buf_put_le64(unfinished, qid);
	return rc != 0 ? rc : qmark_set(x, qid, more, last);
}

static int
do_forget(struct txn *x, uint64_t id)
{
	uint8_t key[8];
	uint64_t count;

	return table_del_prefix(x, TABLE_seen, rec_number_key(key, id), UINT64_MAX, &count);
}

static int
do_op(struct qstage *q, struct txn *x, struct rec_counts *counts, const struct qop *o, struct buf *unfinished)
{
	uint64_t count = o->count;

	switch (o->type) {
	case QOP_DEL:
		do_del(q, o->qid, o->n);
		return 0;
	case QOP_RELEASED:
		return do_released(q, x, counts, o);
	case QOP_TRIM:
		return do_trim(q, x, counts, o->qid, o->n, &count);
	case QOP_DROP:
		return do_drop(q, x, counts, o->qid, unfinished);
	case QOP_FORGET:
		return do_forget(x, o->id);
	case QOP_WILL_PUT:
	case QOP_WILL_DEL:
		return 0;
	default:
		return FB_EPROTO;
	}
}

/* The bytes of a PUT's message, which begins at start and whose operation ends where rest begins. */
static struct slice
put_bytes(const uint8_t *start, const struct qop *o)
{
	return slice_of(start + 1, (size_t)(o->items.p - start) - 5);
}

int
qstage_apply(struct qstage *q, struct txn *x, struct rec_counts *counts, struct slice ops, struct buf *skipped,
    struct buf *unfinished)
{
	const uint8_t *start = ops.p;
	uint32_t index = 0;
	struct qop o;
	int rc = 0;

	for (; rc == 0 && qop_take(&ops, &o) == 0; start = ops.p) {
		if (o.type == QOP_PUT)
			rc = do_put(q, x, counts, &o, put_bytes(start, &o), &index, skipped);
		else
			rc = do_op(q, x, counts, &o, unfinished);
	}
	return rc;
}

static int
weigh_items(struct slice items)
{
	struct qitem i;
	int rc;

	while ((rc = qitem_take(&items, &i)) == 0) {
		if (i.qid == 0)
			return FB_EPROTO;
	}
	return rc == FB_ENOENT ? 0 : rc;
}

int
qstage_weigh(struct slice ops, struct qstage_weight *out)
{
	struct qstage_weight w = { .bytes = ops.len };
	struct qop o;
	int rc;

	while ((rc = qop_take(&ops, &o)) == 0) {
		w.rows += o.count > 0 ? o.count : 1;
		w.bytes += o.type == QOP_DROP ? DROP_WEIGHT : ROW_WEIGHT * (o.count > 0 ? (size_t)o.count : 1);
		w.grows = w.grows || o.type == QOP_WILL_PUT;
		w.has_wills = w.has_wills || o.type == QOP_WILL_PUT || o.type == QOP_WILL_DEL;
		if (o.type != QOP_PUT)
			continue;
		w.grows = true;
		w.has_ids = w.has_ids || o.msg.qos2_id != 0;
		rc = weigh_items(o.items);
		if (rc != 0)
			return rc;
	}
	*out = w;
	return rc == FB_ENOENT ? 0 : rc;
}
