/* SPDX-License-Identifier: Apache-2.0
 * worker/release.h - QoS 2 to a client, from PUBREC on: PUBREL goes out when the disk knows that PUBREC has come, so
 * that a PUBLISH which the client may have forgotten is never sent again. */
#ifndef WORKER_RELEASE_H
#define WORKER_RELEASE_H

#include "worker/session.h"

/* PUBREC came for the slot at place n, which has a row. */
void release_start(struct worker *w, struct session *s, uint64_t n);
/* Is it waited for? Then PUBREL must not go out yet. */
bool release_waits(const struct flow *f, uint64_t n);
void releases_cancel(struct flow *f);

#endif
