/* SPDX-License-Identifier: Apache-2.0
 * store/check_record.c - is one record, taken alone, what its table may hold? */
#include "common/base/utf8.h"
#include "common/crypto/passwd.h"
#include "common/ipc/qops.h"
#include "common/mqtt/topic.h"
#include "store/check.h"
#include "store/rec.h"
#include "store/store.h"

static int
wrong(const char **why, const char *text)
{
	*why = text;
	return FB_ECORRUPT;
}

static int
check_account(struct slice key, struct slice value, const char **why)
{
	struct rec_account r;
	int rc = rec_take_account(value, &r);

	if (rc != 0)
		return rc;
	if (key.len == 0 || key.len > STORE_ACCOUNT_MAX || !utf8_clean(key))
		return wrong(why, "not a name of an account");
	return passwd_kind(r.hash) == PASSWD_BAD ? wrong(why, "not a hash of a password") : 0;
}

static int
check_acl(struct slice key, struct slice value, const char **why)
{
	struct rec_acl r;

	return key.len != 17 || key.p[16] > 128 ? wrong(why, "not an address prefix") : rec_take_acl(value, &r);
}

static int
check_group(struct slice key, struct slice value, const char **why)
{
	const uint8_t *end = key.len > 0 ? memchr(key.p, '\0', key.len) : NULL;
	struct rec_group r;

	if (end == NULL || end == key.p || end == key.p + key.len - 1)
		return wrong(why, "not an account and a group");
	return rec_take_group(value, &r);
}

static int
check_retained(struct slice key, struct slice value, const char **why)
{
	struct rec_retained r;
	int rc = rec_take_retained(value, &r);

	if (rc != 0)
		return rc;
	if (key.len == 0 || key.len > UINT16_MAX || memchr(key.p, '+', key.len) != NULL || memchr(key.p, '#', key.len) != NULL)
		return wrong(why, "not a topic");
	return r.payload.len == 0 ? wrong(why, "no payload") : 0;
}

static int
check_session(struct slice key, struct slice value, const char **why)
{
	struct rec_session r;

	return key.len == 0 || key.len > UINT16_MAX || !utf8_valid(key) ? wrong(why, "not a client id") : rec_take_session(value, &r);
}

static int
check_sub(struct slice key, struct slice value, const char **why)
{
	const uint8_t *end = key.len > 0 ? memchr(key.p, '\0', key.len) : NULL;
	struct rec_sub r;

	if (end == NULL || end == key.p || !topic_filter_valid(slice_of(end + 1, (size_t)(key.p + key.len - end - 1))))
		return wrong(why, "not a client id and a topic filter");
	return rec_take_sub(value, &r);
}

static int
check_message(struct slice msg, const char **why)
{
	struct qmsg m;

	return qmsg_take(&msg, &m) != 0 || msg.len != 0 ? wrong(why, "not a message") : 0;
}

static int
check_item(struct slice key, struct slice value, const char **why)
{
	struct rec_item r;
	int rc = rec_take_item(value, &r);

	if (rc != 0 || r.body != 0 || (r.flags & QITEM_RELEASED) != 0)
		return rc;
	return key.len != REC_PAIR_BYTES ? wrong(why, "not a queue and a place") : check_message(r.msg, why);
}

static int
check_queue(enum table t, struct slice key, struct slice value, const char **why)
{
	struct rec_body body;
	struct rec_seen seen;
	struct rec_ref ref;
	int rc;

	if (key.len != (t == TABLE_seen ? REC_PAIR_BYTES : 8))
		return wrong(why, "the key has another length");
	if (t == TABLE_seen)
		return rec_take_seen(value, &seen);
	if (t == TABLE_refs)
		return rec_take_ref(value, &ref);
	rc = rec_take_body(value, &body);
	return rc != 0 ? rc : check_message(body.msg, why);
}

int
check_record(enum table t, struct slice key, struct slice value, const char **why)
{
	struct rec_setting setting;
	struct rec_right right;
	struct rec_will will;

	*why = NULL;
	switch ((unsigned)t) {
	case TABLE_accounts:
		return check_account(key, value, why);
	case TABLE_acls:
		return check_acl(key, value, why);
	case TABLE_rights:
		return key.len != 4 ? wrong(why, "not a place") : rec_take_right(value, &right);
	case TABLE_groups:
		return check_group(key, value, why);
	case TABLE_settings:
		return rec_take_setting(value, &setting);
	case TABLE_retained:
		return check_retained(key, value, why);
	case TABLE_sessions:
		return check_session(key, value, why);
	case TABLE_subscriptions:
		return check_sub(key, value, why);
	case TABLE_items:
		return check_item(key, value, why);
	case TABLE_bodies:
	case TABLE_refs:
	case TABLE_seen:
		return check_queue(t, key, value, why);
	case TABLE_wills:
		return rec_take_will(value, &will);
	default:
		return value.len == 0 ? wrong(why, "empty") : 0;
	}
}
