/* SPDX-License-Identifier: Apache-2.0
 *
 * Between two requests there is only the cursor's text: the number of the table in the order below, and the key in
 * hexadecimal digits. */
#include "store/export.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/mem.h"
#include "config.h"
#include "store/dump.h"
#include "store/store.h"

#define REQUEST_BYTES ((size_t)1 << 20) /* of rows in one answer, about */
#define SLICE_BYTES   ((size_t)128 << 10)

/* What speaks of something comes after it. */
static const enum table order[] = { TABLE_meta, TABLE_settings, TABLE_accounts, TABLE_groups, TABLE_acls, TABLE_rights,
	TABLE_retained, TABLE_sessions, TABLE_subscriptions, TABLE_items, TABLE_seen };

#define ORDER_COUNT (sizeof order / sizeof order[0])

struct exporting {
	struct work_job job;
	struct store *store;
	uint64_t id;
	size_t table;                   /* in order */
	size_t bytes;
	struct buf at, row, some, body;
};

static void
exporting_free(struct exporting *x)
{
	buf_fini(&x->at);
	buf_fini(&x->row);
	buf_fini(&x->some);
	buf_fini(&x->body);
	mem_free(x);
}

/* FB_ENOENT also if the message went meanwhile. */
static int
put_message(struct exporting *x, struct slice key, struct slice value)
{
	struct rec_item r;
	struct rec_body body;
	struct slice msg;
	uint8_t number[8];
	int rc = rec_take_item(value, &r);

	if (rc != 0)
		return rc;
	msg = r.msg;
	if (r.body != 0) {
		buf_clear(&x->body);
		rc = table_get(x->store->queue, NULL, TABLE_bodies, rec_number_key(number, r.body), &x->body);
		if (rc == 0)
			rc = rec_take_body(buf_slice(&x->body), &body);
		if (rc != 0)
			return rc;
		msg = body.msg;
	}
	return dump_put_message(&x->row, key, &r, msg);
}

static void
put_one(struct exporting *x, struct slice key, struct slice value)
{
	enum table t = order[x->table];
	int rc;

	buf_clear(&x->row);
	rc = t == TABLE_items ? put_message(x, key, value) : dump_put(&x->row, t, key, value);
	if (rc == FB_ENOENT)
		return;
	if (rc != 0) {
		rec_bad(t, key, rc);
		return;
	}
	x->bytes += buf_len(&x->row);
	buf_put_slice(admin_row_begin(x->store, x->id), buf_slice(&x->row));
	admin_row_end(x->store);
}

/* Records and their keys first; what they speak of is read when the cursor is closed: with two lockers in one thread
 * Berkeley DB could not see that they wait for each other. */
static int
some(struct exporting *x)
{
	enum table t = order[x->table];
	struct slice left, key, value;
	struct cursor *c;
	int rc = cursor_open(table_env(t) == ENV_queue ? x->store->queue : x->store->env, NULL, t, &c);

	if (rc != 0)
		return rc;
	buf_clear(&x->some);
	rc = cursor_seek(c, buf_slice(&x->at));
	for (unsigned n = 0; rc == 0 && n < WORK_SLICE_COUNT && buf_len(&x->some) < SLICE_BYTES; n++) {
		buf_put_le32_bytes(&x->some, cursor_key(c));
		buf_put_le32_bytes(&x->some, cursor_value(c));
		buf_clear(&x->at);
		buf_put_slice(&x->at, cursor_key(c));
		buf_put_u8(&x->at, 0);
		rc = cursor_next(c);
	}
	cursor_close(c);
	for (left = buf_slice(&x->some); slice_take_le32_bytes(&left, &key) == 0 && slice_take_le32_bytes(&left, &value) == 0;)
		put_one(x, key, value);
	return rc;
}

static void
put_next(struct exporting *x)
{
	struct rec_counts n = batch_counts(x->store->batch);
	struct slice at = buf_slice(&x->at);
	struct buf *b;

	buf_clear(&x->row);
	if (x->table < ORDER_COUNT) {
		char text[8];

		snprintf(text, sizeof text, "%zu:", x->table);
		buf_put_slice(&x->row, slice_str(text));
		for (size_t i = 0; i < at.len; i++) {
			snprintf(text, sizeof text, "%02x", at.p[i]);
			buf_put(&x->row, text, 2);
		}
	}
	b = admin_row_begin(x->store, x->id);
	row_put_str(b, "_table", "next");
	row_put_str(b, "node", x->store->config.node);
	row_put_str(b, "version", PACKAGE_VERSION);
	row_put_number(b, "total", (int64_t)(n.accounts + n.retained + owners_count(&x->store->owners) +
	    batch_counts(x->store->qbatch).rows));
	if (x->table < ORDER_COUNT)
		row_put_text(b, "cursor", buf_slice(&x->row));
	admin_row_end(x->store);
}

static bool
step(struct work_job *j)
{
	struct exporting *x = container_of(j, struct exporting, job);
	int rc;

	if (chan_full(x->store->sup)) {
		list_put_last(&x->store->parked, &j->link);
		return false;
	}
	rc = some(x);
	if (rc == FB_ENOENT) {
		buf_clear(&x->at);
		x->table++;
		rc = 0;
	}
	if ((rc == 0 || rc == FB_EAGAIN) && x->table < ORDER_COUNT && x->bytes < REQUEST_BYTES)
		return true;
	if (rc == 0 || rc == FB_EAGAIN) {
		put_next(x);
		rc = 0;
	}
	admin_done(x->store, x->id, rc, NULL);
	exporting_free(x);
	return false;
}

static int
digit(uint8_t c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int
take_cursor(struct exporting *x, struct slice s)
{
	if (s.len == 0)
		return 0;
	for (; s.len > 0 && digit(s.p[0]) >= 0 && digit(s.p[0]) < 10 && x->table < ORDER_COUNT; s = slice_of(s.p + 1, s.len - 1))
		x->table = x->table * 10 + (size_t)digit(s.p[0]);
	if (x->table >= ORDER_COUNT || s.len % 2 != 1 || s.p[0] != ':')
		return FB_EINVAL;
	for (size_t i = 1; i < s.len; i += 2) {
		int high = digit(s.p[i]), low = digit(s.p[i + 1]);

		if (high < 0 || low < 0)
			return FB_EINVAL;
		buf_put_u8(&x->at, (uint8_t)(high << 4 | low));
	}
	return 0;
}

void
export_admin(const struct admin_call *call)
{
	struct exporting *x = mem_zalloc(sizeof *x);

	x->job.step = step;
	x->store = call->store;
	x->id = call->id;
	if (call->argc != 1 || take_cursor(x, call->argv[0]) != 0) {
		admin_done(call->store, call->id, FB_EINVAL, "not a place in an export");
		exporting_free(x);
		return;
	}
	work_put(&call->store->work, &x->job);
}
