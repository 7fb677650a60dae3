/* SPDX-License-Identifier: Apache-2.0
 * worker/listener.h - the listening sockets that the supervisor gave us, and who may come in at them. */
#ifndef WORKER_LISTENER_H
#define WORKER_LISTENER_H

#include "common/ipc/codec.h"

struct worker;

struct listeners *listeners_new(struct worker *w);
void listeners_free(struct listeners *l);
void listener_add(struct listeners *l, const struct ipc_listener *p, int fd);   /* fd is taken */
void listener_drop(struct listeners *l, unsigned slot);         /* those lent from that slot */
/* Accepts from now on, or no more. */
void listeners_open(struct listeners *l, bool open);
void listeners_close(struct listeners *l);                      /* all, for good */
/* There may be room again after listeners stopped at the limit. */
void listeners_retry(struct listeners *l);

#endif
