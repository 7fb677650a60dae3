/* SPDX-License-Identifier: Apache-2.0
 * supervisor/fubar_admin_export.c - store export: asks for rows until there are no more. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/admin/row.h"
#include "common/base/mem.h"
#include "supervisor/fubar_admin.h"

struct exporting {
	FILE *out;
	int64_t records, total;
	bool head;                      /* was written */
	bool progress;
	struct buf held;
};

static bool
is_next(struct slice fields)
{
	struct row_field f;

	return row_next(&fields, &f) == 0 && slice_eq(f.name, SLICE_LIT("_table"));
}

/* The first answer's row "next" comes last, but is the first line. */
static bool
on_row(void *arg, struct slice fields)
{
	struct exporting *x = arg;

	if (is_next(fields))
		return false;
	x->records++;
	if (x->head)
		lines_put(x->out, fields);
	else
		buf_put_le32_bytes(&x->held, fields);
	return true;
}

static void
write_head(struct exporting *x, struct slice next)
{
	struct slice left = buf_slice(&x->held), row;

	if (x->head)
		return;
	x->head = true;
	lines_put_head(x->out, next);
	while (slice_take_le32_bytes(&left, &row) == 0)
		lines_put(x->out, row);
	buf_fini(&x->held);
}

/* Where the next request goes on: the caller's; NULL: that was all. */
static char *
take_next(struct exporting *x, const struct answer *a)
{
	struct slice fields = a->count > 0 ? a->rows[a->count - 1].fields : slice_of(NULL, 0);
	struct row_field f;
	char *cursor = NULL;

	write_head(x, fields);
	while (row_next(&fields, &f) == 0) {
		if (f.type == ROW_NUMBER && slice_eq(f.name, SLICE_LIT("total")))
			x->total = f.number;
		else if (f.type == ROW_TEXT && slice_eq(f.name, SLICE_LIT("cursor")))
			cursor = mem_dup(f.text.p, f.text.len);
	}
	return cursor;
}

static enum tool_exit
fetch(struct conn *c, struct exporting *x, char error[TOOL_ERROR_MAX])
{
	char *cursor = mem_strdup("");
	enum tool_exit code = TOOL_DONE;

	while (code == TOOL_DONE && cursor != NULL) {
		struct slice arg = slice_str(cursor);
		struct answer a;

		memset(&a, 0, sizeof a);
		a.each = on_row;
		a.arg = x;
		code = conn_request(c, ADMIN_store_export, 1, &arg, &a, error);
		if (code == TOOL_DONE && a.code != 0) {
			code = TOOL_REFUSED;
			snprintf(error, TOOL_ERROR_MAX, "%s", a.text[0] != '\0' ? a.text : err_text(a.code));
		}
		mem_free(cursor);
		cursor = code == TOOL_DONE ? take_next(x, &a) : NULL;
		answer_fini(&a);
		if (x->progress)
			progress_show("store export", x->records, x->total);
		if (ferror(x->out)) {
			snprintf(error, TOOL_ERROR_MAX, "the lines cannot be written: %s", strerror(errno));
			code = TOOL_REFUSED;
		}
	}
	mem_free(cursor);
	if (code == TOOL_DONE)
		lines_put_end(x->out, x->records);
	return code;
}

static enum tool_exit
to_file(struct conn *c, struct exporting *x, const char *file, char error[TOOL_ERROR_MAX])
{
	char part[4096];
	enum tool_exit code;
	int n = snprintf(part, sizeof part, "%s.incomplete", file);
	int fd = n < (int)sizeof part ? open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
	bool ok;

	if (fd < 0) {
		snprintf(error, TOOL_ERROR_MAX, "%.400s: cannot be made: %s", part, strerror(errno));
		return TOOL_REFUSED;
	}
	x->out = fdopen(fd, "w");
	x->progress = true;
	code = fetch(c, x, error);
	ok = fflush(x->out) == 0 && fsync(fd) == 0;
	ok = fclose(x->out) == 0 && ok && (code != TOOL_DONE || rename(part, file) == 0);
	if (!ok && code == TOOL_DONE) {
		snprintf(error, TOOL_ERROR_MAX, "%.400s: cannot be written: %s", file, strerror(errno));
		code = TOOL_REFUSED;
	}
	if (code != TOOL_DONE)
		(void)unlink(part);
	return code;
}

enum tool_exit
export_file(const char *socket_path, const char *file, char error[TOOL_ERROR_MAX])
{
	struct exporting x;
	struct conn c;
	enum tool_exit code;

	memset(&x, 0, sizeof x);
	if (strcmp(file, "-") != 0 && access(file, F_OK) == 0) {
		snprintf(error, TOOL_ERROR_MAX, "%.400s: is there already", file);
		return TOOL_REFUSED;
	}
	code = conn_open(socket_path, &c, error);
	if (code == TOOL_DONE && strcmp(file, "-") == 0) {
		x.out = stdout;
		code = fetch(&c, &x, error);
	} else if (code == TOOL_DONE) {
		code = to_file(&c, &x, file, error);
	}
	conn_close(&c);
	buf_fini(&x.held);
	progress_end();
	if (code == TOOL_DONE && isatty(STDERR_FILENO) == 1)
		fprintf(stderr, "%lld records\n", (long long)x.records);
	return code;
}
