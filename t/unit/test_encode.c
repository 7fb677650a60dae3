/* SPDX-License-Identifier: Apache-2.0 */
#include "t/support/unit.h"

#include "common/base/mem.h"
#include "t/support/codec.h"

static struct arena arena;

static const struct sample {
	uint8_t level;
	uint8_t first;
	const char *body;
} samples[] = {
#define SAMPLE(level, first, body) { level, first, body },
#include "t/support/codec_samples.h"
#undef SAMPLE
};

/* Decoding and encoding gives the same bytes, behind bytes that are in the buf already. */
START_TEST(every_packet_there_and_back)
{
	for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
		const struct sample *s = &samples[i];
		struct decode_opts opts = { .alternate_server_v4 = true };
		struct violation v = { 0, "" };
		union any_packet p;
		struct frame f;
		struct buf wire;
		struct buf back;
		struct slice in;
		uint32_t need;
		int err;

		buf_init(&wire);
		buf_init(&back);
		arena_init(&arena);
		put_packet(&wire, s->first, s->body);
		in = buf_slice(&wire);
		ck_assert_int_eq(frame_next(&in, 1000, &f, &need, &v), 0);
		ck_assert_uint_eq(in.len, 0);
		err = decode_any(&f, s->level, &opts, &arena, &p, &v);
		ck_assert_msg(err == 0, "level %d %02x %s: %s", s->level, s->first, s->body, v.statement);
		buf_put(&back, "before", 6);
		encode_any(&back, (enum mqtt_type)f.type, s->level, &p);
		buf_eat(&back, 6);
		ck_assert_msg(slice_eq(buf_slice(&wire), buf_slice(&back)), "level %d %02x %s", s->level, s->first, s->body);
		if (f.type == MQTT_PUBLISH)
			ck_assert_uint_eq(encode_publish_size(s->level, &p.publish), buf_len(&wire));
		arena_fini(&arena);
		buf_fini(&wire);
		buf_fini(&back);
	}
}
END_TEST

/* At each size where the remaining length grows by a byte, whole and as a head with the payload put behind it. */
START_TEST(publish_sizes)
{
	static const uint32_t lengths[] = { 5, 127, 128, 129, 16383, 16384, 2097151, 2097152 };

	for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
		for (uint8_t level = 4; level <= 5; level++) {
			uint32_t over = level == 5 ? 6 : 5;
			size_t n = lengths[i] > over ? lengths[i] - over : 0;
			uint8_t *payload = mem_zalloc(n + 1);
			struct mqtt_publish p = { .topic = SLICE_LIT("t"), .payload = slice_of(payload, n),
				.packet_id = 7, .qos = 1 };
			struct mqtt_publish q;
			struct violation v;
			struct frame f;
			struct buf whole;
			struct buf parts;
			struct slice in;
			uint32_t need;

			buf_init(&whole);
			buf_init(&parts);
			encode_publish(&whole, level, &p);
			encode_publish_head(&parts, level, &p);
			buf_put(&parts, payload, n);
			ck_assert(slice_eq(buf_slice(&whole), buf_slice(&parts)));
			ck_assert_uint_eq(buf_len(&whole), encode_publish_size(level, &p));
			in = buf_slice(&whole);
			ck_assert_int_eq(frame_next(&in, UINT32_MAX, &f, &need, &v), 0);
			ck_assert_int_eq(decode_publish(&f, level, &q, &v), 0);
			ck_assert_uint_eq(q.payload.len, n);
			ck_assert_uint_eq(q.packet_id, 7);
			buf_fini(&whole);
			buf_fini(&parts);
			mem_free(payload);
		}
	}
}
END_TEST

static void
same(const struct buf *b, const char *text)
{
	struct buf want;

	buf_init(&want);
	(void)put_text(&want, text);
	ck_assert_msg(slice_eq(buf_slice(b), buf_slice(&want)), "%s", text);
	buf_fini(&want);
}

/* What levels 3 and 4 have no place for is left out. */
START_TEST(leaves_out_what_a_level_lacks)
{
	static const uint8_t codes[] = { 0x11 };
	struct buf b;

	buf_init(&b);
	encode_ack(&b, MQTT_PUBREC, 4, &(struct mqtt_ack){ .packet_id = 1, .reason = 0x97, .props = SLICE_LIT("x") });
	same(&b, "50 02 0001");
	buf_clear(&b);
	encode_disconnect(&b, MQTT_DISCONNECT, 4, &(struct mqtt_disconnect){ .reason = 0x8b });
	same(&b, "e0 00");
	buf_clear(&b);
	encode_suback(&b, MQTT_UNSUBACK, 4, &(struct mqtt_suback){ .packet_id = 1, .codes = slice_of(codes, 1) });
	same(&b, "b0 02 0001");
	buf_clear(&b);
	encode_connack(&b, 3, &(struct mqtt_connack){ .session_present = true });
	same(&b, "20 02 00 00");
	buf_clear(&b);
	encode_connack(&b, 5, &(struct mqtt_connack){ .has_keep_alive = true, .keep_alive_s = 9 });
	same(&b, "20 03 00 00 00");
	buf_fini(&b);
}
END_TEST

START_TEST(the_original_s_connack)
{
	struct buf b;

	buf_init(&b);
	encode_connack(&b, 3, &(struct mqtt_connack){ .has_keep_alive = true, .keep_alive_s = 1800 });
	same(&b, "20 04 00 00 0708");
	buf_clear(&b);
	encode_connack(&b, 3, &(struct mqtt_connack){ .code = 6, .server = SLICE_LIT("tcp://h:1883"), .max_recursion = 2 });
	same(&b, "20 12 00 06 <tcp://h:1883> 0002");
	buf_fini(&b);
}
END_TEST

UNIT_MAIN("encode", every_packet_there_and_back, publish_sizes, leaves_out_what_a_level_lacks, the_original_s_connack)
