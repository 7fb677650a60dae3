/* SPDX-License-Identifier: Apache-2.0
 * Asking the store: what is answered and what not, in which order, and what its successor gets. */
#include "worker/storec.h"

#include <stdio.h>
#include <string.h>

#include "cluster/cluster.h"
#include "common/base/err.h"
#include "common/ipc/chan.h"
#include "common/metrics/page.h"
#include "t/support/fake_cluster.h"
#include "t/support/unit.h"
#include "t/support/worker_fixture.h"
#include "worker/worker.h"

static struct fx fx;

static struct {
	unsigned count;
	int err[64];
	int which[64];
} done;

static int one = 1, two = 2, three = 3;

static void
on_done(void *arg, int err)
{
	done.which[done.count] = *(int *)arg;
	done.err[done.count++] = err;
}

static struct storec *
start(void)
{
	fx_open(&fx, 1, &fake_net, NULL);
	memset(&done, 0, sizeof done);
	return fx.w[0].worker->store;
}

static uint64_t
retain(struct storec *s, const char *topic, const char *payload, int *arg)
{
	const struct cluster_pub p = { .topic = slice_str(topic), .payload = slice_str(payload), .qos = 1, .retain = true };

	(void)storec_retain(s, &p, false, arg != NULL ? on_done : NULL, arg);
	return storec_last_seq(s);
}

/* One DONE for many; each is told once, in order. */
START_TEST(cumulative)
{
	struct storec *s = start();

	fx.store.hold_commits = true;
	ck_assert_uint_eq(retain(s, "a", "1", &one), 1);
	ck_assert_uint_eq(retain(s, "b", "2", NULL), 2);
	ck_assert_uint_eq(retain(s, "c", "3", &two), 3);
	ck_assert_uint_eq(storec_last_seq(s), 3);
	fx_run(&fx);
	ck_assert_uint_eq(done.count, 0);
	ck_assert(!storec_idle(s));
	fx.store.hold_commits = false;
	fx_run(&fx);
	ck_assert_uint_eq(done.count, 2);
	ck_assert_int_eq(done.which[0], 1);
	ck_assert_int_eq(done.which[1], 2);
	ck_assert_int_eq(done.err[0] | done.err[1], 0);
	ck_assert(storec_idle(s));
	ck_assert_str_eq(fake_store_retained(&fx.store, "b"), "2");
	fx_close(&fx);
}
END_TEST

/* One that fails among others that do not. */
START_TEST(failures_are_of_one)
{
	struct storec *s = start();

	fx.store.hold_commits = true;
	retain(s, "a", "1", &one);
	fx_run(&fx);
	fx.store.fail_writes = FB_EDISK;
	retain(s, "b", "2", &two);
	fx_run(&fx);
	fx.store.fail_writes = 0;
	retain(s, "c", "3", &three);
	fx_run(&fx);
	fx.store.hold_commits = false;
	fx_run(&fx);
	ck_assert_uint_eq(done.count, 3);
	ck_assert_int_eq(done.err[0], 0);
	ck_assert_int_eq(done.err[1], FB_EDISK);
	ck_assert_int_eq(done.err[2], 0);
	ck_assert_ptr_null(fake_store_retained(&fx.store, "b"));
	fx_close(&fx);
}
END_TEST

static struct write *
retain_patiently(struct storec *s, const char *topic, const char *payload, int *arg)
{
	const struct cluster_pub p = { .topic = slice_str(topic), .payload = slice_str(payload), .qos = 1, .retain = true };

	return storec_retain(s, &p, true, on_done, arg);
}

/* What is refused waits, and what comes for its topic as well; another deletion needs no room and goes at once. */
START_TEST(refused_and_deleted)
{
	struct storec *s = start();
	struct cluster_pub q0 = { .topic = SLICE_LIT("a"), .payload = SLICE_LIT("q0"), .retain = true };

	fake_store_retain(&fx.store, "b", "old", 1);
	fx.store.fail_writes = FB_EDISK;
	(void)retain_patiently(s, "a", "1", &one);
	fx_run(&fx);
	fx.store.fail_writes = 0;
	ck_assert_uint_eq(done.count, 0);
	(void)retain_patiently(s, "b", "", &two);
	(void)retain_patiently(s, "a", "", &three);
	ck_assert_ptr_null(storec_retain(s, &q0, false, NULL, NULL));
	ck_assert_uint_eq(METRIC_GET(dropped_store_full), 1);
	fx_run(&fx);
	ck_assert(done.count == 1 && done.which[0] == 2 && done.err[0] == 0);
	ck_assert_ptr_null(fake_store_retained(&fx.store, "b"));
	fx_pass_ms(&fx, 1100);
	ck_assert(done.count == 3 && done.which[1] == 1 && done.which[2] == 3);
	ck_assert_int_eq(done.err[1] | done.err[2], 0);
	ck_assert_ptr_null(fake_store_retained(&fx.store, "a"));
	fx_close(&fx);
}
END_TEST

/* One that was sent behind the refused one is still to be answered: until then that one is not sent again. */
START_TEST(refused_and_overtaken)
{
	struct storec *s = start();

	fx.store.fail_writes = FB_EDISK;
	(void)retain_patiently(s, "a", "1", &one);
	(void)loop_turn(fx.w[0].loop, false);
	(void)loop_turn(fx.loop, false);
	fx.store.fail_writes = 0;
	fx.store.hold_commits = true;
	(void)retain_patiently(s, "c", "2", &two);
	(void)retain_patiently(s, "a", "", &three);
	fx_run(&fx);
	fx.store.hold_commits = false;
	fx_run(&fx);
	fx_pass_ms(&fx, 1100);
	ck_assert_uint_eq(done.count, 3);
	ck_assert_ptr_null(fake_store_retained(&fx.store, "a"));
	fx_close(&fx);
}
END_TEST

/* Somebody goes while his waits, on its way or refused; and a worker stops. */
START_TEST(refused_and_given_up)
{
	struct storec *s = start();
	struct write *wr;

	fx.store.fail_writes = FB_EDISK;
	wr = retain_patiently(s, "a", "1", &one);
	storec_retain_impatient(s, wr);
	ck_assert_uint_eq(done.count, 0);
	fx_run(&fx);
	ck_assert(done.count == 1 && done.which[0] == 1 && done.err[0] == FB_EDISK);
	wr = retain_patiently(s, "b", "2", &two);
	(void)retain_patiently(s, "c", "3", &three);
	fx_run(&fx);
	storec_retain_impatient(s, wr);
	ck_assert(done.count == 2 && done.which[1] == 2 && done.err[1] != 0);
	storec_stop(s);
	ck_assert(done.count == 3 && done.which[2] == 3 && done.err[2] != 0);
	ck_assert(storec_idle(s));
	fx.store.fail_writes = 0;
	fx_pass_ms(&fx, 1100);
	ck_assert_ptr_null(fake_store_retained(&fx.store, "c"));
	fx_close(&fx);
}
END_TEST

/* The end of a session that somebody waits for is tried until it is done: each second, by a new store at once. */
START_TEST(refused_ends_of_sessions)
{
	struct storec *s = start();

	(void)fx_connected(&fx, 0, "x", 0, false);
	ck_assert(fake_store_row(&fx.store, "x"));
	fx.store.fail_writes = FB_EIO;
	(void)storec_session_del(s, SLICE_LIT("x"), on_done, &one);
	fx_pass_ms(&fx, 3500);
	ck_assert(done.count == 0 && !storec_idle(s) && fake_store_row(&fx.store, "x"));
	fx.store.fail_writes = 0;
	fx_pass_ms(&fx, 1100);
	ck_assert(done.count == 1 && done.err[0] == 0 && storec_idle(s) && !fake_store_row(&fx.store, "x"));
	/* Nobody waits; it is another's; a worker stops. */
	fx.store.fail_writes = FB_EIO;
	(void)storec_session_del(s, SLICE_LIT("x"), NULL, NULL);
	fx_run(&fx);
	ck_assert(storec_idle(s));
	fx.store.fail_writes = FB_EOWNER;
	(void)storec_session_del(s, SLICE_LIT("x"), on_done, &two);
	fx_run(&fx);
	ck_assert(done.count == 2 && done.err[1] == FB_EOWNER);
	fx.store.fail_writes = FB_EIO;
	(void)storec_session_del(s, SLICE_LIT("x"), on_done, &three);
	fx_run(&fx);
	ck_assert_uint_eq(done.count, 2);
	storec_stop(s);
	ck_assert(done.count == 3 && done.err[2] != 0 && storec_idle(s));
	fx.store.fail_writes = 0;
	fx_close(&fx);
}
END_TEST

/* Many, of which some are refused and some not: the newest of each topic stays. */
START_TEST(refused_now_and_then)
{
	struct storec *s = start();
	char topic[2] = "a";
	char payload[8];

	for (unsigned i = 0; i < 60; i++) {
		topic[0] = (char)('a' + i % 3);
		snprintf(payload, sizeof payload, "%u", i);
		fx.store.fail_writes = i % 7 < 4 ? FB_EIO : 0;
		(void)retain_patiently(s, topic, payload, &one);
		fx_run(&fx);
	}
	fx.store.fail_writes = 0;
	fx_pass_ms(&fx, 1100);
	ck_assert_uint_eq(done.count, 60);
	for (unsigned i = 0; i < 60; i++)
		ck_assert_int_eq(done.err[i], 0);
	ck_assert_str_eq(fake_store_retained(&fx.store, "a"), "57");
	ck_assert_str_eq(fake_store_retained(&fx.store, "b"), "58");
	ck_assert_str_eq(fake_store_retained(&fx.store, "c"), "59");
	fx_close(&fx);
}
END_TEST

/* The store dies with some written, some on the way, some not sent: its successor gets what was not answered. */
START_TEST(sent_again)
{
	struct storec *s = start();

	retain(s, "a", "1", &one);
	fx_run(&fx);
	fx.store.hold_commits = true;
	retain(s, "b", "2", &two);
	fx_run(&fx);
	fx_store_kill(&fx);
	retain(s, "c", "3", &three);
	fx_run(&fx);
	ck_assert_uint_eq(done.count, 1);
	fx.store.hold_commits = false;
	fx.store.writes = 0;
	fx_store_start(&fx);
	fx_run(&fx);
	ck_assert_uint_eq(fx.store.writes, 2);
	ck_assert_uint_eq(done.count, 3);
	ck_assert_int_eq(done.which[1], 2);
	ck_assert_int_eq(done.which[2], 3);
	ck_assert_str_eq(fake_store_retained(&fx.store, "b"), "2");
	ck_assert_str_eq(fake_store_retained(&fx.store, "c"), "3");
	fx_close(&fx);
}
END_TEST

/* Committed, but the answer was lost: it is answered, not applied, when it comes again. */
START_TEST(applied_once)
{
	struct storec *s = start();

	fx_run(&fx);
	retain(s, "a", "1", &one);
	/* The worker's bytes go out, the store commits, its answer is not read. */
	(void)loop_turn(fx.w[0].loop, false);
	(void)loop_turn(fx.loop, false);
	ck_assert(fake_store_step(&fx.store));
	ck_assert_str_eq(fake_store_retained(&fx.store, "a"), "1");
	ck_assert_uint_eq(done.count, 0);
	fx_store_kill(&fx);
	fake_store_retain(&fx.store, "a", "newer", 0);
	fx_store_start(&fx);
	fx_run(&fx);
	ck_assert_uint_eq(done.count, 1);
	ck_assert_int_eq(done.err[0], 0);
	ck_assert_uint_eq(fx.store.repeated, 1);
	ck_assert_str_eq(fake_store_retained(&fx.store, "a"), "newer");
	fx_close(&fx);
}
END_TEST

static struct store_get get;
static unsigned rows_came;

static void
on_rows(struct store_get *g, const struct ipc_retain_rows *rows)
{
	ck_assert_ptr_eq(g, &get);
	rows_came++;
}

START_TEST(gets_and_cancels)
{
	struct storec *s = start();

	fake_store_retain(&fx.store, "t", "x", 0);
	get.filter = SLICE_LIT("t");
	get.done = on_rows;
	storec_retain_get(s, &get);
	fx_run(&fx);
	ck_assert_uint_eq(rows_came, 1);
	fx.store.hold_gets = true;
	storec_retain_get(s, &get);
	fx_run(&fx);
	storec_retain_cancel(s, &get);
	fx.store.hold_gets = false;
	fx_run(&fx);
	ck_assert_uint_eq(rows_came, 1);
	fx_close(&fx);
}
END_TEST

static unsigned opened;
static uint64_t stamp_of[2];            /* x, y */

static void
on_opened(struct store_open *o, const struct ipc_opened *a)
{
	ck_assert_int_eq(a->code, 0);
	stamp_of[o->client_id.p[0] - 'x'] = a->stamp;
	opened++;
}

/* No store: requests wait for one. */
START_TEST(before_there_is_a_store)
{
	struct storec *s = start();
	struct store_open o = { .client_id = SLICE_LIT("x"), .flags = OPEN_CLEAN, .done = on_opened };

	fx_store_kill(&fx);
	fx_run(&fx);
	storec_open(s, &o);
	storec_give_up(s, SLICE_LIT("y"), 1);
	retain(s, "t", "1", &one);
	fx_run(&fx);
	ck_assert_uint_eq(opened, 0);
	fx_store_start(&fx);
	fx_run(&fx);
	ck_assert_uint_eq(opened, 1);
	ck_assert_uint_eq(done.count, 1);
	ck_assert_int_eq(fake_store_owner(&fx.store, "x"), 0);
	fx_close(&fx);
}
END_TEST

/* The id goes behind the writes before it; a store that comes later is not told at all. */
START_TEST(an_id_goes_behind_the_writes)
{
	struct storec *s = start();
	struct store_open x = { .client_id = SLICE_LIT("x"), .flags = OPEN_CLEAN, .done = on_opened };
	struct store_open y = { .client_id = SLICE_LIT("y"), .flags = OPEN_CLEAN, .done = on_opened };

	storec_open(s, &x);
	storec_open(s, &y);
	fx_run(&fx);
	fx.store.hold_commits = true;
	ck_assert_uint_eq(storec_last_unanswered(s), 0);
	retain(s, "t", "1", &one);
	storec_let_go(s, SLICE_LIT("x"), stamp_of["x"[0] - 'x']);
	ck_assert_uint_eq(storec_last_unanswered(s), 1);
	fx_run(&fx);
	ck_assert_int_eq(fake_store_owner(&fx.store, "x"), 0);
	retain(s, "t", "2", &two);
	fx.store.hold_commits = false;
	fx_run(&fx);
	ck_assert_int_eq(fake_store_owner(&fx.store, "x"), -1);
	ck_assert_int_eq(fake_store_owner(&fx.store, "y"), 0);
	storec_let_go(s, SLICE_LIT("y"), stamp_of["y"[0] - 'x']);
	fx_run(&fx);
	ck_assert_int_eq(fake_store_owner(&fx.store, "y"), -1);
	fx_close(&fx);
}
END_TEST

/* Without a filter: when the writes are applied. */
START_TEST(told_when_applied)
{
	struct storec *s = start();
	struct buf min = { 0 };

	fx.store.hold_commits = true;
	retain(s, "t", "1", &one);
	buf_put_le16(&min, 0);
	buf_put_le64(&min, fx.w[0].worker->epoch);
	buf_put_le64(&min, 1);
	rows_came = 0;
	get = (struct store_get){ .min = buf_slice(&min), .done = on_rows };
	storec_retain_get(s, &get);
	fx_run(&fx);
	ck_assert_uint_eq(rows_came, 0);
	fx.store.hold_commits = false;
	fx_run(&fx);
	ck_assert_uint_eq(rows_came, 1);
	buf_fini(&min);
	fx_close(&fx);
}
END_TEST

UNIT_MAIN("storec", cumulative, failures_are_of_one, refused_and_deleted, refused_and_overtaken, refused_and_given_up,
    refused_ends_of_sessions, refused_now_and_then, sent_again, applied_once, gets_and_cancels,
    before_there_is_a_store, an_id_goes_behind_the_writes, told_when_applied)
