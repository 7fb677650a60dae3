/* SPDX-License-Identifier: Apache-2.0 */
#include "common/mqtt/decode.h"

#include "common/mqtt/decode_parts.h"
#include "common/mqtt/reason.h"
#include "common/mqtt/topic.h"

/* At level 3 the flags of most packets are "not used", and SUBSCRIBE, UNSUBSCRIBE and PUBREL go with QoS 1 and may
 * have DUP set. From level 4 on each packet has one valid value [MQTT-2.2.2-1]. */
static inline bool
flags_ok(const struct frame *f, uint8_t level, uint8_t want)
{
	if (level >= MQTT_311)
		return f->flags == want;
	return want == 0 || (f->flags & 6) == want;
}

/* Fixed header of all but PUBLISH and CONNECT. */
static inline int
check_head(const struct frame *f, uint8_t level, uint8_t flags, const char *statement, struct violation *v)
{
	if (unlikely(!flags_ok(f, level, flags)))
		return malformed(v, statement);
	if (unlikely(!length_is_short(f)) && level >= MQTT_50)
		return malformed(v, "MQTT-1.5.5-1");
	return 0;
}

static inline int
take_id(struct slice *in, uint16_t *id, const char *statement, struct violation *v)
{
	if (slice_take_be16(in, id) != 0)
		return malformed(v, "packet id missing (2.3.1)");
	if (*id == 0)
		return malformed(v, statement);
	return 0;
}

/* ---- PUBLISH ---- */

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* True when all eight bytes are ASCII, not NUL, not '+' and not '#'. For bytes below 0x80, adding 0x7f sets the top
 * bit of each byte that is not 0, without a carry; '+' and '#' differ in bit 3 only, so that one test sees both. A
 * byte of 0x80 and more makes it false, whatever the carries did. */
static inline bool
plain8(uint64_t x)
{
	uint64_t not_nul = x + EACH(0x7f);
	uint64_t not_wild = ((x | EACH(0x08)) ^ EACH('+')) + EACH(0x7f);

	return (not_nul & not_wild & ~x & EACH(0x80)) == EACH(0x80);
}

static inline uint64_t
load64(const uint8_t *p)
{
	uint64_t x;

	memcpy(&x, p, sizeof x);
	return x;
}

/* A topic name of plain ASCII: valid as it stands. The rest take the slow way, which knows what is wrong. */
static inline bool
topic_plain(struct slice t)
{
	const uint8_t *p = t.p;
	size_t n = t.len;

	if (n >= 8) {
		for (; n > 8; p += 8, n -= 8) {
			if (!plain8(load64(p)))
				return false;
		}
		return plain8(load64(t.p + t.len - 8));
	}
	if (n >= 4) {
		uint32_t a;
		uint32_t b;

		memcpy(&a, p, sizeof a);
		memcpy(&b, p + n - 4, sizeof b);
		return plain8((uint64_t)a << 32 | b);
	}
	if (n == 0)
		return false;
	return plain8((EACH('a') & ~UINT64_C(0xffffff)) | (uint64_t)p[0] | (uint64_t)p[n / 2] << 8
	    | (uint64_t)p[n - 1] << 16);
}

static __attribute__((noinline)) int
check_topic(struct slice topic, struct slice props, uint8_t level, struct violation *v)
{
	struct prop alias;

	if (topic.len == 0 && level < MQTT_50)
		return malformed(v, "MQTT-4.7.3-1");
	if (topic.len == 0 && !prop_find(props, PROP_TOPIC_ALIAS, &alias))
		return bad(v, MQTT_R_PROTOCOL_ERROR, "empty topic without an alias (3.3.2.1)");
	if (check_utf8(topic, "MQTT-3.3.2-1", v) != 0)
		return FB_EPROTO;
	if (topic_has_wildcard(topic))
		return bad(v, MQTT_R_BAD_TOPIC_NAME, "MQTT-3.3.2-2");
	return 0;
}

/* Level 5: properties, and what is behind them. */
static int
take_publish_props(const struct frame *f, struct slice *in, struct slice *props, struct violation *v)
{
	if (unlikely(!length_is_short(f)))
		return malformed(v, "MQTT-1.5.5-1");
	if (unlikely(in->len == 0 || in->p[0] != 0))
		return take_props(in, MQTT_PUBLISH, props, v);
	*in = slice_of(in->p + 1, in->len - 1);
	return 0;
}

/* Pointer and length in locals, each field of *out stored once: slices that are written by halves and copied whole
 * stall on store forwarding: 22 ns a packet that way, 17 this way. */
int
decode_publish(const struct frame *f, uint8_t level, struct mqtt_publish *out, struct violation *v)
{
	const uint8_t *p = f->body.p;
	size_t n = f->body.len;
	struct slice topic;
	struct slice props = slice_of(NULL, 0);
	uint32_t qos = f->flags >> 1 & 3;
	bool dup = f->flags >> 3;
	uint16_t id = 0;

	if (unlikely(qos == 3))
		return malformed(v, "MQTT-3.3.1-4");
	if (unlikely(dup && qos == 0) && level >= MQTT_311)
		return malformed(v, "MQTT-3.3.1-2");
	if (unlikely(n < 2 || n - 2 < (size_t)(p[0] << 8 | p[1])))
		return malformed(v, "MQTT-3.3.2-1");
	topic = slice_of(p + 2, (size_t)(p[0] << 8 | p[1]));
	p += 2 + topic.len;
	n -= 2 + topic.len;
	if (qos > 0) {
		if (unlikely(n < 2))
			return malformed(v, "packet id missing (2.3.1)");
		id = (uint16_t)(p[0] << 8 | p[1]);
		if (unlikely(id == 0))
			return malformed(v, "MQTT-2.3.1-1");
		p += 2;
		n -= 2;
	}
	if (level >= MQTT_50) {
		struct slice rest = slice_of(p, n);

		if (unlikely(take_publish_props(f, &rest, &props, v) != 0))
			return FB_EPROTO;
		p = rest.p;
		n = rest.len;
	}
	if (unlikely(!topic_plain(topic)) && check_topic(topic, props, level, v) != 0)
		return FB_EPROTO;
	out->topic.p = topic.p;
	out->topic.len = topic.len;
	out->payload.p = p;
	out->payload.len = n;
	out->props = props;
	out->packet_id = id;
	out->qos = (uint8_t)qos;
	out->retain = f->flags & 1;
	out->dup = dup;
	return 0;
}

/* ---- PUBACK, PUBREC, PUBREL, PUBCOMP ---- */

static const char *
ack_statement(enum mqtt_type type)      /* of the reason codes that it may have */
{
	switch ((int)type) {
	case MQTT_PUBACK:
		return "MQTT-3.4.2-1";
	case MQTT_PUBREC:
		return "MQTT-3.5.2-1";
	case MQTT_PUBREL:
		return "MQTT-3.6.2-1";
	default:
		return "MQTT-3.7.2-1";
	}
}

int
decode_ack(const struct frame *f, uint8_t level, struct mqtt_ack *out, struct violation *v)
{
	bool rel = f->type == MQTT_PUBREL;
	struct slice in = f->body;
	struct mqtt_ack a = { 0 };

	if (check_head(f, level, rel ? 2 : 0, rel ? "MQTT-3.6.1-1" : "MQTT-2.2.2-2", v) != 0)
		return FB_EPROTO;
	if (take_id(&in, &a.packet_id, "MQTT-2.3.1-6", v) != 0)
		return FB_EPROTO;
	if (unlikely(in.len > 0)) {
		if (level < MQTT_50)
			return malformed(v, "bytes behind the packet id");
		(void)slice_take_u8(&in, &a.reason);
		if (!reason_allowed((enum mqtt_type)f->type, a.reason))
			return bad(v, MQTT_R_PROTOCOL_ERROR, ack_statement((enum mqtt_type)f->type));
		if (in.len > 0 && take_props(&in, (enum mqtt_type)f->type, &a.props, v) != 0)
			return FB_EPROTO;
		if (in.len > 0)
			return malformed(v, "bytes behind the properties");
	}
	*out = a;
	return 0;
}

/* ---- SUBSCRIBE, UNSUBSCRIBE and their answers ---- */

/* Strings in the rest of a packet, each followed by tail bytes; 0: the last one is cut short. */
static uint32_t
count_filters(struct slice in, size_t tail)
{
	uint32_t n = 0;

	while (in.len > 0) {
		struct slice s;

		if (slice_take_be16_bytes(&in, &s) != 0 || slice_take(&in, tail, &s) != 0)
			return 0;
		n++;
	}
	return n;
}

static int
check_filter(struct slice filter, uint8_t level, const char *utf8, struct violation *v)
{
	struct slice group;
	struct slice inner;

	if (filter.len == 0)
		return malformed(v, "MQTT-4.7.3-1");
	if (check_utf8(filter, utf8, v) != 0)
		return FB_EPROTO;
	if (!topic_filter_valid(filter)) {
		const uint8_t *hash = memchr(filter.p, '#', filter.len);
		const uint8_t *last = filter.p + filter.len - 1;

		if (hash != NULL && (hash != last || (hash != filter.p && hash[-1] != '/')))
			return bad(v, MQTT_R_BAD_TOPIC_FILTER, "MQTT-4.7.1-2");
		return bad(v, MQTT_R_BAD_TOPIC_FILTER, "MQTT-4.7.1-3");
	}
	if (level < MQTT_50 || !topic_share(filter, &group, &inner) || inner.len > 0)
		return 0;
	if (filter.len == 7 || filter.p[7] == '/')              /* no group name behind "$share/" */
		return bad(v, MQTT_R_BAD_TOPIC_FILTER, "MQTT-4.8.2-1");
	return bad(v, MQTT_R_BAD_TOPIC_FILTER, "MQTT-4.8.2-2");
}

/* The byte behind a filter in SUBSCRIBE. */
static int
take_options(uint8_t b, uint8_t level, struct mqtt_filter *f, struct violation *v)
{
	struct slice group;
	struct slice inner;

	f->qos = b & 3;
	if (f->qos == 3 || (level == MQTT_311 && (b & 0xfc) != 0))
		return malformed(v, level < MQTT_50 ? "MQTT-3-8.3-4" : "QoS 3 (3.8.3.1)");
	if (level < MQTT_50)
		return 0;
	f->no_local = b >> 2 & 1;
	f->retain_as_published = b >> 3 & 1;
	f->retain_handling = b >> 4 & 3;
	if (b >> 6 != 0)
		return malformed(v, "MQTT-3.8.3-5");
	if (f->retain_handling == 3)
		return bad(v, MQTT_R_PROTOCOL_ERROR, "retain handling 3 (3.8.3.1)");
	if (f->no_local && topic_share(f->filter, &group, &inner))
		return bad(v, MQTT_R_PROTOCOL_ERROR, "MQTT-3.8.3-4");
	return 0;
}

int
decode_subscribe(const struct frame *f, uint8_t level, struct arena *a, struct mqtt_subscribe *out, struct violation *v)
{
	struct slice in = f->body;
	struct mqtt_subscribe s = { 0 };

	if (check_head(f, level, 2, "MQTT-3.8.1-1", v) != 0 || take_id(&in, &s.packet_id, "MQTT-2.3.1-1", v) != 0)
		return FB_EPROTO;
	if (level >= MQTT_50 && take_props(&in, MQTT_SUBSCRIBE, &s.props, v) != 0)
		return FB_EPROTO;
	if (in.len == 0)
		return bad(v, MQTT_R_PROTOCOL_ERROR, "MQTT-3.8.3-3");
	s.count = count_filters(in, 1);
	if (s.count == 0)
		return malformed(v, "filter cut short (3.8.3)");
	if (s.count > DECODE_MAX_FILTERS)
		return bad(v, MQTT_R_QUOTA_EXCEEDED, "too many filters in one packet");
	s.filters = arena_take(a, s.count * sizeof *s.filters);
	memset(s.filters, 0, s.count * sizeof *s.filters);
	for (uint32_t i = 0; i < s.count; i++) {
		uint8_t options = 0;

		(void)slice_take_be16_bytes(&in, &s.filters[i].filter);
		(void)slice_take_u8(&in, &options);
		if (check_filter(s.filters[i].filter, level, "MQTT-3.8.3-1", v) != 0
		    || take_options(options, level, &s.filters[i], v) != 0)
			return FB_EPROTO;
	}
	*out = s;
	return 0;
}

int
decode_unsubscribe(const struct frame *f, uint8_t level, struct arena *a, struct mqtt_unsubscribe *out, struct violation *v)
{
	struct slice in = f->body;
	struct mqtt_unsubscribe u = { 0 };

	if (check_head(f, level, 2, "MQTT-3.10.1-1", v) != 0 || take_id(&in, &u.packet_id, "MQTT-2.3.1-1", v) != 0)
		return FB_EPROTO;
	if (level >= MQTT_50 && take_props(&in, MQTT_UNSUBSCRIBE, &u.props, v) != 0)
		return FB_EPROTO;
	if (in.len == 0)
		return bad(v, MQTT_R_PROTOCOL_ERROR, "MQTT-3.10.3-2");
	u.count = count_filters(in, 0);
	if (u.count == 0)
		return malformed(v, "filter cut short (3.10.3)");
	if (u.count > DECODE_MAX_FILTERS)
		return bad(v, MQTT_R_QUOTA_EXCEEDED, "too many filters in one packet");
	u.filters = arena_take(a, u.count * sizeof *u.filters);
	for (uint32_t i = 0; i < u.count; i++) {
		(void)slice_take_be16_bytes(&in, &u.filters[i]);
		if (check_filter(u.filters[i], level, "MQTT-3.10.3-1", v) != 0)
			return FB_EPROTO;
	}
	*out = u;
	return 0;
}

static int
check_codes(enum mqtt_type type, uint8_t level, struct slice codes, struct violation *v)
{
	if (codes.len == 0)
		return malformed(v, "no code for any filter (3.9.3)");
	for (size_t i = 0; i < codes.len; i++) {
		uint8_t c = codes.p[i];

		if (level < MQTT_50 ? (c <= 2 || c == 0x80) : reason_allowed(type, c))
			continue;
		return bad(v, MQTT_R_PROTOCOL_ERROR, type == MQTT_SUBACK ? "MQTT-3.9.3-2" : "MQTT-3.11.3-2");
	}
	return 0;
}

int
decode_suback(const struct frame *f, uint8_t level, struct mqtt_suback *out, struct violation *v)
{
	enum mqtt_type type = (enum mqtt_type)f->type;
	struct slice in = f->body;
	struct mqtt_suback s = { 0 };

	if (check_head(f, level, 0, "MQTT-2.2.2-2", v) != 0 || take_id(&in, &s.packet_id, "MQTT-2.3.1-7", v) != 0)
		return FB_EPROTO;
	if (level >= MQTT_50 && take_props(&in, type, &s.props, v) != 0)
		return FB_EPROTO;
	if (type == MQTT_UNSUBACK && level < MQTT_50) {
		if (in.len > 0)
			return malformed(v, "bytes behind the packet id");
	} else if (check_codes(type, level, in, v) != 0) {
		return FB_EPROTO;
	}
	s.codes = in;
	*out = s;
	return 0;
}

/* ---- PINGREQ, PINGRESP, DISCONNECT, AUTH ---- */

int
decode_ping(const struct frame *f, struct violation *v)
{
	if (f->flags != 0)
		return malformed(v, "MQTT-2.2.2-2");
	if (f->body.len > 0)
		return malformed(v, "a ping has no body (3.12)");
	return 0;
}

int
decode_disconnect(const struct frame *f, uint8_t level, struct mqtt_disconnect *out, struct violation *v)
{
	bool auth = f->type == MQTT_AUTH;
	struct slice in = f->body;
	struct mqtt_disconnect d = { 0 };

	if (auth && level < MQTT_50)
		return malformed(v, "packet type 15 is reserved (2.2.1)");
	if (check_head(f, level, 0, auth ? "MQTT-3.15.1-1" : "MQTT-3.14.1-1", v) != 0)
		return FB_EPROTO;
	if (in.len > 0) {
		if (level < MQTT_50)
			return malformed(v, "a DISCONNECT has no body (3.14)");
		(void)slice_take_u8(&in, &d.reason);
		if (!reason_allowed((enum mqtt_type)f->type, d.reason))
			return bad(v, MQTT_R_PROTOCOL_ERROR, auth ? "MQTT-3.15.2-1" : "MQTT-3.14.2-1");
		if ((auth || in.len > 0) && take_props(&in, (enum mqtt_type)f->type, &d.props, v) != 0)
			return FB_EPROTO;
		if (in.len > 0)
			return malformed(v, "bytes behind the properties");
	}
	*out = d;
	return 0;
}
