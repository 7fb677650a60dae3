/* SPDX-License-Identifier: Apache-2.0
 * supervisor/fubar_admin.c - main() of fubar-admin: options, words, exit code. */
#include "supervisor/fubar_admin.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"

#include "common/admin/row.h"
#include "common/base/err.h"
#include "common/base/mem.h"
#include "common/base/utf8.h"
#include "common/config/dirs.h"

struct options {
	char socket[CONFIG_VALUE_MAX];
	const char *run_dir;
	bool json, yes, generate, help, version, complete;
	char **words;                   /* borrowed from argv, in an array of ours */
	size_t count;
};

static const char usage_text[] =
    "usage: fubar-admin [--socket PATH | --run-dir DIR] [--json] [--yes] [--generate] WORDS\n"
    "       fubar-admin --help [WORDS] | --version | --complete\n";

static enum tool_exit
fail(const struct options *o, enum tool_exit code, const char *name, const char *text)
{
	char shown[TOOL_ERROR_MAX];

	if (o->json)
		json_error(stdout, name, text);
	if (!utf8_clean(slice_str(text)))
		text = utf8_show(slice_str(text), shown, sizeof shown);
	fprintf(stderr, "fubar-admin: %s\n", text);
	return code;
}

/* --name VALUE or --name=VALUE at argv[*i]; NULL: another option; *missing: the value is. */
static const char *
value_of(const char *name, int argc, char **argv, int *i, bool *missing)
{
	size_t n = strlen(name);

	if (strncmp(argv[*i], name, n) != 0)
		return NULL;
	if (argv[*i][n] == '=')
		return argv[*i] + n + 1;
	if (argv[*i][n] != '\0')
		return NULL;
	if (*i + 1 >= argc) {
		*missing = true;
		return NULL;
	}
	return argv[++*i];
}

static bool *
flag_of(struct options *o, const char *arg)
{
	const struct { const char *name, *letter; bool *flag; } all[] = {
		{ "--json", "-j", &o->json }, { "--yes", "-y", &o->yes }, { "--generate", "-g", &o->generate },
		{ "--help", "-h", &o->help }, { "--version", "-V", &o->version }, { "--complete", "", &o->complete },
	};

	for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
		if (strcmp(arg, all[i].name) == 0 || strcmp(arg, all[i].letter) == 0)
			return all[i].flag;
	return NULL;
}

/* Options may stand anywhere. A word with one dash, such as -1, is a word unless it is a known letter; behind "--"
 * everything is a word. */
static int
parse_options(struct options *o, int argc, char **argv, char error[TOOL_ERROR_MAX])
{
	bool only_words = false;

	o->words = mem_zalloc((size_t)argc * sizeof *o->words);
	for (int i = 1; i < argc; i++) {
		bool missing = false, *flag = NULL;
		const char *v;

		if (only_words || argv[i][0] != '-') {
			o->words[o->count++] = argv[i];
		} else if (strcmp(argv[i], "--") == 0) {
			only_words = true;
		} else if ((v = value_of("--socket", argc, argv, &i, &missing)) != NULL) {
			snprintf(o->socket, sizeof o->socket, "%s", v);
		} else if (!missing && (v = value_of("--run-dir", argc, argv, &i, &missing)) != NULL) {
			o->run_dir = v;
		} else if (missing) {
			snprintf(error, TOOL_ERROR_MAX, "%s needs a value", argv[i]);
			return FB_ESYNTAX;
		} else if ((flag = flag_of(o, argv[i])) != NULL) {
			*flag = true;
		} else if (argv[i][1] == '-') {
			char shown[64];

			snprintf(error, TOOL_ERROR_MAX,
			    "%s: no such option; possible: --socket, --run-dir, --json, --yes, --generate, --help, --version, "
			    "--complete; words that begin with -- go behind --",
			    utf8_show(slice_str(argv[i]), shown, sizeof shown));
			return FB_ESYNTAX;
		} else {
			o->words[o->count++] = argv[i];
		}
	}
	return 0;
}

#define SYSTEM_SOCKET "/run/fubar/admin.sock"

/* --socket, --run-dir, $FUBAR_SOCKET, else where a daemon of this user has it; if there is none, the system's, which
 * members of its group may ask. */
static int
find_socket(struct options *o, char error[TOOL_ERROR_MAX])
{
	const char *env = getenv("FUBAR_SOCKET");
	char dir[CONFIG_VALUE_MAX];
	int n;

	if (o->socket[0] != '\0')
		return 0;
	if (o->run_dir == NULL && env != NULL && env[0] != '\0') {
		snprintf(o->socket, sizeof o->socket, "%s", env);
		return 0;
	}
	if (o->run_dir == NULL && dirs_run(NULL, dir, sizeof dir) != 0) {
		snprintf(error, TOOL_ERROR_MAX, "no home directory to look for the daemon's socket; give --socket PATH");
		return FB_ENOENT;
	}
	n = snprintf(o->socket, sizeof o->socket, "%s/admin.sock", o->run_dir != NULL ? o->run_dir : dir);
	if (n < 0 || (size_t)n >= sizeof o->socket) {
		snprintf(error, TOOL_ERROR_MAX, "the path of the run directory is too long");
		return FB_ETOOBIG;
	}
	if (o->run_dir == NULL && access(o->socket, F_OK) != 0 && access(SYSTEM_SOCKET, F_OK) == 0)
		snprintf(o->socket, sizeof o->socket, "%s", SYSTEM_SOCKET);
	return 0;
}

static bool
is_help_word(const struct options *o)
{
	return o->count > 0 && strcmp(o->words[0], "help") == 0;
}

static enum tool_exit
help(const struct options *o)
{
	size_t skip = is_help_word(o) ? 1 : 0;

	if (!words_help(NULL, o->count - skip, o->words + skip)) {
		fputs("fubar-admin: no command begins so; without words, --help shows all\n", stderr);
		return TOOL_USAGE;
	}
	fputs(usage_text, stdout);
	puts("Words may be shortened while they stay unique. Commands:");
	words_help(stdout, o->count - skip, o->words + skip);
	puts("Exit codes: 0 done, 1 refused, 2 usage, 3 no daemon. More in fubar-admin(8).");
	return TOOL_DONE;
}

/* One line of trace watch: it was made safe where it was written. */
static bool
show_line(void *arg, struct slice fields)
{
	struct row_field f;

	(void)arg;
	while (row_next(&fields, &f) == 0) {
		if (slice_eq(f.name, SLICE_LIT("line")))
			printf("%.*s\n", (int)f.text.len, (const char *)f.text.p);
		else if (slice_eq(f.name, SLICE_LIT("lost")))
			printf("(%lld lines before that one came too fast and are lost)\n", (long long)f.number);
	}
	if (fflush(stdout) != 0)
		exit(TOOL_REFUSED);
	return true;
}

static bool
show_line_json(void *arg, struct slice fields)
{
	(void)arg;
	json_row(stdout, fields);
	if (fflush(stdout) != 0)
		exit(TOOL_REFUSED);
	return true;
}

/* Sends it and shows what came back. */
static enum tool_exit
run(const struct options *o, enum admin_command c, size_t argc, char *const *argv, const char *password)
{
	const char *words = admin_info(c)->words;
	const char *last = strrchr(words, ' ');
	char error[TOOL_ERROR_MAX] = "";
	struct answer a;
	enum tool_exit code;

	memset(&a, 0, sizeof a);
	a.list = last != NULL && (strcmp(last, " list") == 0 || strcmp(last, " all") == 0);
	if (c == ADMIN_trace_watch)
		a.each = o->json ? show_line_json : show_line;
	if (c == ADMIN_backup || c == ADMIN_restore || c == ADMIN_store_check)
		a.each = progress_row;
	progress_what(words);
	a.quiet_end = c == ADMIN_stop;
	code = conn_ask(o->socket, c, argc, argv, &a, error);
	progress_end();
	if (code != TOOL_DONE) {
		fail(o, code, code == TOOL_NO_DAEMON ? "no-daemon" : "refused", error);
	} else if (a.code != 0) {
		/* What a check found; else an answer that broke off. */
		if (c == ADMIN_store_check && !o->json)
			show_answer(stdout, &a);
		code = fail(o, TOOL_REFUSED, err_name(a.code), a.text[0] != '\0' ? a.text : err_text(a.code));
	} else {
		a.password = password;
		if (o->json)
			json_answer(stdout, &a);
		else if (c == ADMIN_state)
			show_state(stdout, &a);
		else
			show_answer(stdout, &a);
	}
	answer_fini(&a);
	return code;
}

/* NAME [PASSWORD]: the password is found, then NAME PASSWORD ["generated"] goes out. */
static enum tool_exit
set_account(const struct options *o, enum admin_command c, size_t argc, char *const *argv)
{
	char *send[3] = { argv[0], NULL, NULL };
	char marker[] = "generated";
	const char *why = NULL;
	char *password;
	enum tool_exit code;

	if (argc == 2 && o->generate)
		return fail(o, TOOL_USAGE, "usage", "account set: a PASSWORD and --generate are one too many");
	password = argc == 2 ? mem_strdup(argv[1]) : o->generate ? secret_make() : secret_read(&why);
	if (password == NULL)
		return fail(o, TOOL_USAGE, "usage", why);
	if (password[0] == '\0') {
		code = fail(o, TOOL_USAGE, "usage", "account set: the password is empty; --generate makes one");
	} else {
		send[1] = password;
		send[2] = marker;
		code = run(o, c, o->generate ? 3 : 2, send, o->generate ? password : NULL);
	}
	secret_free(password);
	return code;
}

/* DIR: the daemon has another working directory. */
static enum tool_exit
with_dir(const struct options *o, enum admin_command c, char *const *argv)
{
	char cwd[CONFIG_VALUE_MAX], path[2 * CONFIG_VALUE_MAX];
	char *send[1] = { path };

	if (argv[0][0] == '\0')
		return fail(o, TOOL_USAGE, "usage", "the name of the directory is empty");
	if (argv[0][0] != '/' && getcwd(cwd, sizeof cwd) == NULL)
		return fail(o, TOOL_USAGE, "usage", "the working directory cannot be read; give an absolute path");
	if (argv[0][0] == '/')
		snprintf(path, sizeof path, "%s", argv[0]);
	else
		snprintf(path, sizeof path, "%s/%s", cwd, argv[0]);
	return run(o, c, 1, send, NULL);
}

static void
show_counts(bool json, struct slice counts)
{
	struct answer_row row = { { NULL, 0 }, counts };
	char none[1] = "";
	struct answer a = { .rows = &row, .count = 1, .text = none };
	struct row_field f;

	if (json)
		json_answer(stdout, &a);
	else
		while (row_next(&counts, &f) == 0)
			if (f.number > 0 || slice_eq(f.name, SLICE_LIT("added")))
				printf("%.*s: %lld\n", (int)f.name.len, (const char *)f.name.p, (long long)f.number);
}

static enum tool_exit
with_file(const struct options *o, enum admin_command c, size_t argc, char *const *argv)
{
	const char *how = argc > 1 ? argv[1] : "new";
	char error[TOOL_ERROR_MAX] = "";
	enum tool_exit code;
	struct buf counts;

	buf_init(&counts);
	code = c == ADMIN_store_export ? export_file(o->socket, argv[0], error) :
	    import_file(o->socket, argv[0], how, &counts, error);
	if (code == TOOL_DONE && c == ADMIN_store_import)
		show_counts(o->json, buf_slice(&counts));
	buf_fini(&counts);
	if (code == TOOL_DONE)
		return code;
	return fail(o, code, code == TOOL_NO_DAEMON ? "no-daemon" : code == TOOL_USAGE ? "usage" : "refused", error);
}

static const char *
question_of(enum admin_command c)
{
	switch ((unsigned)c) {
	case ADMIN_reset:
		return "All accounts, rules, settings, retained messages and sessions will be gone. Clear them?";
	case ADMIN_restore:
		return "All data will be those of the backup, and all clients are disconnected. Restore them?";
	default:
		return NULL;
	}
}

static enum tool_exit
do_words(struct options *o)
{
	char error[TOOL_ERROR_MAX] = "";
	enum admin_command c;
	size_t used, argc;
	char *const *argv;

	if (words_match(o->count, o->words, &c, &used, error, sizeof error) != 0) {
		fail(o, TOOL_USAGE, "usage", error);
		if (o->count == 0)
			fputs(usage_text, stderr);
		return TOOL_USAGE;
	}
	argc = o->count - used;
	argv = o->words + used;
	if (o->generate && c != ADMIN_account_set)
		return fail(o, TOOL_USAGE, "usage", "--generate goes with account set alone");
	if (find_socket(o, error) != 0)
		return fail(o, TOOL_USAGE, "usage", error);
	if (question_of(c) != NULL && !o->yes && !secret_confirm(question_of(c)))
		return fail(o, TOOL_REFUSED, "refused", c == ADMIN_reset ? "reset: nothing was cleared; --yes does it without asking" :
		    "restore: nothing was changed; --yes does it without asking");
	if (c == ADMIN_backup || c == ADMIN_restore)
		return with_dir(o, c, argv);
	if (c == ADMIN_store_export || c == ADMIN_store_import)
		return with_file(o, c, argc, argv);
	if (c == ADMIN_account_set)
		return set_account(o, c, argc, argv);
	return run(o, c, argc, argv, NULL);
}

int
main(int argc, char **argv)
{
	struct options o;
	char error[TOOL_ERROR_MAX] = "";
	enum tool_exit code = TOOL_DONE;

	memset(&o, 0, sizeof o);
	if (parse_options(&o, argc, argv, error) != 0)
		code = fail(&o, TOOL_USAGE, "usage", error);
	else if (o.help || is_help_word(&o))
		code = help(&o);
	else if (o.version)
		puts("fubar-admin " PACKAGE_VERSION);
	else if (o.complete)
		complete_print(stdout);
	else
		code = do_words(&o);
	mem_free(o.words);
	if (fflush(stdout) != 0 && code == TOOL_DONE) {
		perror("fubar-admin: standard output");
		code = TOOL_REFUSED;
	}
	return (int)code;
}
