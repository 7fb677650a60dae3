/* SPDX-License-Identifier: Apache-2.0
 * worker/durability.h - is a publish to be on the disk before it is acknowledged? By its topic, else by the listener
 * that its client came in at. Decided once, where it comes in; then it travels with it (cluster_pub.disk). */
#ifndef WORKER_DURABILITY_H
#define WORKER_DURABILITY_H

#include "worker/worker.h"

/* Makes w->disk_listeners and w->disk_topics of w->config. */
void durability_configure(struct worker *w);
void durability_free(struct durability *d);             /* NULL is allowed */
/* The first filter that matches decides; none: otherwise. */
bool durability_of_topic(const struct durability *d, struct slice topic, bool otherwise);

/* listener: CONFIG_L_... */
static inline bool
durability_disk(const struct worker *w, unsigned listener, struct slice topic)
{
	bool disk = (w->disk_listeners >> listener & 1) != 0;

	return __builtin_expect(w->disk_topics == NULL, 1) ? disk : durability_of_topic(w->disk_topics, topic, disk);
}

#endif
