/* SPDX-License-Identifier: Apache-2.0
 * supervisor/logfile.h - a file of lines, of which old ones are put aside: NAME, NAME.1 (the newest of the old ones),
 * NAME.2 ... One process writes, so a line is in exactly one of them, and whole.
 *
 * A new file begins when a line would make it larger than max_size, or on another day (UTC, as the lines have it).
 * Nothing here logs, and nothing fails for good: a line that cannot be written (a full disk) is counted, a file that
 * cannot be put aside is written on. The caller brings the time. */
#ifndef SUPERVISOR_LOGFILE_H
#define SUPERVISOR_LOGFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/clock.h"

struct logfile {
	char *path;                     /* NULL: closed; owned */
	int fd;                         /* only when path is set */
	int64_t size;
	int64_t max_size;
	int64_t day;                    /* of its first line, since 1970; one found: of its last */
	int64_t retry_ns;               /* wall clock; not put aside before, since it failed */
	unsigned keep;                  /* old files; 0: what is put aside is gone */
	bool regular;                   /* else (a pipe, /dev/null) it is never put aside */
	uint64_t lost;                  /* lines since the last one that got through */
	int error;                      /* errno of the last one that did not */
};

/* *f is zeroed or closed. 0; FB_EIO and errno. */
int logfile_open(struct logfile *f, const char *path, int64_t max_size, unsigned keep);
void logfile_close(struct logfile *f);          /* counters stay; closed already: nothing */
/* line ends in a newline. false: it is lost. */
bool logfile_write(struct logfile *f, const char *line, size_t len, struct wall now);

#endif
