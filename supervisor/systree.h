/* SPDX-License-Identifier: Apache-2.0
 * supervisor/systree.h - $SYS/broker/...: each sys.interval the sums over all processes, dead ones included, are made
 * here from the shared pages, and what has changed goes to every worker, which has it for its own subscribers. So it
 * outlives each worker, and nothing is stored. */
#ifndef SUPERVISOR_SYSTREE_H
#define SUPERVISOR_SYSTREE_H

#include <stdint.h>

#include "common/base/loop.h"

struct node;
struct proc;

enum systree_rate {
#define SYS_RATE(name, topic, counter, help) SYSTREE_##name,
#include "supervisor/systree.def"
	SYSTREE_RATES
};
enum { SYSTREE_1MIN, SYSTREE_5MIN, SYSTREE_15MIN, SYSTREE_SPANS };

enum systree_topic {
#define SYS_TEXT(name, topic, help) SYSTREE_T_##name,
#define SYS_NUMBER(name, topic, value, help) SYSTREE_T_##name,
#include "supervisor/systree.def"
	SYSTREE_LOADS,                          /* the averages follow, rate by rate */
	SYSTREE_TOPICS = SYSTREE_LOADS + SYSTREE_RATES * SYSTREE_SPANS
};

struct systree {
	struct timer timer;
	struct mono last;
	uint64_t most_clients;                  /* at a time, as seen four times a second */
	uint64_t before[SYSTREE_RATES];         /* the counters at the last look */
	double load[SYSTREE_RATES][SYSTREE_SPANS];
	char value[SYSTREE_TOPICS][40];         /* what the workers have; empty: nothing */
};

void systree_start(struct node *n);
void systree_stop(struct node *n);
void systree_settings(struct node *n);          /* sys.interval has changed, or the node is ready: looks at once */
void systree_tell(struct node *n, struct proc *w);      /* a new worker: all values */
void systree_tick(struct node *n);              /* four times a second: the most clients */

/* An average over minutes that was old, after elapsed_s in which a counter grew by delta: per minute. */
double systree_average(double old, uint64_t delta, double elapsed_s, int minutes);

#endif
