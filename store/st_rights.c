/* SPDX-License-Identifier: Apache-2.0
 * The key of a rule is its place, big-endian, so that a cursor walks them in the order in which they are asked. New
 * rules come STEP behind the last, which leaves places between for later ones. */
#include "store/st_rights.h"

#include <stdio.h>

#include "common/base/buf.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/utf8.h"
#include "common/mqtt/right.h"
#include "common/mqtt/topic.h"
#include "store/change.h"
#include "store/store.h"

#define STEP 10u
#define PLACE_MAX 1000000000u

static void
key_of(uint32_t place, uint8_t out[4])
{
	for (int i = 0; i < 4; i++)
		out[i] = (uint8_t)(place >> (24 - 8 * i));
}

static uint32_t
place_of(struct slice key)
{
	return (uint32_t)key.p[0] << 24 | (uint32_t)key.p[1] << 16 | (uint32_t)key.p[2] << 8 | key.p[3];
}

/* The rule that a cursor stands on. */
static int
rule_take(struct slice key, struct slice value, struct right_rule *out)
{
	struct rec_right r;
	int rc = key.len == 4 ? rec_take_right(value, &r) : FB_ECORRUPT;

	if (rc != 0)
		return rc;
	*out = (struct right_rule){ .place = place_of(key), .actions = r.actions, .who = r.who, .allow = r.allow,
		.name = r.name, .filter = r.filter };
	return 0;
}

static int
group_take(struct slice key, struct slice *account, struct slice *group)
{
	const uint8_t *end = key.len > 0 ? memchr(key.p, '\0', key.len) : NULL;

	if (end == NULL || end == key.p)
		return FB_ECORRUPT;
	*account = slice_of(key.p, (size_t)(end - key.p));
	*group = slice_of(end + 1, key.len - account->len - 1);
	return group->len > 0 ? 0 : FB_ECORRUPT;
}

/* ---- telling workers ---- */

static void
send_rule(struct slot *t, enum ipc_type type, const struct right_rule *r)
{
	ipc_put_right(chan_begin(t->chan, type), &(struct ipc_right){ .place = r->place, .actions = r->actions,
	    .who = r->who, .allow = r->allow, .name = r->name, .filter = r->filter });
	chan_end(t->chan);
}

static void
send_group(struct slot *t, enum ipc_type type, struct slice account, struct slice group)
{
	ipc_put_group(chan_begin(t->chan, type), &(struct ipc_group){ .name = account, .group = group });
	chan_end(t->chan);
}

static void
send_row(struct slot *t, enum table table, struct slice key, struct slice value)
{
	struct slice account, group;
	struct right_rule r;
	int bad;

	if (table == TABLE_rights) {
		bad = rule_take(key, value, &r);
		if (bad == 0)
			send_rule(t, IPC_RIGHT_SET, &r);
	} else {
		bad = group_take(key, &account, &group);
		if (bad == 0)
			send_group(t, IPC_GROUP_SET, account, group);
	}
	if (bad != 0)
		rec_bad(table, key, bad);
}

void
rights_tell(struct store *s, enum table t, struct slice key, struct slice value)
{
	for (struct slot *to = slots_next(s, NULL); to != NULL; to = slots_next(s, to))
		send_row(to, t, key, value);
}

static int
send_table(struct slot *t, enum table table)
{
	struct cursor *c;
	int rc = cursor_open(t->store->env, NULL, table, &c);

	if (rc != 0)
		return rc;
	for (rc = cursor_seek(c, slice_of(NULL, 0)); rc == 0; rc = cursor_next(c))
		send_row(t, table, cursor_key(c), cursor_value(c));
	cursor_close(c);
	return rc == FB_ENOENT ? 0 : rc;
}

int
rights_send_all(struct slot *t)
{
	int rc;

	chan_send(t->chan, IPC_RIGHTS_BEGIN);
	rc = send_table(t, TABLE_rights);
	if (rc == 0)
		rc = send_table(t, TABLE_groups);
	if (rc == 0)
		chan_send(t->chan, IPC_RIGHTS_END);
	return rc;
}

/* ---- rules: set and del ---- */

/* What was asked for. In the transaction its place is found: a rule that says the same of the same keeps its own. */
struct right_change {
	struct batch_op op;
	struct store *store;
	uint64_t id;
	struct right_rule rule;         /* its slices are in bytes; place 0: not named */
	uint32_t moved_from;            /* 0: it was at no other place */
	const char *why;                /* it was refused */
	uint8_t bytes[];
};

static struct right_change *
right_change_new(const struct admin_call *call, const struct right_rule *r, int (*run)(struct batch_op *op,
    struct txn *x, struct rec_counts *counts), void (*done)(struct batch_op *op))
{
	struct right_change *c = mem_zalloc(sizeof *c + r->name.len + r->filter.len);

	c->store = call->store;
	c->id = call->id;
	c->rule = *r;
	c->rule.name = slice_of(c->bytes, r->name.len);
	c->rule.filter = slice_of(c->bytes + r->name.len, r->filter.len);
	if (r->name.len > 0)
		memcpy(c->bytes, r->name.p, r->name.len);
	if (r->filter.len > 0)
		memcpy(c->bytes + r->name.len, r->filter.p, r->filter.len);
	c->op.run = run;
	c->op.done = done;
	c->op.bytes = r->name.len + r->filter.len;
	c->op.need = ENV_ADMIN;
	return c;
}

static bool
same_question(const struct right_rule *a, const struct right_rule *b)
{
	return a->who == b->who && a->actions == b->actions && slice_eq(a->name, b->name) && slice_eq(a->filter, b->filter);
}

/* *same: the place of the rule that asks the same; *last: of the last one; *taken: there is another rule at place. */
static int
look(struct txn *x, const struct right_rule *want, uint32_t *same, uint32_t *last, bool *taken)
{
	struct right_rule r;
	struct cursor *c;
	int rc = cursor_open(txn_env(x), x, TABLE_rights, &c);

	*same = *last = 0;
	*taken = false;
	if (rc != 0)
		return rc;
	for (rc = cursor_seek(c, slice_of(NULL, 0)); rc == 0; rc = cursor_next(c)) {
		bool is_same = rule_take(cursor_key(c), cursor_value(c), &r) == 0 && same_question(&r, want);

		if (cursor_key(c).len != 4)
			continue;
		*last = place_of(cursor_key(c));
		if (is_same)
			*same = *last;
		else if (*last == want->place)
			*taken = true;
	}
	cursor_close(c);
	return rc == FB_ENOENT ? 0 : rc;
}

static int
del_place(struct txn *x, uint32_t place)
{
	uint8_t key[4];

	key_of(place, key);
	return table_del(x, TABLE_rights, slice_of(key, sizeof key));
}

static int
run_set(struct batch_op *op, struct txn *x, struct rec_counts *counts)
{
	struct right_change *c = container_of(op, struct right_change, op);
	struct right_rule *r = &c->rule;
	uint32_t asked = r->place, same, last;
	struct buf value;
	uint8_t key[4];
	bool taken;
	int rc = look(x, r, &same, &last, &taken);

	(void)counts;
	if (rc != 0)
		return rc;
	if (asked == 0)
		r->place = same != 0 ? same : last - last % STEP + STEP;
	if (taken || r->place > PLACE_MAX) {
		c->why = taken ? "another rule has that place; right all shows which are free" : "no place behind the last rule";
		op->code = FB_EEXIST;
		return 0;
	}
	c->moved_from = same != r->place ? same : 0;
	if (c->moved_from != 0) {
		rc = del_place(x, same);
		if (rc != 0)
			return rc;
	}
	buf_init(&value);
	rec_put_right(&value, &(struct rec_right){ .actions = r->actions, .who = r->who, .allow = r->allow,
	    .name = r->name, .filter = r->filter });
	key_of(r->place, key);
	rc = table_put(x, TABLE_rights, slice_of(key, sizeof key), buf_slice(&value));
	buf_fini(&value);
	if (rc != 0)
		r->place = asked;       /* it may run again */
	return rc;
}

static int
run_del(struct batch_op *op, struct txn *x, struct rec_counts *counts)
{
	struct right_change *c = container_of(op, struct right_change, op);
	uint32_t same = c->rule.place, last;
	bool taken;
	int rc = same != 0 ? 0 : look(x, &c->rule, &same, &last, &taken);

	(void)counts;
	if (rc == 0)
		rc = same == 0 ? FB_ENOENT : del_place(x, same);
	if (rc == 0)
		c->rule.place = same;
	if (rc != FB_ENOENT)
		return rc;
	op->code = rc;
	return 0;
}

/* One that moves is for a moment at both places, never at none. */
static void
tell_all(const struct right_change *c)
{
	bool set = c->op.run == run_set;
	const struct right_rule old = { .place = c->moved_from };

	for (struct slot *t = slots_next(c->store, NULL); t != NULL; t = slots_next(c->store, t)) {
		send_rule(t, set ? IPC_RIGHT_SET : IPC_RIGHT_DEL, &c->rule);
		if (c->moved_from != 0)
			send_rule(t, IPC_RIGHT_DEL, &old);
	}
}

static void
done_change(struct batch_op *op)
{
	struct right_change *c = container_of(op, struct right_change, op);

	if (op->code == 0)
		tell_all(c);
	admin_done(c->store, c->id, op->code, op->code == FB_ENOENT ? "no such rule" : c->why);
	mem_free(c);
}

static int
parse_place(struct slice text, uint32_t *out)
{
	uint32_t n = 0;

	if (text.len == 0 || text.len > 10)
		return FB_EINVAL;
	for (size_t i = 0; i < text.len; i++) {
		if (text.p[i] < '0' || text.p[i] > '9' || n > PLACE_MAX)
			return FB_EINVAL;
		n = n * 10 + (uint32_t)(text.p[i] - '0');
	}
	if (n == 0 || n > PLACE_MAX)
		return FB_EINVAL;
	*out = n;
	return 0;
}

/* WHO ACTION FILTER; NULL, or why not. */
static const char *
parse_rule(const struct slice argv[3], struct right_rule *r)
{
	enum right_action action;
	enum right_who who;

	if (right_who_parse(argv[0], &who, &r->name) != 0)
		return "a rule is of user:NAME, group:NAME, everyone or anonymous";
	if (right_action_parse(argv[1], &action) != 0)
		return "an action is publish, subscribe, send, receive or all";
	r->who = (uint8_t)who;
	r->actions = (uint8_t)action;
	r->filter = argv[2];
	return right_filter_wrong(r->filter);
}

void
rights_admin_set(const struct admin_call *call)
{
	struct right_rule r = { 0 };
	const char *why = call->argc < 4 ? "arguments are missing" : parse_rule(call->argv, &r);

	if (why == NULL) {
		r.allow = slice_eq(call->argv[3], SLICE_LIT("allow"));
		if (!r.allow && !slice_eq(call->argv[3], SLICE_LIT("deny")))
			why = "a rule is allow or deny";
		else if (call->argc > 4 && parse_place(call->argv[4], &r.place) != 0)
			why = "a place is a number from 1 to 1000000000";
	}
	if (why != NULL)
		admin_done(call->store, call->id, FB_EINVAL, why);
	else
		batch_put(call->store->batch, &right_change_new(call, &r, run_set, done_change)->op);
}

void
rights_admin_del(const struct admin_call *call)
{
	struct right_rule r = { 0 };
	const char *why = "a rule is named by its place, or by WHO ACTION FILTER";

	if (call->argc == 1 && parse_place(call->argv[0], &r.place) == 0)
		why = NULL;
	else if (call->argc == 3)
		why = parse_rule(call->argv, &r);
	if (why != NULL)
		admin_done(call->store, call->id, FB_EINVAL, why);
	else
		batch_put(call->store->batch, &right_change_new(call, &r, run_del, done_change)->op);
}

/* ---- rules: all and check ---- */

static void
put_rule(struct buf *b, const struct right_rule *r)
{
	char who[RIGHT_NAME_MAX + 16];

	snprintf(who, sizeof who, "%s%.*s", right_who_name((enum right_who)r->who), (int)r->name.len,
	    r->name.len > 0 ? (const char *)r->name.p : "");
	row_put_number(b, "place", r->place);
	row_put_str(b, "who", who);
	row_put_str(b, "action", right_action_name((enum right_action)r->actions));
	row_put_text(b, "filter", r->filter);
	row_put_str(b, "rule", r->allow ? "allow" : "deny");
}

static int
put_row(struct buf *b, struct slice key, struct slice value)
{
	struct right_rule r;
	int rc = rule_take(key, value, &r);

	if (rc == 0)
		put_rule(b, &r);
	return rc;
}

void
rights_admin_all(const struct admin_call *call)
{
	admin_list(call, TABLE_rights, put_row);
}

static void
group_key(struct buf *b, struct slice account, struct slice group)
{
	buf_put_slice(b, account);
	buf_put_u8(b, 0);
	buf_put_slice(b, group);
}

static bool
is_member(struct env *e, struct slice account, struct slice group)
{
	struct buf key;
	bool is;

	buf_init(&key);
	group_key(&key, account, group);
	is = table_has(e, TABLE_groups, buf_slice(&key));
	buf_fini(&key);
	return is;
}

static bool
means(struct env *e, const struct right_rule *r, struct slice account)
{
	switch ((enum right_who)r->who) {
	case RIGHT_EVERYONE:
		return true;
	case RIGHT_ANONYMOUS:
		return account.len == 0;
	case RIGHT_USER:
		return account.len > 0 && slice_eq(r->name, account);
	case RIGHT_GROUP:
		return account.len > 0 && is_member(e, account, r->name);
	}
	return false;
}

/* One walk; FB_EAGAIN: again. 0: *row has the rule's fields, *allow what it says; FB_ENOENT: no rule decides. */
static int
decide(struct env *e, const struct right_client *who, enum right_action a, struct slice topic, struct buf *row,
    bool *allow)
{
	struct right_rule r;
	struct cursor *c;
	int rc = cursor_open(e, NULL, TABLE_rights, &c);

	if (rc != 0)
		return rc;
	for (rc = cursor_seek(c, slice_of(NULL, 0)); rc == 0; rc = cursor_next(c)) {
		if (rule_take(cursor_key(c), cursor_value(c), &r) != 0 || !means(e, &r, who->user) ||
		    !right_matches(&r, a, who, topic, NULL))
			continue;
		*allow = r.allow;
		put_rule(row, &r);
		break;
	}
	cursor_close(c);
	return rc;
}

static const char *
check_wrong(enum right_action a, struct slice topic)
{
	if (a == RIGHT_SUBSCRIBE)
		return topic_filter_valid(topic) ? NULL : "not a topic filter";
	return topic_name_valid(topic) ? NULL : "not a topic: it is not empty and has no + or #";
}

void
rights_admin_check(const struct admin_call *call)
{
	struct store *s = call->store;
	struct right_client who = { .user = call->argv[0], .id = call->argv[1] };
	struct slice group, topic = call->argv[3];
	enum right_action a = RIGHT_ALL;
	const char *why = "an action is publish, subscribe, send or receive";
	bool allow = strcmp(s->config.default_right, "allow") == 0;
	struct buf row;
	int rc;

	if (call->argc == 4 && right_action_parse(call->argv[2], &a) == 0 && a != RIGHT_ALL)
		why = check_wrong(a, topic);
	if (why != NULL) {
		admin_done(s, call->id, FB_EINVAL, why);
		return;
	}
	if (a == RIGHT_SUBSCRIBE)
		(void)topic_share(call->argv[3], &group, &topic);
	buf_init(&row);
	do {
		buf_clear(&row);
		rc = decide(s->env, &who, a, topic, &row, &allow);
	} while (rc == FB_EAGAIN);
	if (rc == 0 || rc == FB_ENOENT) {
		struct buf *b = admin_row_begin(s, call->id);

		row_put_str(b, "verdict", allow ? "allow" : "deny");
		row_put_str(b, "by", rc == 0 ? "rule" : "auth.default_right");
		buf_put_slice(b, buf_slice(&row));
		admin_row_end(s);
		rc = 0;
	}
	buf_fini(&row);
	admin_done(s, call->id, rc, NULL);
}

/* ---- groups ---- */

static void
tell_group(struct store *s, enum ipc_type type, struct slice account, struct slice group)
{
	for (struct slot *t = slots_next(s, NULL); t != NULL; t = slots_next(s, t))
		send_group(t, type, account, group);
}

int
groups_run_account_del(struct txn *x, struct slice account)
{
	uint64_t count = 1;
	struct buf key;
	int rc = 0;

	buf_init(&key);
	group_key(&key, account, slice_of(NULL, 0));
	while (rc == 0 && count > 0)
		rc = table_del_prefix(x, TABLE_groups, buf_slice(&key), 1000, &count);
	buf_fini(&key);
	return rc == FB_ENOENT ? 0 : rc;
}

void
groups_after_account_del(struct store *s, struct slice account)
{
	tell_group(s, IPC_GROUP_DEL, account, slice_of(NULL, 0));
}

static int
run_group_del(struct batch_op *op, struct txn *x, struct rec_counts *counts)
{
	const struct change *c = container_of(op, struct change, op);
	int rc = table_del(x, c->table, c->key);

	(void)counts;
	if (rc != FB_ENOENT)
		return rc;
	op->code = rc;
	return 0;
}

static int
run_group_add(struct batch_op *op, struct txn *x, struct rec_counts *counts)
{
	const struct change *c = container_of(op, struct change, op);
	struct slice account, group;
	int rc = group_take(c->key, &account, &group);

	(void)counts;
	if (rc == 0)
		rc = table_has_in(x, TABLE_accounts, account);
	if (rc == 0)
		return table_put(x, c->table, c->key, c->value);
	if (rc != FB_ENOENT)
		return rc;
	op->code = rc;
	return 0;
}

static void
after_group(struct change *c)
{
	bool add = c->op.run == run_group_add;
	struct slice account, group;

	if (c->op.code == 0 && group_take(c->key, &account, &group) == 0)
		tell_group(c->store, add ? IPC_GROUP_SET : IPC_GROUP_DEL, account, group);
	admin_done(c->store, c->id, c->op.code,
	    c->op.code != FB_ENOENT ? NULL : add ? "no such account" : "the account is not in that group");
}

static void
group_change(const struct admin_call *call, int (*run)(struct batch_op *op, struct txn *x, struct rec_counts *counts))
{
	struct store *s = call->store;
	struct buf key, value;
	struct change *c;

	for (size_t i = 0; i < 2; i++)
		if (call->argc != 2 || call->argv[i].len == 0 || call->argv[i].len > RIGHT_NAME_MAX ||
		    !utf8_clean(call->argv[i])) {
			admin_done(s, call->id, FB_EINVAL,
			    "names of groups and accounts are 1 to 256 bytes of UTF-8 without control characters");
			return;
		}
	buf_init(&key);
	buf_init(&value);
	group_key(&key, call->argv[1], call->argv[0]);
	rec_put_group(&value, &(struct rec_group){ 0 });
	c = change_new(s, TABLE_groups, buf_slice(&key), buf_slice(&value), run);
	buf_fini(&key);
	buf_fini(&value);
	c->op.need = ENV_ADMIN;
	c->id = call->id;
	c->after = after_group;
	change_put(c);
}

void
groups_admin_add(const struct admin_call *call)
{
	group_change(call, run_group_add);
}

void
groups_admin_del(const struct admin_call *call)
{
	group_change(call, run_group_del);
}

static int
put_group_row(struct buf *b, struct slice key, struct slice value)
{
	struct slice account, group;
	struct rec_group r;
	int rc = rec_take_group(value, &r);

	if (rc == 0)
		rc = group_take(key, &account, &group);
	if (rc != 0)
		return rc;
	row_put_text(b, "account", account);
	row_put_text(b, "group", group);
	return 0;
}

void
groups_admin_all(const struct admin_call *call)
{
	admin_list(call, TABLE_groups, put_group_row);
}
