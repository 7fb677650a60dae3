/* SPDX-License-Identifier: Apache-2.0
 * t/sim/store_sim.h - what the store's logic stands on in this world: a disk in memory (env.h, tables.h: env_sim.c),
 * opening it and logins without threads (opener.h, auth.h), and commits that take their time (batch.c's own code behind
 * the linker's --wrap: store_sim.c). */
#ifndef T_SIM_STORE_SIM_H
#define T_SIM_STORE_SIM_H

#include "store/store.h"

void sim_disk_clear(void);
size_t sim_disk_count(enum table t);
/* The row as it is, if no crash can take it back any more. */
bool sim_disk_get(enum table t, struct slice key, struct slice *value);

/* What env_flush() was asked for is on the disk now. sim_disk_lazy: env_flush() returns at once, somebody calls this
 * later; else it does so itself. */
void sim_disk_flushed(struct env *e);
extern bool sim_disk_lazy;
bool sim_disk_unflushed(const struct env *e);
/* The process or the whole machine dies: some of the newest commits that were not flushed are taken back. Nothing is
 * written any more. */
void sim_disk_crash(struct env *e, bool power);

struct sim_disk_faults {
	unsigned full;                  /* 1: nothing may grow, 2: nor be deleted */
	uint64_t fail_one_in;           /* commits; 0: never */
};
extern struct sim_disk_faults sim_disk_faults;

extern struct sim_disk_counts {
	uint64_t commits, flushes, errors;
	uint64_t lost, lossy;           /* commits taken back; crashes that did so */
} sim_disk_counts;

/* kill -9, or (power) the end of all: what was not flushed may be lost. Frees s. */
void sim_store_die(struct store *s, bool power);

extern int64_t sim_commit_delay_max_ns, sim_flush_max_ns;
/* NULL, or called when a flush begins that takes so long. */
extern void (*sim_flush_watch)(int64_t takes_ns);

#endif
