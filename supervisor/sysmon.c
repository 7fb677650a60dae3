/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/sysmon.h"

#include <inttypes.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/ipc/codec.h"
#include "supervisor/memory.h"
#include "supervisor/proctab.h"

#define MIB 20

double
sysmon_load(uint64_t used_bytes, uint64_t limit_bytes)
{
	return limit_bytes == 0 ? 0 : (double)used_bytes / (double)limit_bytes;
}

void
sysmon_tell(const struct node *n, struct proc *w)
{
	CHAN_SEND(w->chan, LOAD, load, .overloaded = n->sysmon.overloaded);
}

static void
changed(struct node *n)
{
	const struct sysmon *s = &n->sysmon;

	if (s->overloaded)
		log_warn("sysmon", "overloaded", "load=%.2f used_mb=%" PRIu64 " limit_mb=%" PRIu64 " when_overloaded=%s", s->load,
		    s->used_bytes >> MIB, s->limit_bytes >> MIB, n->reload.running.when_overloaded);
	else
		log_notice("sysmon", "not overloaded any more", "load=%.2f used_mb=%" PRIu64 " limit_mb=%" PRIu64, s->load,
		    s->used_bytes >> MIB, s->limit_bytes >> MIB);
	EACH_WORKER(w, n)
		if (proc_alive(w))
			sysmon_tell(n, w);
}

void
sysmon_measure(struct node *n)
{
	struct sysmon *s = &n->sysmon;

	s->used_bytes = memory_of("", getpid());
	EACH_PROC(p, n)
		if (p->pid > 0)
			s->used_bytes += memory_of("", p->pid);
	if (s->used_bytes > s->most_bytes)
		s->most_bytes = s->used_bytes;
}

void
sysmon_look(struct node *n)
{
	struct sysmon *s = &n->sysmon;
	bool overloaded;

	sysmon_measure(n);
	s->limit_bytes = (uint64_t)((double)memory_limit("") * n->reload.running.high_watermark);
	if (n->reload.running.memory_limit > 0 && (uint64_t)n->reload.running.memory_limit / 10 * 9 < s->limit_bytes)
		s->limit_bytes = (uint64_t)n->reload.running.memory_limit / 10 * 9;
	s->load = sysmon_load(s->used_bytes, s->limit_bytes);
	overloaded = s->load >= 1;
	if (overloaded != s->overloaded) {
		s->overloaded = overloaded;
		changed(n);
	}
	loop_timer_in(n->loop, &s->timer, n->reload.running.sysmon_interval * NS_PER_SEC);
}

static void
on_timer(struct timer *t)
{
	sysmon_look(container_of(t, struct node, sysmon.timer));
}

void
sysmon_start(struct node *n)
{
	timer_init(&n->sysmon.timer, on_timer);
	sysmon_look(n);
}

void
sysmon_stop(struct node *n)
{
	loop_timer_cancel(n->loop, &n->sysmon.timer);
}
