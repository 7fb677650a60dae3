/* SPDX-License-Identifier: Apache-2.0
 * What waits in a session, there and back through records; damaged records. */
#include "worker/ship.h"

#include <stdio.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/rand.h"
#include "t/support/unit.h"
#include "worker/backlog.h"
#include "worker/flow.h"

#define RECORDS 64

static struct buf records[RECORDS];
static unsigned count;

static void
emit(void *arg, struct slice part)
{
	ck_assert_ptr_eq(arg, records);
	ck_assert_uint_lt(count, RECORDS);
	buf_init(&records[count]);
	buf_put_slice(&records[count++], part);
}

static void
encode(struct flow *f)
{
	count = 0;
	ship_encode(f, SLICE_LIT("leader"), emit, records);
}

static int
decode(struct flow *f)
{
	int err = 0;

	for (unsigned i = 0; i < count && err == 0; i++) {
		struct slice body = buf_slice(&records[i]);
		struct slice lead;

		ck_assert_int_eq(slice_take(&body, 6, &lead), 0);
		ck_assert(slice_eq(lead, SLICE_LIT("leader")));
		err = ship_decode(f, body);
	}
	return err;
}

static void
forget(void)
{
	for (unsigned i = 0; i < count; i++)
		buf_fini(&records[i]);
	count = 0;
}

static struct msg *
message(struct rand *r, unsigned n)
{
	static uint8_t bytes[2000];
	char topic[16];
	const struct cluster_pub p = { .topic = slice_of(topic, (size_t)snprintf(topic, sizeof topic, "t/%u", n)),
		.payload = slice_of(bytes, rand_below(r, 2000)), .props = slice_of(bytes, rand_below(r, 10)),
		.expires_s = rand_below(r, 100), .qos2_id = n, .qos = (uint8_t)(1 + n % 2), .retain = n % 3 == 0,
		.disk = n % 4 < 2,
		.origin_id = n % 5 == 0 ? SLICE_LIT("who") : slice_of(NULL, 0), .traced_ns = n % 5 == 0 ? n + 1 : 0 };

	memset(bytes, (int)n, sizeof bytes);
	return msg_new(&p);
}

static void
same_msg(const struct msg *a, const struct msg *b)
{
	ck_assert_uint_eq(a->topic_len, b->topic_len);
	ck_assert_uint_eq(a->props_len, b->props_len);
	ck_assert_uint_eq(a->payload_len, b->payload_len);
	ck_assert_uint_eq(a->expires_s, b->expires_s);
	ck_assert_uint_eq(a->qos2_id, b->qos2_id);
	ck_assert_uint_eq(a->qos, b->qos);
	ck_assert_int_eq(a->retain, b->retain);
	ck_assert_int_eq(a->disk, b->disk);
	ck_assert_int_eq(a->traced, b->traced);
	ck_assert_uint_eq(msg_pub_whole(a).traced_ns, msg_pub_whole(b).traced_ns);
	ck_assert(slice_eq(msg_pub_whole(a).origin_id, msg_pub_whole(b).origin_id));
	ck_assert_int_eq(memcmp(a->bytes, b->bytes, a->topic_len + a->props_len + a->payload_len), 0);
}

static struct flow *
filled(struct rand *r)
{
	struct flow *f = flow_new(NULL, NULL);
	unsigned n = 0;

	(void)flow_restore(f, 65530, 65530);
	for (unsigned i = (unsigned)rand_below(r, 40); i > 0; i--) {
		struct msg *m = message(r, n++);

		(void)flow_send(f, m, m->qos, i % 2, 100);
		msg_drop(m);
	}
	for (uint64_t seq = f->window_head; seq < f->window_tail; seq++) {
		struct inflight *slot = flow_find(f, flow_packet_id(seq));

		if (rand_below(r, 4) == 0) {
			flow_release(f, slot);
		} else if (slot->qos == 2 && rand_below(r, 2)) {
			msg_drop(slot->msg);
			slot->msg = NULL;
			slot->released = true;
		}
		if (slot->qos != 0)
			slot->stored = rand_below(r, 2) ? STORED_ON : STORED_NO;
	}
	for (unsigned i = (unsigned)rand_below(r, 300); i > 0; i--)
		(void)bitmap_put(&f->received, (uint16_t)(1 + rand_below(r, 65535)));
	for (unsigned i = (unsigned)rand_below(r, 200); i > 0; i--) {
		struct msg *m = message(r, n++);

		flow_push(f, m, m->qos, i % 4 == 0, i % 7 == 0);
		flow_last(f)->again = i % 5 == 0;
		flow_last(f)->stored = i % 3 == 0 ? STORED_ON : STORED_NO;
		if (i % 6 == 0)
			flow_direct_last(f, (uint8_t)(1 + i % 255));
		msg_drop(m);
	}
	if (rand_below(r, 2))
		backlog_put(f, &(struct backlog_state){ .from = f->next_n, .to = f->next_n + 5, .loaded = 3, .bytes = 77,
		    .count = 6, .direct = 2 });
	f->next_n += 10;
	return f;
}

static void
same(const struct flow *a, struct flow *b)
{
	struct inflight *x, *y;
	uint64_t at = a->window_head, bt = b->window_head;
	uint16_t ida = 0, idb = 0;
	uint32_t pos = b->queue_head;
	struct backlog_state there = { 0 };
	struct backlog_state here = { 0 };

	ck_assert_uint_eq(a->window_head, b->window_head);
	ck_assert_uint_eq(a->window_tail, b->window_tail);
	while ((x = flow_next((struct flow *)(uintptr_t)a, &at, &ida)) != NULL) {
		y = flow_next(b, &bt, &idb);
		ck_assert_ptr_nonnull(y);
		ck_assert_uint_eq(ida, idb);
		ck_assert_uint_eq(x->qos, y->qos);
		ck_assert_int_eq(x->retain, y->retain);
		ck_assert_int_eq(x->released, y->released);
		ck_assert_int_eq(x->stored, y->stored);
		ck_assert_int_eq(x->msg == NULL, y->msg == NULL);
		if (x->msg != NULL)
			same_msg(x->msg, y->msg);
	}
	ck_assert_ptr_null(flow_next(b, &bt, &idb));
	ck_assert_uint_eq(a->received.used, b->received.used);
	for (unsigned id = 1; id <= 65535; id++)
		ck_assert_int_eq(bitmap_has(&a->received, (uint16_t)id), bitmap_has(&b->received, (uint16_t)id));
	for (uint32_t p = a->queue_head; p != a->queue_tail; p++) {
		const struct queued *q = &a->queue[p & (a->queue_room - 1)];
		const struct queued *w = &b->queue[pos & (b->queue_room - 1)];

		if (q->aside)
			continue;
		ck_assert(pos != b->queue_tail);
		ck_assert_uint_eq(q->qos, w->qos);
		ck_assert_int_eq(q->retain, w->retain);
		ck_assert(!w->aside);
		ck_assert(q->n == w->n && q->again == w->again && q->stored == w->stored && q->direct == w->direct);
		same_msg(q->msg, w->msg);
		pos++;
	}
	ck_assert(pos == b->queue_tail);
	ck_assert_uint_eq(a->next_n, b->next_n);
	ck_assert_int_eq(backlog_get(a, &there), backlog_get(b, &here));
	ck_assert(there.from == here.from && there.to == here.to && there.loaded == here.loaded && there.bytes == here.bytes &&
	    there.count == here.count && there.direct == here.direct);
}

START_TEST(there_and_back)
{
	for (uint64_t seed = 1; seed <= 60; seed++) {
		struct rand r;
		struct flow *a, *b;

		rand_seed(&r, seed);
		a = filled(&r);
		encode(a);
		for (unsigned i = 0; i < count; i++)
			ck_assert_uint_lt(buf_len(&records[i]), 40 * 1024);
		b = flow_new(NULL, NULL);
		ck_assert_int_eq(decode(b), 0);
		same(a, b);
		flow_free(a);
		flow_free(b);
		forget();
	}
}
END_TEST

/* Bytes changed, cut off, added: an error or a flow that is sound, never more. */
START_TEST(damaged)
{
	for (uint64_t seed = 1; seed <= 1500; seed++) {
		struct rand r;
		struct flow *a, *b;

		rand_seed(&r, seed);
		a = filled(&r);
		encode(a);
		for (unsigned k = 1 + (unsigned)rand_below(&r, 4); k > 0 && count > 0; k--) {
			struct buf *rec = &records[rand_below(&r, count)];
			size_t body = buf_len(rec) - 6;

			if (body == 0)
				continue;
			if (rand_below(&r, 3) == 0)
				rec->end -= (uint32_t)rand_below(&r, body);
			else
				rec->base[rec->start + 6 + rand_below(&r, rand_below(&r, 2) ? body : body < 40 ? body : 40)] =
				    (uint8_t)rand_below(&r, 256);
		}
		b = flow_new(NULL, NULL);
		(void)decode(b);
		ck_assert_uint_le(b->window_used, b->window_tail - b->window_head);
		flow_free(a);
		flow_free(b);
		forget();
	}
}
END_TEST

UNIT_MAIN("ship", there_and_back, damaged)
