/* SPDX-License-Identifier: Apache-2.0
 *
 * Eight levels of 64 slots; a slot of level n is 64^n ms wide, so 2^48 ms: more than struct mono can say. A timer
 * stands at the level of the highest group of six bits in which its time differs from the wheel's, in the slot that
 * this group of its time names. Hence all above that group is equal, everything in a lower level is due before
 * everything in a higher one, and the next slot is the lowest bit of the lowest level in use: empty time is skipped.
 * When the wheel's time reaches the start of a slot above level 0, its timers are sorted into the levels below.
 * What is due when it is set stands in `due` and fires at the next wheel_advance(), never in the running one: a timer
 * that sets itself to "now" does not stop the world. */
#include "common/base/wheel.h"

#include <stdint.h>

#include "common/base/mem.h"

#define WHEEL_BITS   6
#define WHEEL_SLOTS  64
#define WHEEL_LEVELS 8

struct wheel {
	int64_t now_ms;                         /* nothing in slots is at or before it */
	struct list due;
	uint64_t used[WHEEL_LEVELS];            /* bit set: the slot holds timers */
	struct list slots[WHEEL_LEVELS][WHEEL_SLOTS];
};

struct wheel *
wheel_new(struct mono now)
{
	struct wheel *w = mem_zalloc(sizeof *w);

	w->now_ms = now.ns > 0 ? now.ns / NS_PER_MS : 0;
	list_init(&w->due);
	for (int i = 0; i < WHEEL_LEVELS; i++)
		for (int j = 0; j < WHEEL_SLOTS; j++)
			list_init(&w->slots[i][j]);
	return w;
}

static void
forget(struct list *head)
{
	LIST_EACH_SAFE(pos, tmp, head)
		list_del(pos);
}

void
wheel_free(struct wheel *w)
{
	if (w == NULL)
		return;
	forget(&w->due);
	for (int i = 0; i < WHEEL_LEVELS; i++)
		for (int j = 0; j < WHEEL_SLOTS; j++)
			forget(&w->slots[i][j]);
	mem_free(w);
}

static void
place(struct wheel *w, struct timer *t)
{
	uint64_t at = (uint64_t)t->at_ms;
	unsigned level;
	unsigned slot;

	if (t->at_ms <= w->now_ms) {
		list_put_last(&w->due, &t->link);
		return;
	}
	level = (63u - (unsigned)__builtin_clzll(at ^ (uint64_t)w->now_ms)) / WHEEL_BITS;
	slot = (unsigned)(at >> (level * WHEEL_BITS)) % WHEEL_SLOTS;
	list_put_last(&w->slots[level][slot], &t->link);
	w->used[level] |= UINT64_C(1) << slot;
}

void
wheel_cancel(struct wheel *w, struct timer *t)
{
	struct list *next = t->link.next;
	uintptr_t offset = (uintptr_t)next - (uintptr_t)w->slots;
	size_t i = offset / sizeof(struct list);

	if (next == NULL)
		return;
	list_del(&t->link);
	if (offset < sizeof w->slots && list_empty(next))       /* it was the last of a slot */
		w->used[i / WHEEL_SLOTS] &= ~(UINT64_C(1) << i % WHEEL_SLOTS);
}

void
wheel_set(struct wheel *w, struct timer *t, struct mono at)
{
	wheel_cancel(w, t);
	t->at_ms = at.ns / NS_PER_MS + (at.ns % NS_PER_MS > 0);
	place(w, t);
}

/* The next slot that holds timers, and when it starts; false: none. */
static bool
next_slot(const struct wheel *w, unsigned *level, unsigned *slot, int64_t *start)
{
	for (unsigned i = 0; i < WHEEL_LEVELS; i++) {
		unsigned shift = i * WHEEL_BITS;

		if (w->used[i] == 0)
			continue;
		*level = i;
		*slot = (unsigned)__builtin_ctzll(w->used[i]);
		*start = (w->now_ms >> shift >> WHEEL_BITS << WHEEL_BITS | *slot) << shift;
		return true;
	}
	return false;
}

/* Through a list of its own: what a callback sets does not join, what it cancels leaves. */
static void
fire_all(struct list *head)
{
	struct list now;

	list_init(&now);
	list_move_all(&now, head);
	while (!list_empty(&now)) {
		struct timer *t = container_of(now.next, struct timer, link);

		list_del(&t->link);
		t->fn(t);
	}
}

/* The wheel's time has come to the start of a slot: fire what is due, sort the rest into the levels below. */
static void
open_slot(struct wheel *w, struct list *head)
{
	struct list due;

	list_init(&due);
	while (!list_empty(head)) {
		struct timer *t = container_of(head->next, struct timer, link);

		list_del(&t->link);
		if (t->at_ms <= w->now_ms)
			list_put_last(&due, &t->link);
		else
			place(w, t);
	}
	fire_all(&due);
}

void
wheel_advance(struct wheel *w, struct mono now)
{
	int64_t to = now.ns / NS_PER_MS;
	int64_t start;
	unsigned level;
	unsigned slot;

	if (!list_empty(&w->due))
		fire_all(&w->due);
	while (next_slot(w, &level, &slot, &start) && start <= to) {
		w->used[level] &= ~(UINT64_C(1) << slot);
		w->now_ms = start;
		open_slot(w, &w->slots[level][slot]);
	}
	if (to > w->now_ms)
		w->now_ms = to;
}

bool
wheel_next(const struct wheel *w, struct mono *at)
{
	unsigned level;
	unsigned slot;
	int64_t start;

	if (!list_empty(&w->due))
		*at = (struct mono){ w->now_ms * NS_PER_MS };
	else if (next_slot(w, &level, &slot, &start))
		*at = (struct mono){ start * NS_PER_MS };
	else
		return false;
	return true;
}
