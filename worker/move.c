/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/move.h"

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/rand.h"
#include "common/metrics/page.h"
#include "worker/backlog.h"
#include "worker/deliver.h"
#include "worker/flow.h"
#include "worker/keep.h"
#include "worker/move_int.h"
#include "worker/ship.h"
#include "worker/storec.h"
#include "worker/subs.h"

/* SWITCHED, while the old owner is not linked with us yet: what we hold for it goes before. To the new owner too: what comes
 * here meanwhile is for the old one. */
struct late_mark {
	struct list link;
	uint64_t stamp;
	uint16_t owner, taker;
	uint16_t len;
	uint8_t id[];
};

struct moves *
moves_new(void)
{
	struct moves *m = mem_zalloc(sizeof *m);

	list_init(&m->early);
	list_init(&m->late);
	list_init(&m->takes);
	list_init(&m->leaving);
	list_init(&m->marks);
	return m;
}

void
moves_free(struct moves *m)
{
	mem_free(m);
}

bool
moves_idle(const struct moves *m)
{
	return list_empty(&m->early) && list_empty(&m->late) && list_empty(&m->takes) && list_empty(&m->leaving);
}

void
move_free(struct move *m)
{
	list_del(&m->link);
	if (m->worker->stopping)
		stop_go_on(m->worker);
	queuec_wait_cancel(&m->stored);
	if (m->claimed)
		loop_timer_cancel(m->worker->loop, &m->patience);
	if (m->session != NULL)
		m->session->move = NULL;
	if (m->shipped != NULL)
		flow_free(m->shipped);
	buf_fini(&m->senders);
	buf_fini(&m->lost);
	mem_free(m);
}

static void
mark_free(struct late_mark *k)
{
	list_del(&k->link);
	mem_free(k);
}

void
moves_drop(struct worker *w)
{
	LIST_EACH_SAFE(n, tmp, &w->moves->marks)
		mark_free(container_of(n, struct late_mark, link));
	LIST_EACH_SAFE(n, tmp, &w->moves->early)
		move_late_free(container_of(n, struct late_take, link));
	LIST_EACH_SAFE(n, tmp, &w->moves->late)
		move_late_free(container_of(n, struct late_take, link));
	LIST_EACH_SAFE(n, tmp, &w->moves->takes)
		move_free(container_of(n, struct move, link));
	LIST_EACH_SAFE(n, tmp, &w->moves->leaving)
		move_free(container_of(n, struct move, link));
}

struct open *
move_abandon(struct worker *w, struct session *s)
{
	struct move *m = s->move;
	struct open *o = m->open;
	unsigned peer = m->peer;
	uint64_t taken = m->taken;
	bool asked = !m->claimed;

	move_free(m);
	if (o == NULL && asked)
		move_reply_gone(w, peer, session_id(s), taken, FROZEN_GONE);
	return o;
}

struct open *
move_coming(const struct move *m)
{
	return m != NULL ? m->open : NULL;
}

bool
move_takes(const struct move *m, unsigned from, bool *aside)
{
	bool marked = (m->marked & move_bit(from)) != 0;

	if (m->open != NULL) {
		*aside = true;
		return marked;
	}
	*aside = marked;
	return true;
}

struct sender
move_sender(const struct worker *w, unsigned slot)
{
	struct sender s = { .slot = (uint16_t)slot };
	uint64_t seq;

	if (slot != w->slot)
		(void)cluster_store_seq(w->cluster, slot, &s.epoch, &seq);
	return s;
}

static size_t
sender_count(const struct buf *b)
{
	return buf_len(b) / sizeof(struct sender);
}

static struct sender
sender_at(const struct buf *b, size_t i)
{
	struct sender s;

	memcpy(&s, buf_slice(b).p + i * sizeof s, sizeof s);
	return s;
}

/* Its place, from 0 on; the count: it is not there. */
static size_t
sender_find(const struct buf *b, const struct sender *s)
{
	size_t i = 0;

	while (i < sender_count(b) && !(sender_at(b, i).slot == s->slot && sender_at(b, i).epoch == s->epoch))
		i++;
	return i;
}

bool
move_has_sender(const struct buf *b, const struct sender *s)
{
	return sender_find(b, s) < sender_count(b);
}

void
move_note_sender(struct session *s, unsigned from)
{
	struct move *m = s->move;
	struct sender sender = move_sender(m->worker, from);
	struct flow *f = s->flow;
	size_t i;

	if (m->open == NULL || sender.epoch == 0 || flow_first(f) == NULL)
		return;
	i = sender_find(&m->senders, &sender);
	if (i == sender_count(&m->senders))
		buf_put(&m->senders, &sender, sizeof sender);
	if (i < UINT8_MAX)
		f->queue[(f->queue_tail - 1) & (f->queue_room - 1)].held_of = (uint8_t)(i + 1);
}

struct session *
move_find(struct worker *w, struct slice id)
{
	return session_get(&w->sessions, id, rand_hash(id.p, id.len));
}

void
move_send_id(struct worker *w, unsigned slot, enum move_record type, struct slice id)
{
	struct buf b;

	buf_init(&b);
	buf_put_le32_bytes(&b, id);
	/* A neighbour that is down has forgotten the move, or will hear of it as our successor's. */
	(void)cluster_send(w->cluster, slot, (uint8_t)type, buf_slice(&b));
	buf_fini(&b);
}

static void
send_switched(struct worker *w, unsigned slot, struct slice id, uint64_t stamp)
{
	struct buf b;

	buf_init(&b);
	buf_put_le32_bytes(&b, id);
	buf_put_le64(&b, stamp);
	(void)cluster_send(w->cluster, slot, SWITCHED, buf_slice(&b));
	buf_fini(&b);
}

/* ---- the new owner ---- */

static int
send_take(struct move *m)
{
	struct buf b;
	int err;

	buf_init(&b);
	buf_put_le32_bytes(&b, connect_id(m->open));
	buf_put_u8(&b, connect_clean(m->open));
	buf_put_le64(&b, m->taken);
	buf_put_le64(&b, m->stamp);
	err = cluster_send(m->worker->cluster, m->peer, TAKE, buf_slice(&b));
	buf_fini(&b);
	m->asked = err == 0;
	return err;
}

void
move_take(struct worker *w, struct open *o, unsigned from_slot)
{
	struct move *m = mem_zalloc(sizeof *m);

	m->worker = w;
	m->open = o;
	m->peer = (uint16_t)from_slot;
	/* Each try its own: a mark of one that its old owner's death has ended is none of the next. */
	m->stamp = connect_stamp(o) << 16 | (++w->moves->tries & UINT16_MAX);
	m->taken = connect_prev_stamp(o);
	list_put_last(&w->moves->takes, &m->link);
	if (send_take(m) != FB_ECLOSED)
		return;         /* or it is sent when the neighbour is linked */
	move_free(m);
	connect_reload(o, false);
}

/* Behind all else: what comes from a sender before its mark may come after what another sent behind its own. */
void
move_join_aside(struct worker *w, struct session *s)
{
	struct flow *f = s->flow;
	struct buf aside;
	struct slice rest;
	struct queued q;

	buf_init(&aside);
	for (uint32_t n = flow_queued(f); n > 0; n--) {
		q = flow_pop(f);
		if (q.aside)
			buf_put(&aside, &q, sizeof q);
		else
			flow_push_queued(f, &q);
	}
	for (rest = buf_slice(&aside); rest.len > 0; rest.p += sizeof q, rest.len -= sizeof q) {
		memcpy(&q, rest.p, sizeof q);
		deliver_join(w, s, &q);
	}
	buf_fini(&aside);
}

/* What is held of senders whose earlier publishes died with them: their clients send it again, in order. */
static void
drop_lost(struct move *m, struct flow *held)
{
	for (uint32_t n = flow_queued(held); n > 0; n--) {
		struct queued q = flow_pop(held);
		struct sender s = { 0 };

		if (q.held_of != 0)
			s = sender_at(&m->senders, q.held_of - 1u);
		if (q.held_of == 0 || !move_has_sender(&m->lost, &s)) {
			flow_push_queued(held, &q);
			continue;
		}
		if (q.stored == STORED_ASKED)
			keep_detach(q.keep, q.keep_at);
		msg_drop(q.msg);
	}
}

/* Everything that O had is here: it goes before what was held meanwhile. */
static void
activate(struct move *m)
{
	struct worker *w = m->worker;
	struct session *s = m->session;
	struct open *o = m->open;
	struct flow *held = s->flow;

	if (held != NULL && buf_len(&m->lost) > 0)
		drop_lost(m, held);
	if (m->shipped != NULL) {
		s->flow = m->shipped;
		s->flow->session = s;
		m->shipped = NULL;
		while (held != NULL && flow_first(held) != NULL) {
			struct queued q = flow_pop(held);

			deliver_join(w, s, &q);
		}
		if (held != NULL)
			flow_free(held);
	} else if (held != NULL) {
		move_join_aside(w, s);
	}
	move_send_id(w, m->peer, ACTIVE, session_id(s));
	/* It may be dead: then its successor must not have it too. */
	storec_give_up(w->store, session_id(s), m->taken);
	METRIC_ADD(moves_in, 1);
	move_free(m);
	if (w->stopping)
		stop_keep_more(w);
	connect_taken(o, s);
}

/* What a sender said before its mark comes from O: it must not come from the sender too, behind the move. */
static void
activate_if_marked(struct move *m)
{
	if (m->sent && m->marked == ~UINT64_C(0))
		activate(m);
}

/* That which asked for what that stamp gave: there may be one more, behind it. */
static struct move *
take_of(struct worker *w, unsigned from, uint64_t taken, struct slice id)
{
	LIST_EACH(n, &w->moves->takes) {
		struct move *m = container_of(n, struct move, link);

		if (m->peer == from && m->taken == taken && slice_eq(connect_id(m->open), id))
			return m;
	}
	return NULL;
}

static struct move *
coming_of(struct worker *w, unsigned from, struct slice id)
{
	struct session *s = move_find(w, id);

	return s != NULL && move_coming(s->move) != NULL && s->move->peer == from ? s->move : NULL;
}

static void
send_switch(const struct move *m, unsigned to)
{
	struct buf b;

	buf_init(&b);
	buf_put_le32_bytes(&b, session_id(m->session));
	buf_put_le16(&b, m->peer);
	buf_put_le64(&b, m->stamp);
	(void)cluster_send(m->worker->cluster, to, SWITCH, buf_slice(&b));
	buf_fini(&b);
}

static void
on_frozen(struct worker *w, unsigned from, struct slice body)
{
	struct slice id;
	uint64_t taken, epoch, seq;
	uint64_t qid = 0;
	uint8_t what, pending;
	struct move *m;
	struct session *s;
	struct open *o;

	if (slice_take_le32_bytes(&body, &id) != 0 || slice_take_u8(&body, &what) != 0 ||
	    slice_take_le64(&body, &taken) != 0 || slice_take_le64(&body, &epoch) != 0 ||
	    slice_take_le64(&body, &seq) != 0 || (m = take_of(w, from, taken, id)) == NULL)
		return;
	o = m->open;
	if (seq != 0)
		connect_behind(o, from, epoch, seq);
	if (what == FROZEN_UNKNOWN) {
		move_free(m);
		connect_reload(o, true);
		return;
	}
	if (what != FROZEN_GONE && (slice_take_u8(&body, &pending) != 0 || slice_take_le64(&body, &qid) != 0))
		return;
	/* Gone there; or here already, which no order of the store leads to: then the rows decide. */
	if (what == FROZEN_GONE || move_find(w, id) != NULL) {
		if (what != FROZEN_GONE)
			move_send_id(w, from, ACTIVE, id);
		if (m->session != NULL)
			session_forget(w, m->session);  /* ended there while it came */
		else
			move_free(m), connect_gone(o);
		return;
	}
	s = session_new(w, id, connect_account(o), (uint8_t)(SESSION_DURABLE |
	    (what != FROZEN_HERE_NO_ROW ? SESSION_ROW : 0) | (what == FROZEN_HERE_LOADED ? SESSION_LOADED : 0)));
	s->qid = qid;
	s->move = m;
	m->session = s;
	subs_decode(w, s, body);
	/* A write of them that the store reads now is refused: it is not that worker's any more. */
	if (pending != 0)
		subs_store(w, s);
	/* The routes are on their way before the SWITCH; our own publishes come to us from here on. */
	m->marked = ~w->moves->up | move_bit(w->slot);
	send_switched(w, m->peer, id, m->stamp);
	for (unsigned slot = 0; slot < w->slots; slot++)
		if (slot != w->slot && (w->moves->up & move_bit(slot)) != 0)
			send_switch(m, slot);
}

static void
on_ship(struct worker *w, unsigned from, struct slice body)
{
	struct slice id;
	struct move *m;

	if (slice_take_le32_bytes(&body, &id) != 0 || (m = coming_of(w, from, id)) == NULL)
		return;
	if (m->shipped == NULL)
		m->shipped = flow_new(w, m->session);
	if (ship_decode(m->shipped, body) != 0)
		log_error("move", "a shipped part is damaged", "from=%u", from);
}

static void
on_ship_end(struct worker *w, unsigned from, struct slice body)
{
	struct slice id;
	struct move *m;
	struct sender s = { 0 };

	if (slice_take_le32_bytes(&body, &id) != 0 || (m = coming_of(w, from, id)) == NULL)
		return;
	while (slice_take_le16(&body, &s.slot) == 0 && slice_take_le64(&body, &s.epoch) == 0) {
		buf_put(&m->lost, &s, sizeof s);
		/* It is dead, and we have not heard of it: what comes from it until then is held, too. */
		if (s.slot < w->slots && move_sender(w, s.slot).epoch == s.epoch)
			m->marked &= ~move_bit(s.slot);
	}
	m->sent = true;
	activate_if_marked(m);
}

/* ---- every sender ---- */

static void
mark(struct worker *w, uint16_t owner, unsigned taker, struct slice id, uint64_t stamp)
{
	struct late_mark *k;

	if ((w->moves->up & move_bit(owner)) != 0) {
		send_switched(w, taker, id, stamp);
		send_switched(w, owner, id, stamp);
		return;
	}
	k = mem_zalloc(sizeof *k + id.len);
	k->stamp = stamp;
	k->owner = owner;
	k->taker = (uint16_t)taker;
	k->len = (uint16_t)id.len;
	memcpy(k->id, id.p, id.len);
	list_put_last(&w->moves->marks, &k->link);
}

/* The owner is linked, or (false) dead: then the new one hears of that, too. */
static void
late_marks(struct worker *w, unsigned owner, bool send)
{
	LIST_EACH_SAFE(n, tmp, &w->moves->marks) {
		struct late_mark *k = container_of(n, struct late_mark, link);

		if (k->owner != owner)
			continue;
		send_switched(w, k->taker, slice_of(k->id, k->len), k->stamp);
		if (send)
			send_switched(w, owner, slice_of(k->id, k->len), k->stamp);
		mark_free(k);
	}
}

static void
on_switch(struct worker *w, unsigned from, struct slice body)
{
	struct slice id;
	uint16_t owner;
	uint64_t stamp;
	struct move *m;

	if (slice_take_le32_bytes(&body, &id) != 0 || slice_take_le16(&body, &owner) != 0 ||
	    slice_take_le64(&body, &stamp) != 0)
		return;
	if (owner >= w->slots)
		return;
	if (owner != w->slot) {
		mark(w, owner, from, id, stamp);
		return;
	}
	send_switched(w, from, id, stamp);
	m = move_leaving_of(w, id);
	if (m != NULL && m->peer == from && m->stamp == stamp) {
		m->marked |= move_bit(w->slot);
		move_ship_if_marked(m);
	}
}

static void
on_switched(struct worker *w, unsigned from, struct slice body)
{
	struct slice id;
	uint64_t stamp;
	struct session *s;
	struct sender sender;

	if (slice_take_le32_bytes(&body, &id) != 0 || slice_take_le64(&body, &stamp) != 0)
		return;
	s = move_find(w, id);
	if (s == NULL || s->move == NULL || s->move->stamp != stamp)
		return;
	sender = move_sender(w, from);
	if (s->move->open != NULL && move_has_sender(&s->move->lost, &sender))
		return;         /* its end is waited for */
	s->move->marked |= move_bit(from);
	if (s->move->open == NULL)
		move_ship_if_marked(s->move);
	else
		activate_if_marked(s->move);
}

void
move_on_record(struct worker *w, unsigned from, uint8_t type, struct slice body)
{
	struct slice rest = body;
	struct slice id;

	if (slice_take_le32_bytes(&rest, &id) != 0)
		return;
	switch ((enum move_record)type) {
	case TAKE:
		move_on_take(w, from, body);
		break;
	case FROZEN:
		on_frozen(w, from, body);
		break;
	case SWITCH:
		on_switch(w, from, body);
		break;
	case SWITCHED:
		on_switched(w, from, body);
		break;
	case SHIP:
		on_ship(w, from, body);
		break;
	case SHIP_END:
		on_ship_end(w, from, body);
		break;
	case ACTIVE:
		move_on_active(w, from, id);
		break;
	}
}

/* One that comes while a session moves has to mark too: the new owner asks it to. */
static void
new_sender(struct worker *w, unsigned slot)
{
	w->moves->up |= move_bit(slot);
	LIST_EACH(n, &w->moves->leaving) {
		struct move *m = container_of(n, struct move, link);

		if (!m->sent)
			m->marked &= ~move_bit(slot);
	}
	LIST_EACH(n, &w->moves->takes) {
		struct move *m = container_of(n, struct move, link);

		if (m->session == NULL) {
			if (m->peer == slot && !m->asked)
				(void)send_take(m);
			continue;
		}
		if (m->sent)
			continue;       /* nothing of it was the old owner's to take */
		m->marked &= ~move_bit(slot);
		send_switch(m, slot);
	}
}

/* O died. Who has all that it had needs it no more, and nor does its successor. Else its successor has what is on the disk,
 * and gets from each neighbour what O had not kept, all in order: so the session is taken from there. What is held here
 * comes there too, as O had not kept it: its sender waits until one of the two has it safe. */
static void
old_owner_died(struct move *m)
{
	struct worker *w = m->worker;
	struct session *s = m->session;
	struct open *o = m->open;

	if (m->sent) {
		storec_give_up(w->store, session_id(s), m->taken);
		activate_if_marked(m);
		return;
	}
	move_free(m);
	if (s != NULL)
		session_forget(w, s);
	connect_reload(o, false);
}

void
move_on_neighbour(struct worker *w, unsigned slot, uint64_t epoch, bool up)
{
	struct sender s = { .slot = (uint16_t)slot, .epoch = epoch };

	late_marks(w, slot, up);
	if (up) {
		new_sender(w, slot);
		return;
	}
	w->moves->up &= ~move_bit(slot);
	move_late_drop(&w->moves->early, slot);
	move_late_drop(&w->moves->late, slot);
	LIST_EACH_SAFE(n, tmp, &w->moves->leaving) {
		struct move *m = container_of(n, struct move, link);

		if ((m->marked & move_bit(slot)) == 0)
			buf_put(&m->lost, &s, sizeof s);
		m->marked |= move_bit(slot);
		if (m->peer == slot || m->claimed)
			move_stay(m->session);
		else
			move_ship_if_marked(m);
	}
	LIST_EACH_SAFE(n, tmp, &w->moves->takes) {
		struct move *m = container_of(n, struct move, link);

		m->marked |= move_bit(slot);
		if (m->peer == slot)
			old_owner_died(m);
		else if (m->session != NULL)
			activate_if_marked(m);
	}
}
