/* SPDX-License-Identifier: Apache-2.0
 * A turn that takes long leaves the rest of its work to the next: nothing is lost, doubled or out of order by that, and
 * who ends meanwhile is not touched again. */
#include <stdio.h>
#include <string.h>

#include "common/metrics/page.h"
#include "t/sim/sim.h"
#include "t/support/fake_cluster.h"
#include "t/support/unit.h"
#include "t/support/worker_fixture.h"
#include "worker/worker.h"

#define CLIENTS 150u
#define ABSENT  20u
#define EACH    150u

static struct fx fx;
static struct fx_client *c[CLIENTS];

static void
begin(unsigned every)
{
	char id[16];

	fx_open(&fx, 1, &fake_net, NULL);
	for (unsigned i = 0; i < CLIENTS; i++) {
		snprintf(id, sizeof id, "c%u", i);
		c[i] = fx_connected(&fx, 0, id, FX_CLEAN, false);
		fx_send(c[i], "SUBSCRIBE 1 t 0");
		fx_expect(c[i], "SUBACK 1 0");
	}
	if (every > 0)
		sim_long_turns(fx.w[0].loop, every);
}

static void
all_get_in_order(unsigned every)
{
	struct fx_client *p;
	char text[64];

	begin(every);
	p = fx_connected(&fx, 0, "p", FX_CLEAN, false);
	for (unsigned i = 1; i <= 5; i++) {
		snprintf(text, sizeof text, "PUBLISH t %u qos=1,%u", i, i);
		fx_send(p, text);
	}
	for (unsigned i = 1; i <= 5; i++) {
		snprintf(text, sizeof text, "PUBACK %u", i);
		fx_expect(p, text);
		snprintf(text, sizeof text, "PUBLISH t %u", i);
		for (unsigned k = 0; k < CLIENTS; k++)
			fx_expect(c[k], text);
	}
	for (unsigned k = 0; k < CLIENTS; k++)
		ck_assert_str_eq(fx_next(c[k]), "");
	fx_close(&fx);
}

START_TEST(all_get_in_order_when_each_turn_is_long)
{
	all_get_in_order(1);
}
END_TEST

START_TEST(all_get_in_order_when_some_turns_are)
{
	all_get_in_order(3);
}
END_TEST

/* Many have a lot: it is written a few at a time, and nothing more is taken in before all of it is. */
START_TEST(a_lot_for_many)
{
	const struct worker *w;
	struct fx_client *p;
	uint64_t wrote;

	begin(1);
	w = fx.w[0].worker;
	p = fx_connected(&fx, 0, "p", FX_CLEAN, false);
	wrote = METRIC_GET(writes);
	fx_send(p, "PUBLISH t *70000");
	fx_send(p, "PUBLISH t 2");
	while (w->dirty_count == 0)
		ck_assert(fx_step(&fx));
	ck_assert_uint_le(METRIC_GET(writes) - wrote, 40);
	ck_assert_uint_gt(w->behind, 100);
	for (uint32_t before; (before = w->behind) > 0;) {
		ck_assert_uint_eq(w->dirty_count, before);      /* none came to it */
		ck_assert(fx_step(&fx));
		ck_assert_uint_lt(w->behind, before);
	}
	for (unsigned k = 0; k < CLIENTS; k++) {
		fx_expect(c[k], "PUBLISH t *70000");
		fx_expect(c[k], "PUBLISH t 2");
	}
	fx_close(&fx);
}
END_TEST

/* Half of them go while what they should get waits for the next turn. */
START_TEST(who_ends_with_output_left)
{
	struct fx_client *p;

	begin(1);
	p = fx_connected(&fx, 0, "p", FX_CLEAN, false);
	fx_send(p, "PUBLISH t *5000 qos=1,1");
	while (fx.w[0].worker->dirty_count == 0)
		ck_assert(fx_step(&fx));
	for (unsigned i = 0; i < CLIENTS; i += 2)
		fx_client_close(c[i]);
	fx_expect(p, "PUBACK 1");
	for (unsigned i = 1; i < CLIENTS; i += 2)
		ck_assert_uint_gt(strlen(fx_next(c[i])), 0);
	for (unsigned i = 0; i < CLIENTS; i += 2) {
		char id[16];

		snprintf(id, sizeof id, "c%u", i);
		ck_assert_ptr_null(fx_session(&fx, 0, id));
	}
	ck_assert_uint_eq(fx.w[0].worker->conn_count, CLIENTS / 2 + 1);
	ck_assert_uint_eq(fx.w[0].worker->dirty_count, 0);
	fx_close(&fx);
}
END_TEST

/* A worker that ends with work left. */
START_TEST(the_end_with_output_left)
{
	struct fx_client *p;

	begin(1);
	p = fx_connected(&fx, 0, "p", FX_CLEAN, false);
	fx_send(p, "PUBLISH t x");
	while (fx.w[0].worker->dirty_count == 0)
		ck_assert(fx_step(&fx));
	fx_close(&fx);
}
END_TEST

/* Connections are closed a few at a time, and queues go to the store so: all of them. */
START_TEST(a_stop_takes_many_turns)
{
	const struct worker *w;
	unsigned closing = 0, keeping = 0;
	struct fx_client *p;
	char text[64];

	begin(0);
	w = fx.w[0].worker;
	for (unsigned i = 0; i < ABSENT; i++) {
		snprintf(text, sizeof text, "d%u", i);
		p = fx_connected(&fx, 0, text, 0, false);
		fx_send(p, "SUBSCRIBE 1 t 1");
		fx_expect(p, "SUBACK 1 1");
		fx_client_close(p);
	}
	p = fx_connected(&fx, 0, "p", FX_CLEAN, false);
	for (unsigned i = 1; i <= EACH; i++) {
		snprintf(text, sizeof text, "PUBLISH t %u qos=1,%u", i, i);
		fx_send(p, text);
	}
	for (unsigned i = 1; i <= EACH; i++) {
		snprintf(text, sizeof text, "PUBACK %u", i);
		fx_expect(p, text);
	}
	sim_long_turns(fx.w[0].loop, 1);
	fx_sup_stop(&fx, 0);
	for (unsigned i = 0; i < 1000; i++) {
		loop_turn(fx.loop, false);
		loop_turn(fx.w[0].loop, false);
		closing += !list_empty(&w->stop.closing);
		keeping += w->stop.keeping && !w->stop.kept;
	}
	ck_assert_uint_ge(closing, CLIENTS / 8 - 1);
	ck_assert_uint_ge(keeping, ABSENT * (EACH / 64));
	fx_expect(p, "END");
	fx_run(&fx);
	ck_assert_uint_eq(fake_queue_count(&fx.store, 0), ABSENT * EACH);
	fx_close(&fx);
}
END_TEST

UNIT_MAIN("turns", all_get_in_order_when_each_turn_is_long, all_get_in_order_when_some_turns_are, a_lot_for_many, who_ends_with_output_left,
    the_end_with_output_left, a_stop_takes_many_turns)
