/* SPDX-License-Identifier: Apache-2.0
 * worker/dispatch.h - packet type x connection state -> handler, or the violation that it is; the handlers.
 *
 * A handler returns 0, or FB_EPROTO with *v filled: dispatch() then ends the connection. It may also end it itself. */
#ifndef WORKER_DISPATCH_H
#define WORKER_DISPATCH_H

#include "common/mqtt/frame.h"
#include "worker/conn.h"

void dispatch(struct conn *c, const struct frame *f);

int do_connect(struct conn *c, const struct frame *f, struct violation *v);             /* do_connect.c */
int do_publish(struct conn *c, const struct frame *f, struct violation *v);             /* do_publish.c */
int do_puback(struct conn *c, const struct frame *f, struct violation *v);              /* do_ack.c */
int do_pubrec(struct conn *c, const struct frame *f, struct violation *v);
int do_pubrel(struct conn *c, const struct frame *f, struct violation *v);
int do_pubcomp(struct conn *c, const struct frame *f, struct violation *v);
int do_subscribe(struct conn *c, const struct frame *f, struct violation *v);           /* do_subscribe.c */
void subscribe_conn_gone(struct conn *c);
/* Is one of the session's packets being worked on, maybe of a connection that is gone, or was one not kept? */
bool subscribe_pending(const struct worker *w, const struct session *s);
void subscribe_free_all(struct worker *w);      /* worker_free()'s */
int do_unsubscribe(struct conn *c, const struct frame *f, struct violation *v);
int do_pingreq(struct conn *c, const struct frame *f, struct violation *v);             /* do_disconnect.c */
int do_disconnect(struct conn *c, const struct frame *f, struct violation *v);

#endif
