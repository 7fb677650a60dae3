/* SPDX-License-Identifier: Apache-2.0
 * common/mqtt/decode_parts.h - what decode.c and decode_connect.c share; for no one else. */
#ifndef COMMON_MQTT_DECODE_PARTS_H
#define COMMON_MQTT_DECODE_PARTS_H

#include "common/base/utf8.h"
#include "common/mqtt/frame.h"
#include "common/mqtt/props.h"

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

static __attribute__((cold, noinline, unused)) int
bad(struct violation *v, enum mqtt_reason reason, const char *statement)
{
	*v = (struct violation){ reason, statement };
	return FB_EPROTO;
}

static __attribute__((cold, noinline, unused)) int
malformed(struct violation *v, const char *statement)
{
	return bad(v, MQTT_R_MALFORMED, statement);
}

/* [MQTT-1.5.5-1]: from level 5 on the remaining length has its shortest form. */
static inline bool
length_is_short(const struct frame *f)
{
	uint32_t bytes = f->size - (uint32_t)f->body.len - 1;

	return bytes == 1 || f->body.len >> (7 * (bytes - 1)) != 0;
}

/* The properties of a packet of level 5, checked for its type. */
static inline int
take_props(struct slice *in, enum mqtt_type type, struct slice *props, struct violation *v)
{
	int err = props_take(in, props);

	if (err == FB_ESHORT)
		return malformed(v, "properties longer than the packet (2.2.2.1)");
	if (err != 0)
		return malformed(v, "MQTT-1.5.5-1");
	return props->len == 0 ? 0 : props_check(*props, type, v);
}

/* [MQTT-1.5.3-1], by the number of the field in hand; [MQTT-1.5.3-2]. */
static inline int
check_utf8(struct slice s, const char *statement, struct violation *v)
{
	if (likely(utf8_valid(s)))
		return 0;
	return malformed(v, memchr(s.p, '\0', s.len) != NULL ? "MQTT-1.5.3-2" : statement);
}

#endif
