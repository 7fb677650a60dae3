/* SPDX-License-Identifier: Apache-2.0
 * The groups' queues on disk. A group that has a durable member has a row for each message that is to be on the disk,
 * from before it is kept until a member has acknowledged it. So a home that dies loses nothing: its successor, or another
 * worker after a restart of the node, reads the rows. Which of them its neighbours' members have in hand they say in
 * their snapshots (SHARED_HOLD); until both are here nobody gets anything. */
#include "common/base/err.h"
#include "common/base/mem.h"
#include "worker/keep.h"
#include "worker/queuec.h"
#include "worker/shared_group.h"

#define LOAD_ROWS  256u
#define LOAD_BYTES (256u * 1024)

/* A change that somebody waits for. */
struct shared_put {
	struct list link;               /* in shares->puts */
	struct worker *worker;
	struct keep *keep;              /* at a home: the leg that it keeps open; NULL: at a member's worker */
	uint64_t number;                /* of the item */
	size_t real_size;
	uint32_t at;                    /* in keep */
	uint32_t lease;                 /* that is over then */
};

/* What a predecessor had leased out. */
struct held {
	struct hmap_node node;          /* by number, which is its hash */
	unsigned slot;
	bool done;                      /* or it is not to be taken from its row for another reason */
};

struct shared_load {
	struct queue_get get;
	struct shared_group *group;
	struct hmap held;
	bool read;                      /* all rows */
};

/* ---- putting ---- */

static struct shared_put *
put_new(struct worker *w)
{
	size_t real;
	struct shared_put *put = mem_slab_get(sizeof *put, &real);

	*put = (struct shared_put){ .worker = w, .real_size = real };
	list_put_last(&w->shares->puts, &put->link);
	return put;
}

static void
put_free(struct shared_put *put)
{
	list_del(&put->link);
	mem_slab_put(put, put->real_size);
}

static void
on_stored(void *arg, const struct queue_answer *a)
{
	struct shared_put *put = arg;
	struct worker *w = put->worker;
	struct shared_item *i = shared_item_get(w, put->number);
	struct shared_group *g;

	keep_gone(put->keep, put->at);
	put_free(put);
	if (i == NULL)
		return;
	i->asked = false;
	g = i->group;
	/* The group has had that QoS 2 publish. It did not go out yet: QoS 2 waits for this answer. */
	if (queuec_skipped(a, 0) && i->slot == SHARED_NOBODY) {
		i->stored = false;
		shared_queue_take(g, i);
		shared_item_free(w, i);
	}
	shared_mark_dirty(g);
	shared_group_check(w, g);
}

bool
shared_wants_disk(const struct worker *w, const struct shared_group *g, const struct cluster_pub *p)
{
	return p->disk && (g->durable != 0 || !shared_all_known(w));
}

uint32_t
shared_homes(const struct worker *w)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < w->trie.found_count; i++) {
		const struct filter *f = w->trie.found[i];

		if ((f->shared & FILTER_GROUPS) == 0)
			continue;
		for (const struct shared_group *g = f->groups; g != NULL; g = g->next)
			count += g->home == w->slot;
	}
	return count;
}

void
shared_store(struct worker *w, struct shared_item *i, const struct cluster_pub *p, struct keep **keep)
{
	const struct qitem item = { .qid = i->group->qid, .n = i->node.hash, .flags = p->qos };
	struct shared_put *put = put_new(w);

	if (*keep == NULL)
		*keep = keep_new(w, i->msg, shared_homes(w));
	put->keep = *keep;
	put->at = keep_add_other(*keep);
	put->number = i->node.hash;
	i->stored = i->asked = true;
	queuec_put(w->queue, p, &item, 1, on_stored, put);
}

static void
on_moved(void *arg, const struct queue_answer *a)
{
	struct shared_put *put = arg;
	struct worker *w = put->worker;
	uint32_t lease = put->lease;

	(void)a;
	put_free(put);
	shared_done(w, lease);
}

void
shared_move_to(struct worker *w, const struct session *s, struct inflight *slot, uint64_t n, uint32_t lease)
{
	const struct qitem item = { .qid = s->qid, .n = n, .flags = slot->qos };
	struct cluster_pub p = msg_pub(slot->msg);
	struct shared_put *put = put_new(w);

	p.qos2_id = 0;          /* nobody but this group has it for this session */
	put->lease = lease;
	slot->stored = STORED_ON;
	queuec_put(w->queue, &p, &item, 1, on_moved, put);
}

void
shared_puts_drop(struct worker *w)
{
	LIST_EACH_SAFE(n, tmp, &w->shares->puts) {
		struct shared_put *put = container_of(n, struct shared_put, link);

		if (put->keep != NULL)
			keep_detach(put->keep, put->at);
		put_free(put);
	}
}

/* ---- loading ---- */

static struct held *
held_find(const struct shared_load *l, uint64_t number)
{
	struct hmap_node *n = hmap_first(&l->held, number);

	return n != NULL ? container_of(n, struct held, node) : NULL;
}

static struct held *
held_get(struct shared_load *l, uint64_t number)
{
	struct held *h = held_find(l, number);

	if (h == NULL) {
		h = mem_zalloc(sizeof *h);
		hmap_put(&l->held, &h->node, number);
	}
	return h;
}

void
shared_load_free(struct shared_group *g)
{
	struct shared_load *l = g->load;
	struct hmap_iter it = { 0 };
	struct hmap_node *n;

	if (l == NULL)
		return;
	queuec_get_cancel(g->worker->queue, &l->get);
	while ((n = hmap_each(&l->held, &it)) != NULL) {
		hmap_del(&l->held, n);
		mem_free(container_of(n, struct held, node));
	}
	hmap_fini(&l->held);
	mem_free(l);
	g->load = NULL;
}

void
shared_load_end(struct worker *w, struct shared_group *g)
{
	if (g->load == NULL || !g->load->read || !shared_all_linked(w))
		return;
	shared_load_free(g);
	shared_mark_dirty(g);
	shared_group_check(w, g);
}

static void
take_row(struct worker *w, struct shared_group *g, const struct qrow *r)
{
	const struct held *h = held_find(g->load, r->n);
	struct shared_item *i = shared_item_get(w, r->n);
	struct cluster_pub p = { .topic = r->msg.topic, .props = r->msg.props, .payload = r->msg.payload,
		.expires_s = r->msg.expires_s, .qos2_id = r->msg.qos2_id, .qos = r->msg.qos, .disk = true };
	struct msg *m;

	if (i != NULL) {                /* it has come back meanwhile, or is new */
		i->stored = true;
		return;
	}
	if ((h != NULL && h->done) || (r->flags & QITEM_RELEASED) != 0) {
		queuec_del(w->queue, g->qid, r->n);
		return;
	}
	m = msg_new(&p);
	i = shared_item_new(w, g, m, r->n);
	msg_drop(m);
	i->stored = true;
	if (h == NULL) {
		shared_queue_put(w, g, i);
		return;
	}
	i->slot = h->slot;
	g->slot[h->slot].out++;
	list_put_last(&g->slot[h->slot].leased, &i->link);
}

static void
on_rows(struct queue_get *get, const struct ipc_q_rows *rows)
{
	struct shared_load *l = container_of(get, struct shared_load, get);
	struct shared_group *g = l->group;
	struct slice s = rows->rows;
	struct qrow r;

	while (qrow_take(&s, &r) == 0) {
		get->from = r.n + 1;
		take_row(g->worker, g, &r);
	}
	l->read = rows->more == 0;
	if (!l->read)
		queuec_get(g->worker->queue, get);
	else
		shared_load_end(g->worker, g);
}

void
shared_load_start(struct worker *w, struct shared_group *g)
{
	struct shared_load *l = mem_zalloc(sizeof *l);

	g->load = l;
	l->group = g;
	hmap_init(&l->held);
	l->get = (struct queue_get){ .qid = g->qid, .max_rows = LOAD_ROWS, .max_bytes = LOAD_BYTES, .done = on_rows };
	/* Behind a change of ours, which is behind all of our predecessor's. When there is no room, what is there has to do. */
	l->get.early = queuec_refusing(w->queue);
	if (!l->get.early)
		queuec_del(w->queue, g->qid, 0);
	queuec_get(w->queue, &l->get);
}

void
shared_load_held(struct worker *w, struct shared_group *g, unsigned slot, uint64_t number)
{
	struct shared_item *i = shared_item_get(w, number);

	if (g->load == NULL)
		return;
	if (i == NULL) {
		held_get(g->load, number)->slot = slot;
	} else if (i->slot == SHARED_NOBODY) {
		shared_queue_take(g, i);
		i->slot = slot;
		g->slot[slot].out++;
		list_put_last(&g->slot[slot].leased, &i->link);
	}
}

void
shared_load_done(struct worker *w, struct shared_group *g, uint64_t number)
{
	if (g->load != NULL)
		held_get(g->load, number)->done = true;
	queuec_del(w->queue, g->qid, number);
}

void
shared_load_back(struct shared_group *g, uint64_t number)
{
	if (g->load != NULL)
		held_get(g->load, number)->done = true;
}

void
shared_load_slot_gone(struct shared_group *g, unsigned slot)
{
	struct hmap_iter it = { 0 };
	struct hmap_node *n;

	if (g->load == NULL)
		return;
	while ((n = hmap_each(&g->load->held, &it)) != NULL) {
		struct held *h = container_of(n, struct held, node);

		if (h->slot != slot || h->done)
			continue;
		hmap_del(&g->load->held, n);
		mem_free(h);
	}
}
