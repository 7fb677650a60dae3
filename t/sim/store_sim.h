/* SPDX-License-Identifier: Apache-2.0
 * t/sim/store_sim.h - what the store's logic stands on in this world: a disk in memory (env.h, tables.h: env_sim.c),
 * opening it and logins without threads (opener.h, auth.h), and commits that take their time (batch.c's own code behind
 * the linker's --wrap: store_sim.c). */
#ifndef T_SIM_STORE_SIM_H
#define T_SIM_STORE_SIM_H

#include "store/store.h"

void sim_disk_clear(void);
size_t sim_disk_count(enum table t);

/* kill -9: what was not committed is lost. Frees s. */
void sim_store_die(struct store *s);

extern int64_t sim_commit_delay_max_ns;

#endif
