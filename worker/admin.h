/* SPDX-License-Identifier: Apache-2.0
 * worker/admin.h - commands of fubar-admin that a worker answers: sessions and topics. */
#ifndef WORKER_ADMIN_H
#define WORKER_ADMIN_H

#include "common/base/slice.h"

struct worker;

/* payload: of IPC_ADMIN. Answers with rows and an end. */
void admin_command(struct worker *w, struct slice payload);

#endif
