/* SPDX-License-Identifier: Apache-2.0
 * supervisor/client/hist.c - quantiles are looked up, never kept. */
#include "supervisor/client/hist.h"

#include <string.h>

void
hist_clear(struct hist *h)
{
	memset(h, 0, sizeof *h);
}

/* The largest value that falls into the slot. */
static uint64_t
slot_top(uint32_t slot)
{
	uint32_t shift;

	if (slot < 2 * HIST_STEPS)
		return slot;
	shift = (slot >> HIST_STEP_BITS) - 1;
	return ((uint64_t)(slot - (shift << HIST_STEP_BITS)) + 1) * (UINT64_C(1) << shift) - 1;
}

uint64_t
hist_quantile(const struct hist *h, double q)
{
	uint64_t want = (uint64_t)((double)h->count * q);
	uint64_t seen = 0;

	if ((double)want < (double)h->count * q)
		want++;
	if (want == 0)
		want = 1;
	for (uint32_t i = 0; i < HIST_SLOTS && h->count > 0; i++) {
		seen += h->slots[i];
		if (seen >= want)
			return slot_top(i) < h->max ? slot_top(i) : h->max;
	}
	return h->max;
}

double
hist_mean(const struct hist *h)
{
	return h->count == 0 ? 0 : (double)h->sum / (double)h->count;
}
