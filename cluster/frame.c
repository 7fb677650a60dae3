/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/frame.h"

#include "common/base/rand.h"

/* Flags of a PUBLISH record: the low two bits are the QoS. */
enum { P_QOS = 3, P_RETAIN = 4, P_ORIGIN = 8, P_EXPIRES = 16, P_QOS2_ID = 32, P_PROPS = 64, P_MORE = 128 };
/* And of the byte that P_MORE promises: the low two bits are the reach. */
enum { M_REACH = 3, M_TRACED = 4 };

void
frame_put(uint8_t at[FRAME_HEADER], const struct frame *f, uint32_t length)
{
	at[0] = FRAME_VERSION;
	at[1] = f->type;
	le16_put(at + 2, f->flags);
	le32_put(at + 4, length);
	le32_put(at + 8, f->from);
	le32_put(at + 12, f->to);
	le64_put(at + 16, f->seq);
	le64_put(at + 24, f->ack);
	le64_put(at + 32, f->store_seq);
}

int
frame_get(struct slice whole, struct frame *f, struct slice *body)
{
	struct slice s = whole;
	uint8_t version = 0;
	uint32_t length = 0;

	if (whole.len < FRAME_HEADER || whole.len > FRAME_MAX)
		return FB_EPROTO;
	(void)slice_take_u8(&s, &version);
	if (version != FRAME_VERSION)
		return FB_EVERSION;
	(void)slice_take_u8(&s, &f->type);
	(void)slice_take_le16(&s, &f->flags);
	(void)slice_take_le32(&s, &length);
	(void)slice_take_le32(&s, &f->from);
	(void)slice_take_le32(&s, &f->to);
	(void)slice_take_le64(&s, &f->seq);
	(void)slice_take_le64(&s, &f->ack);
	(void)slice_take_le64(&s, &f->store_seq);
	if (length != whole.len)
		return FB_EPROTO;
	*body = s;
	return 0;
}

const char *
frame_name(uint8_t type)
{
	switch (type) {
#define FRAME(name, number, help) \
	case number: \
		return #name;
#include "cluster/frames.def"
	default:
		return "unknown";
	}
}

const char *
record_name(uint8_t type)
{
	switch (type) {
#define RECORD(name, number, help) \
	case number: \
		return #name;
#include "cluster/frames.def"
	default:
		return "unknown";
	}
}

uint64_t
frames_digest(void)
{
	static const char table[] =
#define FRAME(name, number, help) #name " " #number " " help "\n"
#define RECORD(name, number, help) #name " " #number " " help "\n"
#include "cluster/frames.def"
	    ;
	static const struct hash_key key = { UINT64_C(0x66756261722e6c69), FRAME_VERSION };

	return rand_siphash(&key, table, sizeof table - 1);
}

void
frame_hello_put(uint8_t at[FRAME_HELLO_SIZE], const struct frame_hello *h)
{
	le64_put(at, h->digest);
	le32_put(at + 8, h->from_slot);
	le32_put(at + 12, h->to_slot);
	le64_put(at + 16, h->from_epoch);
	le64_put(at + 24, h->to_epoch);
}

int
frame_hello_get(struct slice body, struct frame_hello *h)
{
	if (body.len != FRAME_HELLO_SIZE)
		return FB_EPROTO;
	(void)slice_take_le64(&body, &h->digest);
	(void)slice_take_le32(&body, &h->from_slot);
	(void)slice_take_le32(&body, &h->to_slot);
	(void)slice_take_le64(&body, &h->from_epoch);
	(void)slice_take_le64(&body, &h->to_epoch);
	return 0;
}

int
record_next(struct slice *rest, struct record *r)
{
	struct slice s = *rest;
	uint16_t len;

	if (s.len == 0)
		return FB_ENOENT;
	if (s.len < RECORD_HEADER)
		return FB_EPROTO;
	r->type = s.p[0];
	r->flags = s.p[1];
	len = (uint16_t)(s.p[2] | s.p[3] << 8);
	if (s.len - RECORD_HEADER < len)
		return FB_EPROTO;
	r->body = slice_of(s.p + RECORD_HEADER, len);
	*rest = slice_of(s.p + RECORD_HEADER + len, s.len - RECORD_HEADER - len);
	return 0;
}

static inline uint8_t
more_of(const struct cluster_pub *p)
{
	return (uint8_t)(p->reach | (p->traced_ns != 0 ? M_TRACED : 0));
}

uint8_t
record_publish_flags(const struct cluster_pub *p)
{
	return (uint8_t)(p->qos | (p->retain ? P_RETAIN : 0) | (p->origin_id.len != 0 ? P_ORIGIN : 0) |
	    (p->expires_s != 0 ? P_EXPIRES : 0) | (p->qos2_id != 0 ? P_QOS2_ID : 0) | (p->props.len != 0 ? P_PROPS : 0) | (more_of(p) != 0 ? P_MORE : 0));
}

size_t
record_publish_size(const struct cluster_pub *p)
{
	return 2 + p->topic.len + (more_of(p) != 0 ? 1 : 0) + (p->traced_ns != 0 ? 8 : 0) + (p->origin_id.len != 0 ? 2 + p->origin_id.len : 0) + (p->expires_s != 0 ? 8 : 0) +
	    (p->qos2_id != 0 ? 8 : 0) + (p->props.len != 0 ? 4 + p->props.len : 0) + p->payload.len;
}

static inline uint8_t *
bytes_put(uint8_t *at, struct slice s)
{
	if (s.len != 0)
		memcpy(at, s.p, s.len);
	return at + s.len;
}

void
record_publish_put(uint8_t *at, const struct cluster_pub *p)
{
	le16_put(at, p->topic.len);
	at = bytes_put(at + 2, p->topic);
	if (more_of(p) != 0)
		*at++ = more_of(p);
	if (p->traced_ns != 0) {
		le64_put(at, p->traced_ns);
		at += 8;
	}
	if (p->origin_id.len != 0) {
		le16_put(at, p->origin_id.len);
		at = bytes_put(at + 2, p->origin_id);
	}
	if (p->expires_s != 0) {
		le64_put(at, p->expires_s);
		at += 8;
	}
	if (p->qos2_id != 0) {
		le64_put(at, p->qos2_id);
		at += 8;
	}
	if (p->props.len != 0) {
		le32_put(at, (uint32_t)p->props.len);
		at = bytes_put(at + 4, p->props);
	}
	bytes_put(at, p->payload);
}

static int
take_le16_bytes(struct slice *s, struct slice *out)
{
	uint16_t n;

	if (slice_take_le16(s, &n) != 0)
		return FB_EPROTO;
	return slice_take(s, n, out) == 0 ? 0 : FB_EPROTO;
}

static int
take_more(struct slice *s, struct cluster_pub *p)
{
	uint8_t more;

	if (slice_take_u8(s, &more) != 0 || more == 0 || (more & ~(M_REACH | M_TRACED)) != 0)
		return FB_EPROTO;
	p->reach = more & M_REACH;
	if (p->reach > CLUSTER_DIRECT_ONLY)
		return FB_EPROTO;
	if ((more & M_TRACED) != 0 && (slice_take_le64(s, &p->traced_ns) != 0 || p->traced_ns == 0))
		return FB_EPROTO;
	return 0;
}

int
record_publish_get(const struct record *r, struct cluster_pub *p, uint64_t *leg)
{
	struct slice s = r->body;

	memset(p, 0, sizeof *p);
	p->qos = r->flags & P_QOS;
	p->retain = (r->flags & P_RETAIN) != 0;
	p->disk = r->type == RECORD_PUBLISH_DISK;
	*leg = 0;
	if (p->qos == 3 || (p->disk && p->qos == 0))
		return FB_EPROTO;
	if (p->qos != 0 && (slice_take_le64(&s, leg) != 0 || *leg == 0))
		return FB_EPROTO;
	if (take_le16_bytes(&s, &p->topic) != 0 || p->topic.len == 0)
		return FB_EPROTO;
	if ((r->flags & P_MORE) != 0 && take_more(&s, p) != 0)
		return FB_EPROTO;
	if ((r->flags & P_ORIGIN) != 0 && take_le16_bytes(&s, &p->origin_id) != 0)
		return FB_EPROTO;
	if ((r->flags & P_EXPIRES) != 0 && slice_take_le64(&s, &p->expires_s) != 0)
		return FB_EPROTO;
	if ((r->flags & P_QOS2_ID) != 0 && slice_take_le64(&s, &p->qos2_id) != 0)
		return FB_EPROTO;
	if ((r->flags & P_PROPS) != 0 && slice_take_le32_bytes(&s, &p->props) != 0)
		return FB_EPROTO;
	p->payload = s;
	return 0;
}

struct slice
record_publish_topic(const uint8_t *body)
{
	return slice_of(body + 2, (size_t)(body[0] | body[1] << 8));
}

void
record_kept_put(uint8_t at[RECORD_KEPT_SIZE], uint64_t first, uint32_t count)
{
	le64_put(at, first);
	le32_put(at + 8, count);
}

int
record_kept_next(struct slice *rest, uint64_t *first, uint32_t *count)
{
	if (rest->len == 0)
		return FB_ENOENT;
	if (rest->len < RECORD_KEPT_SIZE)
		return FB_EPROTO;
	(void)slice_take_le64(rest, first);
	(void)slice_take_le32(rest, count);
	return *first != 0 && *count != 0 ? 0 : FB_EPROTO;
}

int
record_hash_next(struct slice *rest, uint64_t *hash)
{
	if (rest->len == 0)
		return FB_ENOENT;
	return slice_take_le64(rest, hash) == 0 ? 0 : FB_EPROTO;
}

void
record_big_put(uint8_t at[RECORD_BIG_SIZE], uint8_t type, uint8_t flags, uint32_t length)
{
	at[0] = type;
	at[1] = flags;
	le32_put(at + 2, length);
}

int
record_big_get(struct slice body, uint8_t *type, uint8_t *flags, uint32_t *length)
{
	if (body.len != RECORD_BIG_SIZE)
		return FB_EPROTO;
	(void)slice_take_u8(&body, type);
	(void)slice_take_u8(&body, flags);
	(void)slice_take_le32(&body, length);
	return 0;
}
