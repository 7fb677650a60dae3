/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/mem.h"
#include "common/metrics/page.h"
#include "worker/deliver.h"
#include "worker/flow.h"
#include "worker/rights.h"
#include "worker/shared_group.h"

static uint32_t
lease_new(struct worker *w, struct shared_group *g, uint64_t number)
{
	struct shares *all = w->shares;
	uint32_t at;

	if (all->lease_free == 0) {
		uint32_t from = all->lease_room == 0 ? 1 : all->lease_room;

		all->lease_room = all->lease_room == 0 ? 64 : all->lease_room * 2;
		all->leases = mem_realloc(all->leases, all->lease_room * sizeof *all->leases);
		for (uint32_t i = from; i < all->lease_room; i++)
			all->leases[i] = (struct shared_lease){ .number = i + 1 < all->lease_room ? i + 1 : 0 };
		all->lease_free = from;
	}
	at = all->lease_free;
	all->lease_free = (uint32_t)all->leases[at].number;
	all->leases[at] = (struct shared_lease){ .group = g, .number = number };
	g->leases++;
	return at;
}

static struct shared_lease
lease_take(struct worker *w, uint32_t at)
{
	struct shares *all = w->shares;
	struct shared_lease l = all->leases[at];

	FB_ASSERT(l.group != NULL);
	all->leases[at] = (struct shared_lease){ .number = all->lease_free };
	all->lease_free = at;
	l.group->leases--;
	return l;
}

static int
tell_done(struct worker *w, unsigned slot, uint64_t number, uint64_t hash, enum shared_record type)
{
	struct buf *b = shared_record(w);

	buf_put_le64(b, number);
	buf_put_le64(b, hash);
	return shared_tell(w, slot, type, CLUSTER_SOON);
}

/* A member has got it, or need not any more. */
static void
finished(struct worker *w, struct shared_group *g, uint64_t number)
{
	if (g->home == w->slot) {
		shared_item_done(w, w->slot, number, g->node.hash);
		return;
	}
	/* Of what is not on the disk a home that died has forgotten the lease. */
	if (tell_done(w, g->home, number, g->node.hash, SHARED_DONE) != 0 && g->durables != 0) {
		buf_put_le64(&w->shares->unsaid, number);
		buf_put_le64(&w->shares->unsaid, g->node.hash);
	}
	shared_group_check(w, g);
}

void
shared_done(struct worker *w, uint32_t lease)
{
	struct shared_lease l = lease_take(w, lease);

	finished(w, l.group, l.number);
}

/* The member left without having it. */
static void
lease_return(struct worker *w, uint32_t lease, struct msg *m)
{
	struct shared_lease l = lease_take(w, lease);
	struct shared_group *g = l.group;
	struct cluster_pub p = msg_pub_whole(m);
	struct shared_item *i;

	if (g->home == w->slot) {
		i = shared_item_get(w, l.number);
		if (i != NULL && i->slot == w->slot)
			shared_item_return(w, i);
		return;
	}
	if (shared_tell_message(w, g->home, SHARED_RETURN, g, l.number, &p) != 0) {
		i = shared_item_new(w, g, m, l.number);
		list_put_last(&g->back, &i->link);
	}
	shared_group_check(w, g);
}

void
shared_tell_held(struct worker *w, unsigned slot)
{
	struct shares *all = w->shares;
	struct slice unsaid = buf_slice(&all->unsaid);
	struct buf rest;
	uint64_t number, hash;

	for (uint32_t i = 1; i < all->lease_room; i++) {
		const struct shared_lease *l = &all->leases[i];

		if (l->group != NULL && l->group->home == slot && l->number != 0)
			(void)tell_done(w, slot, l->number, l->group->node.hash, SHARED_HOLD);
	}
	buf_init(&rest);
	while (slice_take_le64(&unsaid, &number) == 0 && slice_take_le64(&unsaid, &hash) == 0) {
		if (hash % w->slots == slot) {
			(void)tell_done(w, slot, number, hash, SHARED_DONE);
			continue;
		}
		buf_put_le64(&rest, number);
		buf_put_le64(&rest, hash);
	}
	buf_fini(&all->unsaid);
	all->unsaid = rest;
}

/* At a stop, durable sessions keep what they have: it goes to the store with them. But what has a row in its group's queue
 * stays there. */
static bool
keeps_at_stop(const struct worker *w, const struct session *s, const struct msg *m)
{
	return w->stopping && (s->flags & SESSION_DURABLE) != 0 && (m == NULL || !m->disk);
}

/* What waits for s as a member of g (NULL: of any) goes back; and what is in flight, if all. */
void
shared_return_leases(struct worker *w, struct session *s, const struct shared_group *g, bool all)
{
	struct flow *f = s->flow;
	struct inflight *slot;
	uint64_t seq;

	if (f == NULL)
		return;
	seq = f->window_head;
	while (all && (slot = flow_next(f, &seq, NULL)) != NULL) {
		uint32_t lease = slot->lease;

		if (lease == 0)
			continue;
		slot->lease = 0;
		if (slot->qos == 2 && (s->flags & SESSION_DURABLE) && slot->msg != NULL && slot->msg->disk) {
			shared_move_to(w, s, slot, seq - 1, lease);
		} else if (keeps_at_stop(w, s, slot->msg) || (slot->qos == 2 && (s->flags & SESSION_DURABLE))) {
			shared_done(w, lease);
		} else {
			struct msg *m = msg_hold(slot->msg);

			flow_release(f, slot);
			lease_return(w, lease, m);
			msg_drop(m);
		}
	}
	for (uint32_t n = flow_queued(f); n > 0; n--) {
		struct queued q = flow_pop(f);

		if (q.lease != 0 && keeps_at_stop(w, s, q.msg)) {
			shared_done(w, q.lease);
			q.lease = 0;
		}
		if (q.lease == 0 || (g != NULL && w->shares->leases[q.lease].group != g)) {
			flow_push_queued(f, &q);
			continue;
		}
		lease_return(w, q.lease, q.msg);
		msg_drop(q.msg);
	}
}

/* The next member here with room; else the connected one that has least waiting; NULL: none is
 * connected, or may receive it. */
static struct sub *
pick_member(struct worker *w, struct shared_group *g, struct slice topic)
{
	struct sub *least = NULL;
	uint32_t least_queued = 0;

	for (uint32_t i = 0; i < g->connected; i++) {
		struct sub *sub = filter_subs(g->members)[(g->turn + i) % g->connected];
		struct session *s = sub->session;
		uint32_t queued = s->flow != NULL ? flow_queued(s->flow) : 0;

		if (!rights_may(w, s, RIGHT_RECEIVE, topic))
			continue;
		if (deliver_has_room(w, s)) {
			g->turn = (g->turn + i + 1) % g->connected;
			return sub;
		}
		if (least == NULL || queued < least_queued) {
			least = sub;
			least_queued = queued;
		}
	}
	return least;
}

/* number 0: of QoS 0, nobody waits for it. m: NULL if so. false: no member here is connected. */
bool
shared_give(struct worker *w, struct shared_group *g, const struct cluster_pub *p, struct msg *m, uint64_t number)
{
	struct sub *sub = pick_member(w, g, p->topic);
	uint8_t qos;

	if (sub == NULL && g->connected == 0)
		return false;
	if (sub == NULL) {
		METRIC_ADD(refused_receive, 1);
		if (number != 0)
			finished(w, g, number);
		return true;
	}
	qos = sub->qos < p->qos ? sub->qos : p->qos;
	if (qos == 0)
		deliver_one(w, sub->session, p, 0, false);
	else
		deliver_lease(w, sub->session, m, qos, lease_new(w, g, number));
	if (qos == 0 && number != 0)
		finished(w, g, number);
	return true;
}
