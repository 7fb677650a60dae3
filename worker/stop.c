/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/stop.h"

#include "worker/conn.h"
#include "worker/flow.h"
#include "worker/keep.h"
#include "worker/listener.h"
#include "worker/move.h"
#include "worker/queuec.h"
#include "worker/shared.h"
#include "worker/ship.h"
#include "worker/storec.h"
#include "worker/worker.h"

#define CLOSES   8u             /* between two looks at the clock */
#define SESSIONS 64u

static const char why[] = "the server is stopping";

/* ---- connections ---- */

static void
close_one(struct conn *c, void *arg)
{
	(void)arg;
	conn_close(c, why);
}

static void
close_some(struct worker *w)
{
	struct conn *c;

	for (unsigned i = 1; (c = LIST_FIRST(&w->stop.closing, struct conn, link)) != NULL; i++) {
		list_del(&c->link);
		list_put_last(&w->conns, &c->link);
		conn_close(c, why);
		if (i % CLOSES == 0 && worker_check_turn(w)) {
			loop_next(w->loop, &w->stop.closes);
			return;
		}
	}
	conn_each(w, close_one, NULL);  /* who was parsed on meanwhile; the closed ones stay closed */
	storec_stop(w->store);
	w->takes_none = true;           /* so what comes is not acknowledged */
	shared_stop(w);
	stop_go_on(w);
}

static void
on_closes(struct task *t)
{
	close_some(container_of(t, struct worker, stop.closes));
}

/* ---- queues ---- */

struct parts {
	const struct session *session;
	uint32_t count;
};

static void
keep_part(void *arg, struct slice part)
{
	struct parts *p = arg;

	storec_queue_put(p->session->flow->worker->store, session_id(p->session), p->count++, part);
}

/* False: the turn was too long for all of it. One that is on its way here is its old owner's to keep. */
static bool
keep_session(struct worker *w, struct session *s)
{
	struct parts p = { .session = s };

	if ((s->flags & SESSION_DURABLE) == 0 || move_coming(s->move) != NULL)
		return true;
	if (s->move != NULL)
		move_stay(s);
	if (s->flow == NULL || s->flow->queue_kept)
		return true;
	if (!keep_all(w, s))
		return false;
	if (s->flow->received.used > 0)
		ship_received(s->flow, keep_part, &p);
	s->flow->queue_kept = true;
	return true;
}

/* Sessions may go between two turns: the iterator rests where no chain is in hand. When they come, and the map grows, those
 * that are kept already are passed once more. */
static void
keep_some(struct worker *w)
{
	const struct hmap *m = &w->sessions.map;
	struct stop *stop = &w->stop;
	struct hmap_node *n;
	unsigned count = 0;

	if (stop->tables[0] != m->buckets || stop->tables[1] != m->old)
		stop->it = (struct hmap_iter){ 0 };
	stop->tables[0] = m->buckets;
	stop->tables[1] = m->old;
	while ((n = hmap_each(m, &stop->it)) != NULL) {
		bool whole = keep_session(w, container_of(n, struct session, node));
		bool look = ++count >= SESSIONS && stop->it.next == NULL;

		if (!whole)
			stop->it = (struct hmap_iter){ .bucket = stop->it.bucket - 1 };
		if (!whole || (look && worker_check_turn(w))) {
			loop_next(w->loop, &stop->keeps);
			return;
		}
		if (look)
			count = 0;
	}
	stop->kept = true;
	stop_go_on(w);
}

static void
on_keeps(struct task *t)
{
	keep_some(container_of(t, struct worker, stop.keeps));
}

void
stop_keep_more(struct worker *w)
{
	if (!w->stop.keeping)
		return;
	w->stop.kept = false;
	w->stop.it = (struct hmap_iter){ 0 };
	loop_next(w->loop, &w->stop.keeps);
}

void
worker_keep_queues(struct worker *w)
{
	w->stop.due = true;
	stop_go_on(w);
}

/* ---- all of it ---- */

void
stop_init(struct stop *s)
{
	list_init(&s->closing);
	task_init(&s->closes, on_closes);
	task_init(&s->keeps, on_keeps);
}

void
stop_fini(struct worker *w)
{
	task_cancel(&w->stop.closes);
	task_cancel(&w->stop.keeps);
}

void
stop_go_on(struct worker *w)
{
	loop_timer_in(w->loop, &w->tick, 0);
}

void
stop_check(struct worker *w)
{
	struct stop *s = &w->stop;
	bool late = loop_now(w->loop).ns >= s->keep_by.ns;

	if (!s->keeping && (late || (s->due && moves_idle(w->moves)))) {
		s->keeping = true;
		keep_some(w);
	}
	if ((w->conn_count == 0 && s->kept && storec_idle(w->store) && queuec_idle(w->queue) &&
	    (late || moves_idle(w->moves)) && (late || shared_stop_heard(w))) ||
	    loop_now(w->loop).ns >= s->end_by.ns)
		loop_stop(w->loop);
}

void
worker_stop(struct worker *w)
{
	if (w->stopping)
		return;
	w->stopping = true;
	/* A store that is down must not make the supervisor kill us. */
	w->stop.end_by = mono_add(loop_now(w->loop), w->config.stop_timeout * NS_PER_SEC / 2);
	w->stop.keep_by = mono_add(loop_now(w->loop), w->config.stop_timeout * NS_PER_SEC / 4);
	w->gates_open = false;
	listeners_close(w->listeners);
	move_claims_over(w);
	list_move_all(&w->stop.closing, &w->conns);
	close_some(w);
}
