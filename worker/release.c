/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/release.h"

#include "common/base/mem.h"
#include "common/mqtt/encode.h"
#include "worker/conn.h"
#include "worker/count.h"
#include "worker/flow.h"
#include "worker/queuec.h"
#include "worker/worker.h"

struct release {
	struct list link;               /* in flow->releases */
	struct flow *flow;
	uint64_t n;
	size_t real_size;
};

static void
on_released(void *arg, const struct queue_answer *a)
{
	struct release *r = arg;
	struct flow *f = r->flow;
	struct inflight *slot = flow_slot_at(f, r->n);
	struct conn *c = f->session->conn;

	(void)a;
	if (slot != NULL && slot->msg == NULL && c != NULL && c->state == CONN_READY) {
		struct mqtt_ack ack = { .packet_id = flow_packet_id(r->n) };

		slot->released = true;
		encode_ack(conn_out(c), MQTT_PUBREL, c->level, &ack);
		count_sent(MQTT_PUBREL);
		conn_touch(c);
	}
	list_del(&r->link);
	mem_slab_put(r, r->real_size);
}

void
release_start(struct worker *w, struct session *s, uint64_t n)
{
	size_t real;
	struct release *r = mem_slab_get(sizeof *r, &real);

	*r = (struct release){ .flow = s->flow, .n = n, .real_size = real };
	list_put_last(&s->flow->releases, &r->link);
	queuec_released(w->queue, s->qid, n, on_released, r);
}

bool
release_waits(const struct flow *f, uint64_t n)
{
	LIST_EACH(i, &f->releases) {
		if (container_of(i, struct release, link)->n == n)
			return true;
	}
	return false;
}

void
releases_cancel(struct flow *f)
{
	LIST_EACH_SAFE(i, tmp, &f->releases) {
		struct release *r = container_of(i, struct release, link);

		queuec_cancel(f->worker->queue, r);
		list_del(&r->link);
		mem_slab_put(r, r->real_size);
	}
}
