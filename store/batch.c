/* SPDX-License-Identifier: Apache-2.0
 *
 * After a quiet time the first operation is committed at once; under load a batch starts at most each interval, or as
 * soon as it is full, so that operations share flushes. Results go back through one list and one ring of the bell.
 *
 * Numbers: the record of an incarnation is written in the same transaction as what it numbers. A failed operation's
 * number is noted in memory and written with the next transaction of the incarnation; until then a restart of the
 * store would run it again, which is right, as nothing of it was kept. */
#include "store/batch.h"

#include <pthread.h>
#include <time.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "store/tables.h"

#define OWN_TXN_BYTES (64u * 1024)

struct batch {
	struct loop *loop;
	struct env *env;
	struct loop_bell *bell;
	struct task task;               /* without a thread */
	bool threaded;
	size_t waiting;                 /* the loop's */
	struct batch_stats shown;       /* the loop's */
	struct rec_counts shown_counts;

	pthread_t thread;
	pthread_mutex_t lock;           /* for what follows */
	pthread_cond_t cond;            /* for the committer */
	pthread_cond_t idle;            /* for batch_drain() */
	struct list queue;
	size_t queued;
	struct list finished;
	bool busy, draining, stopping;
	int64_t interval_ns;
	size_t max_ops;
	struct batch_stats stats;
	struct rec_counts finished_counts;

	struct rec_counts counts, counts_pending;       /* the committer's */
	bool committed;                 /* the same: a transaction of the batch in hand, maybe of refusals alone */
};

/* ---- numbers ---- */

enum { NUMBER_KEY_MAX = 32 };

static struct slice
number_key(uint8_t out[NUMBER_KEY_MAX], uint16_t slot, uint64_t epoch)
{
	size_t n = sizeof "number";             /* with its 0 */

	memcpy(out, "number", n);
	out[n++] = (uint8_t)(slot >> 8);
	out[n++] = (uint8_t)slot;
	for (int i = 7; i >= 0; i--)
		out[n++] = (uint8_t)(epoch >> (8 * i));
	return slice_of(out, n);
}

static const struct slice counts_key = { (const uint8_t *)"counts", sizeof "counts" };

int
batch_stream_load(struct env *e, uint16_t slot, uint64_t epoch, struct batch_stream *s)
{
	uint8_t key[NUMBER_KEY_MAX];
	struct slice k = number_key(key, slot, epoch);
	struct buf b;
	int rc;

	*s = (struct batch_stream){ .slot = slot, .epoch = epoch };
	buf_init(&b);
	rc = table_get(e, NULL, TABLE_meta, k, &b);
	if (rc == 0) {
		int bad = rec_take_number(buf_slice(&b), &s->applied);

		if (bad != 0)
			rec_bad(TABLE_meta, k, bad);
	}
	buf_fini(&b);
	return rc == FB_ENOENT ? 0 : rc;
}

int
batch_answer(const struct rec_number *r, uint64_t seq)
{
	uint32_t n = r->fail_count < REC_FAILS ? r->fail_count : REC_FAILS;

	for (uint32_t i = 0; i < n; i++) {
		if (r->fails[i].seq == seq)
			return -(int)r->fails[i].code;
	}
	return 0;
}

int
batch_stream_forget(struct txn *x, uint16_t slot, uint64_t epoch)
{
	uint8_t prefix[NUMBER_KEY_MAX];
	struct slice p = number_key(prefix, slot, 0);
	uint8_t mine[NUMBER_KEY_MAX];
	struct slice m = number_key(mine, slot, epoch);
	struct cursor *c;
	uint8_t found[NUMBER_KEY_MAX];
	int rc;

	/* One at a time: there are one or two. */
	do {
		rc = cursor_open(txn_env(x), x, TABLE_meta, &c);
		if (rc != 0)
			return rc;
		rc = cursor_seek(c, p);
		if (rc == 0 && (cursor_key(c).len != m.len || memcmp(cursor_key(c).p, m.p, m.len) >= 0))
			rc = FB_ENOENT;
		if (rc == 0)
			memcpy(found, cursor_key(c).p, m.len);
		cursor_close(c);
		if (rc == 0)
			rc = table_del(x, TABLE_meta, slice_of(found, m.len));
	} while (rc == 0);
	return rc == FB_ENOENT ? 0 : rc;
}

static void
note_result(struct rec_number *r, const struct batch_op *op)
{
	r->last = op->seq;
	if (op->code != 0) {
		r->fails[r->fail_count % REC_FAILS] = (struct rec_fail){ op->seq, (uint16_t)-op->code };
		/* Counts on without an end; kept below 2^32 with the same place in the ring. */
		r->fail_count++;
		if (r->fail_count == UINT32_MAX)
			r->fail_count = REC_FAILS + UINT32_MAX % REC_FAILS;
	}
}

static int
write_number(struct txn *x, const struct batch_stream *s)
{
	uint8_t key[NUMBER_KEY_MAX];
	struct buf b;
	int rc;

	buf_init(&b);
	rec_put_number(&b, &s->pending);
	rc = table_put(x, TABLE_meta, number_key(key, s->slot, s->epoch), buf_slice(&b));
	buf_fini(&b);
	return rc;
}

static int
write_counts(struct txn *x, struct batch *b)
{
	struct buf v;
	int rc;

	if (memcmp(&b->counts, &b->counts_pending, sizeof b->counts) == 0)
		return 0;
	buf_init(&v);
	rec_put_counts(&v, &b->counts_pending);
	rc = table_put(x, TABLE_meta, counts_key, buf_slice(&v));
	buf_fini(&v);
	return rc;
}

/* ---- one transaction ---- */

struct run_call {
	struct batch *batch;
	struct list *from, *to;         /* operations from ... to, both in it */
};

#define RUN_EACH(pos, r) \
	for (struct list *pos = (r)->from; pos != (r)->to->next; pos = pos->next)

static int
run_txn(struct txn *x, void *arg)
{
	struct run_call *r = arg;
	struct batch *b = r->batch;
	int rc = 0;

	b->counts_pending = b->counts;
	RUN_EACH(n, r) {
		struct batch_op *op = container_of(n, struct batch_op, link);

		if (op->stream != NULL)
			op->stream->pending = op->stream->applied;
	}
	RUN_EACH(n, r) {
		struct batch_op *op = container_of(n, struct batch_op, link);

		op->code = 0;
		rc = op->run(op, x, &b->counts_pending);
		if (rc != 0)
			return rc;
		if (op->stream != NULL)
			note_result(&op->stream->pending, op);
	}
	RUN_EACH(n, r) {
		struct batch_op *op = container_of(n, struct batch_op, link);

		if (op->stream != NULL && op->stream->pending.last == op->seq)
			rc = write_number(x, op->stream);
		if (rc != 0)
			return rc;
	}
	return write_counts(x, b);
}

static int
run_range(struct run_call *r)
{
	struct batch *b = r->batch;
	int rc = env_write(b->env, run_txn, r);

	if (rc != 0)
		return rc;
	b->counts = b->counts_pending;
	b->committed = true;
	RUN_EACH(n, r) {
		struct batch_op *op = container_of(n, struct batch_op, link);

		if (op->stream != NULL && op->stream->pending.last == op->seq)
			op->stream->applied = op->stream->pending;
	}
	return 0;
}

static void
fail_op(struct batch_op *op, int code)
{
	op->code = code;
	if (op->stream != NULL)
		note_result(&op->stream->applied, op);
}

static void
run_one_by_one(struct run_call *r)
{
	RUN_EACH(n, r) {
		struct run_call one = { .batch = r->batch, .from = n, .to = n };
		int rc = run_range(&one);

		if (rc != 0) {
			struct batch_op *op = container_of(n, struct batch_op, link);

			fail_op(op, rc);
			log_error("store", "durable operation failed", "why=%s slot=%d seq=%llu", err_text(rc),
			    op->stream != NULL ? op->stream->slot : -1, (unsigned long long)op->seq);
		}
	}
}

static void
run_together(struct run_call *r)
{
	int rc = run_range(r);

	if (rc != 0 && r->from != r->to)
		rc = run_range(r);
	if (rc != 0)
		run_one_by_one(r);
}

/* ---- a batch ---- */

/* The longest run from the first operation that may share a transaction: ends before or after a refused or a large
 * one. */
static struct list *
run_end(struct list *from, struct list *head, const bool room[])
{
	struct list *to = from;

	while (to->next != head) {
		struct batch_op *op = container_of(to, struct batch_op, link);
		struct batch_op *next = container_of(to->next, struct batch_op, link);

		if (op->bytes > OWN_TXN_BYTES || next->bytes > OWN_TXN_BYTES || !room[next->need])
			break;
		to = to->next;
	}
	return to;
}

static void
commit_ops(struct batch *b, struct list *ops, struct batch_stats *add)
{
	const bool room[] = {
		[ENV_GROWS] = env_has_room(b->env, ENV_GROWS),
		[ENV_SHRINKS] = env_has_room(b->env, ENV_SHRINKS),
		[ENV_ADMIN] = env_has_room(b->env, ENV_ADMIN),
	};
	struct list *n = ops->next;

	b->committed = false;
	while (n != ops) {
		struct batch_op *op = container_of(n, struct batch_op, link);
		struct run_call r = { .batch = b, .from = n, .to = n };

		if (room[op->need]) {
			r.to = run_end(n, ops, room);
			run_together(&r);
		} else {
			fail_op(op, FB_EDISK);
		}
		n = r.to->next;
	}
	LIST_EACH(i, ops) {
		struct batch_op *op = container_of(i, struct batch_op, link);

		if (op->code == 0)
			add->writes++;
		else
			add->failed++;
	}
	add->batches++;
	if (add->writes > 0)
		env_count_updates(b->env, add->writes);
	/* A refusal is answered as well: its number must not be lost, nor asked for again. */
	if (b->committed)
		env_flush(b->env);
}

/* With the lock held: takes a batch, commits it without the lock, hands it back. */
static void
commit_some(struct batch *b)
{
	struct batch_stats add = { 0 };
	struct list ops;
	size_t n = 0;

	list_init(&ops);
	while (n < b->max_ops && !list_empty(&b->queue)) {
		struct list *first = b->queue.next;

		list_del(first);
		list_put_last(&ops, first);
		n++;
	}
	b->queued -= n;
	b->busy = true;
	pthread_mutex_unlock(&b->lock);
	commit_ops(b, &ops, &add);
	pthread_mutex_lock(&b->lock);
	b->busy = false;
	list_move_all(&b->finished, &ops);
	b->finished_counts = b->counts;
	b->stats.batches += add.batches;
	b->stats.writes += add.writes;
	b->stats.failed += add.failed;
	pthread_cond_signal(&b->idle);
}

static struct timespec
timespec_of(struct mono t)
{
	return (struct timespec){ .tv_sec = t.ns / NS_PER_SEC, .tv_nsec = t.ns % NS_PER_SEC };
}

static void *
committer(void *arg)
{
	struct batch *b = arg;
	struct mono last = { 0 };

	pthread_mutex_lock(&b->lock);
	while (!b->stopping || b->queued > 0) {
		struct timespec until = timespec_of(mono_add(last, b->interval_ns));

		if (b->queued == 0) {
			pthread_cond_wait(&b->cond, &b->lock);
			continue;
		}
		while (b->queued < b->max_ops && !b->draining && !b->stopping &&
		    pthread_cond_timedwait(&b->cond, &b->lock, &until) == 0)
			;
		last = clock_mono();
		commit_some(b);
		loop_bell_ring(b->bell);
	}
	pthread_mutex_unlock(&b->lock);
	return NULL;
}

/* ---- the loop's side ---- */

static void
finish(struct batch *b)
{
	struct list done;

	list_init(&done);
	pthread_mutex_lock(&b->lock);
	list_move_all(&done, &b->finished);
	b->shown = b->stats;
	b->shown_counts = b->finished_counts;
	pthread_mutex_unlock(&b->lock);
	while (!list_empty(&done)) {
		struct batch_op *op = container_of(done.next, struct batch_op, link);

		list_del(&op->link);
		b->waiting--;
		op->done(op);
	}
}

static void
on_bell(void *arg)
{
	finish(arg);
}

static void
on_task(struct task *t)
{
	struct batch *b = container_of(t, struct batch, task);

	pthread_mutex_lock(&b->lock);
	while (b->queued > 0)
		commit_some(b);
	pthread_mutex_unlock(&b->lock);
	finish(b);
}

static uint64_t
count_records(struct env *e, enum table t)
{
	struct cursor *c;
	uint64_t n = 0;
	int rc = cursor_open(e, NULL, t, &c);

	if (rc != 0)
		return 0;
	for (rc = cursor_seek(c, slice_of(NULL, 0)); rc == 0; rc = cursor_next(c))
		n++;
	cursor_close(c);
	return n;
}

static void
load_counts(struct batch *b)
{
	struct buf v;

	buf_init(&v);
	if (table_get(b->env, NULL, TABLE_meta, counts_key, &v) == 0) {
		int rc = rec_take_counts(buf_slice(&v), &b->counts);

		if (rc != 0) {
			rec_bad(TABLE_meta, counts_key, rc);
			b->counts.retained = count_records(b->env, TABLE_retained);
			b->counts.accounts = count_records(b->env, TABLE_accounts);
		}
	}
	buf_fini(&v);
	b->finished_counts = b->shown_counts = b->counts;
}

struct batch *
batch_new(struct loop *l, struct env *e, bool threaded)
{
	struct batch *b = mem_zalloc(sizeof *b);
	pthread_condattr_t attr;

	b->loop = l;
	b->env = e;
	b->threaded = threaded;
	b->max_ops = 256;
	b->interval_ns = 2 * NS_PER_MS;
	list_init(&b->queue);
	list_init(&b->finished);
	task_init(&b->task, on_task);
	load_counts(b);
	pthread_mutex_init(&b->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&b->cond, &attr);
	pthread_condattr_destroy(&attr);
	pthread_cond_init(&b->idle, NULL);
	if (threaded) {
		b->bell = loop_bell_new(l, on_bell, b);
		FB_ASSERT(pthread_create(&b->thread, NULL, committer, b) == 0);
	}
	return b;
}

void
batch_free(struct batch *b)
{
	if (b == NULL)
		return;
	FB_ASSERT(b->waiting == 0);
	if (b->threaded) {
		pthread_mutex_lock(&b->lock);
		b->stopping = true;
		pthread_cond_signal(&b->cond);
		pthread_mutex_unlock(&b->lock);
		pthread_join(b->thread, NULL);
		loop_bell_free(b->bell);
	}
	task_cancel(&b->task);
	pthread_cond_destroy(&b->cond);
	pthread_cond_destroy(&b->idle);
	pthread_mutex_destroy(&b->lock);
	mem_free(b);
}

void
batch_set(struct batch *b, int64_t interval_ms, int64_t max_ops)
{
	pthread_mutex_lock(&b->lock);
	b->interval_ns = interval_ms * NS_PER_MS;
	b->max_ops = (size_t)max_ops;
	pthread_mutex_unlock(&b->lock);
}

void
batch_put(struct batch *b, struct batch_op *op)
{
	bool wake;

	b->waiting++;
	pthread_mutex_lock(&b->lock);
	list_put_last(&b->queue, &op->link);
	b->queued++;
	wake = b->queued == 1 || b->queued == b->max_ops;
	pthread_mutex_unlock(&b->lock);
	if (!b->threaded)
		loop_defer(b->loop, &b->task);
	else if (wake)
		pthread_cond_signal(&b->cond);
}

size_t
batch_waiting(const struct batch *b)
{
	return b->waiting;
}

void
batch_drain(struct batch *b)
{
	while (b->waiting > 0) {
		if (b->threaded) {
			pthread_mutex_lock(&b->lock);
			b->draining = true;
			pthread_cond_signal(&b->cond);
			while (b->queued > 0 || b->busy)
				pthread_cond_wait(&b->idle, &b->lock);
			b->draining = false;
			pthread_mutex_unlock(&b->lock);
			finish(b);
		} else {
			on_task(&b->task);
		}
	}
}

struct batch_stats
batch_stats(const struct batch *b)
{
	return b->shown;
}

struct rec_counts
batch_counts(const struct batch *b)
{
	return b->shown_counts;
}
