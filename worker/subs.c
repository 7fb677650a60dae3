/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/subs.h"

#include "common/base/log.h"
#include "common/metrics/page.h"
#include "common/mqtt/topic.h"
#include "worker/shapes.h"
#include "worker/shared.h"
#include "worker/storec.h"
#include "worker/trace.h"
#include "worker/worker.h"

uint32_t
subs_weight(struct slice filter)
{
	size_t weight = 1 + filter.len / 256;

	/* Of those with wildcards each level takes memory of its own. */
	if (filter.len >= 16 && topic_has_wildcard(filter))
		weight += (topic_levels(filter) - 1) / 8;
	return (uint32_t)weight;
}

bool
subs_put(struct worker *w, struct session *s, struct slice filter, uint8_t qos, uint8_t options)
{
	bool is_new;
	struct sub *sub = trie_put(&w->trie, s, &s->subs, filter, &is_new);
	bool differs = is_new || sub->qos != qos || sub->options != options;

	sub->qos = qos;
	sub->options = options;
	if (is_new) {
		s->sub_count += subs_weight(filter);
		shapes_put(w, s, filter);
		METRIC_ADD(subscriptions, 1);
		if (trace_any(w))
			trace_subscribed(w, s);
		if (shared_is(filter)) {
			METRIC_ADD(subscriptions_shared, 1);
			shared_join(w, sub);
		} else if (w->cluster != NULL) {
			cluster_want(w->cluster, filter);
		}
	}
	return differs;
}

static void
del(struct worker *w, struct session *s, struct sub *sub)
{
	if (trace_any(w))
		trace_subscribed(w, s);
	if (sub->filter->shared & FILTER_MEMBERS) {
		METRIC_SUB(subscriptions_shared, 1);
		shared_leave(w, sub);
	} else if (w->cluster != NULL) {
		cluster_unwant(w->cluster, filter_text(sub->filter));
	}
	s->sub_count -= subs_weight(filter_text(sub->filter));
	shapes_del(w, s, filter_text(sub->filter));
	trie_del(&w->trie, sub);
	if (s->sub_count == 0)
		shapes_forget(w, s);
	METRIC_SUB(subscriptions, 1);
}

bool
subs_del(struct worker *w, struct session *s, struct slice filter)
{
	struct sub *sub = trie_get(&w->trie, s, filter);

	if (sub == NULL)
		return false;
	del(w, s, sub);
	return true;
}

void
subs_del_all(struct worker *w, struct session *s)
{
	LIST_EACH_SAFE(n, tmp, &s->subs)
		del(w, s, container_of(n, struct sub, link));
}

void
subs_store(struct worker *w, const struct session *s)
{
	LIST_EACH(n, &s->subs) {
		struct sub *sub = container_of(n, struct sub, link);

		sub->unsure = true;     /* nobody waits for the answer */
		storec_sub_put(w->store, session_id(s), filter_text(sub->filter), sub->qos, sub->options, NULL, NULL);
	}
}

void
subs_encode(const struct session *s, struct buf *b)
{
	LIST_EACH(n, &s->subs) {
		const struct sub *sub = container_of(n, struct sub, link);

		buf_put_u8(b, sub->qos);
		buf_put_u8(b, sub->options);
		buf_put_le32_bytes(b, filter_text(sub->filter));
	}
}

void
subs_decode(struct worker *w, struct session *s, struct slice subs)
{
	while (subs.len > 0) {
		uint8_t qos;
		uint8_t options;
		struct slice filter;

		if (slice_take_u8(&subs, &qos) != 0 || slice_take_u8(&subs, &options) != 0 ||
		    slice_take_le32_bytes(&subs, &filter) != 0 || qos > 2 || !topic_filter_valid(filter) ||
		    (shared_is(filter) && !shared_valid(filter))) {
			log_error("subs", "damaged subscription skipped", "session of %u bytes id", (unsigned)s->id_len);
			return;
		}
		subs_put(w, s, filter, qos, options);
	}
}
