/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/cidr.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/metrics/page.h"
#include "worker/conn.h"
#include "worker/worker.h"

#define ACCEPTS_A_TURN 128

struct listener {
	struct list link;
	struct listeners *all;
	struct loop_fd *lfd;
	int fd;
	uint16_t slot;
};

struct listeners {
	struct worker *worker;
	struct list list;
	bool open;
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

static void
set_buffers(const struct worker *w, int fd)
{
	int rcv = (int)w->config.sock_rcvbuf;
	int snd = (int)w->config.sock_sndbuf;

	if (rcv > 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &rcv, sizeof rcv);
	if (snd > 0)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &snd, sizeof snd);
}

/* IP rules and limits, before a byte is read. */
static void
admit(struct worker *w, int fd, const struct sockaddr *sa)
{
	struct cidr peer = { .bits = 128 };
	uint16_t port = 0;
	int allow = -1;

	if (cidr_from_sockaddr(sa, &peer))
		cidr_table_find(w->acl, peer.addr, &allow);
	if (sa->sa_family == AF_INET)
		port = ntohs(((const struct sockaddr_in *)(const void *)sa)->sin_port);
	else if (sa->sa_family == AF_INET6)
		port = ntohs(((const struct sockaddr_in6 *)(const void *)sa)->sin6_port);
	if (allow == 0 || w->conn_count >= w->conn_limit) {
		METRIC_ADD(connections_denied, 1);
		close(fd);
		return;
	}
	set_buffers(w, fd);
	conn_new(w, fd, peer.addr, port, allow == 1);
}

static void
on_readable(void *arg, unsigned ready)
{
	struct listener *l = arg;
	struct worker *w = l->all->worker;
	struct sockaddr_storage sa;

	(void)ready;
	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		socklen_t len = sizeof sa;
		int fd = accept4(l->fd, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			admit(w, fd, (struct sockaddr *)&sa);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			/* The tick tries again: no spin on a socket that stays readable. */
			log_error("listener", "cannot accept", "error=\"%s\"", strerror(errno));
			loop_fd_want(l->lfd, 0);
		}
		return;
	}
}

void
listener_add(struct listeners *all, const struct ipc_listener *p, int fd)
{
	struct listener *l = mem_zalloc(sizeof *l);
	int one = 1;

	/* Accepted sockets inherit it: batching by turn has Nagle's saving without its delay. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	l->all = all;
	l->fd = fd;
	l->slot = p->slot;
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
