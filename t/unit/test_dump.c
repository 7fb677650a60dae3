/* SPDX-License-Identifier: Apache-2.0 */
#include "store/dump.h"

#include "common/admin/row.h"
#include "common/ipc/qops.h"
#include "common/mqtt/right.h"
#include "store/rec.h"
#include "t/support/unit.h"

static struct buf key, value, row, key2, value2;
static char why[DUMP_WHY_MAX];

static void
clear(void)
{
	buf_clear(&key);
	buf_clear(&value);
	buf_clear(&row);
	buf_clear(&key2);
	buf_clear(&value2);
}

/* key and value, as a row and back, are the same. */
static void
check(enum table t)
{
	enum table got = TABLE_COUNT;

	ck_assert_int_eq(dump_put(&row, t, buf_slice(&key), buf_slice(&value)), 0);
	ck_assert_msg(dump_take(buf_slice(&row), &got, &key2, &value2, why) == 0, "%s", why);
	ck_assert_int_eq((int)got, (int)t);
	ck_assert(slice_eq(buf_slice(&key), buf_slice(&key2)));
	ck_assert(slice_eq(buf_slice(&value), buf_slice(&value2)));
	clear();
}

START_TEST(records_come_back)
{
	static const uint8_t bytes[] = { 0, 1, 255, 0 };
	static const uint8_t props[] = { 0x03, 0, 1, 'x' };     /* content type */
	uint8_t pair[REC_PAIR_BYTES];

	buf_put_slice(&key, SLICE_LIT("ann"));
	rec_put_account(&value, &(struct rec_account){ .created_s = 7, .changed_s = 9,
	    .hash = SLICE_LIT("$hmac-sha256$zYy/94qCusF4EZyOlLcOMQvYA+BC8Jf5bq1uSDVrBfc") });
	check(TABLE_accounts);
	buf_put(&key, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\0\x68", 17);
	rec_put_acl(&value, &(struct rec_acl){ .allow = true });
	check(TABLE_acls);
	buf_put_be32(&key, 40);
	rec_put_right(&value, &(struct rec_right){ .actions = RIGHT_SEND, .who = RIGHT_GROUP, .name = SLICE_LIT("g"),
	    .filter = SLICE_LIT("a/%u/#") });
	check(TABLE_rights);
	buf_put_slice(&key, SLICE_LIT("ann\0staff"));
	rec_put_group(&value, &(struct rec_group){ .unused = 0 });
	check(TABLE_groups);
	buf_put_slice(&key, SLICE_LIT("mqtt.max_qos"));
	rec_put_setting(&value, &(struct rec_setting){ .value = SLICE_LIT("1") });
	check(TABLE_settings);
	buf_put_slice(&key, SLICE_LIT("a\0b\0"));
	rec_put_retained(&value, &(struct rec_retained){ .qos = 2, .expires_s = 99, .props = slice_of(props, sizeof props),
	    .payload = slice_of(bytes, sizeof bytes) });
	check(TABLE_retained);
	buf_put_slice(&key, SLICE_LIT("c1"));
	rec_put_session(&value, &(struct rec_session){ .slot = UINT16_MAX, .expiry_s = UINT32_MAX,
	    .qid = UINT64_C(0x8000000000000001),
	    .account = SLICE_LIT("ann") });
	check(TABLE_sessions);
	buf_put_slice(&key, SLICE_LIT("c1\0$share/g/a/+"));
	rec_put_sub(&value, &(struct rec_sub){ .qos = 1, .options = 44 });
	check(TABLE_subscriptions);
	buf_put_slice(&key, rec_pair_key(pair, 7, 9));
	rec_put_seen(&value, &(struct rec_seen){ .unused = 0 });
	check(TABLE_seen);
	buf_put(&key, "key", 4);
	rec_put_blob(&value, &(struct rec_blob){ .bytes = SLICE_LIT("01234567890123456789012345678901") });
	check(TABLE_meta);
}
END_TEST

static void
check_message(uint8_t flags, const struct qmsg *m)
{
	struct rec_item r = { .flags = flags, .direct = 1 }, back;
	struct slice msg;
	uint8_t pair[REC_PAIR_BYTES];
	enum table got = TABLE_COUNT;
	struct qmsg taken;
	struct buf b;

	buf_init(&b);
	if (m != NULL)
		qmsg_put(&b, m);
	buf_put_slice(&key, rec_pair_key(pair, UINT64_MAX, 65535));
	ck_assert_int_eq(dump_put_message(&row, buf_slice(&key), &r, buf_slice(&b)), 0);
	ck_assert_msg(dump_take(buf_slice(&row), &got, &key2, &value2, why) == 0, "%s", why);
	ck_assert(got == TABLE_items && slice_eq(buf_slice(&key), buf_slice(&key2)));
	ck_assert_int_eq(rec_take_item(buf_slice(&value2), &back), 0);
	ck_assert(back.flags == flags && back.body == 0);
	msg = back.msg;
	if (m != NULL) {
		ck_assert(back.direct == 1 && qmsg_take(&msg, &taken) == 0 && taken.qos2_id == 0);
		ck_assert(slice_eq(taken.topic, m->topic) && slice_eq(taken.payload, m->payload));
		ck_assert(taken.qos == m->qos && taken.retain == m->retain && taken.expires_s == m->expires_s);
	} else {
		ck_assert_uint_eq(msg.len, 0);
	}
	buf_fini(&b);
	clear();
}

START_TEST(messages_come_back)
{
	check_message(QITEM_RETAIN | 1, &(struct qmsg){ .topic = SLICE_LIT("a/b"), .payload = SLICE_LIT("x\0y"), .qos = 2,
	    .retain = true, .expires_s = 77, .qos2_id = 5 });
	check_message(2, &(struct qmsg){ .topic = SLICE_LIT("a"), .qos = 2 });
	check_message(QITEM_RELEASED | 2, NULL);
}
END_TEST

START_TEST(what_is_this_nodes_own_stays_here)
{
	buf_put_slice(&key, SLICE_LIT("counts"));
	rec_put_counts(&value, &(struct rec_counts){ .retained = 1 });
	ck_assert_int_eq(dump_put(&row, TABLE_meta, buf_slice(&key), buf_slice(&value)), FB_ENOENT);
	clear();
}
END_TEST

START_TEST(damaged_records_are_refused)
{
	buf_put_slice(&key, SLICE_LIT("c1"));
	buf_put_u8(&value, 99);
	ck_assert_int_eq(dump_put(&row, TABLE_sessions, buf_slice(&key), buf_slice(&value)), FB_EVERSION);
	ck_assert_int_eq(dump_put(&row, TABLE_subscriptions, buf_slice(&key), buf_slice(&value)), FB_ECORRUPT);
	clear();
}
END_TEST

/* Any byte of a row may be anything: nothing but a refusal may come of it. */
START_TEST(rows_are_not_believed)
{
	enum table t;

	row_put_str(&row, "type", "acl");
	row_put_str(&row, "prefix", "10.0.0.0/8");
	row_put_bool(&row, "allow", true);
	for (size_t i = 0; i < buf_len(&row); i++) {
		ck_assert_int_ne(dump_take(slice_of(buf_slice(&row).p, i), &t, &key, &value, why), 0);
		row.base[row.start + i] ^= 0x81;
		(void)dump_take(buf_slice(&row), &t, &key, &value, why);
		row.base[row.start + i] ^= 0x81;
	}
	row_put_bool(&row, "allow", false);
	ck_assert_int_eq(dump_take(buf_slice(&row), &t, &key, &value, why), FB_EINVAL);
	ck_assert_str_eq(why, "a member is there twice");
	clear();
}
END_TEST

UNIT_MAIN("dump", records_come_back, messages_come_back, what_is_this_nodes_own_stays_here, damaged_records_are_refused,
    rows_are_not_believed)
