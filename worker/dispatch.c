/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/dispatch.h"

#include "common/metrics/page.h"
#include "worker/worker.h"

typedef int handler(struct conn *c, const struct frame *f, struct violation *v);

static int
out_of_place(struct conn *c, const struct frame *f, struct violation *v)
{
	/* The first packet must be CONNECT [MQTT-3.1.0-1], a second CONNECT is a violation [MQTT-3.1.0-2]; the rest are
	 * packets that only a server sends. */
	v->reason = MQTT_R_PROTOCOL_ERROR;
	v->statement = c->state == CONN_NEW ? "MQTT-3.1.0-1" :
	    f->type == MQTT_CONNECT	    ? "MQTT-3.1.0-2" :
					      "a packet that a client must not send";
	return FB_EPROTO;
}

static handler *const table[16][2] = {          /* before and after CONNECT */
	[0] = { out_of_place, out_of_place },
	[MQTT_CONNECT] = { do_connect, out_of_place },
	[MQTT_CONNACK] = { out_of_place, out_of_place },
	[MQTT_PUBLISH] = { out_of_place, do_publish },
	[MQTT_PUBACK] = { out_of_place, do_puback },
	[MQTT_PUBREC] = { out_of_place, do_pubrec },
	[MQTT_PUBREL] = { out_of_place, do_pubrel },
	[MQTT_PUBCOMP] = { out_of_place, do_pubcomp },
	[MQTT_SUBSCRIBE] = { out_of_place, do_subscribe },
	[MQTT_SUBACK] = { out_of_place, out_of_place },
	[MQTT_UNSUBSCRIBE] = { out_of_place, do_unsubscribe },
	[MQTT_UNSUBACK] = { out_of_place, out_of_place },
	[MQTT_PINGREQ] = { out_of_place, do_pingreq },
	[MQTT_PINGRESP] = { out_of_place, out_of_place },
	[MQTT_DISCONNECT] = { out_of_place, do_disconnect },
	[MQTT_AUTH] = { out_of_place, out_of_place },
};

void
dispatch(struct conn *c, const struct frame *f)
{
	struct violation v = { MQTT_R_UNSPECIFIED, "" };
	int err = table[f->type & 15][c->state == CONN_READY](c, f, &v);

	if (__builtin_expect(err == FB_EPROTO, 0)) {
		/* Before CONNECT nothing is answered but to a CONNECT. */
		if (c->state == CONN_NEW && f->type != MQTT_CONNECT)
			conn_violate_silently(c, &v);
		else
			conn_violate(c, &v);
	}
}
