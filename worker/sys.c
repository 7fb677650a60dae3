/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/sys.h"

#include <stddef.h>

#include "common/base/mem.h"
#include "common/mqtt/topic.h"
#include "worker/deliver.h"
#include "worker/rights.h"
#include "worker/worker.h"

/* Owns both texts, which stand behind it. */
struct value {
	struct list link;
	struct slice topic;
	struct slice text;
};

struct sys {
	struct list values;             /* some dozens, in the order in which they first came */
};

struct sys *
sys_new(void)
{
	struct sys *sys = mem_zalloc(sizeof *sys);

	list_init(&sys->values);
	return sys;
}

static void
value_free(struct value *v)
{
	list_del(&v->link);
	mem_free(v);
}

void
sys_free(struct sys *sys)
{
	LIST_EACH_SAFE(n, tmp, &sys->values)
		value_free(container_of(n, struct value, link));
	mem_free(sys);
}

static struct value *
value_new(struct slice topic, struct slice text)
{
	struct value *v = mem_alloc(sizeof *v + topic.len + text.len);
	uint8_t *bytes = (uint8_t *)(v + 1);

	memcpy(bytes, topic.p, topic.len);
	memcpy(bytes + topic.len, text.p, text.len);
	v->topic = slice_of(bytes, topic.len);
	v->text = slice_of(bytes + topic.len, text.len);
	return v;
}

void
sys_set(struct worker *w, struct slice topic, struct slice text)
{
	struct list *at = &w->sys->values;
	struct cluster_pub p = { .topic = topic, .payload = text, .reach = CLUSTER_NOT_DIRECT };
	struct value *v;

	LIST_EACH_SAFE(n, tmp, &w->sys->values) {
		v = container_of(n, struct value, link);
		if (!slice_eq(v->topic, topic))
			continue;
		at = n->next;           /* the new one in its place */
		value_free(v);
	}
	if (text.len == 0)
		return;
	v = value_new(topic, text);
	list_insert(at->prev, &v->link);
	(void)deliver(w, &p, w->slot, NULL);
}

void
sys_replay(struct worker *w, struct session *s, struct slice filter)
{
	LIST_EACH(n, &w->sys->values) {
		const struct value *v = container_of(n, struct value, link);
		struct cluster_pub p = { .topic = v->topic, .payload = v->text, .retain = true };

		if (topic_matches(filter, v->topic) && rights_may_receive(w, s, v->topic))
			deliver_one(w, s, &p, 0, true);         /* [MQTT-3.3.1-8] */
	}
}
