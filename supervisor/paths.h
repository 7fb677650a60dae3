/* SPDX-License-Identifier: Apache-2.0
 * supervisor/paths.h - where this node keeps its things: directories, lock files, the epoch counter, helpers. */
#ifndef SUPERVISOR_PATHS_H
#define SUPERVISOR_PATHS_H

#include <limits.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/config/config.h"

#define PATHS_SOCKET_MAX 80     /* bytes of run_dir: names of sockets in it must fit in a sockaddr_un */

struct paths {
	char data_dir[PATH_MAX];        /* absolute */
	char run_dir[PATH_MAX];
	int data_lock, run_lock;        /* descriptors; -1: not locked */
};

/* All functions: 0, or FB_E... and *e is one line with the remedy. */
int paths_resolve(struct paths *p, const struct config *c, struct config_error *e);
/* Makes what is missing, owned by uid and gid if this is root, and checks what is there. */
int paths_make(struct paths *p, uid_t uid, gid_t gid, struct config_error *e);
/* The same for one directory, the value of that key. */
int paths_make_dir(const char *dir, const char *key, mode_t mode, uid_t uid, gid_t gid, struct config_error *e);
/* FB_EBUSY: another fubard runs there. Held until exit, then let go by paths_unlock() or the kernel. */
int paths_lock(struct paths *p, uid_t uid, gid_t gid, struct config_error *e);
void paths_unlock(struct paths *p);
/* A number never given before for this data directory, nor for a backup that is about to take its place. */
int paths_boot(const struct paths *p, uint64_t *boot, struct config_error *e);
/* Path of a file in a directory of p; returns out, of PATH_MAX bytes. */
const char *paths_in(const char *dir, const char *name, char *out);
/* Replaces a small file in one step. */
int paths_write(const char *dir, const char *name, const char *text, struct config_error *e);
/* "fubar-worker": beside this program (the build tree), else where make install puts it. FB_ENOENT. */
int paths_helper(const char *name, char *out, struct config_error *e);
/* The user of the configuration; none: who we are. */
int paths_user(const struct config *c, uid_t *uid, gid_t *gid, struct config_error *e);

#endif
