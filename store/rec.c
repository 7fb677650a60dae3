/* SPDX-License-Identifier: Apache-2.0
 *
 * Retained messages are the many: their record has a flags byte instead of fields that are nearly always empty, and the
 * payload has no length, since it ends the record. */
#include "store/rec.h"

#include <stdatomic.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/utf8.h"
#include "common/ipc/qops.h"
#include "common/mqtt/right.h"

enum { ITEM_BODY = 0x80 };
enum { RETAINED_QOS = 3, RETAINED_EXPIRES = 4, RETAINED_PROPS = 8, RETAINED_ALL = 15 };

static const uint8_t versions[TABLE_COUNT] = {
#define TABLE(name, env, version, key, value, help) [TABLE_##name] = (version),
#include "store/tables.def"
#undef TABLE
};

#define SESSION_OLD 1           /* without qid, and of another clock */
#define BAD_LINES 100           /* the first ones are all logged */

static _Atomic uint64_t bad_count;
static _Atomic int64_t bad_logged_ns;

static void
put_version(struct buf *b, enum table t)
{
	buf_put_u8(b, versions[t]);
}

static int
take_version(struct slice *s, enum table t)
{
	uint8_t v = 0;

	if (slice_take_u8(s, &v) != 0)
		return FB_ECORRUPT;
	return v == versions[t] ? 0 : FB_EVERSION;
}

void
rec_put_account(struct buf *b, const struct rec_account *r)
{
	put_version(b, TABLE_accounts);
	buf_put_le64(b, r->created_s);
	buf_put_le64(b, r->changed_s);
	buf_put_slice(b, r->hash);
}

int
rec_take_account(struct slice s, struct rec_account *out)
{
	struct rec_account r = { 0 };
	int rc = take_version(&s, TABLE_accounts);

	if (rc != 0)
		return rc;
	if (slice_take_le64(&s, &r.created_s) != 0 || slice_take_le64(&s, &r.changed_s) != 0 || s.len == 0)
		return FB_ECORRUPT;
	r.hash = s;
	*out = r;
	return 0;
}

void
rec_put_acl(struct buf *b, const struct rec_acl *r)
{
	put_version(b, TABLE_acls);
	buf_put_u8(b, r->allow);
}

int
rec_take_acl(struct slice s, struct rec_acl *out)
{
	uint8_t allow = 0;
	int rc = take_version(&s, TABLE_acls);

	if (rc != 0)
		return rc;
	if (slice_take_u8(&s, &allow) != 0 || s.len != 0 || allow > 1)
		return FB_ECORRUPT;
	out->allow = allow == 1;
	return 0;
}

void
rec_put_right(struct buf *b, const struct rec_right *r)
{
	put_version(b, TABLE_rights);
	buf_put_u8(b, r->actions);
	buf_put_u8(b, r->who);
	buf_put_u8(b, r->allow);
	buf_put_le32_bytes(b, r->name);
	buf_put_slice(b, r->filter);
}

int
rec_take_right(struct slice s, struct rec_right *out)
{
	struct rec_right r = { 0 };
	uint8_t allow = 0;
	int rc = take_version(&s, TABLE_rights);

	if (rc != 0)
		return rc;
	if (slice_take_u8(&s, &r.actions) != 0 || slice_take_u8(&s, &r.who) != 0 || slice_take_u8(&s, &allow) != 0 ||
	    slice_take_le32_bytes(&s, &r.name) != 0 || allow > 1 || r.who > RIGHT_GROUP || r.actions == 0 ||
	    r.actions > RIGHT_ALL || right_filter_wrong(s) != NULL)
		return FB_ECORRUPT;
	r.allow = allow == 1;
	r.filter = s;
	*out = r;
	return 0;
}

void
rec_put_group(struct buf *b, const struct rec_group *r)
{
	(void)r;
	put_version(b, TABLE_groups);
}

int
rec_take_group(struct slice s, struct rec_group *out)
{
	int rc = take_version(&s, TABLE_groups);

	if (rc != 0 || s.len != 0)
		return rc != 0 ? rc : FB_ECORRUPT;
	out->unused = 0;
	return 0;
}

void
rec_put_setting(struct buf *b, const struct rec_setting *r)
{
	put_version(b, TABLE_settings);
	buf_put_slice(b, r->value);
}

int
rec_take_setting(struct slice s, struct rec_setting *out)
{
	int rc = take_version(&s, TABLE_settings);

	if (rc != 0)
		return rc;
	out->value = s;
	return 0;
}

void
rec_put_retained(struct buf *b, const struct rec_retained *r)
{
	uint8_t flags = r->qos & RETAINED_QOS;

	if (r->expires_s != 0)
		flags |= RETAINED_EXPIRES;
	if (r->props.len != 0)
		flags |= RETAINED_PROPS;
	put_version(b, TABLE_retained);
	buf_put_u8(b, flags);
	if (r->expires_s != 0)
		buf_put_le64(b, r->expires_s);
	if (r->props.len != 0)
		buf_put_le32_bytes(b, r->props);
	buf_put_slice(b, r->payload);
}

int
rec_take_retained(struct slice s, struct rec_retained *out)
{
	struct rec_retained r = { 0 };
	uint8_t flags = 0;
	int rc = take_version(&s, TABLE_retained);

	if (rc != 0)
		return rc;
	if (slice_take_u8(&s, &flags) != 0 || (flags & ~RETAINED_ALL) != 0 || (flags & RETAINED_QOS) > 2)
		return FB_ECORRUPT;
	if ((flags & RETAINED_EXPIRES) != 0 && slice_take_le64(&s, &r.expires_s) != 0)
		return FB_ECORRUPT;
	if ((flags & RETAINED_PROPS) != 0 && slice_take_le32_bytes(&s, &r.props) != 0)
		return FB_ECORRUPT;
	r.qos = flags & RETAINED_QOS;
	r.payload = s;
	*out = r;
	return 0;
}

void
rec_put_session(struct buf *b, const struct rec_session *r)
{
	put_version(b, TABLE_sessions);
	buf_put_le64(b, r->qid);
	buf_put_le16(b, r->slot);
	buf_put_le32(b, r->expiry_s);
	buf_put_le64(b, r->offline_since_ms);
	buf_put_slice(b, r->account);
}

int
rec_take_session(struct slice s, struct rec_session *out)
{
	struct rec_session r = { 0 };
	uint8_t version = 0;

	if (slice_take_u8(&s, &version) != 0)
		return FB_ECORRUPT;
	if (version != SESSION_OLD && version != versions[TABLE_sessions])
		return FB_EVERSION;
	if (version != SESSION_OLD && slice_take_le64(&s, &r.qid) != 0)
		return FB_ECORRUPT;
	if (slice_take_le16(&s, &r.slot) != 0 || slice_take_le32(&s, &r.expiry_s) != 0 ||
	    slice_take_le64(&s, &r.offline_since_ms) != 0)
		return FB_ECORRUPT;
	if (version == SESSION_OLD)
		r.offline_since_ms = 0; /* by the calendar: it gets older from now on */
	r.account = s;
	*out = r;
	return 0;
}

void
rec_put_sub(struct buf *b, const struct rec_sub *r)
{
	put_version(b, TABLE_subscriptions);
	buf_put_u8(b, r->qos);
	buf_put_u8(b, r->options);
}

int
rec_take_sub(struct slice s, struct rec_sub *out)
{
	struct rec_sub r = { 0 };
	int rc = take_version(&s, TABLE_subscriptions);

	if (rc != 0)
		return rc;
	if (slice_take_u8(&s, &r.qos) != 0 || slice_take_u8(&s, &r.options) != 0 || s.len != 0 || r.qos > 2)
		return FB_ECORRUPT;
	*out = r;
	return 0;
}

void
rec_put_queue(struct buf *b, const struct rec_queue *r)
{
	put_version(b, TABLE_queues);
	buf_put_slice(b, r->items);
}

int
rec_take_queue(struct slice s, struct rec_queue *out)
{
	int rc = take_version(&s, TABLE_queues);

	if (rc == 0)
		out->items = s;
	return rc;
}

void
rec_put_will(struct buf *b, const struct rec_will *r)
{
	put_version(b, TABLE_wills);
	buf_put_le64(b, r->stamp);
	buf_put_le16(b, r->slot);
	buf_put_le64(b, r->epoch);
	buf_put_u8(b, r->disk);
	buf_put_le32_bytes(b, r->account);
	qmsg_put(b, &r->msg);
}

int
rec_take_will(struct slice s, struct rec_will *out)
{
	struct rec_will r = { 0 };
	uint8_t disk = 0;
	int rc = take_version(&s, TABLE_wills);

	if (rc != 0)
		return rc;
	if (slice_take_le64(&s, &r.stamp) != 0 || slice_take_le16(&s, &r.slot) != 0 || slice_take_le64(&s, &r.epoch) != 0 ||
	    slice_take_u8(&s, &disk) != 0 || disk > 1 || slice_take_le32_bytes(&s, &r.account) != 0 ||
	    qmsg_take(&s, &r.msg) != 0 || s.len != 0)
		return FB_ECORRUPT;
	r.disk = disk == 1;
	*out = r;
	return 0;
}

void
rec_put_number(struct buf *b, const struct rec_number *r)
{
	uint32_t n = r->fail_count < REC_FAILS ? r->fail_count : REC_FAILS;

	put_version(b, TABLE_meta);
	buf_put_le64(b, r->last);
	buf_put_le32(b, r->fail_count);
	for (uint32_t i = 0; i < n; i++) {
		buf_put_le64(b, r->fails[i].seq);
		buf_put_le16(b, r->fails[i].code);
	}
}

int
rec_take_number(struct slice s, struct rec_number *out)
{
	struct rec_number r = { 0 };
	uint32_t n;
	int rc = take_version(&s, TABLE_meta);

	if (rc != 0)
		return rc;
	if (slice_take_le64(&s, &r.last) != 0 || slice_take_le32(&s, &r.fail_count) != 0)
		return FB_ECORRUPT;
	n = r.fail_count < REC_FAILS ? r.fail_count : REC_FAILS;
	for (uint32_t i = 0; i < n; i++) {
		if (slice_take_le64(&s, &r.fails[i].seq) != 0 || slice_take_le16(&s, &r.fails[i].code) != 0)
			return FB_ECORRUPT;
	}
	if (s.len != 0)
		return FB_ECORRUPT;
	*out = r;
	return 0;
}

void
rec_put_counts(struct buf *b, const struct rec_counts *r)
{
	put_version(b, TABLE_meta);
	buf_put_le64(b, r->retained);
	buf_put_le64(b, r->accounts);
}

int
rec_take_counts(struct slice s, struct rec_counts *out)
{
	struct rec_counts r = { 0 };
	int rc = take_version(&s, TABLE_meta);

	if (rc != 0)
		return rc;
	if (slice_take_le64(&s, &r.retained) != 0 || slice_take_le64(&s, &r.accounts) != 0 || s.len != 0)
		return FB_ECORRUPT;
	*out = r;
	return 0;
}

void
rec_put_qcounts(struct buf *b, const struct rec_counts *r)
{
	put_version(b, TABLE_qmeta);
	buf_put_le64(b, r->rows);
	buf_put_le64(b, r->bodies);
}

int
rec_take_qcounts(struct slice s, struct rec_counts *out)
{
	struct rec_counts r = { 0 };
	int rc = take_version(&s, TABLE_qmeta);

	if (rc != 0)
		return rc;
	if (slice_take_le64(&s, &r.rows) != 0 || slice_take_le64(&s, &r.bodies) != 0 || s.len != 0)
		return FB_ECORRUPT;
	*out = r;
	return 0;
}

void
rec_put_item(struct buf *b, const struct rec_item *r)
{
	put_version(b, TABLE_items);
	buf_put_u8(b, (uint8_t)(r->flags | (r->body != 0 ? ITEM_BODY : 0)));
	buf_put_u8(b, r->direct);
	if (r->body != 0)
		buf_put_le64(b, r->body);
	else
		buf_put_slice(b, r->msg);
}

int
rec_take_item(struct slice s, struct rec_item *out)
{
	struct rec_item r = { 0 };
	int rc = take_version(&s, TABLE_items);
	bool body;

	if (rc != 0)
		return rc;
	if (slice_take_u8(&s, &r.flags) != 0 || slice_take_u8(&s, &r.direct) != 0)
		return FB_ECORRUPT;
	body = (r.flags & ITEM_BODY) != 0;
	r.flags &= (uint8_t)~ITEM_BODY;
	if ((r.flags & QITEM_QOS) == 0 || (r.flags & QITEM_QOS) == 3 ||
	    (r.flags & ~(QITEM_QOS | QITEM_RETAIN | QITEM_RELEASED)) != 0 ||
	    (body && (slice_take_le64(&s, &r.body) != 0 || r.body == 0 || s.len != 0)) ||
	    ((r.flags & QITEM_RELEASED) != 0 && (body || s.len != 0)))
		return FB_ECORRUPT;
	r.msg = s;
	*out = r;
	return 0;
}

void
rec_put_body(struct buf *b, const struct rec_body *r)
{
	put_version(b, TABLE_bodies);
	buf_put_slice(b, r->msg);
}

int
rec_take_body(struct slice s, struct rec_body *out)
{
	int rc = take_version(&s, TABLE_bodies);

	if (rc == 0)
		out->msg = s;
	return rc;
}

void
rec_put_ref(struct buf *b, const struct rec_ref *r)
{
	put_version(b, TABLE_refs);
	buf_put_le64(b, r->count);
}

int
rec_take_ref(struct slice s, struct rec_ref *out)
{
	struct rec_ref r = { 0 };
	int rc = take_version(&s, TABLE_refs);

	if (rc != 0)
		return rc;
	if (slice_take_le64(&s, &r.count) != 0 || s.len != 0)
		return FB_ECORRUPT;
	*out = r;
	return 0;
}

void
rec_put_seen(struct buf *b, const struct rec_seen *r)
{
	(void)r;
	put_version(b, TABLE_seen);
}

int
rec_take_seen(struct slice s, struct rec_seen *out)
{
	int rc = take_version(&s, TABLE_seen);

	if (rc != 0 || s.len != 0)
		return rc != 0 ? rc : FB_ECORRUPT;
	out->unused = 0;
	return 0;
}

static void
write_be64(uint8_t *p, uint64_t v)
{
	for (int i = 7; i >= 0; i--) {
		p[i] = (uint8_t)v;
		v >>= 8;
	}
}

struct slice
rec_pair_key(uint8_t out[REC_PAIR_BYTES], uint64_t a, uint64_t b)
{
	write_be64(out, a);
	write_be64(out + 8, b);
	return slice_of(out, REC_PAIR_BYTES);
}

struct slice
rec_number_key(uint8_t out[8], uint64_t n)
{
	write_be64(out, n);
	return slice_of(out, 8);
}

uint64_t
rec_number_of(struct slice key)
{
	uint64_t v = 0;

	if (key.len < 8)
		return 0;
	for (int i = 0; i < 8; i++)
		v = v << 8 | key.p[i];
	return v;
}

void
rec_put_blob(struct buf *b, const struct rec_blob *r)
{
	put_version(b, TABLE_meta);
	buf_put_slice(b, r->bytes);
}

int
rec_take_blob(struct slice s, struct rec_blob *out)
{
	int rc = take_version(&s, TABLE_meta);

	if (rc != 0)
		return rc;
	out->bytes = s;
	return 0;
}

/* A client can make us read the same bad record again and again: an error line is worth one a second. */
static bool
may_log(void)
{
	int64_t now = clock_mono().ns;
	int64_t last = atomic_load(&bad_logged_ns);

	if (atomic_load(&bad_count) > BAD_LINES && now - last < NS_PER_SEC)
		return false;
	return atomic_compare_exchange_strong(&bad_logged_ns, &last, now);
}

void
rec_bad(enum table t, struct slice key, int code)
{
	char shown[256];

	atomic_fetch_add(&bad_count, 1);
	if (!may_log())
		return;
	log_error("store", "record skipped", "table=%s key=%s why=%s", table_name(t), utf8_show(key, shown, sizeof shown),
	    err_text(code));
}

uint64_t
rec_bad_count(void)
{
	return atomic_load(&bad_count);
}
