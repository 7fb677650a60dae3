/* SPDX-License-Identifier: Apache-2.0
 * What a worker does from each level of its memory's use on. The levels are put where the heap is now; no time passes, so
 * that no look at the process moves them. */
#include <stdio.h>

#include "common/metrics/page.h"
#include "t/support/fake_cluster.h"
#include "t/support/unit.h"
#include "t/support/worker_fixture.h"
#include "worker/conn.h"
#include "worker/flow.h"
#include "worker/worker.h"

static struct fx fx;
static struct budget *b;

static void
begin(void)
{
	fx_open(&fx, 1, &fake_net, "session.durability", "memory", NULL);
	b = &fx.w[0].worker->budget;
}

static void
end(void)
{
	fx_close(&fx);
}

/* An offline durable session that has count messages of 10,000 bytes in its queue. */
static void
fill(struct fx_client *p, const char *id, const char *topic, unsigned count)
{
	struct fx_client *c = fx_connected(&fx, 0, id, 0, false);
	char text[64];

	snprintf(text, sizeof text, "SUBSCRIBE 1 %s 1", topic);
	fx_send(c, text);
	fx_expect(c, "SUBACK 1 1");
	fx_client_close(c);
	fx_run(&fx);
	for (unsigned i = 1; i <= count; i++) {
		snprintf(text, sizeof text, "PUBLISH %s *10000 qos=1,%u", topic, i);
		fx_send(p, text);
		snprintf(text, sizeof text, "PUBACK %u", i);
		fx_expect(p, text);
	}
}

static unsigned
queued(const char *id)
{
	return flow_queued(fx_session(&fx, 0, id)->flow);
}

START_TEST(tight_a_full_socket_gets_no_more)
{
	struct fx_client *s, *p;
	uint64_t dropped;

	begin();
	s = fx_connected(&fx, 0, "s", FX_CLEAN | FX_SMALL, false);
	fx_send(s, "SUBSCRIBE 1 t 1");
	fx_expect(s, "SUBACK 1 1");
	p = fx_connected(&fx, 0, "p", FX_CLEAN, false);
	s->paused = true;
	for (unsigned i = 0; i < 20; i++)
		fx_send(p, "PUBLISH t *10000");
	fx_run(&fx);
	ck_assert_uint_eq(METRIC_GET(dropped_memory), 0);
	b->at[BUDGET_TIGHT] = 0;
	dropped = METRIC_GET(dropped_slow_reader);
	fx_send(p, "PUBLISH t *10000");
	fx_send(p, "PUBLISH t *10000 qos=1,1");
	fx_expect(p, "PUBACK 1");
	ck_assert_uint_eq(METRIC_GET(dropped_memory), 1);
	ck_assert_uint_eq(METRIC_GET(dropped_slow_reader), dropped);
	ck_assert_uint_eq(queued("s"), 1);
	end();
}
END_TEST

START_TEST(short_publishers_wait_and_the_largest_queue_is_cut)
{
	struct fx_client *p;
	uint64_t dropped;

	begin();
	p = fx_connected(&fx, 0, "p", FX_CLEAN, false);
	fill(p, "big", "t", 100);
	fill(p, "small", "u", 2);
	dropped = METRIC_GET(dropped_memory);
	b->at[BUDGET_SHORT] = mem_used() - 100000;
	b->enough = mem_used() - 300000;
	fx_send(p, "PUBLISH none x qos=1,200");
	fx_send(p, "PUBLISH none y qos=1,201");
	fx_expect(p, "PUBACK 200");
	fx_expect(p, "PUBACK 201");             /* only after the cut */
	ck_assert_int_lt(mem_used(), b->at[BUDGET_SHORT]);
	ck_assert_uint_ge(METRIC_GET(memory_holds), 1);
	ck_assert_uint_ge(METRIC_GET(dropped_memory) - dropped, 20);
	ck_assert_uint_le(queued("big"), 80);
	ck_assert_uint_ge(queued("big"), 20);
	ck_assert_uint_eq(queued("small"), 2);
	end();
}
END_TEST

START_TEST(short_and_nothing_to_cut_nobody_waits_for_ever)
{
	struct fx_client *p;

	begin();
	p = fx_connected(&fx, 0, "p", FX_CLEAN, false);
	fill(p, "one", "t", 1);
	b->at[BUDGET_SHORT] = b->enough = 0;
	fx_send(p, "PUBLISH none x qos=1,1");
	fx_send(p, "PUBLISH none y qos=1,2");
	fx_expect(p, "PUBACK 1");
	fx_expect(p, "PUBACK 2");
	ck_assert_uint_eq(queued("one"), 1);
	end();
}
END_TEST

START_TEST(out_a_queue_gets_no_longer)
{
	struct fx_client *p;

	begin();
	p = fx_connected(&fx, 0, "p", FX_CLEAN, false);
	fill(p, "s", "t", 3);
	b->at[BUDGET_OUT] = 0;
	fx_send(p, "PUBLISH t *10000 qos=1,9");
	fx_expect(p, "PUBACK 9");
	ck_assert_uint_eq(queued("s"), 3);
	b->at[BUDGET_OUT] = INT64_MAX;
	fx_send(p, "PUBLISH t *10000 qos=1,10");
	fx_expect(p, "PUBACK 10");
	ck_assert_uint_eq(queued("s"), 4);
	end();
}
END_TEST

START_TEST(out_a_large_packet_costs_its_connection)
{
	struct fx_client *p, *q;

	begin();
	p = fx_connected(&fx, 0, "p", FX_CLEAN, false);
	q = fx_connected(&fx, 0, "q", FX_CLEAN, false);
	b->at[BUDGET_OUT] = 0;
	p->chunk = 50000;
	q->chunk = 500;
	fx_send(q, "PUBLISH t *1000 qos=1,1");
	fx_expect(q, "PUBACK 1");
	fx_send(p, "PUBLISH t *300000");
	fx_expect_end(p);
	ck_assert_uint_eq(METRIC_GET(connections_memory), 1);
	end();
}
END_TEST

/* From then on looks count. */
START_TEST(a_share_sets_the_levels)
{
	begin();
	ck_assert_int_eq(b->at[BUDGET_OUT], INT64_MAX);
	budget_set(fx.w[0].worker, UINT64_C(1) << 40);
	ck_assert_int_lt(b->at[BUDGET_TIGHT], b->at[BUDGET_SHORT]);
	ck_assert_int_lt(b->at[BUDGET_SHORT], b->at[BUDGET_OUT]);
	ck_assert_int_gt(b->overhead, 0);
	ck_assert(!budget_is(fx.w[0].worker, BUDGET_TIGHT));
	fx_pass_ms(&fx, 3000);
	ck_assert_uint_ge(METRIC_GET(memory_used), (uint64_t)mem_used());
	budget_set(fx.w[0].worker, UINT64_C(1) << 16);
	ck_assert(budget_is(fx.w[0].worker, BUDGET_OUT));
	budget_set(fx.w[0].worker, 0);
	ck_assert(!budget_is(fx.w[0].worker, BUDGET_TIGHT));
	end();
}
END_TEST

UNIT_MAIN("budget", tight_a_full_socket_gets_no_more, short_publishers_wait_and_the_largest_queue_is_cut,
    short_and_nothing_to_cut_nobody_waits_for_ever, out_a_queue_gets_no_longer, out_a_large_packet_costs_its_connection,
    a_share_sets_the_levels)
