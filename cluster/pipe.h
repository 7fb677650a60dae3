/* SPDX-License-Identifier: Apache-2.0
 * cluster/pipe.h - bytes between two workers: whole frames, in order, while a connection lasts; nothing more.
 *
 * pipe.c is the only user of NNG (one bus0 socket for each pair, the lower slot listens); t/sim has another
 * implementation. A connection that ends takes with it what was under way; the next one is made by itself, from
 * on_up() to on_down(). All callbacks come from the loop. Between two incarnations that do not know each
 * other no connection comes to be: both epochs are in the name of the socket. */
#ifndef CLUSTER_PIPE_H
#define CLUSTER_PIPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/loop.h"
#include "common/base/slice.h"

/* What all pipes of a process share. */
struct pipe_hub;
/* dir is copied. Removes the sockets there that an earlier incarnation of this slot left. */
struct pipe_hub *pipe_hub_new(struct loop *l, const char *dir, unsigned own_slot, uint64_t own_epoch);
/* After its pipes, and at the end of the process: what is still being closed after half a second is left to it. */
void pipe_hub_free(struct pipe_hub *h);

/* No callback until it is said again: what arrives waits, and at the other ends of the pipes what is sent. Nobody is called
 * either while the loop holds its input. */
void pipe_hub_pause(struct pipe_hub *h, bool paused);

struct pipe_ends {
	unsigned own_slot, peer_slot;
	uint64_t own_epoch, peer_epoch;
};

struct pipe_ops {
	void (*on_up)(void *arg);
	void (*on_frame)(void *arg, struct slice frame);        /* borrowed for the call */
	void (*on_down)(void *arg);
};

struct pipe;
/* Never fails: a pipe that cannot be made is one that does not come up (logged). ops and *ops are borrowed. */
struct pipe *pipe_open(struct pipe_hub *h, const struct pipe_ends *ends, const struct pipe_ops *ops, void *arg);
/* No callback afterwards. Allowed in a callback. Does not wait: a thread of its own closes the socket. */
void pipe_close(struct pipe *p);
/* The frame is copied. Never blocks; lost if there is no connection, or if more than a window's worth is under way. */
void pipe_send(struct pipe *p, struct slice frame);
/* Gives this connection up for another; on_down() comes from inside the call if it was up. With no connection: tries
 * anew at once. */
void pipe_reset(struct pipe *p);

#endif
