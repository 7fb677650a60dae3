/* SPDX-License-Identifier: Apache-2.0
 * worker/backlog.h - the part of a durable session's queue that is on the disk alone: behind the queue in memory, which
 * is its head.
 *
 * While there is a backlog all that comes for the session goes to its end; when the queue runs dry for a client that
 * reads, the next rows are fetched. After a load the backlog is all that the rows say. Its count and bytes are
 * estimates then, mended when its end has been read. */
#ifndef WORKER_BACKLOG_H
#define WORKER_BACKLOG_H

#include "worker/session.h"

/* The queue in memory is not longer while what comes can go to the disk. */
#define BACKLOG_HEAD_COUNT 64u
#define BACKLOG_HEAD_BYTES (128u * 1024)

struct backlog;

/* Does the next disk message go there? */
bool backlog_wanted(const struct flow *f);
/* One more at its end, that only the disk is to have: its place. cost: as msg_cost(). */
uint64_t backlog_add(struct worker *w, struct session *s, uint32_t cost, uint8_t direct);
/* The rows of a session that was loaded, or that came from its old owner; first > last or
 * 0: none. */
void backlog_set(struct worker *w, struct session *s, uint64_t first, uint64_t last);
/* The queue ran dry: the next rows, when the client can take them. deliver_pump() goes on with them. */
void backlog_fetch(struct worker *w, struct session *s);
/* The queue in memory too is to be on the disk alone, where all of it is already: nothing is lost. false: it is not. */
bool backlog_take_queue(struct worker *w, struct session *s);
void backlog_drop_oldest(struct worker *w, struct session *s);  /* there is one */
void backlog_free(struct flow *f);

uint32_t backlog_count(const struct flow *f);   /* of subscribed messages and direct ones */
uint32_t backlog_direct(const struct flow *f);
uint64_t backlog_bytes(const struct flow *f);
/* Of a session that moves: [from, to], those up to loaded may have been sent before. */
struct backlog_state { uint64_t from, to, loaded, bytes; uint32_t count, direct; };
bool backlog_get(const struct flow *f, struct backlog_state *out);      /* false: none */
void backlog_put(struct flow *f, const struct backlog_state *in);

#endif
