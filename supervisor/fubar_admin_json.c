/* SPDX-License-Identifier: Apache-2.0
 * supervisor/fubar_admin_json.c - answers for programs; the only user of libjansson. */
#include <jansson.h>

#include "common/admin/row.h"
#include "common/base/utf8.h"
#include "supervisor/fubar_admin.h"

#define TEXT_MAX 4096

/* JSON strings are Unicode: bytes that are not are shown as \xNN. */
static json_t *
text_of(struct slice s)
{
	json_t *j = json_stringn(s.len > 0 ? (const char *)s.p : "", s.len);
	char shown[TEXT_MAX];

	return j != NULL ? j : json_string(utf8_show(s, shown, sizeof shown));
}

static json_t *
value_of(const struct row_field *f)
{
	switch (f->type) {
	case ROW_TEXT:
		return text_of(f->text);
	case ROW_NUMBER:
		return json_integer(f->number);
	case ROW_BOOL:
		return json_boolean(f->number != 0);
	case ROW_REAL:
		return json_real(f->real);
	}
	return json_null();
}

static json_t *
object_of(struct slice fields)
{
	json_t *o = json_object();
	struct row_field f;
	char name[128];

	while (row_next(&fields, &f) == 0)
		if (!slice_eq(f.name, SLICE_LIT("_table"))) {
			json_t *v = value_of(&f);

			/* A number that JSON has not (NaN) becomes null. */
			json_object_set_new(o, utf8_show(f.name, name, sizeof name), v != NULL ? v : json_null());
		}
	return o;
}

static json_t *
list_of(json_t *tables, struct slice table)
{
	char name[128];
	json_t *list;

	utf8_show(table, name, sizeof name);
	list = json_object_get(tables, name);
	if (list == NULL) {
		list = json_array();
		json_object_set_new(tables, name, list);
	}
	return list;
}

static void
dump(FILE *f, json_t *o)
{
	/* A terminal may obey control characters above ASCII, too: U+009B. */
	json_dumpf(o, f, JSON_INDENT(2) | JSON_ENSURE_ASCII);
	putc('\n', f);
	json_decref(o);
}

void
json_answer(FILE *f, const struct answer *a)
{
	json_t *o = json_object(), *rows = json_array(), *tables = json_object();

	for (size_t i = 0; i < a->count; i++) {
		const struct answer_row *r = &a->rows[i];

		json_array_append_new(r->table.len > 0 ? list_of(tables, r->table) : rows, object_of(r->fields));
	}
	json_object_set_new(o, "ok", json_true());
	json_object_set_new(o, "code", json_string("ok"));
	json_object_set_new(o, "text", text_of(slice_str(a->text)));
	if (a->password != NULL)
		json_object_set_new(o, "password", json_string(a->password));
	json_object_set_new(o, "rows", rows);
	json_object_set_new(o, "tables", tables);
	dump(f, o);
}

void
json_row(FILE *f, struct slice fields)
{
	json_t *o = object_of(fields);

	json_dumpf(o, f, JSON_COMPACT);
	putc('\n', f);
	json_decref(o);
}

void
json_error(FILE *f, const char *code, const char *text)
{
	json_t *o = json_object();

	json_object_set_new(o, "ok", json_false());
	json_object_set_new(o, "code", json_string(code));
	json_object_set_new(o, "text", text_of(slice_str(text)));
	dump(f, o);
}
