/* SPDX-License-Identifier: Apache-2.0
 * The stream of changes to the queues on disk: gathered, answered in order, sent again to a new store, refused for a
 * while; and reading them. */
#include "worker/queuec.h"

#include <stdlib.h>
#include <string.h>

#include "cluster/cluster.h"
#include "common/base/err.h"
#include "common/base/mem.h"
#include "common/metrics/page.h"
#include "t/support/fake_cluster.h"
#include "t/support/unit.h"
#include "t/support/worker_fixture.h"
#include "worker/worker.h"

#define A UINT64_C(0xa0001)
#define B UINT64_C(0xb0001)

static struct fx fx;
static int one = 1, two = 2, three = 3;

static struct {
	unsigned count;
	int which[64];
	bool skipped[64][4];
} done;

static void
on_done(void *arg, const struct queue_answer *a)
{
	done.which[done.count] = *(int *)arg;
	for (unsigned i = 0; i < 4; i++)
		done.skipped[done.count][i] = queuec_skipped(a, i);
	done.count++;
}

static struct queuec *
start(void)
{
	fx_open(&fx, 1, &fake_net, NULL);
	memset(&done, 0, sizeof done);
	return fx.w[0].worker->queue;
}

static void
put_to(struct queuec *q, uint64_t id, const char *payload, uint64_t qid, uint64_t n, uint64_t qid2, uint64_t n2, int *arg)
{
	const struct cluster_pub p = { .topic = SLICE_LIT("t"), .payload = slice_str(payload), .qos = id != 0 ? 2 : 1, .qos2_id = id };
	const struct qitem items[] = { { .qid = qid, .n = n, .flags = 1 }, { .qid = qid2, .n = n2, .flags = 1 } };

	queuec_put(q, &p, items, qid2 != 0 ? 2 : 1, arg != NULL ? on_done : NULL, arg);
}

static void
put(struct queuec *q, uint64_t n, const char *payload, int *arg)
{
	put_to(q, 0, payload, A, n, 0, 0, arg);
}

static void
expect_row(uint64_t qid, uint64_t n, const char *payload)
{
	const char *is = fake_queue_row(&fx.store, qid, n);

	ck_assert_msg(is != NULL, "row %u", (unsigned)n);
	ck_assert_str_eq(is, payload);
}

/* Whatever changes in a turn goes in one message; each is told once, in order. */
START_TEST(one_message_a_turn)
{
	struct queuec *q = start();

	ck_assert(queuec_idle(q));
	put(q, 1, "1", &one);
	put_to(q, 0, "2", A, 2, B, 1, &two);
	queuec_released(q, A, 1, on_done, &three);
	queuec_del(q, B, 1);
	ck_assert(!queuec_idle(q));
	fx.store.hold_queue = true;
	fx_run(&fx);
	ck_assert_uint_eq(fx.store.queue_ops, 1);
	ck_assert_uint_eq(done.count, 0);
	ck_assert_uint_gt(METRIC_GET(queue_unanswered), 0);
	fx.store.hold_queue = false;
	fx_run(&fx);
	ck_assert_uint_eq(done.count, 3);
	ck_assert(done.which[0] == 1 && done.which[1] == 2 && done.which[2] == 3);
	ck_assert(queuec_idle(q));
	expect_row(A, 1, "released");
	expect_row(A, 2, "2");
	ck_assert_uint_eq(fake_queue_count(&fx.store, 0), 2);
	ck_assert_uint_eq(METRIC_GET(queue_writes), 4);
	ck_assert_uint_eq(METRIC_GET(queue_unanswered), 0);
	fx_close(&fx);
}
END_TEST

START_TEST(the_other_changes)
{
	struct queuec *q = start();

	for (uint64_t n = 1; n <= 5; n++)
		put(q, n, "x", NULL);
	put_to(q, UINT64_C(0xb0005), "y", A, 6, 0, 0, NULL);
	put_to(q, UINT64_C(0xb0006), "y", A, 7, 0, 0, NULL);
	queuec_trim(q, A, 2, 2);
	queuec_forget_id(q, UINT64_C(0xb0005), on_done, &one);
	fx_run(&fx);
	ck_assert_uint_eq(done.count, 1);
	ck_assert_uint_eq(fake_queue_count(&fx.store, A), 5);
	ck_assert_ptr_null(fake_queue_row(&fx.store, A, 2));
	ck_assert_ptr_null(fake_queue_row(&fx.store, A, 3));
	ck_assert(!fake_queue_seen(&fx.store, UINT64_C(0xb0005), A));
	ck_assert(fake_queue_seen(&fx.store, UINT64_C(0xb0006), A));
	queuec_drop(q, A);
	queuec_drop(q, B);
	fx_run(&fx);
	ck_assert_uint_eq(fake_queue_count(&fx.store, 0), 0);
	ck_assert(!fake_queue_seen(&fx.store, UINT64_C(0xb0006), A));
	fx_close(&fx);
}
END_TEST

/* Much in one turn goes in parts. */
START_TEST(much_in_a_turn)
{
	struct queuec *q = start();
	char text[1025] = "";

	memset(text, 'x', 1024);
	for (uint64_t n = 1; n <= 100; n++)
		put(q, n, text, n == 100 ? &one : NULL);
	fx_run(&fx);
	ck_assert_uint_eq(fx.store.queue_ops, 4);
	ck_assert_uint_eq(fake_queue_count(&fx.store, A), 100);
	ck_assert_uint_eq(done.count, 1);
	fx_close(&fx);
}
END_TEST

/* For each item of a PUT that its session has had. */
START_TEST(skipped)
{
	struct queuec *q = start();
	const uint64_t id = UINT64_C(0xc0001);

	put_to(q, id, "1", B, 1, 0, 0, &one);
	fx_run(&fx);
	queuec_del(q, B, 1);
	put_to(q, 0, "2", A, 1, B, 2, &two);
	put_to(q, id, "1", A, 2, B, 3, &three);
	fx_run(&fx);
	ck_assert_uint_eq(done.count, 3);
	ck_assert(!done.skipped[0][0]);
	ck_assert(!done.skipped[1][0] && !done.skipped[1][1]);
	ck_assert(!done.skipped[2][0] && done.skipped[2][1]);
	ck_assert_ptr_null(fake_queue_row(&fx.store, B, 3));
	fx_close(&fx);
}
END_TEST

START_TEST(skipped_among_many)
{
	uint8_t bytes[] = { 3, 0, 0, 0, 5, 0, 0, 0, 1, 1, 0, 0 };
	struct queue_answer a = { .skipped = { bytes, sizeof bytes }, .first = 3 };

	ck_assert(queuec_skipped(&a, 0) && queuec_skipped(&a, 2) && queuec_skipped(&a, 254));
	ck_assert(!queuec_skipped(&a, 1) && !queuec_skipped(&a, 3) && !queuec_skipped(&a, 255));
	a.skipped.len = 0;
	ck_assert(!queuec_skipped(&a, 0));
}
END_TEST

START_TEST(cancelled)
{
	struct queuec *q = start();

	fx.store.hold_queue = true;
	put(q, 1, "1", &one);
	fx_run(&fx);
	put(q, 2, "2", &two);
	put(q, 3, "3", &one);
	queuec_cancel(q, &one);
	fx.store.hold_queue = false;
	fx_run(&fx);
	ck_assert_uint_eq(done.count, 1);
	ck_assert_int_eq(done.which[0], 2);
	fx_close(&fx);
}
END_TEST

/* The store dies with some written, some on the way, some not sent. */
START_TEST(sent_again)
{
	struct queuec *q = start();

	put(q, 1, "1", &one);
	fx_run(&fx);
	fx.store.hold_queue = true;
	put(q, 2, "2", &two);
	fx_run(&fx);
	put(q, 3, "3", NULL);
	fx_run(&fx);
	fx_store_kill(&fx);
	fx_run(&fx);
	put(q, 4, "4", &three);
	fx_run(&fx);
	ck_assert_uint_eq(done.count, 1);
	fx.store.hold_queue = false;
	fx.store.queue_ops = 0;
	fx_store_start(&fx);
	fx_run(&fx);
	ck_assert_uint_eq(fx.store.queue_ops, 3);
	ck_assert_uint_eq(done.count, 3);
	ck_assert(done.which[1] == 2 && done.which[2] == 3);
	expect_row(A, 2, "2");
	expect_row(A, 3, "3");
	expect_row(A, 4, "4");
	ck_assert(queuec_idle(q));
	fx_close(&fx);
}
END_TEST

/* Written, but the answer was lost: not applied again, and what was skipped is said again. */
START_TEST(applied_once)
{
	struct queuec *q = start();
	const uint64_t id = UINT64_C(0xc0001);

	put_to(q, id, "1", B, 1, 0, 0, NULL);
	queuec_del(q, B, 1);
	fx_run(&fx);
	put_to(q, id, "1", A, 1, B, 2, &one);
	/* The worker's bytes go out, the store commits, its answer is not read. */
	(void)loop_turn(fx.w[0].loop, false);
	(void)loop_turn(fx.loop, false);
	ck_assert(fake_store_step(&fx.store));
	expect_row(A, 1, "1");
	ck_assert_uint_eq(done.count, 0);
	fx_store_kill(&fx);
	fx_store_start(&fx);
	fx_run(&fx);
	ck_assert_uint_eq(fx.store.queue_repeated, 1);
	ck_assert_uint_eq(done.count, 1);
	ck_assert(!done.skipped[0][0] && done.skipped[0][1]);
	ck_assert_uint_eq(fake_queue_count(&fx.store, 0), 1);
	fx_close(&fx);
}
END_TEST

/* No room: nothing is told, nothing overtakes, and when there is room all is written in order. */
START_TEST(refused)
{
	struct queuec *q = start();

	fx.store.hold_queue = true;
	put(q, 1, "1", &one);
	fx_run(&fx);
	put(q, 2, "2", NULL);
	fx_run(&fx);
	fx.store.fail_queue = FB_EDISK;
	fx.store.hold_queue = false;
	fx_run(&fx);
	ck_assert(queuec_refusing(q));
	ck_assert_uint_eq(METRIC_GET(queue_refused), 1);
	queuec_del(q, A, 2);
	put(q, 3, "3", &two);
	fx_run(&fx);
	fx.store.queue_ops = 0;
	fx_pass_ms(&fx, 3100);
	/* One asks for all of them. */
	ck_assert_uint_eq(fx.store.queue_ops, 3);
	ck_assert_uint_eq(METRIC_GET(queue_refused), 4);
	ck_assert_uint_eq(done.count, 0);
	ck_assert(!queuec_idle(q));
	fx.store.fail_queue = 0;
	put(q, 4, "4", &three);
	fx_run(&fx);
	ck_assert_uint_eq(done.count, 0);
	fx_pass_ms(&fx, 1100);
	ck_assert_uint_eq(done.count, 3);
	ck_assert(done.which[0] == 1 && done.which[1] == 2 && done.which[2] == 3);
	ck_assert(!queuec_refusing(q));
	ck_assert(queuec_idle(q));
	ck_assert_ptr_null(fake_queue_row(&fx.store, A, 2));
	expect_row(A, 3, "3");
	expect_row(A, 4, "4");
	fx_close(&fx);
}
END_TEST

/* The store dies while it refuses: its successor gets all in order. */
START_TEST(refused_then_another_store)
{
	struct queuec *q = start();

	fx.store.fail_queue = FB_EIO;
	put(q, 1, "1", &one);
	fx_run(&fx);
	put(q, 2, "2", &two);
	fx_run(&fx);
	fx_store_kill(&fx);
	fx_pass_ms(&fx, 1500);
	ck_assert(queuec_refusing(q));
	fx.store.fail_queue = 0;
	fx_store_start(&fx);
	fx_run(&fx);
	ck_assert_uint_eq(done.count, 2);
	ck_assert(!queuec_refusing(q));
	expect_row(A, 2, "2");
	fx_close(&fx);
}
END_TEST

static unsigned waited;

static void
on_waited(struct queue_wait *w)
{
	(void)w;
	waited++;
}

START_TEST(waits)
{
	struct queuec *q = start();
	struct queue_wait first = { 0 }, second = { 0 }, third = { 0 };

	waited = 0;
	queuec_wait(q, &first, on_waited);
	ck_assert_uint_eq(waited, 1);
	queuec_wait_cancel(&first);
	fx.store.hold_queue = true;
	put(q, 1, "1", NULL);
	queuec_wait(q, &first, on_waited);
	fx_run(&fx);
	queuec_wait(q, &second, on_waited);
	queuec_wait(q, &third, on_waited);
	queuec_wait_cancel(&third);
	queuec_wait_cancel(&third);
	ck_assert_uint_eq(waited, 1);
	fx.store.hold_queue = false;
	fx_run(&fx);
	ck_assert_uint_eq(waited, 3);
	fx_close(&fx);
}
END_TEST

static struct {
	unsigned count, rows;
	uint64_t last;
	bool more;
} got;

static void
on_rows(struct queue_get *g, const struct ipc_q_rows *p)
{
	struct slice s = p->rows;
	struct qrow r;

	(void)g;
	got.count++;
	got.rows = 0;
	got.more = p->more != 0;
	ck_assert_uint_eq(p->code, 0);
	while (qrow_take(&s, &r) == 0) {
		got.rows++;
		got.last = r.n;
	}
}

static void
ask(struct queuec *q, struct queue_get *g, uint64_t from, uint32_t max_rows)
{
	memset(&got, 0, sizeof got);
	*g = (struct queue_get){ .qid = A, .from = from, .max_rows = max_rows, .max_bytes = 65536, .done = on_rows };
	queuec_get(q, g);
}

START_TEST(reads)
{
	struct queuec *q = start();
	struct queue_get g;

	for (uint64_t n = 1; n <= 5; n++)
		put(q, n, "x", NULL);
	ask(q, &g, 2, 3);
	fx_run(&fx);
	ck_assert(got.count == 1 && got.rows == 3 && got.last == 4 && got.more);
	/* All changes so far are seen, whether there is a store or not. */
	fx_store_kill(&fx);
	fx_run(&fx);
	queuec_del(q, A, 5);
	put(q, 6, "x", NULL);
	ask(q, &g, 5, 3);
	fx_run(&fx);
	ck_assert_uint_eq(got.count, 0);
	fx_store_start(&fx);
	fx_run(&fx);
	ck_assert(got.count == 1 && got.rows == 1 && got.last == 6 && !got.more);
	ask(q, &g, 1, 3);
	queuec_get_cancel(q, &g);
	queuec_get_cancel(q, &g);
	fx_run(&fx);
	ck_assert_uint_eq(got.count, 0);
	/* Cancelled when it was asked. */
	fx.store.hold_queue_gets = true;
	ask(q, &g, 1, 3);
	fx_run(&fx);
	queuec_get_cancel(q, &g);
	fx.store.hold_queue_gets = false;
	fx_run(&fx);
	ck_assert_uint_eq(got.count, 0);
	ck_assert_uint_eq(METRIC_GET(queue_reads), 2);
	fx_close(&fx);
}
END_TEST

/* Asked, not answered, and the store dies. */
START_TEST(reads_again)
{
	struct queuec *q = start();
	struct queue_get g;

	put(q, 1, "x", NULL);
	fx.store.hold_queue_gets = true;
	ask(q, &g, 1, 3);
	fx_run(&fx);
	fx_store_kill(&fx);
	fx.store.hold_queue_gets = false;
	fx_store_start(&fx);
	fx_run(&fx);
	ck_assert(got.count == 1 && got.rows == 1 && !got.more);
	/* A read that fails. */
	fx.store.fail_queue_gets = FB_EIO;
	ask(q, &g, 1, 3);
	fx_pass_ms(&fx, 2500);
	ck_assert_uint_eq(got.count, 0);
	fx.store.fail_queue_gets = 0;
	fx_pass_ms(&fx, 1100);
	ck_assert(got.count == 1 && got.rows == 1);
	fx_close(&fx);
}
END_TEST

/* What is there is given; what was refused is not the end. */
START_TEST(reads_while_refused)
{
	struct queuec *q = start();
	struct queue_get g;

	put(q, 1, "x", NULL);
	fx_run(&fx);
	fx.store.fail_queue = FB_EDISK;
	put(q, 2, "x", NULL);
	fx_run(&fx);
	ask(q, &g, 1, 3);
	fx_run(&fx);
	ck_assert(got.count == 1 && got.rows == 1 && got.last == 1 && got.more);
	ask(q, &g, 2, 3);
	fx_pass_ms(&fx, 2500);
	ck_assert_uint_eq(got.count, 0);
	fx.store.fail_queue = 0;
	fx_pass_ms(&fx, 1100);
	ck_assert(got.count == 1 && got.rows == 1 && got.last == 2 && !got.more);
	fx_close(&fx);
}
END_TEST

/* Asked together with a change that is refused then. */
START_TEST(reads_what_is_refused)
{
	struct queuec *q = start();
	struct queue_get g;

	fx.store.fail_queue = FB_EDISK;
	put(q, 1, "x", NULL);
	ask(q, &g, 1, 3);
	fx_run(&fx);
	ck_assert_uint_eq(got.count, 0);
	fx.store.fail_queue = 0;
	fx_pass_ms(&fx, 1100);
	ck_assert(got.count == 1 && got.rows == 1 && !got.more);
	fx_close(&fx);
}
END_TEST

/* What the store read before it had a change may come when it has it: then it is not all there is. */
START_TEST(reads_from_before)
{
	struct queuec *q = start();
	struct queue_get g;
	struct ipc_q_rows old = { 0 };
	struct buf b;

	fx.store.fail_queue = FB_EDISK;
	put(q, 1, "x", NULL);
	fx_run(&fx);
	fx.store.hold_queue_gets = true;
	ask(q, &g, 1, 3);
	fx_run(&fx);
	old.req = g.req;
	ck_assert_uint_ne(old.req, 0);
	fx.store.fail_queue = 0;
	fx_pass_ms(&fx, 1100);
	ck_assert(queuec_idle(q));
	buf_init(&b);
	ipc_put_q_rows(&b, &old);
	ck_assert(queuec_on_msg(q, IPC_Q_ROWS, buf_slice(&b)));
	buf_fini(&b);
	ck_assert_uint_eq(got.count, 0);
	fx.store.hold_queue_gets = false;
	fx_run(&fx);
	ck_assert(got.count == 1 && got.rows == 1 && !got.more);
	fx_close(&fx);
}
END_TEST

/* Publishers are held back when too much waits. */
START_TEST(full)
{
	struct queuec *q = start();
	char *text = mem_zalloc(1024 * 1024 + 1);
	unsigned puts = 0;

	memset(text, 'x', 1024 * 1024);
	fx.store.hold_queue = true;
	while (!queuec_full(q)) {
		put(q, ++puts, text, NULL);
		fx_run(&fx);
		ck_assert_uint_lt(puts, 64);
	}
	/* The rest is not even sent. */
	ck_assert_uint_gt(puts, 16);
	ck_assert_uint_lt(fx.store.queue_ops, 8);
	fx.store.hold_queue = false;
	fx_run(&fx);
	ck_assert(!queuec_full(q));
	ck_assert(queuec_idle(q));
	ck_assert_uint_eq(fake_queue_count(&fx.store, A), puts);
	ck_assert_uint_eq(fx.store.queue_ops, puts);
	mem_free(text);
	fx_close(&fx);
}
END_TEST

/* A worker that stops waits for its answers. */
START_TEST(a_stop_waits)
{
	struct queuec *q = start();

	fx.store.hold_queue = true;
	put(q, 1, "x", NULL);
	fx_sup_stop(&fx, 0);
	fx_pass_ms(&fx, 600);
	ck_assert(loop_turn(fx.w[0].loop, false));
	fx.store.hold_queue = false;
	fx_pass_ms(&fx, 600);
	ck_assert(queuec_idle(q));
	ck_assert(!loop_turn(fx.w[0].loop, false));
	fx_close(&fx);
}
END_TEST

UNIT_MAIN("queuec", one_message_a_turn, the_other_changes, much_in_a_turn, skipped, skipped_among_many, cancelled, sent_again,
    applied_once, refused, refused_then_another_store, waits, reads, reads_again, reads_while_refused, reads_what_is_refused,
    reads_from_before, full, a_stop_waits)
