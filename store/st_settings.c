/* SPDX-License-Identifier: Apache-2.0 */
#include "store/st_settings.h"

#include <stdio.h>

#include "common/base/buf.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/utf8.h"
#include "store/change.h"
#include "store/store.h"

#define PATH_MAX_BYTES  128u
#define VALUE_MAX_BYTES 4096u

static void
send_override(struct store *s, struct slice path, struct slice value)
{
	CHAN_SEND(s->sup, OVERRIDE, setting, .path = path, .value = value);
}

static void
each(struct store *s, void (*fn)(struct store *s, struct slice path, struct slice value, void *arg), void *arg)
{
	struct cursor *c;
	int rc = cursor_open(s->env, NULL, TABLE_settings, &c);

	if (rc != 0)
		return;
	for (rc = cursor_seek(c, slice_of(NULL, 0)); rc == 0; rc = cursor_next(c)) {
		struct rec_setting r;
		int bad = rec_take_setting(cursor_value(c), &r);

		if (bad == 0)
			fn(s, cursor_key(c), r.value, arg);
		else
			rec_bad(TABLE_settings, cursor_key(c), bad);
	}
	cursor_close(c);
}

static void
send_one(struct store *s, struct slice path, struct slice value, void *arg)
{
	send_override(s, path, value);
}

void
settings_send_all(struct store *s)
{
	each(s, send_one, NULL);
	chan_send(s->sup, IPC_OVERRIDES_END);
}

/* ---- reset ---- */

struct settings_clear { struct buf paths; };

static void
remember(struct store *s, struct slice path, struct slice value, void *arg)
{
	struct settings_clear *c = arg;

	buf_put_le32_bytes(&c->paths, path);
}

struct settings_clear *
settings_clear_begin(struct store *s)
{
	struct settings_clear *c = mem_zalloc(sizeof *c);

	each(s, remember, c);
	return c;
}

void
settings_clear_end(struct store *s, struct settings_clear *c, bool cleared)
{
	struct slice left = buf_slice(&c->paths);
	struct slice path;

	while (cleared && slice_take_le32_bytes(&left, &path) == 0)
		CHAN_SEND(s->sup, OVERRIDE_GONE, name, .name = path);
	buf_fini(&c->paths);
	mem_free(c);
}

/* ---- commands ---- */

/* Needed before the store can say anything. */
static bool
is_fixed(const char *path)
{
	return strcmp(path, "user") == 0 || strcmp(path, "data_dir") == 0 || strcmp(path, "run_dir") == 0;
}

static int
check(const struct store *s, const char *path, const char *value, struct config_error *e)
{
	struct config scratch;
	int rc;

	if (is_fixed(path)) {
		snprintf(e->text, sizeof e->text, "%s can be set in the configuration file only", path);
		return FB_EINVAL;
	}
	config_init(&scratch);
	config_copy(&scratch, &s->config);
	rc = config_set(&scratch, path, value, CONFIG_FLAG, e);
	if (rc == 0)
		rc = config_check(&scratch, e);
	config_fini(&scratch);
	return rc;
}

static void
after_set(struct change *c)
{
	struct rec_setting r;

	if (c->op.code == 0 && rec_take_setting(c->value, &r) == 0)
		send_override(c->store, c->key, r.value);
	admin_after_change(c);
}

static int
text_of(struct slice s, char *out, size_t size)
{
	if (s.len >= size || (s.len > 0 && memchr(s.p, 0, s.len) != NULL))
		return FB_EINVAL;
	if (s.len > 0)
		memcpy(out, s.p, s.len);
	out[s.len] = '\0';
	return 0;
}

int
settings_check(const struct store *s, struct slice path, struct slice value, struct config_error *e)
{
	char p[PATH_MAX_BYTES], v[VALUE_MAX_BYTES];

	if (text_of(path, p, sizeof p) == 0 && text_of(value, v, sizeof v) == 0)
		return check(s, p, v, e);
	snprintf(e->text, sizeof e->text, "too long");
	return FB_EINVAL;
}

void
settings_tell(struct store *s, struct slice path, struct slice record)
{
	struct rec_setting r;

	if (rec_take_setting(record, &r) == 0)
		send_override(s, path, r.value);
}

void
settings_admin_set(const struct admin_call *call)
{
	char path[PATH_MAX_BYTES], value[VALUE_MAX_BYTES];
	struct config_error e = { "" };
	struct change *c;
	struct buf rec;
	int rc;

	if (call->argc != 2 || text_of(call->argv[0], path, sizeof path) != 0 ||
	    text_of(call->argv[1], value, sizeof value) != 0) {
		admin_done(call->store, call->id, FB_EINVAL, "a key and a value are wanted");
		return;
	}
	rc = check(call->store, path, value, &e);
	if (rc != 0) {
		admin_done(call->store, call->id, rc, e.text);
		return;
	}
	buf_init(&rec);
	rec_put_setting(&rec, &(struct rec_setting){ .value = slice_str(value) });
	c = change_new(call->store, TABLE_settings, slice_str(path), buf_slice(&rec), change_run_put);
	buf_fini(&rec);
	c->op.need = ENV_ADMIN;
	c->id = call->id;
	c->after = after_set;
	change_put(c);
}

static void
after_unset(struct change *c)
{
	if (c->op.code == 0)
		CHAN_SEND(c->store->sup, OVERRIDE_GONE, name, .name = c->key);
	admin_done(c->store, c->id, c->op.code, c->op.code == FB_ENOENT ? "not set at run time" : NULL);
}

void
settings_admin_unset(const struct admin_call *call)
{
	char path[PATH_MAX_BYTES];
	struct config_error e = { "" };
	struct change *c;

	if (call->argc != 1 || text_of(call->argv[0], path, sizeof path) != 0) {
		admin_done(call->store, call->id, FB_EINVAL, "a key is wanted");
		return;
	}
	/* A key that this version does not know may still be there from another one. */
	if (config_find(path, NULL) == CONFIG_KEY_COUNT && !table_has(call->store->env, TABLE_settings, call->argv[0])) {
		(void)check(call->store, path, "", &e);
		admin_done(call->store, call->id, FB_ENOENT, e.text);
		return;
	}
	c = change_new(call->store, TABLE_settings, call->argv[0], slice_of(NULL, 0), change_run_take);
	c->op.need = ENV_ADMIN;
	c->id = call->id;
	c->after = after_unset;
	change_put(c);
}
