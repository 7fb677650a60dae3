/* SPDX-License-Identifier: Apache-2.0 */
#include "store/st_accounts.h"

#include <stdio.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/base/utf8.h"
#include "store/change.h"
#include "store/st_rights.h"
#include "store/store.h"

int
accounts_get(struct env *e, struct slice name, struct buf *buf, struct rec_account *out)
{
	size_t was = buf_len(buf);
	int rc = table_get(e, NULL, TABLE_accounts, name, buf);

	if (rc != 0)
		return rc;
	rc = rec_take_account(slice_of(buf_slice(buf).p + was, buf_len(buf) - was), out);
	if (rc != 0)
		rec_bad(TABLE_accounts, name, rc);
	return rc;
}

static const char *
kind_name(struct slice hash)
{
	switch (passwd_kind(hash)) {
	case PASSWD_SCRYPT:
		return "password";
	case PASSWD_KEYED:
		return "generated";
	case PASSWD_BAD:
		break;
	}
	return "unknown";
}

static int
put_row(struct buf *b, struct slice name, struct slice value)
{
	struct rec_account r;
	int rc = rec_take_account(value, &r);

	if (rc != 0)
		return rc;
	row_put_text(b, "name", name);
	row_put_str(b, "kind", kind_name(r.hash));
	row_put_time(b, "created", (int64_t)r.created_s);
	row_put_time(b, "changed", (int64_t)r.changed_s);
	return 0;
}

/* ---- account set ---- */

/* value is the hash; the record is made here, since it keeps the time of its making. */
static int
run_set(struct batch_op *op, struct txn *x, struct rec_counts *counts)
{
	const struct change *c = container_of(op, struct change, op);
	uint64_t now_s = (uint64_t)(clock_wall().ns / NS_PER_SEC);
	struct rec_account was, r = { .created_s = now_s, .changed_s = now_s, .hash = c->value };
	struct buf old, value;
	int rc;

	buf_init(&old);
	buf_init(&value);
	rc = table_get(txn_env(x), x, TABLE_accounts, c->key, &old);
	if (rc == FB_ENOENT)
		counts->accounts++;
	else if (rc == 0 && rec_take_account(buf_slice(&old), &was) == 0)
		r.created_s = was.created_s;
	if (rc == 0 || rc == FB_ENOENT) {
		rec_put_account(&value, &r);
		rc = table_put(x, TABLE_accounts, c->key, buf_slice(&value));
	}
	buf_fini(&old);
	buf_fini(&value);
	return rc;
}

static void
put_account(struct store *s, uint64_t id, struct slice name, const char *hash)
{
	struct change *c = change_new(s, TABLE_accounts, name, slice_str(hash), run_set);

	c->op.need = ENV_ADMIN;
	c->id = id;
	c->after = admin_after_change;
	change_put(c);
}

struct setting_password {
	struct store *store;
	uint64_t id;
	size_t name_len;
	uint8_t name[];
};

static void
on_hashed(void *arg, int rc, const char *text)
{
	struct setting_password *p = arg;

	if (rc == 0)
		put_account(p->store, p->id, slice_of(p->name, p->name_len), text);
	else
		admin_done(p->store, p->id, rc, NULL);
	mem_free(p);
}

static const char *
why_not(struct slice name, struct slice password, bool generated)
{
	if (name.len == 0 || name.len > STORE_ACCOUNT_MAX || !utf8_clean(name))
		return "an account's name is 1 to 256 bytes of UTF-8 without control characters";
	if (password.len == 0 || password.len > 65535)
		return "a password is 1 to 65535 bytes";
	if (generated && password.len < PASSWD_GENERATED_MIN)
		return "a generated password has at least 22 characters";
	return NULL;
}

void
accounts_admin_set(const struct admin_call *call)
{
	struct store *s = call->store;
	struct slice name = call->argc > 0 ? call->argv[0] : slice_of(NULL, 0);
	struct slice password = call->argc > 1 ? call->argv[1] : slice_of(NULL, 0);
	bool generated = call->argc > 2 && slice_eq(call->argv[2], SLICE_LIT("generated"));
	const char *why = why_not(name, password, generated);
	struct setting_password *p;
	char text[PASSWD_TEXT_MAX];

	if (why != NULL) {
		admin_done(s, call->id, FB_EINVAL, why);
		return;
	}
	if (generated) {
		auth_keyed(s->auth, name, password, text);
		put_account(s, call->id, name, text);
		return;
	}
	p = mem_alloc(sizeof *p + name.len);
	*p = (struct setting_password){ .store = s, .id = call->id, .name_len = name.len };
	memcpy(p->name, name.p, name.len);
	auth_hash(s->auth, password, (uint32_t)s->config.auth_scrypt_n, on_hashed, p);
}

/* ---- the others ---- */

void
accounts_admin_get(const struct admin_call *call)
{
	struct store *s = call->store;
	struct rec_account r;
	struct buf b;
	int rc;

	buf_init(&b);
	rc = call->argc == 1 ? accounts_get(s->env, call->argv[0], &b, &r) : FB_ESYNTAX;
	if (rc == 0) {
		(void)put_row(admin_row_begin(s, call->id), call->argv[0], buf_slice(&b));
		admin_row_end(s);
	}
	buf_fini(&b);
	admin_done(s, call->id, rc, rc == FB_ENOENT ? "no such account" : NULL);
}

static int
run_del(struct batch_op *op, struct txn *x, struct rec_counts *counts)
{
	const struct change *c = container_of(op, struct change, op);
	int rc = table_del(x, TABLE_accounts, c->key);

	if (rc == FB_ENOENT) {
		op->code = rc;
		return 0;
	}
	if (rc == 0)
		rc = groups_run_account_del(x, c->key);
	if (rc == 0 && counts->accounts > 0)
		counts->accounts--;
	return rc;
}

static void
after_del(struct change *c)
{
	struct store *s = c->store;

	if (c->op.code == 0) {
		groups_after_account_del(s, c->key);
		for (struct slot *t = slots_next(s, NULL); t != NULL; t = slots_next(s, t))
			CHAN_SEND(t->chan, ACCOUNT_GONE, name, .name = c->key);
	}
	admin_done(s, c->id, c->op.code, c->op.code == FB_ENOENT ? "no such account" : NULL);
}

void
accounts_admin_del(const struct admin_call *call)
{
	struct change *c;

	if (call->argc != 1) {
		admin_done(call->store, call->id, FB_ESYNTAX, NULL);
		return;
	}
	c = change_new(call->store, TABLE_accounts, call->argv[0], slice_of(NULL, 0), run_del);
	c->op.need = ENV_ADMIN;
	c->id = call->id;
	c->after = after_del;
	change_put(c);
}

void
accounts_admin_all(const struct admin_call *call)
{
	admin_list(call, TABLE_accounts, put_row);
}
