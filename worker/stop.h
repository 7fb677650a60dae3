/* SPDX-License-Identifier: Apache-2.0
 * worker/stop.h - a graceful stop, in turns that are not long: no new clients, the connected ones are closed, shared groups
 * give away what they have (shared_stop.c), what waits in durable sessions goes to the store, writes are waited for; then
 * the loop stops. */
#ifndef WORKER_STOP_H
#define WORKER_STOP_H

#include "common/base/clock.h"
#include "common/base/hmap.h"
#include "common/base/list.h"
#include "common/base/loop.h"

struct worker;

struct stop {
	struct mono end_by;
	struct mono keep_by;            /* neighbours or not, the queues go to the store */
	struct task closes, keeps;      /* the next turn goes on with it */
	struct list closing;            /* connections to be closed; the others are where they always are */
	bool due;                       /* the queues go to the store as soon as no session moves */
	bool keeping, kept;             /* they go there; went */
	struct hmap_iter it;            /* of the sessions: those before it are kept */
	struct hmap_node *const *tables[2];     /* the map's, as of then */
};

void stop_init(struct stop *s);
void stop_fini(struct worker *w);
void worker_stop(struct worker *w);
/* A step of it: what waits in durable sessions goes to the store. Once, when no session moves any more. */
void worker_keep_queues(struct worker *w);
/* A session came that was still moving then. */
void stop_keep_more(struct worker *w);
/* Something that it waits for may have happened. */
void stop_go_on(struct worker *w);
/* From the worker's tick: what is next? */
void stop_check(struct worker *w);

#endif
