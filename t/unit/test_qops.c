/* SPDX-License-Identifier: Apache-2.0
 * Changes of the queues: each there and back, and cut short at every byte. */
#include "t/support/unit.h"

#include "common/ipc/qops.h"

static const struct qmsg full = { .topic = SLICE_LIT("a/b"), .props = SLICE_LIT("\1\2"), .payload = SLICE_LIT("hello"),
	.expires_s = 77, .qos2_id = UINT64_C(0x1122334455667788), .qos = 2, .retain = true };

static void
same_msg(const struct qmsg *a, const struct qmsg *b)
{
	ck_assert(slice_eq(a->topic, b->topic) && slice_eq(a->props, b->props) && slice_eq(a->payload, b->payload));
	ck_assert(a->expires_s == b->expires_s && a->qos2_id == b->qos2_id && a->qos == b->qos && a->retain == b->retain);
}

static int
walk(struct slice s)
{
	struct qop o;
	int rc;

	while ((rc = qop_take(&s, &o)) == 0)
		continue;
	return rc;
}

START_TEST(operations_there_and_back)
{
	const struct qitem items[2] = { { 7, 8, 1 | QITEM_RETAIN, 0 }, { 9, UINT64_MAX, 2, 255 } };
	struct qitem item;
	struct qop o;
	struct slice s;
	struct buf b;

	buf_init(&b);
	qop_put_msg(&b, &full, 2);
	qitem_put(&b, &items[0]);
	qitem_put(&b, &items[1]);
	qop_put_row(&b, QOP_DEL, 1, 2);
	qop_put_row(&b, QOP_RELEASED, 3, 4);
	qop_put_trim(&b, 5, 6, 1000);
	qop_put_drop(&b, 10);
	qop_put_forget(&b, qos2_id_of(UINT64_C(0xabcdef0123456789), 0x55aa));
	s = buf_slice(&b);

	ck_assert_int_eq(qop_take(&s, &o), 0);
	ck_assert_int_eq(o.type, QOP_PUT);
	same_msg(&o.msg, &full);
	ck_assert_uint_eq(o.count, 2);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(qitem_take(&o.items, &item), 0);
		ck_assert(item.qid == items[i].qid && item.n == items[i].n && item.flags == items[i].flags &&
		    item.direct == items[i].direct);
	}
	ck_assert_int_eq(qitem_take(&o.items, &item), FB_ENOENT);
	ck_assert_int_eq(qop_take(&s, &o), 0);
	ck_assert(o.type == QOP_DEL && o.qid == 1 && o.n == 2);
	ck_assert_int_eq(qop_take(&s, &o), 0);
	ck_assert(o.type == QOP_RELEASED && o.qid == 3 && o.n == 4);
	ck_assert_int_eq(qop_take(&s, &o), 0);
	ck_assert(o.type == QOP_TRIM && o.qid == 5 && o.n == 6 && o.count == 1000);
	ck_assert_int_eq(qop_take(&s, &o), 0);
	ck_assert(o.type == QOP_DROP && o.qid == 10);
	ck_assert_int_eq(qop_take(&s, &o), 0);
	ck_assert(o.type == QOP_FORGET && o.id == UINT64_C(0xabcdef01234555aa));
	ck_assert_int_eq(qop_take(&s, &o), FB_ENOENT);
	buf_fini(&b);
}
END_TEST

START_TEST(wills_there_and_back)
{
	const struct qwill will = { .client_id = SLICE_LIT("c"), .account = SLICE_LIT("joe"), .stamp = 99, .disk = true };
	size_t put_end;
	struct qop o;
	struct slice s;
	struct buf b;

	buf_init(&b);
	qop_put_will(&b, &will, &full);
	put_end = buf_len(&b);
	qop_put_will_del(&b, SLICE_LIT("d"), 100);
	s = buf_slice(&b);
	ck_assert_int_eq(qop_take(&s, &o), 0);
	ck_assert_int_eq(o.type, QOP_WILL_PUT);
	ck_assert(slice_eq(o.will.client_id, will.client_id) && slice_eq(o.will.account, will.account));
	ck_assert(o.will.stamp == 99 && o.will.disk);
	same_msg(&o.msg, &full);
	ck_assert_int_eq(qop_take(&s, &o), 0);
	ck_assert(o.type == QOP_WILL_DEL && slice_eq(o.will.client_id, SLICE_LIT("d")) && o.will.stamp == 100);
	ck_assert_int_eq(qop_take(&s, &o), FB_ENOENT);
	for (size_t cut = 1; cut < buf_len(&b); cut++)
		ck_assert_int_eq(walk(slice_of(buf_slice(&b).p, cut)), cut == put_end ? FB_ENOENT : FB_EPROTO);
	buf_clear(&b);
	qop_put_will_del(&b, SLICE_LIT(""), 1);
	ck_assert_int_eq(walk(buf_slice(&b)), FB_EPROTO);
	buf_fini(&b);
}
END_TEST

START_TEST(damaged_operations_are_refused)
{
	const struct qitem item = { 7, 8, 1, 0 };
	size_t put_end, del_end;
	struct buf b;

	buf_init(&b);
	qop_put_msg(&b, &full, 1);
	qitem_put(&b, &item);
	put_end = buf_len(&b);
	qop_put_row(&b, QOP_DEL, 1, 2);
	del_end = buf_len(&b);
	for (size_t cut = 1; cut < del_end; cut++)
		ck_assert_int_eq(walk(slice_of(buf_slice(&b).p, cut)), cut == put_end ? FB_ENOENT : FB_EPROTO);
	ck_assert_int_eq(walk(SLICE_LIT("\11")), FB_EPROTO);
	ck_assert_int_eq(walk(SLICE_LIT("\0")), FB_EPROTO);
	buf_clear(&b);
	qop_put_msg(&b, &full, UINT32_MAX);
	ck_assert_int_eq(walk(buf_slice(&b)), FB_EPROTO);
	buf_fini(&b);
}
END_TEST

START_TEST(rows_there_and_back)
{
	const struct qrow rows[2] = { { .n = 5, .flags = 1, .direct = 3, .msg = full },
		{ .n = 6, .flags = 2 | QITEM_RELEASED } };
	struct qrow r;
	struct slice s;
	struct buf b;

	buf_init(&b);
	qrow_put(&b, &rows[0]);
	qrow_put(&b, &rows[1]);
	s = buf_slice(&b);
	ck_assert_int_eq(qrow_take(&s, &r), 0);
	ck_assert(r.n == 5 && r.flags == 1 && r.direct == 3);
	same_msg(&r.msg, &full);
	ck_assert_int_eq(qrow_take(&s, &r), 0);
	ck_assert(r.n == 6 && r.flags == (2 | QITEM_RELEASED) && r.msg.topic.len == 0);
	ck_assert_int_eq(qrow_take(&s, &r), FB_ENOENT);
	s = slice_of(buf_slice(&b).p, buf_len(&b) - 1);
	ck_assert_int_eq(qrow_take(&s, &r), 0);
	ck_assert_int_eq(qrow_take(&s, &r), FB_EPROTO);
	buf_fini(&b);
}
END_TEST

UNIT_MAIN("qops", operations_there_and_back, wills_there_and_back, damaged_operations_are_refused, rows_there_and_back)
