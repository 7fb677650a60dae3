/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/session.h"

#include <string.h>

#include "common/base/mem.h"
#include "common/base/rand.h"
#include "common/metrics/page.h"
#include "common/mqtt/topic.h"
#include "worker/backlog.h"
#include "worker/connect.h"
#include "worker/flow.h"
#include "worker/keep.h"
#include "worker/move.h"
#include "worker/queuec.h"
#include "worker/retain.h"
#include "worker/seen.h"
#include "worker/shared.h"
#include "worker/storec.h"
#include "worker/subs.h"
#include "worker/worker.h"

#define AGE_KEPT_WITHIN_NS (3600 * NS_PER_SEC)
#define CHANCE_NS          (300 * NS_PER_SEC)

void
sessions_init(struct sessions *s)
{
	memset(s, 0, sizeof *s);
	hmap_init(&s->map);
	hmap_init(&s->accounts);
}

void
sessions_fini(struct sessions *s)
{
	hmap_fini(&s->map);
	hmap_fini(&s->accounts);
}

struct name *
name_new(struct slice text)
{
	struct name *n = mem_alloc(sizeof *n + text.len + 1);

	memset(n, 0, sizeof *n);
	n->refs = 1;
	n->len = (uint32_t)text.len;
	if (text.len > 0)
		memcpy(n->text, text.p, text.len);
	n->text[text.len] = '\0';
	return n;
}

void
name_drop(struct name *n)
{
	if (n == NULL || --n->refs > 0)
		return;
	if (n->all != NULL)
		hmap_del(&n->all->accounts, &n->node);
	mem_free(n);
}

static struct name *
account_name(struct sessions *all, struct slice text)
{
	uint64_t hash = rand_hash(text.p, text.len);
	struct name *n;

	if (text.len == 0)
		return NULL;
	for (struct hmap_node *i = hmap_first(&all->accounts, hash); i != NULL; i = hmap_next(i, hash)) {
		n = container_of(i, struct name, node);
		if (slice_eq(slice_of(n->text, n->len), text)) {
			n->refs++;
			return n;
		}
	}
	n = name_new(text);
	n->all = all;
	hmap_put(&all->accounts, &n->node, hash);
	return n;
}

struct session *
session_get(const struct sessions *all, struct slice id, uint64_t hash)
{
	for (struct hmap_node *n = hmap_first(&all->map, hash); n != NULL; n = hmap_next(n, hash)) {
		struct session *s = container_of(n, struct session, node);

		if (slice_eq(session_id(s), id))
			return s;
	}
	return NULL;
}

/* Random, but for who knows the key of this run of the node; never made twice. The lowest bit is for queues that are no
 * session's. */
static uint64_t
qid_new(struct worker *w)
{
	uint64_t qid;

	do {
		const uint64_t place[] = { w->epoch, w->qids++ };

		qid = rand_hash(place, sizeof place) & ~UINT64_C(1);
	} while (qid >> 16 == 0);
	return qid;
}

struct session *
session_new(struct worker *w, struct slice id, struct slice account, uint8_t flags)
{
	struct session *s = mem_zalloc(SESSION_SIZE(id.len));

	s->id_len = id.len & UINT16_MAX;
	memcpy(s->id, id.p, id.len);
	s->flags = flags;
	s->account = account_name(&w->sessions, account);
	list_init(&s->subs);
	hmap_put(&w->sessions.map, &s->node, rand_hash(id.p, id.len));
	METRIC_ADD(sessions, 1);
	if (flags & SESSION_DURABLE) {
		s->qid = qid_new(w);
		METRIC_ADD(sessions_durable, 1);
	}
	session_announce(w, s);
	return s;
}

void
session_set_queue(struct worker *w, struct session *s, const struct session_queue *q)
{
	if (q->qid == 0) {      /* its row is of an earlier release */
		(void)storec_session_put(w->store, s, NULL, NULL);
		return;
	}
	s->qid = q->qid;
	if (q->last != 0)
		backlog_set(w, s, q->first, q->last);
}

void
session_set_account(struct worker *w, struct session *s, struct slice account)
{
	struct name *was = s->account;

	if (slice_eq(session_account(s), account))
		return;
	s->account = account_name(&w->sessions, account);
	name_drop(was);
}

void
session_announce(struct worker *w, struct session *s)
{
	/* An id with a wildcard is nobody's topic; as a filter it would draw everything here. */
	bool want = w->config.direct && s->id[0] != '$' && topic_name_valid(session_id(s));

	if (w->cluster == NULL || want == ((s->flags & SESSION_WANTED) != 0))
		return;
	s->flags ^= SESSION_WANTED;
	if (want)
		cluster_want_id(w->cluster, session_id(s));
	else
		cluster_unwant_id(w->cluster, session_id(s));
}

void
session_forget(struct worker *w, struct session *s)
{
	struct open *waits = NULL;

	FB_ASSERT(s->conn == NULL);
	subs_del_all(w, s);
	if (s->flags & SESSION_WANTED)
		cluster_unwant_id(w->cluster, session_id(s));
	connect_session_gone(w, s);
	if (s->move != NULL)
		waits = move_abandon(w, s);
	if (s->flow != NULL) {
		loop_timer_cancel(w->loop, &s->flow->expiry);
		if (s->flow->replays != NULL)
			retain_cancel(s);
		flow_free(s->flow);
	}
	hmap_del(&w->sessions.map, &s->node);
	METRIC_SUB(sessions, 1);
	if (s->flags & SESSION_DURABLE)
		METRIC_SUB(sessions_durable, 1);
	name_drop(s->account);
	mem_free(s);
	if (waits != NULL)
		connect_reload(waits, true);
}

void
session_drop_queue(struct worker *w, const struct session *s)
{
	if ((s->flags & SESSION_DURABLE) == 0)
		return;
	keeps_put(w->keeps);    /* what of it is to go at the end of this turn: not behind that */
	/* Without a row there is nothing with which the rest would go. */
	if ((s->flags & SESSION_ROW) == 0 || !queuec_idle(w->queue))
		queuec_drop(w->queue, s->qid);
}

void
session_end(struct worker *w, struct session *s)
{
	if (s->flags & SESSION_DISOWNED) {
		session_forget(w, s);
		return;
	}
	if (s->qid != 0 && (w->disk_listeners != 0 || w->disk_topics != NULL))
		seen_release_all(w, s->qid);
	if (s->flags & SESSION_DURABLE) {
		(void)storec_session_del(w->store, session_id(s), NULL, NULL);
		session_drop_queue(w, s);
	}
	if ((s->flags & SESSION_ASSIGNED) == 0)
		storec_let_go(w->store, session_id(s), s->stamp);
	session_forget(w, s);
}

/* When the row of a session is to say that it ages: not for every short absence, but soon enough that a node which starts
 * again and again gets its sessions older. So not at a fixed time: then one that never is up for so long would never write
 * it. Once is enough: the store counts on from there. */
static int64_t
keep_age_after(const struct session *s, int64_t max_ns)
{
	int64_t within = max_ns / 8 < AGE_KEPT_WITHIN_NS ? max_ns / 8 : AGE_KEPT_WITHIN_NS;
	uint64_t place = (s->node.hash ^ s->stamp * UINT64_C(0x9e3779b97f4a7c15)) >> 44;

	return within / 64 + (int64_t)place * (within / 64 * 63 >> 20);
}

static void on_expiry(struct timer *t);

/* Until its end, or until its age is to be kept, if that comes first. */
static void
age(struct flow *f, int64_t aged_ns)
{
	struct worker *w = f->worker;
	int64_t max_ns = w->config.max_age * NS_PER_SEC;
	int64_t wait_ns = max_ns - aged_ns;
	int64_t keep_ns = keep_age_after(f->session, max_ns) - aged_ns;

	if (!f->age_kept && keep_ns > 0 && keep_ns < wait_ns)
		wait_ns = keep_ns;
	timer_init(&f->expiry, on_expiry);
	loop_timer_in(w->loop, &f->expiry, wait_ns > 0 ? wait_ns : 0);
}

static void
on_expiry(struct timer *t)
{
	struct flow *f = container_of(t, struct flow, expiry);
	struct worker *w = f->worker;
	struct session *s = f->session;
	int64_t aged_ns = mono_diff(loop_now(w->loop), f->offline_at);

	if (w->config.max_age == 0 || w->stopping)
		return;
	if (aged_ns >= w->config.max_age * NS_PER_SEC) {
		METRIC_ADD(sessions_expired, 1);
		session_end(w, s);
		return;
	}
	/* Not while the store may have given it to its client, who is back: it would be said to be away. */
	if (!f->age_kept && (s->flags & SESSION_ROW) != 0 && !connect_pending(w, session_id(s)))
		storec_session_aged(w->store, s, (uint64_t)(aged_ns / NS_PER_MS));
	f->age_kept = true;
	age(f, aged_ns);
}

static void
offline(struct worker *w, struct session *s, int64_t aged_ns, bool kept)
{
	s->conn = NULL;
	if (s->flow != NULL) {
		loop_timer_cancel(w->loop, &s->flow->expiry);
		keep_flow_now(s->flow);         /* no acknowledgement will come */
	}
	if (s->flags & SESSION_SHARES_ON)
		shared_offline(w, s);
	if ((s->flags & SESSION_DURABLE) == 0 || (s->flags & SESSION_DISOWNED)) {
		session_end(w, s);
		return;
	}
	session_flow_trim(s);
	if (w->config.max_age > 0 && !w->stopping) {
		session_flow(w, s);
		s->flow->offline_at = mono_add(loop_now(w->loop), -aged_ns);
		s->flow->age_kept = kept;
		age(s->flow, aged_ns);
	}
}

void
session_offline(struct worker *w, struct session *s)
{
	offline(w, s, 0, false);
}

void
session_loaded(struct worker *w, struct session *s, uint64_t aged_ms)
{
	int64_t max_ns = w->config.max_age * NS_PER_SEC;
	int64_t chance_ns = max_ns / 8 < CHANCE_NS ? max_ns / 8 : CHANCE_NS;
	int64_t aged_ns = (int64_t)(aged_ms < INT64_MAX / NS_PER_MS ? aged_ms * NS_PER_MS : INT64_MAX);

	/* Its client could not come while the node was down. */
	if (aged_ns > max_ns - chance_ns)
		aged_ns = max_ns - chance_ns;
	offline(w, s, aged_ns, aged_ms != 0);
}

void
session_online(struct worker *w, struct session *s, struct conn *c)
{
	s->conn = c;
	if (s->flow != NULL)
		loop_timer_cancel(w->loop, &s->flow->expiry);
}

struct flow *
session_flow(struct worker *w, struct session *s)
{
	if (s->flow != NULL)
		return s->flow;
	s->flow = flow_new(w, s);
	/* A client whose worker died may still know ids of QoS 2 messages: a new one with such an id would be taken for a
	 * repeat. So it begins somewhere else, each time that it is loaded. */
	if (s->flags & SESSION_LOADED)
		s->flow->window_head = s->flow->window_tail = s->flow->next_n = FLOW_FIRST +
		    ((s->node.hash ^ s->stamp * UINT64_C(0x9e3779b97f4a7c15)) >> 48);
	return s->flow;
}

void
session_flow_trim(struct session *s)
{
	/* Where a loaded one stands among the packet ids must not be forgotten. */
	if (s->flow != NULL && flow_empty(s->flow) && (s->flags & SESSION_LOADED) == 0 && !timer_is_set(&s->flow->expiry)) {
		flow_free(s->flow);
		s->flow = NULL;
	}
}
