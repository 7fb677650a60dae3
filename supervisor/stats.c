/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/stats.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/err.h"
#include "config.h"
#include "supervisor/admin.h"
#include "supervisor/memory.h"
#include "supervisor/watch.h"

#define DAY_S (24 * 3600)

static uint64_t
value_of(const struct proc *p, enum metric m)
{
	return p->page != NULL ? p->page->value[m] : 0;
}

/* Is it for the sum the greatest that counts? */
static bool
is_peak(enum metric m)
{
	return m == METRIC_heartbeat_ns || m == METRIC_turn_max_us || m == METRIC_turn_cpu_max_us;
}

uint64_t
stats_total(struct node *n, enum metric m)
{
	uint64_t sum = n->ended[m];

	EACH_PROC(p, n) {
		uint64_t v = value_of(p, m);

		if (!is_peak(m))
			sum += v;
		else if (v > sum)
			sum = v;
	}
	return sum;
}

static int64_t
messages_in(const struct proc *p)
{
	return (int64_t)(value_of(p, METRIC_publish_in_qos0) + value_of(p, METRIC_publish_in_qos1) +
	    value_of(p, METRIC_publish_in_qos2));
}

static int64_t
messages_out(const struct proc *p)
{
	return (int64_t)(value_of(p, METRIC_publish_out_qos0) + value_of(p, METRIC_publish_out_qos1) +
	    value_of(p, METRIC_publish_out_qos2));
}

struct usage {
	double cpu_s, cpu;              /* cpu: CPUs in use */
	uint64_t memory_kb;
};

static struct usage
usage_of(pid_t pid, double cpu)
{
	struct usage u = { .cpu = cpu };
	uint64_t ticks;

	if (pid > 0 && watch_cpu(pid, &ticks)) {
		u.cpu_s = (double)ticks / (double)sysconf(_SC_CLK_TCK);
		u.memory_kb = memory_of("", pid) >> 10;
	}
	return u;
}

static void
put_process(struct admin_call *c, const char *role, const struct proc *p, pid_t pid, const struct usage *u)
{
	struct mono now = loop_now(c->node->loop);
	struct buf *b = admin_row(c);
	char name[32];

	if (p != NULL && p->role == IPC_WORKER)
		snprintf(name, sizeof name, "worker %u", p->slot);
	else
		snprintf(name, sizeof name, "%s", role);
	row_put_str(b, "_table", "processes");
	row_put_str(b, "name", name);
	row_put_str(b, "role", role);
	row_put_number(b, "slot", p == NULL ? 0 : p->slot);
	row_put_number(b, "pid", pid);
	row_put_str(b, "state", p == NULL ? "ready" : proc_state_text(p));
	row_put_time(b, "since", (p == NULL ? c->node->since : p->since).ns / NS_PER_SEC);
	row_put_number(b, "restarts", p == NULL ? 0 : p->restarts);
	if (p != NULL && p->page != NULL && p->beat != 0)
		row_put_number(b, "heartbeat_ms", (now.ns - (int64_t)value_of(p, METRIC_heartbeat_ns)) / NS_PER_MS);
	row_put_number(b, "memory_kb", (int64_t)u->memory_kb);
	row_put_real(b, "cpu_s", u->cpu_s);
	row_put_real(b, "cpu", u->cpu);
	if (p != NULL && p->role == IPC_WORKER) {
		row_put_number(b, "connections", (int64_t)value_of(p, METRIC_connections));
		row_put_number(b, "clients", (int64_t)value_of(p, METRIC_clients));
		row_put_number(b, "messages_in", messages_in(p));
		row_put_number(b, "messages_out", messages_out(p));
	}
	admin_row_end(c);
}

/* Of all addresses of a listener together. */
static uint64_t
connections_of(const struct node *n, unsigned listener)
{
	uint64_t sum = 0;

	for (unsigned k = 0; k < n->workers; k++)
		if (n->worker[k].page != NULL)
			sum += n->worker[k].page->listener_connections[listener];
	return sum;
}

/* Whole days, rounded down; below 0: it has expired. */
static int64_t
days_left(uint64_t expires_s)
{
	int64_t left = (int64_t)expires_s - clock_wall().ns / NS_PER_SEC;

	return (left >= 0 ? left : left - DAY_S + 1) / DAY_S;
}

static void
put_listeners(struct admin_call *c)
{
	struct node *n = c->node;
	uint64_t expires;

	for (unsigned i = 0; i < n->listeners.rows; i++) {
		const struct listener_row *row = &n->listeners.row[i];
		struct buf *b = admin_row(c);

		row_put_str(b, "_table", "listeners");
		row_put_str(b, "listener", row->name);
		row_put_number(b, "port", n->listeners.port[row->listener]);
		row_put_number(b, "acceptors", n->workers);
		row_put_number(b, "connections", (int64_t)connections_of(n, row->listener));
		expires = certs_expires(n, row->listener);
		if (expires != 0)
			row_put_number(b, "certificate_days", days_left(expires));
		admin_row_end(c);
	}
}

static const char *
node_state_text(const struct node *n)
{
	switch (n->state) {
	case NODE_STARTING:
		return "starting";
	case NODE_RUNNING:
		return "running";
	case NODE_STOPPING:
		return "stopping";
	}
	return "?";
}

static double
tenths_of_mb(uint64_t bytes)
{
	return (double)(bytes * 10 >> 20) / 10;
}

/* A node alone is the one with the smallest load. */
static void
put_load(struct buf *b, const struct node *n)
{
	const struct sysmon *s = &n->sysmon;
	const char *target = config_alternate(&n->reload.running);

	row_put_real(b, "memory_mb", tenths_of_mb(s->used_bytes));
	row_put_real(b, "memory_limit_mb", tenths_of_mb(s->limit_bytes));
	row_put_real(b, "load", s->load);
	row_put_bool(b, "overloaded", s->overloaded);
	row_put_real(b, "min_load", s->load);
	row_put_str(b, "min_load_node", n->reload.running.node);
	row_put_str(b, "alternate", target != NULL ? target : "");
}

/* What keeps durable writes waiting, if anything does. */
static const char *
disk_text(const struct node *n)
{
	if (n->store.state != PROC_READY)
		return "down";
	if (value_of(&n->store, METRIC_disk_full) != 0)
		return "full";
	return value_of(&n->store, METRIC_disk_slow) != 0 ? "slow" : "ok";
}

static void
put_node(struct admin_call *c, const struct usage *all)
{
	static const struct { const char *name; enum metric metric; } totals[] = {
		{ "connections", METRIC_connections },
		{ "clients", METRIC_clients },
		{ "sessions", METRIC_sessions },
		{ "sessions_durable", METRIC_sessions_durable },
		{ "subscriptions", METRIC_subscriptions },
		{ "retained", METRIC_retained },
		{ "routes", METRIC_routes },
		{ "queued", METRIC_queued },
		{ "queued_bytes", METRIC_queued_bytes },
	};
	struct node *n = c->node;
	char waiting[CONFIG_ERROR_MAX];
	struct buf *b = admin_row(c);
	int64_t in = 0, out = 0;

	EACH_WORKER(w, n) {
		in += messages_in(w);
		out += messages_out(w);
	}
	for (enum metric m = METRIC_publish_in_qos0; m <= METRIC_publish_in_qos2; m++)
		in += (int64_t)n->ended[m];
	for (enum metric m = METRIC_publish_out_qos0; m <= METRIC_publish_out_qos2; m++)
		out += (int64_t)n->ended[m];
	row_put_str(b, "node", n->reload.running.node);
	row_put_str(b, "description", "MQTT broker");
	row_put_str(b, "version", PACKAGE_VERSION);
	row_put_str(b, "state", node_state_text(n));
	row_put_number(b, "pid", getpid());
	row_put_time(b, "since", n->since.ns / NS_PER_SEC);
	row_put_number(b, "uptime_s", mono_diff(loop_now(n->loop), n->started) / NS_PER_SEC);
	row_put_str(b, "config", n->options.file != NULL ? n->options.file : "");
	row_put_str(b, "data_dir", n->paths.data_dir);
	row_put_str(b, "run_dir", n->paths.run_dir);
	row_put_str(b, "needs_restart", reload_waiting(&n->reload, waiting, sizeof waiting));
	row_put_number(b, "workers", n->workers);
	for (size_t i = 0; i < sizeof totals / sizeof totals[0]; i++)
		row_put_number(b, totals[i].name, (int64_t)stats_total(n, totals[i].metric));
	row_put_number(b, "messages_in", in);
	row_put_number(b, "messages_out", out);
	row_put_number(b, "memory_kb", (int64_t)all->memory_kb);
	row_put_real(b, "cpu_s", all->cpu_s);
	row_put_real(b, "cpu", all->cpu);
	put_load(b, n);
	row_put_str(b, "disk", disk_text(n));
	row_put_number(b, "flush_ms", (int64_t)(value_of(&n->store, METRIC_flush_us) / 1000));
	row_put_number(b, "acks_waiting", (int64_t)stats_total(n, METRIC_acks_waiting));
	admin_row_end(c);
}

/* Every node that is known: this one. */
static void
put_nodes(struct admin_call *c)
{
	const struct node *n = c->node;
	struct buf *b = admin_row(c);

	row_put_str(b, "_table", "nodes");
	row_put_str(b, "node", n->reload.running.node);
	row_put_str(b, "state", node_state_text(n));
	row_put_real(b, "load", n->sysmon.load);
	row_put_bool(b, "overloaded", n->sysmon.overloaded);
	row_put_bool(b, "this", true);
	admin_row_end(c);
}

void
stats_state(struct admin_call *c)
{
	struct node *n = c->node;
	struct usage u[LISTENERS_WORKERS + 1];
	struct usage own = usage_of(getpid(), 0);
	struct usage all = own;

	sysmon_look(n);
	EACH_PROC(p, n) {
		struct usage *one = &u[p == &n->store ? 0 : p->slot + 1];

		*one = usage_of(p->pid, p->load);
		all.cpu_s += one->cpu_s;
		all.cpu += one->cpu;
		all.memory_kb += one->memory_kb;
	}
	put_node(c, &all);
	put_process(c, "supervisor", NULL, getpid(), &own);
	EACH_PROC(p, n)
		put_process(c, p->name, p, p->pid, &u[p == &n->store ? 0 : p->slot + 1]);
	put_listeners(c);
	put_nodes(c);
}

/* --- every counter ----------------------------------------------------------------------------------------------- */

void
stats_name(const struct proc *p, char *out, size_t size)
{
	if (p->role == IPC_STORE)
		snprintf(out, size, "store");
	else
		snprintf(out, size, "worker_%u", p->slot);
}

static void
metric_row(struct node *n, enum metric m, struct stats_row *row)
{
	const struct metric_info *i = metric_info(m);

	*row = (struct stats_row){ .name = i->name, .kind = i->kind[0] == 'C' ? "counter" : "gauge", .unit = i->unit,
	    .total = stats_total(n, m), .of_workers = strcmp(i->role, "STORE") != 0,
	    .of_store = strcmp(i->role, "WORKER") != 0 };
	EACH_PROC(p, n)
		row->value[p == &n->store ? 0 : p->slot + 1] = value_of(p, m);
}

/* What no process counts itself. */
static void
memory_row(struct node *n, struct stats_row *row)
{
	*row = (struct stats_row){ .name = "memory_kb", .kind = "gauge", .unit = "KIB", .of_workers = true, .of_store = true,
	    .of_supervisor = true };
	row->supervisor = row->total = memory_of("", getpid()) >> 10;
	EACH_PROC(p, n) {
		uint64_t kb = p->pid > 0 ? memory_of("", p->pid) >> 10 : 0;

		row->value[p == &n->store ? 0 : p->slot + 1] = kb;
		row->total += kb;
	}
}

void
stats_each(struct node *n, void (*fn)(void *arg, const struct stats_row *row), void *arg)
{
	struct stats_row row;

	for (enum metric m = 0; m < METRIC_COUNT; m++) {
		metric_row(n, m, &row);
		fn(arg, &row);
	}
	memory_row(n, &row);
	fn(arg, &row);
	row = (struct stats_row){ .name = "uptime_s", .kind = "gauge", .unit = "SECONDS",
	    .total = (uint64_t)(mono_diff(loop_now(n->loop), n->started) / NS_PER_SEC) };
	fn(arg, &row);
}

static void
put_row(void *arg, const struct stats_row *row)
{
	struct admin_call *c = arg;
	struct buf *b = admin_row(c);
	char unit[32];
	size_t n = 0;

	for (; row->unit[n] != '\0' && n < sizeof unit - 1; n++)
		unit[n] = (char)tolower((unsigned char)row->unit[n]);
	unit[n] = '\0';
	row_put_str(b, "name", row->name);
	row_put_str(b, "kind", row->kind);
	row_put_str(b, "unit", unit);
	row_put_number(b, "total", (int64_t)row->total);
	EACH_PROC(p, c->node) {
		char name[32];

		stats_name(p, name, sizeof name);
		row_put_number(b, name, (int64_t)row->value[p == &c->node->store ? 0 : p->slot + 1]);
	}
	if (row->of_supervisor)
		row_put_number(b, "supervisor", (int64_t)row->supervisor);
	admin_row_end(c);
}

void
stats_all(struct admin_call *c)
{
	stats_each(c->node, put_row, c);
}
