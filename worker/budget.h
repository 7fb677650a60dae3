/* SPDX-License-Identifier: Apache-2.0
 * worker/budget.h - this worker's share of memory.limit, and what happens when it is used up.
 *
 * From each level on, besides what happens from those before it:
 *	TIGHT	a client whose socket is full gets no more into its output: QoS 0 is dropped, QoS 1 and 2 wait in its
 *		queue, where they are shared with those of all others;
 *	SHORT	publishers of QoS 1 and 2 wait (they are not read), and the largest queues give their oldest messages, a
 *		part in each turn, until there is room again;
 *	OUT	a queue gets no longer: its oldest message gives way to a new one. Connections are refused, and clients
 *		that send a large packet lose theirs.
 * What is dropped is counted as dropped_memory. */
#ifndef WORKER_BUDGET_H
#define WORKER_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/hmap.h"
#include "common/base/loop.h"
#include "common/base/mem.h"

struct worker;

enum budget_level { BUDGET_FREE, BUDGET_TIGHT, BUDGET_SHORT, BUDGET_OUT, BUDGET_LEVELS };
#define BUDGET_LOOKS 8

struct budget {
	int64_t limit;                  /* bytes; 0: none */
	int64_t at[BUDGET_LEVELS];      /* mem_used() from which a level holds */
	int64_t enough;                 /* of it: queues are not cut further */
	int64_t overhead;               /* what the process takes besides: the least of the last looks */
	int64_t look[BUDGET_LOOKS];
	unsigned looks;
	int fd;                         /* what the kernel says of it, or -1 */
	enum budget_level level;        /* as of the last tick, which logs changes */
	bool holds;                     /* publishers wait */
	bool futile;                    /* there is nothing left to cut: let them go on */
	struct task cut;
	struct hmap_iter cut_at;
	uint64_t cut_to;                /* bytes of a queue; 0: not cutting */
	uint64_t cut_largest;           /* seen in this pass */
	uint64_t cut_count;             /* cut in this pass */
};

void budget_init(struct worker *w);
void budget_fini(struct worker *w);
/* From the supervisor. 0: no limit. */
void budget_set(struct worker *w, uint64_t bytes);
/* Four times a second: looks at what the process takes in all. */
void budget_tick(struct worker *w);

#define budget_is(w, l) __builtin_expect(mem_used() >= (w)->budget.at[l], 0)
/* Publishers of QoS 1 and 2 have to wait. */
#define budget_holds(w) (budget_is(w, BUDGET_SHORT) && budget_hold((struct worker *)(uintptr_t)(w)))
bool budget_hold(struct worker *w);

#endif
