/* SPDX-License-Identifier: Apache-2.0 */
#include "t/support/unit.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/log.h"

static int ends[2];
static char got[65536];

static void
open_pipe(enum log_level level)
{
	ck_assert_int_eq(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
	log_open(ends[1], "worker 7", level);
}

static void
close_pipe(void)
{
	log_open(STDERR_FILENO, "test", LOG_NOTICE);
	close(ends[0]);
	close(ends[1]);
}

/* What was logged since. */
static const char *
logged(void)
{
	ssize_t n = read(ends[0], got, sizeof got - 1);

	got[n > 0 ? n : 0] = '\0';
	return got;
}

static int
lines(const char *text)
{
	int n = 0;

	for (; *text != '\0'; text++)
		n += *text == '\n';
	return n;
}

START_TEST(a_line)
{
	open_pipe(LOG_NOTICE);
	log_warn("session", "takeover refused", "client=%s owner=%d", "a", 2);
	ck_assert_str_eq(logged() + strlen("2024-01-31T12:00:00.000Z"),
	    " warn worker 7 session: takeover refused client=a owner=2\n");
	ck_assert_int_eq(got[10], 'T');
	ck_assert_int_eq(got[23], 'Z');
	log_notice("main", "started", "");
	ck_assert_str_eq(logged() + 24, " notice worker 7 main: started\n");
	close_pipe();
}
END_TEST

START_TEST(levels)
{
	enum log_level level = LOG_WARN;

	open_pipe(LOG_NOTICE);
	log_info("m", "e", "x=%d", 1);
	log_debug("m", "e", "x=%d", 1);
	ck_assert_str_eq(logged(), "");
	log_set_level(LOG_DEBUG);
	ck_assert(log_would(LOG_DEBUG));
	log_info("m", "e", "x=%d", 1);
	log_debug("m", "e", "x=%d", 1);
	ck_assert_int_eq(lines(logged()), 2);
	for (enum log_level l = LOG_ERROR; l <= LOG_DEBUG; l++) {
		ck_assert_int_eq(log_level_parse(log_level_name(l), &level), 0);
		ck_assert_int_eq(level, l);
	}
	ck_assert_int_eq(log_level_parse("loud", &level), FB_EINVAL);
	ck_assert_int_eq(level, LOG_DEBUG);
	close_pipe();
}
END_TEST

START_TEST(control_bytes_do_not_get_through)
{
	open_pipe(LOG_NOTICE);
	log_notice("m", "e", "x=%s", "a\nb\x1b[31m\x7f");
	ck_assert_str_eq(logged() + 24, " notice worker 7 m: e x=a?b?[31m?\n");
	close_pipe();
}
END_TEST

START_TEST(a_long_line_is_cut)
{
	char text[5000];

	memset(text, 'a', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	open_pipe(LOG_NOTICE);
	log_notice("m", "e", "x=%s", text);
	ck_assert_int_eq(lines(logged()), 1);
	ck_assert_uint_le(strlen(got), 2048);
	ck_assert_str_eq(got + strlen(got) - 5, "a...\n");
	log_notice("m", text, "x=%s", text);
	ck_assert_int_eq(lines(logged()), 1);
	ck_assert_uint_le(strlen(got), 2048);
	close_pipe();
}
END_TEST

static void
log_from_one_place(struct log_site *site, enum log_level level, int count)
{
	for (int i = 0; i < count; i++)
		log_write(site, level, "m", "e", "i=%d", i);
}

START_TEST(each_place_has_its_rate)
{
	struct log_site a = { 0 };
	struct log_site b = { 0 };
	int n;

	open_pipe(LOG_NOTICE);
	log_from_one_place(&a, LOG_WARN, 100);
	n = lines(logged());
	ck_assert(n >= 10 && n <= 21);          /* a second may end between */
	log_from_one_place(&b, LOG_WARN, 1);
	ck_assert_int_eq(lines(logged()), 1);
	log_from_one_place(&a, LOG_ERROR, 100);
	ck_assert_int_eq(lines(logged()), 100);
	close_pipe();
}
END_TEST

START_TEST(what_was_suppressed_is_told_later)
{
	struct log_site a = { .second = -5, .lines = 10, .suppressed = 33 };

	open_pipe(LOG_NOTICE);
	log_from_one_place(&a, LOG_WARN, 1);
	ck_assert_int_eq(lines(logged()), 2);
	ck_assert_ptr_nonnull(strstr(got, " warn worker 7 m: e suppressed=33\n"));
	ck_assert_ptr_nonnull(strstr(got, " e i=0\n"));
	close_pipe();
}
END_TEST

START_TEST(a_full_pipe_does_not_block_and_the_loss_is_told)
{
	struct log_site a = { 0 };

	open_pipe(LOG_NOTICE);
	log_from_one_place(&a, LOG_ERROR, 5000);
	while (logged()[0] != '\0')
		;
	log_from_one_place(&a, LOG_ERROR, 1);
	logged();
	ck_assert_ptr_nonnull(strstr(got, "log: lines lost count="));
	ck_assert_int_eq(lines(got), 2);
	close_pipe();
}
END_TEST

UNIT_MAIN("log", a_line, levels, control_bytes_do_not_get_through, a_long_line_is_cut, each_place_has_its_rate,
    what_was_suppressed_is_told_later, a_full_pipe_does_not_block_and_the_loss_is_told)
