/* SPDX-License-Identifier: Apache-2.0 */
#include "common/mqtt/reason.h"

#include <stddef.h>

static const char *const texts[256] = {
#define REASON(name, code, v3, text) [code] = text,
#include "common/mqtt/reasons.def"
#undef REASON
};

#define IN(type) (1u << (type))
#define ACK1 (IN(MQTT_PUBACK) | IN(MQTT_PUBREC))
#define ACK2 (IN(MQTT_PUBREL) | IN(MQTT_PUBCOMP))
#define SUBS (IN(MQTT_SUBACK) | IN(MQTT_UNSUBACK))
#define CONN IN(MQTT_CONNACK)
#define SUB  IN(MQTT_SUBACK)
#define DISC IN(MQTT_DISCONNECT)
#define AUTH IN(MQTT_AUTH)

/* MQTT 5.0 table 2-6: bits of the packet types in which each code may stand. */
static const uint16_t allowed[256] = {
	[MQTT_R_SUCCESS] = CONN | ACK1 | ACK2 | SUBS | DISC | AUTH,
	[MQTT_R_GRANTED_QOS1] = SUB,
	[MQTT_R_GRANTED_QOS2] = SUB,
	[MQTT_R_DISCONNECT_WITH_WILL] = DISC,
	[MQTT_R_NO_SUBSCRIBERS] = ACK1,
	[MQTT_R_NO_SUBSCRIPTION] = IN(MQTT_UNSUBACK),
	[MQTT_R_CONTINUE_AUTH] = AUTH,
	[MQTT_R_REAUTHENTICATE] = AUTH,
	[MQTT_R_UNSPECIFIED] = CONN | ACK1 | SUBS | DISC,
	[MQTT_R_MALFORMED] = CONN | DISC,
	[MQTT_R_PROTOCOL_ERROR] = CONN | DISC,
	[MQTT_R_IMPLEMENTATION] = CONN | ACK1 | SUBS | DISC,
	[MQTT_R_UNSUPPORTED_VERSION] = CONN,
	[MQTT_R_BAD_CLIENT_ID] = CONN,
	[MQTT_R_BAD_USER_OR_PASSWORD] = CONN,
	[MQTT_R_NOT_AUTHORIZED] = CONN | ACK1 | SUBS | DISC,
	[MQTT_R_SERVER_UNAVAILABLE] = CONN,
	[MQTT_R_SERVER_BUSY] = CONN | DISC,
	[MQTT_R_BANNED] = CONN,
	[MQTT_R_SERVER_SHUTTING_DOWN] = DISC,
	[MQTT_R_BAD_AUTH_METHOD] = CONN | DISC,
	[MQTT_R_KEEP_ALIVE_TIMEOUT] = DISC,
	[MQTT_R_SESSION_TAKEN_OVER] = DISC,
	[MQTT_R_BAD_TOPIC_FILTER] = SUBS | DISC,
	[MQTT_R_BAD_TOPIC_NAME] = CONN | ACK1 | DISC,
	[MQTT_R_PACKET_ID_IN_USE] = ACK1 | SUBS,
	[MQTT_R_PACKET_ID_NOT_FOUND] = ACK2,
	[MQTT_R_RECEIVE_MAX_EXCEEDED] = DISC,
	[MQTT_R_BAD_TOPIC_ALIAS] = DISC,
	[MQTT_R_PACKET_TOO_LARGE] = CONN | DISC,
	[MQTT_R_RATE_TOO_HIGH] = DISC,
	[MQTT_R_QUOTA_EXCEEDED] = CONN | ACK1 | SUB | DISC,
	[MQTT_R_ADMINISTRATIVE] = DISC,
	[MQTT_R_BAD_PAYLOAD_FORMAT] = CONN | ACK1 | DISC,
	[MQTT_R_NO_RETAIN] = CONN | DISC,
	[MQTT_R_QOS_NOT_SUPPORTED] = CONN | DISC,
	[MQTT_R_USE_ANOTHER_SERVER] = CONN | DISC,
	[MQTT_R_SERVER_MOVED] = CONN | DISC,
	[MQTT_R_NO_SHARED] = SUB | DISC,
	[MQTT_R_RATE_EXCEEDED] = CONN | DISC,
	[MQTT_R_MAX_CONNECT_TIME] = DISC,
	[MQTT_R_NO_SUBSCRIPTION_IDS] = SUB | DISC,
	[MQTT_R_NO_WILDCARDS] = SUB | DISC,
};

const char *
reason_text(uint8_t code)
{
	return texts[code] != NULL ? texts[code] : "unknown reason";
}

int
reason_connack_v3(enum mqtt_reason reason)
{
	switch (reason) {
#define REASON(name, code, v3, text) case MQTT_R_##name: return v3;
#include "common/mqtt/reasons.def"
#undef REASON
	}
	return -1;
}

bool
reason_allowed(enum mqtt_type type, uint8_t code)
{
	return (allowed[code] & IN(type)) != 0;
}
