/* SPDX-License-Identifier: Apache-2.0
 * supervisor/client/traffic.c - sending a message is a copy of a ready-made packet with three fields changed; receiving one is a
 * comparison of its number, a step of the histogram and a credit. One clock call for each read and each write. */
#include "supervisor/client/traffic.h"

#include <stdio.h>

#include "common/base/err.h"
#include "common/base/mem.h"
#include "common/mqtt/encode.h"

#define OUT_MAX (4u << 20)              /* bytes that wait for a publisher's socket; beyond it, it does not send */

enum id_state { ID_FREE, ID_SENT, ID_RELEASED };

struct traffic_pub {
	struct peer *peer;
	uint8_t *packet;                /* a whole PUBLISH; owned */
	uint8_t *ids;                   /* enum id_state of packet ids 1 .. id_count, at [id - 1]; owned; QoS 1 and 2 */
	uint32_t *left;                 /* at [number & ring]: subscribers that have not got it; owned; several subscribers */
	uint32_t packet_size;
	uint32_t payload_at;
	uint32_t id_at;
	uint32_t ring;
	uint32_t id_count;
	uint32_t id_next;
	uint32_t sent;                  /* the next number */
	uint32_t done;                  /* all below were received by all */
	uint32_t acked;
	uint32_t index;
	bool ready;
};

struct traffic_sub {
	struct peer *peer;
	struct seq *from;               /* of each publisher that it hears; owned */
	uint32_t first;                 /* the publisher of from[0] */
	uint32_t count;
};

static void
put_le32(uint8_t *p, uint32_t v)
{
	memcpy(p, &v, sizeof v);
}

static uint32_t
take_le32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof v);
	return v;
}

static int64_t
take_time(const uint8_t *p)
{
	int64_t v;

	memcpy(&v, p, sizeof v);
	return v;
}

static uint32_t
topic_of(const struct traffic *f, uint32_t pub, char *out, size_t size)
{
	return (uint32_t)snprintf(out, size, "%.60s/%u", f->swarm->prefix, f->shared_topic ? 0 : pub);
}

static void
make_packet(struct traffic *f, struct traffic_pub *pub)
{
	char topic[80];
	struct buf b;
	uint8_t *filler = mem_zalloc(f->size);
	struct mqtt_publish p = { .payload = slice_of(filler, f->size), .qos = f->qos, .retain = f->retain };

	p.topic = slice_of(topic, topic_of(f, pub->index, topic, sizeof topic));
	p.packet_id = f->qos > 0 ? 1 : 0;
	put_le32(filler, pub->index);
	for (uint32_t i = TRAFFIC_MIN_SIZE; i < f->size; i++)
		filler[i] = (uint8_t)('a' + i % 26);
	buf_init(&b);
	encode_publish(&b, f->swarm->level, &p);
	pub->packet_size = (uint32_t)buf_len(&b);
	pub->packet = mem_dup(buf_slice(&b).p, pub->packet_size);
	pub->payload_at = pub->packet_size - f->size;
	pub->id_at = pub->payload_at - 2 - (f->swarm->level == 5 ? 1 : 0);
	buf_fini(&b);
	mem_free(filler);
}

static void
make_pub(struct traffic *f, struct traffic_pub *pub)
{
	uint32_t span = 1;

	make_packet(f, pub);
	if (f->qos > 0) {
		uint32_t n = f->rate > 0 ? UINT16_MAX : 2 * f->window;

		pub->id_count = n < UINT16_MAX ? n : UINT16_MAX;
		if (pub->id_count > f->swarm->receive_max)
			pub->id_count = f->swarm->receive_max;
		pub->ids = mem_zalloc(pub->id_count);
	}
	if (f->shared_topic && f->sub_count > 1) {
		while (span < (f->rate > 0 ? 65536 : f->window))
			span *= 2;
		pub->ring = span - 1;
		pub->left = mem_zalloc(span * sizeof *pub->left);
	}
}

/* The publisher may send more than it could a moment ago. */
static inline void
pub_ready(struct traffic *f, struct traffic_pub *pub)
{
	if (pub->ready)
		return;
	pub->ready = true;
	f->ready[f->ready_count++] = pub;
}

/* One subscriber has, or will never have, the message. */
static inline void
settle(struct traffic *f, struct traffic_pub *pub, uint32_t number)
{
	if (pub->left == NULL) {
		pub->done = number + 1;
		pub_ready(f, pub);
		return;
	}
	if (--pub->left[number & pub->ring] > 0)
		return;
	while (pub->done < pub->sent && pub->left[pub->done & pub->ring] == 0)
		pub->done++;
	pub_ready(f, pub);
}

static void
take_odd(struct traffic *f, struct traffic_sub *sub, struct traffic_pub *pub, uint32_t number, uint32_t expected)
{
	switch (seq_see(&sub->from[pub->index - sub->first], number)) {
	case SEQ_NEXT:
		break;
	case SEQ_JUMP:
		f->n.delivered++;
		while (expected <= number)
			settle(f, pub, expected++);
		break;
	case SEQ_LATE:
		f->n.delivered++;
		f->n.late++;
		break;
	case SEQ_AGAIN:
		f->n.again++;
		break;
	}
}

static inline bool
take_message(struct traffic *f, struct traffic_sub *sub, const uint8_t *payload, int64_t now)
{
	uint32_t index = take_le32(payload);
	uint32_t number = take_le32(payload + 4);
	struct traffic_pub *pub;
	struct seq *seq;

	if (index - sub->first >= sub->count)
		return false;
	pub = &f->pubs[index];
	seq = &sub->from[index - sub->first];
	if (number >= pub->sent)
		return false;
	if (__builtin_expect(seq->next != number, 0)) {
		take_odd(f, sub, pub, number, seq->next);
		return true;
	}
	seq->next++;
	f->n.delivered++;
	hist_add(&f->latency_ns, now - take_time(payload + 8), 1);
	settle(f, pub, number);
	return true;
}

static void
answer(struct peer *p, uint8_t first, const uint8_t *id)
{
	uint8_t *out = buf_room(&p->out, 4);

	out[0] = first;
	out[1] = 2;
	out[2] = id[0];
	out[3] = id[1];
	buf_added(&p->out, 4);
	peer_touch(p);
}

/* A PUBLISH that arrived: *body is what follows the fixed header. */
static inline bool
take_publish(struct traffic *f, struct peer *p, uint8_t first, struct slice body, int64_t now)
{
	uint32_t qos = first >> 1 & 3;
	size_t at;
	const uint8_t *id;

	if (body.len < 2)
		return false;
	at = 2 + (size_t)(body.p[0] << 8 | body.p[1]);
	id = body.p + at;
	at += qos > 0 ? 2 : 0;
	if (f->swarm->level == 5) {
		uint32_t props = 0;
		uint32_t shift = 0;

		do {
			if (at >= body.len || shift > 21)
				return false;
			props |= (uint32_t)(body.p[at] & 0x7F) << shift;
			shift += 7;
		} while (body.p[at++] >= 0x80);
		at += props;
	}
	if (at > body.len)
		return false;
	if (body.len - at != f->size || !take_message(f, p->owner, body.p + at, now))
		f->n.foreign++;
	if (qos == 1)
		answer(p, 4 << 4, id);
	else if (qos == 2)
		answer(p, 5 << 4, id);
	return true;
}

static bool
take_ack(struct traffic *f, struct peer *p, uint8_t type, struct slice body)
{
	struct traffic_pub *pub = p->owner;
	bool failed;
	uint32_t id;
	uint8_t *state;

	if (body.len < 2)
		return false;
	if (type == 6) {
		answer(p, 7 << 4, body.p);
		return true;
	}
	id = (uint32_t)(body.p[0] << 8 | body.p[1]);
	failed = body.len > 2 && body.p[2] >= 0x80;
	if (id == 0 || id > pub->id_count || pub->ids[id - 1] != (type == 7 ? ID_RELEASED : ID_SENT) ||
	    (type == 4) != (f->qos == 1)) {
		f->n.bad_acks++;
		return true;
	}
	state = &pub->ids[id - 1];
	f->n.refused += failed;
	if (type == 5 && !failed) {
		*state = ID_RELEASED;
		answer(p, 6 << 4 | 2, body.p);
		return true;
	}
	*state = ID_FREE;
	pub->acked++;
	f->n.acked++;
	pub_ready(f, pub);
	return true;
}

static inline bool
take_packet(struct traffic *f, struct peer *p, bool is_sub, uint8_t first, struct slice body, int64_t now)
{
	uint8_t type = first >> 4;

	if (type == 3 && is_sub)
		return take_publish(f, p, first, body, now);
	if (type == 6 ? is_sub : (type == 4 || type == 5 || type == 7) && !is_sub)
		return take_ack(f, p, type, body);
	swarm_fail(f->swarm, "connection %s%u: unexpected packet of type %u", f->swarm->prefix, p->number, type);
	return false;
}

static size_t
take_bytes(struct traffic *f, struct peer *p, bool is_sub, const uint8_t *bytes, size_t len)
{
	int64_t now = clock_mono().ns;
	size_t taken = 0;

	while (taken < len) {
		struct slice body;
		size_t size = peer_packet(bytes + taken, len - taken, &body);

		if (size == 0)
			break;
		if (size == PEER_BAD || !take_packet(f, p, is_sub, bytes[taken], body, now))
			return PEER_BAD;
		taken += size;
	}
	return taken;
}

static size_t
pub_bytes(struct peer *p, const uint8_t *bytes, size_t len)
{
	return take_bytes(p->swarm->arg, p, false, bytes, len);
}

static size_t
sub_bytes(struct peer *p, const uint8_t *bytes, size_t len)
{
	return take_bytes(p->swarm->arg, p, true, bytes, len);
}

/* Appends one message; the caller has seen to window, id and room. */
static inline void
put_message(struct traffic *f, struct traffic_pub *pub, int64_t time)
{
	uint8_t *out = buf_room(&pub->peer->out, pub->packet_size);

	memcpy(out, pub->packet, pub->packet_size);
	put_le32(out + pub->payload_at + 4, pub->sent);
	memcpy(out + pub->payload_at + 8, &time, sizeof time);
	if (pub->ids != NULL) {
		uint32_t id = pub->id_next + 1;

		pub->ids[pub->id_next] = ID_SENT;
		pub->id_next = id == pub->id_count ? 0 : id;
		out[pub->id_at] = (uint8_t)(id >> 8);
		out[pub->id_at + 1] = (uint8_t)id;
	}
	if (pub->left != NULL)
		pub->left[pub->sent & pub->ring] = f->sub_count;
	pub->sent++;
	f->n.sent++;
	buf_added(&pub->peer->out, pub->packet_size);
}

/* How many messages one publisher may send, without looking at packet ids. */
static inline uint32_t
allowance(const struct traffic *f, const struct traffic_pub *pub)
{
	uint32_t window = pub->left != NULL && f->rate > 0 ? pub->ring + 1 : f->window;
	uint32_t busy = pub->sent - pub->done;
	uint32_t unacked = pub->sent - pub->acked;
	uint64_t n;

	if (pub->ids != NULL && unacked > busy)
		busy = unacked;
	n = busy < window ? window - busy : 0;
	if (f->messages > 0 && f->messages - f->n.sent < n)
		n = f->messages - f->n.sent;
	return (uint32_t)n;
}

static inline bool
id_free(const struct traffic_pub *pub)
{
	return pub->ids == NULL || pub->ids[pub->id_next] == ID_FREE;
}

static void
fill(struct traffic *f, struct traffic_pub *pub)
{
	uint32_t n = allowance(f, pub);
	int64_t now;

	if (n == 0 || pub->peer->fd < 0)
		return;
	now = clock_mono().ns;
	while (n-- > 0 && id_free(pub) && buf_len(&pub->peer->out) < OUT_MAX)
		put_message(f, pub, now);
	peer_flush(pub->peer);
}

/* All that is due; what cannot go for want of room stays due, with its time, so that the delay shows. */
static void
send_due(struct traffic *f)
{
	int64_t now = clock_mono().ns;

	for (;;) {
		struct traffic_pub *pub = &f->pubs[f->due_next % f->pub_count];
		int64_t due = f->due_start + (int64_t)((double)f->due_next * (double)NS_PER_SEC / f->rate);

		if (due > now || (f->messages > 0 && f->n.sent >= f->messages))
			return;
		if (!id_free(pub) || buf_len(&pub->peer->out) > OUT_MAX)
			return;
		if (pub->left != NULL && allowance(f, pub) == 0)
			return;
		put_message(f, pub, due);
		f->due_next++;
		peer_touch(pub->peer);
	}
}

void
traffic_turn(void *arg)
{
	struct traffic *f = arg;
	uint32_t n = f->ready_count;

	if (f->rate > 0 && f->sending)
		send_due(f);
	/* fill() may find the socket full, or be called for nothing: the next arrival makes the publisher ready again. */
	for (uint32_t i = 0; i < n; i++) {
		f->ready[i]->ready = false;
		if (f->sending && f->rate <= 0)
			fill(f, f->ready[i]);
	}
	f->ready_count = 0;
}

int64_t
traffic_wait_ns(const struct traffic *f)
{
	int64_t due;

	if (f->rate <= 0 || !f->sending || traffic_sent_all(f))
		return 100 * NS_PER_MS;
	due = f->due_start + (int64_t)((double)f->due_next * (double)NS_PER_SEC / f->rate);
	due -= clock_mono().ns;
	return due < 0 ? 0 : due < 100 * NS_PER_MS ? due : 100 * NS_PER_MS;
}

void
traffic_init(struct traffic *f, struct peer **pubs, uint32_t pub_count, struct peer **subs, uint32_t sub_count)
{
	char topic[80];
	struct slice filter;

	f->pub_count = pub_count;
	f->sub_count = sub_count;
	f->pubs = mem_zalloc(pub_count * sizeof *f->pubs);
	f->subs = mem_zalloc(sub_count * sizeof *f->subs);
	f->ready = mem_zalloc(pub_count * sizeof(struct traffic_pub *));
	for (uint32_t i = 0; i < pub_count; i++) {
		f->pubs[i].peer = pubs[i];
		f->pubs[i].index = i;
		pubs[i]->owner = &f->pubs[i];
		pubs[i]->on_bytes = pub_bytes;
		make_pub(f, &f->pubs[i]);
	}
	for (uint32_t i = 0; i < sub_count; i++) {
		struct traffic_sub *sub = &f->subs[i];

		sub->peer = subs[i];
		sub->first = f->shared_topic ? 0 : i;
		sub->count = f->shared_topic ? pub_count : 1;
		sub->from = mem_zalloc(sub->count * sizeof *sub->from);
		subs[i]->owner = sub;
		subs[i]->on_bytes = sub_bytes;
		filter = slice_of(topic, topic_of(f, i, topic, sizeof topic));
		peer_subscribe(subs[i], &filter, 1, f->qos);
	}
}

void
traffic_fini(struct traffic *f)
{
	for (uint32_t i = 0; i < f->pub_count; i++) {
		mem_free(f->pubs[i].packet);
		mem_free(f->pubs[i].ids);
		mem_free(f->pubs[i].left);
	}
	for (uint32_t i = 0; i < f->sub_count; i++) {
		for (uint32_t k = 0; k < f->subs[i].count; k++)
			seq_fini(&f->subs[i].from[k]);
		mem_free(f->subs[i].from);
	}
	mem_free(f->pubs);
	mem_free(f->subs);
	mem_free(f->ready);
}

void
traffic_start(struct traffic *f)
{
	hist_clear(&f->latency_ns);
	f->sending = true;
	f->due_start = clock_mono().ns;
	f->due_next = 0;
	for (uint32_t i = 0; i < f->pub_count; i++)
		pub_ready(f, &f->pubs[i]);
}

void
traffic_stop(struct traffic *f)
{
	f->sending = false;
}

uint64_t
traffic_missing(const struct traffic *f)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < f->sub_count; i++)
		for (uint32_t k = 0; k < f->subs[i].count; k++)
			n += seq_missing(&f->subs[i].from[k], f->pubs[f->subs[i].first + k].sent);
	return n;
}

uint64_t
traffic_unacked(const struct traffic *f)
{
	return f->qos == 0 ? 0 : f->n.sent - f->n.acked;
}

bool
traffic_sent_all(const struct traffic *f)
{
	return f->messages > 0 && f->n.sent >= f->messages;
}

void
traffic_clear_retained(struct traffic *f)
{
	for (uint32_t i = 0; i < (f->shared_topic ? 1 : f->pub_count); i++) {
		char topic[80];
		struct mqtt_publish p = { .retain = true };

		if (f->pubs[i].peer->fd < 0)
			continue;
		p.topic = slice_of(topic, topic_of(f, i, topic, sizeof topic));
		encode_publish(&f->pubs[i].peer->out, f->swarm->level, &p);
		peer_touch(f->pubs[i].peer);
	}
}
