/* SPDX-License-Identifier: Apache-2.0
 * A neighbour's membership is announced as routes are: on each change, and whole in its snapshot, before any of its
 * publishes. While a slot is between two incarnations it counts as having members still, but none connected. */
#include "worker/shared.h"

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/rand.h"
#include "common/ipc/qops.h"
#include "common/metrics/page.h"
#include "common/mqtt/topic.h"
#include "worker/conn.h"
#include "worker/shared_group.h"
#include "worker/ship.h"

struct shares *
shares_new(struct worker *w)
{
	struct shares *all = mem_zalloc(sizeof *all);

	all->worker = w;
	hmap_init(&all->groups);
	hmap_init(&all->items);
	list_init(&all->dirty);
	list_init(&all->puts);
	task_init(&all->task, shared_run_dirty);
	buf_init(&all->buf);
	buf_init(&all->unsaid);
	return all;
}

bool
shared_valid(struct slice filter)
{
	struct slice group;
	struct slice inner;

	return topic_share(filter, &group, &inner) && inner.len > 0 && !shared_is(inner);
}

/* ---- groups ---- */

static struct slice
group_text(const struct shared_group *g)
{
	return slice_of(g->text, g->len);
}

struct shared_group *
shared_group_by_hash(const struct worker *w, uint64_t hash)
{
	struct hmap_node *n = hmap_first(&w->shares->groups, hash);

	return n != NULL ? container_of(n, struct shared_group, node) : NULL;
}

static struct shared_group *
group_get(struct worker *w, struct slice text, bool make)
{
	uint64_t hash = rand_hash(text.p, text.len);
	struct shared_group *g = shared_group_by_hash(w, hash);
	struct slice name;
	struct slice inner;

	/* Two names with one hash are one chance in 2^64, with a key that nobody knows. */
	if (g != NULL || !make)
		return g;
	g = mem_zalloc(sizeof *g + text.len);
	g->worker = w;
	g->len = (uint16_t)text.len;
	memcpy(g->text, text.p, text.len);
	list_init(&g->queue);
	list_init(&g->back);
	g->qid = qid_of_group(text);
	g->home = w->cluster == NULL ? w->slot : (unsigned)(hash % w->slots);
	if (g->home == w->slot) {
		g->slot = mem_zalloc(w->slots * sizeof *g->slot);
		for (unsigned i = 0; i < w->slots; i++)
			list_init(&g->slot[i].leased);
		shared_load_start(w, g);
	}
	(void)topic_share(text, &name, &inner);
	g->inner = trie_hold(&w->trie, inner);
	g->next = g->inner->groups;
	g->inner->groups = g;
	hmap_put(&w->shares->groups, &g->node, hash);
	return g;
}

static void
group_free(struct worker *w, struct shared_group *g)
{
	struct shared_group **at = &g->inner->groups;

	while (*at != g)
		at = &(*at)->next;
	*at = g->next;
	if (g->inner->groups == NULL)
		trie_release(&w->trie, g->inner);
	hmap_del(&w->shares->groups, &g->node);
	list_del(&g->dirty);
	shared_load_free(g);
	mem_free(g->slot);
	mem_free(g);
}

/* Nobody is a member any more: nothing waits for anybody. Not while somebody may still say that he is. */
void
shared_group_check(struct worker *w, struct shared_group *g)
{
	if (g->slots != 0 || !shared_all_known(w) || g->load != NULL)
		return;
	while (!list_empty(&g->queue)) {
		METRIC_ADD(dropped_session_end, 1);
		shared_queue_drop_first(w, g);
	}
	LIST_EACH_SAFE(n, tmp, &g->back) {
		METRIC_ADD(dropped_session_end, 1);
		shared_item_free(w, container_of(n, struct shared_item, link));
	}
	if (g->items == 0 && g->leases == 0)
		group_free(w, g);
}

void
shares_free(struct shares *all)
{
	struct hmap_iter it = { 0 };
	struct hmap_node *n;

	all->ends = true;
	task_cancel(&all->task);
	while ((n = hmap_each(&all->groups, &it)) != NULL) {
		struct shared_group *g = container_of(n, struct shared_group, node);

		while (!list_empty(&g->queue))
			shared_queue_drop_first(all->worker, g);
		LIST_EACH_SAFE(l, tmp, &g->back)
			shared_item_free(all->worker, container_of(l, struct shared_item, link));
		for (unsigned i = 0; g->slot != NULL && i < all->worker->slots; i++) {
			LIST_EACH_SAFE(l, tmp, &g->slot[i].leased)
				shared_item_free(all->worker, container_of(l, struct shared_item, link));
		}
		group_free(all->worker, g);
	}
	hmap_fini(&all->groups);
	hmap_fini(&all->items);
	buf_fini(&all->buf);
	buf_fini(&all->unsaid);
	mem_free(all->leases);
	mem_free(all);
}

/* ---- records out ---- */

struct buf *
shared_record(struct worker *w)
{
	buf_clear(&w->shares->buf);
	return &w->shares->buf;
}

int
shared_tell(struct worker *w, unsigned slot, enum shared_record type, enum cluster_tell how)
{
	return cluster_tell(w->cluster, slot, (uint8_t)type, buf_slice(&w->shares->buf), how);
}

static void
tell_state(struct worker *w, struct shared_group *g, unsigned slot)
{
	struct buf *b = shared_record(w);

	buf_put_le32_bytes(b, group_text(g));
	buf_put_u8(b, (uint8_t)((g->members != NULL ? SHARED_HAS_MEMBERS : 0) | (g->durables != 0 ? SHARED_HAS_DURABLE : 0)));
	buf_put_le32(b, g->connected);
	(void)shared_tell(w, slot, SHARED_STATE, CLUSTER_BARRIER);    /* one that is not greeted yet gets all of it then */
}

int
shared_tell_message(struct worker *w, unsigned slot, enum shared_record type, const struct shared_group *g,
    uint64_t number, const struct cluster_pub *p)
{
	struct buf *b = shared_record(w);

	buf_put_le64(b, g->node.hash);
	buf_put_le64(b, number);
	ship_put_msg(b, p);
	return shared_tell(w, slot, type, p->qos == 0 ? CLUSTER_LOSSY : CLUSTER_SOON);
}

uint64_t
shared_deliver(struct worker *w, const struct cluster_pub *p, struct msg **m, bool again, struct keep **keep)
{
	uint64_t homes = 0;

	for (uint32_t i = 0; i < w->trie.found_count; i++) {
		const struct filter *f = w->trie.found[i];

		if ((f->shared & FILTER_GROUPS) == 0)
			continue;
		for (struct shared_group *g = f->groups; g != NULL; g = g->next) {
			if (g->home == w->slot)
				shared_home_take(w, g, p, m, again, keep);
			else if (g->slots != 0 || !shared_all_known(w))
				homes |= shared_bit(g->home);
		}
	}
	return homes;
}

/* ---- membership ---- */

/* What is known here of slot's members; that is us, or a neighbour that said so. */
static void
set_slot(struct shared_group *g, unsigned slot, bool members, bool durable, uint32_t connected)
{
	g->durable = durable ? g->durable | shared_bit(slot) : g->durable & ~shared_bit(slot);
	g->slots = members ? g->slots | shared_bit(slot) : g->slots & ~shared_bit(slot);
	g->fresh |= shared_bit(slot);
	if (g->slot != NULL) {
		g->slot[slot].connected = connected;
		shared_mark_dirty(g);
	}
}

/* Our own part has changed. to_all: from no members to some, or back. */
static void
changed(struct worker *w, struct shared_group *g, bool to_all)
{
	set_slot(g, w->slot, g->members != NULL, g->durables != 0, g->connected);
	for (unsigned slot = 0; w->cluster != NULL && slot < w->slots; slot++)
		if (slot != w->slot && (to_all || slot == g->home))
			tell_state(w, g, slot);
}

void
shared_join(struct worker *w, struct sub *sub)
{
	struct shared_group *g = group_get(w, filter_text(sub->filter), true);
	struct session *s = sub->session;
	bool first = g->members == NULL;

	g->members = sub->filter;
	g->members->shared |= FILTER_MEMBERS;
	g->members->groups = g;
	g->durables += (s->flags & SESSION_DURABLE) != 0;
	s->flags |= SESSION_SHARES;
	if (s->conn != NULL && s->conn->state == CONN_READY && s->conn->session == s)
		s->flags |= SESSION_SHARES_ON;
	if (s->flags & SESSION_SHARES_ON)
		filter_swap(g->members, sub->index, g->connected++);
	changed(w, g, first);
}

void
shared_leave(struct worker *w, struct sub *sub)
{
	struct shared_group *g = sub->filter->groups;
	struct session *s = sub->session;
	bool last = g->members->count == 1;

	g->durables -= (s->flags & SESSION_DURABLE) != 0;
	if (last)
		g->members = NULL;
	if (s->flags & SESSION_SHARES_ON)
		filter_swap(sub->filter, sub->index, --g->connected);
	changed(w, g, last);
	/* What is in flight the client still acknowledges [MQTT-3.10.4-3]; if it does not, it goes back then. */
	g->leases++;            /* it must not go meanwhile */
	shared_return_leases(w, s, g, false);
	g->leases--;
	shared_group_check(w, g);
}

/* Its share in all its groups: up to date with what the session is now. */
static void
count_session(struct worker *w, struct session *s, bool connected)
{
	LIST_EACH(n, &s->subs) {
		struct sub *sub = container_of(n, struct sub, link);
		struct filter *f = sub->filter;

		if ((f->shared & FILTER_MEMBERS) == 0)
			continue;
		filter_swap(f, sub->index, connected ? f->groups->connected++ : --f->groups->connected);
		changed(w, f->groups, false);
	}
}

void
shared_online(struct worker *w, struct session *s)
{
	FB_ASSERT((s->flags & SESSION_SHARES_ON) == 0);
	s->flags |= SESSION_SHARES_ON;
	count_session(w, s, true);
}

void
shared_offline(struct worker *w, struct session *s)
{
	s->flags &= (uint8_t)~SESSION_SHARES_ON;
	/* The home hears of this first, so that it does not send the same again. */
	count_session(w, s, false);
	shared_return_leases(w, s, NULL, true);
}

/* ---- records in ---- */

static void
on_begin(struct worker *w, unsigned from)
{
	struct hmap_iter it = { 0 };
	struct hmap_node *n;

	while ((n = hmap_each(&w->shares->groups, &it)) != NULL) {
		struct shared_group *g = container_of(n, struct shared_group, node);

		g->fresh &= ~shared_bit(from);
		shared_slot_gone(w, g, from);
	}
}

static void
on_state(struct worker *w, unsigned from, struct slice body)
{
	struct shared_group *g;
	struct slice text;
	uint8_t members;
	uint32_t connected;
	bool is_new;

	if (slice_take_le32_bytes(&body, &text) != 0 || slice_take_u8(&body, &members) != 0 ||
	    slice_take_le32(&body, &connected) != 0 || text.len > UINT16_MAX || !shared_valid(text)) {
		log_error("shared", "a neighbour's record is damaged", "from=%u", from);
		return;
	}
	/* What a neighbour only knows of may have its members with one that is not linked yet. */
	is_new = group_get(w, text, false) == NULL;
	g = group_get(w, text, members != 0 || !shared_all_known(w));
	if (g == NULL)
		return;
	set_slot(g, from, members != 0, (members & SHARED_HAS_DURABLE) != 0, connected);
	/* Its home may be a successor, which is linked with us and not yet with from: it must know of it before our publishes. */
	if (is_new && g->home != w->slot && g->home != from)
		tell_state(w, g, g->home);
	shared_group_check(w, g);
}

/* What its present incarnation did not name has no members there. */
static void
on_end(struct worker *w, unsigned from)
{
	struct hmap_iter it = { 0 };
	struct hmap_node *n;

	while ((n = hmap_each(&w->shares->groups, &it)) != NULL) {
		struct shared_group *g = container_of(n, struct shared_group, node);

		g->slots &= g->fresh | ~shared_bit(from);
		g->durable &= g->slots;
		if (g->load != NULL)
			shared_load_end(w, g);
		else
			shared_group_check(w, g);
	}
}

static void
on_lease(struct worker *w, unsigned from, uint64_t hash, uint64_t number, struct msg *m)
{
	struct shared_group *g = shared_group_by_hash(w, hash);
	struct cluster_pub p = msg_pub_whole(m);
	struct buf *b;

	if (g != NULL && shared_give(w, g, &p, m, number))
		return;
	if (number == 0) {
		METRIC_ADD(dropped_shared, 1);
		return;
	}
	b = shared_record(w);
	buf_put_le64(b, hash);
	buf_put_le64(b, number);
	ship_put_msg(b, &p);
	(void)shared_tell(w, from, SHARED_RETURN, CLUSTER_SOON);
}

static void
on_return(struct worker *w, unsigned from, uint64_t hash, uint64_t number, struct msg *m)
{
	struct shared_item *i = shared_item_get(w, number);
	struct shared_group *g;

	if (i != NULL) {
		if (i->slot == from)
			shared_item_return(w, i);
		return;
	}
	/* Our predecessor had leased it out. */
	g = shared_group_by_hash(w, hash);
	if (g == NULL || g->slot == NULL) {
		METRIC_ADD(dropped_session_end, 1);
		return;
	}
	shared_load_back(g, number);
	i = shared_item_new(w, g, m, number);
	i->stored = m->disk;
	shared_queue_put(w, g, i);
	shared_mark_dirty(g);
	shared_group_check(w, g);
}

static void
on_message(struct worker *w, unsigned from, enum shared_record type, struct slice body)
{
	uint64_t hash;
	uint64_t number;
	struct msg *m;

	if (slice_take_le64(&body, &hash) != 0 || slice_take_le64(&body, &number) != 0 ||
	    (m = ship_take_msg(&body)) == NULL) {
		log_error("shared", "a neighbour's message is damaged", "from=%u", from);
		return;
	}
	if (type == SHARED_LEASE)
		on_lease(w, from, hash, number, m);
	else if (type == SHARED_KEEP)
		shared_stop_keep(w, shared_group_by_hash(w, hash), m);
	else if (number != 0)
		on_return(w, from, hash, number, m);
	msg_drop(m);
}

void
shared_on_record(struct worker *w, unsigned from, uint8_t type, struct slice body)
{
	struct shared_group *g;
	uint64_t number, hash;

	switch ((enum shared_record)type) {
	case SHARED_BEGIN:
		on_begin(w, from);
		break;
	case SHARED_STATE:
		on_state(w, from, body);
		break;
	case SHARED_END:
		on_end(w, from);
		break;
	case SHARED_STOPPED:
	case SHARED_GAVE:
		shared_stop_said(w, from, type == SHARED_GAVE);
		break;
	case SHARED_LEASE:
	case SHARED_RETURN:
	case SHARED_KEEP:
		on_message(w, from, (enum shared_record)type, body);
		break;
	case SHARED_DONE:
		if (slice_take_le64(&body, &number) == 0 && slice_take_le64(&body, &hash) == 0)
			shared_item_done(w, from, number, hash);
		break;
	case SHARED_HOLD:
		if (slice_take_le64(&body, &number) == 0 && slice_take_le64(&body, &hash) == 0 &&
		    (g = shared_group_by_hash(w, hash)) != NULL && g->slot != NULL)
			shared_load_held(w, g, from, number);
		break;
	}
}

void
shared_on_greeted(void *worker, unsigned slot)
{
	struct worker *w = worker;
	struct hmap_iter it = { 0 };
	struct hmap_node *n;

	(void)shared_record(w);
	(void)shared_tell(w, slot, SHARED_BEGIN, CLUSTER_BARRIER);
	while ((n = hmap_each(&w->shares->groups, &it)) != NULL) {
		struct shared_group *g = container_of(n, struct shared_group, node);

		tell_state(w, g, slot);
		LIST_EACH_SAFE(l, tmp, &g->back) {
			struct shared_item *i = container_of(l, struct shared_item, link);
			struct cluster_pub p = msg_pub_whole(i->msg);

			if (g->home != slot)
				break;
			(void)shared_tell_message(w, slot, SHARED_RETURN, g, i->node.hash, &p);
			shared_item_free(w, i);
		}
	}
	shared_tell_held(w, slot);
	(void)shared_record(w);
	(void)shared_tell(w, slot, SHARED_END, CLUSTER_BARRIER);
}

void
shared_on_neighbour(struct worker *w, unsigned slot, bool up)
{
	struct hmap_iter it = { 0 };
	struct hmap_node *n;

	if (up)
		w->shares->met |= shared_bit(slot);
	while ((n = hmap_each(&w->shares->groups, &it)) != NULL) {
		struct shared_group *g = container_of(n, struct shared_group, node);

		if (!up)
			shared_slot_gone(w, g, slot);
		if (g->load != NULL)
			shared_load_end(w, g);
		else
			shared_group_check(w, g);
	}
	shared_stop_neighbour(w, slot, up);
}
