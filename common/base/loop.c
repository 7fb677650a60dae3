/* SPDX-License-Identifier: Apache-2.0
 *
 * libevent is used for descriptors and signals alone. Timers are our wheel; its next deadline is in one timerfd, set
 * anew only when it moves to the front, since libevent's own timers cost a clock call a turn, and are either coarse
 * (4 ms) or cost a timerfd_settime() a turn. The clock is read once a turn, at the first callback after the wait. */
#include "common/base/loop.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/mem.h"

struct loop {
	struct event_base *base;
	struct wheel *wheel;
	struct mono now;
	bool now_is_fresh;              /* this turn has read the clock */
	bool stopped;
	bool over, late;                /* this turn has taken long enough; also for what comes last in it */
	bool holds_input;
	struct loop_stats stats;
	int64_t unread_ns;              /* work since the CPU clock was read */
	int64_t cpu_ns;                 /* what it said */
	struct list tasks;              /* for the end of this turn */
	struct list next_tasks;         /* for the end of the next */
	struct list signals;
	int timer_fd;
	int64_t armed_ns;               /* when timer_fd will ring; 0: it will not */
	struct event timer_event;
};

struct loop_fd {
	struct event ev;                /* its events are what is wanted; added unless that is nothing */
	struct loop *loop;
	loop_fd_fn *fn;                 /* called with what stands behind this struct */
};

struct plain_fd {                       /* what stands there for loop_fd_new() */
	loop_fd_fn *fn;
	void *arg;
};

struct loop_signal {
	struct list link;
	struct event ev;
	struct loop *loop;
	loop_signal_fn *fn;
	void *arg;
};

struct loop_bell {
	struct event ev;
	struct loop *loop;
	int fd;
	atomic_bool rung;               /* a write is on its way: more rings need none */
	void (*fn)(void *arg);
	void *arg;
};

static inline void
freshen(struct loop *l)
{
	if (!l->now_is_fresh) {
		l->now = clock_mono();
		l->now_is_fresh = true;
	}
}

static void
on_timer_fd(evutil_socket_t fd, short what, void *arg)
{
	struct loop *l = arg;

	l->armed_ns = 0;                /* edge-triggered: nothing to read */
	freshen(l);
}

static struct event_base *
base_new(void)
{
	struct event_config *c = event_config_new();
	struct event_base *base;

	FB_ASSERT(c != NULL);
	event_config_require_features(c, EV_FEATURE_ET | EV_FEATURE_O1);
	event_config_set_flag(c, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV | EVENT_BASE_FLAG_NO_CACHE_TIME);
	base = event_base_new_with_config(c);
	FB_ASSERT(base != NULL);
	event_config_free(c);
	return base;
}

struct loop *
loop_new(void)
{
	struct loop *l = mem_zalloc(sizeof *l);

	l->base = base_new();
	l->now = clock_mono();
	l->cpu_ns = clock_cpu_ns();
	l->wheel = wheel_new(l->now);
	list_init(&l->tasks);
	list_init(&l->next_tasks);
	list_init(&l->signals);
	l->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	FB_ASSERT(l->timer_fd >= 0);
	FB_ASSERT(event_assign(&l->timer_event, l->base, l->timer_fd, EV_READ | EV_PERSIST | EV_ET, on_timer_fd, l) == 0);
	FB_ASSERT(event_add(&l->timer_event, NULL) == 0);
	return l;
}

void
loop_free(struct loop *l)
{
	if (l == NULL)
		return;
	LIST_EACH_SAFE(pos, tmp, &l->signals) {
		struct loop_signal *s = container_of(pos, struct loop_signal, link);

		event_del(&s->ev);
		mem_free(s);
	}
	event_del(&l->timer_event);
	close(l->timer_fd);
	wheel_free(l->wheel);
	event_base_free(l->base);
	mem_free(l);
}

/* Sees to it that the wait ends at the next deadline; false: it has come already. An alarm that is too early is
 * left alone: one turn for nothing is cheaper than setting it anew each time. */
static bool
arm(struct loop *l)
{
	struct itimerspec its = { 0 };
	struct mono at;

	if (!wheel_next(l->wheel, &at))
		return true;
	if (at.ns <= l->now.ns)
		return false;
	if (l->armed_ns != 0 && l->armed_ns <= at.ns)
		return true;
	its.it_value.tv_sec = at.ns / NS_PER_SEC;
	its.it_value.tv_nsec = at.ns % NS_PER_SEC;
	FB_ASSERT(timerfd_settime(l->timer_fd, TFD_TIMER_ABSTIME, &its, NULL) == 0);
	l->armed_ns = at.ns;
	return true;
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

const int64_t loop_bucket_ms[LOOP_BUCKETS - 1] = { 1, 2, 5, 10, 20, 50, 100, 1000 };

static void
count_time(struct loop_times *t, int64_t ns)
{
	unsigned k = 0;

	while (k < LOOP_BUCKETS - 1 && ns > loop_bucket_ms[k] * NS_PER_MS)
		k++;
	t->count[k]++;
	if (ns > t->longest_ns)
		t->longest_ns = ns;
}

/* The CPU clock is a true system call, so it is read but once in each ms of work: what it says of a long turn is that
 * turn and less than 1 ms of those before. */
static void
count_turn(struct loop *l, int64_t took)
{
	int64_t cpu = took, before = l->cpu_ns;

	l->stats.turns++;
	count_time(&l->stats.wall, took);
	l->unread_ns += took;
	if (l->unread_ns >= NS_PER_MS) {
		l->unread_ns = 0;
		l->cpu_ns = clock_cpu_ns();
		if (l->cpu_ns - before < took)
			cpu = l->cpu_ns - before;
	}
	count_time(&l->stats.cpu, cpu);
	if (cpu > LOOP_LONG_NS)
		log_info("loop", "a turn took long", "ms=%lld cpu_ms=%lld", (long long)(took / NS_PER_MS),
		    (long long)(cpu / NS_PER_MS));
}

bool
loop_turn(struct loop *l, bool block)
{
	if (l->stopped)
		return false;
	block = block && list_empty(&l->tasks) && list_empty(&l->next_tasks) && arm(l);
	l->now_is_fresh = l->over = l->late = false;
	/* EVLOOP_NONBLOCK alone goes on as long as anything is ready. */
	FB_ASSERT(event_base_loop(l->base, EVLOOP_NO_EXIT_ON_EMPTY | EVLOOP_ONCE | (block ? 0 : EVLOOP_NONBLOCK)) >= 0);
	freshen(l);
	wheel_advance(l->wheel, l->now);
	run_tasks(l);
	count_turn(l, mono_diff(clock_mono(), l->now));
	return !l->stopped;
}

bool
loop_check(struct loop *l)
{
	l->over = l->over || mono_diff(clock_mono(), l->now) > LOOP_LONG_NS / 2;
	return l->over;
}

bool
loop_check_late(struct loop *l)
{
	l->late = l->late || mono_diff(clock_mono(), l->now) > LOOP_LONG_NS * 3 / 4;
	l->over = l->over || l->late;
	return l->late;
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

const struct loop_stats *
loop_stats(const struct loop *l)
{
	return &l->stats;
}

void
loop_run(struct loop *l)
{
	while (loop_turn(l, true))
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

static void
on_fd(evutil_socket_t fd, short what, void *arg)
{
	struct loop_fd *f = arg;

	freshen(f->loop);
	f->fn(f + 1, ((what & EV_READ) != 0 ? LOOP_READ : 0u) | ((what & EV_WRITE) != 0 ? LOOP_WRITE : 0u));
}

static short
events_of(unsigned want)
{
	return (short)(((want & LOOP_READ) != 0 ? EV_READ : 0) | ((want & LOOP_WRITE) != 0 ? EV_WRITE : 0) | EV_PERSIST);
}

static void
fd_add(struct loop_fd *f, struct event_base *base, int fd, unsigned want)
{
	FB_ASSERT(event_assign(&f->ev, base, fd, events_of(want), on_fd, f) == 0);
	if (want != 0)
		FB_ASSERT(event_add(&f->ev, NULL) == 0);
}

void *
loop_fd_with(struct loop *l, size_t size, int fd, unsigned want, loop_fd_fn *fn)
{
	struct loop_fd *f = mem_alloc(sizeof *f + size);

	memset(f + 1, 0, size);
	f->loop = l;
	f->fn = fn;
	fd_add(f, l->base, fd, want);
	return f + 1;
}

struct loop_fd *
loop_fd_of(void *with)
{
	return (struct loop_fd *)with - 1;
}

static void
plain_ready(void *arg, unsigned ready)
{
	struct plain_fd *p = arg;

	p->fn(p->arg, ready);
}

struct loop_fd *
loop_fd_new(struct loop *l, int fd, unsigned want, loop_fd_fn *fn, void *arg)
{
	struct plain_fd *p = loop_fd_with(l, sizeof *p, fd, want, plain_ready);

	p->fn = fn;
	p->arg = arg;
	return loop_fd_of(p);
}

/* While the event is out of libevent's hands a second one holds its place, so that the kernel hears of one change and
 * not of two. */
void
loop_fd_want(struct loop_fd *f, unsigned want)
{
	struct event_base *base = f->loop->base;
	int fd = event_get_fd(&f->ev);
	short old = event_get_events(&f->ev);
	struct event holder;
	bool held = want != 0 && old != events_of(0);

	if (old == events_of(want))
		return;
	if (held) {
		FB_ASSERT(event_assign(&holder, base, fd, events_of(want), on_fd, f) == 0);
		FB_ASSERT(event_add(&holder, NULL) == 0);
	}
	event_del(&f->ev);
	fd_add(f, base, fd, want);
	if (held)
		event_del(&holder);
}

void
loop_fd_free(struct loop_fd *f)
{
	if (f == NULL)
		return;
	event_del(&f->ev);
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

static void
on_signal(evutil_socket_t signo, short what, void *arg)
{
	struct loop_signal *s = arg;

	freshen(s->loop);
	s->fn(s->arg, (int)signo);
}

void
loop_signal(struct loop *l, int signo, loop_signal_fn *fn, void *arg)
{
	struct loop_signal *s = mem_zalloc(sizeof *s);

	s->loop = l;
	s->fn = fn;
	s->arg = arg;
	list_put_last(&l->signals, &s->link);
	FB_ASSERT(event_assign(&s->ev, l->base, signo, EV_SIGNAL | EV_PERSIST, on_signal, s) == 0);
	FB_ASSERT(event_add(&s->ev, NULL) == 0);
}

static void
on_bell(evutil_socket_t fd, short what, void *arg)
{
	struct loop_bell *b = arg;

	freshen(b->loop);
	atomic_store(&b->rung, false);  /* before fn looks: what comes later rings again */
	b->fn(b->arg);
}

struct loop_bell *
loop_bell_new(struct loop *l, void (*fn)(void *arg), void *arg)
{
	struct loop_bell *b = mem_zalloc(sizeof *b);

	b->loop = l;
	b->fn = fn;
	b->arg = arg;
	atomic_init(&b->rung, false);
	b->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	FB_ASSERT(b->fd >= 0);
	/* Edge-triggered, each write is an edge: the counter is never read. */
	FB_ASSERT(event_assign(&b->ev, l->base, b->fd, EV_READ | EV_PERSIST | EV_ET, on_bell, b) == 0);
	FB_ASSERT(event_add(&b->ev, NULL) == 0);
	return b;
}

void
loop_bell_ring(struct loop_bell *b)
{
	uint64_t one = 1;

	if (!atomic_exchange(&b->rung, true))
		FB_ASSERT(write(b->fd, &one, sizeof one) == sizeof one);
}

void
loop_bell_free(struct loop_bell *b)
{
	if (b == NULL)
		return;
	event_del(&b->ev);
	close(b->fd);
	mem_free(b);
}
