/* SPDX-License-Identifier: Apache-2.0 */
#include "t/support/fake_cluster.h"

#include <string.h>

#include "common/base/mem.h"
#include "common/metrics/page.h"
#include "t/support/fake_cluster_int.h"
#include "t/support/fake_wants.h"

static struct {
	struct cluster *c[CLUSTER_MAX];
	struct list queue[CLUSTER_MAX][CLUSTER_MAX];    /* [from][to] */
	bool hold[CLUSTER_MAX][CLUSTER_MAX];
	unsigned turn;
} net;

/* ---- queues ---- */

static struct list *
queue(unsigned from, unsigned to)
{
	struct list *q = &net.queue[from][to];

	if (q->next == NULL)
		list_init(q);
	return q;
}

static void
records_drop(struct list *l)
{
	LIST_EACH_SAFE(n, tmp, l)
		mem_free(container_of(n, struct record, link));
	list_init(l);
}

void
fake_net_reset(void)
{
	for (unsigned i = 0; i < CLUSTER_MAX; i++)
		for (unsigned k = 0; k < CLUSTER_MAX; k++)
			records_drop(queue(i, k));
	fake_net_hold_all(false);
}

void
fake_net_lose(unsigned slot)
{
	for (unsigned i = 0; i < CLUSTER_MAX; i++)
		records_drop(queue(slot, i));
}

void
fake_net_die(unsigned slot)
{
	if (net.c[slot] != NULL)
		net.c[slot]->dead = true;
}

void
fake_net_hold(unsigned from, unsigned to, bool hold)
{
	net.hold[from][to] = hold;
}

void
fake_net_hold_all(bool hold)
{
	for (unsigned i = 0; i < CLUSTER_MAX; i++)
		for (unsigned k = 0; k < CLUSTER_MAX; k++)
			net.hold[i][k] = hold;
}

bool
fake_net_step_link(unsigned from, unsigned to)
{
	struct record *r = LIST_FIRST(queue(from, to), struct record, link);
	struct cluster *c = net.c[to];

	if (r == NULL)
		return false;
	list_del(&r->link);
	if (c == NULL || c->epoch != r->to_epoch || !c->n[from].greeted || c->n[from].epoch != r->from_epoch) {
		mem_free(r);
		return true;
	}
	list_put_last(&c->inbox, &r->link);
	loop_bell_ring(c->bell);
	return true;
}

bool
fake_net_step(void)
{
	for (unsigned i = 0; i < CLUSTER_MAX * CLUSTER_MAX; i++) {
		unsigned at = net.turn++ % (CLUSTER_MAX * CLUSTER_MAX);
		unsigned from = at / CLUSTER_MAX;
		unsigned to = at % CLUSTER_MAX;

		if (!net.hold[from][to] && fake_net_step_link(from, to))
			return true;
	}
	return false;
}

const struct fx_net fake_net = { fake_net_step, fake_net_die, fake_net_reset };

/* To the end of the link's queue; what the dead say is lost at once. */
static void
enqueue(struct cluster *c, unsigned to, struct record *r)
{
	static struct list limbo;

	if (!c->dead) {
		list_put_last(queue(c->slot, to), &r->link);
		return;
	}
	if (limbo.next == NULL)
		list_init(&limbo);
	records_drop(&limbo);           /* not r itself: the caller may still fill it in */
	list_put_last(&limbo, &r->link);
}

struct record *
fake_push_room(struct cluster *c, unsigned to, enum kind kind, size_t len)
{
	struct neighbour *n = &c->n[to];
	struct record *r = mem_zalloc(sizeof *r + len);

	r->kind = kind;
	r->from = c->slot;
	r->from_epoch = c->epoch;
	r->to_epoch = n->epoch;
	r->store_seq = c->ops->store_seq != NULL ? c->ops->store_seq(c->arg) : 0;
	r->len = len;
	if (kind != ACK)
		r->seq = ++n->sent;
	enqueue(c, to, r);
	return r;
}

struct record *
fake_push(struct cluster *c, unsigned to, enum kind kind, struct slice bytes)
{
	struct record *r = fake_push_room(c, to, kind, bytes.len);

	if (bytes.len > 0)
		memcpy(r->bytes, bytes.p, bytes.len);
	return r;
}

/* ---- wants ---- */

static void
tell_all(struct cluster *c, enum kind kind, struct slice filter)
{
	for (unsigned i = 0; i < c->slots; i++) {
		struct neighbour *n = &c->n[i];

		if (!n->greeted)
			continue;
		fake_push(c, i, kind, filter);
		if (kind == WANT)
			n->record_seq = n->sent;
	}
}

void
cluster_want(struct cluster *c, struct slice filter)
{
	if (fake_wants_put(&c->wants, filter))
		tell_all(c, WANT, filter);
}

void
cluster_unwant(struct cluster *c, struct slice filter)
{
	uint8_t copy[65536];

	memcpy(copy, filter.p, filter.len);
	if (fake_wants_del(&c->wants, filter))
		tell_all(c, UNWANT, slice_of(copy, filter.len));
}

/* Ids stand in the same list, behind a byte that no filter has. */
static struct slice
as_id(struct slice id, uint8_t copy[65536])
{
	copy[0] = 1;
	memcpy(copy + 1, id.p, id.len);
	return slice_of(copy, id.len + 1);
}

void
cluster_want_id(struct cluster *c, struct slice id)
{
	uint8_t copy[65536];

	cluster_want(c, as_id(id, copy));
}

void
cluster_unwant_id(struct cluster *c, struct slice id)
{
	uint8_t copy[65536];

	cluster_unwant(c, as_id(id, copy));
}

bool
cluster_has_id(const struct cluster *c, struct slice id)
{
	uint8_t copy[65536];

	for (unsigned i = 0; i < c->slots; i++)
		if (i != c->slot && fake_wants_has(&c->n[i].routes, as_id(id, copy)))
			return true;
	return false;
}

/* ---- barriers ---- */

void
cluster_barrier(struct cluster *c, struct cluster_barrier *b, void (*done)(struct cluster_barrier *b))
{
	b->link.next = NULL;
	b->done = done;
	b->waiting = 0;
	for (unsigned i = 0; i < c->slots; i++) {
		struct neighbour *n = &c->n[i];

		b->need[i] = n->greeted && n->record_seq > n->acked ? n->record_seq : 0;
		b->waiting += b->need[i] != 0;
	}
	if (b->waiting == 0)
		done(b);
	else
		list_put_last(&c->barriers, &b->link);
}

void
cluster_barrier_cancel(struct cluster *c, struct cluster_barrier *b)
{
	(void)c;
	list_del(&b->link);
}

static void
barriers_pass(struct cluster *c, unsigned slot, uint64_t seq)
{
	struct list passed;
	struct cluster_barrier *b;

	list_init(&passed);
	LIST_EACH_SAFE(l, tmp, &c->barriers) {
		b = container_of(l, struct cluster_barrier, link);
		if (b->need[slot] == 0 || b->need[slot] > seq)
			continue;
		b->need[slot] = 0;
		if (--b->waiting == 0) {
			list_del(l);
			list_put_last(&passed, l);
		}
	}
	while ((b = LIST_FIRST(&passed, struct cluster_barrier, link)) != NULL) {
		list_del(&b->link);
		b->done(b);
	}
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

/* ---- neighbours ---- */

int
cluster_send(struct cluster *c, unsigned slot, uint8_t type, struct slice body)
{
	if (!c->n[slot].greeted)
		return c->n[slot].told ? FB_EAGAIN : FB_ECLOSED;
	fake_push(c, slot, CONTROL, body)->type = type;
	c->n[slot].record_seq = c->n[slot].sent;
	return 0;
}

int
cluster_tell(struct cluster *c, unsigned slot, uint8_t type, struct slice body, enum cluster_tell how)
{
	if (!c->n[slot].greeted)
		return FB_ECLOSED;
	fake_push(c, slot, CONTROL, body)->type = type;
	if (how == CLUSTER_BARRIER)
		c->n[slot].record_seq = c->n[slot].sent;
	return 0;
}

static void
greet(struct cluster *c, unsigned slot)
{
	struct neighbour *n = &c->n[slot];
	struct buf b;

	buf_init(&b);
	LIST_EACH(l, &c->wants) {
		const struct want *w = container_of(l, struct want, link);

		buf_put_le32_bytes(&b, slice_of(w->filter, w->len));
	}
	n->greeted = true;
	if (c->ops->on_greeted != NULL)
		c->ops->on_greeted(c->arg, slot);
	fake_push(c, slot, SNAPSHOT, buf_slice(&b));
	n->snapshot_seq = n->record_seq = n->sent;
	buf_fini(&b);
}

static void
check_up(struct cluster *c, unsigned slot)
{
	struct neighbour *n = &c->n[slot];

	if (n->up || !n->complete || !n->greeted || n->acked < n->snapshot_seq)
		return;
	n->up = true;
	c->ops->on_neighbour(c->arg, slot, n->epoch, true);
}

static void
ended(struct cluster *c, unsigned slot)
{
	struct neighbour *n = &c->n[slot];

	LIST_EACH_SAFE(l, tmp, &c->inbox) {
		struct record *r = container_of(l, struct record, link);

		if (r->from != slot)
			continue;
		list_del(l);
		mem_free(r);
	}
	n->gone = n->gone || n->complete;
	n->told = n->greeted = n->complete = n->up = false;
	n->sent = n->acked = n->snapshot_seq = n->record_seq = n->store_seq = 0;
	c->ops->on_neighbour(c->arg, slot, n->epoch, false);
	barriers_pass(c, slot, UINT64_MAX);
}

void
cluster_peer_up(struct cluster *c, unsigned slot, uint64_t epoch)
{
	struct neighbour *n = &c->n[slot];
	struct cluster *o = net.c[slot];

	if (slot == c->slot || slot >= c->slots || epoch <= n->epoch)
		return;
	if (n->told)
		ended(c, slot);
	n->epoch = epoch;
	n->told = true;
	if (o == NULL || o->epoch != epoch || !o->n[c->slot].told || o->n[c->slot].epoch != c->epoch)
		return;
	greet(c, slot);
	greet(o, c->slot);
}

void
cluster_peer_down(struct cluster *c, unsigned slot, uint64_t epoch)
{
	struct neighbour *n = &c->n[slot];

	if (n->told && n->epoch == epoch)
		ended(c, slot);
	else if (epoch > n->epoch)
		n->epoch = epoch;
}

bool
cluster_linked(const struct cluster *c)
{
	for (unsigned i = 0; i < c->slots; i++)
		if (c->n[i].told && !c->n[i].up)
			return false;
	return true;
}

bool
cluster_link_stats(const struct cluster *c, unsigned slot, struct cluster_link_stats *out)
{
	if (slot >= c->slots || !c->n[slot].told)
		return false;
	*out = (struct cluster_link_stats){ .epoch = c->n[slot].epoch, .up = c->n[slot].up };
	return true;
}

/* ---- records in ---- */

static void
take_snapshot(struct cluster *c, unsigned from, struct slice body)
{
	struct neighbour *n = &c->n[from];
	struct slice filter;

	fake_wants_free(&n->routes);
	while (slice_take_le32_bytes(&body, &filter) == 0)
		fake_wants_put(&n->routes, filter);
	n->complete = true;
	fake_route_again(c, from);
	check_up(c, from);
}

static void
take_kept(struct cluster *c, struct neighbour *n, uint64_t number)
{
	LIST_EACH_SAFE(l, tmp, &n->legs) {
		struct leg *leg = container_of(l, struct leg, link);

		if (leg->number == number) {
			fake_leg_close(c, leg);
			return;
		}
	}
}

static void
take(struct cluster *c, struct record *r)
{
	struct neighbour *n = &c->n[r->from];
	struct slice body = slice_of(r->bytes, r->len);

	if (r->store_seq > n->store_seq)
		n->store_seq = r->store_seq;
	switch (r->kind) {
	case SNAPSHOT:
		take_snapshot(c, r->from, body);
		break;
	case WANT:
		fake_wants_put(&n->routes, body);
		break;
	case UNWANT:
		fake_wants_del(&n->routes, body);
		break;
	case PUBLISH:
		METRIC_ADD(link_msgs_in, 1);
		c->ops->on_publish(c->arg, r->from, &r->pub, r->leg);
		break;
	case KEPT:
		take_kept(c, n, r->leg);
		break;
	case CONTROL:
		c->ops->on_record(c->arg, r->from, r->type, body);
		break;
	case ACK:
		n->acked = r->seq;
		check_up(c, r->from);
		barriers_pass(c, r->from, r->seq);
		break;
	}
}

static void
acknowledge(struct cluster *c, unsigned to, uint64_t seq)
{
	struct list *q = queue(c->slot, to);
	struct record *last = list_empty(q) ? NULL : container_of(q->prev, struct record, link);

	if (last != NULL && last->kind == ACK && last->from_epoch == c->epoch && last->to_epoch == c->n[to].epoch) {
		last->seq = seq;
		last->store_seq = c->ops->store_seq != NULL ? c->ops->store_seq(c->arg) : 0;
	} else {
		fake_push(c, to, ACK, slice_of(NULL, 0))->seq = seq;
	}
}

static void
on_bell(void *arg)
{
	struct cluster *c = arg;
	struct record *r;

	while ((r = LIST_FIRST(&c->inbox, struct record, link)) != NULL) {
		list_del(&r->link);
		take(c, r);
		if (r->kind != ACK && c->n[r->from].greeted)
			acknowledge(c, r->from, r->seq);
		mem_free(r);
	}
}

struct cluster *
cluster_new(struct loop *l, const struct cluster_config *cfg, const struct cluster_ops *ops, void *arg)
{
	struct cluster *c = mem_zalloc(sizeof *c);

	FB_ASSERT(net.c[cfg->slot] == NULL);
	c->loop = l;
	c->ops = ops;
	c->arg = arg;
	c->slot = cfg->slot;
	c->slots = cfg->slots;
	c->epoch = cfg->epoch;
	list_init(&c->wants);
	list_init(&c->barriers);
	list_init(&c->inbox);
	c->bell = loop_bell_new(l, on_bell, c);
	task_init(&c->task, fake_run_done);
	for (unsigned i = 0; i < CLUSTER_MAX; i++) {
		c->n[i].cluster = c;
		list_init(&c->n[i].routes);
		list_init(&c->n[i].legs);
	}
	net.c[cfg->slot] = c;
	return c;
}

void
cluster_free(struct cluster *c)
{
	if (c == NULL)
		return;
	net.c[c->slot] = NULL;
	for (unsigned i = 0; i < CLUSTER_MAX; i++) {
		LIST_EACH_SAFE(l, tmp, &c->n[i].legs)
			fake_leg_close(NULL, container_of(l, struct leg, link));
		fake_wants_free(&c->n[i].routes);
		records_drop(queue(i, c->slot));
	}
	while (!list_empty(&c->barriers))
		list_del(c->barriers.next);
	records_drop(&c->inbox);
	fake_wants_free(&c->wants);
	task_cancel(&c->task);
	buf_fini(&c->done);
	loop_bell_free(c->bell);
	mem_free(c);
}
