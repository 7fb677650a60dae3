/* SPDX-License-Identifier: Apache-2.0
 * supervisor/client/bench_retained.c - sets N retained messages on N topics, fetches them all with one subscription, and clears
 * them again. */
#include <inttypes.h>
#include <stdio.h>

#include "supervisor/client/bench.h"
#include "common/base/err.h"
#include "common/base/mem.h"
#include "common/mqtt/encode.h"

#define TOPIC_DIGITS 9

struct retained {
	struct bench *bench;
	struct peer **peers;
	uint32_t peer_count;
	uint8_t *packet;                /* of the set in progress; owned */
	uint32_t packet_size;
	uint32_t digits_at;
	uint32_t id_at;                 /* 0 at QoS 0 */
	uint64_t sent;
	uint64_t acked;
	uint64_t target;
	uint64_t fetched;
	uint64_t again;
	uint8_t *seen;                  /* bit i: topic i was fetched; owned */
};

static void
make_packet(struct retained *r, uint32_t size)
{
	struct bench *b = r->bench;
	char topic[96];
	uint8_t *filler = mem_zalloc(size + 1);
	struct mqtt_publish p = { .payload = slice_of(filler, size), .qos = b->o.qos, .retain = true };
	struct buf out;
	uint32_t topic_len = (uint32_t)snprintf(topic, sizeof topic, "%.60s/%0*u", b->o.prefix, TOPIC_DIGITS, 0);
	uint32_t tail = size + (b->o.level == 5 ? 1 : 0);

	memset(filler, 'r', size);
	p.topic = slice_of(topic, topic_len);
	p.packet_id = b->o.qos > 0 ? 1 : 0;
	buf_init(&out);
	encode_publish(&out, b->o.level, &p);
	mem_free(r->packet);
	r->packet_size = (uint32_t)buf_len(&out);
	r->packet = mem_dup(buf_slice(&out).p, r->packet_size);
	r->id_at = b->o.qos > 0 ? r->packet_size - tail - 2 : 0;
	r->digits_at = r->packet_size - tail - (b->o.qos > 0 ? 2 : 0) - TOPIC_DIGITS;
	buf_fini(&out);
	mem_free(filler);
}

/* Topic numbers go round over the connections; each has its own packet ids, in order, far from wrapping into use. */
static void
put_one(struct retained *r)
{
	struct peer *p = r->peers[r->sent % r->peer_count];
	uint8_t *out = buf_room(&p->out, r->packet_size);
	uint64_t n = r->sent;

	memcpy(out, r->packet, r->packet_size);
	for (uint32_t i = TOPIC_DIGITS; i-- > 0; n /= 10)
		out[r->digits_at + i] = (uint8_t)('0' + n % 10);
	if (r->id_at > 0) {
		uint16_t id = (uint16_t)(r->sent / r->peer_count % 65535 + 1);

		out[r->id_at] = (uint8_t)(id >> 8);
		out[r->id_at + 1] = (uint8_t)id;
	}
	buf_added(&p->out, r->packet_size);
	peer_touch(p);
	r->sent++;
}

static void
on_turn(void *arg)
{
	struct retained *r = arg;
	uint64_t window = (uint64_t)r->bench->o.window * r->peer_count;

	while (r->sent < r->target && r->sent - r->acked < window)
		put_one(r);
}

static bool
take_ack(struct retained *r, struct peer *p, uint8_t type, struct slice body)
{
	uint8_t *out;

	if (body.len < 2)
		return false;
	if (body.len > 2 && body.p[2] >= 0x80) {
		swarm_fail(p->swarm, "a retained message was refused with code %u", body.p[2]);
		return false;
	}
	if (type != 5) {
		r->acked++;
		return true;
	}
	out = buf_room(&p->out, 4);
	out[0] = 6 << 4 | 2;
	out[1] = 2;
	memcpy(out + 2, body.p, 2);
	buf_added(&p->out, 4);
	peer_touch(p);
	return true;
}

static size_t
set_bytes(struct peer *p, const uint8_t *bytes, size_t len)
{
	size_t taken = 0;

	while (taken < len) {
		struct slice body;
		size_t size = peer_packet(bytes + taken, len - taken, &body);

		if (size == 0)
			break;
		if (size == PEER_BAD || !take_ack(p->owner, p, bytes[taken] >> 4, body))
			return PEER_BAD;
		taken += size;
	}
	return taken;
}

/* One retained PUBLISH at QoS 0: its topic ends in the number. */
static void
take_fetched(struct retained *r, struct slice body)
{
	size_t len = body.len < 2 ? 0 : (size_t)(body.p[0] << 8 | body.p[1]);
	uint64_t n = 0;

	if (len < TOPIC_DIGITS || len + 2 > body.len)
		return;
	for (size_t i = 0; i < TOPIC_DIGITS; i++)
		n = n * 10 + (uint64_t)(body.p[2 + len - TOPIC_DIGITS + i] - '0');
	if (n >= r->target)
		return;
	if ((r->seen[n / 8] >> (n % 8) & 1) != 0) {
		r->again++;
		return;
	}
	r->seen[n / 8] |= (uint8_t)(1u << (n % 8));
	r->fetched++;
}

static size_t
fetch_bytes(struct peer *p, const uint8_t *bytes, size_t len)
{
	size_t taken = 0;

	while (taken < len) {
		struct slice body;
		size_t size = peer_packet(bytes + taken, len - taken, &body);

		if (size == 0)
			break;
		if (size == PEER_BAD)
			return PEER_BAD;
		if (bytes[taken] >> 4 == 3)
			take_fetched(p->owner, body);
		taken += size;
	}
	return taken;
}

/* At QoS 0 nothing comes back: what the sockets took counts as done, and a ping would tell no more. */
static bool
set_up_to(struct retained *r, uint64_t target, const char *what)
{
	struct bench *b = r->bench;

	r->target = target;
	while (r->acked < target) {
		if (!bench_turn(b, r->sent < target ? 0 : 100 * NS_PER_MS, what, r->acked))
			return false;
		if (b->o.qos == 0) {
			r->acked = r->sent;
			for (uint32_t i = 0; i < r->peer_count; i++)
				if (r->peers[i]->blocked)
					r->acked = r->sent - 1;
			if (r->acked < r->sent)
				(void)bench_turn(b, NS_PER_MS, what, r->acked);
		}
	}
	return true;
}

static bool
set_all(struct retained *r)
{
	struct bench *b = r->bench;
	uint64_t n = b->o.messages;
	int64_t before = -1;
	int64_t after = -1;

	make_packet(r, b->o.size);
	if (b->o.slope) {
		if (!set_up_to(r, n / 10, "retained"))
			return false;
		before = bench_memory(b);
	}
	bench_sample(b, &b->from);
	b->from.n.sent = b->from.n.delivered = r->acked;
	if (!set_up_to(r, n, "retained"))
		return false;
	bench_sample(b, &b->to);
	b->to.n.sent = b->to.n.delivered = n;
	if (b->o.slope) {
		after = bench_memory(b);
		(void)bench_slope(b, SLOPE_RETAINED, before, after, n - n / 10);
	}
	return true;
}

static bool
fetch_all(struct retained *r)
{
	struct bench *b = r->bench;
	char filter[80];
	struct slice f;
	uint32_t first;
	struct mono moved;
	uint64_t last = 0;
	struct peer *p;

	if (!bench_open(b, 1, &first))
		return false;
	p = b->swarm.peers[first];
	p->on_bytes = fetch_bytes;
	p->owner = r;
	snprintf(filter, sizeof filter, "%.60s/#", b->o.prefix);
	f = slice_str(filter);
	bench_sample(b, &b->fetch_from);
	moved = b->fetch_from.at;
	peer_subscribe(p, &f, 1, 0);
	while (r->fetched < r->target && (double)mono_diff(clock_mono(), moved) < b->o.stall_s * (double)NS_PER_SEC) {
		if (!bench_turn(b, 100 * NS_PER_MS, "fetched", r->fetched))
			return false;
		if (r->fetched != last)
			moved = b->swarm.now;
		last = r->fetched;
	}
	bench_sample(b, &b->fetch_to);
	b->fetch_from.n.delivered = 0;
	b->fetch_to.n.delivered = r->fetched;
	b->traffic.n.again = r->again;
	b->missing = r->target - r->fetched;
	peer_close(p);
	return true;
}

bool
bench_retained(struct bench *b)
{
	struct retained r = { .bench = b, .peer_count = b->o.pubs };
	uint32_t first;
	bool ok = bench_open(b, b->o.pubs, &first);

	r.peers = mem_zalloc(b->o.pubs * sizeof(struct peer *));
	r.seen = mem_zalloc(b->o.messages / 8 + 1);
	for (uint32_t i = 0; ok && i < b->o.pubs; i++) {
		r.peers[i] = b->swarm.peers[first + i];
		r.peers[i]->owner = &r;
		r.peers[i]->on_bytes = set_bytes;
	}
	b->swarm.on_turn = on_turn;
	b->swarm.arg = &r;
	ok = ok && set_all(&r) && fetch_all(&r);
	if (ok) {
		make_packet(&r, 0);
		r.sent = r.acked = 0;
		ok = set_up_to(&r, b->o.messages, "cleared");
	}
	b->swarm.on_turn = NULL;
	mem_free(r.packet);
	mem_free(r.peers);
	mem_free(r.seen);
	return ok;
}
