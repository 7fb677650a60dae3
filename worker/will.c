/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/will.h"

#include "common/base/mem.h"
#include "common/metrics/page.h"
#include "worker/publish.h"
#include "worker/rights.h"
#include "worker/sys.h"
#include "worker/trace.h"
#include "worker/worker.h"

struct will {
	struct msg *msg;
	struct name *from;              /* whose it is, while something is traced; NULL: unknown */
	bool refused;                   /* by a rule of rights, or to $SYS */
	uint8_t reach;
};

struct will *
will_new(const struct mqtt_will *from, bool disk)
{
	const struct cluster_pub p = { .topic = from->topic, .payload = from->payload, .qos = from->qos,
		.retain = from->retain, .disk = disk && from->qos > 0 };
	struct will *will = mem_zalloc(sizeof *will);

	will->msg = msg_new(&p);
	will->refused = sys_is(from->topic);
	return will;
}

void
will_free(struct will *will)
{
	msg_drop(will->msg);
	name_drop(will->from);
	mem_free(will);
}

void
will_ask(struct worker *w, const struct session *s, struct will *will)
{
	struct cluster_pub p = msg_pub(will->msg);

	if (trace_any(w))
		will->from = name_new(session_id(s));
	if (will->refused || !rights_apply(w, RIGHT_PUBLISH | RIGHT_SEND))
		return;
	will->refused = !rights_publish(w, s, &p);
	will->reach = p.reach;
}

void
will_publish(struct worker *w, const struct will *will)
{
	struct cluster_pub p = msg_pub(will->msg);

	if (will->refused)
		return;
	p.reach = will->reach;
	if (p.reach == CLUSTER_DIRECT_ONLY)
		p.retain = false;
	if (will->from != NULL)
		trace_will(w, name_text(will->from), &p);
	METRIC_ADD(wills_published, 1);
	publish(w, &p, NULL);
}
