/* SPDX-License-Identifier: Apache-2.0
 *
 * A pair of functions a table. What is taken is checked as when it comes by any other way: a file of rows is as little
 * to be believed as a client. */
#include "store/dump.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "common/admin/row.h"
#include "common/base/cidr.h"
#include "common/base/clock.h"
#include "common/base/utf8.h"
#include "common/crypto/passwd.h"
#include "common/ipc/qops.h"
#include "common/mqtt/props.h"
#include "common/mqtt/right.h"
#include "common/mqtt/topic.h"
#include "store/rec.h"
#include "store/scan.h"
#include "store/store.h"

#define FIELDS_MAX 24
#define PLACE_MAX  1000000000
#define SLOT_NONE  UINT16_MAX           /* of a session: whoever takes it */
#define TIME_MAX   (INT64_C(1) << 40)
#define CIDR_BYTES 17u

static const struct slice secret_key = { (const uint8_t *)"key", sizeof "key" };

/* ---- fields ---- */

struct fields {
	struct row_field f[FIELDS_MAX];
	bool used[FIELDS_MAX];
	size_t count;
	char *why;
	int rc;                         /* the first thing that was wrong */
};

static void wrong(struct fields *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void
wrong(struct fields *s, const char *fmt, ...)
{
	va_list ap;

	if (s->rc != 0)
		return;
	va_start(ap, fmt);
	vsnprintf(s->why, DUMP_WHY_MAX, fmt, ap);
	va_end(ap);
	s->rc = FB_EINVAL;
}

static const struct row_field *
find(struct fields *s, const char *name, enum row_type type, bool must)
{
	for (size_t i = 0; i < s->count; i++) {
		if (!slice_eq(s->f[i].name, slice_str(name)))
			continue;
		s->used[i] = true;
		if (s->f[i].type == type)
			return &s->f[i];
		wrong(s, "%s: must be %s", name, type == ROW_TEXT ? "a string" : type == ROW_BOOL ? "true or false" : "a number");
		return NULL;
	}
	if (must)
		wrong(s, "%s: is missing", name);
	return NULL;
}

static struct slice
text(struct fields *s, const char *name, size_t min, size_t max)
{
	const struct row_field *f = find(s, name, ROW_TEXT, min > 0);

	if (f == NULL)
		return slice_of(NULL, 0);
	if (f->text.len < min || f->text.len > max)
		wrong(s, "%s: must have %zu to %zu bytes", name, min, max);
	return f->text;
}

static int64_t
number(struct fields *s, const char *name, bool must, int64_t min, int64_t max)
{
	const struct row_field *f = find(s, name, ROW_NUMBER, must);

	if (f == NULL)
		return min;
	if (f->number < min || f->number > max)
		wrong(s, "%s: must be %" PRId64 " to %" PRId64, name, min, max);
	return f->number;
}

static bool
flag(struct fields *s, const char *name, bool must)
{
	const struct row_field *f = find(s, name, ROW_BOOL, must);

	return f != NULL && f->number != 0;
}

static struct slice
utf8(struct fields *s, const char *name, size_t min, size_t max)
{
	struct slice t = text(s, name, min, max);

	if (!utf8_valid(t))
		wrong(s, "%s: must be UTF-8 without U+0000", name);
	return t;
}

/* 64 bits as 16 digits: a number of JSON is not sure to hold them. */
static void
put_hex(struct buf *b, const char *name, uint64_t v)
{
	char digits[20];

	snprintf(digits, sizeof digits, "%016" PRIx64, v);
	row_put_str(b, name, digits);
}

static uint64_t
hex(struct fields *s, const char *name, bool must)
{
	struct slice t = text(s, name, must ? 1 : 0, 16);
	uint64_t v = 0;

	for (size_t i = 0; i < t.len; i++) {
		uint8_t c = t.p[i];

		if ((c < '0' || c > '9') && (c < 'a' || c > 'f')) {
			wrong(s, "%s: must be hexadecimal digits, 0 to 9 and a to f", name);
			return 0;
		}
		v = v << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
	}
	if (must && v == 0)
		wrong(s, "%s: must not be 0", name);
	return v;
}

/* ---- accounts, rules, settings ---- */

static int
put_account(struct buf *b, struct slice key, struct slice value)
{
	struct rec_account r;
	int rc = rec_take_account(value, &r);

	if (rc != 0)
		return rc;
	row_put_str(b, "type", "account");
	row_put_text(b, "name", key);
	row_put_text(b, "hash", r.hash);
	row_put_number(b, "created", (int64_t)r.created_s);
	row_put_number(b, "changed", (int64_t)r.changed_s);
	return 0;
}

static void
take_account(struct fields *s, struct buf *key, struct buf *value)
{
	struct rec_account r = { .hash = text(s, "hash", 1, PASSWD_TEXT_MAX - 1) };
	struct slice name = text(s, "name", 1, STORE_ACCOUNT_MAX);
	int64_t now_s = clock_wall().ns / NS_PER_SEC;

	r.created_s = (uint64_t)number(s, "created", false, 0, TIME_MAX);
	r.changed_s = (uint64_t)number(s, "changed", false, 0, TIME_MAX);
	if (r.created_s == 0)
		r.created_s = (uint64_t)now_s;
	if (r.changed_s == 0)
		r.changed_s = (uint64_t)now_s;
	if (!utf8_clean(name))
		wrong(s, "name: must be UTF-8 without control characters");
	if (passwd_kind(r.hash) == PASSWD_BAD)
		wrong(s, "hash: is no hash of a password");
	buf_put_slice(key, name);
	rec_put_account(value, &r);
}

static int
put_acl(struct buf *b, struct slice key, struct slice value)
{
	char shown[CIDR_TEXT_MAX];
	struct rec_acl r;
	struct cidr c;
	int rc = key.len == CIDR_BYTES && key.p[16] <= 128 ? rec_take_acl(value, &r) : FB_ECORRUPT;

	if (rc != 0)
		return rc;
	memcpy(c.addr, key.p, 16);
	c.bits = key.p[16];
	cidr_print(&c, shown);
	row_put_str(b, "type", "acl");
	row_put_str(b, "prefix", shown);
	row_put_bool(b, "allow", r.allow);
	return 0;
}

static void
take_acl(struct fields *s, struct buf *key, struct buf *value)
{
	struct slice prefix = text(s, "prefix", 1, CIDR_TEXT_MAX - 1);
	struct rec_acl r = { .allow = flag(s, "allow", true) };
	char shown[CIDR_TEXT_MAX];
	struct cidr c = { .bits = 0 };

	snprintf(shown, sizeof shown, "%.*s", (int)prefix.len, prefix.len > 0 ? (const char *)prefix.p : "");
	if (strlen(shown) != prefix.len || cidr_parse(shown, &c) != 0)
		wrong(s, "prefix: must be an IP address or prefix, whose other bits are 0");
	buf_put(key, c.addr, 16);
	buf_put_u8(key, c.bits);
	rec_put_acl(value, &r);
}

static int
put_right(struct buf *b, struct slice key, struct slice value)
{
	char who[RIGHT_NAME_MAX + 16];
	struct rec_right r;
	int rc = key.len == 4 ? rec_take_right(value, &r) : FB_ECORRUPT;
	uint32_t place = 0;

	if (rc != 0)
		return rc;
	(void)slice_take_be32(&key, &place);
	snprintf(who, sizeof who, "%s%.*s", right_who_name((enum right_who)r.who), (int)r.name.len,
	    r.name.len > 0 ? (const char *)r.name.p : "");
	row_put_str(b, "type", "right");
	row_put_number(b, "place", place);
	row_put_str(b, "who", who);
	row_put_str(b, "action", right_action_name((enum right_action)r.actions));
	row_put_text(b, "filter", r.filter);
	row_put_bool(b, "allow", r.allow);
	return 0;
}

static void
take_right(struct fields *s, struct buf *key, struct buf *value)
{
	struct rec_right r = { .allow = flag(s, "allow", true), .filter = utf8(s, "filter", 1, RIGHT_FILTER_MAX) };
	enum right_action action = RIGHT_ALL;
	enum right_who who = RIGHT_EVERYONE;
	const char *why = right_filter_wrong(r.filter);

	if (right_who_parse(text(s, "who", 1, RIGHT_NAME_MAX + 16), &who, &r.name) != 0)
		wrong(s, "who: must be user:NAME, group:NAME, everyone or anonymous");
	if (right_action_parse(text(s, "action", 1, 16), &action) != 0)
		wrong(s, "action: must be publish, subscribe, send, receive or all");
	if (why != NULL)
		wrong(s, "filter: %s", why);
	r.who = (uint8_t)who;
	r.actions = (uint8_t)action;
	buf_put_be32(key, (uint32_t)number(s, "place", true, 1, PLACE_MAX));
	rec_put_right(value, &r);
}

/* The parts of a key that a 0 divides. */
static int
split(struct slice key, struct slice *a, struct slice *b)
{
	const uint8_t *end = key.len > 0 ? memchr(key.p, '\0', key.len) : NULL;

	if (end == NULL || end == key.p)
		return FB_ECORRUPT;
	*a = slice_of(key.p, (size_t)(end - key.p));
	*b = slice_of(end + 1, key.len - a->len - 1);
	return b->len > 0 ? 0 : FB_ECORRUPT;
}

static void
join(struct buf *key, struct slice a, struct slice b)
{
	buf_put_slice(key, a);
	buf_put_u8(key, 0);
	buf_put_slice(key, b);
}

static int
put_group(struct buf *b, struct slice key, struct slice value)
{
	struct slice account, group;
	struct rec_group r;
	int rc = split(key, &account, &group);

	if (rc == 0)
		rc = rec_take_group(value, &r);
	if (rc != 0)
		return rc;
	row_put_str(b, "type", "group");
	row_put_text(b, "group", group);
	row_put_text(b, "account", account);
	return 0;
}

static void
take_group(struct fields *s, struct buf *key, struct buf *value)
{
	struct slice group = text(s, "group", 1, RIGHT_NAME_MAX), account = text(s, "account", 1, STORE_ACCOUNT_MAX);

	if (!utf8_clean(group) || !utf8_clean(account))
		wrong(s, "names must be UTF-8 without control characters");
	join(key, account, group);
	rec_put_group(value, &(struct rec_group){ .unused = 0 });
}

static int
put_setting(struct buf *b, struct slice key, struct slice value)
{
	struct rec_setting r;
	int rc = rec_take_setting(value, &r);

	if (rc != 0)
		return rc;
	row_put_str(b, "type", "setting");
	row_put_text(b, "key", key);
	row_put_text(b, "value", r.value);
	return 0;
}

static void
take_setting(struct fields *s, struct buf *key, struct buf *value)
{
	buf_put_slice(key, utf8(s, "key", 1, 128));
	rec_put_setting(value, &(struct rec_setting){ .value = utf8(s, "value", 0, 4096) });
}

/* ---- the key of generated passwords ---- */

static int
put_secret(struct buf *b, struct slice key, struct slice value)
{
	struct rec_blob r;
	int rc = slice_eq(key, secret_key) ? rec_take_blob(value, &r) : FB_ENOENT;

	if (rc != 0)
		return rc;
	row_put_str(b, "type", "secret");
	row_put_text(b, "secret", r.bytes);
	return 0;
}

static void
take_secret(struct fields *s, struct buf *key, struct buf *value)
{
	buf_put_slice(key, secret_key);
	rec_put_blob(value, &(struct rec_blob){ .bytes = text(s, "secret", PASSWD_MAC_BYTES, PASSWD_MAC_BYTES) });
}

/* ---- messages ---- */

static int
put_retained(struct buf *b, struct slice key, struct slice value)
{
	struct rec_retained r;
	struct buf topic;
	int rc = rec_take_retained(value, &r);

	if (rc != 0)
		return rc;
	buf_init(&topic);
	scan_put_topic(&topic, key);
	row_put_str(b, "type", "retained");
	row_put_text(b, "topic", buf_slice(&topic));
	row_put_number(b, "qos", r.qos);
	if (r.expires_s != 0)
		row_put_number(b, "expires", (int64_t)r.expires_s);
	if (r.props.len > 0)
		row_put_text(b, "properties", r.props);
	row_put_text(b, "payload", r.payload);
	buf_fini(&topic);
	return 0;
}

static struct slice
topic(struct fields *s)
{
	struct slice t = utf8(s, "topic", 1, UINT16_MAX);

	if (!topic_name_valid(t))
		wrong(s, "topic: must be a topic without wildcards");
	return t;
}

static struct slice
properties(struct fields *s)
{
	struct slice p = text(s, "properties", 0, SIZE_MAX);
	struct violation v;

	if (props_check(p, MQTT_PUBLISH, &v) != 0)
		wrong(s, "properties: are not those of a PUBLISH packet of MQTT 5");
	return p;
}

static void
take_retained(struct fields *s, struct buf *key, struct buf *value)
{
	struct rec_retained r = { .qos = (uint8_t)number(s, "qos", true, 0, 2), .props = properties(s),
		.expires_s = (uint64_t)number(s, "expires", false, 0, TIME_MAX), .payload = text(s, "payload", 1, SIZE_MAX) };

	scan_put_key(key, topic(s));
	rec_put_retained(value, &r);
}

/* ---- sessions ---- */

static int
put_session(struct buf *b, struct slice key, struct slice value)
{
	struct rec_session r;
	int rc = rec_take_session(value, &r);

	if (rc != 0)
		return rc;
	row_put_str(b, "type", "session");
	row_put_text(b, "client", key);
	row_put_text(b, "account", r.account);
	row_put_number(b, "expiry", r.expiry_s);
	if (r.qid != 0)
		put_hex(b, "queue", r.qid);
	return 0;
}

static struct slice
client(struct fields *s)
{
	return utf8(s, "client", 1, UINT16_MAX);
}

static void
take_session(struct fields *s, struct buf *key, struct buf *value)
{
	struct rec_session r = { .slot = SLOT_NONE, .account = utf8(s, "account", 0, STORE_ACCOUNT_MAX),
		.expiry_s = (uint32_t)number(s, "expiry", true, 0, UINT32_MAX),
		.qid = hex(s, "queue", false) };

	buf_put_slice(key, client(s));
	rec_put_session(value, &r);
}

static int
put_sub(struct buf *b, struct slice key, struct slice value)
{
	struct slice id, filter;
	struct rec_sub r;
	int rc = split(key, &id, &filter);

	if (rc == 0)
		rc = rec_take_sub(value, &r);
	if (rc != 0)
		return rc;
	row_put_str(b, "type", "subscription");
	row_put_text(b, "client", id);
	row_put_text(b, "filter", filter);
	row_put_number(b, "qos", r.qos);
	row_put_number(b, "options", r.options);
	return 0;
}

static void
take_sub(struct fields *s, struct buf *key, struct buf *value)
{
	struct slice filter = utf8(s, "filter", 1, UINT16_MAX), group, inner;

	if (topic_share(filter, &group, &inner) ? inner.len == 0 : !topic_filter_valid(filter))
		wrong(s, "filter: is no topic filter");
	join(key, client(s), filter);
	rec_put_sub(value, &(struct rec_sub){ .qos = (uint8_t)number(s, "qos", true, 0, 2),
	    .options = (uint8_t)number(s, "options", false, 0, 255) });
}

/* ---- queues ---- */

static int
take_pair(struct slice key, uint64_t *a, uint64_t *b)
{
	if (key.len != REC_PAIR_BYTES)
		return FB_ECORRUPT;
	*a = rec_number_of(key);
	*b = rec_number_of(slice_of(key.p + 8, 8));
	return 0;
}

/* Without the identity of a QoS 2 publish: put again it would count as seen, which rows of that type say. */
int
dump_put_message(struct buf *b, struct slice key, const struct rec_item *r, struct slice msg)
{
	bool released = (r->flags & QITEM_RELEASED) != 0;
	struct qmsg m = { .qos = 0 };
	uint64_t qid, n;

	if (take_pair(key, &qid, &n) != 0 || (!released && (qmsg_take(&msg, &m) != 0 || msg.len != 0)))
		return FB_ECORRUPT;
	row_put_str(b, "type", "message");
	put_hex(b, "queue", qid);
	row_put_number(b, "n", (int64_t)n);
	row_put_number(b, "qos", r->flags & QITEM_QOS);
	if (released) {
		row_put_bool(b, "released", true);
		return 0;
	}
	row_put_bool(b, "retain", (r->flags & QITEM_RETAIN) != 0);
	if (r->direct != 0)
		row_put_number(b, "direct", r->direct);
	row_put_text(b, "topic", m.topic);
	row_put_number(b, "published_qos", m.qos);
	row_put_bool(b, "published_retain", m.retain);
	if (m.expires_s != 0)
		row_put_number(b, "expires", (int64_t)m.expires_s);
	if (m.props.len > 0)
		row_put_text(b, "properties", m.props);
	row_put_text(b, "payload", m.payload);
	return 0;
}

static struct slice
queued_topic(struct fields *s, bool direct)
{
	struct slice t = utf8(s, "topic", 1, UINT16_MAX);

	/* A direct message has the client id that it was sent to. */
	if (!direct && !topic_name_valid(t))
		wrong(s, "topic: must be a topic without wildcards");
	return t;
}

static void
take_message(struct fields *s, struct buf *key, struct buf *value)
{
	struct rec_item r = { .flags = (uint8_t)number(s, "qos", true, 1, 2) };
	uint64_t qid = hex(s, "queue", true);
	int64_t n = number(s, "n", true, 1, INT64_MAX);
	uint8_t pair[REC_PAIR_BYTES];
	struct qmsg m = { .qos = 0 };
	struct buf msg;

	buf_init(&msg);
	if (flag(s, "released", false)) {
		r.flags = QITEM_RELEASED | 2;
	} else {
		r.flags |= flag(s, "retain", false) ? QITEM_RETAIN : 0;
		r.direct = (uint8_t)number(s, "direct", false, 0, 255);
		m = (struct qmsg){ .topic = queued_topic(s, r.direct != 0), .props = properties(s),
			.payload = text(s, "payload", 0, SIZE_MAX),
			.expires_s = (uint64_t)number(s, "expires", false, 0, TIME_MAX),
			.qos = (uint8_t)number(s, "published_qos", true, 0, 2), .retain = flag(s, "published_retain", false) };
		qmsg_put(&msg, &m);
		r.msg = buf_slice(&msg);
	}
	buf_put_slice(key, rec_pair_key(pair, qid, (uint64_t)n));
	rec_put_item(value, &r);
	buf_fini(&msg);
}

static int
put_seen(struct buf *b, struct slice key, struct slice value)
{
	uint64_t id, qid;
	struct rec_seen r;
	int rc = take_pair(key, &id, &qid);

	if (rc == 0)
		rc = rec_take_seen(value, &r);
	if (rc != 0)
		return rc;
	row_put_str(b, "type", "seen");
	put_hex(b, "queue", qid);
	put_hex(b, "publish", id);
	return 0;
}

static void
take_seen(struct fields *s, struct buf *key, struct buf *value)
{
	uint8_t pair[REC_PAIR_BYTES];

	buf_put_slice(key, rec_pair_key(pair, hex(s, "publish", true), hex(s, "queue", true)));
	rec_put_seen(value, &(struct rec_seen){ .unused = 0 });
}

/* ---- which is which ---- */

static const struct {
	const char *type;
	int (*put)(struct buf *b, struct slice key, struct slice value);
	void (*take)(struct fields *s, struct buf *key, struct buf *value);
} types[TABLE_COUNT] = {
	[TABLE_accounts] = { "account", put_account, take_account },
	[TABLE_acls] = { "acl", put_acl, take_acl },
	[TABLE_rights] = { "right", put_right, take_right },
	[TABLE_groups] = { "group", put_group, take_group },
	[TABLE_settings] = { "setting", put_setting, take_setting },
	[TABLE_retained] = { "retained", put_retained, take_retained },
	[TABLE_sessions] = { "session", put_session, take_session },
	[TABLE_subscriptions] = { "subscription", put_sub, take_sub },
	[TABLE_items] = { "message", NULL, take_message },
	[TABLE_seen] = { "seen", put_seen, take_seen },
	[TABLE_meta] = { "secret", put_secret, take_secret },
};

int
dump_put(struct buf *b, enum table t, struct slice key, struct slice value)
{
	return types[t].put == NULL ? FB_ENOENT : types[t].put(b, key, value);
}

/* line is the importer's. */
static void
gather(struct fields *s, struct slice rest)
{
	int rc = 0;

	while (s->count < FIELDS_MAX && (rc = row_next(&rest, &s->f[s->count])) == 0) {
		for (size_t i = 0; i < s->count; i++)
			if (slice_eq(s->f[i].name, s->f[s->count].name))
				wrong(s, "a member is there twice");
		s->used[s->count] = slice_eq(s->f[s->count].name, SLICE_LIT("line"));
		s->count++;
	}
	if (s->count == FIELDS_MAX || rc != FB_ENOENT)
		wrong(s, "too many members");
}

int
dump_take(struct slice row, enum table *out, struct buf *key, struct buf *value, char why[DUMP_WHY_MAX])
{
	struct fields s = { .why = why };
	struct slice type;
	enum table t = 0;
	char shown[64];

	gather(&s, row);
	type = text(&s, "type", 1, 32);
	while (t < TABLE_COUNT && (types[t].type == NULL || !slice_eq(type, slice_str(types[t].type))))
		t++;
	if (t == TABLE_COUNT) {
		wrong(&s, "type: %s is not known", utf8_show(type, shown, sizeof shown));
		return s.rc;
	}
	types[t].take(&s, key, value);
	for (size_t i = 0; i < s.count; i++)
		if (!s.used[i])
			wrong(&s, "%s: no such member of type %s", utf8_show(s.f[i].name, shown, sizeof shown), types[t].type);
	*out = t;
	return s.rc;
}
