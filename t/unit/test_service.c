/* SPDX-License-Identifier: Apache-2.0
 * When does the watchdog get its food, and who is killed first when memory runs out? (t/system/test_service.py has the
 * datagrams.) */
#include "t/support/unit.h"

#include "supervisor/service.h"
#include "supervisor/spawn.h"

#define S NS_PER_SEC

static struct mono
at(int64_t ns)
{
	return (struct mono){ 1000 * S + ns };
}

START_TEST(who_serves_is_well)
{
	struct service s = { .ready = true };

	ck_assert(service_is_well(&s, true, true, at(0)));
	ck_assert(service_is_well(&s, true, false, at(100 * S)));
}
END_TEST

START_TEST(who_serves_nobody_for_long_is_not)
{
	struct service s = { .ready = true };

	ck_assert(service_is_well(&s, true, true, at(0)));
	ck_assert(service_is_well(&s, false, true, at(1)));
	ck_assert(service_is_well(&s, false, true, at(SERVICE_UNSERVED_NS - 1)));
	ck_assert(!service_is_well(&s, false, true, at(SERVICE_UNSERVED_NS)));
	ck_assert(!service_is_well(&s, false, true, at(SERVICE_UNSERVED_NS + S)));
	ck_assert(service_is_well(&s, true, true, at(SERVICE_UNSERVED_NS + 2 * S)));
	ck_assert(service_is_well(&s, false, true, at(2 * SERVICE_UNSERVED_NS)));
}
END_TEST

/* At start, at the end, without a store: a new start would be no help. */
START_TEST(nobody_can_be_served_now)
{
	struct service s = { .ready = false };

	ck_assert(service_is_well(&s, false, false, at(0)));
	ck_assert(service_is_well(&s, false, false, at(10 * SERVICE_UNSERVED_NS)));
	ck_assert(service_is_well(&s, false, true, at(11 * SERVICE_UNSERVED_NS - 1)));
	ck_assert(!service_is_well(&s, false, true, at(11 * SERVICE_UNSERVED_NS)));
}
END_TEST

START_TEST(protection_is_shared_out)
{
	ck_assert_int_eq(spawn_oom_score(-500, 200), -300);
	ck_assert_int_eq(spawn_oom_score(-500, 100), -400);
	ck_assert_int_eq(spawn_oom_score(-150, 200), 0);
	ck_assert_int_eq(spawn_oom_score(0, 200), 0);           /* nobody asked for any */
	ck_assert_int_eq(spawn_oom_score(300, 200), 300);
}
END_TEST

UNIT_MAIN("service", protection_is_shared_out, who_serves_is_well, who_serves_nobody_for_long_is_not, nobody_can_be_served_now)
