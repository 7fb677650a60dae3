/* SPDX-License-Identifier: Apache-2.0
 * store/st_sessions_load.h - rows of durable sessions on their way to workers. */
#ifndef STORE_ST_SESSIONS_LOAD_H
#define STORE_ST_SESSIONS_LOAD_H

#include "store/slots.h"

struct buf;
struct owner;

/* Sends IP rules and the rows of the slot that it does not hold, then LOADED; a slice at a time. */
void sessions_load_start(struct slot *t);
void sessions_load_stop(struct slot *t);
/* A row that no process has: this one gets it. */
void sessions_hand_row(struct slot *t, struct owner *w);
/* Hands out rows that no process has though the worker of their slot serves; from *at on, which is moved. 0: there are more;
 * FB_ENOENT: that was all. */
int sessions_hand_some(struct store *s, struct buf *at);

#endif
