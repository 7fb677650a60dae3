/* SPDX-License-Identifier: Apache-2.0
 * common/base/bitmap.h - a set of the ids 1..65535 that costs memory only where ids are in use.
 *
 * For MQTT packet ids: finding the lowest free one after a hint is quick, an empty set holds no memory. */
#ifndef COMMON_BASE_BITMAP_H
#define COMMON_BASE_BITMAP_H

#include <stdbool.h>
#include <stdint.h>

struct bitmap {
	uint64_t *words;                /* covers ids 0 .. 64 * count - 1; owned */
	uint32_t count;
	uint32_t used;                  /* how many ids are in the set */
};

void bitmap_init(struct bitmap *b);
void bitmap_fini(struct bitmap *b);
bool bitmap_has(const struct bitmap *b, uint16_t id);
bool bitmap_put(struct bitmap *b, uint16_t id);         /* false: was there already */
bool bitmap_del(struct bitmap *b, uint16_t id);         /* false: was not there */
/* A free id at or after hint, wrapping round, never 0; 0: all are in use. */
uint16_t bitmap_free_id(const struct bitmap *b, uint16_t hint);

#endif
