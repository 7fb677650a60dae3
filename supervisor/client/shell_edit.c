/* SPDX-License-Identifier: Apache-2.0
 * supervisor/client/shell_edit.c - the line at the terminal: libedit edits it, and asks us for each key, so that the sockets
 * are served between two of them. What arrives then is shown in the line's place, and the line below it again. */
#include <errno.h>
#include <histedit.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wchar.h>

#include "supervisor/client/shell.h"
#include "common/base/err.h"
#include "common/base/mem.h"

#define HISTORY_COUNT 1000

struct edit {
	EditLine *el;
	History *history;
	struct shell *shell;
	char prompt[SHELL_NAME_MAX + 16];
	char *line;                     /* the last; owned */
	char *path;                     /* of the history; NULL: it is not kept */
	mbstate_t mb;                   /* of a character that came in part */
	bool typing;                    /* a line is on the screen, or would be */
	bool hidden;
};

static struct edit *the_edit;           /* there is one terminal */
static volatile sig_atomic_t resized;

static void
on_resize(int signo)
{
	resized = 1;
}

static char *
show_prompt(EditLine *el)
{
	const struct member *m = the_edit->shell->current;

	snprintf(the_edit->prompt, sizeof the_edit->prompt, "%s%s> ", m != NULL ? "@" : "fubar", m != NULL ? m->name : "");
	return the_edit->prompt;
}

/* Columns of a text in the terminal. */
static size_t
columns(const char *text, size_t len)
{
	mbstate_t mb = { 0 };
	size_t n = 0;

	while (len > 0) {
		wchar_t wc;
		size_t k = mbrtowc(&wc, text, len, &mb);
		int w;

		if (k == 0 || k == (size_t)-1 || k == (size_t)-2)
			return n + len;
		w = wcwidth(wc);
		n += w > 0 ? (size_t)w : 0;
		text += k;
		len -= k;
	}
	return n;
}

void
edit_hide(void)
{
	struct edit *e = the_edit;
	struct winsize size = { .ws_col = 80 };
	const LineInfo *li;
	size_t at;

	if (e == NULL || !e->typing || e->hidden)
		return;
	e->hidden = true;
	li = el_line(e->el);
	at = columns(e->prompt, strlen(e->prompt)) + columns(li->buffer, (size_t)(li->cursor - li->buffer));
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
		size.ws_col = 80;
	putchar('\r');
	if (at / size.ws_col > 0)
		printf("\033[%zuA", at / size.ws_col);
	printf("\033[J");
}

void
edit_show(void)
{
	struct edit *e = the_edit;

	if (e == NULL || !e->typing || !e->hidden)
		return;
	e->hidden = false;
	fflush(stdout);
	el_set(e->el, EL_REFRESH);
}

/* libedit wants the next character. */
static int
get_char(EditLine *el, wchar_t *out)
{
	struct edit *e = the_edit;
	char c;

	for (;;) {
		size_t k;

		if (resized) {
			resized = 0;
			el_resize(el);
		}
		if (!shell_turn(e->shell, STDIN_FILENO, -1))
			continue;
		if (read(STDIN_FILENO, &c, 1) != 1)
			return 0;
		k = mbrtowc(out, &c, 1, &e->mb);
		if (k == (size_t)-2)
			continue;
		if (k != (size_t)-1)
			return 1;
		memset(&e->mb, 0, sizeof e->mb);
	}
}

/* ---- keys ---- */

static size_t
common_prefix(char **list, size_t count)
{
	size_t n = strlen(list[0]);

	for (size_t i = 1; i < count; i++) {
		size_t k = 0;

		while (k < n && list[i][k] == list[0][k])
			k++;
		n = k;
	}
	return n;
}

static void
show_list(char **list, size_t count)
{
	edit_hide();
	for (size_t i = 0; i < count; i++)
		printf("%s%s", i > 0 ? "  " : "", list[i]);
	putchar('\n');
}

static unsigned char
complete(EditLine *el, int ch)
{
	struct edit *e = the_edit;
	const LineInfo *li = el_line(el);
	char *text = mem_dup(li->buffer, (size_t)(li->cursor - li->buffer));
	size_t have;
	size_t from;
	size_t count;
	char **list = shell_complete(e->shell, text, &from, &count);
	size_t n = count > 0 ? common_prefix(list, count) : 0;
	unsigned char r = CC_REFRESH;

	have = strlen(text) - from;
	if (n > have) {
		list[0][n] = 0;
		(void)el_insertstr(el, list[0] + have);
	} else if (count == 0) {
		r = CC_REFRESH_BEEP;
	} else if (count > 1) {
		show_list(list, count);
		edit_show();
	}
	if (count == 1)
		(void)el_insertstr(el, " ");
	for (size_t i = 0; i < count; i++)
		mem_free(list[i]);
	mem_free(list);
	mem_free(text);
	return r;
}

/* Throws the line away, as a shell does. */
static unsigned char
cancel(EditLine *el, int ch)
{
	const LineInfo *li = el_line(el);

	(void)el_cursor(el, (int)(li->lastchar - li->cursor));
	li = el_line(el);
	el_deletestr(el, (int)(li->lastchar - li->buffer));
	return CC_REFRESH;
}

/* ---- history ---- */

/* ~/.local/state/fubar/client_history, as XDG has it; FUBAR_CLIENT_HISTORY names another file, empty: none. */
static char *
history_path(void)
{
	const char *own = getenv("FUBAR_CLIENT_HISTORY");
	const char *state = getenv("XDG_STATE_HOME");
	const char *home = getenv("HOME");
	char path[1024];

	if (own != NULL)
		return *own != 0 ? mem_strdup(own) : NULL;
	if (state != NULL && *state == '/')
		snprintf(path, sizeof path, "%s/fubar/client_history", state);
	else if (home != NULL && *home == '/')
		snprintf(path, sizeof path, "%s/.local/state/fubar/client_history", home);
	else
		return NULL;
	for (char *p = path + 1; *p != 0; p++) {
		if (*p != '/')
			continue;
		*p = 0;
		(void)mkdir(path, 0700);        /* the file itself says what is wrong */
		*p = '/';
	}
	return mem_strdup(path);
}

static bool
has_secret(const char *line)
{
	return strstr(line, "-P") != NULL || strstr(line, "--pw") != NULL || strchr(line, '@') != strrchr(line, '@') ||
	    (strstr(line, "://") != NULL && strchr(line, '@') != NULL);
}

static void
remember(struct edit *e, const char *line)
{
	HistEvent ev;

	if (line[strspn(line, " \t\r\n")] == 0)
		return;
	history(e->history, &ev, H_ENTER, line);
	if (e->path == NULL || has_secret(line))
		return;
	/* One line at a time: a session that is killed keeps what it did, and passwords never get there. */
	FILE *f = fopen(e->path, "a");

	if (f == NULL)
		return;
	fputs(line, f);
	fclose(f);
}

static void
load_history(struct edit *e)
{
	HistEvent ev;
	char *line = NULL;
	size_t size = 0;
	FILE *f = e->path != NULL ? fopen(e->path, "r") : NULL;

	history(e->history, &ev, H_SETSIZE, HISTORY_COUNT);
	history(e->history, &ev, H_SETUNIQUE, 1);
	if (f == NULL)
		return;
	while (getline(&line, &size, f) > 0)
		history(e->history, &ev, H_ENTER, line);
	free(line);
	fclose(f);
}

/* ---- life ---- */

struct edit *
edit_open(struct shell *sh)
{
	struct edit *e = mem_zalloc(sizeof *e);
	struct sigaction sa = { .sa_handler = on_resize };

	setlocale(LC_CTYPE, "");
	e->shell = sh;
	e->el = el_init("fubar-client", stdin, stdout, stderr);
	e->history = history_init();
	if (e->el == NULL || e->history == NULL) {
		mem_free(e);
		return NULL;
	}
	the_edit = e;
	e->path = history_path();
	load_history(e);
	sigaction(SIGWINCH, &sa, NULL);
	umask(077);
	el_set(e->el, EL_EDITOR, "emacs");
	el_set(e->el, EL_SIGNAL, 0);
	el_set(e->el, EL_PROMPT, show_prompt);
	el_set(e->el, EL_HIST, history, e->history);
	el_set(e->el, EL_GETCFN, get_char);
	el_set(e->el, EL_ADDFN, "fubar-complete", "complete the word", complete);
	el_set(e->el, EL_BIND, "^I", "fubar-complete", NULL);
	el_set(e->el, EL_BIND, "^R", "em-inc-search-prev", NULL);
	el_source(e->el, NULL);
	/* ctrl-C is a key here: a signal would leave the line half drawn. */
	el_set(e->el, EL_SETTY, "-d", "-isig", NULL);
	el_set(e->el, EL_ADDFN, "fubar-cancel", "throw the line away", cancel);
	el_set(e->el, EL_BIND, "^C", "fubar-cancel", NULL);
	return e;
}

void
edit_close(struct edit *e)
{
	the_edit = NULL;
	history_end(e->history);
	el_end(e->el);
	mem_free(e->line);
	mem_free(e->path);
	mem_free(e);
}

char *
edit_line(struct edit *e)
{
	const char *line;
	int n = 0;

	e->typing = true;
	line = el_gets(e->el, &n);
	e->typing = e->hidden = false;
	if (line == NULL || n <= 0) {
		putchar('\n');
		return NULL;
	}
	remember(e, line);
	mem_free(e->line);
	e->line = mem_strdup(line);
	return e->line;
}
