/* SPDX-License-Identifier: Apache-2.0
 * CONNECT and CONNACK: the two packets whose layout differs most from level to level. */
#include "common/mqtt/decode.h"
#include "common/mqtt/decode_parts.h"
#include "common/mqtt/reason.h"
#include "common/mqtt/topic.h"

#define FLAG_RESERVED 0x01u
#define FLAG_CLEAN    0x02u
#define FLAG_WILL     0x04u
#define FLAG_RETAIN   0x20u
#define FLAG_PASSWORD 0x40u
#define FLAG_USER     0x80u

/* A string that must be there: missing and utf8 are the statements for the two ways in which it may be wrong. */
static int
take_string(struct slice *in, struct slice *out, const char *missing, const char *utf8, struct violation *v)
{
	if (slice_take_be16_bytes(in, out) != 0)
		return malformed(v, missing);
	return check_utf8(*out, utf8, v);
}

static int
take_level(struct slice *in, struct mqtt_connect *c, struct violation *v)
{
	struct slice name;
	uint8_t level = 0;
	bool old;

	if (slice_take_be16_bytes(in, &name) != 0)
		return malformed(v, "MQTT-3.1.2-1");
	old = slice_eq(name, SLICE_LIT("MQIsdp"));
	if (!old && !slice_eq(name, SLICE_LIT("MQTT")))         /* [MQTT-3.1.2-1] */
		return bad(v, MQTT_R_UNSUPPORTED_VERSION, "MQTT-3.1.2-1");
	if (slice_take_u8(in, &level) != 0)
		return malformed(v, "protocol level missing (3.1.2.2)");
	c->bridge = level == (0x80 | MQTT_31) || level == (0x80 | MQTT_311);
	if (c->bridge)
		level &= 0x7f;
	if (old ? level != MQTT_31 : level != MQTT_311 && level != MQTT_50) {   /* [MQTT-3.1.2-2] */
		c->level = level > MQTT_50 ? MQTT_50 : MQTT_311;
		return bad(v, MQTT_R_UNSUPPORTED_VERSION, "MQTT-3.1.2-2");
	}
	c->level = level;
	return 0;
}

static int
check_flags(uint8_t flags, bool recursion, struct mqtt_connect *c, struct violation *v)
{
	bool strict = c->level >= MQTT_311;

	if ((flags & FLAG_RESERVED) != 0 && !recursion)
		return malformed(v, "MQTT-3.1.2-3");
	c->has_max_recursion = (flags & FLAG_RESERVED) != 0;
	c->clean = (flags & FLAG_CLEAN) != 0;
	c->has_will = (flags & FLAG_WILL) != 0;
	c->has_user = (flags & FLAG_USER) != 0;
	c->has_password = (flags & FLAG_PASSWORD) != 0;
	if (c->has_will) {
		c->will.qos = flags >> 3 & 3;
		c->will.retain = (flags & FLAG_RETAIN) != 0;
		if (c->will.qos == 3)
			return malformed(v, "MQTT-3.1.2-14");
	} else if (strict && (flags & 0x18) != 0) {             /* [MQTT-3.1.2-11] has both */
		return malformed(v, "MQTT-3.1.2-13");
	} else if (strict && (flags & FLAG_RETAIN) != 0) {
		return malformed(v, "MQTT-3.1.2-15");
	}
	if (c->level < MQTT_50 && c->has_password && !c->has_user)      /* 5.0 allows it */
		return malformed(v, "MQTT-3.1.2-22");
	return 0;
}

static int
take_will(struct slice *in, struct mqtt_connect *c, struct violation *v)
{
	if (c->level >= MQTT_50 && take_props(in, PROPS_WILL, &c->will.props, v) != 0)
		return FB_EPROTO;
	if (take_string(in, &c->will.topic, "MQTT-3.1.2-9", "MQTT-3.1.3-10", v) != 0)
		return FB_EPROTO;
	if (c->will.topic.len == 0)
		return bad(v, MQTT_R_BAD_TOPIC_NAME, "MQTT-4.7.3-1");
	if (topic_has_wildcard(c->will.topic))
		return bad(v, MQTT_R_BAD_TOPIC_NAME, "MQTT-4.7.1-1");
	if (slice_take_be16_bytes(in, &c->will.payload) != 0)
		return malformed(v, "MQTT-3.1.2-9");
	return 0;
}

/* MQTT 3.1: "the Remaining Length field takes precedence over the User Name flag", so an absent name or password is
 * no fault there. */
static int
take_login(struct slice *in, struct mqtt_connect *c, struct violation *v)
{
	bool lax = c->level == MQTT_31;

	if (c->has_user && lax && in->len == 0)
		c->has_user = false;
	if (c->has_user && take_string(in, &c->user, "MQTT-3.1.2-19", "MQTT-3.1.3-11", v) != 0)
		return FB_EPROTO;
	if (c->has_password && lax && in->len == 0)
		c->has_password = false;
	if (c->has_password && slice_take_be16_bytes(in, &c->password) != 0)
		return malformed(v, "MQTT-3.1.2-21");
	return 0;
}

static int
take_connect(struct slice in, const struct decode_opts *opts, struct mqtt_connect *c, struct violation *v)
{
	uint8_t flags = 0;

	if (slice_take_u8(&in, &flags) != 0 || slice_take_be16(&in, &c->keep_alive_s) != 0)
		return malformed(v, "variable header cut short (3.1.2)");
	if (check_flags(flags, c->level == MQTT_31 || (c->level == MQTT_311 && opts->alternate_server_v4), c, v) != 0)
		return FB_EPROTO;
	if (c->level >= MQTT_50 && take_props(&in, MQTT_CONNECT, &c->props, v) != 0)
		return FB_EPROTO;
	/* [MQTT-3.1.3-1]: the order of the fields; [MQTT-3.1.3-3] [MQTT-3.1.3-4]: the client id first,
	 * of any length [MQTT-3.1.3-5] */
	if (take_string(&in, &c->client_id, "MQTT-3.1.3-3", "MQTT-3.1.3-4", v) != 0)
		return FB_EPROTO;
	if (c->has_will && take_will(&in, c, v) != 0)
		return FB_EPROTO;
	if (take_login(&in, c, v) != 0)
		return FB_EPROTO;
	if (c->has_max_recursion && slice_take_be16(&in, &c->max_recursion) != 0)
		return malformed(v, "max recursion missing");
	if (in.len > 0 && c->level >= MQTT_311)                 /* the original let them pass at level 3 */
		return malformed(v, "MQTT-3.1.4-1");
	/* last, so that what is malformed is never answered with a CONNACK */
	if (c->client_id.len == 0 && c->level == MQTT_31)
		return bad(v, MQTT_R_BAD_CLIENT_ID, "empty client id at level 3");
	if (c->client_id.len == 0 && c->level == MQTT_311 && !c->clean)         /* [MQTT-3.1.3-7] */
		return bad(v, MQTT_R_BAD_CLIENT_ID, "MQTT-3.1.3-8");
	return 0;
}

int
decode_connect(const struct frame *f, const struct decode_opts *opts, struct mqtt_connect *out, struct violation *v)
{
	struct slice in = f->body;
	struct mqtt_connect c = { .level = MQTT_311 };
	int err = take_level(&in, &c, v);

	out->level = c.level;
	if (err != 0)
		return err;
	if (f->flags != 0 && c.level >= MQTT_311)
		return malformed(v, "MQTT-2.2.2-2");
	if (c.level >= MQTT_50 && !length_is_short(f))
		return malformed(v, "MQTT-1.5.5-1");
	err = take_connect(in, opts, &c, v);
	if (err == 0)
		*out = c;
	return err;
}

/* What may stand behind the return code at levels 3 and 4: nothing; the original's keep-alive in two bytes; with
 * code 6, the original's address of another server and how many more redirections there may be. */
static int
take_connack_extra(struct slice in, struct mqtt_connack *c, struct violation *v)
{
	if (c->code > 6)
		return bad(v, MQTT_R_PROTOCOL_ERROR, "reserved return code (3.2.2.3)");
	if (in.len == 0)
		return 0;
	if (c->code == 6) {
		if (slice_take_be16_bytes(&in, &c->server) != 0 || slice_take_be16(&in, &c->max_recursion) != 0)
			return malformed(v, "alternate server cut short");
	} else {
		if (slice_take_be16(&in, &c->keep_alive_s) != 0)
			return malformed(v, "bytes behind the return code");
		c->has_keep_alive = true;
	}
	if (in.len > 0)
		return malformed(v, "bytes behind the return code");
	return 0;
}

int
decode_connack(const struct frame *f, uint8_t level, struct mqtt_connack *out, struct violation *v)
{
	struct slice in = f->body;
	struct mqtt_connack c = { 0 };
	uint8_t flags = 0;

	if (f->flags != 0 && level >= MQTT_311)
		return malformed(v, "MQTT-2.2.2-2");
	if (level >= MQTT_50 && !length_is_short(f))
		return malformed(v, "MQTT-1.5.5-1");
	if (slice_take_u8(&in, &flags) != 0 || slice_take_u8(&in, &c.code) != 0)
		return malformed(v, "variable header cut short (3.2.2)");
	if (level >= MQTT_311 && flags > 1)
		return malformed(v, "reserved bits of the flags (3.2.2.1)");
	c.session_present = level >= MQTT_311 && flags == 1;
	if (c.session_present && c.code != 0)
		return bad(v, MQTT_R_PROTOCOL_ERROR, "MQTT-3.2.2-4");
	if (level < MQTT_50) {
		if (take_connack_extra(in, &c, v) != 0)
			return FB_EPROTO;
	} else {
		if (!reason_allowed(MQTT_CONNACK, c.code))
			return bad(v, MQTT_R_PROTOCOL_ERROR, "MQTT-3.2.2-8");
		if (take_props(&in, MQTT_CONNACK, &c.props, v) != 0)
			return FB_EPROTO;
		if (in.len > 0)
			return malformed(v, "bytes behind the properties");
	}
	*out = c;
	return 0;
}
