/* SPDX-License-Identifier: Apache-2.0
 *
 * A line: "2024-01-31T12:00:00.000Z warn worker 0 session: takeover refused client=a owner=2". At most LOG_LINE_MAX,
 * which a pipe takes in one piece, so that lines of several processes do not mix. A descriptor that does not take a
 * line at once loses it; the loss is counted and told by the next line that gets through: logging never blocks
 * (if the descriptor does not) and never fails. */
#include "common/base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/err.h"

#define LINES_A_SECOND 10u

static const char *const names[] = {
	[LOG_ERROR] = "error", [LOG_WARN] = "warn", [LOG_NOTICE] = "notice", [LOG_INFO] = "info", [LOG_DEBUG] = "debug",
};

static int out_fd = STDERR_FILENO;
static void (*out_put)(void *arg, const char *line, size_t len);       /* NULL: out_fd */
static void *out_arg;
static char out_who[64] = "fubar";
static enum log_level out_level = LOG_NOTICE;
/* Some processes have threads (the store); a line is rare enough for a lock. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t lost;

static void
set_out(int fd, void (*put)(void *arg, const char *line, size_t len), void *arg, const char *who)
{
	pthread_mutex_lock(&lock);
	out_fd = fd;
	out_put = put;
	out_arg = arg;
	snprintf(out_who, sizeof out_who, "%s", who);
	pthread_mutex_unlock(&lock);
}

void
log_open(int fd, const char *who, enum log_level level)
{
	set_out(fd, NULL, NULL, who);
	log_set_level(level);
}

void
log_open_sink(void (*put)(void *arg, const char *line, size_t len), void *arg, const char *who, enum log_level level)
{
	set_out(-1, put, arg, who);
	log_set_level(level);
}

void
log_set_level(enum log_level level)
{
	__atomic_store_n(&out_level, level, __ATOMIC_RELAXED);
}

bool
log_would(enum log_level level)
{
	return level <= __atomic_load_n(&out_level, __ATOMIC_RELAXED);
}

const char *
log_level_name(enum log_level level)
{
	return names[level];
}

int
log_level_parse(const char *name, enum log_level *out)
{
	for (enum log_level l = LOG_ERROR; l <= LOG_DEBUG; l++) {
		if (strcmp(name, names[l]) == 0) {
			*out = l;
			return 0;
		}
	}
	return FB_EINVAL;
}

/* Time, level, who, module and event; the number of bytes. */
static size_t
put_head(char line[LOG_LINE_MAX], enum log_level level, const char *module, const char *event)
{
	struct wall now = clock_wall();
	time_t sec = (time_t)(now.ns / NS_PER_SEC);
	struct tm tm;
	int n;

	gmtime_r(&sec, &tm);
	n = snprintf(line, LOG_LINE_MAX / 2, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ %s %s %s: %s", tm.tm_year + 1900,
	    tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(now.ns % NS_PER_SEC / NS_PER_MS),
	    names[level], out_who, module, event);
	return n < LOG_LINE_MAX / 2 ? (size_t)n : LOG_LINE_MAX / 2 - 1;
}

/* Cuts to the size, keeps control bytes out, ends the line; its length. */
static size_t
end_line(char line[LOG_LINE_MAX], size_t len)
{
	if (len > LOG_LINE_MAX - 1) {
		len = LOG_LINE_MAX - 1;
		memcpy(line + len - 3, "...", 3);
	}
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	line[len] = '\n';
	return len + 1;
}

static void
put_line(const char *line, size_t len)
{
	ssize_t n;

	if (out_put != NULL) {
		out_put(out_arg, line, len);
		return;
	}
	do {
		n = write(out_fd, line, len);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		lost++;
}

static size_t
__attribute__((format(printf, 5, 0)))
make_line(char line[LOG_LINE_MAX], enum log_level level, const char *module, const char *event, const char *fmt, va_list ap)
{
	size_t len = put_head(line, level, module, event);

	if (fmt[0] != '\0') {
		line[len++] = ' ';
		len += (size_t)vsnprintf(line + len, LOG_LINE_MAX - len, fmt, ap);
	}
	return end_line(line, len);
}

size_t
log_line(char line[LOG_LINE_MAX], enum log_level level, const char *module, const char *event, const char *fmt, ...)
{
	va_list ap;
	size_t len;

	va_start(ap, fmt);
	len = make_line(line, level, module, event, fmt, ap);
	va_end(ap);
	return len;
}

static void
put_count(enum log_level level, const char *module, const char *event, const char *name, uint64_t n)
{
	char line[LOG_LINE_MAX];

	put_line(line, log_line(line, level, module, event, "%s=%llu", name, (unsigned long long)n));
}

/* May this place log now? Also tells what it kept to itself in an earlier second. */
static bool
site_may(struct log_site *site, enum log_level level, const char *module, const char *event)
{
	int64_t second = clock_mono().ns / NS_PER_SEC;

	if (level == LOG_ERROR)
		return true;
	if (site->second != second) {
		uint32_t n = site->suppressed;

		*site = (struct log_site){ .second = second, .limit = site->limit };
		if (n != 0)
			put_count(level, module, event, "suppressed", n);
	}
	if (site->lines >= (site->limit != 0 ? site->limit : LINES_A_SECOND)) {
		site->suppressed++;
		return false;
	}
	site->lines++;
	return true;
}

void
log_write(struct log_site *site, enum log_level level, const char *module, const char *event, const char *fmt, ...)
{
	char line[LOG_LINE_MAX];
	int saved = errno;
	va_list ap;
	size_t len;

	pthread_mutex_lock(&lock);
	if (site_may(site, level, module, event)) {
		va_start(ap, fmt);
		len = make_line(line, level, module, event, fmt, ap);
		va_end(ap);
		if (lost != 0) {
			uint64_t n = lost;

			lost = 0;
			put_count(LOG_WARN, "log", "lines lost", "count", n);
		}
		put_line(line, len);
	}
	pthread_mutex_unlock(&lock);
	errno = saved;
}
