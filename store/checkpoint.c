/* SPDX-License-Identifier: Apache-2.0
 *
 * The checkpointer's thread sleeps until something was written, then until a reason for a checkpoint: 30 s, 100,000 updates,
 * or 128 MiB of log, which Berkeley DB counts itself. Two checkpoints are at least 5 s apart.
 *
 * Meanwhile, and while it writes a checkpoint's pages, it does everything in small steps, so that no commit waits long for
 * the disk: clean pages are kept at hand, or a commit would have to write old ones to get room in the cache; what was written
 * goes to the disk (pace.h); logs that are not needed any more are removed one by one, as that is a lot of work for some
 * file systems, and Berkeley DB would do it in the middle of a commit. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "store/env_db.h"
#include "store/pace.h"

#define TURN_NS          (100 * NS_PER_MS)
#define CLEAN_PERCENT    25
#define PAGES_AT_ONCE    64             /* of a checkpoint; then a pause: */
#define PAUSE_US         1000
#define CHECK_EACH_S     5
#define CHECK_AFTER_S    30
#define CHECK_UPDATES    100000
#define CHECK_LOG_KBYTES (128u * 1024)

static void
checkpoint(struct env *e, bool due)
{
	uint64_t before = atomic_load(&e->updates);
	DB_LSN was;
	DB_TXN_STAT *st = NULL;
	int rc;

	memset(&was, 0, sizeof was);
	if (!due) {
		if (e->dbenv->txn_stat(e->dbenv, &st, 0) == 0)
			was = st->st_last_ckp;
		free(st);
	}
	rc = env_rc(e->dbenv->txn_checkpoint(e->dbenv, due ? 0 : CHECK_LOG_KBYTES, 0, 0), "checkpoint");
	if (rc == FB_EIO)
		env_broken("checkpoint");       /* the next one would take what was not flushed for flushed */
	if (rc != 0)
		return;
	if (!due) {
		st = NULL;
		if (e->dbenv->txn_stat(e->dbenv, &st, 0) == 0)
			due = memcmp(&was, &st->st_last_ckp, sizeof was) != 0;
		free(st);
	}
	if (due) {
		e->checked_updates = before;
		e->checked_at = clock_mono();
		e->old_logs = true;
		atomic_fetch_add(&e->checkpoints, 1);
		env_make_ballast(e);
	}
}

static void
check(struct env *e)
{
	uint64_t since = atomic_load(&e->updates) - e->checked_updates;

	if (since > 0)
		checkpoint(e, since >= CHECK_UPDATES || mono_diff(clock_mono(), e->checked_at) >= CHECK_AFTER_S * NS_PER_SEC);
}

static void
remove_log(struct env *e)
{
	char **list = NULL;

	pthread_mutex_lock(&e->logs_lock);
	if (!e->keep_logs && e->dbenv->log_archive(e->dbenv, &list, DB_ARCH_ABS) == 0 && list != NULL)
		(void)unlink(list[0]);
	e->old_logs = e->keep_logs || (list != NULL && list[1] != NULL);
	pthread_mutex_unlock(&e->logs_lock);
	free(list);
}

void
env_keep_logs(struct env *e, bool keep)
{
	pthread_mutex_lock(&e->logs_lock);
	e->keep_logs = keep;
	pthread_mutex_unlock(&e->logs_lock);
}

/* False: there is no room. */
static bool
write_some(struct env *e)
{
	int rc = env_rc(e->dbenv->memp_trickle(e->dbenv, CLEAN_PERCENT, NULL), "write pages");

	if (rc == FB_EIO)
		env_broken("write pages");
	pace_go();
	return rc == 0;
}

static void
wait_for(struct env *e, int64_t ns)
{
	struct mono until = mono_add(clock_mono(), ns);
	struct timespec ts = { .tv_sec = until.ns / NS_PER_SEC, .tv_nsec = until.ns % NS_PER_SEC };

	while (!e->stopping && pthread_cond_timedwait(&e->cond, &e->lock, &ts) == 0)
		;
}

/* What is due now. */
static void
take_turn(struct env *e)
{
	struct mono now = clock_mono();

	if (now.ns >= e->write_at.ns && !write_some(e))
		e->write_at = mono_add(now, CHECK_EACH_S * NS_PER_SEC);
	if (e->old_logs)
		remove_log(e);
	if (now.ns >= e->check_at.ns) {
		check(e);
		e->check_at = mono_add(clock_mono(), CHECK_EACH_S * NS_PER_SEC);
	}
}

static void *
checkpointer(void *arg)
{
	struct env *e = arg;
	uint64_t seen = 0;

	pace_here();
	pthread_mutex_lock(&e->lock);
	while (!e->stopping) {
		uint64_t updates = atomic_load(&e->updates);

		if (updates == e->checked_updates && !e->old_logs) {
			pthread_cond_wait(&e->cond, &e->lock);
			e->check_at = mono_add(clock_mono(), CHECK_EACH_S * NS_PER_SEC);
			continue;
		}
		wait_for(e, updates != seen || e->old_logs ? TURN_NS : NS_PER_SEC);
		seen = updates;
		if (e->stopping)
			break;
		pthread_mutex_unlock(&e->lock);
		take_turn(e);
		pthread_mutex_lock(&e->lock);
	}
	pthread_mutex_unlock(&e->lock);
	return NULL;
}

void
env_count_updates(struct env *e, uint64_t n)
{
	uint64_t before = atomic_fetch_add(&e->updates, n);

	/* The first since the last checkpoint wakes the thread; it looks at the rest by itself. */
	if (before == e->checked_updates) {
		pthread_mutex_lock(&e->lock);
		pthread_cond_signal(&e->cond);
		pthread_mutex_unlock(&e->lock);
	}
}

uint64_t
env_checkpoints(const struct env *e)
{
	return atomic_load(&e->checkpoints);
}

void
checkpoint_start(struct env *e)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&e->cond, &attr);
	pthread_condattr_destroy(&attr);
	pthread_mutex_init(&e->lock, NULL);
	pthread_mutex_init(&e->logs_lock, NULL);
	e->checked_at = clock_mono();
	e->check_at = mono_add(e->checked_at, CHECK_EACH_S * NS_PER_SEC);
	e->old_logs = true;
	(void)env_rc(e->dbenv->set_mp_max_write(e->dbenv, PAGES_AT_ONCE, PAUSE_US), "set pauses");
	FB_ASSERT(pthread_create(&e->thread, NULL, checkpointer, e) == 0);
	e->has_thread = true;
}

void
checkpoint_stop(struct env *e)
{
	if (!e->has_thread)
		return;
	pthread_mutex_lock(&e->lock);
	e->stopping = true;
	pthread_cond_signal(&e->cond);
	pthread_mutex_unlock(&e->lock);
	/* What it is writing just now, and the last checkpoint, need no pauses. */
	(void)env_rc(e->dbenv->set_mp_max_write(e->dbenv, 0, 0), "set pauses");
	pthread_join(e->thread, NULL);
	pthread_cond_destroy(&e->cond);
	pthread_mutex_destroy(&e->lock);
	pthread_mutex_destroy(&e->logs_lock);
	if (env_rc(e->dbenv->txn_checkpoint(e->dbenv, 0, 0, 0), "checkpoint") == 0)
		(void)env_rc(e->dbenv->log_archive(e->dbenv, NULL, DB_ARCH_REMOVE), "remove logs");
}
