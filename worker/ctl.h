/* SPDX-License-Identifier: Apache-2.0
 * worker/ctl.h - what the supervisor tells a worker, and what the store tells it unasked. */
#ifndef WORKER_CTL_H
#define WORKER_CTL_H

#include "common/ipc/chan.h"

struct worker;

extern const struct chan_ops ctl_ops;           /* of the channel to the supervisor; arg: struct worker */
/* A message of the store that answers no request. */
void ctl_on_store(struct worker *w, enum ipc_type type, struct slice payload);
/* Something that start-up waits for has happened: READY if it was the last. */
void ctl_check_ready(struct worker *w);

#endif
