/* SPDX-License-Identifier: Apache-2.0
 * store/owners.h - whose session is it: client id -> slot, in memory, for every live id and every durable row.
 *
 * An entry with an id of up to 23 bytes takes 64 bytes of heap and a bucket of the map. */
#ifndef STORE_OWNERS_H
#define STORE_OWNERS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/hmap.h"
#include "common/base/slice.h"

enum {
	OWNER_DURABLE = 1,      /* has a row, or its write is under way */
	OWNER_HELD = 2,         /* the process of the slot has the session; else only the row is there */
};

struct owner_account;           /* a name shared by its entries */

struct owner {
	struct hmap_node node;
	struct owner_account *account;
	uint32_t stamp;                 /* low bits of the OPENED that gave it; 0: none on its way any more */
	uint16_t slot;
	uint16_t id_len;
	uint8_t flags;
	uint8_t id[];
};

struct owners {
	struct hmap ids;
	struct hmap accounts;
	uint64_t last_stamp;
};

/* A new number for a change of owner, larger than all before, also those of stores before this one. */
void owners_stamp(struct owners *o, struct owner *w);
uint64_t owners_stamp_of(const struct owners *o, const struct owner *w);

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
/* The slot's process is dead: its entries without a row are dropped, those with one stay, not held. */
void owners_slot_gone(struct owners *o, unsigned slot);
void owners_clear(struct owners *o);

#endif
