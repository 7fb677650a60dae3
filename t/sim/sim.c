/* SPDX-License-Identifier: Apache-2.0 */
#include "t/sim/sim.h"

#include <string.h>

#include "common/base/err.h"
#include "common/base/mem.h"

#define LOOPS_MAX 256u
#define TIES      1024

static struct {
	struct rand rand;
	struct mono now;
	struct heap events;
	uint64_t order;
	struct loop *loops[LOOPS_MAX];
	unsigned loop_count;
} world;

void
sim_open(uint64_t seed)
{
	memset(&world, 0, sizeof world);
	rand_seed(&world.rand, seed);
	rand_process_key = (struct hash_key){ rand_u64(&world.rand), rand_u64(&world.rand) };
	sim_long_every = 0;
	world.now = mono_ms(1000000);
	heap_init(&world.events);
}

void
sim_close(void)
{
	FB_ASSERT(world.loop_count == 0);
	heap_fini(&world.events);
	sim_fd_reset();
}

/* ---- descriptors ---- */

static struct { const struct sim_fd_ops *ops; void *arg; } *fds;
static int fd_count, fd_room;

int
sim_fd_new(const struct sim_fd_ops *ops, void *arg)
{
	if (fd_count == fd_room) {
		fd_room = fd_room == 0 ? 64 : fd_room * 2;
		fds = mem_realloc(fds, (size_t)fd_room * sizeof *fds);
	}
	fds[fd_count].ops = ops;
	fds[fd_count].arg = arg;
	return SIM_FD + fd_count++;
}

void *
sim_fd_arg(int fd, const struct sim_fd_ops *ops)
{
	FB_ASSERT(fd >= SIM_FD && fd < SIM_FD + fd_count);
	return fds[fd - SIM_FD].ops == ops ? fds[fd - SIM_FD].arg : NULL;
}

unsigned
sim_fd_ready(int fd)
{
	FB_ASSERT(fd >= SIM_FD && fd < SIM_FD + fd_count && fds[fd - SIM_FD].ops != NULL);
	return fds[fd - SIM_FD].ops->ready(fds[fd - SIM_FD].arg);
}

void
sim_fd_close(int fd)
{
	const struct sim_fd_ops *ops;

	FB_ASSERT(fd >= SIM_FD && fd < SIM_FD + fd_count && fds[fd - SIM_FD].ops != NULL);
	ops = fds[fd - SIM_FD].ops;
	fds[fd - SIM_FD].ops = NULL;
	ops->close(fds[fd - SIM_FD].arg);
}

void
sim_fd_shutdown(int fd)
{
	FB_ASSERT(fd >= SIM_FD && fd < SIM_FD + fd_count && fds[fd - SIM_FD].ops != NULL);
	if (fds[fd - SIM_FD].ops->shutdown != NULL)
		fds[fd - SIM_FD].ops->shutdown(fds[fd - SIM_FD].arg);
}

void
sim_fd_reset(void)
{
	mem_free(fds);
	fds = NULL;
	fd_count = fd_room = 0;
}

struct mono
sim_now(void)
{
	return world.now;
}

/* clock.h: here, so that every program of the simulation takes these and not those of common/base. */

struct mono
clock_mono(void)
{
	return world.now;
}

struct wall
clock_wall(void)
{
	return (struct wall){ INT64_C(1700000000) * NS_PER_SEC + world.now.ns };
}

uint64_t
sim_below(uint64_t n)
{
	return rand_below(&world.rand, n);
}

int64_t
sim_between(int64_t min_ns, int64_t max_ns)
{
	return min_ns + (int64_t)sim_below((uint64_t)(max_ns - min_ns) + 1);
}

bool
sim_one_in(uint64_t n)
{
	return n != 0 && sim_below(n) == 0;
}

void
sim_event_init(struct sim_event *e, void (*fn)(struct sim_event *e))
{
	*e = (struct sim_event){ .fn = fn, .node.index = SIZE_MAX };
}

bool
sim_event_is_set(const struct sim_event *e)
{
	return e->node.index != SIZE_MAX;
}

void
sim_event_cancel(struct sim_event *e)
{
	if (sim_event_is_set(e))
		heap_del(&world.events, &e->node);
}

/* The key is the time in ns times TIES plus what orders equal times, as far as it goes. */
void
sim_event_in(struct sim_event *e, int64_t ns)
{
	sim_event_cancel(e);
	e->order = world.order++;
	heap_put(&world.events, &e->node, (world.now.ns + ns) * TIES + (int64_t)(e->order % TIES));
}

void
sim_loop_put(struct loop *l)
{
	FB_ASSERT(world.loop_count < LOOPS_MAX);
	world.loops[world.loop_count++] = l;
}

void
sim_loop_del(struct loop *l)
{
	for (unsigned i = 0; i < world.loop_count; i++) {
		if (world.loops[i] != l)
			continue;
		world.loop_count--;
		memmove(world.loops + i, world.loops + i + 1, (world.loop_count - i) * sizeof world.loops[0]);
		return;
	}
	FB_ASSERT(l == NULL);           /* it is unknown */
}

static bool
event_due(void)
{
	struct heap_node *n = heap_first(&world.events);
	struct sim_event *e;

	if (n == NULL || n->key / TIES > world.now.ns)
		return false;
	e = container_of(n, struct sim_event, node);
	heap_del(&world.events, n);
	e->fn(e);
	return true;
}

static bool
loop_due(void)
{
	struct loop *ready[LOOPS_MAX];
	unsigned count = 0;

	for (unsigned i = 0; i < world.loop_count; i++)
		if (sim_loop_ready(world.loops[i]))
			ready[count++] = world.loops[i];
	if (count == 0)
		return false;
	(void)loop_turn(ready[sim_below(count)], false);
	world.now = mono_add(world.now, sim_between(NS_PER_US, 30 * NS_PER_US));
	return true;
}

/* The time of what comes next. */
static bool
next_time(struct mono *at)
{
	struct heap_node *n = heap_first(&world.events);
	bool any = n != NULL;

	if (any)
		at->ns = n->key / TIES;
	for (unsigned i = 0; i < world.loop_count; i++) {
		struct mono t;

		if (!sim_loop_next(world.loops[i], &t))
			continue;
		if (!any || t.ns < at->ns)
			*at = t;
		any = true;
	}
	return any;
}

bool
sim_step(void)
{
	struct mono at = { 0 };

	if (event_due() || loop_due())
		return true;
	if (!next_time(&at))
		return false;
	if (at.ns > world.now.ns)
		world.now = at;
	return true;
}

void
sim_run_for(int64_t ns)
{
	int64_t end = world.now.ns + ns;
	struct mono at;

	while (world.now.ns < end) {
		if (event_due() || loop_due())
			continue;
		if (!next_time(&at) || at.ns > end) {
			world.now.ns = end;
			return;
		}
		if (at.ns > world.now.ns)
			world.now = at;
	}
}
