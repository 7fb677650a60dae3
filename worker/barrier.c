/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/barrier.h"

#include "common/base/mem.h"
#include "worker/worker.h"

/* All who joined in one turn. */
struct shared {
	struct cluster_barrier barrier;
	struct list link;               /* in barriers->running */
	struct list waits;              /* struct barrier_wait */
};

struct barriers {
	struct list next;               /* struct barrier_wait: joined in this turn */
	struct list running;            /* struct shared */
};

struct barriers *
barriers_new(void)
{
	struct barriers *b = mem_zalloc(sizeof *b);

	list_init(&b->next);
	list_init(&b->running);
	return b;
}

void
barriers_free(struct barriers *b)
{
	LIST_EACH_SAFE(n, tmp, &b->running)
		mem_free(container_of(n, struct shared, link));
	mem_free(b);
}

void
barrier_join(struct worker *w, struct barrier_wait *b)
{
	list_put_last(&w->barriers->next, &b->link);
	worker_wake(w);
}

static void
on_passed(struct cluster_barrier *cb)
{
	struct shared *s = container_of(cb, struct shared, barrier);
	struct barrier_wait *b;

	while ((b = LIST_FIRST(&s->waits, struct barrier_wait, link)) != NULL) {
		list_del(&b->link);
		b->done(b);
	}
	list_del(&s->link);
	mem_free(s);
}

void
barriers_start(struct worker *w)
{
	struct shared *s;

	if (list_empty(&w->barriers->next))
		return;
	s = mem_zalloc(sizeof *s);
	list_init(&s->waits);
	list_move_all(&s->waits, &w->barriers->next);
	list_put_last(&w->barriers->running, &s->link);
	cluster_barrier(w->cluster, &s->barrier, on_passed);
}
