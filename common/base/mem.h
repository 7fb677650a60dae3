/* SPDX-License-Identifier: Apache-2.0
 * common/base/mem.h - allocate or die, and slabs for objects of one size.
 *
 * Failing to allocate our own small things is fatal: the process says so and dies. What a peer can make us
 * hold is charged to a budget before it is allocated. */
#ifndef COMMON_BASE_MEM_H
#define COMMON_BASE_MEM_H

#include <stddef.h>
#include <stdint.h>

void *mem_alloc(size_t size);                   /* not cleared; never NULL */
void *mem_zalloc(size_t size);                  /* cleared; never NULL */
void *mem_realloc(void *p, size_t size);        /* never NULL */
void *mem_dup(const void *p, size_t len);       /* a copy with a NUL behind it */
char *mem_strdup(const char *s);
void mem_free(void *p);                         /* NULL is allowed */

/* mem_slab_get/mem_slab_put: freed blocks of 2^k bytes, 64 to 64 KiB, are kept in lists of this thread,
 * up to 1 MiB a list, so that the path of a message does not call malloc. */
void *mem_slab_get(size_t size, size_t *real_size);     /* real_size >= size; larger than 64 KiB: plain malloc */
void mem_slab_put(void *p, size_t real_size);           /* with the real_size that get gave */
void mem_slab_trim(void);                               /* gives this thread's lists back */

/* Bytes that this thread allocated and did not free, kept blocks included: the heap of a process with one thread, but
 * for what libraries take for themselves. */
extern _Thread_local int64_t mem_used_;
static inline int64_t
mem_used(void)
{
	return mem_used_;
}

#endif
