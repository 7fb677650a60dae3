/* SPDX-License-Identifier: Apache-2.0
 * supervisor/fubar_admin_lines.c - records as lines of JSON: an object each, with the row's fields as members. JSON has
 * no bytes, so the members that hold some are in base64. */
#include <jansson.h>
#include <string.h>

#include "common/admin/row.h"
#include "common/base/mem.h"
#include "common/base/utf8.h"
#include "supervisor/fubar_admin.h"

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static bool
is_binary(struct slice name)
{
	return slice_eq(name, SLICE_LIT("payload")) || slice_eq(name, SLICE_LIT("properties")) ||
	    slice_eq(name, SLICE_LIT("secret"));
}

/* ---- base64: RFC 4648, with padding ---- */

static json_t *
encoded(struct slice s)
{
	char *out = mem_alloc((s.len + 2) / 3 * 4 + 1), *p = out;
	json_t *j;

	for (size_t i = 0; i < s.len; i += 3) {
		size_t n = s.len - i < 3 ? s.len - i : 3;
		unsigned v = (unsigned)s.p[i] << 16 | (n > 1 ? (unsigned)s.p[i + 1] << 8 : 0) | (n > 2 ? s.p[i + 2] : 0);

		*p++ = letters[v >> 18];
		*p++ = letters[v >> 12 & 63];
		*p++ = n > 1 ? letters[v >> 6 & 63] : '=';
		*p++ = n > 2 ? letters[v & 63] : '=';
	}
	j = json_stringn(out, (size_t)(p - out));
	mem_free(out);
	return j;
}

static int
value_of(char c)
{
	const char *p = c != '\0' ? strchr(letters, c) : NULL;

	return p != NULL ? (int)(p - letters) : -1;
}

static int
put_decoded(struct buf *b, const char *s, size_t len)
{
	size_t pad = len > 0 && s[len - 1] == '=' ? len > 1 && s[len - 2] == '=' ? 2 : 1 : 0;

	if (len % 4 != 0)
		return FB_EINVAL;
	for (size_t i = 0; i < len; i += 4) {
		size_t n = i + 4 == len ? 4 - pad : 4;
		unsigned v = 0;

		for (size_t k = 0; k < 4; k++) {
			int d = k < n ? value_of(s[i + k]) : 0;

			if (d < 0)
				return FB_EINVAL;
			v = v << 6 | (unsigned)d;
		}
		if (n < 4 && (v & (n == 3 ? 0xffu : 0xffffu)) != 0)
			return FB_EINVAL;       /* bits that nobody reads */
		for (size_t k = 0; k + 1 < n; k++)
			buf_put_u8(b, (uint8_t)(v >> (16 - 8 * k)));
	}
	return 0;
}

/* ---- rows to lines ---- */

static void
write_line(FILE *f, json_t *o)
{
	json_dumpf(o, f, JSON_COMPACT | JSON_ENSURE_ASCII);
	putc('\n', f);
	json_decref(o);
}

static json_t *
text_of(struct slice s)
{
	json_t *j = json_stringn(s.len > 0 ? (const char *)s.p : "", s.len);
	char shown[4096];

	return j != NULL ? j : json_string(utf8_show(s, shown, sizeof shown));
}

static void
set(json_t *o, const struct row_field *f)
{
	char name[64];
	json_t *v = json_null();

	switch (f->type) {
	case ROW_TEXT:
		v = is_binary(f->name) ? encoded(f->text) : text_of(f->text);
		break;
	case ROW_NUMBER:
		v = json_integer(f->number);
		break;
	case ROW_BOOL:
		v = json_boolean(f->number != 0);
		break;
	case ROW_REAL:
		v = json_real(f->real);
		break;
	}
	json_object_set_new(o, utf8_show(f->name, name, sizeof name), v);
}

void
lines_put(FILE *f, struct slice fields)
{
	json_t *o = json_object();
	struct row_field field;

	while (row_next(&fields, &field) == 0)
		set(o, &field);
	write_line(f, o);
}

void
lines_put_head(FILE *f, struct slice next)
{
	json_t *o = json_object();
	struct row_field field;

	json_object_set_new(o, "type", json_string("fubar-export"));
	json_object_set_new(o, "format", json_integer(LINES_FORMAT));
	while (row_next(&next, &field) == 0)
		if (slice_eq(field.name, SLICE_LIT("node")) || slice_eq(field.name, SLICE_LIT("version")))
			set(o, &field);
	write_line(f, o);
}

void
lines_put_end(FILE *f, int64_t records)
{
	json_t *o = json_object();

	json_object_set_new(o, "type", json_string("end"));
	json_object_set_new(o, "records", json_integer(records));
	write_line(f, o);
}

/* ---- lines to rows ---- */

static int
put_member(struct buf *row, const char *name, const json_t *v, char why[200])
{
	struct slice text;
	struct buf bytes;
	int rc = 0;

	if (json_is_string(v)) {
		text = slice_of(json_string_value(v), json_string_length(v));
		buf_init(&bytes);
		if (is_binary(slice_str(name))) {
			rc = put_decoded(&bytes, (const char *)text.p, text.len);
			text = buf_slice(&bytes);
		}
		if (rc == 0)
			row_put_text(row, name, text);
		else
			snprintf(why, 200, "%.40s: must be base64", name);
		buf_fini(&bytes);
		return rc;
	}
	if (json_is_integer(v))
		row_put_number(row, name, json_integer_value(v));
	else if (json_is_boolean(v))
		row_put_bool(row, name, json_is_true(v));
	else
		snprintf(why, 200, "%.40s: must be a string, a whole number, true or false", utf8_clean(slice_str(name)) ? name : "?");
	return json_is_integer(v) || json_is_boolean(v) ? 0 : FB_EINVAL;
}

static int
take_head(const json_t *o, char why[200])
{
	const json_t *format = json_object_get(o, "format");

	if (json_is_integer(format) && json_integer_value(format) == LINES_FORMAT)
		return 0;
	snprintf(why, 200, "an export of another format; this fubar-admin reads %d", LINES_FORMAT);
	return FB_EVERSION;
}

int
lines_take(const char *line, size_t len, int64_t number, struct buf *row, enum line_kind *kind, char why[200])
{
	json_error_t e;
	json_t *o = json_loadb(line, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &e);
	const char *type = json_string_value(json_object_get(o, "type")), *name;
	json_t *v;
	int rc = 0;

	*kind = LINE_RECORD;
	if (o == NULL) {
		snprintf(why, 200, "no JSON: %.150s", e.text);
		return FB_EINVAL;
	}
	if (type == NULL) {
		snprintf(why, 200, "must be an object with a member type");
		rc = FB_EINVAL;
	} else if (strcmp(type, "fubar-export") == 0) {
		*kind = LINE_HEAD;
		rc = take_head(o, why);
	} else if (strcmp(type, "end") == 0) {
		*kind = LINE_END;
	} else {
		row_put_number(row, "line", number);
		json_object_foreach(o, name, v)
			if (rc == 0)
				rc = put_member(row, name, v, why);
	}
	json_decref(o);
	return rc;
}
