/* SPDX-License-Identifier: Apache-2.0
 * common/base/arena.h - the memory of one packet: many small pieces, freed at once.
 *
 * What is taken from it lives until arena_reset(); to keep something, copy it. With FB_POISON defined the
 * bytes are overwritten at reset, so that a kept pointer shows itself. */
#ifndef COMMON_BASE_ARENA_H
#define COMMON_BASE_ARENA_H

#include <stddef.h>

struct arena_block;
struct arena {
	struct arena_block *blocks;     /* newest first; the oldest survives a reset */
	size_t used;                    /* in the newest */
};

void arena_init(struct arena *a);
void arena_fini(struct arena *a);
void *arena_take(struct arena *a, size_t size);         /* aligned to 16; never NULL */
void arena_reset(struct arena *a);

#endif
