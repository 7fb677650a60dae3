/* SPDX-License-Identifier: Apache-2.0
 * Subscriptions of a session: put, replaced, deleted, written, announced; SUBSCRIBE and UNSUBSCRIBE. */
#include "worker/subs.h"

#include <stdio.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/rand.h"
#include "common/metrics/page.h"
#include "t/support/fake_cluster.h"
#include "t/support/unit.h"
#include "t/support/worker_fixture.h"
#include "worker/worker.h"

static struct fx fx;

START_TEST(put_and_replaced)
{
	struct worker *w;
	struct session *s;

	fx_open(&fx, 1, &fake_net, NULL);
	w = fx.w[0].worker;
	s = session_new(w, SLICE_LIT("s"), slice_of(NULL, 0), 0);
	ck_assert(subs_put(w, s, SLICE_LIT("a/+"), 1, 0));
	ck_assert(!subs_put(w, s, SLICE_LIT("a/+"), 1, 0));
	ck_assert(subs_put(w, s, SLICE_LIT("a/+"), 2, 0));
	ck_assert(subs_put(w, s, SLICE_LIT("a/+"), 2, 4));
	ck_assert(subs_put(w, s, SLICE_LIT("b"), 0, 0));
	ck_assert_uint_eq(s->sub_count, 2);
	ck_assert_uint_eq(METRIC_GET(subscriptions), 2);
	ck_assert(!subs_del(w, s, SLICE_LIT("c")));
	ck_assert(subs_del(w, s, SLICE_LIT("a/+")));
	ck_assert(!subs_del(w, s, SLICE_LIT("a/+")));
	ck_assert_uint_eq(s->sub_count, 1);
	subs_del_all(w, s);
	ck_assert_uint_eq(s->sub_count, 0);
	ck_assert_uint_eq(w->trie.count, 0);
	fx_close(&fx);
}
END_TEST

START_TEST(as_bytes)
{
	struct worker *w;
	struct session *a, *b;
	struct buf bytes;
	struct rand r;
	char filter[32];

	fx_open(&fx, 1, &fake_net, NULL);
	w = fx.w[0].worker;
	a = session_new(w, SLICE_LIT("a"), slice_of(NULL, 0), 0);
	b = session_new(w, SLICE_LIT("b"), slice_of(NULL, 0), 0);
	for (unsigned i = 0; i < 100; i++) {
		snprintf(filter, sizeof filter, i % 3 ? "f/%u" : "f/%u/#", i);
		subs_put(w, a, slice_str(filter), (uint8_t)(i % 3), (uint8_t)(i % 2));
	}
	buf_init(&bytes);
	subs_encode(a, &bytes);
	subs_decode(w, b, buf_slice(&bytes));
	ck_assert_uint_eq(b->sub_count, 100);
	LIST_EACH(n, &a->subs) {
		const struct sub *x = container_of(n, struct sub, link);
		const struct sub *y = trie_get(&w->trie, b, filter_text(x->filter));

		ck_assert_ptr_nonnull(y);
		ck_assert_uint_eq(x->qos, y->qos);
		ck_assert_uint_eq(x->options, y->options);
	}
	/* Damaged: what stands before it counts, nothing breaks. */
	rand_seed(&r, 1);
	for (unsigned i = 0; i < 2000; i++) {
		struct buf copy;

		subs_del_all(w, b);
		buf_init(&copy);
		buf_put_slice(&copy, buf_slice(&bytes));
		copy.base[rand_below(&r, buf_len(&copy))] = (uint8_t)rand_below(&r, 256);
		copy.end -= (uint32_t)rand_below(&r, 5);
		subs_decode(w, b, buf_slice(&copy));
		ck_assert_uint_le(b->sub_count, 100);
		buf_fini(&copy);
	}
	buf_fini(&bytes);
	fx_close(&fx);
}
END_TEST

START_TEST(a_durable_one_is_written)
{
	struct fx_client *c;

	fx_open(&fx, 1, &fake_net, NULL);
	c = fx_connected(&fx, 0, "c", 0, false);
	fx.store.hold_commits = true;
	fx_send(c, "SUBSCRIBE 1 a 1 b/# 2");
	fx_expect(c, "");
	fx.store.hold_commits = false;
	fx_expect(c, "SUBACK 1 1 2");
	ck_assert_int_eq(fake_store_sub(&fx.store, "c", "a"), 1);
	ck_assert_int_eq(fake_store_sub(&fx.store, "c", "b/#"), 2);
	/* The same again: nothing to write, nothing to wait for. */
	fx.store.hold_commits = true;
	fx_send(c, "SUBSCRIBE 2 a 1");
	fx_expect(c, "SUBACK 2 1");
	fx_send(c, "SUBSCRIBE 3 a 0");
	fx_expect(c, "");
	fx.store.hold_commits = false;
	fx_expect(c, "SUBACK 3 0");
	ck_assert_int_eq(fake_store_sub(&fx.store, "c", "a"), 0);
	fx.store.hold_commits = true;
	fx_send(c, "UNSUBSCRIBE 4 a nothing");
	fx_expect(c, "");
	fx.store.hold_commits = false;
	fx_expect(c, "UNSUBACK 4");
	ck_assert_int_eq(fake_store_sub(&fx.store, "c", "a"), -1);
	fx_send(c, "UNSUBSCRIBE 5 nothing");            /* [MQTT-3.10.4-5] */
	fx_expect(c, "UNSUBACK 5");
	fx_close(&fx);
}
END_TEST

/* What is in memory already may not be on the disk yet, or have failed to get there. */
START_TEST(no_suback_before_it_is_written)
{
	struct fx_client *c;

	fx_open(&fx, 1, &fake_net, NULL);
	c = fx_connected(&fx, 0, "c", 0, false);
	fx.store.hold_commits = true;
	fx_send(c, "SUBSCRIBE 1 a 1");
	fx_send(c, "SUBSCRIBE 2 a 1");
	fx_expect(c, "");
	fx_client_close(c);
	c = fx_connected(&fx, 0, "c", 0, true);
	fx_send(c, "SUBSCRIBE 3 a 1");
	fx_expect(c, "");
	fx.store.hold_commits = false;
	fx_expect(c, "SUBACK 3 1");
	ck_assert_int_eq(fake_store_sub(&fx.store, "c", "a"), 1);
	fx.store.fail_writes = FB_EDISK;
	fx_send(c, "SUBSCRIBE 4 a 1 b 1");
	fx_expect(c, "END");
	fx_client_close(c);
	fx.store.fail_writes = 0;
	ck_assert_int_eq(fake_store_sub(&fx.store, "c", "b"), -1);
	c = fx_connected(&fx, 0, "c", 0, true);
	fx.store.hold_commits = true;
	fx_send(c, "SUBSCRIBE 5 b 1");
	fx_expect(c, "");
	fx.store.hold_commits = false;
	fx_expect(c, "SUBACK 5 1");
	ck_assert_int_eq(fake_store_sub(&fx.store, "c", "b"), 1);
	fx_close(&fx);
}
END_TEST

/* SUBACK: every worker routes here. */
START_TEST(suback_waits_for_the_neighbours)
{
	struct fx_client *c, *p;

	fx_open(&fx, 3, &fake_net, NULL);
	c = fx_connected(&fx, 0, "c", FX_CLEAN, false);
	p = fx_connected(&fx, 2, "p", FX_CLEAN, false);
	fx_run(&fx);
	fake_net_hold(0, 2, true);
	fx_send(c, "SUBSCRIBE 1 t 1");
	fx_expect(c, "");
	fake_net_hold(0, 2, false);
	fx_expect(c, "SUBACK 1 1");
	fx_send(p, "PUBLISH t x qos=1,1");
	fx_expect(c, "PUBLISH t x qos=1,1");
	/* Gone before its SUBACK. */
	fake_net_hold(0, 2, true);
	fx_send(c, "SUBSCRIBE 2 u 1");
	fx_run(&fx);
	fx_client_close(c);
	fx_run(&fx);
	fake_net_hold(0, 2, false);
	fx_run(&fx);
	ck_assert(list_empty(&fx.w[0].worker->sub_ops));
	fx_close(&fx);
}
END_TEST

START_TEST(refused_filters)
{
	struct fx_client *c;

	fx_open(&fx, 1, &fake_net, "session.max_subscriptions", "3", "mqtt.max_topic_levels", "4", NULL);
	c = fx_connected(&fx, 0, "c", FX_CLEAN, false);
	fx_send(c, "SUBSCRIBE 1 a/b/c/d 0 a/b/c/d/e 0 b 1 $share/g 1 c 2 d 2 b 0");
	fx_expect(c, "SUBACK 1 0 128 1 128 2 128 0");   /* [MQTT-3.9.3-2] */
	fx_send(c, "UNSUBSCRIBE 2 c");
	fx_expect(c, "UNSUBACK 2");
	fx_send(c, "SUBSCRIBE 3 d 2");
	fx_expect(c, "SUBACK 3 2");
	fx_set(&fx, "features.wildcards", "false");
	fx_send(c, "UNSUBSCRIBE 4 d");
	fx_expect(c, "UNSUBACK 4");
	fx_send(c, "SUBSCRIBE 5 # 0 a/+ 0 x 0");
	fx_expect(c, "SUBACK 5 128 128 0");
	fx_close(&fx);
}
END_TEST

/* Where wildcards stand, and which group it is; how many filters there are of a shape does not count. */
START_TEST(too_many_shapes)
{
	struct worker *w;
	struct fx_client *c;

	fx_open(&fx, 1, &fake_net, "session.max_filter_shapes", "3", NULL);
	w = fx.w[0].worker;
	c = fx_connected(&fx, 0, "c", FX_CLEAN, false);
	fx_send(c, "SUBSCRIBE 1 a 0 b 0 c/c 0 a/+ 0 +/a 0");
	fx_expect(c, "SUBACK 1 0 0 0 0 0");
	fx_send(c, "SUBSCRIBE 2 b/+ 0 +/b 0 a/# 0 # 0 +/+ 0 x/+ 0 d 0 +/b 0");
	fx_expect(c, "SUBACK 2 0 0 0 128 128 0 0 0");
	fx_send(c, "UNSUBSCRIBE 3 a/+ b/+");
	fx_expect(c, "UNSUBACK 3");
	fx_send(c, "SUBSCRIBE 4 # 0");
	fx_expect(c, "SUBACK 4 128");
	fx_send(c, "UNSUBSCRIBE 5 x/+");
	fx_expect(c, "UNSUBACK 5");
	fx_send(c, "SUBSCRIBE 6 # 0 a/+ 0");
	fx_expect(c, "SUBACK 6 0 128");
	fx_send(c, "UNSUBSCRIBE 7 a b c/c +/a +/b a/# # d");
	fx_expect(c, "UNSUBACK 7");
	ck_assert_uint_eq(w->trie.count, 0);
	ck_assert_uint_eq(w->shapes.count, 0);
	fx_send(c, "SUBSCRIBE 8 $share/g/a 0 $share/g/b 0 $share/h/a 0 $share/i/a 0 $share/j/a 0 $share/g/c 0 +/# 0");
	fx_expect(c, "SUBACK 8 0 0 0 0 128 0 128");
	fx_close(&fx);
}
END_TEST

/* What takes more memory counts more. */
START_TEST(weights)
{
	char filter[600];

	ck_assert_uint_eq(subs_weight(SLICE_LIT("a/b/c/d/e/f/g/h/i")), 1);
	ck_assert_uint_eq(subs_weight(SLICE_LIT("a/b/c/d/e/f/g/#")), 1);
	ck_assert_uint_eq(subs_weight(SLICE_LIT("a/b/c/d/e/f/g/h/#")), 2);
	memset(filter, 'a', sizeof filter);
	ck_assert_uint_eq(subs_weight(slice_of(filter, 255)), 1);
	ck_assert_uint_eq(subs_weight(slice_of(filter, 512)), 3);
	for (size_t i = 0; i < 256; i++)
		filter[i] = i % 2 ? '/' : '+';
	ck_assert_uint_eq(subs_weight(slice_of(filter, 256)), 2 + 16);
}
END_TEST

/* [MQTT-4.7.1-2] [MQTT-4.7.1-3] */
START_TEST(filters_that_are_none)
{
	static const char *const bad[] = { "SUBSCRIBE 1 a# 0", "SUBSCRIBE 1 a/#/b 0", "SUBSCRIBE 1 a+ 0", "SUBSCRIBE 1 ok 0 +a/b 0",
		"SUBSCRIBE 0 a 0" };
	struct fx_client *c;

	fx_open(&fx, 1, &fake_net, NULL);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		c = fx_connected(&fx, 0, "c", FX_CLEAN, false);
		fx_send(c, bad[i]);
		fx_expect(c, "END");
	}
	ck_assert_uint_eq(fx.w[0].worker->trie.count, 0);
	fx_close(&fx);
}
END_TEST

UNIT_MAIN("subs", put_and_replaced, as_bytes, a_durable_one_is_written, no_suback_before_it_is_written, suback_waits_for_the_neighbours, refused_filters,
    too_many_shapes, weights, filters_that_are_none)
