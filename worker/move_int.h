/* SPDX-License-Identifier: Apache-2.0
 * worker/move_int.h - what the parts of worker/move.h share: move.c (every sender, the new owner, what neighbours say),
 * move_old.c (the old owner). */
#ifndef WORKER_MOVE_INT_H
#define WORKER_MOVE_INT_H

#include "worker/connect.h"
#include "worker/move.h"
#include "worker/queuec.h"
#include "worker/worker.h"

enum move_record { TAKE = 1, FROZEN, SWITCH, SWITCHED, SHIP, SHIP_END, ACTIVE };
/* What FROZEN says of the session. */
enum { FROZEN_HERE, FROZEN_GONE, FROZEN_HERE_NO_ROW, FROZEN_UNKNOWN, FROZEN_HERE_LOADED };

struct moves {
	uint64_t stamp;                 /* the largest number of the store's answers that we have read */
	struct list early;              /* struct late_take whose number is larger */
	struct list late;               /* struct late_take behind a CONNECT */
	struct list takes;              /* struct move coming here, by CONNECT */
	struct list leaving;            /* struct move going away */
	struct list marks;              /* struct late_mark */
	uint64_t up;                    /* slots that are linked */
	uint64_t tries;                 /* moves that began here */
};

/* One incarnation of a neighbour. */
struct sender {
	uint64_t epoch;
	uint16_t slot;
};

struct move {
	struct list link;
	struct worker *worker;
	struct open *open;              /* coming: the CONNECT that waits; NULL: going */
	struct session *session;        /* coming: NULL before FROZEN */
	struct flow *shipped;           /* coming: what O had */
	uint64_t stamp;                 /* the new owner's, and its try: a mark of an earlier move is none of this one */
	uint64_t marked;                /* senders, by slot */
	uint16_t peer;                  /* the other end's slot */
	uint64_t taken;                 /* the old owner's */
	struct buf senders;             /* struct sender; coming: of what is held, by queued.held_of - 1 */
	struct buf lost;                /* struct sender: died before their mark came to the old owner */
	bool sent;                      /* going: shipped, awaiting ACTIVE. coming: all of it is here */
	bool asked;                     /* coming: TAKE was sent */
	bool claimed;                   /* going: nobody has asked for it yet */
	struct timer patience;          /* the same */
	bool storing;                   /* going: what it has is on its way to the disk, which stored waits for */
	struct queue_wait stored;
};

/* A TAKE that has to wait: the store's answer that made us the owner is still on its way to us, or a CONNECT here
 * works on it. */
struct late_take {
	struct list link;               /* in moves->early or ->late */
	struct follower follower;       /* of that CONNECT */
	struct worker *worker;
	uint64_t stamp;
	uint16_t from;
	uint32_t len;
	uint8_t body[];
};

static inline uint64_t
move_bit(unsigned slot)
{
	return UINT64_C(1) << slot;
}

/* ---- move.c ---- */

struct sender move_sender(const struct worker *w, unsigned slot);       /* epoch 0: it is not linked */
bool move_has_sender(const struct buf *b, const struct sender *s);
struct session *move_find(struct worker *w, struct slice id);
void move_send_id(struct worker *w, unsigned slot, enum move_record type, struct slice id);
void move_free(struct move *m);
/* What came during the move is like all else now. */
void move_join_aside(struct worker *w, struct session *s);

/* ---- move_old.c ---- */

void move_late_free(struct late_take *l);
/* Who asked is dead. */
void move_late_drop(struct list *lates, unsigned from);
void move_on_take(struct worker *w, unsigned from, struct slice body);
void move_on_active(struct worker *w, unsigned from, struct slice id);
void move_reply_gone(struct worker *w, unsigned to, struct slice id, uint64_t taken, int how);
/* All that came before the marks of all senders. */
void move_ship_if_marked(struct move *m);
struct move *move_leaving_of(struct worker *w, struct slice id);       /* NULL: it does not go */

#endif
