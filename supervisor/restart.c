/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/restart.h"

#define BLAME_ROWS (sizeof ((struct blame *)0)->row / sizeof ((struct blame *)0)->row[0])
#define FIRST_WAIT_NS (100 * NS_PER_MS)

void
restart_started(struct restart *r, struct mono now)
{
	r->started = now;
}

int64_t
restart_delay_ns(struct restart *r, struct mono now)
{
	int64_t wait = FIRST_WAIT_NS;

	if (mono_diff(now, r->started) >= RESTART_STABLE_NS)
		r->fails = 0;
	r->fails++;
	if (r->fails <= 2)
		return 0;
	for (unsigned i = 3; i < r->fails && wait < RESTART_MAX_NS; i++)
		wait *= 2;
	return wait < RESTART_MAX_NS ? wait : RESTART_MAX_NS;
}

static struct blame_row *
row_for(struct blame *b, uint64_t note)
{
	struct blame_row *oldest = &b->row[0];

	for (unsigned i = 0; i < BLAME_ROWS; i++) {
		if (b->row[i].note == note)
			return &b->row[i];
		if (b->row[i].died.ns < oldest->died.ns)
			oldest = &b->row[i];
	}
	*oldest = (struct blame_row){ .note = 0 };
	return oldest;
}

bool
blame_death(struct blame *b, uint64_t note, struct mono now)
{
	struct blame_row *r;
	bool again;

	if (note == 0)
		return false;
	r = row_for(b, note);
	again = r->note == note && mono_diff(now, r->died) <= BLAME_WINDOW_NS;
	r->note = note;
	r->died = now;
	if (again)
		r->until = mono_add(now, BLAME_BAN_S * NS_PER_SEC);
	return again;
}

uint32_t
blame_left_s(const struct blame *b, unsigned i, struct mono now)
{
	int64_t left;

	if (i >= BLAME_ROWS || b->row[i].note == 0)
		return 0;
	left = mono_diff(b->row[i].until, now);
	return left <= 0 ? 0 : (uint32_t)((left + NS_PER_SEC - 1) / NS_PER_SEC);
}
