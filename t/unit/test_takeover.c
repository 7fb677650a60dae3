/* SPDX-License-Identifier: Apache-2.0
 * Several CONNECTs with one id: on one worker, on two, before anybody has answered. */
#include <stdio.h>

#include "t/support/fake_cluster.h"
#include "t/support/unit.h"
#include "t/support/worker_fixture.h"
#include "worker/queuec.h"
#include "worker/session.h"
#include "worker/worker.h"

static struct fx fx;

START_TEST(a_second_connection_ousts_the_first)
{
	struct fx_client *a, *b;

	fx_open(&fx, 1, &fake_net, NULL);
	for (unsigned i = 0; i < 4; i++) {
		unsigned first = i & 1 ? FX_CLEAN : 0, second = i & 2 ? FX_CLEAN : 0;
		char id[8];

		snprintf(id, sizeof id, "id%u", i);
		a = fx_connected(&fx, 0, id, first, false);
		fx_send(a, "SUBSCRIBE 1 t 1");
		fx_expect(a, "SUBACK 1 1");
		b = fx_connected(&fx, 0, id, second, !first && !second);
		fx_expect(a, "END");                    /* [MQTT-3.1.4-2] */
		fx_send(b, "PUBLISH t x qos=1,1");
		if (!first && !second)
			fx_expect(b, "PUBLISH t x qos=1,1");
		fx_expect(b, "PUBACK 1");
		fx_expect(b, "");
		ck_assert_int_eq(fake_store_row(&fx.store, id), second == 0);
		ck_assert_int_eq(fake_store_owner(&fx.store, id), 0);
	}
	fx_close(&fx);
}
END_TEST

/* The session was durable, at worker O (online or not); a clean CONNECT comes at worker N, then a durable one. */
START_TEST(clean_after_durable_forgets_everything)
{
	fx_open(&fx, 2, &fake_net, NULL);
	for (unsigned i = 0; i < 4; i++) {
		unsigned at = i & 1;
		struct fx_client *c = fx_connected(&fx, 0, "a", 0, false);

		fx_send(c, "SUBSCRIBE 1 t 1");
		fx_expect(c, "SUBACK 1 1");
		ck_assert_int_eq(fake_store_sub(&fx.store, "a", "t"), 1);
		if (i & 2)
			fx_client_close(c);
		fx_run(&fx);
		c = fx_connected(&fx, at, "a", FX_CLEAN, false);
		fx_run(&fx);
		ck_assert(!fake_store_row(&fx.store, "a"));
		fx_send(c, "DISCONNECT");
		fx_expect(c, "END");
		ck_assert_int_eq(fake_store_owner(&fx.store, "a"), -1);
		c = fx_connected(&fx, at, "a", 0, false);       /* [MQTT-3.1.2-6] */
		fx_expect(c, "");
		ck_assert(fake_store_row(&fx.store, "a"));
		ck_assert_int_eq(fake_store_sub(&fx.store, "a", "t"), -1);
		c = fx_connected(&fx, 0, "a", FX_CLEAN, false);
		fx_send(c, "DISCONNECT");
		fx_expect(c, "END");
	}
	fx_close(&fx);
}
END_TEST

/* Several CONNECTs with one id before the store answers any: the last has it, with the state that their order gives. */
START_TEST(three_at_once)
{
	fx_open(&fx, 1, &fake_net, NULL);
	for (unsigned i = 0; i < 16; i++) {
		struct fx_client *c[4] = { NULL };
		char id[8];
		bool kept = true;

		snprintf(id, sizeof id, "id%u", i);
		if (i & 8)
			fx_connected(&fx, 0, id, 0, false);
		fx.store.hold_opens = true;
		for (unsigned k = 0; k < 3; k++)
			c[k] = fx_connect(&fx, 0, id, i >> k & 1 ? FX_CLEAN : 0);
		fx_run(&fx);
		fx.store.hold_opens = false;
		kept = (i & 4) == 0 && (i & 2) == 0;    /* the last but one was durable, and so is the last */
		fx_expect(c[2], kept ? "CONNACK 0 present" : "CONNACK 0");
		fx_send(c[2], "PINGREQ");
		fx_expect(c[2], "PINGRESP");
		for (unsigned k = 0; k < 2; k++)
			fx_expect_end(c[k]);
		ck_assert_msg(fake_store_row(&fx.store, id) == ((i & 4) == 0), "row, case %u", i);
		fx_send(c[2], "DISCONNECT");
		fx_expect(c[2], "END");
		ck_assert_int_eq(fx_session(&fx, 0, id) != NULL, (i & 4) == 0);
	}
	fx_close(&fx);
}
END_TEST

START_TEST(the_client_leaves_before_the_answer)
{
	struct fx_client *c;

	fx_open(&fx, 1, &fake_net, NULL);
	fx.store.hold_opens = true;
	for (unsigned i = 0; i < 2; i++) {
		c = fx_connect(&fx, 0, i ? "clean" : "durable", i ? FX_CLEAN : 0);
		fx_run(&fx);
		fx_client_close(c);
		fx_run(&fx);
	}
	fx.store.hold_opens = false;
	fx_run(&fx);
	ck_assert_int_eq(fake_store_owner(&fx.store, "clean"), -1);
	ck_assert_int_eq(fake_store_owner(&fx.store, "durable"), 0);
	ck_assert(fake_store_row(&fx.store, "durable"));
	fx_connected(&fx, 0, "durable", 0, true);
	fx_close(&fx);
}
END_TEST

/* What a client published elsewhere is with the store before it may publish here: while its session lives there, offline or
 * online, and when it has just ended there. */
START_TEST(behind_what_it_published_elsewhere)
{
	for (unsigned i = 0; i < 4; i++) {
		unsigned flags = i & 1 ? FX_CLEAN : 0;
		struct fx_client *a, *b;

		fx_open(&fx, 2, &fake_net, NULL);
		a = fx_connected(&fx, 1, "c", flags, false);
		fx.store.hold_commits = true;
		fx_send(a, "PUBLISH t older qos=1,1 retain");
		fx_run(&fx);
		if (i & 2)
			fx_client_close(a);
		b = fx_connect(&fx, 0, "c", flags);
		fx_expect(b, "");
		fx.store.hold_commits = false;
		fx_expect(b, flags ? "CONNACK 0" : "CONNACK 0 present");
		fx_send(b, "PUBLISH t newer qos=1,2 retain");
		fx_expect(b, "PUBACK 2");
		ck_assert_str_eq(fake_store_retained(&fx.store, "t"), "newer");
		ck_assert_int_eq(fake_store_owner(&fx.store, "c"), 0);
		fx_close(&fx);
	}
}
END_TEST

/* A session keeps its number, wherever it goes, as long as it lives. */
START_TEST(the_number_of_its_queue)
{
	struct fx_client *c;
	uint64_t qid;

	fx_open(&fx, 2, &fake_net, NULL);
	c = fx_connected(&fx, 0, "clean", FX_CLEAN, false);
	ck_assert_uint_eq(fx_session(&fx, 0, "clean")->qid, 0);
	c = fx_connected(&fx, 0, "a", 0, false);
	qid = fx_session(&fx, 0, "a")->qid;
	ck_assert(qid >> 16 != 0 && (qid & 1) == 0);
	ck_assert_uint_eq(fake_store_qid(&fx.store, "a"), qid);
	(void)fx_connected(&fx, 0, "b", 0, false);
	ck_assert_uint_ne(fake_store_qid(&fx.store, "b"), qid);
	/* A neighbour takes it. */
	c = fx_connected(&fx, 1, "a", 0, true);
	ck_assert_uint_eq(fx_session(&fx, 1, "a")->qid, qid);
	ck_assert_uint_eq(fake_store_qid(&fx.store, "a"), qid);
	/* A successor loads it. */
	fx_worker_kill(&fx, 1);
	fx_worker_start(&fx, 1);
	fx_run(&fx);
	ck_assert_uint_eq(fx_session(&fx, 1, "a")->qid, qid);
	/* All have died. */
	fx_worker_kill(&fx, 0);
	fx_worker_kill(&fx, 1);
	fx_store_kill(&fx);
	fx_store_start(&fx);
	fx_worker_start(&fx, 0);
	fx_worker_start(&fx, 1);
	fx_run(&fx);
	c = fx_connected(&fx, 0, "a", 0, true);
	ck_assert_uint_eq(fx_session(&fx, 0, "a")->qid, qid);
	c = fx_connected(&fx, 0, "a", FX_CLEAN, false);
	ck_assert_uint_eq(fx_session(&fx, 0, "a")->qid, 0);
	fx_send(c, "DISCONNECT");
	fx_expect(c, "END");
	c = fx_connected(&fx, 0, "a", 0, false);
	ck_assert_uint_ne(fx_session(&fx, 0, "a")->qid, qid);
	fx_close(&fx);
}
END_TEST

static void
put(struct worker *w, uint64_t qid)
{
	const struct cluster_pub p = { .topic = SLICE_LIT("t"), .qos = 1 };
	const struct qitem i = { .qid = qid, .n = 1, .flags = 1 };

	queuec_put(w->queue, &p, &i, 1, NULL, NULL);
}

/* What is on its way to the disk when its session ends does not stay there. */
START_TEST(its_queue_ends_with_it)
{
	fx_open(&fx, 2, &fake_net, NULL);
	for (unsigned i = 0; i < 4; i++) {
		unsigned at = i & 1;
		struct fx_client *c = fx_connected(&fx, 0, "a", 0, false);
		uint64_t qid = fx_session(&fx, 0, "a")->qid;

		fx_client_close(c);
		fx_run(&fx);
		put(fx.w[0].worker, qid);
		fx_run(&fx);
		ck_assert_uint_eq(fake_queue_count(&fx.store, qid), 1);
		fx.store.hold_queue = (i & 2) != 0;
		put(fx.w[0].worker, qid);
		c = fx_connected(&fx, at, "a", FX_CLEAN, false);
		fx.store.hold_queue = false;
		fx_run(&fx);
		ck_assert_uint_eq(fake_queue_count(&fx.store, 0), 0);
		fx_send(c, "DISCONNECT");
		fx_expect(c, "END");
	}
	fx_close(&fx);
}
END_TEST

UNIT_MAIN("takeover", the_number_of_its_queue, its_queue_ends_with_it, a_second_connection_ousts_the_first, clean_after_durable_forgets_everything, three_at_once,
    the_client_leaves_before_the_answer, behind_what_it_published_elsewhere)
