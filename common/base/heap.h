/* SPDX-License-Identifier: Apache-2.0
 * common/base/heap.h - intrusive binary heap, smallest key first. */
#ifndef COMMON_BASE_HEAP_H
#define COMMON_BASE_HEAP_H

#include <stddef.h>
#include <stdint.h>

struct heap_node {
	int64_t key;
	size_t index;                   /* place in the heap; SIZE_MAX: in none */
};

struct heap {
	struct heap_node **nodes;
	size_t count;
	size_t cap;
};

void heap_init(struct heap *h);
void heap_fini(struct heap *h);
void heap_put(struct heap *h, struct heap_node *n, int64_t key);
void heap_del(struct heap *h, struct heap_node *n);             /* n must be in h */
struct heap_node *heap_first(const struct heap *h);             /* smallest key, borrowed; NULL: empty */

#endif
