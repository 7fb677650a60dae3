/* SPDX-License-Identifier: Apache-2.0
 * $share groups: one member gets each message, whoever leaves and whatever dies. */
#include <stdio.h>
#include <string.h>

#include "common/base/rand.h"
#include "common/ipc/qops.h"
#include "common/metrics/page.h"
#include "t/support/fake_cluster.h"
#include "t/support/unit.h"
#include "t/support/worker_fixture.h"
#include "worker/shared.h"
#include "worker/worker.h"

static struct fx fx;

static struct fx_client *
member(unsigned slot, const char *id, unsigned flags, const char *filter, int qos)
{
	struct fx_client *c = fx_connected(&fx, slot, id, flags, false);
	char text[200];

	snprintf(text, sizeof text, "SUBSCRIBE 1 %s %d", filter, qos);
	fx_send(c, text);
	snprintf(text, sizeof text, "SUBACK 1 %d", qos);
	fx_expect(c, text);
	return c;
}

/* QoS 1, with its PUBACK. */
static void
publish(struct fx_client *c, const char *topic, int from, int to)
{
	for (int i = from; i < to; i++) {
		char text[200];

		snprintf(text, sizeof text, "PUBLISH %s %d qos=1,%d", topic, i, i + 1);
		fx_send(c, text);
		snprintf(text, sizeof text, "PUBACK %d", i + 1);
		fx_expect(c, text);
	}
}

/* Takes QoS 1 publishes until nothing more comes: marks the numbers in seen, which must come in order; acknowledges. */
static int
take(struct fx_client *c, int *seen, bool ack)
{
	int count = 0;
	int last = -1;
	int number;
	int id;
	const char *text;

	while (*(text = fx_next(c)) != '\0') {
		char back[40];

		ck_assert_msg(sscanf(text, "PUBLISH t %d qos=1,%d", &number, &id) == 2, "%s", text);
		ck_assert_int_gt(number, last);
		last = number;
		seen[number]++;
		count++;
		snprintf(back, sizeof back, "PUBACK %d", id);
		if (ack)
			fx_send(c, back);
	}
	return count;
}

static void
each_once(const int *seen, int count)
{
	for (int i = 0; i < count; i++)
		ck_assert_msg(seen[i] == 1, "%d came %d times", i, seen[i]);
}

START_TEST(names)
{
	ck_assert(shared_valid(SLICE_LIT("$share/g/a/#")));
	ck_assert(!shared_valid(SLICE_LIT("$share/g")));
	ck_assert(!shared_valid(SLICE_LIT("$share/g/")));
	ck_assert(!shared_valid(SLICE_LIT("$share//a")));
	ck_assert(!shared_valid(SLICE_LIT("$share/+/a")));
	ck_assert(!shared_valid(SLICE_LIT("$share/g/$share/h/a")));
	ck_assert(!shared_valid(SLICE_LIT("a")));
}
END_TEST

START_TEST(refused_when_malformed)
{
	struct fx_client *c;

	fx_open(&fx, 1, &fake_net, NULL);
	c = fx_connected(&fx, 0, "a", FX_CLEAN, false);
	fx_send(c, "SUBSCRIBE 1 $share/g 1 $share/g/t 1 $share//t 1 $share/ 1 $share 1");
	fx_expect(c, "SUBACK 1 128 1 128 128 1");
	fx_close(&fx);
}
END_TEST

START_TEST(one_worker_takes_turns)
{
	struct fx_client *m[3], *pub, *own;
	int seen[30] = { 0 };

	fx_open(&fx, 1, &fake_net, NULL);
	m[0] = member(0, "m0", FX_CLEAN, "$share/g/t", 1);
	m[1] = member(0, "m1", FX_CLEAN, "$share/g/+", 1);
	m[2] = member(0, "m2", FX_CLEAN, "$share/g/t", 1);
	own = member(0, "own", FX_CLEAN, "t", 1);
	pub = fx_connected(&fx, 0, "p", FX_CLEAN, false);
	publish(pub, "t", 0, 30);
	/* Two groups: "$share/g/t" and "$share/g/+" are not the same one. */
	ck_assert_int_eq(take(m[1], (int[30]){ 0 }, true), 30);
	ck_assert_int_eq(take(own, (int[30]){ 0 }, true), 30);
	ck_assert_int_eq(take(m[0], seen, true), 15);
	ck_assert_int_eq(take(m[2], seen, true), 15);
	each_once(seen, 30);
	fx_send(pub, "PUBLISH $share/g/t nobody");
	fx_expect(m[0], "");
	/* A member of both is two members. */
	fx_send(m[0], "SUBSCRIBE 2 $share/g/+ 1");
	fx_expect(m[0], "SUBACK 2 1");
	fx_send(m[2], "UNSUBSCRIBE 3 $share/g/t");
	fx_expect(m[2], "UNSUBACK 3");
	memset(seen, 0, sizeof seen);
	publish(pub, "t", 0, 1);
	ck_assert_int_eq(take(m[0], seen, true) + take(m[1], seen, true), 2);
	fx_close(&fx);
}
END_TEST

START_TEST(every_slot_as_home)
{
	/* Several names, so that each worker is the home of some. */
	fx_open(&fx, 3, &fake_net, NULL);
	for (int k = 0; k < 9; k++) {
		struct fx_client *m[3], *pub;
		int seen[30] = { 0 };
		char filter[40], id[20];

		snprintf(filter, sizeof filter, "$share/g%d/t", k);
		for (unsigned i = 0; i < 3; i++) {
			snprintf(id, sizeof id, "m%d-%u", k, i);
			m[i] = member(i, id, FX_CLEAN, filter, 1);
		}
		snprintf(id, sizeof id, "p%d", k);
		pub = fx_connected(&fx, (unsigned)k / 3, id, FX_CLEAN, false);
		publish(pub, "t", 0, 30);
		for (unsigned i = 0; i < 3; i++) {
			ck_assert_int_eq(take(m[i], seen, true), 10);
			fx_send(m[i], "DISCONNECT");
			fx_expect(m[i], "END");
		}
		each_once(seen, 30);
	}
	fx_run(&fx);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_uint_eq(fx.w[i].worker->trie.filters.count, 0);
	fx_close(&fx);
}
END_TEST

/* Ten in flight at a and b; a leaves, and b gets them all. */
static void
leaver(unsigned slots, unsigned flags, bool graceful)
{
	struct fx_client *a, *b, *pub;
	int seen[40] = { 0 };
	int before[40] = { 0 };

	fx_open(&fx, slots, &fake_net, NULL);
	for (unsigned home = 0; home < 4; home++) {
		char filter[40];

		memset(seen, 0, sizeof seen);
		snprintf(filter, sizeof filter, "$share/g%u/t", home);
		a = member(0, "a", flags, filter, 1);
		b = member(slots - 1, "b", FX_CLEAN, filter, 1);
		pub = fx_connected(&fx, 0, "p", FX_CLEAN, false);
		publish(pub, "t", 0, 20);
		ck_assert_int_eq(take(b, seen, true), 10);
		ck_assert_int_eq(take(a, before, false), 10);
		if (graceful) {
			fx_send(a, "DISCONNECT");
			fx_expect(a, "END");
		} else {
			fx_client_close(a);
			fx_run(&fx);
		}
		ck_assert_int_eq(take(b, seen, true), 10);
		each_once(seen, 20);
		publish(pub, "t", 20, 30);
		ck_assert_int_eq(take(b, seen, true), 10);
		if ((flags & FX_CLEAN) == 0) {
			/* Back, with nothing of its own; the turns go on. */
			a = fx_connected(&fx, slots - 1, "a", 0, true);
			ck_assert_int_eq(take(a, seen, true), 0);
			publish(pub, "t", 30, 40);
			ck_assert_int_eq(take(a, seen, true), 5);
			ck_assert_int_eq(take(b, seen, true), 5);
			each_once(seen, 40);
			fx_send(a, "UNSUBSCRIBE 9 $share/g0/t $share/g1/t $share/g2/t $share/g3/t");
			fx_expect(a, "UNSUBACK 9");
			fx_send(a, "DISCONNECT");
			fx_expect(a, "END");
			a = fx_connected(&fx, 0, "a", FX_CLEAN, false);
			fx_send(a, "DISCONNECT");
			fx_expect(a, "END");
		}
		fx_send(b, "DISCONNECT");
		fx_expect(b, "END");
		fx_send(pub, "DISCONNECT");
		fx_expect(pub, "END");
	}
	fx_close(&fx);
}

START_TEST(leases_return)
{
	for (unsigned slots = 1; slots <= 3; slots++) {
		leaver(slots, FX_CLEAN, true);
		leaver(slots, FX_CLEAN, false);
		leaver(slots, 0, true);
		leaver(slots, 0, false);
	}
}
END_TEST

START_TEST(window_and_queue)
{
	struct fx_client *a, *b, *pub;
	int seen[40] = { 0 };
	uint64_t dropped;

	fx_open(&fx, 2, &fake_net, "session.max_inflight", "4", "session.buffer_limit", "10", NULL);
	a = member(0, "a", FX_CLEAN, "$share/g/t", 1);
	b = member(1, "b", FX_CLEAN, "$share/g/t", 1);
	pub = fx_connected(&fx, 0, "p", FX_CLEAN, false);
	publish(pub, "t", 0, 18);
	/* a does not acknowledge: four are its. b gets the rest, in order. */
	ck_assert_int_eq(take(a, seen, false), 4);
	ck_assert_int_eq(take(b, seen, true), 14);
	each_once(seen, 18);
	/* Nobody acknowledges: what is over goes, the oldest first. */
	memset(seen, 0, sizeof seen);
	dropped = METRIC_GET(dropped_queue_full);
	publish(pub, "t", 0, 20);
	ck_assert_uint_eq(METRIC_GET(dropped_queue_full), dropped + 6);
	ck_assert_int_eq(take(b, seen, true), 14);
	for (int i = 0; i < 20; i++)
		ck_assert_int_eq(seen[i], i < 4 || i >= 10);
	fx_close(&fx);
}
END_TEST

START_TEST(waits_for_a_durable_member)
{
	struct fx_client *a, *pub;
	int seen[20] = { 0 };

	fx_open(&fx, 2, &fake_net, NULL);
	pub = fx_connected(&fx, 1, "p", FX_CLEAN, false);
	a = member(0, "a", 0, "$share/g/t", 1);
	fx_send(a, "DISCONNECT");
	fx_expect(a, "END");
	publish(pub, "t", 0, 10);
	fx_send(pub, "PUBLISH t gone");
	fx_run(&fx);
	ck_assert_uint_eq(METRIC_GET(dropped_shared), 1);
	/* It moves to the other worker, and gets them there. */
	a = fx_connected(&fx, 1, "a", 0, true);
	publish(pub, "t", 10, 20);
	ck_assert_int_eq(take(a, seen, true), 20);
	each_once(seen, 20);
	fx_close(&fx);
}
END_TEST

static int
id_of(struct fx_client *c, const char *format)
{
	const char *text = fx_next(c);
	int id = 0;
	int end = 0;

	ck_assert_msg(sscanf(text, format, &id, &end) == 1 && end > 0 && text[end] == '\0', "%s", text);
	return id;
}

static void
answer(struct fx_client *c, const char *format, int id)
{
	char text[40];

	snprintf(text, sizeof text, format, id);
	fx_send(c, text);
}

START_TEST(qos_0_and_2)
{
	struct fx_client *a, *b, *pub;
	int two, next;

	fx_open(&fx, 2, &fake_net, NULL);
	pub = fx_connected(&fx, 1, "p", FX_CLEAN, false);
	a = member(0, "a", 0, "$share/g/t", 2);
	fx_send(pub, "PUBLISH t zero");
	fx_expect(a, "PUBLISH t zero");
	fx_send(pub, "PUBLISH t two qos=2,7");
	fx_expect(pub, "PUBREC 7");
	two = id_of(a, "PUBLISH t two qos=2,%d%n");
	fx_send(pub, "PUBLISH t next qos=2,8");
	fx_expect(pub, "PUBREC 8");
	next = id_of(a, "PUBLISH t next qos=2,%d%n");
	answer(a, "PUBREC %d", next);
	ck_assert_int_eq(id_of(a, "PUBREL %d%n"), next);
	b = member(0, "b", FX_CLEAN, "$share/g/t", 0);
	/* A durable session completes what it has begun. */
	fx_client_close(a);
	fx_run(&fx);
	fx_expect(b, "");
	a = fx_connected(&fx, 0, "a", 0, true);
	ck_assert_int_eq(id_of(a, "PUBLISH t two qos=2,%d dup%n"), two);
	ck_assert_int_eq(id_of(a, "PUBREL %d%n"), next);
	fx_client_close(a);
	/* At the member's QoS. */
	fx_send(pub, "PUBLISH t low qos=2,9");
	fx_expect(pub, "PUBREC 9");
	fx_expect(b, "PUBLISH t low");
	fx_close(&fx);
}
END_TEST

START_TEST(a_worker_dies)
{
	/* The home, or a member's worker that is not: with one name or another it is each. */
	fx_open(&fx, 3, &fake_net, NULL);
	for (int k = 0; k < 6; k++) {
		struct fx_client *m, *n, *pub;
		int seen[30] = { 0 };
		char filter[40];
		unsigned home;

		snprintf(filter, sizeof filter, "$share/g%d/t", k);
		home = (unsigned)(rand_hash(filter, strlen(filter)) % 3);
		m = member(1, "m", FX_CLEAN, filter, 1);
		n = member(2, "n", FX_CLEAN, filter, 1);
		pub = fx_connected(&fx, 0, "p", FX_CLEAN, false);
		publish(pub, "t", 0, 10);
		ck_assert_int_eq(take(m, seen, true), 5);
		ck_assert_int_eq(take(n, (int[30]){ 0 }, false), 5);
		fx_worker_kill(&fx, 2);
		fx_run(&fx);
		/* What the dead one's member had goes to the other, unless the home died with it. */
		ck_assert_int_eq(take(m, seen, true), home == 2 ? 0 : 5);
		if (home != 2) {
			each_once(seen, 10);
			publish(pub, "t", 10, 20);
		} else {
			/* Publishes wait for the home's successor. */
			fx_send(pub, "PUBLISH t 10 qos=1,11");
			fx_expect(pub, "");
		}
		fx_worker_start(&fx, 2);
		fx_run(&fx);
		if (home == 2) {
			fx_expect(pub, "PUBACK 11");
			publish(pub, "t", 11, 20);
		}
		ck_assert_int_eq(take(m, seen, true), 10);
		each_once(seen + 10, 10);
		/* Those leased out by the home that died still come back to its successor. */
		fx_send(pub, "DISCONNECT");
		fx_expect(pub, "END");
		fx_send(m, "DISCONNECT");
		fx_expect(m, "END");
	}
	fx_close(&fx);
}
END_TEST

START_TEST(the_home_dies_between)
{
	fx_open(&fx, 3, &fake_net, NULL);
	for (int k = 0; k < 40; k++) {
		struct fx_client *m, *n, *pub;
		int seen[30] = { 0 };
		char filter[40];

		snprintf(filter, sizeof filter, "$share/g%d/t", k);
		if (rand_hash(filter, strlen(filter)) % 3 != 2)
			continue;
		m = member(1, "m", FX_CLEAN, filter, 1);
		n = member(0, "n", FX_CLEAN, filter, 1);
		pub = fx_connected(&fx, 0, "p", FX_CLEAN, false);
		publish(pub, "t", 0, 10);
		ck_assert_int_eq(take(m, (int[30]){ 0 }, false), 5);
		ck_assert_int_eq(take(n, seen, true), 5);
		fx_worker_kill(&fx, 2);
		fx_run(&fx);
		if (k & 1) {            /* the member leaves while there is no home, or after */
			fx_client_close(m);
			fx_run(&fx);
		}
		fx_worker_start(&fx, 2);
		fx_run(&fx);
		if ((k & 1) == 0) {
			fx_client_close(m);
			fx_run(&fx);
		}
		ck_assert_int_eq(take(n, seen, true), 5);
		each_once(seen, 10);
		fx_send(n, "DISCONNECT");
		fx_expect(n, "END");
		fx_send(pub, "DISCONNECT");
		fx_expect(pub, "END");
	}
	fx_close(&fx);
}
END_TEST

/* The first name whose home is that slot. */
static void
name_at(char filter[40], unsigned home, unsigned slots)
{
	for (unsigned k = 0;; k++) {
		snprintf(filter, 40, "$share/g%u/t", k);
		if (rand_hash(filter, strlen(filter)) % slots == home)
			return;
	}
}

/* On the disk, while there is a durable member: a row for each until it is acknowledged. */
START_TEST(rows)
{
	struct fx_client *m, *n, *pub;
	int seen[40] = { 0 };
	char filter[40];
	uint64_t qid;

	fx_open(&fx, 3, &fake_net, "session.durability", "disk", NULL);
	name_at(filter, 2, 3);
	qid = qid_of_group(slice_str(filter));
	pub = fx_connected(&fx, 0, "p", FX_CLEAN, false);
	n = member(1, "n", FX_CLEAN, filter, 1);
	publish(pub, "t", 0, 2);
	ck_assert_uint_eq(fake_queue_count(&fx.store, 0), 0);   /* nobody would be there to get it */
	ck_assert_int_eq(take(n, seen, true), 2);
	m = member(0, "m", 0, filter, 1);
	publish(pub, "t", 2, 12);
	ck_assert_uint_eq(fake_queue_count(&fx.store, qid), 10);
	ck_assert_int_eq(take(n, seen, true) + take(m, seen, true), 10);
	each_once(seen, 12);
	ck_assert_uint_eq(fake_queue_count(&fx.store, 0), 0);
	/* No acknowledgement before it is there. */
	fx.store.hold_queue = true;
	fx_send(pub, "PUBLISH t 12 qos=1,13");
	fx_expect(pub, "");
	fx.store.hold_queue = false;
	fx_expect(pub, "PUBACK 13");
	ck_assert_int_eq(take(n, seen, true) + take(m, seen, true), 1);
	/* The last member goes, and what waits with it. */
	fx_client_close(m);
	fx_send(n, "DISCONNECT");
	fx_expect(n, "END");
	publish(pub, "t", 13, 15);
	ck_assert_uint_eq(fake_queue_count(&fx.store, qid), 2);
	m = fx_connected(&fx, 1, "m", FX_CLEAN, false);
	fx_run(&fx);
	ck_assert_uint_eq(fake_queue_count(&fx.store, 0), 0);
	fx_close(&fx);
}
END_TEST

/* What waited at a home that died, and what it had leased out: none is lost, and what a member has in hand comes to nobody
 * else. */
START_TEST(rows_outlive_their_home)
{
	struct fx_client *m, *n, *pub;
	int seen[40] = { 0 };
	int in_hand;
	char filter[40];

	fx_open(&fx, 3, &fake_net, "session.durability", "disk", NULL);
	name_at(filter, 2, 3);
	pub = fx_connected(&fx, 0, "p", FX_CLEAN, false);
	m = member(0, "m", 0, filter, 1);
	n = member(1, "n", 0, filter, 1);
	publish(pub, "t", 0, 10);
	in_hand = take(m, (int[40]){ 0 }, false);
	ck_assert_int_eq(in_hand, 5);
	ck_assert_int_eq(take(n, seen, true), 5);
	fx_worker_kill(&fx, 2);
	fx_run(&fx);
	fx_worker_start(&fx, 2);
	fx_run(&fx);
	ck_assert_int_eq(take(n, seen, true), 0);       /* m has them in hand */
	fx_client_close(m);
	ck_assert_int_eq(take(n, seen, true), 5);
	each_once(seen, 10);
	ck_assert_uint_eq(fake_queue_count(&fx.store, 0), 0);
	/* Nobody is there. */
	fx_client_close(n);
	publish(pub, "t", 10, 20);
	fx_worker_kill(&fx, 2);
	fx_worker_start(&fx, 2);
	fx_run(&fx);
	publish(pub, "t", 20, 25);
	n = fx_connected(&fx, 1, "n", 0, true);
	ck_assert_int_eq(take(n, seen, true), 15);      /* in order */
	each_once(seen, 25);
	ck_assert_uint_eq(fake_queue_count(&fx.store, 0), 0);
	/* All of them die. */
	fx_client_close(n);
	publish(pub, "t", 25, 30);
	for (unsigned i = 0; i < 3; i++)
		fx_worker_kill(&fx, i);
	fx_store_kill(&fx);
	fx_store_start(&fx);
	for (unsigned i = 0; i < 3; i++)
		fx_worker_start(&fx, i);
	fx_run(&fx);
	m = fx_connected(&fx, 0, "m", 0, true);
	ck_assert_int_eq(take(m, seen, true), 5);
	each_once(seen, 30);
	ck_assert_uint_eq(fake_queue_count(&fx.store, 0), 0);
	fx_close(&fx);
}
END_TEST

/* The member acknowledges while there is no home, or while its successor reads. */
START_TEST(rows_acknowledged_without_a_home)
{
	for (unsigned k = 0; k < 2; k++) {
		struct fx_client *m, *pub;
		int seen[20] = { 0 };
		char filter[40];

		fx_open(&fx, 3, &fake_net, "session.durability", "disk", NULL);
		name_at(filter, 2, 3);
		pub = fx_connected(&fx, 0, "p", FX_CLEAN, false);
		m = member(0, "m", 0, filter, 1);
		publish(pub, "t", 0, 5);
		if (k == 0) {
			fx_worker_kill(&fx, 2);
			fx_run(&fx);
		} else {
			fx_worker_kill(&fx, 2);
			fx.store.hold_queue_gets = true;
			fx_worker_start(&fx, 2);
			fx_run(&fx);
		}
		ck_assert_int_eq(take(m, seen, true), 5);
		fx.store.hold_queue_gets = false;
		if (k == 0)
			fx_worker_start(&fx, 2);
		fx_run(&fx);
		ck_assert_int_eq(take(m, seen, true), 0);
		each_once(seen, 5);
		ck_assert_uint_eq(fake_queue_count(&fx.store, 0), 0);
		fx_close(&fx);
	}
}
END_TEST

/* QoS 2 that a durable member has in hand stays with it, and its row moves to the member's own queue. */
START_TEST(rows_of_qos_2)
{
	struct fx_client *m, *n, *pub;
	char filter[40];
	uint64_t qid;

	fx_open(&fx, 3, &fake_net, "session.durability", "disk", NULL);
	name_at(filter, 2, 3);
	pub = fx_connected(&fx, 0, "p", 0, false);
	m = member(0, "m", 0, filter, 2);
	n = member(1, "n", FX_CLEAN, "u", 2);
	qid = fake_store_qid(&fx.store, "m");
	fx.store.hold_queue = true;
	fx_send(pub, "PUBLISH t a qos=2,1");
	fx_expect(pub, "");
	fx_expect(m, "");       /* it may turn out that the group has had it */
	fx.store.hold_queue = false;
	fx_expect(pub, "PUBREC 1");
	fx_expect(m, "PUBLISH t a qos=2,1");
	fx.store.hold_queue = true;
	fx_client_close(m);
	fx_run(&fx);
	ck_assert_uint_eq(fake_queue_count(&fx.store, qid_of_group(slice_str(filter))), 1);
	fx.store.hold_queue = false;
	fx_run(&fx);
	ck_assert_uint_eq(fake_queue_count(&fx.store, qid_of_group(slice_str(filter))), 0);
	ck_assert_uint_eq(fake_queue_count(&fx.store, qid), 1);
	/* The publisher sends it again to a group whose home has died: it is not taken for another one. */
	fx_worker_kill(&fx, 2);
	fx_worker_start(&fx, 2);
	fx_run(&fx);
	fx_worker_kill(&fx, 0);
	fx_worker_start(&fx, 0);
	fx_run(&fx);
	pub = fx_connected(&fx, 0, "p", 0, true);
	fx_send(pub, "PUBLISH t a qos=2,1 dup");
	fx_expect(pub, "PUBREC 1");
	m = fx_connected(&fx, 0, "m", 0, true);
	fx_expect(m, "PUBLISH t a qos=2,1 dup");
	fx_send(m, "PUBREC 1");
	fx_expect(m, "PUBREL 1");
	fx_send(m, "PUBCOMP 1");
	fx_expect(m, "");
	fx_send(pub, "PUBREL 1");
	fx_expect(pub, "PUBCOMP 1");
	ck_assert_uint_eq(fake_queue_count(&fx.store, 0), 0);
	fx_expect(n, "");
	fx_close(&fx);
}
END_TEST

UNIT_MAIN("shared", rows, rows_outlive_their_home, rows_acknowledged_without_a_home, rows_of_qos_2, names, refused_when_malformed, one_worker_takes_turns, every_slot_as_home, leases_return,
    window_and_queue, waits_for_a_durable_member, qos_0_and_2, a_worker_dies, the_home_dies_between)
