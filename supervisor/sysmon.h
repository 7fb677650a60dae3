/* SPDX-License-Identifier: Apache-2.0
 * supervisor/sysmon.h - the load of the node: memory of all its processes against sysmon.high_watermark of what there is,
 * looked at each sysmon.interval. Overloaded from a load of 1 on; the workers are told when that changes. */
#ifndef SUPERVISOR_SYSMON_H
#define SUPERVISOR_SYSMON_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/loop.h"

struct node;
struct proc;

struct sysmon {
	struct timer timer;
	uint64_t used_bytes;            /* by all processes of the node, when last measured */
	uint64_t most_bytes;            /* ever measured */
	uint64_t limit_bytes;           /* high_watermark of the memory; 0: unknown, then load is 0 */
	double load;
	bool overloaded;
};

/* used / limit; 0 without a limit. */
double sysmon_load(uint64_t used_bytes, uint64_t limit_bytes);

void sysmon_start(struct node *n);
void sysmon_stop(struct node *n);
/* Looks now; the next look is an interval from now. Also when a setting of sysmon has changed. */
void sysmon_look(struct node *n);
void sysmon_measure(struct node *n);    /* used_bytes and most_bytes alone */
/* Tells a worker that is new. */
void sysmon_tell(const struct node *n, struct proc *w);

#endif
