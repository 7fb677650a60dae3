/* SPDX-License-Identifier: Apache-2.0
 * common/base/log.h - one line an event: level, where, what happened, fields.
 *
 *	log_warn("session", "takeover refused", "client=%s owner=%u", name, slot);
 *
 * error: someone must act. warn: degraded. notice: life of the node. info: connections. debug: off.
 * As written: "2024-01-31T12:00:00.000Z warn worker 0 session: takeover refused client=a owner=2", at most LOG_LINE_MAX
 * bytes (cut with "..."), control bytes as "?".
 * Lines go to one descriptor in one write each (children: the supervisor's pipe; the supervisor: its files or
 * standard error). Each (file, line) is limited to 10 lines a second with a "suppressed n" summary; error is
 * not limited. Bytes that came from a peer are passed through utf8_show() by the caller. Any thread
 * may log. A descriptor that takes no line at once loses it; the next line that gets through says how many. */
#ifndef COMMON_BASE_LOG_H
#define COMMON_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_NOTICE, LOG_INFO, LOG_DEBUG };

/* limit: lines a second; 0: 10. */
struct log_site { int64_t second; uint32_t lines; uint32_t suppressed; uint32_t limit; };

#define LOG_LINE_MAX 2048               /* with its newline */

/* who: role and number, such as "worker 0"; fd: borrowed. */
void log_open(int fd, const char *who, enum log_level level);
/* Lines go to put() instead, one a call, with their newline. put() must not log: the lock is held. */
void log_open_sink(void (*put)(void *arg, const char *line, size_t len), void *arg, const char *who, enum log_level level);
void log_set_level(enum log_level level);
bool log_would(enum log_level level);
const char *log_level_name(enum log_level level);               /* "error" ... */
int log_level_parse(const char *name, enum log_level *out);     /* FB_EINVAL */

/* A line as log_write() would write it, written nowhere; its length. Takes no lock, so that a sink may use it. */
size_t log_line(char line[LOG_LINE_MAX], enum log_level level, const char *module, const char *event, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

void log_write(struct log_site *site, enum log_level level, const char *module, const char *event,
    const char *fmt, ...) __attribute__((format(printf, 5, 6)));

#define LOG_AT(level, ...) \
	do { \
		static struct log_site log_site_; \
		if (log_would(level)) \
			log_write(&log_site_, level, __VA_ARGS__); \
	} while (0)
#define log_error(...)  LOG_AT(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)   LOG_AT(LOG_WARN, __VA_ARGS__)
#define log_notice(...) LOG_AT(LOG_NOTICE, __VA_ARGS__)
#define log_info(...)   LOG_AT(LOG_INFO, __VA_ARGS__)
#define log_debug(...)  LOG_AT(LOG_DEBUG, __VA_ARGS__)

#endif
