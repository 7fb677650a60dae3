/* SPDX-License-Identifier: Apache-2.0
 * supervisor/stats.h - what the shared pages and /proc say: for state, stats and stat.log, which so say the same. Nobody
 * is asked, so a child that hangs does not hold this up. */
#ifndef SUPERVISOR_STATS_H
#define SUPERVISOR_STATS_H

#include "supervisor/proctab.h"

struct admin_call;

struct stats_row {
	const char *name;
	const char *kind;               /* "counter": only grows; "gauge" */
	const char *unit;
	uint64_t total;                 /* counters: processes that are gone included */
	bool of_workers, of_store, of_supervisor;       /* who has such a value */
	uint64_t supervisor;
	uint64_t value[LISTENERS_WORKERS + 1];          /* 0: the store's; slot + 1 */
};

/* Over all processes; a counter includes those that are gone, so that it only grows. */
uint64_t stats_total(struct node *n, enum metric m);
/* Each row of metrics.def, then memory_kb and uptime_s. */
void stats_each(struct node *n, void (*fn)(void *arg, const struct stats_row *row), void *arg);
/* "worker_0" */
void stats_name(const struct proc *p, char *out, size_t size);

/* The answers of two commands. */
void stats_state(struct admin_call *c);
void stats_all(struct admin_call *c);

#endif
