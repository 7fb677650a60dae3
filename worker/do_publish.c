/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/mem.h"
#include "common/ipc/qops.h"
#include "common/metrics/page.h"
#include "common/mqtt/decode.h"
#include "common/mqtt/encode.h"
#include "common/mqtt/topic.h"
#include "worker/barrier.h"
#include "worker/count.h"
#include "worker/dispatch.h"
#include "worker/durability.h"
#include "worker/move.h"
#include "worker/publish.h"
#include "worker/queuec.h"
#include "worker/rights.h"
#include "worker/seen.h"
#include "worker/session.h"
#include "worker/storec.h"
#include "worker/sys.h"
#include "worker/trace.h"
#include "worker/will.h"
#include "worker/worker.h"

static void
send_ack(struct conn *c, uint8_t qos, uint16_t packet_id)
{
	static const enum mqtt_type types[] = { [WAITING_PUBREL] = MQTT_PUBCOMP, MQTT_PUBACK, MQTT_PUBREC };
	struct mqtt_ack ack = { .packet_id = packet_id };

	encode_ack(conn_out(c), types[qos], c->level, &ack);
	count_sent(types[qos]);
	conn_touch(c);
}

/* A neighbour or the store is behind, or the memory short: no more from those who wait for an acknowledgement. */
static bool
backed_up(const struct worker *w)
{
	return budget_holds(w) || storec_full(w->store) || queuec_full(w->queue) || (w->cluster != NULL && cluster_congested(w->cluster));
}

/* Acknowledges in the order in which the publishes came. [MQTT-4.6.0-2] [MQTT-4.6.0-3] */
static void
send_ready_acks(struct conn *c)
{
	struct waiting *w;

	while (c->waiting != NULL && (w = LIST_FIRST(&c->waiting->list, struct waiting, link)) != NULL && w->legs == 0) {
		bool failed = w->failed;

		if (!failed && c->state == CONN_READY)
			send_ack(c, w->qos, w->packet_id);
		/* Not kept: if it comes again it is a new one. */
		if (failed && w->qos == 2 && c->session != NULL)
			bitmap_del(&session_flow(c->worker, c->session)->received, w->packet_id);
		list_del(&w->link);
		c->waiting->count--;
		waiting_free(w);
		if (list_empty(&c->waiting->list)) {
			mem_free(c->waiting);
			c->waiting = NULL;
		}
		if (failed) {
			conn_close(c, "a message could not be kept");
			return;
		}
	}
	publish_go_on(c);
}

void
publish_go_on(struct conn *c)
{
	const struct worker *w = c->worker;

	if ((c->flags & CONN_WAIT_KEPT) == 0 || budget_holds(w))
		return;
	if (c->waiting == NULL || (!backed_up(w) && c->waiting->count <= w->config.max_wait / 2)) {
		c->flags = (uint16_t)(c->flags & ~CONN_WAIT_KEPT);
		conn_resume(c);
	}
}

/* Its connection is gone, its session is not. */
static void
orphan_closed(struct waiting *w)
{
	struct session *s = w->orphan_of;

	if (w->failed)
		bitmap_del(&s->flow->received, w->packet_id);
	list_del(&w->link);
	waiting_free(w);
	if (s->move != NULL)
		move_on_orphan_closed(s->move);
}

void
publish_leg_closed(void *arg, bool failed)
{
	struct waiting *w = arg;

	FB_ASSERT(w->legs > 0);
	w->failed = w->failed || failed;
	if (--w->legs > 0)
		return;
	if (__builtin_expect(w->conn != NULL, 1)) {
		if (w->link.prev == &w->conn->waiting->list)
			send_ready_acks(w->conn);
	} else if (w->orphan_of != NULL) {
		orphan_closed(w);
	} else if (w->will) {
		will_kept(w);
	} else {
		list_del(&w->link);
		waiting_free(w);
	}
}

/* size: of the struct that it is the beginning of. */
static struct waiting *
waiting_new(struct conn *c, size_t size, uint8_t qos, uint16_t packet_id)
{
	size_t real;
	struct waiting *w = mem_slab_get(size, &real);

	*w = (struct waiting){ .conn = c, .qos = qos, .packet_id = packet_id, .legs = 1, .real_size = (uint32_t)real };
	METRIC_ADD(acks_waiting, 1);
	conn_add_waiting(c, w);
	return w;
}

/* A level 3 or 4 client cannot be told that it may not: it gets its acknowledgement, and nobody the message. */
static bool
may_publish(struct conn *c, struct cluster_pub *pub)
{
	if (__builtin_expect(pub->topic.p[0] == '$', 0) && sys_is(pub->topic)) {
		METRIC_ADD(refused_publish, 1);
		return false;
	}
	return !rights_apply(c->worker, RIGHT_PUBLISH | RIGHT_SEND) || rights_publish(c->worker, c->session, pub);
}

static void
publish_qos0(struct conn *c, struct cluster_pub *pub)
{
	METRIC_ADD(publish_in_qos0, 1);
	if (may_publish(c, pub))
		publish(c->worker, pub, NULL);
}

static void
limit_waiting(struct conn *c)
{
	const struct worker *w = c->worker;

	if (c->waiting != NULL && (c->waiting->count >= (uint32_t)w->config.max_wait || backed_up(w)))
		c->flags |= CONN_WAIT_KEPT;
}

static void
publish_acked(struct conn *c, struct cluster_pub *pub, uint16_t packet_id)
{
	struct worker *w = c->worker;
	bool may = may_publish(c, pub);
	struct waiting *wait;

	/* The only worker and nothing to store: kept when this call returns. */
	if ((w->cluster == NULL || !may) && !pub->retain && !pub->disk && c->waiting == NULL) {
		if (may)
			publish(w, pub, NULL);
		send_ack(c, pub->qos, packet_id);
		if (budget_holds(w))
			c->flags |= CONN_WAIT_KEPT;
		return;
	}
	wait = waiting_new(c, sizeof *wait, pub->qos, packet_id);
	if (may)
		publish(w, pub, wait);
	publish_leg_closed(wait, false);
	limit_waiting(c);
}

static struct waiting *
waiting_of(struct list *list, uint16_t packet_id)
{
	LIST_EACH(l, list) {
		struct waiting *w = container_of(l, struct waiting, link);

		if (w->qos == 2 && w->packet_id == packet_id)
			return w;
	}
	return NULL;
}

/* A QoS 2 publish that came before is not delivered again [MQTT-4.3.3-2]. Its PUBREC goes out again, unless the first
 * is still to come. */
static void
repeated(struct conn *c, uint16_t packet_id)
{
	struct waiting *orphan = waiting_of(&c->session->flow->orphans, packet_id);

	if (orphan != NULL)
		conn_adopt(c, orphan);
	else if (c->waiting == NULL || waiting_of(&c->waiting->list, packet_id) == NULL)
		send_ack(c, 2, packet_id);
}

int
do_publish(struct conn *c, const struct frame *f, struct violation *v)
{
	struct worker *w = c->worker;
	struct mqtt_publish p;
	struct cluster_pub pub;

	if (decode_publish(f, c->level, &p, v) != 0)
		return FB_EPROTO;
	if (p.topic.len >= (size_t)w->config.max_levels && topic_levels(p.topic) > (uint32_t)w->config.max_levels) {
		*v = (struct violation){ MQTT_R_BAD_TOPIC_NAME, "the topic has more levels than mqtt.max_topic_levels" };
		return FB_EPROTO;
	}
	pub = (struct cluster_pub){ .topic = p.topic, .payload = p.payload, .props = p.props, .qos = p.qos,
		.retain = p.retain, .sender = session_id(c->session) };
	METRIC_ADD(publish_bytes_in, p.payload.len);
	if (trace_any(w))
		trace_publish(w, c->session, &pub);
	if (p.qos == 0) {
		publish_qos0(c, &pub);
		return 0;
	}
	pub.disk = durability_disk(w, c->listener, p.topic);
	if (p.qos == 1) {
		METRIC_ADD(publish_in_qos1, 1);
		publish_acked(c, &pub, p.packet_id);
		return 0;
	}
	METRIC_ADD(publish_in_qos2, 1);
	if (pub.disk && c->session->qid != 0)
		pub.qos2_id = qos2_id_of(c->session->qid, p.packet_id);
	if (!bitmap_put(&session_flow(w, c->session)->received, p.packet_id)) {
		repeated(c, p.packet_id);
		return 0;
	}
	publish_acked(c, &pub, p.packet_id);
	return 0;
}

/* A PUBREL that is answered when nobody remembers its publish any more. */
struct release {
	struct waiting waiting;         /* the first */
	struct barrier_wait told;
};

static void
on_forgotten(void *arg, const struct queue_answer *a)
{
	(void)a;
	publish_leg_closed(arg, false);
}

static void
on_told(struct barrier_wait *b)
{
	publish_leg_closed(&container_of(b, struct release, told)->waiting, false);
}

/* Had the publish an identity? A worker that was started since does not know. */
static bool
may_have_identity(const struct conn *c, uint64_t id)
{
	const struct worker *w = c->worker;

	return c->session->qid != 0 &&
	    ((w->disk_listeners >> c->listener & 1) != 0 || w->disk_topics != NULL || seen_has(w, id));
}

int
do_pubrel(struct conn *c, const struct frame *f, struct violation *v)
{
	struct worker *w = c->worker;
	struct mqtt_ack ack;
	struct release *r;
	uint64_t id;

	if (decode_ack(f, c->level, &ack, v) != 0)
		return FB_EPROTO;
	if (c->session->flow != NULL)
		bitmap_del(&c->session->flow->received, ack.packet_id);
	id = qos2_id_of(c->session->qid, ack.packet_id);
	if (!may_have_identity(c, id)) {
		send_ack(c, WAITING_PUBREL, ack.packet_id);     /* [MQTT-4.3.3-2] */
		return 0;
	}
	/* From PUBCOMP on its packet id may stand for another publish. */
	r = container_of(waiting_new(c, sizeof *r, WAITING_PUBREL, ack.packet_id), struct release, waiting);
	r->told = (struct barrier_wait){ .done = on_told };
	seen_release(w, id);
	if (w->cluster != NULL) {
		r->waiting.legs++;
		barrier_join(w, &r->told);
	}
	r->waiting.legs++;
	queuec_forget_id(w->queue, id, on_forgotten, &r->waiting);
	publish_leg_closed(&r->waiting, false);
	limit_waiting(c);
	return 0;
}
