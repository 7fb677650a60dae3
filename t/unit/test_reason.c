/* SPDX-License-Identifier: Apache-2.0 */
#include "t/support/unit.h"

#include "common/mqtt/reason.h"

START_TEST(each_has_a_text_and_a_place)
{
	static const enum mqtt_type with_reasons[] = { MQTT_CONNACK, MQTT_PUBACK, MQTT_PUBREC, MQTT_PUBREL,
		MQTT_PUBCOMP, MQTT_SUBACK, MQTT_UNSUBACK, MQTT_DISCONNECT, MQTT_AUTH };
	uint32_t known = 0;

#define REASON(name, code, v3, text) \
	{ \
		bool somewhere = false; \
\
		known++; \
		ck_assert_str_eq(reason_text(code), text); \
		ck_assert_int_eq(reason_connack_v3(MQTT_R_##name), v3); \
		for (size_t i = 0; i < sizeof with_reasons / sizeof with_reasons[0]; i++) \
			somewhere = somewhere || reason_allowed(with_reasons[i], code); \
		ck_assert_msg(somewhere, "%s is in no packet", text); \
	}
#include "common/mqtt/reasons.def"
#undef REASON
	ck_assert_uint_eq(known, 43);           /* rows of MQTT 5.0 table 2-6, by code */
}
END_TEST

START_TEST(unknown_codes)
{
	ck_assert_str_eq(reason_text(0x03), "unknown reason");
	ck_assert_str_eq(reason_text(0xff), "unknown reason");
	ck_assert_int_eq(reason_connack_v3((enum mqtt_reason)0x7f), -1);
	ck_assert(!reason_allowed(MQTT_CONNACK, 0x7f));
	ck_assert(!reason_allowed(MQTT_CONNACK, 0xff));
}
END_TEST

/* How many codes each packet has in the standard's own tables (3-1, 3-4 ... 3-11). */
START_TEST(as_many_as_the_standard_says)
{
	static const struct {
		enum mqtt_type type;
		uint32_t count;
	} rows[] = {
		{ MQTT_CONNACK, 22 }, { MQTT_PUBACK, 9 }, { MQTT_PUBREC, 9 }, { MQTT_PUBREL, 2 },
		{ MQTT_PUBCOMP, 2 }, { MQTT_SUBACK, 12 }, { MQTT_UNSUBACK, 7 }, { MQTT_DISCONNECT, 30 },
		{ MQTT_AUTH, 3 },
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		uint32_t n = 0;

		for (uint32_t c = 0; c < 256; c++)
			n += reason_allowed(rows[i].type, (uint8_t)c);
		ck_assert_msg(n == rows[i].count, "packet %d: %u codes", (int)rows[i].type, n);
	}
}
END_TEST

START_TEST(examples)
{
	ck_assert(reason_allowed(MQTT_PUBACK, MQTT_R_NO_SUBSCRIBERS));
	ck_assert(!reason_allowed(MQTT_PUBREL, MQTT_R_NO_SUBSCRIBERS));
	ck_assert(reason_allowed(MQTT_PUBCOMP, MQTT_R_PACKET_ID_NOT_FOUND));
	ck_assert(reason_allowed(MQTT_SUBACK, MQTT_R_NO_WILDCARDS));
	ck_assert(!reason_allowed(MQTT_UNSUBACK, MQTT_R_NO_WILDCARDS));
	ck_assert(!reason_allowed(MQTT_PUBLISH, MQTT_R_SUCCESS));
	ck_assert_int_eq(reason_connack_v3(MQTT_R_BAD_USER_OR_PASSWORD), 4);
	ck_assert_int_eq(reason_connack_v3(MQTT_R_USE_ANOTHER_SERVER), 6);
	ck_assert_int_eq(reason_connack_v3(MQTT_R_MALFORMED), -1);
}
END_TEST

UNIT_MAIN("reason", each_has_a_text_and_a_place, unknown_codes, as_many_as_the_standard_says, examples)
