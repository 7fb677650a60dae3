/* SPDX-License-Identifier: Apache-2.0
 * Acknowledgements of what we sent (PUBACK, PUBREC, PUBCOMP). An unknown packet id is no violation: the first acknowledgement of a repeated message freed it. */
#include "common/metrics/page.h"
#include "common/mqtt/decode.h"
#include "common/mqtt/encode.h"
#include "worker/count.h"
#include "worker/deliver.h"
#include "worker/dispatch.h"
#include "worker/flow.h"
#include "worker/keep.h"
#include "worker/release.h"
#include "worker/shared.h"
#include "worker/worker.h"

static void
answer(struct conn *c, enum mqtt_type type, uint16_t packet_id)
{
	struct mqtt_ack ack = { .packet_id = packet_id };

	encode_ack(conn_out(c), type, c->level, &ack);
	count_sent(type);
	conn_touch(c);
}

static struct inflight *
slot_of(struct conn *c, uint16_t packet_id)
{
	return c->session->flow == NULL ? NULL : flow_find(c->session->flow, packet_id);
}

/* Of a slot that slot_of() found. */
static uint64_t
place_of(struct conn *c, uint16_t packet_id)
{
	return flow_place(c->session->flow, packet_id);
}

int
do_puback(struct conn *c, const struct frame *f, struct violation *v)
{
	struct mqtt_ack ack;
	struct inflight *slot;

	if (decode_ack(f, c->level, &ack, v) != 0)
		return FB_EPROTO;
	slot = slot_of(c, ack.packet_id);
	if (slot == NULL || slot->qos != 1)
		return 0;
	if (slot->lease != 0)
		shared_done(c->worker, slot->lease);
	if (slot->stored != STORED_NO)
		keep_slot_gone(c->worker, c->session, slot, place_of(c, ack.packet_id));
	flow_release(c->session->flow, slot);
	deliver_pump(c->worker, c->session);
	return 0;
}

int
do_pubrec(struct conn *c, const struct frame *f, struct violation *v)
{
	struct mqtt_ack ack;
	struct inflight *slot;

	if (decode_ack(f, c->level, &ack, v) != 0)
		return FB_EPROTO;
	slot = slot_of(c, ack.packet_id);
	if (slot != NULL && slot->qos == 2 && slot->msg != NULL) {
		if (slot->lease != 0)
			shared_done(c->worker, slot->lease);
		slot->lease = 0;
		msg_drop(slot->msg);
		slot->msg = NULL;
		if (slot->stored == STORED_ON) {
			release_start(c->worker, c->session, place_of(c, ack.packet_id));
			return 0;       /* PUBREL follows */
		}
		slot->released = true;
	} else if (slot != NULL && slot->qos == 2 && !slot->released) {
		return 0;
	}
	/* Also for an id that we do not know: it lets the client finish. [MQTT-4.3.3-1] */
	answer(c, MQTT_PUBREL, ack.packet_id);
	return 0;
}

int
do_pubcomp(struct conn *c, const struct frame *f, struct violation *v)
{
	struct mqtt_ack ack;
	struct inflight *slot;

	if (decode_ack(f, c->level, &ack, v) != 0)
		return FB_EPROTO;
	slot = slot_of(c, ack.packet_id);
	if (slot == NULL || slot->qos != 2 || !slot->released)
		return 0;
	if (slot->stored != STORED_NO)
		keep_slot_gone(c->worker, c->session, slot, place_of(c, ack.packet_id));
	flow_release(c->session->flow, slot);
	deliver_pump(c->worker, c->session);
	return 0;
}
