/* SPDX-License-Identifier: Apache-2.0
 *
 * A slab is a list of freed blocks of one power of two; the block's first word is the link. The lists are bounded by
 * bytes, so that a burst of large blocks does not stay for ever. Under the sanitizers nothing is kept: each block is
 * malloc's own, and a use after mem_slab_put() is found. */
#include "common/base/mem.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"

#define SLAB_MIN_BITS  6u
#define SLAB_MAX_BITS  16u
#define SLAB_CLASSES   (SLAB_MAX_BITS - SLAB_MIN_BITS + 1)
#ifdef FB_POISON
#define SLAB_KEEP      ((size_t)0)
#else
#define SLAB_KEEP      ((size_t)1 << 20)
#endif

struct slab_block {
	struct slab_block *next;
};

struct slab {
	struct slab_block *first;
	size_t bytes;
};

static _Thread_local struct slab slabs[SLAB_CLASSES];

_Thread_local int64_t mem_used_;

/* A new block. */
static void *
check(void *p, size_t size)
{
	if (__builtin_expect(p == NULL, 0)) {
		log_error("mem", "out of memory", "bytes=%zu", size);
		abort();
	}
	mem_used_ += (int64_t)malloc_usable_size(p);
	return p;
}

void *
mem_alloc(size_t size)
{
	return check(malloc(size != 0 ? size : 1), size);
}

void *
mem_zalloc(size_t size)
{
	return check(calloc(1, size != 0 ? size : 1), size);
}

void *
mem_realloc(void *p, size_t size)
{
	mem_used_ -= (int64_t)malloc_usable_size(p);
	return check(realloc(p, size != 0 ? size : 1), size);
}

void *
mem_dup(const void *p, size_t len)
{
	char *copy = mem_alloc(len + 1);

	if (len > 0)
		memcpy(copy, p, len);
	copy[len] = '\0';
	return copy;
}

char *
mem_strdup(const char *s)
{
	return mem_dup(s, strlen(s));
}

void
mem_free(void *p)
{
	mem_used_ -= (int64_t)malloc_usable_size(p);
	free(p);
}

static unsigned
slab_class(size_t size)
{
	unsigned bits;

	if (size <= (size_t)1 << SLAB_MIN_BITS)
		return 0;
	bits = 64u - (unsigned)__builtin_clzll(size - 1);
	return bits - SLAB_MIN_BITS;
}

void *
mem_slab_get(size_t size, size_t *real_size)
{
	struct slab_block *b;
	struct slab *s;
	unsigned class;

	if (size > (size_t)1 << SLAB_MAX_BITS) {
		*real_size = size;
		return mem_alloc(size);
	}
	class = slab_class(size);
	*real_size = (size_t)1 << (class + SLAB_MIN_BITS);
	s = &slabs[class];
	b = s->first;
	if (b == NULL)
		return mem_alloc(*real_size);
	s->first = b->next;
	s->bytes -= *real_size;
	return b;
}

void
mem_slab_put(void *p, size_t real_size)
{
	struct slab_block *b = p;
	struct slab *s;

	if (p == NULL)
		return;
	if (real_size > (size_t)1 << SLAB_MAX_BITS) {
		mem_free(p);
		return;
	}
	s = &slabs[slab_class(real_size)];
	if (s->bytes + real_size > SLAB_KEEP) {
		mem_free(p);
		return;
	}
	b->next = s->first;
	s->first = b;
	s->bytes += real_size;
}

void
mem_slab_trim(void)
{
	for (unsigned i = 0; i < SLAB_CLASSES; i++) {
		struct slab *s = &slabs[i];

		while (s->first != NULL) {
			struct slab_block *b = s->first;

			s->first = b->next;
			mem_free(b);
		}
		s->bytes = 0;
	}
}
