/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/will.h"

#include "common/base/mem.h"
#include "common/metrics/page.h"
#include "worker/publish.h"
#include "worker/worker.h"

struct will {
	struct msg *msg;
};

struct will *
will_new(const struct mqtt_will *from)
{
	const struct cluster_pub p = { .topic = from->topic, .payload = from->payload, .qos = from->qos,
		.retain = from->retain };
	struct will *will = mem_alloc(sizeof *will);

	will->msg = msg_new(&p);
	return will;
}

void
will_free(struct will *will)
{
	msg_drop(will->msg);
	mem_free(will);
}

void
will_publish(struct worker *w, const struct will *will)
{
	struct cluster_pub p = msg_pub(will->msg);

	METRIC_ADD(wills_published, 1);
	publish(w, &p, NULL);
}
