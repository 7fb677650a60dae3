/* SPDX-License-Identifier: Apache-2.0
 * CONNECT from the packet to the CONNACK: who may in, whose session it is, several at once, what goes wrong. */
#include "t/support/fake_cluster.h"
#include "t/support/unit.h"
#include "t/support/worker_fixture.h"

#include "common/base/err.h"

static struct fx fx;

START_TEST(clean_session_begins_and_ends)
{
	struct fx_client *c;

	fx_open(&fx, 1, &fake_net, NULL);
	c = fx_connect(&fx, 0, "a", FX_CLEAN);
	fx_expect(c, "CONNACK 0");
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

UNIT_MAIN("connect", clean_session_begins_and_ends)
