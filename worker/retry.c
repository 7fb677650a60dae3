/* SPDX-License-Identifier: Apache-2.0
 * One timer a session and no time stamp a message: when the oldest message of the window is the same one a whole
 * interval later, what was in the window then is sent again: each after one interval to two. */
#include "worker/retry.h"

#include "common/metrics/page.h"
#include "worker/conn.h"
#include "worker/deliver.h"
#include "worker/flow.h"

static void
arm(struct worker *w, struct flow *f)
{
	f->retry_head = f->window_head;
	f->retry_tail = f->window_tail;
	loop_timer_in(w->loop, &f->expiry, w->config.retry_after * NS_PER_SEC);
}

static void
on_retry(struct timer *t)
{
	struct flow *f = container_of(t, struct flow, expiry);
	struct worker *w = f->worker;
	struct session *s = f->session;
	uint64_t before = f->retry_tail;
	bool moved = f->window_head != f->retry_head;

	if (s->conn == NULL || f->window_used == 0 || w->config.retry_after == 0)
		return;
	if (moved)
		f->retries = 0;
	arm(w, f);
	/* While output waits, it has not even been read. */
	if (moved || f->retries >= w->config.max_retries || conn_pending(s->conn) > 0)
		return;
	f->retries++;
	METRIC_ADD(retransmissions, 1);
	deliver_again(w, s, before);
}

void
retry_start(struct worker *w, struct session *s)
{
	struct flow *f = s->flow;

	if (s->conn->level != MQTT_31 || timer_is_set(&f->expiry))
		return;
	timer_init(&f->expiry, on_retry);
	f->retries = 0;
	arm(w, f);
}
