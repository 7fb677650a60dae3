/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/admin.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>

#include "common/admin/row.h"
#include "common/admin/words.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/rand.h"
#include "common/base/utf8.h"
#include "common/ipc/chan.h"
#include "common/ipc/codec.h"
#include "common/mqtt/topic.h"
#include "worker/conn.h"
#include "worker/flow.h"
#include "worker/storec.h"
#include "worker/worker.h"

#define SHOW_MAX 256

struct answer {
	struct worker *w;
	uint64_t id;
	struct slice arg;               /* the first argument; empty: none */
	int code;
	const char *text;
};

/* table: NULL if the command answers with one kind of row. */
static struct buf *
row_begin(struct answer *a, const char *table)
{
	struct buf *b = chan_begin(a->w->sup, IPC_ADMIN_ROW);

	buf_put_le64(b, a->id);
	if (table != NULL)
		row_put_str(b, "_table", table);
	row_put_number(b, "worker", a->w->slot);
	return b;
}

static void
put_session(struct answer *a, const struct session *s, const char *table)
{
	struct buf *b = row_begin(a, table);
	char text[SHOW_MAX];
	const struct conn *c = s->conn;

	row_put_text(b, "client", session_id(s));
	row_put_text(b, "account", session_account(s));
	row_put_bool(b, "connected", c != NULL && c->state == CONN_READY);
	row_put_bool(b, "durable", (s->flags & SESSION_DURABLE) != 0);
	row_put_str(b, "peer", c != NULL ? conn_peer_text(c, text, sizeof text) : "");
	row_put_number(b, "subscriptions", s->sub_count);
	row_put_number(b, "inflight", s->flow != NULL ? s->flow->window_used : 0);
	row_put_number(b, "queued", s->flow != NULL ? flow_queued(s->flow) : 0);
	chan_end(a->w->sup);
}

static void
session_list(struct answer *a)
{
	struct hmap_iter it = { 0 };
	struct hmap_node *n;
	char pattern[SHOW_MAX];
	char id[SHOW_MAX];

	snprintf(pattern, sizeof pattern, "%.*s", (int)a->arg.len, (const char *)a->arg.p);
	while ((n = hmap_each(&a->w->sessions.map, &it)) != NULL) {
		const struct session *s = container_of(n, struct session, node);

		if (a->arg.len > 0 && fnmatch(pattern, utf8_show(session_id(s), id, sizeof id), 0) != 0)
			continue;
		put_session(a, s, NULL);
	}
}

static struct session *
named(const struct answer *a)
{
	return session_get(&a->w->sessions, a->arg, rand_hash(a->arg.p, a->arg.len));
}

static void
put_will(struct answer *a, const struct conn *c)
{
	struct cluster_pub p;
	struct buf *b;

	if (c == NULL || c->state != CONN_READY || c->will == NULL)
		return;
	p = msg_pub(will_msg(c->will));
	b = row_begin(a, "will");
	row_put_text(b, "topic", p.topic);
	row_put_number(b, "qos", p.qos);
	row_put_bool(b, "retain", p.retain);
	row_put_number(b, "bytes", (int64_t)p.payload.len);
	row_put_bool(b, "on_disk", will_on_disk(c->will));
	chan_end(a->w->sup);
}

static void
session_show(struct answer *a)
{
	const struct session *s = named(a);
	struct buf *b;

	if (s == NULL)
		return;
	put_session(a, s, "sessions");
	b = row_begin(a, "session");
	row_put_text(b, "client", session_id(s));
	row_put_number(b, "queued_bytes", s->flow != NULL ? (int64_t)s->flow->queue_bytes : 0);
	row_put_number(b, "qos2_received", s->flow != NULL ? s->flow->received.used : 0);
	if (s->conn != NULL) {
		const struct conn *c = s->conn;

		row_put_number(b, "level", c->level);
		row_put_number(b, "keep_alive", c->keep_alive_s);
		row_put_number(b, "bytes_in", (int64_t)c->bytes_in);
		row_put_number(b, "bytes_out", (int64_t)c->bytes_out);
		row_put_number(b, "output_pending", (int64_t)conn_pending(c));
		row_put_number(b, "seconds", loop_now(a->w->loop).ns / NS_PER_SEC - c->since_s);
	}
	chan_end(a->w->sup);
	put_will(a, s->conn);
	LIST_EACH(n, &s->subs) {
		const struct sub *sub = container_of(n, struct sub, link);

		b = row_begin(a, "subscriptions");
		row_put_text(b, "filter", filter_text(sub->filter));
		row_put_number(b, "qos", sub->qos);
		chan_end(a->w->sup);
	}
}

static void
session_kick(struct answer *a)
{
	const struct session *s = named(a);
	struct buf *b;

	if (s == NULL)
		return;
	b = row_begin(a, NULL);
	row_put_text(b, "client", session_id(s));
	row_put_bool(b, "connected", s->conn != NULL);
	chan_end(a->w->sup);
	if (s->conn != NULL)
		conn_close(s->conn, "closed by an administrator");
}

/* Those with most clients first. */
static int
by_clients(const void *a, const void *b)
{
	uint32_t x = (*(const struct name *const *)a)->clients, y = (*(const struct name *const *)b)->clients;

	return x < y ? 1 : x > y ? -1 : 0;
}

/* 0 and *most; FB_EINVAL. No argument: all. */
static int
take_most(const struct answer *a, uint64_t *most)
{
	char text[24];
	char *end;

	*most = UINT64_MAX;
	if (a->arg.len == 0)
		return 0;
	snprintf(text, sizeof text, "%.*s", (int)a->arg.len, (const char *)a->arg.p);
	errno = 0;
	*most = strtoull(text, &end, 10);
	return *end != '\0' || errno != 0 || text[0] < '0' || text[0] > '9' ? FB_EINVAL : 0;
}

static void
account_clients(struct answer *a)
{
	const struct hmap *all = &a->w->sessions.accounts;
	const struct name **list;
	struct hmap_iter it = { 0 };
	struct hmap_node *n;
	size_t count = 0;
	uint64_t most;

	if (take_most(a, &most) != 0) {
		a->code = FB_EINVAL;
		a->text = "MOST must be a number";
		return;
	}
	list = mem_alloc((all->count + 1) * sizeof *list);
	while ((n = hmap_each(all, &it)) != NULL) {
		const struct name *name = container_of(n, struct name, node);

		if (name->clients > 0)
			list[count++] = name;
	}
	if (count > most)
		qsort(list, count, sizeof list[0], by_clients);
	for (size_t i = 0; i < count && i < most; i++) {
		struct buf *b = row_begin(a, NULL);

		row_put_text(b, "account", slice_of(list[i]->text, list[i]->len));
		row_put_number(b, "clients", list[i]->clients);
		chan_end(a->w->sup);
	}
	mem_free(list);
}

static void
topic_list(struct answer *a)
{
	struct hmap_iter it = { 0 };
	struct hmap_node *n;

	if (a->arg.len > 0 && !topic_filter_valid(a->arg)) {
		a->code = FB_EINVAL;
		a->text = "not a topic filter: + and # stand alone in a level, # in the last";
		return;
	}
	while ((n = hmap_each(&a->w->trie.filters, &it)) != NULL) {
		const struct filter *f = container_of(n, struct filter, node);
		struct buf *b;

		if (f->count == 0)
			continue;       /* kept for a shared group */
		if (a->arg.len > 0 && !slice_eq(a->arg, filter_text(f)) && !topic_matches(a->arg, filter_text(f)))
			continue;
		b = row_begin(a, NULL);
		row_put_text(b, "filter", filter_text(f));
		row_put_number(b, "subscriptions", f->count);
		chan_end(a->w->sup);
	}
}

/* Rows about this process that `state` and `stats` cannot read off the shared page: its links. */
static void
state(struct answer *a)
{
	struct cluster_link_stats st;
	struct worker *w = a->w;

	for (unsigned slot = 0; w->cluster != NULL && slot < w->slots; slot++) {
		struct buf *b;

		if (slot == w->slot || !cluster_link_stats(w->cluster, slot, &st))
			continue;
		b = row_begin(a, "links");
		row_put_number(b, "neighbour", slot);
		row_put_bool(b, "up", st.up);
		row_put_number(b, "frames_in", (int64_t)st.frames_in);
		row_put_number(b, "frames_out", (int64_t)st.frames_out);
		row_put_number(b, "msgs_in", (int64_t)st.msgs_in);
		row_put_number(b, "msgs_out", (int64_t)st.msgs_out);
		row_put_number(b, "pending_bytes", (int64_t)st.pending_bytes);
		row_put_number(b, "unkept", (int64_t)st.unkept);
		row_put_number(b, "routes", (int64_t)st.routes);
		chan_end(w->sup);
	}
}

void
admin_command(struct worker *w, struct slice payload)
{
	struct ipc_admin p;
	struct answer a = { .w = w, .text = "" };

	if (ipc_take_admin(payload, &p) != 0) {
		log_error("admin", "a request is damaged", "%zu bytes", payload.len);
		return;
	}
	a.id = p.id;
	(void)slice_take_le32_bytes(&p.words, &a.arg);
	switch ((enum admin_command)p.command) {
	case ADMIN_session_list:
		session_list(&a);
		break;
	case ADMIN_session_show:
		session_show(&a);
		break;
	case ADMIN_session_kick:
		session_kick(&a);
		break;
	case ADMIN_account_clients:
		account_clients(&a);
		break;
	case ADMIN_topic_list:
		topic_list(&a);
		break;
	case ADMIN_state:
		state(&a);
		break;
	default:
		break;          /* the others' to answer: nothing to add */
	}
	CHAN_SEND(w->sup, ADMIN_DONE, admin_done, .id = a.id, .code = (uint16_t)-a.code, .text = slice_str(a.text));
}

/* ---- following ---- */

struct follow {
	struct store_get get;
	struct worker *worker;
	struct list link;
	uint64_t id;
};

/* The store's answer came behind what it had told us. */
static void
on_followed(struct store_get *g, const struct ipc_retain_rows *rows)
{
	struct follow *f = container_of(g, struct follow, get);

	(void)rows;
	CHAN_SEND(f->worker->sup, ADMIN_DONE, admin_done, .id = f->id);
	list_del(&f->link);
	mem_free(f);
}

void
admin_follow(struct worker *w, struct slice payload)
{
	struct ipc_admin_follow p;
	struct follow *f;

	if (ipc_take_admin_follow(payload, &p) != 0) {
		log_error("admin", "a request is damaged", "%zu bytes", payload.len);
		return;
	}
	f = mem_zalloc(sizeof *f);
	f->worker = w;
	f->id = p.id;
	f->get.done = on_followed;
	list_put_last(&w->follows, &f->link);
	storec_retain_get(w->store, &f->get);
}

void
admin_fini(struct worker *w)
{
	LIST_EACH_SAFE(n, tmp, &w->follows) {
		struct follow *f = container_of(n, struct follow, link);

		storec_retain_cancel(w->store, &f->get);
		list_del(&f->link);
		mem_free(f);
	}
}
