/* SPDX-License-Identifier: Apache-2.0
 *
 * Berkeley DB copies its own files, pages whole, while they are written; where the bytes go is ours, so that they are
 * counted, and a full disk is seen before it is full. The log goes last and holds everything since a checkpoint before
 * the first page: none of it may be removed meanwhile. */
#include "store/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "store/env_db.h"

#define LOOK_EACH (8u << 20)            /* bytes between two looks at the room on the disk */

struct copying {
	struct files_job *job;
	const char *target;
	int64_t keep_free;
	uint64_t since_look;
	struct copy_file *open;         /* one at a time; NULL: none */
	int rc;                         /* the first of our own refusals; job->why says which */
};

struct copy_file {
	int fd;
	char path[FILES_PATH_MAX];
};

static int
on_open(DB_ENV *dbenv, const char *name, const char *target, void **handle)
{
	struct copying *c = dbenv->app_private;
	struct copy_file *f = mem_alloc(sizeof *f);
	const char *base = strrchr(name, '/');

	(void)target;
	files_path(f->path, c->target, base != NULL ? base + 1 : name);
	f->fd = open(f->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (f->fd < 0) {
		c->rc = files_fail_errno(c->job, "write", f->path, errno);
		mem_free(f);
		*handle = NULL;
		return EIO;
	}
	*handle = c->open = f;
	return 0;
}

static int
may_go_on(struct copying *c, u_int32_t size)
{
	if (atomic_load(&c->job->stop))
		return files_fail(c->job, FB_ECLOSED, "stopped, since the node stops");
	c->since_look += size;
	if (c->since_look < LOOK_EACH)
		return 0;
	c->since_look = 0;
	if (files_free_bytes(c->target) < c->keep_free)
		return files_fail(c->job, FB_EDISK, "%.300s: the disk is nearly full", c->target);
	return 0;
}

static int
on_write(DB_ENV *dbenv, u_int32_t gigabytes, u_int32_t offset, u_int32_t size, u_int8_t *p, void *handle)
{
	struct copying *c = dbenv->app_private;
	struct copy_file *f = handle;
	off_t at = ((off_t)gigabytes << 30) + offset;

	c->rc = may_go_on(c, size);
	while (c->rc == 0 && size > 0) {
		ssize_t n = pwrite(f->fd, p, size, at);

		if (n < 0 && errno != EINTR)
			c->rc = files_fail_errno(c->job, "write", f->path, errno);
		if (n <= 0)
			continue;
		p += n;
		at += n;
		size -= (u_int32_t)n;
		atomic_fetch_add(&c->job->done, (uint64_t)n);
	}
	return c->rc == 0 ? 0 : EIO;
}

static void
close_file(struct copying *c)
{
	struct copy_file *f = c->open;

	c->open = NULL;
	if (c->rc == 0 && fsync(f->fd) != 0)
		c->rc = files_fail_errno(c->job, "flush", f->path, errno);
	if (close(f->fd) != 0 && c->rc == 0)
		c->rc = files_fail_errno(c->job, "write", f->path, errno);
	mem_free(f);
}

/* Berkeley DB closes also what it could not open. */
static int
on_close(DB_ENV *dbenv, const char *name, void *handle)
{
	struct copying *c = dbenv->app_private;

	(void)name;
	if (handle != NULL && handle == c->open)
		close_file(c);
	return c->rc == 0 ? 0 : EIO;
}

int
backup_env(struct env *e, const char *target, int64_t keep_free, struct files_job *j)
{
	DB_ENV *d = e->dbenv;
	struct copying c = { .job = j, .target = target, .keep_free = keep_free };
	int rc;

	d->app_private = &c;
	rc = d->set_backup_callbacks(d, on_open, on_write, on_close);
	env_keep_logs(e, true);
	rc = rc ? rc : d->txn_checkpoint(d, 0, 0, DB_FORCE);
	rc = rc ? rc : d->backup(d, target, 0);
	if (c.open != NULL)
		close_file(&c);
	d->app_private = NULL;
	env_keep_logs(e, false);
	if (c.rc != 0)
		return c.rc;
	rc = env_rc(rc, "backup");
	return rc == 0 ? 0 : files_fail(j, rc, "Berkeley DB could not copy; the log says why");
}

int
backup_verify(const char *dir, enum table t, struct files_job *j)
{
	char folder[FILES_PATH_MAX], path[FILES_PATH_MAX], file[64];
	DB *db;
	int rc = db_create(&db, NULL, 0);

	snprintf(file, sizeof file, "%s.db", table_name(t));
	files_path(path, files_path(folder, dir, env_folder(table_env(t))), file);
	if (rc == 0) {
		db->set_errfile(db, NULL);
		rc = db->verify(db, path, NULL, NULL, 0);       /* takes the handle */
	}
	return rc == 0 ? 0 : files_fail(j, FB_ECORRUPT, "the table %s is damaged", table_name(t));
}
