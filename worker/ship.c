/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/ship.h"

#include "common/base/buf.h"
#include "worker/flow.h"

#define PART_BYTES (32 * 1024)

enum item { ITEM_WINDOW = 1, ITEM_SLOT, ITEM_RECEIVED, ITEM_QUEUED, ITEM_DIRECT /* u8 sender, then as QUEUED */ };

struct part {
	struct buf b;
	struct slice lead;
	ship_emit_fn *emit;
	void *arg;
};

static void
part_start(struct part *p)
{
	buf_clear(&p->b);
	buf_put_slice(&p->b, p->lead);
}

static void
part_send(struct part *p)
{
	p->emit(p->arg, buf_slice(&p->b));
	part_start(p);
}

static void
part_turn(struct part *p)
{
	if (buf_len(&p->b) >= PART_BYTES)
		part_send(p);
}

enum { MSG_RETAIN = 1, MSG_TRACED = 2, MSG_DISK = 4 };

void
ship_put_msg(struct buf *b, const struct cluster_pub *p)
{
	buf_put_u8(b, p->qos);
	buf_put_u8(b, (uint8_t)((p->retain ? MSG_RETAIN : 0) | (p->traced_ns != 0 ? MSG_TRACED : 0) | (p->disk ? MSG_DISK : 0)));
	buf_put_le64(b, p->expires_s);
	buf_put_le64(b, p->qos2_id);
	buf_put_le32_bytes(b, p->topic);
	buf_put_le32_bytes(b, p->props);
	buf_put_le32_bytes(b, p->payload);
	if (p->traced_ns != 0) {
		buf_put_le64(b, p->traced_ns);
		buf_put_le32_bytes(b, p->origin_id);
	}
}

static void
put_msg(struct buf *b, const struct msg *m)
{
	struct cluster_pub p = msg_pub_whole(m);

	ship_put_msg(b, &p);
}

void
ship_encode(struct flow *f, struct slice lead, ship_emit_fn *emit, void *arg)
{
	struct part p = { .lead = lead, .emit = emit, .arg = arg };
	struct inflight *slot;
	uint64_t seq;

	buf_init(&p.b);
	part_start(&p);
	buf_put_u8(&p.b, ITEM_WINDOW);
	buf_put_le64(&p.b, f->window_head);
	buf_put_le64(&p.b, f->window_tail);
	seq = f->window_head;
	while ((slot = flow_next(f, &seq, NULL)) != NULL) {
		buf_put_u8(&p.b, ITEM_SLOT);
		buf_put_le64(&p.b, seq - 1);
		buf_put_u8(&p.b, slot->qos);
		buf_put_u8(&p.b, slot->retain);
		buf_put_u8(&p.b, slot->msg != NULL);
		if (slot->msg != NULL)
			put_msg(&p.b, slot->msg);
		part_turn(&p);
	}
	for (uint32_t id = 1; f->received.used > 0 && id <= 65535; id++) {
		if (!bitmap_has(&f->received, (uint16_t)id))
			continue;
		buf_put_u8(&p.b, ITEM_RECEIVED);
		buf_put_le16(&p.b, (uint16_t)id);
	}
	for (uint32_t pos = f->queue_head; pos != f->queue_tail; pos++) {
		const struct queued *q = &f->queue[pos & (f->queue_room - 1)];

		if (q->aside)
			continue;
		buf_put_u8(&p.b, q->direct != 0 ? ITEM_DIRECT : ITEM_QUEUED);
		if (q->direct != 0)
			buf_put_u8(&p.b, q->direct);
		buf_put_u8(&p.b, q->qos);
		buf_put_u8(&p.b, q->retain);
		put_msg(&p.b, q->msg);
		part_turn(&p);
	}
	part_send(&p);
	buf_fini(&p.b);
}

struct msg *
ship_take_msg(struct slice *s)
{
	struct cluster_pub p = { 0 };
	uint8_t flags;

	if (slice_take_u8(s, &p.qos) != 0 || slice_take_u8(s, &flags) != 0 || slice_take_le64(s, &p.expires_s) != 0 ||
	    slice_take_le64(s, &p.qos2_id) != 0 || slice_take_le32_bytes(s, &p.topic) != 0 ||
	    slice_take_le32_bytes(s, &p.props) != 0 || slice_take_le32_bytes(s, &p.payload) != 0)
		return NULL;
	p.retain = (flags & MSG_RETAIN) != 0;
	p.disk = (flags & MSG_DISK) != 0;
	if ((flags & MSG_TRACED) != 0 && (slice_take_le64(s, &p.traced_ns) != 0 ||
	    slice_take_le32_bytes(s, &p.origin_id) != 0 || p.origin_id.len > UINT16_MAX))
		return NULL;
	return msg_new(&p);
}

static int
take_window(struct flow *f, struct slice *s)
{
	uint64_t head;
	uint64_t tail;

	if (slice_take_le64(s, &head) != 0 || slice_take_le64(s, &tail) != 0)
		return FB_EPROTO;
	return flow_restore(f, head, tail);
}

static int
take_slot(struct flow *f, struct slice *s)
{
	struct msg *m = NULL;
	uint64_t seq;
	uint8_t qos, retain, has;
	int err;

	if (slice_take_le64(s, &seq) != 0 || slice_take_u8(s, &qos) != 0 || slice_take_u8(s, &retain) != 0 ||
	    slice_take_u8(s, &has) != 0 || (has && (m = ship_take_msg(s)) == NULL))
		return FB_EPROTO;
	err = flow_restore_slot(f, seq, m, qos, retain != 0);
	if (m != NULL)
		msg_drop(m);
	return err;
}

static int
take_queued(struct flow *f, struct slice *s)
{
	struct msg *m;
	uint8_t qos, retain;

	if (slice_take_u8(s, &qos) != 0 || slice_take_u8(s, &retain) != 0 || qos < 1 || qos > 2 ||
	    (m = ship_take_msg(s)) == NULL)
		return FB_EPROTO;
	flow_push(f, m, qos, retain != 0, false);
	msg_drop(m);
	return 0;
}

int
ship_decode(struct flow *f, struct slice s)
{
	uint8_t item, sender;
	uint16_t id;
	int err = 0;

	while (err == 0 && slice_take_u8(&s, &item) == 0) {
		switch (item) {
		case ITEM_WINDOW:
			err = take_window(f, &s);
			break;
		case ITEM_SLOT:
			err = take_slot(f, &s);
			break;
		case ITEM_RECEIVED:
			err = slice_take_le16(&s, &id);
			if (err == 0)
				bitmap_put(&f->received, id);
			break;
		case ITEM_DIRECT:
			err = slice_take_u8(&s, &sender) != 0 || sender == 0 ? FB_EPROTO : take_queued(f, &s);
			if (err == 0)
				flow_direct_last(f, sender);
			break;
		case ITEM_QUEUED:
			err = take_queued(f, &s);
			break;
		default:
			err = FB_EPROTO;
		}
	}
	return err == 0 ? 0 : FB_EPROTO;
}
