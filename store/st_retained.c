/* SPDX-License-Identifier: Apache-2.0
 *
 * A get walks the table by skip-scan (scan.h) with a cursor that lives for one slice; between slices and between the gets
 * of one replay there is only a key. What is written meanwhile behind the key is seen, before it is not. */
#include "store/st_retained.h"

#include "common/base/buf.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "store/change.h"
#include "store/scan.h"
#include "store/store.h"

#define TOPIC_MAX 65535u

/* ---- writing ---- */

static int
run_put(struct batch_op *op, struct txn *x, struct rec_counts *counts)
{
	const struct change *c = container_of(op, struct change, op);
	int rc = table_has_in(x, TABLE_retained, c->key);

	if (rc == FB_ENOENT)
		counts->retained++;
	else if (rc != 0)
		return rc;
	return table_put(x, TABLE_retained, c->key, c->value);
}

static int
run_del(struct batch_op *op, struct txn *x, struct rec_counts *counts)
{
	const struct change *c = container_of(op, struct change, op);
	int rc = table_del(x, TABLE_retained, c->key);

	if (rc == 0 && counts->retained > 0)
		counts->retained--;
	return rc == FB_ENOENT ? 0 : rc;
}

void
retained_do_put(struct slot *t, struct slice payload)
{
	struct ipc_retain p;
	struct buf key, value;
	struct change *c;

	if (ipc_take_retain(payload, &p) != 0 || p.topic.len == 0 || p.topic.len > TOPIC_MAX)
		store_bad_message(IPC_RETAIN);
	if (!slot_accept(t, p.seq))
		return;
	buf_init(&key);
	buf_init(&value);
	scan_put_key(&key, p.topic);
	if (p.payload.len > 0)
		rec_put_retained(&value, &(struct rec_retained){ .qos = p.qos, .expires_s = p.expires_s,
		    .props = p.props, .payload = p.payload });
	c = change_new(t->store, TABLE_retained, buf_slice(&key), buf_slice(&value),
	    p.payload.len > 0 ? run_put : run_del);
	if (p.payload.len == 0)
		c->op.need = ENV_SHRINKS;
	buf_fini(&key);
	buf_fini(&value);
	change_put_numbered(c, t, p.seq);
}

/* ---- reading ---- */

struct retained_get {
	struct list link;               /* in store->retained.gets */
	struct work_job job;
	struct slot *slot;
	uint64_t req;
	uint32_t max_bytes;
	bool waiting;                   /* for writes in min */
	struct slice filter, min;       /* in bytes */
	struct buf at;                  /* go on at this key */
	struct buf last;                /* the last key looked at */
	struct buf rows, seek;
	uint8_t bytes[];
};

static void
get_free(struct retained_get *g)
{
	list_del(&g->link);
	work_del(&g->job);
	buf_fini(&g->at);
	buf_fini(&g->last);
	buf_fini(&g->rows);
	buf_fini(&g->seek);
	mem_free(g);
}

static void
get_answer(struct retained_get *g, int code, bool more)
{
	struct ipc_retain_rows p = { .req = g->req, .code = (uint16_t)-code, .more = more, .rows = buf_slice(&g->rows) };

	if (more)
		p.next = buf_slice(&g->last);
	ipc_put_retain_rows(chan_begin(g->slot->chan, IPC_RETAIN_ROWS), &p);
	chan_end(g->slot->chan);
	get_free(g);
}

static void
put_row(struct retained_get *g, struct slice key, struct slice value, uint64_t now_s)
{
	struct rec_retained r;
	int bad = rec_take_retained(value, &r);
	uint8_t *topic;

	if (bad != 0) {
		rec_bad(TABLE_retained, key, bad);
		return;
	}
	if (r.expires_s != 0 && r.expires_s <= now_s)
		return;
	buf_put_u8(&g->rows, r.qos);
	buf_put_le64(&g->rows, r.expires_s);
	buf_put_le32(&g->rows, (uint32_t)key.len);
	topic = buf_room(&g->rows, key.len);
	for (size_t i = 0; i < key.len; i++)
		topic[i] = key.p[i] == 0 ? '/' : key.p[i];
	buf_added(&g->rows, key.len);
	buf_put_le32_bytes(&g->rows, r.props);
	buf_put_le32_bytes(&g->rows, r.payload);
}

/* Up to a slice. 0: there is more; FB_ENOENT: that was all. */
static int
scan_slice(struct retained_get *g, struct cursor *c)
{
	uint64_t now_s = (uint64_t)(clock_wall().ns / NS_PER_SEC);
	struct mono until = mono_add(clock_mono(), WORK_SLICE_NS);
	int rc = cursor_seek(c, buf_slice(&g->at));

	for (unsigned n = 1; rc == 0; n++) {
		struct slice key = cursor_key(c);

		switch (scan_look(g->filter, key, &g->seek)) {
		case SCAN_MATCH:
			put_row(g, key, cursor_value(c), now_s);
			buf_clear(&g->last);
			buf_put_slice(&g->last, key);
			buf_clear(&g->at);
			buf_put_slice(&g->at, key);
			buf_put_u8(&g->at, 0);
			break;
		case SCAN_SEEK:
			buf_clear(&g->at);
			buf_put_slice(&g->at, buf_slice(&g->seek));
			break;
		case SCAN_END:
			return FB_ENOENT;
		}
		if (buf_len(&g->rows) >= g->max_bytes || n >= WORK_SLICE_COUNT ||
		    (n % 32 == 0 && mono_diff(until, clock_mono()) <= 0))
			return 0;
		rc = buf_len(&g->seek) > 0 ? cursor_seek(c, buf_slice(&g->at)) : cursor_next(c);
	}
	return rc;
}

static bool
get_step(struct work_job *j)
{
	struct retained_get *g = container_of(j, struct retained_get, job);
	struct cursor *c;
	int rc;

	if (g->filter.len == 0) {
		get_answer(g, 0, false);
		return false;
	}
	if (chan_full(g->slot->chan)) {
		slot_park(g->slot, j);
		return false;
	}
	rc = cursor_open(g->slot->store->env, NULL, TABLE_retained, &c);
	if (rc == 0) {
		rc = scan_slice(g, c);
		cursor_close(c);
	}
	if (rc == FB_EAGAIN || (rc == 0 && buf_len(&g->rows) < g->max_bytes))
		return true;
	get_answer(g, rc == FB_ENOENT ? 0 : rc, rc == 0);
	return false;
}

/* Everything in min is applied? */
static bool
may_go(const struct retained_get *g)
{
	struct slice s = g->min;
	uint64_t epoch = 0;
	uint64_t seq = 0;
	uint16_t number = 0;

	while (slice_take_le16(&s, &number) == 0 && slice_take_le64(&s, &epoch) == 0 && slice_take_le64(&s, &seq) == 0) {
		if (!slots_applied(g->slot->store, number, epoch, seq))
			return false;
	}
	return true;
}

void
retained_do_get(struct slot *t, struct slice payload)
{
	struct store *s = t->store;
	struct ipc_retain_get p;
	struct retained_get *g;

	if (ipc_take_retain_get(payload, &p) != 0 || p.filter.len > TOPIC_MAX)
		store_bad_message(IPC_RETAIN_GET);
	g = mem_alloc(sizeof *g + p.filter.len + p.min.len);
	*g = (struct retained_get){ .slot = t, .req = p.req, .max_bytes = p.max_bytes > 0 ? p.max_bytes : 1 };
	g->job.step = get_step;
	g->filter = slice_of(g->bytes, p.filter.len);
	if (p.filter.len > 0)
		memcpy(g->bytes, p.filter.p, p.filter.len);
	g->min = slice_of(g->bytes + p.filter.len, p.min.len);
	if (p.min.len > 0)
		memcpy(g->bytes + p.filter.len, p.min.p, p.min.len);
	if (p.after.len > 0) {
		scan_put_key(&g->at, p.after);
		buf_put_u8(&g->at, 0);
	} else if (p.filter.len > 0) {
		scan_put_start(&g->at, p.filter);
	}
	list_put_last(&s->retained.gets, &g->link);
	g->waiting = !may_go(g);
	if (!g->waiting)
		work_put(&s->work, &g->job);
}

/* ---- waiting ---- */

static void
on_check(struct task *task)
{
	struct retained *r = container_of(task, struct retained, check);
	struct store *s = container_of(r, struct store, retained);

	LIST_EACH(n, &r->gets) {
		struct retained_get *g = container_of(n, struct retained_get, link);

		if (g->waiting && may_go(g)) {
			g->waiting = false;
			work_put(&s->work, &g->job);
		}
	}
}

void
retained_check_waiting(struct store *s)
{
	if (!list_empty(&s->retained.gets))
		loop_defer(s->loop, &s->retained.check);
}

void
retained_drop_slot(struct slot *t)
{
	LIST_EACH_SAFE(n, tmp, &t->store->retained.gets) {
		struct retained_get *g = container_of(n, struct retained_get, link);

		if (g->slot == t)
			get_free(g);
	}
}

void
retained_init(struct store *s)
{
	list_init(&s->retained.gets);
	task_init(&s->retained.check, on_check);
}

void
retained_fini(struct store *s)
{
	task_cancel(&s->retained.check);
	FB_ASSERT(list_empty(&s->retained.gets));
}
