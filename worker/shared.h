/* SPDX-License-Identifier: Apache-2.0
 * worker/shared.h - "$share/GROUP/FILTER": each message that matches FILTER goes to one member of the group.
 *
 * Every worker knows every group of the node and its inner filter (its trie has it), but one worker, the group's home
 * (by hash over the slots), puts its messages in order, queues them, and leases them out: to a member here, or to a
 * neighbour that has connected members and picks one of them.
 *
 *	publisher's worker --PUBLISH--> home --LEASE--> a member's worker --> member
 *	                                home <--DONE--- acknowledged
 *	                                home <--RETURN- the member left first: to the next one, before newer messages
 *
 * The publish to the home is a leg like any other (KEPT, sent again to its successor), so PUBACK waits until the home
 * has it in its queue or leased out. A lease stays at the home until DONE: if the member's worker dies, it returns. If
 * the home dies, what it held is lost, as everything in a worker's memory; what is leased out is not. What is to be on
 * the disk is there, if the group has a durable member: then nothing is lost (shared_disk.c).
 *
 * Only connected members get messages, no more at a time than their windows take; the rest waits at the home, bounded
 * as a session's queue. QoS 0 does not wait. What a member has in flight of QoS 2 when a durable session loses its
 * connection stays with that session, so that it gets it exactly once; everything else goes to the others. */
#ifndef WORKER_SHARED_H
#define WORKER_SHARED_H

#include "common/base/slice.h"
#include "worker/trie.h"

struct cluster_pub;
struct keep;
struct msg;
struct session;
struct worker;

#define SHARED_RECORDS 32               /* cluster_ops' on_record: types from here on are ours */

struct shares *shares_new(struct worker *w);
void shares_free(struct shares *all);

/* Starts with "$share/". valid: is whole, too. */
static inline bool
shared_is(struct slice filter)
{
	return filter.len >= 7 && memcmp(filter.p, "$share/", 7) == 0;
}
bool shared_valid(struct slice filter);

/* A subscription whose filter shared_is() is new, or about to go. */
void shared_join(struct worker *w, struct sub *sub);
void shared_leave(struct worker *w, struct sub *sub);
/* A session with SESSION_SHARES is connected; one with SESSION_SHARES_ON is not any more: what it holds goes back. */
void shared_online(struct worker *w, struct session *s);
void shared_offline(struct worker *w, struct session *s);

/* p to the groups that have their home here, of the filters that trie_match() just found. *m: p as a message, made if
 * need be. again: they have had it, unless only their rows can tell. *keep: for those that want it on the disk, made if need
 * be, or with room for shared_homes() more. Answers the slots (bits) that are home to the others. */
uint64_t shared_deliver(struct worker *w, const struct cluster_pub *p, struct msg **m, bool again, struct keep **keep);
/* How many groups, of those filters, have their home here. */
uint32_t shared_homes(const struct worker *w);
/* The member has acknowledged, or the message was dropped: the lease is over. */
void shared_done(struct worker *w, uint32_t lease);

/* For a stop, when all connections are closed: what waits at its home goes to a durable member, wherever it is; then
 * worker_keep_queues(). heard: the neighbours have what they get from us. */
void shared_stop(struct worker *w);
bool shared_stop_heard(const struct worker *w);

/* Before the end of the process: nobody waits for the disk any more. */
void shared_puts_drop(struct worker *w);

/* From cluster_ops. */
void shared_on_record(struct worker *w, unsigned from, uint8_t type, struct slice body);
void shared_on_greeted(void *worker, unsigned slot);
void shared_on_neighbour(struct worker *w, unsigned slot, bool up);

#endif
