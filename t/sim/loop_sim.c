/* SPDX-License-Identifier: Apache-2.0
 *
 * loop.h under the false clock: timers, tasks and bells; no descriptors, signals never come. */
#include "common/base/loop.h"

#include "common/base/err.h"
#include "common/base/mem.h"
#include "t/sim/sim.h"

struct loop {
	struct wheel *wheel;
	struct mono now;
	struct list tasks, next_tasks;
	struct list bells;
	struct list rung;
	bool stopped, frozen;
};

struct loop_bell {
	struct list link;               /* in bells or in rung */
	struct loop *loop;
	void (*fn)(void *arg);
	void *arg;
};

struct loop *
loop_new(void)
{
	struct loop *l = mem_zalloc(sizeof *l);

	l->now = sim_now();
	l->wheel = wheel_new(l->now);
	list_init(&l->tasks);
	list_init(&l->next_tasks);
	list_init(&l->bells);
	list_init(&l->rung);
	sim_loop_put(l);
	return l;
}

void
loop_free(struct loop *l)
{
	if (l == NULL)
		return;
	sim_loop_del(l);
	FB_ASSERT(list_empty(&l->bells) && list_empty(&l->rung));
	wheel_free(l->wheel);
	mem_free(l);
}

void
sim_freeze(struct loop *l, bool frozen)
{
	l->frozen = frozen;
}

bool
sim_loop_ready(const struct loop *l)
{
	struct mono at;

	if (l->frozen || l->stopped)
		return false;
	return !list_empty(&l->tasks) || !list_empty(&l->next_tasks) || !list_empty(&l->rung) ||
	    (wheel_next(l->wheel, &at) && at.ns <= sim_now().ns);
}

bool
sim_loop_next(const struct loop *l, struct mono *at)
{
	return !l->frozen && !l->stopped && wheel_next(l->wheel, at);
}

static void
run_tasks(struct loop *l)
{
	while (!list_empty(&l->tasks)) {
		struct task *t = container_of(l->tasks.next, struct task, link);

		list_del(&t->link);
		t->fn(t);
	}
	list_move_all(&l->tasks, &l->next_tasks);
}

bool
loop_turn(struct loop *l, bool block)
{
	struct list rung;

	if (l->stopped)
		return false;
	l->now = sim_now();
	list_init(&rung);
	list_move_all(&rung, &l->rung);
	while (!list_empty(&rung)) {
		struct loop_bell *b = LIST_FIRST(&rung, struct loop_bell, link);

		list_del(&b->link);
		list_put_last(&l->bells, &b->link);
		b->fn(b->arg);
	}
	wheel_advance(l->wheel, l->now);
	run_tasks(l);
	return !l->stopped;
}

void
loop_run(struct loop *l)
{
	while (!l->stopped && sim_step())
		;
}

void
loop_stop(struct loop *l)
{
	l->stopped = true;
}

struct mono
loop_now(const struct loop *l)
{
	return l->now;
}

struct loop_fd *
loop_fd_new(struct loop *l, int fd, unsigned want, loop_fd_fn *fn, void *arg)
{
	FB_ASSERT(l == NULL);           /* no descriptors in the simulation */
	return NULL;
}

void
loop_fd_want(struct loop_fd *f, unsigned want)
{
	FB_ASSERT(f == NULL);
}

void
loop_fd_free(struct loop_fd *f)
{
	FB_ASSERT(f == NULL);
}

void
loop_timer_set(struct loop *l, struct timer *t, struct mono at)
{
	wheel_set(l->wheel, t, at);
}

void
loop_timer_in(struct loop *l, struct timer *t, int64_t ns)
{
	wheel_set(l->wheel, t, mono_add(l->now, ns));
}

void
loop_timer_cancel(struct loop *l, struct timer *t)
{
	wheel_cancel(l->wheel, t);
}

void
loop_defer(struct loop *l, struct task *t)
{
	if (!list_linked(&t->link))
		list_put_last(&l->tasks, &t->link);
}

void
loop_next(struct loop *l, struct task *t)
{
	if (!list_linked(&t->link))
		list_put_last(&l->next_tasks, &t->link);
}

void
loop_signal(struct loop *l, int signo, loop_signal_fn *fn, void *arg)
{
}

struct loop_bell *
loop_bell_new(struct loop *l, void (*fn)(void *arg), void *arg)
{
	struct loop_bell *b = mem_zalloc(sizeof *b);

	b->loop = l;
	b->fn = fn;
	b->arg = arg;
	list_put_last(&l->bells, &b->link);
	return b;
}

void
loop_bell_ring(struct loop_bell *b)
{
	list_del(&b->link);
	list_put_last(&b->loop->rung, &b->link);
}

void
loop_bell_free(struct loop_bell *b)
{
	if (b == NULL)
		return;
	list_del(&b->link);
	mem_free(b);
}
