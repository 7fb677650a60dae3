/* SPDX-License-Identifier: Apache-2.0 */
#include "t/support/unit.h"

#include "common/base/list.h"

struct thing {
	int value;
	struct list link;
};

static int
as_number(const struct list *head)
{
	int n = 0;

	for (const struct list *p = head->next; p != head; p = p->next)
		n = 10 * n + container_of(p, struct thing, link)->value;
	return n;
}

START_TEST(puts_and_dels)
{
	struct thing t[4] = { { .value = 1 }, { .value = 2 }, { .value = 3 }, { .value = 4 } };
	struct list head;

	list_init(&head);
	ck_assert(list_empty(&head));
	ck_assert_ptr_null(LIST_FIRST(&head, struct thing, link));
	list_put_last(&head, &t[0].link);
	list_put_last(&head, &t[1].link);
	list_put_first(&head, &t[2].link);
	list_insert(&t[0].link, &t[3].link);
	ck_assert_int_eq(as_number(&head), 3142);
	ck_assert_ptr_eq(LIST_FIRST(&head, struct thing, link), &t[2]);
	list_del(&t[3].link);
	ck_assert(!list_linked(&t[3].link));
	list_del(&t[3].link);
	ck_assert_int_eq(as_number(&head), 312);
	LIST_EACH_SAFE(p, tmp, &head)
		list_del(p);
	ck_assert(list_empty(&head));
}
END_TEST

START_TEST(all_of_one_move_behind_another)
{
	struct thing t[3] = { { .value = 1 }, { .value = 2 }, { .value = 3 } };
	struct list a;
	struct list b;

	list_init(&a);
	list_init(&b);
	list_put_last(&a, &t[0].link);
	list_move_all(&a, &b);
	ck_assert_int_eq(as_number(&a), 1);
	list_put_last(&b, &t[1].link);
	list_put_last(&b, &t[2].link);
	list_move_all(&a, &b);
	ck_assert_int_eq(as_number(&a), 123);
	ck_assert(list_empty(&b));
	list_move_all(&b, &a);
	ck_assert_int_eq(as_number(&b), 123);
}
END_TEST

UNIT_MAIN("list", puts_and_dels, all_of_one_move_behind_another)
