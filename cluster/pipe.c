/* SPDX-License-Identifier: Apache-2.0
 *
 * NNG calls back on threads of its own. Each call-back appends an event to one queue under one lock and rings one bell;
 * everything else is done by the loop. An event belongs to a pipe by serial number and not by pointer, so that what
 * comes late for a closed pipe finds nobody.
 *
 * A connection (NNG's pipe) is known from ADD_PRE on, is usable from ADD_POST or its first message on, whichever comes
 * first (a message may overtake ADD_POST; what is sent before the pipe is started goes nowhere), and is over at
 * REM_POST. The newest one counts; an older one is closed, and its messages are dropped. */
#include "cluster/pipe.h"

#include <dirent.h>
#include <inttypes.h>
#include <nng/nng.h>
#include <nng/protocol/bus0/bus.h>
#include <nng/transport/ipc/ipc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cluster/frame.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/hmap.h"
#include "common/base/log.h"
#include "common/base/mem.h"

#define SEND_QUEUE 64           /* more than a window of data and acks: sending never waits */
#define RECV_QUEUE 16
#define KNOWN_MAX  4
#define CLOSING_NS (500 * NS_PER_MS)

enum event_type { EV_ADDED, EV_STARTED, EV_REMOVED, EV_MSG };

struct event {
	enum event_type type;
	uint32_t serial;        /* of the struct pipe */
	uint32_t conn;          /* NNG's number of the connection */
	nng_msg *msg;           /* owned */
};

struct event_queue {
	struct event *at;
	size_t count, cap;
};

struct pipe_hub {
	struct loop *loop;
	struct loop_bell *bell;
	char *dir;
	pthread_mutex_t lock;
	struct event_queue in;          /* under lock */
	struct event_queue out;         /* being handled by the loop: */
	size_t done;                    /* so many of it are */
	bool paused;
	struct hmap pipes;              /* by serial */
	uint32_t last_serial;
	pthread_cond_t closed;
	unsigned closing;               /* threads that close a pipe's socket; under lock */
};

/* What NNG's call-backs see: lives until the socket is closed. */
struct feed {
	struct pipe_hub *hub;
	nng_socket sock;
	nng_aio *recv;
	uint32_t serial;
};

struct pipe {
	struct hmap_node node;
	struct pipe_hub *hub;
	const struct pipe_ops *ops;
	void *arg;
	struct feed feed;
	nng_dialer dialer;
	nng_aio *send;
	uint32_t known[KNOWN_MAX];      /* connections that are not over, oldest first */
	unsigned known_count;
	uint32_t conn;                  /* the one in use; 0: none */
	bool opened, dials;
	char url[128];
};

static void
queue_event(struct pipe_hub *h, const struct event *e)
{
	pthread_mutex_lock(&h->lock);
	if (h->in.count == h->in.cap) {
		h->in.cap = h->in.cap == 0 ? 64 : h->in.cap * 2;
		h->in.at = mem_realloc(h->in.at, h->in.cap * sizeof *h->in.at);
	}
	h->in.at[h->in.count++] = *e;
	pthread_mutex_unlock(&h->lock);
	loop_bell_ring(h->bell);
}

static void
on_recv(void *arg)                      /* NNG's thread */
{
	struct feed *f = arg;
	struct event e = { .type = EV_MSG, .serial = f->serial };
	int rv = nng_aio_result(f->recv);

	if (rv == NNG_ECLOSED || rv == NNG_ECANCELED)
		return;
	if (rv == 0) {
		e.msg = nng_aio_get_msg(f->recv);
		nng_aio_set_msg(f->recv, NULL);
		e.conn = (uint32_t)nng_pipe_id(nng_msg_get_pipe(e.msg));
		queue_event(f->hub, &e);
	}
	nng_recv_aio(f->sock, f->recv);
}

static void
on_notify(nng_pipe conn, nng_pipe_ev ev, void *arg)     /* NNG's thread */
{
	struct feed *f = arg;
	struct event e = { .serial = f->serial, .conn = (uint32_t)nng_pipe_id(conn) };

	switch (ev) {
	case NNG_PIPE_EV_ADD_PRE:
		e.type = EV_ADDED;
		break;
	case NNG_PIPE_EV_ADD_POST:
		e.type = EV_STARTED;
		break;
	case NNG_PIPE_EV_REM_POST:
		e.type = EV_REMOVED;
		break;
	case NNG_PIPE_EV_NUM:
		return;
	}
	queue_event(f->hub, &e);
}

static struct pipe *
pipe_get(struct pipe_hub *h, uint32_t serial)
{
	struct hmap_node *n = hmap_first(&h->pipes, serial);

	return n == NULL ? NULL : container_of(n, struct pipe, node);
}

static void
close_conn(uint32_t conn)
{
	nng_pipe c = { conn };

	(void)nng_pipe_close(c);
}

static void
forget(struct pipe *p, uint32_t conn)
{
	for (unsigned i = 0; i < p->known_count; i++) {
		if (p->known[i] != conn)
			continue;
		p->known_count--;
		memmove(p->known + i, p->known + i + 1, (p->known_count - i) * sizeof p->known[0]);
		return;
	}
}

static bool
is_known(const struct pipe *p, uint32_t conn)
{
	for (unsigned i = 0; i < p->known_count; i++)
		if (p->known[i] == conn)
			return true;
	return false;
}

static void
added(struct pipe *p, uint32_t conn)
{
	if (p->known_count == KNOWN_MAX) {
		close_conn(conn);
		return;
	}
	p->known[p->known_count++] = conn;
}

/* false: p is gone, closed by a callback. */
static bool
started(struct pipe *p, uint32_t conn)
{
	struct pipe_hub *h = p->hub;
	uint32_t serial = p->feed.serial;

	if (!is_known(p, conn) || p->conn == conn)
		return true;
	while (p->known[0] != conn) {   /* older ones give way */
		close_conn(p->known[0]);
		forget(p, p->known[0]);
	}
	if (p->conn != 0) {
		p->conn = 0;
		p->ops->on_down(p->arg);
		if (pipe_get(h, serial) != p)
			return false;
	}
	p->conn = conn;
	p->ops->on_up(p->arg);
	return pipe_get(h, serial) == p;
}

static void
handle(struct pipe_hub *h, const struct event *e)
{
	struct pipe *p = pipe_get(h, e->serial);

	if (p == NULL)
		return;
	switch (e->type) {
	case EV_ADDED:
		added(p, e->conn);
		break;
	case EV_STARTED:
		(void)started(p, e->conn);
		break;
	case EV_REMOVED:
		forget(p, e->conn);
		if (p->conn == e->conn) {
			p->conn = 0;
			p->ops->on_down(p->arg);
		}
		break;
	case EV_MSG:
		if (started(p, e->conn) && p->conn == e->conn)
			p->ops->on_frame(p->arg, slice_of(nng_msg_body(e->msg), nng_msg_len(e->msg)));
		break;
	}
}

static void
on_bell(void *arg)
{
	struct pipe_hub *h = arg;
	struct event_queue q;

	if (h->paused)
		return;
	if (loop_holds_input(h->loop)) {
		loop_bell_ring(h->bell);
		return;
	}
	for (bool last = false;; last = true) {
		while (h->done < h->out.count) {
			struct event *e = &h->out.at[h->done++];

			handle(h, e);
			if (e->msg != NULL)
				nng_msg_free(e->msg);
			if (h->paused)
				return;
			/* A frame may be work for thousands of clients: on in the next turn. */
			if (loop_check(h->loop)) {
				loop_bell_ring(h->bell);
				return;
			}
		}
		h->out.count = h->done = 0;
		if (last)
			return;
		pthread_mutex_lock(&h->lock);
		q = h->in;
		h->in = h->out;
		h->out = q;
		pthread_mutex_unlock(&h->lock);
	}
}

/* bus-LOW-EPOCH-HIGH-EPOCH; those with our slot and an older epoch are left-overs. */
static void
remove_stale(const char *dir, unsigned slot, uint64_t epoch)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	if (d == NULL)
		return;
	while ((e = readdir(d)) != NULL) {
		unsigned low, high;
		uint64_t low_epoch, high_epoch;

		if (sscanf(e->d_name, "bus-%u-%" SCNx64 "-%u-%" SCNx64, &low, &low_epoch, &high, &high_epoch) != 4)
			continue;
		if ((low == slot && low_epoch < epoch) || (high == slot && high_epoch < epoch))
			(void)unlinkat(dirfd(d), e->d_name, 0);
	}
	closedir(d);
}

struct pipe_hub *
pipe_hub_new(struct loop *l, const char *dir, unsigned own_slot, uint64_t own_epoch)
{
	struct pipe_hub *h = mem_zalloc(sizeof *h);
	pthread_condattr_t attr;

	h->loop = l;
	h->dir = mem_strdup(dir);
	hmap_init(&h->pipes);
	FB_ASSERT(pthread_mutex_init(&h->lock, NULL) == 0);
	FB_ASSERT(pthread_condattr_init(&attr) == 0);
	FB_ASSERT(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
	FB_ASSERT(pthread_cond_init(&h->closed, &attr) == 0);
	pthread_condattr_destroy(&attr);
	h->bell = loop_bell_new(l, on_bell, h);
	remove_stale(dir, own_slot, own_epoch);
	return h;
}

void
pipe_hub_pause(struct pipe_hub *h, bool paused)
{
	h->paused = paused;
	if (!paused)
		loop_bell_ring(h->bell);
}

/* false: a socket is still being closed, and may be for ever. */
static bool
await_closed(struct pipe_hub *h)
{
	struct mono until = mono_add(clock_mono(), CLOSING_NS);
	struct timespec ts = { (time_t)(until.ns / NS_PER_SEC), (long)(until.ns % NS_PER_SEC) };
	unsigned left;
	int rc = 0;

	pthread_mutex_lock(&h->lock);
	while (h->closing > 0 && rc == 0)
		rc = pthread_cond_timedwait(&h->closed, &h->lock, &ts);
	left = h->closing;
	pthread_mutex_unlock(&h->lock);
	return left == 0;
}

void
pipe_hub_free(struct pipe_hub *h)
{
	if (h == NULL)
		return;
	FB_ASSERT(h->pipes.count == 0);
	if (!await_closed(h))
		return;                 /* NNG's threads still see it; the process ends */
	loop_bell_free(h->bell);
	for (size_t i = 0; i < h->in.count; i++)
		if (h->in.at[i].msg != NULL)
			nng_msg_free(h->in.at[i].msg);
	for (size_t i = h->done; i < h->out.count; i++)
		if (h->out.at[i].msg != NULL)
			nng_msg_free(h->out.at[i].msg);
	mem_free(h->in.at);
	mem_free(h->out.at);
	hmap_fini(&h->pipes);
	pthread_cond_destroy(&h->closed);
	pthread_mutex_destroy(&h->lock);
	mem_free(h->dir);
	mem_free(h);
}

static int
check(const struct pipe *p, const char *what, int rv)
{
	if (rv != 0)
		log_error("pipe", what, "url=%s error=\"%s\"", p->url, nng_strerror(rv));
	return rv;
}

static void
dial(struct pipe *p)
{
	p->dials = nng_dialer_create(&p->dialer, p->feed.sock, p->url) == 0 &&
	    check(p, "cannot dial", nng_dialer_start(p->dialer, NNG_FLAG_NONBLOCK)) == 0;
}

/* Nobody but this user may connect: who can, can publish anything. */
static int
listen_at(struct pipe *p)
{
	nng_listener l;
	int rv = nng_listener_create(&l, p->feed.sock, p->url);

	if (rv != 0 || (rv = nng_listener_set_int(l, NNG_OPT_IPC_PERMISSIONS, 0600)) != 0)
		return rv;
	return nng_listener_start(l, 0);
}

static int
socket_open(struct pipe *p, bool listens)
{
	nng_socket *s = &p->feed.sock;
	int rv = nng_bus0_open(s);

	if (rv != 0)
		return rv;
	p->opened = true;
	(void)nng_socket_set_int(*s, NNG_OPT_SENDBUF, SEND_QUEUE);
	(void)nng_socket_set_int(*s, NNG_OPT_RECVBUF, RECV_QUEUE);
	(void)nng_socket_set_size(*s, NNG_OPT_RECVMAXSZ, FRAME_MAX);
	(void)nng_socket_set_ms(*s, NNG_OPT_RECONNMINT, 10);
	(void)nng_socket_set_ms(*s, NNG_OPT_RECONNMAXT, 200);
	for (nng_pipe_ev ev = NNG_PIPE_EV_ADD_PRE; ev < NNG_PIPE_EV_NUM; ev++)
		if ((rv = nng_pipe_notify(*s, ev, on_notify, &p->feed)) != 0)
			return rv;
	if ((rv = nng_aio_alloc(&p->feed.recv, on_recv, &p->feed)) != 0 || (rv = nng_aio_alloc(&p->send, NULL, NULL)) != 0)
		return rv;
	nng_recv_aio(*s, p->feed.recv);
	if (listens)
		return listen_at(p);
	dial(p);
	return 0;
}

struct pipe *
pipe_open(struct pipe_hub *h, const struct pipe_ends *e, const struct pipe_ops *ops, void *arg)
{
	struct pipe *p = mem_zalloc(sizeof *p);
	bool listens = e->own_slot < e->peer_slot;
	int n;

	p->hub = h;
	p->ops = ops;
	p->arg = arg;
	p->feed.hub = h;
	p->feed.serial = ++h->last_serial;
	hmap_put(&h->pipes, &p->node, p->feed.serial);
	n = snprintf(p->url, sizeof p->url, "ipc://%s/bus-%u-%" PRIx64 "-%u-%" PRIx64, h->dir,
	    listens ? e->own_slot : e->peer_slot, listens ? e->own_epoch : e->peer_epoch,
	    listens ? e->peer_slot : e->own_slot, listens ? e->peer_epoch : e->own_epoch);
	if (n < 0 || (size_t)n >= sizeof p->url) {
		log_error("pipe", "path too long", "dir=%s", h->dir);
		return p;
	}
	(void)check(p, listens ? "cannot listen" : "cannot open", socket_open(p, listens));
	return p;
}

/* Not the loop's work: it may never come back. NNG 1.5.2 forgets a receive that stands between the head and the body of
 * a frame when its connection is closed, and waits for it for ever. Then the socket stays, and what comes from it is for
 * nobody. */
static void *
close_socket(void *arg)                 /* a thread for it */
{
	struct pipe *p = arg;
	struct pipe_hub *h = p->hub;

	if (p->opened)
		(void)nng_close(p->feed.sock);
	if (p->feed.recv != NULL)
		nng_aio_free(p->feed.recv);
	if (p->send != NULL)
		nng_aio_free(p->send);
	mem_free(p);
	pthread_mutex_lock(&h->lock);
	h->closing--;
	pthread_cond_signal(&h->closed);
	pthread_mutex_unlock(&h->lock);
	return NULL;
}

void
pipe_close(struct pipe *p)
{
	pthread_attr_t attr;
	pthread_t thread;

	if (p == NULL)
		return;
	hmap_del(&p->hub->pipes, &p->node);
	/* First the aio, then the socket: one that is handed to a queue just after nng_close() closed it stays there, and
	 * stopping it later reaches into freed memory (seen with 1.5.2). */
	if (p->feed.recv != NULL)
		nng_aio_stop(p->feed.recv);
	(void)unlink(p->url + strlen("ipc://"));
	pthread_mutex_lock(&p->hub->lock);
	p->hub->closing++;
	pthread_mutex_unlock(&p->hub->lock);
	FB_ASSERT(pthread_attr_init(&attr) == 0);
	FB_ASSERT(pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED) == 0);
	FB_ASSERT(pthread_create(&thread, &attr, close_socket, p) == 0);
	pthread_attr_destroy(&attr);
}

void
pipe_send(struct pipe *p, struct slice frame)
{
	nng_msg *m;

	if (p->conn == 0)
		return;
	FB_ASSERT(nng_msg_alloc(&m, frame.len) == 0);
	memcpy(nng_msg_body(m), frame.p, frame.len);
	nng_aio_set_msg(p->send, m);
	nng_aio_set_timeout(p->send, NNG_DURATION_ZERO);
	nng_send_aio(p->feed.sock, p->send);
	nng_aio_wait(p->send);
	if (nng_aio_result(p->send) != 0)
		nng_msg_free(nng_aio_get_msg(p->send));
}

void
pipe_reset(struct pipe *p)
{
	if (p->conn != 0) {
		close_conn(p->conn);
		forget(p, p->conn);
		p->conn = 0;
		p->ops->on_down(p->arg);
		return;
	}
	if (p->dials) {
		(void)nng_dialer_close(p->dialer);
		dial(p);
	}
}
