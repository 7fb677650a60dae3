/* SPDX-License-Identifier: Apache-2.0
 * supervisor/fubar_admin_import.c - store import: all lines are checked, here and by the daemon, before the first is
 * written. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/admin/row.h"
#include "common/base/mem.h"
#include "common/base/utf8.h"
#include "supervisor/fubar_admin.h"

#define CHUNK_ROWS  500
#define CHUNK_BYTES ((size_t)256 << 10)
#define ROW_MAX     ((size_t)62 << 20)
#define SHOWN_MAX   20                  /* wrong lines that are shown */

static const char *const results[] = { "added", "replaced", "same", "kept", "conflict", "live", "bad" };
enum { RESULTS = sizeof results / sizeof results[0] };

struct importing {
	struct conn conn;
	FILE *in;
	const char *file, *how;         /* how: of the second pass */
	bool checking;                  /* the first one */
	bool regular;                   /* its size is known */
	int64_t size, line;
	struct buf rows;
	size_t count;                   /* in rows */
	int64_t wrong, records;
	bool head, end;
	int64_t sums[RESULTS];
	struct buf *counts;
	char *error;                    /* TOOL_ERROR_MAX */
};

static void
say(struct importing *m, int64_t line, const char *what)
{
	char shown[300];

	progress_end();
	fprintf(stderr, "%s:%" PRId64 ": %s\n", m->file, line, utf8_show(slice_str(what), shown, sizeof shown));
}

static void
wrong(struct importing *m, int64_t line, const char *what)
{
	if (m->wrong++ < SHOWN_MAX)
		say(m, line, what);
}

/* ---- the daemon's answers ---- */

/* The check asks as if nothing was to be kept or replaced; what becomes of that is known here. */
static void
on_result(struct importing *m, int64_t line, struct slice result, struct slice why)
{
	char text[400];

	snprintf(text, sizeof text, "%.*s", (int)why.len, (const char *)why.p);
	if (slice_eq(result, SLICE_LIT("bad")) || (slice_eq(result, SLICE_LIT("conflict")) && strcmp(m->how, "new") == 0))
		wrong(m, line, text);
	else if (!m->checking && !slice_eq(result, SLICE_LIT("conflict")))
		say(m, line, text);
}

static bool
on_row(void *arg, struct slice fields)
{
	struct importing *m = arg;
	struct slice result = { 0 }, why = { 0 };
	struct row_field f;
	int64_t line = 0;

	while (row_next(&fields, &f) == 0) {
		for (size_t i = 0; i < RESULTS && f.type == ROW_NUMBER && !m->checking; i++)
			if (slice_eq(f.name, slice_str(results[i])))
				m->sums[i] += f.number;
		if (f.type == ROW_NUMBER && slice_eq(f.name, SLICE_LIT("line")))
			line = f.number;
		else if (f.type == ROW_TEXT && slice_eq(f.name, SLICE_LIT("result")))
			result = f.text;
		else if (f.type == ROW_TEXT && slice_eq(f.name, SLICE_LIT("why")))
			why = f.text;
	}
	if (result.len > 0)
		on_result(m, line, result, why);
	return true;
}

static enum tool_exit
request(struct importing *m, size_t argc, const struct slice *argv)
{
	enum tool_exit code;
	struct answer a;

	memset(&a, 0, sizeof a);
	a.each = on_row;
	a.arg = m;
	code = conn_request(&m->conn, ADMIN_store_import, argc, argv, &a, m->error);
	if (code == TOOL_DONE && a.code != 0) {
		snprintf(m->error, TOOL_ERROR_MAX, "%s", a.text[0] != '\0' ? a.text : err_text(a.code));
		code = TOOL_REFUSED;
	}
	answer_fini(&a);
	return code;
}

static enum tool_exit
send_chunk(struct importing *m)
{
	const struct slice argv[] = { slice_str(m->checking ? "check" : m->how), buf_slice(&m->rows) };
	enum tool_exit code = m->count > 0 ? request(m, 2, argv) : TOOL_DONE;
	int64_t half = m->size / 2;

	buf_clear(&m->rows);
	m->count = 0;
	if (m->regular)
		progress_show("store import", (m->checking ? 0 : half) + ftello(m->in) / 2, m->size);
	return code;
}

/* ---- lines ---- */

static void
take_line(struct importing *m, const char *text, size_t len)
{
	enum line_kind kind;
	struct buf row;
	char why[200] = "";
	int rc;

	buf_init(&row);
	rc = lines_take(text, len, m->line, &row, &kind, why);
	if (rc != 0)
		wrong(m, m->line, why);
	else if (!m->head && kind != LINE_HEAD)
		wrong(m, m->line, "the first line must be that of an export: {\"type\":\"fubar-export\",\"format\":1}");
	else if (m->end)
		wrong(m, m->line, "there is a line behind the end");
	else if (kind == LINE_RECORD && buf_len(&row) > ROW_MAX)
		wrong(m, m->line, "too large for a record");
	else if (kind == LINE_RECORD) {
		buf_put_le32_bytes(&m->rows, buf_slice(&row));
		m->count++;
		m->records++;
	}
	m->head = m->head || kind == LINE_HEAD || rc != 0;
	m->end = m->end || kind == LINE_END;
	buf_fini(&row);
}

static enum tool_exit
pass(struct importing *m)
{
	enum tool_exit code = TOOL_DONE;
	char *text = NULL;
	size_t room = 0;
	ssize_t n;

	rewind(m->in);
	m->line = 0;
	m->records = 0;
	m->head = m->end = false;
	while (code == TOOL_DONE && (n = getline(&text, &room, m->in)) >= 0) {
		m->line++;
		while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r'))
			n--;
		if (n == 0)
			continue;
		if ((size_t)n + buf_len(&m->rows) > CHUNK_BYTES || m->count == CHUNK_ROWS)
			code = send_chunk(m);
		if (code == TOOL_DONE)
			take_line(m, text, (size_t)n);
	}
	free(text);
	if (code == TOOL_DONE)
		code = send_chunk(m);
	if (code == TOOL_DONE && ferror(m->in)) {
		snprintf(m->error, TOOL_ERROR_MAX, "%.300s: cannot be read: %s", m->file, strerror(errno));
		code = TOOL_REFUSED;
	}
	if (code == TOOL_DONE && m->wrong == 0 && !m->end)
		wrong(m, m->line, "the last line, of the type end, is missing: the export was cut short");
	return code;
}

static enum tool_exit
refuse(struct importing *m)
{
	if (m->wrong > SHOWN_MAX)
		fprintf(stderr, "... and %" PRId64 " more\n", m->wrong - SHOWN_MAX);
	snprintf(m->error, TOOL_ERROR_MAX, "%s: %" PRId64 " lines are refused, %s%s", m->file, m->wrong,
	    m->checking ? "nothing was imported" : "the others were imported",
	    strcmp(m->how, "new") == 0 ? "; \"keep\" or \"replace\" says what becomes of what is there" : "");
	return TOOL_REFUSED;
}

static enum tool_exit
both(struct importing *m)
{
	const struct slice end = SLICE_LIT("end");
	enum tool_exit code;

	m->checking = true;
	code = pass(m);
	if (code == TOOL_DONE && m->wrong > 0)
		return refuse(m);
	m->checking = false;
	if (code == TOOL_DONE)
		code = pass(m);
	if (code == TOOL_DONE)
		code = request(m, 1, &end);
	progress_end();
	if (code == TOOL_DONE && m->wrong > 0)
		return refuse(m);
	for (size_t i = 0; code == TOOL_DONE && i < RESULTS; i++)
		row_put_number(m->counts, results[i], m->sums[i]);
	return code;
}

/* It is read twice. */
static FILE *
open_in(struct importing *m)
{
	FILE *f = strcmp(m->file, "-") == 0 ? tmpfile() : fopen(m->file, "re");
	char piece[65536];
	struct stat st;
	size_t n;

	if (f != NULL && strcmp(m->file, "-") == 0) {
		while ((n = fread(piece, 1, sizeof piece, stdin)) > 0)
			if (fwrite(piece, 1, n, f) != n)
				break;
		if (ferror(stdin) || ferror(f) || fflush(f) != 0) {
			fclose(f);
			return NULL;
		}
	}
	if (f != NULL && fstat(fileno(f), &st) == 0 && S_ISREG(st.st_mode)) {
		m->regular = true;
		m->size = st.st_size;
	}
	return f;
}

enum tool_exit
import_file(const char *socket_path, const char *file, const char *how, struct buf *counts,
    char error[TOOL_ERROR_MAX])
{
	struct importing m;
	enum tool_exit code;

	memset(&m, 0, sizeof m);
	m.file = file;
	m.how = how;
	m.counts = counts;
	m.error = error;
	m.in = open_in(&m);
	if (m.in == NULL || !m.regular) {
		snprintf(error, TOOL_ERROR_MAX, "%.400s: cannot be read: %s", file,
		    m.in == NULL ? strerror(errno) : "is no file; - is standard input");
		if (m.in != NULL)
			fclose(m.in);
		return TOOL_REFUSED;
	}
	code = conn_open(socket_path, &m.conn, error);
	if (code == TOOL_DONE)
		code = both(&m);
	conn_close(&m.conn);
	buf_fini(&m.rows);
	fclose(m.in);
	progress_end();
	return code;
}
