/* SPDX-License-Identifier: Apache-2.0
 *
 * What counts is mem_used(), which is right at any moment; a look at the process' true size (four times a second) says
 * how much to add for what is not counted there: libraries, and the holes of the heap. The holes after a burst are no
 * loss, since what comes next goes there; hence the least of the last looks, and malloc_trim() when much is free. */
#include "worker/budget.h"

#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/metrics/page.h"
#include "worker/backlog.h"
#include "worker/conn.h"
#include "worker/deliver.h"
#include "worker/flow.h"
#include "worker/publish.h"
#include "worker/worker.h"

#define VISITS      256u                /* of sessions, in a turn */
#define CUTS        2000u               /* of messages, in a turn */
#define CUT_MIN     1024u               /* bytes: a queue of so much is left alone */
#define MIB         20

static const int percent[BUDGET_LEVELS] = { 0, 55, 75, 90 };
enum { PERCENT_ENOUGH = 65 };
static const char *const names[BUDGET_LEVELS] = { "free", "tight", "short", "out" };

static void
set_levels(struct budget *b)
{
	for (int i = 0; i < BUDGET_LEVELS; i++)
		b->at[i] = b->limit == 0 ? INT64_MAX : b->limit / 100 * percent[i] - b->overhead;
	b->enough = b->limit == 0 ? INT64_MAX : b->limit / 100 * PERCENT_ENOUGH - b->overhead;
}

/* Private memory of this process; 0: unknown. */
static int64_t
look(const struct budget *b)
{
	long long resident, shared;
	char text[128];
	ssize_t n = b->fd < 0 ? -1 : pread(b->fd, text, sizeof text - 1, 0);

	if (n <= 0)
		return 0;
	text[n] = '\0';
	if (sscanf(text, "%*u %lld %lld", &resident, &shared) != 2)
		return 0;
	return (int64_t)(resident - shared) * sysconf(_SC_PAGESIZE);
}

static void
measure(struct budget *b)
{
	int64_t all = look(b);
	int64_t over = all > mem_used() ? all - mem_used() : 0;

	b->look[b->looks++ % BUDGET_LOOKS] = over;
	b->overhead = over;
	for (unsigned i = 0; i < BUDGET_LOOKS && i < b->looks; i++)
		if (b->look[i] < b->overhead)
			b->overhead = b->look[i];
	/* For as long as the looks go back: freed and not taken again. It takes its time, so only when it matters. */
	if (b->looks % BUDGET_LOOKS == 0 && b->overhead > b->limit / 4 && all > b->limit / 2)
		malloc_trim(0);
}

static enum budget_level
level_of(const struct worker *w)
{
	enum budget_level l = BUDGET_OUT;

	while (l > BUDGET_FREE && !budget_is(w, l))
		l--;
	return l;
}

static void
say(struct worker *w)
{
	struct budget *b = &w->budget;
	enum budget_level now = level_of(w);

	if ((now >= BUDGET_SHORT) != (b->level >= BUDGET_SHORT) || now == BUDGET_OUT) {
		if (now >= BUDGET_SHORT && now != b->level)
			log_warn("budget", "memory is nearly used up", "level=%s used_mb=%" PRId64 " share_mb=%" PRId64, names[now],
			    (mem_used() + b->overhead) >> MIB, b->limit >> MIB);
		else if (now < BUDGET_SHORT)
			log_notice("budget", "there is memory again", "used_mb=%" PRId64 " share_mb=%" PRId64 " dropped=%" PRIu64,
			    (mem_used() + b->overhead) >> MIB, b->limit >> MIB, METRIC_GET(dropped_memory));
	}
	b->level = now;
}

static void
go_on(struct conn *c, void *arg)
{
	(void)arg;
	publish_go_on(c);
}

static void
release(struct worker *w)
{
	if (!w->budget.holds || budget_holds(w))
		return;
	w->budget.holds = false;
	conn_each(w, go_on, NULL);
}

bool
budget_hold(struct worker *w)
{
	struct budget *b = &w->budget;

	if (b->futile)
		return false;
	if (!b->holds)
		METRIC_ADD(memory_holds, 1);
	b->holds = true;
	loop_next(w->loop, &b->cut);
	return true;
}

/* A pass over all sessions is over: the next cuts to half the size, until there is enough, or nothing left to cut. What
 * cannot be cut is on its way to the disk: the next tick looks again. true: go on. */
static bool
next_pass(struct budget *b)
{
	bool idle = b->cut_to > 0 && b->cut_count == 0;

	b->cut_at = (struct hmap_iter){ 0 };
	if (b->cut_largest <= CUT_MIN && b->cut_to <= CUT_MIN)
		b->futile = true;
	b->cut_to = b->cut_largest / 2 > CUT_MIN ? b->cut_largest / 2 : CUT_MIN;
	b->cut_largest = 0;
	b->cut_count = 0;
	return !idle && !b->futile;
}

/* How many messages are gone from its queue: what is on the disk as well stays there. */
static unsigned
cut_session(struct worker *w, struct session *s, unsigned most)
{
	struct budget *b = &w->budget;
	struct flow *f = s->flow;
	unsigned n = 0;

	if (f == NULL || s->move != NULL)
		return 0;
	if (b->cut_to > 0 && f->queue_bytes > b->cut_to) {
		n = flow_queued(f);
		if (backlog_take_queue(w, s))
			return n;
		for (n = 0; n < most && flow_queued(f) > 1 && f->queue_bytes > b->cut_to && deliver_cut(w, s);)
			n++;
		flow_fit(f);
	}
	if (flow_queued(f) > 1 && f->queue_bytes > b->cut_largest)
		b->cut_largest = f->queue_bytes;
	return n;
}

/* false: no more in this turn, nor in the next. The iterator keeps no node from turn to turn: it might be gone. */
static bool
cut_some(struct worker *w)
{
	struct budget *b = &w->budget;
	unsigned cuts = 0;
	struct hmap_node *n;

	for (unsigned i = 0; (i < VISITS || b->cut_at.next != NULL) && cuts < CUTS; i++) {
		n = hmap_each(&w->sessions.map, &b->cut_at);
		if (n == NULL)
			return next_pass(b);
		cuts += cut_session(w, container_of(n, struct session, node), CUTS - cuts);
		b->cut_count += cuts;
	}
	b->cut_at.next = NULL;
	return true;
}

static void
on_cut(struct task *t)
{
	struct worker *w = container_of(t, struct worker, budget.cut);
	struct budget *b = &w->budget;

	mem_slab_trim();
	if (mem_used() < b->enough) {
		b->cut_to = b->cut_largest = 0;
		b->cut_at = (struct hmap_iter){ 0 };
		release(w);
	} else if (cut_some(w)) {
		loop_next(w->loop, t);
	} else if (b->futile) {
		release(w);
	}
}

void
budget_set(struct worker *w, uint64_t bytes)
{
	struct budget *b = &w->budget;

	b->limit = bytes > INT64_MAX / 100 ? INT64_MAX / 100 : (int64_t)bytes;
	METRIC_SET(memory_budget, b->limit);
	if (b->looks == 0)
		measure(b);
	set_levels(b);
}

void
budget_tick(struct worker *w)
{
	struct budget *b = &w->budget;

	if (b->limit > 0)
		measure(b);
	set_levels(b);
	METRIC_SET(memory_used, mem_used() + b->overhead);
	say(w);
	if (b->level < BUDGET_SHORT)
		b->futile = false;
	else if (!b->futile)
		loop_next(w->loop, &b->cut);
	release(w);
}

void
budget_init(struct worker *w)
{
	struct budget *b = &w->budget;

	b->fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	task_init(&b->cut, on_cut);
	set_levels(b);
}

void
budget_fini(struct worker *w)
{
	task_cancel(&w->budget.cut);
	if (w->budget.fd >= 0)
		close(w->budget.fd);
}
