/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/will.h"

#include <string.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/ipc/chan.h"
#include "common/ipc/qops.h"
#include "common/metrics/page.h"
#include "worker/publish.h"
#include "worker/queuec.h"
#include "worker/rights.h"
#include "worker/sys.h"
#include "worker/trace.h"
#include "worker/worker.h"

struct will {
	struct msg *msg;
	struct name *from;              /* whose it is: if it has a row, or while something is traced; else NULL */
	uint64_t stamp;                 /* of its row */
	bool disk;                      /* to have a row */
	bool row;                       /* has one */
	bool refused;                   /* by a rule of rights, or to $SYS */
	uint8_t reach;
};

/* One that is being published, or came from a dead worker. */
struct parting {
	struct list link;               /* in wills.all */
	struct worker *worker;
	struct will *will;
	struct name *account;           /* of a dead worker's client; NULL: nobody's */
	bool due;                       /* of a dead worker's client: a new store must be told as long as its row may be there */
	bool held;                      /* until the neighbours have their sessions */
	struct waiting wait;
};

void
wills_init(struct wills *w)
{
	list_init(&w->all);
	w->over = false;
}

static void
parting_free(struct parting *p)
{
	list_del(&p->link);
	name_drop(p->account);
	will_free(p->will);
	mem_free(p);
}

void
wills_fini(struct wills *w)
{
	LIST_EACH_SAFE(n, tmp, &w->all)
		parting_free(container_of(n, struct parting, link));
}

static struct parting *
parting_new(struct worker *w, struct will *will)
{
	struct parting *p = mem_zalloc(sizeof *p);

	p->worker = w;
	p->will = will;
	p->wait.will = true;
	list_put_last(&w->wills.all, &p->link);
	return p;
}

struct will *
will_new(const struct mqtt_will *from, bool disk)
{
	const struct cluster_pub p = { .topic = from->topic, .payload = from->payload, .qos = from->qos,
		.retain = from->retain, .disk = disk && from->qos > 0 };
	struct will *will = mem_zalloc(sizeof *will);

	will->msg = msg_new(&p);
	will->refused = sys_is(from->topic);
	will->disk = disk && !will->refused;
	return will;
}

void
will_free(struct will *will)
{
	msg_drop(will->msg);
	name_drop(will->from);
	mem_free(will);
}

const struct msg *
will_msg(const struct will *will)
{
	return will->msg;
}

bool
will_on_disk(const struct will *will)
{
	return will->row;
}

/* ---- its row ---- */

void
will_keep(struct worker *w, const struct session *s, struct will *will, uint64_t stamp)
{
	const struct cluster_pub p = msg_pub(will->msg);

	/* When the store is far behind, clients that come and go must not pile up what it has to write. */
	if (!will->disk || queuec_full(w->queue))
		return;
	will->row = true;
	will->stamp = stamp;
	queuec_will_put(w->queue, &(struct qwill){ .client_id = session_id(s), .account = session_account(s),
	    .stamp = stamp, .disk = p.disk }, &p);
}

void
will_cancel(struct worker *w, const struct session *s, struct will *will)
{
	if (will->row)
		queuec_will_del(w->queue, session_id(s), will->stamp, NULL, NULL);
	will_free(will);
}

static void
on_deleted(void *arg, const struct queue_answer *a)
{
	(void)a;
	parting_free(arg);
}

/* Nothing more is to be done but to delete the row. */
static void
part(struct parting *p)
{
	struct will *will = p->will;

	queuec_will_del(p->worker->queue, name_text(will->from), will->stamp, p->due ? on_deleted : NULL, p);
	if (!p->due)
		parting_free(p);
}

/* ---- publishing ---- */

void
will_ask(struct worker *w, const struct session *s, struct will *will)
{
	struct cluster_pub p = msg_pub(will->msg);

	if (will->from == NULL && (will->row || trace_any(w)))
		will->from = name_new(session_id(s));
	if (will->refused || !rights_apply(w, RIGHT_PUBLISH | RIGHT_SEND))
		return;
	will->refused = !rights_publish(w, s, &p);
	will->reach = p.reach;
}

static void
publish_it(struct worker *w, const struct will *will, struct waiting *wait)
{
	struct cluster_pub p = msg_pub(will->msg);

	if (will->refused)
		return;
	p.reach = will->reach;
	if (p.reach == CLUSTER_DIRECT_ONLY)
		p.retain = false;
	if (will->from != NULL && trace_any(w))
		trace_will(w, name_text(will->from), &p);
	METRIC_ADD(wills_published, 1);
	publish(w, &p, wait);
}

void
will_kept(struct waiting *wait)
{
	if (wait->failed)
		METRIC_ADD(dropped_store_full, 1);
	part(container_of(wait, struct parting, wait));
}

/* QoS 0 has no legs to wait for. A worker that stops does not wait for neighbours that take nothing any more: what it has
 * told its own sessions must not be told again after the next start. */
static void
go(struct parting *p)
{
	struct worker *w = p->worker;

	if (p->will->msg->qos == 0 || w->stopping) {
		publish_it(w, p->will, NULL);
		part(p);
		return;
	}
	p->wait.legs = 1;
	publish_it(w, p->will, &p->wait);
	publish_leg_closed(&p->wait, false);
}

void
will_publish(struct worker *w, struct will *will)
{
	if (w->wills.over) {
		will_free(will);
	} else if (will->row) {
		go(parting_new(w, will));
	} else {
		publish_it(w, will, NULL);
		will_free(will);
	}
}

/* ---- of clients of dead workers ---- */

/* Somebody of whom only id and account are left. */
static void
ask_for(struct worker *w, struct parting *p)
{
	struct slice id = name_text(p->will->from);
	struct session *s = mem_zalloc(SESSION_SIZE(id.len));

	s->id_len = id.len & UINT16_MAX;
	memcpy(s->id, id.p, id.len);
	s->account = p->account;
	will_ask(w, s, p->will);
	mem_free(s);
}

static void
due_go(struct parting *p)
{
	p->held = false;
	ask_for(p->worker, p);
	go(p);
}

void
wills_due(struct worker *w, const struct ipc_will *d)
{
	struct slice bytes = d->msg;
	struct parting *p;
	struct will *will;
	struct qmsg m;

	if (w->stopping)
		return;         /* the store gives it to another one, or after the next start */
	if (qmsg_take(&bytes, &m) != 0) {
		log_error("will", "a will of the store is damaged", "%zu bytes", d->msg.len);
		return;
	}
	will = mem_zalloc(sizeof *will);
	will->msg = msg_new(&(struct cluster_pub){ .topic = m.topic, .props = m.props, .payload = m.payload, .qos = m.qos,
	    .retain = m.retain, .disk = d->disk != 0 });
	will->from = name_new(d->client_id);
	will->stamp = d->stamp;
	will->row = true;
	p = parting_new(w, will);
	p->due = true;
	p->account = d->account.len > 0 ? name_new(d->account) : NULL;
	p->held = !w->gates_open;
	if (!p->held)
		due_go(p);
}

void
wills_gates_open(struct worker *w)
{
	LIST_EACH_SAFE(n, tmp, &w->wills.all) {
		struct parting *p = container_of(n, struct parting, link);

		if (p->held)
			due_go(p);
	}
}

void
wills_name(struct worker *w, struct chan *c)
{
	LIST_EACH(n, &w->wills.all) {
		const struct parting *p = container_of(n, struct parting, link);

		if (p->due)
			CHAN_SEND(c, WILL_HERE, client, .stamp = p->will->stamp, .client_id = name_text(p->will->from));
	}
}

void
wills_reset(struct worker *w)
{
	LIST_EACH_SAFE(n, tmp, &w->wills.all) {
		struct parting *p = container_of(n, struct parting, link);

		if (p->held)
			parting_free(p);
	}
}
