/* SPDX-License-Identifier: Apache-2.0
 *
 * A QoS 0 publish is encoded straight into the open frame of each link that gets it. Of QoS 1 and 2 one encoded copy is
 * held, with a count of open legs; it is copied into the frames behind its leg's number. Legs of a neighbour are
 * numbered from 1; a ring says which held publish a number is. */
#include "cluster/forward.h"

#include "common/base/err.h"
#include "common/base/mem.h"
#include "common/metrics/page.h"

#define LEG_SIZE    8u
#define TOKEN_SHIFT 48
#define TOKEN_MASK  ((UINT64_C(1) << TOKEN_SHIFT) - 1)

struct held {
	uint64_t cookie;
	uint64_t also;                  /* slots that get it without a route */
	size_t real_size;
	uint32_t len;
	uint16_t legs;
	uint8_t type;                   /* of its record, and its flags */
	uint8_t flags;
	uint8_t body[];                 /* a PUBLISH without its leg */
};

struct legs {
	struct held **at;               /* leg n is at[n & (cap - 1)]; NULL: closed */
	size_t cap;
	uint64_t first, next;           /* numbers from first to next - 1 may be open */
	size_t open, bytes;
};

struct range {
	uint64_t first;
	uint32_t count;
};

struct side {                           /* one neighbour */
	struct link *link;              /* NULL: no incarnation */
	struct legs legs;
	struct range *kept;             /* gathered for it in this turn */
	size_t kept_count, kept_cap;
	uint16_t generation;            /* of its incarnations as publishers: in the tokens */
	struct forward_counts counts;
};

struct forward {
	struct loop *loop;
	const struct routes *routes;
	const struct cluster_ops *ops;
	void *arg;
	uint64_t live;                  /* routes complete, link there */
	uint64_t gone;                  /* no link, its last routes stand */
	uint64_t loading;               /* routes not complete: everything may match */
	struct side side[CLUSTER_MAX];
	uint64_t *done;                 /* cookies for on_kept */
	size_t done_count, done_cap;
	struct task task;
	uint64_t congested;             /* slots */
	bool said_congested;
};

static void run_done(struct task *t);

struct forward *
forward_new(struct loop *l, const struct routes *r, uint64_t neighbours, const struct cluster_ops *ops, void *arg)
{
	struct forward *f = mem_zalloc(sizeof *f);

	f->loop = l;
	f->routes = r;
	f->ops = ops;
	f->arg = arg;
	f->loading = neighbours;
	task_init(&f->task, run_done);
	for (unsigned i = 0; i < CLUSTER_MAX; i++)
		f->side[i].legs.first = f->side[i].legs.next = 1;
	return f;
}

static inline uint64_t
bit(unsigned slot)
{
	return UINT64_C(1) << slot;
}

/* Held publishes and their legs. */

static struct held *
held_new(const struct cluster_pub *p, uint64_t cookie, uint64_t also)
{
	size_t len = record_publish_size(p);
	size_t real;
	struct held *h = mem_slab_get(sizeof *h + len, &real);

	h->cookie = cookie;
	h->also = also;
	h->real_size = real;
	h->len = (uint32_t)len;
	h->legs = 0;
	h->type = record_publish_type(p);
	h->flags = record_publish_flags(p);
	record_publish_put(h->body, p);
	return h;
}

static void
say_done(struct forward *f, uint64_t cookie)
{
	if (f->done_count == f->done_cap) {
		f->done_cap = f->done_cap == 0 ? 64 : f->done_cap * 2;
		f->done = mem_realloc(f->done, f->done_cap * sizeof *f->done);
	}
	f->done[f->done_count++] = cookie;
	loop_defer(f->loop, &f->task);
}

static void
leg_closed(struct forward *f, struct held *h)
{
	if (--h->legs != 0)
		return;
	say_done(f, h->cookie);
	mem_slab_put(h, h->real_size);
}

static void
check_congestion(struct forward *f, unsigned slot)
{
	const struct legs *l = &f->side[slot].legs;
	size_t span = (size_t)(l->next - l->first);

	if (l->bytes > FORWARD_CONGESTED_BYTES || span > FORWARD_CONGESTED_LEGS)
		f->congested |= bit(slot);
	else if (l->bytes <= FORWARD_CONGESTED_BYTES / 2 && span <= FORWARD_CONGESTED_LEGS / 2)
		f->congested &= ~bit(slot);
	if ((f->congested != 0) != f->said_congested)
		loop_defer(f->loop, &f->task);
}

static void
legs_grow(struct legs *l)
{
	size_t cap = l->cap == 0 ? 64 : l->cap * 2;
	struct held **at = mem_alloc(cap * sizeof *at);

	for (uint64_t n = l->first; n < l->next; n++)
		at[n & (cap - 1)] = l->at[n & (l->cap - 1)];
	mem_free(l->at);
	l->at = at;
	l->cap = cap;
}

static uint64_t
leg_open(struct forward *f, unsigned slot, struct held *h)
{
	struct legs *l = &f->side[slot].legs;

	if (l->next - l->first == l->cap)
		legs_grow(l);
	l->at[l->next & (l->cap - 1)] = h;
	l->open++;
	l->bytes += h->len;
	h->legs++;
	if (__builtin_expect(l->bytes > FORWARD_CONGESTED_BYTES || l->next - l->first > FORWARD_CONGESTED_LEGS, 0))
		check_congestion(f, slot);
	return l->next++;
}

static void
leg_close(struct forward *f, struct legs *l, uint64_t leg)
{
	struct held *h = l->at[leg & (l->cap - 1)];

	if (h == NULL)
		return;
	l->at[leg & (l->cap - 1)] = NULL;
	l->open--;
	l->bytes -= h->len;
	leg_closed(f, h);
}

static void
send_held(struct side *s, const struct held *h, uint64_t leg)
{
	if (__builtin_expect(h->len <= RECORD_BODY_MAX - LEG_SIZE, 1)) {
		uint8_t *at = link_put(s->link, h->type, h->flags, LEG_SIZE + h->len, LINK_SOON);

		le64_put(at, leg);
		memcpy(at + LEG_SIZE, h->body, h->len);
	} else {
		uint8_t number[LEG_SIZE];
		struct slice parts[2] = { slice_of(number, sizeof number), slice_of(h->body, h->len) };

		le64_put(number, leg);
		link_put_parts(s->link, h->type, h->flags, parts, 2, LINK_SOON);
	}
	s->counts.out++;
}

static void
run_done(struct task *t)
{
	struct forward *f = container_of(t, struct forward, task);
	uint64_t *done = f->done;
	size_t count = f->done_count;
	size_t cap = f->done_cap;
	bool congested = f->congested != 0;

	f->done = NULL;
	f->done_count = f->done_cap = 0;
	for (size_t i = 0; i < count; i++)
		f->ops->on_kept(f->arg, done[i]);
	if (f->done == NULL) {          /* the array is used again */
		f->done = done;
		f->done_cap = cap;
	} else {
		mem_free(done);
	}
	if (congested != f->said_congested) {
		f->said_congested = congested;
		if (f->ops->on_congested != NULL)
			f->ops->on_congested(f->arg, congested);
	}
}

/* Publishes out. */

static void
send_qos0(struct side *s, const struct cluster_pub *p, uint8_t flags, size_t len)
{
	if (__builtin_expect(len <= RECORD_BODY_MAX, 1)) {
		record_publish_put(link_put(s->link, RECORD_PUBLISH, flags, len, LINK_LAZY), p);
	} else {
		uint8_t *body = mem_alloc(len);
		struct slice part = slice_of(body, len);

		record_publish_put(body, p);
		link_put_parts(s->link, RECORD_PUBLISH, flags, &part, 1, LINK_LAZY);
		mem_free(body);
	}
	s->counts.out++;
}

static unsigned
publish_qos0(struct forward *f, const struct cluster_pub *p, uint64_t set)
{
	uint8_t flags = record_publish_flags(p);
	size_t len = record_publish_size(p);
	unsigned legs = 0;

	for (; set != 0; set &= set - 1) {
		struct side *s = &f->side[__builtin_ctzll(set)];

		if (__builtin_expect(link_pending(s->link) > FORWARD_SHED_BYTES, 0)) {
			METRIC_ADD(dropped_link_full, 1);
			continue;
		}
		send_qos0(s, p, flags, len);
		legs++;
	}
	METRIC_ADD(link_msgs_out, legs);
	return legs;
}

unsigned
forward_publish(struct forward *f, const struct cluster_pub *p, uint64_t cookie, uint64_t also)
{
	bool id = false;
	uint64_t set = also | ((f->live | f->gone) != 0 ? routes_match_id(f->routes, p->topic, &id) : 0);
	struct cluster_pub direct;
	struct held *h;

	if (p->qos == 0) {
		set &= f->live;
		return set != 0 ? publish_qos0(f, p, set) : 0;
	}
	set = (set & (f->live | f->gone)) | f->loading;
	if (set == 0)
		return 0;
	/* Who gets a direct message asks whose it is. */
	if (__builtin_expect(id, 0) && p->origin_id.len == 0) {
		direct = *p;
		direct.origin_id = p->sender;
		p = &direct;
	}
	h = held_new(p, cookie, also);
	for (; set != 0; set &= set - 1) {
		unsigned slot = (unsigned)__builtin_ctzll(set);
		uint64_t leg = leg_open(f, slot, h);

		if ((f->live & bit(slot)) != 0) {
			send_held(&f->side[slot], h, leg);
			METRIC_ADD(link_msgs_out, 1);
		}
	}
	return h->legs;
}

bool
forward_congested(const struct forward *f)
{
	return f->congested != 0;
}

/* A neighbour's life. */

void
forward_link(struct forward *f, unsigned slot, struct link *k)
{
	struct side *s = &f->side[slot];

	s->link = k;
	s->generation++;
	s->kept_count = 0;
	s->counts = (struct forward_counts){ 0 };
}

void
forward_begin(struct forward *f, unsigned slot)
{
	f->gone &= ~bit(slot);
	f->live &= ~bit(slot);
	f->loading |= bit(slot);
}

/* The open legs of old move to the new incarnation, or close. Nothing newer has been sent to it. */
void
forward_live(struct forward *f, unsigned slot)
{
	struct side *s = &f->side[slot];
	struct legs old = s->legs;

	f->loading &= ~bit(slot);
	f->live |= bit(slot);
	s->legs = (struct legs){ .first = 1, .next = 1 };
	for (uint64_t n = old.first; n < old.next; n++) {
		struct held *h = old.at[n & (old.cap - 1)];

		if (h == NULL)
			continue;
		if (((h->also | routes_match(f->routes, record_publish_topic(h->body))) & bit(slot)) != 0) {
			send_held(s, h, leg_open(f, slot, h));
			METRIC_ADD(link_msgs_out, 1);
		}
		leg_closed(f, h);
	}
	mem_free(old.at);
	check_congestion(f, slot);
}

void
forward_unlink(struct forward *f, unsigned slot)
{
	f->side[slot].link = NULL;
	f->side[slot].kept_count = 0;
	if ((f->live & bit(slot)) == 0)
		return;                 /* what was loading still is: hold everything */
	f->live &= ~bit(slot);
	f->gone |= bit(slot);
}

/* From the link. */

int
forward_take_publish(struct forward *f, unsigned slot, const struct record *r)
{
	struct side *s = &f->side[slot];
	struct cluster_pub p;
	uint64_t leg;
	int rv = record_publish_get(r, &p, &leg);

	if (rv != 0 || leg > TOKEN_MASK)
		return FB_EPROTO;
	s->counts.in++;
	METRIC_ADD(link_msgs_in, 1);
	f->ops->on_publish(f->arg, slot, &p, leg == 0 ? 0 : leg | (uint64_t)s->generation << TOKEN_SHIFT);
	return 0;
}

int
forward_take_kept(struct forward *f, unsigned slot, struct slice body)
{
	struct legs *l = &f->side[slot].legs;
	uint64_t first;
	uint32_t count;
	int rv;

	while ((rv = record_kept_next(&body, &first, &count)) == 0) {
		if (first < l->first || first >= l->next || count > l->next - first)
			return FB_EPROTO;
		for (uint64_t n = first; n < first + count; n++)
			leg_close(f, l, n);
	}
	while (l->first < l->next && l->at[l->first & (l->cap - 1)] == NULL)
		l->first++;
	if (f->congested != 0)
		check_congestion(f, slot);
	return rv == FB_ENOENT ? 0 : rv;
}

void
forward_kept(struct forward *f, unsigned slot, uint64_t token)
{
	struct side *s = &f->side[slot];
	uint64_t leg = token & TOKEN_MASK;
	struct range *last;

	if (s->link == NULL || token >> TOKEN_SHIFT != s->generation)
		return;
	last = s->kept_count != 0 ? &s->kept[s->kept_count - 1] : NULL;
	if (last != NULL && last->first + last->count == leg && last->count != UINT32_MAX) {
		last->count++;
		return;
	}
	if (s->kept_count == s->kept_cap) {
		s->kept_cap = s->kept_cap == 0 ? 16 : s->kept_cap * 2;
		s->kept = mem_realloc(s->kept, s->kept_cap * sizeof *s->kept);
	}
	s->kept[s->kept_count++] = (struct range){ leg, 1 };
	if (s->kept_count == 1)
		link_touch(s->link, LINK_SOON);
}

void
forward_flush(struct forward *f, unsigned slot)
{
	struct side *s = &f->side[slot];
	const size_t most = RECORD_BODY_MAX / RECORD_KEPT_SIZE;

	for (size_t i = 0; i < s->kept_count;) {
		size_t n = s->kept_count - i < most ? s->kept_count - i : most;
		uint8_t *at = link_put(s->link, RECORD_KEPT, 0, n * RECORD_KEPT_SIZE, LINK_SOON);

		for (; n > 0; n--, i++, at += RECORD_KEPT_SIZE)
			record_kept_put(at, s->kept[i].first, s->kept[i].count);
	}
	s->kept_count = 0;
}

struct forward_counts
forward_counts(const struct forward *f, unsigned slot)
{
	struct forward_counts c = f->side[slot].counts;

	c.unkept = f->side[slot].legs.open;
	return c;
}

void
forward_free(struct forward *f)
{
	if (f == NULL)
		return;
	task_cancel(&f->task);
	for (unsigned i = 0; i < CLUSTER_MAX; i++) {
		struct legs *l = &f->side[i].legs;

		for (uint64_t n = l->first; n < l->next; n++) {
			struct held *h = l->at[n & (l->cap - 1)];

			if (h != NULL && --h->legs == 0)
				mem_slab_put(h, h->real_size);
		}
		mem_free(l->at);
		mem_free(f->side[i].kept);
	}
	mem_free(f->done);
	mem_free(f);
}
