/* SPDX-License-Identifier: Apache-2.0
 * t/unit/test_traffic.c - the load generator's messages without a network: what its publisher wrote is handed to its
 * subscriber whole, short of one, twice, out of order, in pieces. */
#include "supervisor/client/traffic.h"

#include "common/base/mem.h"
#include "t/support/unit.h"

enum { COUNT = 10, SUBS = 2 };

static struct swarm swarm;
static struct traffic traffic;
static struct slice packet[COUNT];              /* what the publisher wrote, one by one */
static size_t (*from_sub)(struct peer *p, const uint8_t *bytes, size_t len);

static void
make(uint8_t level, uint8_t qos, uint32_t subs)
{
	struct peer *pubs[1];
	struct peer *list[SUBS];
	struct slice out;

	swarm_init(&swarm);
	swarm.level = level;
	swarm.prefix = "t-";
	(void)swarm_more(&swarm, 1 + SUBS);
	memset(&traffic, 0, sizeof traffic);
	traffic.swarm = &swarm;
	traffic.qos = qos;
	traffic.size = 20;
	traffic.window = COUNT;
	traffic.rate = 1e9;
	traffic.messages = COUNT;
	traffic.shared_topic = subs > 1;
	swarm.arg = &traffic;
	pubs[0] = swarm.peers[0];
	for (uint32_t i = 0; i < subs; i++)
		list[i] = swarm.peers[1 + i];
	traffic_init(&traffic, pubs, 1, list, subs);
	traffic_start(&traffic);
	while (!traffic_sent_all(&traffic))
		traffic_turn(&traffic);
	out = buf_slice(&pubs[0]->out);
	for (int i = 0; i < COUNT; i++) {
		struct slice body;
		size_t size = peer_packet(out.p, out.len, &body);

		ck_assert_uint_gt(size, 0);
		ck_assert(size != PEER_BAD);
		packet[i] = slice_of(out.p, size);
		out = slice_of(out.p + size, out.len - size);
	}
	ck_assert_uint_eq(out.len, 0);
	for (uint32_t i = 0; i < subs; i++)
		buf_clear(&list[i]->out);
	from_sub = list[0]->on_bytes;
}

static void
unmake(void)
{
	traffic_fini(&traffic);
	swarm_fini(&swarm);
}

static void
arrive(int sub, int number)
{
	ck_assert_uint_eq(from_sub(swarm.peers[1 + sub], packet[number].p, packet[number].len), packet[number].len);
}

START_TEST(all_arrive)
{
	static const uint8_t levels[] = { 3, 4, 5 };

	for (int i = 0; i < 3; i++) {
		for (uint8_t qos = 0; qos <= 2; qos++) {
			make(levels[i], qos, 1);
			ck_assert_uint_eq(traffic_missing(&traffic), COUNT);
			for (int n = 0; n < COUNT; n++)
				arrive(0, n);
			ck_assert_uint_eq(traffic_missing(&traffic), 0);
			ck_assert_uint_eq(traffic.n.delivered, COUNT);
			ck_assert_uint_eq(traffic.n.again + traffic.n.late + traffic.n.foreign, 0);
			ck_assert_uint_eq(traffic.latency_ns.count, COUNT);
			/* PUBACK or PUBREC for each. */
			ck_assert_uint_eq(buf_len(&swarm.peers[1]->out), qos == 0 ? 0 : 4 * COUNT);
			unmake();
		}
	}
}
END_TEST

START_TEST(faults_are_found)
{
	make(4, 0, 1);
	for (int n = 0; n < COUNT; n++)
		if (n != 3 && n != 7)
			arrive(0, n);
	ck_assert_uint_eq(traffic_missing(&traffic), 2);
	arrive(0, 7);
	ck_assert_uint_eq(traffic.n.late, 1);
	arrive(0, 8);
	ck_assert_uint_eq(traffic.n.again, 1);
	ck_assert_uint_eq(traffic_missing(&traffic), 1);
	ck_assert_uint_eq(traffic.n.delivered, COUNT - 1);
	unmake();
}
END_TEST

START_TEST(each_subscriber_counts)
{
	make(4, 1, SUBS);
	for (int n = 0; n < COUNT; n++)
		arrive(0, n);
	ck_assert_uint_eq(traffic_missing(&traffic), COUNT);
	for (int n = 1; n < COUNT; n++)
		arrive(1, n);
	ck_assert_uint_eq(traffic_missing(&traffic), 1);
	unmake();
}
END_TEST

START_TEST(pieces_wait_for_the_rest)
{
	make(4, 0, 1);
	for (size_t len = 0; len < packet[0].len; len++)
		ck_assert_uint_eq(from_sub(swarm.peers[1], packet[0].p, len), 0);
	/* Two and a half packets at once. */
	ck_assert_uint_eq(from_sub(swarm.peers[1], packet[0].p, 2 * packet[0].len + 9), 2 * packet[0].len);
	ck_assert_uint_eq(traffic.n.delivered, 2);
	unmake();
}
END_TEST

START_TEST(damage_is_found)
{
	uint8_t *copy;

	make(4, 0, 1);
	copy = mem_dup(packet[0].p, packet[0].len);
	copy[packet[0].len - 20] = 9;           /* no such publisher */
	(void)from_sub(swarm.peers[1], copy, packet[0].len);
	ck_assert_uint_eq(traffic.n.foreign, 1);
	copy[packet[0].len - 20] = 0;
	copy[packet[0].len - 16] = COUNT;       /* a number that was not sent */
	(void)from_sub(swarm.peers[1], copy, packet[0].len);
	ck_assert_uint_eq(traffic.n.foreign, 2);
	ck_assert_uint_eq(traffic.n.delivered, 0);
	copy[0] = 0xE0;
	ck_assert(from_sub(swarm.peers[1], copy, packet[0].len) == PEER_BAD);
	mem_free(copy);
	unmake();
}
END_TEST

START_TEST(acknowledgements_are_matched)
{
	static const uint8_t first[] = { 0x40, 2, 0, 1 };
	static const uint8_t unknown[] = { 0x40, 2, 0x7F, 1 };
	struct peer *pub;

	make(4, 1, 1);
	pub = swarm.peers[0];
	ck_assert_uint_eq(traffic_unacked(&traffic), COUNT);
	ck_assert_uint_eq(pub->on_bytes(pub, first, 4), 4);
	ck_assert_uint_eq(traffic_unacked(&traffic), COUNT - 1);
	ck_assert_uint_eq(pub->on_bytes(pub, first, 4), 4);
	ck_assert_uint_eq(pub->on_bytes(pub, unknown, 4), 4);
	ck_assert_uint_eq(traffic_unacked(&traffic), COUNT - 1);
	ck_assert_uint_eq(traffic.n.bad_acks, 2);
	unmake();
}
END_TEST

START_TEST(qos_2_takes_four_packets)
{
	static const uint8_t rec[] = { 0x50, 2, 0, 1 };
	static const uint8_t rel[] = { 0x62, 2, 0, 1 };
	static const uint8_t comp[] = { 0x70, 2, 0, 1 };
	struct peer *pub;

	make(4, 2, 1);
	pub = swarm.peers[0];
	buf_clear(&pub->out);
	ck_assert_uint_eq(pub->on_bytes(pub, comp, 4), 4);
	ck_assert_uint_eq(traffic.n.bad_acks, 1);
	ck_assert_uint_eq(pub->on_bytes(pub, rec, 4), 4);
	ck_assert(slice_eq(buf_slice(&pub->out), slice_of(rel, 4)));
	ck_assert_uint_eq(traffic.n.acked, 0);
	ck_assert_uint_eq(pub->on_bytes(pub, comp, 4), 4);
	ck_assert_uint_eq(traffic.n.acked, 1);
	ck_assert_uint_eq(from_sub(swarm.peers[1], rel, 4), 4);
	ck_assert(slice_eq(buf_slice(&swarm.peers[1]->out), slice_of(comp, 4)));
	unmake();
}
END_TEST

UNIT_MAIN("traffic", all_arrive, faults_are_found, each_subscriber_counts, pieces_wait_for_the_rest, damage_is_found,
    acknowledgements_are_matched, qos_2_takes_four_packets)
