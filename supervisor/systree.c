/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/systree.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/ipc/codec.h"
#include "config.h"
#include "supervisor/proctab.h"
#include "supervisor/stats.h"

#define PREFIX "$SYS/broker/"

struct sums {
	uint64_t sessions, clients, offline, most_clients, expired, subscriptions, shared, retained, stored, queued_bytes;
	uint64_t packets_in, packets_out, publish_in, publish_out, publish_bytes_in, publish_bytes_out, bytes_in, bytes_out;
	uint64_t dropped, sockets, connects, memory, most_memory;
};

static const int minutes_of[SYSTREE_SPANS] = { 1, 5, 15 };

static const char *const topics[SYSTREE_TOPICS] = {
#define SYS_TEXT(name, topic, help) [SYSTREE_T_##name] = PREFIX topic,
#define SYS_NUMBER(name, topic, value, help) [SYSTREE_T_##name] = PREFIX topic,
#define SYS_RATE(name, topic, counter, help) \
	[SYSTREE_LOADS + SYSTREE_##name * SYSTREE_SPANS + SYSTREE_1MIN] = PREFIX topic "/1min", \
	[SYSTREE_LOADS + SYSTREE_##name * SYSTREE_SPANS + SYSTREE_5MIN] = PREFIX topic "/5min", \
	[SYSTREE_LOADS + SYSTREE_##name * SYSTREE_SPANS + SYSTREE_15MIN] = PREFIX topic "/15min",
#include "supervisor/systree.def"
};

double
systree_average(double old, uint64_t delta, double elapsed_s, int minutes)
{
	double now = (double)delta * 60 / elapsed_s;

	return now + (old - now) * exp(-elapsed_s / (60.0 * minutes));
}

static uint64_t
sum_of(struct node *n, enum metric first, enum metric last)
{
	uint64_t sum = 0;

	for (enum metric m = first; m <= last; m++)
		sum += stats_total(n, m);
	return sum;
}

static uint64_t
dropped(struct node *n)
{
	uint64_t sum = 0;

	for (enum metric m = 0; m < METRIC_COUNT; m++)
		if (strncmp(metric_info(m)->name, "dropped_", 8) == 0)
			sum += stats_total(n, m);
	return sum;
}

static struct sums
add_up(struct node *n)
{
	struct sums s = {
		.sessions = stats_total(n, METRIC_sessions), .clients = stats_total(n, METRIC_clients),
		.expired = stats_total(n, METRIC_sessions_expired), .subscriptions = stats_total(n, METRIC_subscriptions),
		.shared = stats_total(n, METRIC_subscriptions_shared), .retained = stats_total(n, METRIC_retained),
		.queued_bytes = stats_total(n, METRIC_queued_bytes),
		.packets_in = stats_total(n, METRIC_packets_in), .packets_out = stats_total(n, METRIC_packets_out),
		.publish_in = sum_of(n, METRIC_publish_in_qos0, METRIC_publish_in_qos2),
		.publish_out = sum_of(n, METRIC_publish_out_qos0, METRIC_publish_out_qos2),
		.publish_bytes_in = stats_total(n, METRIC_publish_bytes_in),
		.publish_bytes_out = stats_total(n, METRIC_publish_bytes_out),
		.bytes_in = stats_total(n, METRIC_bytes_in), .bytes_out = stats_total(n, METRIC_bytes_out),
		.dropped = dropped(n), .sockets = stats_total(n, METRIC_connections_total),
		.connects = stats_total(n, METRIC_connects),
		.most_clients = n->systree.most_clients,
		.memory = n->sysmon.used_bytes, .most_memory = n->sysmon.most_bytes,
	};

	s.offline = s.sessions > s.clients ? s.sessions - s.clients : 0;
	s.stored = s.retained + stats_total(n, METRIC_queued);
	return s;
}

static void
send_value(struct proc *w, const char *topic, const char *value)
{
	CHAN_SEND(w->chan, SYS, sys, .topic = slice_str(topic), .value = slice_str(value));
}

static void
put(struct node *n, unsigned topic, const char *value)
{
	char *old = n->systree.value[topic];

	if (strcmp(old, value) == 0)
		return;
	snprintf(old, sizeof n->systree.value[0], "%s", value);
	EACH_WORKER(w, n)
		if (proc_alive(w))
			send_value(w, topics[topic], old);
}

static void
put_number(struct node *n, unsigned topic, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof text, "%" PRIu64, value);
	put(n, topic, text);
}

static void
put_rate(struct node *n, enum systree_rate r, uint64_t counter, double elapsed_s)
{
	struct systree *t = &n->systree;
	uint64_t delta = counter > t->before[r] ? counter - t->before[r] : 0;
	char text[40];

	t->before[r] = counter;
	for (unsigned i = 0; i < SYSTREE_SPANS; i++) {
		if (elapsed_s > 0)
			t->load[r][i] = systree_average(t->load[r][i], delta, elapsed_s, minutes_of[i]);
		snprintf(text, sizeof text, "%.2f", t->load[r][i]);
		put(n, SYSTREE_LOADS + (unsigned)r * SYSTREE_SPANS + i, text);
	}
}

static void
look(struct node *n)
{
	struct mono now = loop_now(n->loop);
	double elapsed_s = (double)mono_diff(now, n->systree.last) / (double)NS_PER_SEC;
	struct sums sums, *s = &sums;
	char text[40];

	sysmon_measure(n);
	systree_tick(n);
	sums = add_up(n);
	n->systree.last = now;
	put(n, SYSTREE_T_version, "fubar version " PACKAGE_VERSION);
	snprintf(text, sizeof text, "%" PRId64 " seconds", mono_diff(now, n->started) / NS_PER_SEC);
	put(n, SYSTREE_T_uptime, text);
#define SYS_NUMBER(name, topic, value, help) put_number(n, SYSTREE_T_##name, value);
#define SYS_RATE(name, topic, counter, help) put_rate(n, SYSTREE_##name, counter, elapsed_s);
#include "supervisor/systree.def"
}

static void
again(struct node *n)
{
	int64_t interval = n->reload.running.sys_interval * NS_PER_SEC;

	if (interval > 0)
		loop_timer_in(n->loop, &n->systree.timer, interval);
	else
		loop_timer_cancel(n->loop, &n->systree.timer);
}

static void
on_timer(struct timer *t)
{
	struct node *n = container_of(t, struct node, systree.timer);

	look(n);
	again(n);
}

void
systree_start(struct node *n)
{
	timer_init(&n->systree.timer, on_timer);
	n->systree.last = loop_now(n->loop);
	systree_settings(n);
}

void
systree_stop(struct node *n)
{
	loop_timer_cancel(n->loop, &n->systree.timer);
}

void
systree_settings(struct node *n)
{
	if (n->reload.running.sys_interval > 0)
		look(n);
	else
		for (unsigned i = 0; i < SYSTREE_TOPICS; i++)
			put(n, i, "");
	again(n);
}

void
systree_tell(struct node *n, struct proc *w)
{
	for (unsigned i = 0; i < SYSTREE_TOPICS; i++)
		if (n->systree.value[i][0] != '\0')
			send_value(w, topics[i], n->systree.value[i]);
}

void
systree_tick(struct node *n)
{
	uint64_t clients = stats_total(n, METRIC_clients);

	if (clients > n->systree.most_clients)
		n->systree.most_clients = clients;
	/* What came and went between two ticks: a worker itself knows its own. */
	EACH_WORKER(w, n)
		if (w->page != NULL && w->page->value[METRIC_clients_max] > n->systree.most_clients)
			n->systree.most_clients = w->page->value[METRIC_clients_max];
}
