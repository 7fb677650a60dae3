/* SPDX-License-Identifier: Apache-2.0
 *
 * After a quiet time the first operation is committed at once; under load a batch starts at most each interval, or as
 * soon as it is full, so that operations share flushes. While one thread flushes what is committed, the other commits the
 * next batch: a slow flush costs its own time, not that of the changes behind it too. Results go back through one list
 * and one ring of the bell.
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
#define TXN_BYTES     (128u * 1024)     /* locks are held for as long as it takes to write them */
#define BATCH_BYTES   (1024u * 1024)    /* for one flush */

/* Committed, and not flushed. */
struct written {
	struct list ops;
	size_t bytes;
	bool any;                       /* a transaction, maybe of refusals alone */
	struct batch_stats add;
	struct rec_counts counts;
};

struct batch {
	struct loop *loop;
	struct env *env;
	struct loop_bell *bell;
	struct task task;               /* without a thread */
	const struct batch_hooks *hooks;
	void *hooks_arg;
	enum table meta;
	bool threaded;
	size_t waiting;                 /* the loop's */
	struct batch_stats shown;       /* the loop's */
	struct rec_counts shown_counts;

	pthread_t committer, flusher;
	pthread_mutex_t lock;           /* for what follows */
	pthread_cond_t cond;            /* for the committer */
	pthread_cond_t written_cond;    /* for the flusher */
	pthread_cond_t idle;            /* for batch_drain() */
	struct list queue;
	size_t queued, queued_bytes;
	struct written written;
	struct list finished;
	bool committing, flushing, draining, held, stopping;
	int64_t interval_ns;
	size_t max_ops;
	struct batch_stats stats;
	struct rec_counts finished_counts;

	struct rec_counts counts, counts_pending;       /* the committer's */
	bool committed;                 /* the same: written.any of the batch in hand */
};

/* ---- counts ---- */

static const struct slice counts_key = { (const uint8_t *)"counts", sizeof "counts" };

static int
write_counts(struct txn *x, struct batch *b)
{
	struct buf v;
	int rc;

	if (memcmp(&b->counts, &b->counts_pending, sizeof b->counts) == 0)
		return 0;
	buf_init(&v);
	if (b->meta == TABLE_qmeta)
		rec_put_qcounts(&v, &b->counts_pending);
	else
		rec_put_counts(&v, &b->counts_pending);
	rc = table_put(x, b->meta, counts_key, buf_slice(&v));
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
run_op(struct batch_op *op, struct txn *x, struct rec_counts *counts)
{
	struct batch_stream *s = op->stream;
	int rc;

	op->code = 0;
	op->stale = s != NULL && s->strict && op->seq != s->pending.last + 1;
	if (op->stale)
		return 0;
	rc = op->run(op, x, counts);
	if (rc == 0 && s != NULL)
		batch_stream_note(&s->pending, op->seq, op->code);
	return rc;
}

static int
run_txn(struct txn *x, void *arg)
{
	struct run_call *r = arg;
	struct batch *b = r->batch;
	int rc = 0;

	b->counts_pending = b->counts;
	if (b->hooks != NULL)
		b->hooks->begin(b->hooks_arg);
	RUN_EACH(n, r) {
		struct batch_op *op = container_of(n, struct batch_op, link);

		if (op->stream != NULL)
			op->stream->pending = op->stream->applied;
	}
	RUN_EACH(n, r) {
		rc = run_op(container_of(n, struct batch_op, link), x, &b->counts_pending);
		if (rc != 0)
			return rc;
	}
	if (b->hooks != NULL)
		rc = b->hooks->end(b->hooks_arg, x, &b->counts_pending);
	if (rc != 0)
		return rc;
	RUN_EACH(n, r) {
		struct batch_op *op = container_of(n, struct batch_op, link);

		if (op->stream != NULL && op->stream->pending.last == op->seq)
			rc = batch_stream_write(x, op->stream);
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
	op->stale = op->stream != NULL && op->stream->strict && op->seq != op->stream->applied.last + 1;
	if (op->stream != NULL && !op->stream->strict)
		batch_stream_note(&op->stream->applied, op->seq, code);
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
 * one, and when there is enough. */
static struct list *
run_end(struct list *from, struct list *head, const bool room[])
{
	struct list *to = from;
	size_t bytes = 0;

	while (to->next != head) {
		struct batch_op *op = container_of(to, struct batch_op, link);
		struct batch_op *next = container_of(to->next, struct batch_op, link);

		if (op->bytes > OWN_TXN_BYTES || next->bytes > OWN_TXN_BYTES || !room[next->need])
			break;
		bytes += op->bytes;
		if (bytes + next->bytes > TXN_BYTES)
			break;
		to = to->next;
	}
	return to;
}

static void
count_op(const struct batch_op *op, struct batch_stats *add, uint64_t *updates)
{
	if (op->stale)
		return;
	if (op->code == 0) {
		add->writes++;
		*updates += op->updates > 0 ? op->updates : 1;
	} else {
		add->failed++;
	}
	if (op->code == FB_EDISK)
		add->refused++;
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
	uint64_t updates = 0;

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
	LIST_EACH(i, ops)
		count_op(container_of(i, struct batch_op, link), add, &updates);
	add->batches++;
	if (updates > 0)
		env_count_updates(b->env, updates);
}

/* Bytes in a batch are counted up to its limit each: SIZE_MAX is "alone". */
static size_t
own_bytes(const struct batch_op *op)
{
	return op->bytes < BATCH_BYTES ? op->bytes : BATCH_BYTES;
}

static void
add_stats(struct batch_stats *to, const struct batch_stats *add)
{
	to->batches += add->batches;
	to->writes += add->writes;
	to->failed += add->failed;
	to->refused += add->refused;
}

static void
written_clear(struct written *w)
{
	*w = (struct written){ .bytes = 0 };
	list_init(&w->ops);
}

/* With the lock held: takes a batch, commits it without the lock, leaves it to flush_written(). */
static void
commit_some(struct batch *b)
{
	struct batch_stats add = { 0 };
	struct list ops;
	size_t bytes = 0;

	list_init(&ops);
	for (size_t n = 0; n < b->max_ops && bytes < BATCH_BYTES && !list_empty(&b->queue); n++) {
		struct batch_op *op = container_of(b->queue.next, struct batch_op, link);

		list_del(&op->link);
		list_put_last(&ops, &op->link);
		bytes += own_bytes(op);
		b->queued--;
	}
	b->queued_bytes -= bytes;
	b->committing = true;
	pthread_mutex_unlock(&b->lock);
	commit_ops(b, &ops, &add);
	pthread_mutex_lock(&b->lock);
	b->committing = false;
	list_move_all(&b->written.ops, &ops);
	b->written.bytes += bytes;
	b->written.any |= b->committed;
	b->written.counts = b->counts;
	add_stats(&b->written.add, &add);
}

/* The same of all that is committed; hands it back. */
static void
flush_written(struct batch *b)
{
	struct written w = b->written;
	struct mono since = clock_mono();
	int64_t took;

	list_init(&w.ops);
	list_move_all(&w.ops, &b->written.ops);
	written_clear(&b->written);
	b->flushing = true;
	/* A refusal is answered as well: its number must not be lost, nor asked for again. */
	if (w.any) {
		b->stats.flushing_since = since;
		pthread_mutex_unlock(&b->lock);
		env_flush(b->env);
		took = mono_diff(clock_mono(), since);
		pthread_mutex_lock(&b->lock);
		b->stats.flushing_since = (struct mono){ 0 };
		b->stats.flushes++;
		b->stats.last_flush_ns = took;
		if (took > b->stats.max_flush_ns)
			b->stats.max_flush_ns = took;
	}
	b->flushing = false;
	list_move_all(&b->finished, &w.ops);
	b->finished_counts = w.counts;
	add_stats(&b->stats, &w.add);
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

		/* Not far ahead of the disk: what waits longer is flushed together. */
		if (b->queued == 0 || b->held || b->written.bytes >= BATCH_BYTES) {
			pthread_cond_wait(&b->cond, &b->lock);
			continue;
		}
		while (b->queued < b->max_ops && b->queued_bytes < BATCH_BYTES && !b->draining && !b->stopping &&
		    pthread_cond_timedwait(&b->cond, &b->lock, &until) == 0)
			;
		last = clock_mono();
		commit_some(b);
		pthread_cond_signal(&b->written_cond);
	}
	pthread_mutex_unlock(&b->lock);
	return NULL;
}

static void *
flusher(void *arg)
{
	struct batch *b = arg;

	pthread_mutex_lock(&b->lock);
	for (;;) {
		if (!list_empty(&b->written.ops)) {
			if (b->written.bytes >= BATCH_BYTES)
				pthread_cond_signal(&b->cond);
			flush_written(b);
			loop_bell_ring(b->bell);
		} else if (b->stopping) {
			break;
		} else {
			pthread_cond_wait(&b->written_cond, &b->lock);
		}
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
	while (b->queued > 0 && !b->held) {
		commit_some(b);
		flush_written(b);
	}
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

/* Without the record, also the next number of a body is lost: it goes on behind the last one that is there. */
static void
load_qcounts(struct batch *b, struct buf *v)
{
	struct cursor *c;
	int rc = table_get(b->env, NULL, TABLE_qmeta, counts_key, v);

	if (rc == 0)
		rc = rec_take_qcounts(buf_slice(v), &b->counts);
	if (rc == 0)
		return;
	if (rc != FB_ENOENT)
		rec_bad(TABLE_qmeta, counts_key, rc);
	b->counts.rows = count_records(b->env, TABLE_items);
	if (cursor_open(b->env, NULL, TABLE_bodies, &c) != 0)
		return;
	if (cursor_before(c, slice_of(NULL, 0)) == 0)
		b->counts.bodies = rec_number_of(cursor_key(c));
	cursor_close(c);
}

static void
load_counts(struct batch *b)
{
	struct buf v;

	buf_init(&v);
	if (b->meta == TABLE_qmeta) {
		load_qcounts(b, &v);
	} else if (table_get(b->env, NULL, TABLE_meta, counts_key, &v) == 0) {
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
	b->meta = batch_meta(e);
	b->threaded = threaded;
	b->max_ops = 256;
	b->interval_ns = 2 * NS_PER_MS;
	list_init(&b->queue);
	written_clear(&b->written);
	list_init(&b->finished);
	task_init(&b->task, on_task);
	load_counts(b);
	pthread_mutex_init(&b->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&b->cond, &attr);
	pthread_condattr_destroy(&attr);
	pthread_cond_init(&b->written_cond, NULL);
	pthread_cond_init(&b->idle, NULL);
	if (threaded) {
		b->bell = loop_bell_new(l, on_bell, b);
		FB_ASSERT(pthread_create(&b->committer, NULL, committer, b) == 0);
		FB_ASSERT(pthread_create(&b->flusher, NULL, flusher, b) == 0);
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
		pthread_cond_signal(&b->written_cond);
		pthread_mutex_unlock(&b->lock);
		pthread_join(b->committer, NULL);
		pthread_join(b->flusher, NULL);
		loop_bell_free(b->bell);
	}
	task_cancel(&b->task);
	pthread_cond_destroy(&b->cond);
	pthread_cond_destroy(&b->written_cond);
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
batch_set_hooks(struct batch *b, const struct batch_hooks *hooks, void *arg)
{
	b->hooks = hooks;
	b->hooks_arg = arg;
}

void
batch_put(struct batch *b, struct batch_op *op)
{
	size_t before;
	bool wake;

	b->waiting++;
	pthread_mutex_lock(&b->lock);
	list_put_last(&b->queue, &op->link);
	b->queued++;
	before = b->queued_bytes;
	b->queued_bytes += own_bytes(op);
	wake = b->queued == 1 || b->queued == b->max_ops || (before < BATCH_BYTES && b->queued_bytes >= BATCH_BYTES);
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
			while (b->queued > 0 || b->committing || b->flushing || !list_empty(&b->written.ops))
				pthread_cond_wait(&b->idle, &b->lock);
			b->draining = false;
			pthread_mutex_unlock(&b->lock);
			finish(b);
		} else {
			on_task(&b->task);
		}
	}
}

void
batch_hold(struct batch *b)
{
	batch_drain(b);
	pthread_mutex_lock(&b->lock);
	b->held = true;
	pthread_mutex_unlock(&b->lock);
}

void
batch_resume(struct batch *b)
{
	pthread_mutex_lock(&b->lock);
	b->held = false;
	b->counts = b->finished_counts = (struct rec_counts){ 0 };
	pthread_cond_signal(&b->cond);
	pthread_mutex_unlock(&b->lock);
	b->shown_counts = (struct rec_counts){ 0 };
	if (!b->threaded && b->queued > 0)
		loop_defer(b->loop, &b->task);
}

struct batch_stats
batch_stats(struct batch *b)
{
	struct batch_stats st = b->shown;

	pthread_mutex_lock(&b->lock);
	st.flushing_since = b->stats.flushing_since;
	pthread_mutex_unlock(&b->lock);
	return st;
}

struct rec_counts
batch_counts(const struct batch *b)
{
	return b->shown_counts;
}
