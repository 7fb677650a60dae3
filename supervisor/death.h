/* SPDX-License-Identifier: Apache-2.0
 * supervisor/death.h - what a child died of, in words. */
#ifndef SUPERVISOR_DEATH_H
#define SUPERVISOR_DEATH_H

#include "supervisor/proctab.h"

void death_log(const struct proc *p);           /* p->status is that of waitpid() */
/* "killed by SIGSEGV", "exit code 3"; returns out. */
const char *death_text(int status, char *out, size_t size);
/* Its own doing: a crash or, if we killed it for silence, a hang. Not an operator's kill -9. */
bool death_is_fault(int status, bool silenced);

#endif
