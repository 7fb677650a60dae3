/* SPDX-License-Identifier: Apache-2.0
 * store/st_sessions.h - rows of durable sessions and their subscriptions: written for workers (and loaded: st_sessions_load.h). */
#ifndef STORE_ST_SESSIONS_H
#define STORE_ST_SESSIONS_H

#include "store/slots.h"

struct buf;
struct owner;
struct owners;

/* Requests of a worker. Only the owner of an id may write its rows: FB_EOWNER otherwise. */
void sessions_do_put(struct slot *t, struct slice payload);
void sessions_do_del(struct slot *t, struct slice payload);
void sessions_do_sub_put(struct slot *t, struct slice payload);
void sessions_do_sub_del(struct slot *t, struct slice payload);
void sessions_forget_numbers(struct slot *t);           /* of older incarnations of the slot */

/* Opener: an entry for every row, at its hinted slot, or at one that exists; and the queues that have none (le64). */
int sessions_read(struct env *e, struct env *queue, unsigned slots, struct owners *o, struct buf *gone);
/* Appends the subscriptions of a session as a worker takes them: u8 qos, u8 options, bytes filter. */
int sessions_put_subs(struct env *e, struct buf *b, struct slice client_id);

/* The row's number in the queues, and the range of what waits there: as OPENED and SESSION_ROW have it. A row that cannot be
 * read has none. FB_ENOENT: there is no row. */
int sessions_get_queue(struct store *s, struct slice client_id, uint64_t *qid, uint64_t *first, uint64_t *last);
/* It was given to a CONNECT: its row says no more how long it has aged. Not waited for. */
void sessions_client_back(struct store *s, struct owner *w);
/* It is at that slot now, and its row is to say so, for a store that starts when that worker is dead. Not waited
 * for; refused, it is tried again each second. */
void sessions_has_moved(struct store *s, const struct owner *w, unsigned slot);
void rows_old_init(struct store *s);
void rows_old_fini(struct store *s);
/* Import: a row is about to be written; or it was not. */
void sessions_import(struct store *s, struct slice client_id, struct slice record);
void sessions_import_failed(struct store *s, struct slice client_id);

#endif
