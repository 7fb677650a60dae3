/* SPDX-License-Identifier: Apache-2.0 */
#include "t/support/unit.h"

#include <string.h>

#include "common/base/rand.h"

static uint64_t key_before_main[2];

__attribute__((constructor)) static void
look_at_key(void)
{
	key_before_main[0] = rand_process_key.k0;
	key_before_main[1] = rand_process_key.k1;
}

START_TEST(the_process_key_is_set_before_main)
{
	ck_assert(key_before_main[0] != 0 && key_before_main[1] != 0);
	ck_assert_uint_eq(key_before_main[0], rand_process_key.k0);
	ck_assert_uint_eq(key_before_main[1], rand_process_key.k1);
}
END_TEST

START_TEST(bytes_differ_each_time)
{
	uint8_t a[1000] = { 0 };
	uint8_t b[1000] = { 0 };

	rand_bytes(a, sizeof a);
	rand_bytes(b, sizeof b);
	rand_bytes(NULL, 0);
	ck_assert_int_ne(memcmp(a, b, 16), 0);
	ck_assert_int_ne(memcmp(a + 984, b + 984, 16), 0);
}
END_TEST

START_TEST(a_seed_is_a_sequence)
{
	struct rand a;
	struct rand b;
	struct rand c;
	int same = 0;

	rand_seed(&a, 0);
	rand_seed(&b, 0);
	rand_seed(&c, 1);
	for (int i = 0; i < 100; i++) {
		uint64_t v = rand_u64(&a);

		ck_assert_uint_eq(v, rand_u64(&b));
		same += v == rand_u64(&c);
	}
	ck_assert_int_eq(same, 0);
}
END_TEST

START_TEST(below_is_below_and_reaches_all)
{
	struct rand r;
	int count[10] = { 0 };

	rand_seed(&r, 6);
	for (int i = 0; i < 10000; i++) {
		ck_assert_uint_eq(rand_below(&r, 1), 0);
		count[rand_below(&r, 10)]++;
	}
	for (int i = 0; i < 10; i++)
		ck_assert(count[i] > 800 && count[i] < 1200);
	ck_assert_uint_lt(rand_below(&r, UINT64_MAX), UINT64_MAX);
}
END_TEST

/* Values of an independent implementation of SipHash-1-3 with the key 00 01 .. 0f, input 00 01 .. */
START_TEST(siphash_vectors)
{
	static const struct { size_t len; uint64_t hash; } want[] = {
		{ 0, UINT64_C(0xabac0158050fc4dc) }, { 1, UINT64_C(0xc9f49bf37d57ca93) },
		{ 7, UINT64_C(0xd3927d989bb11140) }, { 8, UINT64_C(0x369095118d299a8e) },
		{ 9, UINT64_C(0x25a48eb36c063de4) }, { 15, UINT64_C(0xd320d86d2a519956) },
		{ 16, UINT64_C(0xcc4fdd1a7d908b66) }, { 63, UINT64_C(0x9d199062b7bbb3a8) },
	};
	const struct hash_key k = { UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908) };
	uint8_t in[64];

	for (uint8_t i = 0; i < 64; i++)
		in[i] = i;
	for (size_t i = 0; i < sizeof want / sizeof want[0]; i++)
		ck_assert_uint_eq(rand_siphash(&k, in, want[i].len), want[i].hash);
}
END_TEST

START_TEST(the_key_counts)
{
	struct hash_key k = rand_process_key;

	ck_assert_uint_eq(rand_hash("abc", 3), rand_siphash(&k, "abc", 3));
	k.k1 ^= 1;
	ck_assert_uint_ne(rand_hash("abc", 3), rand_siphash(&k, "abc", 3));
	ck_assert_uint_ne(rand_hash("", 0), rand_hash("\0", 1));
}
END_TEST

UNIT_MAIN("rand", the_process_key_is_set_before_main, bytes_differ_each_time, a_seed_is_a_sequence,
    below_is_below_and_reaches_all, siphash_vectors, the_key_counts)
