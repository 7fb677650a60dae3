/* SPDX-License-Identifier: Apache-2.0
 * common/mqtt/props.h - the properties of MQTT 5.0: walking an encoded block, checking it, putting one in. */
#ifndef COMMON_MQTT_PROPS_H
#define COMMON_MQTT_PROPS_H

#include "common/base/buf.h"
#include "common/mqtt/packet.h"

enum prop_type { PROP_U8, PROP_U16, PROP_U32, PROP_VARINT, PROP_BINARY, PROP_STRING, PROP_PAIR };
enum prop_id {
#define PROP(name, id, type, packets, text) PROP_##name = (id),
#include "common/mqtt/properties.def"
#undef PROP
};

struct prop {
	uint8_t id;
	enum prop_type type;
	uint32_t number;                /* U8, U16, U32, VARINT */
	struct slice text;              /* BINARY, STRING; the name of a PAIR */
	struct slice value;             /* of a PAIR */
};

/* Takes the next property off a block: 0; FB_ENOENT at its end; FB_EPROTO: malformed. */
int prop_next(struct slice *block, struct prop *out);
/* The first of that id in a block that was checked; false: none. */
bool prop_find(struct slice block, enum prop_id id, struct prop *out);
void prop_put(struct buf *b, const struct prop *p);
const char *prop_name(uint8_t id);      /* "message expiry interval"; NULL: no such property */
/* Checks a whole block for one packet type (PROPS_WILL: the will's): known, allowed there, right type, not twice unless it may,
 * values in range. FB_EPROTO with *v. */
#define PROPS_WILL ((enum mqtt_type)0)
int props_check(struct slice block, enum mqtt_type packet, struct violation *v);
/* Takes the length and then the block off *in. FB_ESHORT: the packet ends before the block does; FB_EPROTO: a length
 * that is not the shortest [MQTT-1.5.5-1]. */
int props_take(struct slice *in, struct slice *block);
void props_put(struct buf *b, struct slice block);      /* length, then the block */

#endif
