/* SPDX-License-Identifier: Apache-2.0
 * worker/keep.h - a message on its way to the disk, for the durable sessions here that it reaches.
 *
 * One keep a message; an entry for each session. An entry is closed when its row is on the disk, or when it is not needed
 * any more: the client has acknowledged, or a rule dropped the message. What waits for the message to be kept (the
 * publisher's acknowledgement, or the neighbour that sent it) is told at the end of the turn in which all are closed.
 *
 * A message that a client is being sent is held back for KEEP_HOLD_NS: nearly always the acknowledgement comes
 * first, and no byte of it goes to the store. */
#ifndef WORKER_KEEP_H
#define WORKER_KEEP_H

#include "worker/session.h"

struct keep;
struct keeps;
struct waiting;

#define KEEP_HOLD_NS (5 * NS_PER_MS)

struct keeps *keeps_new(struct worker *w);
void keeps_free(struct keeps *k);
/* Before the store's changes of this turn go out: what need not be held back; then who is to be told. */
void keeps_turn_end(struct keeps *k);
/* The first half of it: the store's changes are with worker/queuec.h. */
void keeps_put(struct keeps *k);

/* For at most room sessions. When the last is added: keep_tell_...(), or nothing if nobody waits. */
struct keep *keep_new(struct worker *w, struct msg *m, uint32_t room);
enum keep_how {
	KEEP_NOW,                       /* at the end of this turn */
	KEEP_HELD,                      /* its client is being sent it */
	KEEP_ASIDE,                     /* it has no place yet: keep_now() follows */
};
/* s: whose queue or window has it, by its place n; in_memory false: only the disk has it. The number of the entry. */
uint32_t keep_add(struct keep *k, struct session *s, uint64_t n, uint8_t flags, uint8_t direct, enum keep_how how,
    bool in_memory);
/* publish_leg_closed(wait), which counts the leg already; or cluster_kept(from, token). */
void keep_tell_wait(struct keep *k, struct waiting *wait);
void keep_tell_neighbour(struct keep *k, unsigned from, uint64_t token);

/* Room for one entry: somebody else keeps it, and says keep_gone() when he does, or keep_detach(). */
uint32_t keep_add_other(struct keep *k);

/* The client has it, or it was dropped by a rule. */
void keep_gone(struct keep *k, uint32_t at);
/* The session ends or is another's: the same, and no word to the store. */
void keep_detach(struct keep *k, uint32_t at);
/* Not to be held back any more; n: its place, if it had none. in_memory: as with keep_add(). */
void keep_now(struct keep *k, uint32_t at, uint64_t n, bool in_memory);
/* All of a session that are held back. */
void keep_flow_now(struct flow *f);

/* A graceful stop: what is in memory alone goes to the disk too. False: not all of it, the turn is over; once more. */
bool keep_all(struct worker *w, struct session *s);

/* What is in the window or was taken off the queue needs its row no more. */
void keep_slot_gone(struct worker *w, struct session *s, struct inflight *slot, uint64_t n);
void keep_queued_gone(struct worker *w, struct session *s, const struct queued *q);

#endif
