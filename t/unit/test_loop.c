/* SPDX-License-Identifier: Apache-2.0 */
#include "t/support/unit.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/loop.h"

/* What happened, a letter each. */
static char story[100];
static struct loop *l;

static void
tell(char c)
{
	size_t n = strlen(story);

	ck_assert_uint_lt(n + 1, sizeof story);
	story[n] = c;
}

static void
begin(void)
{
	memset(story, 0, sizeof story);
	l = loop_new();
}

struct teller {
	struct task task;
	char c;
	struct teller *defers;
	struct teller *nexts;
};

static void
on_task(struct task *t)
{
	struct teller *me = container_of(t, struct teller, task);

	ck_assert(!list_linked(&t->link));
	tell(me->c);
	if (me->defers != NULL)
		loop_defer(l, &me->defers->task);
	if (me->nexts != NULL)
		loop_next(l, &me->nexts->task);
}

START_TEST(tasks_run_in_order_once_and_in_this_turn)
{
	struct teller c = { .c = 'c' };
	struct teller b = { .c = 'b' };
	struct teller a = { .c = 'a', .defers = &c };

	begin();
	task_init(&a.task, on_task);
	task_init(&b.task, on_task);
	task_init(&c.task, on_task);
	loop_defer(l, &a.task);
	loop_defer(l, &b.task);
	loop_defer(l, &a.task);
	ck_assert(loop_turn(l, true));          /* does not wait */
	ck_assert_str_eq(story, "abc");
	loop_defer(l, &a.task);
	loop_defer(l, &b.task);
	task_cancel(&a.task);
	ck_assert(loop_turn(l, true));
	ck_assert_str_eq(story, "abcb");
	loop_free(l);
	loop_free(NULL);
}
END_TEST

START_TEST(next_is_in_the_next_turn)
{
	struct teller a = { .c = 'a', .nexts = &a };
	struct teller b = { .c = 'b' };

	begin();
	task_init(&a.task, on_task);
	task_init(&b.task, on_task);
	loop_next(l, &a.task);
	loop_defer(l, &b.task);
	loop_turn(l, true);
	ck_assert_str_eq(story, "b");
	loop_turn(l, true);                     /* nothing else to do: still does not wait */
	ck_assert_str_eq(story, "ba");
	loop_defer(l, &b.task);
	loop_turn(l, true);
	ck_assert_str_eq(story, "baab");
	task_cancel(&a.task);
	loop_turn(l, false);
	ck_assert_str_eq(story, "baab");
	loop_free(l);
}
END_TEST

static void
on_always(void *arg, unsigned ready)
{
	(void)arg;
	ck_assert_uint_eq(ready, LOOP_READ);
	if (strlen(story) < 50)         /* a turn that does not end fills the story */
		tell('r');
}

START_TEST(a_turn_that_does_not_wait_ends_though_something_is_always_ready)
{
	struct teller a = { .c = 'a', .nexts = &a };
	int fd[2];
	struct loop_fd *f;

	begin();
	alarm(10);
	ck_assert_int_eq(pipe(fd), 0);
	ck_assert_int_eq(write(fd[1], "x", 1), 1);      /* nobody reads it */
	f = loop_fd_new(l, fd[0], LOOP_READ, on_always, NULL);
	task_init(&a.task, on_task);
	loop_next(l, &a.task);
	for (int i = 0; i < 3; i++)
		loop_turn(l, true);
	ck_assert_str_eq(story, "rrara");
	task_cancel(&a.task);
	loop_fd_free(f);
	close(fd[0]);
	close(fd[1]);
	alarm(0);
	loop_free(l);
}
END_TEST

struct tick {
	struct timer t;
	int count;
	struct mono due;
};

static void
on_tick(struct timer *t)
{
	struct tick *k = container_of(t, struct tick, t);

	ck_assert_int_ge(mono_diff(loop_now(l), k->due), 0);
	tell('t');
	if (--k->count == 0) {
		loop_stop(l);
		return;
	}
	k->due = mono_add(loop_now(l), NS_PER_MS);
	loop_timer_in(l, t, NS_PER_MS);
}

START_TEST(timers_end_the_wait_and_are_never_early)
{
	struct tick k = { .count = 5 };
	struct tick far = { .count = 1 };

	begin();
	timer_init(&k.t, on_tick);
	timer_init(&far.t, on_tick);
	loop_timer_in(l, &far.t, 3600 * NS_PER_SEC);
	k.due = mono_add(loop_now(l), 3 * NS_PER_MS);
	loop_timer_set(l, &k.t, k.due);
	loop_run(l);
	ck_assert_str_eq(story, "ttttt");
	ck_assert(!loop_turn(l, true));
	loop_timer_cancel(l, &far.t);
	loop_free(l);
}
END_TEST

START_TEST(a_due_timer_does_not_wait_and_a_cancelled_one_does_not_fire)
{
	struct tick k = { .count = 2 };
	struct tick dead = { .count = 1 };

	begin();
	timer_init(&k.t, on_tick);
	timer_init(&dead.t, on_tick);
	loop_timer_in(l, &k.t, 0);
	loop_timer_in(l, &dead.t, 0);
	loop_timer_cancel(l, &dead.t);
	ck_assert(loop_turn(l, true));
	ck_assert_str_eq(story, "t");
	loop_timer_cancel(l, &k.t);
	loop_free(l);
}
END_TEST

struct end {
	int fd;
	struct loop_fd *f;
	struct mono when;
	bool frees;
};

static void
on_end(void *arg, unsigned ready)
{
	struct end *e = arg;
	char c;

	e->when = loop_now(l);
	if ((ready & LOOP_READ) != 0)
		tell(read(e->fd, &c, 1) == 1 ? c : 'E');
	if ((ready & LOOP_WRITE) != 0)
		tell('w');
	if (e->frees) {
		loop_fd_free(e->f);
		e->f = NULL;
	}
}

static void
open_pair(struct end *a, int *other)
{
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	*a = (struct end){ .fd = fds[0] };
	*other = fds[1];
}

START_TEST(descriptors_tell_what_is_wanted)
{
	struct end a;
	int other;

	begin();
	open_pair(&a, &other);
	a.f = loop_fd_new(l, a.fd, 0, on_end, &a);
	ck_assert_int_eq(write(other, "xyz", 3), 3);
	loop_turn(l, false);
	ck_assert_str_eq(story, "");
	loop_fd_want(a.f, LOOP_READ);
	loop_turn(l, true);
	ck_assert_str_eq(story, "x");
	loop_turn(l, true);                     /* level-triggered */
	ck_assert_str_eq(story, "xy");
	loop_fd_want(a.f, LOOP_READ | LOOP_WRITE);
	loop_turn(l, true);
	ck_assert_str_eq(story, "xyzw");
	loop_turn(l, true);
	ck_assert_str_eq(story, "xyzww");
	loop_fd_want(a.f, LOOP_WRITE);
	ck_assert_int_eq(write(other, "q", 1), 1);
	loop_turn(l, true);
	ck_assert_str_eq(story, "xyzwww");
	loop_fd_want(a.f, LOOP_READ);
	loop_turn(l, true);
	loop_turn(l, false);
	ck_assert_str_eq(story, "xyzwwwq");
	loop_fd_want(a.f, 0);
	close(other);
	loop_turn(l, false);
	ck_assert_str_eq(story, "xyzwwwq");
	loop_fd_want(a.f, LOOP_READ);
	loop_turn(l, true);                     /* the hang-up */
	ck_assert_str_eq(story, "xyzwwwqE");
	loop_fd_free(a.f);
	loop_fd_free(NULL);
	close(a.fd);
	loop_free(l);
}
END_TEST

START_TEST(freed_in_its_own_callback_and_by_another)
{
	struct end a;
	int other;

	begin();
	for (int i = 0; i < 3; i++) {           /* the same numbers come again */
		open_pair(&a, &other);
		a.frees = true;
		a.f = loop_fd_new(l, a.fd, LOOP_READ, on_end, &a);
		ck_assert_int_eq(write(other, "x", 1), 1);
		loop_turn(l, true);
		ck_assert_ptr_null(a.f);
		ck_assert_int_eq(write(other, "x", 1), 1);
		loop_turn(l, false);
		close(a.fd);
		close(other);
	}
	ck_assert_str_eq(story, "xxx");
	loop_free(l);
}
END_TEST

static struct end twin[2];

static void
on_twin(void *arg, unsigned ready)
{
	struct end *e = &twin[arg == &twin[0]];

	tell('1');
	loop_fd_free(e->f);
	e->f = NULL;
}

START_TEST(one_may_free_another_that_is_ready)
{
	int other[2];

	begin();
	for (int i = 0; i < 2; i++) {
		open_pair(&twin[i], &other[i]);
		ck_assert_int_eq(write(other[i], "x", 1), 1);
		twin[i].f = loop_fd_new(l, twin[i].fd, LOOP_READ, on_twin, &twin[i]);
	}
	loop_turn(l, true);
	ck_assert_str_eq(story, "1");
	for (int i = 0; i < 2; i++) {
		loop_fd_free(twin[i].f);
		close(twin[i].fd);
		close(other[i]);
	}
	loop_free(l);
}
END_TEST

START_TEST(one_time_for_a_turn)
{
	enum { COUNT = 50 };
	struct end a[COUNT];
	int other[COUNT];
	struct mono before;

	begin();
	before = loop_now(l);
	for (int i = 0; i < COUNT; i++) {
		open_pair(&a[i], &other[i]);
		a[i].f = loop_fd_new(l, a[i].fd, LOOP_READ, on_end, &a[i]);
		ck_assert_int_eq(write(other[i], "x", 1), 1);
	}
	while (strlen(story) < COUNT)
		loop_turn(l, true);
	memset(story, 0, sizeof story);         /* now libevent's array is large enough for one turn */
	for (int i = 0; i < COUNT; i++)
		ck_assert_int_eq(write(other[i], "x", 1), 1);
	loop_turn(l, true);
	ck_assert_uint_eq(strlen(story), COUNT);
	for (int i = 0; i < COUNT; i++) {
		ck_assert_int_eq(a[i].when.ns, loop_now(l).ns);
		loop_fd_free(a[i].f);
		close(a[i].fd);
		close(other[i]);
	}
	ck_assert_int_gt(mono_diff(loop_now(l), before), 0);
	loop_free(l);
}
END_TEST

static void
on_signal(void *arg, int signo)
{
	tell(signo == SIGUSR1 ? 'u' : '?');
	if (++*(int *)arg == 2)
		loop_stop(l);
}

START_TEST(signals_are_callbacks)
{
	int count = 0;

	begin();
	loop_signal(l, SIGUSR1, on_signal, &count);
	raise(SIGUSR1);
	loop_turn(l, true);
	raise(SIGUSR1);
	loop_run(l);
	ck_assert_str_eq(story, "uu");
	loop_free(l);
}
END_TEST

enum { RINGS = 10000 };
static int asked;                       /* by the ringing thread; atomic */
static int heard;

static void *
ring(void *bell)
{
	for (int i = 0; i < RINGS; i++) {
		__atomic_add_fetch(&asked, 1, __ATOMIC_SEQ_CST);
		loop_bell_ring(bell);
	}
	return NULL;
}

static void
on_bell(void *arg)
{
	heard = __atomic_load_n(&asked, __ATOMIC_SEQ_CST);
	if (heard == RINGS)
		loop_stop(l);
}

START_TEST(no_ring_of_another_thread_is_lost)
{
	struct loop_bell *bell;
	pthread_t thread;

	begin();
	bell = loop_bell_new(l, on_bell, NULL);
	ck_assert_int_eq(pthread_create(&thread, NULL, ring, bell), 0);
	loop_run(l);                            /* hangs if the last ring is lost */
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_int_eq(heard, RINGS);
	loop_bell_free(bell);
	loop_bell_free(NULL);
	loop_free(l);
}
END_TEST

static void
burn(struct task *t)
{
	int64_t from = clock_cpu_ns();

	(void)t;
	while (clock_cpu_ns() - from < 6 * NS_PER_MS)
		;
}

static void
doze(struct task *t)
{
	struct mono from = clock_mono();

	(void)t;
	while (mono_diff(clock_mono(), from) < 60 * NS_PER_MS)
		usleep(10000);
}

/* The turns that took longer than ms, the bound of a bucket; 0: all. Each is in one bucket. */
static uint64_t
longer(const struct loop_times *t, int64_t ms)
{
	uint64_t sum = 0;

	for (unsigned k = 0; k < LOOP_BUCKETS; k++)
		if (ms == 0 || (k > 0 && loop_bucket_ms[k - 1] >= ms))
			sum += t->count[k];
	return sum;
}

/* Bounds far enough from what is done that a machine with other things to do does not reach them. */
START_TEST(turns_are_counted_by_what_they_took)
{
	const struct loop_stats *s;
	struct task busy, lazy;

	begin();
	s = loop_stats(l);
	task_init(&busy, burn);
	task_init(&lazy, doze);
	loop_turn(l, false);
	ck_assert_uint_eq(longer(&s->cpu, 5), 0);
	loop_defer(l, &busy);
	loop_turn(l, true);
	ck_assert_int_ge(s->cpu.longest_ns, 6 * NS_PER_MS);
	ck_assert_int_ge(s->wall.longest_ns, s->cpu.longest_ns);
	ck_assert_uint_eq(longer(&s->cpu, 5), 1);
	loop_defer(l, &lazy);
	loop_turn(l, true);
	ck_assert_uint_ge(longer(&s->wall, 50), 1);
	ck_assert_uint_eq(longer(&s->cpu, 20), 0);      /* who sleeps uses no CPU time */
	ck_assert_uint_eq(longer(&s->cpu, 0), 3);
	ck_assert_uint_eq(longer(&s->wall, 0), s->turns);
	loop_free(l);
}
END_TEST

UNIT_MAIN("loop", tasks_run_in_order_once_and_in_this_turn, next_is_in_the_next_turn,
    a_turn_that_does_not_wait_ends_though_something_is_always_ready,
    timers_end_the_wait_and_are_never_early, a_due_timer_does_not_wait_and_a_cancelled_one_does_not_fire,
    descriptors_tell_what_is_wanted, freed_in_its_own_callback_and_by_another, one_may_free_another_that_is_ready,
    one_time_for_a_turn, signals_are_callbacks, no_ring_of_another_thread_is_lost,
    turns_are_counted_by_what_they_took)
