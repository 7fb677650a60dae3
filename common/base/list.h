/* SPDX-License-Identifier: Apache-2.0
 * common/base/list.h - intrusive doubly linked list, circular, with a head.
 *
 * An unlinked node has next == NULL: list_linked() tells, list_del() of an unlinked node does nothing. */
#ifndef COMMON_BASE_LIST_H
#define COMMON_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *next;
	struct list *prev;
};

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))

static inline void
list_init(struct list *head)
{
	head->next = head->prev = head;
}

static inline bool
list_empty(const struct list *head)
{
	return head->next == head;
}

static inline bool
list_linked(const struct list *n)
{
	return n->next != NULL;
}

static inline void
list_insert(struct list *prev, struct list *n)          /* n goes behind prev */
{
	n->next = prev->next;
	n->prev = prev;
	prev->next->prev = n;
	prev->next = n;
}

static inline void
list_put_last(struct list *head, struct list *n)
{
	list_insert(head->prev, n);
}

static inline void
list_put_first(struct list *head, struct list *n)
{
	list_insert(head, n);
}

static inline void
list_del(struct list *n)
{
	if (n->next == NULL)
		return;
	n->prev->next = n->next;
	n->next->prev = n->prev;
	n->next = n->prev = NULL;
}

/* All nodes of from go to the end of to; from is empty then. */
static inline void
list_move_all(struct list *to, struct list *from)
{
	if (list_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	list_init(from);
}

#define LIST_FIRST(head, type, member) \
	(list_empty(head) ? NULL : container_of((head)->next, type, member))
#define LIST_EACH(pos, head) for (struct list *pos = (head)->next; pos != (head); pos = pos->next)
/* The node in hand may be deleted. */
#define LIST_EACH_SAFE(pos, tmp, head) \
	for (struct list *pos = (head)->next, *tmp = pos->next; pos != (head); pos = tmp, tmp = pos->next)

#endif
