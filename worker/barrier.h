/* SPDX-License-Identifier: Apache-2.0
 * worker/barrier.h - waiting until every neighbour has processed what was announced: one cluster barrier a loop turn,
 * shared by all who wait for it, so that a crowd of SUBSCRIBEs costs one. Only with a cluster. */
#ifndef WORKER_BARRIER_H
#define WORKER_BARRIER_H

#include "common/base/list.h"

struct worker;

struct barrier_wait {
	struct list link;
	void (*done)(struct barrier_wait *b);
};

struct barriers;
struct barriers *barriers_new(void);
void barriers_free(struct barriers *b);         /* those who still wait are forgotten */

/* done is called, later, when all neighbours have processed everything sent until the end of this turn. */
void barrier_join(struct worker *w, struct barrier_wait *b);
/* The end of the turn. */
void barriers_start(struct worker *w);

#endif
