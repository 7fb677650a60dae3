/* SPDX-License-Identifier: Apache-2.0
 * The window of packet ids and the queue behind it. */
#include "worker/flow.h"

#include <string.h>

#include "common/base/err.h"
#include "common/base/rand.h"
#include "common/metrics/page.h"
#include "t/support/unit.h"

static struct msg *
message(const char *payload)
{
	const struct cluster_pub p = { .topic = SLICE_LIT("t"), .payload = slice_str(payload), .qos = 1 };

	return msg_new(&p);
}

START_TEST(ids_in_sequence_and_a_limit)
{
	struct flow *f = flow_new(NULL, NULL);
	struct msg *m = message("x");
	struct inflight *slot;

	ck_assert(flow_empty(f));
	ck_assert_ptr_null(flow_find(f, 1));
	for (uint16_t i = 1; i <= 10; i++)
		ck_assert_uint_eq(flow_send(f, m, 1, false, 10), i);
	ck_assert_uint_eq(flow_send(f, m, 1, false, 10), 0);
	ck_assert_uint_eq(m->refs, 11);
	ck_assert_ptr_null(flow_find(f, 0));
	ck_assert_ptr_null(flow_find(f, 11));
	ck_assert_ptr_null(flow_find(f, 65535));
	/* Out of order: the window moves on when the oldest is free. */
	for (uint16_t i = 2; i <= 10; i++) {
		slot = flow_find(f, i);
		ck_assert_ptr_nonnull(slot);
		flow_release(f, slot);
		ck_assert_ptr_null(flow_find(f, i));
	}
	ck_assert_uint_eq(f->window_used, 1);
	ck_assert_uint_eq(flow_send(f, m, 1, false, 10), 0);
	flow_release(f, flow_find(f, 1));
	ck_assert(flow_empty(f));
	ck_assert_uint_eq(flow_send(f, m, 2, true, 10), 11);
	flow_free(f);
	ck_assert_uint_eq(m->refs, 1);
	msg_drop(m);
}
END_TEST

/* Ids run from 1 to 65535 and over, 0 is none. [MQTT-2.3.1-1] */
START_TEST(ids_wrap)
{
	struct flow *f = flow_new(NULL, NULL);
	struct msg *m = message("x");
	uint16_t last = 0;

	ck_assert_uint_eq(flow_packet_id(65534), 65535);
	ck_assert_uint_eq(flow_packet_id(65535), 1);
	for (uint32_t i = 0; i < 200000; i++) {
		uint16_t id = flow_send(f, m, 1, false, 3);

		ck_assert_uint_eq(id, last == 65535 ? 1 : last + 1);
		last = id;
		if (i >= 2)
			flow_release(f, flow_find(f, flow_packet_id(f->window_head)));
	}
	ck_assert_uint_eq(f->window_used, 2);
	flow_free(f);
	msg_drop(m);
}
END_TEST

/* The whole id space in use, across the wrap. */
START_TEST(all_ids_in_use)
{
	struct flow *f = flow_new(NULL, NULL);
	struct msg *m = message("x");

	ck_assert_int_eq(flow_restore(f, 65000, 65000), 0);
	for (uint32_t i = 0; i < 65535; i++)
		ck_assert_uint_eq(flow_send(f, m, 1, false, UINT32_MAX), flow_packet_id(65000 + i));
	ck_assert_uint_eq(flow_send(f, m, 1, false, UINT32_MAX), 0);
	for (uint32_t id = 1; id <= 65535; id++)
		ck_assert_ptr_nonnull(flow_find(f, (uint16_t)id));
	for (uint32_t id = 65535; id >= 1; id--)
		flow_release(f, flow_find(f, (uint16_t)id));
	ck_assert(flow_empty(f));
	flow_free(f);
	msg_drop(m);
}
END_TEST

/* Against a list of what is out, acknowledged in any order. */
START_TEST(random_acknowledgements)
{
	static struct { uint16_t id; uint64_t n; } out[256];
	struct flow *f = flow_new(NULL, NULL);
	struct rand r;
	unsigned count = 0;
	uint64_t sent = 0;

	rand_seed(&r, 3);
	for (unsigned i = 0; i < 300000; i++) {
		if (rand_below(&r, 2)) {
			const struct cluster_pub p = { .topic = SLICE_LIT("t"), .expires_s = sent };
			struct msg *m = msg_new(&p);
			uint16_t id = flow_send(f, m, 1, false, 256);

			msg_drop(m);
			if (id == 0) {
				ck_assert_uint_eq(f->window_tail - f->window_head, 256);
				continue;
			}
			out[count].id = id;
			out[count++].n = sent++;
		} else if (count > 0) {
			unsigned k = (unsigned)rand_below(&r, rand_below(&r, 4) ? 1 : count);
			struct inflight *slot = flow_find(f, out[k].id);

			ck_assert_ptr_nonnull(slot);
			ck_assert_uint_eq(slot->msg->expires_s, out[k].n);
			flow_release(f, slot);
			memmove(&out[k], &out[k + 1], (--count - k) * sizeof out[0]);
		}
		ck_assert_uint_eq(f->window_used, count);
	}
	flow_free(f);
}
END_TEST

START_TEST(walking_the_window)
{
	struct flow *f = flow_new(NULL, NULL);
	struct msg *m = message("x");
	uint64_t seq = 0;
	uint16_t id = 0;

	ck_assert_ptr_null(flow_next(f, &seq, &id));
	for (unsigned i = 0; i < 6; i++)
		(void)flow_send(f, m, 1, false, 100);
	flow_release(f, flow_find(f, 1));
	flow_release(f, flow_find(f, 4));
	seq = f->window_head;
	for (unsigned want = 2; want <= 6; want++) {
		if (want == 4)
			continue;
		ck_assert_ptr_nonnull(flow_next(f, &seq, &id));
		ck_assert_uint_eq(id, want);
	}
	ck_assert_ptr_null(flow_next(f, &seq, &id));
	flow_free(f);
	msg_drop(m);
}
END_TEST

START_TEST(restored)
{
	struct flow *f = flow_new(NULL, NULL);
	struct msg *m = message("x");

	ck_assert_int_eq(flow_restore(f, 10, 9), FB_EPROTO);
	ck_assert_int_eq(flow_restore(f, 10, 10 + 65536), FB_EPROTO);
	ck_assert_int_eq(flow_restore(f, 70000, 70020), 0);
	ck_assert_int_eq(flow_restore(f, 70000, 70020), FB_EPROTO);
	ck_assert_int_eq(flow_restore_slot(f, 69999, m, 1, false), FB_EPROTO);
	ck_assert_int_eq(flow_restore_slot(f, 70020, m, 1, false), FB_EPROTO);
	ck_assert_int_eq(flow_restore_slot(f, 70000, m, 0, false), FB_EPROTO);
	ck_assert_int_eq(flow_restore_slot(f, 70000, m, 3, false), FB_EPROTO);
	ck_assert_int_eq(flow_restore_slot(f, 70000, m, 1, true), 0);
	ck_assert_int_eq(flow_restore_slot(f, 70000, m, 1, true), FB_EPROTO);
	ck_assert_int_eq(flow_restore_slot(f, 70019, NULL, 2, false), 0);
	ck_assert_uint_eq(f->window_used, 2);
	ck_assert_ptr_eq(flow_find(f, flow_packet_id(70000))->msg, m);
	ck_assert(flow_find(f, flow_packet_id(70019))->released);
	ck_assert_ptr_null(flow_find(f, flow_packet_id(70001)));
	ck_assert_uint_eq(flow_send(f, m, 1, false, 100), flow_packet_id(70020));
	flow_release(f, flow_find(f, flow_packet_id(70000)));
	ck_assert_uint_eq(f->window_head, 70019);
	flow_free(f);
	ck_assert_uint_eq(m->refs, 1);
	msg_drop(m);
}
END_TEST

START_TEST(the_queue_is_a_ring)
{
	struct flow *f = flow_new(NULL, NULL);
	struct rand r;
	uint64_t in = 0, out = 0;

	rand_seed(&r, 5);
	METRIC_SET(queued, 0);
	METRIC_SET(queued_bytes, 0);
	f->queue_head = f->queue_tail = UINT32_MAX - 100;       /* the counters wrap */
	ck_assert_ptr_null(flow_first(f));
	for (unsigned i = 0; i < 100000; i++) {
		if (rand_below(&r, 1000) < (i / 10000 % 2 ? 400 : 600)) {
			const struct cluster_pub p = { .topic = SLICE_LIT("t"), .expires_s = in++ };
			struct msg *m = msg_new(&p);

			flow_push(f, m, 1 + i % 2, i % 3 == 0, i % 5 == 0);
			msg_drop(m);
		} else if (flow_first(f) != NULL) {
			struct queued q = flow_pop(f);

			ck_assert_uint_eq(q.msg->expires_s, out++);
			msg_drop(q.msg);
		}
		ck_assert_uint_eq(flow_queued(f), in - out);
		ck_assert_uint_eq(METRIC_GET(queued), in - out);
	}
	ck_assert_uint_eq(METRIC_GET(queued_bytes), f->queue_bytes);
	flow_free(f);
	ck_assert_uint_eq(METRIC_GET(queued), 0);
	ck_assert_uint_eq(METRIC_GET(queued_bytes), 0);
}
END_TEST

/* Against a plain array: of which sender, in which order. */
START_TEST(direct_messages_are_counted_apart)
{
	struct flow *f = flow_new(NULL, NULL);
	uint8_t sender[200];
	uint64_t number[200];
	unsigned count = 0;
	struct rand r;

	rand_seed(&r, 6);
	f->queue_head = f->queue_tail = UINT32_MAX - 100;
	for (unsigned i = 0; i < 20000; i++) {
		const struct cluster_pub p = { .topic = SLICE_LIT("t"), .expires_s = i };
		unsigned what = (unsigned)rand_below(&r, 6), at = 0, of = 0;
		struct queued q;

		if (count < 200 && what < 3) {
			struct msg *m = msg_new(&p);

			sender[count] = (uint8_t)(what == 0 ? 0 : 1 + rand_below(&r, 3));
			number[count] = i;
			flow_push(f, m, 1, false, false);
			if (sender[count] != 0)
				flow_direct_last(f, sender[count]);
			count++;
			msg_drop(m);
			continue;
		}
		what = (unsigned)rand_below(&r, 5);
		while (at < count && (what == 4 ? sender[at] == 0 : sender[at] != what))
			at++;
		if (at == count) {
			ck_assert(!flow_take_oldest(f, what == 4 ? FLOW_DIRECT : what, &q));
			continue;
		}
		ck_assert(flow_take_oldest(f, what == 4 ? FLOW_DIRECT : what, &q));
		ck_assert(q.msg->expires_s == number[at] && q.direct == sender[at]);
		msg_drop(q.msg);
		count--;
		memmove(sender + at, sender + at + 1, count - at);
		memmove(number + at, number + at + 1, (count - at) * sizeof number[0]);
		for (unsigned k = 0; k < count; k++)
			of += sender[k] == 2;
		ck_assert(flow_queued(f) == count && flow_direct_of(f, 2) == of);
	}
	flow_free(f);
}
END_TEST

UNIT_MAIN("flow", direct_messages_are_counted_apart, ids_in_sequence_and_a_limit, ids_wrap, all_ids_in_use, random_acknowledgements, walking_the_window,
    restored, the_queue_is_a_ring)
