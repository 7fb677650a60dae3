/* SPDX-License-Identifier: Apache-2.0
 * supervisor/client/shell.c - the loop: lines come in, sockets are served while one is typed and while a script waits. */
#include "supervisor/client/shell.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "supervisor/client/wire.h"
#include "common/base/err.h"
#include "common/base/mem.h"

#define ANSWER_NS (30 * NS_PER_SEC)     /* no answer for so long: a script fails */
#define GOODBYE_NS (2 * NS_PER_SEC)
#define LINE_MAX_BYTES (1u << 20)

static volatile sig_atomic_t interrupted;

static void
on_signal(int signo)
{
	interrupted = signo;
}

void
shell_print(struct shell *sh, const char *fmt, ...)
{
	va_list ap;

	edit_hide();
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

void
shell_fail(struct shell *sh, const char *fmt, ...)
{
	va_list ap;

	FILE *f = sh->interactive || sh->must_fail ? stdout : stderr;

	sh->failed = true;
	edit_hide();
	fflush(stdout);
	if (f == stderr)
		fprintf(f, "fubar-client shell: line %u: ", sh->line);
	else if (sh->must_fail)
		fprintf(f, "! ");
	va_start(ap, fmt);
	vfprintf(f, fmt, ap);
	va_end(ap);
	fputc('\n', f);
}

void
shell_know(struct shell *sh, struct slice topic)
{
	char **slot = &sh->known[sh->known_next % SHELL_KNOWN_MAX];

	for (size_t i = 0; i < SHELL_KNOWN_MAX; i++)
		if (sh->known[i] != NULL && slice_eq(slice_str(sh->known[i]), topic))
			return;
	mem_free(*slot);
	*slot = mem_dup(topic.p, topic.len);
	sh->known_next++;
}

/* ---- waiting ---- */

void
shell_wait(struct shell *sh, enum wait_for what, struct member *m, uint64_t token, bool always)
{
	if (sh->interactive && !always)
		return;
	sh->wait = what;
	sh->wait_member = m;
	sh->wait_token = token;
	if (!always)
		sh->wait_end = mono_add(clock_mono(), ANSWER_NS);
}

void
shell_happened(struct shell *sh, enum wait_for what, struct member *m, uint64_t token, bool ok)
{
	if (sh->wait == WAIT_NONE || sh->wait_member != m)
		return;
	if (what == WAIT_DOWN && sh->wait != WAIT_DOWN)
		ok = false;                     /* what was waited for will not come */
	else if (what != sh->wait || (what == WAIT_ANSWER && token != sh->wait_token))
		return;
	else if (what == WAIT_COUNT && m->received - m->waited < sh->wait_token)
		return;
	if (what == WAIT_COUNT)
		m->waited += sh->wait_token;
	sh->wait = WAIT_NONE;
	if (!ok)
		shell_fail(sh, "@%s: %s", m->name, m->caller.state == CALLER_DOWN ? m->why : "it was refused");
}

/* ---- sockets ---- */

static uint32_t
flush_all(struct shell *sh, struct mono now)
{
	uint32_t n = 0;

	LIST_EACH(node, &sh->members) {
		struct member *m = container_of(node, struct member, node);

		if (m->made)
			caller_flush(&m->caller, now);
		n++;
	}
	return n;
}

static int
wait_ms(struct shell *sh, int64_t max_ns)
{
	struct mono now = clock_mono();
	struct mono at = { max_ns < 0 ? INT64_MAX : now.ns + max_ns };

	LIST_EACH(node, &sh->members) {
		struct member *m = container_of(node, struct member, node);

		if (m->made && caller_deadline(&m->caller).ns < at.ns)
			at = caller_deadline(&m->caller);
	}
	if (at.ns == INT64_MAX)
		return -1;
	return at.ns <= now.ns ? 0 : at.ns - now.ns > 3600 * NS_PER_SEC ? 3600000 : (int)((at.ns - now.ns) / NS_PER_MS + 1);
}

bool
shell_turn(struct shell *sh, int fd, int64_t max_ns)
{
	bool waiting = sh->wait != WAIT_NONE;
	uint32_t n = flush_all(sh, clock_mono());
	struct pollfd *p;
	uint32_t i = 1;
	bool readable;

	if (waiting && sh->wait == WAIT_NONE)
		return false;                   /* a drop needs no socket to happen */
	p = mem_zalloc((n + 1) * sizeof *p);
	p[0] = (struct pollfd){ .fd = fd, .events = POLLIN };
	LIST_EACH(node, &sh->members) {
		struct member *m = container_of(node, struct member, node);

		p[i++] = (struct pollfd){ .fd = m->made ? m->caller.fd : -1, .events = m->made ? caller_events(&m->caller) : 0 };
	}
	edit_show();
	fflush(stdout);
	if (poll(p, n + 1, wait_ms(sh, max_ns)) < 0) {
		mem_free(p);
		return false;
	}
	i = 1;
	LIST_EACH(node, &sh->members) {
		struct member *m = container_of(node, struct member, node);

		if (m->made)
			caller_ready(&m->caller, p[i].revents, clock_mono());
		i++;
	}
	readable = p[0].revents != 0;
	mem_free(p);
	(void)flush_all(sh, clock_mono());
	return readable;
}

/* Until the command in hand has its result. */
static void
finish_command(struct shell *sh)
{
	while (sh->wait != WAIT_NONE) {
		int64_t left = mono_diff(sh->wait_end, clock_mono());

		if (left <= 0 || interrupted != 0) {
			sh->wait = WAIT_NONE;
			interrupted = 0;
			shell_fail(sh, "@%s: %s", sh->wait_member->name, left <= 0 ? "waited in vain" : "interrupted");
			return;
		}
		(void)shell_turn(sh, -1, left);
	}
}

/* ---- lines ---- */

/* False: the script ends here. */
static bool
run_line(struct shell *sh, char *line)
{
	line += strspn(line, " \t");
	sh->must_fail = line[0] == '!' && !sh->interactive;
	sh->line++;
	sh->failed = false;
	sh->wait = WAIT_NONE;
	shell_command(sh, line + (line[0] == '!'));
	finish_command(sh);
	if (sh->interactive)
		return !sh->quit;
	if (sh->must_fail && sh->failed) {
		sh->failed = false;
	} else if (sh->must_fail) {
		sh->must_fail = false;
		shell_fail(sh, "this did not fail");
	}
	return !sh->failed && !sh->quit;
}

/* Commands from a pipe or a file: read as they come, so that a program can talk to the shell line by line. */
static int
run_script(struct shell *sh)
{
	struct buf in;
	bool more = true;
	bool ended = false;

	buf_init(&in);
	while (more && interrupted == 0) {
		struct slice have = buf_slice(&in);
		const uint8_t *nl = have.len > 0 ? memchr(have.p, '\n', have.len) : NULL;
		size_t len = nl != NULL ? (size_t)(nl - have.p) : have.len;
		ssize_t n;

		if (nl != NULL || (ended && len > 0)) {
			char *line = mem_dup(have.p, len);

			buf_eat(&in, nl != NULL ? len + 1 : len);
			more = run_line(sh, line);
			mem_free(line);
		} else if (ended || len > LINE_MAX_BYTES) {
			break;
		} else if (shell_turn(sh, STDIN_FILENO, -1)) {
			n = read(STDIN_FILENO, buf_room(&in, 65536), 65536);
			if (n > 0)
				buf_added(&in, (size_t)n);
			ended = n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN);
		}
	}
	buf_fini(&in);
	return sh->failed || interrupted != 0 ? WIRE_FAILED : WIRE_OK;
}

static int
run_terminal(struct shell *sh)
{
	struct edit *e = edit_open(sh);
	char *line;

	if (e == NULL)
		return run_script(sh);
	printf("help shows the commands, ctrl-D ends.\n");
	do {
		interrupted = 0;
		line = edit_line(e);
	} while (line != NULL && run_line(sh, line));
	edit_close(e);
	return WIRE_OK;
}

static void
say_goodbye(struct shell *sh)
{
	struct mono end = mono_add(clock_mono(), GOODBYE_NS);
	bool more = true;

	LIST_EACH(node, &sh->members) {
		struct member *m = container_of(node, struct member, node);

		if (m->made && m->caller.state != CALLER_DOWN)
			caller_end(&m->caller, NULL);
	}
	while (more && mono_diff(end, clock_mono()) > 0) {
		(void)shell_turn(sh, -1, 20 * NS_PER_MS);
		more = false;
		LIST_EACH(node, &sh->members)
			more |= strcmp(member_state(container_of(node, struct member, node)), "down") != 0;
	}
}

int
shell_main(char **argv)
{
	struct shell sh = { .defaults = argv, .wait_end = { INT64_MAX }, .next_token = 1 };
	struct sigaction sa = { .sa_handler = on_signal };
	struct cli cli;
	char error[256];
	int status;
	bool help;

	if (cli_parse(&cli, CLI_CONNECT, argv, error, sizeof error) != 0) {
		fprintf(stderr, "fubar-client shell: %s\nTry 'fubar-client shell --help'.\n", error);
		cli_fini(&cli);
		return WIRE_USAGE;
	}
	help = cli.help;
	cli_fini(&cli);
	if (help) {
		printf("usage: fubar-client shell [OPTION]...\nCommands from standard input; 'help' there shows them. Options count "
		    "for each connect.\n\n");
		cli_help(CLI_CONNECT);
		return WIRE_OK;
	}
	list_init(&sh.members);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sh.interactive = isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1;
	status = sh.interactive ? run_terminal(&sh) : run_script(&sh);
	sh.interactive = false;
	say_goodbye(&sh);
	while (!list_empty(&sh.members))
		member_free(LIST_FIRST(&sh.members, struct member, node));
	for (size_t i = 0; i < SHELL_KNOWN_MAX; i++)
		mem_free(sh.known[i]);
	return fflush(stdout) == 0 ? status : WIRE_FAILED;
}
