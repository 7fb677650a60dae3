/* SPDX-License-Identifier: Apache-2.0
 * supervisor/client/dial.c - a blocking connect() could not be interrupted: signals come as a descriptor. */
#include "supervisor/client/dial.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/err.h"

#define DIAL_TIMEOUT_MS 30000

static int
bind_to(int fd, const char *from, int family)
{
	struct addrinfo hints = { .ai_family = family, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST };
	struct addrinfo *list = NULL;
	int r = FB_EINVAL;

	if (getaddrinfo(from, NULL, &hints, &list) != 0)
		return r;
	if (bind(fd, list->ai_addr, list->ai_addrlen) == 0)
		r = 0;
	freeaddrinfo(list);
	return r;
}

static int
wait_connected(int fd, int stop_fd)
{
	struct pollfd p[2] = { { .fd = fd, .events = POLLOUT }, { .fd = stop_fd, .events = POLLIN } };
	int err = 0;
	socklen_t len = sizeof err;
	int n;

	do
		n = poll(p, 2, DIAL_TIMEOUT_MS);
	while (n < 0 && errno == EINTR);
	if (n == 0)
		return FB_ETIMEOUT;
	if (n < 0 || p[1].revents != 0)
		return FB_ECLOSED;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) == 0 && err == 0)
		return 0;
	errno = err;
	return FB_EIO;
}

static int
dial_one(const struct addrinfo *a, const char *from, int stop_fd, char *error, size_t error_size)
{
	int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int one = 1;
	int r = FB_EIO;

	if (fd >= 0 && (from == NULL || bind_to(fd, from, a->ai_family) == 0)) {
		r = 0;
		if (connect(fd, a->ai_addr, a->ai_addrlen) != 0)
			r = errno == EINPROGRESS ? wait_connected(fd, stop_fd) : FB_EIO;
	}
	if (r == 0) {
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		return fd;
	}
	snprintf(error, error_size, "%s", r == FB_EIO ? strerror(errno) : r == FB_ETIMEOUT ? "no answer" : "interrupted");
	if (fd >= 0)
		close(fd);
	return r;
}

int
dial_tcp(const char *host, uint16_t port, const char *from, int stop_fd, char *error, size_t error_size)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *list = NULL;
	char service[8];
	int r = FB_EIO;
	int err;

	snprintf(service, sizeof service, "%u", port);
	err = getaddrinfo(host, service, &hints, &list);
	if (err != 0) {
		snprintf(error, error_size, "%s", gai_strerror(err));
		return FB_ENOENT;
	}
	for (const struct addrinfo *a = list; a != NULL && r < 0 && r != FB_ECLOSED; a = a->ai_next)
		r = dial_one(a, from, stop_fd, error, error_size);
	freeaddrinfo(list);
	return r;
}
