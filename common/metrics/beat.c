/* SPDX-License-Identifier: Apache-2.0 */
#include "common/metrics/beat.h"

#include "common/base/loop.h"
#include "common/metrics/page.h"

_Static_assert(METRIC_turns_longer - METRIC_turns_1ms == LOOP_BUCKETS - 1, "a row a bucket");
_Static_assert(METRIC_turns_cpu_longer - METRIC_turns_cpu_1ms == LOOP_BUCKETS - 1, "a row a bucket");

void
beat(const struct loop *l)
{
	const struct loop_stats *s = loop_stats(l);

	METRIC_SET(heartbeat_ns, loop_now(l).ns);
	METRIC_SET(loop_turns, s->turns);
	METRIC_SET(turn_max_us, s->wall.longest_ns / NS_PER_US);
	METRIC_SET(turn_cpu_max_us, s->cpu.longest_ns / NS_PER_US);
	for (unsigned k = 0; k < LOOP_BUCKETS; k++) {
		metrics->value[METRIC_turns_1ms + k] = s->wall.count[k];
		metrics->value[METRIC_turns_cpu_1ms + k] = s->cpu.count[k];
	}
}
