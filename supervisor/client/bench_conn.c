/* SPDX-License-Identifier: Apache-2.0
 * supervisor/client/bench_conn.c - connections that connect, perhaps subscribe, and stay: their pace and their price. */
#include <inttypes.h>
#include <stdio.h>

#include "supervisor/client/bench.h"
#include "common/base/err.h"

#define SUBSCRIBE_AT_ONCE 64            /* clients with SUBSCRIBEs under way */

static bool
open_up_to(struct bench *b, uint32_t target)
{
	uint32_t closed = b->swarm.closed;

	swarm_open(&b->swarm, target);
	while (b->swarm.opened < target || b->swarm.opening > 0)
		if (!bench_turn(b, 100 * NS_PER_MS, "connected", b->swarm.up))
			return false;
	if (b->swarm.closed > closed)
		swarm_fail(&b->swarm, "the server closed %u connections", b->swarm.closed - closed);
	return !swarm_failed(&b->swarm);
}

bool
bench_open(struct bench *b, uint32_t n, uint32_t *first)
{
	*first = swarm_more(&b->swarm, n);
	return open_up_to(b, b->swarm.peer_count);
}

bool
bench_subacks(struct bench *b)
{
	while (b->swarm.subacks > 0)
		if (!bench_turn(b, 100 * NS_PER_MS, "waiting for SUBACK", b->swarm.subacks))
			return false;
	if (b->swarm.refused > 0)
		swarm_fail(&b->swarm, "the server refused %" PRIu64 " subscriptions", b->swarm.refused);
	return !swarm_failed(&b->swarm);
}

/* Subscriptions from .. to - 1 of all, client by client: number i belongs to client i / each. */
static bool
subscribe_range(struct bench *b, uint32_t first, uint32_t clients, uint32_t from, uint32_t to)
{
	uint32_t each = (b->o.subscribe + clients - 1) / clients;

	while (from < to) {
		char text[64][96];
		struct slice filters[64];
		struct peer *p = b->swarm.peers[first + from / each];
		uint32_t n = 0;

		while (n < 64 && from + n < to && (from + n) / each == from / each) {
			snprintf(text[n], sizeof text[n], "%.60s/s/%u", b->o.prefix, from + n);
			filters[n] = slice_str(text[n]);
			n++;
		}
		peer_subscribe(p, filters, n, b->o.qos);
		from += n;
		while (b->swarm.subacks > SUBSCRIBE_AT_ONCE)
			if (!bench_turn(b, 100 * NS_PER_MS, "subscribed", from))
				return false;
	}
	return bench_subacks(b);
}

static bool
subscribe_all(struct bench *b, uint32_t first, uint32_t clients)
{
	uint32_t n = b->o.subscribe;
	int64_t before;
	int64_t after;

	if (!b->o.slope)
		return subscribe_range(b, first, clients, 0, n);
	if (!subscribe_range(b, first, clients, 0, n / 10))
		return false;
	before = bench_memory(b);
	if (!subscribe_range(b, first, clients, n / 10, n))
		return false;
	after = bench_memory(b);
	return bench_slope(b, SLOPE_SUBSCRIPTION, before, after, n - n / 10);
}

static bool
hold(struct bench *b)
{
	struct mono end = mono_add(clock_mono(), (int64_t)(b->o.hold_s * (double)NS_PER_SEC));

	printf("holding\n");
	fflush(stdout);
	while (mono_diff(end, clock_mono()) > 0 && !swarm_failed(&b->swarm))
		if (!bench_turn(b, 100 * NS_PER_MS, "holding", b->swarm.up))
			break;
	return !swarm_failed(&b->swarm);
}

bool
bench_conn(struct bench *b)
{
	uint32_t n = b->o.clients;
	uint32_t first = swarm_more(&b->swarm, n);
	int64_t before = 0;
	bool ok = true;

	b->swarm.open_rate = b->o.rate;
	if (b->o.slope && b->o.subscribe == 0) {
		ok = open_up_to(b, first + n / 10);
		before = ok ? bench_memory(b) : -1;
	}
	hist_clear(&b->swarm.connect_ns);
	bench_sample(b, &b->from);
	b->connects = b->swarm.up;
	ok = ok && open_up_to(b, first + n);
	b->connects = b->swarm.up - b->connects;
	bench_sample(b, &b->to);
	if (ok && b->o.slope && b->o.subscribe == 0)
		ok = bench_slope(b, SLOPE_CONNECTION, before, bench_memory(b), n - n / 10);
	if (ok && b->o.subscribe > 0)
		ok = subscribe_all(b, first, n);
	if (ok && b->o.hold_s > 0)
		ok = hold(b);
	return ok;
}

bool
bench_idle(struct bench *b)
{
	uint32_t first;

	if (b->o.idle == 0)
		return true;
	if (!bench_open(b, b->o.idle, &first))
		return false;
	return b->o.subscribe == 0 || subscribe_range(b, first, b->o.idle, 0, b->o.subscribe);
}
