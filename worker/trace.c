/* SPDX-License-Identifier: Apache-2.0
 *
 * Before a name is hashed a bit made of its length and its ends is looked up in a set of 64: while one client is
 * traced, nearly every message of the others needs no more than that. */
#include "worker/trace.h"

#include <stdio.h>
#include <time.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/rand.h"
#include "common/base/utf8.h"
#include "common/ipc/chan.h"
#include "common/ipc/codec.h"
#include "common/mqtt/topic.h"

#define LINES_A_SECOND 1000
#define FILTERS_MAX 256         /* of our traced clients, to be told to neighbours; more: everything is wanted */
#define FILTER_BYTES_MAX 32768u
#define NAME_SHOWN 256
#define PAYLOAD_SHOWN 128
#define TIME_SHOWN 96

/* Topic filters, or what a worker's traced clients subscribe to. */
struct filters {
	struct buf text;                /* le32 bytes each */
	uint64_t marks;                 /* of those without wildcards */
	bool wild;                      /* some have wildcards */
	bool all;                       /* too many to name */
};

struct traced {                         /* a client */
	struct hmap_node node;          /* by rand_hash() of its id */
	struct name *id;
};

struct traces {
	struct worker *worker;
	struct hmap clients;
	uint64_t marks;                 /* of their ids */
	struct filters topics;
	struct filters wanted[CLUSTER_MAX];     /* by each worker's traced clients, ours among them */
	uint64_t wanted_slots;          /* whose are not empty */
	uint64_t all_marks;             /* of all names and filters here */
	bool any_wild;                  /* a topic may be wanted whatever its mark */
	struct task tell;               /* ours have changed */
};

static void run_tell(struct task *t);

static inline uint64_t
bit(size_t n)
{
	return UINT64_C(1) << (n & 63);
}

static inline uint64_t
mark(struct slice s)
{
	return s.len == 0 ? 1 : bit(s.len * 5 + s.p[0] * 3u + s.p[s.len - 1]);
}

/* ---- sets of filters ---- */

static void
filters_clear(struct filters *f)
{
	buf_fini(&f->text);
	*f = (struct filters){ 0 };
	buf_init(&f->text);
}

static void
filters_put(struct filters *f, struct slice filter)
{
	buf_put_le32_bytes(&f->text, filter);
	if (topic_has_wildcard(filter))
		f->wild = true;
	else
		f->marks |= mark(filter);
}

static bool
filters_match(const struct filters *f, struct slice topic)
{
	struct slice rest = buf_slice(&f->text);
	struct slice filter;

	if (f->all)
		return true;
	if (!f->wild && (f->marks & mark(topic)) == 0)
		return false;
	while (slice_take_le32_bytes(&rest, &filter) == 0)
		if (topic_matches(filter, topic))
			return true;
	return false;
}

static void
filters_del(struct filters *f, struct slice gone)
{
	struct buf old = f->text;
	struct slice rest = buf_slice(&old);
	struct slice filter;

	*f = (struct filters){ 0 };
	buf_init(&f->text);
	while (slice_take_le32_bytes(&rest, &filter) == 0)
		if (!slice_eq(filter, gone))
			filters_put(f, filter);
	buf_fini(&old);
}

/* ---- what is traced ---- */

struct traces *
traces_new(struct worker *w)
{
	struct traces *t = mem_zalloc(sizeof *t);

	t->worker = w;
	hmap_init(&t->clients);
	buf_init(&t->topics.text);
	for (unsigned i = 0; i < CLUSTER_MAX; i++)
		buf_init(&t->wanted[i].text);
	task_init(&t->tell, run_tell);
	return t;
}

void
traces_free(struct traces *t)
{
	struct hmap_iter it = { 0 };
	struct hmap_node *n;

	task_cancel(&t->tell);
	while ((n = hmap_each(&t->clients, &it)) != NULL) {
		struct traced *c = container_of(n, struct traced, node);

		hmap_del(&t->clients, n);
		name_drop(c->id);
		mem_free(c);
	}
	hmap_fini(&t->clients);
	buf_fini(&t->topics.text);
	for (unsigned i = 0; i < CLUSTER_MAX; i++)
		buf_fini(&t->wanted[i].text);
	mem_free(t);
}

static struct traced *
client_get(const struct traces *t, struct slice id)
{
	uint64_t hash;

	if ((t->marks & mark(id)) == 0)
		return NULL;
	hash = rand_hash(id.p, id.len);
	for (struct hmap_node *n = hmap_first(&t->clients, hash); n != NULL; n = hmap_next(n, hash))
		if (slice_eq(name_text(container_of(n, struct traced, node)->id), id))
			return container_of(n, struct traced, node);
	return NULL;
}

static void
set_client(struct traces *t, struct slice id, bool on)
{
	struct traced *c = client_get(t, id);
	struct hmap_iter it = { 0 };
	struct hmap_node *n;

	if (on && c == NULL) {
		c = mem_alloc(sizeof *c);
		c->id = name_new(id);
		hmap_put(&t->clients, &c->node, rand_hash(id.p, id.len));
	} else if (!on && c != NULL) {
		hmap_del(&t->clients, &c->node);
		name_drop(c->id);
		mem_free(c);
	}
	t->marks = 0;
	while ((n = hmap_each(&t->clients, &it)) != NULL)
		t->marks |= mark(name_text(container_of(n, struct traced, node)->id));
	loop_defer(t->worker->loop, &t->tell);
}

/* Anything has changed. */
static void
summarize(struct traces *t)
{
	t->all_marks = t->marks | t->topics.marks;
	t->any_wild = t->topics.wild;
	for (uint64_t slots = t->wanted_slots; slots != 0; slots &= slots - 1) {
		const struct filters *f = &t->wanted[__builtin_ctzll(slots)];

		t->all_marks |= f->marks;
		t->any_wild = t->any_wild || f->wild || f->all;
	}
}

static void
set_tracing(struct worker *w)
{
	struct traces *t = w->traces;

	summarize(t);
	w->tracing = t->marks != 0 || buf_len(&t->topics.text) > 0;
}

void
trace_set(struct worker *w, const struct ipc_trace *p)
{
	struct traces *t = w->traces;

	if (p->kind == IPC_TRACE_CLIENT) {
		set_client(t, p->name, p->on != 0);
	} else {
		filters_del(&t->topics, p->name);
		if (p->on)
			filters_put(&t->topics, p->name);
	}
	set_tracing(w);
}

/* ---- what our traced clients subscribe to ---- */

static void
tell(struct traces *t, unsigned slot)
{
	const struct filters *f = &t->wanted[t->worker->slot];
	struct buf b;

	buf_init(&b);
	buf_put_u8(&b, f->all);
	buf_put_slice(&b, buf_slice(&f->text));
	(void)cluster_tell(t->worker->cluster, slot, TRACE_RECORD, buf_slice(&b), CLUSTER_SOON);
	buf_fini(&b);
}

static void
note_slot(struct traces *t, unsigned slot)
{
	const struct filters *f = &t->wanted[slot];

	if (f->all || buf_len(&f->text) > 0)
		t->wanted_slots |= bit(slot);
	else
		t->wanted_slots &= ~bit(slot);
	summarize(t);
}

static void
collect(struct filters *f, const struct session *s, unsigned *left)
{
	LIST_EACH(n, &s->subs) {
		const struct sub *sub = container_of(n, struct sub, link);
		struct slice group, inner;

		if (*left == 0 || buf_len(&f->text) > FILTER_BYTES_MAX) {
			f->all = true;
			return;
		}
		--*left;
		(void)topic_share(filter_text(sub->filter), &group, &inner);
		filters_put(f, inner);
	}
}

static void
run_tell(struct task *task)
{
	struct traces *t = container_of(task, struct traces, tell);
	struct worker *w = t->worker;
	struct filters *mine = &t->wanted[w->slot];
	unsigned left = FILTERS_MAX;
	struct hmap_iter it = { 0 };
	struct hmap_node *n;

	filters_clear(mine);
	while ((n = hmap_each(&t->clients, &it)) != NULL && !mine->all) {
		struct slice id = name_text(container_of(n, struct traced, node)->id);
		const struct session *s = session_get(&w->sessions, id, n->hash);

		if (s != NULL)
			collect(mine, s, &left);
	}
	if (mine->all)
		buf_clear(&mine->text);
	note_slot(t, w->slot);
	for (unsigned slot = 0; w->cluster != NULL && slot < w->slots; slot++)
		if (slot != w->slot)
			tell(t, slot);
}

void
trace_subscribed(struct worker *w, const struct session *s)
{
	if (client_get(w->traces, session_id(s)) != NULL)
		loop_defer(w->loop, &w->traces->tell);
}

void
trace_on_record(struct worker *w, unsigned from, struct slice body)
{
	struct filters *f = &w->traces->wanted[from];
	struct slice filter;
	uint8_t all = 0;

	filters_clear(f);
	(void)slice_take_u8(&body, &all);
	f->all = all != 0;
	while (slice_take_le32_bytes(&body, &filter) == 0)
		filters_put(f, filter);
	note_slot(w->traces, from);
}

void
trace_on_greeted(struct worker *w, unsigned slot)
{
	tell(w->traces, slot);
}

void
trace_on_neighbour(struct worker *w, unsigned slot, bool up)
{
	if (up)
		return;
	filters_clear(&w->traces->wanted[slot]);
	note_slot(w->traces, slot);
}

/* ---- messages ---- */

uint64_t
trace_now(void)
{
	return (uint64_t)clock_wall().ns;
}

static bool
is_wanted(const struct traces *t, struct slice from, struct slice topic)
{
	if (client_get(t, from) != NULL || client_get(t, topic) != NULL || filters_match(&t->topics, topic))
		return true;
	for (uint64_t slots = t->wanted_slots; slots != 0; slots &= slots - 1)
		if (filters_match(&t->wanted[__builtin_ctzll(slots)], topic))
			return true;
	return false;
}

void
trace_will(struct worker *w, struct slice from, struct cluster_pub *p)
{
	if (!is_wanted(w->traces, from, p->topic))
		return;
	p->traced_ns = trace_now();
	p->origin_id = from;
}

void
trace_publish(struct worker *w, const struct session *s, struct cluster_pub *p)
{
	const struct traces *t = w->traces;
	struct slice id = session_id(s);

	if ((t->marks & mark(id)) != 0 || (t->all_marks & mark(p->topic)) != 0 || t->any_wild)
		trace_will(w, id, p);
}

static const char *
show_time(uint64_t ns, char out[TIME_SHOWN])
{
	time_t sec = (time_t)(ns / NS_PER_SEC);
	struct tm tm;

	gmtime_r(&sec, &tm);
	snprintf(out, TIME_SHOWN, "%04d-%02d-%02dT%02d:%02d:%02d.%06uZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
	    tm.tm_hour, tm.tm_min, tm.tm_sec, (unsigned)(ns % NS_PER_SEC / 1000));
	return out;
}

static long long
us_between(uint64_t from, uint64_t to)
{
	return (long long)(to - from) / 1000;
}

/* The steps of the line, then the message. */
static void
write_line(const struct cluster_pub *p, const char *from, const char *via, const char *to)
{
	static struct log_site site = { .limit = LINES_A_SECOND };
	char shown[PAYLOAD_SHOWN];

	if (log_would(LOG_NOTICE))
		log_write(&site, LOG_NOTICE, "TRACE", "from", "%s%s => %s qos=%u retain=%u bytes=%zu message=\"%s\"", from, via,
		    to, p->qos, p->retain, p->payload.len, utf8_show(p->payload, shown, sizeof shown));
}

static void
put_from(const struct cluster_pub *p, char out[NAME_SHOWN + TIME_SHOWN])
{
	char id[NAME_SHOWN - 8], when[TIME_SHOWN];

	snprintf(out, NAME_SHOWN + TIME_SHOWN, "(%s, %s)", utf8_show(p->origin_id, id, sizeof id),
	    show_time(p->traced_ns, when));
}

static void
put_via(const struct cluster_pub *p, uint64_t matched_ns, char out[NAME_SHOWN + 2 * TIME_SHOWN])
{
	char topic[NAME_SHOWN - 8], when[TIME_SHOWN];

	if (matched_ns == 0)
		snprintf(out, NAME_SHOWN + 2 * TIME_SHOWN, " => via (%s)", utf8_show(p->topic, topic, sizeof topic));
	else
		snprintf(out, NAME_SHOWN + 2 * TIME_SHOWN, " => via (%s, %s, +%lldus)", utf8_show(p->topic, topic, sizeof topic),
		    show_time(matched_ns, when), us_between(p->traced_ns, matched_ns));
}

static const char *
how_text(enum trace_how how)
{
	switch (how) {
	case TRACE_SENT:
		return "to";
	case TRACE_AGAIN:
		return "again to";
	case TRACE_QUEUED:
		return "to the queue of";
	case TRACE_DROPPED:
		return "dropped for";
	}
	return "?";
}

void
trace_to(struct worker *w, const struct session *s, const struct cluster_pub *p, enum trace_how how)
{
	char from[NAME_SHOWN + TIME_SHOWN], via[NAME_SHOWN + 2 * TIME_SHOWN] = "", to[NAME_SHOWN + 2 * TIME_SHOWN];
	char id[NAME_SHOWN - 8], when[TIME_SHOWN];
	uint64_t now = trace_now();

	/* It may carry a trace because another one who got it is traced. */
	if (client_get(w->traces, session_id(s)) == NULL && client_get(w->traces, p->origin_id) == NULL &&
	    !filters_match(&w->traces->topics, p->topic))
		return;
	put_from(p, from);
	/* A direct message has no topic but its receiver. */
	if (!slice_eq(p->topic, session_id(s)))
		put_via(p, p->matched_ns, via);
	snprintf(to, sizeof to, "%s (%s, %s, +%lldus)", how_text(how), utf8_show(session_id(s), id, sizeof id),
	    show_time(now, when), us_between(p->traced_ns, now));
	write_line(p, from, via, to);
}

void
trace_msg_to(struct worker *w, const struct session *s, const struct msg *m, enum trace_how how)
{
	const struct cluster_pub p = msg_pub_whole(m);

	trace_to(w, s, &p, how);
}

void
trace_retained(struct worker *w, const struct session *s, const struct cluster_pub *p)
{
	char via[NAME_SHOWN + 2 * TIME_SHOWN], to[NAME_SHOWN + TIME_SHOWN], id[NAME_SHOWN - 40], when[TIME_SHOWN];

	if (client_get(w->traces, session_id(s)) == NULL && !filters_match(&w->traces->topics, p->topic))
		return;
	put_via(p, 0, via);
	snprintf(to, sizeof to, "to (%s, %s)", utf8_show(session_id(s), id, sizeof id),
	    show_time(trace_now(), when));
	write_line(p, "(retained)", via, to);
}

void
trace_nobody(struct worker *w, const struct cluster_pub *p)
{
	char from[NAME_SHOWN + TIME_SHOWN], via[NAME_SHOWN + 2 * TIME_SHOWN];

	if (client_get(w->traces, p->origin_id) == NULL && !filters_match(&w->traces->topics, p->topic))
		return;
	put_from(p, from);
	put_via(p, trace_now(), via);
	write_line(p, from, via, "to nobody");
}
