/* SPDX-License-Identifier: Apache-2.0 */
#include "store/rec.h"

#include <string.h>

#include "common/mqtt/right.h"
#include "t/support/unit.h"

static struct buf b;

static struct slice
fresh(void)
{
	return buf_slice(&b);
}

START_TEST(records_come_back)
{
	struct rec_account a;
	struct rec_acl l;
	struct rec_right ri;
	struct rec_setting st;
	struct rec_session se;
	struct rec_sub su;
	struct rec_counts c;
	struct rec_blob bl;
	struct rec_will w;

	buf_clear(&b);
	rec_put_account(&b, &(struct rec_account){ .created_s = 7, .changed_s = 1ull << 40, .hash = SLICE_LIT("$x$") });
	ck_assert_int_eq(rec_take_account(fresh(), &a), 0);
	ck_assert(a.created_s == 7 && a.changed_s == 1ull << 40 && slice_eq(a.hash, SLICE_LIT("$x$")));
	buf_clear(&b);
	rec_put_acl(&b, &(struct rec_acl){ .allow = true });
	ck_assert_int_eq(rec_take_acl(fresh(), &l), 0);
	ck_assert(l.allow);
	buf_clear(&b);
	rec_put_right(&b, &(struct rec_right){ .actions = RIGHT_SEND, .who = RIGHT_USER, .allow = true,
	    .name = SLICE_LIT("ann"), .filter = SLICE_LIT("a/#") });
	ck_assert_int_eq(rec_take_right(fresh(), &ri), 0);
	ck_assert(ri.actions == RIGHT_SEND && ri.who == RIGHT_USER && ri.allow && slice_eq(ri.name, SLICE_LIT("ann")));
	ck_assert(slice_eq(ri.filter, SLICE_LIT("a/#")));
	buf_clear(&b);
	rec_put_setting(&b, &(struct rec_setting){ .value = SLICE_LIT("") });
	ck_assert_int_eq(rec_take_setting(fresh(), &st), 0);
	ck_assert_uint_eq(st.value.len, 0);
	buf_clear(&b);
	rec_put_session(&b, &(struct rec_session){ .slot = 3, .expiry_s = 9, .offline_since_ms = 1ull << 33, .qid = 1ull << 63,
	    .account = SLICE_LIT("ann") });
	ck_assert_int_eq(rec_take_session(fresh(), &se), 0);
	ck_assert(se.qid == 1ull << 63 && se.slot == 3 && se.expiry_s == 9 && se.offline_since_ms == 1ull << 33);
	ck_assert(slice_eq(se.account, SLICE_LIT("ann")));
	buf_clear(&b);
	rec_put_sub(&b, &(struct rec_sub){ .qos = 2, .options = 0x2c });
	ck_assert_int_eq(rec_take_sub(fresh(), &su), 0);
	ck_assert(su.qos == 2 && su.options == 0x2c);
	buf_clear(&b);
	rec_put_counts(&b, &(struct rec_counts){ .retained = 5, .accounts = 6 });
	ck_assert_int_eq(rec_take_counts(fresh(), &c), 0);
	ck_assert(c.retained == 5 && c.accounts == 6);
	buf_clear(&b);
	rec_put_blob(&b, &(struct rec_blob){ SLICE_LIT("key") });
	ck_assert_int_eq(rec_take_blob(fresh(), &bl), 0);
	ck_assert(slice_eq(bl.bytes, SLICE_LIT("key")));
	buf_clear(&b);
	rec_put_will(&b, &(struct rec_will){ .stamp = 7, .epoch = 1ull << 40, .slot = 3, .disk = true,
	    .account = SLICE_LIT("ann"), .msg = { .topic = SLICE_LIT("t"), .payload = SLICE_LIT("p"), .qos = 2, .retain = true } });
	ck_assert_int_eq(rec_take_will(fresh(), &w), 0);
	ck_assert(w.stamp == 7 && w.epoch == 1ull << 40 && w.slot == 3 && w.disk && slice_eq(w.account, SLICE_LIT("ann")));
	ck_assert(slice_eq(w.msg.topic, SLICE_LIT("t")) && slice_eq(w.msg.payload, SLICE_LIT("p")) && w.msg.qos == 2);
}
END_TEST

START_TEST(retained_records_are_small)
{
	struct rec_retained r;
	uint8_t payload[64] = { 1 };

	buf_clear(&b);
	rec_put_retained(&b, &(struct rec_retained){ .qos = 1, .payload = slice_of(payload, 64) });
	ck_assert_uint_eq(buf_len(&b), 66);
	ck_assert_int_eq(rec_take_retained(fresh(), &r), 0);
	ck_assert(r.qos == 1 && r.expires_s == 0 && r.props.len == 0 && r.payload.len == 64);
	buf_clear(&b);
	rec_put_retained(&b, &(struct rec_retained){ .qos = 2, .expires_s = 77, .props = SLICE_LIT("pp"),
	    .payload = SLICE_LIT("x") });
	ck_assert_int_eq(rec_take_retained(fresh(), &r), 0);
	ck_assert(r.qos == 2 && r.expires_s == 77 && slice_eq(r.props, SLICE_LIT("pp")));
	ck_assert(slice_eq(r.payload, SLICE_LIT("x")));
}
END_TEST

START_TEST(numbers_remember_failures)
{
	struct rec_number n = { .last = 100 };
	struct rec_number back;

	for (; n.fail_count < 40; n.fail_count++)
		n.fails[n.fail_count % REC_FAILS] = (struct rec_fail){ n.fail_count, (uint16_t)(n.fail_count % 7 + 1) };
	buf_clear(&b);
	rec_put_number(&b, &n);
	ck_assert_int_eq(rec_take_number(fresh(), &back), 0);
	ck_assert_uint_eq(back.last, 100);
	ck_assert_uint_eq(back.fail_count, 40);
	for (unsigned i = 0; i < REC_FAILS; i++)
		ck_assert(back.fails[i].seq == n.fails[i].seq && back.fails[i].code == n.fails[i].code);
}
END_TEST

/* What the first release wrote: u8 1, le16 slot, le32 expiry, le64 seconds by the calendar, account. */
START_TEST(a_session_of_the_first_release)
{
	struct rec_session se;

	buf_clear(&b);
	buf_put_u8(&b, 1);
	buf_put_le16(&b, 3);
	buf_put_le32(&b, 9);
	buf_put_le64(&b, 1400000000);
	buf_put_slice(&b, SLICE_LIT("ann"));
	ck_assert_int_eq(rec_take_session(buf_slice(&b), &se), 0);
	ck_assert(se.slot == 3 && se.expiry_s == 9 && slice_eq(se.account, SLICE_LIT("ann")));
	ck_assert(se.qid == 0 && se.offline_since_ms == 0);
	buf_fini(&b);
}
END_TEST

typedef int take_fn(struct slice s, void *out);

/* Whatever is cut off or turned over: an error or another record, never a read outside. */
START_TEST(damage_is_found_or_harmless)
{
	take_fn *const takes[] = { (take_fn *)(void *)rec_take_account, (take_fn *)(void *)rec_take_acl,
		(take_fn *)(void *)rec_take_retained, (take_fn *)(void *)rec_take_session,
		(take_fn *)(void *)rec_take_sub, (take_fn *)(void *)rec_take_number, (take_fn *)(void *)rec_take_counts,
		(take_fn *)(void *)rec_take_right, (take_fn *)(void *)rec_take_will };
	union {
		struct rec_number number;
		uint8_t bytes[2048];
	} out;
	struct buf r[9] = { { 0 } };

	rec_put_account(&r[0], &(struct rec_account){ .hash = SLICE_LIT("h") });
	rec_put_acl(&r[1], &(struct rec_acl){ .allow = true });
	rec_put_retained(&r[2], &(struct rec_retained){ .expires_s = 1, .props = SLICE_LIT("p") });
	rec_put_session(&r[3], &(struct rec_session){ .account = SLICE_LIT("") });
	rec_put_sub(&r[4], &(struct rec_sub){ .qos = 1 });
	rec_put_number(&r[5], &(struct rec_number){ .fail_count = 2 });
	rec_put_counts(&r[6], &(struct rec_counts){ .retained = 1, .accounts = 2 });
	rec_put_right(&r[7], &(struct rec_right){ .actions = 1, .filter = SLICE_LIT("a") });
	rec_put_will(&r[8], &(struct rec_will){ .msg = { .topic = SLICE_LIT("t") } });
	for (unsigned i = 0; i < 9; i++) {
		size_t len = buf_len(&r[i]);
		uint8_t *exact = malloc(len);

		memcpy(exact, r[i].base, len);
		for (size_t cut = 0; cut < len; cut++) {
			uint8_t *shorter = malloc(cut > 0 ? cut : 1);

			memcpy(shorter, exact, cut);
			ck_assert_int_ne(takes[i](slice_of(shorter, cut), &out), 0);
			free(shorter);
		}
		exact[0] = 99;
		ck_assert_int_eq(takes[i](slice_of(exact, len), &out), FB_EVERSION);
		exact[0] = 1;
		for (size_t at = 1; at < len; at++) {
			exact[at] ^= 0xff;
			(void)takes[i](slice_of(exact, len), &out);
			exact[at] ^= 0xff;
		}
		free(exact);
		buf_fini(&r[i]);
	}
	buf_fini(&b);
}
END_TEST

UNIT_MAIN("store_rec", records_come_back, retained_records_are_small, numbers_remember_failures,
    a_session_of_the_first_release, damage_is_found_or_harmless)
