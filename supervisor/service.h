/* SPDX-License-Identifier: Apache-2.0
 * supervisor/service.h - what the service manager is told: ready, reloading, stopping, a line of status, and that we
 * are well. Without one, all of it does nothing. */
#ifndef SUPERVISOR_SERVICE_H
#define SUPERVISOR_SERVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/clock.h"

struct node;

/* After this time without a worker that serves, a new start of everything is worth a try. */
#define SERVICE_UNSERVED_NS (30 * NS_PER_SEC)

struct service {
	bool ready;                     /* clients can be served */
	bool owed;                      /* what we are has not been heard yet */
	struct mono served;             /* when somebody was last served, or could not be expected to */
	struct mono fed;                /* the watchdog */
	char status[128];               /* as last sent */
};

void service_ready(struct node *n);
/* Around a reload; what came of it is in the log. */
void service_reloading(struct node *n);
void service_reloaded(struct node *n);
void service_stopping(struct node *n, int64_t limit_ns);       /* limit_ns: when the last process will be gone */
void service_failed(const char *why);                           /* we end now */
/* Each turn of the supervisor's clock. */
void service_tick(struct node *n, struct mono now);

/* Is it right to say that we are well? The watchdog restarts the whole node, which takes all clients' connections and
 * what is in memory: it must be no help against a store that dies again and again (the workers go on serving) but
 * against a node that serves nobody and ought to. serves: a worker does; may_serve: and if none does, nothing but us
 * keeps them from it. */
bool service_is_well(struct service *s, bool serves, bool may_serve, struct mono now);

#endif
