/* SPDX-License-Identifier: Apache-2.0
 * store/check_record.c - is one record, taken alone, what its table may hold? */
#include "common/base/utf8.h"
#include "common/crypto/passwd.h"
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

int
check_record(enum table t, struct slice key, struct slice value, const char **why)
{
	struct rec_setting setting;
	struct rec_right right;

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
	default:
		return value.len == 0 ? wrong(why, "empty") : 0;
	}
}
