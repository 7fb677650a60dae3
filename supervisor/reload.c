/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/reload.h"

#include <stdio.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/config/yaml.h"
#include "common/ipc/codec.h"
#include "supervisor/certs.h"
#include "supervisor/logs.h"

struct override {
	struct list link;
	char *path;
	char *value;
};

static void
override_free(struct override *o)
{
	list_del(&o->link);
	mem_free(o->path);
	mem_free(o->value);
	mem_free(o);
}

static void
overrides_clear(struct list *head)
{
	while (!list_empty(head))
		override_free(container_of(head->next, struct override, link));
}

static void
override_del(struct list *head, struct slice path)
{
	LIST_EACH_SAFE(pos, tmp, head) {
		struct override *o = container_of(pos, struct override, link);

		if (slice_eq(slice_str(o->path), path))
			override_free(o);
	}
}

static void
override_put(struct list *head, struct slice path, struct slice value)
{
	struct override *o;

	override_del(head, path);
	o = mem_zalloc(sizeof *o);
	o->path = mem_dup(path.p, path.len);
	o->value = mem_dup(value.p, value.len);
	list_put_last(head, &o->link);
}

static int
set_flags(struct config *c, const struct options *o, struct config_error *e)
{
	int err = 0;

	for (size_t i = 0; i < o->set_count && err == 0; i++)
		err = config_set(c, o->set[i].path, o->set[i].value, CONFIG_FLAG, e);
	return err;
}

static bool
needs_restart(const char *path)
{
	enum config_key k = config_find(path, NULL);

	return k < CONFIG_KEY_COUNT && config_info(k)->when == CONFIG_RESTART;
}

/* *c (initialised here, the caller's to fini also on failure): file, then overrides, then flags, checked. */
static int
compute(const struct reload *r, const struct config *file, struct config *c, struct config_error *e)
{
	struct config_error why;
	int err;

	config_init(c);
	config_copy(c, file);
	LIST_EACH(pos, &r->overrides) {
		const struct override *o = container_of(pos, struct override, link);

		/* One that an older version took must not keep this one from starting. */
		if (needs_restart(o->path))
			log_warn("reload", "override ignored", "key=%s why=\"is read at start alone\"", o->path);
		else if (config_set(c, o->path, o->value, CONFIG_OVERRIDE, &why) != 0)
			log_warn("reload", "override ignored", "why=\"%s\"", why.text);
	}
	err = set_flags(c, r->options, e);
	return err != 0 ? err : config_check(c, e);
}

/* running becomes wanted, but for keys that need a restart. */
static void
advance(struct reload *r)
{
	struct config fresh;
	struct config_error e;
	char text[CONFIG_VALUE_MAX];

	config_init(&fresh);
	config_copy(&fresh, &r->wanted);
	for (enum config_key k = 0; k < CONFIG_KEY_COUNT; k++)
		if (config_info(k)->when == CONFIG_RESTART && !config_equal(&fresh, &r->running, k))
			FB_ASSERT(config_set(&fresh, config_info(k)->path, config_get(&r->running, k, text, sizeof text),
			    CONFIG_FLAG, &e) == 0);
	config_copy(&r->running, &fresh);
	config_fini(&fresh);
}

static int
load(struct config *c, const struct options *o, struct config_error *e)
{
	config_init(c);
	return o->file == NULL ? 0 : config_load_file(c, o->file, e);
}

int
reload_init(struct reload *r, const struct options *o, struct config_error *e)
{
	int err;

	*r = (struct reload){ .options = o };
	list_init(&r->overrides);
	list_init(&r->incoming);
	config_init(&r->running);
	err = load(&r->file, o, e);
	if (err != 0) {
		config_init(&r->wanted);
		return err;
	}
	err = compute(r, &r->file, &r->wanted, e);
	if (err == 0)
		config_copy(&r->running, &r->wanted);
	return err;
}

void
reload_fini(struct reload *r)
{
	overrides_clear(&r->overrides);
	overrides_clear(&r->incoming);
	config_fini(&r->file);
	config_fini(&r->wanted);
	config_fini(&r->running);
}

int
reload_file(struct reload *r, struct config_error *e)
{
	struct config file;
	struct config wanted;
	int err = load(&file, r->options, e);

	if (err == 0) {
		err = compute(r, &file, &wanted, e);
		if (err == 0)
			err = logs_check(&wanted, e);
		if (err == 0)
			err = certs_check(&wanted, e);
		if (err == 0) {
			config_copy(&r->file, &file);
			config_copy(&r->wanted, &wanted);
			advance(r);
		}
		config_fini(&wanted);
	}
	config_fini(&file);
	return err;
}

static bool
recompute(struct reload *r)
{
	struct config wanted;
	struct config_error e;
	bool ok = compute(r, &r->file, &wanted, &e) == 0;

	if (ok) {
		config_copy(&r->wanted, &wanted);
		advance(r);
	} else {
		log_error("reload", "overrides do not go with the file", "why=\"%s\"", e.text);
	}
	config_fini(&wanted);
	return ok;
}

void
reload_overrides_begin(struct reload *r)
{
	overrides_clear(&r->incoming);
	r->collecting = true;
}

bool
reload_override(struct reload *r, struct slice path, struct slice value)
{
	override_put(r->collecting ? &r->incoming : &r->overrides, path, value);
	return !r->collecting && recompute(r);
}

bool
reload_override_gone(struct reload *r, struct slice path)
{
	override_del(r->collecting ? &r->incoming : &r->overrides, path);
	return !r->collecting && recompute(r);
}

bool
reload_overrides_end(struct reload *r)
{
	if (!r->collecting)
		return false;
	r->collecting = false;
	overrides_clear(&r->overrides);
	list_move_all(&r->overrides, &r->incoming);
	return recompute(r);
}

int
reload_may_set(const struct reload *r, const char *path, const char *value, struct config_error *e)
{
	enum config_key k = config_find(path, NULL);
	struct config c;
	int err;

	if (k == CONFIG_KEY_COUNT) {
		config_unknown(path, e);
		return FB_ENOENT;
	}
	if (value == NULL)
		return 0;
	if (config_info(k)->when == CONFIG_RESTART) {
		snprintf(e->text, sizeof e->text, "%s is read at start alone: set it in the configuration file, then restart", path);
		return FB_EUNSUP;
	}
	if (r->wanted.source[k] == CONFIG_FLAG) {
		snprintf(e->text, sizeof e->text, "%s was given as a flag of fubard, which wins over a run-time change", path);
		return FB_ECONFLICT;
	}
	config_init(&c);
	config_copy(&c, &r->wanted);
	err = config_set(&c, path, value, CONFIG_OVERRIDE, e);
	if (err == 0)
		err = certs_may_set(&c, path, e);
	if (err == 0)
		err = config_check(&c, e);
	if (err == 0)
		err = logs_check(&c, e);
	if (err == 0 && strncmp(path, "listeners.", 10) == 0)
		err = certs_check(&c, e);
	config_fini(&c);
	return err;
}

bool
reload_send(const struct reload *r, const struct config *before, struct chan *to)
{
	char text[CONFIG_VALUE_MAX];
	bool any = before == NULL;

	for (enum config_key k = 0; k < CONFIG_KEY_COUNT; k++) {
		if (before != NULL && config_equal(&r->running, before, k))
			continue;
		any = true;
		CHAN_SEND(to, SETTING, setting, .path = slice_str(config_info(k)->path),
		    .value = slice_str(config_get(&r->running, k, text, sizeof text)));
	}
	if (any)
		chan_send(to, IPC_SETTINGS_END);
	return any;
}

bool
reload_waits(const struct reload *r, enum config_key k)
{
	return !config_equal(&r->running, &r->wanted, k);
}

const char *
reload_waiting(const struct reload *r, char *out, size_t size)
{
	size_t n = 0;

	out[0] = '\0';
	for (enum config_key k = 0; k < CONFIG_KEY_COUNT; k++)
		if (reload_waits(r, k) && n < size)
			n += (size_t)snprintf(out + n, size - n, "%s%s", n == 0 ? "" : ", ", config_info(k)->path);
	return out;
}

const char *
reload_source(const struct config *c, enum config_key k)
{
	switch ((enum config_source)c->source[k]) {
	case CONFIG_DEFAULT:
		return "default";
	case CONFIG_FILE:
		return "file";
	case CONFIG_OVERRIDE:
		return "override";
	case CONFIG_FLAG:
		return "flag";
	}
	return "?";
}
