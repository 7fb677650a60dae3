/* SPDX-License-Identifier: Apache-2.0
 * supervisor/watch.h - the look at all children four times a second: silence, sockets of slots that are down, limits of
 * time, load. */
#ifndef SUPERVISOR_WATCH_H
#define SUPERVISOR_WATCH_H

#include "supervisor/proctab.h"

void watch_start(struct node *n);
/* The worker serves again: whoever had its sockets gives them back. */
void watch_take_back(struct proc *w);
bool watch_cpu(pid_t pid, uint64_t *ticks);     /* CPU time of a process in clock ticks; false: it is gone */

#endif
