/* SPDX-License-Identifier: Apache-2.0 */
#include "t/support/unit.h"

#include "common/base/mem.h"
#include "common/mqtt/frame.h"
#include "common/mqtt/encode.h"

#define MAX UINT32_C(268435460)

static int
next(const void *p, size_t len, uint32_t max, struct frame *f, uint32_t *need, struct violation *v)
{
	struct slice in = slice_of(p, len);

	return frame_next(&in, max, f, need, v);
}

START_TEST(takes_packets_one_by_one)
{
	static const uint8_t bytes[] = { 0xc0, 0, 0x32, 3, 'a', 'b', 'c', 0x40 };
	struct slice in = slice_of(bytes, sizeof bytes);
	struct frame f;
	struct violation v;
	uint32_t need = 99;

	ck_assert_int_eq(frame_next(&in, MAX, &f, &need, &v), 0);
	ck_assert_uint_eq(f.type, MQTT_PINGREQ);
	ck_assert_uint_eq(f.flags, 0);
	ck_assert_uint_eq(f.size, 2);
	ck_assert_uint_eq(f.body.len, 0);
	ck_assert_int_eq(frame_next(&in, MAX, &f, &need, &v), 0);
	ck_assert_uint_eq(f.type, MQTT_PUBLISH);
	ck_assert_uint_eq(f.flags, 2);
	ck_assert_uint_eq(f.size, 5);
	ck_assert(slice_eq(f.body, SLICE_LIT("abc")));
	ck_assert_int_eq(frame_next(&in, MAX, &f, &need, &v), FB_ESHORT);
	ck_assert_uint_eq(need, 0);
	ck_assert_uint_eq(in.len, 1);
	ck_assert_uint_eq(*in.p, 0x40);
}
END_TEST

START_TEST(says_how_much_is_missing)
{
	static const uint8_t bytes[] = { 0x30, 0x81, 0x01 };
	struct frame f;
	struct violation v;
	uint32_t need = 99;

	ck_assert_int_eq(next(bytes, 0, MAX, &f, &need, &v), FB_ESHORT);
	ck_assert_uint_eq(need, 0);
	need = 99;
	ck_assert_int_eq(next(bytes, 2, MAX, &f, &need, &v), FB_ESHORT);
	ck_assert_uint_eq(need, 0);
	ck_assert_int_eq(next(bytes, 3, MAX, &f, &need, &v), FB_ESHORT);
	ck_assert_uint_eq(need, 3 + 129);
	ck_assert_int_eq(next("\xc0\x01", 2, MAX, &f, &need, &v), FB_ESHORT);
	ck_assert_uint_eq(need, 3);
}
END_TEST

/* Each length of the remaining length at its bounds, there and back. */
START_TEST(bounds_of_each_length)
{
	static const uint32_t lengths[] = { 0, 1, 127, 128, 16383, 16384, 2097151, 2097152 };
	static const uint32_t sizes[] = { 1, 1, 1, 2, 2, 3, 3, 4 };

	for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
		uint8_t *p = mem_zalloc(lengths[i] + 5);
		struct frame f = { .size = 0 };
		struct violation v;
		uint32_t need;
		uint32_t head;

		p[0] = 0x30;
		head = 1 + encode_length(p + 1, lengths[i]);
		ck_assert_uint_eq(head, 1 + sizes[i]);
		ck_assert_uint_eq(encode_length_size(lengths[i]), sizes[i]);
		ck_assert_int_eq(next(p, head + lengths[i], MAX, &f, &need, &v), 0);
		ck_assert_uint_eq(f.size, head + lengths[i]);
		ck_assert_uint_eq(f.body.len, lengths[i]);
		ck_assert_ptr_eq(f.body.p, p + head);
		mem_free(p);
	}
	ck_assert_uint_eq(encode_length_size(268435455), 4);
}
END_TEST

START_TEST(more_than_four_bytes_of_length)              /* [MQTT-2.2.3] */
{
	struct frame f;
	struct violation v = { 0 };
	uint32_t need;

	ck_assert_int_eq(next("\x30\xff\xff\xff\xff", 5, MAX, &f, &need, &v), FB_EPROTO);
	ck_assert_int_eq(v.reason, MQTT_R_MALFORMED);
	ck_assert_str_eq(v.statement, "MQTT-2.2.3");
	ck_assert_int_eq(next("\x30\xff\xff\xff", 4, MAX, &f, &need, &v), FB_ESHORT);
	ck_assert_int_eq(next("\x30\xff\xff\xff\x7f", 5, MAX, &f, &need, &v), FB_ESHORT);
	ck_assert_uint_eq(need, MAX);
}
END_TEST

START_TEST(too_large_is_known_from_the_header)
{
	struct frame f;
	struct violation v = { 0 };
	uint32_t need;

	ck_assert_int_eq(next("\x30\x63", 2, 101, &f, &need, &v), FB_ESHORT);
	ck_assert_int_eq(next("\x30\x64", 2, 101, &f, &need, &v), FB_EPROTO);
	ck_assert_int_eq(v.reason, MQTT_R_PACKET_TOO_LARGE);
	ck_assert_int_eq(next("\x30\xff\xff\xff\x7f", 5, MAX - 1, &f, &need, &v), FB_EPROTO);
	ck_assert_int_eq(v.reason, MQTT_R_PACKET_TOO_LARGE);
}
END_TEST

/* MQTT 3.1.1 does not forbid it; decode does at level 5. */
START_TEST(a_longer_length_than_needed_is_read)
{
	struct frame f;
	struct violation v;
	uint32_t need;

	ck_assert_int_eq(next("\xc0\x80\x00", 3, MAX, &f, &need, &v), 0);
	ck_assert_uint_eq(f.body.len, 0);
	ck_assert_uint_eq(f.size, 3);
}
END_TEST

UNIT_MAIN("frame", takes_packets_one_by_one, says_how_much_is_missing, bounds_of_each_length,
    more_than_four_bytes_of_length, too_large_is_known_from_the_header, a_longer_length_than_needed_is_read)
