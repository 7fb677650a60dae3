/* SPDX-License-Identifier: Apache-2.0
 *
 * chan.h as queues: messages take their time, in order; what a process sent before its end arrives, then the end. */
#include "t/sim/chan_sim.h"

#include <unistd.h>

#include "common/base/err.h"
#include "common/base/mem.h"
#include "t/sim/sim.h"

struct letter {
	struct list link;
	int64_t at;                     /* of its arrival */
	int64_t sent_turn;              /* loop_now() of the sender */
	enum ipc_type type;             /* IPC_NONE: the end */
	int fd;
	size_t len;
	uint8_t bytes[];
};

struct end {
	struct wire *wire;
	struct list letters;            /* to this end */
	struct chan *chan;              /* NULL: not made yet, or freed */
	bool gone;
	bool told;                      /* the other end was told so */
	int fd;
	int64_t last_at;
	struct sim_event arrival;
};

struct wire {
	struct end end[2];
};

struct chan {
	struct list link;
	struct loop *loop;
	struct loop_bell *bell;
	struct end *end;
	const struct chan_ops *ops;
	void *arg;
	enum ipc_role self, peer;
	enum ipc_type type;
	struct buf out;
	unsigned busy;
	bool open, doomed, dead, closed;
};

int64_t sim_chan_delay_max_ns = NS_PER_MS;
void (*sim_chan_watch)(const struct loop *from, const struct loop *to, enum ipc_type type, struct slice payload);
static struct list chans = { &chans, &chans };

static struct end *
other(struct end *e)
{
	return e == &e->wire->end[0] ? &e->wire->end[1] : &e->wire->end[0];
}

static void
drop_letters(struct end *e)
{
	LIST_EACH_SAFE(n, tmp, &e->letters) {
		struct letter *m = container_of(n, struct letter, link);

		list_del(n);
		if (m->fd >= 0)
			close(m->fd);
		mem_free(m);
	}
	sim_event_cancel(&e->arrival);
}

static void
watch(struct end *e)
{
	struct letter *m = LIST_FIRST(&e->letters, struct letter, link);
	int64_t now = sim_now().ns;

	if (m != NULL && e->chan != NULL && !sim_event_is_set(&e->arrival))
		sim_event_in(&e->arrival, m->at > now ? m->at - now : 0);
}

static void
post(struct end *to, int64_t turn, enum ipc_type type, struct slice bytes, int fd)
{
	struct letter *m = mem_alloc(sizeof *m + bytes.len);

	*m = (struct letter){ .type = type, .fd = fd, .len = bytes.len, .sent_turn = turn };
	m->at = sim_now().ns + sim_between(NS_PER_US, sim_chan_delay_max_ns);
	if (m->at < to->last_at)
		m->at = to->last_at;
	to->last_at = m->at;
	if (bytes.len > 0)
		memcpy(m->bytes, bytes.p, bytes.len);
	list_put_last(&to->letters, &m->link);
	watch(to);
}

/* This end is over: the other one hears of it behind all that was said. */
static void
end_gone(struct end *e)
{
	struct end *o = other(e);

	e->gone = true;
	e->chan = NULL;
	drop_letters(e);
	if (!o->gone) {
		if (!e->told)
			post(o, INT64_MIN, IPC_NONE, slice_of(NULL, 0), -1);
		e->told = true;
	} else {
		mem_free(e->wire);
	}
}

static void
on_arrival(struct sim_event *ev)
{
	struct end *e = container_of(ev, struct end, arrival);

	if (e->chan != NULL && !e->chan->closed)
		loop_bell_ring(e->chan->bell);
}

static void
chan_destroy(struct chan *c)
{
	if (!c->dead)
		end_gone(c->end);
	list_del(&c->link);
	loop_bell_free(c->bell);
	buf_fini(&c->out);
	mem_free(c);
}

static void
on_bell(void *arg)
{
	struct chan *c = arg;
	struct letter *m;

	c->busy++;
	while (!c->doomed && !c->dead && (m = LIST_FIRST(&c->end->letters, struct letter, link)) != NULL &&
	    m->at <= sim_now().ns) {
		list_del(&m->link);
		if (m->type == IPC_NONE) {
			c->closed = true;
			c->ops->on_closed(c->arg);
		} else {
			const struct chan *from = other(c->end)->chan;

			FB_ASSERT(ipc_may_send(m->type, c->peer, c->self));
			if (sim_chan_watch != NULL)
				sim_chan_watch(from != NULL ? from->loop : NULL, c->loop, m->type,
				    slice_of(m->bytes, m->len));
			c->ops->on_msg(c->arg, m->type, slice_of(m->bytes, m->len), m->fd);
		}
		mem_free(m);
	}
	c->busy--;
	if (c->doomed)
		chan_destroy(c);
	else if (!c->dead)
		watch(c->end);
}

static void
on_fd_close(void *arg)
{
	struct end *e = arg;

	if (e->chan == NULL)
		end_gone(e);
}

static const struct sim_fd_ops fd_ops = { .close = on_fd_close };

int
chan_pair(int fd[2])
{
	struct wire *w = mem_zalloc(sizeof *w);

	for (unsigned i = 0; i < 2; i++) {
		struct end *e = &w->end[i];

		e->wire = w;
		list_init(&e->letters);
		sim_event_init(&e->arrival, on_arrival);
		fd[i] = e->fd = sim_fd_new(&fd_ops, e);
	}
	return 0;
}

struct chan *
chan_new(struct loop *l, int fd, enum ipc_role self, enum ipc_role peer, const struct chan_ops *ops, void *arg)
{
	struct chan *c = mem_zalloc(sizeof *c);

	c->loop = l;
	c->end = sim_fd_arg(fd, &fd_ops);
	FB_ASSERT(c->end != NULL && c->end->chan == NULL);
	c->end->chan = c;
	c->self = self;
	c->peer = peer;
	c->ops = ops;
	c->arg = arg;
	c->bell = loop_bell_new(l, on_bell, c);
	list_put_last(&chans, &c->link);
	watch(c->end);
	return c;
}

void
chan_free(struct chan *c)
{
	if (c == NULL)
		return;
	if (c->busy > 0)
		c->doomed = true;
	else
		chan_destroy(c);
}

struct buf *
chan_begin(struct chan *c, enum ipc_type type)
{
	FB_ASSERT(!c->open && ipc_may_send(type, c->self, c->peer));
	c->open = true;
	c->type = type;
	buf_clear(&c->out);
	return &c->out;
}

static void
say(struct chan *c, enum ipc_type type, struct slice payload, int fd)
{
	if (!c->dead && !c->doomed && !other(c->end)->gone)
		post(other(c->end), loop_now(c->loop).ns, type, payload, fd);
	else if (fd >= 0)
		close(fd);
}

void
chan_end(struct chan *c)
{
	FB_ASSERT(c->open);
	c->open = false;
	say(c, c->type, buf_slice(&c->out), -1);
}

void
chan_send(struct chan *c, enum ipc_type type)
{
	(void)chan_begin(c, type);
	buf_put_u8(&c->out, 0);
	chan_end(c);
}

void
chan_send_fd(struct chan *c, enum ipc_type type, struct slice payload, int fd)
{
	FB_ASSERT(!c->open && ipc_may_send(type, c->self, c->peer));
	say(c, type, payload, fd);
}

bool
chan_full(const struct chan *c)
{
	return false;
}

size_t
chan_pending(const struct chan *c)
{
	return 0;
}

void
chan_flush(struct chan *c)
{
}

bool
chan_drain(struct chan *c, int timeout_ms)
{
	return true;
}

/* The last turn's messages from some on. */
static void
lose_tail(struct end *to, int64_t turn)
{
	unsigned count = 0;
	uint64_t keep;

	LIST_EACH(n, &to->letters)
		if (container_of(n, struct letter, link)->sent_turn == turn)
			count++;
	keep = sim_below(count + 1);
	LIST_EACH_SAFE(n, tmp, &to->letters) {
		struct letter *m = container_of(n, struct letter, link);

		if (m->sent_turn != turn || keep-- > 0)
			continue;
		keep = 0;
		list_del(n);
		if (m->fd >= 0)
			close(m->fd);
		mem_free(m);
	}
}

void
sim_chan_die(const struct loop *l)
{
	LIST_EACH(n, &chans) {
		struct chan *c = container_of(n, struct chan, link);

		if (c->loop != l || c->dead)
			continue;
		if (!other(c->end)->gone && sim_one_in(2))
			lose_tail(other(c->end), loop_now(l).ns);
		c->dead = true;
		end_gone(c->end);
	}
}
