/* SPDX-License-Identifier: Apache-2.0
 * common/config/yaml.c - libyaml's events to config_set(). Each mapping is one call deep; depth, path and size are
 * bounded, so a hostile file costs at most its 256 KiB. */
#include "common/config/yaml.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <yaml.h>

#include "common/base/err.h"
#include "common/base/mem.h"
#include "common/base/utf8.h"

#define DEPTH_MAX 8
#define PATH_MAX_BYTES 128
#define SECTIONS_MAX (2 * CONFIG_KEY_COUNT)

struct seen { char path[PATH_MAX_BYTES]; size_t line; };

struct reader {
	yaml_parser_t parser;
	struct config *c;
	const char *name;
	struct slice text;
	struct config_error *e;
	char path[PATH_MAX_BYTES];
	size_t key_line[CONFIG_KEY_COUNT];      /* 0: not seen */
	struct seen sections[SECTIONS_MAX];
	unsigned section_count;
};

/* line and column count from 0, as libyaml's do. */
static int __attribute__((format(printf, 5, 6)))
fail(struct reader *r, int code, size_t line, size_t column, const char *fmt, ...)
{
	va_list ap;
	int n = snprintf(r->e->text, sizeof r->e->text, "%s:%zu:%zu: ", r->name, line + 1, column + 1);

	if (n < 0 || (size_t)n >= sizeof r->e->text)
		return code;
	va_start(ap, fmt);
	vsnprintf(r->e->text + n, sizeof r->e->text - (size_t)n, fmt, ap);
	va_end(ap);
	return code;
}

static int
fail_at(struct reader *r, const yaml_event_t *ev, const char *what)
{
	return fail(r, FB_ESYNTAX, ev->start_mark.line, ev->start_mark.column, "%s%s%s", r->path,
	    r->path[0] != '\0' ? ": " : "", what);
}

/* The reader's errors come with an offset of bytes only. */
static int
fail_reader(struct reader *r)
{
	size_t line = 0, start = 0;

	for (size_t i = 0; i < r->parser.problem_offset && i < r->text.len; i++)
		if (r->text.p[i] == '\n') {
			line++;
			start = i + 1;
		}
	return fail(r, FB_ESYNTAX, line, r->parser.problem_offset - start, "not text in UTF-8: %s", r->parser.problem);
}

static int
next(struct reader *r, yaml_event_t *ev)
{
	const yaml_parser_t *p = &r->parser;

	if (yaml_parser_parse(&r->parser, ev))
		return 0;
	memset(ev, 0, sizeof *ev);
	if (p->error == YAML_READER_ERROR)
		return fail_reader(r);
	if (p->context == NULL)
		return fail(r, FB_ESYNTAX, p->problem_mark.line, p->problem_mark.column, "not YAML: %s",
		    p->problem != NULL ? p->problem : "not understood");
	return fail(r, FB_ESYNTAX, p->problem_mark.line, p->problem_mark.column,
	    "not YAML: %s, %s that starts in line %zu", p->problem, p->context, p->context_mark.line + 1);
}

/* Anchors and tags mean nothing here. */
static int
check_plain(struct reader *r, const yaml_event_t *ev)
{
	const yaml_char_t *anchor = NULL, *tag = NULL;

	if (ev->type == YAML_SCALAR_EVENT) {
		anchor = ev->data.scalar.anchor;
		tag = ev->data.scalar.tag;
	} else if (ev->type == YAML_MAPPING_START_EVENT) {
		anchor = ev->data.mapping_start.anchor;
		tag = ev->data.mapping_start.tag;
	} else if (ev->type == YAML_SEQUENCE_START_EVENT) {
		anchor = ev->data.sequence_start.anchor;
		tag = ev->data.sequence_start.tag;
	}
	if (anchor != NULL || ev->type == YAML_ALIAS_EVENT)
		return fail_at(r, ev, "anchors and aliases (&, *) are not used here; write the value, in quotes if it is text");
	if (tag != NULL)
		return fail_at(r, ev, "tags (!) are not used here; write the value, in quotes if it is text");
	return 0;
}

/* Makes the path of the key, which is in ev, below the first prefix bytes of r->path. */
static int
take_key(struct reader *r, const yaml_event_t *ev, size_t prefix)
{
	struct slice key;
	char shown[64];
	int err = check_plain(r, ev);

	r->path[prefix] = '\0';
	if (err != 0)
		return err;
	if (ev->type != YAML_SCALAR_EVENT)
		return fail_at(r, ev, "a key is one word, not a list or a section");
	key = slice_of(ev->data.scalar.value, ev->data.scalar.length);
	if (key.len == 0 || key.len + prefix + 2 > sizeof r->path || !utf8_clean(key))
		return fail(r, FB_ENOENT, ev->start_mark.line, ev->start_mark.column, "no such key: \"%s\"",
		    utf8_show(key, shown, sizeof shown));
	if (prefix > 0)
		r->path[prefix++] = '.';
	memcpy(r->path + prefix, key.p, key.len);
	r->path[prefix + key.len] = '\0';
	return 0;
}

static int
unknown(struct reader *r, const yaml_event_t *key)
{
	struct config_error why;

	config_unknown(r->path, &why);
	return fail(r, FB_ENOENT, key->start_mark.line, key->start_mark.column, "%s", why.text);
}

static int
take_section(struct reader *r, const yaml_event_t *key)
{
	struct seen *s;

	if (config_find(r->path, NULL) != CONFIG_KEY_COUNT)
		return fail_at(r, key, "takes one value, not a section");
	if (!config_is_section(r->path))
		return unknown(r, key);
	for (unsigned i = 0; i < r->section_count; i++)
		if (strcmp(r->sections[i].path, r->path) == 0)
			return fail(r, FB_ESYNTAX, key->start_mark.line, key->start_mark.column,
			    "%s: is there already, in line %zu", r->path, r->sections[i].line);
	FB_ASSERT(r->section_count < SECTIONS_MAX);
	s = &r->sections[r->section_count++];
	memcpy(s->path, r->path, sizeof s->path);
	s->line = key->start_mark.line + 1;
	return 0;
}

static bool
is_null(const yaml_event_t *ev)
{
	static const char *const words[] = { "", "~", "null", "Null", "NULL" };

	if (ev->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
		return false;
	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		if (strcmp((const char *)ev->data.scalar.value, words[i]) == 0)
			return true;
	return false;
}

static int
take_value(struct reader *r, const yaml_event_t *key, const yaml_event_t *ev)
{
	const char *value = (const char *)ev->data.scalar.value;
	enum config_key k = config_find(r->path, NULL);
	struct config_error why;
	int err;

	if (k == CONFIG_KEY_COUNT && is_null(ev) && config_is_section(r->path))
		return take_section(r, key);            /* all its keys are commented out */
	if (k == CONFIG_KEY_COUNT && config_is_section(r->path))
		return fail_at(r, ev, "is a section and takes no value; its keys go below it, indented");
	if (k == CONFIG_KEY_COUNT)
		return unknown(r, key);
	if (r->key_line[k] != 0)
		return fail(r, FB_ESYNTAX, key->start_mark.line, key->start_mark.column,
		    "%s: is there already, in line %zu", r->path, r->key_line[k]);
	r->key_line[k] = key->start_mark.line + 1;
	if (is_null(ev))
		return fail_at(r, key, "has no value; write one, or \"\" for an empty text");
	if (strlen(value) != ev->data.scalar.length)
		return fail_at(r, ev, "a NUL character in a value");
	err = config_set(r->c, r->path, value, CONFIG_FILE, &why);
	if (err != 0)
		return fail(r, err, ev->start_mark.line, ev->start_mark.column, "%s", why.text);
	return 0;
}

/* One entry of a list, alone first, so that it is the one that an error names. */
static int
take_entry(struct reader *r, const yaml_event_t *ev, char *joined, size_t size)
{
	const char *value = (const char *)ev->data.scalar.value;
	size_t used = strlen(joined);
	struct config_error why;
	int err = check_plain(r, ev);

	if (err != 0)
		return err;
	if (ev->type != YAML_SCALAR_EVENT || is_null(ev))
		return fail_at(r, ev, "an entry of the list is one text");
	if (strlen(value) != ev->data.scalar.length)
		return fail_at(r, ev, "a NUL character in a value");
	err = config_set(r->c, r->path, value, CONFIG_FILE, &why);
	if (err != 0)
		return fail(r, err, ev->start_mark.line, ev->start_mark.column, "%s", why.text);
	if ((size_t)snprintf(joined + used, size - used, "%s%s", used > 0 ? ", " : "", value) >= size - used)
		return fail_at(r, ev, "the list is longer than 1023 bytes");
	return 0;
}

static int
take_list(struct reader *r, const yaml_event_t *key, enum config_key k)
{
	char joined[CONFIG_VALUE_MAX] = "";
	struct config_error why;

	if (r->key_line[k] != 0)
		return fail(r, FB_ESYNTAX, key->start_mark.line, key->start_mark.column,
		    "%s: is there already, in line %zu", r->path, r->key_line[k]);
	r->key_line[k] = key->start_mark.line + 1;
	for (;;) {
		yaml_event_t ev;
		bool end;
		int err = next(r, &ev);

		if (err != 0)
			return err;
		end = ev.type == YAML_SEQUENCE_END_EVENT;
		if (!end)
			err = take_entry(r, &ev, joined, sizeof joined);
		yaml_event_delete(&ev);
		if (end)
			return config_set(r->c, r->path, joined, CONFIG_FILE, &why);
		if (err != 0)
			return err;
	}
}

static int take_map(struct reader *r, size_t prefix, unsigned depth);

/* What stands behind a key. */
static int
take_node(struct reader *r, const yaml_event_t *key, const yaml_event_t *ev, unsigned depth)
{
	enum config_key k = config_find(r->path, NULL);
	int err = check_plain(r, ev);

	if (err != 0)
		return err;
	if (ev->type == YAML_SCALAR_EVENT)
		return take_value(r, key, ev);
	if (ev->type == YAML_SEQUENCE_START_EVENT && k != CONFIG_KEY_COUNT && config_is_list(k))
		return take_list(r, key, k);
	if (ev->type == YAML_SEQUENCE_START_EVENT) {
		if (k == CONFIG_KEY_COUNT && !config_is_section(r->path))
			return unknown(r, key);
		return fail_at(r, ev, config_is_section(r->path) ? "is a section of keys, not a list" :
		    "takes one value, not a list");
	}
	if (depth >= DEPTH_MAX)
		return fail_at(r, ev, "nested too deep");
	err = take_section(r, key);
	return err != 0 ? err : take_map(r, strlen(r->path), depth + 1);
}

static int
take_map(struct reader *r, size_t prefix, unsigned depth)
{
	for (;;) {
		yaml_event_t key, ev;
		bool end;
		int err = next(r, &key);

		if (err != 0)
			return err;
		end = key.type == YAML_MAPPING_END_EVENT;
		if (!end)
			err = take_key(r, &key, prefix);
		if (!end && err == 0 && (err = next(r, &ev)) == 0) {
			err = take_node(r, &key, &ev, depth);
			yaml_event_delete(&ev);
		}
		yaml_event_delete(&key);
		if (end || err != 0)
			return err;
	}
}

static int
take_root(struct reader *r, const yaml_event_t *ev)
{
	int err = check_plain(r, ev);

	if (err != 0 || (ev->type == YAML_SCALAR_EVENT && is_null(ev)))
		return err;
	if (ev->type != YAML_MAPPING_START_EVENT)
		return fail_at(r, ev, "the file holds lines such as \"key: value\", not a list or a single value");
	return take_map(r, 0, 1);
}

/* STREAM-START, at most one DOCUMENT, STREAM-END. */
static int
take_stream(struct reader *r)
{
	unsigned documents = 0;

	for (;;) {
		yaml_event_t ev;
		yaml_event_type_t type;
		int err = next(r, &ev);

		if (err != 0)
			return err;
		type = ev.type;
		r->path[0] = '\0';
		if (type == YAML_DOCUMENT_START_EVENT && ++documents > 1)
			err = fail_at(r, &ev, "a second document (---); the file holds one");
		else if (type != YAML_STREAM_START_EVENT && type != YAML_DOCUMENT_START_EVENT &&
		    type != YAML_DOCUMENT_END_EVENT && type != YAML_STREAM_END_EVENT)
			err = take_root(r, &ev);
		yaml_event_delete(&ev);
		if (err != 0 || type == YAML_STREAM_END_EVENT)
			return err;
	}
}

/* libyaml's own words for a tab help nobody. */
static int
find_tab(struct reader *r)
{
	size_t line = 0, start = 0;
	bool indent = true;

	for (size_t i = 0; i < r->text.len; i++) {
		uint8_t b = r->text.p[i];

		if (b == '\n') {
			line++;
			start = i + 1;
			indent = true;
		} else if (b == '\t' && indent) {
			return fail(r, FB_ESYNTAX, line, i - start, "a tab in the indentation; use spaces");
		} else if (b != ' ') {
			indent = false;
		}
	}
	return 0;
}

int
config_load_text(struct config *c, const char *name, struct slice text, struct config_error *e)
{
	struct reader *r;
	struct config made;
	int err;

	if (text.len > YAML_FILE_MAX) {
		snprintf(e->text, sizeof e->text, "%s: larger than %d KiB", name, YAML_FILE_MAX / 1024);
		return FB_ETOOBIG;
	}
	r = mem_zalloc(sizeof *r);
	r->name = name;
	r->text = text;
	r->e = e;
	r->c = &made;
	FB_ASSERT(yaml_parser_initialize(&r->parser) == 1);
	yaml_parser_set_encoding(&r->parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r->parser, text.len > 0 ? text.p : (const uint8_t *)"", text.len);
	config_init(&made);
	config_copy(&made, c);
	err = find_tab(r);
	if (err == 0)
		err = take_stream(r);
	if (err == 0)
		config_copy(c, &made);
	config_fini(&made);
	yaml_parser_delete(&r->parser);
	mem_free(r);
	return err;
}

static int
from_errno(const char *path, struct config_error *e)
{
	int no = errno;

	snprintf(e->text, sizeof e->text, "%s: %s", path, strerror(no));
	return no == ENOENT || no == ENOTDIR ? FB_ENOENT : no == EACCES || no == EPERM ? FB_EPERM : FB_EIO;
}

int
config_load_file(struct config *c, const char *path, struct config_error *e)
{
	FILE *f = fopen(path, "re");
	char *bytes;
	size_t n;
	int err = 0;

	if (f == NULL)
		return from_errno(path, e);
	bytes = mem_alloc(YAML_FILE_MAX + 1);
	errno = 0;
	n = fread(bytes, 1, YAML_FILE_MAX + 1, f);
	if (ferror(f))
		err = from_errno(path, e);
	fclose(f);
	if (err == 0)
		err = config_load_text(c, path, slice_of(bytes, n), e);
	mem_free(bytes);
	return err;
}
