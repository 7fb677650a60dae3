/* SPDX-License-Identifier: Apache-2.0
 *
 * One small allocation an id: the hash map is intrusive, the id ends the struct, the account is shared. The map grows a
 * few buckets an insert, so that a node with a million ids never stops for a rehash. */
#include "store/owners.h"

#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/list.h"
#include "common/base/mem.h"
#include "common/base/rand.h"

struct owner_account {
	struct hmap_node node;
	uint32_t users;
	uint32_t len;
	uint8_t name[];
};

void
owners_init(struct owners *o)
{
	hmap_init(&o->ids);
	hmap_init(&o->accounts);
	hmap_init(&o->claims);
	buf_init(&o->takers);
	o->fresh = 0;
	/* In 16 us: no store changes owners as often for long. 48 bits are enough for 146 years from 1970. */
	o->last_stamp = (uint64_t)clock_wall().ns >> 14;
}

/* ---- claims ---- */

static void
claim_put(struct owners *o, struct owner *w, unsigned slot, uint64_t stamp, bool here)
{
	struct owner_claim *c = mem_zalloc(sizeof *c);

	c->owner = w;
	c->slot = (uint16_t)slot;
	c->stamp = stamp;
	c->here = here;
	w->flags |= OWNER_CLAIMED;
	hmap_put(&o->claims, &c->node, w->node.hash);
}

static void
claim_free(struct owners *o, struct owner_claim *c)
{
	hmap_del(&o->claims, &c->node);
	mem_free(c);
}

struct owner_claim *
owners_claim_before(const struct owners *o, const struct owner *w, uint64_t stamp)
{
	struct owner_claim *newest = NULL;

	if ((w->flags & OWNER_CLAIMED) == 0)
		return NULL;
	for (struct hmap_node *n = hmap_first(&o->claims, w->node.hash); n != NULL; n = hmap_next(n, w->node.hash)) {
		struct owner_claim *c = container_of(n, struct owner_claim, node);

		if (c->owner == w && c->stamp < stamp && (newest == NULL || c->stamp > newest->stamp))
			newest = c;
	}
	return newest;
}

struct owner_claim *
owners_claim_get(const struct owners *o, const struct owner *w, uint64_t stamp)
{
	struct owner_claim *c = owners_claim_before(o, w, stamp + 1);

	return c != NULL && c->stamp == stamp ? c : NULL;
}

struct owner_claim *
owners_claim_dead(const struct owners *o, const struct owner *w, unsigned slot)
{
	uint64_t before = UINT64_MAX;
	struct owner_claim *c;

	while ((c = owners_claim_before(o, w, before)) != NULL && !(c->dead && c->slot == slot))
		before = c->stamp;
	return c;
}

bool
owners_claimed_by(const struct owners *o, const struct owner *w, unsigned slot)
{
	uint64_t before = UINT64_MAX;
	const struct owner_claim *c;

	while ((c = owners_claim_before(o, w, before)) != NULL && c->slot != slot)
		before = c->stamp;
	return c != NULL;
}

void
owners_claim_del(struct owners *o, struct owner *w, uint64_t stamp)
{
	struct owner_claim *c = owners_claim_get(o, w, stamp);

	if (c != NULL)
		claim_free(o, c);
	if ((w->flags & OWNER_CLAIMED) != 0 && owners_claim_before(o, w, UINT64_MAX) == NULL)
		w->flags &= (uint8_t)~OWNER_CLAIMED;
}

static void
drop_claims(struct owners *o, struct owner *w)
{
	struct owner_claim *c;

	while ((c = owners_claim_before(o, w, UINT64_MAX)) != NULL)
		claim_free(o, c);
	w->flags &= (uint8_t)~OWNER_CLAIMED;
}

/* ---- entries ---- */

static void
set_owner(struct owner *w, unsigned slot, uint64_t stamp, bool here)
{
	w->slot = (uint16_t)slot;
	w->stamp = stamp & ((UINT64_C(1) << 48) - 1);
	w->flags = (uint8_t)((w->flags & ~(OWNER_HERE | OWNER_CAME | OWNER_GUESS)) | OWNER_HELD | (here ? OWNER_HERE : 0));
}

void
owners_give(struct owners *o, struct owner *w, unsigned slot)
{
	if ((w->flags & OWNER_HELD) != 0 && w->slot != slot)
		claim_put(o, w, w->slot, w->stamp, (w->flags & OWNER_HERE) != 0);
	set_owner(w, slot, ++o->last_stamp, false);
}

/* Its process was late, and is none that had died. */
static void
claim_dead_del(struct owners *o, struct owner *w, unsigned slot)
{
	struct owner_claim *c = owners_claim_dead(o, w, slot);

	if (c != NULL)
		owners_claim_del(o, w, c->stamp);
}

bool
owners_name(struct owners *o, struct owner *w, unsigned slot, uint64_t stamp, bool here)
{
	bool held = (w->flags & OWNER_HELD) != 0;

	if (stamp > o->last_stamp)
		o->last_stamp = stamp;
	if (here)
		claim_dead_del(o, w, slot);
	/* Also of one slot: its CONNECTs follow each other, and the first of them, or the session that it has, is what the next
	 * one is to wait for. */
	if (held && stamp < w->stamp) {
		claim_put(o, w, slot, stamp, here);
		return false;
	}
	if (held && stamp > w->stamp)
		claim_put(o, w, w->slot, w->stamp, (w->flags & OWNER_HERE) != 0);
	set_owner(w, slot, stamp, here);
	return true;
}

/* It is that of the row, or any of those that died. */
unsigned
owners_row_slot(const struct owners *o, const struct owner *w)
{
	uint64_t left = o->fresh;

	if ((w->flags & OWNER_GUESS) == 0 || left == 0 || (left >> w->slot & 1) != 0)
		return w->slot;
	for (uint64_t n = w->node.hash % (uint64_t)__builtin_popcountll(left); n > 0; n--)
		left &= left - 1;
	return (unsigned)__builtin_ctzll(left);
}

#define NO_SLOT UINT16_MAX

struct taker {
	struct owner *owner;            /* when all have named theirs */
	uint64_t stamp, prev_stamp;
	uint16_t prev_slot;
	uint16_t row_slot;              /* NO_SLOT: not known */
};

void
owners_taker(struct owners *o, const struct owner *w, uint64_t stamp, unsigned prev_slot, uint64_t prev_stamp)
{
	const struct taker t = { .stamp = stamp, .prev_stamp = prev_stamp, .prev_slot = (uint16_t)prev_slot,
		.row_slot = (w->flags & OWNER_GUESS) != 0 ? w->slot : NO_SLOT };

	/* By its id: until all have named theirs, the entry may go. */
	buf_put(&o->takers, &t, sizeof t);
	buf_put_le32_bytes(&o->takers, owner_id(w));
}

static bool
is_fresh(const struct owners *o, unsigned slot)
{
	return slot < 64 && (o->fresh >> slot & 1) != 0;
}

static void
put_dead(struct owners *o, struct owner *w, unsigned slot, uint64_t stamp)
{
	claim_put(o, w, slot, stamp, true);
	owners_claim_get(o, w, stamp)->dead = true;
}

/* t: the first of those that are about to take it. From whom it does is dead, if nobody has it. */
static void
name_dead(struct owners *o, const struct taker *t, unsigned row_slot)
{
	struct owner *w = t->owner;
	const struct owner_claim *c;

	if ((w->flags & (OWNER_DURABLE | OWNER_HELD | OWNER_HERE)) != (OWNER_DURABLE | OWNER_HELD))
		return;
	for (uint64_t before = w->stamp; (c = owners_claim_before(o, w, before)) != NULL; before = c->stamp)
		if (c->here)
			return;
	if (!is_fresh(o, t->prev_slot))
		return;
	/* That one may have died while it was to take it from another one that is dead: as the row says. */
	if (row_slot != t->prev_slot && is_fresh(o, row_slot))
		put_dead(o, w, row_slot, t->prev_stamp - 1);
	else
		put_dead(o, w, t->prev_slot, t->prev_stamp);
}

static int
by_owner_and_stamp(const void *a, const void *b)
{
	const struct taker *x = a;
	const struct taker *y = b;

	if (x->owner != y->owner)
		return (uintptr_t)x->owner < (uintptr_t)y->owner ? -1 : 1;
	return x->stamp < y->stamp ? -1 : x->stamp > y->stamp;
}

/* Those of one slot that wait for each other are named in any order. */
void
owners_named(struct owners *o, uint64_t fresh)
{
	struct slice left = buf_slice(&o->takers);
	struct slice id;
	struct taker *all;
	struct taker t;
	struct buf known;
	size_t count;

	o->fresh = fresh;
	buf_init(&known);
	while (left.len > 0) {
		memcpy(&t, left.p, sizeof t);
		left = slice_of(left.p + sizeof t, left.len - sizeof t);
		t.owner = slice_take_le32_bytes(&left, &id) == 0 ? owners_find(o, id) : NULL;
		if (t.owner != NULL)
			buf_put(&known, &t, sizeof t);
	}
	buf_fini(&o->takers);
	all = (struct taker *)(void *)(known.base + known.start);
	count = buf_len(&known) / sizeof *all;
	if (count > 1)
		qsort(all, count, sizeof *all, by_owner_and_stamp);
	for (size_t first = 0, end; first < count; first = end) {
		unsigned row_slot = NO_SLOT;

		for (end = first; end < count && all[end].owner == all[first].owner; end++)
			if (all[end].row_slot != NO_SLOT)
				row_slot = all[end].row_slot;
		name_dead(o, &all[first], row_slot);
	}
	buf_fini(&known);
}

struct owner_claim *
owners_claim_over(const struct owners *o, struct hmap_iter *it)
{
	struct hmap_node *n;

	while ((n = hmap_each(&o->claims, it)) != NULL) {
		struct owner_claim *c = container_of(n, struct owner_claim, node);
		const struct owner_claim *later = owners_claim_before(o, c->owner, UINT64_MAX);

		if ((c->owner->flags & OWNER_HERE) != 0)
			return c;
		while (later != c && !later->here)
			later = owners_claim_before(o, c->owner, later->stamp);
		if (later != c)
			return c;
	}
	return NULL;
}

bool
owners_next(struct owners *o, struct owner *w)
{
	struct owner_claim *c = owners_claim_before(o, w, UINT64_MAX);

	if (c != NULL) {
		bool dead = c->dead;

		set_owner(w, c->slot, c->stamp, c->here);
		claim_free(o, c);
		if (dead)
			w->flags &= (uint8_t)~OWNER_HELD;
		return false;
	}
	if ((w->flags & OWNER_DURABLE) == 0) {
		owners_del(o, w);
		return false;
	}
	w->flags &= OWNER_DURABLE | OWNER_AGED;
	w->stamp = 0;
	return true;
}

void
owners_clear(struct owners *o)
{
	struct hmap_iter it = { 0 };
	struct hmap_node *n;

	while ((n = hmap_each(&o->ids, &it)) != NULL)
		owners_del(o, container_of(n, struct owner, node));
}

void
owners_fini(struct owners *o)
{
	owners_clear(o);
	hmap_fini(&o->ids);
	hmap_fini(&o->accounts);
	hmap_fini(&o->claims);
	buf_fini(&o->takers);
}

static struct owner_account *
account_hold(struct owners *o, struct slice name)
{
	uint64_t h = rand_hash(name.p, name.len);
	struct owner_account *a;

	for (struct hmap_node *n = hmap_first(&o->accounts, h); n != NULL; n = hmap_next(n, h)) {
		a = container_of(n, struct owner_account, node);
		if (slice_eq(slice_of(a->name, a->len), name)) {
			a->users++;
			return a;
		}
	}
	a = mem_alloc(sizeof *a + name.len);
	a->users = 1;
	a->len = (uint32_t)name.len;
	if (name.len > 0)
		memcpy(a->name, name.p, name.len);
	hmap_put(&o->accounts, &a->node, h);
	return a;
}

static void
account_drop(struct owners *o, struct owner_account *a)
{
	if (--a->users > 0)
		return;
	hmap_del(&o->accounts, &a->node);
	mem_free(a);
}

struct owner *
owners_find(const struct owners *o, struct slice id)
{
	uint64_t h = rand_hash(id.p, id.len);

	for (struct hmap_node *n = hmap_first(&o->ids, h); n != NULL; n = hmap_next(n, h)) {
		struct owner *w = container_of(n, struct owner, node);

		if (slice_eq(owner_id(w), id))
			return w;
	}
	return NULL;
}

struct owner *
owners_add(struct owners *o, struct slice id, struct slice account, unsigned slot, unsigned flags)
{
	size_t size = offsetof(struct owner, id) + id.len;
	struct owner *w;

	FB_ASSERT(id.len <= UINT16_MAX);
	w = mem_alloc(size > sizeof *w ? size : sizeof *w);
	w->account = account_hold(o, account);
	w->slot = (uint16_t)slot;
	w->flags = (uint8_t)flags;
	w->stamp = 0;
	w->id_len = id.len & UINT16_MAX;
	if (id.len > 0)
		memcpy(w->id, id.p, id.len);
	hmap_put(&o->ids, &w->node, rand_hash(id.p, id.len));
	return w;
}

void
owners_del(struct owners *o, struct owner *w)
{
	drop_claims(o, w);
	hmap_del(&o->ids, &w->node);
	account_drop(o, w->account);
	mem_free(w);
}

void
owners_set_account(struct owners *o, struct owner *w, struct slice account)
{
	struct owner_account *was = w->account;

	w->account = account_hold(o, account);
	account_drop(o, was);
}

struct slice
owner_account(const struct owner *w)
{
	return slice_of(w->account->name, w->account->len);
}

size_t
owners_count(const struct owners *o)
{
	return o->ids.count;
}

void
owners_slot_gone(struct owners *o, unsigned slot)
{
	struct hmap_iter it = { 0 };
	struct hmap_node *n;

	while ((n = hmap_each(&o->claims, &it)) != NULL) {
		struct owner_claim *c = container_of(n, struct owner_claim, node);

		if (c->slot != slot)
			continue;
		if ((c->owner->flags & OWNER_DURABLE) != 0 && owners_claim_before(o, c->owner, c->stamp) == NULL)
			c->dead = true;
		else
			claim_free(o, c);
	}
	it = (struct hmap_iter){ 0 };
	while ((n = hmap_each(&o->ids, &it)) != NULL) {
		struct owner *w = container_of(n, struct owner, node);

		if (w->slot == slot && ((w->flags & OWNER_HELD) != 0 || (w->flags & OWNER_DURABLE) == 0))
			(void)owners_next(o, w);
	}
}

void
owners_slot_loaded(struct owners *o, unsigned slot)
{
	struct hmap_iter it = { 0 };
	struct hmap_node *n;

	while ((n = hmap_each(&o->claims, &it)) != NULL) {
		struct owner_claim *c = container_of(n, struct owner_claim, node);

		if (c->slot == slot && c->dead)
			claim_free(o, c);
	}
}
