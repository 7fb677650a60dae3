/* SPDX-License-Identifier: Apache-2.0
 * supervisor/fubar_admin.h - the parts of fubar-admin: one command goes out, rows come back, they are shown.
 *
 * The tool is short-lived: what it allocates lives until it exits unless a function says otherwise. */
#ifndef SUPERVISOR_FUBAR_ADMIN_H
#define SUPERVISOR_FUBAR_ADMIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "common/admin/words.h"
#include "common/base/buf.h"

enum tool_exit { TOOL_DONE = 0, TOOL_REFUSED = 1, TOOL_USAGE = 2, TOOL_NO_DAEMON = 3 };

struct answer_row {
	struct slice table;             /* "_table"; len 0: none */
	struct slice fields;            /* see common/admin/row.h; checked to be well-formed */
};

struct answer {
	struct answer_row *rows;        /* owned, as are the bytes they point to */
	size_t count;
	size_t cap;
	int code;                       /* 0, or FB_E... */
	char *text;                     /* owned, may be empty */
	const char *password;           /* borrowed: one that was made here, or NULL */
	bool list;                      /* the command lists things: always a table */
	bool quiet_end;                 /* the daemon going away instead of answering is what was asked for (stop) */
	void *arg;                      /* of each */
	/* Set: rows are given to it as they come, whatever the silence between; false: it is to be kept. */
	bool (*each)(void *arg, struct slice fields);
};

#define TOOL_ERROR_MAX 600

/* fubar_admin_conn.c. error is filled unless TOOL_DONE, which only says that an answer came: answer->code says what it
 * was. */
struct conn {
	const char *path;               /* borrowed */
	int fd;
	struct buf in;
};
enum tool_exit conn_open(const char *socket_path, struct conn *c, char error[TOOL_ERROR_MAX]);
void conn_close(struct conn *c);        /* also when it could not be opened */
/* One after the other on a connection; the answer is empty before. */
enum tool_exit conn_request(struct conn *c, enum admin_command command, size_t argc, const struct slice *argv,
    struct answer *answer, char error[TOOL_ERROR_MAX]);
/* The whole exchange. */
enum tool_exit conn_ask(const char *socket_path, enum admin_command c, size_t argc, char *const *argv,
    struct answer *answer, char error[TOOL_ERROR_MAX]);
void answer_fini(struct answer *a);

/* fubar_admin_show.c: tables and "key: value" blocks for people. */
void show_answer(FILE *f, const struct answer *a);
/* Every table; spec says which columns ("name" or "name=head", spaces between), NULL: all, "": the table is left out. */
void show_tables(FILE *f, const struct answer *a, const char *(*spec)(struct slice table));
void show_columns(FILE *f, const struct answer *a, struct slice table, const char *spec, int indent);
/* fubar_admin_state.c: what `state` answers, so that it fits a terminal. */
void show_state(FILE *f, const struct answer *a);

/* fubar_admin_json.c: one object, described in fubar-admin(8). code: "ok", an error's name, "usage", "no-daemon". */
void json_answer(FILE *f, const struct answer *a);
void json_row(FILE *f, struct slice fields);     /* one object on one line */
void json_error(FILE *f, const char *code, const char *text);

/* fubar_admin_export.c, fubar_admin_import.c: FILE or "-". */
enum tool_exit export_file(const char *socket_path, const char *file, char error[TOOL_ERROR_MAX]);
/* counts: gets the fields of a row. */
enum tool_exit import_file(const char *socket_path, const char *file, const char *how, struct buf *counts,
    char error[TOOL_ERROR_MAX]);
/* Of both, in fubar_admin_lines.c. A line for a row; a row of a line: 0, or FB_E... and why. lines_take: number of the
 * line. */
#define LINES_FORMAT 1
void lines_put(FILE *f, struct slice fields);
void lines_put_head(FILE *f, struct slice next);        /* next: the row of that table */
void lines_put_end(FILE *f, int64_t records);
enum line_kind { LINE_HEAD, LINE_RECORD, LINE_END };
int lines_take(const char *text, size_t len, int64_t number, struct buf *row, enum line_kind *kind, char why[200]);

/* fubar_admin_secret.c. Passwords are the caller's: secret_free() wipes them. NULL: *error says why. */
char *secret_make(void);                        /* at least 128 random bits, letters and digits */
char *secret_read(const char **error);          /* asks twice on a terminal, else one line of standard input */
void secret_free(char *s);
/* Asks on the terminal; false without one. */
bool secret_confirm(const char *question);

/* fubar_admin_progress.c, on standard error: a bar on a terminal, else a line now and then. what: a word or two. */
void progress_show(const char *what, int64_t done, int64_t total);
void progress_end(void);                        /* before anything else is written */
bool progress_row(void *arg, struct slice fields);         /* for answer.each: rows of "progress" are shown, others kept */
void progress_what(const char *what);           /* of those rows */

/* fubar_admin_complete.c: the completion for bash, from the tables. */
void complete_print(FILE *f);

#endif
