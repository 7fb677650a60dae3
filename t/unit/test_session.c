/* SPDX-License-Identifier: Apache-2.0
 * Sessions: made, found, ended, kept; what an idle one costs. */
#include "worker/session.h"

#include <stdio.h>
#include <string.h>

#include "common/base/rand.h"
#include "common/metrics/page.h"
#include "t/support/fake_cluster.h"
#include "t/support/unit.h"
#include "t/support/worker_fixture.h"
#include "worker/flow.h"
#include "worker/subs.h"
#include "worker/worker.h"

static struct fx fx;

static struct session *
get(struct worker *w, const char *id)
{
	return session_get(&w->sessions, slice_str(id), rand_hash(id, strlen(id)));
}

START_TEST(made_found_forgotten)
{
	static struct session *s[500];
	struct worker *w;
	char id[16];

	fx_open(&fx, 1, &fake_net, NULL);
	w = fx.w[0].worker;
	for (unsigned i = 0; i < 500; i++) {
		snprintf(id, sizeof id, "id%u", i);
		ck_assert_ptr_null(get(w, id));
		s[i] = session_new(w, slice_str(id), slice_str(i % 2 ? "u1" : "u2"), i % 3 ? 0 : SESSION_DURABLE);
		ck_assert_ptr_eq(get(w, id), s[i]);
		ck_assert(slice_eq(session_id(s[i]), slice_str(id)));
		ck_assert(slice_eq(session_account(s[i]), slice_str(i % 2 ? "u1" : "u2")));
	}
	ck_assert_uint_eq(METRIC_GET(sessions), 500);
	ck_assert_uint_eq(METRIC_GET(sessions_durable), 167);
	for (unsigned i = 0; i < 500; i += 2) {
		snprintf(id, sizeof id, "id%u", i);
		session_forget(w, s[i]);
		ck_assert_ptr_null(get(w, id));
	}
	ck_assert_uint_eq(METRIC_GET(sessions), 250);
	ck_assert_ptr_eq(get(w, "id499"), s[499]);
	fx_close(&fx);
	ck_assert_uint_eq(METRIC_GET(sessions), 0);
	ck_assert_uint_eq(METRIC_GET(sessions_durable), 0);
	ck_assert_uint_eq(METRIC_GET(subscriptions), 0);
}
END_TEST

/* However they come, sessions of an account share its name. */
START_TEST(names_are_shared)
{
	struct worker *w;
	struct session *a, *b, *c, *d, *e;

	fx_open(&fx, 1, &fake_net, NULL);
	w = fx.w[0].worker;
	a = session_new(w, SLICE_LIT("a"), SLICE_LIT("u"), 0);
	b = session_new(w, SLICE_LIT("b"), SLICE_LIT("u"), 0);
	d = session_new(w, SLICE_LIT("d"), SLICE_LIT("v"), 0);
	e = session_new(w, SLICE_LIT("e"), SLICE_LIT("u"), 0);
	c = session_new(w, SLICE_LIT("c"), slice_of(NULL, 0), 0);
	ck_assert_ptr_eq(a->account, b->account);
	ck_assert_ptr_eq(a->account, e->account);
	ck_assert_ptr_ne(a->account, d->account);
	ck_assert_uint_eq(w->sessions.accounts.count, 2);
	session_forget(w, d);
	ck_assert_uint_eq(w->sessions.accounts.count, 1);
	ck_assert_ptr_null(c->account);
	ck_assert_uint_eq(session_account(c).len, 0);
	session_forget(w, a);
	ck_assert(slice_eq(session_account(b), SLICE_LIT("u")));
	fx_close(&fx);
}
END_TEST

START_TEST(an_idle_session_holds_no_flow)
{
	struct fx_client *c;

	fx_open(&fx, 1, &fake_net, "session.max_age", "0", NULL);
	c = fx_connected(&fx, 0, "c", 0, false);
	ck_assert_ptr_null(get(fx.w[0].worker, "c")->flow);
	fx_send(c, "SUBSCRIBE 1 t 1");
	fx_expect(c, "SUBACK 1 1");
	fx_send(c, "PUBLISH t x qos=1,1");
	fx_expect(c, "PUBLISH t x qos=1,1");
	fx_expect(c, "PUBACK 1");
	ck_assert_ptr_nonnull(get(fx.w[0].worker, "c")->flow);
	fx_send(c, "PUBACK 1");
	fx_run(&fx);
	fx_client_close(c);
	fx_run(&fx);
	ck_assert_ptr_null(get(fx.w[0].worker, "c")->flow);
	fx_close(&fx);
}
END_TEST

/* What waits is counted, and dropped with the session. */
START_TEST(the_end_drops_what_waits)
{
	struct fx_client *c, *p;
	char text[64];

	fx_open(&fx, 1, &fake_net, "session.max_age", "10s", NULL);
	c = fx_connected(&fx, 0, "c", 0, false);
	fx_send(c, "SUBSCRIBE 1 t 1");
	fx_expect(c, "SUBACK 1 1");
	fx_client_close(c);
	p = fx_connected(&fx, 0, "p", FX_CLEAN, false);
	for (unsigned i = 1; i <= 7; i++) {
		snprintf(text, sizeof text, "PUBLISH t %u qos=1,%u", i, i);
		fx_send(p, text);
	}
	fx_run(&fx);
	ck_assert_uint_eq(METRIC_GET(queued), 7);
	fx_pass_ms(&fx, 10100);
	ck_assert_uint_eq(METRIC_GET(queued), 0);
	ck_assert_uint_eq(METRIC_GET(queued_bytes), 0);
	ck_assert_uint_eq(METRIC_GET(dropped_session_end), 7);
	ck_assert_uint_eq(METRIC_GET(sessions_expired), 1);
	ck_assert_uint_eq(METRIC_GET(subscriptions), 0);
	fx_close(&fx);
}
END_TEST

/* The setting comes and goes: so do the ids among the routes. */
START_TEST(ids_are_announced)
{
	struct fx_client *c, *p;

	fx_open(&fx, 2, &fake_net, "features.direct_messaging", "false", NULL);
	c = fx_connected(&fx, 0, "c", FX_CLEAN, false);
	p = fx_connected(&fx, 1, "p", FX_CLEAN, false);
	fx_send(p, "PUBLISH c one");
	fx_expect(c, "");
	fx_set(&fx, "features.direct_messaging", "true");
	fx_send(p, "PUBLISH c two");
	fx_expect(c, "PUBLISH c two");
	fx_set(&fx, "features.direct_messaging", "false");
	METRIC_SET(link_msgs_in, 0);
	fx_send(p, "PUBLISH c three");
	fx_expect(c, "");
	ck_assert_uint_eq(METRIC_GET(link_msgs_in), 0);
	fx_close(&fx);
}
END_TEST

/* A graceful stop keeps window, QoS 2 ids and queue over the restart; and so does a death after it. */
START_TEST(over_a_graceful_stop)
{
	struct fx_client *c, *p;

	fx_open(&fx, 1, &fake_net, "session.max_inflight", "3", NULL);
	c = fx_connected(&fx, 0, "c", 0, false);
	fx_send(c, "SUBSCRIBE 1 t 2");
	fx_expect(c, "SUBACK 1 2");
	p = fx_connected(&fx, 0, "p", FX_CLEAN, false);
	fx_send(p, "PUBLISH t 1 qos=1,1");
	fx_send(p, "PUBLISH t 2 qos=2,2");
	fx_send(p, "PUBLISH t 3 qos=2,3");
	fx_send(p, "PUBLISH t 4 qos=1,4");
	fx_expect(c, "PUBLISH t 1 qos=1,1");
	fx_expect(c, "PUBLISH t 2 qos=2,2");
	fx_expect(c, "PUBLISH t 3 qos=2,3");
	fx_send(c, "PUBREC 2");
	fx_expect(c, "PUBREL 2");
	fx_send(c, "PUBLISH u x qos=2,50");
	fx_expect(c, "PUBREC 50");
	fx_sup_stop(&fx, 0);
	fx_pass_ms(&fx, 3000);
	ck_assert(!loop_turn(fx.w[0].loop, false));
	fx_worker_kill(&fx, 0);
	for (unsigned again = 0; again < 2; again++) {
		fx_worker_start(&fx, 0);
		fx_run(&fx);
		c = fx_connected(&fx, 0, "c", 0, true);
		if (!again)
			fx_expect(c, "PUBLISH t 1 qos=1,1 dup");
		fx_expect(c, "PUBREL 2");
		fx_expect(c, "PUBLISH t 3 qos=2,3 dup");
		if (again)
			break;
		fx_expect(c, "");
		fx_send(c, "PUBLISH u x qos=2,50 dup");
		fx_expect(c, "PUBREC 50");
		fx_send(c, "PUBACK 1");
		fx_expect(c, "PUBLISH t 4 qos=1,4 dup");
		fx_worker_kill(&fx, 0);
	}
	fx_expect(c, "PUBLISH t 4 qos=1,4 dup");
	fx_send(c, "PUBCOMP 2");
	fx_send(c, "PUBREC 3");
	fx_expect(c, "PUBREL 3");
	fx_send(c, "PUBCOMP 3");
	fx_send(c, "PUBACK 4");
	fx_expect(c, "");
	ck_assert_uint_eq(fake_queue_count(&fx.store, 0), 0);
	fx_close(&fx);
}
END_TEST

/* Its age goes with its row: a worker that dies does not make it young again. */
START_TEST(it_grows_old_over_deaths)
{
	unsigned writes;

	fx_open(&fx, 1, &fake_net, "session.max_age", "80s", NULL);
	fx_client_close(fx_connected(&fx, 0, "a", 0, false));
	fx_pass_ms(&fx, 40000);
	writes = fx.store.writes;
	for (int i = 0; i < 3; i++) {
		fx_worker_kill(&fx, 0);
		fx_worker_start(&fx, 0);
		fx_pass_ms(&fx, 5000);
	}
	ck_assert_uint_eq(fx.store.writes, writes);
	fx_worker_kill(&fx, 0);
	fx_worker_start(&fx, 0);
	fx_pass_ms(&fx, 24000);
	ck_assert(fake_store_row(&fx.store, "a"));
	fx_pass_ms(&fx, 2000);
	ck_assert(!fake_store_row(&fx.store, "a"));
	fx_close(&fx);
}
END_TEST

/* A worker that never lives long gets it older as well, if more slowly: what was not written is forgotten. */
START_TEST(it_grows_old_in_short_lives)
{
	int lives = 0;

	fx_open(&fx, 1, &fake_net, "session.max_age", "80s", NULL);
	fx_client_close(fx_connected(&fx, 0, "a", 0, false));
	for (; fake_store_row(&fx.store, "a") && lives < 40; lives++) {
		fx_pass_ms(&fx, 12000);
		fx_worker_kill(&fx, 0);
		fx_worker_start(&fx, 0);
		fx_run(&fx);
	}
	ck_assert_int_gt(lives, 5);
	ck_assert_int_lt(lives, 20);
	fx_close(&fx);
}
END_TEST

START_TEST(a_short_absence_is_not_written)
{
	struct fx_client *c;
	unsigned writes;

	fx_open(&fx, 1, &fake_net, "session.max_age", "64m", NULL);
	c = fx_connected(&fx, 0, "a", 0, false);
	writes = fx.store.writes;
	for (int i = 0; i < 100; i++) {
		fx_client_close(c);
		fx_pass_ms(&fx, 7000);
		c = fx_connected(&fx, 0, "a", 0, true);
	}
	ck_assert_uint_eq(fx.store.writes, writes);
	fx_close(&fx);
}
END_TEST

START_TEST(who_was_back_is_young_again)
{
	fx_open(&fx, 2, &fake_net, "session.max_age", "80s", NULL);
	fx_client_close(fx_connected(&fx, 0, "a", 0, false));
	fx_pass_ms(&fx, 70000);
	fx_connected(&fx, 1, "a", 0, true);
	fx_run(&fx);
	fx_worker_kill(&fx, 1);
	fx_worker_start(&fx, 1);
	fx_pass_ms(&fx, 79000);
	ck_assert(fake_store_row(&fx.store, "a"));
	fx_pass_ms(&fx, 2000);
	ck_assert(!fake_store_row(&fx.store, "a"));
	fx_close(&fx);
}
END_TEST

/* One that was about to end when the node went down: its client gets a chance. */
START_TEST(a_loaded_one_has_a_chance)
{
	fx_open(&fx, 1, &fake_net, "session.max_age", "80s", NULL);
	fx_client_close(fx_connected(&fx, 0, "a", 0, false));
	fx_pass_ms(&fx, 79900);
	fx_worker_kill(&fx, 0);
	fx_worker_start(&fx, 0);
	fx_pass_ms(&fx, 9900);
	ck_assert(fake_store_row(&fx.store, "a"));
	fx_pass_ms(&fx, 200);
	ck_assert(!fake_store_row(&fx.store, "a"));
	fx_close(&fx);
}
END_TEST

UNIT_MAIN("session", made_found_forgotten, names_are_shared, an_idle_session_holds_no_flow, the_end_drops_what_waits,
    ids_are_announced, over_a_graceful_stop,
    it_grows_old_over_deaths, it_grows_old_in_short_lives, a_short_absence_is_not_written, who_was_back_is_young_again,
    a_loaded_one_has_a_chance)
