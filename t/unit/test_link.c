/* SPDX-License-Identifier: Apache-2.0
 * One link between two false processes: order, window, resending, silence, pieces, pace. */
#include "cluster/link.h"

#include <string.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "t/sim/sim.h"
#include "t/support/unit.h"

struct end {
	struct loop *loop;
	struct link_set set;
	struct link *link;
	uint64_t got, greeted, acked, bytes;
	uint8_t last_flags;
	bool damaged, slow;
};

static struct end ends[2];

static void
on_greeted(void *arg)
{
	((struct end *)arg)->greeted++;
}

/* Records carry their number; the rest is filled with it. */
static int
on_record(void *arg, const struct record *r)
{
	struct end *e = arg;
	uint64_t n;

	if (r->type != RECORD_CONTROL || r->body.len < sizeof n)
		return FB_EPROTO;
	memcpy(&n, r->body.p, sizeof n);
	e->damaged = e->damaged || n != e->got;
	for (size_t i = sizeof n; i < r->body.len; i += 61)
		e->damaged = e->damaged || r->body.p[i] != (uint8_t)n;
	e->got++;
	e->bytes += r->body.len;
	e->last_flags = r->flags;
	if (e->slow)
		(void)loop_check(e->loop);
	return 0;
}

static void
on_acked(void *arg, uint64_t seq, uint64_t store_seq)
{
	struct end *e = arg;

	ck_assert_uint_ge(seq, e->acked);
	e->acked = seq;
}

static uint64_t
store_seq(void *arg)
{
	return 7;
}

static void
on_flush(void *arg)
{
}

static const struct link_ops link_ops = { on_greeted, on_record, on_acked, store_seq, on_flush };

static void
open_ends(uint64_t epoch_as_seen)
{
	log_set_level(LOG_ERROR);
	sim_open(5);
	sim_pipe_overflows = 0;
	memset(ends, 0, sizeof ends);
	for (unsigned i = 0; i < 2; i++) {
		ends[i].loop = loop_new();
		link_set_init(&ends[i].set, ends[i].loop, "/nowhere", i, 100 + i, 1u << 20);
	}
	ends[0].link = link_new(&ends[0].set, 1, epoch_as_seen, &link_ops, &ends[0]);
	ends[1].link = link_new(&ends[1].set, 0, 100, &link_ops, &ends[1]);
}

static void
close_ends(void)
{
	ck_assert_uint_eq(sim_pipe_overflows, 0);
	for (unsigned i = 0; i < 2; i++) {
		link_free(ends[i].link);
		link_set_fini(&ends[i].set);
		loop_free(ends[i].loop);
	}
	sim_run_for(NS_PER_SEC);
	sim_close();
}

static void
put(struct end *e, uint64_t n, size_t len, enum link_haste haste)
{
	uint8_t *body = mem_alloc(len);
	struct slice parts[2] = { slice_of(body, 3), slice_of(body + 3, len - 3) };

	memset(body, (int)n, len);
	memcpy(body, &n, sizeof n);
	link_put_parts(e->link, RECORD_CONTROL, (uint8_t)(n & 1), parts, 2, haste);
	mem_free(body);
}

START_TEST(records_arrive_in_order_both_ways)
{
	open_ends(101);
	for (uint64_t n = 0; n < 1000; n++) {
		put(&ends[0], n, 8 + n, LINK_LAZY);
		put(&ends[1], n, 8 + n * 3, LINK_SOON);
		if (n % 100 == 0)
			sim_run_for(NS_PER_MS);
	}
	sim_run_for(200 * NS_PER_MS);
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_uint_eq(ends[i].got, 1000);
		ck_assert_uint_eq(ends[i].greeted, 1);
		ck_assert(!ends[i].damaged);
		ck_assert_uint_eq(link_pending(ends[i].link), 0);
		ck_assert_uint_eq(link_acked(ends[i].link), link_last_seq(ends[i].link));
	}
	close_ends();
}
END_TEST

START_TEST(large_records_go_in_pieces)
{
	open_ends(101);
	for (uint64_t n = 0; n < 12; n++)
		put(&ends[0], n, 60000 + n * 1000, LINK_SOON);
	put(&ends[0], 12, 1u << 20, LINK_SOON);
	put(&ends[0], 13, 20, LINK_SOON);
	sim_run_for(500 * NS_PER_MS);
	ck_assert_uint_eq(ends[1].got, 14);
	ck_assert_uint_eq(ends[1].last_flags, 1);
	ck_assert(!ends[1].damaged);
	close_ends();
}
END_TEST

START_TEST(a_record_over_the_limit_is_skipped)
{
	open_ends(101);
	log_open(-1, "test", LOG_ERROR);
	put(&ends[0], 77, (1u << 20) + 1, LINK_SOON);
	put(&ends[0], 0, 20, LINK_SOON);
	(void)link_put(ends[0].link, RECORD_WANT, 0, 0, LINK_SOON);     /* the owner refuses it */
	put(&ends[0], 1, 20, LINK_SOON);
	sim_run_for(500 * NS_PER_MS);
	ck_assert_uint_eq(ends[1].got, 2);
	ck_assert_uint_eq(link_pending(ends[0].link), 0);
	close_ends();
}
END_TEST

START_TEST(other_epochs_never_meet)
{
	open_ends(102);
	put(&ends[0], 0, 20, LINK_ASK);
	sim_run_for(20 * NS_PER_SEC);
	ck_assert_uint_eq(ends[0].greeted + ends[1].greeted + ends[1].got, 0);
	close_ends();
}
END_TEST

START_TEST(a_stopped_neighbour_gets_all_of_it_later)
{
	open_ends(101);
	sim_run_for(200 * NS_PER_MS);
	sim_freeze(ends[1].loop, true);
	for (uint64_t n = 0; n < 3000; n++)
		put(&ends[0], n, 1000, LINK_LAZY);
	sim_run_for(10 * NS_PER_SEC);           /* the connection is given up and made again, more than once */
	ck_assert_uint_eq(ends[1].got, 0);
	ck_assert_uint_gt(link_pending(ends[0].link), 3000000);
	sim_freeze(ends[1].loop, false);
	sim_run_for(5 * NS_PER_SEC);
	ck_assert_uint_eq(ends[1].got, 3000);
	ck_assert(!ends[1].damaged);
	close_ends();
}
END_TEST

START_TEST(who_stood_still_blames_nobody)
{
	open_ends(101);
	sim_run_for(200 * NS_PER_MS);
	sim_freeze(ends[0].loop, true);
	sim_run_for(2 * NS_PER_SEC);
	sim_freeze(ends[0].loop, false);
	sim_run_for(10 * NS_PER_SEC);
	put(&ends[0], 0, 20, LINK_ASK);
	sim_run_for(5 * NS_PER_MS);
	ck_assert_uint_eq(ends[1].got, 1);
	/* 12 s: a HELLO each, a PING or its answer each second, a record and its ack. */
	ck_assert_uint_lt(link_counts(ends[0].link).frames_out + link_counts(ends[1].link).frames_out, 40);
	close_ends();
}
END_TEST

/* A connection goes dumb with frames under way: within seconds another takes over, nothing is lost or doubled. */
START_TEST(a_dumb_connection_is_replaced)
{
	uint64_t n = 0;

	open_ends(101);
	for (unsigned round = 0; round < 5; round++) {
		sim_run_for(200 * NS_PER_MS);
		sim_pipe_faults.cut_one_in = 1;
		put(&ends[0], n++, 2000, LINK_SOON);
		sim_run_for(20 * NS_PER_MS);
		sim_pipe_faults.cut_one_in = 0;
		for (unsigned i = 0; i < 100; i++)
			put(&ends[0], n++, 2000, LINK_SOON);
		sim_run_for(4 * NS_PER_SEC);
		ck_assert_uint_eq(ends[1].got, n);
	}
	ck_assert(!ends[1].damaged);
	ck_assert_uint_eq(ends[1].greeted, 1);
	close_ends();
}
END_TEST

/* From here on a turn of ends[1] has time for one record. */
static void
fill_a_frame(unsigned records)
{
	open_ends(101);
	sim_run_for(200 * NS_PER_MS);
	sim_long_turns(ends[1].loop, 1);
	ends[1].slow = true;
	for (uint64_t n = 0; n < records; n++)
		put(&ends[0], n, 100, LINK_ASK);
}

/* What is left of it goes on in the next, also when its connection has ended. */
START_TEST(a_frame_takes_many_turns)
{
	const struct loop_stats *turns;
	uint64_t began, frames;

	fill_a_frame(1000);
	turns = loop_stats(ends[1].loop);
	began = turns->turns;
	while (ends[1].got < 300)
		ck_assert(sim_step());
	frames = link_counts(ends[0].link).frames_out;
	sim_freeze(ends[1].loop, true);
	sim_run_for(5 * NS_PER_SEC);
	ck_assert_uint_gt(link_counts(ends[0].link).frames_out, frames);        /* a HELLO */
	ck_assert_uint_eq(ends[1].got, 300);
	sim_freeze(ends[1].loop, false);
	put(&ends[0], 1000, 70000, LINK_ASK);
	sim_run_for(8 * NS_PER_SEC);
	ck_assert_uint_eq(ends[1].got, 1001);
	ck_assert_uint_ge(turns->turns - began, 1000);
	ck_assert(!ends[1].damaged);
	ck_assert_uint_eq(link_pending(ends[0].link), 0);
	close_ends();
}
END_TEST

/* 10 s for a frame: who is at it says so, and its connection stays. */
START_TEST(who_is_busy_says_so)
{
	uint64_t frames;

	fill_a_frame(100);
	while (ends[1].got == 0)
		ck_assert(sim_step());
	frames = link_counts(ends[0].link).frames_out;
	for (uint64_t n = 1; n <= 100; n++) {
		while (ends[1].got < n)
			ck_assert(sim_step());
		sim_freeze(ends[1].loop, true);
		sim_run_for(100 * NS_PER_MS);
		sim_freeze(ends[1].loop, false);
	}
	ck_assert_uint_eq(link_counts(ends[0].link).frames_out, frames);        /* no HELLO */
	sim_run_for(NS_PER_SEC);
	ck_assert_uint_eq(link_pending(ends[0].link), 0);
	close_ends();
}
END_TEST

/* The neighbour is gone with a frame of it half done: what comes from others goes on. */
START_TEST(a_frame_is_never_finished)
{
	fill_a_frame(100);
	while (ends[1].got < 30)
		ck_assert(sim_step());
	link_free(ends[1].link);
	ends[1].link = link_new(&ends[1].set, 0, 100, &link_ops, &ends[1]);
	ends[1].got = 0;
	sim_run_for(5 * NS_PER_SEC);
	ck_assert_uint_eq(ends[1].greeted, 2);
	close_ends();
}
END_TEST

START_TEST(acks_come_when_asked_and_else_later)
{
	open_ends(101);
	sim_pipe_faults.delay_max_ns = 100 * NS_PER_US;
	sim_run_for(200 * NS_PER_MS);
	put(&ends[0], 0, 20, LINK_ASK);
	sim_run_for(2 * NS_PER_MS);
	ck_assert_uint_eq(link_pending(ends[0].link), 0);
	put(&ends[0], 1, 20, LINK_SOON);
	sim_run_for(10 * NS_PER_MS);
	ck_assert_uint_eq(ends[1].got, 2);
	ck_assert_uint_gt(link_pending(ends[0].link), 0);
	sim_run_for(15 * NS_PER_MS);
	ck_assert_uint_eq(link_pending(ends[0].link), 0);
	close_ends();
	sim_pipe_faults.delay_max_ns = NS_PER_MS;
}
END_TEST

/* A small record every 50 us for a second: quick at first, then 4,000 frames a second, and all there soon after. */
static void
pace(enum link_haste haste, uint64_t least, uint64_t most)
{
	uint64_t before;

	open_ends(101);
	sim_run_for(200 * NS_PER_MS);
	before = link_counts(ends[0].link).frames_out;
	for (uint64_t n = 0; n < 20000; n++) {
		put(&ends[0], n, 20, haste);
		sim_run_for(50 * NS_PER_US);
	}
	before = link_counts(ends[0].link).frames_out - before;
	ck_assert_uint_ge(before, least);
	ck_assert_uint_le(before, most);
	sim_run_for(10 * NS_PER_MS);
	ck_assert_uint_eq(ends[1].got, 20000);
	close_ends();
}

START_TEST(part_full_frames_are_paced)
{
	sim_pipe_faults.delay_max_ns = 100 * NS_PER_US;
	pace(LINK_LAZY, 3000, 4200);
	pace(LINK_SOON, 3000, 4300);
	sim_pipe_faults.delay_max_ns = NS_PER_MS;
}
END_TEST

START_TEST(a_publish_there_and_back)
{
	for (unsigned set = 0; set < 512; set++) {
		struct cluster_pub p = { .topic = SLICE_LIT("t/1"), .payload = SLICE_LIT("hello"), .qos = (uint8_t)(set % 3) }, q;
		uint8_t bytes[200] = { 0 };
		struct record r = { 0 };
		uint64_t leg = 0;
		size_t skip;

		p.retain = (set & 2) != 0;
		p.origin_id = (set & 4) != 0 ? SLICE_LIT("me") : slice_of(NULL, 0);
		p.expires_s = (set & 8) != 0 ? UINT64_C(1) << 40 : 0;
		p.qos2_id = (set & 16) != 0 ? UINT64_MAX : 0;
		p.props = (set & 32) != 0 ? SLICE_LIT("props") : slice_of(NULL, 0);
		p.reach = (set & 64) != 0 ? CLUSTER_DIRECT_ONLY : CLUSTER_ALL;
		p.traced_ns = (set & 128) != 0 ? UINT64_C(1) << 60 : 0;
		p.disk = (set & 256) != 0;
		skip = p.qos != 0 ? 8 : 0;
		r.type = record_publish_type(&p);
		bytes[0] = p.qos != 0 ? 99 : 0;
		record_publish_put(bytes + skip, &p);
		r.flags = record_publish_flags(&p);
		r.body = slice_of(bytes, skip + record_publish_size(&p));
		ck_assert_int_eq(record_publish_get(&r, &q, &leg), 0);
		ck_assert_uint_eq(leg, p.qos != 0 ? 99 : 0);
		ck_assert(slice_eq(p.topic, q.topic) && slice_eq(p.payload, q.payload) && slice_eq(p.props, q.props));
		ck_assert(slice_eq(p.origin_id, q.origin_id) && p.retain == q.retain && p.qos == q.qos);
		ck_assert(p.expires_s == q.expires_s && p.qos2_id == q.qos2_id);
		ck_assert(p.reach == q.reach && p.traced_ns == q.traced_ns);
		ck_assert(q.disk == (p.disk && p.qos != 0));
		for (size_t cut = r.body.len - 5; cut-- > 0;) {         /* all but the payload is needed */
			r.body.len = cut;
			ck_assert_int_eq(record_publish_get(&r, &q, &leg), FB_EPROTO);
		}
		r = (struct record){ .type = RECORD_PUBLISH_DISK, .body = SLICE_LIT("\1\0t") };       /* QoS 0 is never kept */
		ck_assert_int_eq(record_publish_get(&r, &q, &leg), FB_EPROTO);
	}
}
END_TEST

UNIT_MAIN("link", records_arrive_in_order_both_ways, large_records_go_in_pieces, a_record_over_the_limit_is_skipped,
    other_epochs_never_meet, a_stopped_neighbour_gets_all_of_it_later, who_stood_still_blames_nobody,
    a_dumb_connection_is_replaced, a_frame_takes_many_turns, who_is_busy_says_so, a_frame_is_never_finished, acks_come_when_asked_and_else_later, part_full_frames_are_paced,
    a_publish_there_and_back)
