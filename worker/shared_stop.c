/* SPDX-License-Identifier: Apache-2.0
 * A graceful stop. Each worker closes its connections, which sends leases home, and says STOPPED. When all have, only
 * durable members are left; each home gives what waits to one of them, here or at a neighbour, and says GAVE. When all
 * have, the queues of sessions hold everything and go to the store. */
#include "common/metrics/page.h"
#include "worker/flow.h"
#include "worker/shared_group.h"

static void step(struct worker *w);

static const struct sub *
durable_member(const struct shared_group *g)
{
	for (uint32_t i = 0; g->members != NULL && i < g->members->count; i++) {
		const struct sub *sub = filter_subs(g->members)[i];

		if ((sub->session->flags & SESSION_DURABLE) && sub->session->move == NULL)
			return sub;
	}
	return NULL;
}

static void
push(struct worker *w, const struct sub *sub, struct msg *m)
{
	uint8_t qos = sub->qos < m->qos ? sub->qos : m->qos;

	if (qos > 0)
		flow_push(session_flow(w, sub->session), m, qos, false, false);
}

void
shared_stop_keep(struct worker *w, const struct shared_group *g, struct msg *m)
{
	const struct sub *sub = g != NULL ? durable_member(g) : NULL;

	if (sub != NULL)
		push(w, sub, m);
	else
		METRIC_ADD(dropped_session_end, 1);
}

/* The whole queue to one member. */
static void
hand_over(struct worker *w, struct shared_group *g)
{
	const struct sub *sub = durable_member(g);
	uint64_t others = g->slots & w->shares->linked;

	while (!list_empty(&g->queue) && (sub != NULL || others != 0)) {
		struct shared_item *i = LIST_FIRST(&g->queue, struct shared_item, link);
		struct cluster_pub p = msg_pub_whole(i->msg);

		if (i->stored)
			i->stored = false;      /* its row stays */
		else if (sub != NULL)
			push(w, sub, i->msg);
		else
			(void)shared_tell_message(w, (unsigned)__builtin_ctzll(others), SHARED_KEEP, g, i->node.hash, &p);
		shared_queue_drop_first(w, g);
	}
}

static void
tell_all(struct worker *w, enum shared_record type)
{
	for (uint64_t left = w->shares->linked; left != 0; left &= left - 1) {
		(void)shared_record(w);
		(void)shared_tell(w, (unsigned)__builtin_ctzll(left), type, CLUSTER_BARRIER);
	}
}

static void
on_heard(struct cluster_barrier *b)
{
	struct shares *all = container_of(b, struct shares, heard_barrier);

	all->heard = true;
	loop_timer_in(all->worker->loop, &all->worker->tick, 0);
}

static void
step(struct worker *w)
{
	struct shares *all = w->shares;
	struct hmap_iter it = { 0 };
	struct hmap_node *n;

	if (all->stop == SHARED_STOPPING && (all->linked & ~all->stopped) == 0) {
		all->stop = SHARED_GIVEN;
		while ((n = hmap_each(&all->groups, &it)) != NULL)
			hand_over(w, container_of(n, struct shared_group, node));
		tell_all(w, SHARED_GAVE);
		if (w->cluster != NULL)
			cluster_barrier(w->cluster, &all->heard_barrier, on_heard);
		else
			on_heard(&all->heard_barrier);
	}
	if (all->stop == SHARED_GIVEN && (all->linked & ~all->gave) == 0)
		worker_keep_queues(w);
}

void
shared_stop(struct worker *w)
{
	w->shares->stop = SHARED_STOPPING;
	tell_all(w, SHARED_STOPPED);
	step(w);
}

bool
shared_stop_heard(const struct worker *w)
{
	return w->shares->heard;
}

void
shared_stop_said(struct worker *w, unsigned from, bool gave)
{
	if (gave)
		w->shares->gave |= shared_bit(from);
	else
		w->shares->stopped |= shared_bit(from);
	step(w);
}

void
shared_stop_neighbour(struct worker *w, unsigned slot, bool up)
{
	struct shares *all = w->shares;

	all->linked &= ~shared_bit(slot);
	all->stopped &= ~shared_bit(slot);
	all->gave &= ~shared_bit(slot);
	if (up)
		all->linked |= shared_bit(slot);
	if (up && all->stop != SHARED_RUNS) {
		(void)shared_record(w);
		(void)shared_tell(w, slot, SHARED_STOPPED, CLUSTER_BARRIER);
	}
	if (up && all->stop == SHARED_GIVEN) {
		(void)shared_record(w);
		(void)shared_tell(w, slot, SHARED_GAVE, CLUSTER_BARRIER);
	}
	step(w);
}
