/* SPDX-License-Identifier: Apache-2.0 */
#include "common/mqtt/encode.h"

#include "common/mqtt/props.h"

#define LENGTH_MAX UINT32_C(268435455)

uint32_t
encode_length_size(uint32_t length)
{
	return 1u + (length > 127) + (length > 16383) + (length > 2097151);
}

uint32_t
encode_length(uint8_t *out, uint32_t length)
{
	uint32_t n = 0;

	FB_ASSERT(length <= LENGTH_MAX);
	while (length > 127) {
		out[n++] = (uint8_t)(length | 0x80);
		length >>= 7;
	}
	out[n++] = (uint8_t)length;
	return n;
}

static inline uint8_t *
write_be16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
	return p + 2;
}

static inline uint8_t *
write_bytes(uint8_t *p, struct slice s)
{
	if (s.len > 0)
		memcpy(p, s.p, s.len);
	return p + s.len;
}

static inline uint8_t *
write_string(uint8_t *p, struct slice s)
{
	return write_bytes(write_be16(p, (uint32_t)s.len), s);
}

static inline uint8_t *
write_props(uint8_t *p, struct slice props)
{
	return write_bytes(p + encode_length(p, (uint32_t)props.len), props);
}

static size_t
props_size(uint8_t level, struct slice props)
{
	if (level < MQTT_50)
		return 0;
	return encode_length_size((uint32_t)props.len) + props.len;
}

/* Room for a packet of that remaining length, its fixed header written; the caller writes exactly len bytes from the
 * returned pointer on. All sizes are known first, so that a packet costs one look at the buf. */
static uint8_t *
begin(struct buf *b, uint8_t first, size_t len)
{
	uint8_t *p;

	FB_ASSERT(len <= LENGTH_MAX);
	p = buf_room(b, len + 5);
	p[0] = first;
	return p + 1 + encode_length(p + 1, (uint32_t)len);
}

static inline void
end(struct buf *b, const uint8_t *p)
{
	b->end = (uint32_t)(p - b->base);
}

static inline uint8_t
first_byte(enum mqtt_type type)
{
	bool two = type == MQTT_PUBREL || type == MQTT_SUBSCRIBE || type == MQTT_UNSUBSCRIBE;

	return (uint8_t)(type << 4 | (two ? 2 : 0));
}

static uint8_t
connect_flags(const struct mqtt_connect *p)
{
	uint32_t flags = p->has_max_recursion ? 1 : 0;

	if (p->clean)
		flags |= 0x02;
	if (p->has_will)
		flags |= 0x04u | (uint32_t)p->will.qos << 3 | (p->will.retain ? 0x20u : 0);
	if (p->has_password)
		flags |= 0x40;
	if (p->has_user)
		flags |= 0x80;
	return (uint8_t)flags;
}

static size_t
connect_size(const struct mqtt_connect *p, struct slice name)
{
	size_t n = 2 + name.len + 4 + props_size(p->level, p->props) + 2 + p->client_id.len;

	FB_ASSERT(p->client_id.len <= UINT16_MAX && p->user.len <= UINT16_MAX && p->password.len <= UINT16_MAX);
	if (p->has_will) {
		FB_ASSERT(p->will.qos <= 2 && p->will.topic.len <= UINT16_MAX && p->will.payload.len <= UINT16_MAX);
		n += props_size(p->level, p->will.props) + 2 + p->will.topic.len + 2 + p->will.payload.len;
	}
	if (p->has_user)
		n += 2 + p->user.len;
	if (p->has_password)
		n += 2 + p->password.len;
	if (p->has_max_recursion)
		n += 2;
	return n;
}

void
encode_connect(struct buf *b, const struct mqtt_connect *p)
{
	struct slice name = p->level == MQTT_31 ? SLICE_LIT("MQIsdp") : SLICE_LIT("MQTT");
	uint8_t *o = begin(b, first_byte(MQTT_CONNECT), connect_size(p, name));

	o = write_string(o, name);
	*o++ = (uint8_t)(p->level | (p->bridge ? 0x80 : 0));
	*o++ = connect_flags(p);
	o = write_be16(o, p->keep_alive_s);
	if (p->level >= MQTT_50)
		o = write_props(o, p->props);
	o = write_string(o, p->client_id);
	if (p->has_will) {
		if (p->level >= MQTT_50)
			o = write_props(o, p->will.props);
		o = write_string(o, p->will.topic);
		o = write_string(o, p->will.payload);
	}
	if (p->has_user)
		o = write_string(o, p->user);
	if (p->has_password)
		o = write_string(o, p->password);
	if (p->has_max_recursion)
		o = write_be16(o, p->max_recursion);
	end(b, o);
}

void
encode_connack(struct buf *b, uint8_t level, const struct mqtt_connack *p)
{
	bool elsewhere = level < MQTT_50 && p->code == 6 && p->server.len > 0;
	bool keep_alive = level < MQTT_50 && p->has_keep_alive && !elsewhere;
	size_t len = 2 + props_size(level, p->props) + (keep_alive ? 2u : 0) + (elsewhere ? 4 + p->server.len : 0);
	uint8_t *o;

	FB_ASSERT(p->server.len <= UINT16_MAX);
	o = begin(b, first_byte(MQTT_CONNACK), len);
	*o++ = p->session_present && level > MQTT_31;
	*o++ = p->code;
	if (level >= MQTT_50)
		o = write_props(o, p->props);
	if (keep_alive)
		o = write_be16(o, p->keep_alive_s);
	if (elsewhere)
		o = write_be16(write_string(o, p->server), p->max_recursion);
	end(b, o);
}

static inline size_t
publish_length(uint8_t level, const struct mqtt_publish *p)
{
	return 2 + p->topic.len + (p->qos > 0 ? 2u : 0) + props_size(level, p->props) + p->payload.len;
}

/* room: bytes wanted behind the head. */
static inline uint8_t *
publish_head(struct buf *b, uint8_t level, const struct mqtt_publish *p, size_t room)
{
	size_t len = publish_length(level, p);
	uint8_t *o;

	FB_ASSERT(len <= LENGTH_MAX && p->topic.len <= UINT16_MAX && p->qos <= 2);
	o = buf_room(b, 5 + len - p->payload.len + room);
	o[0] = (uint8_t)(MQTT_PUBLISH << 4 | (p->dup ? 8 : 0) | p->qos << 1 | (p->retain ? 1 : 0));
	if (__builtin_expect(len < 128, 1)) {
		o[1] = (uint8_t)len;
		o += 2;
	} else {
		o += 1 + encode_length(o + 1, (uint32_t)len);
	}
	o = write_string(o, p->topic);
	if (p->qos > 0)
		o = write_be16(o, p->packet_id);
	if (level >= MQTT_50)
		o = write_props(o, p->props);
	return o;
}

void
encode_publish_head(struct buf *b, uint8_t level, const struct mqtt_publish *p)
{
	end(b, publish_head(b, level, p, 0));
}

void
encode_publish(struct buf *b, uint8_t level, const struct mqtt_publish *p)
{
	end(b, write_bytes(publish_head(b, level, p, p->payload.len), p->payload));
}

uint32_t
encode_publish_size(uint8_t level, const struct mqtt_publish *p)
{
	uint32_t len = (uint32_t)publish_length(level, p);

	return 1 + encode_length_size(len) + len;
}

void
encode_ack(struct buf *b, enum mqtt_type type, uint8_t level, const struct mqtt_ack *p)
{
	uint8_t *o;

	if (__builtin_expect(level < MQTT_50 || (p->reason == 0 && p->props.len == 0), 1)) {
		o = buf_room(b, 4);
		o[0] = first_byte(type);
		o[1] = 2;
		end(b, write_be16(o + 2, p->packet_id));
		return;
	}
	o = begin(b, first_byte(type), 3 + (p->props.len > 0 ? props_size(level, p->props) : 0));
	o = write_be16(o, p->packet_id);
	*o++ = p->reason;
	if (p->props.len > 0)
		o = write_props(o, p->props);
	end(b, o);
}

void
encode_subscribe(struct buf *b, uint8_t level, const struct mqtt_subscribe *p)
{
	size_t len = 2 + props_size(level, p->props);
	uint8_t *o;

	FB_ASSERT(p->count >= 1);
	for (uint32_t i = 0; i < p->count; i++) {
		FB_ASSERT(p->filters[i].filter.len <= UINT16_MAX && p->filters[i].qos <= 2);
		len += 3 + p->filters[i].filter.len;
	}
	o = write_be16(begin(b, first_byte(MQTT_SUBSCRIBE), len), p->packet_id);
	if (level >= MQTT_50)
		o = write_props(o, p->props);
	for (uint32_t i = 0; i < p->count; i++) {
		const struct mqtt_filter *f = &p->filters[i];

		o = write_string(o, f->filter);
		*o = f->qos;
		if (level >= MQTT_50)
			*o = (uint8_t)(f->qos | (f->no_local ? 4 : 0) | (f->retain_as_published ? 8 : 0)
			    | f->retain_handling << 4);
		o++;
	}
	end(b, o);
}

void
encode_suback(struct buf *b, enum mqtt_type type, uint8_t level, const struct mqtt_suback *p)
{
	bool codes = type == MQTT_SUBACK || level >= MQTT_50;
	size_t len = 2 + props_size(level, p->props) + (codes ? p->codes.len : 0);
	uint8_t *o = write_be16(begin(b, first_byte(type), len), p->packet_id);

	if (level >= MQTT_50)
		o = write_props(o, p->props);
	if (codes)
		o = write_bytes(o, p->codes);
	end(b, o);
}

void
encode_unsubscribe(struct buf *b, uint8_t level, const struct mqtt_unsubscribe *p)
{
	size_t len = 2 + props_size(level, p->props);
	uint8_t *o;

	FB_ASSERT(p->count >= 1);
	for (uint32_t i = 0; i < p->count; i++) {
		FB_ASSERT(p->filters[i].len <= UINT16_MAX);
		len += 2 + p->filters[i].len;
	}
	o = write_be16(begin(b, first_byte(MQTT_UNSUBSCRIBE), len), p->packet_id);
	if (level >= MQTT_50)
		o = write_props(o, p->props);
	for (uint32_t i = 0; i < p->count; i++)
		o = write_string(o, p->filters[i]);
	end(b, o);
}

void
encode_ping(struct buf *b, enum mqtt_type type)
{
	end(b, begin(b, first_byte(type), 0));
}

void
encode_disconnect(struct buf *b, enum mqtt_type type, uint8_t level, const struct mqtt_disconnect *p)
{
	bool full = level >= MQTT_50 && (p->reason != 0 || p->props.len > 0);
	uint8_t *o = begin(b, first_byte(type), full ? 1 + props_size(level, p->props) : 0);

	if (full) {
		*o++ = p->reason;
		o = write_props(o, p->props);
	}
	end(b, o);
}
