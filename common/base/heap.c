/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/heap.h"

#include "common/base/err.h"
#include "common/base/mem.h"

void
heap_init(struct heap *h)
{
	*h = (struct heap){ 0 };
}

void
heap_fini(struct heap *h)
{
	mem_free(h->nodes);
	heap_init(h);
}

static void
place(struct heap *h, struct heap_node *n, size_t i)
{
	h->nodes[i] = n;
	n->index = i;
}

/* n is to stand at i or above. */
static void
rise(struct heap *h, struct heap_node *n, size_t i)
{
	while (i > 0 && n->key < h->nodes[(i - 1) / 2]->key) {
		place(h, h->nodes[(i - 1) / 2], i);
		i = (i - 1) / 2;
	}
	place(h, n, i);
}

/* n is to stand at i or below. */
static void
sink(struct heap *h, struct heap_node *n, size_t i)
{
	for (;;) {
		size_t c = 2 * i + 1;

		if (c >= h->count)
			break;
		if (c + 1 < h->count && h->nodes[c + 1]->key < h->nodes[c]->key)
			c++;
		if (n->key <= h->nodes[c]->key)
			break;
		place(h, h->nodes[c], i);
		i = c;
	}
	place(h, n, i);
}

void
heap_put(struct heap *h, struct heap_node *n, int64_t key)
{
	if (h->count == h->cap) {
		h->cap = h->cap != 0 ? 2 * h->cap : 16;
		h->nodes = mem_realloc(h->nodes, h->cap * sizeof(*h->nodes));
	}
	n->key = key;
	rise(h, n, h->count++);
}

void
heap_del(struct heap *h, struct heap_node *n)
{
	size_t i = n->index;
	struct heap_node *last;

	FB_ASSERT(i < h->count && h->nodes[i] == n);
	n->index = SIZE_MAX;
	last = h->nodes[--h->count];
	if (last == n)
		return;
	if (i > 0 && last->key < h->nodes[(i - 1) / 2]->key)
		rise(h, last, i);
	else
		sink(h, last, i);
}

struct heap_node *
heap_first(const struct heap *h)
{
	return h->count != 0 ? h->nodes[0] : NULL;
}
