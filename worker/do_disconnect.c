/* SPDX-License-Identifier: Apache-2.0 */
#include "common/metrics/page.h"
#include "common/mqtt/decode.h"
#include "common/mqtt/encode.h"
#include "worker/count.h"
#include "worker/dispatch.h"

int
do_pingreq(struct conn *c, const struct frame *f, struct violation *v)
{
	if (decode_ping(f, v) != 0)
		return FB_EPROTO;
	encode_ping(conn_out(c), MQTT_PINGRESP);        /* [MQTT-3.12.4-1] */
	count_sent(MQTT_PINGRESP);
	conn_touch(c);
	return 0;
}

int
do_disconnect(struct conn *c, const struct frame *f, struct violation *v)
{
	struct mqtt_disconnect d;

	if (decode_disconnect(f, c->level, &d, v) != 0)
		return FB_EPROTO;
	/* The will is thrown away. [MQTT-3.14.4-3] */
	if (d.reason != MQTT_R_DISCONNECT_WITH_WILL)
		c->flags |= CONN_GRACEFUL;
	if (conn_pending(c) > 0)
		conn_flush(c);          /* acknowledgements of the same turn */
	/* A transport above TCP has a goodbye of its own, which its clients wait for. */
	if (c->stream != NULL)
		conn_close_by(c, CONN_SIDE_CLIENT, "DISCONNECT");
	else
		conn_kill(c, CONN_SIDE_CLIENT, "DISCONNECT");
	return 0;
}
