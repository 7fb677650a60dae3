/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/ban.h"

#include "common/base/rand.h"
#include "t/support/fake_cluster.h"
#include "t/support/unit.h"
#include "t/support/worker_fixture.h"
#include "worker/worker.h"

static struct fx fx;

START_TEST(for_a_while)
{
	struct worker *w;

	fx_open(&fx, 1, &fake_net, NULL);
	w = fx.w[0].worker;
	ck_assert(!ban_has(w, 0));
	ban_put(w, 11, 60);
	ban_put(w, 12, 120);
	ck_assert(ban_has(w, 11) && ban_has(w, 12) && !ban_has(w, 13));
	fx_pass_ms(&fx, 59900);
	ck_assert(ban_has(w, 11));
	fx_pass_ms(&fx, 200);
	ck_assert(!ban_has(w, 11) && ban_has(w, 12));
	/* The newest are remembered. */
	for (uint64_t h = 100; h < 200; h++)
		ban_put(w, h, 60);
	ck_assert(ban_has(w, 199) && !ban_has(w, 12) && !ban_has(w, 100));
	fx_close(&fx);
}
END_TEST

START_TEST(refused)
{
	struct fx_client *c;

	fx_open(&fx, 1, &fake_net, NULL);
	ban_put(fx.w[0].worker, rand_hash("bad", 3), 60);
	c = fx_connect(&fx, 0, "bad", FX_CLEAN);
	fx_expect(c, "CONNACK 5");
	fx_expect(c, "END");
	ck_assert_uint_eq(fx.store.opens, 0);
	fx_connected(&fx, 0, "good", FX_CLEAN, false);
	fx_pass_ms(&fx, 60100);
	fx_connected(&fx, 0, "bad", FX_CLEAN, false);
	fx_close(&fx);
}
END_TEST

UNIT_MAIN("ban", for_a_while, refused)
