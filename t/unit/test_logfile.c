/* SPDX-License-Identifier: Apache-2.0 */
#include "t/support/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/err.h"
#include "supervisor/logfile.h"

#define DAY_NS (24 * 3600 * NS_PER_SEC)

static char dir[64];
static char path[128];
static char got[65536];
static struct logfile f;

static void
make(int64_t max_size, unsigned keep)
{
	snprintf(dir, sizeof dir, "/tmp/fubar-logfile-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/a.log", dir);
	f = (struct logfile){ .path = NULL };
	ck_assert_int_eq(logfile_open(&f, path, max_size, keep), 0);
}

static void
unmake(void)
{
	char name[PATH_MAX];

	logfile_close(&f);
	for (int i = -1; i < 20; i++) {
		snprintf(name, sizeof name, i < 0 ? "%s.new" : i == 0 ? "%s" : "%s.%d", path, i);
		(void)unlink(name);
	}
	ck_assert_int_eq(rmdir(dir), 0);
}

/* What is in PATH.n; NULL: there is none. */
static const char *
old(int n)
{
	char name[PATH_MAX];
	ssize_t len;
	int fd;

	snprintf(name, sizeof name, n == 0 ? "%s" : "%s.%d", path, n);
	fd = open(name, O_RDONLY);
	if (fd < 0)
		return NULL;
	len = read(fd, got, sizeof got - 1);
	close(fd);
	got[len > 0 ? len : 0] = '\0';
	return got;
}

static struct wall
at(int64_t day, int64_t ns)
{
	return (struct wall){ day * DAY_NS + ns };
}

static bool
put(const char *line, struct wall now)
{
	return logfile_write(&f, line, strlen(line), now);
}

START_TEST(a_line_that_does_not_fit_begins_a_new_file)
{
	struct wall now = clock_wall();

	make(12, 2);
	ck_assert(put("one..\n", now));
	ck_assert(put("two..\n", now));         /* fits exactly */
	ck_assert_str_eq(old(0), "one..\ntwo..\n");
	ck_assert_ptr_null(old(1));
	ck_assert(put("three\n", now));
	ck_assert_str_eq(old(0), "three\n");
	ck_assert_str_eq(old(1), "one..\ntwo..\n");
	ck_assert(put("longer than it may be\n", now));        /* alone in its file, but not lost */
	ck_assert(put("5\n", now));
	ck_assert_str_eq(old(0), "5\n");
	ck_assert_str_eq(old(1), "longer than it may be\n");
	ck_assert_str_eq(old(2), "three\n");
	ck_assert_ptr_null(old(3));             /* keep 2 */
	unmake();
}
END_TEST

START_TEST(the_group_may_read)
{
	mode_t before = umask(077);
	struct stat st;

	make(6, 1);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(stat(path, &st), 0);
		ck_assert_uint_eq(st.st_mode & 07777, 0640);
		ck_assert(put("one..\n", clock_wall()));
		ck_assert(put("two..\n", clock_wall()));
	}
	ck_assert_int_eq(chmod(path, 0600), 0);
	logfile_close(&f);
	ck_assert_int_eq(logfile_open(&f, path, 6, 1), 0);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	umask(before);
	unmake();
}
END_TEST

START_TEST(nothing_old_is_kept)
{
	struct wall now = clock_wall();

	make(6, 0);
	ck_assert(put("one..\n", now));
	ck_assert(put("two..\n", now));
	ck_assert_str_eq(old(0), "two..\n");
	ck_assert_ptr_null(old(1));
	unmake();
}
END_TEST

START_TEST(a_day_has_its_file)
{
	make(1000, 3);
	ck_assert(put("a\n", at(30000, 0)));
	ck_assert(put("b\n", at(30000, DAY_NS - 1)));
	ck_assert(put("c\n", at(30001, 0)));
	ck_assert(put("d\n", at(30000, DAY_NS - 1)));          /* the clock was set back */
	ck_assert(put("e\n", at(30001, 5)));
	ck_assert_str_eq(old(0), "c\nd\ne\n");
	ck_assert_str_eq(old(1), "a\nb\n");
	ck_assert(put("f\n", at(30009, 0)));
	ck_assert_str_eq(old(0), "f\n");
	ck_assert_str_eq(old(2), "a\nb\n");
	unmake();
}
END_TEST

START_TEST(a_file_found_is_of_its_last_day)
{
	const struct timespec t[2] = { { .tv_sec = 30000 * (DAY_NS / NS_PER_SEC) + 10 }, { .tv_sec = 30000 * (DAY_NS / NS_PER_SEC) + 10 } };

	make(1000, 3);
	ck_assert(put("a\n", at(30000, 0)));
	logfile_close(&f);
	ck_assert_int_eq(utimensat(AT_FDCWD, path, t, 0), 0);
	ck_assert_int_eq(logfile_open(&f, path, 1000, 3), 0);
	ck_assert(put("b\n", at(30000, 20 * NS_PER_SEC)));
	ck_assert_str_eq(old(0), "a\nb\n");
	logfile_close(&f);
	ck_assert_int_eq(utimensat(AT_FDCWD, path, t, 0), 0);
	ck_assert_int_eq(logfile_open(&f, path, 1000, 3), 0);
	ck_assert(put("c\n", at(30001, 0)));
	ck_assert_str_eq(old(0), "c\n");
	ck_assert_str_eq(old(1), "a\nb\n");
	unmake();
}
END_TEST

START_TEST(what_cannot_be_put_aside_is_written_on)
{
	struct wall now = clock_wall();
	char blocker[PATH_MAX];

	make(6, 1);
	snprintf(blocker, sizeof blocker, "%s.1", path);
	ck_assert_int_eq(mkdir(blocker, 0700), 0);      /* rename() onto it fails, for root too */
	ck_assert(put("one..\n", now));
	ck_assert(put("two..\n", now));
	ck_assert_str_eq(old(0), "one..\ntwo..\n");
	ck_assert_int_eq(rmdir(blocker), 0);
	ck_assert(put("three\n", now));                 /* not tried again with each line */
	ck_assert_str_eq(old(0), "one..\ntwo..\nthree\n");
	now.ns += 61 * NS_PER_SEC;
	ck_assert(put("four.\n", now));
	ck_assert_str_eq(old(0), "four.\n");
	ck_assert_str_eq(old(1), "one..\ntwo..\nthree\n");
	unmake();
}
END_TEST

/* RLIMIT_FSIZE is a disk that is full at a byte: the write that reaches it is short, the next one fails. */
START_TEST(a_full_disk_loses_whole_lines_and_counts_them)
{
	struct wall now = clock_wall();
	struct rlimit before, r;

	make(1 << 20, 1);
	ck_assert(put("first\n", now));
	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
	r = before;
	r.rlim_cur = 10;
	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &r), 0);
	ck_assert(!put("second\n", now));
	ck_assert(!put("third\n", now));
	ck_assert_uint_eq(f.lost, 2);
	ck_assert_int_ne(f.error, 0);
	ck_assert(put("4th\n", now));                   /* this one fits */
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
	ck_assert(put("fifth\n", now));
	ck_assert_str_eq(old(0), "first\n4th\nfifth\n");
	ck_assert_uint_eq(f.lost, 2);                   /* the caller tells, and clears it */
	unmake();
}
END_TEST

START_TEST(what_is_no_regular_file_is_never_put_aside)
{
	struct wall now = clock_wall();

	make(6, 1);
	logfile_close(&f);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(symlink("/dev/null", path), 0);
	ck_assert_int_eq(logfile_open(&f, path, 6, 1), 0);
	ck_assert(put("one..\n", now));
	ck_assert(put("two..\n", now));
	ck_assert_ptr_null(old(1));
	unmake();
}
END_TEST

START_TEST(a_file_that_cannot_be_opened)
{
	make(6, 1);
	logfile_close(&f);
	ck_assert_int_eq(logfile_open(&f, "/proc/none/a.log", 6, 1), FB_EIO);
	ck_assert_int_eq(errno, ENOENT);
	ck_assert_ptr_null(f.path);
	unmake();
}
END_TEST

UNIT_MAIN("logfile", a_line_that_does_not_fit_begins_a_new_file, the_group_may_read, nothing_old_is_kept, a_day_has_its_file,
    a_file_found_is_of_its_last_day, what_cannot_be_put_aside_is_written_on, a_full_disk_loses_whole_lines_and_counts_them,
    what_is_no_regular_file_is_never_put_aside, a_file_that_cannot_be_opened)
