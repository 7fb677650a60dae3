/* SPDX-License-Identifier: Apache-2.0 */
#include "store/restore.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/admin/row.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/loop.h"
#include "common/base/mem.h"
#include "common/ipc/chan.h"
#include "common/ipc/codec.h"
#include "store/backup.h"
#include "store/manifest.h"
#include "store/save.h"

#define CACHE_BYTES (INT64_C(64) << 20)
#define SLACK_BYTES (INT64_C(64) << 20) /* what recovery writes */
#define PROGRESS_NS (500 * NS_PER_MS)
#define REQUEST     1
#define READY       "restore"
#define UNFINISHED  "restore.incomplete"

/* ---- the first step ---- */

static int
read_manifest(struct files_job *j, const char *dir, struct manifest *m)
{
	char path[FILES_PATH_MAX];
	size_t len = 0;
	int err, rc;
	char *text = files_read(files_path(path, dir, MANIFEST_NAME), MANIFEST_MAX, &len, &err);

	if (text == NULL && err == ENOENT)
		return files_fail(j, FB_ENOENT, "%.300s is no backup: there is no %s in it", dir, MANIFEST_NAME);
	if (text == NULL)
		return files_fail_errno(j, "read", path, err);
	rc = manifest_take(slice_of(text, len), m);
	mem_free(text);
	if (rc == FB_EVERSION)
		return files_fail(j, rc, "%.300s: the backup is of a later version of fubar", dir);
	return rc == 0 ? 0 : files_fail(j, rc, "%.300s is damaged", path);
}

static int
check_room(struct files_job *j, const char *data_dir, uint64_t bytes, int64_t min_free)
{
	int64_t need = (int64_t)bytes + SLACK_BYTES + min_free, have = files_free_bytes(data_dir);

	if (need <= have)
		return 0;
	return files_fail(j, FB_EDISK, "%.300s: not enough room: about %lld MiB are needed for a copy, store.min_free among "
	    "them, %lld are free", data_dir, (long long)need >> 20, (long long)have >> 20);
}

static bool
is_ours(const char *name)
{
	for (enum env_name i = 0; i < ENV_COUNT; i++)
		if (strncmp(name, env_folder(i), strlen(env_folder(i))) == 0 && name[strlen(env_folder(i))] == '/')
			return true;
	return false;
}

static int
copy_file(struct files_job *j, const char *dir, const char *to_dir, const struct manifest_file *f)
{
	char from[FILES_PATH_MAX], to[FILES_PATH_MAX], hash[DIGEST_TEXT_MAX];
	int rc;

	if (!is_ours(f->name))
		return files_fail(j, FB_EVERSION, "%s is of a later version of fubar", f->name);
	rc = files_copy(j, files_path(from, dir, f->name), files_path(to, to_dir, f->name), hash);
	if (rc == 0 && strcmp(hash, f->hash) != 0)
		rc = files_fail(j, FB_ECORRUPT, "%.300s is damaged: it is not what was written", from);
	return rc;
}

/* As the store will: recovery, every table; then every page. */
static int
check_envs(struct files_job *j, const char *dir)
{
	struct env *e[ENV_COUNT] = { NULL };
	char path[FILES_PATH_MAX];
	int rc = 0;

	for (enum env_name i = 0; i < ENV_COUNT && rc == 0; i++) {
		struct env_config cfg = { .name = i, .dir = dir, .cache_bytes = CACHE_BYTES, .copied = true };

		rc = env_open(&cfg, &e[i]);
	}
	for (unsigned i = ENV_COUNT; i > 0; i--)
		env_close(e[i - 1]);
	if (rc != 0)
		return files_fail(j, rc, "the backup cannot be opened; the log says why");
	(void)unlink(files_path(path, dir, "store.lock"));
	for (enum table t = 0; t < TABLE_COUNT && rc == 0; t++)
		rc = backup_verify(dir, t, j);
	return rc;
}

static int
write_notes(struct files_job *j, const char *dir, uint64_t epoch, char aside[64])
{
	char path[FILES_PATH_MAX], text[32];
	struct wall at = clock_wall();
	time_t now = (time_t)(at.ns / NS_PER_SEC);
	size_t len;
	struct tm tm;
	int n = snprintf(text, sizeof text, "%llu\n", (unsigned long long)epoch);
	int rc = files_write(j, files_path(path, dir, "epoch"), text, (size_t)n);

	if (gmtime_r(&now, &tm) == NULL || (len = strftime(aside, 48, "before-restore-%Y%m%dT%H%M%S", &tm)) == 0)
		return files_fail(j, FB_EIO, "what time is it?");
	/* Two in one second must not have one name. */
	snprintf(aside + len, 64 - len, ".%03dZ", (int)(at.ns % NS_PER_SEC / NS_PER_MS));
	return rc == 0 ? files_write(j, files_path(path, dir, "aside"), aside, strlen(aside)) : rc;
}

static int
fill(struct files_job *j, const char *dir, const char *fresh, struct manifest *m, char aside[64])
{
	char path[FILES_PATH_MAX];
	int rc = files_make_dir(j, fresh);

	for (enum env_name i = 0; i < ENV_COUNT && rc == 0; i++)
		rc = files_make_dir(j, files_path(path, fresh, env_folder(i)));
	for (size_t i = 0; i < m->count && rc == 0; i++)
		rc = copy_file(j, dir, fresh, &m->file[i]);
	if (rc == 0)
		rc = check_envs(j, fresh);
	if (rc == 0)
		rc = write_notes(j, fresh, m->epoch, aside);
	for (enum env_name i = 0; i < ENV_COUNT && rc == 0; i++)
		rc = files_sync(j, files_path(path, fresh, env_folder(i)));
	return rc == 0 ? files_sync(j, fresh) : rc;
}

int
restore_prepare(struct files_job *j, const char *dir, const char *data_dir, int64_t min_free, struct manifest *m,
    char aside[64])
{
	char fresh[FILES_PATH_MAX], ready[FILES_PATH_MAX];
	int rc = read_manifest(j, dir, m);

	if (rc != 0)
		return rc;
	atomic_store(&j->total, manifest_bytes(m));
	files_remove(files_path(fresh, data_dir, UNFINISHED));
	rc = check_room(j, data_dir, manifest_bytes(m), min_free);
	if (rc == 0)
		rc = fill(j, dir, fresh, m, aside);
	if (rc == 0) {
		files_remove(files_path(ready, data_dir, READY));
		if (rename(fresh, ready) != 0)
			rc = files_fail_errno(j, "make", ready, errno);
	}
	if (rc == 0)
		rc = files_sync(j, data_dir);
	else
		files_remove(fresh);
	return rc;
}

/* ---- the second step ---- */

/* Also when an earlier one was cut short between the two renames: then there is nothing to put aside. */
static int
exchange(const char *data_dir, const char *ready, const char *aside, const char *env)
{
	char now[FILES_PATH_MAX], next[FILES_PATH_MAX], old[FILES_PATH_MAX];

	files_path(now, data_dir, env);
	files_path(next, ready, env);
	files_path(old, aside, env);
	if (!files_exists(next))
		return 0;
	if (files_exists(now) && rename(now, old) != 0) {
		log_error("restore", "data cannot be put aside", "from=%s to=%s why=\"%s\"", now, old, strerror(errno));
		return FB_EIO;
	}
	if (rename(next, now) == 0)
		return 0;
	log_error("restore", "copy cannot be put in place", "from=%s to=%s why=\"%s\"", next, now, strerror(errno));
	return FB_EIO;
}

int
restore_apply(const char *data_dir)
{
	char ready[FILES_PATH_MAX], path[FILES_PATH_MAX], aside[FILES_PATH_MAX];
	struct files_job j = { .done = 0 };
	size_t len = 0;
	int err, rc = 0;
	char *name;

	files_remove(files_path(path, data_dir, UNFINISHED));
	if (!files_exists(files_path(ready, data_dir, READY)))
		return 0;
	name = files_read(files_path(path, ready, "aside"), 63, &len, &err);
	if (name == NULL || strncmp(name, "before-restore-", 15) != 0 || strchr(name, '/') != NULL) {
		/* Being removed when it was cut short: the environments went first. */
		log_warn("restore", "rest of a restore is removed", "path=%s", ready);
		mem_free(name);
		files_remove(ready);
		return 0;
	}
	files_path(aside, data_dir, name);
	if (!files_exists(aside))
		rc = files_make_dir(&j, aside);
	for (enum env_name i = 0; i < ENV_COUNT && rc == 0; i++)
		rc = exchange(data_dir, ready, aside, env_folder(i));
	if (rc == 0)
		rc = files_sync(&j, aside);
	if (rc == 0)
		rc = files_sync(&j, data_dir);
	if (rc == 0) {
		files_remove(ready);
		log_notice("restore", "backup is in place", "data_dir=%s data_of_before=%s", data_dir, aside);
	}
	mem_free(name);
	return rc == 0 ? 0 : FB_EIO;
}

/* ---- the process ---- */

struct restoring {
	struct loop *loop;
	struct chan *chan;
	struct loop_bell *bell;
	struct timer tell;
	struct files_job job;
	struct manifest manifest;
	pthread_t thread;
	const char *dir, *data_dir;
	int64_t min_free;
	char aside[64];
	int rc;
};

static void *
run(void *arg)
{
	struct restoring *r = arg;

	r->rc = restore_prepare(&r->job, r->dir, r->data_dir, r->min_free, &r->manifest, r->aside);
	loop_bell_ring(r->bell);
	return NULL;
}

static struct buf *
row(struct restoring *r)
{
	struct buf *b = chan_begin(r->chan, IPC_ADMIN_ROW);

	buf_put_le64(b, REQUEST);
	return b;
}

static void
on_bell(void *arg)
{
	struct restoring *r = arg;
	struct buf *b;

	FB_ASSERT(pthread_join(r->thread, NULL) == 0);
	if (r->rc == 0) {
		b = row(r);
		row_put_str(b, "backup", r->dir);
		row_put_str(b, "node", r->manifest.node);
		row_put_str(b, "made", r->manifest.made);
		row_put_number(b, "bytes", (int64_t)manifest_bytes(&r->manifest));
		row_put_str(b, "data_of_before", r->aside);
		chan_end(r->chan);
	}
	CHAN_SEND(r->chan, ADMIN_DONE, admin_done, .id = REQUEST, .code = (uint16_t)-r->rc,
	    .text = slice_str(r->rc != 0 ? r->job.why : ""));
	loop_stop(r->loop);
}

static void
on_tell(struct timer *t)
{
	struct restoring *r = container_of(t, struct restoring, tell);

	save_put_progress(row(r), &r->job);
	chan_end(r->chan);
	loop_timer_in(r->loop, t, PROGRESS_NS);
}

/* The supervisor is gone. What is half done is removed by the next store. */
static void
on_closed(void *arg)
{
	(void)arg;
	_exit(EXIT_FAILURE);
}

static void
on_msg(void *arg, enum ipc_type type, struct slice payload, int fd)
{
	(void)arg;
	(void)payload;
	log_error("restore", "message that may not come now", "type=%s fd=%d", ipc_name(type), fd);
	abort();
}

int
restore_main(int argc, char **argv, int fd)
{
	static const struct chan_ops ops = { .on_msg = on_msg, .on_closed = on_closed };
	struct restoring *r = mem_zalloc(sizeof *r);

	if (argc != 5 || strcmp(argv[1], "--restore") != 0) {
		fprintf(stderr, "fubar-store is started by fubard, not by hand\n");
		return 2;
	}
	r->dir = argv[2];
	r->data_dir = argv[3];
	r->min_free = strtoll(argv[4], NULL, 10);
	r->loop = loop_new();
	r->chan = chan_new(r->loop, fd, IPC_STORE, IPC_SUP, &ops, r);
	r->bell = loop_bell_new(r->loop, on_bell, r);
	timer_init(&r->tell, on_tell);
	loop_timer_in(r->loop, &r->tell, PROGRESS_NS);
	FB_ASSERT(pthread_create(&r->thread, NULL, run, r) == 0);
	loop_run(r->loop);
	(void)chan_drain(r->chan, 5000);
	loop_timer_cancel(r->loop, &r->tell);
	loop_bell_free(r->bell);
	chan_free(r->chan);
	loop_free(r->loop);
	manifest_fini(&r->manifest);
	mem_free(r);
	return EXIT_SUCCESS;
}
