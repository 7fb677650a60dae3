/* SPDX-License-Identifier: Apache-2.0
 * store/groups.h - the queues of shared groups: theirs are the odd numbers (qid_of_group() of common/ipc/qops.h). */
#ifndef STORE_GROUPS_H
#define STORE_GROUPS_H

#include "common/base/buf.h"
#include "store/env.h"

/* gone: le64 numbers of queues that no session has. Those of groups that a subscription of the table names are taken out
 * of it. */
int groups_spare(struct env *state, struct buf *gone);

#endif
