/* SPDX-License-Identifier: Apache-2.0
 *
 * One small allocation an id: the hash map is intrusive, the id ends the struct, the account is shared. The map grows a
 * few buckets an insert, so that a node with a million ids never stops for a rehash. */
#include "store/owners.h"

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
	/* Microseconds: no store changes owners as often. */
	o->last_stamp = (uint64_t)clock_wall().ns >> 10;
}

void
owners_stamp(struct owners *o, struct owner *w)
{
	if ((uint32_t)++o->last_stamp == 0)
		o->last_stamp++;
	w->stamp = (uint32_t)o->last_stamp;
}

uint64_t
owners_stamp_of(const struct owners *o, const struct owner *w)
{
	return w->stamp == 0 ? 0 : o->last_stamp - (uint32_t)((uint32_t)o->last_stamp - w->stamp);
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
	w->id_len = (uint16_t)id.len;
	if (id.len > 0)
		memcpy(w->id, id.p, id.len);
	hmap_put(&o->ids, &w->node, rand_hash(id.p, id.len));
	return w;
}

void
owners_del(struct owners *o, struct owner *w)
{
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

	while ((n = hmap_each(&o->ids, &it)) != NULL) {
		struct owner *w = container_of(n, struct owner, node);

		if (w->slot != slot)
			continue;
		if ((w->flags & OWNER_DURABLE) == 0)
			owners_del(o, w);
		else
			w->flags &= (uint8_t)~OWNER_HELD, w->stamp = 0;
	}
}
