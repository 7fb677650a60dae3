/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/queuec.h"

#include "cluster/cluster.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/ipc/chan.h"
#include "common/metrics/page.h"
#include "worker/worker.h"

#define BATCH_BYTES ((size_t)32 * 1024)
#define WIRE_BYTES  ((size_t)4 * 1024 * 1024)   /* sent and not answered: the store need not hold more of ours */
#define FULL_BYTES  ((size_t)32 * 1024 * 1024)
#define RETRY_NS    NS_PER_SEC

/* Somebody who wants to know. */
struct call {
	queue_done_fn *done;
	void *arg;
	uint32_t first;                 /* of a PUT: its first item's number in the batch */
};

/* Changes of one Q_OPS, until it is answered: the calls, then the bytes. */
struct batch {
	struct list link;
	uint64_t seq;
	size_t real_size;
	uint32_t call_count;
	uint32_t op_count;
	uint32_t len;
	struct call calls[];
};

/* The store applies batches strictly in order: what follows a refused one is lost there and sent again behind it, by the
 * same number. So one number says what is on the disk. */
struct queuec {
	struct worker *worker;
	struct chan *chan;              /* storec.c's; NULL: no store now */
	struct list sent, unsent;       /* struct batch; one behind the other they are in order */
	struct batch *in_hand;          /* its calls are being made */
	size_t bytes;                   /* of all batches */
	size_t sent_bytes;
	uint64_t next_seq;              /* of what is being gathered */
	uint64_t answered;
	struct buf ops, calls;          /* what is being gathered */
	uint32_t op_count, items;
	bool held;                      /* the first of all is alone on its way, or waits for the timer: it was refused */
	bool refusing;                  /* not all that was there then is on the disk: */
	uint64_t refused_to;            /* up to this */
	struct timer retry;
	struct list waits;              /* struct queue_wait, by seq */
	struct list gets;               /* struct queue_get; req 0: not sent */
	uint64_t next_req;
};

static void on_retry(struct timer *t);

struct queuec *
queuec_new(struct worker *w)
{
	struct queuec *q = mem_zalloc(sizeof *q);

	q->worker = w;
	list_init(&q->sent);
	list_init(&q->unsent);
	list_init(&q->waits);
	list_init(&q->gets);
	q->next_seq = q->next_req = 1;
	timer_init(&q->retry, on_retry);
	return q;
}

static void
batch_free(struct queuec *q, struct batch *b)
{
	q->bytes -= b->real_size;
	METRIC_SUB(queue_unanswered, b->real_size);
	mem_slab_put(b, b->real_size);
}

static void
batches_free(struct queuec *q, struct list *l)
{
	LIST_EACH_SAFE(n, tmp, l)
		batch_free(q, container_of(n, struct batch, link));
}

void
queuec_free(struct queuec *q)
{
	loop_timer_cancel(q->worker->loop, &q->retry);
	batches_free(q, &q->sent);
	batches_free(q, &q->unsent);
	buf_fini(&q->ops);
	buf_fini(&q->calls);
	mem_free(q);
}

bool
queuec_idle(const struct queuec *q)
{
	return q->bytes == 0 && q->op_count == 0;
}

bool
queuec_full(const struct queuec *q)
{
	return q->bytes + buf_len(&q->ops) > FULL_BYTES;
}

bool
queuec_refusing(const struct queuec *q)
{
	return q->refusing;
}

/* ---- gathering ---- */

static void
gathered_one(struct queuec *q, queue_done_fn *done, void *arg, uint32_t first)
{
	const struct call c = { .done = done, .arg = arg, .first = first };

	q->op_count++;
	if (done != NULL)
		buf_put(&q->calls, &c, sizeof c);
	worker_wake(q->worker);
	if (buf_len(&q->ops) >= BATCH_BYTES)
		queuec_flush(q);
}

/* What was gathered becomes a batch. */
static void
batch_close(struct queuec *q)
{
	struct slice ops = buf_slice(&q->ops);
	struct slice calls = buf_slice(&q->calls);
	struct batch *b;
	size_t real;

	if (q->op_count == 0)
		return;
	b = mem_slab_get(sizeof *b + calls.len + ops.len, &real);
	*b = (struct batch){ .seq = q->next_seq++, .real_size = real, .call_count = (uint32_t)(calls.len / sizeof(struct call)),
		.op_count = q->op_count, .len = (uint32_t)ops.len };
	if (calls.len > 0)
		memcpy(b->calls, calls.p, calls.len);
	memcpy(b->calls + b->call_count, ops.p, ops.len);
	list_put_last(&q->unsent, &b->link);
	q->bytes += real;
	METRIC_ADD(queue_unanswered, real);
	q->op_count = q->items = 0;
	buf_clear(&q->ops);
	buf_clear(&q->calls);
	if (q->ops.cap > 2 * BATCH_BYTES)
		buf_shrink(&q->ops);
}

static struct qmsg
qmsg_of(const struct cluster_pub *p)
{
	return (struct qmsg){ .topic = p->topic, .props = p->props, .payload = p->payload, .expires_s = p->expires_s,
		.qos2_id = p->qos2_id, .qos = p->qos, .retain = p->retain };
}

void
queuec_put(struct queuec *q, const struct cluster_pub *p, const struct qitem *items, uint32_t count, queue_done_fn *done,
    void *arg)
{
	const struct qmsg m = qmsg_of(p);
	uint32_t first;

	FB_ASSERT(count > 0);
	if (q->items + count > QOPS_ITEMS_MAX)
		queuec_flush(q);
	first = q->items;
	qop_put_msg(&q->ops, &m, count);
	for (uint32_t i = 0; i < count; i++)
		qitem_put(&q->ops, &items[i]);
	q->items += count;
	gathered_one(q, done, arg, first);
}

void
queuec_del(struct queuec *q, uint64_t qid, uint64_t n)
{
	qop_put_row(&q->ops, QOP_DEL, qid, n);
	gathered_one(q, NULL, NULL, 0);
}

void
queuec_released(struct queuec *q, uint64_t qid, uint64_t n, queue_done_fn *done, void *arg)
{
	qop_put_row(&q->ops, QOP_RELEASED, qid, n);
	gathered_one(q, done, arg, 0);
}

void
queuec_trim(struct queuec *q, uint64_t qid, uint64_t from, uint32_t count)
{
	qop_put_trim(&q->ops, qid, from, count);
	gathered_one(q, NULL, NULL, 0);
}

void
queuec_drop(struct queuec *q, uint64_t qid)
{
	qop_put_drop(&q->ops, qid);
	gathered_one(q, NULL, NULL, 0);
}

void
queuec_forget_id(struct queuec *q, uint64_t qos2_id, queue_done_fn *done, void *arg)
{
	qop_put_forget(&q->ops, qos2_id);
	gathered_one(q, done, arg, 0);
}

void
queuec_will_put(struct queuec *q, const struct qwill *w, const struct cluster_pub *p)
{
	const struct qmsg m = qmsg_of(p);

	qop_put_will(&q->ops, w, &m);
	gathered_one(q, NULL, NULL, 0);
}

void
queuec_will_del(struct queuec *q, struct slice client_id, uint64_t stamp, queue_done_fn *done, void *arg)
{
	qop_put_will_del(&q->ops, client_id, stamp);
	gathered_one(q, done, arg, 0);
}

static void
cancel_calls(struct call *calls, size_t count, const void *arg)
{
	for (size_t i = 0; i < count; i++)
		if (calls[i].arg == arg)
			calls[i].done = NULL;
}

static void
cancel_in(const struct list *l, const void *arg)
{
	LIST_EACH(n, l) {
		struct batch *b = container_of(n, struct batch, link);

		cancel_calls(b->calls, b->call_count, arg);
	}
}

void
queuec_cancel(struct queuec *q, const void *arg)
{
	if (q->in_hand != NULL)
		cancel_calls(q->in_hand->calls, q->in_hand->call_count, arg);
	cancel_in(&q->sent, arg);
	cancel_in(&q->unsent, arg);
	cancel_calls((struct call *)(void *)buf_slice(&q->calls).p, buf_len(&q->calls) / sizeof(struct call), arg);
}

/* ---- sending ---- */

static void
send_first(struct queuec *q)
{
	struct batch *b = LIST_FIRST(&q->unsent, struct batch, link);

	list_del(&b->link);
	list_put_last(&q->sent, &b->link);
	q->sent_bytes += b->real_size;
	CHAN_SEND(q->chan, Q_OPS, q_ops, .seq = b->seq, .ops = slice_of(b->calls + b->call_count, b->len));
}

/* Is a change up to this one not even on its way? */
static bool
behind(const struct queuec *q, uint64_t seq)
{
	const struct batch *b = LIST_FIRST(&q->unsent, struct batch, link);

	return b != NULL && b->seq <= seq;
}

/* While the store refuses, what it has is served. */
static void
send_gets(struct queuec *q)
{
	LIST_EACH(n, &q->gets) {
		struct queue_get *g = container_of(n, struct queue_get, link);
		bool late = behind(q, g->min_seq);

		if (g->req != 0 || g->waits || (late && !q->held))
			continue;
		g->req = q->next_req++;
		g->short_of = late;
		CHAN_SEND(q->chan, Q_GET, q_get, .req = g->req, .qid = g->qid, .from = g->from,
		    .min_seq = late ? q->answered : g->min_seq, .max_rows = g->max_rows, .max_bytes = g->max_bytes);
	}
}

static void
send_more(struct queuec *q)
{
	if (q->chan == NULL)
		return;
	while (!q->held && !list_empty(&q->unsent) && q->sent_bytes < WIRE_BYTES)
		send_first(q);
	if (!list_empty(&q->gets))
		send_gets(q);
}

void
queuec_flush(struct queuec *q)
{
	batch_close(q);
	send_more(q);
}

/* Whether there is room again the first one shows; the rest waits for its answer. */
static void
retry(struct queuec *q)
{
	LIST_EACH(n, &q->gets)
		container_of(n, struct queue_get, link)->waits = false;
	if (q->chan != NULL && q->held && list_empty(&q->sent) && !list_empty(&q->unsent))
		send_first(q);
	send_more(q);
}

static void
on_retry(struct timer *t)
{
	retry(container_of(t, struct queuec, retry));
}

static void
retry_later(struct queuec *q)
{
	if (!timer_is_set(&q->retry))
		loop_timer_in(q->worker->loop, &q->retry, RETRY_NS);
}

/* Nothing of it is applied, or the store will know what is. */
static void
send_again(struct queuec *q)
{
	list_move_all(&q->sent, &q->unsent);
	list_move_all(&q->unsent, &q->sent);
	q->sent_bytes = 0;
	/* Answers that wait for what was not applied do not come. */
	LIST_EACH(n, &q->gets)
		container_of(n, struct queue_get, link)->req = 0;
}

void
queuec_attach(struct queuec *q, struct chan *c)
{
	q->chan = c;
	send_again(q);
	retry(q);
}

void
queuec_detach(struct queuec *q)
{
	q->chan = NULL;
}

/* ---- answers ---- */

bool
queuec_skipped(const struct queue_answer *a, uint32_t item)
{
	size_t low = 0;
	size_t high = a->skipped.len / 4;

	while (low < high) {
		size_t mid = (low + high) / 2;
		struct slice s = slice_of(a->skipped.p + mid * 4, 4);
		uint32_t at = 0;

		(void)slice_take_le32(&s, &at);
		if (at == a->first + item)
			return true;
		if (at < a->first + item)
			low = mid + 1;
		else
			high = mid;
	}
	return false;
}

static void
call_waits(struct queuec *q)
{
	struct queue_wait *w;

	while ((w = LIST_FIRST(&q->waits, struct queue_wait, link)) != NULL && w->seq <= q->answered) {
		list_del(&w->link);
		w->done(w);
	}
}

static void
batch_done(struct queuec *q, struct batch *b, struct slice skipped)
{
	q->answered = b->seq;
	METRIC_ADD(queue_writes, b->op_count);
	q->in_hand = b;
	for (uint32_t i = 0; i < b->call_count; i++) {
		const struct queue_answer a = { .skipped = skipped, .first = b->calls[i].first };

		if (b->calls[i].done != NULL)
			b->calls[i].done(b->calls[i].arg, &a);
	}
	q->in_hand = NULL;
	batch_free(q, b);
	call_waits(q);
}

static void
refusal_begins(struct queuec *q, int err)
{
	METRIC_ADD(queue_refused, 1);
	send_again(q);
	q->held = true;
	q->refused_to = q->next_seq - 1;
	retry_later(q);
	if (q->refusing)
		return;
	q->refusing = true;
	log_error("queuec", "the store does not take queued messages", "reason=%s; tried again each second, nothing is acknowledged",
	    err_text(err));
}

static void
refusal_ends(struct queuec *q)
{
	q->held = false;
	if (!q->refusing || q->answered < q->refused_to)
		return;
	q->refusing = false;
	log_notice("queuec", "the store takes queued messages again", "%s", "all that waited are on the disk");
}

/* All before seq are done; code and skipped are of seq alone. */
static void
on_done(struct queuec *q, const struct ipc_q_done *p)
{
	const struct slice none = slice_of(NULL, 0);
	struct batch *b;

	while ((b = LIST_FIRST(&q->sent, struct batch, link)) != NULL && b->seq <= p->seq) {
		if (b->seq == p->seq && p->code != 0) {
			refusal_begins(q, -(int)p->code);
			break;
		}
		list_del(&b->link);
		q->sent_bytes -= b->real_size;
		batch_done(q, b, b->seq == p->seq ? p->skipped : none);
		refusal_ends(q);
	}
	send_more(q);
}

/* What the store still refused when it was asked is not among its rows, so that they cannot be the last, even if it has
 * it by now. */
static bool
rows_too_early(struct queuec *q, struct queue_get *g, struct ipc_q_rows *p)
{
	if (p->code == 0 && !g->short_of)
		return false;
	p->more = 1;
	if (p->code == 0 && p->rows.len > 0)
		return false;
	if (p->code != 0)
		log_error("queuec", "a queue cannot be read", "reason=%s; tried again each second", err_text(-(int)p->code));
	g->req = 0;
	g->waits = p->code != 0 || behind(q, g->min_seq);
	if (g->waits)
		retry_later(q);
	else
		send_more(q);
	return true;
}

static void
on_rows(struct queuec *q, struct ipc_q_rows *p)
{
	LIST_EACH(n, &q->gets) {
		struct queue_get *g = container_of(n, struct queue_get, link);

		if (g->req != p->req)
			continue;
		if (rows_too_early(q, g, p))
			return;
		METRIC_ADD(queue_reads, 1);
		list_del(&g->link);
		g->done(g, p);
		return;
	}
}

bool
queuec_on_msg(struct queuec *q, enum ipc_type type, struct slice payload)
{
	struct ipc_q_done done;
	struct ipc_q_rows rows;

	if (type == IPC_Q_DONE && ipc_take_q_done(payload, &done) == 0)
		on_done(q, &done);
	else if (type == IPC_Q_ROWS && ipc_take_q_rows(payload, &rows) == 0)
		on_rows(q, &rows);
	else
		return false;
	return true;
}

/* ---- waiting and reading ---- */

/* The last change so far. */
static uint64_t
last_id(const struct queuec *q)
{
	return q->next_seq - (q->op_count == 0);
}

void
queuec_wait(struct queuec *q, struct queue_wait *w, void (*done)(struct queue_wait *w))
{
	w->link = (struct list){ 0 };
	w->seq = last_id(q);
	w->done = done;
	if (w->seq <= q->answered)
		done(w);
	else
		list_put_last(&q->waits, &w->link);
}

void
queuec_wait_cancel(struct queue_wait *w)
{
	list_del(&w->link);
}

void
queuec_get(struct queuec *q, struct queue_get *g)
{
	g->min_seq = g->early ? q->answered : last_id(q);
	g->req = 0;
	g->waits = false;
	list_put_last(&q->gets, &g->link);
	worker_wake(q->worker);
}

void
queuec_get_cancel(struct queuec *q, struct queue_get *g)
{
	(void)q;
	list_del(&g->link);
}
