/* SPDX-License-Identifier: Apache-2.0
 * common/mqtt/decode.h - from a packet's bytes to its struct. No I/O, no clock, no state.
 *
 * Each returns 0, or FB_EPROTO with *v filled: everything that the standard says of the bytes of one packet is
 * checked here (fixed header flags, lengths, UTF-8, packet id not 0, reserved bits, property types and where they
 * may stand, no trailing bytes at levels 4 and 5). What needs a session (is this id in use) is the caller's.
 * Works for both directions, so that clients use it too. Statements are numbered as in MQTT 3.1.1 where it has the
 * rule, else as in 5.0. Level 3 is read as MQTT 3.1 has it: fixed header flags that it calls unused are ignored. */
#ifndef COMMON_MQTT_DECODE_H
#define COMMON_MQTT_DECODE_H

#include "common/base/arena.h"
#include "common/mqtt/frame.h"
#include "common/mqtt/packet.h"

#define DECODE_MAX_FILTERS 65536        /* of one SUBSCRIBE or UNSUBSCRIBE; more: QUOTA_EXCEEDED */

struct decode_opts {                    /* for CONNECT, whose level is not known yet */
	bool alternate_server_v4;       /* extensions.alternate_server_v4 */
};

/* level is read from the packet; unknown protocol name or level: reason UNSUPPORTED_VERSION.
 * [MQTT-3.1.2-1] [MQTT-3.1.2-2] ... A bad client id or missing parts are violations of their own. Also when it fails,
 * out->level is set to the level that the peer expects its answer in (4 if it cannot be told). */
int decode_connect(const struct frame *f, const struct decode_opts *opts, struct mqtt_connect *out, struct violation *v);
int decode_connack(const struct frame *f, uint8_t level, struct mqtt_connack *out, struct violation *v);
/* The hot one. Topic: UTF-8 and no wildcard are checked [MQTT-3.3.2-1] [MQTT-3.3.2-2], not its number of levels. */
int decode_publish(const struct frame *f, uint8_t level, struct mqtt_publish *out, struct violation *v);
int decode_ack(const struct frame *f, uint8_t level, struct mqtt_ack *out, struct violation *v);
int decode_subscribe(const struct frame *f, uint8_t level, struct arena *a, struct mqtt_subscribe *out, struct violation *v);
int decode_suback(const struct frame *f, uint8_t level, struct mqtt_suback *out, struct violation *v);
int decode_unsubscribe(const struct frame *f, uint8_t level, struct arena *a, struct mqtt_unsubscribe *out, struct violation *v);
/* PINGREQ and PINGRESP: an empty body. */
int decode_ping(const struct frame *f, struct violation *v);
/* DISCONNECT, and AUTH (level 5 only). */
int decode_disconnect(const struct frame *f, uint8_t level, struct mqtt_disconnect *out, struct violation *v);

#endif
