/* SPDX-License-Identifier: Apache-2.0 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE     /* sync_file_range() */
#endif
#include "store/env.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "t/support/unit.h"

#define VALUE_BYTES 1000
#define EACH        1000

static char dir[64];
static struct env *env;

/* In the place of the C library's. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static off_t waited_for;                /* of the items' table */
static int fails;

int
sync_file_range(int fd, off_t from, off_t bytes, unsigned flags)
{
	char link[64], path[256] = "";
	bool items;

	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ck_assert_int_gt(readlink(link, path, sizeof path - 1), 0);
	items = strstr(path, "/items.db") != NULL;
	ck_assert_int_ge(from, 0);
	pthread_mutex_lock(&lock);
	if (items && flags == SYNC_FILE_RANGE_WAIT_BEFORE)
		waited_for += bytes;
	pthread_cond_broadcast(&cond);
	pthread_mutex_unlock(&lock);
	if (fails == 0 || flags != SYNC_FILE_RANGE_WAIT_BEFORE)
		return 0;
	errno = fails;
	return -1;
}

static void
make_dir(void)
{
	snprintf(dir, sizeof dir, "/tmp/fubar-check-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	waited_for = 0;
}

static void
start(void)
{
	const struct env_config cfg = { .name = ENV_queue, .dir = dir, .cache_bytes = 1 << 20, .min_free_bytes = 1 };

	if (dir[0] == '\0')
		make_dir();
	ck_assert_int_eq(env_open(&cfg, &env), 0);
}

static void
finish(void)
{
	char cmd[128];

	env_close(env);
	snprintf(cmd, sizeof cmd, "rm -rf %s", dir);
	ck_assert_int_eq(system(cmd), 0);
	dir[0] = '\0';
}

static int
put_some(struct txn *x, void *arg)
{
	static uint8_t value[VALUE_BYTES];
	uint32_t *next = arg;

	for (uint32_t i = 0; i < EACH; i++) {
		uint32_t n = *next + i;
		uint8_t key[4] = { (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n };
		int rc = table_put(x, TABLE_items, slice_of(key, sizeof key), slice_of(value, sizeof value));

		if (rc != 0)
			return rc;
	}
	return 0;
}

static void
put(uint32_t megabytes)
{
	for (uint32_t n = 0; n < megabytes * (1000000 / VALUE_BYTES); n += EACH) {
		ck_assert_int_eq(env_write(env, put_some, &n), 0);
		env_flush(env);
	}
	env_count_updates(env, (uint64_t)megabytes * (1000000 / VALUE_BYTES));
}

static bool
has_log(unsigned n)
{
	char path[128];

	snprintf(path, sizeof path, "%s/queue/log.%010u", dir, n);
	return access(path, F_OK) == 0;
}

/* The checkpointer rings no bell for these. */
static bool
comes(bool (*is)(void), int seconds)
{
	for (int i = 0; i < 100 * seconds && !is(); i++)
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	return is();
}

static bool
is_checked(void)
{
	return env_checkpoints(env) > 0;
}

static bool
is_removed(void)
{
	return !has_log(1) && !has_log(2);
}

/* Of the items' table, until that many bytes are on the disk. */
static void
wait_for_pages(off_t bytes)
{
	pthread_mutex_lock(&lock);
	while (waited_for < bytes)
		pthread_cond_wait(&cond, &lock);
	waited_for = 0;
	pthread_mutex_unlock(&lock);
}

START_TEST(pages_go_to_the_disk_before_the_checkpoint)
{
	start();
	put(8);
	wait_for_pages(4 << 20);
	ck_assert_uint_eq(env_checkpoints(env), 0);
	finish();
}
END_TEST

START_TEST(what_fails_on_its_way_ends_the_process)
{
	char mark[128];
	int status;
	pid_t pid;

	make_dir();
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		(void)dup2(open("/dev/null", O_WRONLY), 2);
		fails = EIO;
		start();
		put(8);
		for (;;)
			pause();
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), ENV_BROKEN_EXIT);
	snprintf(mark, sizeof mark, "%s/queue/unflushed", dir);
	ck_assert_int_eq(access(mark, F_OK), 0);
	start();
	finish();
}
END_TEST

START_TEST(old_logs_are_removed_unless_they_are_kept)
{
	start();
	env_keep_logs(env, true);
	put(20);
	env_count_updates(env, 100000); /* one is due */
	ck_assert(comes(is_checked, 60));
	/* Twice: the first may have been begun before. */
	for (int i = 0; i < 2; i++) {
		put(4);
		wait_for_pages(1 << 20);
	}
	ck_assert(has_log(1) && has_log(2) && has_log(3));
	env_keep_logs(env, false);
	ck_assert(comes(is_removed, 60));
	finish();
}
END_TEST

START_TEST(the_last_checkpoint_leaves_one_log)
{
	start();
	put(20);
	ck_assert(has_log(1) && has_log(2));
	env_close(env);
	ck_assert(!has_log(1) && !has_log(2));
	start();
	finish();
}
END_TEST

UNIT_MAIN("store_checkpoint", pages_go_to_the_disk_before_the_checkpoint, what_fails_on_its_way_ends_the_process,
    old_logs_are_removed_unless_they_are_kept, the_last_checkpoint_leaves_one_log)
