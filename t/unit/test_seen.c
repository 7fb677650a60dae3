/* SPDX-License-Identifier: Apache-2.0
 * QoS 2 publishes that come again: who has had them gets them once. */
#include "worker/seen.h"

#include <stdio.h>
#include <string.h>

#include "common/ipc/qops.h"
#include "common/metrics/page.h"
#include "t/support/fake_cluster.h"
#include "t/support/unit.h"
#include "t/support/worker_fixture.h"
#include "worker/publish.h"
#include "worker/session.h"
#include "worker/worker.h"

#define QID UINT64_C(0x1122334455667788)

static struct fx fx;

static void
again(unsigned slot, uint64_t id, const char *payload)
{
	const struct cluster_pub p = { .topic = SLICE_LIT("t"), .payload = slice_str(payload), .qos = 2, .disk = true, .qos2_id = id };

	publish(fx.w[slot].worker, &p, NULL);
}

static struct fx_client *
subscriber(unsigned slot, const char *id, const char *subscribe)
{
	struct fx_client *c = fx_connected(&fx, slot, id, FX_CLEAN, false);

	fx_send(c, subscribe);
	fx_expect(c, "SUBACK *");
	return c;
}

START_TEST(once_until_it_is_released)
{
	static const char *const payload[] = { "one", "two", "three" };
	struct fx_client *near, *far, *low;
	char want[64];

	fx_open(&fx, 3, &fake_net, NULL);
	near = subscriber(0, "near", "SUBSCRIBE 1 t 1");
	far = subscriber(1, "far", "SUBSCRIBE 1 + 1");
	low = subscriber(2, "low", "SUBSCRIBE 1 t 0");
	for (unsigned i = 0; i < 3; i++) {
		uint64_t id = qos2_id_of(QID + 0x10000 * (i / 2), 7);

		again(0, id, payload[i]);
		fx_run(&fx);
		/* The same from everywhere: its publisher is at another worker now. */
		for (unsigned slot = 0; slot < 3; slot++)
			again(slot, id, "again");
		snprintf(want, sizeof want, "PUBLISH t %s qos=1,*", payload[i]);
		fx_expect(near, want);
		fx_expect(far, want);
		snprintf(want, sizeof want, "PUBLISH t %s", payload[i]);
		fx_expect(low, want);
		fx_expect(near, "");
		fx_expect(far, "");
		fx_expect(low, "");
		ck_assert(seen_has(fx.w[1].worker, id));
		if (i < 1)
			seen_release(fx.w[0].worker, id);
		fx_run(&fx);
		ck_assert(seen_has(fx.w[1].worker, id) == (i != 0));
	}
	seen_release_all(fx.w[2].worker, QID);
	fx_run(&fx);
	for (unsigned slot = 0; slot < 3; slot++) {
		ck_assert(!seen_has(fx.w[slot].worker, qos2_id_of(QID, 7)));
		ck_assert(seen_has(fx.w[slot].worker, qos2_id_of(QID + 0x10000, 7)));
		ck_assert(!seen_has(fx.w[slot].worker, qos2_id_of(QID + 0x10000, 8)));
	}
	fx_close(&fx);
}
END_TEST

/* The home of a group gives it to one member, once. */
START_TEST(groups_get_it_once)
{
	struct fx_client *a;

	for (unsigned home = 0; home < 2; home++) {
		fx_open(&fx, 2, &fake_net, NULL);
		a = subscriber(home, "a", "SUBSCRIBE 1 $share/g/t 1");
		again(0, qos2_id_of(QID, 1), "x");
		fx_expect(a, "PUBLISH t x qos=1,*");
		again(0, qos2_id_of(QID, 1), "x");
		again(1, qos2_id_of(QID, 1), "x");
		fx_expect(a, "");
		again(1, qos2_id_of(QID, 2), "y");
		fx_expect(a, "PUBLISH t y qos=1,*");
		fx_close(&fx);
	}
}
END_TEST

/* Who has no durable session starts anew with its worker, and gets what comes again once more. */
START_TEST(a_successor_has_seen_nothing)
{
	struct fx_client *far;
	uint64_t id = qos2_id_of(QID, 65535);

	fx_open(&fx, 2, &fake_net, NULL);
	far = subscriber(1, "far", "SUBSCRIBE 1 t 1");
	again(0, id, "x");
	fx_expect(far, "PUBLISH t x qos=1,*");
	fx_worker_kill(&fx, 1);
	fx_worker_start(&fx, 1);
	fx_run(&fx);
	fx_client_close(far);
	far = subscriber(1, "far", "SUBSCRIBE 1 t 1");
	again(0, id, "x");
	fx_expect(far, "PUBLISH t x qos=1,*");
	fx_expect(far, "");
	fx_close(&fx);
}
END_TEST

/* A durable publisher p at worker 0. */
static struct fx_client *
publisher(bool present)
{
	struct fx_client *p = fx_connected(&fx, 0, "p", 0, present);

	fx_session(&fx, 0, "p")->qid = QID;
	return p;
}

/* PUBCOMP: nobody remembers it. [MQTT-4.3.3-2] */
START_TEST(pubcomp_waits_for_all_to_forget)
{
	struct fx_client *p, *far;

	fx_open(&fx, 2, &fake_net, "session.durability", "disk", NULL);
	far = subscriber(1, "far", "SUBSCRIBE 1 t 1");
	p = publisher(false);
	fx_send(p, "PUBLISH t x qos=2,7");
	fx_expect(p, "PUBREC 7");
	fx_expect(far, "PUBLISH t x qos=1,*");
	ck_assert(seen_has(fx.w[0].worker, qos2_id_of(QID, 7)) && seen_has(fx.w[1].worker, qos2_id_of(QID, 7)));
	fx.store.hold_queue = true;
	fake_net_hold(0, 1, true);
	fx_send(p, "PUBREL 7");
	fx_send(p, "PUBLISH u y qos=1,8");
	fx_expect(p, "");
	ck_assert(!seen_has(fx.w[0].worker, qos2_id_of(QID, 7)) && seen_has(fx.w[1].worker, qos2_id_of(QID, 7)));
	fake_net_hold(0, 1, false);
	fx_expect(p, "");
	ck_assert(!seen_has(fx.w[1].worker, qos2_id_of(QID, 7)));
	fx.store.hold_queue = false;
	fx_expect(p, "PUBCOMP 7");
	fx_expect(p, "PUBACK 8");
	fx.store.hold_queue = true;
	fake_net_hold(0, 1, true);
	fx_send(p, "PUBREL 7");         /* its answer was lost */
	fx_expect(p, "");
	fx.store.hold_queue = false;
	fx_expect(p, "");
	fake_net_hold(0, 1, false);
	fx_expect(p, "PUBCOMP 7");
	fx_send(p, "PUBLISH t z qos=2,7");
	fx_expect(p, "PUBREC 7");
	fx_expect(far, "PUBLISH t z qos=1,*");
	fx_close(&fx);
}
END_TEST

/* The connection ends first: the client asks again, and only then it gets an answer. */
START_TEST(pubrel_without_a_connection)
{
	struct fx_client *p;

	fx_open(&fx, 1, &fake_net, "session.durability", "disk", NULL);
	p = publisher(false);
	fx_send(p, "PUBLISH t x qos=2,7");
	fx_expect(p, "PUBREC 7");
	fx.store.hold_queue = true;
	fx_send(p, "PUBREL 7");
	fx_expect(p, "");
	fx_client_close(p);
	p = publisher(true);
	fx.store.hold_queue = false;
	fx_expect(p, "");
	fx_send(p, "PUBREL 7");
	fx_expect(p, "PUBCOMP 7");
	fx_send(p, "PUBLISH t x qos=2,7");
	fx_expect(p, "PUBREC 7");
	fx_store_kill(&fx);
	fx_send(p, "PUBREL 7");
	fx_expect(p, "");
	fx_store_start(&fx);
	fx_expect(p, "PUBCOMP 7");
	fx_close(&fx);
}
END_TEST

/* What is in memory alone has no identity; but for what came in before the setting changed. */
START_TEST(memory_waits_for_nobody)
{
	struct fx_client *p;

	fx_open(&fx, 2, &fake_net, "session.durability", "memory", NULL);
	p = publisher(false);
	fx.store.hold_queue = true;
	fx_send(p, "PUBLISH t x qos=2,7");
	fx_expect(p, "PUBREC 7");
	fx_send(p, "PUBREL 7");
	fx_expect(p, "PUBCOMP 7");
	fx_set(&fx, "session.durability", "disk");
	fx_send(p, "PUBLISH t x qos=2,7");
	fx_expect(p, "PUBREC 7");
	fx_set(&fx, "session.durability", "memory");
	fx_send(p, "PUBREL 7");
	fx_expect(p, "");
	fx.store.hold_queue = false;
	fx_expect(p, "PUBCOMP 7");
	fx_close(&fx);
}
END_TEST

/* The publisher's worker dies before PUBREC: who had it at another worker does not get it twice. */
START_TEST(sent_again_after_a_crash)
{
	struct fx_client *p, *far;

	fx_open(&fx, 2, &fake_net, "session.durability", "disk", NULL);
	far = subscriber(1, "far", "SUBSCRIBE 1 t 1");
	p = publisher(false);
	fake_net_hold(1, 0, true);
	fx_send(p, "PUBLISH t x qos=2,7");
	fx_expect(far, "PUBLISH t x qos=1,*");
	fx_expect(p, "");
	fx_worker_kill(&fx, 0);
	fake_net_hold(1, 0, false);
	fx_worker_start(&fx, 0);
	fx_run(&fx);
	fx_client_close(p);
	p = publisher(true);
	fx_send(p, "PUBLISH t x qos=2,7 dup");
	fx_expect(p, "PUBREC 7");
	fx_expect(far, "");
	fx_worker_kill(&fx, 0);
	fx_worker_start(&fx, 0);
	fx_run(&fx);
	fx_client_close(p);
	p = publisher(true);
	fx_send(p, "PUBREL 7");         /* of a publish that this worker has never seen */
	fx_expect(p, "PUBCOMP 7");
	ck_assert(!seen_has(fx.w[1].worker, qos2_id_of(QID, 7)));
	fx_send(p, "PUBLISH t z qos=2,7");
	fx_expect(p, "PUBREC 7");
	fx_expect(far, "PUBLISH t z qos=1,*");
	fx_send(p, "PUBLISH t w qos=2,8");
	fx_expect(p, "PUBREC 8");
	fx_send(p, "DISCONNECT");
	fx_expect_end(p);
	p = fx_connected(&fx, 0, "p", FX_CLEAN, false);         /* ends the session */
	fx_run(&fx);
	ck_assert(!seen_has(fx.w[1].worker, qos2_id_of(QID, 7)) && !seen_has(fx.w[1].worker, qos2_id_of(QID, 8)));
	fx_close(&fx);
}
END_TEST

UNIT_MAIN("seen", once_until_it_is_released, groups_get_it_once, a_successor_has_seen_nothing,
    pubcomp_waits_for_all_to_forget, pubrel_without_a_connection, memory_waits_for_nobody, sent_again_after_a_crash)
