/* SPDX-License-Identifier: Apache-2.0
 * SUBACK waits until every neighbour routes here; for a durable session, SUBACK and UNSUBACK wait until the store has
 * committed. Behind UNSUBACK a neighbour may still send: this worker's trie knows better. */
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/utf8.h"
#include "common/metrics/page.h"
#include "common/mqtt/decode.h"
#include "common/mqtt/encode.h"
#include "common/mqtt/topic.h"
#include "worker/barrier.h"
#include "worker/count.h"
#include "worker/dispatch.h"
#include "worker/retain.h"
#include "worker/rights.h"
#include "worker/shapes.h"
#include "worker/shared.h"
#include "worker/storec.h"
#include "worker/subs.h"
#include "worker/sys.h"
#include "worker/worker.h"

#define REFUSED 0x80
#define FILTER_WORK 16  /* times that of a small packet */
#define MOST_LOAD 4096  /* packets and filters being worked on; beyond, each client waits for its answers */

/* One SUBSCRIBE or UNSUBSCRIBE on its way. */
struct op {
	struct list link;               /* in worker->sub_ops */
	struct barrier_wait barrier;
	struct conn *conn;              /* NULL: gone */
	struct worker *worker;
	uint64_t hash;                  /* of the client id */
	uint32_t steps;                 /* not done yet */
	uint32_t count;
	uint16_t packet_id;
	bool unsubscribe;
	bool failed;
	uint8_t *codes;                 /* count of them */
	struct buf filters;             /* granted: u8 qos, le32 filter; for the retained messages */
};

static struct op *
op_new(struct conn *c, uint16_t packet_id, uint32_t count, bool unsubscribe)
{
	struct op *op = mem_zalloc(sizeof *op);

	op->conn = c;
	op->worker = c->worker;
	op->hash = c->session->node.hash;
	op->packet_id = packet_id;
	op->count = count;
	op->unsubscribe = unsubscribe;
	op->codes = mem_zalloc(count);
	op->steps = 1;
	list_put_last(&c->worker->sub_ops, &op->link);
	c->worker->sub_load += 1 + count;
	c->flags |= CONN_HAS_OPS;
	worker_charge(c->worker, (size_t)count * FILTER_WORK);
	/* Until this one is done: op_free(). */
	if (c->worker->sub_load > MOST_LOAD)
		c->flags |= CONN_WAIT_OPS;
	return op;
}

static void
op_free(struct op *op)
{
	struct conn *c = op->conn;

	list_del(&op->link);
	op->worker->sub_load -= 1 + op->count;
	if (c != NULL && (c->flags & CONN_WAIT_OPS)) {
		c->flags = (uint16_t)(c->flags & ~CONN_WAIT_OPS);
		conn_resume(c);
	}
	buf_fini(&op->filters);
	mem_free(op->codes);
	mem_free(op);
}

void
subscribe_conn_gone(struct conn *c)
{
	LIST_EACH(n, &c->worker->sub_ops) {
		struct op *op = container_of(n, struct op, link);

		if (op->conn == c)
			op->conn = NULL;
	}
}

bool
subscribe_pending(const struct worker *w, const struct session *s)
{
	LIST_EACH(n, &s->subs)
		if (container_of(n, struct sub, link)->unsure)
			return true;
	LIST_EACH(n, &w->sub_ops)
		if (container_of(n, struct op, link)->hash == s->node.hash)
			return true;
	return false;
}

void
subscribe_free_all(struct worker *w)
{
	LIST_EACH_SAFE(n, tmp, &w->sub_ops) {
		struct op *op = container_of(n, struct op, link);

		list_del(&op->barrier.link);
		op_free(op);
	}
}

static void
start_replays(struct op *op)
{
	struct slice rest = buf_slice(&op->filters);
	struct slice filter;
	uint8_t qos;

	while (slice_take_u8(&rest, &qos) == 0 && slice_take_le32_bytes(&rest, &filter) == 0) {
		if (sys_is(filter))
			sys_replay(op->worker, op->conn->session, filter);
		else if (op->worker->config.retained)
			retain_start(op->worker, op->conn->session, filter, qos);
	}
}

/* All its rows are on the disk. */
static void
mark_written(struct op *op)
{
	struct slice rest = buf_slice(&op->filters);
	struct slice filter;
	uint8_t qos;

	while (slice_take_u8(&rest, &qos) == 0 && slice_take_le32_bytes(&rest, &filter) == 0) {
		struct sub *sub = trie_get(&op->worker->trie, op->conn->session, filter);

		if (sub != NULL)
			sub->unsure = false;
	}
}

static void
op_step(struct op *op)
{
	struct conn *c = op->conn;

	if (--op->steps > 0)
		return;
	if (c != NULL && op->failed) {
		conn_close(c, "the store could not keep a subscription");
	} else if (c != NULL) {
		const struct mqtt_suback ack = { .packet_id = op->packet_id, .codes = slice_of(op->codes, op->count) };

		encode_suback(conn_out(c), op->unsubscribe ? MQTT_UNSUBACK : MQTT_SUBACK, c->level, &ack);
		count_sent(op->unsubscribe ? MQTT_UNSUBACK : MQTT_SUBACK);
		conn_touch(c);
		if (c->session->flags & SESSION_DURABLE)
			mark_written(op);
		start_replays(op);
	}
	op_free(op);
}

static void
on_stored(void *arg, int err)
{
	struct op *op = arg;

	op->failed = op->failed || err != 0;
	op_step(op);
}

static void
on_barrier(struct barrier_wait *b)
{
	op_step(container_of(b, struct op, barrier));
}

static void
op_wait_neighbours(struct op *op)
{
	if (op->worker->cluster == NULL)
		return;
	op->steps++;
	op->barrier.done = on_barrier;
	barrier_join(op->worker, &op->barrier);
}

static uint8_t
refused(const struct session *s, struct slice filter)
{
	char id[80], text[200];

	METRIC_ADD(refused_subscribe, 1);
	log_info("rights", "subscription refused", "client=%s account=%s filter=%s",
	    utf8_show(session_id(s), id, sizeof id), s->account != NULL ? s->account->text : "-",
	    utf8_show(filter, text, sizeof text));
	return REFUSED;
}

static bool
has_room(struct worker *w, const struct session *s, struct slice filter)
{
	return s->sub_count + (uint64_t)subs_weight(filter) <= (uint64_t)w->config.max_subs && shapes_allow(w, s, filter);
}

/* One that is there already needs no write, unless that of its row failed, or is still to be answered: no SUBACK before
 * it is on the disk. */
static bool
must_write(struct worker *w, struct session *s, struct slice filter, bool differs)
{
	struct sub *sub;

	if ((s->flags & SESSION_DURABLE) == 0)
		return false;
	sub = trie_get(&w->trie, s, filter);
	if (!differs && !sub->unsure && storec_last_unanswered(w->store) == 0)
		return false;
	sub->unsure = true;
	return true;
}

/* The code for one filter: granted QoS or failure [MQTT-3.9.3-2]. */
static uint8_t
subscribe_one(struct op *op, const struct mqtt_filter *f)
{
	struct conn *c = op->conn;
	struct worker *w = op->worker;
	struct session *s = c->session;
	struct slice group, inner;
	uint8_t qos = f->qos < w->config.max_qos ? f->qos : (uint8_t)w->config.max_qos;

	(void)topic_share(f->filter, &group, &inner);
	if (!rights_may(w, s, RIGHT_SUBSCRIBE, inner))
		return refused(s, f->filter);
	if (!w->config.wildcards && topic_has_wildcard(f->filter))
		return REFUSED;
	if (f->filter.len >= (size_t)w->config.max_levels && topic_levels(f->filter) > (uint32_t)w->config.max_levels)
		return REFUSED;
	if (shared_is(f->filter) && !shared_valid(f->filter))
		return REFUSED;
	if (retain_full(s))
		return REFUSED;
	if (!has_room(w, s, f->filter) && trie_get(&w->trie, s, f->filter) == NULL)
		return REFUSED;
	if (must_write(w, s, f->filter, subs_put(w, s, f->filter, qos, 0))) {
		op->steps++;
		storec_sub_put(w->store, session_id(s), f->filter, qos, 0, on_stored, op);
	}
	if (shared_is(f->filter))
		return qos;             /* no retained messages */
	buf_put_u8(&op->filters, qos);
	buf_put_le32_bytes(&op->filters, f->filter);
	return qos;
}

int
do_subscribe(struct conn *c, const struct frame *f, struct violation *v)
{
	struct worker *w = c->worker;
	struct mqtt_subscribe p;
	struct op *op;
	int err = decode_subscribe(f, c->level, &w->arena, &p, v);

	for (uint32_t i = 0; err == 0 && i < p.count; i++) {
		if (topic_filter_valid(p.filters[i].filter))
			continue;
		*v = (struct violation){ MQTT_R_BAD_TOPIC_FILTER, "MQTT-4.7.1-2" };
		err = FB_EPROTO;
	}
	if (err == 0) {
		op = op_new(c, p.packet_id, p.count, false);
		for (uint32_t i = 0; i < p.count; i++)
			op->codes[i] = subscribe_one(op, &p.filters[i]);
		op_wait_neighbours(op);
		op_step(op);
	}
	arena_reset(&w->arena);
	return err;
}

int
do_unsubscribe(struct conn *c, const struct frame *f, struct violation *v)
{
	struct worker *w = c->worker;
	struct session *s = c->session;
	struct mqtt_unsubscribe p;
	struct op *op;
	int err = decode_unsubscribe(f, c->level, &w->arena, &p, v);

	if (err == 0) {
		op = op_new(c, p.packet_id, p.count, true);
		for (uint32_t i = 0; i < p.count; i++) {
			if (p.filters[i].len == 0 || !subs_del(w, s, p.filters[i]))
				continue;
			if (s->flow != NULL && s->flow->replays != NULL)
				retain_cancel_filter(s, p.filters[i]);
			if (s->flags & SESSION_DURABLE) {
				op->steps++;
				storec_sub_del(w->store, session_id(s), p.filters[i], on_stored, op);
			}
		}
		op_step(op);    /* [MQTT-3.10.4-4] [MQTT-3.10.4-5] */
	}
	arena_reset(&w->arena);
	return err;
}
