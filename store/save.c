/* SPDX-License-Identifier: Apache-2.0 */
#include "store/save.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config.h"

#include "common/base/log.h"
#include "common/base/mem.h"
#include "store/backup.h"
#include "store/manifest.h"
#include "store/store.h"

#define PROGRESS_NS (500 * NS_PER_MS)
#define SLACK_BYTES (INT64_C(16) << 20) /* what is written while the copy is made */

struct save {
	struct store *store;
	uint64_t id;
	struct files_job job;
	struct manifest manifest;
	char *dir, *part;               /* DIR and DIR.incomplete */
	char *data_dir;
	int64_t keep_free;
	struct mono started;
	struct loop_bell *bell;
	struct timer tell;
	pthread_t thread;
	int rc;
};

void
save_put_progress(struct buf *b, const struct files_job *j)
{
	uint64_t done = atomic_load(&j->done), total = atomic_load(&j->total);

	row_put_str(b, "_table", "progress");
	row_put_number(b, "bytes", (int64_t)done);
	row_put_number(b, "of", (int64_t)(done > total ? done : total));
}

/* ---- on the thread ---- */

static bool
same_disk(const char *a, const char *b)
{
	struct stat x, y;

	return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev;
}

/* part is made. Beside our own data a copy must not take the room that the store needs. */
static int
check_room(struct save *v)
{
	uint64_t need = atomic_load(&v->job.total);
	int64_t have = files_free_bytes(v->part);

	if (!same_disk(v->part, v->data_dir))
		v->keep_free = 0;
	if ((int64_t)need + SLACK_BYTES + v->keep_free <= have)
		return 0;
	return files_fail(&v->job, FB_EDISK, "%.300s: not enough room: about %llu MiB are needed%s, %lld are free", v->part,
	    (unsigned long long)((int64_t)need + SLACK_BYTES + v->keep_free) >> 20,
	    v->keep_free > 0 ? ", store.min_free among them" : "", (long long)have >> 20);
}

struct folder {
	struct save *save;
	const char *name;
};

static int
add_file(void *arg, const char *name)
{
	struct folder *f = arg;
	char path[FILES_PATH_MAX], full[96];
	struct manifest_file *m;

	snprintf(full, sizeof full, "%s/%s", f->name, name);
	m = manifest_add(&f->save->manifest, full);
	return files_hash(&f->save->job, files_path(path, f->save->part, full), &m->bytes, m->hash);
}

static int
copy_env(struct save *v, struct env *e)
{
	const char *name = env_folder(env_which(e));
	char target[FILES_PATH_MAX];
	struct folder f = { .save = v, .name = name };
	int rc = files_make_dir(&v->job, files_path(target, v->part, name));

	if (rc == 0)
		rc = backup_env(e, target, v->keep_free, &v->job);
	if (rc == 0)
		rc = files_each(target, add_file, &f);
	return rc == 0 ? files_sync(&v->job, target) : rc;
}

static int
read_epoch(struct save *v)
{
	char path[FILES_PATH_MAX];
	size_t len;
	int err;
	char *text = files_read(files_path(path, v->data_dir, "epoch"), 32, &len, &err);

	if (text == NULL && err != ENOENT)
		return files_fail_errno(&v->job, "read", path, err);
	v->manifest.epoch = text != NULL ? strtoull(text, NULL, 10) : 0;
	mem_free(text);
	return 0;
}

static int
write_manifest(struct save *v)
{
	char path[FILES_PATH_MAX];
	struct buf b;
	int rc;

	buf_init(&b);
	manifest_put(&b, &v->manifest);
	rc = files_write(&v->job, files_path(path, v->part, MANIFEST_NAME), buf_slice(&b).p, buf_len(&b));
	buf_fini(&b);
	return rc == 0 ? files_sync(&v->job, v->part) : rc;
}

static int
finish(struct save *v)
{
	char *slash = strrchr(v->part, '/');
	int rc;

	if (rename(v->part, v->dir) != 0)
		return files_fail_errno(&v->job, errno == ENOTEMPTY || errno == EEXIST ? "put the copy in place of" : "make",
		    v->dir, errno);
	*slash = '\0';
	rc = files_sync(&v->job, slash == v->part ? "/" : v->part);
	*slash = '/';
	return rc;
}

static void *
run(void *arg)
{
	struct save *v = arg;
	int rc = mkdir(v->part, 0700) == 0 ? 0 : errno;

	if (rc == EEXIST)
		v->rc = files_fail(&v->job, FB_EEXIST, "%.300s is there: a backup that was cut short, or one that runs; remove it",
		    v->part);
	else if (rc != 0)
		v->rc = files_fail_errno(&v->job, "make", v->part, rc);
	if (rc != 0)
		goto out;
	rc = check_room(v);
	/* The sessions first: whatever waits for one of them comes along. */
	if (rc == 0)
		rc = copy_env(v, v->store->env);
	if (rc == 0)
		rc = copy_env(v, v->store->queue);
	/* After all else: no epoch in the tables is of a later start than this. */
	if (rc == 0)
		rc = read_epoch(v);
	if (rc == 0)
		rc = write_manifest(v);
	if (rc == 0)
		rc = finish(v);
	if (rc != 0)
		files_remove(v->part);
	v->rc = rc;
out:
	loop_bell_ring(v->bell);
	return NULL;
}

/* ---- in the loop ---- */

static void
save_free(struct save *v)
{
	v->store->save = NULL;
	loop_timer_cancel(v->store->loop, &v->tell);
	loop_bell_free(v->bell);
	manifest_fini(&v->manifest);
	mem_free(v->dir);
	mem_free(v->part);
	mem_free(v->data_dir);
	mem_free(v);
}

static void
put_result(struct save *v)
{
	struct buf *b = admin_row_begin(v->store, v->id);

	row_put_str(b, "backup", v->dir);
	row_put_str(b, "made", v->manifest.made);
	row_put_number(b, "files", (int64_t)v->manifest.count);
	row_put_number(b, "bytes", (int64_t)manifest_bytes(&v->manifest));
	row_put_real(b, "seconds", (double)mono_diff(clock_mono(), v->started) / (double)NS_PER_SEC);
	admin_row_end(v->store);
}

static void
end(struct save *v)
{
	FB_ASSERT(pthread_join(v->thread, NULL) == 0);
	if (v->rc == 0) {
		log_notice("store", "backup made", "dir=%s bytes=%llu", v->dir,
		    (unsigned long long)manifest_bytes(&v->manifest));
		put_result(v);
	} else {
		log_error("store", "backup failed", "dir=%s why=\"%s\"", v->dir, v->job.why);
	}
	admin_done(v->store, v->id, v->rc, v->rc != 0 ? v->job.why : NULL);
	save_free(v);
}

static void
on_bell(void *arg)
{
	end(arg);
}

static void
on_tell(struct timer *t)
{
	struct save *v = container_of(t, struct save, tell);

	save_put_progress(admin_row_begin(v->store, v->id), &v->job);
	admin_row_end(v->store);
	loop_timer_in(v->store->loop, t, PROGRESS_NS);
}

void
save_stop(struct store *s)
{
	if (s->save == NULL)
		return;
	atomic_store(&s->save->job.stop, true);
	end(s->save);
}

static void
describe(struct save *v)
{
	struct manifest *m = &v->manifest;
	time_t now = (time_t)(clock_wall().ns / NS_PER_SEC);
	struct tm tm;

	snprintf(m->version, sizeof m->version, "%s", PACKAGE_VERSION);
	snprintf(m->node, sizeof m->node, "%s", v->store->config.node);
	if (gmtime_r(&now, &tm) == NULL || strftime(m->made, sizeof m->made, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		snprintf(m->made, sizeof m->made, "-");
}

static int
is_one(void *arg, const char *name)
{
	(void)arg;
	(void)name;
	return 1;
}

/* NULL, or why it is none. */
static const char *
wrong_dir(const struct admin_call *call, char *dir)
{
	struct slice d = call->argc > 0 ? call->argv[0] : slice_of(NULL, 0);
	struct stat st;

	while (d.len > 1 && d.p[d.len - 1] == '/')
		d.len--;
	if (d.len < 2 || d.p[0] != '/' || d.len > 1024 || memchr(d.p, '\0', d.len) != NULL)
		return "an absolute path of a directory is wanted, of at most 1024 bytes";
	memcpy(dir, d.p, d.len);
	dir[d.len] = '\0';
	if (lstat(dir, &st) == 0 && (!S_ISDIR(st.st_mode) || files_each(dir, is_one, NULL) != 0))
		return "the directory of a backup must be new or empty";
	return NULL;
}

void
save_admin(const struct admin_call *call)
{
	struct store *s = call->store;
	char dir[1025], folder[FILES_PATH_MAX];
	const char *why = wrong_dir(call, dir);
	struct save *v;
	size_t size;

	if (s->save != NULL || why != NULL) {
		admin_done(s, call->id, s->save != NULL ? FB_EBUSY : FB_EINVAL,
		    s->save != NULL ? "another backup is being made" : why);
		return;
	}
	v = mem_zalloc(sizeof *v);
	size = strlen(dir) + sizeof ".incomplete";
	v->store = s;
	v->id = call->id;
	v->dir = mem_strdup(dir);
	v->part = mem_alloc(size);
	snprintf(v->part, size, "%s.incomplete", dir);
	v->data_dir = mem_strdup(s->data_dir);
	v->keep_free = s->config.store_min_free;
	v->started = clock_mono();
	describe(v);
	for (enum env_name i = 0; i < ENV_COUNT; i++)
		atomic_fetch_add(&v->job.total, files_bytes(files_path(folder, s->data_dir, env_folder(i))));
	v->bell = loop_bell_new(s->loop, on_bell, v);
	timer_init(&v->tell, on_tell);
	loop_timer_in(s->loop, &v->tell, PROGRESS_NS);
	s->save = v;
	FB_ASSERT(pthread_create(&v->thread, NULL, run, v) == 0);
}
