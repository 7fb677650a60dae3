/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/clock.h"

#include <time.h>

static int64_t
read_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
}

struct mono
clock_mono(void)
{
	return (struct mono){ read_ns(CLOCK_MONOTONIC) };
}

struct wall
clock_wall(void)
{
	return (struct wall){ read_ns(CLOCK_REALTIME) };
}

int64_t
clock_cpu_ns(void)
{
	return read_ns(CLOCK_THREAD_CPUTIME_ID);
}
