/* SPDX-License-Identifier: Apache-2.0
 * The steps of a CONNECT from the store's answer on: if another session of that id lives, here or at a neighbour, take
 * it or end it; durable and new: its row committed; the id announced in every worker; CONNACK; what waited is sent. */
#include "worker/connect.h"

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/rand.h"
#include "common/base/utf8.h"
#include "common/ipc/message.h"
#include "common/metrics/page.h"
#include "common/mqtt/encode.h"
#include "common/mqtt/reason.h"
#include "worker/connect_int.h"
#include "worker/count.h"
#include "worker/deliver.h"
#include "worker/dispatch.h"
#include "worker/keep.h"
#include "worker/move.h"
#include "worker/queuec.h"
#include "worker/shared.h"
#include "worker/subs.h"
#include "worker/will.h"
#include "worker/worker.h"

static void proceed(struct open *o);
static void here(struct open *o);

bool
connect_pending(const struct worker *w, struct slice id)
{
	uint64_t hash = rand_hash(id.p, id.len);

	for (struct hmap_node *n = hmap_first(&w->opens, hash); n != NULL; n = hmap_next(n, hash))
		if (slice_eq(container_of(n, struct open, node)->ask.client_id, id))
			return true;
	return false;
}

struct open *
connect_before(const struct worker *w, struct slice id, uint64_t stamp)
{
	uint64_t hash = rand_hash(id.p, id.len);
	struct open *last = NULL;

	for (struct hmap_node *n = hmap_first(&w->opens, hash); n != NULL; n = hmap_next(n, hash)) {
		struct open *o = container_of(n, struct open, node);

		if (o->stamp != 0 && o->stamp <= stamp && slice_eq(o->ask.client_id, id) &&
		    (last == NULL || o->stamp > last->stamp))
			last = o;
	}
	return last;
}

void
connect_follow(struct open *o, struct follower *f)
{
	list_put_last(&o->followers, &f->link);
}

struct slice
connect_id(const struct open *o)
{
	return o->ask.client_id;
}

uint64_t
connect_stamp(const struct open *o)
{
	return o->stamp;
}

uint64_t
connect_prev_stamp(const struct open *o)
{
	return o->prev_stamp;
}

struct open *
connect_holding(const struct worker *w, const struct session *s)
{
	for (struct hmap_node *n = hmap_first(&w->opens, s->node.hash); n != NULL; n = hmap_next(n, s->node.hash))
		if (container_of(n, struct open, node)->session == s)
			return container_of(n, struct open, node);
	return NULL;
}

void
connect_name(struct worker *w)
{
	struct hmap_iter it = { 0 };
	struct hmap_node *n;

	while ((n = hmap_each(&w->opens, &it)) != NULL) {
		const struct open *o = container_of(n, struct open, node);

		if (o->stamp != 0 && o->session == NULL)
			storec_own(w->store, &(struct ipc_own){ .client_id = o->ask.client_id, .account = connect_account(o),
			    .stamp = o->stamp, .prev_slot = o->prev_slot, .prev_stamp = o->prev_stamp });
	}
}

bool
connect_clean(const struct open *o)
{
	return o->clean;
}

bool
connect_is_of(const struct open *o, struct slice account)
{
	return o->account != NULL && slice_eq(connect_account(o), account);
}

struct slice
connect_account(const struct open *o)
{
	return slice_of(o->account->text, o->account->len);
}

void
connect_conn_gone(struct conn *c)
{
	struct open *o = c->open;

	c->open = NULL;
	o->conn = NULL;
	if (o->session != NULL && o->session->conn == c)
		o->session->conn = NULL;
}

/* Ended in the last steps of its CONNECT. */
void
connect_session_gone(struct worker *w, const struct session *s)
{
	for (struct hmap_node *n = hmap_first(&w->opens, s->node.hash); n != NULL; n = hmap_next(n, s->node.hash)) {
		struct open *o = container_of(n, struct open, node);

		if (o->session == s)
			o->session = NULL;
	}
}

static void
open_free(struct open *o)
{
	if (list_linked(&o->follow.link))
		list_del(&o->follow.link);
	FB_ASSERT(list_empty(&o->followers));
	if (o->conn != NULL)
		o->conn->open = NULL;
	if (o->will != NULL)
		will_free(o->will);
	name_drop(o->account);
	list_del(&o->behind.link);      /* asked of the store, if it is linked */
	buf_fini(&o->subs);
	buf_fini(&o->behind_min);
	mem_free(o);
}

void
connect_free_all(struct worker *w)
{
	struct hmap_iter it = { 0 };
	struct hmap_node *n;

	while ((n = hmap_each(&w->opens, &it)) != NULL) {
		struct open *o = container_of(n, struct open, node);

		if (w->cluster != NULL)
			cluster_barrier_cancel(w->cluster, &o->barrier);
		while (!list_empty(&o->followers))
			list_del(o->followers.next);
		hmap_del(&w->opens, n);
		open_free(o);
	}
}

/* The next in line for this id goes on. offline: the session that nobody came for; NULL: none. */
static void
open_done(struct open *o, struct session *offline)
{
	struct worker *w = o->worker;
	struct list rest;
	struct follower *f;

	hmap_del(&w->opens, &o->node);
	if (offline != NULL)
		session_offline(w, offline);
	list_init(&rest);
	list_move_all(&rest, &o->followers);
	open_free(o);
	while ((f = LIST_FIRST(&rest, struct follower, link)) != NULL) {
		list_del(&f->link);
		f->run(f);
	}
}

static void
refuse(struct open *o, int err)
{
	enum mqtt_reason reason = MQTT_R_SERVER_UNAVAILABLE;
	const char *why = err_text(err);
	char id[80];

	if (err == FB_EAUTH)
		reason = MQTT_R_BAD_USER_OR_PASSWORD;
	else if (err == FB_EPERM)
		reason = MQTT_R_NOT_AUTHORIZED, why = "a user name is needed";
	else if (err == FB_EOWNER)
		reason = MQTT_R_NOT_AUTHORIZED, why = "the session belongs to another account";
	else if (err == FB_EBUSY)
		reason = MQTT_R_SERVER_BUSY, why = "too many logins are waiting";
	if (o->stamp != 0)
		storec_give_up(o->worker->store, o->ask.client_id, o->stamp);
	if (o->conn != NULL) {
		log_info("connect", "refused", "client=%s reason=\"%s\"", utf8_show(o->ask.client_id, id, sizeof id), why);
		conn_refuse(o->conn, reason, why);
	}
	open_done(o, NULL);
}

static void
run_follow(struct follower *f)
{
	proceed(container_of(f, struct open, follow));
}

/* The answer to OPEN, first or again. */
static void
take_answer(struct open *o, const struct ipc_opened *a)
{
	o->stamp = a->stamp;
	o->prev_slot = a->prev_slot;
	o->prev_stamp = a->prev_stamp;
	o->durable_row = a->durable != 0;
	o->queue = (struct session_queue){ .qid = a->qid, .first = a->q_first, .last = a->q_last };
	buf_clear(&o->subs);
	buf_put_slice(&o->subs, a->subs);
}

/* The id is ours by the store's word: when an earlier CONNECT here that had it before is done, go on. */
static void
in_turn(struct open *o)
{
	struct worker *w = o->worker;
	struct open *before = NULL;

	if (o->prev_slot == w->slot && o->stamp != 0)
		before = connect_before(w, o->ask.client_id, o->stamp - 1);
	if (before == NULL) {
		proceed(o);
		return;
	}
	o->follow.run = run_follow;
	connect_follow(before, &o->follow);
}

void
connect_opened(struct store_open *ask, const struct ipc_opened *a)
{
	struct open *o = container_of(ask, struct open, ask);
	struct worker *w = o->worker;

	if (a->code != 0) {
		refuse(o, -(int)a->code);
		move_on_stamp(w, a->stamp);
		return;
	}
	take_answer(o, a);
	o->account = name_new(a->account);
	in_turn(o);
	move_on_stamp(w, a->stamp);
}

static void
last_step(struct open *o)
{
	struct mqtt_connack ack = { .session_present = o->present,      /* [MQTT-3.2.2-2] */
	    .has_keep_alive = o->keep_alive_moved, .keep_alive_s = o->keep_alive_s };
	struct worker *w = o->worker;
	struct session *s = o->session;
	struct conn *c = o->conn;
	char id[80], peer[80];

	if (--o->steps > 0)
		return;
	/* A new session that the store did not take: it never was, and there is no row with which its queue would go. */
	if (o->failed && s != NULL) {
		s->flags |= SESSION_DISOWNED;
		if ((s->flags & (SESSION_DURABLE | SESSION_ROW)) == SESSION_DURABLE) {
			keeps_put(w->keeps);
			queuec_drop(w->queue, s->qid);
		}
		storec_give_up(w->store, session_id(s), s->stamp);
	}
	if (c == NULL || s == NULL || o->failed) {
		if (s != NULL)
			s->conn = NULL;
		if (c != NULL)
			conn_refuse(c, MQTT_R_SERVER_UNAVAILABLE, "the store could not keep the session");
		open_done(o, s);
		return;
	}
	c->open = NULL;
	c->state = CONN_READY;
	c->session = s;
	c->keep_alive_s = o->keep_alive_s;
	c->will = o->will;
	o->will = NULL;
	if (c->will != NULL)
		will_keep(w, s, c->will, o->stamp);
	o->conn = NULL;
	if (o->level == MQTT_31)
		ack.session_present = false;    /* a reserved byte at level 3 */
	METRIC_ADD(clients, 1);
	if (s->account != NULL)
		s->account->clients++;
	if (METRIC_GET(clients) > METRIC_GET(clients_max))
		METRIC_SET(clients_max, METRIC_GET(clients));
	count_sent(MQTT_CONNACK);
	encode_connack(conn_out(c), c->level, &ack);
	conn_touch(c);
	conn_keepalive(c);
	log_info("connect", "connected", "client=%s peer=%s level=%u clean=%d present=%d account=%s keep_alive=%u",
	    utf8_show(session_id(s), id, sizeof id), conn_peer_text(c, peer, sizeof peer), c->level,
	    (s->flags & SESSION_DURABLE) == 0, o->present, s->account != NULL ? s->account->text : "-",
	    c->keep_alive_s);
	if (s->flags & SESSION_SHARES)
		shared_online(w, s);
	deliver_again(w, s, UINT64_MAX);
	conn_resume(c);
	open_done(o, NULL);
}

static void
on_row(void *arg, int err)
{
	struct open *o = arg;

	/* Not the owner any more: another worker is about to take the session, and it writes the row. Unless it is dead by now:
	 * then that is known when this is asked once more. */
	o->failed = o->failed || (err != 0 && err != FB_EOWNER);
	if (err == 0 && o->session != NULL)
		o->session->flags |= SESSION_ROW;
	if (err == FB_EOWNER && o->session != NULL && !o->row_again) {
		o->row_again = true;
		storec_session_put(o->worker->store, o->session, on_row, o);
		return;
	}
	last_step(o);
}

static void
on_row_gone(void *arg, int err)
{
	struct open *o = arg;

	/* Not the owner any more: who is deletes it, or has it. */
	o->failed = o->failed || (err != 0 && err != FB_EOWNER);
	last_step(o);
}

static void
on_barrier(struct cluster_barrier *b)
{
	last_step(container_of(b, struct open, barrier));
}

static void
on_behind(struct store_get *g, const struct ipc_retain_rows *rows)
{
	(void)rows;
	last_step(container_of(g, struct open, behind));
}

void
connect_behind(struct open *o, unsigned slot, uint64_t epoch, uint64_t seq)
{
	buf_put_le16(&o->behind_min, (uint16_t)slot);
	buf_put_le64(&o->behind_min, epoch);
	buf_put_le64(&o->behind_min, seq);
}

void
connect_taken(struct open *o, struct session *s)
{
	struct worker *w = o->worker;
	uint8_t flags = (uint8_t)((o->clean ? 0 : SESSION_DURABLE) | (o->ask.flags & OPEN_ASSIGNED ? SESSION_ASSIGNED : 0));

	o->present = s != NULL;
	if (s == NULL) {
		s = session_new(w, o->ask.client_id, connect_account(o), flags);
		if (o->durable_row && !o->clean) {
			s->flags |= SESSION_ROW | SESSION_LOADED;
			s->stamp = o->stamp & SESSION_STAMP_MAX;
			session_set_queue(w, s, &o->queue);
			subs_decode(w, s, buf_slice(&o->subs));
			o->present = true;
		}
	} else if (s->stamp != 0) {
		/* It never left, though its taker may have died, or a new store may have heard of both numbers: the claim
		 * that the old one may be by now is over. */
		storec_give_up(w->store, session_id(s), s->stamp);
	}
	session_set_account(w, s, connect_account(o));  /* what it may is what who logged in may */
	o->session = s;
	s->stamp = o->stamp & SESSION_STAMP_MAX;
	session_online(w, s, o->conn);
	o->steps = 1;
	/* Who had the id may die before it says that its session has ended: no row of ours is its successor's. */
	if ((o->clean || (s->flags & SESSION_ROW) == 0) && o->prev_stamp != 0 && o->prev_slot != w->slot)
		storec_give_up(w->store, session_id(s), o->prev_stamp);
	/* A clean CONNECT ends the durable session wherever it was: the row is ours to delete, and gone for good before
	 * the client is told. [MQTT-3.1.2-6] */
	if (o->clean && o->durable_row) {
		o->steps++;
		storec_session_del(w->store, session_id(s), on_row_gone, o);
	}
	/* A new session; or one that came from a worker whose own write of the row came too late. */
	if (!o->clean && (s->flags & SESSION_ROW) == 0) {
		o->steps++;
		storec_session_put(w->store, s, on_row, o);
		subs_store(w, s);
	}
	if (w->cluster != NULL) {
		o->steps++;
		cluster_barrier(w->cluster, &o->barrier, on_barrier);
	}
	/* What it publishes here must not come to the store before what it published there. */
	if (buf_len(&o->behind_min) > 0) {
		o->steps++;
		o->behind.min = buf_slice(&o->behind_min);
		o->behind.done = on_behind;
		storec_retain_get(w->store, &o->behind);
	}
	last_step(o);
}

void
connect_gone(struct open *o)
{
	/* Only its row can say that it was a durable one. */
	if (o->durable_row && !o->clean)
		connect_reload(o, true);
	else
		here(o);
}

static void
on_reloaded(struct store_open *ask, const struct ipc_opened *a)
{
	struct open *o = container_of(ask, struct open, ask);

	if (a->code != 0) {
		refuse(o, -(int)a->code);
		return;
	}
	take_answer(o, a);
	in_turn(o);
}

void
connect_reload(struct open *o, bool asked)
{
	o->ask.flags = (uint8_t)((o->ask.flags & ~(OPEN_AUTH | OPEN_VOUCHED)) | OPEN_RELOAD);
	o->ask.stamp = o->stamp;
	/* Of a death the store hears itself, and knows better whether it was that incarnation. */
	o->ask.dead_stamp = asked ? o->prev_stamp : 0;
	o->ask.done = on_reloaded;
	storec_open(o->worker->store, &o->ask);
}

/* The session is here, or nowhere. */
static void
here(struct open *o)
{
	struct worker *w = o->worker;
	struct slice id = o->ask.client_id;
	uint64_t hash = rand_hash(id.p, id.len);
	struct session *s = session_get(&w->sessions, id, hash);
	struct open *before;

	/* Only if numbers were lost with a store: one that is being worked on all the same. */
	before = s == NULL ? NULL : s->move != NULL ? move_coming(s->move) : connect_holding(w, s);
	if (before != NULL) {
		o->follow.run = run_follow;
		connect_follow(before, &o->follow);
		return;
	}
	/* The worker that was about to take it died, and the store said so first. */
	if (s != NULL && s->move != NULL)
		move_stay(s);
	if (s != NULL && s->conn != NULL) {
		METRIC_ADD(takeovers, 1);
		conn_kill(s->conn, CONN_SIDE_SERVER, "session taken over");     /* [MQTT-3.1.4-2] */
		s = session_get(&w->sessions, id, hash);
	}
	/* A clean CONNECT ends what was there; a clean session does not become a durable one. [MQTT-3.1.2-6] */
	if (s != NULL && (o->clean || (s->flags & SESSION_DURABLE) == 0)) {
		session_end(w, s);
		s = NULL;
	}
	/* It has ended since the store spoke. */
	if (s == NULL && o->prev_slot == w->slot && o->durable_row && !o->clean) {
		connect_reload(o, true);
		return;
	}
	connect_taken(o, s);
}

/* Nobody else here works on this id now: where is its session? As the store says, even if one is here: then another
 * worker is about to take it, and we get it from there. */
static void
proceed(struct open *o)
{
	if (o->prev_slot != OPEN_NOBODY && o->prev_slot != o->worker->slot)
		move_take(o->worker, o, o->prev_slot);
	else
		here(o);
}
