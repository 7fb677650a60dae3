/* SPDX-License-Identifier: Apache-2.0 */
#include "common/mqtt/props.h"

#include "common/base/utf8.h"
#include "common/mqtt/encode.h"
#include "common/mqtt/topic.h"

#define P_WILL       (1u << 0)
#define P_CONNECT    (1u << MQTT_CONNECT)
#define P_CONNACK    (1u << MQTT_CONNACK)
#define P_PUBLISH    (1u << MQTT_PUBLISH)
#define P_PUBACK     (1u << MQTT_PUBACK)
#define P_PUBREC     (1u << MQTT_PUBREC)
#define P_PUBREL     (1u << MQTT_PUBREL)
#define P_PUBCOMP    (1u << MQTT_PUBCOMP)
#define P_SUBSCRIBE  (1u << MQTT_SUBSCRIBE)
#define P_SUBACK     (1u << MQTT_SUBACK)
#define P_UNSUBSCRIBE (1u << MQTT_UNSUBSCRIBE)
#define P_UNSUBACK   (1u << MQTT_UNSUBACK)
#define P_DISCONNECT (1u << MQTT_DISCONNECT)
#define P_AUTH       (1u << MQTT_AUTH)
#define P_ALL        (0xffffu & ~(1u << MQTT_PINGREQ) & ~(1u << MQTT_PINGRESP))

struct kind {
	const char *name;               /* NULL: no such property */
	uint16_t packets;
	uint8_t type;                   /* enum prop_type */
};

static const struct kind kinds[64] = {
#define PROP(name, id, type, packets, text) [id] = { text, (uint16_t)(packets), PROP_##type },
#include "common/mqtt/properties.def"
#undef PROP
};

/* FB_ESHORT, or FB_EPROTO: more than four bytes, or not the shortest form [MQTT-1.5.5-1]. */
static int
take_varint(struct slice *s, uint32_t *out)
{
	uint32_t value = 0;

	for (uint32_t i = 0; i < 4; i++) {
		if (s->len <= i)
			return FB_ESHORT;
		value |= (uint32_t)(s->p[i] & 0x7f) << (7 * i);
		if (s->p[i] < 0x80) {
			if (i > 0 && s->p[i] == 0)
				return FB_EPROTO;
			*s = slice_of(s->p + i + 1, s->len - i - 1);
			*out = value;
			return 0;
		}
	}
	return FB_EPROTO;
}

static int
take_value(struct slice *s, struct prop *p)
{
	uint16_t u16 = 0;
	uint8_t u8 = 0;
	int err = 0;

	switch (p->type) {
	case PROP_U8:
		err = slice_take_u8(s, &u8);
		p->number = u8;
		break;
	case PROP_U16:
		err = slice_take_be16(s, &u16);
		p->number = u16;
		break;
	case PROP_U32:
		err = slice_take_be32(s, &p->number);
		break;
	case PROP_VARINT:
		err = take_varint(s, &p->number);
		break;
	case PROP_BINARY:
	case PROP_STRING:
		err = slice_take_be16_bytes(s, &p->text);
		break;
	case PROP_PAIR:
		err = slice_take_be16_bytes(s, &p->text);
		if (err == 0)
			err = slice_take_be16_bytes(s, &p->value);
		break;
	}
	return err;
}

int
prop_next(struct slice *block, struct prop *out)
{
	struct slice s = *block;
	struct prop p = { 0 };

	if (slice_take_u8(&s, &p.id) != 0)
		return FB_ENOENT;
	if (p.id >= 64 || kinds[p.id].name == NULL)
		return FB_EPROTO;
	p.type = (enum prop_type)kinds[p.id].type;
	if (take_value(&s, &p) != 0)
		return FB_EPROTO;
	*block = s;
	*out = p;
	return 0;
}

bool
prop_find(struct slice block, enum prop_id id, struct prop *out)
{
	struct prop p;

	while (prop_next(&block, &p) == 0) {
		if (p.id == id) {
			*out = p;
			return true;
		}
	}
	return false;
}

void
prop_put(struct buf *b, const struct prop *p)
{
	FB_ASSERT(p->id < 64 && kinds[p->id].name != NULL);
	FB_ASSERT(p->text.len <= UINT16_MAX && p->value.len <= UINT16_MAX);
	buf_put_u8(b, p->id);
	switch ((enum prop_type)kinds[p->id].type) {
	case PROP_U8:
		buf_put_u8(b, (uint8_t)p->number);
		break;
	case PROP_U16:
		buf_put_be16(b, (uint16_t)p->number);
		break;
	case PROP_U32:
		buf_put_be32(b, p->number);
		break;
	case PROP_VARINT:
		buf_added(b, encode_length(buf_room(b, 4), p->number));
		break;
	case PROP_BINARY:
	case PROP_STRING:
		buf_put_be16_bytes(b, p->text);
		break;
	case PROP_PAIR:
		buf_put_be16_bytes(b, p->text);
		buf_put_be16_bytes(b, p->value);
		break;
	}
}

const char *
prop_name(uint8_t id)
{
	return id < 64 ? kinds[id].name : NULL;
}

static int
bad(struct violation *v, enum mqtt_reason reason, const char *statement)
{
	*v = (struct violation){ reason, statement };
	return FB_EPROTO;
}

static int
check_text(const struct prop *p, struct violation *v)
{
	if (p->type == PROP_PAIR) {                             /* [MQTT-1.5.7-1] */
		if (!utf8_valid(p->text) || !utf8_valid(p->value))
			return bad(v, MQTT_R_MALFORMED, "MQTT-1.5.7-1");
		return 0;
	}
	if (p->type != PROP_STRING)
		return 0;
	if (!utf8_valid(p->text)) {
		if (memchr(p->text.p, '\0', p->text.len) != NULL)
			return bad(v, MQTT_R_MALFORMED, "MQTT-1.5.3-2");
		return bad(v, MQTT_R_MALFORMED, "MQTT-1.5.3-1");
	}
	if (p->id == PROP_RESPONSE_TOPIC && topic_has_wildcard(p->text))
		return bad(v, MQTT_R_PROTOCOL_ERROR, "MQTT-3.3.2-14");
	return 0;
}

/* Values that the standard forbids, property by property; the rest are free. */
static int
check_number(const struct prop *p, struct violation *v)
{
	if (p->type == PROP_U8 && p->number > 1)                /* all of this type are 0 or 1 */
		return bad(v, MQTT_R_PROTOCOL_ERROR, "property is neither 0 nor 1");
	if (p->number != 0)
		return 0;
	if (p->id == PROP_TOPIC_ALIAS)
		return bad(v, MQTT_R_BAD_TOPIC_ALIAS, "MQTT-3.3.2-8");
	if (p->id == PROP_RECEIVE_MAXIMUM || p->id == PROP_MAXIMUM_PACKET_SIZE || p->id == PROP_SUBSCRIPTION_ID)
		return bad(v, MQTT_R_PROTOCOL_ERROR, "property is 0");
	return 0;
}

int
props_check(struct slice block, enum mqtt_type packet, struct violation *v)
{
	uint64_t seen = 0;

	while (block.len > 0) {
		struct prop p;
		uint64_t bit;

		if (prop_next(&block, &p) != 0)
			return bad(v, MQTT_R_MALFORMED, "property malformed (2.2.2.2)");
		bit = UINT64_C(1) << p.id;
		if ((kinds[p.id].packets >> packet & 1) == 0)
			return bad(v, MQTT_R_MALFORMED, "property not for this packet (2.2.2.2)");
		if ((seen & bit) != 0 && p.id != PROP_USER_PROPERTY
		    && !(p.id == PROP_SUBSCRIPTION_ID && packet == MQTT_PUBLISH))
			return bad(v, MQTT_R_PROTOCOL_ERROR, "property given twice");
		seen |= bit;
		if (check_text(&p, v) != 0 || check_number(&p, v) != 0)
			return FB_EPROTO;
	}
	if ((seen >> PROP_AUTH_DATA & 1) != 0 && (seen >> PROP_AUTH_METHOD & 1) == 0)
		return bad(v, MQTT_R_PROTOCOL_ERROR, "authentication data without a method (3.1.2.11.10)");
	return 0;
}

int
props_take(struct slice *in, struct slice *block)
{
	struct slice s = *in;
	uint32_t len = 0;
	int err = take_varint(&s, &len);

	if (err != 0)
		return err;
	if (s.len < len)
		return FB_ESHORT;
	*block = slice_of(s.p, len);
	*in = slice_of(s.p + len, s.len - len);
	return 0;
}

void
props_put(struct buf *b, struct slice block)
{
	buf_added(b, encode_length(buf_room(b, 4), (uint32_t)block.len));
	buf_put_slice(b, block);
}
