/* SPDX-License-Identifier: Apache-2.0 */
#include "t/support/unit.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/err.h"
#include "supervisor/logs.h"

#define STAMP "2024-01-31T12:00:00.000Z "

static char dir[64];
static char got[1 << 17];
static struct config c;
static struct config_error e;
static struct loop *l;
static struct logs g;
static int real_stderr;
static int err_end;             /* what went to standard error is read here */

/* err: the new standard error, taken. */
static void
make(const char *to, int err)
{
	snprintf(dir, sizeof dir, "/tmp/fubar-logs-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	config_init(&c);
	ck_assert_int_eq(config_set(&c, "log.to", to, CONFIG_FLAG, &e), 0);
	ck_assert_int_eq(config_set(&c, "log.dir", dir, CONFIG_FLAG, &e), 0);
	real_stderr = dup(STDERR_FILENO);
	ck_assert_int_eq(dup2(err, STDERR_FILENO), STDERR_FILENO);
	close(err);
	l = loop_new();
	ck_assert_int_eq(logs_init(&g, l, &c, geteuid(), getegid(), &e), 0);
}

static void
make_piped(const char *to)
{
	int ends[2];

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	err_end = ends[0];
	ck_assert_int_eq(fcntl(err_end, F_SETFL, O_NONBLOCK), 0);
	make(to, ends[1]);
}

static void
unmake(void)
{
	static const char *const names[] = { "console.log", "console.log.1", "error.log", "stat.log" };
	char path[PATH_MAX];

	logs_fini(&g);
	ck_assert_int_eq(dup2(real_stderr, STDERR_FILENO), STDERR_FILENO);
	close(real_stderr);
	close(err_end);
	loop_free(l);
	config_fini(&c);
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		snprintf(path, sizeof path, "%s/%s", dir, names[i]);
		(void)unlink(path);
	}
	ck_assert_int_eq(rmdir(dir), 0);
}

static const char *
in_file(const char *name)
{
	char path[PATH_MAX];
	ssize_t n;
	int fd;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return NULL;
	n = read(fd, got, sizeof got - 1);
	close(fd);
	got[n > 0 ? n : 0] = '\0';
	return got;
}

static const char *
in_stderr(void)
{
	ssize_t n = read(err_end, got, sizeof got - 1);

	got[n > 0 ? n : 0] = '\0';
	return got;
}

/* As a child does. */
static void
say(const char *text)
{
	ck_assert_int_eq(write(g.pipe_out, text, strlen(text)), (ssize_t)strlen(text));
}

static void
turn(void)
{
	(void)loop_turn(l, false);
}

START_TEST(lines_go_to_the_files_of_their_level)
{
	make_piped("files");
	say(STAMP "info worker 0 conn: opened peer=a\n");
	say(STAMP "warn worker 0 conn: slow peer=b\n" STAMP "notice store env: recovered\n");
	say(STAMP "error store env: gone\n");
	turn();
	ck_assert_str_eq(in_file("console.log"), STAMP "info worker 0 conn: opened peer=a\n" STAMP "warn worker 0 conn: slow peer=b\n"
	    STAMP "notice store env: recovered\n" STAMP "error store env: gone\n");
	ck_assert_str_eq(in_file("error.log"), STAMP "warn worker 0 conn: slow peer=b\n" STAMP "error store env: gone\n");
	ck_assert_str_eq(in_file("stat.log"), "");
	ck_assert_str_eq(in_stderr(), "");
	ck_assert(logs_stat(&g, "x\n", 2));
	ck_assert_str_eq(in_file("stat.log"), "x\n");
	unmake();
}
END_TEST

START_TEST(both_and_standard_error_alone)
{
	make_piped("both");
	say(STAMP "info a\n");
	turn();
	ck_assert_str_eq(in_file("console.log"), STAMP "info a\n");
	ck_assert_str_eq(in_stderr(), STAMP "info a\n");
	ck_assert_int_eq(config_set(&c, "log.to", "stderr", CONFIG_FLAG, &e), 0);
	ck_assert_int_eq(logs_open(&g, &c, &e), 0);
	say(STAMP "info b\n");
	turn();
	ck_assert_str_eq(in_file("console.log"), STAMP "info a\n");
	ck_assert_str_eq(in_stderr(), STAMP "info b\n");
	ck_assert(!logs_stat(&g, "x\n", 2));
	unmake();
}
END_TEST

START_TEST(our_own_line_comes_behind_the_childrens)
{
	make_piped("stderr");
	say(STAMP "info worker 0: last words\n");
	log_notice("proctab", "process died", "slot=%d", 0);
	ck_assert_ptr_eq(strstr(in_stderr(), STAMP "info worker 0: last words\n"), got);
	ck_assert_ptr_nonnull(strstr(got, " notice supervisor proctab: process died slot=0\n"));
	unmake();
}
END_TEST

/* What was no line of ours is a warning, whole, and swallows nothing. */
START_TEST(foreign_bytes)
{
	static char big[3 * LOG_LINE_MAX];

	make_piped("files");
	say("free(): invalid pointer\nno new");
	turn();
	say("line" STAMP "info a\n");
	turn();
	ck_assert_str_eq(in_file("console.log"), "free(): invalid pointer\nno newline\n" STAMP "info a\n");
	ck_assert_str_eq(in_file("error.log"), "free(): invalid pointer\nno newline\n");
	say("cut off");
	log_info("m", "e", "");
	ck_assert_ptr_nonnull(strstr(in_file("error.log"), "\ncut off\n"));
	memset(big, 'x', sizeof big - 1);
	say(big);
	say("y\n");
	say(STAMP "info b\n");
	turn();
	ck_assert_uint_eq(strspn(strchr(in_file("console.log"), 'x'), "x\ny"), sizeof big - 1 + 3);
	ck_assert_str_eq(strchr(got, 'y'), "y\n" STAMP "info b\n");
	unmake();
}
END_TEST

static void
make_socket(int type, const char *journal)
{
	struct stat st;
	char stream[64];
	int ends[2];

	ck_assert_int_eq(socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
	ck_assert_int_eq(fcntl(ends[1], F_SETFL, 0), 0);        /* as journald's comes: blocking */
	ck_assert_int_eq(fstat(ends[1], &st), 0);
	snprintf(stream, sizeof stream, "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	setenv("JOURNAL_STREAM", journal != NULL ? journal : stream, 1);
	err_end = ends[0];
	make("stderr", ends[1]);
}

START_TEST(journald_is_told_levels)
{
	make_socket(SOCK_STREAM, NULL);
	ck_assert_ptr_null(getenv("JOURNAL_STREAM"));
	say(STAMP "error a\n" STAMP "warn a\n" STAMP "notice a\n" STAMP "info a\n" STAMP "debug a\nforeign\n");
	turn();
	ck_assert_str_eq(in_stderr(), "<3>" STAMP "error a\n<4>" STAMP "warn a\n<5>" STAMP "notice a\n<6>" STAMP "info a\n<7>" STAMP
	    "debug a\n<4>foreign\n");
	unmake();
	make_socket(SOCK_STREAM, "1:2");                /* somebody else's */
	say(STAMP "error a\n");
	turn();
	ck_assert_str_eq(in_stderr(), STAMP "error a\n");
	unmake();
}
END_TEST

static void
fill_stderr(void)
{
	for (int i = 0; i < 3000; i++) {
		char line[LOG_LINE_MAX];
		int n = snprintf(line, sizeof line, STAMP "info i=%d %0900d\n", i, 0);

		ck_assert_int_eq(write(g.pipe_out, line, (size_t)n), n);
		if (i % 16 == 0)
			turn();
	}
	while (g.err_lost == 0)
		turn();
	turn();
}

/* A journald that hangs, a pager that nobody leaves. */
START_TEST(who_does_not_read_loses_lines_and_is_told)
{
	for (int i = 0; i < 2; i++) {
		if (i == 0)
			make_socket(SOCK_STREAM, NULL);
		else
			make_piped("stderr");
		fill_stderr();
		while (in_stderr()[0] != '\0')
			;
		say(STAMP "info after\n");
		turn();
		ck_assert_ptr_nonnull(strstr(in_stderr(), "logs: lines lost count="));
		ck_assert_ptr_nonnull(strstr(got, STAMP "info after\n"));
		ck_assert_uint_eq(g.err_lost, 0);
		unmake();
	}
}
END_TEST

START_TEST(a_file_that_takes_nothing_is_told_elsewhere)
{
	char path[PATH_MAX];

	make_piped("files");
	snprintf(path, sizeof path, "%s/console.log", dir);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(symlink("/dev/full", path), 0);
	ck_assert_int_eq(logs_open(&g, &c, &e), 0);
	say(STAMP "error one\n" STAMP "error two\n");
	turn();
	ck_assert_ptr_nonnull(strstr(in_stderr(), "logs: cannot be written, lines are lost file="));
	ck_assert_ptr_nonnull(strstr(got, "No space left on device"));
	ck_assert_ptr_eq(strchr(got, '\n'), strrchr(got, '\n'));        /* once */
	ck_assert_str_eq(in_file("error.log"), STAMP "error one\n" STAMP "error two\n");
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(logs_open(&g, &c, &e), 0);
	say(STAMP "error three\n");
	turn();
	ck_assert_ptr_nonnull(strstr(in_file("console.log"), "logs: lines lost count=2 file="));
	ck_assert_ptr_nonnull(strstr(got, "\n" STAMP "error three\n"));
	unmake();
}
END_TEST

START_TEST(a_directory_that_cannot_be_used_changes_nothing)
{
	make_piped("files");
	ck_assert_int_eq(config_set(&c, "log.dir", "/proc/none/log", CONFIG_FLAG, &e), 0);
	ck_assert_int_eq(logs_check(&c, &e), FB_EPERM);
	ck_assert_int_eq(logs_open(&g, &c, &e), FB_EPERM);
	ck_assert_ptr_nonnull(strstr(e.text, "log.dir /proc/none/log: "));
	say(STAMP "info a\n");
	turn();
	ck_assert_str_eq(in_file("console.log"), STAMP "info a\n");
	unmake();
}
END_TEST

UNIT_MAIN("logs", lines_go_to_the_files_of_their_level, both_and_standard_error_alone, our_own_line_comes_behind_the_childrens,
    foreign_bytes, journald_is_told_levels, who_does_not_read_loses_lines_and_is_told,
    a_file_that_takes_nothing_is_told_elsewhere, a_directory_that_cannot_be_used_changes_nothing)
