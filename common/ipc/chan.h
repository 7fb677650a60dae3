/* SPDX-License-Identifier: Apache-2.0
 * common/ipc/chan.h - typed messages over a Unix stream socket pair, with descriptors, batched by loop turn.
 *
 * Wire: u32 length of the payload, u16 type, u8 1 if a descriptor comes along, u8 0; then the payload. At most 257 MiB
 * a message (larger: the channel is broken). Messages stay in order. A message whose type the other role may not
 * send, or of an unknown type, is our own fault: the receiver logs and dies. Only the supervisor lives on: it logs and
 * treats the channel as closed, and whoever sent that is killed. */
#ifndef COMMON_IPC_CHAN_H
#define COMMON_IPC_CHAN_H

#include <stdbool.h>

#include "common/base/buf.h"
#include "common/base/loop.h"
#include "common/base/slice.h"
#include "common/ipc/message.h"

struct chan;
struct chan_ops {
	/* payload is borrowed; fd is the callee's (close it), -1: none. */
	void (*on_msg)(void *arg, enum ipc_type type, struct slice payload, int fd);
	/* The other end is gone, all its messages were delivered. The chan is still to be freed by its owner. */
	void (*on_closed)(void *arg);
	/* The output fell below the low mark after chan_full() was true; may be NULL. */
	void (*on_drained)(void *arg);
};

/* fd is taken: made non-blocking, closed by chan_free(). self, peer: for the may-send check at both ends. */
struct chan *chan_new(struct loop *l, int fd, enum ipc_role self, enum ipc_role peer, const struct chan_ops *ops, void *arg);
void chan_free(struct chan *c);                 /* NULL is allowed; also from its own callbacks */

/* Sending never blocks and never fails: bytes wait in the channel's buffer, which goes out at the end of the turn.
 * chan_begin() appends a header and gives the buffer for the payload (use ipc_put_...); chan_end() closes it.
 * Between the two nothing else may be sent on the channel. */
struct buf *chan_begin(struct chan *c, enum ipc_type type);
void chan_end(struct chan *c);
void chan_send(struct chan *c, enum ipc_type type);                     /* payload none */
void chan_send_fd(struct chan *c, enum ipc_type type, struct slice payload, int fd);    /* fd is duplicated */
bool chan_full(const struct chan *c);           /* over the high mark, 8 MiB: hold back what can wait */
size_t chan_pending(const struct chan *c);      /* bytes not yet written */
void chan_flush(struct chan *c);                /* write now what the socket takes */
/* Before exit: blocks up to timeout_ms until all is written; false: was not. */
bool chan_drain(struct chan *c, int timeout_ms);
/* One socket pair, non-blocking, close-on-exec. 0 or FB_EIO. */
int chan_pair(int fd[2]);

/* CHAN_SEND(chan, SUB_PUT, sub_put, .seq = 1, .qos = 2, ...): one message from a struct literal. */
#define CHAN_SEND(chan, TYPE, payload, ...) \
	do { \
		const struct ipc_##payload ipc_p_ = { __VA_ARGS__ }; \
		ipc_put_##payload(chan_begin(chan, IPC_##TYPE), &ipc_p_); \
		chan_end(chan); \
	} while (0)

#endif
