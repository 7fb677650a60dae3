/* SPDX-License-Identifier: Apache-2.0
 * supervisor/restart.h - how soon is a process that died started again, and which client is to blame for deaths.
 * Pure: the caller brings the time. */
#ifndef SUPERVISOR_RESTART_H
#define SUPERVISOR_RESTART_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/clock.h"

#define RESTART_STABLE_NS  (60 * NS_PER_SEC)    /* who lived this long starts with a clean slate */
#define RESTART_MAX_NS     (5 * NS_PER_SEC)
#define BLAME_WINDOW_NS    (600 * NS_PER_SEC)   /* two deaths within this time are held together */
#define BLAME_BAN_S        60u

struct restart {
	struct mono started;
	unsigned fails;                 /* deaths in a row, none of which followed a stable minute */
};

void restart_started(struct restart *r, struct mono now);
/* A death: how long to wait before the next start. The first two are followed at once. */
int64_t restart_delay_ns(struct restart *r, struct mono now);

/* The notes (metrics_page.note) with which processes died; the oldest gives way. */
struct blame {
	struct blame_row {
		uint64_t note;          /* 0: free */
		struct mono died;
		struct mono until;      /* banned until then; 0: is not */
	} row[32];
};

/* A process died with this note; true: not for the first time, it is banned from now on. note 0: false. */
bool blame_death(struct blame *b, uint64_t note, struct mono now);
/* Seconds, rounded up, for which row i stays banned; 0: is not. */
uint32_t blame_left_s(const struct blame *b, unsigned i, struct mono now);

#endif
