/* SPDX-License-Identifier: Apache-2.0 */
#include "t/support/unit.h"

#include "common/mqtt/props.h"
#include "t/support/codec.h"

static struct buf bytes;

static struct slice
text(const char *t)
{
	buf_clear(&bytes);
	(void)put_text(&bytes, t);
	return buf_slice(&bytes);
}

START_TEST(walks_a_block)
{
	struct slice block = text("01 01 02 00000100 0b 8001 21 ffff 09<\\00\\ff> 26<k><v>");
	struct prop p;

	ck_assert_int_eq(prop_next(&block, &p), 0);
	ck_assert_uint_eq(p.id, PROP_PAYLOAD_FORMAT);
	ck_assert_uint_eq(p.type, PROP_U8);
	ck_assert_uint_eq(p.number, 1);
	ck_assert_int_eq(prop_next(&block, &p), 0);
	ck_assert_uint_eq(p.number, 256);
	ck_assert_int_eq(prop_next(&block, &p), 0);
	ck_assert_uint_eq(p.type, PROP_VARINT);
	ck_assert_uint_eq(p.number, 128);
	ck_assert_int_eq(prop_next(&block, &p), 0);
	ck_assert_uint_eq(p.number, 65535);
	ck_assert_int_eq(prop_next(&block, &p), 0);
	ck_assert(slice_eq(p.text, SLICE_LIT("\0\xff")));
	ck_assert_int_eq(prop_next(&block, &p), 0);
	ck_assert(slice_eq(p.text, SLICE_LIT("k")));
	ck_assert(slice_eq(p.value, SLICE_LIT("v")));
	ck_assert_int_eq(prop_next(&block, &p), FB_ENOENT);
}
END_TEST

START_TEST(finds_the_first)
{
	struct slice block = text("26<k><1> 23 0007 26<k><2>");
	struct prop p;

	ck_assert(prop_find(block, PROP_TOPIC_ALIAS, &p));
	ck_assert_uint_eq(p.number, 7);
	ck_assert(prop_find(block, PROP_USER_PROPERTY, &p));
	ck_assert(slice_eq(p.value, SLICE_LIT("1")));
	ck_assert(!prop_find(block, PROP_MESSAGE_EXPIRY, &p));
	ck_assert(!prop_find(slice_of(NULL, 0), PROP_MESSAGE_EXPIRY, &p));
}
END_TEST

START_TEST(puts_each_kind)
{
	static const struct prop props[] = {
		{ .id = PROP_PAYLOAD_FORMAT, .number = 1 },
		{ .id = PROP_TOPIC_ALIAS, .number = 0x1234 },
		{ .id = PROP_MESSAGE_EXPIRY, .number = 0x12345678 },
		{ .id = PROP_SUBSCRIPTION_ID, .number = 268435455 },
		{ .id = PROP_CONTENT_TYPE, .text = SLICE_LIT("t") },
		{ .id = PROP_CORRELATION_DATA, .text = SLICE_LIT("\0") },
		{ .id = PROP_USER_PROPERTY, .text = SLICE_LIT("a"), .value = SLICE_LIT("") },
	};
	struct buf b;

	buf_init(&b);
	for (size_t i = 0; i < sizeof props / sizeof props[0]; i++)
		prop_put(&b, &props[i]);
	ck_assert(slice_eq(buf_slice(&b), text("0101 231234 0212345678 0bffffff7f 03<t> 09<\\00> 26<a><>")));
	buf_fini(&b);
}
END_TEST

START_TEST(takes_and_puts_blocks)
{
	struct slice in = text("{26<k><v>} 'rest'");
	struct slice whole = in;
	struct slice block;
	struct buf b;

	ck_assert_int_eq(props_take(&in, &block), 0);
	ck_assert_uint_eq(block.len, 7);
	ck_assert(slice_eq(in, SLICE_LIT("rest")));
	buf_init(&b);
	props_put(&b, block);
	ck_assert(slice_eq(buf_slice(&b), slice_of(whole.p, 8)));
	buf_fini(&b);
	in = text("08 26<k><v>");
	ck_assert_int_eq(props_take(&in, &block), FB_ESHORT);
	in = text("");
	ck_assert_int_eq(props_take(&in, &block), FB_ESHORT);
	in = text("80");
	ck_assert_int_eq(props_take(&in, &block), FB_ESHORT);
	in = text("80 00");                                     /* [MQTT-1.5.5-1] */
	ck_assert_int_eq(props_take(&in, &block), FB_EPROTO);
	in = text("ffffffff 01");
	ck_assert_int_eq(props_take(&in, &block), FB_EPROTO);
}
END_TEST

START_TEST(checks)
{
	static const struct {
		enum mqtt_type packet;
		const char *block;
		enum mqtt_reason reason;
		const char *statement;          /* NULL: valid */
	} rows[] = {
		{ MQTT_PUBLISH, "", MQTT_R_SUCCESS, NULL },
		{ MQTT_PUBLISH, "26<a><b> 26<a><b>", MQTT_R_SUCCESS, NULL },
		{ MQTT_PUBLISH, "0b 01 0b 02", MQTT_R_SUCCESS, NULL },
		{ PROPS_WILL, "18 00000001 01 01", MQTT_R_SUCCESS, NULL },
		{ MQTT_AUTH, "15<m>16<d>", MQTT_R_SUCCESS, NULL },
		{ MQTT_PUBLISH, "04 00", MQTT_R_MALFORMED, "property malformed (2.2.2.2)" },
		{ MQTT_PUBLISH, "ff 00", MQTT_R_MALFORMED, "property malformed (2.2.2.2)" },
		{ MQTT_PUBLISH, "02 0000", MQTT_R_MALFORMED, "property malformed (2.2.2.2)" },
		{ MQTT_PUBLISH, "01", MQTT_R_MALFORMED, "property malformed (2.2.2.2)" },
		{ MQTT_PUBLISH, "0b 8100", MQTT_R_MALFORMED, "property malformed (2.2.2.2)" },
		{ MQTT_PUBLISH, "26<a>", MQTT_R_MALFORMED, "property malformed (2.2.2.2)" },
		{ MQTT_PUBLISH, "11 00000001", MQTT_R_MALFORMED, "property not for this packet (2.2.2.2)" },
		{ MQTT_CONNECT, "18 00000001", MQTT_R_MALFORMED, "property not for this packet (2.2.2.2)" },
		{ MQTT_PINGREQ, "26<a><b>", MQTT_R_MALFORMED, "property not for this packet (2.2.2.2)" },
		{ MQTT_PUBLISH, "23 0001 23 0001", MQTT_R_PROTOCOL_ERROR, "property given twice" },
		{ MQTT_SUBSCRIBE, "0b 01 0b 02", MQTT_R_PROTOCOL_ERROR, "property given twice" },
		{ MQTT_PUBLISH, "01 02", MQTT_R_PROTOCOL_ERROR, "property is neither 0 nor 1" },
		{ MQTT_CONNECT, "17 02", MQTT_R_PROTOCOL_ERROR, "property is neither 0 nor 1" },
		{ MQTT_CONNACK, "24 02", MQTT_R_PROTOCOL_ERROR, "property is neither 0 nor 1" },
		{ MQTT_CONNECT, "21 0000", MQTT_R_PROTOCOL_ERROR, "property is 0" },
		{ MQTT_CONNECT, "27 00000000", MQTT_R_PROTOCOL_ERROR, "property is 0" },
		{ MQTT_SUBSCRIBE, "0b 00", MQTT_R_PROTOCOL_ERROR, "property is 0" },
		{ MQTT_PUBLISH, "23 0000", MQTT_R_BAD_TOPIC_ALIAS, "MQTT-3.3.2-8" },
		{ MQTT_PUBLISH, "08<a/+>", MQTT_R_PROTOCOL_ERROR, "MQTT-3.3.2-14" },
		{ MQTT_PUBLISH, "03<\\c3>", MQTT_R_MALFORMED, "MQTT-1.5.3-1" },
		{ MQTT_PUBLISH, "03<a\\00>", MQTT_R_MALFORMED, "MQTT-1.5.3-2" },
		{ MQTT_PUBLISH, "26<a><\\ff>", MQTT_R_MALFORMED, "MQTT-1.5.7-1" },
		{ MQTT_CONNECT, "16<d>", MQTT_R_PROTOCOL_ERROR, "authentication data without a method (3.1.2.11.10)" },
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct violation v = { 0 };
		int err = props_check(text(rows[i].block), rows[i].packet, &v);

		ck_assert_msg(err == (rows[i].statement == NULL ? 0 : FB_EPROTO), "row %zu: %d", i, err);
		if (rows[i].statement == NULL)
			continue;
		ck_assert_msg(v.reason == rows[i].reason, "row %zu: %02x", i, (unsigned)v.reason);
		ck_assert_msg(strcmp(v.statement, rows[i].statement) == 0, "row %zu: %s", i, v.statement);
	}
}
END_TEST

START_TEST(names)
{
	uint32_t known = 0;

	for (uint32_t id = 0; id < 256; id++)
		known += prop_name((uint8_t)id) != NULL;
	ck_assert_uint_eq(known, 27);           /* rows of MQTT 5.0 table 2-4 */
	ck_assert_str_eq(prop_name(PROP_MESSAGE_EXPIRY), "message expiry interval");
	ck_assert_ptr_null(prop_name(0));
	ck_assert_ptr_null(prop_name(200));
}
END_TEST

UNIT_MAIN("props", walks_a_block, finds_the_first, puts_each_kind, takes_and_puts_blocks, checks, names)
