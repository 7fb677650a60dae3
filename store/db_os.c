/* SPDX-License-Identifier: Apache-2.0 */
#include "store/db_os.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "store/env_db.h"

static void (*failed)(const char *why);

/* 0, or -1 and errno. */
static int
flush_folder(const char *folder)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc, err;

	if (fd < 0)
		return -1;
	rc = fsync(fd);
	err = errno;
	close(fd);
	errno = err;
	return rc;
}

static int
flush_folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *folder;
	int rc, err;

	if (slash == NULL)
		return flush_folder(".");
	folder = mem_strdup(path);
	folder[slash - path + 1] = '\0';
	rc = flush_folder(folder);
	err = errno;
	mem_free(folder);
	errno = err;
	return rc;
}

/* As open(). What fails behind the making of a file fails here, and it is there: the next start flushes its name. */
static int
open_named(const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list ap;
	int fd, err;

	if ((flags & O_CREAT) != 0) {
		va_start(ap, flags);
		mode = (mode_t)va_arg(ap, int);
		va_end(ap);
		fd = (flags & O_EXCL) == 0 ? open(path, flags & ~O_CREAT) : -1;
		if (fd >= 0)
			return fd;
	}
	fd = open(path, flags, mode);
	if (fd < 0 || (flags & O_CREAT) == 0 || flush_folder_of(path) == 0)
		return fd;
	err = errno;
	close(fd);
	errno = err;
	return -1;
}

static int
rename_named(const char *from, const char *to)
{
	return rename(from, to) != 0 ? -1 : flush_folder_of(to);
}

static int
flush_file(int fd)
{
	int rc;

	do
		rc = fdatasync(fd);
	while (rc != 0 && errno == EINTR);
	if (rc != 0)
		failed(strerror(errno));
	return rc;
}

void
db_os_install(void (*on_failed)(const char *why))
{
	failed = on_failed;
	(void)db_env_set_func_open(open_named);
	(void)db_env_set_func_rename(rename_named);
	(void)db_env_set_func_fsync(flush_file);
}

int
db_os_flush_folder(const char *folder)
{
	if (flush_folder(folder) == 0)
		return 0;
	log_error("store", "cannot flush folder", "path=%s why=%s", folder, strerror(errno));
	return FB_EIO;
}
