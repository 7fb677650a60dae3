/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/logfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/mem.h"

#define DAY_S (24 * 3600)
#define MODE 0640
#define RETRY_NS (60 * NS_PER_SEC)

/* A new file is the group's to read, whatever the umask; one that is there keeps its mode. */
static int
open_path(const char *path)
{
	const int flags = O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
	int fd = open(path, flags | O_CREAT | O_EXCL, MODE);

	if (fd < 0)
		return errno == EEXIST ? open(path, flags | O_CREAT, MODE) : -1;
	(void)fchmod(fd, MODE);
	return fd;
}

static void
look(struct logfile *f)
{
	struct stat st;

	f->size = 0;
	f->regular = false;
	if (fstat(f->fd, &st) != 0)
		return;
	f->regular = S_ISREG(st.st_mode);
	f->size = f->regular ? st.st_size : 0;
	f->day = st.st_mtim.tv_sec / DAY_S;
}

int
logfile_open(struct logfile *f, const char *path, int64_t max_size, unsigned keep)
{
	int fd = open_path(path);

	if (fd < 0)
		return FB_EIO;
	*f = (struct logfile){ .path = mem_strdup(path), .fd = fd, .max_size = max_size, .keep = keep, .lost = f->lost,
	    .error = f->error };
	look(f);
	return 0;
}

void
logfile_close(struct logfile *f)
{
	if (f->path == NULL)
		return;
	close(f->fd);
	mem_free(f->path);
	f->path = NULL;
}

static const char *
old_name(const struct logfile *f, unsigned n, char out[PATH_MAX])
{
	if (n == 0)
		snprintf(out, PATH_MAX, "%s", f->path);
	else
		snprintf(out, PATH_MAX, "%s.%u", f->path, n);
	return out;
}

/* The new file is there before the first name changes, and the old descriptor is closed at the end: whatever goes
 * wrong, lines go on into the old one. */
static bool
put_aside(struct logfile *f)
{
	char from[PATH_MAX];
	char to[PATH_MAX];
	char fresh[PATH_MAX];
	bool ok = true;
	int fd;

	if (snprintf(fresh, sizeof fresh, "%s.new", f->path) >= (int)sizeof fresh)
		return false;
	(void)unlink(fresh);            /* left by one that was killed just here; it is empty */
	fd = open_path(fresh);
	if (fd < 0)
		return false;
	for (unsigned n = f->keep; n > 0 && ok; n--)
		ok = rename(old_name(f, n - 1, from), old_name(f, n, to)) == 0 || errno == ENOENT;
	if (!ok || rename(fresh, f->path) != 0) {
		(void)unlink(fresh);
		close(fd);
		return false;
	}
	close(f->fd);
	f->fd = fd;
	look(f);
	return true;
}

/* Whole or not at all: nobody else writes here, so what a full disk took of a line can be cut off again. */
static bool
append(struct logfile *f, const char *line, size_t len)
{
	ssize_t n;

	do
		n = write(f->fd, line, len);
	while (n < 0 && errno == EINTR);
	if (n == (ssize_t)len) {
		f->size += n;
		return true;
	}
	f->error = n < 0 ? errno : ENOSPC;
	if (n > 0 && (!f->regular || ftruncate(f->fd, f->size) != 0))
		f->size += n;
	return false;
}

bool
logfile_write(struct logfile *f, const char *line, size_t len, struct wall now)
{
	int64_t day = now.ns / NS_PER_SEC / DAY_S;
	bool due = f->regular && f->size > 0 && (day > f->day || f->size + (int64_t)len > f->max_size);

	if (due && now.ns >= f->retry_ns)
		f->retry_ns = put_aside(f) ? 0 : now.ns + RETRY_NS;
	if (f->size == 0)
		f->day = day;
	if (append(f, line, len))
		return true;
	f->lost++;
	return false;
}
