/* SPDX-License-Identifier: Apache-2.0 */
#include "common/mqtt/client.h"

#include <stdlib.h>

#include "common/base/mem.h"
#include "common/mqtt/decode.h"
#include "common/mqtt/encode.h"
#include "common/mqtt/frame.h"
#include "common/mqtt/props.h"

#define PACKET_MAX UINT32_C(268435460)          /* the largest that the fixed header can say */
#define NEVER      ((struct mono){ INT64_MAX })
#define CALL(c, fn, ...) \
	do { \
		if ((c)->ops->fn != NULL) \
			(c)->ops->fn(c, __VA_ARGS__); \
	} while (0)

enum slot_kind { SLOT_FREE, SLOT_QOS1, SLOT_QOS2, SLOT_RELEASED, SLOT_SUBSCRIBE, SLOT_UNSUBSCRIBE };

struct client_slot {
	uint64_t token;
	uint8_t *copy;                  /* the encoded PUBLISH, from mem_slab_get(); NULL: none kept */
	uint32_t copy_len;
	uint32_t copy_cap;
	uint32_t order;
	uint16_t next_free;
	uint8_t kind;                   /* enum slot_kind */
};

/* ---- packet ids ---- */

static void
slots_grow(struct client *c)
{
	uint32_t old = c->slot_count;
	uint32_t count = old == 0 ? 8 : old * 2;

	if (count > UINT16_MAX)
		count = UINT16_MAX;
	if (count == old)
		return;
	c->slots = mem_realloc(c->slots, count * sizeof *c->slots);
	memset(c->slots + old, 0, (count - old) * sizeof *c->slots);
	for (uint32_t i = count; i > old; i--) {
		c->slots[i - 1].next_free = c->free_first;
		c->free_first = (uint16_t)i;
	}
	c->slot_count = (uint16_t)count;
}

/* A free id, the one freed last, so that few cache lines are in use; 0: none. */
static uint16_t
slot_take(struct client *c, enum slot_kind kind, uint64_t token)
{
	struct client_slot *s;
	uint16_t id;

	if (c->free_first == 0)
		slots_grow(c);
	id = c->free_first;
	if (id == 0)
		return 0;
	s = &c->slots[id - 1];
	c->free_first = s->next_free;
	s->token = token;
	s->kind = (uint8_t)kind;
	s->order = c->next_order++;
	return id;
}

static struct client_slot *
slot_get(struct client *c, uint16_t id, enum slot_kind kind)
{
	if (id == 0 || id > c->slot_count || c->slots[id - 1].kind != kind)
		return NULL;
	return &c->slots[id - 1];
}

static void
slot_drop_copy(struct client_slot *s)
{
	if (s->copy == NULL)
		return;
	mem_slab_put(s->copy, s->copy_cap);
	s->copy = NULL;
}

static void
slot_free(struct client *c, uint16_t id)
{
	struct client_slot *s = &c->slots[id - 1];

	if (s->kind <= SLOT_RELEASED)
		c->in_flight--;
	slot_drop_copy(s);
	s->kind = SLOT_FREE;
	s->next_free = c->free_first;
	c->free_first = id;
}

static void
sent(struct client *c, uint16_t id, uint8_t reason)
{
	uint64_t token = c->slots[id - 1].token;

	slot_free(c, id);
	CALL(c, on_sent, id, token, reason);
}

/* The last bytes of c->out are the PUBLISH. */
static void
slot_keep_copy(struct client *c, uint16_t id, size_t len)
{
	struct client_slot *s = &c->slots[id - 1];
	size_t cap = 0;

	s->copy = mem_slab_get(len, &cap);
	s->copy_len = (uint32_t)len;
	s->copy_cap = (uint32_t)cap;
	memcpy(s->copy, c->out.base + c->out.end - len, len);
}

/* Gives up every publish that is older than this call; a callback may begin new ones. */
static void
lose_all(struct client *c)
{
	uint32_t end = c->next_order;

	for (uint32_t i = 0; i < c->slot_count; i++) {
		struct client_slot *s = &c->slots[i];

		if (s->kind != SLOT_FREE && (int32_t)(s->order - end) < 0)
			sent(c, (uint16_t)(i + 1), CLIENT_LOST);
	}
}

/* ---- resending after a reconnect [MQTT-4.4.0-1] ---- */

struct pending {
	uint32_t order;
	uint16_t id;
};

static int
by_order(const void *a, const void *b)
{
	int32_t d = (int32_t)(((const struct pending *)a)->order - ((const struct pending *)b)->order);

	return d < 0 ? -1 : d > 0;
}

/* In the order of the first sending [MQTT-4.6.0-1]. PUBRELs come in their publish's place. */
static void
resend(struct client *c)
{
	struct pending *list;
	uint32_t n = 0;

	if (c->in_flight == 0)
		return;
	list = mem_alloc(c->in_flight * sizeof *list);
	for (uint32_t i = 0; i < c->slot_count; i++) {
		if (c->slots[i].kind != SLOT_FREE)
			list[n++] = (struct pending){ c->slots[i].order, (uint16_t)(i + 1) };
	}
	qsort(list, n, sizeof *list, by_order);
	for (uint32_t i = 0; i < n; i++) {
		struct client_slot *s = &c->slots[list[i].id - 1];

		if (s->kind == SLOT_RELEASED) {
			encode_ack(&c->out, MQTT_PUBREL, c->level, &(struct mqtt_ack){ .packet_id = list[i].id });
		} else if (s->copy != NULL) {
			s->copy[0] |= 0x08;                     /* DUP [MQTT-3.3.1-1] */
			buf_put(&c->out, s->copy, s->copy_len);
		}
	}
	for (uint32_t i = 0; i < n; i++) {
		struct client_slot *s = &c->slots[list[i].id - 1];

		if (s->order == list[i].order && s->copy == NULL && (s->kind == SLOT_QOS1 || s->kind == SLOT_QOS2))
			sent(c, list[i].id, CLIENT_LOST);
	}
	mem_free(list);
}

/* ---- life ---- */

void
client_init(struct client *c, const struct client_ops *ops, void *arg)
{
	memset(c, 0, sizeof *c);
	c->ops = ops;
	c->arg = arg;
	c->max_packet = PACKET_MAX;
	c->window = UINT16_MAX;
	c->peer_receive_max = UINT16_MAX;
	c->peer_max_packet = PACKET_MAX;
	c->deadline = NEVER;
	buf_init(&c->out);
	bitmap_init(&c->qos2_in);
}

static void
aliases_fini(struct client *c)
{
	if (c->aliases == NULL)
		return;
	for (uint32_t i = 0; i < c->alias_max; i++)
		mem_free((void *)(uintptr_t)c->aliases[i].p);
	mem_free(c->aliases);
	c->aliases = NULL;
}

void
client_fini(struct client *c)
{
	for (uint32_t i = 0; i < c->slot_count; i++)
		slot_drop_copy(&c->slots[i]);
	mem_free(c->slots);
	aliases_fini(c);
	bitmap_fini(&c->qos2_in);
	buf_fini(&c->out);
}

void
client_closed(struct client *c)
{
	c->state = CLIENT_DOWN;
	c->deadline = NEVER;
	c->ping_out = false;
	c->need = 0;
	buf_fini(&c->out);
	aliases_fini(c);                                        /* [MQTT-3.3.2-7] */
	for (uint32_t i = 0; i < c->slot_count; i++) {
		if (c->slots[i].kind > SLOT_RELEASED)
			slot_free(c, (uint16_t)(i + 1));
	}
}

void
client_connect(struct client *c, const struct mqtt_connect *p, int64_t timeout_ns, struct mono now)
{
	struct prop alias;

	FB_ASSERT(c->state == CLIENT_DOWN);
	client_closed(c);
	/* What a clean session left is no part of the next one. [MQTT-3.1.2-6] At level 5 it is the server's word whether
	 * one goes on. */
	if (p->clean || (c->clean && p->level < MQTT_50) || (c->level != 0 && c->level != p->level)) {
		lose_all(c);
		bitmap_fini(&c->qos2_in);
	}
	c->clean = p->clean;
	c->level = p->level;
	c->keep_alive_s = p->keep_alive_s;
	c->peer_receive_max = UINT16_MAX;
	c->peer_alias_max = 0;
	c->peer_max_packet = PACKET_MAX;
	c->alias_max = p->level >= MQTT_50 && prop_find(p->props, PROP_TOPIC_ALIAS_MAXIMUM, &alias)
	    ? (uint16_t)alias.number : 0;
	c->state = CLIENT_CONNECTING;
	c->deadline = mono_add(now, timeout_ns);
	encode_connect(&c->out, p);
}

void
client_stop(struct client *c)
{
	c->state = CLIENT_DOWN;
	c->deadline = NEVER;
}

/* ---- time ---- */

struct mono
client_deadline(const struct client *c)
{
	return c->deadline;
}

/* A tick each half keep-alive; one that finds that nothing was written since the last sends PINGREQ. So no two
 * packets are further apart than a keep-alive, without asking the clock at each packet. */
static void
schedule(struct client *c, struct mono now)
{
	c->wrote = false;
	c->deadline = c->keep_alive_s == 0 ? NEVER : mono_add(now, c->keep_alive_s * NS_PER_SEC / 2);
}

int
client_tick(struct client *c, struct mono now)
{
	if (mono_diff(now, c->deadline) < 0)
		return 0;
	if (c->state == CLIENT_CONNECTING)
		return FB_ETIMEOUT;
	if (c->state != CLIENT_UP)
		return 0;
	if (c->ping_out && mono_diff(now, c->ping_at) >= c->keep_alive_s * NS_PER_SEC)
		return FB_ETIMEOUT;
	if (!c->wrote && !c->ping_out) {                        /* [MQTT-3.1.2-23] */
		c->ping_out = true;
		c->ping_at = now;
		encode_ping(&c->out, MQTT_PINGREQ);
	}
	schedule(c, now);
	return 0;
}

/* ---- sending ---- */

int
client_publish(struct client *c, struct mqtt_publish *p, uint64_t token)
{
	uint16_t window = c->window < c->peer_receive_max ? c->window : c->peer_receive_max;
	size_t before;

	if (c->state != CLIENT_UP)
		return FB_ECLOSED;
	p->dup = false;
	p->packet_id = 0;
	if (p->qos == 0) {
		c->wrote = true;
		encode_publish(&c->out, c->level, p);
		return 0;
	}
	if (c->in_flight >= window)                             /* [MQTT-3.3.4-7] */
		return FB_EAGAIN;
	p->packet_id = slot_take(c, p->qos == 1 ? SLOT_QOS1 : SLOT_QOS2, token);
	if (p->packet_id == 0)
		return FB_EAGAIN;
	c->wrote = true;
	c->in_flight++;
	before = buf_len(&c->out);
	encode_publish(&c->out, c->level, p);
	if (c->keep_copies)
		slot_keep_copy(c, p->packet_id, buf_len(&c->out) - before);
	return 0;
}

static int
begin_request(struct client *c, enum slot_kind kind, uint64_t token, uint16_t *packet_id)
{
	if (c->state != CLIENT_UP)
		return FB_ECLOSED;
	*packet_id = slot_take(c, kind, token);
	if (*packet_id == 0)
		return FB_EAGAIN;
	c->wrote = true;
	return 0;
}

int
client_subscribe(struct client *c, const struct mqtt_filter *filters, uint32_t count, struct slice props,
    uint64_t token, uint16_t *packet_id)
{
	struct mqtt_subscribe s = { .props = props, .count = count };
	int err = begin_request(c, SLOT_SUBSCRIBE, token, packet_id);

	if (err != 0)
		return err;
	s.packet_id = *packet_id;
	s.filters = (struct mqtt_filter *)(uintptr_t)filters;   /* encode only reads them */
	encode_subscribe(&c->out, c->level, &s);
	return 0;
}

int
client_unsubscribe(struct client *c, const struct slice *filters, uint32_t count, struct slice props,
    uint64_t token, uint16_t *packet_id)
{
	struct mqtt_unsubscribe u = { .props = props, .count = count };
	int err = begin_request(c, SLOT_UNSUBSCRIBE, token, packet_id);

	if (err != 0)
		return err;
	u.packet_id = *packet_id;
	u.filters = (struct slice *)(uintptr_t)filters;
	encode_unsubscribe(&c->out, c->level, &u);
	return 0;
}

static void
answer(struct client *c, enum mqtt_type type, uint16_t id, uint8_t reason)
{
	c->wrote = true;
	encode_ack(&c->out, type, c->level, &(struct mqtt_ack){ .packet_id = id, .reason = reason });
}

int
client_ack(struct client *c, uint16_t packet_id, uint8_t qos, uint8_t reason)
{
	if (c->state != CLIENT_UP)
		return FB_ECLOSED;
	answer(c, qos == 1 ? MQTT_PUBACK : MQTT_PUBREC, packet_id, reason);
	if (qos == 2 && reason >= 0x80 && c->level >= MQTT_50)  /* the id is free again [MQTT-4.3.3-9] */
		(void)bitmap_del(&c->qos2_in, packet_id);
	return 0;
}

int
client_ping(struct client *c)
{
	if (c->state != CLIENT_UP)
		return FB_ECLOSED;
	c->wrote = true;
	encode_ping(&c->out, MQTT_PINGREQ);
	return 0;
}

int
client_disconnect(struct client *c, const struct mqtt_disconnect *p)
{
	struct mqtt_disconnect none = { 0 };

	if (c->state != CLIENT_UP && c->state != CLIENT_CONNECTING)
		return FB_ECLOSED;
	encode_disconnect(&c->out, MQTT_DISCONNECT, c->level, p != NULL ? p : &none);
	c->state = CLIENT_ENDING;                               /* [MQTT-3.14.4-2] */
	c->deadline = NEVER;
	return 0;
}

int
client_auth(struct client *c, const struct mqtt_disconnect *p)
{
	if (c->level < MQTT_50 || (c->state != CLIENT_UP && c->state != CLIENT_CONNECTING))
		return FB_ECLOSED;
	c->wrote = true;
	encode_disconnect(&c->out, MQTT_AUTH, c->level, p);
	return 0;
}

/* ---- receiving ---- */

static int
broke(struct client *c, enum mqtt_reason reason, const char *statement)
{
	c->violation = (struct violation){ reason, statement };
	return FB_EPROTO;
}

static uint32_t
number_of(struct slice props, enum prop_id id, uint32_t otherwise)
{
	struct prop p;

	return prop_find(props, id, &p) ? p.number : otherwise;
}

static int
handle_connack(struct client *c, const struct frame *f, struct mono now)
{
	struct mqtt_connack p;

	if (decode_connack(f, c->level, &p, &c->violation) != 0)
		return FB_EPROTO;
	if (p.code != 0) {
		client_stop(c);
		CALL(c, on_connack, &p);
		return FB_ECLOSED;
	}
	c->state = CLIENT_UP;
	if (p.has_keep_alive)
		c->keep_alive_s = p.keep_alive_s;
	if (c->level >= MQTT_50) {
		c->keep_alive_s = (uint16_t)number_of(p.props, PROP_SERVER_KEEP_ALIVE, c->keep_alive_s);
		c->peer_receive_max = (uint16_t)number_of(p.props, PROP_RECEIVE_MAXIMUM, UINT16_MAX);
		c->peer_alias_max = (uint16_t)number_of(p.props, PROP_TOPIC_ALIAS_MAXIMUM, 0);
		c->peer_max_packet = number_of(p.props, PROP_MAXIMUM_PACKET_SIZE, PACKET_MAX);
	}
	schedule(c, now);
	/* MQTT 3.1 has no session present bit: there a session that was asked for is taken to be there. */
	if (p.session_present || c->level == MQTT_31) {
		resend(c);
	} else {
		lose_all(c);
		bitmap_fini(&c->qos2_in);
	}
	CALL(c, on_connack, &p);
	return 0;
}

static int
resolve_alias(struct client *c, struct mqtt_publish *p)
{
	struct prop alias;
	struct slice *known;

	if (p->props.len == 0 || !prop_find(p->props, PROP_TOPIC_ALIAS, &alias))
		return 0;
	if (alias.number > c->alias_max)                        /* [MQTT-3.1.2-26] [MQTT-3.1.2-27] */
		return broke(c, MQTT_R_BAD_TOPIC_ALIAS, "MQTT-3.1.2-26");
	if (c->aliases == NULL)
		c->aliases = mem_zalloc(c->alias_max * sizeof *c->aliases);
	known = &c->aliases[alias.number - 1];
	if (p->topic.len > 0) {
		if (slice_eq(*known, p->topic))
			return 0;
		mem_free((void *)(uintptr_t)known->p);
		*known = slice_of(mem_dup(p->topic.p, p->topic.len), p->topic.len);
	} else if (known->len == 0) {
		return broke(c, MQTT_R_PROTOCOL_ERROR, "topic alias that was never set (3.3.2.3.4)");
	}
	p->topic = *known;
	return 0;
}

static int
handle_publish(struct client *c, const struct frame *f)
{
	struct mqtt_publish p;
	bool again = false;

	if (decode_publish(f, c->level, &p, &c->violation) != 0)
		return FB_EPROTO;
	if (c->level >= MQTT_50 && resolve_alias(c, &p) != 0)
		return FB_EPROTO;
	if (p.qos == 2)
		again = !bitmap_put(&c->qos2_in, p.packet_id);
	if (!again || c->manual_ack)
		CALL(c, on_publish, &p);
	if (p.qos == 0 || c->manual_ack || c->state != CLIENT_UP)
		return 0;
	answer(c, p.qos == 1 ? MQTT_PUBACK : MQTT_PUBREC, p.packet_id, 0);
	return 0;
}

/* Unknown ids are answered so that the server can finish, and otherwise ignored: after a reconnect without copies
 * they are no fault of the server's. */
static int
handle_ack(struct client *c, const struct frame *f)
{
	struct mqtt_ack a;
	struct client_slot *s;

	if (decode_ack(f, c->level, &a, &c->violation) != 0)
		return FB_EPROTO;
	switch ((int)f->type) {
	case MQTT_PUBACK:
		if (slot_get(c, a.packet_id, SLOT_QOS1) != NULL)
			sent(c, a.packet_id, a.reason);
		break;
	case MQTT_PUBREC:
		s = slot_get(c, a.packet_id, SLOT_QOS2);
		if (s != NULL && a.reason >= 0x80) {            /* [MQTT-4.4.0-2] */
			sent(c, a.packet_id, a.reason);
		} else if (s != NULL) {
			slot_drop_copy(s);                      /* [MQTT-4.3.3-1] */
			s->kind = SLOT_RELEASED;
			answer(c, MQTT_PUBREL, a.packet_id, 0);
		} else if (a.reason < 0x80) {
			s = slot_get(c, a.packet_id, SLOT_RELEASED);
			answer(c, MQTT_PUBREL, a.packet_id, s != NULL ? 0 : MQTT_R_PACKET_ID_NOT_FOUND);
		}
		break;
	case MQTT_PUBREL:
		answer(c, MQTT_PUBCOMP, a.packet_id,
		    bitmap_del(&c->qos2_in, a.packet_id) ? 0 : MQTT_R_PACKET_ID_NOT_FOUND);
		break;
	default:                                                /* PUBCOMP */
		if (slot_get(c, a.packet_id, SLOT_RELEASED) != NULL)
			sent(c, a.packet_id, a.reason);
		break;
	}
	return 0;
}

static int
handle_suback(struct client *c, const struct frame *f)
{
	enum slot_kind kind = f->type == MQTT_SUBACK ? SLOT_SUBSCRIBE : SLOT_UNSUBSCRIBE;
	struct mqtt_suback p;
	struct client_slot *s;
	uint64_t token;

	if (decode_suback(f, c->level, &p, &c->violation) != 0)
		return FB_EPROTO;
	s = slot_get(c, p.packet_id, kind);
	if (s == NULL)
		return 0;
	token = s->token;
	slot_free(c, p.packet_id);
	if (kind == SLOT_SUBSCRIBE)
		CALL(c, on_suback, &p, token);
	else
		CALL(c, on_unsuback, &p, token);
	return 0;
}

static int
handle_disconnect(struct client *c, const struct frame *f)
{
	struct mqtt_disconnect p;

	if (c->level < MQTT_50)
		return broke(c, MQTT_R_PROTOCOL_ERROR, "a packet that only a client sends");
	if (decode_disconnect(f, c->level, &p, &c->violation) != 0)
		return FB_EPROTO;
	if (f->type == MQTT_DISCONNECT)
		client_stop(c);
	CALL(c, on_disconnect, (enum mqtt_type)f->type, &p);
	return 0;
}

static int
handle_connecting(struct client *c, const struct frame *f, struct mono now)
{
	if (f->type == MQTT_CONNACK)
		return handle_connack(c, f, now);
	if (f->type == MQTT_AUTH)
		return handle_disconnect(c, f);
	return broke(c, MQTT_R_PROTOCOL_ERROR, "MQTT-3.2.0-1");
}

static int
handle(struct client *c, const struct frame *f)
{
	switch (f->type) {
	case MQTT_PUBLISH:
		return handle_publish(c, f);
	case MQTT_PUBACK:
	case MQTT_PUBREC:
	case MQTT_PUBREL:
	case MQTT_PUBCOMP:
		return handle_ack(c, f);
	case MQTT_SUBACK:
	case MQTT_UNSUBACK:
		return handle_suback(c, f);
	case MQTT_PINGRESP:
		if (decode_ping(f, &c->violation) != 0)
			return FB_EPROTO;
		if (c->ops->on_pingresp != NULL)
			c->ops->on_pingresp(c);
		return 0;
	case MQTT_DISCONNECT:
	case MQTT_AUTH:
		return handle_disconnect(c, f);
	case MQTT_CONNACK:
		return broke(c, MQTT_R_PROTOCOL_ERROR, "MQTT-3.2.0-2");
	default:
		return broke(c, MQTT_R_PROTOCOL_ERROR, "a packet that only a client sends");
	}
}

int
client_input(struct client *c, struct slice *in, struct mono now)
{
	c->ping_out = false;
	while (c->state == CLIENT_UP || c->state == CLIENT_CONNECTING) {
		struct frame f;
		int err = frame_next(in, c->max_packet, &f, &c->need, &c->violation);

		if (err == FB_ESHORT)
			return 0;
		if (err == 0)
			err = c->state == CLIENT_UP ? handle(c, &f) : handle_connecting(c, &f, now);
		if (err != 0) {
			client_stop(c);
			return err;
		}
	}
	if (c->state == CLIENT_DOWN)
		return FB_ECLOSED;
	*in = slice_of(in->p + in->len, 0);
	return 0;
}
