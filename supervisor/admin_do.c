/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "common/base/err.h"
#include "supervisor/admin.h"
#include "supervisor/restore.h"
#include "supervisor/stats.h"

/* --- settings ---------------------------------------------------------------------------------------------------- */

static const char *
when_text(enum config_when when)
{
	switch (when) {
	case CONFIG_RELOAD:
		return "at once";
	case CONFIG_CONNECT:
		return "for new connections";
	case CONFIG_RESTART:
		return "after a restart";
	}
	return "?";
}

static void
put_setting(struct admin_call *c, enum config_key k)
{
	const struct reload *r = &c->node->reload;
	char value[CONFIG_VALUE_MAX];
	struct buf *b = admin_row(c);

	row_put_str(b, "key", config_info(k)->path);
	row_put_str(b, "value", config_get(&r->running, k, value, sizeof value));
	row_put_str(b, "source", reload_source(&r->wanted, k));
	row_put_str(b, "changes", when_text(config_info(k)->when));
	if (reload_waits(r, k))
		row_put_str(b, "after_restart", config_get(&r->wanted, k, value, sizeof value));
	admin_row_end(c);
}

/* A prefix is some characters of keys, "mqtt" or "session.max". */
static void
settings_list(struct admin_call *c)
{
	const char *prefix = c->args > 0 ? c->arg[0] : "";
	struct config_error e;

	for (enum config_key k = 0; k < CONFIG_KEY_COUNT; k++)
		if (strncmp(config_info(k)->path, prefix, strlen(prefix)) == 0)
			put_setting(c, k);
	if (c->rows > 0) {
		admin_finish(c, 0, NULL);
		return;
	}
	config_unknown(prefix, &e);
	admin_finish(c, FB_ENOENT, e.text);
}

/* The key that was named; CONFIG_KEY_COUNT: the call is finished. */
static enum config_key
named(struct admin_call *c)
{
	enum config_key k = config_find(c->arg[0], NULL);
	struct config_error e;

	if (k == CONFIG_KEY_COUNT) {
		config_unknown(c->arg[0], &e);
		admin_finish(c, FB_ENOENT, e.text);
	}
	return k;
}

static void
settings_get(struct admin_call *c)
{
	enum config_key k = named(c);
	char value[CONFIG_VALUE_MAX];
	struct buf *b;

	if (k == CONFIG_KEY_COUNT)
		return;
	b = admin_row(c);
	row_put_str(b, "key", config_info(k)->path);
	row_put_str(b, "value", config_get(&c->node->reload.running, k, value, sizeof value));
	admin_row_end(c);
	admin_finish(c, 0, NULL);
}

static void
settings_explain(struct admin_call *c)
{
	const struct reload *r = &c->node->reload;
	enum config_key k = named(c);
	const struct config_info *info;
	char value[CONFIG_VALUE_MAX];
	struct buf *b;

	if (k == CONFIG_KEY_COUNT)
		return;
	info = config_info(k);
	b = admin_row(c);
	row_put_str(b, "key", info->path);
	row_put_str(b, "help", info->help);
	row_put_str(b, "value", config_get(&r->running, k, value, sizeof value));
	row_put_str(b, "source", reload_source(&r->wanted, k));
	if (reload_waits(r, k))
		row_put_str(b, "after_restart", config_get(&r->wanted, k, value, sizeof value));
	if (r->wanted.source[k] > CONFIG_FILE)
		row_put_str(b, "in_file_or_default", config_get(&r->file, k, value, sizeof value));
	row_put_str(b, "default", info->def);
	config_valid(k, value, sizeof value);
	row_put_str(b, "takes", value);
	row_put_str(b, "changes", when_text(info->when));
	admin_row_end(c);
	admin_finish(c, 0, NULL);
}

/* The store keeps it, but only the supervisor knows whether it goes with everything else. */
static bool
settings_check(struct admin_call *c)
{
	struct config_error e;
	int err = reload_may_set(&c->node->reload, c->arg[0], c->args > 1 ? c->arg[1] : NULL, &e);

	if (err == 0)
		return false;
	admin_finish(c, err, e.text);
	return true;
}

/* --- the rest ---------------------------------------------------------------------------------------------------- */

static void
reload(struct admin_call *c)
{
	struct config_error e;
	int err = proctab_reload(c->node, &e);

	admin_finish(c, err, e.text);
}

static void
stop(struct admin_call *c)
{
	struct node *n = c->node;
	bool already = n->state == NODE_STOPPING;

	admin_finish(c, 0, already ? "the node is stopping already" : "the node is stopping");
	if (!already)
		proctab_stop(n, "fubar-admin stop");
}

bool
admin_do(struct admin_call *c)
{
	switch (c->command) {
	case ADMIN_stop:
		stop(c);
		return true;
	case ADMIN_reload:
		reload(c);
		return true;
	case ADMIN_settings_list:
		settings_list(c);
		return true;
	case ADMIN_settings_get:
		settings_get(c);
		return true;
	case ADMIN_settings_explain:
		settings_explain(c);
		return true;
	case ADMIN_settings_set:
	case ADMIN_settings_unset:
		return settings_check(c);
	case ADMIN_trace_client:
		trace_client(c);
		return true;
	case ADMIN_trace_topic:
		trace_topic(c);
		return true;
	case ADMIN_trace_list:
		trace_list(c);
		return true;
	case ADMIN_trace_watch:
		trace_watch(c);
		return true;
	case ADMIN_stats:
		stats_all(c);
		admin_finish(c, 0, NULL);
		return true;
	case ADMIN_restore:
		restore_admin(c);
		return true;
	case ADMIN_state:
		stats_state(c);                 /* the children add what only they know */
		return false;
	case ADMIN_reset:
	case ADMIN_backup:
	case ADMIN_store_check:
	case ADMIN_store_export:
	case ADMIN_store_import:
	case ADMIN_account_set:
	case ADMIN_account_get:
	case ADMIN_account_del:
	case ADMIN_account_all:
	case ADMIN_acl_set:
	case ADMIN_acl_get:
	case ADMIN_acl_del:
	case ADMIN_acl_all:
	case ADMIN_right_set:
	case ADMIN_right_del:
	case ADMIN_right_all:
	case ADMIN_right_check:
	case ADMIN_group_add:
	case ADMIN_group_del:
	case ADMIN_group_all:
	case ADMIN_session_list:
	case ADMIN_session_show:
	case ADMIN_session_kick:
	case ADMIN_topic_list:
	case ADMIN_account_clients:
	case ADMIN_COMMAND_COUNT:
		break;
	}
	return false;
}
