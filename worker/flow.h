/* SPDX-License-Identifier: Apache-2.0
 * worker/flow.h - the messages of one session that wait: the window of packet ids and the queue behind it.
 *
 * The order of messages is the order of flow_push(). What the disk has of them is worker/keep.h's: here it is only
 * carried along, and let go when the flow ends. */
#ifndef WORKER_FLOW_H
#define WORKER_FLOW_H

#include "worker/session.h"

/* A place in a session: its lower bits count messages; the upper ones count how often it was loaded from the store, since
 * ids that were used after the last row must not be given again, yet places are to say how many messages are between two.
 * The first: its packet id is 1, and 0 is no place. */
#define FLOW_LIFE_SHIFT 40
#define FLOW_INDEX_MASK ((UINT64_C(1) << FLOW_LIFE_SHIFT) - 1)
#define FLOW_FIRST UINT64_C(65535)

struct flow *flow_new(struct worker *w, struct session *s);
void flow_free(struct flow *f);                         /* drops what it holds */
bool flow_empty(const struct flow *f);                  /* nothing in window, queue, received, replays */

/* Takes a place in the window for m (a reference is taken): the packet id, or 0: the window of limit is full. The
 * message is the session's newest. */
uint16_t flow_send(struct flow *f, struct msg *m, uint8_t qos, bool retain, uint32_t limit);
/* The same for one that waited, q (its own reference stays its own), with its place and what the disk has of it. */
uint16_t flow_send_queued(struct flow *f, const struct queued *q, uint32_t limit);
/* The place that a packet id of the window stands for. */
uint64_t flow_place(const struct flow *f, uint16_t packet_id);
/* The slot of a packet id that is in use, or NULL. */
struct inflight *flow_find(struct flow *f, uint16_t packet_id);
void flow_release(struct flow *f, struct inflight *slot);       /* the slot is free again, its message dropped */
uint16_t flow_packet_id(uint64_t seq);
/* Walks the window from the oldest: *seq starts at f->window_head; NULL at the end. Free slots are skipped. */
struct inflight *flow_next(struct flow *f, uint64_t *seq, uint16_t *packet_id);

/* A session that moves here: an empty flow gets the window head..tail, then its slots one by one (a reference is
 * taken; m NULL: PUBREC has come). FB_EPROTO: not a window. */
int flow_restore(struct flow *f, uint64_t head, uint64_t tail);
int flow_restore_slot(struct flow *f, uint64_t seq, struct msg *m, uint8_t qos, bool retain);

/* To the end of the queue (a reference is taken). */
void flow_push(struct flow *f, struct msg *m, uint8_t qos, bool retain, bool aside);
/* One that was taken off (flow_pop), to the end again, or that has its place already: all as it says, the reference
 * goes along. */
void flow_push_queued(struct flow *f, const struct queued *q);
/* Many were taken off: gives memory back that the queue has beyond what it holds. */
void flow_fit(struct flow *f);
/* The last that was pushed. */
struct queued *flow_last(struct flow *f);
/* By its place in the session; NULL: it does not wait here. */
struct queued *flow_queued_at(struct flow *f, uint64_t n);
/* By its place, in the window; NULL. */
struct inflight *flow_slot_at(struct flow *f, uint64_t n);
/* Takes it out of the middle; the reference is the caller's. */
struct queued flow_take_at(struct flow *f, uint64_t n);
/* The one that was pushed last is leased. */
void flow_lease_last(struct flow *f, uint32_t lease);
/* What flow_push() pushed is a direct message. Senders are told apart by a hash: 1 to FLOW_SENDERS. */
#define FLOW_SENDERS 255u
void flow_direct_last(struct flow *f, uint8_t sender);
/* Takes the oldest of those off the queue, wherever it stands; false: there is none. The reference is the caller's. */
enum { FLOW_SUBSCRIBED = 0, FLOW_DIRECT = FLOW_SENDERS + 1 /* of any sender */ };
bool flow_take_oldest(struct flow *f, unsigned sender, struct queued *out);
/* The first, or NULL; then flow_pop() takes it off: the reference is the caller's. */
static inline struct queued *
flow_first(struct flow *f)
{
	return f->queue_head == f->queue_tail ? NULL : &f->queue[f->queue_head & (f->queue_room - 1)];
}
struct queued flow_pop(struct flow *f);

static inline uint32_t
flow_direct_of(const struct flow *f, uint8_t sender)
{
	return f->direct_of != NULL ? f->direct_of[sender] : 0;
}

static inline uint32_t
flow_queued(const struct flow *f)
{
	return f->queue_tail - f->queue_head;
}

#endif
