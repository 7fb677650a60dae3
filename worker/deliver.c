/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/deliver.h"

#include "common/base/mem.h"
#include "common/base/rand.h"
#include "common/metrics/page.h"
#include "common/mqtt/encode.h"
#include "worker/backlog.h"
#include "worker/conn.h"
#include "worker/count.h"
#include "worker/flow.h"
#include "worker/keep.h"
#include "worker/move.h"
#include "worker/queuec.h"
#include "worker/release.h"
#include "worker/retain.h"
#include "worker/retry.h"
#include "worker/rights.h"
#include "worker/seen.h"
#include "worker/shared.h"
#include "worker/trace.h"
#include "worker/worker.h"

#define ROOM_SMALL 64u          /* of a queue: it may grow whatever the memory */
#define MUCH       8u           /* work: worth a look at the clock */

/* The publish in hand: its message, made when first needed, and its encoded forms, made when first needed. */
struct hand {
	struct worker *w;
	const struct cluster_pub *p;
	struct msg *msg;                /* our reference, or NULL */
	struct keep *keep;              /* of those whose sessions want it on the disk; NULL: none yet */
	uint32_t left;                  /* recipients that may want it there, with the one in hand; and groups */
	bool many;                      /* more than one recipient: worth encoding once */
	bool direct;                    /* to the session in hand: it has no subscription to it */
};

static struct msg *
hand_msg(struct hand *h)
{
	if (h->msg == NULL)
		h->msg = msg_new(h->p);
	return h->msg;
}

static inline bool
is_online(const struct session *s)
{
	return s->conn != NULL && s->conn->state == CONN_READY;
}

static inline struct mqtt_publish
packet_of(const struct cluster_pub *p, uint8_t qos, bool retain, uint16_t packet_id)
{
	return (struct mqtt_publish){ .topic = p->topic, .payload = p->payload, .props = p->props, .qos = qos,
		.retain = retain, .packet_id = packet_id };
}

/* Too much waits for it already. When memory is tight that is anything that its socket did not take. */
static inline bool
output_full(const struct worker *w, const struct conn *c)
{
	return conn_pending(c) > (size_t)w->config.output_bytes ||
	    ((c->flags & CONN_WANT_WRITE) && budget_is(w, BUDGET_TIGHT));
}

/* QoS 0 to a reading client: bytes to its output, nothing else. false: dropped. */
static bool
send_qos0(struct hand *h, struct conn *c, bool retain)
{
	struct mqtt_publish packet = packet_of(h->p, 0, retain, 0);
	struct buf *b = &h->w->scratch[(c->level == MQTT_50) * 2 + retain];

	if (output_full(h->w, c)) {
		if (conn_pending(c) > (size_t)h->w->config.output_bytes)
			METRIC_ADD(dropped_slow_reader, 1);
		else
			METRIC_ADD(dropped_memory, 1);
		return false;
	}
	/* Direct messages leave room for the others. */
	if (__builtin_expect(h->direct, 0) && conn_pending(c) > (size_t)h->w->config.output_bytes / 2) {
		METRIC_ADD(dropped_direct, 1);
		return false;
	}
	METRIC_ADD(publish_out_qos0, 1);
	METRIC_ADD(publish_bytes_out, h->p->payload.len);
	if (!h->many) {
		conn_put_publish(c, &packet, h->msg);
		return true;
	}
	if (h->p->payload.len > 4096) {
		conn_put_publish(c, &packet, hand_msg(h));
		return true;
	}
	if (buf_len(b) == 0)
		encode_publish(b, c->level, &packet);
	conn_put_encoded(c, buf_slice(b));
	return true;
}

static void
count_out(uint8_t qos, size_t bytes)
{
	METRIC_ADD(publish_bytes_out, bytes);
	if (qos == 1)
		METRIC_ADD(publish_out_qos1, 1);
	else
		METRIC_ADD(publish_out_qos2, 1);
}

/* What the window has taken. */
static inline void
put_sent(struct worker *w, struct session *s, struct msg *m, struct mqtt_publish *packet)
{
	conn_put_publish(s->conn, packet, m);
	retry_watch(w, s);
	count_out(packet->qos, packet->payload.len);
	if (trace_msg_has(m))
		trace_msg_to(w, s, m, TRACE_SENT);
}

/* QoS 1 and 2 through the window; false: no room there, or in the output. p: what m was made of. */
static bool
send_window(struct worker *w, struct session *s, const struct cluster_pub *p, struct msg *m, uint8_t qos, bool retain,
    uint32_t lease)
{
	struct mqtt_publish packet;
	uint16_t id;

	if (output_full(w, s->conn))
		return false;
	id = flow_send(s->flow, m, qos, retain, (uint32_t)w->config.max_inflight);
	if (id == 0)
		return false;
	if (lease != 0)
		flow_find(s->flow, id)->lease = lease;
	packet = packet_of(p, qos, retain, id);
	put_sent(w, s, m, &packet);
	return true;
}

/* The same for one that waited. */
static bool
send_queued(struct worker *w, struct session *s, const struct queued *q)
{
	struct mqtt_publish packet;
	struct cluster_pub p;
	uint16_t id;

	/* QoS 2 goes out when it is on the disk: until then it may turn out that the session has had it. */
	if (output_full(w, s->conn) || (q->qos == 2 && q->stored == STORED_ASKED))
		return false;
	id = flow_send_queued(s->flow, q, (uint32_t)w->config.max_inflight);
	if (id == 0)
		return false;
	if (q->msg == NULL) {
		struct mqtt_ack ack = { .packet_id = id };

		encode_ack(conn_out(s->conn), MQTT_PUBREL, s->conn->level, &ack);
		count_sent(MQTT_PUBREL);
		conn_touch(s->conn);
		return true;
	}
	p = msg_pub(q->msg);
	packet = packet_of(&p, q->qos, q->retain, id);
	packet.dup = q->again;          /* [MQTT-3.3.1-1] */
	put_sent(w, s, q->msg, &packet);
	return true;
}

static void
drop(struct worker *w, struct session *s, struct queued old)
{
	if (old.lease != 0)
		shared_done(w, old.lease);
	keep_queued_gone(w, s, &old);
	if (old.msg != NULL)
		msg_drop(old.msg);
}

static void
drop_oldest(struct worker *w, struct session *s, unsigned sender)
{
	struct queued old;

	if (flow_take_oldest(s->flow, sender, &old))
		drop(w, s, old);
}

bool
deliver_cut(struct worker *w, struct session *s)
{
	struct queued *q = flow_first(s->flow);

	if (q->stored == STORED_ASKED)
		return false;
	METRIC_ADD(dropped_memory, 1);
	drop(w, s, flow_pop(s->flow));
	return true;
}

/* Direct messages have a share of their own of each queue, and each sender a part of that: whoever sends them can push
 * out no others than his own, but for the oldest direct ones. */
static void
limit_direct(struct worker *w, struct session *s, uint8_t sender)
{
	struct flow *f = s->flow;

	while (flow_direct_of(f, sender) > (uint64_t)w->config.direct_limit) {
		METRIC_ADD(dropped_direct, 1);
		drop_oldest(w, s, sender);
	}
	while (f->direct_queued > 1 && (f->direct_queued > (uint64_t)w->config.buffer_limit ||
	    f->direct_bytes > (uint64_t)w->config.buffer_bytes)) {
		METRIC_ADD(dropped_direct, 1);
		drop_oldest(w, s, FLOW_DIRECT);
	}
}

/* The oldest give way: those in memory are older than those on the disk alone. */
static void
limit_queue(struct worker *w, struct session *s)
{
	struct flow *f = s->flow;

	if (budget_is(w, BUDGET_OUT) && flow_queued(f) > 1 && s->move == NULL && !backlog_take_queue(w, s))
		(void)deliver_cut(w, s);
	for (;;) {
		uint32_t here = flow_queued(f) - f->direct_queued;
		uint32_t there = backlog_count(f) > backlog_direct(f) ? backlog_count(f) - backlog_direct(f) : 0;
		uint64_t bytes = f->queue_bytes - f->direct_bytes + backlog_bytes(f);

		if (here + there <= 1 ||
		    (here + there <= (uint64_t)w->config.buffer_limit && bytes <= (uint64_t)w->config.buffer_bytes))
			return;
		METRIC_ADD(dropped_queue_full, 1);
		if (here > 0)
			drop_oldest(w, s, FLOW_SUBSCRIBED);
		else
			backlog_drop_oldest(w, s);
	}
}

/* A queue that is full gets twice the room, all of them at once if all get the same: not when memory is short. */
static void
keep_room(struct worker *w, struct session *s)
{
	const struct flow *f = s->flow;

	if (f->queue_room >= ROOM_SMALL && flow_queued(f) == f->queue_room && budget_is(w, BUDGET_TIGHT) && s->move == NULL &&
	    !backlog_take_queue(w, s))
		(void)deliver_cut(w, s);
}

/* To the queue; the oldest give way. */
static void
enqueue(struct worker *w, struct session *s, struct msg *m, uint8_t qos, bool retain, bool aside, uint32_t lease)
{
	keep_room(w, s);
	flow_push(s->flow, m, qos, retain, aside);
	if (trace_msg_has(m))
		trace_msg_to(w, s, m, TRACE_QUEUED);
	if (lease != 0)
		flow_lease_last(s->flow, lease);
}

static void
enqueue_direct(struct worker *w, struct session *s, struct msg *m, uint8_t qos, bool aside, uint8_t sender)
{
	flow_push(s->flow, m, qos, false, aside);
	flow_direct_last(s->flow, sender);
	if (trace_msg_has(m))
		trace_msg_to(w, s, m, TRACE_QUEUED);
}

/* Which of a queue's senders that is. */
static uint8_t
sender_of(const struct cluster_pub *p)
{
	struct slice id = p->sender.len > 0 ? p->sender : p->origin_id;

	return (uint8_t)(1 + rand_hash(id.p, id.len) % FLOW_SENDERS);
}

static struct keep *
hand_keep(struct hand *h)
{
	if (h->keep == NULL)
		h->keep = keep_new(h->w, hand_msg(h), h->left);
	return h->keep;
}

static uint8_t
item_flags(uint8_t qos, bool retain)
{
	return (uint8_t)(qos | (retain ? QITEM_RETAIN : 0));
}

/* Behind what is on the disk alone, or as the first there. All that comes for the session goes this way then, but only for a
 * message that asks for it somebody waits. */
static void
to_backlog(struct hand *h, struct session *s, uint8_t qos, bool retain)
{
	const struct flow *f = s->flow;
	struct msg *m = hand_msg(h);
	uint8_t direct = h->direct ? sender_of(h->p) : 0;
	struct qitem item = { .qid = s->qid, .flags = item_flags(qos, retain), .direct = direct };

	if (direct != 0 && backlog_direct(f) >= (uint64_t)h->w->config.direct_limit) {
		METRIC_ADD(dropped_direct, 1);
		return;         /* the oldest of its sender cannot be found there */
	}
	item.n = backlog_add(h->w, s, msg_cost(m), direct);
	if (m->disk)
		keep_add(hand_keep(h), s, item.n, item.flags, direct, KEEP_NOW, false);
	else
		queuec_put(h->w->queue, h->p, &item, 1, NULL, NULL);
	if (trace_msg_has(m))
		trace_msg_to(h->w, s, m, TRACE_QUEUED);
	limit_queue(h->w, s);
	if (is_online(s))
		deliver_pump(h->w, s);
}

/* The last of the queue is to be on the disk too. */
static void
keep_last(struct hand *h, struct session *s, enum keep_how how)
{
	struct queued *q = flow_last(s->flow);

	q->keep = hand_keep(h);
	q->keep_at = keep_add(q->keep, s, q->n, item_flags(q->qos, q->retain), q->direct, how, true);
	q->stored = STORED_ASKED;
}

static void
to_queue(struct hand *h, struct session *s, uint8_t qos, bool retain, bool aside, bool disk)
{
	struct worker *w = h->w;

	if (h->direct)
		enqueue_direct(w, s, hand_msg(h), qos, aside, sender_of(h->p));
	else
		enqueue(w, s, hand_msg(h), qos, retain, aside, 0);
	/* An old owner's copy is for the case that the new one dies: its sender waits until one of them has it safe. */
	if (disk && aside)
		keep_last(h, s, KEEP_ASIDE);
	else if (disk && !aside)
		keep_last(h, s, qos == 2 || !is_online(s) ? KEEP_NOW : KEEP_HELD);
	if (h->direct)
		limit_direct(w, s, sender_of(h->p));
	else
		limit_queue(w, s);
}

static void
to_session(struct hand *h, struct session *s, uint8_t qos, bool retain, bool aside)
{
	struct worker *w = h->w;
	struct flow *f;
	bool disk;

	if (qos == 0) {
		bool sent = is_online(s) && !aside && send_qos0(h, s->conn, retain);

		if (trace_has(h->p))
			trace_to(w, s, h->p, sent ? TRACE_SENT : TRACE_DROPPED);
		return;
	}
	f = s->flow != NULL ? s->flow : session_flow(w, s);
	disk = h->p->disk && s->qid != 0;
	if (is_online(s) && !aside && flow_first(f) == NULL && f->backlog == NULL && (!disk || qos == 1) &&
	    send_window(w, s, h->p, hand_msg(h), qos, retain, 0)) {
		if (__builtin_expect(disk, 0)) {
			struct inflight *slot = flow_slot_at(f, f->next_n - 1);

			slot->keep = hand_keep(h);
			slot->keep_at = keep_add(slot->keep, s, f->next_n - 1, item_flags(qos, retain), 0, KEEP_HELD, true);
			slot->stored = STORED_ASKED;
		}
		return;
	}
	if (!aside && (f->backlog != NULL || (disk && (backlog_wanted(f) || budget_is(w, BUDGET_SHORT)))))
		to_backlog(h, s, qos, retain);
	else
		to_queue(h, s, qos, retain, aside, disk);
}

void
deliver_lease(struct worker *w, struct session *s, struct msg *m, uint8_t qos, uint32_t lease)
{
	struct cluster_pub p = msg_pub(m);

	session_flow(w, s);
	if (flow_first(s->flow) == NULL && s->flow->backlog == NULL && send_window(w, s, &p, m, qos, false, lease))
		return;
	enqueue(w, s, m, qos, false, false, lease);
	limit_queue(w, s);
}

void
deliver_one(struct worker *w, struct session *s, const struct cluster_pub *p, uint8_t qos, bool retain)
{
	struct hand h = { .w = w, .p = p };

	/* What was retained, and what neighbours had for it, is nobody's to wait for. */
	to_session(&h, s, qos, retain, false);
	if (trace_any(w) && retain)
		trace_retained(w, s, p);
	if (h.msg != NULL)
		msg_drop(h.msg);
}

static void
add_recipient(struct worker *w, struct session *s, uint8_t qos)
{
	struct recipient *r;

	if (s->match_index < w->rcpt_count && w->rcpts[s->match_index].session == s) {
		r = &w->rcpts[s->match_index];
		if (qos > r->qos)
			r->qos = qos;   /* overlapping filters: once, at the highest QoS [MQTT-3.3.5-1] */
		return;
	}
	if (w->rcpt_count == w->rcpt_room) {
		w->rcpt_room = w->rcpt_room == 0 ? 64 : w->rcpt_room * 2;
		w->rcpts = mem_realloc(w->rcpts, w->rcpt_room * sizeof *w->rcpts);
	}
	s->match_index = w->rcpt_count;
	w->rcpts[w->rcpt_count++] = (struct recipient){ .session = s, .qos = qos };
}

/* Is that topic the id of a client (direct, if it is here), so that not everybody is to see it? */
static bool
is_private(const struct worker *w, struct slice topic, const struct session *direct)
{
	return !w->config.direct_public && w->config.direct && topic.p[0] != '$' &&
	    (direct != NULL || (w->cluster != NULL && cluster_has_id(w->cluster, topic)));
}

bool
deliver_is_private(const struct worker *w, struct slice topic)
{
	return is_private(w, topic, session_get(&w->sessions, topic, rand_hash(topic.p, topic.len)));
}

/* A direct message is its client's, and of those who subscribed to exactly that name: filters with wildcards (behind
 * the exact one, if there is one) are left out. How many are left. */
static uint32_t
leave_wildcards_out(struct worker *w, const struct cluster_pub *p, const struct session *direct, uint32_t n)
{
	struct trie *t = &w->trie;

	if (p->reach == CLUSTER_NOT_DIRECT || !is_private(w, p->topic, direct))
		return n;
	t->found_count = t->found[0]->at == NULL ? 1 : 0;
	return t->found_count;
}

/* The sessions that p reaches, into w->rcpts. true: shared groups get it too. */
static bool
match(struct worker *w, const struct cluster_pub *p)
{
	uint64_t hash = rand_hash(p->topic.p, p->topic.len);
	struct filter *const *filters;
	uint32_t n = p->reach == CLUSTER_DIRECT_ONLY ? 0 : trie_match(&w->trie, p->topic, hash, &filters);
	struct session *direct = NULL;
	bool groups = false;

	w->rcpt_count = 0;
	/* A client's id is a topic that reaches it; names that start with $ never are. */
	if (w->config.direct && p->topic.p[0] != '$' && p->reach != CLUSTER_NOT_DIRECT)
		direct = session_get(&w->sessions, p->topic, hash);
	if (n > 0 && filters[n - 1]->at != NULL)
		n = leave_wildcards_out(w, p, direct, n);
	for (uint32_t i = 0; i < n; i++) {
		struct sub *const *subs = filter_subs(filters[i]);

		if (filters[i]->shared != 0) {
			groups = groups || (filters[i]->shared & FILTER_GROUPS) != 0;
			if (filters[i]->shared & FILTER_MEMBERS)
				continue;
		}
		for (uint32_t k = 0; k < filters[i]->count; k++)
			add_recipient(w, subs[k]->session, subs[k]->qos);
	}
	if (direct != NULL) {
		n = w->rcpt_count;
		add_recipient(w, direct, p->qos);
		if (n < w->rcpt_count)
			w->rcpts[n].direct = true;
	}
	return groups;
}

uint64_t
deliver(struct worker *w, const struct cluster_pub *p, unsigned from, struct keep **keep)
{
	struct hand h = { .w = w, .p = p };
	uint64_t visits = w->trie.visits;
	bool groups = match(w, p);
	bool again = p->qos2_id != 0 && !seen_put(w, p->qos2_id);
	struct cluster_pub traced;
	uint64_t homes = 0;
	uint32_t homes_here = groups && p->disk ? shared_homes(w) : 0;
	size_t work = w->rcpt_count / 8 + (w->trie.visits - visits) / 4;

	if (trace_has(p)) {
		traced = *p;
		traced.matched_ns = trace_now();
		h.p = p = &traced;
	}
	if (rights_apply(w, RIGHT_RECEIVE))
		rights_receive(w, p->topic);
	h.many = w->rcpt_count > 1;
	worker_charge(w, work);
	for (uint32_t i = 0; i < w->rcpt_count; i++) {
		struct session *s = w->rcpts[i].session;
		uint8_t qos = w->rcpts[i].qos < p->qos ? w->rcpts[i].qos : p->qos;
		bool aside = false;

		/* Of those who may have had it the store knows durable sessions alone. */
		if (__builtin_expect(again, 0) && (qos == 0 || (s->flags & SESSION_DURABLE) == 0))
			continue;
		/* A session on the move: which of its two homes has to take this one? */
		if (s->move != NULL && !move_takes(s->move, from, &aside))
			continue;
		if (p->retain && s->flow != NULL && s->flow->replays != NULL)
			retain_note_live(s, p->topic);
		h.direct = w->rcpts[i].direct;
		h.left = w->rcpt_count - i + homes_here;
		to_session(&h, s, qos, false, aside);   /* retain is off for live subscribers [MQTT-3.3.1-9] */
		if (aside && qos > 0)
			move_note_sender(s, from);
	}
	if (h.many) {
		for (int i = 0; i < 4; i++)
			buf_clear(&w->scratch[i]);
	}
	if (work >= MUCH && worker_check_turn(w))
		w->share = 0;
	if (again)
		METRIC_ADD(publish_repeated, 1);
	if (groups)
		homes = shared_deliver(w, p, &h.msg, again, &h.keep);
	if (h.msg != NULL)
		msg_drop(h.msg);
	if (keep != NULL)
		*keep = h.keep;
	return homes;
}

bool
deliver_has_room(const struct worker *w, const struct session *s)
{
	const struct flow *f = s->flow;

	return is_online(s) && conn_pending(s->conn) <= (size_t)w->config.output_bytes / 2 &&
	    (f == NULL || (flow_queued(f) == 0 && f->backlog == NULL &&
	    f->window_tail - f->window_head < (uint64_t)w->config.max_inflight));
}

void
deliver_pump(struct worker *w, struct session *s)
{
	struct flow *f = s->flow;
	struct queued *q;

	if (f == NULL || !is_online(s) || s->move != NULL)
		return;
	while ((q = flow_first(f)) != NULL) {
		struct queued sent;

		if (q->msg != NULL && rights_apply(w, RIGHT_RECEIVE) && !rights_may_receive(w, s, msg_pub(q->msg).topic)) {
			drop(w, s, flow_pop(f));        /* it came before a rule that forbids it */
			continue;
		}
		if (!send_queued(w, s, q))
			return;
		sent = flow_pop(f);
		if (sent.msg != NULL)
			msg_drop(sent.msg);
	}
	if (f->backlog != NULL)
		backlog_fetch(w, s);
	else if (f->replays != NULL)
		retain_continue(w, s);
}

void
deliver_join(struct worker *w, struct session *s, struct queued *q)
{
	struct flow *f = s->flow;
	struct qitem item = { .qid = s->qid, .flags = item_flags(q->qos, q->retain), .direct = q->direct };
	struct cluster_pub p;

	q->aside = false;
	q->held_of = 0;
	if (f->backlog == NULL) {
		q->n = f->next_n++;
		if (q->stored == STORED_ASKED)
			keep_now(q->keep, q->keep_at, q->n, true);
		flow_push_queued(f, q);
		if (q->stored == STORED_NO && q->msg->disk && s->qid != 0) {
			q = flow_last(f);
			q->keep = keep_new(w, q->msg, 1);
			q->keep_at = keep_add(q->keep, s, q->n, item.flags, q->direct, KEEP_NOW, true);
			q->stored = STORED_ASKED;
		}
		return;
	}
	p = msg_pub(q->msg);
	item.n = backlog_add(w, s, msg_cost(q->msg), q->direct);
	if (q->stored == STORED_ASKED)
		keep_now(q->keep, q->keep_at, item.n, false);
	else
		queuec_put(w->queue, &p, &item, 1, NULL, NULL);
	msg_drop(q->msg);
}

void
deliver_again(struct worker *w, struct session *s, uint64_t before)
{
	struct flow *f = s->flow;
	struct inflight *slot;
	uint64_t seq;
	uint16_t id;

	if (f == NULL)
		return;
	seq = f->window_head;
	while ((slot = flow_next(f, &seq, &id)) != NULL && seq <= before) {
		if (slot->msg == NULL) {
			struct mqtt_ack ack = { .packet_id = id };

			if (release_waits(f, seq - 1))
				continue;
			encode_ack(conn_out(s->conn), MQTT_PUBREL, s->conn->level, &ack);
			count_sent(MQTT_PUBREL);
			slot->released = true;
		} else {
			struct cluster_pub p = msg_pub(slot->msg);
			struct mqtt_publish packet = packet_of(&p, slot->qos, slot->retain, id);

			packet.dup = true;      /* [MQTT-3.3.1-1] */
			conn_put_publish(s->conn, &packet, slot->msg);
			count_out(slot->qos, p.payload.len);
			if (trace_msg_has(slot->msg))
				trace_msg_to(w, s, slot->msg, TRACE_AGAIN);
		}
	}
	if (f->window_used > 0)
		retry_watch(w, s);
	conn_touch(s->conn);
	deliver_pump(w, s);
}
