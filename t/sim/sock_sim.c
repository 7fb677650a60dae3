/* SPDX-License-Identifier: Apache-2.0 */
#include "t/sim/sock_sim.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/mem.h"
#include "worker/stream.h"

#define ROOM (48u * 1024)               /* bytes to a client that it has not taken */

/* Bytes of one write, on their way; len 0: the end. */
struct chunk {
	struct list link;
	int64_t at;
	size_t len;
	uint8_t bytes[];
};

struct way {                            /* one direction */
	struct list chunks;
	struct buf in;                  /* arrived */
	bool eof, ended;                /* arrived; sent */
	int64_t last_at;
	struct sim_event arrival;
};

struct sim_sock {
	struct list link;
	const void *owner;
	struct way up, down;            /* to the worker, to the client */
	size_t down_bytes;              /* under way or not taken */
	void (*on_in)(void *arg);
	void *arg;
	bool open_here, open_there;     /* the client's end, the worker's */
	bool reset, dead, paused;
};

int64_t sim_sock_delay_max_ns = NS_PER_MS;
static struct list socks = { &socks, &socks };

static void
way_free(struct way *w)
{
	LIST_EACH_SAFE(n, tmp, &w->chunks)
		mem_free(container_of(n, struct chunk, link));
	list_init(&w->chunks);
	buf_fini(&w->in);
	sim_event_cancel(&w->arrival);
}

static void
sock_free(struct sim_sock *s)
{
	if (s->open_here || s->open_there)
		return;
	way_free(&s->up);
	way_free(&s->down);
	list_del(&s->link);
	mem_free(s);
}

static void
launch(struct way *w, const void *p, size_t len)
{
	struct chunk *c = mem_alloc(sizeof *c + len);
	int64_t now = sim_now().ns;
	bool first = list_empty(&w->chunks);

	c->link = (struct list){ 0 };
	c->at = now + sim_between(NS_PER_US, sim_sock_delay_max_ns);
	if (c->at < w->last_at)
		c->at = w->last_at;
	w->last_at = c->at;
	c->len = len;
	if (len > 0)
		memcpy(c->bytes, p, len);
	list_put_last(&w->chunks, &c->link);
	if (first)
		sim_event_in(&w->arrival, c->at - now);
}

static void
end_way(struct way *w)
{
	if (w->ended)
		return;
	w->ended = true;
	launch(w, NULL, 0);
}

/* What is due arrives; true: something did. */
static bool
take(struct way *w)
{
	struct chunk *c;
	bool any = false;

	while ((c = LIST_FIRST(&w->chunks, struct chunk, link)) != NULL && c->at <= sim_now().ns) {
		list_del(&c->link);
		if (c->len == 0)
			w->eof = true;
		else
			buf_put(&w->in, c->bytes, c->len);
		mem_free(c);
		any = true;
	}
	if (c != NULL)
		sim_event_in(&w->arrival, c->at - sim_now().ns);
	return any;
}

static void
on_up(struct sim_event *e)
{
	(void)take(container_of(e, struct way, arrival));
}

static void
on_down(struct sim_event *e)
{
	struct way *w = container_of(e, struct way, arrival);
	struct sim_sock *s = container_of(w, struct sim_sock, down);

	if (s->paused || !s->open_here) {
		sim_event_in(e, 10 * NS_PER_MS);
		if (!s->open_here)
			sim_event_cancel(e);
		return;
	}
	if (take(w))
		s->on_in(s->arg);
}

/* ---- the worker's end ---- */

static unsigned
ready(void *arg)
{
	const struct sim_sock *s = arg;
	bool in = buf_len(&s->up.in) > 0 || s->up.eof || s->reset;

	return (in ? LOOP_READ : 0u) | (s->down_bytes < ROOM / 2 || s->reset ? LOOP_WRITE : 0u);
}

static void
on_close(void *arg)
{
	struct sim_sock *s = arg;

	end_way(&s->down);
	s->open_there = false;
	sock_free(s);
}

static void
on_shutdown(void *arg)
{
	end_way(&((struct sim_sock *)arg)->down);
}

static const struct sim_fd_ops ops = { .ready = ready, .close = on_close, .shutdown = on_shutdown };

ssize_t
tcp_read(int fd, void *p, size_t len)
{
	struct sim_sock *s = sim_fd_arg(fd, &ops);
	size_t n = buf_len(&s->up.in);

	errno = ECONNRESET;
	if (s->reset)
		return FB_EIO;
	if (n == 0)
		return s->up.eof ? FB_ECLOSED : FB_EAGAIN;
	if (n > len)
		n = len;
	if (sim_one_in(8))
		n = 1 + sim_below(n);
	memcpy(p, buf_slice(&s->up.in).p, n);
	buf_eat(&s->up.in, n);
	return (ssize_t)n;
}

ssize_t
tcp_writev(int fd, const struct iovec *iov, int count)
{
	struct sim_sock *s = sim_fd_arg(fd, &ops);
	size_t room = s->down_bytes < ROOM ? ROOM - s->down_bytes : 0;
	size_t sum = 0;

	errno = EPIPE;
	if (s->reset || s->dead || s->down.ended || !s->open_here)
		return FB_EIO;
	if (room == 0)
		return FB_EAGAIN;
	for (int i = 0; i < count && room > 0; i++) {
		size_t n = iov[i].iov_len < room ? iov[i].iov_len : room;

		if (n > 0)
			launch(&s->down, iov[i].iov_base, n);
		room -= n;
		sum += n;
	}
	s->down_bytes += sum;
	return (ssize_t)sum;
}

/* Instead of the system's, for the descriptors of this world. */
int
close(int fd)
{
	if (fd >= SIM_FD) {
		sim_fd_close(fd);
		return 0;
	}
	return (int)syscall(SYS_close, fd);
}

int
shutdown(int fd, int how)
{
	if (fd >= SIM_FD) {
		sim_fd_shutdown(fd);
		return 0;
	}
	return (int)syscall(SYS_shutdown, fd, how);
}

/* ---- the client's end ---- */

struct sim_sock *
sim_sock_new(const void *owner, int *fd, void (*on_in)(void *arg), void *arg)
{
	struct sim_sock *s = mem_zalloc(sizeof *s);

	s->owner = owner;
	s->on_in = on_in;
	s->arg = arg;
	s->open_here = s->open_there = true;
	list_init(&s->up.chunks);
	list_init(&s->down.chunks);
	sim_event_init(&s->up.arrival, on_up);
	sim_event_init(&s->down.arrival, on_down);
	list_put_last(&socks, &s->link);
	*fd = sim_fd_new(&ops, s);
	return s;
}

void
sim_sock_send(struct sim_sock *s, struct slice bytes)
{
	if (s->open_there && !s->dead && bytes.len > 0)
		launch(&s->up, bytes.p, bytes.len);
}

/* The caller eats it all, so that its length is what leaves the wire. */
struct buf *
sim_sock_in(struct sim_sock *s)
{
	size_t taken = buf_len(&s->down.in);

	s->down_bytes -= taken < s->down_bytes ? taken : s->down_bytes;
	return &s->down.in;
}

bool
sim_sock_eof(const struct sim_sock *s)
{
	return s->down.eof;
}

void
sim_sock_pause(struct sim_sock *s, bool paused)
{
	s->paused = paused;
}

void
sim_sock_close(struct sim_sock *s, bool reset)
{
	if (reset)
		s->reset = true;
	else
		end_way(&s->up);
	s->open_here = false;
	sock_free(s);
}

void
sim_sock_die(const void *owner)
{
	LIST_EACH(n, &socks) {
		struct sim_sock *s = container_of(n, struct sim_sock, link);

		if (s->owner == owner && s->open_there)
			s->dead = true;
	}
}
