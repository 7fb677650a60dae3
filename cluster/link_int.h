/* SPDX-License-Identifier: Apache-2.0
 * cluster/link_int.h - a link, as link.c (what goes out, the watch) and link_in.c (what comes in) see it. */
#ifndef CLUSTER_LINK_INT_H
#define CLUSTER_LINK_INT_H

#include "cluster/link.h"

struct outframe {
	struct list link;
	uint64_t seq;
	uint8_t *bytes;
	size_t cap, real_size;          /* of bytes, of this struct, as the slab counts */
	uint32_t len;                   /* with header */
	uint16_t flags;
};

struct big {
	struct buf body;
	uint32_t length;
	uint8_t type, flags;
	bool open;
};

struct link {
	struct link_set *set;
	struct list dirty;
	const struct link_ops *ops;
	void *arg;
	struct pipe *pipe;
	unsigned slot;
	uint64_t epoch;

	struct outframe *open;          /* NULL: none */
	struct list ready, sent;
	uint32_t sent_count;
	uint64_t opened;                /* number of the newest frame */
	uint64_t acked;
	size_t pending;
	enum link_haste haste;          /* of what is in open, or of what on_flush will put */
	bool wants_flush;

	uint64_t received;              /* the last frame processed */
	uint32_t unanswered;            /* of those, not acknowledged yet */
	bool ack_now;
	struct timer ack_timer;
	struct big big;

	bool piped, greeted, greeted_once;      /* the connection is there; its HELLO came; any HELLO ever */
	struct timer watch;
	int64_t watched_ns, heard_ns, progress_ns, down_ns;
	struct link_counts counts;
};

static inline int64_t
now_ns(const struct link *k)
{
	return loop_now(k->set->loop).ns;
}

/* link.c */
void link_mark_dirty(struct link *k);           /* something is to go at the end of this turn */
void link_send_bare(struct link *k, enum frame_type type, uint16_t flags);
void link_send_data(struct link *k, struct outframe *o);
void outframe_free(struct outframe *o);

/* link_in.c */
void link_on_frame(void *arg, struct slice whole);
void link_on_ack_timer(struct timer *t);
void link_on_rest(struct task *t);
void link_rest_end(struct link_set *s);

#endif
