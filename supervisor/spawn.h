/* SPDX-License-Identifier: Apache-2.0
 * supervisor/spawn.h - fork and exec of a child, and what the supervisor does to itself before: limits, privileges. */
#ifndef SUPERVISOR_SPAWN_H
#define SUPERVISOR_SPAWN_H

#include <stdint.h>
#include <sys/types.h>

#include "common/config/config.h"

/* Starts path with argv; its fd 3 is the other end of *chan_fd, its standard output and error are log_fd. It is in a
 * process group of its own: Ctrl-C in a terminal is for the supervisor. If this process is protected from the kernel's
 * out-of-memory killer (a negative score), the child is by oom_less less, so that it goes first. 0; FB_EIO and errno:
 * it was not started. */
int spawn(const char *path, char *const argv[], int oom_less, int log_fd, pid_t *pid, int *chan_fd);
/* The score of a child that is to be protected by less less than we are with ours; who is not protected has no more to
 * lose: ours. */
int spawn_oom_score(int ours, int less);
/* Descriptors 0 to 3 are taken (with /dev/null if need be), so that nothing of ours gets one of them. */
void spawn_reserve_fds(void);
/* Raises the limit of descriptors as far as it goes; returns it. */
uint64_t spawn_raise_limits(void);
/* How many clients a worker can hold with that many descriptors. */
uint64_t spawn_clients(uint64_t descriptors);
/* Becomes the user for good; no child inherits a capability from now on. 0; FB_EPERM and *e. Nothing to
 * do: 0. */
int spawn_drop_privileges(const struct config *c, uid_t uid, gid_t gid, struct config_error *e);

#endif
