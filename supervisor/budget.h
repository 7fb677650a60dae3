/* SPDX-License-Identifier: Apache-2.0
 * supervisor/budget.h - memory.limit, shared out among the workers each second: half of it in equal parts, half so that
 * each has what it takes now and an equal part of what is free. What fubard and the store take is taken off before. */
#ifndef SUPERVISOR_BUDGET_H
#define SUPERVISOR_BUDGET_H

#include <stdint.h>

#include "common/base/loop.h"

struct node;
struct proc;

struct budget {
	struct timer timer;
	uint64_t limit_bytes;           /* 0: unknown */
};

void budget_start(struct node *n);
void budget_stop(struct node *n);
/* Shares out now; the next time is in a second. */
void budget_look(struct node *n);
/* What a worker that takes used bytes may take, of limit bytes for all of them, which together take all_used. */
uint64_t budget_share(uint64_t limit, unsigned workers, uint64_t used, uint64_t all_used);

#endif
