/* SPDX-License-Identifier: Apache-2.0
 * cluster.h between two or three false processes: up and down, wants, barriers, KEPT, successors, limits. */
#include "cluster/cluster.h"

#include <stdio.h>
#include <string.h>

#include "cluster/forward.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/metrics/page.h"
#include "t/sim/sim.h"
#include "t/support/unit.h"

#define N 3u

struct side {
	struct loop *loop;
	struct cluster *cluster;
	unsigned ups, downs, got, kept, records, congested, calm;
	uint64_t last_kept, token, store_seq;
	unsigned from;
	bool withhold;                  /* tokens are not handed back */
	char topics[4096];              /* of what came, in order */
};

static struct side w[N];

/* Of the publishes of these tests: half of them, small and large ones. */
static bool
to_disk(const struct cluster_pub *p)
{
	return p->qos != 0 && (p->topic.p[p->topic.len - 1] + p->payload.len / 1000) % 2 == 0;
}

static void
on_publish(void *arg, unsigned from, const struct cluster_pub *p, uint64_t kept)
{
	struct side *s = arg;

	s->got++;
	ck_assert(p->disk == to_disk(p));
	s->token = kept;
	s->from = from;
	if (p->topic.len + strlen(s->topics) + 2 < sizeof s->topics) {
		strncat(s->topics, (const char *)p->topic.p, p->topic.len);
		strcat(s->topics, " ");
	}
	if (kept != 0 && !s->withhold)
		cluster_kept(s->cluster, from, kept);
}

static void
on_kept(void *arg, uint64_t cookie)
{
	((struct side *)arg)->kept++;
	((struct side *)arg)->last_kept = cookie;
}

static void
on_record(void *arg, unsigned from, uint8_t type, struct slice body)
{
	((struct side *)arg)->records++;
}

static void
on_neighbour(void *arg, unsigned slot, uint64_t epoch, bool up)
{
	struct side *s = arg;

	if (up)
		s->ups++;
	else
		s->downs++;
}

static uint64_t
store_seq(void *arg)
{
	return ((struct side *)arg)->store_seq;
}

static void
on_congested(void *arg, bool congested)
{
	struct side *s = arg;

	if (congested)
		s->congested++;
	else
		s->calm++;
}

static const struct cluster_ops ops = { on_publish, on_kept, on_record, on_neighbour, store_seq, on_congested, NULL };

static void
start(unsigned slot, unsigned slots, uint64_t epoch)
{
	struct cluster_config cfg = { .slot = slot, .slots = slots, .epoch = epoch, .route_key = { 1, 1 }, .dir = "/x" };

	memset(&w[slot], 0, sizeof w[slot]);
	w[slot].loop = loop_new();
	w[slot].cluster = cluster_new(w[slot].loop, &cfg, &ops, &w[slot]);
}

static void
stop(unsigned slot)
{
	cluster_free(w[slot].cluster);
	loop_free(w[slot].loop);
	w[slot].cluster = NULL;
}

static void
open_all(unsigned slots)
{
	log_set_level(LOG_ERROR);
	sim_open(9);
	memset(w, 0, sizeof w);
	for (unsigned i = 0; i < slots; i++)
		start(i, slots, 100 + i);
	for (unsigned i = 0; i < slots; i++)
		for (unsigned k = 0; k < slots; k++)
			if (i != k)
				cluster_peer_up(w[i].cluster, k, 100 + k);
	sim_run_for(200 * NS_PER_MS);
	for (unsigned i = 0; i < slots; i++) {
		ck_assert(cluster_linked(w[i].cluster));
		ck_assert_uint_eq(w[i].ups, slots - 1);
	}
}

static void
close_all(void)
{
	ck_assert_uint_eq(sim_pipe_overflows, 0);
	for (unsigned i = 0; i < N; i++)
		if (w[i].cluster != NULL)
			stop(i);
	sim_run_for(NS_PER_SEC);
	sim_close();
}

static unsigned
publish(unsigned slot, const char *topic, uint8_t qos, size_t len, uint64_t cookie)
{
	uint8_t *payload = mem_zalloc(len);
	struct cluster_pub p = { .topic = slice_str(topic), .payload = slice_of(payload, len), .qos = qos };
	unsigned legs;

	p.disk = to_disk(&p);
	legs = cluster_publish(w[slot].cluster, &p, cookie);
	mem_free(payload);
	return legs;
}

static unsigned done_count;
static void
on_done(struct cluster_barrier *b)
{
	done_count++;
}

START_TEST(wanted_topics_come_and_others_do_not)
{
	open_all(3);
	cluster_want(w[1].cluster, SLICE_LIT("a"));
	cluster_want(w[1].cluster, SLICE_LIT("a"));
	cluster_want(w[1].cluster, SLICE_LIT("b/#"));
	cluster_want(w[2].cluster, SLICE_LIT("b/c"));
	sim_run_for(10 * NS_PER_MS);
	ck_assert_uint_eq(publish(0, "a", 0, 10, 0), 1);
	ck_assert_uint_eq(publish(0, "b/c", 1, 10, 5), 2);
	ck_assert_uint_eq(publish(0, "c", 2, 10, 6), 0);
	ck_assert_uint_eq(publish(1, "a", 0, 10, 0), 0);
	sim_run_for(50 * NS_PER_MS);
	ck_assert_str_eq(w[1].topics, "a b/c ");
	ck_assert_str_eq(w[2].topics, "b/c ");
	ck_assert_uint_eq(w[0].kept, 1);
	ck_assert_uint_eq(w[0].last_kept, 5);
	cluster_unwant(w[1].cluster, SLICE_LIT("a"));
	cluster_unwant(w[1].cluster, SLICE_LIT("b/#"));
	sim_run_for(50 * NS_PER_MS);
	ck_assert_uint_eq(publish(0, "a", 0, 10, 0), 1);
	ck_assert_uint_eq(publish(0, "b/c", 0, 10, 0), 1);
	cluster_unwant(w[1].cluster, SLICE_LIT("a"));
	sim_run_for(50 * NS_PER_MS);
	ck_assert_uint_eq(publish(0, "a", 0, 10, 0), 0);
	close_all();
}
END_TEST

START_TEST(kept_comes_when_every_leg_is_closed)
{
	open_all(3);
	for (unsigned i = 1; i < 3; i++) {
		cluster_want(w[i].cluster, SLICE_LIT("t"));
		w[i].withhold = true;
	}
	sim_run_for(50 * NS_PER_MS);
	ck_assert_uint_eq(publish(0, "t", 1, 10, 77), 2);
	sim_run_for(50 * NS_PER_MS);
	ck_assert_uint_eq(w[0].kept, 0);
	cluster_kept(w[1].cluster, 0, w[1].token);
	sim_run_for(50 * NS_PER_MS);
	ck_assert_uint_eq(w[0].kept, 0);
	cluster_kept(w[2].cluster, 0, w[2].token);
	sim_run_for(50 * NS_PER_MS);
	ck_assert_uint_eq(w[0].kept, 1);
	ck_assert_uint_eq(w[0].last_kept, 77);
	close_all();
}
END_TEST

START_TEST(a_barrier_waits_for_all_that_are_up)
{
	struct cluster_barrier b[3];
	uint64_t epoch, seq;

	open_all(3);
	done_count = 0;
	cluster_barrier(w[0].cluster, &b[0], on_done);  /* nothing to wait for */
	ck_assert_uint_eq(done_count, 1);
	w[1].store_seq = 41;
	cluster_want(w[0].cluster, SLICE_LIT("t"));
	cluster_barrier(w[0].cluster, &b[0], on_done);
	cluster_barrier(w[0].cluster, &b[1], on_done);
	cluster_barrier(w[0].cluster, &b[2], on_done);
	cluster_barrier_cancel(w[0].cluster, &b[1]);
	sim_freeze(w[2].loop, true);
	sim_run_for(100 * NS_PER_MS);
	ck_assert_uint_eq(done_count, 1);
	ck_assert(cluster_store_seq(w[0].cluster, 1, &epoch, &seq));
	ck_assert_uint_eq(epoch, 101);
	ck_assert_uint_eq(seq, 41);
	sim_freeze(w[2].loop, false);
	sim_run_for(10 * NS_PER_MS);
	ck_assert_uint_eq(done_count, 3);
	ck_assert_uint_eq(publish(1, "t", 0, 1, 0), 1);
	ck_assert_uint_eq(publish(2, "t", 0, 1, 0), 1);
	/* A death ends the wait. */
	sim_freeze(w[2].loop, true);
	cluster_want(w[0].cluster, SLICE_LIT("u"));
	cluster_barrier(w[0].cluster, &b[0], on_done);
	sim_run_for(100 * NS_PER_MS);
	ck_assert_uint_eq(done_count, 3);
	cluster_peer_down(w[0].cluster, 2, 102);
	ck_assert_uint_eq(done_count, 4);
	ck_assert_uint_eq(w[0].downs, 1);
	ck_assert(!cluster_store_seq(w[0].cluster, 2, &epoch, &seq));
	ck_assert_int_eq(cluster_send(w[0].cluster, 2, 1, SLICE_LIT("x")), FB_ECLOSED);
	close_all();
}
END_TEST

/* What a dead neighbour had not kept goes to its successor before anything newer, if that still wants it. */
START_TEST(a_successor_gets_what_was_not_kept)
{
	open_all(2);
	cluster_want(w[1].cluster, SLICE_LIT("durable/+"));
	cluster_want(w[1].cluster, SLICE_LIT("clean"));
	w[1].withhold = true;
	sim_run_for(50 * NS_PER_MS);
	ck_assert_uint_eq(publish(0, "durable/1", 1, 10, 1), 1);
	ck_assert_uint_eq(publish(0, "clean", 1, 10, 2), 1);
	sim_run_for(50 * NS_PER_MS);
	ck_assert_uint_eq(w[1].got, 2);
	stop(1);
	ck_assert_uint_eq(publish(0, "durable/2", 2, 10, 3), 1);
	cluster_peer_down(w[0].cluster, 1, 101);
	ck_assert_uint_eq(publish(0, "durable/3", 1, 10, 4), 1);        /* its last routes stand */
	ck_assert_uint_eq(publish(0, "durable/x", 0, 10, 0), 0);        /* QoS 0 has nobody to go to */
	ck_assert_uint_eq(publish(0, "other", 1, 10, 5), 0);
	sim_run_for(NS_PER_SEC);
	ck_assert_uint_eq(w[0].kept, 0);
	start(1, 2, 201);
	cluster_want(w[1].cluster, SLICE_LIT("durable/#"));
	cluster_peer_up(w[1].cluster, 0, 100);
	cluster_peer_up(w[0].cluster, 1, 201);
	ck_assert(!cluster_linked(w[0].cluster));
	sim_run_for(200 * NS_PER_MS);
	ck_assert(cluster_linked(w[0].cluster));
	ck_assert_str_eq(w[1].topics, "durable/1 durable/2 durable/3 ");
	ck_assert_uint_eq(w[0].kept, 4);
	ck_assert_uint_eq(w[0].ups, 2);
	/* A token of the dead incarnation means nothing. */
	cluster_kept(w[1].cluster, 0, UINT64_C(2) << 48 | 900);
	sim_run_for(50 * NS_PER_MS);
	close_all();
}
END_TEST

START_TEST(before_any_routes_came_all_is_held)
{
	log_set_level(LOG_ERROR);
	sim_open(10);
	memset(w, 0, sizeof w);
	start(0, 2, 100);
	ck_assert(cluster_linked(w[0].cluster));
	ck_assert_uint_eq(publish(0, "t", 0, 10, 0), 0);
	ck_assert_uint_eq(publish(0, "t", 1, 10, 1), 1);
	ck_assert_uint_eq(publish(0, "u", 1, 10, 2), 1);
	start(1, 2, 101);
	cluster_want(w[1].cluster, SLICE_LIT("u"));
	cluster_peer_up(w[0].cluster, 1, 101);
	cluster_peer_up(w[1].cluster, 0, 100);
	sim_run_for(200 * NS_PER_MS);
	ck_assert_str_eq(w[1].topics, "u ");
	ck_assert_uint_eq(w[0].kept, 2);
	close_all();
}
END_TEST

START_TEST(records_and_stats)
{
	struct cluster_link_stats st;
	uint8_t *large = mem_zalloc(300000);

	open_all(2);
	ck_assert_int_eq(cluster_send(w[0].cluster, 1, 9, SLICE_LIT("hello")), 0);
	ck_assert_int_eq(cluster_send(w[0].cluster, 1, 9, slice_of(large, 300000)), 0);
	cluster_want(w[1].cluster, SLICE_LIT("t"));
	sim_run_for(50 * NS_PER_MS);
	ck_assert_uint_eq(w[1].records, 2);
	ck_assert_uint_eq(publish(0, "t", 1, 300000, 1), 1);
	ck_assert(cluster_link_stats(w[0].cluster, 1, &st));
	ck_assert(st.up);
	ck_assert_uint_eq(st.routes, 1);
	ck_assert_uint_eq(st.unkept, 1);
	ck_assert_uint_eq(st.msgs_out, 1);
	ck_assert_uint_gt(st.pending_bytes, 300000);
	sim_run_for(50 * NS_PER_MS);
	ck_assert(cluster_link_stats(w[0].cluster, 1, &st));
	ck_assert_uint_eq(st.unkept, 0);
	ck_assert(cluster_link_stats(w[1].cluster, 0, &st));
	ck_assert_uint_eq(st.msgs_in, 1);
	ck_assert(!cluster_link_stats(w[1].cluster, 1, &st));
	mem_free(large);
	close_all();
}
END_TEST

START_TEST(over_the_limits_qos0_is_shed_and_the_rest_held_back)
{
	uint64_t shed = METRIC_GET(dropped_link_full);
	unsigned sent = 0;

	open_all(2);
	cluster_want(w[1].cluster, SLICE_LIT("t"));
	sim_run_for(50 * NS_PER_MS);
	sim_freeze(w[1].loop, true);
	while (publish(0, "t", 0, 1000, 0) == 1)
		sent++;
	ck_assert_uint_ge(sent, FORWARD_SHED_BYTES / 1100);
	ck_assert_uint_eq(METRIC_GET(dropped_link_full), shed + 1);
	ck_assert(!cluster_congested(w[0].cluster));
	for (unsigned i = 0; i < 1200; i++)
		ck_assert_uint_eq(publish(0, "t", 1, 1000, i), 1);
	ck_assert(cluster_congested(w[0].cluster));
	sim_run_for(NS_PER_MS);
	ck_assert_uint_eq(w[0].congested, 1);
	sim_freeze(w[1].loop, false);
	sim_run_for(500 * NS_PER_MS);
	ck_assert_uint_eq(w[1].got, sent + 1200);
	ck_assert_uint_eq(w[0].kept, 1200);
	ck_assert(!cluster_congested(w[0].cluster));
	ck_assert_uint_eq(w[0].calm, 1);
	close_all();
}
END_TEST

UNIT_MAIN("cluster", wanted_topics_come_and_others_do_not, kept_comes_when_every_leg_is_closed,
    a_barrier_waits_for_all_that_are_up, a_successor_gets_what_was_not_kept, before_any_routes_came_all_is_held,
    records_and_stats, over_the_limits_qos0_is_shed_and_the_rest_held_back)
