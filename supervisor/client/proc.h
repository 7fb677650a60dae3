/* SPDX-License-Identifier: Apache-2.0
 * supervisor/client/proc.h - what a broker's processes cost: CPU time and memory of some processes and all their descendants. */
#ifndef CLIENT_PROC_H
#define CLIENT_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PROC_MAX 128

struct proc_set {
	pid_t roots[16];
	size_t root_count;
	pid_t pids[PROC_MAX];           /* roots and descendants, as of the last proc_find() */
	size_t count;
};

/* "12,34": false if it is no list of process ids. */
bool proc_parse(struct proc_set *set, const char *list);
/* Looks at all processes of the machine; false if none of the roots is there. */
bool proc_find(struct proc_set *set);
/* CPU time so far in ns, user and system, of all threads, ended ones too; of processes that ended: nothing. */
int64_t proc_cpu_ns(const struct proc_set *set);
/* Proportional set size in bytes; -1: not readable. */
int64_t proc_pss(const struct proc_set *set);
int64_t proc_own_cpu_ns(void);

#endif
