/* SPDX-License-Identifier: Apache-2.0
 * t/support/codec.h - for tests of the codec: any packet as one union, and packets written as short texts. */
#ifndef T_SUPPORT_CODEC_H
#define T_SUPPORT_CODEC_H

#include "common/base/buf.h"
#include "common/mqtt/decode.h"
#include "common/mqtt/encode.h"

union any_packet {
	struct mqtt_connect connect;
	struct mqtt_connack connack;
	struct mqtt_publish publish;
	struct mqtt_ack ack;
	struct mqtt_subscribe subscribe;
	struct mqtt_suback suback;
	struct mqtt_unsubscribe unsubscribe;
	struct mqtt_disconnect disconnect;
};

/* The level is that of the connection; a CONNECT brings its own. FB_EUNSUP: no such packet type. */
static inline int
decode_any(const struct frame *f, uint8_t level, const struct decode_opts *opts, struct arena *a,
    union any_packet *out, struct violation *v)
{
	switch (f->type) {
	case MQTT_CONNECT:
		return decode_connect(f, opts, &out->connect, v);
	case MQTT_CONNACK:
		return decode_connack(f, level, &out->connack, v);
	case MQTT_PUBLISH:
		return decode_publish(f, level, &out->publish, v);
	case MQTT_PUBACK:
	case MQTT_PUBREC:
	case MQTT_PUBREL:
	case MQTT_PUBCOMP:
		return decode_ack(f, level, &out->ack, v);
	case MQTT_SUBSCRIBE:
		return decode_subscribe(f, level, a, &out->subscribe, v);
	case MQTT_SUBACK:
	case MQTT_UNSUBACK:
		return decode_suback(f, level, &out->suback, v);
	case MQTT_UNSUBSCRIBE:
		return decode_unsubscribe(f, level, a, &out->unsubscribe, v);
	case MQTT_PINGREQ:
	case MQTT_PINGRESP:
		return decode_ping(f, v);
	case MQTT_DISCONNECT:
	case MQTT_AUTH:
		return decode_disconnect(f, level, &out->disconnect, v);
	default:
		return FB_EUNSUP;
	}
}

static inline void
encode_any(struct buf *b, enum mqtt_type type, uint8_t level, const union any_packet *p)
{
	switch (type) {
	case MQTT_CONNECT:
		encode_connect(b, &p->connect);
		break;
	case MQTT_CONNACK:
		encode_connack(b, level, &p->connack);
		break;
	case MQTT_PUBLISH:
		encode_publish(b, level, &p->publish);
		break;
	case MQTT_PUBACK:
	case MQTT_PUBREC:
	case MQTT_PUBREL:
	case MQTT_PUBCOMP:
		encode_ack(b, type, level, &p->ack);
		break;
	case MQTT_SUBSCRIBE:
		encode_subscribe(b, level, &p->subscribe);
		break;
	case MQTT_SUBACK:
	case MQTT_UNSUBACK:
		encode_suback(b, type, level, &p->suback);
		break;
	case MQTT_UNSUBSCRIBE:
		encode_unsubscribe(b, level, &p->unsubscribe);
		break;
	case MQTT_PINGREQ:
	case MQTT_PINGRESP:
		encode_ping(b, type);
		break;
	case MQTT_DISCONNECT:
	case MQTT_AUTH:
		encode_disconnect(b, type, level, &p->disconnect);
		break;
	}
}

static inline uint8_t
hex_digit(char c)
{
	return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

/* Up to the quote; \xx in hex is one byte. Returns what follows the quote. */
static inline const char *
put_chars(struct buf *b, const char *t, char quote)
{
	for (; *t != quote; t++) {
		if (*t != '\\') {
			buf_put_u8(b, (uint8_t)*t);
			continue;
		}
		buf_put_u8(b, (uint8_t)(hex_digit(t[1]) << 4 | hex_digit(t[2])));
		t += 2;
	}
	return t + 1;
}

/* A text as bytes, up to its end or '}': hex digits in pairs, blanks ignored; 'abc' the characters; <abc> two bytes of
 * length, then the characters; {...} a length as in the fixed header, then what the braces hold. */
static inline const char *
put_text(struct buf *b, const char *t)
{
	while (*t != '\0' && *t != '}') {
		struct buf part;

		buf_init(&part);
		if (*t == ' ') {
			t++;
		} else if (*t == '\'') {
			t = put_chars(b, t + 1, '\'');
		} else if (*t == '<') {
			t = put_chars(&part, t + 1, '>');
			buf_put_be16_bytes(b, buf_slice(&part));
		} else if (*t == '{') {
			t = put_text(&part, t + 1) + 1;
			buf_added(b, encode_length(buf_room(b, 4), (uint32_t)buf_len(&part)));
			buf_put_slice(b, buf_slice(&part));
		} else {
			buf_put_u8(b, (uint8_t)(hex_digit(t[0]) << 4 | hex_digit(t[1])));
			t += 2;
		}
		buf_fini(&part);
	}
	return t;
}

/* A whole packet: first byte, remaining length, body. */
static inline void
put_packet(struct buf *b, uint8_t first, const char *text)
{
	struct buf body;

	buf_init(&body);
	(void)put_text(&body, text);
	buf_put_u8(b, first);
	buf_added(b, encode_length(buf_room(b, 4), (uint32_t)buf_len(&body)));
	buf_put_slice(b, buf_slice(&body));
	buf_fini(&body);
}

#endif
