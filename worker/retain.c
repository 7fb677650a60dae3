/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/retain.h"

#include "common/base/hmap.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/rand.h"
#include "common/mqtt/topic.h"
#include "worker/deliver.h"
#include "worker/storec.h"
#include "worker/worker.h"

struct retains {
	struct list active;             /* all replays of this worker */
};

/* A topic that was published live while a replay runs. */
struct seen {
	struct hmap_node node;
	uint32_t len;
	uint8_t topic[];
};

struct replay {
	struct list link;               /* in the session's flow */
	struct list active;             /* in retains */
	struct store_get get;
	struct worker *worker;
	struct session *session;
	struct hmap seen;
	struct buf rows;                /* fetched, not yet sent */
	struct buf after;               /* where to go on */
	struct buf min;
	uint8_t qos;
	bool asked;                     /* get is on its way */
	bool more;                      /* there may be more behind rows */
	uint16_t len;
	uint8_t filter[];
};

struct retains *
retains_new(void)
{
	struct retains *r = mem_zalloc(sizeof *r);

	list_init(&r->active);
	return r;
}

void
retains_free(struct retains *r)
{
	mem_free(r);
}

static void
replay_free(struct replay *r)
{
	struct hmap_iter it = { 0 };
	struct hmap_node *n;

	if (r->asked)
		storec_retain_cancel(r->worker->store, &r->get);
	while ((n = hmap_each(&r->seen, &it)) != NULL)
		mem_free(container_of(n, struct seen, node));
	hmap_fini(&r->seen);
	list_del(&r->link);
	list_del(&r->active);
	buf_fini(&r->rows);
	buf_fini(&r->after);
	buf_fini(&r->min);
	mem_free(r);
}

void
retain_note_live(struct worker *w, const struct cluster_pub *p)
{
	LIST_EACH(n, &w->retains->active) {
		struct replay *r = container_of(n, struct replay, active);
		struct seen *s;

		if (!topic_matches(slice_of(r->filter, r->len), p->topic))
			continue;
		s = mem_alloc(sizeof *s + p->topic.len);
		s->len = (uint32_t)p->topic.len;
		memcpy(s->topic, p->topic.p, p->topic.len);
		hmap_put(&r->seen, &s->node, rand_hash(s->topic, s->len));
	}
}

static bool
was_live(const struct replay *r, struct slice topic)
{
	uint64_t hash;

	if (r->seen.count == 0)
		return false;
	hash = rand_hash(topic.p, topic.len);
	for (struct hmap_node *n = hmap_first(&r->seen, hash); n != NULL; n = hmap_next(n, hash)) {
		const struct seen *s = container_of(n, struct seen, node);

		if (slice_eq(slice_of(s->topic, s->len), topic))
			return true;
	}
	return false;
}

static void
on_rows(struct store_get *g, const struct ipc_retain_rows *rows)
{
	struct replay *r = container_of(g, struct replay, get);

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
ask(struct replay *r)
{
	r->get.filter = slice_of(r->filter, r->len);
	r->get.after = buf_slice(&r->after);
	r->get.min = buf_slice(&r->min);
	r->get.done = on_rows;
	r->asked = true;
	storec_retain_get(r->worker->store, &r->get);
}

/* What each worker had sent to the store when it heard of the subscription must be applied before the read. */
static void
collect_min(struct replay *r)
{
	struct worker *w = r->worker;

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
	struct replay *r = mem_zalloc(sizeof *r + filter.len);

	r->worker = w;
	r->session = s;
	r->qos = qos;
	r->len = (uint16_t)filter.len;
	r->more = true;
	memcpy(r->filter, filter.p, filter.len);
	hmap_init(&r->seen);
	list_put_last(&session_flow(w, s)->replays, &r->link);
	list_put_last(&w->retains->active, &r->active);
	collect_min(r);
	retain_continue(w, s);
}

/* Sends rows while there is room: true when none is left. */
static bool
send_rows(struct replay *r)
{
	struct worker *w = r->worker;
	struct slice rest = buf_slice(&r->rows);
	struct cluster_pub p = { .retain = true };

	while (rest.len > 0 && deliver_has_room(w, r->session)) {
		if (slice_take_u8(&rest, &p.qos) != 0 || slice_take_le64(&rest, &p.expires_s) != 0 ||
		    slice_take_le32_bytes(&rest, &p.topic) != 0 || slice_take_le32_bytes(&rest, &p.props) != 0 ||
		    slice_take_le32_bytes(&rest, &p.payload) != 0 || p.qos > 2)
			FB_ASSERT(rest.len == SIZE_MAX);        /* the store's rows are well-formed */
		if (!was_live(r, p.topic))
			deliver_one(w, r->session, &p, p.qos < r->qos ? p.qos : r->qos, true);  /* [MQTT-3.3.1-8] */
	}
	buf_eat(&r->rows, buf_len(&r->rows) - rest.len);
	return rest.len == 0;
}

void
retain_continue(struct worker *w, struct session *s)
{
	struct replay *r;

	while (s->flow != NULL && (r = LIST_FIRST(&s->flow->replays, struct replay, link)) != NULL) {
		if (r->asked || !send_rows(r))
			return;
		if (r->more) {
			ask(r);
			return;
		}
		replay_free(r);
	}
}

void
retain_cancel(struct worker *w, struct session *s)
{
	LIST_EACH_SAFE(n, tmp, &s->flow->replays)
		replay_free(container_of(n, struct replay, link));
}

void
retain_cancel_filter(struct worker *w, struct session *s, struct slice filter)
{
	if (s->flow == NULL)
		return;
	LIST_EACH_SAFE(n, tmp, &s->flow->replays) {
		struct replay *r = container_of(n, struct replay, link);

		if (slice_eq(slice_of(r->filter, r->len), filter))
			replay_free(r);
	}
}
