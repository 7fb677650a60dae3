/* SPDX-License-Identifier: Apache-2.0
 * t/bench/bare.c - the least that a server can do: bare [PORT] accepts, answers any CONNECT with CONNACK and any
 * SUBSCRIBE with SUBACK, and copies a QoS 0 PUBLISH to the last subscriber of that very topic, one write a receiver
 * and turn.
 *
 * Two uses: what connections cost without a broker behind them (t/bench/reconnect), and what the load generator
 * itself costs (it must be far less than any broker). No checks, no sessions, no wildcards, level 4 only. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/mem.h"

#define FD_MAX 65536
#define TOPICS 65536

struct end {
	struct buf in;
	struct buf out;
	int fd;
	bool touched;
	bool blocked;
	bool subscribed;
};

static struct end *ends[FD_MAX];
static struct end *touched[FD_MAX];
static int touched_count;
static struct end *topics[TOPICS];
static uint8_t scratch[1 << 20];
static int epoll;

static struct end **
topic_slot(const uint8_t *p, size_t len)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 16777619u;
	return &topics[h % TOPICS];
}

static void
reply(struct end *e, const void *p, size_t len)
{
	buf_put(&e->out, p, len);
	if (!e->touched) {
		e->touched = true;
		touched[touched_count++] = e;
	}
}

static void
end_free(struct end *e)
{
	for (size_t i = 0; i < TOPICS && e->subscribed; i++)
		if (topics[i] == e)
			topics[i] = NULL;
	for (int i = 0; i < touched_count; i++)
		if (touched[i] == e)
			touched[i] = touched[--touched_count];
	ends[e->fd] = NULL;
	close(e->fd);
	buf_fini(&e->in);
	buf_fini(&e->out);
	mem_free(e);
}

static void
packet(struct end *e, const uint8_t *whole, size_t size, const uint8_t *body)
{
	uint8_t answer[5] = { 0 };
	struct end *to;

	switch (whole[0] >> 4) {
	case 1:
		memcpy(answer, "\x20\x02\x00\x00", 4);
		reply(e, answer, 4);
		break;
	case 3:
		to = *topic_slot(body + 2, (size_t)(body[0] << 8 | body[1]));
		if (to != NULL)
			reply(to, whole, size);
		break;
	case 8:
		e->subscribed = true;
		*topic_slot(body + 4, (size_t)(body[2] << 8 | body[3])) = e;
		memcpy(answer, "\x90\x03", 2);
		memcpy(answer + 2, body, 2);
		reply(e, answer, 5);
		break;
	default:
		break;
	}
}

static size_t
packets(struct end *e, const uint8_t *p, size_t len)
{
	size_t taken = 0;

	while (len - taken >= 2) {
		const uint8_t *whole = p + taken;
		size_t n = 0;
		size_t head = 1;
		int shift = 0;

		do {
			n |= (size_t)(whole[head] & 0x7F) << shift;
			shift += 7;
		} while (whole[head++] >= 0x80 && taken + head < len);
		if (len - taken < head + n)
			break;
		packet(e, whole, head + n, whole + head);
		taken += head + n;
	}
	return taken;
}

static void
readable(struct end *e)
{
	size_t have = buf_len(&e->in);
	ssize_t n;
	size_t taken;

	if (have > 0)
		memcpy(scratch, e->in.base + e->in.start, have);
	n = recv(e->fd, scratch + have, sizeof scratch - have, MSG_DONTWAIT);
	if (n <= 0) {
		if (n == 0 || (errno != EAGAIN && errno != EINTR))
			end_free(e);
		return;
	}
	buf_clear(&e->in);
	have += (size_t)n;
	taken = packets(e, scratch, have);
	buf_put(&e->in, scratch + taken, have - taken);
	buf_shrink(&e->in);
}

static void
watch(struct end *e, uint32_t events, int op)
{
	struct epoll_event ev = { .events = events, .data.fd = e->fd };

	epoll_ctl(epoll, op, e->fd, &ev);
}

static void
flush(struct end *e)
{
	ssize_t n = send(e->fd, e->out.base + e->out.start, buf_len(&e->out), MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n > 0)
		buf_eat(&e->out, (size_t)n);
	buf_shrink(&e->out);
	if ((buf_len(&e->out) > 0) != e->blocked) {
		e->blocked = !e->blocked;
		watch(e, e->blocked ? EPOLLIN | EPOLLOUT : EPOLLIN, EPOLL_CTL_MOD);
	}
}

static void
accept_all(int listener)
{
	int one = 1;
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0 && fd < FD_MAX) {
		struct end *e = mem_zalloc(sizeof *e);

		e->fd = fd;
		ends[fd] = e;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		watch(e, EPOLLIN, EPOLL_CTL_ADD);
	}
}

static int
listen_on(uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = { htonl(INADDR_LOOPBACK) } };
	struct epoll_event ev = { .events = EPOLLIN };
	socklen_t len = sizeof a;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);       /* several of us share a port */
	if (bind(fd, (struct sockaddr *)&a, len) != 0 || listen(fd, 4096) != 0) {
		perror("bare");
		exit(1);
	}
	getsockname(fd, (struct sockaddr *)&a, &len);
	printf("%u\n", ntohs(a.sin_port));
	fflush(stdout);
	ev.data.fd = fd;
	epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev);
	return fd;
}

int
main(int argc, char **argv)
{
	struct rlimit limit;
	int listener;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	epoll = epoll_create1(EPOLL_CLOEXEC);
	listener = listen_on(argc > 1 ? (uint16_t)strtoul(argv[1], NULL, 10) : 0);
	for (;;) {
		struct epoll_event events[512];
		int n = epoll_wait(epoll, events, 512, -1);

		for (int i = 0; i < n; i++) {
			struct end *e = ends[events[i].data.fd];

			if (events[i].data.fd == listener)
				accept_all(listener);
			if (e != NULL && (events[i].events & EPOLLOUT) != 0)
				flush(e);
			if (e != NULL && (events[i].events & (uint32_t)~EPOLLOUT) != 0)
				readable(e);
		}
		for (int i = 0; i < touched_count; i++) {
			touched[i]->touched = false;
			flush(touched[i]);
		}
		touched_count = 0;
	}
}
