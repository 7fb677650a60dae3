/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/ship.h"

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "worker/backlog.h"
#include "worker/flow.h"

#define PART_BYTES (32 * 1024)

enum item {
	ITEM_WINDOW = 1,                /* u64 head, tail, next place */
	ITEM_SLOT,                      /* u64 place, u8 qos, flags, [message] */
	ITEM_RECEIVED,                  /* u16 packet id */
	ITEM_QUEUED,                    /* u64 place, u8 qos, flags, direct, [message] */
	ITEM_BACKLOG,                   /* struct backlog_state */
};

enum { FLAG_RETAIN = 1, FLAG_STORED = 2, FLAG_MESSAGE = 4, FLAG_AGAIN = 8 };

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

static uint8_t
flags_of(bool retain, uint8_t stored, const struct msg *m, bool again)
{
	FB_ASSERT(stored != STORED_ASKED);
	return (uint8_t)((retain ? FLAG_RETAIN : 0) | (stored == STORED_ON ? FLAG_STORED : 0) |
	    (m != NULL ? FLAG_MESSAGE : 0) | (again ? FLAG_AGAIN : 0));
}

static void
put_backlog(struct buf *b, const struct flow *f)
{
	struct backlog_state s;

	if (!backlog_get(f, &s))
		return;
	buf_put_u8(b, ITEM_BACKLOG);
	buf_put_le64(b, s.from);
	buf_put_le64(b, s.to);
	buf_put_le64(b, s.loaded);
	buf_put_le64(b, s.bytes);
	buf_put_le32(b, s.count);
	buf_put_le32(b, s.direct);
}

static void
put_received(struct buf *b, const struct flow *f)
{
	for (uint32_t id = 1; f->received.used > 0 && id <= 65535; id++) {
		if (!bitmap_has(&f->received, (uint16_t)id))
			continue;
		buf_put_u8(b, ITEM_RECEIVED);
		buf_put_le16(b, (uint16_t)id);
	}
}

void
ship_received(struct flow *f, ship_emit_fn *emit, void *arg)
{
	struct buf b;

	buf_init(&b);
	put_received(&b, f);
	emit(arg, buf_slice(&b));
	buf_fini(&b);
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
	buf_put_le64(&p.b, f->next_n);
	seq = f->window_head;
	while ((slot = flow_next(f, &seq, NULL)) != NULL) {
		buf_put_u8(&p.b, ITEM_SLOT);
		buf_put_le64(&p.b, seq - 1);
		buf_put_u8(&p.b, slot->qos);
		buf_put_u8(&p.b, flags_of(slot->retain, slot->stored, slot->msg, false));
		if (slot->msg != NULL)
			put_msg(&p.b, slot->msg);
		part_turn(&p);
	}
	put_received(&p.b, f);
	for (uint32_t pos = f->queue_head; pos != f->queue_tail; pos++) {
		const struct queued *q = &f->queue[pos & (f->queue_room - 1)];

		if (q->aside)
			continue;
		buf_put_u8(&p.b, ITEM_QUEUED);
		buf_put_le64(&p.b, q->n);
		buf_put_u8(&p.b, q->qos);
		buf_put_u8(&p.b, flags_of(q->retain, q->stored, q->msg, q->again));
		buf_put_u8(&p.b, q->direct);
		if (q->msg != NULL)
			put_msg(&p.b, q->msg);
		part_turn(&p);
	}
	put_backlog(&p.b, f);
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
	uint64_t head, tail, next;
	int err;

	if (slice_take_le64(s, &head) != 0 || slice_take_le64(s, &tail) != 0 || slice_take_le64(s, &next) != 0 || next < tail)
		return FB_EPROTO;
	err = flow_restore(f, head, tail);
	if (err == 0)
		f->next_n = next;
	return err;
}

static int
take_slot(struct flow *f, struct slice *s)
{
	struct msg *m = NULL;
	uint64_t seq;
	uint8_t qos, flags;
	int err;

	if (slice_take_le64(s, &seq) != 0 || slice_take_u8(s, &qos) != 0 || slice_take_u8(s, &flags) != 0 ||
	    ((flags & FLAG_MESSAGE) != 0 && (m = ship_take_msg(s)) == NULL))
		return FB_EPROTO;
	err = flow_restore_slot(f, seq, m, qos, (flags & FLAG_RETAIN) != 0);
	if (err == 0 && (flags & FLAG_STORED) != 0)
		flow_slot_at(f, seq)->stored = STORED_ON;
	if (m != NULL)
		msg_drop(m);
	return err;
}

static int
take_queued(struct flow *f, struct slice *s)
{
	struct queued q = { 0 };
	uint8_t flags;

	if (slice_take_le64(s, &q.n) != 0 || slice_take_u8(s, &q.qos) != 0 || slice_take_u8(s, &flags) != 0 ||
	    slice_take_u8(s, &q.direct) != 0 || q.qos < 1 || q.qos > 2 || q.n >= f->next_n ||
	    (flags & (FLAG_MESSAGE | FLAG_STORED)) == 0 ||
	    ((flags & FLAG_MESSAGE) != 0 && (q.msg = ship_take_msg(s)) == NULL))
		return FB_EPROTO;
	q.retain = (flags & FLAG_RETAIN) != 0;
	q.again = (flags & FLAG_AGAIN) != 0;
	q.stored = (flags & FLAG_STORED) != 0 ? STORED_ON : STORED_NO;
	flow_push_queued(f, &q);
	return 0;
}

static int
take_backlog(struct flow *f, struct slice *s)
{
	struct backlog_state b;

	if (slice_take_le64(s, &b.from) != 0 || slice_take_le64(s, &b.to) != 0 || slice_take_le64(s, &b.loaded) != 0 ||
	    slice_take_le64(s, &b.bytes) != 0 || slice_take_le32(s, &b.count) != 0 || slice_take_le32(s, &b.direct) != 0 ||
	    b.to < b.from || b.to >= f->next_n || f->backlog != NULL)
		return FB_EPROTO;
	backlog_put(f, &b);
	return 0;
}

int
ship_decode(struct flow *f, struct slice s)
{
	uint8_t item;
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
		case ITEM_BACKLOG:
			err = take_backlog(f, &s);
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
