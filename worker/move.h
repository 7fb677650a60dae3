/* SPDX-License-Identifier: Apache-2.0
 * worker/move.h - a session comes over from another worker: nothing lost, doubled or reordered while others publish
 * to it.
 *
 *	new owner N                     old owner O                     each sender S (N and O too)
 *	TAKE(id) ------------------->   ends the connection
 *	        <-------- FROZEN(subs)  keeps matching into the queue
 *	routes, SWITCH(id) --------------------------------------->     SWITCHED(id) to O and N: a mark in its stream
 *	holds what comes from S after   keeps what came from S before
 *	S's mark                        its mark; the rest aside
 *	        <---- SHIP... SHIP_END  with the marks of all
 *	ACTIVE(id) ----------------->   forgets the session
 *	CONNACK
 *
 * Per link, records and publishes keep their order: that is what makes a mark a mark. N dies before ACTIVE: O joins
 * what is aside to the queue and stays owner. O dies before it has shipped all: N drops what it holds and begins again with
 * O's successor, which has what is on the disk and gets what O had not kept.
 * A sender that dies counts as having marked; but what came to O before its mark may be lost then, so O names it in
 * SHIP_END, and N drops what it holds of it: nothing of that was acknowledged, as O has not kept it. One that is not
 * linked with O yet marks when it has sent what it held for it. */
#ifndef WORKER_MOVE_H
#define WORKER_MOVE_H

#include "worker/session.h"

struct open;

struct moves *moves_new(void);
void moves_free(struct moves *m);
bool moves_idle(const struct moves *m);         /* none under way, none waited for */
void moves_drop(struct worker *w);              /* worker_free()'s: all that are under way */

/* Fetches the session of a CONNECT from that worker: connect_taken() follows. */
void move_take(struct worker *w, struct open *o, unsigned from_slot);
/* Does this side take a publish of that sender? *aside: only to be kept, not sent. */
bool move_takes(const struct move *m, unsigned from, bool *aside);
/* One of its publishes was put aside, last in the queue. */
void move_note_sender(struct session *s, unsigned from);
/* The session ends with its move under way: the CONNECT that waits for it, or NULL; a new owner is told. */
struct open *move_abandon(struct worker *w, struct session *s);
/* A QoS 2 publish of the session, not kept when its connection ended, is kept now (or failed). */
void move_on_orphan_closed(struct move *m);
/* All neighbours are linked: from now on sessions may go away. */
void move_on_ready(struct worker *w);
/* The store has answered up to this number. */
void move_on_stamp(struct worker *w, uint64_t stamp);
/* It has come of its row here, after the death of our predecessor, and another worker is about to take it: maybe that has all
 * of it already. What comes is put aside until that one asks for it, the store says that it is no longer ours, a neighbour
 * dies, or nothing was heard for some seconds. */
void move_claimed(struct worker *w, struct session *s);
void move_claims_over(struct worker *w);
/* Its new owner is dead, even if the neighbour's end was not heard of yet: it stays. */
void move_stay(struct session *s);
/* The CONNECT for which it comes here; NULL: it does not. */
struct open *move_coming(const struct move *m);
/* From cluster_ops. */
void move_on_record(struct worker *w, unsigned from, uint8_t type, struct slice body);
void move_on_neighbour(struct worker *w, unsigned slot, uint64_t epoch, bool up);

#endif
