/* SPDX-License-Identifier: Apache-2.0
 * worker/deliver.h - from a publish to the sessions of this worker that it reaches, each by its QoS, window and queue. */
#ifndef WORKER_DELIVER_H
#define WORKER_DELIVER_H

#include "worker/session.h"

/* p to every session here that matches. from: the worker where it was published. When it returns, each session has it
 * safe: sent, in its window or in its queue (or it was dropped by a rule and counted). Answers the slots (bits) that
 * are home to shared groups which get it too: the publisher's worker has to send it there. *keep (may be NULL): what waits for
 * the disk, for keep_tell_...(); NULL: nothing does. */
uint64_t deliver(struct worker *w, const struct cluster_pub *p, unsigned from, struct keep **keep);
/* One message to one session: retained replays, and what a move brings. The QoS is final. */
void deliver_one(struct worker *w, struct session *s, const struct cluster_pub *p, uint8_t qos, bool retain);
/* QoS 1 or 2 to a connected member of a shared group, leased. */
void deliver_lease(struct worker *w, struct session *s, struct msg *m, uint8_t qos, uint32_t lease);
/* Is it a client's id, so that subscriptions with wildcards get nothing of it (features.direct_public)? */
bool deliver_is_private(const struct worker *w, struct slice topic);
/* What was aside while s moved, behind all else; its reference goes along. */
void deliver_join(struct worker *w, struct session *s, struct queued *q);
/* From the queue to the client, as far as window and output allow; then retained replays. */
void deliver_pump(struct worker *w, struct session *s);
/* After CONNACK: what was sent and not acknowledged, again, in its order [MQTT-4.4.0-1]; then the queue. before: a
 * sequence number of the window, such as its tail: those from there on are left out. */
void deliver_again(struct worker *w, struct session *s, uint64_t before);
/* The oldest message of its queue gives way, for want of memory; false: it is on its way to the disk, so not now. */
bool deliver_cut(struct worker *w, struct session *s);
/* May a retained replay add more to this session now? */
bool deliver_has_room(const struct worker *w, const struct session *s);

#endif
