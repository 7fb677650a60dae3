/* SPDX-License-Identifier: Apache-2.0
 * A durable session goes from worker to worker: nothing lost, doubled or reordered, whatever the links do meanwhile
 * and whoever dies. Workers 0 and 1 are old and new owner, worker 2 sends, unless a test says otherwise. */
#include <stdio.h>
#include <string.h>

#include "common/base/bitmap.h"
#include "t/support/fake_cluster.h"
#include "t/support/unit.h"
#include "t/support/worker_fixture.h"
#include "worker/session.h"
#include "worker/worker.h"

static struct fx fx;

/* Session "s" at worker 0 that wants t, its client connected. */
static struct fx_client *
subscribed(void)
{
	struct fx_client *c = fx_connected(&fx, 0, "s", 0, false);

	fx_send(c, "SUBSCRIBE 1 t 2");
	fx_expect(c, "SUBACK 1 2");
	return c;
}

static void
publish(struct fx_client *c, unsigned qos, unsigned id, const char *payload)
{
	char text[128];

	snprintf(text, sizeof text, "PUBLISH t %s qos=%u,%u", payload, qos, id);
	fx_send(c, text);
}

START_TEST(the_queue_goes_along)
{
	struct fx_client *s, *p;

	fx_open(&fx, 3, &fake_net, NULL);
	s = subscribed();
	fx_send(s, "DISCONNECT");
	fx_expect(s, "END");
	p = fx_connected(&fx, 2, "p", FX_CLEAN, false);
	publish(p, 1, 1, "one");
	fx_expect(p, "PUBACK 1");
	publish(p, 2, 2, "two");
	fx_expect(p, "PUBREC 2");
	s = fx_connected(&fx, 1, "s", 0, true);
	fx_expect(s, "PUBLISH t one qos=1,1");
	fx_expect(s, "PUBLISH t two qos=2,2");
	ck_assert_ptr_null(fx_session(&fx, 0, "s"));
	ck_assert_int_eq(fake_store_owner(&fx.store, "s"), 1);
	publish(p, 1, 3, "three");
	fx_expect(p, "PUBACK 3");
	fx_expect(s, "PUBLISH t three qos=1,3");
	fx_close(&fx);
}
END_TEST

/* What was sent and not acknowledged comes again, with the ids it had; QoS 2 goes on where it was. */
START_TEST(the_window_goes_along)
{
	struct fx_client *s, *p;

	fx_open(&fx, 3, &fake_net, NULL);
	s = subscribed();
	p = fx_connected(&fx, 2, "p", FX_CLEAN, false);
	publish(p, 1, 1, "a");
	publish(p, 2, 2, "b");
	publish(p, 2, 3, "c");
	publish(p, 1, 4, "d");
	fx_expect(s, "PUBLISH t a qos=1,1");
	fx_expect(s, "PUBLISH t b qos=2,2");
	fx_expect(s, "PUBLISH t c qos=2,3");
	fx_expect(s, "PUBLISH t d qos=1,4");
	fx_send(s, "PUBREC 2");
	fx_expect(s, "PUBREL 2");
	fx_send(s, "PUBACK 4");
	fx_send(s, "PUBLISH u x qos=2,77");
	fx_expect(s, "PUBREC 77");
	fx_client_close(s);
	s = fx_connected(&fx, 1, "s", 0, true);
	fx_expect(s, "PUBLISH t a qos=1,1 dup");        /* [MQTT-4.4.0-1] */
	fx_expect(s, "PUBREL 2");
	fx_expect(s, "PUBLISH t c qos=2,3 dup");
	fx_expect(s, "");
	fx_send(p, "SUBSCRIBE 9 u 0");
	fx_expect(p, "PUBACK 1");
	fx_expect(p, "PUBREC 2");
	fx_expect(p, "PUBREC 3");
	fx_expect(p, "PUBACK 4");
	fx_expect(p, "SUBACK 9 0");
	fx_send(s, "PUBLISH u x qos=2,77 dup");
	fx_expect(s, "PUBREC 77");
	fx_expect(p, "");                               /* [MQTT-4.3.3-2] */
	fx_send(s, "PUBREL 77");
	fx_expect(s, "PUBCOMP 77");
	publish(p, 1, 5, "e");
	fx_expect(s, "PUBLISH t e qos=1,5");
	fx_close(&fx);
}
END_TEST

/* A long queue takes several records. */
START_TEST(a_long_queue)
{
	struct fx_client *s, *p;
	char text[64];

	fx_open(&fx, 2, &fake_net, "session.max_inflight", "2000", NULL);
	s = subscribed();
	fx_client_close(s);
	p = fx_connected(&fx, 0, "p", FX_CLEAN, false);
	for (unsigned i = 1; i <= 500; i++) {
		snprintf(text, sizeof text, "PUBLISH t *%u qos=1,%u", 300 + i, i);
		fx_send(p, text);
	}
	s = fx_connected(&fx, 1, "s", 0, true);
	for (unsigned i = 1; i <= 500; i++) {
		snprintf(text, sizeof text, "PUBLISH t *%u qos=1,%u", 300 + i, i);
		fx_expect(s, text);
	}
	fx_close(&fx);
}
END_TEST

/* A sender's link to the new owner is slow: what it said before its mark comes from the old owner, and only from there. */
START_TEST(a_mark_that_is_late_at_the_new_owner)
{
	struct fx_client *s, *p;

	fx_open(&fx, 3, &fake_net, NULL);
	s = subscribed();
	fx_client_close(s);
	p = fx_connected(&fx, 2, "p", FX_CLEAN, false);
	/* Worker 1 wants the topic for somebody else, so that worker 2 sends there too. */
	fx_send(fx_connected(&fx, 1, "other", FX_CLEAN, false), "SUBSCRIBE 1 t 0");
	fx_run(&fx);
	fake_net_hold(2, 1, true);
	publish(p, 1, 1, "before");
	fx_run(&fx);
	s = fx_connect(&fx, 1, "s", 0);
	fx_run(&fx);
	publish(p, 1, 2, "after");
	fx_run(&fx);
	fake_net_hold(2, 1, false);
	fx_expect(s, "CONNACK 0 present");
	fx_expect(s, "PUBLISH t before qos=1,1");
	fx_expect(s, "PUBLISH t after qos=1,2");
	fx_expect(s, "");
	fx_close(&fx);
}
END_TEST

/* And its link to the old owner is slow. */
START_TEST(a_mark_that_is_late_at_the_old_owner)
{
	struct fx_client *s, *p;

	fx_open(&fx, 3, &fake_net, NULL);
	s = subscribed();
	fx_client_close(s);
	p = fx_connected(&fx, 2, "p", FX_CLEAN, false);
	fx_run(&fx);
	fake_net_hold(2, 0, true);
	publish(p, 1, 1, "before");
	fx_run(&fx);
	s = fx_connect(&fx, 1, "s", 0);
	fx_expect(s, "");
	publish(p, 1, 2, "after");
	fx_expect(s, "");
	fake_net_hold(2, 0, false);
	fx_expect(s, "CONNACK 0 present");
	fx_expect(s, "PUBLISH t before qos=1,1");
	fx_expect(s, "PUBLISH t after qos=1,2");
	fx_expect(s, "");
	fx_close(&fx);
}
END_TEST

/* What was held during one move goes along in the next. */
START_TEST(from_one_to_the_next)
{
	struct fx_client *s, *p;

	fx_open(&fx, 3, &fake_net, "session.max_age", "0", NULL);
	s = subscribed();
	fx_client_close(s);
	p = fx_connected(&fx, 2, "p", FX_CLEAN, false);
	fx_run(&fx);
	fake_net_hold(2, 0, true);
	s = fx_connect(&fx, 1, "s", 0);
	fx_run(&fx);
	publish(p, 1, 1, "held");
	fx_run(&fx);
	fx_client_close(s);
	fx_run(&fx);
	fake_net_hold(2, 0, false);
	fx_run(&fx);
	ck_assert_ptr_nonnull(fx_session(&fx, 1, "s"));
	s = fx_connected(&fx, 2, "s", 0, true);
	fx_expect(s, "PUBLISH t held qos=1,1");
	fx_close(&fx);
}
END_TEST

/* A QoS 1 message with whatever id, which is acknowledged. */
static void
expect_acked(struct fx_client *c, const char *payload)
{
	char got[64], ack[32];
	unsigned id;

	ck_assert_int_eq(sscanf(fx_next(c), "PUBLISH t %63s qos=1,%u", got, &id), 2);
	ck_assert_str_eq(got, payload);
	snprintf(ack, sizeof ack, "PUBACK %u", id);
	fx_send(c, ack);
}

/* The same; that before it may come again: it was on the disk, and nobody had said so. */
static void
expect_behind(struct fx_client *c, const char *before, const char *payload)
{
	char got[64] = "";
	char ack[32];
	unsigned id;

	do {
		ck_assert_int_eq(sscanf(fx_next(c), "PUBLISH t %63s qos=1,%u", got, &id), 2);
		snprintf(ack, sizeof ack, "PUBACK %u", id);
		fx_send(c, ack);
	} while (strcmp(got, before) == 0);
	ck_assert_str_eq(got, payload);
}

/* The new owner dies before it says that it has everything. */
START_TEST(the_new_owner_dies)
{
	fx_open(&fx, 3, &fake_net, NULL);
	for (unsigned steps = 0; steps < 12; steps++) {
		struct fx_client *s, *p;
		char id[16];

		fx_pass_ms(&fx, 10);
		s = fx_connected(&fx, 0, "s", 0, steps > 0);
		fx_send(s, "SUBSCRIBE 1 t 2");
		fx_expect(s, "SUBACK 1 2");
		fx_client_close(s);
		snprintf(id, sizeof id, "p%u", steps);
		p = fx_connected(&fx, 2, id, FX_CLEAN, false);
		publish(p, 1, 1, "one");
		fx_expect(p, "PUBACK 1");
		fake_net_hold_all(true);
		s = fx_connect(&fx, 1, "s", 0);
		fx_run(&fx);
		for (unsigned i = 0; i < steps; i++) {
			(void)fake_net_step_link(i % 2, 1 - i % 2);
			fx_run(&fx);
			(void)fake_net_step_link(1, 2);
			(void)fake_net_step_link(2, 1);
			(void)fake_net_step_link(2, 0);
			fx_run(&fx);
		}
		publish(p, 1, 2, "two");
		fx_run(&fx);
		if (!s->eof && fx_session(&fx, 0, "s") != NULL && fx_session(&fx, 1, "s") != NULL && fx_session(&fx, 1, "s")->conn != NULL &&
		    fx_session(&fx, 1, "s")->move == NULL)
			steps = 12;             /* too late for this test: the client may have been answered */
		fx_worker_die(&fx, 1);
		fake_net_lose(1);
		fx_client_close(s);
		fx_worker_reaped(&fx, 1);
		fake_net_hold_all(false);
		fx_run(&fx);
		publish(p, 1, 3, "three");
		fx_worker_start(&fx, 1);
		fx_run(&fx);
		if (steps < 12) {
			s = fx_connected(&fx, 2, "s", 0, true);
			expect_acked(s, "one");
			expect_acked(s, "two");
			expect_acked(s, "three");
			fx_expect(s, "");
			fx_client_close(s);
		}
		fx_client_close(p);
	}
	fx_close(&fx);
}
END_TEST

static void
step_all(unsigned from, unsigned to)
{
	while (fake_net_step_link(from, to))
		fx_run(&fx);
}

/* Session "s" is at worker 0 and on its way to worker 1. What worker 2 sends comes behind its mark, what worker 0 has itself
 * not: "aside", then "own". The store is silent. */
static void
half_moved(struct fx_client **p0, struct fx_client **p2)
{
	fx_client_close(subscribed());
	*p0 = fx_connected(&fx, 0, "p0", FX_CLEAN, false);
	*p2 = fx_connected(&fx, 2, "p2", FX_CLEAN, false);
	fake_net_hold_all(true);
	(void)fx_connect(&fx, 1, "s", 0);
	fx_run(&fx);
	step_all(1, 0);
	step_all(0, 1);
	step_all(1, 2);
	step_all(2, 0);
	fx.store.hold_queue = true;
	publish(*p2, 1, 1, "aside");
	fx_run(&fx);
	step_all(2, 0);
	step_all(2, 1);
	publish(*p0, 1, 1, "own");
	fx_run(&fx);
}

/* The new owner dies, and what came behind one mark and before another is joined. */
START_TEST(what_is_aside_comes_last)
{
	struct fx_client *s, *p0, *p2;

	fx_open(&fx, 3, &fake_net, "session.durability", "disk", NULL);
	half_moved(&p0, &p2);
	fx_worker_die(&fx, 1);
	fake_net_lose(1);
	fx_worker_reaped(&fx, 1);
	fake_net_hold_all(false);
	fx_run(&fx);
	fx.store.hold_queue = false;
	fx_worker_start(&fx, 1);
	fx_expect(p0, "PUBACK 1");
	fx_expect(p2, "PUBACK 1");
	s = fx_connected(&fx, 2, "s", 0, true);
	expect_acked(s, "own");
	expect_acked(s, "aside");
	fx_expect(s, "");
	fx_close(&fx);
}
END_TEST

/* All stop meanwhile, in time or so late that the move does not end: what is in memory goes to the disk, once. */
START_TEST(a_stop_meanwhile)
{
	for (unsigned late = 0; late < 2; late++) {
		struct fx_client *s, *p0, *p2;

		fx_open(&fx, 3, &fake_net, NULL);
		half_moved(&p0, &p2);
		fx_expect(p0, "PUBACK 1");
		for (unsigned slot = 0; slot < 3; slot++)
			fx_sup_stop(&fx, slot);
		fx_run(&fx);
		fx.store.hold_queue = false;
		fake_net_hold_all(late != 0);
		fx_pass_ms(&fx, 20000);
		for (unsigned slot = 0; slot < 3; slot++)
			fx_worker_kill(&fx, slot);
		fake_net_hold_all(false);
		for (unsigned slot = 0; slot < 3; slot++)
			fx_worker_start(&fx, slot);
		fx_run(&fx);
		s = fx_connected(&fx, 2, "s", 0, true);
		expect_acked(s, "own");
		expect_acked(s, "aside");
		fx_expect(s, "");
		fx_close(&fx);
	}
}
END_TEST

/* The old owner dies before it has shipped: the subscriptions are kept, and what is on the disk, and what was on its way. */
START_TEST(the_old_owner_dies)
{
	for (unsigned steps = 0; steps < 12; steps++) {
		struct fx_client *s, *p;

		fx_open(&fx, 3, &fake_net, "session.durability", "disk", NULL);
		s = subscribed();
		fx_client_close(s);
		p = fx_connected(&fx, 2, "p", FX_CLEAN, false);
		publish(p, 1, 9, "kept");
		fx_run(&fx);
		fake_net_hold_all(true);
		s = fx_connect(&fx, 1, "s", 0);
		fx_run(&fx);
		for (unsigned i = 0; i < steps; i++) {
			(void)fake_net_step_link(i % 2 == 0, i % 2);
			fx_run(&fx);
			(void)fake_net_step_link(1, 2);
			if (steps % 2 == 0)
				(void)fake_net_step_link(2, 1);
			(void)fake_net_step_link(2, 0);
			fx_run(&fx);
			if (i == 2)
				publish(p, 1, 10, "early");
		}
		if (steps < 3)
			publish(p, 1, 10, "early");
		publish(p, 1, 11, "late");
		fx_run(&fx);
		fx_worker_die(&fx, 0);
		fake_net_lose(0);
		fx_worker_reaped(&fx, 0);
		fake_net_hold_all(false);
		fx_worker_start(&fx, 0);
		fx_expect(s, "CONNACK 0 present");
		expect_acked(s, "kept");
		expect_behind(s, "kept", "early");
		expect_behind(s, "early", "late");
		publish(p, 1, 1, "x");
		expect_behind(s, "late", "x");
		ck_assert_ptr_null(fx_session(&fx, 0, "s"));
		publish(p, 1, 2, "y");
		expect_acked(s, "y");
		ck_assert_int_eq(fake_store_owner(&fx.store, "s"), 1);
		fx_close(&fx);
	}
}
END_TEST

/* A sender that dies counts as having marked. */
START_TEST(a_sender_dies)
{
	struct fx_client *s;

	fx_open(&fx, 3, &fake_net, NULL);
	s = subscribed();
	fx_run(&fx);
	fake_net_hold(2, 0, true);
	s = fx_connect(&fx, 1, "s", 0);
	fx_expect(s, "");
	fx_worker_kill(&fx, 2);
	fx_expect(s, "CONNACK 0 present");
	/* The other link. */
	fx_worker_start(&fx, 2);
	fake_net_hold(2, 0, false);
	fx_run(&fx);
	fake_net_hold(2, 1, true);
	s = fx_connect(&fx, 0, "s", 0);
	fx_run(&fx);
	fx_worker_kill(&fx, 2);
	fx_expect(s, "CONNACK 0 present");
	fx_close(&fx);
}
END_TEST

/* With a publish that came before its mark, on its way to the old owner: what came behind it to the new one is as lost, and its
 * client sends both again, in order. */
START_TEST(a_sender_dies_with_the_first_of_two)
{
	struct fx_client *s, *p;

	fx_open(&fx, 3, &fake_net, NULL);
	s = subscribed();
	p = fx_connected(&fx, 2, "p", FX_CLEAN, false);
	fx_run(&fx);
	fake_net_hold(2, 0, true);
	publish(p, 1, 1, "first");
	fx_run(&fx);
	s = fx_connect(&fx, 1, "s", 0);
	fx_expect(s, "");
	publish(p, 1, 2, "second");
	fx_expect(p, "");
	fx_worker_kill(&fx, 2);
	fx_expect(s, "CONNACK 0 present");
	fx_expect(s, "");
	p = fx_connected(&fx, 1, "p", FX_CLEAN, false);
	publish(p, 1, 1, "first");
	fx_expect(s, "PUBLISH t first qos=1,*");
	publish(p, 1, 2, "second");
	fx_expect(s, "PUBLISH t second qos=1,*");
	fx_close(&fx);
}
END_TEST

/* Whoever asked for the session is dead when its turn comes: nobody waits for it. */
START_TEST(one_who_asked_is_dead)
{
	struct fx_client *s, *a;

	fx_open(&fx, 3, &fake_net, NULL);
	s = subscribed();
	fx_client_close(s);
	fx_run(&fx);
	/* Worker 1 takes it from 0, slowly; worker 2 has asked 1, and dies. */
	fake_net_hold(0, 1, true);
	a = fx_connect(&fx, 1, "s", 0);
	fx_run(&fx);
	(void)fx_connect(&fx, 2, "s", 0);
	fx_run(&fx);
	fx_worker_kill(&fx, 2);
	fx_run(&fx);
	fake_net_hold(0, 1, false);
	fx_run(&fx);
	(void)a;
	ck_assert(fx_session(&fx, 1, "s") == NULL || fx_session(&fx, 1, "s")->move == NULL);
	s = fx_connected(&fx, 0, "s", 0, true);
	fx_send(s, "PUBLISH t x qos=1,1");
	fx_expect(s, "PUBLISH t x qos=1,*");
	fx_close(&fx);
}
END_TEST

START_TEST(two_takes_in_a_row)
{
	struct fx_client *s, *a, *b, *p;

	fx_open(&fx, 4, &fake_net, NULL);
	s = subscribed();
	p = fx_connected(&fx, 3, "p", FX_CLEAN, false);
	fx_client_close(s);
	publish(p, 1, 1, "one");
	fx_run(&fx);
	fake_net_hold(0, 1, true);
	a = fx_connect(&fx, 1, "s", 0);
	fx_run(&fx);
	publish(p, 1, 2, "two");
	b = fx_connect(&fx, 2, "s", 0);
	fx_run(&fx);
	publish(p, 1, 3, "three");
	fake_net_hold(0, 1, false);
	fx_expect(b, "CONNACK 0 present");
	fx_expect_end(a);
	fx_send(b, "PINGREQ");
	for (unsigned next = 1; next <= 3; next++) {
		const char *got = fx_next(b);
		static const char *const what[] = { "PUBLISH t one qos=1,1", "PUBLISH t two qos=1,2", "PUBLISH t three qos=1,3" };

		ck_assert_str_eq(strncmp(got, what[next - 1], strlen(what[next - 1])) == 0 ? what[next - 1] : got, what[next - 1]);
	}
	fx_expect(b, "PINGRESP");
	ck_assert_ptr_null(fx_session(&fx, 0, "s"));
	ck_assert_ptr_null(fx_session(&fx, 1, "s"));
	fx_close(&fx);
}
END_TEST

/* ---- everything at random ---- */

#define PUBLISHERS 4
#define MESSAGES   120

static struct {
	struct fx_client *reader;
	struct bitmap qos2;             /* ids that the reader has seen and that are not released */
	unsigned last[PUBLISHERS];
	unsigned sent[PUBLISHERS];
	struct fx_client *publisher[PUBLISHERS];
	unsigned qos;
	uint64_t seed;
} world;

static void
take_publish(const char *text)
{
	unsigned who, n, qos, id;
	bool dup = strstr(text, " dup") != NULL;
	char ack[32];

	ck_assert_int_eq(sscanf(text, "PUBLISH t %u-%u qos=%u,%u", &who, &n, &qos, &id), 4);
	if (qos == 2 ? bitmap_put(&world.qos2, (uint16_t)id) : !(dup && n <= world.last[who])) {
		ck_assert_msg(n == world.last[who] + 1, "seed %u: publisher %u: %u behind %u (%s)", (unsigned)world.seed, who, n,
		    world.last[who], text);
		world.last[who] = n;
	}
	snprintf(ack, sizeof ack, "%s %u", qos == 1 ? "PUBACK" : "PUBREC", id);
	fx_send(world.reader, ack);
}

static void
read_all(void)
{
	const char *text;
	unsigned id;
	char ack[32];

	while (world.reader != NULL && (text = fx_next(world.reader))[0] != '\0' && strcmp(text, "END") != 0) {
		if (strncmp(text, "PUBLISH", 7) == 0) {
			take_publish(text);
		} else if (sscanf(text, "PUBREL %u", &id) == 1) {
			(void)bitmap_del(&world.qos2, (uint16_t)id);
			snprintf(ack, sizeof ack, "PUBCOMP %u", id);
			fx_send(world.reader, ack);
		} else if (strncmp(text, "CONNACK", 7) == 0) {
			ck_assert_msg(strcmp(text, "CONNACK 0 present") == 0, "seed %u: %s", (unsigned)world.seed, text);
		}
	}
}

static void
send_one(unsigned who)
{
	char text[64];

	if (world.sent[who] == MESSAGES)
		return;
	world.sent[who]++;
	snprintf(text, sizeof text, "%u-%u", who, world.sent[who]);
	publish(world.publisher[who], world.qos, world.sent[who], text);
}

static void
acknowledge(struct fx_client *p)
{
	const char *text;
	unsigned id;
	char ack[32];

	while ((text = fx_next(p))[0] != '\0') {
		ck_assert_str_ne(text, "END");
		if (sscanf(text, "PUBREC %u", &id) == 1) {
			snprintf(ack, sizeof ack, "PUBREL %u", id);
			fx_send(p, ack);
		}
	}
}

static void
wander(uint64_t seed, unsigned qos)
{
	struct rand r;

	memset(&world, 0, sizeof world);
	world.seed = seed;
	world.qos = qos;
	rand_seed(&r, seed);
	bitmap_init(&world.qos2);
	fx_open(&fx, 3, &fake_net, "session.max_inflight", rand_below(&r, 2) ? "4" : "100", NULL);
	fx_client_close(subscribed());
	for (unsigned i = 0; i < PUBLISHERS; i++) {
		char id[8];

		snprintf(id, sizeof id, "p%u", i);
		world.publisher[i] = fx_connected(&fx, i % 3, id, FX_CLEAN, false);
	}
	/* Somebody else wants the same everywhere: all publishes go to all workers. */
	for (unsigned i = 0; i < 3; i++)
		fx_send(fx_connected(&fx, i, i == 0 ? "x" : i == 1 ? "y" : "z", FX_CLEAN, false), "SUBSCRIBE 1 t 0");
	fx_run(&fx);
	fake_net_hold_all(true);
	for (unsigned i = 0; i < 600; i++) {
		send_one((unsigned)rand_below(&r, PUBLISHERS));
		if (rand_below(&r, 10) == 0) {
			if (world.reader != NULL && rand_below(&r, 2))
				read_all();
			if (world.reader != NULL && rand_below(&r, 2))
				fx_client_close(world.reader);
			world.reader = fx_connect(&fx, (unsigned)rand_below(&r, 3), "s", 0);
		}
		for (unsigned k = (unsigned)rand_below(&r, 6); k > 0; k--) {
			(void)fake_net_step_link((unsigned)rand_below(&r, 3), (unsigned)rand_below(&r, 3));
			fx_run(&fx);
		}
		if (rand_below(&r, 3) == 0)
			read_all();
		acknowledge(world.publisher[rand_below(&r, PUBLISHERS)]);
	}
	fake_net_hold_all(false);
	world.reader = fx_connect(&fx, (unsigned)rand_below(&r, 3), "s", 0);
	for (unsigned i = 0; i < PUBLISHERS; i++)
		while (world.sent[i] < MESSAGES)
			send_one(i);
	for (unsigned i = 0; i < 3; i++) {
		read_all();
		for (unsigned k = 0; k < PUBLISHERS; k++)
			acknowledge(world.publisher[k]);
	}
	for (unsigned i = 0; i < PUBLISHERS; i++)
		ck_assert_msg(world.last[i] == MESSAGES, "seed %u: publisher %u: got %u of %u", (unsigned)seed, i, world.last[i],
		    MESSAGES);
	bitmap_fini(&world.qos2);
	fx_close(&fx);
}

/* SEEDS=N for more of them. */
START_TEST(a_wanderer_among_publishers)
{
	const char *more = getenv("SEEDS");
	unsigned seeds = more != NULL ? (unsigned)atoi(more) : 8;

	for (unsigned seed = 1; seed <= seeds; seed++) {
		wander(seed, 1);
		wander(seed, 2);
	}
}
END_TEST

UNIT_MAIN("move", the_queue_goes_along, the_window_goes_along, a_long_queue, a_mark_that_is_late_at_the_new_owner,
    a_mark_that_is_late_at_the_old_owner, from_one_to_the_next, the_new_owner_dies, what_is_aside_comes_last,
    a_stop_meanwhile, the_old_owner_dies, a_sender_dies, a_sender_dies_with_the_first_of_two, one_who_asked_is_dead,
    two_takes_in_a_row, a_wanderer_among_publishers)
