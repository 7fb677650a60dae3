/* SPDX-License-Identifier: Apache-2.0
 * supervisor/memory.h - how much memory a process has, and how much the node may have. root: where proc/ and sys/ are,
 * "" for the machine's own. */
#ifndef SUPERVISOR_MEMORY_H
#define SUPERVISOR_MEMORY_H

#include <stdint.h>
#include <sys/types.h>

/* Private memory of a process in bytes: what it has resident but for files and what is shared, so that the sum over a
 * node's processes counts nothing twice. 0: it is gone. */
uint64_t memory_of(const char *root, pid_t pid);
/* The smaller of the machine's memory and the limits of our control groups (v1 and v2, and those above); 0: unknown. */
uint64_t memory_limit(const char *root);

#endif
