/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/publish.h"

#include "common/base/rand.h"
#include "common/metrics/page.h"
#include "worker/deliver.h"
#include "worker/keep.h"
#include "worker/retain.h"
#include "worker/storec.h"
#include "worker/trace.h"
#include "worker/worker.h"

static void
on_retained(void *arg, int err)
{
	struct waiting *wait = arg;

	wait->retain = NULL;
	publish_leg_closed(wait, err != 0);
}

static void
retain(struct worker *w, const struct cluster_pub *p, struct waiting *wait)
{
	if (wait == NULL && storec_full(w->store)) {
		METRIC_ADD(dropped_store_full, 1);
		return;
	}
	if (wait == NULL) {
		(void)storec_retain(w->store, p, false, NULL, NULL);
		return;
	}
	wait->legs++;
	wait->retain = storec_retain(w->store, p, wait->conn != NULL, on_retained, wait);
}

void
publish(struct worker *w, const struct cluster_pub *p, struct waiting *wait)
{
	uint64_t homes;
	unsigned legs = 0;
	struct keep *keep;

	if (p->retain && w->config.retained)
		retain(w, p, wait);
	homes = deliver(w, p, w->slot, &keep);
	if (keep != NULL && wait != NULL) {
		wait->legs++;
		keep_tell_wait(keep, wait);
	}
	if (w->cluster != NULL) {
		legs = cluster_publish_also(w->cluster, p, (uint64_t)(uintptr_t)wait, homes);
		/* The cluster closes all its legs with one on_kept(). */
		if (legs > 0 && wait != NULL)
			wait->legs++;
	}
	if (trace_has(p) && w->rcpt_count == 0 && legs == 0 && w->trie.found_count == 0)
		trace_nobody(w, p);
}

void
publish_on_kept(void *worker, uint64_t cookie)
{
	if (cookie != 0)
		publish_leg_closed((void *)(uintptr_t)cookie, false);
}

void
publish_on_neighbour(void *worker, unsigned from, const struct cluster_pub *p, uint64_t kept)
{
	struct worker *w = worker;
	struct keep *keep;

	if (w->takes_none)
		return;         /* not kept, so its sender gets no acknowledgement and sends it again */
	(void)deliver(w, p, from, &keep);
	if (kept != 0 && keep != NULL)
		keep_tell_neighbour(keep, from, kept);
	else if (kept != 0)
		cluster_kept(w->cluster, from, kept);
}
