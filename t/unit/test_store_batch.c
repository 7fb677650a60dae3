/* SPDX-License-Identifier: Apache-2.0 */
#include "store/batch.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "store/env_db.h"
#include "t/support/unit.h"

/* An operation that puts "k<seq>" into a table, fails as told, and remembers how it went. */
struct op {
	struct batch_op op;
	int fail;               /* the transaction fails with it */
	int fail_times;         /* -1: always */
	int refuse;             /* answers with it */
	unsigned runs;
	bool done;
	unsigned order;
};

static char dir[64];
static struct loop *loop;
static struct env *env;
static struct batch *batch;
static unsigned order;

static void
open_env(bool threaded)
{
	const struct env_config cfg = { .dir = dir, .cache_bytes = 1 << 20, .min_free_bytes = 1 };

	loop = loop_new();
	ck_assert_int_eq(env_open(&cfg, &env), 0);
	batch = batch_new(loop, env, threaded);
}

static void
close_env(void)
{
	batch_drain(batch);
	batch_free(batch);
	env_close(env);
	loop_free(loop);
}

static void
start(bool threaded)
{
	snprintf(dir, sizeof dir, "/tmp/fubar-batch-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	order = 0;
	open_env(threaded);
}

static void
finish(void)
{
	char cmd[128];

	close_env();
	snprintf(cmd, sizeof cmd, "rm -rf %s", dir);
	ck_assert_int_eq(system(cmd), 0);
}

static struct slice
key_of(uint64_t seq, char out[24])
{
	snprintf(out, 24, "k%llu", (unsigned long long)seq);
	return slice_str(out);
}

static int
run(struct batch_op *b, struct txn *x, struct rec_counts *counts)
{
	struct op *o = container_of(b, struct op, op);
	char key[24];
	int rc = table_put(x, TABLE_settings, key_of(b->seq, key), SLICE_LIT("v"));

	o->runs++;
	counts->retained++;
	if (rc == 0 && o->fail_times != 0) {
		rc = o->fail;
		o->fail_times -= o->fail_times > 0;
	}
	b->code = o->refuse;
	return rc;
}

static void
done(struct batch_op *b)
{
	struct op *o = container_of(b, struct op, op);

	ck_assert(!o->done);
	o->done = true;
	o->order = order++;
}

static void
put(struct op *o, struct batch_stream *s, uint64_t seq)
{
	o->op.run = run;
	o->op.done = done;
	o->op.stream = s;
	o->op.seq = seq;
	batch_put(batch, &o->op);
}

static bool
there(uint64_t seq)
{
	char key[24];

	return table_has(env, TABLE_settings, key_of(seq, key));
}

START_TEST(many_share_a_commit)
{
	struct batch_stream s = { .slot = 1, .epoch = 9 };
	struct op o[100] = { { .refuse = 0 } };

	start(false);
	for (unsigned i = 0; i < 100; i++)
		put(&o[i], &s, i + 1);
	batch_drain(batch);
	for (unsigned i = 0; i < 100; i++)
		ck_assert(o[i].done && o[i].op.code == 0 && o[i].order == i && o[i].runs == 1 && there(i + 1));
	ck_assert_uint_eq(batch_stats(batch).batches, 1);
	ck_assert_uint_eq(batch_stats(batch).writes, 100);
	ck_assert_uint_eq(batch_counts(batch).retained, 100);
	finish();
}
END_TEST

START_TEST(one_at_fault_fails_alone)
{
	struct batch_stream s = { .slot = 1, .epoch = 9 }, back;
	struct op o[10] = { [4] = { .fail = FB_EIO, .fail_times = -1 }, [7] = { .refuse = FB_ENOENT } };

	start(false);
	for (unsigned i = 0; i < 10; i++)
		put(&o[i], &s, i + 1);
	batch_drain(batch);
	for (unsigned i = 0; i < 10; i++) {
		ck_assert(o[i].done && o[i].order == i);
		ck_assert_int_eq(o[i].op.code, i == 4 ? FB_EIO : i == 7 ? FB_ENOENT : 0);
		ck_assert(there(i + 1) == (i != 4));
	}
	ck_assert_uint_eq(batch_counts(batch).retained, 9);
	/* The numbering says the same after a restart. */
	close_env();
	open_env(false);
	ck_assert_uint_eq(batch_counts(batch).retained, 9);
	ck_assert_int_eq(batch_stream_load(env, 1, 9, &back), 0);
	ck_assert_uint_eq(back.applied.last, 10);
	for (unsigned i = 0; i < 10; i++)
		ck_assert_int_eq(batch_stream_answer(&back.applied, i + 1), i == 4 ? FB_EIO : i == 7 ? FB_ENOENT : 0);
	finish();
}
END_TEST

START_TEST(a_passing_failure_costs_a_retry)
{
	struct op o[10] = { [3] = { .fail = FB_EIO, .fail_times = 1 }, [5] = { .fail = FB_EAGAIN, .fail_times = 5 } };

	start(false);
	for (unsigned i = 0; i < 10; i++)
		put(&o[i], NULL, i + 1);
	batch_drain(batch);
	for (unsigned i = 0; i < 10; i++)
		ck_assert(o[i].done && o[i].op.code == 0 && there(i + 1));
	ck_assert_uint_eq(batch_stats(batch).failed, 0);
	ck_assert_uint_eq(batch_counts(batch).retained, 10);
	finish();
}
END_TEST

START_TEST(a_full_disk_refuses_growth_first)
{
	struct op o[4] = { { .refuse = 0 } };

	start(false);
	env_set_min_free(env, INT64_MAX);
	o[1].op.need = ENV_ADMIN;
	o[2].op.need = ENV_SHRINKS;
	for (unsigned i = 0; i < 4; i++)
		put(&o[i], NULL, i + 1);
	batch_drain(batch);
	for (unsigned i = 0; i < 4; i++)
		ck_assert(o[i].done && o[i].op.code == (i == 1 ? 0 : FB_EDISK) && o[i].order == i && there(i + 1) == (i == 1));
	env_set_min_free(env, 1);
	put(&o[0], NULL, 1);
	o[0].done = false;
	batch_drain(batch);
	ck_assert(o[0].op.code == 0 && there(1));
	finish();
}
END_TEST

START_TEST(large_ones_are_alone)
{
	struct op o[5] = { { .refuse = 0 } };

	start(false);
	o[2].op.bytes = 1 << 20;
	for (unsigned i = 0; i < 5; i++)
		put(&o[i], NULL, i + 1);
	batch_drain(batch);
	for (unsigned i = 0; i < 5; i++)
		ck_assert(o[i].done && o[i].op.code == 0 && o[i].order == i);
	finish();
}
END_TEST

START_TEST(threads_bring_the_same)
{
	enum { COUNT = 2000 };
	struct batch_stream s[2] = { { .slot = 0, .epoch = 1 }, { .slot = 1, .epoch = 2 } }, back;
	struct op *o = mem_zalloc(COUNT * sizeof *o);

	start(true);
	for (unsigned i = 0; i < COUNT; i++) {
		if (i % 100 == 17)
			o[i].refuse = FB_EOWNER;
		put(&o[i], &s[i % 2], i / 2 + 1);
		if (i % 64 == 0)
			(void)loop_turn(loop, false);
	}
	batch_drain(batch);
	for (unsigned i = 0; i < COUNT; i++)
		ck_assert(o[i].done && o[i].order == i);
	for (unsigned k = 0; k < 2; k++) {
		ck_assert_int_eq(batch_stream_load(env, (uint16_t)k, k + 1, &back), 0);
		ck_assert_uint_eq(back.applied.last, COUNT / 2);
	}
	mem_free(o);
	finish();
}
END_TEST

static struct {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool shut, waited;
} gate = { .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER };

static int
flush_at_gate(int fd)
{
	pthread_mutex_lock(&gate.lock);
	while (gate.shut) {
		gate.waited = true;
		pthread_cond_broadcast(&gate.cond);
		pthread_cond_wait(&gate.cond, &gate.lock);
	}
	pthread_mutex_unlock(&gate.lock);
	return fdatasync(fd);
}

static void
set_gate(bool shut)
{
	pthread_mutex_lock(&gate.lock);
	gate.shut = shut;
	pthread_cond_broadcast(&gate.cond);
	pthread_mutex_unlock(&gate.lock);
}

static void
wait_for_flush(void)
{
	pthread_mutex_lock(&gate.lock);
	while (!gate.waited)
		pthread_cond_wait(&gate.cond, &gate.lock);
	pthread_mutex_unlock(&gate.lock);
}

/* A slow flush costs its own time: what comes meanwhile is committed, and neither is done before its flush. */
START_TEST(a_batch_is_committed_while_another_is_flushed)
{
	struct op o[2] = { { .refuse = 0 } };

	start(true);
	ck_assert_int_eq(db_env_set_func_fsync(flush_at_gate), 0);
	set_gate(true);
	put(&o[0], NULL, 1);
	wait_for_flush();
	put(&o[1], NULL, 2);
	while (!there(2))
		sched_yield();
	ck_assert_uint_eq(batch_stats(batch).flushes, 0);
	for (unsigned i = 0; i < 20; i++)
		(void)loop_turn(loop, false);
	ck_assert(!o[0].done && !o[1].done);
	set_gate(false);
	while (!o[1].done)
		(void)loop_turn(loop, true);
	ck_assert(o[0].done && o[0].order == 0);
	ck_assert_uint_eq(batch_stats(batch).flushes, 2);
	finish();
}
END_TEST

static int
forget(struct txn *x, void *arg)
{
	return batch_stream_forget(x, 1, *(uint64_t *)arg);
}

START_TEST(older_incarnations_are_forgotten)
{
	struct batch_stream s[4] = { { .slot = 1, .epoch = 5 }, { .slot = 1, .epoch = 7 }, { .slot = 1, .epoch = 9 },
		{ .slot = 2, .epoch = 5 } };
	const uint64_t left[] = { 0, 0, 1, 1 };
	uint64_t epoch = 9;
	struct op o[4] = { { .refuse = 0 } };
	struct batch_stream back;

	start(false);
	for (unsigned i = 0; i < 4; i++)
		put(&o[i], &s[i], 1);
	batch_drain(batch);
	ck_assert_int_eq(env_write(env, forget, &epoch), 0);
	for (unsigned i = 0; i < 4; i++) {
		ck_assert_int_eq(batch_stream_load(env, s[i].slot, s[i].epoch, &back), 0);
		ck_assert_uint_eq(back.applied.last, left[i]);
	}
	finish();
}
END_TEST

UNIT_MAIN("store_batch", many_share_a_commit, one_at_fault_fails_alone, a_passing_failure_costs_a_retry,
    a_full_disk_refuses_growth_first, large_ones_are_alone, threads_bring_the_same,
    a_batch_is_committed_while_another_is_flushed, older_incarnations_are_forgotten)
