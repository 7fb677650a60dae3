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

#include "common/base/mem.h"
#include "common/crypto/passwd.h"
#include "store/change.h"
#include "store/dump.h"
#include "store/st_acls.h"
#include "store/st_rights.h"
#include "store/st_sessions.h"
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

static void
write_one(struct importing *m, struct record *r)
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
	change_put(c);
}

/* ---- may it be written? ---- */

/* What is there, as an import would write it: without what is this node's own affair. FB_ENOENT: nothing is there. */
static int
read_one(struct store *s, struct record *r)
{
	struct buf raw, row, key;
	enum table t;
	char why[DUMP_WHY_MAX];
	int rc;

	buf_init(&raw);
	buf_init(&row);
	buf_init(&key);
	rc = table_get(s->env, NULL, r->table, buf_slice(&r->key), &raw);
	if (rc == 0 && (dump_put(&row, r->table, buf_slice(&r->key), buf_slice(&raw)) != 0 ||
	    dump_take(buf_slice(&row), &t, &key, &r->was, why) != 0))
		buf_clear(&r->was);             /* cannot be read: another value */
	buf_fini(&raw);
	buf_fini(&row);
	buf_fini(&key);
	return rc;
}

/* The id of a session or subscription whose worker has it. */
static bool
is_live(const struct store *s, const struct record *r)
{
	struct slice id = buf_slice(&r->key);
	const uint8_t *end = memchr(id.p, '\0', id.len);
	const struct owner *w;

	if (r->table != TABLE_sessions && r->table != TABLE_subscriptions)
		return false;
	if (end != NULL)
		id.len = (size_t)(end - id.p);
	w = owners_find(&s->owners, id);
	return w != NULL && (w->flags & OWNER_HELD) != 0;
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

static void
decide(struct importing *m, struct record *r)
{
	int rc = read_one(m->store, r);
	const char *why;

	if (rc != 0 && rc != FB_ENOENT)
		m->code = rc;
	else if (rc == 0 && slice_eq(buf_slice(&r->was), buf_slice(&r->value)))
		report(m, r, SAME, NULL);
	else if ((why = unfit(m, r)) != NULL)
		report(m, r, BAD, why);
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
