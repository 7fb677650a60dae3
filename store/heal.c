/* SPDX-License-Identifier: Apache-2.0 */
#include "store/heal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/mem.h"

#define MARK   "unflushed"
#define CHUNK  (1u << 20)

static const char *
path_in(char *out, size_t size, const char *home, const char *name)
{
	snprintf(out, size, "%s/%s", home, name);
	return out;
}

void
heal_mark(const char *home)
{
	char path[4096];
	int fd = open(path_in(path, sizeof path, home, MARK), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	if (fd >= 0)
		close(fd);
}

static int
write_back(int fd, uint8_t *buf)
{
	off_t at = 0;
	ssize_t n;

	while ((n = pread(fd, buf, CHUNK, at)) > 0) {
		for (ssize_t done = 0; done < n;) {
			ssize_t k = pwrite(fd, buf + done, (size_t)(n - done), at + done);

			if (k < 0)
				return FB_EIO;
			done += k;
		}
		at += n;
	}
	return n < 0 || fdatasync(fd) != 0 ? FB_EIO : 0;
}

static int
heal_file(const char *path, uint8_t *buf)
{
	struct stat st;
	int rc = FB_EIO;
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd >= 0 && fstat(fd, &st) == 0)
		rc = S_ISREG(st.st_mode) ? write_back(fd, buf) : 0;
	if (rc != 0)
		log_error("store", "cannot write again what was not flushed", "file=%s why=%s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return rc;
}

static int
heal_dir(const char *home)
{
	uint8_t *buf = mem_alloc(CHUNK);
	DIR *d = opendir(home);
	struct dirent *e;
	char path[4096];
	int rc = d == NULL ? FB_EIO : 0;

	while (rc == 0 && (e = readdir(d)) != NULL) {
		if (e->d_name[0] != '.')
			rc = heal_file(path_in(path, sizeof path, home, e->d_name), buf);
	}
	if (d != NULL)
		closedir(d);
	mem_free(buf);
	return rc;
}

int
heal_apply(const char *home)
{
	char path[4096];
	int rc;

	if (access(path_in(path, sizeof path, home, MARK), F_OK) != 0)
		return 0;
	log_warn("store", "a flush failed, so all files are written again", "folder=%s", home);
	rc = heal_dir(home);
	if (rc == 0 && unlink(path_in(path, sizeof path, home, MARK)) != 0)
		rc = FB_EIO;
	return rc;
}
