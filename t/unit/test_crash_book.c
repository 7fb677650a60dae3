/* SPDX-License-Identifier: Apache-2.0
 * t/unit/test_crash_book.c - the books of the crash tests find each thing that can be wrong. */
#include "t/support/crash_book.h"

#include "t/support/unit.h"

static struct book b;
static unsigned pub, qos1, sub, clean;

/* A durable publisher of QoS 2, one of QoS 1, a durable and a clean subscriber, and 20 acknowledged messages of each. */
static void
begin(void)
{
	b = (struct book){ 0 };
	pub = book_add_pub(&b, "p2", 0, 2, true);
	qos1 = book_add_pub(&b, "p1", 0, 1, true);
	sub = book_add_sub(&b, "d", 0, 2, true);
	clean = book_add_sub(&b, "c", 0, 2, false);
	for (unsigned i = 0; i < 20; i++) {
		book_acked(&b, pub, book_sent(&b, pub, 0));
		book_acked(&b, qos1, book_sent(&b, qos1, 0));
	}
	book_connected(&b, clean);
	book_subscribed(&b, clean, 0);
}

static void
all_arrive(unsigned s)
{
	for (unsigned i = 0; i < 20; i++) {
		book_arrived(&b, s, pub, i);
		book_arrived(&b, s, qos1, i);
	}
}

static uint64_t
wrongs(void)
{
	uint64_t n = 0;

	for (int i = 0; i < WRONG_COUNT; i++)
		n += b.wrong[i];
	return n;
}

START_TEST(nothing_wrong)
{
	begin();
	ck_assert_uint_eq(book_missing(&b), 40);
	all_arrive(sub);
	all_arrive(clean);
	ck_assert_uint_eq(book_missing(&b), 0);
	book_arrived(&b, sub, qos1, 7);                 /* QoS 1 may come again, also late */
	book_arrived(&b, clean, qos1, 7);
	book_close(&b);
	ck_assert_uint_eq(wrongs(), 0);
	ck_assert_uint_eq(b.again, 2);
	book_fini(&b);
}
END_TEST

START_TEST(lost_and_unacked)
{
	begin();
	all_arrive(sub);
	book_acked(&b, pub, book_sent(&b, pub, 0));
	(void)book_sent(&b, qos1, 0);
	book_close(&b);
	ck_assert_uint_eq(b.wrong[WRONG_LOST], 1);
	ck_assert_uint_eq(b.wrong[WRONG_UNACKED], 1);
	ck_assert_uint_eq(wrongs(), 2);
	book_fini(&b);
}
END_TEST

START_TEST(twice)
{
	begin();
	book_arrived(&b, sub, pub, 3);
	book_arrived(&b, sub, pub, 3);
	book_arrived(&b, clean, pub, 3);
	book_arrived(&b, clean, pub, 3);
	ck_assert_uint_eq(b.wrong[WRONG_TWICE], 2);
	ck_assert_uint_eq(wrongs(), 2);
	book_fini(&b);
}
END_TEST

START_TEST(order_is_per_topic)
{
	begin();
	book_arrived(&b, sub, qos1, 3);
	book_arrived(&b, sub, qos1, 2);                 /* another topic */
	ck_assert_uint_eq(wrongs(), 0);
	book_arrived(&b, sub, qos1, 1);
	ck_assert_uint_eq(b.wrong[WRONG_ORDER], 1);
	book_fini(&b);
}
END_TEST

START_TEST(gap_on_one_connection)
{
	begin();
	book_arrived(&b, clean, qos1, 4);
	book_arrived(&b, clean, qos1, 6);
	ck_assert_uint_eq(wrongs(), 0);
	book_connected(&b, clean);
	book_subscribed(&b, clean, 1);                  /* a new connection begins anywhere; */
	book_arrived(&b, clean, qos1, 12);
	book_arrived(&b, clean, qos1, 16);              /* what was sent before it may have been acknowledged before */
	ck_assert_uint_eq(wrongs(), 0);
	for (unsigned i = 20; i < 30; i++)
		(void)book_sent(&b, qos1, 2);
	book_arrived(&b, clean, qos1, 18);
	book_arrived(&b, clean, qos1, 26);
	ck_assert_uint_eq(b.wrong[WRONG_GAP], 3);
	book_fini(&b);
}
END_TEST

START_TEST(strange)
{
	begin();
	book_arrived(&b, sub, pub, 20);
	book_arrived(&b, sub, 9, 0);
	ck_assert_uint_eq(b.wrong[WRONG_STRANGE], 2);
	book_fini(&b);
}
END_TEST

UNIT_MAIN("crash_book", nothing_wrong, lost_and_unacked, twice, order_is_per_topic, gap_on_one_connection, strange)
