/* SPDX-License-Identifier: Apache-2.0
 *
 * Of one client there may be one row: the stamps of its connections say which of two is the newer one, whichever worker's
 * write comes first. So a row that is not the newest one is gone without a word, as its client came back. */
#include "store/st_wills.h"

#include "common/base/mem.h"
#include "common/base/rand.h"
#include "common/ipc/qops.h"
#include "common/metrics/page.h"
#include "store/store.h"

#define HANDED_MAX 1000         /* at the workers, and not deleted yet */

enum due_state {
	DUE_WAITS,
	DUE_HANDED,             /* to a worker */
	DUE_CANCELLED,          /* until its row is gone */
};

struct due {
	struct hmap_node node;
	struct list link;               /* in wills.waiting */
	struct mono since;
	uint64_t stamp;
	uint16_t slot;                  /* DUE_HANDED: whose it is */
	uint8_t state;
	struct slice id;                /* in bytes */
	uint8_t bytes[];
};

struct back {
	struct hmap_node node;
	struct slice id;                /* in bytes */
	uint8_t bytes[];
};

/* ---- in transactions ---- */

static int
stamp_of(struct txn *x, struct slice id, struct buf *b, uint64_t *stamp)
{
	struct rec_will r;
	int rc;

	buf_clear(b);
	rc = table_get(txn_env(x), x, TABLE_wills, id, b);
	/* One that cannot be read gives way to any. */
	if (rc == 0)
		*stamp = rec_take_will(buf_slice(b), &r) == 0 ? r.stamp : 0;
	return rc;
}

static int
put(struct txn *x, unsigned slot, uint64_t epoch, const struct qop *o)
{
	uint64_t stamp = 0;
	struct buf b;
	int rc;

	buf_init(&b);
	rc = stamp_of(x, o->will.client_id, &b, &stamp);
	if (rc == FB_ENOENT || (rc == 0 && stamp <= o->will.stamp)) {
		buf_clear(&b);
		rec_put_will(&b, &(struct rec_will){ .stamp = o->will.stamp, .slot = (uint16_t)slot, .epoch = epoch,
		    .disk = o->will.disk, .account = o->will.account, .msg = o->msg });
		rc = table_put(x, TABLE_wills, o->will.client_id, buf_slice(&b));
	}
	buf_fini(&b);
	return rc;
}

static int
del(struct txn *x, const struct qwill *w)
{
	uint64_t stamp = 0;
	struct buf b;
	int rc;

	buf_init(&b);
	rc = stamp_of(x, w->client_id, &b, &stamp);
	buf_fini(&b);
	if (rc == 0 && stamp <= w->stamp)
		rc = table_del(x, TABLE_wills, w->client_id);
	return rc == FB_ENOENT ? 0 : rc;
}

int
will_rows_apply(struct txn *x, unsigned slot, uint64_t epoch, struct slice ops)
{
	struct qop o;
	int rc = 0;

	while (rc == 0 && qop_take(&ops, &o) == 0) {
		if (o.type == QOP_WILL_PUT)
			rc = put(x, slot, epoch, &o);
		else if (o.type == QOP_WILL_DEL)
			rc = del(x, &o.will);
	}
	return rc;
}

/* ---- what is due ---- */

static struct due *
due_find(const struct will_rows *w, struct slice id)
{
	uint64_t h = rand_hash(id.p, id.len);

	for (struct hmap_node *n = hmap_first(&w->due, h); n != NULL; n = hmap_next(n, h)) {
		struct due *d = container_of(n, struct due, node);

		if (slice_eq(d->id, id))
			return d;
	}
	return NULL;
}

static struct due *
due_add(struct will_rows *w, struct slice id)
{
	struct due *d = mem_zalloc(sizeof *d + id.len);

	memcpy(d->bytes, id.p, id.len);
	d->id = slice_of(d->bytes, id.len);
	hmap_put(&w->due, &d->node, rand_hash(id.p, id.len));
	METRIC_SET(wills_due, w->due.count);
	return d;
}

static void
due_set(struct will_rows *w, struct due *d, enum due_state state)
{
	if (d->state == DUE_HANDED)
		w->handed--;
	list_del(&d->link);
	d->state = (uint8_t)state;
	if (state == DUE_HANDED)
		w->handed++;
}

static void
due_free(struct will_rows *w, struct due *d)
{
	due_set(w, d, DUE_CANCELLED);
	hmap_del(&w->due, &d->node);
	METRIC_SET(wills_due, w->due.count);
	mem_free(d);
}

static void deleted(struct store *s, const struct qwill *w);

struct cancel {
	struct batch_op op;
	struct store *store;
	struct qwill will;              /* its id is in bytes */
	uint8_t bytes[];
};

static int
run_cancel(struct batch_op *op, struct txn *x, struct rec_counts *counts)
{
	(void)counts;
	return del(x, &container_of(op, struct cancel, op)->will);
}

/* One that could not be deleted stays in the list, so that at least this store does not find it again. */
static void
done_cancel(struct batch_op *op)
{
	struct cancel *c = container_of(op, struct cancel, op);

	if (op->code == 0)
		deleted(c->store, &c->will);
	mem_free(c);
}

/* The client came back. d may be with a worker already; its row goes all the same: should that one die, it was not to be
 * published again. */
static void
cancel(struct store *s, struct due *d)
{
	struct cancel *c = mem_zalloc(sizeof *c + d->id.len);

	if (d->state == DUE_WAITS)
		METRIC_ADD(wills_cancelled, 1);
	due_set(&s->wills, d, DUE_CANCELLED);
	memcpy(c->bytes, d->id.p, d->id.len);
	c->store = s;
	c->will = (struct qwill){ .client_id = slice_of(c->bytes, d->id.len), .stamp = d->stamp };
	c->op.run = run_cancel;
	c->op.done = done_cancel;
	c->op.need = ENV_SHRINKS;
	c->op.bytes = sizeof *c;
	batch_put(s->qbatch, &c->op);
}

static void
kick(struct store *s)
{
	if (s->wills.open && !list_empty(&s->wills.waiting))
		work_put(&s->work, &s->wills.hand);
}

static void
deleted(struct store *s, const struct qwill *w)
{
	struct due *d = s->wills.due.count > 0 ? due_find(&s->wills, w->client_id) : NULL;

	if (d == NULL || d->stamp > w->stamp)
		return;
	due_free(&s->wills, d);
	kick(s);
}

void
will_rows_applied(struct store *s, struct slice ops)
{
	struct qop o;

	while (s->wills.due.count > 0 && qop_take(&ops, &o) == 0)
		if (o.type == QOP_WILL_DEL)
			deleted(s, &o.will);
}

/* ---- to the workers ---- */

static struct mono
due_at(const struct store *s, const struct due *d)
{
	const struct will_rows *w = &s->wills;

	return mono_add(d->since.ns > w->open_since.ns ? d->since : w->open_since, s->config.will_grace * NS_PER_SEC);
}

static bool
is_living(const struct store *s, unsigned slot, uint64_t epoch)
{
	return slot < s->slot_count && s->slots.slot[slot].epoch == epoch;
}

/* Each gets its share; NULL: none is there. */
static struct slot *
next_worker(struct store *s)
{
	size_t from = s->wills.handed;

	for (unsigned i = 0; i < s->slot_count; i++) {
		struct slot *t = &s->slots.slot[(from + i) % s->slot_count];

		if (slot_live(t) && t->loaded)
			return t;
	}
	return NULL;
}

static void
hand(struct slot *t, struct due *d)
{
	struct store *s = t->store;
	struct rec_will r;
	struct buf b;
	struct buf msg;

	buf_init(&b);
	/* It may be another connection's by now. */
	if (table_get(s->queue, NULL, TABLE_wills, d->id, &b) != 0 || rec_take_will(buf_slice(&b), &r) != 0 ||
	    is_living(s, r.slot, r.epoch)) {
		due_free(&s->wills, d);
		buf_fini(&b);
		return;
	}
	buf_init(&msg);
	qmsg_put(&msg, &r.msg);
	d->stamp = r.stamp;
	d->slot = (uint16_t)t->number;
	due_set(&s->wills, d, DUE_HANDED);
	CHAN_SEND(t->chan, WILL_DUE, will, .stamp = r.stamp, .disk = r.disk, .client_id = d->id, .account = r.account,
	    .msg = buf_slice(&msg));
	buf_fini(&msg);
	buf_fini(&b);
}

static bool
hand_step(struct work_job *j)
{
	struct store *s = container_of(j, struct store, wills.hand);
	struct will_rows *w = &s->wills;

	for (unsigned n = 0; n < WORK_SLICE_COUNT; n++) {
		struct due *d = LIST_FIRST(&w->waiting, struct due, link);
		struct slot *t = next_worker(s);

		/* Who comes, is loaded or deletes one sees to it that this goes on. */
		if (d == NULL || t == NULL || w->handed >= HANDED_MAX)
			return false;
		if (mono_diff(due_at(s, d), loop_now(s->loop)) > 0) {
			loop_timer_set(s->loop, &w->timer, due_at(s, d));
			return false;
		}
		if (chan_full(t->chan)) {
			slot_park(t, j);
			return false;
		}
		hand(t, d);
	}
	return true;
}

static void
on_timer(struct timer *t)
{
	kick(container_of(t, struct store, wills.timer));
}

void
will_rows_configure(struct store *s)
{
	kick(s);
}

/* ---- reading the table ---- */

static bool
back_has(const struct will_rows *w, struct slice id)
{
	uint64_t h = rand_hash(id.p, id.len);

	for (struct hmap_node *n = hmap_first(&w->back, h); n != NULL; n = hmap_next(n, h)) {
		if (slice_eq(container_of(n, struct back, node)->id, id))
			return true;
	}
	return false;
}

static void
back_put(struct will_rows *w, struct slice id)
{
	struct back *b;

	if (back_has(w, id))
		return;
	b = mem_zalloc(sizeof *b + id.len);
	memcpy(b->bytes, id.p, id.len);
	b->id = slice_of(b->bytes, id.len);
	hmap_put(&w->back, &b->node, rand_hash(id.p, id.len));
}

static void
back_clear(struct will_rows *w)
{
	struct hmap_iter it = { 0 };
	struct hmap_node *n;

	while ((n = hmap_each(&w->back, &it)) != NULL) {
		hmap_del(&w->back, n);
		mem_free(container_of(n, struct back, node));
	}
}

/* Is its client connected by a later CONNECT, or was it since that connection's worker died? */
static bool
is_back(const struct store *s, struct slice id, uint64_t stamp)
{
	const struct owner *o = owners_find(&s->owners, id);

	return (o != NULL && (o->flags & (OWNER_HELD | OWNER_CAME)) == (OWNER_HELD | OWNER_CAME) && o->stamp > stamp) ||
	    back_has(&s->wills, id);
}

static void
look_at(struct store *s, struct slice id, struct slice value)
{
	struct will_rows *w = &s->wills;
	struct rec_will r;
	struct due *d;
	int bad = rec_take_will(value, &r);

	if (bad != 0) {
		rec_bad(TABLE_wills, id, bad);
		return;
	}
	if (is_living(s, r.slot, r.epoch))
		return;
	d = due_find(w, id);
	if (d != NULL && d->stamp >= r.stamp)
		return;
	if (d == NULL)
		d = due_add(w, id);
	due_set(w, d, DUE_WAITS);
	d->stamp = r.stamp;
	d->since = loop_now(s->loop);
	list_put_last(&w->waiting, &d->link);
	if (is_back(s, id, r.stamp))
		cancel(s, d);
}

/* Those that a worker named as its to publish, and had deleted when the last store ended. */
static void
drop_done(struct store *s)
{
	struct will_rows *w = &s->wills;
	struct hmap_iter it = { 0 };
	struct hmap_node *n;

	while (w->handed > 0 && (n = hmap_each(&w->due, &it)) != NULL) {
		struct due *d = container_of(n, struct due, node);

		if (d->state == DUE_HANDED && !table_has(s->queue, TABLE_wills, d->id))
			due_free(w, d);
	}
}

static int
scan_some(struct store *s)
{
	struct will_rows *w = &s->wills;
	struct mono until = mono_add(clock_mono(), WORK_SLICE_NS);
	struct cursor *c;
	int rc = cursor_open(s->queue, NULL, TABLE_wills, &c);

	if (rc != 0)
		return rc;
	for (rc = cursor_seek(c, buf_slice(&w->after)); rc == 0; rc = cursor_next(c)) {
		buf_clear(&w->after);
		buf_put_slice(&w->after, cursor_key(c));
		buf_put_u8(&w->after, 0);
		look_at(s, cursor_key(c), cursor_value(c));
		if (mono_diff(until, clock_mono()) <= 0)
			break;
	}
	cursor_close(c);
	return rc;
}

static bool
scan_step(struct work_job *j)
{
	struct store *s = container_of(j, struct store, wills.scan);
	struct will_rows *w = &s->wills;

	if (scan_some(s) != FB_ENOENT)
		return true;
	buf_clear(&w->after);
	if (w->again) {
		w->again = false;
		return true;
	}
	w->scanning = false;
	back_clear(w);
	drop_done(s);
	kick(s);
	return false;
}

static void
scan(struct store *s)
{
	struct will_rows *w = &s->wills;

	if (w->scanning) {
		w->again = true;
		return;
	}
	w->scanning = true;
	buf_clear(&w->after);
	work_put(&s->work, &w->scan);
}

/* ---- events ---- */

void
will_rows_start(struct store *s)
{
	scan(s);
}

static void
check_open(struct store *s)
{
	for (unsigned i = 0; i < s->slot_count && !s->wills.open; i++)
		if (s->slots.slot[i].chan != NULL && !s->slots.slot[i].loaded)
			return;
	if (!s->wills.open) {
		s->wills.open = true;
		s->wills.open_since = loop_now(s->loop);
	}
	kick(s);
}

void
will_rows_slot_loaded(struct store *s)
{
	check_open(s);
}

void
will_rows_slot_gone(struct store *s, unsigned slot)
{
	struct will_rows *w = &s->wills;
	struct hmap_iter it = { 0 };
	struct hmap_node *n;

	while (w->handed > 0 && (n = hmap_each(&w->due, &it)) != NULL) {
		struct due *d = container_of(n, struct due, node);

		if (d->state != DUE_HANDED || d->slot != slot)
			continue;
		due_set(w, d, DUE_WAITS);
		d->since.ns = 0;
		list_put_first(&w->waiting, &d->link);
	}
	/* Before that whose rows are whose is not known, and will_rows_start() finds all. */
	if (!s->slots.all_named)
		return;
	scan(s);
	check_open(s);
}

void
will_rows_client_back(struct store *s, struct slice id)
{
	struct will_rows *w = &s->wills;
	struct due *d = w->due.count > 0 ? due_find(w, id) : NULL;

	if (w->scanning)
		back_put(w, id);
	if (d != NULL && d->state != DUE_CANCELLED)
		cancel(s, d);
}

void
will_rows_do_here(struct slot *t, struct slice payload)
{
	struct will_rows *w = &t->store->wills;
	struct ipc_client p;
	struct due *d;

	if (ipc_take_client(payload, &p) != 0 || p.client_id.len == 0)
		store_bad_message(IPC_WILL_HERE);
	d = due_find(w, p.client_id);
	if (d == NULL)
		d = due_add(w, p.client_id);
	else if (d->stamp > p.stamp)
		return;
	due_set(w, d, DUE_HANDED);
	d->stamp = p.stamp;
	d->slot = (uint16_t)t->number;
}

void
will_rows_clear(struct store *s)
{
	struct will_rows *w = &s->wills;
	struct hmap_iter it = { 0 };
	struct hmap_node *n;

	while ((n = hmap_each(&w->due, &it)) != NULL)
		due_free(w, container_of(n, struct due, node));
}

void
will_rows_init(struct store *s)
{
	struct will_rows *w = &s->wills;

	hmap_init(&w->due);
	hmap_init(&w->back);
	list_init(&w->waiting);
	timer_init(&w->timer, on_timer);
	w->hand.step = hand_step;
	w->scan.step = scan_step;
	buf_init(&w->after);
}

void
will_rows_fini(struct store *s)
{
	struct will_rows *w = &s->wills;

	will_rows_clear(s);
	back_clear(w);
	hmap_fini(&w->due);
	hmap_fini(&w->back);
	loop_timer_cancel(s->loop, &w->timer);
	work_del(&w->hand);
	work_del(&w->scan);
	buf_fini(&w->after);
}
