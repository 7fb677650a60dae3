/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/statlog.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "supervisor/logs.h"
#include "supervisor/proctab.h"
#include "supervisor/stats.h"

#define LINE_BYTES 4096         /* 64 workers' values fit */

struct line {
	struct node *node;
	char stamp[32];
	char text[LINE_BYTES];
	size_t len;
};

static void
put_stamp(struct line *l)
{
	struct wall now = clock_wall();
	time_t s = (time_t)(now.ns / NS_PER_SEC);
	struct tm tm;
	size_t n;

	gmtime_r(&s, &tm);
	n = strftime(l->stamp, sizeof l->stamp, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(l->stamp + n, sizeof l->stamp - n, ".%03dZ", (int)(now.ns % NS_PER_SEC / NS_PER_MS));
}

static void
put_value(struct line *l, const char *name, uint64_t value)
{
	if (l->len < sizeof l->text)
		l->len += (size_t)snprintf(l->text + l->len, sizeof l->text - l->len, " %s=%" PRIu64, name, value);
}

static void
put_line(struct line *l)
{
	if (l->len > sizeof l->text - 1)
		l->len = sizeof l->text - 1;
	l->text[l->len++] = '\n';
	(void)logs_stat(&l->node->logs, l->text, l->len);
}

static void
on_row(void *arg, const struct stats_row *row)
{
	struct line *l = arg;
	char name[32];

	l->len = (size_t)snprintf(l->text, sizeof l->text, "%s %s", l->stamp, row->name);
	put_value(l, "total", row->total);
	if (row->of_supervisor)
		put_value(l, "supervisor", row->supervisor);
	EACH_PROC(p, l->node) {
		if (p->role == IPC_STORE ? !row->of_store : !row->of_workers)
			continue;
		stats_name(p, name, sizeof name);
		put_value(l, name, row->value[p == &l->node->store ? 0 : p->slot + 1]);
	}
	put_line(l);
}

static void
arm(struct node *n)
{
	struct statlog *s = &n->statlog;
	int64_t interval = n->reload.running.stat_interval * NS_PER_SEC;

	if (interval > 0)
		loop_timer_set(n->loop, &s->timer, mono_add(s->last, interval));
	else
		loop_timer_cancel(n->loop, &s->timer);
}

static void
on_timer(struct timer *t)
{
	struct node *n = container_of(t, struct node, statlog.timer);
	struct line l = { .node = n };

	n->statlog.last = loop_now(n->loop);
	arm(n);
	if (n->logs.stat.path == NULL)
		return;
	put_stamp(&l);
	stats_each(n, on_row, &l);
}

void
statlog_start(struct node *n)
{
	timer_init(&n->statlog.timer, on_timer);
	n->statlog.last = loop_now(n->loop);
	arm(n);
}

void
statlog_stop(struct node *n)
{
	loop_timer_cancel(n->loop, &n->statlog.timer);
}

void
statlog_settings(struct node *n)
{
	arm(n);
}
