/* SPDX-License-Identifier: Apache-2.0 */
#include "store/owners.h"

#include <malloc.h>
#include <stdio.h>

#include "t/support/unit.h"

START_TEST(finds_what_was_added)
{
	struct owners o;
	struct owner *w;

	owners_init(&o);
	ck_assert_ptr_null(owners_find(&o, SLICE_LIT("a")));
	w = owners_add(&o, SLICE_LIT("a"), SLICE_LIT("ann"), 3, OWNER_HELD);
	ck_assert_ptr_eq(owners_find(&o, SLICE_LIT("a")), w);
	ck_assert(slice_eq(owner_id(w), SLICE_LIT("a")) && slice_eq(owner_account(w), SLICE_LIT("ann")));
	ck_assert(w->slot == 3 && w->flags == OWNER_HELD);
	owners_set_account(&o, w, SLICE_LIT("bob"));
	owners_set_account(&o, w, SLICE_LIT("bob"));
	ck_assert(slice_eq(owner_account(w), SLICE_LIT("bob")));
	owners_del(&o, w);
	ck_assert_ptr_null(owners_find(&o, SLICE_LIT("a")));
	ck_assert_uint_eq(o.accounts.count, 0);
	owners_fini(&o);
}
END_TEST

START_TEST(a_dead_slot_keeps_its_rows_alone)
{
	struct owners o;
	char id[16];

	owners_init(&o);
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(id, sizeof id, "c%u", i);
		owners_add(&o, slice_str(id), SLICE_LIT("x"), i % 2, i % 3 == 0 ? OWNER_HELD | OWNER_DURABLE : OWNER_HELD);
	}
	owners_slot_gone(&o, 1);
	for (unsigned i = 0; i < 1000; i++) {
		struct owner *w;

		snprintf(id, sizeof id, "c%u", i);
		w = owners_find(&o, slice_str(id));
		if (i % 2 == 0)
			ck_assert(w != NULL && (w->flags & OWNER_HELD) != 0);
		else if (i % 3 == 0)
			ck_assert(w != NULL && w->flags == OWNER_DURABLE && w->slot == 1);
		else
			ck_assert_ptr_null(w);
	}
	owners_clear(&o);
	ck_assert_uint_eq(owners_count(&o), 0);
	ck_assert_uint_eq(o.accounts.count, 0);
	owners_fini(&o);
}
END_TEST

START_TEST(an_id_is_cheap)
{
	enum { COUNT = 100000 };
	size_t before = mallinfo2().uordblks;
	struct owners o;
	char id[32];
	size_t each;

	owners_init(&o);
	for (unsigned i = 0; i < COUNT; i++) {
		snprintf(id, sizeof id, "client-id-of-20-%05u", i % 100000);
		owners_add(&o, slice_str(id), SLICE_LIT("fleet"), 0, OWNER_HELD);
	}
	each = (mallinfo2().uordblks - before) / COUNT;
	/* A sanitizer's malloc says 0. */
	ck_assert_uint_le(each, 80);
	owners_fini(&o);
}
END_TEST

/* Two CONNECTs of one slot wait for a dead one and for each other: whatever their order, the first says who is dead. */
START_TEST(the_first_taker_says_who_is_dead)
{
	static const uint64_t stamps[] = { 11, 12, 14, 15 };

	for (unsigned first = 0; first < 4; first++) {
		struct owners o;
		struct owner *w;

		owners_init(&o);
		w = owners_add(&o, SLICE_LIT("c"), SLICE_LIT(""), 0, OWNER_DURABLE | OWNER_GUESS);
		for (unsigned i = 0; i < 4; i++) {
			uint64_t stamp = stamps[(first + i) % 4];
			bool of_dead = stamp == 11 || stamp == 14;

			owners_taker(&o, w, stamp, of_dead ? 0 : 1, stamp - 1);
			(void)owners_name(&o, w, 1, stamp, false);
		}
		owners_named(&o, 1);
		ck_assert(w->slot == 1 && w->stamp == 15);
		ck_assert_ptr_nonnull(owners_claim_dead(&o, w, 0));
		ck_assert_uint_eq(owners_claim_dead(&o, w, 0)->stamp, 10);
		ck_assert_ptr_null(owners_claim_before(&o, w, 10));
		/* They wait for each other still. */
		ck_assert_uint_eq(owners_claim_before(&o, w, 15)->stamp, 14);
		ck_assert_uint_eq(owners_claim_before(&o, w, 12)->stamp, 11);
		owners_fini(&o);
	}
}
END_TEST

/* Whom it was to be taken from was to take it as well: the row says from whom. */
START_TEST(the_row_says_which_of_two_dead_has_it)
{
	for (unsigned both = 0; both < 2; both++) {
		struct owners o;
		struct owner *w;

		owners_init(&o);
		w = owners_add(&o, SLICE_LIT("c"), SLICE_LIT(""), 0, OWNER_DURABLE | OWNER_GUESS);
		owners_taker(&o, w, 12, 1, 11);
		(void)owners_name(&o, w, 2, 12, false);
		owners_named(&o, both ? 3 : 2);
		ck_assert(w->slot == 2 && w->stamp == 12);
		ck_assert_uint_eq(owners_claim_before(&o, w, 12)->slot, both ? 0 : 1);
		ck_assert(owners_claim_before(&o, w, 12)->dead);
		owners_fini(&o);
	}
}
END_TEST

UNIT_MAIN("store_owners", finds_what_was_added, a_dead_slot_keeps_its_rows_alone, an_id_is_cheap,
    the_first_taker_says_who_is_dead, the_row_says_which_of_two_dead_has_it)
