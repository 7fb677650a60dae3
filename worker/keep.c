/* SPDX-License-Identifier: Apache-2.0
 * What is put is put in the order in which it came, and no message of a session goes to the disk while an older one of it is
 * held back: after a crash the rows of a session are the first of what it was due, without a hole.
 *
 * An entry points to its session only while an item in the session's queue or window points to the entry: whoever takes
 * the item away says keep_gone() or keep_detach(). */
#include "worker/keep.h"

#include <stdlib.h>

#include "common/base/mem.h"
#include "common/metrics/page.h"
#include "worker/deliver.h"
#include "worker/flow.h"
#include "worker/publish.h"
#include "worker/queuec.h"
#include "worker/worker.h"

#define STORES 64u              /* between two looks at the clock */

enum entry_state {
	ENTRY_HELD,
	ENTRY_ASIDE,                    /* held, and has no place */
	ENTRY_NOW,                      /* to be put at the end of this turn */
	ENTRY_PUT,                      /* asked of the store, not answered */
	ENTRY_CLOSED
};

struct entry {
	struct session *session;        /* NULL: nothing in memory */
	uint64_t qid, n;
	uint8_t flags, direct;
	uint8_t state;
};

struct told {                           /* who waits */
	struct told *next;
	struct waiting *wait;           /* or */
	uint64_t token;
	unsigned from;
};

struct keep {
	struct keeps *all;
	uint64_t number;                /* in the order in which they came */
	struct list link;               /* in ->held, ->now or ->closed; or unlinked */
	struct msg *msg;
	struct mono due;                /* held until then */
	struct told told;               /* the first; used if told_any */
	uint32_t count, room;
	uint32_t open;                  /* entries not closed */
	uint32_t held;                  /* of which are HELD */
	uint32_t puts;                  /* answers that are due */
	size_t real_size;
	bool told_any;
	bool is_now;                    /* has entries NOW */
	struct entry entries[];
};

/* One PUT of some of a keep's entries, to be answered. */
struct put {
	struct list link;
	struct keep *keep;
	size_t real_size;
	uint32_t count;
	uint32_t at[];
};

struct keeps {
	struct worker *worker;
	struct list held;               /* by due, the first first */
	struct list now;
	bool now_unsorted;              /* not in the order of their numbers */
	uint64_t last_number;
	struct list closed;             /* to be told and freed */
	struct list puts;
	struct timer timer;             /* for the first that is held */
	struct buf items;               /* struct qitem, of the PUT in hand */
};

static void on_due(struct timer *t);

struct keeps *
keeps_new(struct worker *w)
{
	struct keeps *all = mem_zalloc(sizeof *all);

	all->worker = w;
	list_init(&all->held);
	list_init(&all->now);
	list_init(&all->closed);
	list_init(&all->puts);
	timer_init(&all->timer, on_due);
	return all;
}

static void
keep_free(struct keep *k)
{
	struct told *t = k->told.next;

	while (t != NULL) {
		struct told *next = t->next;

		mem_free(t);
		t = next;
	}
	list_del(&k->link);
	msg_drop(k->msg);
	mem_slab_put(k, k->real_size);
}

void
keeps_free(struct keeps *all)
{
	loop_timer_cancel(all->worker->loop, &all->timer);
	LIST_EACH_SAFE(n, tmp, &all->puts) {
		struct put *p = container_of(n, struct put, link);

		if (--p->keep->puts == 0 && !list_linked(&p->keep->link))
			list_put_last(&all->closed, &p->keep->link);
		mem_slab_put(p, p->real_size);
	}
	list_move_all(&all->closed, &all->now);
	list_move_all(&all->closed, &all->held);
	LIST_EACH_SAFE(n, tmp, &all->closed)
		keep_free(container_of(n, struct keep, link));
	buf_fini(&all->items);
	mem_free(all);
}

struct keep *
keep_new(struct worker *w, struct msg *m, uint32_t room)
{
	size_t real;
	struct keep *k = mem_slab_get(sizeof *k + room * sizeof k->entries[0], &real);

	*k = (struct keep){ .all = w->keeps, .number = ++w->keeps->last_number, .msg = msg_hold(m), .room = room, .real_size = real };
	return k;
}

static void
go_now(struct keep *k, struct entry *e)
{
	struct keeps *all = k->all;

	e->state = ENTRY_NOW;
	if (k->is_now)
		return;
	k->is_now = true;
	list_del(&k->link);
	if (!list_empty(&all->now) && container_of(all->now.prev, struct keep, link)->number > k->number)
		all->now_unsorted = true;
	list_put_last(&all->now, &k->link);
	worker_wake(all->worker);
}

/* It is held back no more. */
static void
unhold(struct keep *k, const struct entry *e)
{
	k->held--;
	e->session->flow->held--;
}

static void
hold(struct keep *k)
{
	struct keeps *all = k->all;
	struct list *before;

	list_del(&k->link);
	before = all->held.prev;
	while (before != &all->held && mono_diff(container_of(before, struct keep, link)->due, k->due) > 0)
		before = before->prev;
	list_insert(before, &k->link);
	if (!timer_is_set(&all->timer))
		loop_timer_in(all->worker->loop, &all->timer, KEEP_HOLD_NS);
}

static void
go_held(struct keep *k, struct entry *e)
{
	e->state = ENTRY_HELD;
	e->session->flow->held++;
	if (++k->held > 1)
		return;
	k->due = mono_add(loop_now(k->all->worker->loop), KEEP_HOLD_NS);
	if (!k->is_now)
		hold(k);
}

uint32_t
keep_add(struct keep *k, struct session *s, uint64_t n, uint8_t flags, uint8_t direct, enum keep_how how, bool in_memory)
{
	struct entry *e = &k->entries[k->count];

	FB_ASSERT(k->count < k->room);
	*e = (struct entry){ .session = in_memory ? s : NULL, .qid = s->qid, .n = n, .flags = flags, .direct = direct };
	k->open++;
	switch (how) {
	case KEEP_NOW:
		if (s != NULL && s->flow->held > 0)
			keep_flow_now(s->flow);
		go_now(k, e);
		break;
	case KEEP_HELD:
		go_held(k, e);
		break;
	case KEEP_ASIDE:
		e->state = ENTRY_ASIDE;
		break;
	}
	return k->count++;
}

uint32_t
keep_add_other(struct keep *k)
{
	FB_ASSERT(k->count < k->room);
	k->entries[k->count] = (struct entry){ .state = ENTRY_ASIDE };
	k->open++;
	return k->count++;
}

static struct told *
told_new(struct keep *k)
{
	struct told *t;

	if (!k->told_any) {
		k->told_any = true;
		k->told = (struct told){ 0 };
		return &k->told;
	}
	t = mem_zalloc(sizeof *t);
	t->next = k->told.next;
	k->told.next = t;
	return t;
}

void
keep_tell_wait(struct keep *k, struct waiting *wait)
{
	told_new(k)->wait = wait;
}

void
keep_tell_neighbour(struct keep *k, unsigned from, uint64_t token)
{
	struct told *t = told_new(k);

	t->from = from;
	t->token = token;
}

/* ---- closing ---- */

static void
closed(struct keep *k)
{
	if (k->open > 0)
		return;
	list_del(&k->link);
	list_put_last(&k->all->closed, &k->link);
	worker_wake(k->all->worker);
}

static void
tell(struct keep *k)
{
	struct worker *w = k->all->worker;

	for (struct told *t = k->told_any ? &k->told : NULL; t != NULL; t = t->next) {
		if (t->wait != NULL)
			publish_leg_closed(t->wait, false);
		else
			cluster_kept(w->cluster, t->from, t->token);
	}
	k->told_any = false;
}

/* A PUT under way notes that the session has had a QoS 2 publish: were the publisher told before, it might release the
 * identity, and use it again, before that note is made. */
static void
close_entry(struct keep *k, struct entry *e)
{
	if (e->state == ENTRY_PUT && msg_pub(k->msg).qos2_id != 0) {
		e->session = NULL;
		return;
	}
	if (e->state == ENTRY_HELD)
		unhold(k, e);
	e->state = ENTRY_CLOSED;
	e->session = NULL;
	k->open--;
	closed(k);
}

void
keep_gone(struct keep *k, uint32_t at)
{
	struct entry *e = &k->entries[at];

	FB_ASSERT(e->state != ENTRY_CLOSED);
	if (e->state == ENTRY_PUT)
		queuec_del(k->all->worker->queue, e->qid, e->n);
	close_entry(k, e);
}

void
keep_detach(struct keep *k, uint32_t at)
{
	struct entry *e = &k->entries[at];

	FB_ASSERT(e->state != ENTRY_CLOSED);
	close_entry(k, e);
}

void
keep_now(struct keep *k, uint32_t at, uint64_t n, bool in_memory)
{
	struct entry *e = &k->entries[at];

	if (e->state == ENTRY_HELD)
		unhold(k, e);
	else if (e->state == ENTRY_ASIDE)
		e->n = n;
	if (!in_memory)
		e->session = NULL;
	if (e->state == ENTRY_HELD || e->state == ENTRY_ASIDE)
		go_now(k, e);
}

void
keep_flow_now(struct flow *f)
{
	struct inflight *slot;
	uint64_t seq = f->window_head;

	while ((slot = flow_next(f, &seq, NULL)) != NULL) {
		if (slot->stored == STORED_ASKED)
			keep_now(slot->keep, slot->keep_at, seq - 1, true);
	}
	for (uint32_t pos = f->queue_head; pos != f->queue_tail; pos++) {
		const struct queued *q = &f->queue[pos & (f->queue_room - 1)];

		if (q->stored == STORED_ASKED && !q->aside)
			keep_now(q->keep, q->keep_at, q->n, true);
	}
}

static void
store_one(struct worker *w, const struct session *s, const struct msg *m, struct qitem item)
{
	struct cluster_pub p = msg_pub(m);

	item.qid = s->qid;
	queuec_put(w->queue, &p, &item, 1, NULL, NULL);
}

bool
keep_all(struct worker *w, struct session *s)
{
	struct flow *f = s->flow;
	struct inflight *slot;
	uint64_t seq = f->window_head;
	unsigned count = 0;

	while ((slot = flow_next(f, &seq, NULL)) != NULL) {
		struct qitem item = { .n = seq - 1, .flags = (uint8_t)(slot->qos | (slot->retain ? QITEM_RETAIN : 0)) };

		if (slot->stored != STORED_NO)
			continue;
		if (slot->msg != NULL)
			store_one(w, s, slot->msg, item);
		else
			queuec_released(w->queue, s->qid, seq - 1, NULL, NULL);
		slot->stored = STORED_ON;
		if (++count % STORES == 0 && worker_check_turn(w))
			return false;
	}
	for (uint32_t pos = f->queue_head; pos != f->queue_tail; pos++) {
		struct queued *q = &f->queue[pos & (f->queue_room - 1)];
		struct qitem item = { .n = q->n, .flags = (uint8_t)(q->qos | (q->retain ? QITEM_RETAIN : 0)),
			.direct = q->direct };

		FB_ASSERT(!q->aside);
		if (q->stored != STORED_NO)
			continue;
		store_one(w, s, q->msg, item);
		q->stored = STORED_ON;
		if (++count % STORES == 0 && worker_check_turn(w))
			return false;
	}
	keep_flow_now(f);
	return true;
}

void
keep_slot_gone(struct worker *w, struct session *s, struct inflight *slot, uint64_t n)
{
	if (slot->stored == STORED_ASKED)
		keep_gone(slot->keep, slot->keep_at);
	else if (slot->stored == STORED_ON)
		queuec_del(w->queue, s->qid, n);
	slot->stored = STORED_NO;
}

void
keep_queued_gone(struct worker *w, struct session *s, const struct queued *q)
{
	if (q->stored == STORED_ASKED)
		keep_gone(q->keep, q->keep_at);
	else if (q->stored == STORED_ON)
		queuec_del(w->queue, s->qid, q->n);
}

/* ---- the store ---- */

/* Its row is there; or (skipped) the session has had that QoS 2 publish before. */
static void
item_answered(struct worker *w, const struct entry *e, bool skipped)
{
	struct session *s = e->session;
	struct flow *f = s->flow;
	struct queued *q = flow_queued_at(f, e->n);
	struct inflight *slot;

	if (q == NULL) {
		slot = flow_slot_at(f, e->n);
		FB_ASSERT(slot != NULL && slot->stored == STORED_ASKED);
		slot->stored = STORED_ON;
		slot->keep = NULL;
		return;
	}
	q->stored = STORED_ON;
	q->keep = NULL;
	if (skipped)
		msg_drop(flow_take_at(f, e->n).msg);
	/* QoS 2 goes out when it is on the disk. */
	deliver_pump(w, s);
}

static void
on_put(void *arg, const struct queue_answer *a)
{
	struct put *p = arg;
	struct keep *k = p->keep;

	k->puts--;
	for (uint32_t i = 0; i < p->count; i++) {
		struct entry *e = &k->entries[p->at[i]];
		struct entry was = *e;

		if (was.state == ENTRY_CLOSED)
			continue;
		e->state = ENTRY_CLOSED;
		e->session = NULL;
		k->open--;
		if (was.session != NULL)
			item_answered(k->all->worker, &was, queuec_skipped(a, i));
	}
	list_del(&p->link);
	mem_slab_put(p, p->real_size);
	closed(k);
}

/* The next count entries NOW, from *at on, in one PUT. */
static void
put_some(struct keep *k, uint32_t *at, uint32_t count)
{
	struct keeps *all = k->all;
	struct cluster_pub p = msg_pub(k->msg);
	size_t real;
	struct put *put;

	buf_clear(&all->items);
	put = mem_slab_get(sizeof *put + count * sizeof put->at[0], &real);
	*put = (struct put){ .keep = k, .real_size = real };
	list_put_last(&all->puts, &put->link);
	for (; put->count < count; ++*at) {
		struct entry *e = &k->entries[*at];
		struct qitem item = { .qid = e->qid, .n = e->n, .flags = e->flags, .direct = e->direct };

		if (e->state != ENTRY_NOW)
			continue;
		e->state = ENTRY_PUT;
		put->at[put->count++] = *at;
		buf_put(&all->items, &item, sizeof item);
	}
	k->puts++;
	queuec_put(all->worker->queue, &p, (const struct qitem *)(const void *)buf_slice(&all->items).p, count, on_put, put);
}

static void
put_now(struct keep *k)
{
	uint32_t count = 0;
	uint32_t at = 0;

	for (uint32_t i = 0; i < k->count; i++)
		count += k->entries[i].state == ENTRY_NOW;
	list_del(&k->link);
	k->is_now = false;
	if (count == 0)
		closed(k);
	for (; count > QOPS_ITEMS_MAX; count -= QOPS_ITEMS_MAX)
		put_some(k, &at, QOPS_ITEMS_MAX);
	if (count > 0)
		put_some(k, &at, count);
	if (k->held > 0)
		hold(k);
}

static void
all_held_now(struct keep *k)
{
	for (uint32_t i = 0; i < k->count && k->held > 0; i++) {
		struct entry *e = &k->entries[i];

		if (e->state == ENTRY_HELD) {
			unhold(k, e);
			go_now(k, e);
		}
	}
}

static void
on_due(struct timer *t)
{
	struct keeps *all = container_of(t, struct keeps, timer);
	struct mono now = loop_now(all->worker->loop);

	while (!list_empty(&all->held)) {
		struct keep *k = container_of(all->held.next, struct keep, link);

		if (mono_diff(k->due, now) > 0) {
			loop_timer_in(all->worker->loop, t, mono_diff(k->due, now));
			return;
		}
		if (k->held == 0)
			list_del(&k->link);
		all_held_now(k);
	}
}

static int
by_number(const void *a, const void *b)
{
	const struct keep *x = *(struct keep *const *)a;
	const struct keep *y = *(struct keep *const *)b;

	return x->number < y->number ? -1 : x->number > y->number;
}

static void
sort_now(struct keeps *all)
{
	size_t count = 0;
	size_t i = 0;
	struct keep **sorted;

	LIST_EACH(n, &all->now)
		count++;
	sorted = mem_alloc(count * sizeof(struct keep *));
	LIST_EACH(n, &all->now)
		sorted[i++] = container_of(n, struct keep, link);
	qsort(sorted, count, sizeof(struct keep *), by_number);
	list_init(&all->now);
	for (i = 0; i < count; i++) {
		sorted[i]->link = (struct list){ 0 };
		list_put_last(&all->now, &sorted[i]->link);
	}
	mem_free(sorted);
}

void
keeps_put(struct keeps *all)
{
	if (all->now_unsorted && !list_empty(&all->now))
		sort_now(all);
	all->now_unsorted = false;
	while (!list_empty(&all->now))
		put_now(container_of(all->now.next, struct keep, link));
}

void
keeps_turn_end(struct keeps *all)
{
	while (!list_empty(&all->now) || !list_empty(&all->closed)) {
		keeps_put(all);
		while (!list_empty(&all->closed)) {
			struct keep *k = container_of(all->closed.next, struct keep, link);

			list_del(&k->link);
			if (k->open > 0)
				continue;       /* one more was added since */
			tell(k);
			if (k->puts == 0)
				keep_free(k);
		}
	}
}
