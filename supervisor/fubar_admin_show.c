/* SPDX-License-Identifier: Apache-2.0
 * supervisor/fubar_admin_show.c - answers for people. Columns are the fields in the order in which they first appear;
 * a table that is too wide for any screen becomes blocks. Whatever came from clients is shown escaped. */
#include <inttypes.h>
#include <string.h>

#include "common/admin/row.h"
#include "common/base/mem.h"
#include "common/base/utf8.h"
#include "supervisor/fubar_admin.h"

#define COLUMNS_MAX 64
#define CELL_MAX 512
#define NAME_MAX_BYTES 64
#define WIDTH_MAX 200

struct column {
	struct slice name;
	struct slice head;              /* what is shown for it */
	int width;                      /* in characters */
	bool number;
};

struct table {
	const struct answer *a;
	struct slice name;
	struct column col[COLUMNS_MAX];
	size_t cols, rows;
	int indent;
	bool chosen;                    /* no columns but those that are there already */
};

/* Characters, not bytes, of valid UTF-8. */
static int
width_of(const char *s)
{
	int n = 0;

	for (; *s != '\0'; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

static const char *
cell_text(const struct row_field *f, char out[CELL_MAX])
{
	switch (f->type) {
	case ROW_TEXT:
		return utf8_show(f->text, out, CELL_MAX);
	case ROW_NUMBER:
		snprintf(out, CELL_MAX, "%" PRId64, f->number);
		break;
	case ROW_BOOL:
		snprintf(out, CELL_MAX, "%s", f->number != 0 ? "yes" : "no");
		break;
	case ROW_REAL:
		/* Shares and loads; --json has all digits. What is large needs none. */
		snprintf(out, CELL_MAX, f->real < 1000 ? "%.2f" : "%.1f", f->real);
		break;
	}
	return out;
}

/* The next field to show. */
static bool
next_field(struct slice *rest, struct row_field *f)
{
	while (row_next(rest, f) == 0)
		if (!slice_eq(f->name, SLICE_LIT("_table")))
			return true;
	return false;
}

static struct column *
column_of(struct table *t, struct slice name)
{
	char shown[NAME_MAX_BYTES];

	for (size_t i = 0; i < t->cols; i++)
		if (slice_eq(t->col[i].name, name))
			return &t->col[i];
	if (t->chosen || t->cols == COLUMNS_MAX)
		return NULL;
	t->col[t->cols] = (struct column){ name, name, width_of(utf8_show(name, shown, sizeof shown)), true };
	return &t->col[t->cols++];
}

static void
measure(struct table *t)
{
	for (size_t i = 0; i < t->a->count; i++) {
		struct slice rest = t->a->rows[i].fields;
		struct row_field f;
		char text[CELL_MAX];

		if (!slice_eq(t->a->rows[i].table, t->name))
			continue;
		t->rows++;
		while (next_field(&rest, &f)) {
			struct column *c = column_of(t, f.name);
			int w = width_of(cell_text(&f, text));

			if (c == NULL)
				continue;
			if (w > c->width)
				c->width = w;
			c->number = c->number && (f.type == ROW_NUMBER || f.type == ROW_REAL);
		}
	}
}

static void
put_cell(FILE *f, const struct table *t, size_t i, const char *text)
{
	const struct column *c = &t->col[i];
	int pad = c->width - width_of(text);
	bool last = i + 1 == t->cols;

	fprintf(f, "%*s%s%*s%s", c->number ? pad : 0, "", text, c->number || last ? 0 : pad, "", last ? "\n" : "  ");
}

static void
show_table(FILE *f, const struct table *t)
{
	char text[CELL_MAX];

	fprintf(f, "%*s", t->indent, "");
	for (size_t i = 0; i < t->cols; i++)
		put_cell(f, t, i, utf8_show(t->col[i].head, text, NAME_MAX_BYTES));
	for (size_t r = 0; r < t->a->count; r++) {
		if (!slice_eq(t->a->rows[r].table, t->name))
			continue;
		fprintf(f, "%*s", t->indent, "");
		for (size_t i = 0; i < t->cols; i++) {
			struct slice rest = t->a->rows[r].fields;
			struct row_field field;
			bool found = false;

			while (!found && next_field(&rest, &field))
				found = slice_eq(field.name, t->col[i].name);
			put_cell(f, t, i, found ? cell_text(&field, text) : "-");
		}
	}
}

static void
show_blocks(FILE *f, const struct table *t)
{
	bool first = true;
	int width = 0;

	for (size_t i = 0; i < t->cols; i++) {
		char name[NAME_MAX_BYTES];
		int w = width_of(utf8_show(t->col[i].name, name, sizeof name));

		width = w > width ? w : width;
	}
	for (size_t r = 0; r < t->a->count; r++) {
		struct slice rest = t->a->rows[r].fields;
		struct row_field field;

		if (!slice_eq(t->a->rows[r].table, t->name))
			continue;
		if (!first)
			putc('\n', f);
		first = false;
		while (next_field(&rest, &field)) {
			char name[NAME_MAX_BYTES], text[CELL_MAX];

			utf8_show(field.name, name, sizeof name);
			fprintf(f, "%*s%s:%*s%s\n", t->indent, "", name, width - width_of(name) + 1, "",
			    cell_text(&field, text));
		}
	}
}

/* One "_table", or the rows without one. */
static void
show_group(FILE *f, const struct answer *a, struct slice name, int indent)
{
	struct table t;
	int width = indent;

	memset(&t, 0, sizeof t);
	t.a = a;
	t.name = name;
	t.indent = indent;
	measure(&t);
	for (size_t i = 0; i < t.cols; i++)
		width += t.col[i].width + 2;
	if (t.rows == 0 || t.cols == 0)
		return;
	if (width > WIDTH_MAX || (t.rows == 1 && name.len == 0 && !a->list))
		show_blocks(f, &t);
	else
		show_table(f, &t);
}

/* The columns of spec, "name" or "name=head" with spaces between; they have these widths at least. */
static void
choose(struct table *t, const char *spec)
{
	while (*spec != '\0' && t->cols < COLUMNS_MAX) {
		size_t len = strcspn(spec, " ");
		const char *equal = memchr(spec, '=', len);
		size_t name = equal != NULL ? (size_t)(equal - spec) : len;
		struct slice head = equal != NULL ? slice_of(equal + 1, len - name - 1) : slice_of(spec, len);

		t->col[t->cols++] = (struct column){ slice_of(spec, name), head, (int)head.len, true };
		spec += len + strspn(spec + len, " ");
	}
	t->chosen = true;
}

void
show_columns(FILE *f, const struct answer *a, struct slice name, const char *spec, int indent)
{
	struct table t;

	memset(&t, 0, sizeof t);
	t.a = a;
	t.name = name;
	t.indent = indent;
	choose(&t, spec);
	measure(&t);
	if (t.rows > 0)
		show_table(f, &t);
}

static bool
seen_before(const struct answer *a, size_t row)
{
	for (size_t i = 0; i < row; i++)
		if (slice_eq(a->rows[i].table, a->rows[row].table))
			return true;
	return false;
}

void
show_tables(FILE *f, const struct answer *a, const char *(*spec)(struct slice table))
{
	char shown[NAME_MAX_BYTES];
	bool any = false;
	size_t last = 0;

	for (size_t i = 0; i < a->count; i++) {
		struct slice name = a->rows[i].table;
		const char *columns = spec != NULL ? spec(name) : NULL;

		/* Rows of a kind come together, so the long look back is rare. */
		if (i > 0 && (slice_eq(name, a->rows[last].table) || seen_before(a, i)))
			continue;
		last = i;
		if (columns != NULL && columns[0] == '\0')
			continue;
		if (any || spec != NULL)
			putc('\n', f);
		any = true;
		if (name.len > 0)
			fprintf(f, "%s:\n", utf8_show(name, shown, sizeof shown));
		if (columns != NULL)
			show_columns(f, a, name, columns, 2);
		else
			show_group(f, a, name, name.len > 0 ? 2 : 0);
	}
}

void
show_answer(FILE *f, const struct answer *a)
{
	char shown[1024];

	show_tables(f, a, NULL);
	if (a->text != NULL && a->text[0] != '\0')
		fprintf(f, "%s\n", utf8_show(slice_str(a->text), shown, sizeof shown));
	if (a->password != NULL)
		fprintf(f, "password: %s\n", a->password);
}
