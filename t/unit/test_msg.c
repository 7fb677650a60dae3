/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/msg.h"

#include <string.h>

#include "common/base/mem.h"
#include "t/support/unit.h"

START_TEST(a_copy_of_all_parts)
{
	char topic[] = "a/b", props[] = "pp", payload[] = "payload";
	const struct cluster_pub p = { .topic = slice_str(topic), .props = slice_str(props), .payload = slice_str(payload),
		.expires_s = 7, .qos2_id = 9, .qos = 2, .retain = true, .disk = true };
	struct msg *m = msg_new(&p);
	struct cluster_pub got;

	memset(topic, 0, sizeof topic);
	memset(props, 0, sizeof props);
	memset(payload, 0, sizeof payload);
	got = msg_pub(m);
	ck_assert(slice_eq(got.topic, SLICE_LIT("a/b")));
	ck_assert(slice_eq(got.props, SLICE_LIT("pp")));
	ck_assert(slice_eq(got.payload, SLICE_LIT("payload")));
	ck_assert_uint_eq(got.origin_id.len, 0);
	ck_assert_uint_eq(got.expires_s, 7);
	ck_assert_uint_eq(got.qos2_id, 9);
	ck_assert_uint_eq(got.qos, 2);
	ck_assert(got.retain && got.disk);
	ck_assert_uint_eq(msg_cost(m), sizeof *m + 3 + 2 + 7);
	ck_assert_ptr_eq(msg_hold(m), m);
	msg_drop(m);
	ck_assert(slice_eq(msg_pub(m).topic, SLICE_LIT("a/b")));
	msg_drop(m);
}
END_TEST

START_TEST(a_trace_travels_along)
{
	const struct cluster_pub p = { .topic = SLICE_LIT("a"), .payload = SLICE_LIT("pay"), .origin_id = SLICE_LIT("who"),
		.traced_ns = 77, .matched_ns = 78 };
	struct msg *m = msg_new(&p);
	struct cluster_pub got = msg_pub_whole(m);

	ck_assert(m->traced && got.traced_ns == 77 && got.matched_ns == 78);
	ck_assert(slice_eq(got.origin_id, SLICE_LIT("who")) && slice_eq(got.payload, SLICE_LIT("pay")));
	msg_drop(m);
}
END_TEST

START_TEST(empty_and_large)
{
	struct cluster_pub p = { .topic = SLICE_LIT("t") };
	char *big = mem_zalloc(1 << 20);
	struct msg *m = msg_new(&p);

	ck_assert_uint_eq(msg_pub(m).payload.len, 0);
	ck_assert(!msg_pub(m).disk);
	msg_drop(m);
	p.payload = slice_of(big, 1 << 20);
	m = msg_new(&p);
	mem_free(big);
	ck_assert_uint_eq(m->payload_len, 1 << 20);
	ck_assert_uint_eq(msg_pub(m).payload.p[(1 << 20) - 1], 0);
	msg_drop(m);
}
END_TEST

UNIT_MAIN("msg", a_copy_of_all_parts, a_trace_travels_along, empty_and_large)
