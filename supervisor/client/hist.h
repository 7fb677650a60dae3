/* SPDX-License-Identifier: Apache-2.0
 * supervisor/client/hist.h - a histogram of latencies in ns: 128 steps for each power of two, so that a quantile is at most 0.8 %
 * too high; 0 to 73 minutes, longer is counted as that. Fixed size, adding costs a few ns. */
#ifndef CLIENT_HIST_H
#define CLIENT_HIST_H

#include <stdint.h>

#define HIST_STEP_BITS 7
#define HIST_STEPS (1 << HIST_STEP_BITS)
#define HIST_MAX_BITS 42
#define HIST_SLOTS ((HIST_MAX_BITS - HIST_STEP_BITS + 1) * HIST_STEPS)

struct hist {
	uint64_t slots[HIST_SLOTS];
	uint64_t count;
	uint64_t sum;
	uint64_t max;
};

static inline uint32_t
hist_slot(uint64_t ns)
{
	uint32_t shift;

	if (ns < HIST_STEPS)
		return (uint32_t)ns;
	if (ns >> HIST_MAX_BITS != 0)
		return HIST_SLOTS - 1;
	shift = 63 - HIST_STEP_BITS - (uint32_t)__builtin_clzll(ns);
	return (shift << HIST_STEP_BITS) + (uint32_t)(ns >> shift);
}

/* n values of the same size; a negative one counts as 0. */
static inline void
hist_add(struct hist *h, int64_t ns, uint64_t n)
{
	uint64_t v = ns < 0 ? 0 : (uint64_t)ns;

	h->slots[hist_slot(v)] += n;
	h->count += n;
	h->sum += v * n;
	if (v > h->max)
		h->max = v;
}

void hist_clear(struct hist *h);
/* The value that the share q (0..1) of all values does not exceed; 0 when empty. */
uint64_t hist_quantile(const struct hist *h, double q);
double hist_mean(const struct hist *h);

#endif
