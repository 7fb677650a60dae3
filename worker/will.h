/* SPDX-License-Identifier: Apache-2.0
 * worker/will.h - the message that a client leaves for the case that its connection ends without DISCONNECT.
 *
 * One that is to be on the disk has a row in the store from the CONNECT on, which goes when it is published or thrown
 * away. What a worker that dies leaves there is given to the others, once its clients had their time to come back. */
#ifndef WORKER_WILL_H
#define WORKER_WILL_H

#include "common/base/list.h"
#include "common/ipc/codec.h"
#include "common/mqtt/packet.h"

struct chan;
struct session;
struct waiting;
struct will;
struct worker;

struct wills {
	struct list all;                /* struct parting: those on their way out */
	bool over;                      /* this worker ends: what it has not published by now is left to others */
};

void wills_init(struct wills *w);
void wills_fini(struct wills *w);

/* disk: whether it is to be on the disk; of QoS 1 and 2 it becomes cluster_pub.disk. */
struct will *will_new(const struct mqtt_will *from, bool disk);
void will_free(struct will *will);
const struct msg *will_msg(const struct will *will);
bool will_on_disk(const struct will *will);     /* or on its way there */

/* Its client is in, by that stamp. */
void will_keep(struct worker *w, const struct session *s, struct will *will, uint64_t stamp);
/* What its client may: to be asked while the session is still there. */
void will_ask(struct worker *w, const struct session *s, struct will *will);
/* These take it. Thrown away; or published, in which case its row goes when all legs are closed. */
void will_cancel(struct worker *w, const struct session *s, struct will *will);
void will_publish(struct worker *w, struct will *will);

/* The last leg of its publish is closed. */
void will_kept(struct waiting *wait);

/* Of a client of a dead worker, from the store. */
void wills_due(struct worker *w, const struct ipc_will *p);
void wills_gates_open(struct worker *w);        /* the neighbours have their sessions: what waited for that goes out */
void wills_name(struct worker *w, struct chan *c);      /* to a new store: those that came from the last one */
void wills_reset(struct worker *w);             /* the store has cleared all */

#endif
