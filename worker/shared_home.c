/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/mem.h"
#include "common/metrics/page.h"
#include "worker/queuec.h"
#include "worker/shared_group.h"

void
shared_item_free(struct worker *w, struct shared_item *i)
{
	struct shared_group *g = i->group;

	list_del(&i->link);
	if (g->slot != NULL)
		hmap_del(&w->shares->items, &i->node);
	if (i->stored && !w->shares->ends)
		queuec_del(w->queue, g->qid, i->node.hash);
	if (i->slot != SHARED_NOBODY)
		g->slot[i->slot].out--;
	g->items--;
	msg_drop(i->msg);
	mem_slab_put(i, i->real_size);
}

void
shared_queue_take(struct shared_group *g, struct shared_item *i)
{
	list_del(&i->link);
	g->queued--;
	g->queued_bytes -= msg_cost(i->msg);
}

void
shared_queue_drop_first(struct worker *w, struct shared_group *g)
{
	struct shared_item *i = LIST_FIRST(&g->queue, struct shared_item, link);

	shared_queue_take(g, i);
	shared_item_free(w, i);
}

void
shared_mark_dirty(struct shared_group *g)
{
	struct shares *all = g->worker->shares;

	if (list_empty(&g->queue) || list_linked(&g->dirty))
		return;
	list_put_last(&all->dirty, &g->dirty);
	loop_defer(g->worker->loop, &all->task);
}

/* number: 0 makes a new one. m: a reference is taken. */
struct shared_item *
shared_item_new(struct worker *w, struct shared_group *g, struct msg *m, uint64_t number)
{
	struct shares *all = w->shares;
	size_t real;
	struct shared_item *i = mem_slab_get(sizeof *i, &real);

	/* Those of an earlier incarnation come first, and are never taken for ours. */
	if (number == 0)
		number = (w->epoch << 36) + ++all->numbers;
	*i = (struct shared_item){ .node.hash = number, .group = g, .msg = msg_hold(m), .real_size = (uint32_t)real,
		.slot = SHARED_NOBODY };
	if (g->slot != NULL)
		hmap_put(&all->items, &i->node, number);
	g->items++;
	return i;
}

struct shared_item *
shared_item_get(struct worker *w, uint64_t number)
{
	struct hmap_node *n = hmap_first(&w->shares->items, number);

	return n != NULL ? container_of(n, struct shared_item, node) : NULL;
}

static inline struct shared_item *
item_at(struct list *l)
{
	return container_of(l, struct shared_item, link);
}

/* In the order of the numbers: what comes back is nearly always the oldest. */
void
shared_queue_put(struct worker *w, struct shared_group *g, struct shared_item *i)
{
	struct list *at = &g->queue;

	if (!list_empty(at) && item_at(at->prev)->node.hash < i->node.hash)
		at = at->prev;
	while (at->next != &g->queue && item_at(at->next)->node.hash < i->node.hash)
		at = at->next;
	list_insert(at, &i->link);
	g->queued++;
	g->queued_bytes += msg_cost(i->msg);
	while (g->queued > 1 && (g->queued > (uint64_t)w->config.buffer_limit ||
	    g->queued_bytes > (uint64_t)w->config.buffer_bytes)) {
		METRIC_ADD(dropped_queue_full, 1);
		shared_queue_drop_first(w, g);
	}
}

/* A slot with room in its members' windows, each slot in turn for as many messages as it has members; or SHARED_NOBODY. */
static unsigned
pick_slot(struct worker *w, struct shared_group *g)
{
	for (unsigned tries = 0; tries <= w->slots; tries++) {
		struct shared_slot *m = &g->slot[g->slot_turn];

		if (g->slot_left > 0 && m->out < (uint64_t)m->connected * (uint64_t)w->config.max_inflight) {
			g->slot_left--;
			return g->slot_turn;
		}
		g->slot_turn = g->slot_turn + 1 < w->slots ? g->slot_turn + 1 : 0;
		g->slot_left = g->slot[g->slot_turn].connected;
	}
	return SHARED_NOBODY;
}

void
shared_item_return(struct worker *w, struct shared_item *i)
{
	struct shared_group *g = i->group;

	list_del(&i->link);
	g->slot[i->slot].out--;
	i->slot = SHARED_NOBODY;
	shared_queue_put(w, g, i);
	shared_mark_dirty(g);
	shared_group_check(w, g);
}

void
shared_item_done(struct worker *w, unsigned from, uint64_t number, uint64_t hash)
{
	struct shared_item *i = shared_item_get(w, number);
	struct shared_group *g;

	/* Our predecessor had leased it out. */
	if (i == NULL && (g = shared_group_by_hash(w, hash)) != NULL && g->slot != NULL)
		shared_load_done(w, g, number);
	if (i == NULL || i->slot != from)
		return;
	g = i->group;
	shared_item_free(w, i);
	shared_mark_dirty(g);
	shared_group_check(w, g);
}

/* Its incarnation ended: what it had returns, the oldest first in line. */
void
shared_slot_gone(struct worker *w, struct shared_group *g, unsigned slot)
{
	struct shared_slot *m;

	if (g->slot == NULL)
		return;
	shared_load_slot_gone(g, slot);
	m = &g->slot[slot];
	m->connected = 0;
	while (!list_empty(&m->leased)) {
		struct shared_item *i = item_at(m->leased.prev);

		list_del(&i->link);
		m->out--;
		i->slot = SHARED_NOBODY;
		shared_queue_put(w, g, i);
	}
	shared_mark_dirty(g);
}

/* The queue, as far as members have room. QoS 2 goes out when it is on the disk: until then it may turn out that the group
 * has had it. */
static void
pump(struct worker *w, struct shared_group *g)
{
	struct shared_item *i;
	unsigned slot;

	while (g->load == NULL && (i = LIST_FIRST(&g->queue, struct shared_item, link)) != NULL &&
	    !(i->asked && i->msg->qos == 2) && (slot = pick_slot(w, g)) != SHARED_NOBODY) {
		struct cluster_pub p = msg_pub_whole(i->msg);
		bool went;

		shared_queue_take(g, i);
		list_put_last(&g->slot[slot].leased, &i->link);
		g->slot[slot].out++;
		i->slot = slot;
		/* i may be gone behind this: QoS 0 is done at once. */
		went = slot == w->slot ? shared_give(w, g, &p, i->msg, i->node.hash) :
		    shared_tell_message(w, slot, SHARED_LEASE, g, i->node.hash, &p) == 0;
		if (!went) {
			g->slot[slot].connected = 0;
			list_del(&i->link);
			g->slot[slot].out--;
			i->slot = SHARED_NOBODY;
			shared_queue_put(w, g, i);
		}
	}
}

void
shared_run_dirty(struct task *t)
{
	struct shares *all = container_of(t, struct shares, task);
	struct shared_group *g;

	while ((g = LIST_FIRST(&all->dirty, struct shared_group, dirty)) != NULL) {
		list_del(&g->dirty);
		pump(all->worker, g);
	}
}

static void
take_qos0(struct worker *w, struct shared_group *g, const struct cluster_pub *p)
{
	unsigned slot = list_empty(&g->queue) ? pick_slot(w, g) : SHARED_NOBODY;
	bool went = false;

	if (slot == w->slot)
		went = shared_give(w, g, p, NULL, 0);
	else if (slot != SHARED_NOBODY)
		went = shared_tell_message(w, slot, SHARED_LEASE, g, 0, p) == 0;
	if (!went)
		METRIC_ADD(dropped_shared, 1);
}

/* While not all neighbours are there, one of them may have members. */
void
shared_home_take(struct worker *w, struct shared_group *g, const struct cluster_pub *p, struct msg **m, bool again,
    struct keep **keep)
{
	bool disk = shared_wants_disk(w, g, p);
	struct shared_item *i;

	if (again && !disk)
		return;
	if (g->slots == 0 && shared_all_known(w))
		return;
	if (p->qos == 0) {
		take_qos0(w, g, p);
		return;
	}
	if (*m == NULL)
		*m = msg_new(p);
	i = shared_item_new(w, g, *m, 0);
	if (disk)
		shared_store(w, i, p, keep);
	shared_queue_put(w, g, i);
	pump(w, g);
}
