/* SPDX-License-Identifier: Apache-2.0
 * store/work.h - long reads, a slice at a time: a job's step works for at most about a millisecond, then the others
 * and the channels have their turn. */
#ifndef STORE_WORK_H
#define STORE_WORK_H

#include <stdbool.h>

#include "common/base/loop.h"

#define WORK_SLICE_NS    NS_PER_MS
#define WORK_SLICE_COUNT 256            /* records looked at in a slice */

struct work_job {
	struct list link;               /* unlinked: not queued */
	/* false: over, or parked; the job may be freed then. */
	bool (*step)(struct work_job *j);
};

struct work {
	struct loop *loop;
	struct task task;
	struct list jobs;
};

void work_init(struct work *w, struct loop *l);
void work_fini(struct work *w);                         /* forgets the jobs */
void work_put(struct work *w, struct work_job *j);      /* queued already: does nothing */
void work_del(struct work_job *j);

#endif
