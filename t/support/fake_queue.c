/* SPDX-License-Identifier: Apache-2.0
 * The queues on disk of the fake store: rows in a list, sorted; Q_OPS strictly in order. */
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/ipc/qops.h"
#include "t/support/fake_tables.h"

struct qrow_kept {
	struct list link;
	uint64_t qid;
	struct qrow row;                /* its message points to bytes */
	uint8_t bytes[];
};

struct qseen {
	struct list link;
	uint64_t id, qid;
};

/* ---- rows ---- */

static struct qrow_kept *
row_find(const struct fake_store_inner *in, uint64_t qid, uint64_t n)
{
	LIST_EACH(l, &in->q_rows) {
		struct qrow_kept *r = container_of(l, struct qrow_kept, link);

		if (r->qid == qid && r->row.n == n)
			return r;
	}
	return NULL;
}

static void
row_del(struct qrow_kept *r)
{
	if (r == NULL)
		return;
	list_del(&r->link);
	mem_free(r);
}

static void
row_put(struct fake_store_inner *in, uint64_t qid, const struct qrow *row)
{
	struct list *at = &in->q_rows;
	struct qrow_kept *r;
	struct slice bytes;
	struct buf b;

	row_del(row_find(in, qid, row->n));
	buf_init(&b);
	qrow_put(&b, row);
	r = mem_zalloc(sizeof *r + buf_len(&b));
	memcpy(r->bytes, buf_slice(&b).p, buf_len(&b));
	bytes = slice_of(r->bytes, buf_len(&b));
	buf_fini(&b);
	r->qid = qid;
	FB_ASSERT(qrow_take(&bytes, &r->row) == 0);
	LIST_EACH(l, &in->q_rows) {
		const struct qrow_kept *o = container_of(l, struct qrow_kept, link);

		if (o->qid < qid || (o->qid == qid && o->row.n < row->n))
			at = l;
	}
	list_insert(at, &r->link);
}

static struct qseen *
seen_find(const struct fake_store_inner *in, uint64_t id, uint64_t qid)
{
	LIST_EACH(l, &in->q_seen) {
		struct qseen *s = container_of(l, struct qseen, link);

		if (s->id == id && s->qid == qid)
			return s;
	}
	return NULL;
}

static void
seen_del(struct qseen *s)
{
	list_del(&s->link);
	mem_free(s);
}

void
fq_drop(struct fake_store_inner *in, uint64_t qid)
{
	LIST_EACH_SAFE(l, tmp, &in->q_rows)
		if (container_of(l, struct qrow_kept, link)->qid == qid)
			row_del(container_of(l, struct qrow_kept, link));
	LIST_EACH_SAFE(l, tmp2, &in->q_seen)
		if (container_of(l, struct qseen, link)->id >> 16 == qid >> 16)
			seen_del(container_of(l, struct qseen, link));
}

void
fq_clear(struct fake_store_inner *in)
{
	LIST_EACH_SAFE(l, tmp, &in->q_rows)
		row_del(container_of(l, struct qrow_kept, link));
	LIST_EACH_SAFE(l, tmp2, &in->q_seen)
		seen_del(container_of(l, struct qseen, link));
	fw_clear(in);
}

void
fq_span(const struct fake_store_inner *in, uint64_t qid, uint64_t *first, uint64_t *last)
{
	*first = *last = 0;
	LIST_EACH(l, &in->q_rows) {
		const struct qrow_kept *r = container_of(l, struct qrow_kept, link);

		if (r->qid != qid)
			continue;
		if (*first == 0)
			*first = r->row.n;
		*last = r->row.n;
	}
}

/* ---- Q_OPS ---- */

/* An item of a PUT; false: it is skipped. */
static bool
put_item(struct fake_store_inner *in, const struct qmsg *m, const struct qitem *i, bool repeat)
{
	const struct qrow row = { .n = i->n, .flags = i->flags, .direct = i->direct, .msg = *m };
	const struct qrow_kept *is = row_find(in, i->qid, i->n);
	struct qseen *s;

	if (repeat)
		return m->qos2_id == 0 || is != NULL || seen_find(in, m->qos2_id, i->qid) == NULL;
	if (m->qos2_id != 0 && seen_find(in, m->qos2_id, i->qid) != NULL)
		return is != NULL && is->row.msg.qos2_id == m->qos2_id;
	if (m->qos2_id != 0) {
		s = mem_zalloc(sizeof *s);
		s->id = m->qos2_id;
		s->qid = i->qid;
		list_put_last(&in->q_seen, &s->link);
	}
	row_put(in, i->qid, &row);
	return true;
}

static void
do_put(struct fake_store_inner *in, struct qop *o, bool repeat, uint32_t *item, struct buf *skipped)
{
	struct qitem i;

	while (qitem_take(&o->items, &i) == 0) {
		if (!put_item(in, &o->msg, &i, repeat))
			buf_put_le32(skipped, *item);
		(*item)++;
	}
}

static void
trim(struct fake_store_inner *in, const struct qop *o)
{
	uint32_t count = o->count;

	LIST_EACH_SAFE(l, tmp, &in->q_rows) {
		struct qrow_kept *r = container_of(l, struct qrow_kept, link);

		if (r->qid == o->qid && r->row.n >= o->n && count > 0) {
			row_del(r);
			count--;
		}
	}
}

static void
apply_other(struct fake_store_inner *in, const struct qop *o)
{
	const struct qrow_kept *is = row_find(in, o->qid, o->n);
	const struct qrow gone = { .n = o->n, .flags = 2 | QITEM_RELEASED, .direct = is != NULL ? is->row.direct : 0 };

	switch ((enum qop_type)o->type) {
	case QOP_PUT:
		break;
	case QOP_WILL_PUT:
	case QOP_WILL_DEL:
		fw_apply(in, o);
		break;
	case QOP_DEL:
		row_del(row_find(in, o->qid, o->n));
		break;
	case QOP_RELEASED:
		row_put(in, o->qid, &gone);
		break;
	case QOP_TRIM:
		trim(in, o);
		break;
	case QOP_DROP:
		fq_drop(in, o->qid);
		break;
	case QOP_FORGET:
		LIST_EACH_SAFE(l, tmp, &in->q_seen)
			if (container_of(l, struct qseen, link)->id == o->id)
				seen_del(container_of(l, struct qseen, link));
		break;
	}
}

static void
apply(struct fake_store_inner *in, struct slice ops, bool repeat, struct buf *skipped)
{
	struct qop o;
	uint32_t item = 0;
	int rc;

	while ((rc = qop_take(&ops, &o)) == 0) {
		if (o.type == QOP_PUT)
			do_put(in, &o, repeat, &item, skipped);
		else if (!repeat)
			apply_other(in, &o);
	}
	FB_ASSERT(rc == FB_ENOENT);
}

static void
say_done(const struct slot *t, uint64_t seq, int err, const struct buf *skipped)
{
	if (t->chan != NULL)
		CHAN_SEND(t->chan, Q_DONE, q_done, .seq = seq, .code = (uint16_t)-err, .skipped = buf_slice(skipped));
}

static struct waiting *
first_of(const struct slot *t)
{
	LIST_EACH(l, &t->store->in->q_ops)
		if (container_of(l, struct waiting, link)->slot == t->number)
			return container_of(l, struct waiting, link);
	return NULL;
}

static void
serve(struct fake_store *s, const struct waiting *w, bool repeat)
{
	struct slot *t = &s->in->slot[w->slot];
	struct ipc_q_ops p;
	struct buf skipped;
	int err = repeat ? 0 : s->fail_queue;

	FB_ASSERT(ipc_take_q_ops(slice_of(w->bytes, w->len), &p) == 0);
	buf_init(&skipped);
	if (err == 0)
		apply(s->in, p.ops, repeat, &skipped);
	if (err == 0 && !repeat)
		t->q_done = ft_number_of(&s->in->q_numbers, w->slot, t->epoch)->last = p.seq;
	say_done(t, p.seq, err, &skipped);
	buf_fini(&skipped);
	/* What follows a refused one is lost. */
	if (err != 0) {
		t->q_next = p.seq;
		ft_waiting_drop(&s->in->q_ops, (int)w->slot);
	}
}

void
fq_ops(struct fake_store *s, struct slot *t, struct waiting *w)
{
	struct ipc_q_ops p;

	FB_ASSERT(ipc_take_q_ops(slice_of(w->bytes, w->len), &p) == 0);
	s->queue_ops++;
	if (p.seq == t->q_next) {
		t->q_next++;
		list_put_last(&s->in->q_ops, &w->link);
		return;
	}
	if (p.seq <= t->q_done) {
		s->queue_repeated++;
		serve(s, w, true);
	}
	mem_free(w);
}

/* ---- Q_GET ---- */

static bool
do_get(struct fake_store *s, const struct waiting *w)
{
	const struct slot *t = &s->in->slot[w->slot];
	struct ipc_q_rows a = { .code = (uint16_t)-s->fail_queue_gets };
	struct ipc_q_get p;
	struct buf rows;
	uint32_t count = 0;

	FB_ASSERT(ipc_take_q_get(slice_of(w->bytes, w->len), &p) == 0);
	if (t->q_done < p.min_seq)
		return false;
	s->queue_gets++;
	a.req = p.req;
	buf_init(&rows);
	LIST_EACH(l, &s->in->q_rows) {
		const struct qrow_kept *r = container_of(l, struct qrow_kept, link);

		if (a.code != 0 || r->qid != p.qid || r->row.n < p.from)
			continue;
		if (count == p.max_rows || (count > 0 && buf_len(&rows) >= p.max_bytes)) {
			a.more = 1;
			break;
		}
		qrow_put(&rows, &r->row);
		count++;
	}
	a.rows = buf_slice(&rows);
	if (t->chan != NULL) {
		ipc_put_q_rows(chan_begin(t->chan, IPC_Q_ROWS), &a);
		chan_end(t->chan);
	}
	buf_fini(&rows);
	return true;
}

void
fq_init(struct fake_store_inner *in)
{
	list_init(&in->q_rows);
	list_init(&in->q_seen);
	list_init(&in->wills);
	list_init(&in->q_numbers);
	list_init(&in->q_ops);
	list_init(&in->q_gets);
}

void
fq_forget(struct fake_store_inner *in)
{
	ft_waiting_drop(&in->q_ops, -1);
	ft_waiting_drop(&in->q_gets, -1);
}

void
fq_fini(struct fake_store_inner *in)
{
	LIST_EACH_SAFE(l, tmp, &in->q_numbers)
		mem_free(container_of(l, struct number, link));
}

void
fq_hello(struct slot *t)
{
	t->q_done = ft_number_of(&t->store->in->q_numbers, t->number, t->epoch)->last;
	t->q_next = t->q_done + 1;
}

void
fq_gone(struct slot *t)
{
	struct waiting *w;

	ft_waiting_drop(&t->store->in->q_gets, (int)t->number);
	while ((w = first_of(t)) != NULL) {
		list_del(&w->link);
		serve(t->store, w, false);
		mem_free(w);
	}
}

bool
fq_step(struct fake_store *s)
{
	struct waiting *w;
	bool any = false;

	while (!s->hold_queue && (w = LIST_FIRST(&s->in->q_ops, struct waiting, link)) != NULL) {
		list_del(&w->link);
		serve(s, w, false);
		mem_free(w);
		any = true;
	}
	LIST_EACH_SAFE(l, tmp, &s->in->q_gets) {
		if (s->hold_queue_gets || !do_get(s, container_of(l, struct waiting, link)))
			continue;
		list_del(l);
		mem_free(container_of(l, struct waiting, link));
		any = true;
	}
	return any;
}

/* ---- for the test ---- */

unsigned
fake_queue_count(const struct fake_store *s, uint64_t qid)
{
	unsigned count = 0;

	LIST_EACH(l, &s->in->q_rows)
		count += qid == 0 || container_of(l, struct qrow_kept, link)->qid == qid;
	return count;
}

const char *
fake_queue_row(const struct fake_store *s, uint64_t qid, uint64_t n)
{
	const struct qrow_kept *r = row_find(s->in, qid, n);

	if (r == NULL)
		return NULL;
	if (r->row.flags & QITEM_RELEASED)
		return "released";
	snprintf(s->in->text, sizeof s->in->text, "%.*s", (int)r->row.msg.payload.len, (const char *)r->row.msg.payload.p);
	return s->in->text;
}

bool
fake_queue_seen(const struct fake_store *s, uint64_t qos2_id, uint64_t qid)
{
	return seen_find(s->in, qos2_id, qid) != NULL;
}

void
fake_queue_put(struct fake_store *s, uint64_t qid, uint64_t n, const char *topic, const char *payload, uint8_t qos)
{
	const struct qrow row = { .n = n, .flags = qos, .msg = { .topic = slice_str(topic), .payload = slice_str(payload),
		.qos = qos } };

	row_put(s->in, qid, &row);
}
