/* SPDX-License-Identifier: Apache-2.0
 *
 * Both hooks are called by Berkeley DB: on_pwrite() with the page latched, so that it takes a note and nothing else;
 * on_yield() between two pages, where a checkpointer may wait. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE     /* sync_file_range() */
#endif
#include "store/pace.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/select.h>
#include <unistd.h>

#include "store/env_db.h"

#define PAGE_BYTES 4096
#define FILES_MAX  32u          /* more than there are tables: two environments' */

struct span {
	int fd;
	off_t from, to;
};

struct spans {
	unsigned count;
	struct span of[FILES_MAX];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct spans noted;      /* under lock */

static void (*failed)(const char *why);

static _Thread_local struct {
	bool here;
	struct spans begun;
} mine;

/* What has no room is flushed with the file. */
static void
note(struct spans *s, int fd, off_t from, off_t to)
{
	unsigned i = 0;

	while (i < s->count && s->of[i].fd != fd)
		i++;
	if (i == FILES_MAX)
		return;
	if (i == s->count)
		s->of[s->count++] = (struct span){ fd, from, to };
	if (from < s->of[i].from)
		s->of[i].from = from;
	if (to > s->of[i].to)
		s->of[i].to = to;
}

/* A file may have been closed meanwhile, and its number be another's: that is no failure. What is one is told once for a
 * file: a flush after this one would not hear of it. */
static void
call(const struct spans *s, unsigned flags)
{
	for (unsigned i = 0; i < s->count; i++) {
		const struct span *p = &s->of[i];

		if (sync_file_range(p->fd, p->from, p->to - p->from, flags) != 0 &&
		    (errno == EIO || errno == ENOSPC || errno == EDQUOT))
			failed(strerror(errno));
	}
}

void
pace_go(void)
{
	struct spans next;

	pthread_mutex_lock(&lock);
	next = noted;
	noted.count = 0;
	pthread_mutex_unlock(&lock);
	call(&next, SYNC_FILE_RANGE_WRITE);
	call(&mine.begun, SYNC_FILE_RANGE_WAIT_BEFORE);
	mine.begun = next;
}

void
pace_here(void)
{
	mine.here = true;
}

static ssize_t
on_pwrite(int fd, const void *p, size_t n, off_t at)
{
	ssize_t done = pwrite(fd, p, n, at);

	/* Not of a log, which is flushed as it is written. */
	if (done > 0 && n % PAGE_BYTES == 0 && at % PAGE_BYTES == 0) {
		pthread_mutex_lock(&lock);
		note(&noted, fd, at, at + done);
		pthread_mutex_unlock(&lock);
	}
	return done;
}

/* As Berkeley DB's own, but for pace_go(). */
static int
on_yield(u_long s, u_long us)
{
	struct timeval t = { .tv_sec = (time_t)s, .tv_usec = (suseconds_t)us + 1 };

	if (s == 0 && us == 0)
		return sched_yield();
	if (mine.here)
		pace_go();
	return select(0, NULL, NULL, NULL, &t);
}

void
pace_install(void (*on_failed)(const char *why))
{
	failed = on_failed;
	(void)db_env_set_func_pwrite(on_pwrite);
	(void)db_env_set_func_yield(on_yield);
}
