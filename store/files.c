/* SPDX-License-Identifier: Apache-2.0 */
#include "store/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/mem.h"

#define PIECE ((size_t)1 << 20)

int
files_fail(struct files_job *j, int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(j->why, sizeof j->why, fmt, ap);
	va_end(ap);
	return code;
}

int
files_fail_errno(struct files_job *j, const char *what, const char *path, int err)
{
	if (err == ENOSPC || err == EDQUOT)
		return files_fail(j, FB_EDISK, "%.300s: the disk is full", path);
	return files_fail(j, err == EACCES || err == EPERM ? FB_EPERM : FB_EIO, "cannot %s %.300s: %s", what, path,
	    strerror(err));
}

char *
files_path(char *out, const char *dir, const char *name)
{
	size_t d = strnlen(dir, FILES_PATH_MAX - 2), n = strnlen(name, FILES_PATH_MAX - 2 - d);

	memcpy(out, dir, d);
	out[d] = '/';
	memcpy(out + d + 1, name, n);
	out[d + 1 + n] = '\0';
	return out;
}

bool
files_exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

int64_t
files_free_bytes(const char *dir)
{
	struct statvfs v;

	return statvfs(dir, &v) == 0 ? (int64_t)v.f_bavail * (int64_t)v.f_frsize : INT64_MAX;
}

int
files_each(const char *dir, int (*fn)(void *arg, const char *name), void *arg)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	int rc = 0;

	if (d == NULL)
		return 0;
	while (rc == 0 && (e = readdir(d)) != NULL)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			rc = fn(arg, e->d_name);
	closedir(d);
	return rc;
}

struct in_dir {
	const char *dir;
	uint64_t bytes;
};

static int
add_bytes(void *arg, const char *name)
{
	struct in_dir *d = arg;
	char path[FILES_PATH_MAX];
	struct stat st;

	if (lstat(files_path(path, d->dir, name), &st) == 0 && S_ISREG(st.st_mode))
		d->bytes += (uint64_t)st.st_size;
	return 0;
}

uint64_t
files_bytes(const char *dir)
{
	struct in_dir d = { .dir = dir };

	(void)files_each(dir, add_bytes, &d);
	return d.bytes;
}

static int
remove_one(void *arg, const char *name)
{
	struct in_dir *d = arg;
	char path[FILES_PATH_MAX];

	if (unlink(files_path(path, d->dir, name)) != 0 && (errno == EISDIR || errno == EPERM))
		files_remove(path);
	return 0;
}

void
files_remove(const char *dir)
{
	struct in_dir d = { .dir = dir };

	(void)files_each(dir, remove_one, &d);
	(void)rmdir(dir);
}

int
files_make_dir(struct files_job *j, const char *path)
{
	return mkdir(path, 0700) == 0 ? 0 : files_fail_errno(j, "make", path, errno);
}

int
files_sync(struct files_job *j, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int rc = 0;

	if (fd < 0 || fsync(fd) != 0)
		rc = files_fail_errno(j, "flush", path, errno);
	if (fd >= 0)
		close(fd);
	return rc;
}

static int
write_all(int fd, const uint8_t *p, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno != EINTR)
			return errno;
		if (n > 0) {
			p += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

/* to: -1: only read. */
static int
pump(struct files_job *j, const char *from, int in, const char *to, int out, uint64_t *bytes, char hash[DIGEST_TEXT_MAX])
{
	struct digest *d = digest_new();
	uint8_t *piece = mem_alloc(PIECE);
	int rc = 0;

	*bytes = 0;
	for (;;) {
		ssize_t n = read(in, piece, PIECE);
		int err;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			rc = files_fail_errno(j, "read", from, errno);
		if (n <= 0)
			break;
		digest_add(d, piece, (size_t)n);
		*bytes += (uint64_t)n;
		err = out >= 0 ? write_all(out, piece, (size_t)n) : 0;
		if (err != 0) {
			rc = files_fail_errno(j, "write", to, err);
			break;
		}
		if (out >= 0)
			atomic_fetch_add(&j->done, (uint64_t)n);
		if (atomic_load(&j->stop)) {
			rc = files_fail(j, FB_ECLOSED, "stopped, since the node stops");
			break;
		}
	}
	digest_end(d, hash);
	mem_free(piece);
	return rc;
}

int
files_copy(struct files_job *j, const char *from, const char *to, char hash[DIGEST_TEXT_MAX])
{
	int in = open(from, O_RDONLY | O_CLOEXEC), out;
	uint64_t bytes;
	int rc;

	if (in < 0)
		return files_fail_errno(j, "read", from, errno);
	out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (out < 0) {
		rc = files_fail_errno(j, "write", to, errno);
		close(in);
		return rc;
	}
	rc = pump(j, from, in, to, out, &bytes, hash);
	if (rc == 0 && fsync(out) != 0)
		rc = files_fail_errno(j, "flush", to, errno);
	close(in);
	if (close(out) != 0 && rc == 0)
		rc = files_fail_errno(j, "write", to, errno);
	return rc;
}

int
files_hash(struct files_job *j, const char *path, uint64_t *bytes, char hash[DIGEST_TEXT_MAX])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int rc;

	if (fd < 0)
		return files_fail_errno(j, "read", path, errno);
	rc = pump(j, path, fd, NULL, -1, bytes, hash);
	close(fd);
	return rc;
}

char *
files_read(const char *path, size_t max, size_t *len, int *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *text;
	ssize_t n;
	size_t got = 0;

	*err = fd < 0 ? errno : 0;
	if (fd < 0)
		return NULL;
	text = mem_alloc(max + 2);
	while ((n = read(fd, text + got, max + 1 - got)) > 0 || (n < 0 && errno == EINTR))
		got += n > 0 ? (size_t)n : 0;
	*err = n < 0 ? errno : got > max ? EFBIG : 0;
	close(fd);
	if (*err != 0) {
		mem_free(text);
		return NULL;
	}
	text[got] = '\0';
	*len = got;
	return text;
}

int
files_write(struct files_job *j, const char *path, const void *p, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int err = fd < 0 ? errno : write_all(fd, p, len);

	if (err == 0 && fsync(fd) != 0)
		err = errno;
	if (fd >= 0 && close(fd) != 0 && err == 0)
		err = errno;
	return err == 0 ? 0 : files_fail_errno(j, "write", path, err);
}
