/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/storec.h"

#include "cluster/cluster.h"
#include "common/base/err.h"
#include "common/base/heap.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/rand.h"
#include "common/ipc/chan.h"
#include "common/metrics/page.h"
#include "worker/connect.h"
#include "worker/ctl.h"
#include "worker/move.h"
#include "worker/queuec.h"
#include "worker/session.h"
#include "worker/worker.h"

#define FULL_BYTES (32 * 1024 * 1024)
#define GET_BYTES (64 * 1024)

#define RETRY_NS NS_PER_SEC

/* A durable write that was not answered yet: its bytes, to be sent again. */
struct write {
	struct list link;               /* in ->writes */
	/* Of a retained message: its key is its place among all of them; in the heap and the map only while it is held. */
	struct heap_node held;
	struct hmap_node topic;
	uint64_t after;                 /* held: not sent before all up to this number are answered */
	uint64_t seq;
	store_done_fn *done;
	void *arg;
	size_t real_size;
	uint16_t type;
	bool patient;                   /* held if it is refused */
	uint32_t len;
	uint8_t bytes[];
};

/* A GIVE_UP that waits for the writes before it. */
struct let_go {
	struct list link;
	uint64_t seq;
	uint64_t stamp;
	uint32_t len;
	uint8_t id[];
};

struct storec {
	struct worker *worker;
	struct chan *chan;              /* NULL: no store now */
	struct list opens;              /* struct store_open, in order */
	struct list gets;               /* struct store_get */
	struct list writes;             /* struct write, by seq */
	struct heap held;               /* struct write, retained messages that wait for room: no number, not sent */
	struct hmap topics;             /* the same */
	struct list dels;               /* struct write, SESSION_DELs that were refused and that a CONNECT waits for: not sent */
	struct timer retry;
	bool stops;
	bool room;                      /* nothing was refused since one was kept: what is held may go */
	bool probe;                     /* the first of it may */
	int64_t last_place;
	int64_t refused_to;             /* until the one at this place is kept */
	bool refusing;                  /* it was said */
	size_t write_bytes;             /* of writes, and what is held */
	struct list let_gos;            /* struct let_go, by seq */
	uint64_t next_req;
	uint64_t next_seq;
	struct buf scratch;             /* of the write in hand */
};

static void on_msg(void *arg, enum ipc_type type, struct slice payload, int fd);
static void on_closed(void *arg);
static void on_retry(struct timer *t);

static const struct chan_ops ops = { .on_msg = on_msg, .on_closed = on_closed };

struct storec *
storec_new(struct worker *w)
{
	struct storec *s = mem_zalloc(sizeof *s);

	s->worker = w;
	list_init(&s->opens);
	list_init(&s->gets);
	list_init(&s->writes);
	list_init(&s->let_gos);
	list_init(&s->dels);
	heap_init(&s->held);
	hmap_init(&s->topics);
	timer_init(&s->retry, on_retry);
	s->next_req = 1;
	s->next_seq = 1;
	return s;
}

static void
let_gos_drop(struct storec *s)
{
	LIST_EACH_SAFE(n, tmp, &s->let_gos) {
		list_del(n);
		mem_free(container_of(n, struct let_go, link));
	}
}

void
storec_free(struct storec *s)
{
	let_gos_drop(s);
	list_move_all(&s->writes, &s->dels);
	LIST_EACH_SAFE(n, tmp, &s->writes) {
		struct write *wr = container_of(n, struct write, link);

		mem_slab_put(wr, wr->real_size);
	}
	loop_timer_cancel(s->worker->loop, &s->retry);
	FB_ASSERT(s->held.count == 0);
	heap_fini(&s->held);
	hmap_fini(&s->topics);
	buf_fini(&s->scratch);
	chan_free(s->chan);
	mem_free(s);
}

bool
storec_full(const struct storec *s)
{
	return s->write_bytes > FULL_BYTES;
}

bool
storec_idle(const struct storec *s)
{
	return list_empty(&s->opens) && list_empty(&s->writes) && list_empty(&s->dels);
}

static void
send_open(struct storec *s, const struct store_open *o)
{
	CHAN_SEND(s->chan, OPEN, open, .req = o->req, .flags = o->flags, .stamp = o->stamp, .dead_stamp = o->dead_stamp,
	    .client_id = o->client_id, .user = o->user, .password = o->password);
}

static void
send_get(struct storec *s, const struct store_get *g)
{
	CHAN_SEND(s->chan, RETAIN_GET, retain_get, .req = g->req, .max_bytes = GET_BYTES, .filter = g->filter,
	    .after = g->after, .min = g->min);
}

static void
send_write(struct storec *s, const struct write *wr)
{
	buf_put(chan_begin(s->chan, (enum ipc_type)wr->type), wr->bytes, wr->len);
	chan_end(s->chan);
}

void
storec_own(struct storec *s, const struct ipc_own *own)
{
	ipc_put_own(chan_begin(s->chan, IPC_OWN), own);
	chan_end(s->chan);
}

/* Its bytes begin with its number. */
static void
number_again(struct storec *s, struct write *wr)
{
	wr->seq = s->next_seq++;
	for (unsigned i = 0; i < 8; i++)
		wr->bytes[i] = (uint8_t)(wr->seq >> 8 * i);
	list_put_last(&s->writes, &wr->link);
}

static void
number_dels(struct storec *s)
{
	LIST_EACH_SAFE(n, tmp, &s->dels) {
		list_del(n);
		number_again(s, container_of(n, struct write, link));
	}
}

static uint64_t
first_unanswered(const struct storec *s)
{
	return list_empty(&s->writes) ? s->next_seq : container_of(s->writes.next, struct write, link)->seq;
}

static void
send_sessions(struct storec *s)
{
	struct hmap_iter it = { 0 };
	struct hmap_node *n;

	CHAN_SEND(s->chan, W_HELLO, hello, .slot = (uint16_t)s->worker->slot, .epoch = s->worker->epoch,
	    .answered = first_unanswered(s) - 1, .loaded = s->worker->loaded);
	while ((n = hmap_each(&s->worker->sessions.map, &it)) != NULL) {
		const struct session *se = container_of(n, struct session, node);

		/* One that is on its way here is named by its CONNECT. */
		if ((se->flags & (SESSION_ASSIGNED | SESSION_DISOWNED)) == 0 && move_coming(se->move) == NULL)
			storec_own(s, &(struct ipc_own){ .client_id = session_id(se), .account = session_account(se),
			    .stamp = se->stamp, .flags = (uint8_t)(OWN_HERE | (se->flags & SESSION_DURABLE ? OWN_DURABLE : 0) |
			    (se->conn != NULL ? OWN_ONLINE : 0)) });
	}
	connect_name(s->worker);
	wills_name(s->worker, s->chan);
}

void
storec_attach(struct storec *s, int fd)
{
	chan_free(s->chan);
	s->chan = chan_new(s->worker->loop, fd, IPC_WORKER, IPC_STORE, &ops, s);
	send_sessions(s);
	/* Before OWN_END: no OPEN is answered that does not know of these. */
	number_dels(s);
	LIST_EACH(n, &s->writes)
		send_write(s, container_of(n, struct write, link));
	queuec_attach(s->worker->queue, s->chan);
	chan_send(s->chan, IPC_OWN_END);
	LIST_EACH(n, &s->opens)
		send_open(s, container_of(n, struct store_open, link));
	LIST_EACH(n, &s->gets)
		send_get(s, container_of(n, struct store_get, link));
	on_retry(&s->retry);
}

void
storec_open(struct storec *s, struct store_open *o)
{
	o->req = s->next_req++;
	list_put_last(&s->opens, &o->link);
	if (s->chan != NULL)
		send_open(s, o);
}

void
storec_give_up(struct storec *s, struct slice client_id, uint64_t stamp)
{
	/* A store that comes later learns it by our OWNs. */
	if (s->chan != NULL)
		CHAN_SEND(s->chan, GIVE_UP, client, .stamp = stamp, .client_id = client_id);
}

void
storec_let_go(struct storec *s, struct slice client_id, uint64_t stamp)
{
	struct let_go *g;

	if (s->chan == NULL || list_empty(&s->writes)) {
		storec_give_up(s, client_id, stamp);
		return;
	}
	g = mem_zalloc(sizeof *g + client_id.len);
	g->seq = s->next_seq - 1;
	g->stamp = stamp;
	g->len = (uint32_t)client_id.len;
	memcpy(g->id, client_id.p, client_id.len);
	list_put_last(&s->let_gos, &g->link);
}

static void
let_gos_send(struct storec *s, uint64_t answered)
{
	struct let_go *g;

	while ((g = LIST_FIRST(&s->let_gos, struct let_go, link)) != NULL && g->seq <= answered) {
		list_del(&g->link);
		storec_give_up(s, slice_of(g->id, g->len), g->stamp);
		mem_free(g);
	}
}

/* Of what is in scratch. */
static struct write *
write_new(struct storec *s, enum ipc_type type, store_done_fn *done, void *arg)
{
	size_t real;
	struct slice bytes = buf_slice(&s->scratch);
	struct write *wr = mem_slab_get(sizeof *wr + bytes.len, &real);

	*wr = (struct write){ .held.index = SIZE_MAX, .done = done, .arg = arg, .real_size = real, .type = (uint16_t)type,
		.len = (uint32_t)bytes.len };
	memcpy(wr->bytes, bytes.p, bytes.len);
	buf_clear(&s->scratch);
	s->write_bytes += real;
	return wr;
}

/* Its bytes have that number already. */
static void
number_and_send(struct storec *s, struct write *wr)
{
	wr->seq = s->next_seq++;
	list_put_last(&s->writes, &wr->link);
	if (s->chan != NULL)
		send_write(s, wr);
}

static uint64_t
put_write(struct storec *s, enum ipc_type type, store_done_fn *done, void *arg)
{
	struct write *wr = write_new(s, type, done, arg);

	number_and_send(s, wr);
	return wr->seq;
}

static void
write_over(struct storec *s, struct write *wr, int err)
{
	if (wr->done != NULL)
		wr->done(wr->arg, err);
	s->write_bytes -= wr->real_size;
	mem_slab_put(wr, wr->real_size);
}

static uint64_t
session_put(struct storec *s, const struct session *se, uint64_t aged_ms, store_done_fn *done, void *arg)
{
	const struct ipc_session_put p = { .seq = s->next_seq, .client_id = session_id(se), .account = session_account(se),
		.offline_ms = aged_ms, .qid = se->qid };

	ipc_put_session_put(&s->scratch, &p);
	return put_write(s, IPC_SESSION_PUT, done, arg);
}

uint64_t
storec_session_put(struct storec *s, const struct session *se, store_done_fn *done, void *arg)
{
	return session_put(s, se, 0, done, arg);
}

uint64_t
storec_session_aged(struct storec *s, const struct session *se, uint64_t aged_ms)
{
	return session_put(s, se, aged_ms > 0 ? aged_ms : 1, NULL, NULL);
}

uint64_t
storec_session_del(struct storec *s, struct slice client_id, store_done_fn *done, void *arg)
{
	const struct ipc_session_del p = { .seq = s->next_seq, .client_id = client_id };

	ipc_put_session_del(&s->scratch, &p);
	return put_write(s, IPC_SESSION_DEL, done, arg);
}

uint64_t
storec_sub_put(struct storec *s, struct slice client_id, struct slice filter, uint8_t qos, uint8_t options,
    store_done_fn *done, void *arg)
{
	const struct ipc_sub_put p = { .seq = s->next_seq, .client_id = client_id, .qos = qos, .options = options,
		.filter = filter };

	ipc_put_sub_put(&s->scratch, &p);
	return put_write(s, IPC_SUB_PUT, done, arg);
}

uint64_t
storec_sub_del(struct storec *s, struct slice client_id, struct slice filter, store_done_fn *done, void *arg)
{
	const struct ipc_sub_del p = { .seq = s->next_seq, .client_id = client_id, .filter = filter };

	ipc_put_sub_del(&s->scratch, &p);
	return put_write(s, IPC_SUB_DEL, done, arg);
}

/* ---- retained messages that are refused ----
 * One that somebody waits for is held when the store refuses it, and those that come then as well: each second the first
 * is sent again, by a new number; when one is kept there is room, and all go. Deletions need none, and are not held back.
 *
 * The newest of a topic must be the last that is kept. So what comes for a topic of which something is held stays behind
 * it, and what is held is not sent while something is unanswered that was sent behind it. If that is kept, the older one
 * is over too. */

static struct ipc_retain
retain_of(const struct write *wr)
{
	struct ipc_retain p;

	FB_ASSERT(wr->type == IPC_RETAIN && ipc_take_retain(slice_of(wr->bytes, wr->len), &p) == 0);
	return p;
}

static bool
is_held(const struct write *wr)
{
	return wr->held.index != SIZE_MAX;
}

static struct write *
held_of(const struct storec *s, struct slice topic, int64_t before)
{
	uint64_t hash = rand_hash(topic.p, topic.len);

	for (struct hmap_node *n = hmap_first(&s->topics, hash); n != NULL; n = hmap_next(n, hash)) {
		struct write *wr = container_of(n, struct write, topic);

		if (wr->held.key < before && slice_eq(retain_of(wr).topic, topic))
			return wr;
	}
	return NULL;
}

static void
hold(struct storec *s, struct write *wr, uint64_t after)
{
	struct slice topic = retain_of(wr).topic;

	wr->after = after;
	if (wr->held.key > s->refused_to)
		s->refused_to = wr->held.key;
	heap_put(&s->held, &wr->held, wr->held.key);
	hmap_put(&s->topics, &wr->topic, rand_hash(topic.p, topic.len));
}

static void
unhold(struct storec *s, struct write *wr)
{
	heap_del(&s->held, &wr->held);
	hmap_del(&s->topics, &wr->topic);
}

/* What may go goes. */
static void
send_held(struct storec *s)
{
	while (s->chan != NULL && s->held.count > 0 && (s->room || s->probe)) {
		struct write *wr = container_of(heap_first(&s->held), struct write, held);

		if (wr->after >= first_unanswered(s))
			return;
		unhold(s, wr);
		number_again(s, wr);
		send_write(s, wr);
		s->probe = false;
	}
}

static void
on_retry(struct timer *t)
{
	struct storec *s = container_of(t, struct storec, retry);

	s->probe = true;
	send_held(s);
	LIST_EACH_SAFE(n, tmp, &s->dels) {
		struct write *wr = container_of(n, struct write, link);

		if (s->chan == NULL)
			break;          /* its successor gets them at once */
		list_del(n);
		number_again(s, wr);
		send_write(s, wr);
	}
}

static void
refused(struct storec *s, struct write *wr, int err)
{
	METRIC_ADD(retained_refused, 1);
	hold(s, wr, s->next_seq - 1);
	if (s->refusing)
		return;
	s->refusing = true;
	log_error("storec", "the store does not take retained messages", "reason=%s; tried again each second, nothing is acknowledged",
	    err_text(err));
}

static void
kept(struct storec *s, const struct write *wr)
{
	const struct ipc_retain p = retain_of(wr);
	struct write *older;

	while (s->held.count > 0 && (older = held_of(s, p.topic, wr->held.key)) != NULL) {
		unhold(s, older);
		write_over(s, older, 0);
	}
	s->room = s->room || p.payload.len > 0;
	if (s->room && s->refusing && wr->held.key >= s->refused_to) {
		s->refusing = false;
		log_notice("storec", "the store takes retained messages again", "%s", "all that waited are kept");
	}
}

/* false: it is held. */
static bool
retain_answered(struct storec *s, struct write *wr, int err)
{
	if (err == 0) {
		if (s->refusing || s->held.count > 0)
			kept(s, wr);
		return true;
	}
	s->room = s->probe = false;
	if (wr->patient)
		refused(s, wr, err);
	else if (wr->done == NULL)
		METRIC_ADD(dropped_store_full, 1);
	return !wr->patient;
}

/* After an answer. */
static void
go_on(struct storec *s)
{
	send_held(s);
	if ((s->held.count > 0 || !list_empty(&s->dels)) && !timer_is_set(&s->retry))
		loop_timer_in(s->worker->loop, &s->retry, RETRY_NS);
}

struct write *
storec_retain(struct storec *s, const struct cluster_pub *m, bool patient, store_done_fn *done, void *arg)
{
	const struct ipc_retain p = { .seq = s->next_seq, .qos = m->qos, .expires_s = m->expires_s, .topic = m->topic,
		.props = m->props, .payload = m->payload };
	bool behind = s->held.count > 0 && held_of(s, m->topic, INT64_MAX) != NULL;
	struct write *wr;

	ipc_put_retain(&s->scratch, &p);
	wr = write_new(s, IPC_RETAIN, done, arg);
	wr->held.key = ++s->last_place;
	wr->patient = patient;
	if (!patient && behind) {
		if (done == NULL)
			METRIC_ADD(dropped_store_full, 1);
		write_over(s, wr, FB_EDISK);
		return NULL;
	}
	if (behind || (patient && s->held.count > 0 && m->payload.len > 0))
		hold(s, wr, 0);
	else
		number_and_send(s, wr);
	return wr;
}

void
storec_retain_impatient(struct storec *s, struct write *wr)
{
	wr->patient = false;
	if (!is_held(wr))
		return;
	unhold(s, wr);
	write_over(s, wr, FB_EDISK);
}

void
storec_stop(struct storec *s)
{
	while (s->held.count > 0)
		storec_retain_impatient(s, container_of(heap_first(&s->held), struct write, held));
	LIST_EACH(n, &s->writes)
		container_of(n, struct write, link)->patient = false;
	s->stops = true;
	LIST_EACH_SAFE(n, tmp, &s->dels) {
		list_del(n);
		write_over(s, container_of(n, struct write, link), FB_EDISK);
	}
}

uint64_t
storec_queue_put(struct storec *s, struct slice client_id, uint32_t part, struct slice items)
{
	const struct ipc_queue_put p = { .seq = s->next_seq, .client_id = client_id, .part = part, .items = items };

	ipc_put_queue_put(&s->scratch, &p);
	return put_write(s, IPC_QUEUE_PUT, NULL, NULL);
}

uint64_t
storec_queue_del(struct storec *s, struct slice client_id)
{
	const struct ipc_session_del p = { .seq = s->next_seq, .client_id = client_id };

	ipc_put_session_del(&s->scratch, &p);
	return put_write(s, IPC_QUEUE_DEL, NULL, NULL);
}

uint64_t
storec_last_seq(const struct storec *s)
{
	return s->next_seq - 1;
}

uint64_t
storec_last_unanswered(const struct storec *s)
{
	return list_empty(&s->writes) ? 0 : s->next_seq - 1;
}

void
storec_retain_get(struct storec *s, struct store_get *g)
{
	g->req = s->next_req++;
	list_put_last(&s->gets, &g->link);
	if (s->chan != NULL)
		send_get(s, g);
}

void
storec_retain_cancel(struct storec *s, struct store_get *g)
{
	list_del(&g->link);
}

/* A clean CONNECT ends a session, its queue too: refused, the row would come back without it. So it waits, as what is
 * retained does. */
static bool
del_refused(struct storec *s, struct write *wr, int err)
{
	if (wr->type != IPC_SESSION_DEL || (err != FB_EIO && err != FB_EDISK) || wr->done == NULL || s->stops)
		return false;
	list_put_last(&s->dels, &wr->link);
	return true;
}

/* All writes up to seq are answered; err is of seq alone. */
static void
on_done(struct storec *s, uint64_t seq, int err)
{
	struct write *wr;

	while ((wr = LIST_FIRST(&s->writes, struct write, link)) != NULL && wr->seq <= seq) {
		int its = wr->seq == seq ? err : 0;

		list_del(&wr->link);
		if (wr->type == IPC_RETAIN ? retain_answered(s, wr, its) : !del_refused(s, wr, its))
			write_over(s, wr, its);
	}
	let_gos_send(s, seq);
	go_on(s);
}

static void
on_opened(struct storec *s, const struct ipc_opened *p)
{
	LIST_EACH(n, &s->opens) {
		struct store_open *o = container_of(n, struct store_open, link);

		if (o->req == p->req) {
			list_del(&o->link);
			o->done(o, p);
			return;
		}
	}
	log_error("storec", "answer without a request", "req=%llu", (unsigned long long)p->req);
}

static void
on_rows(struct storec *s, const struct ipc_retain_rows *p)
{
	LIST_EACH(n, &s->gets) {
		struct store_get *g = container_of(n, struct store_get, link);

		if (g->req == p->req) {
			list_del(&g->link);
			g->done(g, p);
			return;
		}
	}
}

static void
on_msg(void *arg, enum ipc_type type, struct slice payload, int fd)
{
	struct storec *s = arg;
	struct ipc_done done;
	struct ipc_opened opened;
	struct ipc_retain_rows rows;

	(void)fd;
	if (type == IPC_DONE && ipc_take_done(payload, &done) == 0)
		on_done(s, done.seq, -(int)done.code);
	else if (type == IPC_OPENED && ipc_take_opened(payload, &opened) == 0)
		on_opened(s, &opened);
	else if (type == IPC_RETAIN_ROWS && ipc_take_retain_rows(payload, &rows) == 0)
		on_rows(s, &rows);
	else if (!queuec_on_msg(s->worker->queue, type, payload))
		ctl_on_store(s->worker, type, payload);
}

static void
on_closed(void *arg)
{
	struct storec *s = arg;

	log_notice("storec", "store gone", "requests wait for its successor");
	queuec_detach(s->worker->queue);
	chan_free(s->chan);
	s->chan = NULL;
	let_gos_drop(s);        /* its successor is told what is here */
}
