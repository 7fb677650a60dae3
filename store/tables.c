/* SPDX-License-Identifier: Apache-2.0
 *
 * A cursor starts with single records and goes over to bulk reads (DB_MULTIPLE_KEY) after SINGLE_MAX steps in a row: a
 * skip-scan seeks after a few records and would copy pages for nothing; a run of a million is 3 times faster in bulk. */
#include "store/tables.h"

#include "common/base/mem.h"
#include "store/env_db.h"

#define SINGLE_MAX  8
#define BULK_BYTES  (32u * 1024)
#define VALUE_FIRST 512u

static DBT
dbt_in(struct slice s)
{
	DBT d;

	memset(&d, 0, sizeof d);
	d.data = (void *)(uintptr_t)s.p;
	d.size = (u_int32_t)s.len;
	return d;
}

static DBT
dbt_out(struct buf *b, size_t room)
{
	DBT d;

	memset(&d, 0, sizeof d);
	d.data = buf_room(b, room);
	d.ulen = (u_int32_t)(b->cap - b->end);
	d.flags = DB_DBT_USERMEM;
	return d;
}

struct get_call {
	struct env *env;
	DB_TXN *txn;
	enum table table;
	struct slice key;
	struct buf *out;
};

static int
get_once(void *arg)
{
	struct get_call *g = arg;
	DB *db = g->env->db[g->table];
	DBT key = dbt_in(g->key);
	DBT value = dbt_out(g->out, VALUE_FIRST);
	int rc = db->get(db, g->txn, &key, &value, 0);

	if (rc == DB_BUFFER_SMALL) {
		value = dbt_out(g->out, value.size);
		rc = db->get(db, g->txn, &key, &value, 0);
	}
	if (rc == DB_BUFFER_SMALL)
		return FB_EAGAIN;       /* it grew in between */
	if (rc == 0)
		buf_added(g->out, value.size);
	return env_rc(rc, "get");
}

int
table_get(struct env *e, struct txn *x, enum table t, struct slice key, struct buf *out)
{
	struct get_call g = { .env = e, .txn = x != NULL ? x->txn : NULL, .table = t, .key = key, .out = out };

	return x != NULL ? get_once(&g) : env_retry(get_once, &g);
}

static int
has_once(void *arg)
{
	struct get_call *g = arg;
	DB *db = g->env->db[g->table];
	DBT key = dbt_in(g->key);

	return env_rc(db->exists(db, g->txn, &key, 0), "exists");
}

bool
table_has(struct env *e, enum table t, struct slice key)
{
	struct get_call g = { .env = e, .table = t, .key = key };

	return env_retry(has_once, &g) == 0;
}

int
table_has_in(struct txn *x, enum table t, struct slice key)
{
	struct get_call g = { .env = x->env, .txn = x->txn, .table = t, .key = key };

	return has_once(&g);
}

int
table_put(struct txn *x, enum table t, struct slice key, struct slice value)
{
	DB *db = x->env->db[t];
	DBT k = dbt_in(key);
	DBT v = dbt_in(value);

	return env_rc(db->put(db, x->txn, &k, &v, 0), "put");
}

int
table_del(struct txn *x, enum table t, struct slice key)
{
	DB *db = x->env->db[t];
	DBT k = dbt_in(key);

	return env_rc(db->del(db, x->txn, &k, 0), "delete");
}

/* ---- cursors ---- */

struct cursor {
	DBC *dbc;
	struct buf key_buf, value_buf;  /* of single reads; value_buf also holds the bulk */
	struct slice key, value;
	void *bulk;                     /* where DB_MULTIPLE_KEY_NEXT stands; NULL: not in a bulk */
	DBT bulk_dbt;
	unsigned steps;                 /* since the last seek */
	bool in_txn;
};

static int
open_cursor(struct env *e, struct txn *x, enum table t, u_int32_t flags, struct cursor **out)
{
	DB *db = e->db[t];
	DBC *dbc = NULL;
	int rc = env_rc(db->cursor(db, x != NULL ? x->txn : NULL, &dbc, flags), "open cursor");
	struct cursor *c;

	if (rc != 0)
		return rc;
	c = mem_zalloc(sizeof *c);
	c->dbc = dbc;
	c->in_txn = x != NULL;
	*out = c;
	return 0;
}

int
cursor_open(struct env *e, struct txn *x, enum table t, struct cursor **out)
{
	return open_cursor(e, x, t, 0, out);
}

int
cursor_close(struct cursor *c)
{
	int rc;

	if (c == NULL)
		return 0;
	rc = env_rc(c->dbc->close(c->dbc), "close cursor");
	buf_fini(&c->key_buf);
	buf_fini(&c->value_buf);
	mem_free(c);
	return rc;
}

struct slice
cursor_key(const struct cursor *c)
{
	return c->key;
}

struct slice
cursor_value(const struct cursor *c)
{
	return c->value;
}

static int
get_single(struct cursor *c, struct slice seek, u_int32_t how)
{
	size_t key_room = VALUE_FIRST;
	size_t value_room = VALUE_FIRST;
	DBT key, value;
	int rc;

	do {
		buf_clear(&c->key_buf);
		buf_clear(&c->value_buf);
		key = dbt_out(&c->key_buf, seek.len > key_room ? seek.len : key_room);
		value = dbt_out(&c->value_buf, value_room);
		if (how == DB_SET_RANGE) {
			memcpy(key.data, seek.p, seek.len);
			key.size = (u_int32_t)seek.len;
		}
		rc = c->dbc->get(c->dbc, &key, &value, how);
		if (rc != DB_BUFFER_SMALL)
			break;
		key_room = key.size > key.ulen ? key.size : key_room;
		value_room = value.size > value.ulen ? value.size : value_room;
	} while (true);
	if (rc == 0) {
		c->key = slice_of(key.data, key.size);
		c->value = slice_of(value.data, value.size);
	}
	return env_rc(rc, "cursor");
}

int
cursor_seek(struct cursor *c, struct slice key)
{
	c->bulk = NULL;
	c->steps = 0;
	return get_single(c, key, key.len == 0 ? DB_FIRST : DB_SET_RANGE);
}

int
cursor_before(struct cursor *c, struct slice key)
{
	int rc = key.len > 0 ? get_single(c, key, DB_SET_RANGE) : FB_ENOENT;

	c->bulk = NULL;
	c->steps = 0;
	if (rc == FB_ENOENT)
		return get_single(c, slice_of(NULL, 0), DB_LAST);
	return rc != 0 ? rc : get_single(c, slice_of(NULL, 0), DB_PREV);
}

static bool
bulk_step(struct cursor *c)
{
	void *key = NULL;
	void *value = NULL;
	size_t key_len = 0;
	size_t value_len = 0;

	DB_MULTIPLE_KEY_NEXT(c->bulk, &c->bulk_dbt, key, key_len, value, value_len);
	if (c->bulk == NULL)
		return false;
	c->key = slice_of(key, key_len);
	c->value = slice_of(value, value_len);
	return true;
}

static int
get_bulk(struct cursor *c)
{
	DBT key;
	int rc;

	memset(&key, 0, sizeof key);
	buf_clear(&c->value_buf);
	c->bulk_dbt = dbt_out(&c->value_buf, BULK_BYTES);
	c->bulk_dbt.ulen &= ~UINT32_C(1023);
	rc = c->dbc->get(c->dbc, &key, &c->bulk_dbt, DB_NEXT | DB_MULTIPLE_KEY);
	if (rc == DB_BUFFER_SMALL)
		return get_single(c, slice_of(NULL, 0), DB_NEXT);
	if (rc != 0)
		return env_rc(rc, "bulk");
	DB_MULTIPLE_INIT(c->bulk, &c->bulk_dbt);
	return bulk_step(c) ? 0 : FB_ENOENT;
}

int
cursor_next(struct cursor *c)
{
	if (c->bulk != NULL && bulk_step(c))
		return 0;
	c->bulk = NULL;
	if (c->in_txn || c->steps < SINGLE_MAX) {
		c->steps++;
		return get_single(c, slice_of(NULL, 0), DB_NEXT);
	}
	return get_bulk(c);
}

/* ---- edits ---- */

int
cursor_open_edit(struct txn *x, enum table t, struct cursor **out)
{
	return open_cursor(x->env, x, t, DB_CURSOR_BULK, out);
}

int
cursor_peek(struct cursor *c, struct slice key, uint8_t *out, size_t max, size_t *len)
{
	DBT k = dbt_in(key);
	DBT v;
	int rc;

	memset(&v, 0, sizeof v);
	v.data = out;
	v.ulen = v.dlen = (u_int32_t)max;
	v.flags = DB_DBT_USERMEM | DB_DBT_PARTIAL;
	rc = env_rc(c->dbc->get(c->dbc, &k, &v, DB_SET | DB_RMW), "cursor peek");
	if (rc == 0)
		*len = v.size;
	return rc;
}

int
cursor_put(struct cursor *c, struct slice key, struct slice value)
{
	DBT k = dbt_in(key);
	DBT v = dbt_in(value);

	return env_rc(c->dbc->put(c->dbc, &k, &v, DB_KEYLAST), "cursor put");
}

int
cursor_del(struct cursor *c)
{
	return env_rc(c->dbc->del(c->dbc, 0), "cursor delete");
}

int
table_del_prefix(struct txn *x, enum table t, struct slice prefix, uint64_t max, uint64_t *count)
{
	struct cursor *c;
	int rc = cursor_open(x->env, x, t, &c);
	int closed;

	if (rc != 0)
		return rc;
	*count = 0;
	for (rc = cursor_seek(c, prefix); rc == 0 && *count < max; rc = cursor_next(c)) {
		if (c->key.len < prefix.len || (prefix.len > 0 && memcmp(c->key.p, prefix.p, prefix.len) != 0))
			break;
		rc = cursor_del(c);
		if (rc != 0)
			break;
		(*count)++;
	}
	closed = cursor_close(c);
	return rc == FB_ENOENT || rc == 0 ? closed : rc;
}
