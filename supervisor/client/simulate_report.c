/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#include "supervisor/client/simulate.h"

/* What went wrong, by name: one list for the verdict, the text and the JSON. */
struct wrong {
	const char *key;
	const char *text;
	uint64_t count;
};

#define WRONG_MAX 12

static size_t
list_wrong(const struct simulate *s, struct wrong *w)
{
	const struct ledger *l = &s->ledger;
	const struct wrong all[] = {
		{ "no_server", "no server", s->n.no_server },
		{ "refused", "connections refused", s->n.refused },
		{ "connections_lost", "connections lost", s->n.lost },
		{ "protocol_errors", "protocol errors", s->n.broken },
		{ "sessions_lost", "sessions lost", s->n.sessions_lost },
		{ "subscriptions_refused", "subscriptions refused", s->n.sub_refused },
		{ "messages_lost", "messages lost", s->o.clean ? 0 : s->messages_lost },
		{ "messages_doubled", "messages doubled", l->n.doubled },
		{ "messages_refused", "messages refused", s->o.clean ? 0 : l->n.refused },
		{ "messages_strange", "messages that nobody sent", l->n.strange },
		{ "unacknowledged", "not acknowledged", ledger_unacked(l) },
		{ "not_back", "clients not back", s->not_back },
	};

	for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
		w[i] = all[i];
	return sizeof all / sizeof all[0];
}

bool
simulate_clean(const struct simulate *s)
{
	struct wrong w[WRONG_MAX];
	size_t n = list_wrong(s, w);

	for (size_t i = 0; i < n; i++)
		if (w[i].count > 0)
			return false;
	return true;
}

static double
us(uint64_t ns)
{
	return (double)ns / 1e3;
}

static void
report_text(const struct simulate *s)
{
	const struct ledger_totals *n = &s->ledger.n;
	struct wrong w[WRONG_MAX];
	size_t count = list_wrong(s, w);
	const char *comma = "";

	printf("simulated  %u clients, ids %u to %u, %.1f s, level %u, %s, seed %" PRIu64 "\n", s->count, s->o.first, s->o.last,
	    s->seconds, s->o.level, target_kind(&s->o.net.at), s->o.seed);
	printf("connected  %" PRIu64 " times, p50 %.0f us, p99 %.0f us, max %.0f us", s->n.connected,
	    us(hist_quantile(&s->connect_ns, 0.5)), us(hist_quantile(&s->connect_ns, 0.99)), us(s->connect_ns.max));
	if (s->n.redirected > 0)
		printf(", %" PRIu64 " times sent elsewhere", s->n.redirected);
	printf("\nended      %" PRIu64 " with DISCONNECT, %" PRIu64 " without\n", s->n.said_goodbye, s->n.dropped);
	printf("published  QoS 0: %" PRIu64 ", QoS 1: %" PRIu64 ", QoS 2: %" PRIu64 "; %" PRIu64 " directly", n->published[0],
	    n->published[1], n->published[2], s->n.direct);
	if (s->n.held_back > 0)
		printf(", %" PRIu64 " held back", s->n.held_back);
	printf("\narrived    QoS 0: %" PRIu64 ", QoS 1: %" PRIu64 " (and %" PRIu64 " again), QoS 2: %" PRIu64 "\n", n->arrived[0],
	    n->arrived[1], n->again, n->arrived[2]);
	printf("wrong      ");
	for (size_t i = 0; i < count; i++) {
		if (w[i].count == 0)
			continue;
		printf("%s%s %" PRIu64, comma, w[i].text, w[i].count);
		comma = ", ";
	}
	printf("%s\n", *comma == 0 ? "nothing" : "");
	if (s->last_error[0] != 0)
		printf("last       %s\n", s->last_error);
}

static void
report_json(const struct simulate *s)
{
	const struct ledger_totals *n = &s->ledger.n;
	struct wrong w[WRONG_MAX];
	size_t count = list_wrong(s, w);
	json_t *wrong = json_object();
	json_t *j;

	for (size_t i = 0; i < count; i++)
		json_object_set_new(wrong, w[i].key, json_integer((json_int_t)w[i].count));
	j = json_pack("{s:b, s:i, s:i, s:i, s:f, s:i, s:s, s:I}", "ok", simulate_clean(s), "clients", (int)s->count, "first",
	    (int)s->o.first, "last", (int)s->o.last, "seconds", s->seconds, "level", s->o.level, "transport",
	    target_kind(&s->o.net.at), "seed", (json_int_t)s->o.seed);
	json_object_set_new(j, "connected", json_pack("{s:I, s:f, s:f, s:f, s:I}", "count", (json_int_t)s->n.connected,
	    "p50_us", us(hist_quantile(&s->connect_ns, 0.5)), "p99_us", us(hist_quantile(&s->connect_ns, 0.99)), "max_us",
	    us(s->connect_ns.max), "redirected", (json_int_t)s->n.redirected));
	json_object_set_new(j, "ended", json_pack("{s:I, s:I}", "disconnect", (json_int_t)s->n.said_goodbye, "dropped",
	    (json_int_t)s->n.dropped));
	json_object_set_new(j, "published", json_pack("{s:I, s:I, s:I, s:I, s:I}", "qos0", (json_int_t)n->published[0], "qos1",
	    (json_int_t)n->published[1], "qos2", (json_int_t)n->published[2], "direct", (json_int_t)s->n.direct, "held_back",
	    (json_int_t)s->n.held_back));
	json_object_set_new(j, "arrived", json_pack("{s:I, s:I, s:I, s:I}", "qos0", (json_int_t)n->arrived[0], "qos1",
	    (json_int_t)n->arrived[1], "qos2", (json_int_t)n->arrived[2], "again", (json_int_t)n->again));
	json_object_set_new(j, "wrong", wrong);
	if (s->last_error[0] != 0)
		json_object_set_new(j, "last_error", json_string(s->last_error));
	json_dumpf(j, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
	printf("\n");
	json_decref(j);
}

void
simulate_report(const struct simulate *s)
{
	if (s->o.json)
		report_json(s);
	else
		report_text(s);
	fflush(stdout);
}
