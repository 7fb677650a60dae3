/* SPDX-License-Identifier: Apache-2.0
 * worker/retain.h - sending retained messages to a new subscription: a cursor over the store, driven by the client.
 *
 * Rows come from the store in small parts; the next part is asked for when the client's window and socket took the
 * last. A topic that got a live retained publish meanwhile is skipped: the client has the newer message already. */
#ifndef WORKER_RETAIN_H
#define WORKER_RETAIN_H

#include "worker/session.h"

struct retains *retains_new(void);
void retains_free(struct retains *r);

/* Starts the replay of what filter matches, after those of the session already under way. */
void retain_start(struct worker *w, struct session *s, struct slice filter, uint8_t qos);
/* Sends what the client can take now. */
void retain_continue(struct worker *w, struct session *s);
void retain_cancel(struct worker *w, struct session *s);        /* all of the session */
void retain_cancel_filter(struct worker *w, struct session *s, struct slice filter);
/* p, retained, is being delivered live. */
void retain_note_live(struct worker *w, const struct cluster_pub *p);

#endif
