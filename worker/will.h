/* SPDX-License-Identifier: Apache-2.0
 * worker/will.h - the message that a client leaves for the case that its connection ends without DISCONNECT. */
#ifndef WORKER_WILL_H
#define WORKER_WILL_H

#include "common/mqtt/packet.h"

struct will;
struct session;
struct worker;

/* disk: what becomes cluster_pub.disk. */
struct will *will_new(const struct mqtt_will *from, bool disk);
void will_free(struct will *will);
/* What its client may: to be asked while the session is still there. */
void will_ask(struct worker *w, const struct session *s, struct will *will);
void will_publish(struct worker *w, const struct will *will);

#endif
