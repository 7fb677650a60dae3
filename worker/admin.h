/* SPDX-License-Identifier: Apache-2.0
 * worker/admin.h - commands of fubar-admin that a worker answers: sessions and topics. */
#ifndef WORKER_ADMIN_H
#define WORKER_ADMIN_H

#include "common/base/slice.h"

struct worker;

/* payload: of IPC_ADMIN. Answers with rows and an end. */
void admin_command(struct worker *w, struct slice payload);
/* payload: of IPC_ADMIN_FOLLOW. Answers when everything is applied that the store had sent us before. */
void admin_follow(struct worker *w, struct slice payload);
void admin_fini(struct worker *w);

#endif
