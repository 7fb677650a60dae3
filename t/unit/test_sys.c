/* SPDX-License-Identifier: Apache-2.0
 * $SYS: what the supervisor says goes to subscribers, live and on subscribing; what clients say there does not. */
#include "common/ipc/chan.h"
#include "common/ipc/codec.h"
#include "t/support/fake_cluster.h"
#include "t/support/unit.h"
#include "t/support/worker_fixture.h"
#include "worker/sys.h"
#include "worker/worker.h"

static struct fx fx;

static void
say(const char *topic, const char *value)
{
	for (unsigned i = 0; i < fx.slots; i++)
		CHAN_SEND(fx.w[i].sup, SYS, sys, .topic = slice_str(topic), .value = slice_str(value));
	fx_run(&fx);
}

START_TEST(names)
{
	static const char *const yes[] = { "$SYS", "$SYS/", "$SYS/#", "$SYS/broker/uptime" };
	static const char *const no[] = { "", "$", "$SY", "$SYSTEM", "$SYS2/x", "a/$SYS", "$share/g/$SYS/#", "#", "+/broker" };

	for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++)
		ck_assert(sys_is(slice_str(yes[i])));
	for (size_t i = 0; i < sizeof no / sizeof no[0]; i++)
		ck_assert(!sys_is(slice_str(no[i])));
}
END_TEST

START_TEST(live_and_on_subscribing)
{
	struct fx_client *a, *b, *c;

	fx_open(&fx, 2, &fake_net, "features.retained", "false", NULL);
	a = fx_connected(&fx, 0, "a", FX_CLEAN, false);
	b = fx_connected(&fx, 1, "b", FX_CLEAN, false);
	c = fx_connected(&fx, 1, "c", FX_CLEAN, false);
	fx_send(a, "SUBSCRIBE 1 $SYS/broker/+ 2");
	fx_expect(a, "SUBACK 1 2");
	fx_expect(a, "");
	fx_send(c, "SUBSCRIBE 1 # 0 +/broker/uptime 0");
	fx_expect(c, "SUBACK 1 0 0");
	say("$SYS/broker/uptime", "1 seconds");
	say("$SYS/broker/clients/total", "3");
	say("$SYS/broker/version", "fubar");
	fx_expect(a, "PUBLISH $SYS/broker/uptime 1 seconds");           /* once, though both workers know it */
	fx_expect(a, "PUBLISH $SYS/broker/version fubar");
	fx_expect(a, "");
	say("$SYS/broker/uptime", "2 seconds");
	fx_expect(a, "PUBLISH $SYS/broker/uptime 2 seconds");
	fx_send(b, "SUBSCRIBE 1 $SYS/# 1");
	fx_expect(b, "SUBACK 1 1");
	fx_expect(b, "PUBLISH $SYS/broker/uptime 2 seconds retain");    /* in its old place */
	fx_expect(b, "PUBLISH $SYS/broker/clients/total 3 retain");
	fx_expect(b, "PUBLISH $SYS/broker/version fubar retain");
	fx_expect(b, "");
	say("$SYS/broker/uptime", "");                                  /* gone, and nobody is told */
	fx_send(b, "SUBSCRIBE 2 $SYS/broker/uptime 0");
	fx_expect(b, "SUBACK 2 0");
	fx_expect(b, "");
	fx_expect(c, "");                                               /* [MQTT-4.7.2-1] */
	ck_assert_uint_eq(fx.store.writes, 0);
	fx_close(&fx);
}
END_TEST

/* Level 3 and 4 clients cannot be told: it is acknowledged, and nobody gets it. */
START_TEST(clients_do_not_publish_there)
{
	struct fx_client *a, *b;

	fx_open(&fx, 2, &fake_net, NULL);
	a = fx_connected(&fx, 0, "a", FX_CLEAN, false);
	fx_send(a, "SUBSCRIBE 1 $SYS/# 2 $else/# 0");
	fx_expect(a, "SUBACK 1 2 0");
	b = fx_client(&fx, 1, 0);
	fx_send(b, "CONNECT b clean will=$SYS/will,1,0,x");
	fx_expect(b, "CONNACK 0");
	fx_send(b, "PUBLISH $SYS/x 0 retain");
	fx_send(b, "PUBLISH $SYS/x 1 qos=1,1 retain");
	fx_expect(b, "PUBACK 1");
	fx_send(b, "PUBLISH $SYS/broker/uptime 2 qos=2,2");
	fx_expect(b, "PUBREC 2");
	fx_send(b, "PUBREL 2");
	fx_expect(b, "PUBCOMP 2");
	fx_client_close(b);
	b = fx_connected(&fx, 1, "b", FX_CLEAN, false);
	fx_send(b, "PUBLISH $else/x other");
	fx_expect(a, "PUBLISH $else/x other");
	fx_expect(a, "");
	fx_close(&fx);
}
END_TEST

UNIT_MAIN("sys", names, live_and_on_subscribing, clients_do_not_publish_there)
