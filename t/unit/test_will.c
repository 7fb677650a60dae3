/* SPDX-License-Identifier: Apache-2.0
 * Wills on the disk, as a worker sees to them: their rows, and those of other workers' clients. */
#include "t/support/unit.h"

#include <unistd.h>

#include "t/support/fake_cluster.h"
#include "t/support/worker_fixture.h"
#include "worker/conn.h"
#include "worker/session.h"
#include "worker/worker.h"

static struct fx fx;
static struct fx_client *sub;

/* Two workers; worker 1 has a subscriber to will/#. */
static void
open_disk(void)
{
	fx_open(&fx, 2, &fake_net, "session.durability", "disk", NULL);
	sub = fx_connected(&fx, 1, "sub", FX_CLEAN, false);
	fx_send(sub, "SUBSCRIBE 1 will/# 1");
	fx_expect(sub, "SUBACK 1 1");
}

static struct fx_client *
with_will(unsigned slot, const char *connect)
{
	struct fx_client *c = fx_client(&fx, slot, 0);

	fx_send(c, connect);
	fx_expect(c, "CONNACK 0*");
	return c;
}

#define NO_WILL(id)       ck_assert_ptr_null(fake_will(&fx.store, id))
#define WILL(id, payload) ck_assert_str_eq(fake_will(&fx.store, id), payload)

START_TEST(a_row_from_connect_to_disconnect)
{
	struct fx_client *c;

	open_disk();
	c = with_will(0, "CONNECT a clean will=will/a,1,0,gone");
	WILL("a", "gone");
	fx_send(c, "DISCONNECT");
	fx_expect(c, "END");
	NO_WILL("a");
	fx_expect(sub, "");
	c = with_will(0, "CONNECT a will=will/a,0,1,gone");
	WILL("a", "gone");
	fx_client_close(c);
	fx_expect(sub, "PUBLISH will/a gone");
	NO_WILL("a");
	ck_assert(list_empty(&fx.w[0].worker->wills.all));
	/* Nobody may publish there, so nobody will. */
	c = with_will(0, "CONNECT a clean will=$SYS/x,0,1,gone");
	NO_WILL("a");
	fx_close(&fx);
}
END_TEST

/* Its DISCONNECT is there, unread, when a write to it fails since it has gone. */
START_TEST(disconnect_is_read_though_a_write_fails)
{
	struct fx_client *c;
	struct conn *conn;

	open_disk();
	c = with_will(0, "CONNECT a clean will=will/a,1,0,gone");
	conn = fx_session(&fx, 0, "a")->conn;
	ck_assert_int_eq(write(c->fd, "\xe0\0", 2), 2);
	fx_client_close(c);
	conn_put_encoded(conn, SLICE_LIT("\xd0\0"));
	conn_flush(conn);
	fx_expect(sub, "");
	NO_WILL("a");
	ck_assert_ptr_null(fx_session(&fx, 0, "a"));
	/* Without one it is told. */
	c = with_will(0, "CONNECT a clean will=will/a,0,0,gone");
	conn = fx_session(&fx, 0, "a")->conn;
	fx_client_close(c);
	conn_put_encoded(conn, SLICE_LIT("\xd0\0"));
	conn_flush(conn);
	fx_expect(sub, "PUBLISH will/a gone");
	fx_close(&fx);
}
END_TEST

/* Its packets wait for something, so that the end of its input is not seen. */
START_TEST(a_client_that_has_gone_is_not_waited_for)
{
	static uint8_t pings[100000];
	struct fx_client *c;
	struct conn *conn;

	open_disk();
	c = with_will(0, "CONNECT a clean will=will/a,0,0,gone");
	conn = fx_session(&fx, 0, "a")->conn;
	conn->flags |= CONN_WAIT_KEPT;
	for (size_t i = 0; i < sizeof pings; i += 2)
		pings[i] = 0xc0;
	ck_assert_int_eq(write(c->fd, pings, sizeof pings), sizeof pings);
	fx_client_close(c);
	conn_put_encoded(conn, SLICE_LIT("\xd0\0"));
	conn_flush(conn);
	fx_expect(sub, "");
	ck_assert_ptr_nonnull(fx_session(&fx, 0, "a"));
	fx_pass_ms(&fx, CONN_LINGER_NS / NS_PER_MS + 100);
	fx_expect(sub, "PUBLISH will/a gone");
	ck_assert_ptr_null(fx_session(&fx, 0, "a"));
	fx_close(&fx);
}
END_TEST

START_TEST(in_memory_there_is_none)
{
	fx_open(&fx, 1, &fake_net, "session.durability", "memory", NULL);
	with_will(0, "CONNECT a clean will=will/a,1,0,gone");
	NO_WILL("a");
	fx_close(&fx);
}
END_TEST

START_TEST(a_topic_has_its_own_durability)
{
	fx_open(&fx, 1, &fake_net, "session.durability_topics", "disk/# disk", NULL);
	with_will(0, "CONNECT a clean will=disk/a,1,0,gone");
	WILL("a", "gone");
	fx_close(&fx);
}
END_TEST

START_TEST(the_row_goes_when_the_will_is_kept)
{
	struct fx_client *c;

	open_disk();
	c = with_will(0, "CONNECT a clean will=will/a,1,1,gone");
	fx.store.hold_commits = true;
	fx_client_close(c);
	fx_expect(sub, "PUBLISH will/a gone qos=1,1");
	WILL("a", "gone");
	fx.store.hold_commits = false;
	fx_run(&fx);
	ck_assert_str_eq(fake_store_retained(&fx.store, "will/a"), "gone");
	NO_WILL("a");
	fx_close(&fx);
}
END_TEST

START_TEST(a_neighbour_must_have_it)
{
	struct fx_client *c;

	open_disk();
	c = with_will(0, "CONNECT a clean will=will/a,1,0,gone");
	fake_net_hold(0, 1, true);
	fx_client_close(c);
	fx_run(&fx);
	WILL("a", "gone");
	fake_net_hold(0, 1, false);
	fx_expect(sub, "PUBLISH will/a gone qos=1,1");
	NO_WILL("a");
	fx_close(&fx);
}
END_TEST

/* The old connection's will goes out, and takes the new one's row not along. */
START_TEST(taken_over)
{
	struct fx_client *c;

	open_disk();
	with_will(0, "CONNECT a clean will=will/a,1,0,old");
	c = with_will(0, "CONNECT a clean will=will/a,1,0,new");
	fx_expect(sub, "PUBLISH will/a old qos=1,1");
	fx_send(sub, "PUBACK 1");
	WILL("a", "new");
	with_will(1, "CONNECT a clean will=will/a,1,0,newer");
	fx_expect_end(c);
	fx_expect(sub, "PUBLISH will/a new qos=1,2");
	WILL("a", "newer");
	fx_close(&fx);
}
END_TEST

START_TEST(a_dead_workers_will)
{
	open_disk();
	with_will(0, "CONNECT a clean will=will/a,1,1,gone");
	fx_worker_kill(&fx, 0);
	fx_run(&fx);
	fx_expect(sub, "");
	WILL("a", "gone");
	fake_will_due(&fx.store, 1, "a");
	fx_expect(sub, "PUBLISH will/a gone qos=1,1");
	ck_assert_str_eq(fake_store_retained(&fx.store, "will/a"), "gone");
	NO_WILL("a");
	ck_assert(list_empty(&fx.w[1].worker->wills.all));
	fx_close(&fx);
}
END_TEST

/* A new store is told what this worker has in hand, so that it gives it to nobody else. */
START_TEST(a_new_store_is_told)
{
	open_disk();
	with_will(0, "CONNECT a clean will=will/a,1,1,gone");
	fx_worker_kill(&fx, 0);
	fx_run(&fx);
	fx.store.hold_commits = true;
	fake_will_due(&fx.store, 1, "a");
	fx_expect(sub, "PUBLISH will/a gone qos=1,1");
	fx_store_kill(&fx);
	fx.store.hold_commits = false;
	fx_store_start(&fx);
	fx_run(&fx);
	ck_assert_uint_eq(fx.store.wills_named, 1);
	ck_assert_str_eq(fake_store_retained(&fx.store, "will/a"), "gone");
	NO_WILL("a");
	fx_store_kill(&fx);
	fx_store_start(&fx);
	fx_run(&fx);
	ck_assert_uint_eq(fx.store.wills_named, 1);
	fx_expect(sub, "");
	fx_close(&fx);
}
END_TEST

/* What the client may is asked anew: the rules are another worker's. */
START_TEST(rights_hold_for_the_dead)
{
	open_disk();
	with_will(0, "CONNECT a clean will=will/a,1,1,gone");
	fx_worker_kill(&fx, 0);
	fx_run(&fx);
	fx_set(&fx, "auth.default_right", "deny");
	fake_will_due(&fx.store, 1, "a");
	fx_expect(sub, "");
	ck_assert_ptr_null(fake_store_retained(&fx.store, "will/a"));
	NO_WILL("a");
	fx_close(&fx);
}
END_TEST

START_TEST(a_graceful_stop_leaves_nothing)
{
	struct fx_client *keep;

	open_disk();
	keep = fx_connected(&fx, 0, "keep", 0, false);
	fx_send(keep, "SUBSCRIBE 1 will/# 1");
	fx_expect(keep, "SUBACK 1 1");
	fx_client_close(keep);
	with_will(0, "CONNECT a clean will=will/a,1,1,gone");
	fx_sup_stop(&fx, 0);
	fx_run(&fx);
	ck_assert_str_eq(fake_store_retained(&fx.store, "will/a"), "gone");
	NO_WILL("a");
	fx_close(&fx);
}
END_TEST

UNIT_MAIN("will", a_row_from_connect_to_disconnect, in_memory_there_is_none, a_topic_has_its_own_durability,
    the_row_goes_when_the_will_is_kept, a_neighbour_must_have_it, taken_over, a_dead_workers_will, a_new_store_is_told,
    rights_hold_for_the_dead, a_graceful_stop_leaves_nothing, disconnect_is_read_though_a_write_fails,
    a_client_that_has_gone_is_not_waited_for)
