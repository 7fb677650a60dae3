/* SPDX-License-Identifier: Apache-2.0
 * common/mqtt/packet.h - one struct a control packet, for levels 3 (3.1), 4 (3.1.1) and 5 (5.0).
 *
 * All slices point into the bytes that were decoded (or, for encoding, into the caller's memory): borrowed. */
#ifndef COMMON_MQTT_PACKET_H
#define COMMON_MQTT_PACKET_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/slice.h"

enum mqtt_level { MQTT_31 = 3, MQTT_311 = 4, MQTT_50 = 5 };

enum mqtt_type {
	MQTT_CONNECT = 1, MQTT_CONNACK, MQTT_PUBLISH, MQTT_PUBACK, MQTT_PUBREC, MQTT_PUBREL, MQTT_PUBCOMP,
	MQTT_SUBSCRIBE, MQTT_SUBACK, MQTT_UNSUBSCRIBE, MQTT_UNSUBACK, MQTT_PINGREQ, MQTT_PINGRESP,
	MQTT_DISCONNECT, MQTT_AUTH
};

enum mqtt_reason {
#define REASON(name, code, v3, text) MQTT_R_##name = (code),
#include "common/mqtt/reasons.def"
#undef REASON
};

/* Why a peer's bytes were refused: what to answer, and the statement of the standard that it broke. */
struct violation {
	enum mqtt_reason reason;
	const char *statement;          /* "MQTT-2.3.1-1", or a short text where the standard has no number; static */
};

/* Properties of level 5 travel as the encoded block (without its length), checked once by decode; props.h
 * walks it. Empty at levels 3 and 4. */
struct mqtt_publish {
	struct slice topic;             /* empty with a topic alias (level 5) */
	struct slice payload;
	struct slice props;
	uint16_t packet_id;             /* 0 at QoS 0 */
	uint8_t qos;
	bool retain;
	bool dup;
};

struct mqtt_will {
	struct slice topic;
	struct slice payload;
	struct slice props;
	uint8_t qos;
	bool retain;
};

struct mqtt_connect {
	struct slice client_id;
	struct slice user;
	struct slice password;
	struct slice props;
	struct mqtt_will will;
	uint16_t keep_alive_s;
	uint8_t level;
	bool clean;
	bool has_will;
	bool has_user;
	bool has_password;
	bool bridge;                    /* bit 7 of the level byte, as bridges of mosquitto set it */
	bool has_max_recursion;         /* the original's extension: bit 0 of the flags, see ORIGINAL's alternate server */
	uint16_t max_recursion;
};

struct mqtt_connack {
	bool session_present;
	uint8_t code;                   /* as on the wire of that level */
	struct slice props;
	bool has_keep_alive;            /* the original's two extra bytes at levels 3 and 4 */
	uint16_t keep_alive_s;
	struct slice server;            /* code 6 of the original: the alternate server; empty: none */
	uint16_t max_recursion;
};

/* PUBACK, PUBREC, PUBREL, PUBCOMP. */
struct mqtt_ack {
	uint16_t packet_id;
	uint8_t reason;                 /* 0 at levels 3 and 4 */
	struct slice props;
};

struct mqtt_filter {
	struct slice filter;
	uint8_t qos;
	bool no_local;
	bool retain_as_published;
	uint8_t retain_handling;        /* 0, 1, 2 */
};

struct mqtt_subscribe {
	uint16_t packet_id;
	struct slice props;
	struct mqtt_filter *filters;    /* in the arena given to decode */
	uint32_t count;                 /* >= 1 */
};

struct mqtt_unsubscribe {
	uint16_t packet_id;
	struct slice props;
	struct slice *filters;          /* in the arena given to decode */
	uint32_t count;                 /* >= 1 */
};

struct mqtt_suback {                    /* also UNSUBACK, which has no codes at levels 3 and 4 */
	uint16_t packet_id;
	struct slice props;
	struct slice codes;
};

struct mqtt_disconnect {                /* also AUTH */
	uint8_t reason;
	struct slice props;
};

#endif
