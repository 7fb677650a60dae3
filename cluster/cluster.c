/* SPDX-License-Identifier: Apache-2.0
 *
 * A neighbour's incarnation: link_new() -> its first HELLO: our routes go to it -> its SNAPSHOT_END was processed and
 * ours was acknowledged: up. A barrier counts a neighbour from the HELLO on and not only when it is up, since the
 * neighbour may think itself up, and publish, before we hear of it. */
#include "cluster/cluster.h"

#include <inttypes.h>

#include "cluster/forward.h"
#include "cluster/link.h"
#include "cluster/routes.h"
#include "cluster/wants.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/metrics/page.h"

#define BIG_MAX ((size_t)257 << 20)     /* the largest packet that any configuration allows, and what we add */

struct neighbour {
	struct cluster *cluster;
	unsigned slot;
	uint64_t epoch;
	struct link *link;              /* NULL: no incarnation */
	bool greeted;                   /* our routes went to it */
	bool complete;                  /* its routes are here */
	bool up;
	uint64_t snapshot_seq;          /* the frame with our SNAPSHOT_END */
	uint64_t record_seq;            /* the frame with the last want or control record */
	uint64_t store_seq;
	struct list *cursor;            /* the oldest barrier that it has not passed; the list's head: none */
};

struct cluster {
	struct loop *loop;
	const struct cluster_ops *ops;
	void *arg;
	unsigned slot, slots;
	struct link_set links;
	struct routes *routes;
	struct wants wants;
	struct forward *forward;
	struct list barriers;           /* oldest first: their needs do not fall, slot by slot */
	struct neighbour n[CLUSTER_MAX];
};

static inline struct neighbour *
neighbour_of(struct cluster *c, unsigned slot)
{
	FB_ASSERT(slot < CLUSTER_MAX);
	return &c->n[slot];
}

/* Barriers. */

static void
barrier_unlink(struct cluster *c, struct cluster_barrier *b)
{
	for (unsigned i = 0; i < c->slots; i++)
		if (c->n[i].cursor == &b->link)
			c->n[i].cursor = b->link.next;
	list_del(&b->link);
}

static void
barriers_done(struct list *passed)
{
	while (!list_empty(passed)) {
		struct cluster_barrier *b = LIST_FIRST(passed, struct cluster_barrier, link);

		list_del(&b->link);
		b->done(b);
	}
}

/* n has processed all frames up to seq. */
static void
barriers_pass(struct neighbour *n, uint64_t seq)
{
	struct list *head = &n->cluster->barriers;
	struct list passed;

	if (n->cursor == head)
		return;
	list_init(&passed);
	while (n->cursor != head) {
		struct cluster_barrier *b = container_of(n->cursor, struct cluster_barrier, link);

		if (b->need[n->slot] > seq)
			break;
		n->cursor = n->cursor->next;
		if (b->need[n->slot] == 0)
			continue;
		b->need[n->slot] = 0;
		if (--b->waiting != 0)
			continue;
		barrier_unlink(n->cluster, b);
		list_put_last(&passed, &b->link);
	}
	barriers_done(&passed);
}

void
cluster_barrier(struct cluster *c, struct cluster_barrier *b, void (*done)(struct cluster_barrier *b))
{
	b->link.next = NULL;
	b->done = done;
	b->waiting = 0;
	for (unsigned i = 0; i < c->slots; i++) {
		struct neighbour *n = &c->n[i];
		bool waits = n->greeted && n->record_seq > link_acked(n->link);

		b->need[i] = waits ? n->record_seq : 0;
		b->waiting += waits ? 1u : 0u;
	}
	if (b->waiting == 0) {
		done(b);
		return;
	}
	list_put_last(&c->barriers, &b->link);
	for (unsigned i = 0; i < c->slots; i++)
		if (c->n[i].cursor == &c->barriers)
			c->n[i].cursor = &b->link;
}

void
cluster_barrier_cancel(struct cluster *c, struct cluster_barrier *b)
{
	if (list_linked(&b->link))
		barrier_unlink(c, b);
}

/* Routes out. */

static void
announce(struct neighbour *n, const struct pattern *p, bool wanted, enum link_haste haste)
{
	uint32_t count = p->levels == 0 ? 1 : p->levels;
	enum record_type type = p->levels == 0 ? (wanted ? RECORD_WANT : RECORD_UNWANT) :
	    (wanted ? RECORD_WANT_PATTERN : RECORD_UNWANT_PATTERN);
	uint8_t *at = link_put(n->link, type, 0, count * 8ul, haste);

	for (uint32_t i = 0; i < count; i++)
		le64_put(at + 8 * i, p->level[i]);
	if (wanted)
		n->record_seq = link_last_seq(n->link);
}

static void
announce_all(struct cluster *c, const struct pattern *p, bool wanted)
{
	for (unsigned i = 0; i < c->slots; i++)
		if (c->n[i].greeted)
			announce(&c->n[i], p, wanted, wanted ? LINK_ASK : LINK_LAZY);
}

void
cluster_want(struct cluster *c, struct slice filter)
{
	struct pattern p;

	if (wants_put(&c->wants, filter, &p))
		announce_all(c, &p, true);
}

void
cluster_unwant(struct cluster *c, struct slice filter)
{
	struct pattern p;

	if (wants_del(&c->wants, filter, &p))
		announce_all(c, &p, false);
}

void
cluster_want_id(struct cluster *c, struct slice id)
{
	struct pattern p;

	if (wants_put_id(&c->wants, id, &p))
		announce_all(c, &p, true);
}

void
cluster_unwant_id(struct cluster *c, struct slice id)
{
	struct pattern p;

	if (wants_del_id(&c->wants, id, &p))
		announce_all(c, &p, false);
}

bool
cluster_has_id(const struct cluster *c, struct slice id)
{
	return routes_has_id(c->routes, id);
}

static void
announce_one(void *arg, const struct pattern *p)
{
	announce(arg, p, true, LINK_LAZY);
}

static void
on_greeted(void *arg)
{
	struct neighbour *n = arg;

	n->greeted = true;
	(void)link_put(n->link, RECORD_SNAPSHOT_BEGIN, 0, 0, LINK_LAZY);
	wants_each(&n->cluster->wants, announce_one, n);
	if (n->cluster->ops->on_greeted != NULL)
		n->cluster->ops->on_greeted(n->cluster->arg, n->slot);
	(void)link_put(n->link, RECORD_SNAPSHOT_END, 0, 0, LINK_ASK);
	n->snapshot_seq = n->record_seq = link_last_seq(n->link);
}

/* Routes in. */

static int
take_names(struct neighbour *n, struct slice body, bool wanted)
{
	uint64_t hash;
	int rv;

	while ((rv = record_hash_next(&body, &hash)) == 0) {
		if (wanted)
			routes_put(n->cluster->routes, n->slot, hash);
		else
			routes_del(n->cluster->routes, n->slot, hash);
	}
	METRIC_SET(routes, routes_total(n->cluster->routes));
	return rv == FB_ENOENT ? 0 : rv;
}

static int
take_pattern(struct neighbour *n, struct slice body, bool wanted)
{
	struct pattern p = { 0 };
	uint64_t hash;
	int rv;

	while ((rv = record_hash_next(&body, &hash)) == 0) {
		if (p.levels == PATTERN_LEVELS)
			return FB_EPROTO;
		p.level[p.levels++] = hash;
	}
	if (rv != FB_ENOENT || pattern_check(&p) != 0)
		return FB_EPROTO;
	if (wanted)
		routes_put_pattern(n->cluster->routes, n->slot, &p);
	else
		routes_del_pattern(n->cluster->routes, n->slot, &p);
	METRIC_SET(routes, routes_total(n->cluster->routes));
	return 0;
}

static void
check_up(struct neighbour *n)
{
	struct cluster *c = n->cluster;

	if (n->up || !n->complete || !n->greeted || link_acked(n->link) < n->snapshot_seq)
		return;
	n->up = true;
	log_info("cluster", "linked", "slot=%u epoch=%" PRIu64, n->slot, n->epoch);
	c->ops->on_neighbour(c->arg, n->slot, n->epoch, true);
}

static int
take_snapshot(struct neighbour *n, bool begins)
{
	struct cluster *c = n->cluster;

	if (begins) {
		routes_drop(c->routes, n->slot);
		METRIC_SET(routes, routes_total(c->routes));
		forward_begin(c->forward, n->slot);
		return 0;
	}
	n->complete = true;
	forward_live(c->forward, n->slot);
	check_up(n);
	return 0;
}

static int
take_control(struct neighbour *n, struct slice body)
{
	struct cluster *c = n->cluster;
	uint8_t type;

	if (slice_take_u8(&body, &type) != 0)
		return FB_EPROTO;
	c->ops->on_record(c->arg, n->slot, type, body);
	return 0;
}

static int
on_record(void *arg, const struct record *r)
{
	struct neighbour *n = arg;

	switch (r->type) {
	case RECORD_PUBLISH:
	case RECORD_PUBLISH_DISK:
		return forward_take_publish(n->cluster->forward, n->slot, r);
	case RECORD_KEPT:
		return forward_take_kept(n->cluster->forward, n->slot, r->body);
	case RECORD_WANT:
	case RECORD_UNWANT:
		return take_names(n, r->body, r->type == RECORD_WANT);
	case RECORD_WANT_PATTERN:
	case RECORD_UNWANT_PATTERN:
		return take_pattern(n, r->body, r->type == RECORD_WANT_PATTERN);
	case RECORD_SNAPSHOT_BEGIN:
	case RECORD_SNAPSHOT_END:
		return take_snapshot(n, r->type == RECORD_SNAPSHOT_BEGIN);
	case RECORD_CONTROL:
		return take_control(n, r->body);
	default:
		return FB_EPROTO;
	}
}

static void
on_acked(void *arg, uint64_t seq, uint64_t store_seq)
{
	struct neighbour *n = arg;

	if (store_seq > n->store_seq)
		n->store_seq = store_seq;
	check_up(n);
	barriers_pass(n, seq);
}

static uint64_t
store_seq(void *arg)
{
	const struct cluster *c = ((struct neighbour *)arg)->cluster;

	return c->ops->store_seq != NULL ? c->ops->store_seq(c->arg) : 0;
}

static void
on_flush(void *arg)
{
	struct neighbour *n = arg;

	forward_flush(n->cluster->forward, n->slot);
}

static const struct link_ops neighbour_link_ops = {
	.on_greeted = on_greeted,
	.on_record = on_record,
	.on_acked = on_acked,
	.store_seq = store_seq,
	.on_flush = on_flush,
};

/* The life of a cluster, and of its neighbours' incarnations. */

struct cluster *
cluster_new(struct loop *l, const struct cluster_config *cfg, const struct cluster_ops *ops, void *arg)
{
	struct cluster *c = mem_zalloc(sizeof *c);
	uint64_t neighbours = cfg->slots == 64 ? UINT64_MAX : (UINT64_C(1) << cfg->slots) - 1;

	FB_ASSERT(cfg->slots <= CLUSTER_MAX && cfg->slot < cfg->slots);
	c->loop = l;
	c->ops = ops;
	c->arg = arg;
	c->slot = cfg->slot;
	c->slots = cfg->slots;
	link_set_init(&c->links, l, cfg->dir, cfg->slot, cfg->epoch, BIG_MAX);
	c->routes = routes_new(&cfg->route_key);
	wants_init(&c->wants, &cfg->route_key);
	c->forward = forward_new(l, c->routes, neighbours & ~(UINT64_C(1) << cfg->slot), ops, arg);
	list_init(&c->barriers);
	for (unsigned i = 0; i < CLUSTER_MAX; i++) {
		c->n[i].cluster = c;
		c->n[i].slot = i;
		c->n[i].cursor = &c->barriers;
	}
	return c;
}

void
cluster_free(struct cluster *c)
{
	if (c == NULL)
		return;
	for (unsigned i = 0; i < CLUSTER_MAX; i++)
		link_free(c->n[i].link);
	while (!list_empty(&c->barriers))
		list_del(c->barriers.next);
	forward_free(c->forward);
	link_set_fini(&c->links);
	wants_fini(&c->wants);
	routes_free(c->routes);
	mem_free(c);
}

static void
incarnation_ended(struct neighbour *n)
{
	struct cluster *c = n->cluster;
	forward_unlink(c->forward, n->slot);
	link_free(n->link);
	n->link = NULL;
	n->greeted = n->complete = n->up = false;
	n->snapshot_seq = n->record_seq = n->store_seq = 0;
	c->ops->on_neighbour(c->arg, n->slot, n->epoch, false);
	barriers_pass(n, UINT64_MAX);
}

void
cluster_peer_up(struct cluster *c, unsigned slot, uint64_t epoch)
{
	struct neighbour *n = neighbour_of(c, slot);

	if (slot == c->slot || slot >= c->slots || epoch <= n->epoch)
		return;
	if (n->link != NULL)
		incarnation_ended(n);
	n->epoch = epoch;
	n->link = link_new(&c->links, slot, epoch, &neighbour_link_ops, n);
	forward_link(c->forward, slot, n->link);
}

void
cluster_peer_down(struct cluster *c, unsigned slot, uint64_t epoch)
{
	struct neighbour *n = neighbour_of(c, slot);

	if (n->link != NULL && n->epoch == epoch)
		incarnation_ended(n);
	else if (epoch > n->epoch)
		n->epoch = epoch;       /* it died before we heard that it lived */
}

bool
cluster_linked(const struct cluster *c)
{
	for (unsigned i = 0; i < c->slots; i++)
		if (c->n[i].link != NULL && !c->n[i].up)
			return false;
	return true;
}

bool
cluster_store_seq(const struct cluster *c, unsigned slot, uint64_t *epoch, uint64_t *seq)
{
	const struct neighbour *n = &c->n[slot];

	if (!n->up)
		return false;
	*epoch = n->epoch;
	*seq = n->store_seq;
	return true;
}

unsigned
cluster_publish_also(struct cluster *c, const struct cluster_pub *p, uint64_t cookie, uint64_t also)
{
	return forward_publish(c->forward, p, cookie, also);
}

void
cluster_kept(struct cluster *c, unsigned from, uint64_t kept)
{
	forward_kept(c->forward, from, kept);
}

bool
cluster_congested(const struct cluster *c)
{
	return forward_congested(c->forward);
}

int
cluster_send(struct cluster *c, unsigned slot, uint8_t type, struct slice body)
{
	struct neighbour *n = neighbour_of(c, slot);
	struct slice parts[2] = { slice_of(&type, 1), body };

	/* Not only when it is up: it may think so of us already, and wait for an answer. */
	if (!n->greeted)
		return n->link != NULL ? FB_EAGAIN : FB_ECLOSED;
	link_put_parts(n->link, RECORD_CONTROL, 0, parts, 2, LINK_ASK);
	n->record_seq = link_last_seq(n->link);
	return 0;
}

int
cluster_tell(struct cluster *c, unsigned slot, uint8_t type, struct slice body, enum cluster_tell how)
{
	struct neighbour *n = neighbour_of(c, slot);
	struct slice parts[2] = { slice_of(&type, 1), body };

	if (!n->greeted)
		return FB_ECLOSED;
	if (how == CLUSTER_LOSSY && link_pending(n->link) > FORWARD_SHED_BYTES)
		return FB_EAGAIN;
	link_put_parts(n->link, RECORD_CONTROL, 0, parts, 2, how == CLUSTER_BARRIER ? LINK_ASK : LINK_SOON);
	if (how == CLUSTER_BARRIER)
		n->record_seq = link_last_seq(n->link);
	return 0;
}

bool
cluster_link_stats(const struct cluster *c, unsigned slot, struct cluster_link_stats *out)
{
	const struct neighbour *n;
	struct forward_counts fc;
	struct link_counts lc;

	if (slot >= c->slots || c->n[slot].link == NULL)
		return false;
	n = &c->n[slot];
	fc = forward_counts(c->forward, slot);
	lc = link_counts(n->link);
	*out = (struct cluster_link_stats){
		.epoch = n->epoch,
		.frames_in = lc.frames_in,
		.frames_out = lc.frames_out,
		.resent = lc.resent,
		.msgs_in = fc.in,
		.msgs_out = fc.out,
		.pending_bytes = link_pending(n->link),
		.unkept = fc.unkept,
		.routes = routes_count(c->routes, slot),
		.up = n->up,
	};
	return true;
}
