/* SPDX-License-Identifier: Apache-2.0
 * One struct a session that waits for retained messages, however many filters it subscribed to at once: what has not
 * begun is a few bytes in a buffer. */
#include "worker/retain.h"

#include "common/base/buf.h"
#include "common/base/hmap.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/mqtt/topic.h"
#include "common/base/rand.h"
#include "worker/deliver.h"
#include "worker/rights.h"
#include "worker/storec.h"
#include "worker/worker.h"

/* Beyond that many topics a session that does not read may get an older retained message behind a newer live one. */
#define SEEN_MAX    65536
#define WAITING_MAX ((size_t)16 << 20)

/* A topic that the session got live. */
struct seen {
	struct hmap_node node;
	uint64_t before;                /* filters that were queued by then; a later one is sent the message again */
	uint32_t len;
	uint8_t topic[];
};

struct replays {
	struct store_get get;
	struct worker *worker;
	struct session *session;
	struct hmap seen;
	struct buf waiting;             /* filters not begun: u8 qos, le32 bytes */
	struct buf filter;              /* the one under way; empty: none */
	struct buf rows;                /* fetched, not yet sent */
	struct buf after;               /* where to go on */
	struct buf min;
	uint64_t queued;                /* filters ever queued here */
	uint64_t begun;
	uint8_t qos;
	bool wild;                      /* the filter has wildcards */
	bool asked;                     /* get is on its way */
	bool more;                      /* there may be more behind rows */
};

static void
replays_free(struct replays *r)
{
	struct hmap_iter it = { 0 };
	struct hmap_node *n;

	if (r->asked)
		storec_retain_cancel(r->worker->store, &r->get);
	while ((n = hmap_each(&r->seen, &it)) != NULL)
		mem_free(container_of(n, struct seen, node));
	hmap_fini(&r->seen);
	buf_fini(&r->waiting);
	buf_fini(&r->filter);
	buf_fini(&r->rows);
	buf_fini(&r->after);
	buf_fini(&r->min);
	r->session->flow->replays = NULL;
	mem_free(r);
}

static struct seen *
seen_get(const struct replays *r, struct slice topic, uint64_t hash)
{
	for (struct hmap_node *n = hmap_first(&r->seen, hash); n != NULL; n = hmap_next(n, hash)) {
		struct seen *s = container_of(n, struct seen, node);

		if (slice_eq(slice_of(s->topic, s->len), topic))
			return s;
	}
	return NULL;
}

void
retain_note_live(struct session *se, struct slice topic)
{
	struct replays *r = se->flow->replays;
	uint64_t hash = rand_hash(topic.p, topic.len);
	struct seen *s = seen_get(r, topic, hash);

	if (s == NULL) {
		if (r->seen.count >= SEEN_MAX)
			return;
		s = mem_alloc(sizeof *s + topic.len);
		s->len = (uint32_t)topic.len;
		memcpy(s->topic, topic.p, topic.len);
		hmap_put(&r->seen, &s->node, hash);
	}
	s->before = r->queued;
}

static bool
was_live(const struct replays *r, struct slice topic)
{
	const struct seen *s;

	if (r->seen.count == 0)
		return false;
	s = seen_get(r, topic, rand_hash(topic.p, topic.len));
	return s != NULL && r->begun <= s->before;
}

static void
on_rows(struct store_get *g, const struct ipc_retain_rows *rows)
{
	struct replays *r = container_of(g, struct replays, get);

	r->asked = false;
	if (rows->code != 0)
		log_error("retain", "retained messages could not be read", "error=\"%s\"", err_text(-(int)rows->code));
	buf_clear(&r->rows);
	buf_put_slice(&r->rows, rows->rows);
	buf_clear(&r->after);
	buf_put_slice(&r->after, rows->next);
	r->more = rows->more != 0 && rows->code == 0;
	retain_continue(r->worker, r->session);
}

static void
ask(struct replays *r)
{
	r->get.filter = buf_slice(&r->filter);
	r->get.after = buf_slice(&r->after);
	r->get.min = buf_slice(&r->min);
	r->get.done = on_rows;
	r->asked = true;
	storec_retain_get(r->worker->store, &r->get);
}

/* What each worker had sent to the store when it heard of the subscription must be applied before the read. */
static void
collect_min(struct replays *r)
{
	struct worker *w = r->worker;

	buf_clear(&r->min);
	for (unsigned slot = 0; slot < w->slots; slot++) {
		uint64_t epoch = w->epoch;
		uint64_t seq = storec_last_seq(w->store);

		if (slot != w->slot && !cluster_store_seq(w->cluster, slot, &epoch, &seq))
			continue;
		buf_put_le16(&r->min, (uint16_t)slot);
		buf_put_le64(&r->min, epoch);
		buf_put_le64(&r->min, seq);
	}
}

void
retain_start(struct worker *w, struct session *s, struct slice filter, uint8_t qos)
{
	struct flow *f = session_flow(w, s);
	struct replays *r = f->replays;

	if (r == NULL) {
		r = f->replays = mem_zalloc(sizeof *r);
		r->worker = w;
		r->session = s;
		hmap_init(&r->seen);
	}
	buf_put_u8(&r->waiting, qos);
	buf_put_le32_bytes(&r->waiting, filter);
	r->queued++;
	retain_continue(w, s);
}

/* The next filter that waits; false: none. */
static bool
begin(struct replays *r)
{
	struct slice rest = buf_slice(&r->waiting);
	struct slice filter;

	do {
		if (slice_take_u8(&rest, &r->qos) != 0 || slice_take_le32_bytes(&rest, &filter) != 0) {
			buf_clear(&r->waiting);
			return false;
		}
		r->begun++;
	} while (trie_get(&r->worker->trie, r->session, filter) == NULL);       /* unsubscribed since */
	buf_put_slice(&r->filter, filter);
	r->wild = topic_has_wildcard(filter);
	buf_eat(&r->waiting, buf_len(&r->waiting) - rest.len);
	buf_clear(&r->after);
	collect_min(r);
	r->more = true;
	return true;
}

/* Sends rows while there is room: true when none is left. */
static bool
send_rows(struct replays *r)
{
	struct worker *w = r->worker;
	struct slice rest = buf_slice(&r->rows);
	struct cluster_pub p = { .retain = true };

	while (rest.len > 0 && deliver_has_room(w, r->session)) {
		if (slice_take_u8(&rest, &p.qos) != 0 || slice_take_le64(&rest, &p.expires_s) != 0 ||
		    slice_take_le32_bytes(&rest, &p.topic) != 0 || slice_take_le32_bytes(&rest, &p.props) != 0 ||
		    slice_take_le32_bytes(&rest, &p.payload) != 0 || p.qos > 2)
			FB_ASSERT(rest.len == SIZE_MAX);        /* the store's rows are well-formed */
		if (!was_live(r, p.topic) && (!r->wild || !deliver_is_private(w, p.topic)) && rights_may_receive(w, r->session, p.topic))
			deliver_one(w, r->session, &p, p.qos < r->qos ? p.qos : r->qos, true);  /* [MQTT-3.3.1-8] */
	}
	buf_eat(&r->rows, buf_len(&r->rows) - rest.len);
	return rest.len == 0;
}

void
retain_continue(struct worker *w, struct session *s)
{
	struct replays *r = s->flow->replays;

	(void)w;
	while (r != NULL && !r->asked) {
		if (buf_len(&r->filter) == 0 && !begin(r)) {
			replays_free(r);
			return;
		}
		if (!send_rows(r))
			return;
		if (r->more)
			ask(r);
		else
			buf_clear(&r->filter);
	}
}

bool
retain_full(const struct session *s)
{
	return s->flow != NULL && s->flow->replays != NULL && buf_len(&s->flow->replays->waiting) > WAITING_MAX;
}

void
retain_cancel(struct session *s)
{
	replays_free(s->flow->replays);
}

void
retain_cancel_filter(struct session *s, struct slice filter)
{
	struct replays *r = s->flow->replays;

	/* One that waits is left out when its turn comes: begin(). */
	if (!slice_eq(buf_slice(&r->filter), filter))
		return;
	if (r->asked)
		storec_retain_cancel(r->worker->store, &r->get);
	r->asked = false;
	buf_clear(&r->rows);
	buf_clear(&r->filter);
	retain_continue(r->worker, r->session);
}
