/* SPDX-License-Identifier: Apache-2.0
 * supervisor/watch.h - the look at all children four times a second: silence, sockets of slots that are down, limits of
 * time, load. */
#ifndef SUPERVISOR_WATCH_H
#define SUPERVISOR_WATCH_H

#include "supervisor/proctab.h"

void watch_start(struct node *n);
/* The worker serves again: whoever had its sockets gives them back. */
void watch_take_back(struct proc *w);
/* CPU time of a process in clock ticks and its memory in kB; false: it is gone. pss NULL: not wanted (it is dear). */
bool watch_usage(pid_t pid, uint64_t *cpu_ticks, uint64_t *pss_kb);

#endif
