/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/watch.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/ipc/codec.h"

#define TICK_NS    (250 * NS_PER_MS)
#define LATE_NS    (1 * NS_PER_SEC)     /* a tick this late: the whole machine or we were stopped, blame nobody */
#define LEND_NS    (1 * NS_PER_SEC)
#define END_NS     (2 * NS_PER_SEC)     /* between the end of a channel and that of its process */
#define SAMPLE_NS  (5 * NS_PER_SEC)
#define START_PATIENCE 10               /* a child that is not ready may be silent for so many times longer */

/* --- silence ----------------------------------------------------------------------------------------------------- */

/* A line "name:\tnumber" of /proc/PID/status. */
static long
status_number(pid_t pid, const char *name)
{
	char path[48];
	char line[256];
	size_t len = strlen(name);
	long value = 0;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	if (f == NULL)
		return 0;
	while (fgets(line, sizeof line, f) != NULL)
		if (strncmp(line, name, len) == 0 && line[len] == ':')
			value = strtol(line + len + 1, NULL, 10);
	fclose(f);
	return value;
}

/* A debugger holds it, or the kernel is writing its core. */
static bool
is_excused(pid_t pid)
{
	return status_number(pid, "TracerPid") != 0 || status_number(pid, "CoreDumping") != 0;
}

static void
check_silence(struct proc *p, struct mono now, bool late)
{
	int64_t limit = p->node->reload.running.silence * NS_PER_SEC * (p->state == PROC_READY ? 1 : START_PATIENCE);
	uint64_t beat = p->page->value[METRIC_heartbeat_ns];

	if (beat != p->beat || late) {
		p->beat = beat;
		p->seen = now;
		return;
	}
	if (mono_diff(now, p->seen) <= limit)
		return;
	if (is_excused(p->pid)) {
		p->seen = now;
		return;
	}
	log_error("watch", "process is silent, killed", "process=%s slot=%u pid=%d silent_ms=%lld", p->name, p->slot, (int)p->pid,
	    (long long)(mono_diff(now, p->seen) / NS_PER_MS));
	p->silenced = true;
	(void)kill(p->pid, SIGKILL);
	p->seen = now;                          /* once is enough for a while */
}

/* One of the two ends of a child has come, the other not: a bug of the child, or a descriptor that it passed on. */
static void
check_half_dead(struct proc *p, struct mono now)
{
	if (mono_diff(now, p->ended) <= END_NS)
		return;
	p->ended = now;
	if (p->reaped) {
		log_warn("watch", "channel outlives its process", "process=%s slot=%u", p->name, p->slot);
		proctab_end_channel(p);
		return;
	}
	log_error("watch", "process outlives its channel, killed", "process=%s slot=%u pid=%d", p->name, p->slot, (int)p->pid);
	(void)kill(p->pid, SIGKILL);
}

/* --- sockets of slots that are down ------------------------------------------------------------------------------ */

void
watch_take_back(struct proc *w)
{
	struct proc *o;

	if (w->lent_to < 0)
		return;
	o = &w->node->worker[w->lent_to];
	w->lent_to = -1;
	if (proc_alive(o))
		CHAN_SEND(o->chan, LISTENER_DROP, slot, .slot = (uint16_t)w->slot);
	log_info("watch", "listener given back", "slot=%u by=%u", w->slot, o->slot);
}

static void
lend(struct proc *w)
{
	struct node *n = w->node;

	for (unsigned i = 1; i < n->workers; i++) {
		struct proc *o = &n->worker[(w->slot + i) % n->workers];

		if (!proc_alive(o) || !o->open)
			continue;
		listeners_send(&n->listeners, w->slot, o->chan);
		w->lent_to = (int)o->slot;
		log_notice("watch", "listener lent", "slot=%u to=%u", w->slot, o->slot);
		return;
	}
}

/* --- load -------------------------------------------------------------------------------------------------------- */

bool
watch_cpu(pid_t pid, uint64_t *ticks)
{
	char path[48];
	char text[1024];
	const char *p;
	uint64_t user, sys;
	size_t len;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (f == NULL)
		return false;
	len = fread(text, 1, sizeof text - 1, f);
	fclose(f);
	text[len] = '\0';
	p = strrchr(text, ')');                 /* the name before it may hold anything */
	if (p == NULL ||
	    sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64, &user, &sys) != 2)
		return false;
	*ticks = user + sys;
	return true;
}

static void
sample(struct node *n, struct mono now)
{
	double seconds = (double)mono_diff(now, n->last_sample) / (double)NS_PER_SEC;
	double per_second = (double)sysconf(_SC_CLK_TCK);
	uint64_t ticks;

	n->last_sample = now;
	EACH_PROC(p, n) {
		if (!proc_alive(p) || !watch_cpu(p->pid, &ticks))
			continue;
		p->load = ticks >= p->cpu_ticks ? (double)(ticks - p->cpu_ticks) / per_second / seconds : 0;
		p->cpu_ticks = ticks;
	}
}

/* --- the tick ---------------------------------------------------------------------------------------------------- */

static void
check_stop(struct node *n, struct mono now)
{
	EACH_PROC(p, n) {
		struct mono by = p->role == IPC_WORKER ? n->stop_workers_by : n->stop_by;

		if (p->pid <= 0 || p->reaped || mono_diff(now, by) < 0)
			continue;
		log_warn("watch", "did not stop in time, killed", "process=%s slot=%u pid=%d", p->name, p->slot, (int)p->pid);
		(void)kill(p->pid, SIGKILL);
	}
}

static void
on_tick(struct timer *t)
{
	struct node *n = container_of(t, struct node, tick);
	struct mono now = loop_now(n->loop);
	bool late = mono_diff(now, n->last_tick) > LATE_NS;

	n->last_tick = now;
	EACH_PROC(p, n) {
		if (p->chan == NULL)
			continue;
		if (p->reaped || p->closed)
			check_half_dead(p, now);
		else
			check_silence(p, now, late);
	}
	if (n->state == NODE_STOPPING || n->paused)
		check_stop(n, now);
	else if (n->gates_open)
		EACH_WORKER(w, n)
			if (!w->open && w->lent_to < 0 && mono_diff(now, w->down) >= LEND_NS)
				lend(w);
	systree_tick(n);
	if (mono_diff(now, n->last_sample) >= SAMPLE_NS)
		sample(n, now);
	service_tick(n, now);
	loop_timer_in(n->loop, &n->tick, TICK_NS);
}

void
watch_start(struct node *n)
{
	n->last_tick = n->last_sample = loop_now(n->loop);
	timer_init(&n->tick, on_tick);
	loop_timer_in(n->loop, &n->tick, TICK_NS);
}
