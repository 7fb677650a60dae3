/* SPDX-License-Identifier: Apache-2.0
 * supervisor/client/bench_report.c - what was measured, for people and as JSON. */
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>

#include "supervisor/client/bench.h"

struct span {                           /* between two samples */
	double seconds;
	double per_s;
	double broker_us;               /* CPU a unit; < 0: unknown */
	double broker_share;            /* of one core */
	double own_us;
	uint64_t count;
};

static struct span
span_of(const struct bench *b, const struct bench_sample *from, const struct bench_sample *to, uint64_t count)
{
	struct span s = { .count = count, .broker_us = -1 };
	double ns = (double)mono_diff(to->at, from->at);

	if (ns <= 0)
		return s;
	s.seconds = ns / (double)NS_PER_SEC;
	s.per_s = (double)count / s.seconds;
	if (count > 0)
		s.own_us = (double)(to->own_cpu_ns - from->own_cpu_ns) / 1000 / (double)count;
	if (b->o.procs.root_count > 0) {
		double cpu = (double)(to->broker_cpu_ns - from->broker_cpu_ns);

		s.broker_share = cpu / ns;
		if (count > 0)
			s.broker_us = cpu / 1000 / (double)count;
	}
	return s;
}

static uint64_t
units(const struct bench *b)
{
	return b->o.mode == BENCH_CONN ? b->connects : b->to.n.delivered - b->from.n.delivered;
}

bool
bench_clean(const struct bench *b)
{
	const struct traffic_totals *n = &b->traffic.n;

	if (b->missing > 0 && !(b->o.allow_loss && b->o.qos == 0))
		return false;
	return n->again == 0 && n->late == 0 && n->foreign == 0 && n->refused == 0 && n->bad_acks == 0 && b->unacked == 0;
}

static const struct hist *
latencies(const struct bench *b)
{
	return b->o.mode == BENCH_CONN ? &b->swarm.connect_ns : &b->traffic.latency_ns;
}

static const char *
ns_text(double ns, char *out, size_t size)
{
	if (ns < 1e6)
		snprintf(out, size, "%.1f us", ns / 1e3);
	else if (ns < 1e9)
		snprintf(out, size, "%.2f ms", ns / 1e6);
	else
		snprintf(out, size, "%.2f s", ns / 1e9);
	return out;
}

static void
text_latency(const struct hist *h)
{
	char t[5][24];

	if (h->count == 0)
		return;
	printf("latency    p50 %s, p99 %s, p99.9 %s, max %s, mean %s\n",
	    ns_text((double)hist_quantile(h, 0.5), t[0], sizeof t[0]),
	    ns_text((double)hist_quantile(h, 0.99), t[1], sizeof t[1]),
	    ns_text((double)hist_quantile(h, 0.999), t[2], sizeof t[2]), ns_text((double)h->max, t[3], sizeof t[3]),
	    ns_text(hist_mean(h), t[4], sizeof t[4]));
}

static void
text_span(const char *name, const struct span *s, const char *unit)
{
	printf("%-10s %" PRIu64 " in %.2f s: %.0f a second\n", name, s->count, s->seconds, s->per_s);
	if (s->broker_us >= 0)
		printf("%-10s %.3f us a %s, %.1f %% of a core\n", "broker CPU", s->broker_us, unit, s->broker_share * 100);
	printf("%-10s %.3f us a %s\n", "own CPU", s->own_us, unit);
}

static void
text_setup(const struct bench *b)
{
	printf("%-10s %s", "bench", bench_mode_name(b->o.mode));
	if (b->o.mode == BENCH_CONN)
		printf(", %u clients", b->o.clients);
	else
		printf(", QoS %u, %u bytes, %u publishers, %u subscribers", b->o.qos, b->o.size, b->o.pubs, b->o.subs);
	if (b->o.rate > 0)
		printf(", %g a second", b->o.rate);
	else if (b->o.mode != BENCH_CONN)
		printf(", window %u", b->o.window);
	printf(", level %u, %s%s%s\n", b->o.level, target_kind(&b->o.net.at), b->o.net.split ? ", split" : "",
	    b->o.cross ? ", crossing workers" : "");
}

static const char *const slope_names[] = { "connection", "subscription", "retained message" };

static void
report_text(const struct bench *b, const struct span *s, const struct span *fetch)
{
	const struct traffic_totals *n = &b->traffic.n;

	text_setup(b);
	text_span(b->o.mode == BENCH_CONN ? "connected" : b->o.mode == BENCH_RETAINED ? "set" : "delivered", s,
	    b->o.mode == BENCH_CONN ? "connection" : "message");
	text_latency(latencies(b));
	if (fetch->count > 0)
		text_span("fetched", fetch, "message");
	if (b->pss_before >= 0)
		printf("%-10s %.1f MB before, %.1f MB after\n", "broker PSS", (double)b->pss_before / 1e6,
		    (double)b->pss_after / 1e6);
	for (int i = 0; i < SLOPE_COUNT; i++)
		if (!isnan(b->slope[i]))
			printf("%-10s %.0f bytes a %s (from %.1f to %.1f MB)\n", "memory", b->slope[i], slope_names[i],
			    (double)b->slope_from / 1e6, (double)b->slope_to / 1e6);
	if (b->o.mode == BENCH_CONN)
		return;
	printf("%-10s %" PRIu64 " lost, %" PRIu64 " twice, %" PRIu64 " out of order", "checked", b->missing,
	    n->again, n->late);
	if (n->foreign > 0)
		printf(", %" PRIu64 " damaged", n->foreign);
	if (b->unacked > 0 || n->refused > 0 || n->bad_acks > 0)
		printf("; %" PRIu64 " not acknowledged, %" PRIu64 " refused, %" PRIu64 " wrong acknowledgements", b->unacked,
		    n->refused, n->bad_acks);
	printf("\n");
}

static json_t *
json_span(const struct span *s)
{
	json_t *j = json_pack("{s:I, s:f, s:f, s:f}", "count", (json_int_t)s->count, "seconds", s->seconds, "per_s",
	    s->per_s, "own_cpu_us", s->own_us);

	if (s->broker_us >= 0) {
		json_object_set_new(j, "broker_cpu_us", json_real(s->broker_us));
		json_object_set_new(j, "broker_cpu_share", json_real(s->broker_share));
	}
	return j;
}

static json_t *
json_latency(const struct hist *h)
{
	return json_pack("{s:f, s:f, s:f, s:f, s:f}", "p50", (double)hist_quantile(h, 0.5) / 1e3, "p99",
	    (double)hist_quantile(h, 0.99) / 1e3, "p99.9", (double)hist_quantile(h, 0.999) / 1e3, "max",
	    (double)h->max / 1e3, "mean", hist_mean(h) / 1e3);
}

static void
report_json(const struct bench *b, bool ok, const struct span *s, const struct span *fetch)
{
	static const char *const keys[] = { "bytes_per_connection", "bytes_per_subscription", "bytes_per_retained" };
	const struct traffic_totals *n = &b->traffic.n;
	json_t *j = json_pack("{s:s, s:b, s:i, s:i, s:i, s:i, s:i, s:i, s:f, s:b}", "mode", bench_mode_name(b->o.mode),
	    "ok", ok, "qos", b->o.qos, "size", (int)b->o.size, "level", b->o.level, "publishers", (int)b->o.pubs,
	    "subscribers", (int)b->o.subs, "window", (int)b->o.window, "rate", b->o.rate, "cross", b->o.cross);

	json_object_set_new(j, "transport", json_string(target_kind(&b->o.net.at)));
	json_object_set_new(j, "split", json_boolean(b->o.net.split));
	if (b->swarm.error[0] != 0)
		json_object_set_new(j, "error", json_string(b->swarm.error));
	json_object_set_new(j, b->o.mode == BENCH_CONN ? "connected" : b->o.mode == BENCH_RETAINED ? "set" : "delivered",
	    json_span(s));
	if (fetch->count > 0)
		json_object_set_new(j, "fetched", json_span(fetch));
	if (latencies(b)->count > 0)
		json_object_set_new(j, "latency_us", json_latency(latencies(b)));
	if (b->pss_before >= 0)
		json_object_set_new(j, "broker_pss_bytes", json_pack("{s:I, s:I}", "before", (json_int_t)b->pss_before,
		    "after", (json_int_t)b->pss_after));
	for (int i = 0; i < SLOPE_COUNT; i++)
		if (!isnan(b->slope[i]))
			json_object_set_new(j, keys[i], json_pack("{s:f, s:I, s:I}", "bytes", b->slope[i], "from",
			    (json_int_t)b->slope_from, "to", (json_int_t)b->slope_to));
	json_object_set_new(j, "checked", json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "sent",
	    (json_int_t)n->sent, "delivered", (json_int_t)n->delivered, "lost", (json_int_t)b->missing, "duplicated",
	    (json_int_t)n->again, "reordered", (json_int_t)n->late, "damaged", (json_int_t)n->foreign, "unacknowledged",
	    (json_int_t)b->unacked, "refused", (json_int_t)n->refused, "bad_acks", (json_int_t)n->bad_acks));
	json_dumpf(j, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
	printf("\n");
	json_decref(j);
}

void
bench_report(const struct bench *b, bool ok)
{
	struct span s = span_of(b, &b->from, &b->to, units(b));
	struct span fetch = span_of(b, &b->fetch_from, &b->fetch_to, b->fetch_to.n.delivered);

	if (b->o.json)
		report_json(b, ok, &s, &fetch);
	else if (b->to.at.ns != 0)
		report_text(b, &s, &fetch);
	fflush(stdout);
}
