/* SPDX-License-Identifier: Apache-2.0 */
#include "t/support/unit.h"

#include "common/base/rand.h"
#include "common/base/wheel.h"

struct alarm {
	struct timer t;
	int fired;
	int64_t at_ns;                  /* what it was set to; INT64_MAX: not set */
};

static struct wheel *w;
static int64_t last_ms;                 /* at_ms of the one that fired last */
static int fired;

static void
on_alarm(struct timer *t)
{
	struct alarm *a = container_of(t, struct alarm, t);

	ck_assert(!timer_is_set(t));
	ck_assert_int_ge(t->at_ms, last_ms);
	last_ms = t->at_ms;
	a->fired++;
	a->at_ns = INT64_MAX;
	fired++;
}

static void
set(struct alarm *a, int64_t ns)
{
	a->at_ns = ns;
	wheel_set(w, &a->t, (struct mono){ ns });
}

START_TEST(fires_when_due_and_not_before)
{
	struct alarm a = { .fired = 0 };
	struct mono next = { -1 };

	last_ms = 0;
	w = wheel_new(mono_ms(1000));
	timer_init(&a.t, on_alarm);
	ck_assert(!wheel_next(w, &next));
	set(&a, 1500 * NS_PER_MS + 1);
	ck_assert(timer_is_set(&a.t));
	ck_assert(wheel_next(w, &next));
	ck_assert_int_le(next.ns, 1501 * NS_PER_MS);
	ck_assert_int_gt(next.ns, 1000 * NS_PER_MS);
	wheel_advance(w, mono_ms(1500));
	ck_assert_int_eq(a.fired, 0);
	wheel_advance(w, (struct mono){ 1501 * NS_PER_MS - 1 });
	ck_assert_int_eq(a.fired, 0);
	ck_assert(wheel_next(w, &next));
	ck_assert_int_eq(next.ns, 1501 * NS_PER_MS);
	wheel_advance(w, mono_ms(1501));
	ck_assert_int_eq(a.fired, 1);
	ck_assert(!timer_is_set(&a.t));
	ck_assert(!wheel_next(w, &next));
	wheel_free(w);
}
END_TEST

START_TEST(cancel_and_move)
{
	struct alarm a = { .fired = 0 };
	struct mono next;

	last_ms = 0;
	w = wheel_new(mono_ms(0));
	timer_init(&a.t, on_alarm);
	wheel_cancel(w, &a.t);
	set(&a, 10 * NS_PER_MS);
	set(&a, 5000 * NS_PER_MS);
	wheel_advance(w, mono_ms(4999));
	ck_assert_int_eq(a.fired, 0);
	wheel_cancel(w, &a.t);
	wheel_cancel(w, &a.t);
	ck_assert(!wheel_next(w, &next));
	set(&a, 0);                             /* past: at the next advance, even if time stands still */
	ck_assert(wheel_next(w, &next));
	ck_assert_int_le(next.ns, 4999 * NS_PER_MS);
	wheel_cancel(w, &a.t);
	ck_assert(!wheel_next(w, &next));
	set(&a, 0);
	wheel_advance(w, mono_ms(4999));
	ck_assert_int_eq(a.fired, 1);
	wheel_free(w);
	wheel_free(NULL);
}
END_TEST

START_TEST(years_and_the_end_of_time)
{
	const int64_t year = 366 * INT64_C(86400) * NS_PER_SEC;
	struct alarm a[3] = { { .fired = 0 } };

	last_ms = 0;
	w = wheel_new(mono_ms(12345));
	for (int i = 0; i < 3; i++)
		timer_init(&a[i].t, on_alarm);
	set(&a[0], 100 * year);
	set(&a[1], INT64_MAX);
	set(&a[2], year + 1);
	wheel_advance(w, (struct mono){ year });
	ck_assert_int_eq(a[2].fired, 0);
	wheel_advance(w, (struct mono){ 100 * year - 1 });
	ck_assert_int_eq(a[2].fired, 1);
	ck_assert_int_eq(a[0].fired, 0);
	wheel_advance(w, (struct mono){ 100 * year });
	ck_assert_int_eq(a[0].fired, 1);
	ck_assert_int_eq(a[1].fired, 0);
	wheel_free(w);
	ck_assert(!timer_is_set(&a[1].t));
}
END_TEST

static void
on_again(struct timer *t)
{
	struct alarm *a = container_of(t, struct alarm, t);

	a->fired++;
	wheel_set(w, t, (struct mono){ a->at_ns });
}

START_TEST(one_that_sets_itself_to_now_does_not_hang)
{
	struct alarm a = { .at_ns = 0 };

	w = wheel_new(mono_ms(100));
	timer_init(&a.t, on_again);
	set(&a, 0);
	for (int i = 1; i <= 5; i++) {
		wheel_advance(w, mono_ms(100 + i));
		ck_assert_int_eq(a.fired, i);
	}
	wheel_cancel(w, &a.t);
	wheel_free(w);
}
END_TEST

static struct alarm pair[2];

static void
on_pair(struct timer *t)
{
	fired++;
	wheel_cancel(w, &pair[0].t);
	wheel_cancel(w, &pair[1].t);
}

START_TEST(one_may_cancel_its_twin)
{
	w = wheel_new(mono_ms(0));
	fired = 0;
	for (int64_t at = 0; at < 10000; at += 777) {
		for (int i = 0; i < 2; i++) {
			timer_init(&pair[i].t, on_pair);
			wheel_set(w, &pair[i].t, mono_ms(at));
		}
		wheel_advance(w, mono_ms(at));
	}
	ck_assert_int_eq(fired, 13);
	wheel_free(w);
}
END_TEST

/* Time goes on in steps from none to hours; each timer fires in the first step that reaches it. */
START_TEST(like_a_plain_list)
{
	enum { COUNT = 500 };
	static struct alarm a[COUNT];
	struct rand r;
	int64_t now = 777;
	int64_t most = 0;

	rand_seed(&r, 7);
	w = wheel_new((struct mono){ now });
	for (int i = 0; i < COUNT; i++) {
		timer_init(&a[i].t, on_alarm);
		a[i].at_ns = INT64_MAX;
	}
	for (int i = 0; i < 20000; i++) {
		struct alarm *one = &a[rand_below(&r, COUNT)];
		int64_t reach = (int64_t)1 << rand_below(&r, 47);
		struct mono next = { INT64_MAX };
		int64_t first = INT64_MAX;

		if (rand_below(&r, 4) == 0) {
			wheel_cancel(w, &one->t);
			one->at_ns = INT64_MAX;
		} else {
			set(one, now + (int64_t)rand_below(&r, (uint64_t)reach) - (i % 50 == 0 ? NS_PER_MS : 0));
		}
		if (i % 4 != 0)
			continue;
		for (int j = 0; j < COUNT; j++)
			first = a[j].at_ns < first ? a[j].at_ns : first;
		ck_assert(wheel_next(w, &next) == (first != INT64_MAX));
		ck_assert(first == INT64_MAX || next.ns <= now || next.ns < first + NS_PER_MS);
		now = rand_below(&r, 2) == 0 && next.ns != INT64_MAX && next.ns > now ? next.ns
		    : now + (int64_t)rand_below(&r, (uint64_t)1 << rand_below(&r, 43));
		last_ms = INT64_MIN;
		wheel_advance(w, (struct mono){ now });
		for (int j = 0; j < COUNT; j++)
			ck_assert(a[j].at_ns > now - NS_PER_MS && timer_is_set(&a[j].t) == (a[j].at_ns != INT64_MAX));
		for (int j = 0; j < COUNT; j++)
			most = a[j].fired > most ? a[j].fired : most;
	}
	ck_assert_int_gt(most, 5);
	wheel_free(w);
}
END_TEST

UNIT_MAIN("wheel", fires_when_due_and_not_before, cancel_and_move, years_and_the_end_of_time,
    one_that_sets_itself_to_now_does_not_hang, one_may_cancel_its_twin, like_a_plain_list)
