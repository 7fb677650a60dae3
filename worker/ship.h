/* SPDX-License-Identifier: Apache-2.0
 * worker/ship.h - what waits in a session, as bytes: for its new owner, or over a graceful stop. */
#ifndef WORKER_SHIP_H
#define WORKER_SHIP_H

#include "common/base/buf.h"
#include "worker/session.h"

/* Window, received QoS 2 ids and queue (not what is aside), in parts of about 32 KiB, each led by the bytes of lead. */
/* One message as bytes; and back: one reference, the caller's, or NULL: damaged. */
void ship_put_msg(struct buf *b, const struct cluster_pub *p);
struct msg *ship_take_msg(struct slice *s);
typedef void ship_emit_fn(void *arg, struct slice part);
void ship_encode(struct flow *f, struct slice lead, ship_emit_fn *emit, void *arg);
/* The QoS 2 ids alone, in one part. */
void ship_received(struct flow *f, ship_emit_fn *emit, void *arg);
/* Adds one part (without its lead) to f. FB_EPROTO: damaged. */
int ship_decode(struct flow *f, struct slice body);

#endif
