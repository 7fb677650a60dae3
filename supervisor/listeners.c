/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/listeners.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/ipc/codec.h"

#define PORT_TRIES 16

struct place {
	struct sockaddr_storage ss;
	socklen_t len;
};

static void
set_port(struct place *p, int port)
{
	if (p->ss.ss_family == AF_INET6)
		((struct sockaddr_in6 *)(void *)&p->ss)->sin6_port = htons((uint16_t)port);
	else
		((struct sockaddr_in *)(void *)&p->ss)->sin_port = htons((uint16_t)port);
}

static int
port_of(int fd)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof ss;

	if (getsockname(fd, (struct sockaddr *)&ss, &len) != 0)
		return 0;
	return ntohs(ss.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)(void *)&ss)->sin6_port
	    : ((struct sockaddr_in *)(void *)&ss)->sin_port);
}

static void
name_of(const char *listener, const struct place *p, int port, char *out, size_t size)
{
	char text[INET6_ADDRSTRLEN] = "?";

	if (p->ss.ss_family == AF_INET6) {
		inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)(const void *)&p->ss)->sin6_addr, text, sizeof text);
		snprintf(out, size, "%s [%s]:%d", listener, text, port);
	} else {
		inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)&p->ss)->sin_addr, text, sizeof text);
		snprintf(out, size, "%s %s:%d", listener, text, port);
	}
}

static int
make(const struct place *p, bool shared)
{
	int one = 1;
	int fd = socket(p->ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (shared)
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
	if (p->ss.ss_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
	if (bind(fd, (const struct sockaddr *)&p->ss, p->len) != 0) {
		int saved = errno;

		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

/* The addresses to listen on. IPv6 only if this machine has it. */
static unsigned
places(const char *address, struct place out[LISTENERS_ADDRESSES])
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)&out[0].ss;
	struct sockaddr_in6 *v6;
	unsigned n = 0;
	int fd;

	memset(out, 0, LISTENERS_ADDRESSES * sizeof out[0]);
	if (address[0] == '\0' || inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		out[n++].len = sizeof *v4;
	}
	v6 = (struct sockaddr_in6 *)(void *)&out[n].ss;
	if (address[0] != '\0' && n > 0)
		return n;
	if (address[0] != '\0' && inet_pton(AF_INET6, address, &v6->sin6_addr) != 1)
		return n;
	v6->sin6_family = AF_INET6;
	out[n].len = sizeof *v6;
	fd = n > 0 ? make(&out[n], false) : -1;
	if (n == 0 || fd >= 0)
		n++;
	if (fd >= 0)
		close(fd);
	return n;
}

static int
explain(const struct listener_config *l, const struct place *p, int port, int error, struct config_error *e)
{
	char name[80];

	name_of(l->name, p, port, name, sizeof name);
	switch (error) {
	case EADDRINUSE:
		snprintf(e->text, sizeof e->text, "cannot listen on %s: the port is in use; see who by ss -ltnp, or choose "
		    "another with --set listeners.%s.port=N", name, l->name);
		return FB_EBUSY;
	case EACCES:
		snprintf(e->text, sizeof e->text, "cannot listen on %s: ports below 1024 need root; start as root with user: set, "
		    "or choose another with --set listeners.%s.port=N", name, l->name);
		return FB_EPERM;
	case EADDRNOTAVAIL:
		snprintf(e->text, sizeof e->text, "cannot listen on %s: this machine has no such address; see ip address, and "
		    "change --bind or listeners.%s.bind", name, l->name);
		return FB_EINVAL;
	default:
		snprintf(e->text, sizeof e->text, "cannot listen on %s: %s", name, strerror(error));
		return FB_EIO;
	}
}

/* With SO_REUSEPORT a second node of the same user could take part in silence: so first without. */
static int
probe(const struct listener_config *l, struct place *p, int port, struct config_error *e)
{
	int fd;

	set_port(p, port);
	fd = make(p, false);
	if (fd < 0)
		return explain(l, p, port, errno, e);
	close(fd);
	return 0;
}

/* All sockets of one address on *port, which -1 lets the kernel choose. */
static int
open_row(struct listeners *s, const struct listener_config *l, struct place *p, int *port, struct config_error *e)
{
	struct listener_row *row = &s->row[s->rows - 1];
	int err = *port > 0 ? probe(l, p, *port, e) : 0;

	for (unsigned k = 0; k < s->workers && err == 0; k++) {
		set_port(p, *port > 0 ? *port : 0);
		row->fd[k] = make(p, true);
		if (row->fd[k] < 0 || listen(row->fd[k], (int)l->backlog) != 0)
			err = explain(l, p, *port, errno, e);
		else if (*port < 0)
			*port = port_of(row->fd[k]);
	}
	if (err == 0)
		name_of(l->name, p, *port, row->name, sizeof row->name);
	return err;
}

/* All addresses of a listener. */
static int
open_rows(struct listeners *s, unsigned listener, const struct listener_config *l, struct config_error *e)
{
	struct place place[LISTENERS_ADDRESSES];
	unsigned n = places(l->bind, place);
	int port = (int)l->port;
	int err = 0;

	if (n == 0) {
		snprintf(e->text, sizeof e->text, "listeners.%s.bind %s: not an IPv4 or IPv6 address", l->name, l->bind);
		return FB_EINVAL;
	}
	for (unsigned i = 0; i < n && err == 0; i++) {
		struct listener_row *row = &s->row[s->rows++];

		row->listener = listener;
		for (unsigned k = 0; k < s->workers; k++)
			row->fd[k] = -1;
		err = open_row(s, l, &place[i], &port, e);
	}
	s->port[listener] = err == 0 ? port : 0;
	return err;
}

/* Closes the rows from there on. */
static void
close_rows(struct listeners *s, unsigned from)
{
	for (unsigned row = from; row < s->rows; row++)
		for (unsigned k = 0; k < s->workers; k++)
			if (s->row[row].fd[k] >= 0)
				close(s->row[row].fd[k]);
	s->rows = from;
}

/* A port that the kernel chose for IPv4 may be taken for IPv6: try another. */
static int
open_listener(struct listeners *s, unsigned listener, const struct listener_config *l, struct config_error *e)
{
	unsigned before = s->rows;
	int err = 0;

	for (unsigned i = 0; i < PORT_TRIES; i++) {
		err = open_rows(s, listener, l, e);
		if (err == 0)
			return 0;
		close_rows(s, before);
		if (err != FB_EBUSY || l->port > 0)
			break;
	}
	return err;
}

int
listeners_open(struct listeners *s, const struct config *c, unsigned workers, struct config_error *e)
{
	*s = (struct listeners){ .workers = workers };
	for (unsigned i = 0; i < CONFIG_LISTENERS; i++) {
		struct listener_config l;
		int err = 0;

		config_listener(c, i, &l);
		if (l.port != 0)
			err = open_listener(s, i, &l, e);
		if (err != 0) {
			listeners_close(s);
			return err;
		}
	}
	return 0;
}

int
listeners_probe(const struct config *c, unsigned listener, struct config_error *e)
{
	struct place place[LISTENERS_ADDRESSES];
	struct listener_config l;
	unsigned n;
	int err = 0;

	config_listener(c, listener, &l);
	n = places(l.bind, place);
	for (unsigned i = 0; i < n && err == 0 && l.port > 0; i++)
		err = probe(&l, &place[i], (int)l.port, e);
	return err;
}

void
listeners_ports(const struct listeners *s, char *out, size_t size)
{
	size_t used = 0;

	out[0] = '\0';
	for (unsigned i = 0, last = CONFIG_LISTENERS; i < s->rows; last = s->row[i++].listener)
		if (s->row[i].listener != last)
			used += (size_t)snprintf(out + used, size - used, "%.*s %d\n", (int)strcspn(s->row[i].name, " "),
			    s->row[i].name, s->port[s->row[i].listener]);
}

void
listeners_close(struct listeners *s)
{
	close_rows(s, 0);
}

void
listeners_send(const struct listeners *s, unsigned slot, struct chan *to)
{
	for (unsigned row = 0; row < s->rows; row++) {
		const struct ipc_listener p = { .index = (uint16_t)s->row[row].listener, .slot = (uint16_t)slot,
			.name = slice_str(s->row[row].name) };
		struct buf b;

		buf_init(&b);
		ipc_put_listener(&b, &p);
		chan_send_fd(to, IPC_LISTENER, buf_slice(&b), s->row[row].fd[slot]);
		buf_fini(&b);
	}
}
