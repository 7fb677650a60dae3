/* SPDX-License-Identifier: Apache-2.0
 * worker/shared_group.h - what the parts of worker/shared.h share: shared.c (groups, membership, what neighbours say),
 * shared_home.c (queue and leases at a group's home), shared_disk.c (its rows), shared_lease.c (leases at the members' worker), shared_stop.c. */
#ifndef WORKER_SHARED_GROUP_H
#define WORKER_SHARED_GROUP_H

#include "common/base/buf.h"
#include "worker/shared.h"
#include "worker/worker.h"

#define SHARED_NOBODY CLUSTER_MAX

/* BEGIN, a STATE for each group, END: in the snapshot for a neighbour; later a STATE for each change. */
enum shared_record {
	SHARED_BEGIN = SHARED_RECORDS,
	SHARED_STATE,                   /* le32 text, u8 of SHARED_HAS_..., le32 connected members */
	SHARED_END,
	SHARED_LEASE,                   /* le64 the text's hash, le64 number (0: QoS 0), message */
	SHARED_DONE,                    /* le64 number, le64 the text's hash */
	SHARED_RETURN,                  /* as LEASE */
	SHARED_STOPPED,                 /* at a stop: its connections are closed */
	SHARED_KEEP,                    /* as LEASE: for a durable member, connected or not */
	SHARED_GAVE,                    /* no KEEP follows */
	SHARED_HOLD,                    /* as DONE, in the snapshot for a home: a member has what its predecessor gave */
};
enum { SHARED_HAS_MEMBERS = 1, SHARED_HAS_DURABLE = 2 };

struct inflight;
struct shared_load;

/* A message at its group's home, or on its way back there. */
struct shared_item {
	struct hmap_node node;          /* home: by number, which is its hash */
	struct list link;               /* in a group's queue, a slot's leased, or a group's back */
	struct shared_group *group;
	struct msg *msg;                /* our reference */
	uint32_t real_size;
	uint32_t slot;                  /* that has it; SHARED_NOBODY: waits */
	bool stored;                    /* has a row, or will have one: */
	bool asked;                     /* that is not answered yet */
};

struct shared_slot {
	uint32_t connected;             /* members */
	uint32_t out;                   /* leases */
	struct list leased;             /* struct shared_item */
};

struct shared_group {
	struct hmap_node node;          /* by text */
	struct shared_group *next;      /* of the same inner filter */
	struct filter *inner;
	struct filter *members;         /* whose subscriptions are the members here, the connected ones first; or NULL */
	struct worker *worker;
	uint64_t qid;                   /* of its rows */
	uint64_t slots;                 /* that have members */
	uint64_t durable;               /* of these, that have durable ones */
	uint64_t fresh;                 /* whose present incarnation said so */
	uint32_t durables;              /* members here */
	uint32_t connected;             /* members here */
	uint32_t turn;                  /* of the members here */
	uint32_t leases;                /* held by members here */
	uint32_t items;
	unsigned home;
	struct list back;               /* not home: items that wait for a home */
	/* Home: */
	struct list queue;
	uint32_t queued;
	uint64_t queued_bytes;
	struct list dirty;              /* in shares->dirty */
	unsigned slot_turn;
	uint32_t slot_left;             /* before the turn goes on */
	struct shared_slot *slot;       /* w->slots of them; NULL: not home */
	struct shared_load *load;       /* rows are being read; NULL: they are here */
	uint16_t len;
	uint8_t text[];
};

struct shared_lease {
	struct shared_group *group;     /* NULL: free */
	uint64_t number;                /* free: the next free one */
};

enum shared_stop { SHARED_RUNS, SHARED_STOPPING, SHARED_GIVEN };

struct shares {
	struct worker *worker;
	struct hmap groups;
	struct hmap items;
	struct list dirty;              /* groups that may have something to send */
	struct list puts;               /* of shared_disk.c */
	bool ends;                      /* of the process: rows stay */
	struct task task;
	uint64_t numbers;               /* given so far, of this incarnation */
	struct shared_lease *leases;    /* 0 is none */
	uint32_t lease_room;
	uint32_t lease_free;
	struct buf buf;                 /* the record in hand */
	struct buf unsaid;              /* le64 number, le64 hash: DONEs for homes that are not there */
	uint64_t linked;                /* slots that are up */
	uint64_t met;                   /* slots that were, since this worker started: what groups they had is known */
	uint64_t stopped, gave;         /* those of them that said so */
	enum shared_stop stop;
	struct cluster_barrier heard_barrier;
	bool heard;
};

static inline uint64_t
shared_bit(unsigned slot)
{
	return UINT64_C(1) << slot;
}

static inline bool
shared_all_linked(const struct worker *w)
{
	return w->cluster == NULL || cluster_linked(w->cluster);
}

/* Nobody else can have members: all are linked, and who is dead said what it had. Of one that was dead when we started only
 * its successor can tell. */
static inline bool
shared_all_known(const struct worker *w)
{
	return shared_all_linked(w) &&
	    (w->cluster == NULL || (w->shares->met | shared_bit(w->slot)) == ~UINT64_C(0) >> (CLUSTER_MAX - w->slots));
}

/* ---- shared.c ---- */

struct shared_group *shared_group_by_hash(const struct worker *w, uint64_t hash);
/* Frees it if nobody is a member of it and it holds nothing. */
void shared_group_check(struct worker *w, struct shared_group *g);
/* The record in hand, empty; then out with it, as cluster_tell() has it. */
struct buf *shared_record(struct worker *w);
int shared_tell(struct worker *w, unsigned slot, enum shared_record type, enum cluster_tell how);
int shared_tell_message(struct worker *w, unsigned slot, enum shared_record type, const struct shared_group *g,
    uint64_t number, const struct cluster_pub *p);

/* ---- shared_home.c ---- */

/* number: 0 makes a new one. m: a reference is taken. It is in no list yet. */
struct shared_item *shared_item_new(struct worker *w, struct shared_group *g, struct msg *m, uint64_t number);
struct shared_item *shared_item_get(struct worker *w, uint64_t number);
void shared_item_free(struct worker *w, struct shared_item *i);
/* A leased one: back to the queue; or over, if that slot has it. */
void shared_item_return(struct worker *w, struct shared_item *i);
void shared_item_done(struct worker *w, unsigned from, uint64_t number, uint64_t hash);
/* In its order; the oldest give way. */
void shared_queue_put(struct worker *w, struct shared_group *g, struct shared_item *i);
void shared_queue_take(struct shared_group *g, struct shared_item *i);  /* out of it */
void shared_queue_drop_first(struct worker *w, struct shared_group *g);
void shared_slot_gone(struct worker *w, struct shared_group *g, unsigned slot);
/* At the end of the turn, members get what waits. */
void shared_mark_dirty(struct shared_group *g);
void shared_run_dirty(struct task *t);
/* A publish for a group that has its home here. */
void shared_home_take(struct worker *w, struct shared_group *g, const struct cluster_pub *p, struct msg **m, bool again,
    struct keep **keep);

/* ---- shared_disk.c ---- */

/* Is p to be on the disk for it? Then it goes there, and *keep (made if need be) stays open until it is. */
bool shared_wants_disk(const struct worker *w, const struct shared_group *g, const struct cluster_pub *p);
void shared_store(struct worker *w, struct shared_item *i, const struct cluster_pub *p, struct keep **keep);
/* What a durable member has in its window, at that place, becomes its own: a row of its queue; then the lease is over. */
void shared_move_to(struct worker *w, const struct session *s, struct inflight *slot, uint64_t n, uint32_t lease);
/* Reads the rows of a group that has its home here. Until its end nothing is given out; the end may have come. */
void shared_load_start(struct worker *w, struct shared_group *g);
void shared_load_end(struct worker *w, struct shared_group *g);
void shared_load_free(struct shared_group *g);
/* Meanwhile: a member of slot has it; one has acknowledged it, when it is no item; it came back; slot is gone. */
void shared_load_held(struct worker *w, struct shared_group *g, unsigned slot, uint64_t number);
void shared_load_done(struct worker *w, struct shared_group *g, uint64_t number);
void shared_load_back(struct shared_group *g, uint64_t number);
void shared_load_slot_gone(struct shared_group *g, unsigned slot);

/* ---- shared_lease.c ---- */

/* To a member here. number 0: of QoS 0, nobody waits for it, m may be NULL. false: no member here is connected. */
bool shared_give(struct worker *w, struct shared_group *g, const struct cluster_pub *p, struct msg *m, uint64_t number);
/* To a new incarnation of slot: what members here have of the groups that have their home there. */
void shared_tell_held(struct worker *w, unsigned slot);
/* What waits for s as a member of g (NULL: of any) goes back; and what is in flight, if all. */
void shared_return_leases(struct worker *w, struct session *s, const struct shared_group *g, bool all);

/* ---- shared_stop.c ---- */

void shared_stop_said(struct worker *w, unsigned from, bool gave);
void shared_stop_keep(struct worker *w, const struct shared_group *g, struct msg *m);
void shared_stop_neighbour(struct worker *w, unsigned slot, bool up);

#endif
