/* SPDX-License-Identifier: Apache-2.0 */
#include "t/support/unit.h"

#include "common/base/mem.h"
#include "t/support/codec.h"

static struct buf wire;
static struct arena arena;

static int
decode_text(uint8_t level, uint8_t first, const char *body, bool alternate_v4, union any_packet *p, struct violation *v)
{
	struct decode_opts opts = { .alternate_server_v4 = alternate_v4 };
	struct frame f;
	struct slice in;
	uint32_t need;

	buf_clear(&wire);
	put_packet(&wire, first, body);
	in = buf_slice(&wire);
	ck_assert_int_eq(frame_next(&in, UINT32_MAX, &f, &need, v), 0);
	return decode_any(&f, level, &opts, &arena, p, v);
}

struct refusal {
	uint8_t level;
	uint8_t first;
	const char *body;
	enum mqtt_reason reason;
	const char *statement;
};

static void
refuse(const struct refusal *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct refusal *r = &rows[i];
		struct violation v = { MQTT_R_SUCCESS, "nothing" };
		union any_packet p;
		int err = decode_text(r->level, r->first, r->body, false, &p, &v);

		ck_assert_msg(err == FB_EPROTO, "level %d %02x %s: taken", r->level, r->first, r->body);
		ck_assert_msg(strcmp(v.statement, r->statement) == 0, "level %d %02x %s: %s, not %s", r->level, r->first,
		    r->body, v.statement, r->statement);
		ck_assert_msg(v.reason == r->reason, "level %d %02x %s: %02x", r->level, r->first, r->body,
		    (unsigned)v.reason);
		arena_reset(&arena);
	}
}

#define REFUSE(...) \
	do { \
		static const struct refusal rows[] = { __VA_ARGS__ }; \
		refuse(rows, sizeof rows / sizeof rows[0]); \
	} while (0)
#define M MQTT_R_MALFORMED
#define E MQTT_R_PROTOCOL_ERROR

static void
take(uint8_t level, uint8_t first, const char *body, union any_packet *p)
{
	struct violation v = { MQTT_R_SUCCESS, "nothing" };
	int err = decode_text(level, first, body, false, p, &v);

	ck_assert_msg(err == 0, "level %d %02x %s: %s", level, first, body, v.statement);
}

/* ---- CONNECT ---- */

START_TEST(connect_fields)                              /* [MQTT-3.1.3-1] */
{
	union any_packet p;

	take(4, 0x10, "<MQTT>04 f6 003c <id><w/t><wp><user><pw>", &p);
	ck_assert_uint_eq(p.connect.level, 4);
	ck_assert(slice_eq(p.connect.client_id, SLICE_LIT("id")));
	ck_assert(p.connect.clean);
	ck_assert(p.connect.has_will && p.connect.will.retain);
	ck_assert_uint_eq(p.connect.will.qos, 2);
	ck_assert(slice_eq(p.connect.will.topic, SLICE_LIT("w/t")));
	ck_assert(slice_eq(p.connect.will.payload, SLICE_LIT("wp")));
	ck_assert(p.connect.has_user && slice_eq(p.connect.user, SLICE_LIT("user")));
	ck_assert(p.connect.has_password && slice_eq(p.connect.password, SLICE_LIT("pw")));
	ck_assert_uint_eq(p.connect.keep_alive_s, 60);
	ck_assert(!p.connect.bridge && !p.connect.has_max_recursion);
	take(5, 0x10, "<MQTT>05 04 0000 {21 0005} <id> {18 00000009} <w><>", &p);
	ck_assert_uint_eq(p.connect.level, 5);
	ck_assert_uint_eq(p.connect.props.len, 3);
	ck_assert_uint_eq(p.connect.will.props.len, 5);
	ck_assert(!p.connect.clean && !p.connect.has_user);
	take(4, 0x10, "<MQTT>84 02 003c <id>", &p);
	ck_assert(p.connect.bridge);
	ck_assert_uint_eq(p.connect.level, 4);
}
END_TEST

/* What MQTT 3.1 allows and the original's tests had. */
START_TEST(connect_at_level_3)
{
	union any_packet p;

	take(3, 0x10, "<MQIsdp>03 02 003c <id> 'extra bytes'", &p);
	ck_assert_uint_eq(p.connect.level, 3);
	take(3, 0x10, "<MQIsdp>03 02 003c <a client id of more than 23 characters>", &p);
	take(3, 0x10, "<MQIsdp>03 c2 003c <id>", &p);           /* the remaining length overrules the flags */
	ck_assert(!p.connect.has_user && !p.connect.has_password);
	take(3, 0x10, "<MQIsdp>03 c2 003c <id><user>", &p);
	ck_assert(p.connect.has_user && !p.connect.has_password);
	take(3, 0x1f, "<MQIsdp>03 3a 003c <id>", &p);           /* unused flags, will bits without a will */
	ck_assert(!p.connect.has_will);
	take(3, 0x10, "<MQIsdp>03 c3 003c <id><user><pw> 0003", &p);
	ck_assert(p.connect.has_max_recursion);
	ck_assert_uint_eq(p.connect.max_recursion, 3);
	take(3, 0x10, "<MQIsdp>03 03 003c <id> 0001 'extra'", &p);
	ck_assert_uint_eq(p.connect.max_recursion, 1);
}
END_TEST

START_TEST(max_recursion_at_level_4_is_an_option)
{
	union any_packet p;
	struct violation v;

	ck_assert_int_eq(decode_text(4, 0x10, "<MQTT>04 03 003c <id> 0002", true, &p, &v), 0);
	ck_assert_uint_eq(p.connect.max_recursion, 2);
	ck_assert_int_eq(decode_text(4, 0x10, "<MQTT>04 03 003c <id>", true, &p, &v), FB_EPROTO);
	ck_assert_int_eq(decode_text(4, 0x10, "<MQTT>04 03 003c <id> 0002 00", true, &p, &v), FB_EPROTO);
	ck_assert_int_eq(decode_text(5, 0x10, "<MQTT>05 03 003c 00 <id> 0002", true, &p, &v), FB_EPROTO);
	ck_assert_str_eq(v.statement, "MQTT-3.1.2-3");
}
END_TEST

START_TEST(connect_refused)
{
	REFUSE(
		{ 4, 0x11, "<MQTT>04 02 003c <id>", M, "MQTT-2.2.2-2" },
		{ 4, 0x10, "", M, "MQTT-3.1.2-1" },
		{ 4, 0x10, "0004 'MQ'", M, "MQTT-3.1.2-1" },
		{ 4, 0x10, "<MQTX>04 02 003c <id>", MQTT_R_UNSUPPORTED_VERSION, "MQTT-3.1.2-1" },
		{ 4, 0x10, "<mqtt>04 02 003c <id>", MQTT_R_UNSUPPORTED_VERSION, "MQTT-3.1.2-1" },
		{ 4, 0x10, "<MQTT>", M, "protocol level missing (3.1.2.2)" },
		{ 4, 0x10, "<MQTT>03 02 003c <id>", MQTT_R_UNSUPPORTED_VERSION, "MQTT-3.1.2-2" },
		{ 4, 0x10, "<MQTT>06 02 003c <id>", MQTT_R_UNSUPPORTED_VERSION, "MQTT-3.1.2-2" },
		{ 4, 0x10, "<MQTT>85 02 003c <id>", MQTT_R_UNSUPPORTED_VERSION, "MQTT-3.1.2-2" },
		{ 3, 0x10, "<MQIsdp>04 02 003c <id>", MQTT_R_UNSUPPORTED_VERSION, "MQTT-3.1.2-2" },
		{ 4, 0x10, "<MQTT>04 02 00", M, "variable header cut short (3.1.2)" },
		{ 4, 0x10, "<MQTT>04 03 003c <id>", M, "MQTT-3.1.2-3" },
		{ 4, 0x10, "<MQTT>04 06 003c <id>", M, "MQTT-3.1.2-9" },
		{ 4, 0x10, "<MQTT>04 06 003c <id><w>", M, "MQTT-3.1.2-9" },
		{ 4, 0x10, "<MQTT>04 0a 003c <id>", M, "MQTT-3.1.2-13" },
		{ 5, 0x10, "<MQTT>05 12 003c 00 <id>", M, "MQTT-3.1.2-13" },
		{ 4, 0x10, "<MQTT>04 1e 003c <id><w><p>", M, "MQTT-3.1.2-14" },
		{ 3, 0x10, "<MQIsdp>03 1e 003c <id><w><p>", M, "MQTT-3.1.2-14" },
		{ 4, 0x10, "<MQTT>04 22 003c <id>", M, "MQTT-3.1.2-15" },
		{ 4, 0x10, "<MQTT>04 82 003c <id>", M, "MQTT-3.1.2-19" },
		{ 4, 0x10, "<MQTT>04 c2 003c <id><user>", M, "MQTT-3.1.2-21" },
		{ 4, 0x10, "<MQTT>04 42 003c <id><pw>", M, "MQTT-3.1.2-22" },
		{ 3, 0x10, "<MQIsdp>03 42 003c <id><pw>", M, "MQTT-3.1.2-22" },
		{ 4, 0x10, "<MQTT>04 02 003c", M, "MQTT-3.1.3-3" },
		{ 4, 0x10, "<MQTT>04 02 003c 0003 'id'", M, "MQTT-3.1.3-3" },
		{ 4, 0x10, "<MQTT>04 02 003c <\\ff>", M, "MQTT-3.1.3-4" },
		{ 4, 0x10, "<MQTT>04 02 003c <a\\00>", M, "MQTT-1.5.3-2" },
		{ 4, 0x10, "<MQTT>04 00 003c <>", MQTT_R_BAD_CLIENT_ID, "MQTT-3.1.3-8" },
		{ 3, 0x10, "<MQIsdp>03 02 003c <>", MQTT_R_BAD_CLIENT_ID, "empty client id at level 3" },
		{ 4, 0x10, "<MQTT>04 06 003c <id><\\ed\\a0\\80><p>", M, "MQTT-3.1.3-10" },
		{ 4, 0x10, "<MQTT>04 06 003c <id><><p>", MQTT_R_BAD_TOPIC_NAME, "MQTT-4.7.3-1" },
		{ 4, 0x10, "<MQTT>04 06 003c <id><a/#><p>", MQTT_R_BAD_TOPIC_NAME, "MQTT-4.7.1-1" },
		{ 4, 0x10, "<MQTT>04 82 003c <id><\\c0\\80>", M, "MQTT-3.1.3-11" },
		{ 4, 0x10, "<MQTT>04 02 003c <id> 00", M, "MQTT-3.1.4-1" },
		{ 4, 0x10, "<MQTT>04 02 003c <id><user>", M, "MQTT-3.1.4-1" },
		{ 5, 0x10, "<MQTT>05 02 003c 00 <id> 00", M, "MQTT-3.1.4-1" },
		{ 5, 0x10, "<MQTT>05 02 003c", M, "properties longer than the packet (2.2.2.1)" },
		{ 5, 0x10, "<MQTT>05 02 003c 8000 <id>", M, "MQTT-1.5.5-1" },
		{ 5, 0x10, "<MQTT>05 02 003c {21 0000} <id>", E, "property is 0" },
		{ 5, 0x10, "<MQTT>05 06 003c {} <id> {23 0001} <w><p>", M, "property not for this packet (2.2.2.2)" },
		{ 3, 0x10, "<MQIsdp>03 03 003c <id> 00", M, "max recursion missing" });
}
END_TEST

/* The answer goes out in the level that the peer speaks, as far as that is known. */
START_TEST(level_of_a_refused_connect)
{
	union any_packet p;
	struct violation v;

	(void)decode_text(4, 0x10, "<MQTT>05 03 003c 00 <id>", false, &p, &v);
	ck_assert_uint_eq(p.connect.level, 5);
	(void)decode_text(4, 0x10, "<MQTT>07 03 003c 00 <id>", false, &p, &v);
	ck_assert_uint_eq(p.connect.level, 5);
	(void)decode_text(4, 0x10, "<MQIsdp>03 02 003c <>", false, &p, &v);
	ck_assert_uint_eq(p.connect.level, 3);
	(void)decode_text(4, 0x10, "<XXXX>05", false, &p, &v);
	ck_assert_uint_eq(p.connect.level, 4);
}
END_TEST

/* [MQTT-3.1.3-5]: 23 characters are the least that must be possible, not the most. */
START_TEST(longest_client_id)
{
	uint8_t *id = mem_alloc(65535);
	struct mqtt_connect c = { .level = 4, .clean = true, .client_id = slice_of(id, 65535) };
	struct decode_opts opts = { 0 };
	struct mqtt_connect back;
	struct violation v;
	struct frame f;
	struct slice in;
	uint32_t need;

	memset(id, 'x', 65535);
	buf_clear(&wire);
	encode_connect(&wire, &c);
	in = buf_slice(&wire);
	ck_assert_int_eq(frame_next(&in, UINT32_MAX, &f, &need, &v), 0);
	ck_assert_int_eq(decode_connect(&f, &opts, &back, &v), 0);
	ck_assert_uint_eq(back.client_id.len, 65535);
	mem_free(id);
}
END_TEST

/* ---- CONNACK ---- */

START_TEST(connack_fields)
{
	union any_packet p;

	take(4, 0x20, "01 00", &p);
	ck_assert(p.connack.session_present && p.connack.code == 0 && !p.connack.has_keep_alive);
	take(3, 0x20, "ff 00", &p);                             /* reserved there, may be anything */
	ck_assert(!p.connack.session_present);
	take(3, 0x20, "00 00 0708", &p);
	ck_assert(p.connack.has_keep_alive && p.connack.keep_alive_s == 1800);
	take(4, 0x20, "00 06 <tcp://host:1883> 0002", &p);
	ck_assert(slice_eq(p.connack.server, SLICE_LIT("tcp://host:1883")));
	ck_assert_uint_eq(p.connack.max_recursion, 2);
	take(5, 0x20, "00 87 {1f<no>}", &p);
	ck_assert_uint_eq(p.connack.code, 0x87);
	ck_assert_uint_eq(p.connack.props.len, 5);
}
END_TEST

START_TEST(connack_refused)
{
	REFUSE(
		{ 4, 0x21, "00 00", M, "MQTT-2.2.2-2" },
		{ 4, 0x20, "00", M, "variable header cut short (3.2.2)" },
		{ 4, 0x20, "02 00", M, "reserved bits of the flags (3.2.2.1)" },
		{ 4, 0x20, "01 05", E, "MQTT-3.2.2-4" },
		{ 5, 0x20, "01 87 00", E, "MQTT-3.2.2-4" },
		{ 4, 0x20, "00 07", E, "reserved return code (3.2.2.3)" },
		{ 4, 0x20, "00 00 00", M, "bytes behind the return code" },
		{ 4, 0x20, "00 00 0000 00", M, "bytes behind the return code" },
		{ 3, 0x20, "00 06 <host>", M, "alternate server cut short" },
		{ 3, 0x20, "00 06 <host> 0001 00", M, "bytes behind the return code" },
		{ 5, 0x20, "00 01 00", E, "MQTT-3.2.2-8" },
		{ 5, 0x20, "00 00", M, "properties longer than the packet (2.2.2.1)" },
		{ 5, 0x20, "00 00 {} 00", M, "bytes behind the properties" },
		{ 5, 0x20, "00 00 {23 0001}", M, "property not for this packet (2.2.2.2)" });
}
END_TEST

/* ---- PUBLISH ---- */

START_TEST(publish_fields)
{
	union any_packet p;

	take(4, 0x3d, "<a/b> 1234 'payload'", &p);
	ck_assert(slice_eq(p.publish.topic, SLICE_LIT("a/b")));
	ck_assert(slice_eq(p.publish.payload, SLICE_LIT("payload")));
	ck_assert(p.publish.dup && p.publish.retain);
	ck_assert_uint_eq(p.publish.qos, 2);
	ck_assert_uint_eq(p.publish.packet_id, 0x1234);
	take(4, 0x30, "<t>", &p);
	ck_assert_uint_eq(p.publish.packet_id, 0);
	ck_assert_uint_eq(p.publish.payload.len, 0);
	take(5, 0x32, "<> 0001 {23 0009} 'x'", &p);
	ck_assert_uint_eq(p.publish.topic.len, 0);
	ck_assert_uint_eq(p.publish.props.len, 3);
	take(3, 0x38, "<t>", &p);                               /* 3.1 says nothing of DUP at QoS 0 */
}
END_TEST

START_TEST(publish_refused)
{
	REFUSE(
		{ 4, 0x36, "<t> 0001", M, "MQTT-3.3.1-4" },
		{ 3, 0x36, "<t> 0001", M, "MQTT-3.3.1-4" },
		{ 4, 0x38, "<t>", M, "MQTT-3.3.1-2" },
		{ 4, 0x30, "", M, "MQTT-3.3.2-1" },
		{ 4, 0x30, "00", M, "MQTT-3.3.2-1" },
		{ 4, 0x30, "0002 't'", M, "MQTT-3.3.2-1" },
		{ 4, 0x30, "<\\c3(>", M, "MQTT-3.3.2-1" },
		{ 4, 0x30, "<abcdefghi\\80>", M, "MQTT-3.3.2-1" },
		{ 4, 0x30, "<a\\00b>", M, "MQTT-1.5.3-2" },
		{ 4, 0x30, "<>", M, "MQTT-4.7.3-1" },
		{ 3, 0x30, "<>", M, "MQTT-4.7.3-1" },
		{ 4, 0x30, "<a/+>", MQTT_R_BAD_TOPIC_NAME, "MQTT-3.3.2-2" },
		{ 4, 0x30, "<#>", MQTT_R_BAD_TOPIC_NAME, "MQTT-3.3.2-2" },
		{ 4, 0x30, "<a topic of some length/#>", MQTT_R_BAD_TOPIC_NAME, "MQTT-3.3.2-2" },
		{ 4, 0x30, "<\\c3\\a4/+>", MQTT_R_BAD_TOPIC_NAME, "MQTT-3.3.2-2" },
		{ 4, 0x32, "<t> 0000", M, "MQTT-2.3.1-1" },
		{ 4, 0x32, "<t> 00", M, "packet id missing (2.3.1)" },
		{ 5, 0x30, "<t>", M, "properties longer than the packet (2.2.2.1)" },
		{ 5, 0x30, "<t> 05 01", M, "properties longer than the packet (2.2.2.1)" },
		{ 5, 0x30, "<t> 8000", M, "MQTT-1.5.5-1" },
		{ 5, 0x30, "<t> {23 0000}", MQTT_R_BAD_TOPIC_ALIAS, "MQTT-3.3.2-8" },
		{ 5, 0x30, "<> 00", E, "empty topic without an alias (3.3.2.1)" },
		{ 5, 0x30, "<> {01 00}", E, "empty topic without an alias (3.3.2.1)" },
		{ 5, 0x30, "<t> {08<#>}", E, "MQTT-3.3.2-14" });
}
END_TEST

/* Every byte at every place of topics up to 40 bytes, against the plain definition. */
START_TEST(topics_byte_by_byte)
{
	uint8_t packet[64] = { 0x30 };

	for (uint8_t len = 1; len <= 40; len++) {
		packet[1] = (uint8_t)(len + 2);
		packet[3] = len;
		memset(packet + 4, 'a', len);
		for (uint8_t at = 0; at < len; at++) {
			for (uint32_t c = 0; c < 256; c++) {
				struct slice in = slice_of(packet, len + 4u);
				struct mqtt_publish p;
				struct violation v;
				struct frame f;
				uint32_t need;
				bool ok;

				packet[4 + at] = (uint8_t)c;
				ok = c != 0 && c < 0x80 && c != '+' && c != '#';
				ck_assert(frame_next(&in, 100, &f, &need, &v) == 0);
				if ((decode_publish(&f, 4, &p, &v) == 0) != ok)
					ck_abort_msg("length %d, place %d, byte %02x", len, at, c);
			}
			packet[4 + at] = 'a';
		}
	}
}
END_TEST

/* ---- PUBACK, PUBREC, PUBREL, PUBCOMP ---- */

START_TEST(acks)
{
	union any_packet p;

	take(4, 0x40, "0102", &p);
	ck_assert_uint_eq(p.ack.packet_id, 0x0102);
	take(5, 0x40, "0001 10", &p);
	ck_assert_uint_eq(p.ack.reason, 0x10);
	take(5, 0x50, "0001 97 {1f<w>}", &p);
	ck_assert_uint_eq(p.ack.props.len, 4);
	take(3, 0x6a, "0001", &p);                              /* DUP was allowed in 3.1 */
	REFUSE(
		{ 4, 0x41, "0001", M, "MQTT-2.2.2-2" },
		{ 4, 0x60, "0001", M, "MQTT-3.6.1-1" },
		{ 3, 0x60, "0001", M, "MQTT-3.6.1-1" },
		{ 4, 0x6a, "0001", M, "MQTT-3.6.1-1" },
		{ 4, 0x40, "00", M, "packet id missing (2.3.1)" },
		{ 4, 0x40, "0000", M, "MQTT-2.3.1-6" },
		{ 4, 0x50, "0001 00", M, "bytes behind the packet id" },
		{ 3, 0x70, "0001 00", M, "bytes behind the packet id" },
		{ 5, 0x40, "0001 01", E, "MQTT-3.4.2-1" },
		{ 5, 0x50, "0001 92", E, "MQTT-3.5.2-1" },
		{ 5, 0x62, "0001 10", E, "MQTT-3.6.2-1" },
		{ 5, 0x70, "0001 10", E, "MQTT-3.7.2-1" },
		{ 5, 0x40, "0001 00 {} 00", M, "bytes behind the properties" },
		{ 5, 0x40, "0001 00 01", M, "properties longer than the packet (2.2.2.1)" },
		{ 5, 0x40, "0001 00 {11 00000000}", M, "property not for this packet (2.2.2.2)" });
}
END_TEST

/* ---- SUBSCRIBE and the like ---- */

START_TEST(subscribe_fields)
{
	union any_packet p;

	take(4, 0x82, "0001 <a/+> 02 <#> 00", &p);
	ck_assert_uint_eq(p.subscribe.count, 2);
	ck_assert(slice_eq(p.subscribe.filters[0].filter, SLICE_LIT("a/+")));
	ck_assert_uint_eq(p.subscribe.filters[0].qos, 2);
	ck_assert(slice_eq(p.subscribe.filters[1].filter, SLICE_LIT("#")));
	take(5, 0x82, "0001 {0b 05} <a> 2d", &p);
	ck_assert(p.subscribe.filters[0].no_local && p.subscribe.filters[0].retain_as_published);
	ck_assert_uint_eq(p.subscribe.filters[0].qos, 1);
	ck_assert_uint_eq(p.subscribe.filters[0].retain_handling, 2);
	ck_assert_uint_eq(p.subscribe.props.len, 2);
	take(3, 0x8a, "0001 <a> f9", &p);                       /* unused bits of 3.1 */
	ck_assert_uint_eq(p.subscribe.filters[0].qos, 1);
	take(4, 0x82, "0001 <$share/g> 00", &p);                /* an ordinary filter to 3.1.1 */
	take(4, 0xa2, "0001 <a><b><c>", &p);
	ck_assert_uint_eq(p.unsubscribe.count, 3);
	ck_assert(slice_eq(p.unsubscribe.filters[2], SLICE_LIT("c")));
	take(4, 0x90, "0001 00 80", &p);
	ck_assert_uint_eq(p.suback.codes.len, 2);
}
END_TEST

START_TEST(subscribe_refused)
{
	REFUSE(
		{ 4, 0x80, "0001 <a> 00", M, "MQTT-3.8.1-1" },
		{ 3, 0x80, "0001 <a> 00", M, "MQTT-3.8.1-1" },
		{ 4, 0x82, "0000 <a> 00", M, "MQTT-2.3.1-1" },
		{ 4, 0x82, "0001", E, "MQTT-3.8.3-3" },
		{ 5, 0x82, "0001 00", E, "MQTT-3.8.3-3" },
		{ 4, 0x82, "0001 <a>", M, "filter cut short (3.8.3)" },
		{ 4, 0x82, "0001 <a> 00 0005 'a'", M, "filter cut short (3.8.3)" },
		{ 4, 0x82, "0001 <\\f5> 00", M, "MQTT-3.8.3-1" },
		{ 4, 0x82, "0001 <a\\00> 00", M, "MQTT-1.5.3-2" },
		{ 4, 0x82, "0001 <> 00", M, "MQTT-4.7.3-1" },
		{ 4, 0x82, "0001 <a> 03", M, "MQTT-3-8.3-4" },
		{ 3, 0x82, "0001 <a> 03", M, "MQTT-3-8.3-4" },
		{ 4, 0x82, "0001 <a> 04", M, "MQTT-3-8.3-4" },
		{ 5, 0x82, "0001 00 <a> 03", M, "QoS 3 (3.8.3.1)" },
		{ 5, 0x82, "0001 00 <a> 40", M, "MQTT-3.8.3-5" },
		{ 5, 0x82, "0001 00 <a> 30", E, "retain handling 3 (3.8.3.1)" },
		{ 5, 0x82, "0001 00 <$share/g/a> 04", E, "MQTT-3.8.3-4" },
		{ 4, 0x82, "0001 <a> 00 <a#> 00", MQTT_R_BAD_TOPIC_FILTER, "MQTT-4.7.1-2" },
		{ 4, 0x82, "0001 <#/a> 00", MQTT_R_BAD_TOPIC_FILTER, "MQTT-4.7.1-2" },
		{ 4, 0x82, "0001 <a+> 00", MQTT_R_BAD_TOPIC_FILTER, "MQTT-4.7.1-3" },
		{ 4, 0x82, "0001 <+a/#> 00", MQTT_R_BAD_TOPIC_FILTER, "MQTT-4.7.1-3" },
		{ 5, 0x82, "0001 00 <$share/> 00", MQTT_R_BAD_TOPIC_FILTER, "MQTT-4.8.2-1" },
		{ 5, 0x82, "0001 00 <$share//a> 00", MQTT_R_BAD_TOPIC_FILTER, "MQTT-4.8.2-1" },
		{ 5, 0x82, "0001 00 <$share/g/> 00", MQTT_R_BAD_TOPIC_FILTER, "MQTT-4.8.2-2" },
		{ 5, 0x82, "0001 00 <$share/+/a> 00", MQTT_R_BAD_TOPIC_FILTER, "MQTT-4.8.2-2" },
		{ 4, 0xa0, "0001 <a>", M, "MQTT-3.10.1-1" },
		{ 4, 0xa2, "0000 <a>", M, "MQTT-2.3.1-1" },
		{ 4, 0xa2, "0001", E, "MQTT-3.10.3-2" },
		{ 4, 0xa2, "0001 0002 'a'", M, "filter cut short (3.10.3)" },
		{ 4, 0xa2, "0001 <\\ff>", M, "MQTT-3.10.3-1" },
		{ 4, 0xa2, "0001 <a><b#>", MQTT_R_BAD_TOPIC_FILTER, "MQTT-4.7.1-2" });
}
END_TEST

START_TEST(suback_refused)
{
	REFUSE(
		{ 4, 0x91, "0001 00", M, "MQTT-2.2.2-2" },
		{ 4, 0x90, "0000 00", M, "MQTT-2.3.1-7" },
		{ 4, 0x90, "0001", M, "no code for any filter (3.9.3)" },
		{ 4, 0x90, "0001 03", E, "MQTT-3.9.3-2" },
		{ 4, 0x90, "0001 00 81", E, "MQTT-3.9.3-2" },
		{ 5, 0x90, "0001 00 03", E, "MQTT-3.9.3-2" },
		{ 4, 0xb0, "0001 00", M, "bytes behind the packet id" },
		{ 4, 0xb0, "0000", M, "MQTT-2.3.1-7" },
		{ 5, 0xb0, "0001 00 01", E, "MQTT-3.11.3-2" },
		{ 5, 0xb0, "0001 00", M, "no code for any filter (3.9.3)" },
		{ 5, 0xb0, "0001 {0b 01} 00", M, "property not for this packet (2.2.2.2)" });
}
END_TEST

/* A packet of empty-looking filters must not make us hold many times its size. */
START_TEST(too_many_filters)
{
	uint32_t count = DECODE_MAX_FILTERS + 1;
	struct mqtt_filter *filters = mem_zalloc(count * sizeof *filters);
	struct mqtt_subscribe s = { .packet_id = 1, .filters = filters, .count = count };
	struct mqtt_subscribe back;
	struct violation v;
	struct frame f;
	struct slice in;
	uint32_t need;

	for (uint32_t i = 0; i < count; i++)
		filters[i].filter = SLICE_LIT("a");
	buf_clear(&wire);
	encode_subscribe(&wire, 4, &s);
	in = buf_slice(&wire);
	ck_assert_int_eq(frame_next(&in, UINT32_MAX, &f, &need, &v), 0);
	ck_assert_int_eq(decode_subscribe(&f, 4, &arena, &back, &v), FB_EPROTO);
	ck_assert_int_eq(v.reason, MQTT_R_QUOTA_EXCEEDED);
	s.count--;
	buf_clear(&wire);
	encode_subscribe(&wire, 4, &s);
	in = buf_slice(&wire);
	ck_assert_int_eq(frame_next(&in, UINT32_MAX, &f, &need, &v), 0);
	ck_assert_int_eq(decode_subscribe(&f, 4, &arena, &back, &v), 0);
	ck_assert_uint_eq(back.count, DECODE_MAX_FILTERS);
	mem_free(filters);
}
END_TEST

/* ---- PINGREQ, PINGRESP, DISCONNECT, AUTH ---- */

START_TEST(pings_and_ends)
{
	union any_packet p;

	take(5, 0xe0, "04", &p);
	ck_assert_uint_eq(p.disconnect.reason, 4);
	take(5, 0xf0, "18 {15<m>}", &p);
	ck_assert_uint_eq(p.disconnect.reason, 0x18);
	REFUSE(
		{ 4, 0xc1, "", M, "MQTT-2.2.2-2" },
		{ 4, 0xd0, "00", M, "a ping has no body (3.12)" },
		{ 4, 0xe1, "", M, "MQTT-3.14.1-1" },
		{ 4, 0xe0, "00", M, "a DISCONNECT has no body (3.14)" },
		{ 5, 0xe0, "01", E, "MQTT-3.14.2-1" },
		{ 5, 0xe0, "00 05", M, "properties longer than the packet (2.2.2.1)" },
		{ 5, 0xe0, "00 {} 00", M, "bytes behind the properties" },
		{ 4, 0xf0, "", M, "packet type 15 is reserved (2.2.1)" },
		{ 5, 0xf1, "", M, "MQTT-3.15.1-1" },
		{ 5, 0xf0, "04", E, "MQTT-3.15.2-1" },
		{ 5, 0xf0, "18", M, "properties longer than the packet (2.2.2.1)" },
		{ 5, 0xf0, "18 {16<d>}", E, "authentication data without a method (3.1.2.11.10)" });
}
END_TEST

/* [MQTT-1.5.5-1]: at level 5 the remaining length, too, has its shortest form. */
START_TEST(long_form_of_a_length)
{
	static const char *const packets[] = { "30 8400 <t> 00", "40 8200 0001", "82 8700 0001 00 <a> 00",
		"90 8400 0001 00 00", "a2 8600 0001 00 <a>", "e0 8000", "10 9000 <MQTT>05 02 0000 00 <abc>", "20 8300 00 00 00" };
	struct decode_opts opts = { 0 };

	for (size_t i = 0; i < sizeof packets / sizeof packets[0]; i++) {
		struct violation v = { 0, "" };
		union any_packet p;
		struct frame f;
		struct slice in;
		uint32_t need;

		buf_clear(&wire);
		(void)put_text(&wire, packets[i]);
		in = buf_slice(&wire);
		ck_assert_int_eq(frame_next(&in, 100, &f, &need, &v), 0);
		ck_assert_msg(in.len == 0, "%s", packets[i]);
		ck_assert_msg(decode_any(&f, 5, &opts, &arena, &p, &v) == FB_EPROTO, "%s", packets[i]);
		ck_assert_str_eq(v.statement, "MQTT-1.5.5-1");
	}
}
END_TEST

UNIT_MAIN("decode", connect_fields, connect_at_level_3, max_recursion_at_level_4_is_an_option, connect_refused,
    level_of_a_refused_connect, longest_client_id, connack_fields, connack_refused, publish_fields, publish_refused,
    topics_byte_by_byte, acks, subscribe_fields, subscribe_refused, suback_refused, too_many_filters, pings_and_ends,
    long_form_of_a_length)
