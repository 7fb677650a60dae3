/* SPDX-License-Identifier: Apache-2.0
 * common/base/loop.h - the event loop: descriptors, timers, signals, work at the end of a turn.
 *
 * One turn: wait, fire what is ready, fire due timers, run deferred tasks until none is left, next turn. loop.c is the only user
 * of libevent; t/sim has another implementation of this header under a false clock (without descriptors).
 * Not for several threads, except loop_bell_ring(). */
#ifndef COMMON_BASE_LOOP_H
#define COMMON_BASE_LOOP_H

#include <stdbool.h>

#include "common/base/clock.h"
#include "common/base/list.h"
#include "common/base/wheel.h"

struct loop;

struct loop *loop_new(void);
void loop_free(struct loop *l);                 /* after everything made with it is freed */
void loop_run(struct loop *l);                  /* until loop_stop() */
bool loop_turn(struct loop *l, bool block);     /* one turn; false after loop_stop() */
void loop_stop(struct loop *l);
/* The time at the start of this turn (or of the callback's timer step): no system call. */
struct mono loop_now(const struct loop *l);

/* How long turns took without their wait: by the clock, and of CPU time, which a machine that is shared does not make
 * longer. Bucket k counts those of at most loop_bucket_ms[k], and more than the one before; the last all that were
 * longer. The CPU time of a turn may be up to 1 ms too much: it is read after each ms of work, not after each turn. */
#define LOOP_BUCKETS 9
extern const int64_t loop_bucket_ms[LOOP_BUCKETS - 1];
struct loop_times {
	int64_t longest_ns;
	uint64_t count[LOOP_BUCKETS];
};
struct loop_stats {
	uint64_t turns;
	struct loop_times wall, cpu;
};
const struct loop_stats *loop_stats(const struct loop *l);
/* Turns that took more CPU time than this are logged. */
#define LOOP_LONG_NS (20 * NS_PER_MS)
/* Has this turn taken half of that already, so that what can wait should wait for the next? Reads the clock, but for a turn
 * of which it is known. */
bool loop_check(struct loop *l);
/* The same for what comes last in a turn: three quarters, so that there is always time for it. */
bool loop_check_late(struct loop *l);
/* Is it known? */
bool loop_is_over(const struct loop *l);
/* While it holds, whoever takes in work from elsewhere leaves it where it is for a later turn: there is enough. */
void loop_hold_input(struct loop *l, bool holds);
bool loop_holds_input(const struct loop *l);

/* A descriptor. Level-triggered. The descriptor stays the caller's: free the loop_fd, then close it. */
enum { LOOP_READ = 1, LOOP_WRITE = 2 };
struct loop_fd;
typedef void loop_fd_fn(void *arg, unsigned ready);
/* want: LOOP_READ | LOOP_WRITE, or 0 for not yet. A hang-up is reported as what is wanted. */
struct loop_fd *loop_fd_new(struct loop *l, int fd, unsigned want, loop_fd_fn *fn, void *arg);
/* The same in one block with a struct of the caller's, for those that are many: its size bytes, cleared, which fn gets as
 * arg and which are freed with the loop_fd. loop_fd_of() leads back. */
void *loop_fd_with(struct loop *l, size_t size, int fd, unsigned want, loop_fd_fn *fn);
struct loop_fd *loop_fd_of(void *with);
void loop_fd_want(struct loop_fd *f, unsigned want);    /* the same as before: no system call */
void loop_fd_free(struct loop_fd *f);                   /* also from its own callback; NULL is allowed */

/* Timers: struct timer of wheel.h, embedded by the caller. */
void loop_timer_set(struct loop *l, struct timer *t, struct mono at);
void loop_timer_in(struct loop *l, struct timer *t, int64_t ns);        /* from loop_now() */
void loop_timer_cancel(struct loop *l, struct timer *t);

/* Work for the end of this turn, in the order deferred; a task is queued at most once (if it
 * waits for the next turn already, it stays there). A task that is deferred
 * while tasks run is run in the same turn. A task must not defer itself: for the next turn use loop_next(). */
struct task {
	struct list link;               /* unlinked: not queued */
	void (*fn)(struct task *t);
};
static inline void
task_init(struct task *t, void (*fn)(struct task *t))
{
	*t = (struct task){ .fn = fn };
}
void loop_defer(struct loop *l, struct task *t);
void loop_next(struct loop *l, struct task *t);         /* at the end of the next turn, which does not wait */
static inline void
task_cancel(struct task *t)
{
	list_del(&t->link);
}

/* Signals, delivered as callbacks of the loop. */
typedef void loop_signal_fn(void *arg, int signo);
void loop_signal(struct loop *l, int signo, loop_signal_fn *fn, void *arg);

/* An eventfd that other threads may ring: fn runs in the loop, once for any number of rings. */
struct loop_bell;
struct loop_bell *loop_bell_new(struct loop *l, void (*fn)(void *arg), void *arg);
void loop_bell_ring(struct loop_bell *b);               /* from any thread */
void loop_bell_free(struct loop_bell *b);

#endif
