/* SPDX-License-Identifier: Apache-2.0
 * worker/retry.h - MQTT 3.1 alone: what a connected client does not acknowledge is sent again (session.retry_after,
 * session.max_retries). Later versions forbid it [MQTT-4.4.0-1]. */
#ifndef WORKER_RETRY_H
#define WORKER_RETRY_H

#include "worker/worker.h"

/* Something is in the window of s, which is connected: see that it is acknowledged. */
void retry_start(struct worker *w, struct session *s);

static inline void
retry_watch(struct worker *w, struct session *s)
{
	if (__builtin_expect(w->config.retry_after > 0, 0))
		retry_start(w, s);
}

#endif
