/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/budget.h"

#include <unistd.h>

#include "common/ipc/codec.h"
#include "supervisor/memory.h"
#include "supervisor/proctab.h"

#define LOOK_NS       NS_PER_SEC
#define AUTO          0.7               /* of the memory there is */
#define LEAST         (UINT64_C(1) << 16)      /* 0 would be: no limit */

uint64_t
budget_share(uint64_t limit, unsigned workers, uint64_t used, uint64_t all_used)
{
	int64_t room = ((int64_t)limit - (int64_t)all_used) / (int64_t)workers;
	int64_t share = ((int64_t)used + room) / 2 + (int64_t)(limit / workers / 2);

	return share < (int64_t)LEAST ? LEAST : (uint64_t)share;
}

void
budget_look(struct node *n)
{
	struct budget *b = &n->budget;
	uint64_t others = memory_of("", getpid());
	uint64_t used[LISTENERS_WORKERS] = { 0 };
	uint64_t all = 0, left;

	b->limit_bytes = (uint64_t)n->reload.running.memory_limit;
	if (b->limit_bytes == 0)
		b->limit_bytes = (uint64_t)((double)memory_limit("") * AUTO);
	if (n->store.pid > 0)
		others += memory_of("", n->store.pid);
	others += b->limit_bytes / 32;          /* the store may grow before the next look */
	left = b->limit_bytes > others ? b->limit_bytes - others : 0;
	EACH_WORKER(w, n) {
		used[w->slot] = w->pid > 0 ? memory_of("", w->pid) : 0;
		all += used[w->slot];
	}
	EACH_WORKER(w, n)
		if (b->limit_bytes > 0 && proc_alive(w))
			CHAN_SEND(w->chan, BUDGET, budget, .bytes = budget_share(left, n->workers, used[w->slot], all));
	loop_timer_in(n->loop, &b->timer, LOOK_NS);
}

static void
on_timer(struct timer *t)
{
	budget_look(container_of(t, struct node, budget.timer));
}

void
budget_start(struct node *n)
{
	timer_init(&n->budget.timer, on_timer);
	loop_timer_in(n->loop, &n->budget.timer, LOOK_NS);
}

void
budget_stop(struct node *n)
{
	loop_timer_cancel(n->loop, &n->budget.timer);
}
