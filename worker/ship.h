/* SPDX-License-Identifier: Apache-2.0
 * worker/ship.h - what waits in a session, as bytes for its new owner. */
#ifndef WORKER_SHIP_H
#define WORKER_SHIP_H

#include "worker/session.h"

/* Sends window, received QoS 2 ids and queue (not what is aside) in records of that type, each led by the client id. */
void ship_encode(struct worker *w, struct session *s, unsigned to, uint8_t record);
/* Adds one record's worth to f. FB_EPROTO: damaged. */
int ship_decode(struct flow *f, struct slice body);

#endif
