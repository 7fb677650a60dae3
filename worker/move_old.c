/* SPDX-License-Identifier: Apache-2.0
 * The old owner: who asks for a session waits until it may go, then gets it, or hears that it is not here. */
#include "worker/move.h"

#include "common/base/mem.h"
#include "common/metrics/page.h"
#include "worker/conn.h"
#include "worker/dispatch.h"
#include "worker/flow.h"
#include "worker/keep.h"
#include "worker/move_int.h"
#include "worker/ship.h"
#include "worker/storec.h"
#include "worker/subs.h"

#define NOBODY UINT16_MAX
#define PATIENCE_NS (10 * NS_PER_SEC)

void
move_late_free(struct late_take *l)
{
	list_del(&l->link);
	list_del(&l->follower.link);
	mem_free(l);
}

/* What the client sent here may still be on its way to the store. */
static void
put_behind(const struct worker *w, struct buf *b)
{
	buf_put_le64(b, w->epoch);
	buf_put_le64(b, storec_last_unanswered(w->store));
}

void
move_reply_gone(struct worker *w, unsigned to, struct slice id, uint64_t taken, int how)
{
	struct buf b;

	buf_init(&b);
	buf_put_le32_bytes(&b, id);
	buf_put_u8(&b, (uint8_t)how);
	buf_put_le64(&b, taken);
	put_behind(w, &b);
	(void)cluster_send(w->cluster, to, FROZEN, buf_slice(&b));
	buf_fini(&b);
}

/* Its client goes on elsewhere. */
static void
hurry_orphans(struct worker *w, struct flow *f)
{
	LIST_EACH_SAFE(n, tmp, &f->orphans)
		waiting_hurry(w, container_of(n, struct waiting, link));
}

static void
freeze(struct worker *w, struct session *s, unsigned to, uint64_t taken, uint64_t stamp)
{
	struct move *m = mem_zalloc(sizeof *m);
	struct buf b;

	if (s->flow != NULL)
		hurry_orphans(w, s->flow);
	m->worker = w;
	m->session = s;
	m->peer = (uint16_t)to;
	m->stamp = stamp;
	m->taken = taken;
	m->marked = ~(w->moves->up | move_bit(w->slot));
	s->move = m;
	if (s->flow != NULL)
		loop_timer_cancel(w->loop, &s->flow->expiry);
	list_put_last(&w->moves->leaving, &m->link);
	buf_init(&b);
	buf_put_le32_bytes(&b, session_id(s));
	buf_put_u8(&b, (s->flags & SESSION_ROW) == 0 ? FROZEN_HERE_NO_ROW :
	    s->flags & SESSION_LOADED ? FROZEN_HERE_LOADED : FROZEN_HERE);
	buf_put_le64(&b, taken);
	put_behind(w, &b);
	buf_put_u8(&b, subscribe_pending(w, s));
	buf_put_le64(&b, s->qid);
	subs_encode(s, &b);
	(void)cluster_send(w->cluster, to, FROZEN, buf_slice(&b));
	buf_fini(&b);
}

/* It is another worker's now, or nobody's: the store hears that no claim is left here. */
static void
let_go(struct worker *w, struct session *s)
{
	storec_let_go(w->store, session_id(s), s->stamp);
	session_forget(w, s);
}

static struct late_take *
late_new(struct worker *w, unsigned from, uint64_t stamp, struct slice body)
{
	struct late_take *l = mem_zalloc(sizeof *l + body.len);

	l->worker = w;
	l->from = (uint16_t)from;
	l->stamp = stamp;
	l->len = (uint32_t)body.len;
	memcpy(l->body, body.p, body.len);
	return l;
}

static void
run_late(struct follower *f)
{
	struct late_take *l = container_of(f, struct late_take, follower);

	list_del(&l->link);
	move_on_take(l->worker, l->from, slice_of(l->body, l->len));
	move_late_free(l);
}

/* Who asked is dead. */
void
move_late_drop(struct list *lates, unsigned from)
{
	LIST_EACH_SAFE(n, tmp, lates) {
		struct late_take *l = container_of(n, struct late_take, link);

		if (l->from == from)
			move_late_free(l);
	}
}

void
move_on_stamp(struct worker *w, uint64_t stamp)
{
	if (stamp > w->moves->stamp)
		w->moves->stamp = stamp;
	LIST_EACH_SAFE(n, tmp, &w->moves->early) {
		struct late_take *l = container_of(n, struct late_take, link);

		if (l->stamp > w->moves->stamp || !w->ready_sent)
			continue;
		run_late(&l->follower);
	}
}

void
move_on_ready(struct worker *w)
{
	move_on_stamp(w, 0);
}

void
move_on_take(struct worker *w, unsigned from, struct slice body)
{
	struct slice whole = body;
	struct slice id;
	uint64_t stamp;
	uint64_t to_stamp;
	uint8_t clean;
	struct session *s;
	struct open *o;

	if (slice_take_le32_bytes(&body, &id) != 0 || slice_take_u8(&body, &clean) != 0 ||
	    slice_take_le64(&body, &stamp) != 0 || slice_take_le64(&body, &to_stamp) != 0)
		return;
	/* Or a neighbour has not sent yet what it holds for the session since our predecessor died. */
	if (stamp > w->moves->stamp || !w->ready_sent) {
		list_put_last(&w->moves->early, &late_new(w, from, stamp, whole)->link);
		return;
	}
	o = connect_before(w, id, stamp);
	if (o != NULL) {
		struct late_take *l = late_new(w, from, stamp, whole);

		l->follower.run = run_late;
		list_put_last(&w->moves->late, &l->link);
		connect_follow(o, &l->follower);
		return;
	}
	s = move_find(w, id);
	/* Another CONNECT has it by now: what is asked for has ended. Or it was given to our predecessor, and who asks has to
	 * begin before that. */
	if (s == NULL || s->stamp != stamp || move_coming(s->move) != NULL || connect_holding(w, s) != NULL) {
		move_reply_gone(w, from, id, stamp, FROZEN_UNKNOWN);
		return;
	}
	if (s->move != NULL)
		move_stay(s);
	if (s->conn != NULL) {
		METRIC_ADD(takeovers, 1);
		conn_kill(s->conn, CONN_SIDE_SERVER, "session taken over");     /* [MQTT-3.1.4-2] */
		s = move_find(w, id);
	}
	if (s != NULL && !clean && (s->flags & SESSION_DURABLE) != 0) {
		freeze(w, s, from, stamp, to_stamp);
		return;
	}
	if (s != NULL) {
		session_drop_queue(w, s);       /* its row is the new owner's to delete */
		let_go(w, s);
	}
	move_reply_gone(w, from, id, stamp, FROZEN_GONE);
}

static void
send_part(void *arg, struct slice part)
{
	const struct move *m = arg;

	(void)cluster_send(m->worker->cluster, m->peer, SHIP, part);
}

static void
send_ship_end(const struct move *m)
{
	struct buf b;
	struct sender s;

	buf_init(&b);
	buf_put_le32_bytes(&b, session_id(m->session));
	for (struct slice rest = buf_slice(&m->lost); rest.len > 0; rest.p += sizeof s, rest.len -= sizeof s) {
		memcpy(&s, rest.p, sizeof s);
		buf_put_le16(&b, s.slot);
		buf_put_le64(&b, s.epoch);
	}
	(void)cluster_send(m->worker->cluster, m->peer, SHIP_END, buf_slice(&b));
	buf_fini(&b);
}

static void
ship(struct queue_wait *q)
{
	struct move *m = container_of(q, struct move, stored);
	struct worker *w = m->worker;

	m->storing = false;
	if (m->marked != ~UINT64_C(0))
		return;         /* one more sender has come */
	m->sent = true;
	if ((m->session->flags & SESSION_LOADED) != 0)
		(void)session_flow(w, m->session);      /* where it stands among the packet ids */
	if (m->session->flow != NULL) {
		struct buf id;

		buf_init(&id);
		buf_put_le32_bytes(&id, session_id(m->session));
		ship_encode(m->session->flow, buf_slice(&id), send_part, m);
		buf_fini(&id);
	}
	send_ship_end(m);
}

void
move_ship_if_marked(struct move *m)
{
	struct worker *w = m->worker;

	if (m->sent || m->storing || m->marked != ~UINT64_C(0))
		return;
	/* The received QoS 2 ids that go along must be of kept messages. */
	if (m->session->flow != NULL && !list_empty(&m->session->flow->orphans))
		return;
	/* The new owner's changes of its rows must not come to the store before ours. */
	m->storing = true;
	keeps_put(w->keeps);
	queuec_wait(w->queue, &m->stored, ship);
}

void
move_on_orphan_closed(struct move *m)
{
	if (m->open == NULL)
		move_ship_if_marked(m);
}

struct move *
move_leaving_of(struct worker *w, struct slice id)
{
	struct session *s = move_find(w, id);

	return s != NULL && s->move != NULL && s->move->open == NULL ? s->move : NULL;
}

void
move_on_active(struct worker *w, unsigned from, struct slice id)
{
	struct move *m = move_leaving_of(w, id);
	struct session *s;

	if (m == NULL || m->peer != from)
		return;
	s = m->session;
	METRIC_ADD(moves_out, 1);
	move_free(m);
	let_go(w, s);
}

void
move_stay(struct session *s)
{
	struct move *m = s->move;
	struct worker *w = m->worker;

	FB_ASSERT(m->open == NULL);
	move_free(m);
	if (s->flow != NULL)
		move_join_aside(w, s);
	session_offline(w, s);
}

/* ---- not asked for yet ---- */

static void
on_patience(struct timer *t)
{
	move_stay(container_of(t, struct move, patience)->session);
}

void
move_claimed(struct worker *w, struct session *s)
{
	struct move *m;

	if (w->stopping)
		return;
	m = mem_zalloc(sizeof *m);
	m->worker = w;
	m->session = s;
	m->peer = NOBODY;
	m->claimed = m->sent = true;
	m->marked = ~UINT64_C(0);
	s->move = m;
	list_put_last(&w->moves->leaving, &m->link);
	timer_init(&m->patience, on_patience);
	loop_timer_in(w->loop, &m->patience, PATIENCE_NS);
}

void
move_claims_over(struct worker *w)
{
	LIST_EACH_SAFE(n, tmp, &w->moves->leaving) {
		struct move *m = container_of(n, struct move, link);

		if (m->claimed)
			move_stay(m->session);
	}
}
