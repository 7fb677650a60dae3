/* SPDX-License-Identifier: Apache-2.0
 * common/mqtt/reason.h - reason codes: names, where they may stand, and what levels 3 and 4 say instead. */
#ifndef COMMON_MQTT_REASON_H
#define COMMON_MQTT_REASON_H

#include "common/mqtt/packet.h"

const char *reason_text(uint8_t code);                  /* never NULL */
/* CONNACK return code of levels 3 and 4; -1: close without a CONNACK. */
int reason_connack_v3(enum mqtt_reason reason);
/* May a packet of that type carry it at level 5? */
bool reason_allowed(enum mqtt_type type, uint8_t code);

#endif
