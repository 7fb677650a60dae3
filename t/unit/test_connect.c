/* SPDX-License-Identifier: Apache-2.0
 * CONNECT from the packet to the CONNACK: who may in, whose session it is, what goes wrong. */
#include <stdio.h>
#include <string.h>

#include "common/base/err.h"
#include "t/support/fake_cluster.h"
#include "t/support/unit.h"
#include "t/support/worker_fixture.h"
#include "worker/session.h"
#include "worker/worker.h"

static struct fx fx;

START_TEST(clean_session_begins_and_ends)
{
	struct fx_client *c;

	fx_open(&fx, 1, &fake_net, NULL);
	c = fx_connected(&fx, 0, "a", FX_CLEAN, false);
	fx_expect(c, "");
	ck_assert_int_eq(fake_store_owner(&fx.store, "a"), 0);
	fx_send(c, "PINGREQ");
	fx_expect(c, "PINGRESP");
	fx_send(c, "DISCONNECT");
	fx_expect(c, "END");
	ck_assert_int_eq(fake_store_owner(&fx.store, "a"), -1);
	ck_assert_uint_eq(fx.store.writes, 0);
	fx_close(&fx);
}
END_TEST

/* What the store says, and what the client hears. */
START_TEST(refusals)
{
	static const struct { int err; const char *answer; } rows[] = {
		{ FB_EAUTH, "CONNACK 4" }, { FB_EPERM, "CONNACK 5" }, { FB_EOWNER, "CONNACK 5" }, { FB_EBUSY, "CONNACK 3" },
		{ FB_EIO, "CONNACK 3" }, { FB_EDISK, "CONNACK 3" },
	};

	fx_open(&fx, 1, &fake_net, NULL);
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct fx_client *c;

		fx.store.fail_opens = rows[i].err;
		c = fx_connect(&fx, 0, "a", i % 2 ? FX_CLEAN : 0);
		fx_send(c, "PUBLISH t nobody-hears-it");
		fx_expect(c, rows[i].answer);
		fx_expect(c, "END");
		ck_assert_ptr_null(fx_session(&fx, 0, "a"));
	}
	fx_close(&fx);
}
END_TEST

START_TEST(accounts)
{
	static const struct { const char *connect, *answer; unsigned flags; } rows[] = {
		{ "CONNECT a clean", "CONNACK 5", 0 },
		{ "CONNECT a clean user=nobody password=x", "CONNACK 4", 0 },
		{ "CONNECT a clean user=u1 password=wrong", "CONNACK 4", 0 },
		{ "CONNECT a clean user=u1 password=p1", "CONNACK 0", 0 },
		{ "CONNECT a clean", "CONNACK 0", FX_ALLOWED },
	};

	fx_open(&fx, 1, &fake_net, "auth.enabled", "true", NULL);
	fake_store_account(&fx.store, "u1", "p1");
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct fx_client *c = fx_client(&fx, 0, rows[i].flags);

		fx_send(c, rows[i].connect);
		fx_expect(c, rows[i].answer);
		fx_client_close(c);
	}
	fx_close(&fx);
}
END_TEST

START_TEST(a_session_belongs_to_its_account)
{
	struct fx_client *a, *b;

	fx_open(&fx, 1, &fake_net, "auth.enabled", "true", NULL);
	fx.store.auth = true;
	fake_store_account(&fx.store, "u1", "p1");
	fake_store_account(&fx.store, "u2", "p2");
	a = fx_client(&fx, 0, 0);
	fx_send(a, "CONNECT a user=u1 password=p1");
	fx_expect(a, "CONNACK 0");
	b = fx_client(&fx, 0, 0);
	fx_send(b, "CONNECT a user=u2 password=p2");
	fx_expect(b, "CONNACK 5");
	fx_send(a, "PINGREQ");
	fx_expect(a, "PINGRESP");
	fake_store_account_del(&fx.store, "u1");
	fx_expect(a, "END");
	fx_close(&fx);
}
END_TEST

/* An account that is deleted while its client connects: whatever stage it has come to. */
START_TEST(an_account_goes_meanwhile)
{
	struct fx_client *c;

	for (unsigned workers = 1; workers <= 2; workers++) {
		fx_open(&fx, workers, &fake_net, "auth.enabled", "true", NULL);
		fake_store_account(&fx.store, "u1", "p1");
		fx.store.hold_opens = true;
		fake_net_hold(0, 1, true);
		c = fx_client(&fx, 0, 0);
		fx_send(c, "CONNECT a clean user=u1 password=p1");
		fx_run(&fx);
		fx.store.hold_opens = false;
		(void)fake_store_step(&fx.store);       /* the answer and the deletion come in one turn */
		fake_store_account_del(&fx.store, "u1");
		fx_run(&fx);
		fake_net_hold(0, 1, false);
		fx_expect_end(c);
		ck_assert_uint_eq(fx.w[0].worker->sessions.map.count, 0);
		fx_close(&fx);
	}
}
END_TEST

START_TEST(a_reset_in_the_turn_of_the_answer)
{
	struct fx_client *c;

	fx_open(&fx, 1, &fake_net, NULL);
	fx.store.hold_opens = true;
	c = fx_connect(&fx, 0, "a", FX_CLEAN);
	fx_run(&fx);
	fx.store.hold_opens = false;
	(void)fake_store_step(&fx.store);
	fake_store_reset(&fx.store);
	fx_run(&fx);
	fx_expect_end(c);
	fx_close(&fx);
}
END_TEST

/* [MQTT-3.1.3-6] [MQTT-3.1.3-7] [MQTT-3.1.3-8] */
START_TEST(empty_client_ids)
{
	struct fx_client *c;

	fx_open(&fx, 1, &fake_net, NULL);
	for (unsigned i = 0; i < 3; i++) {
		c = fx_connected(&fx, 0, "-", FX_CLEAN, false);
		fx_expect(c, "");
	}
	ck_assert_uint_eq(fx.w[0].worker->sessions.map.count, 3);
	c = fx_connect(&fx, 0, "-", 0);
	fx_expect(c, "CONNACK 2");
	fx_expect(c, "END");
	c = fx_connect(&fx, 0, "-", FX_CLEAN | FX_LEVEL3);
	fx_expect(c, "CONNACK 2");
	fx_expect(c, "END");
	fx_close(&fx);
}
END_TEST

START_TEST(levels)
{
	struct fx_client *c;

	fx_open(&fx, 1, &fake_net, NULL);
	c = fx_connect(&fx, 0, "three", FX_LEVEL3);
	fx_expect(c, "CONNACK 0");
	fx_send(c, "DISCONNECT");
	fx_expect(c, "END");
	c = fx_connect(&fx, 0, "three", FX_LEVEL3);     /* session present is reserved at level 3 */
	fx_expect(c, "CONNACK 0");
	c = fx_client(&fx, 0, 0);
	fx_send(c, "CONNECT five clean level=5");
	fx_expect(c, "CONNACK 132");
	fx_expect(c, "END");
	c = fx_client(&fx, 0, 0);
	buf_put_slice(&c->out, SLICE_LIT("\x10\x0d\x00\x04MQTT\x02\x02\x00\x00\x00\x01" "a"));
	fx_expect(c, "CONNACK 1");                      /* [MQTT-3.1.2-2] */
	fx_expect(c, "END");
	fx_close(&fx);
}
END_TEST

/* The bytes of the original: code, then the interval. */
START_TEST(keep_alive_negotiation)
{
	struct fx_client *c;

	fx_open(&fx, 1, &fake_net, "server.valid_keep_alive", "4-10", NULL);
	c = fx_client(&fx, 0, 0);
	fx_send(c, "CONNECT off clean keep=1");
	fx_expect(c, "CONNACK 0");
	fx_pass_ms(&fx, 1600);
	fx_expect(c, "END");                    /* not told, so what it asked for holds */
	fx_set(&fx, "extensions.keep_alive_negotiation", "true");
	for (unsigned level = 3; level <= 4; level++) {
		c = fx_client(&fx, 0, level == 3 ? FX_LEVEL3 : 0);
		fx_send(c, "CONNECT low clean keep=1");
		fx_run(&fx);
		ck_assert_uint_eq(buf_len(&c->in), 6);
		ck_assert_mem_eq(buf_slice(&c->in).p, "\x20\x04\x00\x00\x00\x04", 6);
		fx_expect(c, "CONNACK 0 keep=4");
		fx_pass_ms(&fx, 5900);
		fx_expect(c, "");
		fx_pass_ms(&fx, 200);
		fx_expect(c, "END");            /* 1.5 times the negotiated one */
	}
	c = fx_client(&fx, 0, 0);
	fx_send(c, "CONNECT high clean keep=3600");
	fx_expect(c, "CONNACK 0 keep=10");
	c = fx_client(&fx, 0, 0);
	fx_send(c, "CONNECT never clean keep=0");
	fx_expect(c, "CONNACK 0 keep=10");
	c = fx_client(&fx, 0, 0);
	fx_send(c, "CONNECT inside clean keep=10");
	fx_run(&fx);
	ck_assert_uint_eq(buf_len(&c->in), 4);
	fx_expect(c, "CONNACK 0");
	fx_pass_ms(&fx, 15100);
	fx_expect(c, "END");
	fx_set(&fx, "server.valid_keep_alive", "0-60");
	c = fx_client(&fx, 0, 0);
	fx_send(c, "CONNECT never clean keep=0");
	fx_expect(c, "CONNACK 0");
	fx_close(&fx);
}
END_TEST

static void
expect_bytes(struct fx_client *c, const char *bytes, size_t len)
{
	fx_run(&fx);
	ck_assert_uint_eq(buf_len(&c->in), len);
	ck_assert_mem_eq(buf_slice(&c->in).p, bytes, len);
}

/* The bytes of the original: code 6, the address, one redirection less; then the end. */
START_TEST(alternate_server)
{
	struct fx_client *c;

	fx_open(&fx, 1, &fake_net, "server.alternate", "tcp://b:1884", "auth.enabled", "true", NULL);
	c = fx_client(&fx, 0, FX_LEVEL3);
	fx_send(c, "CONNECT a clean recursion=3");              /* before anybody asks for a name */
	expect_bytes(c, "\x20\x12\x00\x06\x00\x0ctcp://b:1884\x00\x02", 20);
	fx_expect(c, "CONNACK 6 server=tcp://b:1884 recursion=2");
	fx_expect(c, "END");
	c = fx_client(&fx, 0, FX_LEVEL3);
	fx_send(c, "CONNECT a clean recursion=1");
	fx_expect(c, "CONNACK 6 server=tcp://b:1884 recursion=0");
	fx_expect(c, "END");
	c = fx_client(&fx, 0, FX_LEVEL3 | FX_ALLOWED);
	fx_send(c, "CONNECT a clean recursion=0");              /* follows nobody any more */
	fx_expect(c, "CONNACK 0");
	c = fx_connect(&fx, 0, "b", FX_LEVEL3 | FX_CLEAN | FX_ALLOWED);
	fx_expect(c, "CONNACK 0");
	c = fx_client(&fx, 0, 0);
	fx_send(c, "CONNECT a clean recursion=1");              /* [MQTT-3.1.2-3] */
	fx_expect(c, "END");
	fx_set(&fx, "extensions.alternate_server_v4", "true");
	c = fx_client(&fx, 0, 0);
	fx_send(c, "CONNECT a clean recursion=65535");
	fx_expect(c, "CONNACK 6 server=tcp://b:1884 recursion=65534");
	fx_expect(c, "END");
	fx_set(&fx, "server.alternate", "");
	c = fx_client(&fx, 0, FX_ALLOWED);
	fx_send(c, "CONNECT a clean recursion=1");
	fx_expect(c, "CONNACK 0");
	fx_close(&fx);
}
END_TEST

/* [MQTT-3.1.0-1] [MQTT-3.1.0-2] */
START_TEST(connect_first_and_once)
{
	static const char *const early[] = { "PINGREQ", "PUBLISH t x", "SUBSCRIBE 1 t 0", "DISCONNECT", "PUBACK 1" };
	struct fx_client *c;

	fx_open(&fx, 1, &fake_net, NULL);
	for (size_t i = 0; i < sizeof early / sizeof early[0]; i++) {
		c = fx_client(&fx, 0, 0);
		fx_send(c, early[i]);
		fx_expect(c, "END");
	}
	c = fx_connected(&fx, 0, "a", FX_CLEAN, false);
	fx_send(c, "CONNECT a clean");
	fx_expect(c, "END");
	fx_close(&fx);
}
END_TEST

START_TEST(a_durable_session_waits_for_its_row)
{
	struct fx_client *c;

	fx_open(&fx, 1, &fake_net, NULL);
	fx.store.hold_commits = true;
	c = fx_connect(&fx, 0, "a", 0);
	fx_expect(c, "");
	ck_assert(!fake_store_row(&fx.store, "a"));
	fx.store.hold_commits = false;
	fx_expect(c, "CONNACK 0");
	ck_assert(fake_store_row(&fx.store, "a"));
	/* Known already: nothing to write. */
	fx_client_close(c);
	fx_run(&fx);
	fx.store.hold_commits = true;
	c = fx_connected(&fx, 0, "a", 0, true);
	fx_close(&fx);
}
END_TEST

START_TEST(a_row_that_cannot_be_written)
{
	struct fx_client *c;

	fx_open(&fx, 1, &fake_net, NULL);
	fx.store.fail_writes = FB_EDISK;
	c = fx_connect(&fx, 0, "a", 0);
	fx_expect(c, "CONNACK 3");
	fx_expect(c, "END");
	fx.store.fail_writes = 0;
	c = fx_connected(&fx, 0, "a", 0, false);
	fx_expect(c, "");
	ck_assert(fake_store_row(&fx.store, "a"));
	fx_close(&fx);
}
END_TEST

START_TEST(connack_waits_for_the_neighbours)
{
	struct fx_client *c;

	fx_open(&fx, 2, &fake_net, NULL);
	fake_net_hold(0, 1, true);
	c = fx_connect(&fx, 0, "a", FX_CLEAN);
	fx_expect(c, "");
	fake_net_hold(0, 1, false);
	fx_expect(c, "CONNACK 0");
	/* A neighbour that dies is not waited for. */
	fake_net_hold(0, 1, true);
	c = fx_connect(&fx, 0, "b", FX_CLEAN);
	fx_expect(c, "");
	fx_worker_kill(&fx, 1);
	fx_expect(c, "CONNACK 0");
	fx_close(&fx);
}
END_TEST

START_TEST(time_limits)
{
	struct fx_client *silent, *slow, *kept, *lazy;

	fx_open(&fx, 1, &fake_net, "server.timeout", "2s", NULL);
	silent = fx_client(&fx, 0, 0);
	slow = fx_client(&fx, 0, 0);
	buf_put_slice(&slow->out, SLICE_LIT("\x10\x20\x00\x04MQ"));
	kept = fx_client(&fx, 0, 0);
	fx_send(kept, "CONNECT kept clean keep=10");
	fx_expect(kept, "CONNACK 0");
	lazy = fx_client(&fx, 0, 0);
	fx_send(lazy, "CONNECT lazy clean keep=10");
	fx_expect(lazy, "CONNACK 0");
	fx_pass_ms(&fx, 1900);
	fx_expect(silent, "");
	fx_pass_ms(&fx, 200);
	fx_expect(silent, "END");
	fx_expect(slow, "END");
	fx_pass_ms(&fx, 12000);
	fx_send(kept, "PINGREQ");
	fx_expect(kept, "PINGRESP");
	fx_expect(lazy, "");
	fx_pass_ms(&fx, 1200);
	fx_expect(lazy, "END");                         /* [MQTT-3.1.2-24] */
	fx_pass_ms(&fx, 12000);
	fx_expect(kept, "");
	fx_pass_ms(&fx, 3000);
	fx_expect(kept, "END");
	fx.store.hold_opens = true;
	slow = fx_connect(&fx, 0, "slow", FX_CLEAN);
	fx_pass_ms(&fx, 2100);
	fx_expect(slow, "END");
	fx.store.hold_opens = false;
	fx_run(&fx);
	ck_assert_int_eq(fake_store_owner(&fx.store, "slow"), -1);
	fx_close(&fx);
}
END_TEST

/* A client need not wait for the CONNACK. */
START_TEST(packets_behind_connect)
{
	struct fx_client *c;

	fx_open(&fx, 1, &fake_net, NULL);
	fx.store.hold_opens = true;
	c = fx_connect(&fx, 0, "a", FX_CLEAN);
	fx_send(c, "SUBSCRIBE 1 t 0");
	for (unsigned i = 0; i < 40; i++)
		fx_send(c, "PUBLISH t *10000");
	fx_send(c, "PINGREQ");
	fx_expect(c, "");
	fx.store.hold_opens = false;
	fx_expect(c, "CONNACK 0");
	fx_expect(c, "SUBACK 1 0");
	for (unsigned i = 0; i < 40; i++)
		fx_expect(c, "PUBLISH t *10000");
	fx_expect(c, "PINGRESP");
	fx_close(&fx);
}
END_TEST

START_TEST(wills)
{
	struct fx_client *a, *b;

	fx_open(&fx, 2, &fake_net, NULL);
	b = fx_connected(&fx, 1, "b", FX_CLEAN, false);
	fx_send(b, "SUBSCRIBE 1 will/# 2");
	fx_expect(b, "SUBACK 1 2");
	a = fx_client(&fx, 0, 0);
	fx_send(a, "CONNECT a clean will=will/a,1,1,gone");
	fx_expect(a, "CONNACK 0");
	fx_client_close(a);
	fx_expect(b, "PUBLISH will/a gone qos=1,1");    /* [MQTT-3.1.2-8] */
	ck_assert_str_eq(fake_store_retained(&fx.store, "will/a"), "gone");     /* [MQTT-3.1.2-17] */
	a = fx_client(&fx, 0, 0);
	fx_send(a, "CONNECT a clean will=will/a,0,0,unheard");
	fx_expect(a, "CONNACK 0");
	fx_send(a, "DISCONNECT");                       /* [MQTT-3.14.4-3] */
	fx_expect(a, "END");
	fx_expect(b, "");
	a = fx_client(&fx, 0, 0);
	fx_send(a, "CONNECT a clean will=will/a,0,0,ousted");
	fx_expect(a, "CONNACK 0");
	fx_connected(&fx, 0, "a", FX_CLEAN, false);
	fx_expect(a, "END");
	fx_expect(b, "PUBLISH will/a ousted");
	a = fx_client(&fx, 0, 0);
	fx_send(a, "CONNECT c clean will=will/#,0,0,never");
	fx_expect(a, "END");
	fx_close(&fx);
}
END_TEST

START_TEST(a_session_expires)
{
	struct fx_client *c;

	fx_open(&fx, 1, &fake_net, "session.max_age", "5s", NULL);
	c = fx_connected(&fx, 0, "a", 0, false);
	fx_client_close(c);
	fx_pass_ms(&fx, 4000);
	c = fx_connected(&fx, 0, "a", 0, true);
	fx_pass_ms(&fx, 20000);
	fx_client_close(c);
	fx_pass_ms(&fx, 4900);
	ck_assert(fake_store_row(&fx.store, "a"));
	fx_pass_ms(&fx, 200);
	ck_assert(!fake_store_row(&fx.store, "a"));
	ck_assert_int_eq(fake_store_owner(&fx.store, "a"), -1);
	ck_assert_ptr_null(fx_session(&fx, 0, "a"));
	fx_close(&fx);
}
END_TEST

/* It expires between CONNECT and the store's answer: then it is a new one, in the store too. */
START_TEST(it_expires_while_its_client_comes_back)
{
	struct fx_client *c;

	fx_open(&fx, 1, &fake_net, "session.max_age", "5s", NULL);
	c = fx_connected(&fx, 0, "a", 0, false);
	fx_send(c, "SUBSCRIBE 1 t 1");
	fx_expect(c, "SUBACK 1 1");
	fx_client_close(c);
	fx_pass_ms(&fx, 4900);
	/* The store has answered before it reads the end of the session, the worker reads the answer behind it. */
	c = fx_connect(&fx, 0, "a", 0);
	fx.store.hold_opens = true;
	fx_run(&fx);
	fx_pass_ms(&fx, 200);
	fx.store.hold_opens = false;
	if (strcmp(fx_next(c), "CONNACK 0") == 0)
		ck_assert_int_eq(fake_store_sub(&fx.store, "a", "t"), -1);
	else
		ck_assert_int_eq(fake_store_sub(&fx.store, "a", "t"), 1);
	ck_assert(fake_store_row(&fx.store, "a"));
	fx_close(&fx);
}
END_TEST

START_TEST(the_store_restarts)
{
	struct fx_client *a, *b;

	fx_open(&fx, 2, &fake_net, NULL);
	a = fx_connected(&fx, 0, "a", 0, false);
	fx.store.hold_opens = true;
	b = fx_connect(&fx, 1, "b", 0);
	fx_run(&fx);
	fx_store_kill(&fx);
	fx_expect(b, "");
	fx_send(a, "PINGREQ");
	fx_expect(a, "PINGRESP");
	fx.store.hold_opens = false;
	fx_store_start(&fx);
	fx_expect(b, "CONNACK 0");
	ck_assert_int_eq(fake_store_owner(&fx.store, "a"), 0);
	ck_assert_int_eq(fake_store_owner(&fx.store, "b"), 1);
	fx_connected(&fx, 1, "a", 0, true);
	fx_expect(a, "END");
	ck_assert_int_eq(fake_store_owner(&fx.store, "a"), 1);
	fx_close(&fx);
}
END_TEST

/* A durable session comes back with its worker. */
START_TEST(the_worker_restarts)
{
	struct fx_client *a, *b;

	fx_open(&fx, 2, &fake_net, NULL);
	a = fx_connected(&fx, 0, "a", 0, false);
	fx_send(a, "SUBSCRIBE 1 t 1");
	fx_expect(a, "SUBACK 1 1");
	fx_worker_kill(&fx, 0);
	fx_expect(a, "END");
	fx_run(&fx);
	b = fx_connected(&fx, 1, "b", FX_CLEAN, false);
	fx_worker_start(&fx, 0);
	fx_run(&fx);
	ck_assert(fx.w[0].ready);
	fx_send(b, "PUBLISH t x qos=1,1");
	fx_expect(b, "PUBACK 1");
	a = fx_connected(&fx, 1, "a", 0, true);
	fx_expect(a, "PUBLISH t x qos=1,*");    /* ids begin somewhere else when a row is loaded */
	fx_close(&fx);
}
END_TEST

/* Everything is cleared while a CONNECT is being worked on. */
START_TEST(reset_while_connecting)
{
	struct fx_client *c;

	fx_open(&fx, 2, &fake_net, NULL);
	fx_connected(&fx, 0, "old", 0, false);
	fake_net_hold(0, 1, true);
	c = fx_connect(&fx, 0, "a", 0);
	fx_run(&fx);
	fake_store_reset(&fx.store);
	fx_run(&fx);
	fake_net_hold(0, 1, false);
	fx_expect(c, "END");
	ck_assert_uint_eq(fx.w[0].worker->sessions.map.count, 0);
	fx_connected(&fx, 1, "a", 0, false);
	fx_close(&fx);
}
END_TEST

START_TEST(disowned)
{
	struct fx_client *c;

	fx_open(&fx, 2, &fake_net, NULL);
	c = fx_connected(&fx, 0, "a", 0, false);
	fake_store_disown(&fx.store, 0, "a", fx_session(&fx, 0, "a")->stamp - 1);    /* an earlier one */
	fx_run(&fx);
	ck_assert_ptr_nonnull(fx_session(&fx, 0, "a"));
	fake_store_disown(&fx.store, 0, "a", fx_session(&fx, 0, "a")->stamp);
	fx_expect(c, "END");
	ck_assert_ptr_null(fx_session(&fx, 0, "a"));
	ck_assert(fake_store_row(&fx.store, "a"));
	/* One whose CONNECT is in its last step and whose client has gone. */
	fake_net_hold(0, 1, true);
	c = fx_connect(&fx, 0, "b", FX_CLEAN);
	fx_run(&fx);
	fx_client_close(c);
	fx_run(&fx);
	fake_store_disown(&fx.store, 0, "b", fx_session(&fx, 0, "b")->stamp);
	fx_run(&fx);
	fake_net_hold(0, 1, false);
	fx_run(&fx);
	ck_assert_ptr_null(fx_session(&fx, 0, "b"));
	fx_close(&fx);
}
END_TEST

START_TEST(a_worker_stops)
{
	struct fx_client *c;

	fx_open(&fx, 1, &fake_net, NULL);
	c = fx_connected(&fx, 0, "a", 0, false);
	fx_sup_stop(&fx, 0);
	fx_expect(c, "END");
	fx_client_close(c);
	fx_pass_ms(&fx, 1000);
	ck_assert(!loop_turn(fx.w[0].loop, false));
	fx_close(&fx);
}
END_TEST

UNIT_MAIN("connect", clean_session_begins_and_ends, refusals, accounts, a_session_belongs_to_its_account,
    an_account_goes_meanwhile, a_reset_in_the_turn_of_the_answer, empty_client_ids, levels, keep_alive_negotiation,
    alternate_server, connect_first_and_once, a_durable_session_waits_for_its_row, a_row_that_cannot_be_written,
    connack_waits_for_the_neighbours, time_limits, packets_behind_connect, wills, a_session_expires,
    it_expires_while_its_client_comes_back, the_store_restarts, the_worker_restarts, reset_while_connecting, disowned,
    a_worker_stops)
