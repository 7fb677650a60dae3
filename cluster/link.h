/* SPDX-License-Identifier: Apache-2.0
 * cluster/link.h - one neighbour's incarnation: records to it and from it, in order, none lost, none twice.
 *
 * The transport (pipe.h) may lose whatever is under way whenever a connection ends, and may not notice a cut. So:
 * records are put into numbered DATA frames of at most 64 KiB, at most LINK_WINDOW of them unacknowledged; each new
 * connection starts with a HELLO on both sides that says what came last, and the rest is sent again. An ack says
 * "processed". Acks ride on DATA; alone they go every 4 frames, 20 ms after a frame, or at once when the frame asks.
 * A gap, or 3 s without progress (who is at a frame for long says so), ends the connection. PINGs are sent only while
 * nothing is unacknowledged.
 *
 * Flushing: what is put during a loop turn goes at its end. Full frames are always welcome, part-full ones cost as
 * much and carry little: they are paced over all links of the worker (LINK_PART_NS each, after a burst), those with
 * only QoS 0 first. A full window holds back everything and so fills the frames by itself.
 *
 * A frame may be work for more than a turn has time: the rest of it waits for the next, and all frames behind it.
 *
 * Callbacks come from the loop; link_free() is not allowed in them. */
#ifndef CLUSTER_LINK_H
#define CLUSTER_LINK_H

#include "cluster/frame.h"
#include "cluster/pipe.h"
#include "common/base/buf.h"

#define LINK_WINDOW   8u
#define LINK_PART_NS  (250 * NS_PER_US)         /* 4,000 part-full frames a second ... */
#define LINK_BURST_NS (10 * NS_PER_MS)          /* ... after a burst of 40 */

/* What the links of a worker share: the transport, the flushing at the end of a turn, the pace. */
struct link_set {
	struct loop *loop;
	struct pipe_hub *hub;
	unsigned own_slot;
	uint64_t own_epoch;
	size_t big_max;                 /* of a record in pieces */
	struct list dirty;              /* links with something to flush or to acknowledge */
	struct task flush;
	bool flushing;
	struct link *resting;           /* a turn had no time for all of its frame; NULL: none. Until then no other frame is taken */
	struct buf rest;                /* the records that are left of it */
	uint16_t rest_flags;            /* the frame's */
	int64_t busy_ns;                /* when its sender heard of it last */
	struct task rest_task;
	struct timer pace;
	int64_t paid_until_ns;          /* part-full frames are paid for until then */
};
void link_set_init(struct link_set *s, struct loop *l, const char *dir, unsigned own_slot, uint64_t own_epoch,
    size_t big_max);
void link_set_fini(struct link_set *s);         /* after its links */

struct link_ops {
	/* The first HELLO of this incarnation: it is there. */
	void (*on_greeted)(void *arg);
	/* The next record. Not 0: it is logged and skipped. */
	int (*on_record)(void *arg, const struct record *r);
	/* All frames up to seq are processed; store_seq was the neighbour's number when it said so. */
	void (*on_acked)(void *arg, uint64_t seq, uint64_t store_seq);
	uint64_t (*store_seq)(void *arg);
	/* Just before a flush: put what was gathered (KEPT). */
	void (*on_flush)(void *arg);
};

enum link_haste {
	LINK_LAZY,                      /* with the next full frame, or when the pace allows */
	LINK_SOON,                      /* at the end of this turn, unless far ahead of the pace */
	LINK_ASK                        /* at the end of this turn, and an ack at once */
};

struct link;
struct link *link_new(struct link_set *s, unsigned slot, uint64_t epoch, const struct link_ops *ops, void *arg);
void link_free(struct link *k);

/* Room for a record's body of at most RECORD_BODY_MAX bytes, which the caller fills at once. */
uint8_t *link_put(struct link *k, enum record_type type, uint8_t flags, size_t body_len, enum link_haste haste);
/* A body in parts, of any length up to 2^32 - 1. */
void link_put_parts(struct link *k, enum record_type type, uint8_t flags, const struct slice *parts, size_t count,
    enum link_haste haste);
/* on_flush() is to be called at the end of this turn. */
void link_touch(struct link *k, enum link_haste haste);
/* The number of the frame that has what was put last; 0: nothing was. */
uint64_t link_last_seq(const struct link *k);
uint64_t link_acked(const struct link *k);
/* Bytes put and not acknowledged. */
size_t link_pending(const struct link *k);

struct link_counts { uint64_t frames_in, frames_out, resent; };
struct link_counts link_counts(const struct link *k);

#endif
