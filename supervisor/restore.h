/* SPDX-License-Identifier: Apache-2.0
 * supervisor/restore.h - a backup becomes the data: `fubar-admin restore DIR` and `fubard --restore DIR`.
 *
 * A helper, fubar-store --restore, makes a copy of the backup in the data directory and checks it, while the node
 * serves. Only when that is good, all processes are ended and started again; the new store puts the copy in place. */
#ifndef SUPERVISOR_RESTORE_H
#define SUPERVISOR_RESTORE_H

#include "supervisor/admin.h"

struct restoring;

void restore_admin(struct admin_call *c);       /* finishes the call, now or later */
void restore_reap(struct node *n);              /* after SIGCHLD */
void restore_over(struct node *n);              /* all processes are ready again */
void restore_stop(struct node *n);              /* the node stops: the helper is killed and reaped */
/* Without a node: blocks, says how it goes on standard error. 0, or FB_E... and *e. */
int restore_once(struct node *n, const char *dir, struct config_error *e);

#endif
