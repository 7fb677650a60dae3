/* SPDX-License-Identifier: Apache-2.0
 * worker/sys.h - $SYS/...: what the supervisor counts, for the subscribers of this worker. Every worker is told the same,
 * so nothing of it crosses to neighbours or goes to the store; at QoS 0, so that nothing of it waits for anybody. */
#ifndef WORKER_SYS_H
#define WORKER_SYS_H

#include "common/base/slice.h"

struct session;
struct sys;
struct worker;

struct sys *sys_new(void);
void sys_free(struct sys *sys);

/* Is it "$SYS" or below? Of a topic: clients may not publish there. Of a filter: it matches only what is here. */
static inline bool
sys_is(struct slice s)
{
	return s.len >= 4 && memcmp(s.p, "$SYS", 4) == 0 && (s.len == 4 || s.p[4] == '/');
}

/* A new value, to be kept and delivered; empty: there is none any more. */
void sys_set(struct worker *w, struct slice topic, struct slice value);
/* What there is that filter matches, for a new subscription. */
void sys_replay(struct worker *w, struct session *s, struct slice filter);

#endif
