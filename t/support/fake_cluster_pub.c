/* SPDX-License-Identifier: Apache-2.0
 * Publishes between the fake neighbours: legs, KEPT, what is routed again. */
#include <string.h>

#include "common/base/mem.h"
#include "t/support/fake_cluster_int.h"
#include "t/support/fake_wants.h"

static size_t
pub_size(const struct cluster_pub *p)
{
	return p->topic.len + p->payload.len + p->props.len + p->origin_id.len;
}

static struct slice
place(uint8_t **at, struct slice s)
{
	struct slice to = slice_of(*at, s.len);

	if (s.len > 0)
		memcpy(*at, s.p, s.len);
	*at += s.len;
	return to;
}

static struct cluster_pub
pub_copy(uint8_t *bytes, const struct cluster_pub *p)
{
	struct cluster_pub copy = *p;

	copy.sender = slice_of(NULL, 0);

	copy.topic = place(&bytes, p->topic);
	copy.payload = place(&bytes, p->payload);
	copy.props = place(&bytes, p->props);
	copy.origin_id = place(&bytes, p->origin_id);
	return copy;
}

static void
send_publish(struct cluster *c, unsigned to, const struct cluster_pub *p, uint64_t leg)
{
	struct record *r = fake_push_room(c, to, PUBLISH, pub_size(p));

	r->leg = leg;
	r->pub = pub_copy(r->bytes, p);
}

static void
leg_open(struct neighbour *n, struct held *h)
{
	struct leg *leg = mem_zalloc(sizeof *leg);

	leg->number = ++n->next_leg;
	leg->held = h;
	h->legs++;
	list_put_last(&n->legs, &leg->link);
}

void
fake_leg_close(struct cluster *c, struct leg *leg)
{
	struct held *h = leg->held;

	list_del(&leg->link);
	mem_free(leg);
	if (--h->legs > 0)
		return;
	if (c != NULL) {
		buf_put_le64(&c->done, h->cookie);
		loop_defer(c->loop, &c->task);
	}
	mem_free(h);
}

void
fake_run_done(struct task *t)
{
	struct cluster *c = container_of(t, struct cluster, task);
	uint64_t cookie = 0;

	while (buf_len(&c->done) > 0) {
		struct slice s = buf_slice(&c->done);

		(void)slice_take_le64(&s, &cookie);
		buf_eat(&c->done, 8);
		c->ops->on_kept(c->arg, cookie);
	}
	buf_shrink(&c->done);
}

unsigned
cluster_publish_also(struct cluster *c, const struct cluster_pub *p, uint64_t cookie, uint64_t also)
{
	struct held *h = NULL;
	unsigned legs = 0;

	for (unsigned i = 0; i < c->slots; i++) {
		struct neighbour *n = &c->n[i];

		if (!(n->complete || (n->gone && p->qos > 0)) || !((also >> i & 1) != 0 || fake_wants_match(&n->routes, p->topic)))
			continue;
		legs++;
		if (p->qos == 0) {
			send_publish(c, i, p, 0);
			continue;
		}
		if (h == NULL) {
			h = mem_zalloc(sizeof *h + pub_size(p));
			h->cookie = cookie;
			h->also = also;
			h->pub = pub_copy(h->bytes, p);
		}
		leg_open(n, h);
		if (n->complete)
			send_publish(c, i, p, n->next_leg);
	}
	return legs;
}

void
cluster_kept(struct cluster *c, unsigned from, uint64_t kept)
{
	if (c->n[from].greeted)
		fake_push(c, from, KEPT, slice_of(NULL, 0))->leg = kept;
}

bool
cluster_congested(const struct cluster *c)
{
	(void)c;
	return false;
}

/* A new incarnation has told its routes: what its predecessor has not kept is its matter, or nobody's. */
void
fake_route_again(struct cluster *c, unsigned slot)
{
	struct neighbour *n = &c->n[slot];
	struct list old;

	list_init(&old);
	list_move_all(&old, &n->legs);
	n->gone = false;
	LIST_EACH_SAFE(l, tmp, &old) {
		struct leg *leg = container_of(l, struct leg, link);

		if ((leg->held->also >> slot & 1) != 0 || fake_wants_match(&n->routes, leg->held->pub.topic)) {
			leg_open(n, leg->held);
			send_publish(c, slot, &leg->held->pub, n->next_leg);
		}
		fake_leg_close(c, leg);
	}
}
