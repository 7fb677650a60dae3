/* SPDX-License-Identifier: Apache-2.0
 * supervisor/logs.h - where log lines end: standard error, the files console.log and error.log of log.dir, or both.
 *
 * The children write each line to one pipe in one write(), which the kernel takes whole or not at all and keeps in
 * order, whoever dies meanwhile; this process alone writes files, so it can put them aside between two lines. Its own
 * lines come behind what is in the pipe already. What is in the pipe without being a line of ours (a library's
 * complaint, a sanitizer's report) counts as a warning.
 *
 * Nothing here blocks on a reader that stopped reading, or fails for good because a disk is full: lines are lost
 * then, counted, and the count is told in the same place as soon as it takes lines again. */
#ifndef SUPERVISOR_LOGS_H
#define SUPERVISOR_LOGS_H

#include "common/base/log.h"
#include "common/base/loop.h"
#include "common/config/config.h"
#include "supervisor/logfile.h"

struct logs {
	bool to_stderr, to_files;
	bool journal;                   /* standard error is journald's: lines begin with their level, as <4> */
	bool socket;                    /* standard error is one */
	int err_fd;                     /* standard error, or a copy of it that does not block */
	uint64_t err_lost;
	struct logfile console, error, stat;    /* closed: not wanted */
	int pipe_in, pipe_out;          /* the children's */
	char part[2 * LOG_LINE_MAX];    /* the beginning of a line */
	size_t part_len;
	struct loop_fd *watch;
	void (*tap)(void *arg, const char *line, size_t len);   /* also gets each line; may be NULL; must not log */
	void *tap_arg;
	uid_t uid;                      /* whose a new log.dir is to be */
	gid_t gid;
};

/* Is standard error journald's, as JOURNAL_STREAM of the environment says? */
bool logs_is_journal(void);
/* Opens what the configuration says and makes the pipe; this process' log lines go here from now on. Takes
 * JOURNAL_STREAM from the environment. 0; FB_EIO and *e. g is used until logs_fini(). */
int logs_init(struct logs *g, struct loop *l, const struct config *c, uid_t uid, gid_t gid, struct config_error *e);
/* Takes what is left in the pipe; log lines go to standard error as they are from now on. */
void logs_fini(struct logs *g);
/* The files of c, opened anew; on failure the old ones stay. Also sets the level. */
int logs_open(struct logs *g, const struct config *c, struct config_error *e);
/* Could logs_open() open them? Makes what is missing. 0, or an error and *e. */
int logs_check(const struct config *c, struct config_error *e);
/* The files must be the new user's before root's rights are given up. */
void logs_chown(const struct logs *g);
/* A line, with its newline, for stat.log; false: there is none, or it is lost. */
bool logs_stat(struct logs *g, const char *line, size_t len);

#endif
