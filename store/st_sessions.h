/* SPDX-License-Identifier: Apache-2.0
 * store/st_sessions.h - rows of durable sessions and their subscriptions: written for workers, loaded by them. */
#ifndef STORE_ST_SESSIONS_H
#define STORE_ST_SESSIONS_H

#include "store/slots.h"

struct buf;
struct owners;

/* Requests of a worker. Only the owner of an id may write its rows: FB_EOWNER otherwise. */
void sessions_do_put(struct slot *t, struct slice payload);
void sessions_do_del(struct slot *t, struct slice payload);
void sessions_do_sub_put(struct slot *t, struct slice payload);
void sessions_do_sub_del(struct slot *t, struct slice payload);
void sessions_forget_numbers(struct slot *t);           /* of older incarnations of the slot */

/* Opener: an entry for every row, at its hinted slot, or at one that exists. */
int sessions_fill_owners(struct env *e, struct owners *o, unsigned slots);
/* Appends the subscriptions of a session as a worker takes them: u8 qos, u8 options, bytes filter. */
int sessions_put_subs(struct env *e, struct buf *b, struct slice client_id);

/* Sends IP rules and the rows of the slot that it does not hold, then LOADED; a slice at a time. */
void sessions_load_start(struct slot *t);
void sessions_load_stop(struct slot *t);
struct owner;
/* A row that no process has: this one gets it. */
void sessions_hand_row(struct slot *t, struct owner *w);

#endif
