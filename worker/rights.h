/* SPDX-License-Identifier: Apache-2.0
 * worker/rights.h - may this client do that? The rules and groups that the store keeps, and auth.default_right.
 *
 * What a client may is asked about its session: by the account that logged in and the client id. One look at
 * rights_apply() says that there is nothing to ask, which is the usual case. An account's rules are picked out once,
 * and again after a change. */
#ifndef WORKER_RIGHTS_H
#define WORKER_RIGHTS_H

#include "common/mqtt/right.h"
#include "worker/session.h"
#include "worker/worker.h"

struct ipc_group;
struct ipc_right;

struct rights *rights_new(void);
void rights_free(struct rights *r);
void rights_set_default(struct worker *w, bool allow);

/* All of them anew: what is set between begin and end holds from end on. */
void rights_begin(struct worker *w);
void rights_end(struct worker *w);
void rights_put(struct worker *w, const struct ipc_right *p);
void rights_del(struct worker *w, uint32_t place);
void rights_group(struct worker *w, const struct ipc_group *p, bool in);

/* Is there anything that could refuse one of these actions? */
static inline bool
rights_apply(const struct worker *w, uint8_t actions)
{
	return __builtin_expect((w->rights_active & actions) != 0, 0);
}

enum rights_verdict { RIGHTS_DENY, RIGHTS_ALLOW, RIGHTS_ALLOW_DEFAULT /* no rule says so */ };
/* topic: of RIGHT_SUBSCRIBE the filter, without $share. */
enum rights_verdict rights_ask(const struct worker *w, const struct session *s, enum right_action a,
    struct slice topic);

static inline bool
rights_may(const struct worker *w, const struct session *s, enum right_action a, struct slice topic)
{
	return !rights_apply(w, (uint8_t)a) || rights_ask(w, s, a, topic) != RIGHTS_DENY;
}

/* What becomes of a publish by s: false: refused, counted and logged; else *p says whom it may reach. */
bool rights_publish(struct worker *w, const struct session *s, struct cluster_pub *p);
/* The same for RIGHT_RECEIVE, counted. */
bool rights_may_receive(struct worker *w, const struct session *s, struct slice topic);
/* Takes those off worker->rcpts that may not receive this topic. */
void rights_receive(struct worker *w, struct slice topic);

#endif
