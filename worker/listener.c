/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/listener.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/cidr.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/config/config.h"
#include "common/metrics/page.h"
#include "worker/conn.h"
#include "worker/tls.h"
#include "worker/worker.h"
#include "worker/ws.h"

#define ACCEPTS_A_TURN 128
#define SAY_NS         (10 * NS_PER_SEC)

struct listener {
	struct list link;
	struct listeners *all;
	struct loop_fd *lfd;
	int fd;
	uint16_t slot;
	uint8_t index;                  /* CONFIG_L_... */
};

struct listeners {
	struct worker *worker;
	struct list list;
	bool open;
	struct mono say_at;             /* when to say again that there is no room */
};

struct listeners *
listeners_new(struct worker *w)
{
	struct listeners *l = mem_zalloc(sizeof *l);

	l->worker = w;
	list_init(&l->list);
	return l;
}

static void
listener_free(struct listener *l)
{
	loop_fd_free(l->lfd);
	close(l->fd);
	list_del(&l->link);
	mem_free(l);
}

void
listeners_close(struct listeners *all)
{
	LIST_EACH_SAFE(n, tmp, &all->list)
		listener_free(container_of(n, struct listener, link));
}

void
listeners_free(struct listeners *all)
{
	listeners_close(all);
	mem_free(all);
}

/* Small ones hold a crowd; who is allowed by an IP rule is one of ours and gets large ones. */
static void
set_buffers(const struct worker *w, int fd, bool allowed)
{
	int rcv = (int)(allowed && w->config.sock_own_rcvbuf > 0 ? w->config.sock_own_rcvbuf : w->config.sock_rcvbuf);
	int snd = (int)(allowed && w->config.sock_own_sndbuf > 0 ? w->config.sock_own_sndbuf : w->config.sock_sndbuf);

	if (rcv > 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &rcv, sizeof rcv);
	if (snd > 0)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &snd, sizeof snd);
}

/* The limit that is reached: the worker's or the listener's own; 0: none. */
static uint64_t
limit_reached(const struct worker *w, const struct listener *l, const struct listener_config *config)
{
	uint64_t own = (uint64_t)config->most;

	if (w->conn_count >= w->conn_limit)
		return w->conn_limit;
	return own > 0 && metrics->listener_connections[l->index] >= own ? own : 0;
}

/* Whoever knocks must not make the log grow: once in a while. */
static bool
may_say(struct listeners *all)
{
	struct mono now = loop_now(all->worker->loop);

	if (now.ns < all->say_at.ns)
		return false;
	all->say_at = mono_add(now, SAY_NS);
	return true;
}

/* IP rules and limits, before a byte is read. */
static void
admit(struct listener *l, int fd, const struct sockaddr *sa)
{
	struct worker *w = l->all->worker;
	struct conn_origin from = { .fd = fd, .listener = l->index };
	struct cidr peer = { .bits = 128 };
	struct listener_config config;
	uint64_t limit;
	int allow = -1;

	config_listener(&w->config, l->index, &config);
	if (cidr_from_sockaddr(sa, &peer))
		cidr_table_find(w->acl, peer.addr, &allow);
	memcpy(from.peer, peer.addr, sizeof from.peer);
	if (sa->sa_family == AF_INET)
		from.port = ntohs(((const struct sockaddr_in *)(const void *)sa)->sin_port);
	else if (sa->sa_family == AF_INET6)
		from.port = ntohs(((const struct sockaddr_in6 *)(const void *)sa)->sin6_port);
	if (allow != 0 && budget_is(w, BUDGET_OUT)) {   /* which its log says */
		METRIC_ADD(connections_memory, 1);
		close(fd);
		return;
	}
	limit = limit_reached(w, l, &config);
	if (allow == 0 || limit > 0) {
		if (allow != 0 && may_say(l->all))
			log_warn("listener", "no room for more connections", "listener=%s limit=%" PRIu64, config.name, limit);
		METRIC_ADD(connections_denied, 1);
		close(fd);
		return;
	}
	set_buffers(w, fd, allow == 1);
	from.allowed = allow == 1 && config.allow;
	if (listener_has_tls(config.kind)) {
		from.stream = tls_stream_new(w->tls, l->index, fd);
		if (from.stream == NULL) {      /* which the log says where it was tried */
			METRIC_ADD(connections_denied, 1);
			close(fd);
			return;
		}
	}
	if (listener_has_ws(config.kind))
		from.stream = ws_new(w->ws, fd, from.stream, &w->config, l->index);
	conn_new(w, &from);
}

static void
on_readable(void *arg, unsigned ready)
{
	struct listener *l = arg;
	struct sockaddr_storage sa;

	(void)ready;
	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		socklen_t len = sizeof sa;
		int fd = accept4(l->fd, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			admit(l, fd, (struct sockaddr *)&sa);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			/* The tick tries again: no spin on a socket that stays readable. */
			if (may_say(l->all))
				log_error("listener", "cannot accept", "error=\"%s\"", strerror(errno));
			loop_fd_want(l->lfd, 0);
		}
		return;
	}
}

void
listener_add(struct listeners *all, const struct ipc_listener *p, int fd)
{
	struct listener_config config;
	struct listener *l;
	int one = 1;

	if (p->index >= CONFIG_LISTENERS) {
		log_error("listener", "unknown listener", "index=%u", p->index);
		close(fd);
		return;
	}
	config_listener(&all->worker->config, p->index, &config);
	if (all->worker->ws == NULL && listener_has_ws(config.kind))
		all->worker->ws = ws_pool_new();
	l = mem_zalloc(sizeof *l);
	/* Accepted sockets inherit it: batching by turn has Nagle's saving without its delay. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	l->all = all;
	l->fd = fd;
	l->slot = p->slot;
	l->index = (uint8_t)p->index;
	l->lfd = loop_fd_new(all->worker->loop, fd, all->open ? LOOP_READ : 0, on_readable, l);
	list_put_last(&all->list, &l->link);
	if (p->slot != all->worker->slot)
		log_notice("listener", "borrowed", "slot=%u", p->slot);
}

void
listener_drop(struct listeners *all, unsigned slot)
{
	LIST_EACH_SAFE(n, tmp, &all->list) {
		struct listener *l = container_of(n, struct listener, link);

		if (l->slot == slot && slot != all->worker->slot)
			listener_free(l);
	}
}

void
listeners_open(struct listeners *all, bool open)
{
	all->open = open;
	listeners_retry(all);
}

void
listeners_retry(struct listeners *all)
{
	LIST_EACH(n, &all->list)
		loop_fd_want(container_of(n, struct listener, link)->lfd, all->open ? LOOP_READ : 0);
}
