/* SPDX-License-Identifier: Apache-2.0
 * worker/retain.h - sending retained messages to new subscriptions: a cursor over the store, driven by the client.
 *
 * The filters of a session are served one after the other. Rows come from the store in small parts; the next part is
 * asked for when the client's window and socket took the last. A topic that the session got live since it subscribed
 * is skipped: the client has the newer message already. */
#ifndef WORKER_RETAIN_H
#define WORKER_RETAIN_H

#include "worker/session.h"

/* Queues the replay of what filter matches. */
void retain_start(struct worker *w, struct session *s, struct slice filter, uint8_t qos);
/* Sends what the client can take now. */
void retain_continue(struct worker *w, struct session *s);
/* Of a session with replays: all; or those of one filter. */
void retain_cancel(struct session *s);
void retain_cancel_filter(struct session *s, struct slice filter);
/* So much waits that no more filters may be queued: the client does not read, and subscribes on and on. */
bool retain_full(const struct session *s);
/* The session gets a retained publish on this topic live. */
void retain_note_live(struct session *s, struct slice topic);

#endif
