/* SPDX-License-Identifier: Apache-2.0
 *
 * A command that children answer: it goes to the store or to all workers that serve, their rows are passed on as they
 * come (or added up), and it is done when the last one has answered, died, or let its time run out. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/utf8.h"
#include "common/ipc/codec.h"
#include "supervisor/admin.h"

#define ANSWER_NS (5 * NS_PER_SEC)
#define LONG_NS   (60 * NS_PER_SEC)     /* of what takes its time: from the last row on */

/* A row of several workers under one name: their numbers are added up. */
struct merged {
	struct hmap_node node;
	char *name;
	size_t name_len;
	int64_t count;
};

/* Which rows are added up: those with the same text; NULL: none are. */
static const char *
merged_text(enum admin_command c)
{
	return c == ADMIN_topic_list ? "filter" : c == ADMIN_account_clients ? "account" : NULL;
}

static const char *
merged_number(enum admin_command c)
{
	return c == ADMIN_topic_list ? "subscriptions" : "clients";
}

/* Lists of one kind need no table name. */
static bool
is_plain(enum admin_command c)
{
	return c == ADMIN_session_list || c == ADMIN_session_kick || merged_text(c) != NULL;
}

/* Not before a child counts as hung; fubar-admin itself waits for a minute. */
static int64_t
answer_ns(const struct node *n)
{
	int64_t silence = n->reload.running.silence * NS_PER_SEC;

	return silence < ANSWER_NS ? ANSWER_NS : silence < LONG_NS / 2 ? silence : LONG_NS / 2;
}

static bool
is_long(enum admin_command c)
{
	return c == ADMIN_reset || c == ADMIN_backup || c == ADMIN_store_check || c == ADMIN_store_export ||
	    c == ADMIN_store_import;
}

/* state is shown also if a child is missing. */
static bool
is_lenient(enum admin_command c)
{
	return c == ADMIN_state;
}

static void
merge(struct admin_call *c, struct slice name, int64_t count)
{
	uint64_t h = rand_hash(name.p, name.len);
	struct hmap_node *n;
	struct merged *m;

	for (n = hmap_first(&c->merged, h); n != NULL; n = hmap_next(n, h)) {
		m = container_of(n, struct merged, node);
		if (m->name_len == name.len && memcmp(m->name, name.p, name.len) == 0) {
			m->count += count;
			return;
		}
	}
	m = mem_zalloc(sizeof *m);
	m->name = mem_dup(name.p, name.len);
	m->name_len = name.len;
	m->count = count;
	hmap_put(&c->merged, &m->node, h);
}

void
admin_fan_free(struct admin_call *c)
{
	struct hmap_iter it = { 0 };
	struct hmap_node *n;

	while ((n = hmap_each(&c->merged, &it)) != NULL) {
		struct merged *m = container_of(n, struct merged, node);

		hmap_del(&c->merged, n);
		mem_free(m->name);
		mem_free(m);
	}
	hmap_fini(&c->merged);
}

/* The greatest first, else by name. */
static int
by_count(const void *a, const void *b)
{
	const struct merged *x = *(const struct merged *const *)a, *y = *(const struct merged *const *)b;

	if (x->count != y->count)
		return x->count < y->count ? 1 : -1;
	return strcmp(x->name, y->name);
}

static void
put_merged(struct admin_call *c)
{
	const struct merged **list = mem_alloc((c->merged.count + 1) * sizeof *list);
	struct hmap_iter it = { 0 };
	struct hmap_node *n;
	size_t count = 0;

	while ((n = hmap_each(&c->merged, &it)) != NULL)
		list[count++] = container_of(n, struct merged, node);
	qsort(list, count, sizeof list[0], by_count);
	for (size_t i = 0; i < count; i++) {
		struct buf *b = admin_row(c);

		row_put_text(b, merged_text(c->command), slice_of(list[i]->name, list[i]->name_len));
		row_put_number(b, merged_number(c->command), list[i]->count);
		admin_row_end(c);
	}
	mem_free(list);
}

static void
settle(struct admin_call *c)
{
	if (c->store || c->workers != 0)
		return;
	put_merged(c);
	if (c->code == 0 && c->rows == 0 && (c->command == ADMIN_session_show || c->command == ADMIN_session_kick)) {
		char id[200];

		snprintf(c->text, sizeof c->text, "no session of client %s",
		    utf8_show(slice_str(c->args > 0 ? c->arg[0] : ""), id, sizeof id));
		c->code = FB_ENOENT;
	}
	admin_finish(c, c->code, c->text[0] != '\0' ? c->text : NULL);
}

/* The first thing that went wrong is what people are told. */
static void
note(struct admin_call *c, int code, const char *text)
{
	if (c->code != 0 || (code == 0 && c->text[0] != '\0'))
		return;
	c->code = code;
	snprintf(c->text, sizeof c->text, "%s", text);
}

static void
missing(struct admin_call *c, const struct proc *p, int code, const char *why)
{
	char text[128];

	if (p->role == IPC_STORE)
		snprintf(text, sizeof text, "the store %s", c->told ? "does not follow yet, but it is done" : why);
	else if (c->told)
		snprintf(text, sizeof text, "done, but worker %u does not follow yet", p->slot);
	else
		snprintf(text, sizeof text, "worker %u %s; its part is missing", p->slot, why);
	if (c->told || is_lenient(c->command))
		code = 0;
	note(c, code, text);
}

static void
answered(struct admin_call *c, const struct proc *p)
{
	if (p->role == IPC_STORE)
		c->store = false;
	else
		c->workers &= ~(UINT64_C(1) << p->slot);
}

static bool
is_awaited(const struct admin_call *c, const struct proc *p)
{
	return p->role == IPC_STORE ? c->store : (c->workers >> p->slot & 1) != 0;
}

static void
on_limit(struct timer *t)
{
	struct admin_call *c = container_of(t, struct admin_call, limit);

	EACH_PROC(p, c->node) {
		if (!is_awaited(c, p))
			continue;
		missing(c, p, FB_ETIMEOUT, "did not answer in time");
		answered(c, p);
	}
	settle(c);
}

static void
await(struct admin_call *c, const struct proc *p)
{
	if (p->role == IPC_STORE)
		c->store = true;
	else
		c->workers |= UINT64_C(1) << p->slot;
}

static void
ask(struct admin_call *c, struct proc *p)
{
	struct buf *b = chan_begin(p->chan, IPC_ADMIN);

	buf_put_le64(b, c->id);
	buf_put_u8(b, ADMIN_READ | ADMIN_WRITE);
	buf_put_le16(b, (uint16_t)c->command);
	for (size_t i = 0; i < c->args; i++)
		buf_put_le32_bytes(b, slice_of(c->arg[i], c->arg_len[i]));
	chan_end(p->chan);
	await(c, p);
}

void
admin_fan_out(struct admin_call *c)
{
	struct node *n = c->node;
	enum admin_by by = admin_info(c->command)->by;

	timer_init(&c->limit, on_limit);
	EACH_PROC(p, n) {
		if ((by == ADMIN_BY_STORE && p->role != IPC_STORE) || (by == ADMIN_BY_WORKERS && p->role != IPC_WORKER))
			continue;
		/* The store answers when it has recovered; a worker that loads has nothing to say yet. */
		if (proc_alive(p) && (p->role == IPC_STORE || p->state == PROC_READY))
			ask(c, p);
		else
			missing(c, p, FB_EAGAIN, "is not running now");
	}
	loop_timer_in(n->loop, &c->limit, is_long(c->command) ? LONG_NS : answer_ns(n));
	settle(c);
}

void
admin_fan_follow(struct admin_call *c, const char *text)
{
	struct node *n = c->node;

	c->told = true;
	note(c, 0, text != NULL ? text : "");
	loop_timer_cancel(n->loop, &c->limit);
	timer_init(&c->limit, on_limit);
	/* One that is not ready yet serves nobody, and will be told everything. */
	EACH_PROC(p, n) {
		if (!proc_alive(p) || p->state != PROC_READY)
			continue;
		CHAN_SEND(p->chan, ADMIN_FOLLOW, admin_follow, .id = c->id);
		await(c, p);
	}
	loop_timer_in(n->loop, &c->limit, answer_ns(n));
	settle(c);
}

static void
pass_on(struct admin_call *c, struct slice fields)
{
	struct buf *b = admin_row(c);
	struct row_field f;
	uint64_t bits;
	int err;

	while ((err = row_next(&fields, &f)) == 0) {
		if (is_plain(c->command) && slice_eq(f.name, SLICE_LIT("_table")))
			continue;
		buf_put_u8(b, (uint8_t)f.type);
		buf_put_le32_bytes(b, f.name);
		switch (f.type) {
		case ROW_TEXT:
			buf_put_le32_bytes(b, f.text);
			break;
		case ROW_BOOL:
			buf_put_u8(b, f.number != 0);
			break;
		case ROW_NUMBER:
			buf_put_le64(b, (uint64_t)f.number);
			break;
		case ROW_REAL:
			memcpy(&bits, &f.real, sizeof bits);
			buf_put_le64(b, bits);
			break;
		}
	}
	if (err == FB_ENOENT)
		admin_row_end(c);
	else
		log_error("admin", "row of a child is malformed", "command=\"%s\"", admin_info(c->command)->words);
}

static void
add_up(struct admin_call *c, struct slice fields)
{
	struct slice name = { 0 };
	struct row_field f;
	int64_t count = 0;

	while (row_next(&fields, &f) == 0) {
		if (f.type == ROW_TEXT && slice_eq(f.name, slice_str(merged_text(c->command))))
			name = f.text;
		else if (f.type == ROW_NUMBER && slice_eq(f.name, slice_str(merged_number(c->command))))
			count = f.number;
	}
	merge(c, name, count);
}

void
admin_on_row(struct admin *a, const struct proc *p, struct slice payload)
{
	struct ipc_admin_row r;
	struct admin_call *c;

	if (a == NULL || ipc_take_admin_row(payload, &r) != 0)
		return;
	c = admin_call_by_id(a, r.id);
	if (c == NULL || !is_awaited(c, p))
		return;                         /* too late */
	if (is_long(c->command))
		loop_timer_in(c->node->loop, &c->limit, LONG_NS);
	if (merged_text(c->command) != NULL)
		add_up(c, r.fields);
	else
		pass_on(c, r.fields);
}

void
admin_on_done(struct admin *a, const struct proc *p, struct slice payload)
{
	struct ipc_admin_done d;
	struct admin_call *c;
	char text[CONFIG_ERROR_MAX];

	if (a == NULL || ipc_take_admin_done(payload, &d) != 0)
		return;
	c = admin_call_by_id(a, d.id);
	if (c == NULL || !is_awaited(c, p))
		return;
	snprintf(text, sizeof text, "%.*s", (int)(d.text.len < sizeof text ? d.text.len : sizeof text - 1), (const char *)d.text.p);
	note(c, -(int)d.code, text);
	answered(c, p);
	settle(c);
}

void
admin_on_death(struct admin *a, const struct proc *p)
{
	if (a == NULL)
		return;
	LIST_EACH_SAFE(pos, tmp, admin_calls(a)) {
		struct admin_call *c = container_of(pos, struct admin_call, link);

		if (!is_awaited(c, p))
			continue;
		if (!c->told)
			missing(c, p, FB_ECLOSED, "died before it answered");
		answered(c, p);
		settle(c);
	}
}
