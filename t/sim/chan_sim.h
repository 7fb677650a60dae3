/* SPDX-License-Identifier: Apache-2.0
 * t/sim/chan_sim.h - what chan_sim.c, chan.h in this world, adds to it. Descriptors that it passes change their owner. */
#ifndef T_SIM_CHAN_SIM_H
#define T_SIM_CHAN_SIM_H

#include "common/ipc/chan.h"

/* kill -9 of the process with this loop: its channels end; what it said in its last turn may be lost from some message
 * on, what it still says is not heard. */
void sim_chan_die(const struct loop *l);

extern int64_t sim_chan_delay_max_ns;

/* Hears of each message just before its receiver does. from: NULL if the sender has ended. */
extern void (*sim_chan_watch)(const struct loop *from, const struct loop *to, enum ipc_type type, struct slice payload);

#endif
