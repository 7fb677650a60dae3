/* SPDX-License-Identifier: Apache-2.0
 *
 * Each row that changes something is an operation of the batch, so that many share a transaction and a flush; the request is
 * answered when the last is committed. A row that is there with the same value changes nothing: an import that was cut
 * short is done again.
 *
 * A session that a worker has is its own; only its worker may write it. One that nobody has is written, and handed to its
 * worker as after a start. */
#include "store/import.h"

#include <stdio.h>

#include "common/base/hmap.h"
#include "common/base/mem.h"
#include "common/ipc/qops.h"
#include "common/mqtt/topic.h"
#include "store/change.h"
#include "store/dump.h"
#include "store/qstage.h"
#include "store/st_acls.h"
#include "store/st_rights.h"
#include "store/st_sessions.h"
#include "store/st_sessions_load.h"
#include "store/st_settings.h"
#include "store/store.h"

enum how { HOW_CHECK, HOW_NEW, HOW_KEEP, HOW_REPLACE };

enum result { ADDED, REPLACED, SAME, KEPT, CONFLICT, LIVE, BAD, RESULTS };

static const char *const result_names[RESULTS] = { "added", "replaced", "same", "kept", "conflict", "live", "bad" };

struct importing {
	struct store *store;
	uint64_t id;
	enum how how;
	size_t waiting;                 /* changes under way, and one for the request itself */
	uint64_t count[RESULTS];
	int code;                       /* of a write that failed */
};

struct record {
	int64_t line;
	enum table table;
	struct buf key, value, was;
	char why[DUMP_WHY_MAX];
};

static void
report(struct importing *m, const struct record *r, enum result result, const char *why)
{
	struct buf *b;

	m->count[result]++;
	if (why == NULL)
		return;
	b = admin_row_begin(m->store, m->id);
	row_put_number(b, "line", r->line);
	row_put_str(b, "result", result_names[result]);
	row_put_str(b, "why", why);
	admin_row_end(m->store);
}

static void
release(struct importing *m)
{
	struct buf *b;

	if (--m->waiting > 0)
		return;
	b = admin_row_begin(m->store, m->id);
	row_put_str(b, "_table", "counts");
	for (enum result i = 0; i < RESULTS; i++)
		row_put_number(b, result_names[i], (int64_t)m->count[i]);
	admin_row_end(m->store);
	admin_done(m->store, m->id, m->code, NULL);
	mem_free(m);
}

/* ---- queues of imported sessions ---- */

struct imported {
	struct hmap queues;
};

struct imported_queue {
	struct hmap_node node;
	uint64_t qid;
	size_t id_len;
	uint8_t id[];
};

static struct imported_queue *
queue_find(const struct store *s, uint64_t qid)
{
	struct hmap_node *n = s->imported != NULL ? hmap_first(&s->imported->queues, qid) : NULL;

	while (n != NULL && container_of(n, struct imported_queue, node)->qid != qid)
		n = hmap_next(n, qid);
	return n != NULL ? container_of(n, struct imported_queue, node) : NULL;
}

static void
queue_note(struct store *s, uint64_t qid, struct slice id)
{
	struct imported_queue *q;

	if (qid == 0 || queue_find(s, qid) != NULL)
		return;
	if (s->imported == NULL) {
		s->imported = mem_zalloc(sizeof *s->imported);
		hmap_init(&s->imported->queues);
	}
	q = mem_alloc(sizeof *q + id.len);
	q->qid = qid;
	q->id_len = id.len;
	memcpy(q->id, id.p, id.len);
	hmap_put(&s->imported->queues, &q->node, qid);
}

/* The record of a session, or of a subscription, which may be of a shared group that has a queue. */
static void
queue_note_of(struct store *s, enum table t, struct slice key, struct slice value)
{
	size_t id_len = strnlen((const char *)key.p, key.len);
	struct slice group, inner, filter;
	struct rec_session r;

	if (t == TABLE_sessions && rec_take_session(value, &r) == 0)
		queue_note(s, r.qid, key);
	if (t != TABLE_subscriptions || id_len == key.len)
		return;
	filter = slice_of(key.p + id_len + 1, key.len - id_len - 1);
	if (topic_share(filter, &group, &inner))
		queue_note(s, qid_of_group(filter), slice_of(key.p, id_len));
}

void
import_fini(struct store *s)
{
	struct hmap_iter it = { 0 };
	struct hmap_node *n;

	if (s->imported == NULL)
		return;
	while ((n = hmap_each(&s->imported->queues, &it)) != NULL) {
		hmap_del(&s->imported->queues, n);
		mem_free(container_of(n, struct imported_queue, node));
	}
	hmap_fini(&s->imported->queues);
	mem_free(s->imported);
	s->imported = NULL;
}

/* ---- writing ---- */

static int
run_counted(struct batch_op *op, struct txn *x, struct rec_counts *counts)
{
	const struct change *c = container_of(op, struct change, op);
	int rc = table_has_in(x, c->table, c->key);

	if (rc != 0 && rc != FB_ENOENT)
		return rc;
	if (rc == FB_ENOENT && c->table == TABLE_retained)
		counts->retained++;
	else if (rc == FB_ENOENT)
		counts->accounts++;
	return table_put(x, c->table, c->key, c->value);
}

static void
take_effect(struct store *s, const struct change *c)
{
	struct rec_blob secret;

	switch ((unsigned)c->table) {
	case TABLE_acls:
		acls_tell(s, c->key, c->value);
		break;
	case TABLE_rights:
	case TABLE_groups:
		rights_tell(s, c->table, c->key, c->value);
		break;
	case TABLE_settings:
		settings_tell(s, c->key, c->value);
		break;
	case TABLE_meta:
		if (rec_take_blob(c->value, &secret) == 0)
			auth_set_key(s->auth, secret.bytes.p);
		break;
	default:
		break;
	}
}

static void
after(struct change *c)
{
	struct importing *m = (struct importing *)(uintptr_t)c->id;
	struct store *s = c->store;

	if (c->op.code == 0) {
		take_effect(s, c);
	} else {
		m->code = c->op.code;
		if (c->table == TABLE_sessions)
			sessions_import_failed(s, c->key);
	}
	release(m);
}

/* A row of a queue, as a worker would put it. */
struct put_op {
	struct batch_op op;
	struct importing *importing;
	struct buf ops, skipped;
};

static int
run_message(struct batch_op *op, struct txn *x, struct rec_counts *counts)
{
	struct put_op *p = container_of(op, struct put_op, op);

	buf_clear(&p->skipped);
	return qstage_apply(p->importing->store->q.stage, x, counts, buf_slice(&p->ops), &p->skipped, NULL);
}

static void
done_message(struct batch_op *op)
{
	struct put_op *p = container_of(op, struct put_op, op);
	struct importing *m = p->importing;

	if (op->code != 0)
		m->code = op->code;
	buf_fini(&p->ops);
	buf_fini(&p->skipped);
	mem_free(p);
	release(m);
}

static void
write_message(struct importing *m, const struct record *r)
{
	struct slice key = buf_slice(&r->key);
	uint64_t qid = rec_number_of(key), n = rec_number_of(slice_of(key.p + 8, 8));
	struct put_op *p = mem_zalloc(sizeof *p);
	struct qstage_weight w;
	struct rec_item item;
	struct qmsg msg;

	FB_ASSERT(rec_take_item(buf_slice(&r->value), &item) == 0);
	if ((item.flags & QITEM_RELEASED) != 0) {
		qop_put_row(&p->ops, QOP_RELEASED, qid, n);
	} else {
		FB_ASSERT(qmsg_take(&item.msg, &msg) == 0);
		qop_put_msg(&p->ops, &msg, 1);
		qitem_put(&p->ops, &(struct qitem){ .qid = qid, .n = n, .flags = item.flags, .direct = item.direct });
	}
	FB_ASSERT(qstage_weigh(buf_slice(&p->ops), &w) == 0);
	p->importing = m;
	p->op.run = run_message;
	p->op.done = done_message;
	p->op.bytes = w.bytes;
	p->op.need = ENV_GROWS;
	m->waiting++;
	batch_put(m->store->qbatch, &p->op);
}

static void
write_record(struct importing *m, struct record *r)
{
	bool counted = r->table == TABLE_accounts || r->table == TABLE_retained;
	struct change *c = change_new(m->store, r->table, buf_slice(&r->key), buf_slice(&r->value),
	    counted ? run_counted : change_run_put);

	c->op.need = ENV_GROWS;
	c->id = (uint64_t)(uintptr_t)m;
	c->after = after;
	m->waiting++;
	if (r->table == TABLE_sessions)
		sessions_import(m->store, c->key, c->value);
	queue_note_of(m->store, r->table, c->key, c->value);
	if (table_env(r->table) == ENV_queue)
		batch_put(m->store->qbatch, &c->op);
	else
		change_put(c);
}

static void
write_one(struct importing *m, struct record *r)
{
	if (r->table == TABLE_items)
		write_message(m, r);
	else
		write_record(m, r);
}

/* ---- may it be written? ---- */

static int
read_message(struct store *s, struct slice key, struct slice raw, struct buf *row)
{
	struct rec_item r;
	struct rec_body b;
	struct buf body;
	uint8_t number[8];
	int rc = rec_take_item(raw, &r);

	buf_init(&body);
	if (rc == 0 && r.body != 0) {
		rc = table_get(s->queue, NULL, TABLE_bodies, rec_number_key(number, r.body), &body);
		if (rc == 0)
			rc = rec_take_body(buf_slice(&body), &b);
		if (rc == 0)
			r.msg = b.msg;
	}
	if (rc == 0)
		rc = dump_put_message(row, key, &r, r.msg);
	buf_fini(&body);
	return rc;
}

/* What is there, as an import would write it: without what is this node's own affair. FB_ENOENT: nothing is there. */
static int
read_one(struct store *s, struct record *r)
{
	struct slice name = buf_slice(&r->key);
	struct buf raw, row, key;
	enum table t;
	char why[DUMP_WHY_MAX];
	int rc, bad = 0;

	buf_init(&raw);
	buf_init(&row);
	buf_init(&key);
	rc = table_get(table_env(r->table) == ENV_queue ? s->queue : s->env, NULL, r->table, name, &raw);
	if (rc == 0)
		bad = r->table == TABLE_items ? read_message(s, name, buf_slice(&raw), &row) :
		    dump_put(&row, r->table, name, buf_slice(&raw));
	if (rc == 0 && (bad != 0 || dump_take(buf_slice(&row), &t, &key, &r->was, why) != 0))
		buf_clear(&r->was);             /* cannot be read: another value */
	buf_fini(&raw);
	buf_fini(&row);
	buf_fini(&key);
	return rc;
}

static bool
is_held(const struct store *s, struct slice id)
{
	const struct owner *w = owners_find(&s->owners, id);

	return w != NULL && (w->flags & OWNER_HELD) != 0;
}

/* The session that the record is of: does a worker have it? Of its queue that is known of imported ones alone. */
static bool
is_live(const struct store *s, const struct record *r)
{
	struct slice key = buf_slice(&r->key);
	const struct imported_queue *q;

	switch ((unsigned)r->table) {
	case TABLE_sessions:
		return is_held(s, key);
	case TABLE_subscriptions:
		return is_held(s, slice_of(key.p, strnlen((const char *)key.p, key.len)));
	case TABLE_items:
	case TABLE_seen:
		q = queue_find(s, rec_number_of(r->table == TABLE_seen ? slice_of(key.p + 8, 8) : key));
		return q == NULL || is_held(s, slice_of(q->id, q->id_len));
	default:
		return false;
	}
}

static bool
has_session(const struct store *s, const struct record *r)
{
	struct slice key = buf_slice(&r->key);
	const uint8_t *end = memchr(key.p, '\0', key.len);
	const struct owner *w = owners_find(&s->owners, slice_of(key.p, (size_t)(end - key.p)));

	return w != NULL && (w->flags & OWNER_DURABLE) != 0;
}

/* NULL, or why it cannot be a record here, though its form is right. */
static const char *
unfit(struct importing *m, struct record *r)
{
	struct config_error e;
	struct rec_setting v;

	if (r->table == TABLE_settings && rec_take_setting(buf_slice(&r->value), &v) == 0 &&
	    settings_check(m->store, buf_slice(&r->key), v.value, &e) != 0) {
		snprintf(r->why, sizeof r->why, "%.*s", (int)sizeof r->why - 1, e.text);
		return r->why;
	}
	/* While only checked, its session was not written either. */
	if (r->table == TABLE_subscriptions && m->how != HOW_CHECK && !has_session(m->store, r))
		return "a subscription comes behind its session";
	return NULL;
}

static void
changed(struct importing *m, struct record *r)
{
	switch (m->how) {
	case HOW_CHECK:
	case HOW_NEW:
		report(m, r, CONFLICT, "is there with another value");
		break;
	case HOW_KEEP:
		report(m, r, KEPT, NULL);
		break;
	case HOW_REPLACE:
		report(m, r, REPLACED, NULL);
		write_one(m, r);
		break;
	}
}

/* Imported by an import that was cut short, perhaps: its queue is to come. */
static void
same(struct importing *m, struct record *r)
{
	report(m, r, SAME, NULL);
	if (m->how != HOW_CHECK && !is_live(m->store, r))
		queue_note_of(m->store, r->table, buf_slice(&r->key), buf_slice(&r->value));
}

static void
decide(struct importing *m, struct record *r)
{
	int rc = read_one(m->store, r);
	const char *why;

	if (rc != 0 && rc != FB_ENOENT)
		m->code = rc;
	else if (rc == 0 && slice_eq(buf_slice(&r->was), buf_slice(&r->value)))
		same(m, r);
	else if ((why = unfit(m, r)) != NULL)
		report(m, r, BAD, why);
	/* While only checked, its session was not written either. */
	else if (m->how == HOW_CHECK && table_env(r->table) == ENV_queue)
		report(m, r, ADDED, NULL);
	else if (is_live(m->store, r))
		report(m, r, LIVE, "this node has the session: it was left as it is");
	else if (r->table == TABLE_meta && batch_counts(m->store->batch).accounts > 0)
		report(m, r, KEPT, "this node has accounts: generated passwords of the import will not be valid");
	else if (rc == 0 && r->table != TABLE_meta)
		changed(m, r);
	else {
		report(m, r, ADDED, NULL);
		if (m->how != HOW_CHECK)
			write_one(m, r);
	}
}

static void
import_row(struct importing *m, struct slice row)
{
	struct record r = { .line = 0 };
	struct slice rest = row;
	struct row_field f;

	while (row_next(&rest, &f) == 0)
		if (f.type == ROW_NUMBER && slice_eq(f.name, SLICE_LIT("line")))
			r.line = f.number;
	buf_init(&r.key);
	buf_init(&r.value);
	buf_init(&r.was);
	if (dump_take(row, &r.table, &r.key, &r.value, r.why) != 0)
		report(m, &r, BAD, r.why);
	else
		decide(m, &r);
	buf_fini(&r.key);
	buf_fini(&r.value);
	buf_fini(&r.was);
}

/* ---- the end ---- */

struct handing {
	struct work_job job;
	struct store *store;
	uint64_t id;
	struct buf at;
};

static bool
hand_step(struct work_job *j)
{
	struct handing *h = container_of(j, struct handing, job);
	int rc = sessions_hand_some(h->store, &h->at);

	if (rc == 0 || rc == FB_EAGAIN)
		return true;
	admin_done(h->store, h->id, rc == FB_ENOENT ? 0 : rc, NULL);
	buf_fini(&h->at);
	mem_free(h);
	return false;
}

static void
hand_out(const struct admin_call *call)
{
	struct handing *h = mem_zalloc(sizeof *h);

	import_fini(call->store);
	h->job.step = hand_step;
	h->store = call->store;
	h->id = call->id;
	work_put(&call->store->work, &h->job);
}

static int
how_of(struct slice word, enum how *out)
{
	static const char *const words[] = { "check", "new", "keep", "replace" };

	for (unsigned i = 0; i < sizeof words / sizeof words[0]; i++) {
		if (slice_eq(word, slice_str(words[i]))) {
			*out = (enum how)i;
			return 0;
		}
	}
	return FB_EINVAL;
}

void
import_admin(const struct admin_call *call)
{
	struct store *s = call->store;
	struct importing *m;
	struct slice rows, row;
	enum how how;

	if (call->argc == 1 && slice_eq(call->argv[0], SLICE_LIT("end"))) {
		hand_out(call);
		return;
	}
	if (call->argc != 2 || how_of(call->argv[0], &how) != 0) {
		admin_done(s, call->id, FB_EINVAL, "not what fubar-admin sends");
		return;
	}
	m = mem_zalloc(sizeof *m);
	m->store = s;
	m->id = call->id;
	m->how = how;
	m->waiting = 1;
	for (rows = call->argv[1]; slice_take_le32_bytes(&rows, &row) == 0;)
		import_row(m, row);
	release(m);
}
