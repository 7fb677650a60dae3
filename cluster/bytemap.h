/* SPDX-License-Identifier: Apache-2.0
 * cluster/bytemap.h - a map from 64-bit hashes to a byte, 8 bytes a place, at most 14 bytes an entry on average.
 *
 * For millions of names whose value is nearly always small: 1..254. BYTEMAP_WIDE says that the value is a word, which
 * costs 16 bytes more in a second table. The hashes are keyed by the caller; the whole hash is the key, nothing is
 * compared beyond it. Grows in 256 parts, so that no put stalls a loop turn. */
#ifndef CLUSTER_BYTEMAP_H
#define CLUSTER_BYTEMAP_H

#include <stddef.h>
#include <stdint.h>

#define BYTEMAP_PARTS 256
#define BYTEMAP_WIDE  255

struct bytemap_wide {
	uint64_t hash;
	uint64_t value;                 /* 0: place is free */
};

struct bytemap_part {
	uint64_t *places;               /* low 56 bits of the hash << 8 | byte; 0: free */
	struct bytemap_wide *wide;
	uint32_t cap, used;
	uint32_t wide_cap, wide_used;   /* wide_cap is a power of two */
};

struct bytemap {
	struct bytemap_part part[BYTEMAP_PARTS];
	size_t count;
};

void bytemap_init(struct bytemap *m);
void bytemap_fini(struct bytemap *m);
/* The byte, 0: not there. BYTEMAP_WIDE: the word is in *wide, which is untouched otherwise. */
uint8_t bytemap_get(const struct bytemap *m, uint64_t hash, uint64_t *wide);
/* byte is 1..254, or BYTEMAP_WIDE with a word that is not 0. Replaces what was there. */
void bytemap_put(struct bytemap *m, uint64_t hash, uint8_t byte, uint64_t wide);
void bytemap_del(struct bytemap *m, uint64_t hash);             /* not there: does nothing */
/* Calls fn for each entry, in no order; fn must not change the map. */
typedef void bytemap_fn(void *arg, uint64_t hash, uint8_t byte, uint64_t wide);
void bytemap_each(const struct bytemap *m, bytemap_fn *fn, void *arg);
size_t bytemap_bytes(const struct bytemap *m);

#endif
