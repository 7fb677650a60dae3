/* SPDX-License-Identifier: Apache-2.0 */
#include "t/support/unit.h"

#include <stdint.h>
#include <string.h>

#include "common/base/mem.h"

START_TEST(blocks_are_never_null)
{
	char *p = mem_alloc(0);
	char *q = mem_zalloc(100);

	ck_assert_ptr_nonnull(p);
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(q[i], 0);
	p = mem_realloc(p, 10);
	memset(p, 1, 10);
	mem_free(p);
	mem_free(q);
	mem_free(NULL);
}
END_TEST

START_TEST(copies_end_with_nul)
{
	char *p = mem_dup("a\0b", 3);
	char *q = mem_strdup("text");
	char *r = mem_dup(NULL, 0);

	ck_assert_mem_eq(p, "a\0b", 4);
	ck_assert_str_eq(q, "text");
	ck_assert_str_eq(r, "");
	mem_free(p);
	mem_free(q);
	mem_free(r);
}
END_TEST

START_TEST(slabs_are_powers_of_two_up_to_64_kib)
{
	for (size_t size = 1; size <= 70000; size += size < 300 ? 1 : 997) {
		size_t real = 0;
		void *p = mem_slab_get(size, &real);

		ck_assert_uint_ge(real, size);
		if (size <= 65536) {
			ck_assert_uint_ge(real, 64);
			ck_assert_uint_eq(real & (real - 1), 0);
			ck_assert(real == 64 || real / 2 < size);
		} else {
			ck_assert_uint_eq(real, size);
		}
		memset(p, 0xaa, real);
		mem_slab_put(p, real);
	}
	mem_slab_trim();
}
END_TEST

#ifndef FB_POISON
START_TEST(a_freed_slab_comes_back_until_trimmed)
{
	size_t real;
	void *a = mem_slab_get(1000, &real);
	void *b = mem_slab_get(1000, &real);

	mem_slab_put(a, real);
	mem_slab_put(b, real);
	ck_assert_ptr_eq(mem_slab_get(513, &real), b);
	ck_assert_ptr_eq(mem_slab_get(1024, &real), a);
	mem_slab_put(a, real);
	mem_slab_put(b, real);
	mem_slab_trim();
}
END_TEST
#endif

START_TEST(a_list_keeps_no_more_than_its_bound)
{
	enum { COUNT = 40 };
	void *p[COUNT];
	size_t real = 0;

	for (int i = 0; i < COUNT; i++)
		p[i] = mem_slab_get(65536, &real);
	for (int i = 0; i < COUNT; i++)
		mem_slab_put(p[i], real);       /* 2.5 MiB: most go to free() */
	mem_slab_put(NULL, 0);
	mem_slab_trim();
	mem_slab_trim();
}
END_TEST

UNIT_MAIN("mem", blocks_are_never_null, copies_end_with_nul, slabs_are_powers_of_two_up_to_64_kib,
#ifndef FB_POISON
    a_freed_slab_comes_back_until_trimmed,
#endif
    a_list_keeps_no_more_than_its_bound)
