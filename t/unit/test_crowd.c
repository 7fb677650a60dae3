/* SPDX-License-Identifier: Apache-2.0
 * Many CONNECTs with one id at several workers, while links and store run as they like. */
#include <stdio.h>
#include <string.h>

#include "t/support/fake_cluster.h"
#include "t/support/unit.h"
#include "t/support/worker_fixture.h"
#include "worker/session.h"
#include "worker/worker.h"

static struct fx fx;

/* One id, three workers, many CONNECTs, links that run as they like: at the end one has it, and the store knows. */
static void
crowd(uint64_t seed)
{
	struct fx_client *c[24];
	struct rand r;
	int owner;
	unsigned sessions = 0, living = 0;

	fx_open(&fx, 3, &fake_net, NULL);
	rand_seed(&r, seed);
	fake_net_hold_all(true);
	for (unsigned i = 0; i < 24; i++) {
		unsigned steps = (unsigned)rand_below(&r, 12);

		fx.store.hold_opens = rand_below(&r, 3) == 0;
		c[i] = fx_connect(&fx, (unsigned)rand_below(&r, 3), "x", rand_below(&r, 4) == 0 ? FX_CLEAN : 0);
		fx_run(&fx);
		if (rand_below(&r, 8) == 0) {
			fx_client_close(c[i]);
			c[i] = NULL;
		}
		for (; steps > 0; steps--) {
			(void)fake_net_step_link((unsigned)rand_below(&r, 3), (unsigned)rand_below(&r, 3));
			if (rand_below(&r, 2))
				fx_run(&fx);
		}
	}
	fx.store.hold_opens = false;
	fake_net_hold_all(false);
	fx_run(&fx);
	owner = fake_store_owner(&fx.store, "x");
	for (unsigned i = 0; i < 3; i++) {
		sessions += fx_session(&fx, i, "x") != NULL;
		ck_assert_msg(fx_session(&fx, i, "x") == NULL || owner == (int)i, "seed %u: session at %u, store says %d",
		    (unsigned)seed, i, owner);
		ck_assert_msg(fx_session(&fx, i, "x") == NULL || (fx_session(&fx, i, "x")->flags & SESSION_DURABLE) == 0 ||
		    fake_store_row(&fx.store, "x"), "seed %u: no row", (unsigned)seed);
		ck_assert_msg(fx.w[i].worker->opens.count == 0, "seed %u: a CONNECT hangs", (unsigned)seed);
		ck_assert_msg(fx_session(&fx, i, "x") == NULL || fx_session(&fx, i, "x")->move == NULL, "seed %u: a move hangs",
		    (unsigned)seed);
	}
	for (unsigned i = 0; i < 24; i++)
		living += c[i] != NULL && !c[i]->eof;
	ck_assert_msg(sessions <= 1 && living <= 1, "seed %u: %u sessions, %u connections", (unsigned)seed, sessions, living);
	fx_close(&fx);
}

/* SEEDS=N for more of them. */
START_TEST(a_crowd_with_one_id)
{
	const char *more = getenv("SEEDS");
	unsigned seeds = more != NULL ? (unsigned)atoi(more) : 200;

	for (unsigned seed = 1; seed <= seeds; seed++)
		crowd(seed);
}
END_TEST

UNIT_MAIN("crowd", a_crowd_with_one_id)
