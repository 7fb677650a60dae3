/* SPDX-License-Identifier: Apache-2.0
 * t/sim/sock_sim.h - clients' connections: byte queues with delay, of limited room, one end a descriptor for a worker's
 * loop, the other one a callback. sock_sim.c is also stream.h, close() and shutdown(). */
#ifndef T_SIM_SOCK_SIM_H
#define T_SIM_SOCK_SIM_H

#include "common/base/buf.h"
#include "t/sim/sim.h"

struct sim_sock;

/* *fd: the worker's end, of a process named owner. on_in: bytes or the end have come. The client's end is the caller's until
 * sim_sock_close(); no callback afterwards. */
struct sim_sock *sim_sock_new(const void *owner, int *fd, void (*on_in)(void *arg), void *arg);
void sim_sock_send(struct sim_sock *s, struct slice bytes);
struct buf *sim_sock_in(struct sim_sock *s);            /* what has come; to be eaten */
bool sim_sock_eof(const struct sim_sock *s);            /* and nothing more will */
void sim_sock_pause(struct sim_sock *s, bool paused);   /* nothing is taken off the wire */
/* reset: what is under way is lost, the worker sees an error. */
void sim_sock_close(struct sim_sock *s, bool reset);
/* kill -9 of the process: what it still writes is not heard. */
void sim_sock_die(const void *owner);

extern int64_t sim_sock_delay_max_ns;

#endif
