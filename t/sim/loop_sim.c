/* SPDX-License-Identifier: Apache-2.0
 *
 * loop.h under the false clock: timers, tasks, bells, and descriptors of sim.h, and real ones whose other end is in this
 * process too, so that poll() without waiting says all there is to say. Signals never come. */
#include "common/base/loop.h"

#include <poll.h>

#include "common/base/err.h"
#include "common/base/mem.h"
#include "t/sim/sim.h"

struct loop {
	struct wheel *wheel;
	struct mono now;
	struct list tasks, next_tasks;
	struct list bells;
	struct list rung;
	struct list fds;                /* struct loop_fd */
	struct list dead;               /* freed while the descriptors were walked */
	bool stopped, frozen, walking, over, holds_input;
	struct loop_stats stats;        /* the number of turns, that is */
	unsigned long_every, long_asked;
};

struct loop_fd {
	struct list link;
	struct loop *loop;
	int fd;
	unsigned want;
	loop_fd_fn *fn;
	void *arg;
};

struct loop_bell {
	struct list link;               /* in bells or in rung */
	struct loop *loop;
	void (*fn)(void *arg);
	void *arg;
};

unsigned sim_long_every;

struct loop *
loop_new(void)
{
	struct loop *l = mem_zalloc(sizeof *l);

	l->now = sim_now();
	l->long_every = sim_long_every;
	l->wheel = wheel_new(l->now);
	list_init(&l->tasks);
	list_init(&l->next_tasks);
	list_init(&l->bells);
	list_init(&l->rung);
	list_init(&l->fds);
	list_init(&l->dead);
	sim_loop_put(l);
	return l;
}

void
loop_free(struct loop *l)
{
	if (l == NULL)
		return;
	sim_loop_del(l);
	FB_ASSERT(list_empty(&l->bells) && list_empty(&l->rung) && list_empty(&l->fds));
	wheel_free(l->wheel);
	mem_free(l);
}

void
sim_freeze(struct loop *l, bool frozen)
{
	l->frozen = frozen;
}

/* What is wanted and there, LOOP_READ | LOOP_WRITE; a hang-up is reported as what is wanted. */
static unsigned
fd_ready(const struct loop_fd *f)
{
	struct pollfd p = { .fd = f->fd };

	if (f->want == 0)
		return 0;
	if (f->fd >= SIM_FD)
		return sim_fd_ready(f->fd) & f->want;
	p.events = (short)(((f->want & LOOP_READ) != 0 ? POLLIN : 0) | ((f->want & LOOP_WRITE) != 0 ? POLLOUT : 0));
	if (poll(&p, 1, 0) <= 0)
		return 0;
	if ((p.revents & (POLLHUP | POLLERR)) != 0)
		return f->want;
	return ((p.revents & POLLIN) != 0 ? LOOP_READ : 0u) | ((p.revents & POLLOUT) != 0 ? LOOP_WRITE : 0u);
}

static bool
some_fd_ready(const struct loop *l)
{
	LIST_EACH(n, &l->fds)
		if (fd_ready(container_of(n, struct loop_fd, link)) != 0)
			return true;
	return false;
}

static void
run_fds(struct loop *l)
{
	struct list rest;

	list_init(&rest);
	list_move_all(&rest, &l->fds);
	l->walking = true;
	while (!list_empty(&rest)) {
		struct loop_fd *f = LIST_FIRST(&rest, struct loop_fd, link);
		unsigned ready = fd_ready(f);

		list_del(&f->link);
		list_put_last(&l->fds, &f->link);
		if (ready != 0)
			f->fn(f->arg, ready);
	}
	l->walking = false;
	while (!list_empty(&l->dead)) {
		struct loop_fd *f = LIST_FIRST(&l->dead, struct loop_fd, link);

		list_del(&f->link);
		mem_free(f);
	}
}

bool
sim_loop_ready(const struct loop *l)
{
	struct mono at;

	if (l->frozen || l->stopped)
		return false;
	return !list_empty(&l->tasks) || !list_empty(&l->next_tasks) || !list_empty(&l->rung) ||
	    (wheel_next(l->wheel, &at) && at.ns <= sim_now().ns) || some_fd_ready(l);
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
	l->over = false;
	list_init(&rung);
	list_move_all(&rung, &l->rung);
	while (!list_empty(&rung)) {
		struct loop_bell *b = LIST_FIRST(&rung, struct loop_bell, link);

		list_del(&b->link);
		list_put_last(&l->bells, &b->link);
		b->fn(b->arg);
	}
	run_fds(l);
	wheel_advance(l->wheel, l->now);
	run_tasks(l);
	l->stats.turns++;
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

bool
loop_check(struct loop *l)
{
	l->over = l->over || (l->long_every > 0 && l->long_asked++ % l->long_every == 0);
	return l->over;
}

bool
loop_check_late(struct loop *l)
{
	return loop_check(l);
}

bool
loop_is_over(const struct loop *l)
{
	return l->over;
}

void
loop_hold_input(struct loop *l, bool holds)
{
	l->holds_input = holds;
}

bool
loop_holds_input(const struct loop *l)
{
	return l->holds_input;
}

void
sim_long_turns(struct loop *l, unsigned every)
{
	l->long_every = every;
}

/* No turn takes time here. */
const struct loop_stats *
loop_stats(const struct loop *l)
{
	return &l->stats;
}

struct mono
loop_now(const struct loop *l)
{
	return l->now;
}

void *
loop_fd_with(struct loop *l, size_t size, int fd, unsigned want, loop_fd_fn *fn)
{
	struct loop_fd *f = mem_zalloc(sizeof *f + size);

	f->loop = l;
	f->fd = fd;
	f->want = want;
	f->fn = fn;
	f->arg = f + 1;
	list_put_last(&l->fds, &f->link);
	return f + 1;
}

struct loop_fd *
loop_fd_of(void *with)
{
	return (struct loop_fd *)with - 1;
}

struct loop_fd *
loop_fd_new(struct loop *l, int fd, unsigned want, loop_fd_fn *fn, void *arg)
{
	struct loop_fd *f = loop_fd_of(loop_fd_with(l, 0, fd, want, fn));

	f->arg = arg;
	return f;
}

void
loop_fd_want(struct loop_fd *f, unsigned want)
{
	f->want = want;
}

void
loop_fd_free(struct loop_fd *f)
{
	if (f == NULL)
		return;
	list_del(&f->link);
	f->want = 0;
	if (f->loop->walking)
		list_put_last(&f->loop->dead, &f->link);
	else
		mem_free(f);
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
