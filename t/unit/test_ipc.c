/* SPDX-License-Identifier: Apache-2.0
 * Each payload there and back, and cut short at every byte; the may-send table. */
#include "t/support/unit.h"

#include "common/ipc/chan.h"
#include "common/ipc/codec.h"

static uint64_t next_value;

static uint64_t
value(void)
{
	return next_value = next_value * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
}

static struct slice
text(void)
{
	static const char all[] = "the quick brown fox jumps over the lazy dog";
	uint64_t v = value() >> 33;

	return slice_of(all + v % 7, v % 31);
}

#define MAKE_U8(f)    p.f = (uint8_t)(value() >> 32)
#define MAKE_U16(f)   p.f = (uint16_t)(value() >> 32)
#define MAKE_U32(f)   p.f = (uint32_t)(value() >> 32)
#define MAKE_U64(f)   p.f = value()
#define MAKE_BYTES(f) p.f = text()
#define MAKE_REST(f)  do { p.f = text(); rest = true; } while (0)
#define SAME_U8(f)    ck_assert(p.f == q.f)
#define SAME_U16(f)   ck_assert(p.f == q.f)
#define SAME_U32(f)   ck_assert(p.f == q.f)
#define SAME_U64(f)   ck_assert(p.f == q.f)
#define SAME_BYTES(f) ck_assert(slice_eq(p.f, q.f))
#define SAME_REST(f)  ck_assert(slice_eq(p.f, q.f))
#define MAKE(type, f) MAKE_##type(f);
#define SAME(type, f) SAME_##type(f);

#define PAYLOAD(name, FIELDS) \
	static void \
	there_and_back_##name(void) \
	{ \
		struct ipc_##name p, q; \
		struct buf b; \
		struct slice s; \
		bool rest = false; \
\
		buf_init(&b); \
		FIELDS(MAKE) \
		ipc_put_##name(&b, &p); \
		s = buf_slice(&b); \
		ck_assert_int_eq(ipc_take_##name(s, &q), 0); \
		FIELDS(SAME) \
		for (size_t cut = 0; cut < s.len && !rest; cut++) \
			ck_assert_int_eq(ipc_take_##name(slice_of(s.p, cut), &q), FB_ESHORT); \
		for (size_t cut = 0; cut < s.len && rest; cut++) \
			(void)ipc_take_##name(slice_of(s.p, cut), &q); \
		buf_put_u8(&b, 0); \
		ck_assert_int_eq(ipc_take_##name(buf_slice(&b), &q), rest ? 0 : FB_EPROTO); \
		buf_fini(&b); \
	}
#include "common/ipc/payloads.def"
#undef PAYLOAD

START_TEST(payloads_there_and_back)
{
	for (int i = 0; i < 50; i++) {
#define PAYLOAD(name, FIELDS) there_and_back_##name();
#include "common/ipc/payloads.def"
#undef PAYLOAD
	}
}
END_TEST

START_TEST(take_leaves_out_untouched_on_failure)
{
	struct ipc_peer p = { .slot = 7, .epoch = 9 };

	ck_assert_int_eq(ipc_take_peer(SLICE_LIT("\1\0\2"), &p), FB_ESHORT);
	ck_assert_int_eq(p.slot, 7);
	ck_assert_uint_eq(p.epoch, 9);
}
END_TEST

START_TEST(length_beyond_the_message_is_short)
{
	struct ipc_name n;

	ck_assert_int_eq(ipc_take_name(SLICE_LIT("\xff\xff\xff\xff" "abc"), &n), FB_ESHORT);
}
END_TEST

START_TEST(who_may_send_what)
{
	ck_assert(ipc_may_send(IPC_START, IPC_SUP, IPC_WORKER));
	ck_assert(ipc_may_send(IPC_START, IPC_SUP, IPC_STORE));
	ck_assert(!ipc_may_send(IPC_START, IPC_WORKER, IPC_SUP));
	ck_assert(ipc_may_send(IPC_OPEN, IPC_WORKER, IPC_STORE));
	ck_assert(!ipc_may_send(IPC_OPEN, IPC_STORE, IPC_WORKER));
	ck_assert(!ipc_may_send(IPC_NONE, IPC_SUP, IPC_WORKER));
	ck_assert(!ipc_may_send(IPC_TYPE_COUNT, IPC_SUP, IPC_WORKER));
	ck_assert_str_eq(ipc_name(IPC_SUB_PUT), "SUB_PUT");
	ck_assert_str_eq(ipc_name(60000), "?");
	ck_assert(ipc_digest() != 0 && ipc_digest() == ipc_digest());
}
END_TEST

UNIT_MAIN("ipc", payloads_there_and_back, take_leaves_out_untouched_on_failure, length_beyond_the_message_is_short,
    who_may_send_what)
