/* SPDX-License-Identifier: Apache-2.0
 * worker/trace.h - one log line for each message to or from a traced client, or on a traced topic.
 *
 *	TRACE: from (c1, TIME) => via (a/b, TIME, +12us) => to (c2, TIME, +40us) qos=1 retain=0 bytes=5 message="hello"
 *
 * The supervisor says what is traced; every worker knows all of it. Only a message that is wanted carries the time of
 * its arrival along, through queues and to other workers: each worker tells its neighbours to which filters its traced
 * clients subscribe, so that a publisher's worker knows which messages those are. What nobody traces costs a branch.
 * Lines are written where a message is sent: by the worker of who gets it. */
#ifndef WORKER_TRACE_H
#define WORKER_TRACE_H

#include "worker/session.h"
#include "worker/worker.h"

#define TRACE_RECORD 64                 /* cluster_ops' on_record: our type */

struct ipc_trace;

struct traces *traces_new(struct worker *w);
void traces_free(struct traces *t);
/* From the supervisor. */
void trace_set(struct worker *w, const struct ipc_trace *p);

/* Is anything traced? */
static inline bool
trace_any(const struct worker *w)
{
	return __builtin_expect(w->tracing, 0);
}

/* Does this message carry a trace? */
static inline bool
trace_has(const struct cluster_pub *p)
{
	return __builtin_expect(p->traced_ns != 0, 0);
}

static inline bool
trace_msg_has(const struct msg *m)
{
	return __builtin_expect(m->traced, 0);
}

/* A publish by s has arrived: notes the time and the name if somebody wants to know. */
void trace_publish(struct worker *w, const struct session *s, struct cluster_pub *p);
/* The same for a name: of who left a will. */
void trace_will(struct worker *w, struct slice from, struct cluster_pub *p);

enum trace_how { TRACE_SENT, TRACE_AGAIN, TRACE_QUEUED, TRACE_DROPPED };
/* What became of p for s. */
void trace_to(struct worker *w, const struct session *s, const struct cluster_pub *p, enum trace_how how);
void trace_msg_to(struct worker *w, const struct session *s, const struct msg *m, enum trace_how how);
/* A retained message for s. */
void trace_retained(struct worker *w, const struct session *s, const struct cluster_pub *p);
/* p reached nobody, here or elsewhere. */
void trace_nobody(struct worker *w, const struct cluster_pub *p);
uint64_t trace_now(void);

/* A session's subscriptions have changed. */
void trace_subscribed(struct worker *w, const struct session *s);
void trace_on_record(struct worker *w, unsigned from, struct slice body);
void trace_on_greeted(struct worker *w, unsigned slot);
void trace_on_neighbour(struct worker *w, unsigned slot, bool up);

#endif
