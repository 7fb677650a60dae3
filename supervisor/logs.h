/* SPDX-License-Identifier: Apache-2.0
 * supervisor/logs.h - where log lines end: standard error or a file. The children write to a pipe; what comes out of
 * it is copied, so that a file can be replaced under all processes at once. */
#ifndef SUPERVISOR_LOGS_H
#define SUPERVISOR_LOGS_H

#include <sys/types.h>

#include "common/base/loop.h"
#include "common/config/config.h"

struct logs {
	int out;                        /* standard error, a copy of it that does not block, or the file */
	int pipe_in, pipe_out;
	char *path;                     /* of the file; NULL: standard error */
	struct loop_fd *watch;
};

/* Opens what the configuration says and makes the pipe; log_open() is done. 0; FB_EIO and *e. */
int logs_init(struct logs *g, struct loop *l, const struct config *c, struct config_error *e);
void logs_fini(struct logs *g);         /* copies what is left in the pipe */
/* The file of c, opened anew; on failure the old one stays. Also sets the level. */
int logs_open(struct logs *g, const struct config *c, struct config_error *e);
/* Could logs_open() open that file? 0, or FB_EIO and *e. */
int logs_check(const struct config *c, struct config_error *e);
/* The file must be the new user's before root's rights are given up. */
void logs_chown(const struct logs *g, uid_t uid, gid_t gid);

#endif
