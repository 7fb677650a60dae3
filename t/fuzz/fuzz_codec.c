/* SPDX-License-Identifier: Apache-2.0
 * The codec from any bytes. The first byte chooses level and options; the rest is a stream of packets, which goes
 * through the decoders one by one, and also through a client. What is taken must be put, read and put again equal. */
#include "common/mqtt/client.h"
#include "common/mqtt/props.h"
#include "common/mqtt/reason.h"
#include "common/mqtt/topic.h"
#include "t/fuzz/seeds.h"
#include "t/support/codec.h"

static const struct sample {
	uint8_t level;
	uint8_t first;
	const char *body;
} samples[] = {
#define SAMPLE(level, first, body) { level, first, body },
#include "t/support/codec_samples.h"
#undef SAMPLE
};

size_t
fuzz_seed(size_t i, uint8_t *out, size_t max)
{
	struct buf b;
	size_t n;

	if (i >= sizeof samples / sizeof samples[0])
		return 0;
	buf_init(&b);
	/* Level 4 with the option of the alternate server: 0x40 is 1 modulo 3. */
	buf_put_u8(&b, samples[i].level == MQTT_311 ? 0x40 : (uint8_t)(samples[i].level - MQTT_31));
	put_packet(&b, samples[i].first, samples[i].body);
	n = buf_len(&b);
	FB_ASSERT(n <= max);
	memcpy(out, buf_slice(&b).p, n);
	buf_fini(&b);
	return n;
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	fuzz_write_seeds(*argc, *argv);
	return 0;
}

static void
look_at_filter(struct slice filter, uint8_t level)
{
	struct slice group;
	struct slice inner;
	struct slice rest = filter;
	struct slice one;
	uint32_t n = 0;

	FB_ASSERT(topic_filter_valid(filter));
	while (topic_next_level(&rest, &one))
		n++;
	FB_ASSERT(n == topic_levels(filter));
	if (!topic_has_wildcard(filter))
		FB_ASSERT(topic_matches(filter, filter));
	(void)topic_matches(filter, SLICE_LIT("a/b/c"));
	if (topic_share(filter, &group, &inner) && level == MQTT_50)
		FB_ASSERT(group.len > 0 && topic_filter_valid(inner));
}

static void
look_at(const struct frame *f, uint8_t level, const union any_packet *p)
{
	struct slice block = slice_of(NULL, 0);
	struct prop prop;

	if (f->type == MQTT_PUBLISH) {
		block = p->publish.props;
		FB_ASSERT(p->publish.topic.len == 0 || topic_name_valid(p->publish.topic));
		FB_ASSERT((p->publish.qos == 0) == (p->publish.packet_id == 0));
	} else if (f->type == MQTT_SUBSCRIBE) {
		block = p->subscribe.props;
		for (uint32_t i = 0; i < p->subscribe.count; i++)
			look_at_filter(p->subscribe.filters[i].filter, level);
	} else if (f->type == MQTT_CONNECT) {
		block = p->connect.props;
	}
	while (prop_next(&block, &prop) == 0)
		FB_ASSERT(prop_name(prop.id) != NULL);
	FB_ASSERT(block.len == 0);
}

static void
again(const struct frame *f, uint8_t level, const struct decode_opts *opts, const union any_packet *p)
{
	union any_packet q;
	struct violation v;
	struct frame g;
	struct arena a;
	struct buf one;
	struct buf two;
	struct slice in;
	uint32_t need;

	buf_init(&one);
	buf_init(&two);
	arena_init(&a);
	encode_any(&one, (enum mqtt_type)f->type, level, p);
	in = buf_slice(&one);
	FB_ASSERT(frame_next(&in, UINT32_MAX, &g, &need, &v) == 0);
	FB_ASSERT(in.len == 0 && g.type == f->type);
	FB_ASSERT(decode_any(&g, level, opts, &a, &q, &v) == 0);
	encode_any(&two, (enum mqtt_type)g.type, level, &q);
	FB_ASSERT(slice_eq(buf_slice(&one), buf_slice(&two)));
	if (f->type == MQTT_PUBLISH)
		FB_ASSERT(encode_publish_size(level, &p->publish) == buf_len(&one));
	arena_fini(&a);
	buf_fini(&one);
	buf_fini(&two);
}

static void
decode_stream(struct slice in, uint8_t level, const struct decode_opts *opts)
{
	struct arena a;
	struct violation v = { 0 };
	struct frame f;
	uint32_t need = 0;

	arena_init(&a);
	while (frame_next(&in, 1 << 20, &f, &need, &v) == 0) {
		union any_packet p;
		int err = decode_any(&f, level, opts, &a, &p, &v);

		if (err == 0) {
			look_at(&f, level, &p);
			again(&f, level, opts, &p);
		} else if (err == FB_EPROTO) {
			FB_ASSERT(v.statement != NULL && v.statement[0] != '\0');
			FB_ASSERT(v.reason >= 0x80);
			(void)reason_connack_v3(v.reason);
		}
		arena_reset(&a);
	}
	arena_fini(&a);
}

static void
on_publish(struct client *c, const struct mqtt_publish *p)
{
	struct mqtt_publish out = { .topic = p->topic, .payload = p->payload, .qos = p->qos };

	FB_ASSERT(p->topic.len > 0);
	(void)client_publish(c, &out, 0);
}

static void
run_client(struct slice in, uint8_t level, bool resume)
{
	static const struct client_ops ops = { .on_publish = on_publish };
	static const uint8_t props[] = { PROP_TOPIC_ALIAS_MAXIMUM, 0, 4 };
	struct mqtt_connect connect = { .level = level, .client_id = SLICE_LIT("c"), .keep_alive_s = 1 };
	struct slice connack = resume ? SLICE_LIT("\x20\x03\x01\x00\x00") : SLICE_LIT("\x20\x03\x00\x00\x00");
	struct client c;

	if (level == MQTT_50)
		connect.props = slice_of(props, sizeof props);
	client_init(&c, &ops, NULL);
	c.keep_copies = true;
	c.window = 20;
	for (int turn = 0; turn < 2; turn++) {
		uint8_t short_ack[4] = { 0x20, 2, connack.p[2] & 1, 0 };
		struct slice ack = level == MQTT_50 ? connack : slice_of(short_ack, sizeof short_ack);
		struct slice rest = in;

		client_connect(&c, &connect, NS_PER_SEC, (struct mono){ 0 });
		FB_ASSERT(client_input(&c, &ack, (struct mono){ 0 }) == 0);
		(void)client_input(&c, &rest, (struct mono){ 1 });
		(void)client_tick(&c, (struct mono){ NS_PER_SEC });
		client_closed(&c);
	}
	client_fini(&c);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_of(data, size);
	struct decode_opts opts = { 0 };
	uint8_t choice = 0;
	uint8_t level;

	if (slice_take_u8(&in, &choice) != 0)
		return 0;
	level = (uint8_t)(MQTT_31 + choice % 3);
	opts.alternate_server_v4 = (choice & 0x40) != 0;
	decode_stream(in, level, &opts);
	run_client(in, level, (choice & 0x80) != 0);
	return 0;
}
