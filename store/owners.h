/* SPDX-License-Identifier: Apache-2.0
 * store/owners.h - whose session is it: client id -> slot, in memory, for every live id and every durable row.
 *
 * An entry with an id of up to 21 bytes takes 64 bytes of heap and a bucket of the map.
 *
 * The owner is the one to whom the id was given last; it takes the session from the one before it. Until that one says
 * that it let go, it has a claim: when the owner dies before it took anything, the newest claim makes the owner.
 *
 * The oldest claim has the session. If its process dies, the row of a durable one is its successor's, by the same number:
 * what the neighbours hold for that slot comes there, and whoever waits takes it from there.
 *
 * A store that starts is told by the workers which sessions they have. Who had the others is dead, and so is known if
 * one worker is: owners_named(). The slot in a row is only where the session began, or of its last write. */
#ifndef STORE_OWNERS_H
#define STORE_OWNERS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/hmap.h"
#include "common/base/slice.h"

enum {
	OWNER_DURABLE = 1,      /* has a row, or its write is under way */
	OWNER_HELD = 2,         /* the process of the slot has the session or is to take it; else only the row is there */
	OWNER_CLAIMED = 4,      /* there may be claims */
	OWNER_CAME = 16,        /* by a CONNECT, not by its row */
	OWNER_AGED = 32,        /* its row says since when its client is away */
	OWNER_HERE = 8,         /* named by the slot as a session that it has */
	OWNER_GUESS = 64,       /* the slot is the one in its row: owners_row_slot() knows better */
	OWNER_ROW_OLD = 128,    /* its row is to say where it is, and could not be written yet */
};

struct owner_account;           /* a name shared by its entries */

struct owner {
	struct hmap_node node;
	struct owner_account *account;
	uint64_t stamp : 48;            /* of the OPENED that gave it; 0: from its row */
	uint64_t id_len : 16;
	uint16_t slot;
	uint8_t flags;
	uint8_t id[];
};

struct owner_claim {
	struct hmap_node node;
	struct owner *owner;
	uint64_t stamp;
	uint16_t slot;
	bool dead;                      /* its successor is to get the row */
	bool here;                      /* as OWNER_HERE */
};

struct owners {
	struct hmap ids;
	struct hmap accounts;
	struct hmap claims;             /* few: by id */
	uint64_t last_stamp;
	struct buf takers;              /* as owners_taker() was told */
	uint64_t fresh;                 /* slots whose process had not loaded its rows when all had named theirs */
};

/* Makes the slot the owner, by a new number, larger than all before, also those of stores before this one. Another slot
 * that holds it keeps a claim. */
void owners_give(struct owners *o, struct owner *w, unsigned slot);
/* The same by a number that was given earlier: as a worker names it. true: the slot is the owner now; false: it is an
 * earlier one and has a claim. here: it has the session; or it is about to take it. */
bool owners_name(struct owners *o, struct owner *w, unsigned slot, uint64_t stamp, bool here);
/* All have named theirs but these slots, whose process is dead or new. A durable session that nobody has had died there:
 * its row is for the successor, as after owners_slot_gone(). */
void owners_named(struct owners *o, uint64_t fresh);
/* Whose an entry is that is only a row: whom it is given to first. */
unsigned owners_row_slot(const struct owners *o, const struct owner *w);
/* While they name theirs: by stamp it is to take the session, from the slot that got it by prev_stamp. */
void owners_taker(struct owners *o, const struct owner *w, uint64_t stamp, unsigned prev_slot, uint64_t prev_stamp);
/* A claim that is over, since the session is where a later one is; NULL: none. it: as hmap_each() has it; deleting the
 * claim is allowed. */
struct owner_claim *owners_claim_over(const struct owners *o, struct hmap_iter *it);
/* The newest claim before that number; NULL: none. */
struct owner_claim *owners_claim_before(const struct owners *o, const struct owner *w, uint64_t stamp);
struct owner_claim *owners_claim_get(const struct owners *o, const struct owner *w, uint64_t stamp);
struct owner_claim *owners_claim_dead(const struct owners *o, const struct owner *w, unsigned slot);
bool owners_claimed_by(const struct owners *o, const struct owner *w, unsigned slot);
void owners_claim_del(struct owners *o, struct owner *w, uint64_t stamp);
/* The owner has nothing: the newest claim makes another one; or the entry goes, w with it; or (true) only
 * the row is left, and no successor is to get it. */
bool owners_next(struct owners *o, struct owner *w);

void owners_init(struct owners *o);
void owners_fini(struct owners *o);

struct owner *owners_find(const struct owners *o, struct slice id);     /* NULL: not there */
/* Makes an entry; id is not there yet. The pointer is good until it is deleted. */
struct owner *owners_add(struct owners *o, struct slice id, struct slice account, unsigned slot, unsigned flags);
void owners_del(struct owners *o, struct owner *w);
void owners_set_account(struct owners *o, struct owner *w, struct slice account);
struct slice owner_account(const struct owner *w);
static inline struct slice
owner_id(const struct owner *w)
{
	return slice_of(w->id, w->id_len);
}
size_t owners_count(const struct owners *o);
/* The slot's process is dead: its claims are dropped but that which had the session, its entries go to the next, as
 * owners_next() has it. */
void owners_slot_gone(struct owners *o, unsigned slot);
/* Its successor has got all rows that there are. */
void owners_slot_loaded(struct owners *o, unsigned slot);
void owners_clear(struct owners *o);

#endif
