/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/backlog.h"

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/metrics/page.h"
#include "worker/conn.h"
#include "worker/deliver.h"
#include "worker/flow.h"
#include "worker/keep.h"
#include "worker/queuec.h"
#include "worker/worker.h"

#define FETCH_ROWS  BACKLOG_HEAD_COUNT
#define FETCH_BYTES BACKLOG_HEAD_BYTES

struct backlog {
	struct flow *flow;
	struct worker *worker;
	struct backlog_state at;
	uint32_t since_count;           /* added since the rows that are on their way were asked for */
	uint64_t since_bytes;
	uint64_t asked_to;              /* the last place at that time */
	struct queue_get get;
	bool fetching;
};

static struct backlog *
backlog_new(struct worker *w, struct flow *f)
{
	struct backlog *b = mem_zalloc(sizeof *b);

	b->flow = f;
	b->worker = w;
	f->backlog = b;
	return b;
}

static void
count(struct backlog *b, int64_t messages, int64_t bytes)
{
	b->at.count = (uint32_t)((int64_t)b->at.count + messages);
	b->at.bytes = (uint64_t)((int64_t)b->at.bytes + bytes);
	METRIC_ADD(queued, (uint64_t)messages);
	METRIC_ADD(queued_bytes, (uint64_t)bytes);
}

static void
uncount(struct backlog *b, uint64_t messages, uint64_t bytes)
{
	if (messages > b->at.count)
		messages = b->at.count;
	if (bytes > b->at.bytes)
		bytes = b->at.bytes;
	count(b, -(int64_t)messages, -(int64_t)bytes);
}

void
backlog_free(struct flow *f)
{
	struct backlog *b = f->backlog;

	if (b == NULL)
		return;
	uncount(b, b->at.count, b->at.bytes);
	if (b->fetching)
		queuec_get_cancel(b->worker->queue, &b->get);
	f->backlog = NULL;
	mem_free(b);
}

bool
backlog_wanted(const struct flow *f)
{
	return f->backlog != NULL || flow_queued(f) >= BACKLOG_HEAD_COUNT || f->queue_bytes >= BACKLOG_HEAD_BYTES;
}

uint64_t
backlog_add(struct worker *w, struct session *s, uint32_t cost, uint8_t direct)
{
	struct flow *f = s->flow;
	struct backlog *b = f->backlog != NULL ? f->backlog : backlog_new(w, f);
	uint64_t n = f->next_n++;

	if (b->at.count == 0 && !b->fetching)
		b->at.from = n;
	b->at.to = n;
	b->at.direct += direct != 0;
	b->since_count++;
	b->since_bytes += cost;
	count(b, 1, cost);
	return n;
}

void
backlog_set(struct worker *w, struct session *s, uint64_t first, uint64_t last)
{
	struct flow *f;
	struct backlog *b;

	if (s->qid == 0 || last == 0 || first > last)
		return;
	f = session_flow(w, s);
	b = backlog_new(w, f);
	b->at = (struct backlog_state){ .from = first, .to = last, .loaded = last };
	count(b, (int64_t)((last & FLOW_INDEX_MASK) - (first & FLOW_INDEX_MASK) + 1), 0);
	/* What went out and left no row may have used ids behind the last. */
	f->next_n = (((last >> FLOW_LIFE_SHIFT) + 1) << FLOW_LIFE_SHIFT) | ((last & FLOW_INDEX_MASK) + 1);
	f->window_head = f->window_tail = first;
}

uint32_t
backlog_count(const struct flow *f)
{
	return f->backlog != NULL ? f->backlog->at.count : 0;
}

uint32_t
backlog_direct(const struct flow *f)
{
	return f->backlog != NULL ? f->backlog->at.direct : 0;
}

uint64_t
backlog_bytes(const struct flow *f)
{
	return f->backlog != NULL ? f->backlog->at.bytes : 0;
}

bool
backlog_get(const struct flow *f, struct backlog_state *out)
{
	if (f->backlog == NULL)
		return false;
	*out = f->backlog->at;
	return true;
}

void
backlog_put(struct flow *f, const struct backlog_state *in)
{
	struct backlog *b = backlog_new(f->worker, f);

	b->at = *in;
	b->at.count = 0;
	b->at.bytes = 0;
	count(b, in->count, (int64_t)in->bytes);
}

/* A row as one that waits. */
static void
push_row(struct backlog *b, const struct qrow *r)
{
	struct queued q = { .n = r->n, .qos = r->flags & QITEM_QOS, .retain = (r->flags & QITEM_RETAIN) != 0,
		.direct = (r->flags & QITEM_RELEASED) == 0 ? r->direct : 0, .stored = STORED_ON, .again = r->n <= b->at.loaded };

	if ((r->flags & QITEM_RELEASED) == 0) {
		const struct cluster_pub p = { .topic = r->msg.topic, .props = r->msg.props, .payload = r->msg.payload,
			.expires_s = r->msg.expires_s, .qos2_id = r->msg.qos2_id, .qos = r->msg.qos,
			.retain = r->msg.retain, .disk = true };

		q.msg = msg_new(&p);
	}
	if (r->direct != 0 && b->at.direct > 0)
		b->at.direct--;
	uncount(b, 1, q.msg != NULL ? msg_cost(q.msg) : 0);
	flow_push_queued(b->flow, &q);
	b->at.from = r->n + 1;
}

/* All that was there when we asked has been read: the rest is what came since. */
static void
read_to_end(struct backlog *b)
{
	struct flow *f = b->flow;

	if (b->at.count > b->since_count)
		uncount(b, b->at.count - b->since_count, 0);
	if (b->at.bytes > b->since_bytes)
		uncount(b, 0, b->at.bytes - b->since_bytes);
	b->at.from = b->asked_to + 1;
	if (b->at.from > b->at.to)
		backlog_free(f);
}

static void
on_rows(struct queue_get *g, const struct ipc_q_rows *answer)
{
	struct backlog *b = container_of(g, struct backlog, get);
	struct flow *f = b->flow;
	struct worker *w = b->worker;
	struct session *s = f->session;
	struct slice rest = answer->rows;
	bool end = answer->more == 0;
	struct qrow r;
	int rc = 0;

	b->fetching = false;
	while (answer->code == 0 && (rc = qrow_take(&rest, &r)) == 0) {
		/* What came since we asked may be there already, and not all of it: it is read next time. */
		if (r.n > b->asked_to)
			end = true;
		else
			push_row(b, &r);
	}
	if (answer->code != 0 || rc != FB_ENOENT)
		log_error("queue", "cannot read what waits for a session", "code=%u", answer->code);
	else if (end)
		read_to_end(b);
	if (answer->code != 0 && s->conn != NULL)
		conn_close(s->conn, "what waits for it cannot be read");        /* when it is back, again */
	else
		deliver_pump(w, s);
}

void
backlog_fetch(struct worker *w, struct session *s)
{
	struct backlog *b = s->flow->backlog;

	if (b == NULL || b->fetching)
		return;
	keeps_put(w->keeps);    /* what comes now is behind it */
	b->fetching = true;
	b->since_count = 0;
	b->since_bytes = 0;
	b->asked_to = b->at.to;
	b->get = (struct queue_get){ .qid = s->qid, .from = b->at.from, .max_rows = FETCH_ROWS, .max_bytes = FETCH_BYTES,
		.done = on_rows };
	queuec_get(w->queue, &b->get);
}

void
backlog_drop_oldest(struct worker *w, struct session *s)
{
	struct backlog *b = s->flow->backlog;
	uint64_t mean = b->at.count > 0 ? b->at.bytes / b->at.count : 0;

	keeps_put(w->keeps);
	queuec_trim(w->queue, s->qid, b->at.from, 1);
	uncount(b, 1, mean);
	if (b->at.count == 0 && !b->fetching)
		backlog_free(s->flow);
}

static bool
is_all_on_disk(const struct flow *f)
{
	for (uint32_t pos = f->queue_head; pos != f->queue_tail; pos++) {
		const struct queued *q = &f->queue[pos & (f->queue_room - 1)];

		if (q->stored != STORED_ON || q->aside || q->held_of != 0 || q->lease != 0)
			return false;
	}
	return f->queue_head != f->queue_tail;
}

bool
backlog_take_queue(struct worker *w, struct session *s)
{
	struct flow *f = s->flow;
	struct backlog *b = f->backlog;
	uint64_t first;

	if (s->qid == 0 || s->move != NULL || (b != NULL && b->fetching) || !is_all_on_disk(f))
		return false;
	if (b == NULL) {
		b = backlog_new(w, f);
		b->at.to = flow_last(f)->n;
	}
	first = flow_first(f)->n;
	while (flow_first(f) != NULL) {
		struct queued q = flow_pop(f);

		b->at.direct += q.direct != 0;
		count(b, 1, q.msg != NULL ? msg_cost(q.msg) : 0);
		if (q.msg != NULL)
			msg_drop(q.msg);
	}
	b->at.from = first;
	return true;
}
