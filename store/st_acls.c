/* SPDX-License-Identifier: Apache-2.0 */
#include "store/st_acls.h"

#include "common/base/buf.h"
#include "common/base/cidr.h"
#include "common/base/log.h"
#include "store/change.h"
#include "store/store.h"

#define KEY_BYTES 17u

static void
key_of(const struct cidr *c, uint8_t out[KEY_BYTES])
{
	memcpy(out, c->addr, 16);
	out[16] = c->bits;
}

static int
key_take(struct slice key, struct cidr *out)
{
	if (key.len != KEY_BYTES || key.p[16] > 128)
		return FB_ECORRUPT;
	memcpy(out->addr, key.p, 16);
	out->bits = key.p[16];
	return 0;
}

static int
parse(struct slice arg, struct cidr *out)
{
	char text[CIDR_TEXT_MAX];

	if (arg.len >= sizeof text)
		return FB_EINVAL;
	memcpy(text, arg.p, arg.len);
	text[arg.len] = '\0';
	return strlen(text) == arg.len ? cidr_parse(text, out) : FB_EINVAL;
}

static const char bad_prefix[] = "not an IP address or prefix: 192.0.2.7, 10.0.0.0/8, 2001:db8::/32 "
	"(bits behind the prefix must be 0)";

/* ---- telling workers ---- */

static void
send_rule(struct slot *t, enum ipc_type type, const struct cidr *c, bool allow)
{
	char text[CIDR_TEXT_MAX];

	cidr_print(c, text);
	ipc_put_acl(chan_begin(t->chan, type), &(struct ipc_acl){ .prefix = slice_str(text), .allow = allow });
	chan_end(t->chan);
}

static void
tell_all(struct store *s, enum ipc_type type, struct slice key, bool allow)
{
	struct cidr prefix;

	if (key_take(key, &prefix) != 0)
		return;
	for (struct slot *t = slots_next(s, NULL); t != NULL; t = slots_next(s, t))
		send_rule(t, type, &prefix, allow);
}

void
acls_tell(struct store *s, struct slice key, struct slice value)
{
	struct rec_acl r;

	if (rec_take_acl(value, &r) == 0)
		tell_all(s, IPC_ACL_SET, key, r.allow);
}

int
acls_send_all(struct slot *t)
{
	struct cursor *c;
	int rc = cursor_open(t->store->env, NULL, TABLE_acls, &c);

	if (rc != 0)
		return rc;
	chan_send(t->chan, IPC_ACL_CLEAR);
	for (rc = cursor_seek(c, slice_of(NULL, 0)); rc == 0; rc = cursor_next(c)) {
		struct cidr prefix;
		struct rec_acl r;
		int bad = key_take(cursor_key(c), &prefix);

		if (bad == 0)
			bad = rec_take_acl(cursor_value(c), &r);
		if (bad == 0)
			send_rule(t, IPC_ACL_SET, &prefix, r.allow);
		else
			rec_bad(TABLE_acls, cursor_key(c), bad);
	}
	cursor_close(c);
	return rc == FB_ENOENT ? 0 : rc;
}

/* ---- commands ---- */

static int
put_row(struct buf *b, struct slice key, struct slice value)
{
	char text[CIDR_TEXT_MAX];
	struct cidr prefix;
	struct rec_acl r;
	int rc = key_take(key, &prefix);

	if (rc == 0)
		rc = rec_take_acl(value, &r);
	if (rc != 0)
		return rc;
	cidr_print(&prefix, text);
	row_put_str(b, "prefix", text);
	row_put_str(b, "rule", r.allow ? "allow" : "deny");
	return 0;
}

static void
after_set(struct change *c)
{
	struct rec_acl r;

	if (c->op.code == 0 && rec_take_acl(c->value, &r) == 0)
		tell_all(c->store, IPC_ACL_SET, c->key, r.allow);
	admin_after_change(c);
}

void
acls_admin_set(const struct admin_call *call)
{
	uint8_t key[KEY_BYTES];
	struct cidr prefix;
	struct change *c;
	struct buf value;
	bool allow;

	if (call->argc != 2 || parse(call->argv[0], &prefix) != 0) {
		admin_done(call->store, call->id, FB_EINVAL, bad_prefix);
		return;
	}
	allow = slice_eq(call->argv[1], SLICE_LIT("allow"));
	if (!allow && !slice_eq(call->argv[1], SLICE_LIT("deny"))) {
		admin_done(call->store, call->id, FB_EINVAL, "a rule is allow or deny");
		return;
	}
	key_of(&prefix, key);
	buf_init(&value);
	rec_put_acl(&value, &(struct rec_acl){ .allow = allow });
	c = change_new(call->store, TABLE_acls, slice_of(key, sizeof key), buf_slice(&value), change_run_put);
	buf_fini(&value);
	c->op.need = ENV_ADMIN;
	c->id = call->id;
	c->after = after_set;
	change_put(c);
}

/* The rule that holds for the address or prefix: the longest one that contains it. */
static int
find_rule(struct env *e, struct cidr *prefix, uint8_t key[KEY_BYTES], struct buf *value)
{
	int rc;

	for (;;) {
		key_of(prefix, key);
		rc = table_get(e, NULL, TABLE_acls, slice_of(key, KEY_BYTES), value);
		if (rc != FB_ENOENT || prefix->bits == 0)
			return rc;
		prefix->bits--;
		prefix->addr[prefix->bits / 8] &= (uint8_t)(0xff00 >> prefix->bits % 8);
	}
}

void
acls_admin_get(const struct admin_call *call)
{
	struct store *s = call->store;
	uint8_t key[KEY_BYTES];
	struct cidr prefix;
	struct buf value, row;
	int rc;

	if (call->argc != 1 || parse(call->argv[0], &prefix) != 0) {
		admin_done(s, call->id, FB_EINVAL, bad_prefix);
		return;
	}
	buf_init(&value);
	buf_init(&row);
	rc = find_rule(s->env, &prefix, key, &value);
	if (rc == 0)
		rc = put_row(&row, slice_of(key, sizeof key), buf_slice(&value));
	if (rc == 0) {
		buf_put_slice(admin_row_begin(s, call->id), buf_slice(&row));
		admin_row_end(s);
	}
	buf_fini(&value);
	buf_fini(&row);
	admin_done(s, call->id, rc, rc == FB_ENOENT ? "no rule for it" : NULL);
}

static void
after_del(struct change *c)
{
	if (c->op.code == 0)
		tell_all(c->store, IPC_ACL_DEL, c->key, false);
	admin_done(c->store, c->id, c->op.code, c->op.code == FB_ENOENT ? "no such rule" : NULL);
}

void
acls_admin_del(const struct admin_call *call)
{
	uint8_t key[KEY_BYTES];
	struct cidr prefix;
	struct change *c;

	if (call->argc != 1 || parse(call->argv[0], &prefix) != 0) {
		admin_done(call->store, call->id, FB_EINVAL, bad_prefix);
		return;
	}
	key_of(&prefix, key);
	c = change_new(call->store, TABLE_acls, slice_of(key, sizeof key), slice_of(NULL, 0), change_run_take);
	c->op.need = ENV_ADMIN;
	c->id = call->id;
	c->after = after_del;
	change_put(c);
}

void
acls_admin_all(const struct admin_call *call)
{
	admin_list(call, TABLE_acls, put_row);
}
