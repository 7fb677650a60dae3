/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/statlog.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "common/admin/row.h"
#include "common/base/utf8.h"
#include "supervisor/admin.h"
#include "supervisor/stats.h"

#define ACCOUNT_BYTES 1024
#define LINE_BYTES 4096         /* 64 workers' values fit */

struct line {
	struct node *node;
	char text[LINE_BYTES];
	size_t len;
};

static void
put_stamp(char out[32])
{
	struct wall now = clock_wall();
	time_t s = (time_t)(now.ns / NS_PER_SEC);
	struct tm tm;
	size_t n;

	gmtime_r(&s, &tm);
	n = strftime(out, 32, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out + n, 32 - n, ".%03dZ", (int)(now.ns % NS_PER_SEC / NS_PER_MS));
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

	l->len = (size_t)snprintf(l->text, sizeof l->text, "%s %s", l->node->statlog.stamp, row->name);
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

/* An account's name comes last: it may hold spaces. */
static void
on_account(void *arg, struct slice fields)
{
	struct node *n = arg;
	struct slice account = { 0 };
	struct row_field f;
	char name[ACCOUNT_BYTES];
	char text[LINE_BYTES];
	int64_t clients = 0;
	int len;

	while (row_next(&fields, &f) == 0) {
		if (f.type == ROW_TEXT && slice_eq(f.name, SLICE_LIT("account")))
			account = f.text;
		else if (f.type == ROW_NUMBER)
			clients = f.number;
	}
	len = snprintf(text, sizeof text, "%s account_clients total=%" PRId64 " account=%s\n", n->statlog.stamp, clients,
	    utf8_show(account, name, sizeof name));
	(void)logs_stat(&n->logs, text, (size_t)len);
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
	char most[24];

	n->statlog.last = loop_now(n->loop);
	arm(n);
	if (n->logs.stat.path == NULL)
		return;
	put_stamp(n->statlog.stamp);
	stats_each(n, on_row, &l);
	if (n->reload.running.stat_accounts > 0 && n->gates_open) {
		snprintf(most, sizeof most, "%" PRId64, n->reload.running.stat_accounts);
		admin_ask(n->admin, ADMIN_account_clients, most, on_account, n);
	}
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
