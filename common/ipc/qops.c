/* SPDX-License-Identifier: Apache-2.0 */
#include "common/ipc/qops.h"

#include "common/base/err.h"
#include "common/base/rand.h"

enum { MSG_QOS = 3, MSG_RETAIN = 4, MSG_EXPIRES = 8, MSG_ID = 16, MSG_PROPS = 32 };

void
qmsg_put(struct buf *b, const struct qmsg *m)
{
	buf_put_u8(b, (uint8_t)((m->qos & MSG_QOS) | (m->retain ? MSG_RETAIN : 0) | (m->expires_s != 0 ? MSG_EXPIRES : 0) |
	    (m->qos2_id != 0 ? MSG_ID : 0) | (m->props.len != 0 ? MSG_PROPS : 0)));
	if (m->expires_s != 0)
		buf_put_le64(b, m->expires_s);
	if (m->qos2_id != 0)
		buf_put_le64(b, m->qos2_id);
	buf_put_le32_bytes(b, m->topic);
	if (m->props.len != 0)
		buf_put_le32_bytes(b, m->props);
	buf_put_le32_bytes(b, m->payload);
}

int
qmsg_take(struct slice *s, struct qmsg *out)
{
	struct qmsg m = { 0 };
	uint8_t flags;

	if (slice_take_u8(s, &flags) != 0 || (flags & ~(MSG_QOS | MSG_RETAIN | MSG_EXPIRES | MSG_ID | MSG_PROPS)) != 0 ||
	    ((flags & MSG_EXPIRES) != 0 && slice_take_le64(s, &m.expires_s) != 0) ||
	    ((flags & MSG_ID) != 0 && slice_take_le64(s, &m.qos2_id) != 0) ||
	    slice_take_le32_bytes(s, &m.topic) != 0 ||
	    ((flags & MSG_PROPS) != 0 && slice_take_le32_bytes(s, &m.props) != 0) ||
	    slice_take_le32_bytes(s, &m.payload) != 0)
		return FB_EPROTO;
	m.qos = flags & MSG_QOS;
	m.retain = (flags & MSG_RETAIN) != 0;
	if (m.qos > 2 || m.topic.len == 0 || m.topic.len > UINT16_MAX)
		return FB_EPROTO;
	*out = m;
	return 0;
}

void
qop_put_msg(struct buf *b, const struct qmsg *m, uint32_t count)
{
	buf_put_u8(b, QOP_PUT);
	qmsg_put(b, m);
	buf_put_le32(b, count);
}

void
qitem_put(struct buf *b, const struct qitem *i)
{
	buf_put_le64(b, i->qid);
	buf_put_le64(b, i->n);
	buf_put_u8(b, i->flags);
	buf_put_u8(b, i->direct);
}

int
qitem_take(struct slice *s, struct qitem *out)
{
	struct qitem i;

	if (s->len == 0)
		return FB_ENOENT;
	if (slice_take_le64(s, &i.qid) != 0 || slice_take_le64(s, &i.n) != 0 || slice_take_u8(s, &i.flags) != 0 ||
	    slice_take_u8(s, &i.direct) != 0 || (i.flags & QITEM_QOS) == 0 || (i.flags & QITEM_QOS) == 3 ||
	    (i.flags & ~(QITEM_QOS | QITEM_RETAIN)) != 0)
		return FB_EPROTO;
	*out = i;
	return 0;
}

void
qop_put_row(struct buf *b, enum qop_type type, uint64_t qid, uint64_t n)
{
	buf_put_u8(b, (uint8_t)type);
	buf_put_le64(b, qid);
	buf_put_le64(b, n);
}

void
qop_put_trim(struct buf *b, uint64_t qid, uint64_t from, uint32_t count)
{
	qop_put_row(b, QOP_TRIM, qid, from);
	buf_put_le32(b, count);
}

void
qop_put_drop(struct buf *b, uint64_t qid)
{
	buf_put_u8(b, QOP_DROP);
	buf_put_le64(b, qid);
}

void
qop_put_forget(struct buf *b, uint64_t id)
{
	buf_put_u8(b, QOP_FORGET);
	buf_put_le64(b, id);
}

void
qop_put_will(struct buf *b, const struct qwill *w, const struct qmsg *m)
{
	buf_put_u8(b, QOP_WILL_PUT);
	buf_put_le32_bytes(b, w->client_id);
	buf_put_le64(b, w->stamp);
	buf_put_le32_bytes(b, w->account);
	buf_put_u8(b, w->disk);
	qmsg_put(b, m);
}

void
qop_put_will_del(struct buf *b, struct slice client_id, uint64_t stamp)
{
	buf_put_u8(b, QOP_WILL_DEL);
	buf_put_le32_bytes(b, client_id);
	buf_put_le64(b, stamp);
}

static int
take_will_del(struct slice *s, struct qwill *w)
{
	return slice_take_le32_bytes(s, &w->client_id) != 0 || slice_take_le64(s, &w->stamp) != 0 ||
	    w->client_id.len == 0 || w->client_id.len > UINT16_MAX;
}

static int
take_will(struct slice *s, struct qop *o)
{
	uint8_t disk;

	if (take_will_del(s, &o->will) != 0 || slice_take_le32_bytes(s, &o->will.account) != 0 ||
	    slice_take_u8(s, &disk) != 0 || disk > 1)
		return FB_EPROTO;
	o->will.disk = disk == 1;
	return qmsg_take(s, &o->msg);
}

static int
take_put(struct slice *s, struct qop *o)
{
	if (qmsg_take(s, &o->msg) != 0 || slice_take_le32(s, &o->count) != 0 || o->count == 0 ||
	    o->count > s->len / QITEM_SIZE || slice_take(s, (size_t)o->count * QITEM_SIZE, &o->items) != 0)
		return FB_EPROTO;
	return 0;
}

int
qop_take(struct slice *s, struct qop *out)
{
	struct qop o = { 0 };
	int bad = 0;

	if (s->len == 0)
		return FB_ENOENT;
	(void)slice_take_u8(s, &o.type);
	switch (o.type) {
	case QOP_PUT:
		bad = take_put(s, &o);
		break;
	case QOP_DEL:
	case QOP_RELEASED:
		bad = slice_take_le64(s, &o.qid) != 0 || slice_take_le64(s, &o.n) != 0;
		break;
	case QOP_TRIM:
		bad = slice_take_le64(s, &o.qid) != 0 || slice_take_le64(s, &o.n) != 0 || slice_take_le32(s, &o.count) != 0;
		break;
	case QOP_DROP:
		bad = slice_take_le64(s, &o.qid) != 0;
		break;
	case QOP_FORGET:
		bad = slice_take_le64(s, &o.id) != 0;
		break;
	case QOP_WILL_PUT:
		bad = take_will(s, &o);
		break;
	case QOP_WILL_DEL:
		bad = take_will_del(s, &o.will);
		break;
	default:
		bad = 1;
	}
	if (bad != 0)
		return FB_EPROTO;
	*out = o;
	return 0;
}

void
qrow_put(struct buf *b, const struct qrow *r)
{
	buf_put_le64(b, r->n);
	buf_put_u8(b, r->flags);
	buf_put_u8(b, r->direct);
	if ((r->flags & QITEM_RELEASED) == 0)
		qmsg_put(b, &r->msg);
}

int
qrow_take(struct slice *s, struct qrow *out)
{
	struct qrow r = { 0 };

	if (s->len == 0)
		return FB_ENOENT;
	if (slice_take_le64(s, &r.n) != 0 || slice_take_u8(s, &r.flags) != 0 || slice_take_u8(s, &r.direct) != 0 ||
	    (r.flags & QITEM_QOS) == 0 || (r.flags & QITEM_QOS) == 3 ||
	    ((r.flags & QITEM_RELEASED) == 0 && qmsg_take(s, &r.msg) != 0))
		return FB_EPROTO;
	*out = r;
	return 0;
}

uint64_t
qid_of_group(struct slice text)
{
	const struct hash_key key = { UINT64_C(0x66756261722d7175), UINT64_C(0x6575652d67726f75) };

	return rand_siphash(&key, text.p, text.len) | 1;
}
