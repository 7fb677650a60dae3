/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/logs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/mem.h"

/* Standard error. If it is a pipe, a description of our own that does not block: a reader that stopped reading must
 * not stop the node. */
static int
open_stderr(void)
{
	struct stat st;
	int fd;

	if (fstat(STDERR_FILENO, &st) != 0 || !S_ISFIFO(st.st_mode))
		return STDERR_FILENO;
	fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	return fd < 0 ? STDERR_FILENO : fd;
}

static void
write_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t done = write(fd, p, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return;                 /* nobody to tell */
		p += done;
		n -= (size_t)done;
	}
}

static bool
copy(struct logs *g)
{
	char text[16384];
	ssize_t n = read(g->pipe_in, text, sizeof text);

	if (n > 0)
		write_all(g->out, text, (size_t)n);
	return n == (ssize_t)sizeof text;
}

static void
on_line(void *arg, unsigned ready)
{
	(void)copy(arg);
}

static int
open_out(const struct config *c, struct config_error *e)
{
	int fd;

	if (c->log_file[0] == '\0')
		return open_stderr();
	fd = open(c->log_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0640);
	if (fd >= 0)
		return fd;
	snprintf(e->text, sizeof e->text, "log.file: %.300s: %s; check the directory and its rights", c->log_file, strerror(errno));
	return FB_EIO;
}

int
logs_check(const struct config *c, struct config_error *e)
{
	int fd = open_out(c, e);

	if (fd < 0)
		return fd;
	if (fd != STDERR_FILENO)
		close(fd);
	return 0;
}

int
logs_open(struct logs *g, const struct config *c, struct config_error *e)
{
	enum log_level level = LOG_INFO;
	int fd = open_out(c, e);

	if (fd < 0)
		return fd;
	if (g->out > STDERR_FILENO)
		close(g->out);
	g->out = fd;
	mem_free(g->path);
	g->path = c->log_file[0] == '\0' ? NULL : mem_strdup(c->log_file);
	(void)log_level_parse(c->log_level, &level);
	log_open(fd, "supervisor", level);
	return 0;
}

int
logs_init(struct logs *g, struct loop *l, const struct config *c, struct config_error *e)
{
	int fd[2];

	*g = (struct logs){ .out = -1, .pipe_in = -1, .pipe_out = -1 };
	if (logs_open(g, c, e) != 0)
		return FB_EIO;
	if (pipe2(fd, O_CLOEXEC | O_NONBLOCK) != 0) {
		snprintf(e->text, sizeof e->text, "no pipe for log lines: %s", strerror(errno));
		return FB_EIO;
	}
	g->pipe_in = fd[0];
	g->pipe_out = fd[1];
	(void)fcntl(g->pipe_in, F_SETPIPE_SZ, 1 << 20);         /* bursts; if it may not, 64 KiB must do */
	g->watch = loop_fd_new(l, g->pipe_in, LOOP_READ, on_line, g);
	return 0;
}

void
logs_fini(struct logs *g)
{
	if (g->pipe_in >= 0) {
		while (copy(g))
			;
		loop_fd_free(g->watch);
		close(g->pipe_in);
		close(g->pipe_out);
	}
	mem_free(g->path);
	g->path = NULL;
	g->pipe_in = g->pipe_out = -1;
}

void
logs_chown(const struct logs *g, uid_t uid, gid_t gid)
{
	if (g->path != NULL && fchown(g->out, uid, gid) != 0)
		log_warn("logs", "file cannot be given to the user", "file=%s error=\"%s\"", g->path, strerror(errno));
}
