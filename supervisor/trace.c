/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/trace.h"

#include <stdio.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/utf8.h"
#include "common/ipc/codec.h"
#include "common/mqtt/topic.h"
#include "supervisor/admin.h"

#define NAME_BYTES_MAX 4096

static void on_log(void *arg, const char *line, size_t len);

void
trace_init(struct node *n)
{
	n->logs.tap = on_log;
	n->logs.tap_arg = n;
}

void
trace_fini(struct node *n)
{
	struct trace_list *l = &n->traces;

	n->logs.tap = NULL;
	for (size_t i = 0; i < l->count; i++)
		mem_free(l->at[i].name);
	mem_free(l->at);
	*l = (struct trace_list){ 0 };
}

static void
tell(struct proc *w, bool is_topic, const char *name, bool on)
{
	CHAN_SEND(w->chan, TRACE, trace, .kind = is_topic ? IPC_TRACE_TOPIC : IPC_TRACE_CLIENT, .on = on,
	    .name = slice_str(name));
}

void
trace_tell(const struct node *n, struct proc *w)
{
	for (size_t i = 0; i < n->traces.count; i++)
		tell(w, n->traces.at[i].is_topic, n->traces.at[i].name, true);
}

static const char *
why_not(bool is_topic, const char *name)
{
	struct slice s = slice_str(name);

	if (s.len == 0 || s.len > NAME_BYTES_MAX || !utf8_clean(s))
		return "a name is 1 to 4096 bytes of UTF-8 without control characters";
	if (is_topic && !topic_filter_valid(s))
		return "not a topic or topic filter";
	return NULL;
}

/* True: it was not so before. */
static bool
put(struct trace_list *l, bool is_topic, const char *name, bool on)
{
	size_t i = 0;

	while (i < l->count && (l->at[i].is_topic != is_topic || strcmp(l->at[i].name, name) != 0))
		i++;
	if (on == (i < l->count))
		return false;
	if (on) {
		l->at = mem_realloc(l->at, (l->count + 1) * sizeof *l->at);
		l->at[l->count++] = (struct trace_entry){ .is_topic = is_topic, .name = mem_strdup(name) };
		return true;
	}
	mem_free(l->at[i].name);
	l->count--;
	memmove(l->at + i, l->at + i + 1, (l->count - i) * sizeof *l->at);
	return true;
}

static void
set(struct admin_call *c, bool is_topic)
{
	struct node *n = c->node;
	const char *name = c->arg[0], *why = why_not(is_topic, name);
	bool on = strcmp(c->arg[1], "on") == 0;
	enum log_level level = LOG_NOTICE;
	char text[128] = "";

	if (why == NULL && !on && strcmp(c->arg[1], "off") != 0)
		why = "tracing is on or off";
	if (why == NULL && on && n->traces.count >= TRACE_MAX)
		why = "too much is traced already";
	if (why != NULL) {
		admin_finish(c, FB_EINVAL, why);
		return;
	}
	if (put(&n->traces, is_topic, name, on)) {
		EACH_WORKER(w, n)
			if (proc_alive(w))
				tell(w, is_topic, name, on);
	} else if (!on) {
		admin_finish(c, FB_ENOENT, "that is not traced");
		return;
	}
	(void)log_level_parse(n->reload.running.log_level, &level);
	if (on && level < LOG_NOTICE)
		snprintf(text, sizeof text, "log.level is %s: no line is written unless it is notice, info or debug",
		    n->reload.running.log_level);
	admin_finish(c, 0, text);
}

void
trace_client(struct admin_call *c)
{
	set(c, false);
}

void
trace_topic(struct admin_call *c)
{
	set(c, true);
}

void
trace_list(struct admin_call *c)
{
	const struct trace_list *l = &c->node->traces;

	for (size_t i = 0; i < l->count; i++) {
		struct buf *b = admin_row(c);

		row_put_str(b, "kind", l->at[i].is_topic ? "topic" : "client");
		row_put_str(b, "name", l->at[i].name);
		admin_row_end(c);
	}
	admin_finish(c, 0, NULL);
}

/* ---- watching ---- */

void
trace_watch(struct admin_call *c)
{
	c->node->traces.watchers++;
	c->stream = true;
}

void
trace_watch_end(struct admin_call *c)
{
	c->node->traces.watchers--;
}

/* "2024-01-31T12:00:00.000Z notice worker 0 TRACE: from ...": the module stands before anything that a client can
 * choose. */
static bool
is_trace(const char *line, size_t len)
{
	static const char who[] = "Z notice worker ";
	const char *at = memchr(line, 'Z', len < 32 ? len : 32);
	const char *end = line + len;

	if (at == NULL || (size_t)(end - at) < sizeof who + 8 || memcmp(at, who, sizeof who - 1) != 0)
		return false;
	for (at += sizeof who - 1; at < end && *at >= '0' && *at <= '9';)
		at++;
	return (size_t)(end - at) > 8 && memcmp(at, " TRACE: ", 8) == 0;
}

static void
on_log(void *arg, const char *line, size_t len)
{
	struct node *n = arg;

	if (n->traces.watchers == 0 || n->admin == NULL || !is_trace(line, len))
		return;
	if (line[len - 1] == '\n')
		len--;
	LIST_EACH(pos, admin_calls(n->admin)) {
		struct admin_call *c = container_of(pos, struct admin_call, link);

		if (c->stream) {
			row_put_text(admin_row(c), "line", slice_of(line, len));
			admin_row_end(c);
		}
	}
}
