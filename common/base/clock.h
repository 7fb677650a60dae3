/* SPDX-License-Identifier: Apache-2.0
 * common/base/clock.h - two kinds of time that do not mix.
 *
 * struct mono counts from an arbitrary start and never jumps: deadlines, intervals.
 * struct wall is UTC since 1970 and may jump: what is written to disk or shown to people. */
#ifndef COMMON_BASE_CLOCK_H
#define COMMON_BASE_CLOCK_H

#include <stdint.h>

#define NS_PER_SEC INT64_C(1000000000)
#define NS_PER_MS  INT64_C(1000000)
#define NS_PER_US  INT64_C(1000)

struct mono { int64_t ns; };
struct wall { int64_t ns; };

struct mono clock_mono(void);           /* a system call (vdso); in a loop's callbacks use loop_now() */
struct wall clock_wall(void);
int64_t clock_cpu_ns(void);             /* CPU time of this thread so far: a true system call */

static inline struct mono
mono_ms(int64_t ms)
{
	return (struct mono){ ms * NS_PER_MS };
}

static inline struct mono
mono_add(struct mono t, int64_t ns)
{
	return (struct mono){ t.ns + ns };
}

/* a - b in ns. */
static inline int64_t
mono_diff(struct mono a, struct mono b)
{
	return a.ns - b.ns;
}

#endif
