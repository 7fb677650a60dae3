/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/logs.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/config/dirs.h"
#include "supervisor/paths.h"

#define READ_BYTES 16384
#define PIPE_BYTES (1 << 20)
#define STAMP_LEN  24u          /* "2024-01-31T12:00:00.000Z" */

/* --- one place --------------------------------------------------------------------------------------------------- */

bool
logs_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	uintmax_t dev, ino;
	struct stat st;

	return stream != NULL && sscanf(stream, "%" SCNuMAX ":%" SCNuMAX, &dev, &ino) == 2 &&
	    fstat(STDERR_FILENO, &st) == 0 && dev == st.st_dev && ino == st.st_ino;
}

/* A reader that stopped reading must not stop the node. A pipe gets a description of our own, since others may share
 * that one; to a socket each send says that it does not wait. */
static void
open_stderr(struct logs *g)
{
	struct stat st;
	int fd;

	g->err_fd = STDERR_FILENO;
	g->journal = logs_is_journal();
	if (fstat(STDERR_FILENO, &st) == 0) {
		g->socket = S_ISSOCK(st.st_mode);
		fd = S_ISFIFO(st.st_mode) ? open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_CLOEXEC) : -1;
		if (fd >= 0)
			g->err_fd = fd;
	}
	unsetenv("JOURNAL_STREAM");             /* the children's standard error is another */
}

static bool
send_stderr(struct logs *g, enum log_level level, const char *line, size_t len)
{
	static const char syslog_level[] = { [LOG_ERROR] = '3', [LOG_WARN] = '4', [LOG_NOTICE] = '5', [LOG_INFO] = '6',
		[LOG_DEBUG] = '7' };
	char text[3 + sizeof g->part];
	size_t head = 0;
	ssize_t n;

	if (g->journal) {
		memcpy(text, "<?>", 3);
		text[1] = syslog_level[level];
		head = 3;
	}
	memcpy(text + head, line, len);
	do {
		if (g->socket)
			n = send(g->err_fd, text, head + len, MSG_DONTWAIT | MSG_NOSIGNAL);
		else
			n = write(g->err_fd, text, head + len);
	} while (n < 0 && errno == EINTR);
	return n > 0;
}

static void
put_stderr(struct logs *g, enum log_level level, const char *line, size_t len)
{
	char told[LOG_LINE_MAX];

	if (g->err_lost > 0) {
		size_t n = log_line(told, LOG_WARN, "logs", "lines lost", "count=%" PRIu64 " file=stderr", g->err_lost);

		if (!send_stderr(g, LOG_WARN, told, n)) {
			g->err_lost++;
			return;
		}
		g->err_lost = 0;
	}
	if (!send_stderr(g, level, line, len))
		g->err_lost++;
}

static bool
put_file(struct logs *g, struct logfile *f, const char *line, size_t len, struct wall now)
{
	uint64_t lost = f->lost;
	char told[LOG_LINE_MAX];
	size_t n;

	if (f->path == NULL)
		return false;
	if (lost > 0) {
		n = log_line(told, LOG_WARN, "logs", "lines lost", "count=%" PRIu64 " file=%s error=\"%s\"", lost, f->path,
		    strerror(f->error));
		if (!logfile_write(f, told, n, now))
			return false;           /* which counts the line */
		f->lost = 0;
	}
	if (logfile_write(f, line, len, now))
		return true;
	if (lost == 0) {
		n = log_line(told, LOG_WARN, "logs", "cannot be written, lines are lost", "file=%s error=\"%s\"", f->path,
		    strerror(f->error));
		put_stderr(g, LOG_WARN, told, n);
	}
	return false;
}

bool
logs_stat(struct logs *g, const char *line, size_t len)
{
	return put_file(g, &g->stat, line, len, clock_wall());
}

/* --- lines ------------------------------------------------------------------------------------------------------- */

static bool
is_stamp(const char *p, size_t len)
{
	static const char form[] = "dddd-dd-ddTdd:dd:dd.dddZ ";

	if (len < STAMP_LEN + 1)
		return false;
	for (size_t i = 0; i < STAMP_LEN + 1; i++)
		if (form[i] == 'd' ? !isdigit((unsigned char)p[i]) : p[i] != form[i])
			return false;
	return true;
}

static enum log_level
level_of(const char *line, size_t len)
{
	char word[16];
	enum log_level level = LOG_WARN;
	size_t n = 0;

	if (!is_stamp(line, len))
		return LOG_WARN;
	for (const char *p = line + STAMP_LEN + 1; p < line + len && *p != ' ' && n < sizeof word - 1; p++)
		word[n++] = *p;
	word[n] = '\0';
	(void)log_level_parse(word, &level);
	return level;
}

static void
put_line(struct logs *g, const char *line, size_t len)
{
	enum log_level level = level_of(line, len);
	struct wall now = clock_wall();

	if (g->tap != NULL)
		g->tap(g->tap_arg, line, len);
	if (g->to_stderr)
		put_stderr(g, level, line, len);
	(void)put_file(g, &g->console, line, len, now);
	if (level <= LOG_WARN)
		(void)put_file(g, &g->error, line, len, now);
}

/* A line is in g->part, with its newline. Somebody's last words may lack theirs: the line of ours behind them is one
 * of its own. */
static void
take_part(struct logs *g)
{
	size_t at = g->part_len;

	if (!is_stamp(g->part, g->part_len))
		for (at = 1; at < g->part_len && !is_stamp(g->part + at, g->part_len - at); at++)
			;
	if (at < g->part_len) {
		char first[sizeof g->part + 1];

		memcpy(first, g->part, at);
		first[at] = '\n';
		put_line(g, first, at + 1);
		put_line(g, g->part + at, g->part_len - at);
	} else {
		put_line(g, g->part, g->part_len);
	}
	g->part_len = 0;
}

static void
end_part(struct logs *g)
{
	if (g->part_len == 0)
		return;
	g->part[g->part_len++] = '\n';
	take_part(g);
}

static void
take_bytes(struct logs *g, const char *p, size_t n)
{
	while (n > 0) {
		const char *end = memchr(p, '\n', n);
		size_t room = sizeof g->part - 1 - g->part_len;
		size_t len = end != NULL ? (size_t)(end - p) : n;

		if (len > room)
			len = room;
		memcpy(g->part + g->part_len, p, len);
		g->part_len += len;
		p += len;
		n -= len;
		if (n > 0 && *p == '\n') {
			p++;
			n--;
			g->part[g->part_len++] = '\n';
			take_part(g);
		} else if (g->part_len == sizeof g->part - 1) {
			end_part(g);            /* no line of ours is that long */
		}
	}
}

static bool
read_pipe(struct logs *g)
{
	char text[READ_BYTES];
	ssize_t n = read(g->pipe_in, text, sizeof text);

	if (n > 0)
		take_bytes(g, text, (size_t)n);
	return n > 0;
}

static void
on_line(void *arg, unsigned ready)
{
	(void)read_pipe(arg);
}

/* All that is in the pipe now; a child that never stops writing does not keep us. */
static void
drain(struct logs *g)
{
	int i = 0;

	while (i < PIPE_BYTES / READ_BYTES && read_pipe(g))
		i++;
	if (i < PIPE_BYTES / READ_BYTES)
		end_part(g);            /* nobody is in the middle of a write */
}

/* A line of this process. */
static void
put_own(void *arg, const char *line, size_t len)
{
	struct logs *g = arg;

	if (g->pipe_in >= 0)
		drain(g);
	put_line(g, line, len);
}

/* --- opening ----------------------------------------------------------------------------------------------------- */

static bool
is_word(const char *to, const char *a)
{
	return strcmp(to, a) == 0 || strcmp(to, "both") == 0;
}

static int
open_one(struct logfile *f, const char *dir, const char *name, const struct config *c, struct config_error *e)
{
	char path[PATH_MAX];

	if (logfile_open(f, paths_in(dir, name, path), c->log_max_size, (unsigned)c->log_keep) == 0)
		return 0;
	snprintf(e->text, sizeof e->text, "log.dir: %.300s: %s; check the directory and its rights", path, strerror(errno));
	return FB_EIO;
}

static int
open_files(struct logs *g, const struct config *c, struct config_error *e)
{
	char dir[PATH_MAX];
	int err;

	if (!is_word(c->log_to, "files"))
		return 0;
	if (dirs_log(c, dir, sizeof dir) != 0 || strlen(dir) > PATH_MAX - 64) {
		snprintf(e->text, sizeof e->text, "log.dir: no directory for log files: HOME is not set, or the path is too long; set "
		    "log.dir");
		return FB_ENOENT;
	}
	err = paths_make_dir(dir, "log.dir", 0750, g->uid, g->gid, e);
	if (err == 0)
		err = open_one(&g->console, dir, "console.log", c, e);
	if (err == 0)
		err = open_one(&g->error, dir, "error.log", c, e);
	if (err == 0 && c->stat_interval > 0)
		err = open_one(&g->stat, dir, "stat.log", c, e);
	return err;
}

static void
close_files(struct logs *g)
{
	logfile_close(&g->console);
	logfile_close(&g->error);
	logfile_close(&g->stat);
}

int
logs_check(const struct config *c, struct config_error *e)
{
	struct logs g = { .uid = geteuid(), .gid = getegid() };
	int err = open_files(&g, c, e);

	close_files(&g);
	return err;
}

static void
move_file(struct logfile *to, const struct logfile *from)
{
	uint64_t lost = to->lost;
	int error = to->error;

	logfile_close(to);
	*to = *from;
	to->lost = lost;
	to->error = error;
}

int
logs_open(struct logs *g, const struct config *c, struct config_error *e)
{
	struct logs fresh = { .uid = g->uid, .gid = g->gid };
	enum log_level level = LOG_INFO;
	int err = open_files(&fresh, c, e);

	if (err != 0) {
		close_files(&fresh);
		return err;
	}
	move_file(&g->console, &fresh.console);
	move_file(&g->error, &fresh.error);
	move_file(&g->stat, &fresh.stat);
	g->to_stderr = is_word(c->log_to, "stderr");
	g->to_files = is_word(c->log_to, "files");
	(void)log_level_parse(c->log_level, &level);
	log_open_sink(put_own, g, "supervisor", level);
	return 0;
}

int
logs_init(struct logs *g, struct loop *l, const struct config *c, uid_t uid, gid_t gid, struct config_error *e)
{
	int fd[2];
	int err;

	*g = (struct logs){ .pipe_in = -1, .pipe_out = -1, .uid = uid, .gid = gid };
	open_stderr(g);
	err = logs_open(g, c, e);
	if (err != 0)
		return err;
	if (pipe2(fd, O_CLOEXEC | O_NONBLOCK) != 0) {
		snprintf(e->text, sizeof e->text, "no pipe for log lines: %s", strerror(errno));
		return FB_EIO;
	}
	g->pipe_in = fd[0];
	g->pipe_out = fd[1];
	(void)fcntl(g->pipe_in, F_SETPIPE_SZ, PIPE_BYTES);      /* bursts; if it may not, 64 KiB must do */
	g->watch = loop_fd_new(l, g->pipe_in, LOOP_READ, on_line, g);
	return 0;
}

void
logs_fini(struct logs *g)
{
	if (g->pipe_in >= 0) {
		drain(g);
		loop_fd_free(g->watch);
		close(g->pipe_in);
		close(g->pipe_out);
	}
	log_open(STDERR_FILENO, "supervisor", LOG_NOTICE);
	close_files(g);
	if (g->err_fd > STDERR_FILENO)
		close(g->err_fd);
	g->pipe_in = g->pipe_out = g->err_fd = -1;
}

void
logs_chown(const struct logs *g)
{
	const struct logfile *const files[] = { &g->console, &g->error, &g->stat };

	for (size_t i = 0; i < sizeof files / sizeof files[0] && geteuid() == 0; i++)
		if (files[i]->path != NULL && fchown(files[i]->fd, g->uid, g->gid) != 0)
			log_warn("logs", "file cannot be given to the user", "file=%s error=\"%s\"", files[i]->path, strerror(errno));
}
