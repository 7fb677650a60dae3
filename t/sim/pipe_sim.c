/* SPDX-License-Identifier: Apache-2.0
 *
 * False pipes: two that name each other are connected after a while; frames take their time, in order; a connection may
 * end, with all that is under way, at different times for its two ends, or go dumb without a word. */
#include "cluster/pipe.h"

#include <string.h>

#include "common/base/err.h"
#include "common/base/mem.h"
#include "t/sim/sim.h"

#define NNG_QUEUE 16u           /* frames that may be under way in one direction */

struct sim_pipe_faults sim_pipe_faults = {
	.delay_min_ns = 20 * NS_PER_US,
	.delay_max_ns = NS_PER_MS,
	.reconnect_max_ns = 50 * NS_PER_MS,
};
uint64_t sim_pipe_overflows;

struct pipe_hub {
	struct loop *loop;
	struct loop_bell *bell;
	bool paused;
	struct list arrived;            /* of struct flight */
};

struct conn {
	uint64_t end[2];                /* the pipes' serial numbers */
	unsigned refs;                  /* ends, flights */
	bool broken, cut;
	int64_t last_ns[2];             /* arrival of the last flight to this end */
	unsigned under_way[2];
};

enum flight_type { FL_UP, FL_FRAME, FL_TWIN, FL_DOWN };

struct flight {
	struct sim_event event;
	struct list link;               /* in arrived */
	struct conn *conn;
	struct pipe *pipe;              /* its end, when arrived */
	unsigned to;
	enum flight_type type;
	size_t len;
	uint8_t bytes[];
};

struct pipe {
	struct list link;
	uint64_t serial;
	struct pipe_hub *hub;
	struct pipe_ends ends;
	const struct pipe_ops *ops;
	void *arg;
	struct conn *linked;            /* as the world sees it */
	struct conn *conn;              /* as this process sees it: between on_up and on_down */
	struct sim_event dial;
};

static struct list pipes = { &pipes, &pipes };
static uint64_t last_serial;

static struct pipe *
pipe_get(uint64_t serial)
{
	LIST_EACH(pos, &pipes) {
		struct pipe *p = container_of(pos, struct pipe, link);

		if (p->serial == serial)
			return p;
	}
	return NULL;
}

static void
conn_drop(struct conn *c)
{
	if (--c->refs == 0)
		mem_free(c);
}

static void
flight_free(struct flight *f)
{
	conn_drop(f->conn);
	mem_free(f);
}

static void
on_arrival(struct sim_event *e)
{
	struct flight *f = container_of(e, struct flight, event);
	struct conn *c = f->conn;
	struct pipe *p = pipe_get(c->end[f->to]);

	if (f->type == FL_FRAME)
		c->under_way[f->to]--;
	if (p == NULL || ((f->type == FL_FRAME || f->type == FL_TWIN) && (c->broken || c->cut))) {
		flight_free(f);
		return;
	}
	f->pipe = p;
	list_put_last(&p->hub->arrived, &f->link);
	loop_bell_ring(p->hub->bell);
}

static void
launch(struct conn *c, unsigned to, enum flight_type type, struct slice bytes)
{
	struct flight *f = mem_zalloc(sizeof *f + bytes.len);
	int64_t now = sim_now().ns;
	int64_t at = now + sim_between(sim_pipe_faults.delay_min_ns, sim_pipe_faults.delay_max_ns);

	if (at <= c->last_ns[to])
		at = c->last_ns[to] + 1;
	c->last_ns[to] = at;
	f->conn = c;
	c->refs++;
	f->to = to;
	f->type = type;
	f->len = bytes.len;
	if (bytes.len > 0)
		memcpy(f->bytes, bytes.p, bytes.len);
	if (type == FL_FRAME)
		c->under_way[to]++;
	sim_event_init(&f->event, on_arrival);
	sim_event_in(&f->event, at - now);
}

static void
dial_later(struct pipe *p)
{
	sim_event_in(&p->dial, sim_between(NS_PER_US, sim_pipe_faults.reconnect_max_ns));
}

/* Both ends hear of it later; what is under way is lost. */
static void
break_conn(struct conn *c)
{
	if (c->broken)
		return;
	c->broken = true;
	for (unsigned i = 0; i < 2; i++) {
		struct pipe *p = pipe_get(c->end[i]);

		if (p == NULL)
			continue;
		launch(c, i, FL_DOWN, slice_of(NULL, 0));
		FB_ASSERT(p->linked == c);
		p->linked = NULL;
		conn_drop(c);
		dial_later(p);
	}
}

static struct pipe *
peer_of(const struct pipe *p)
{
	LIST_EACH(pos, &pipes) {
		struct pipe *q = container_of(pos, struct pipe, link);

		if (q->ends.own_slot == p->ends.peer_slot && q->ends.peer_slot == p->ends.own_slot &&
		    q->ends.own_epoch == p->ends.peer_epoch && q->ends.peer_epoch == p->ends.own_epoch)
			return q;
	}
	return NULL;
}

static void
on_dial(struct sim_event *e)
{
	struct pipe *p = container_of(e, struct pipe, dial);
	struct pipe *q = peer_of(p);
	struct conn *c;

	if (q == NULL || p->linked != NULL || q->linked != NULL)
		return;
	c = mem_zalloc(sizeof *c);
	c->end[0] = p->serial;
	c->end[1] = q->serial;
	c->refs = 2;
	p->linked = q->linked = c;
	launch(c, 0, FL_UP, slice_of(NULL, 0));
	launch(c, 1, FL_UP, slice_of(NULL, 0));
}

static void
handle(struct flight *f)
{
	struct pipe *p = f->pipe;

	switch (f->type) {
	case FL_UP:
		if (p->conn != NULL) {
			p->conn = NULL;
			p->ops->on_down(p->arg);
		}
		p->conn = f->conn;
		p->ops->on_up(p->arg);
		break;
	case FL_FRAME:
	case FL_TWIN:
		if (p->conn == f->conn)
			p->ops->on_frame(p->arg, slice_of(f->bytes, f->len));
		break;
	case FL_DOWN:
		if (p->conn == f->conn) {
			p->conn = NULL;
			p->ops->on_down(p->arg);
		}
		break;
	}
}

static void
on_bell(void *arg)
{
	struct pipe_hub *h = arg;

	if (loop_holds_input(h->loop)) {
		loop_bell_ring(h->bell);
		return;
	}
	(void)loop_check(h->loop);      /* others may have had the turn before */
	while (!h->paused && !list_empty(&h->arrived)) {
		struct flight *f = LIST_FIRST(&h->arrived, struct flight, link);

		list_del(&f->link);
		handle(f);
		flight_free(f);
	}
}

struct pipe_hub *
pipe_hub_new(struct loop *l, const char *dir, unsigned own_slot, uint64_t own_epoch)
{
	struct pipe_hub *h = mem_zalloc(sizeof *h);

	h->loop = l;
	h->bell = loop_bell_new(l, on_bell, h);
	list_init(&h->arrived);
	return h;
}

void
pipe_hub_pause(struct pipe_hub *h, bool paused)
{
	h->paused = paused;
	if (!paused)
		loop_bell_ring(h->bell);
}

void
pipe_hub_free(struct pipe_hub *h)
{
	if (h == NULL)
		return;
	FB_ASSERT(list_empty(&h->arrived));
	loop_bell_free(h->bell);
	mem_free(h);
}

struct pipe *
pipe_open(struct pipe_hub *h, const struct pipe_ends *ends, const struct pipe_ops *ops, void *arg)
{
	struct pipe *p = mem_zalloc(sizeof *p);

	p->serial = ++last_serial;
	p->hub = h;
	p->ends = *ends;
	p->ops = ops;
	p->arg = arg;
	sim_event_init(&p->dial, on_dial);
	list_put_last(&pipes, &p->link);
	dial_later(p);
	return p;
}

void
pipe_close(struct pipe *p)
{
	if (p == NULL)
		return;
	if (p->linked != NULL) {
		struct conn *c = p->linked;

		c->end[c->end[0] == p->serial ? 0 : 1] = 0;
		break_conn(c);
		conn_drop(c);
	}
	sim_event_cancel(&p->dial);
	LIST_EACH_SAFE(pos, tmp, &p->hub->arrived) {
		struct flight *f = container_of(pos, struct flight, link);

		if (f->pipe == p) {
			list_del(&f->link);
			flight_free(f);
		}
	}
	list_del(&p->link);
	mem_free(p);
}

void
pipe_send(struct pipe *p, struct slice frame)
{
	struct conn *c = p->conn;
	unsigned to;

	if (c == NULL || c->broken)
		return;
	to = c->end[0] == p->serial ? 1 : 0;
	if (c->under_way[to] >= NNG_QUEUE) {
		sim_pipe_overflows++;
		return;
	}
	launch(c, to, FL_FRAME, frame);
	if (sim_one_in(sim_pipe_faults.twin_one_in))
		launch(c, to, FL_TWIN, frame);
	if (sim_one_in(sim_pipe_faults.break_one_in))
		break_conn(c);
	else if (sim_one_in(sim_pipe_faults.cut_one_in))
		c->cut = true;
}

void
pipe_reset(struct pipe *p)
{
	struct conn *c = p->conn;

	if (c == NULL) {
		if (p->linked == NULL)
			dial_later(p);
		return;
	}
	p->conn = NULL;
	break_conn(c);
	p->ops->on_down(p->arg);
}

void
sim_pipe_die(unsigned slot, uint64_t epoch)
{
	LIST_EACH(pos, &pipes) {
		struct pipe *p = container_of(pos, struct pipe, link);
		struct conn *c = p->linked;

		if (p->ends.own_slot != slot || p->ends.own_epoch != epoch)
			continue;
		p->conn = NULL;
		if (c != NULL && !c->broken)
			break_conn(c);
		sim_event_cancel(&p->dial);
	}
}
