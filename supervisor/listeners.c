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
name_of(const struct place *p, int port, char *out, size_t size)
{
	char text[INET6_ADDRSTRLEN] = "?";

	if (p->ss.ss_family == AF_INET6) {
		inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)(const void *)&p->ss)->sin6_addr, text, sizeof text);
		snprintf(out, size, "mqtt [%s]:%d", text, port);
	} else {
		inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)&p->ss)->sin_addr, text, sizeof text);
		snprintf(out, size, "mqtt %s:%d", text, port);
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
places(const struct config *c, struct place out[LISTENERS_ADDRESSES])
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)&out[0].ss;
	struct sockaddr_in6 *v6;
	unsigned n = 0;
	int fd;

	memset(out, 0, LISTENERS_ADDRESSES * sizeof out[0]);
	if (c->mqtt_bind[0] == '\0' || inet_pton(AF_INET, c->mqtt_bind, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		out[n++].len = sizeof *v4;
	}
	v6 = (struct sockaddr_in6 *)(void *)&out[n].ss;
	if (c->mqtt_bind[0] != '\0' && n > 0)
		return n;
	if (c->mqtt_bind[0] != '\0' && inet_pton(AF_INET6, c->mqtt_bind, &v6->sin6_addr) != 1)
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
explain(const struct place *p, int port, int error, struct config_error *e)
{
	char name[80];

	name_of(p, port, name, sizeof name);
	switch (error) {
	case EADDRINUSE:
		snprintf(e->text, sizeof e->text, "cannot listen on %s: the port is in use; see who by ss -ltnp, or choose "
		    "another with --mqtt-port", name);
		return FB_EBUSY;
	case EACCES:
		snprintf(e->text, sizeof e->text, "cannot listen on %s: ports below 1024 need root; start as root with user: set, "
		    "or choose another with --mqtt-port", name);
		return FB_EPERM;
	case EADDRNOTAVAIL:
		snprintf(e->text, sizeof e->text, "cannot listen on %s: this machine has no such address; see ip address, and "
		    "change --bind", name);
		return FB_EINVAL;
	default:
		snprintf(e->text, sizeof e->text, "cannot listen on %s: %s", name, strerror(error));
		return FB_EIO;
	}
}

/* With SO_REUSEPORT a second node of the same user could take part in silence: so first without. */
static int
probe(struct place *p, int port, struct config_error *e)
{
	int fd;

	set_port(p, port);
	fd = make(p, false);
	if (fd < 0)
		return explain(p, port, errno, e);
	close(fd);
	return 0;
}

/* All sockets of one address on s->port, which -1 lets the kernel choose. */
static int
open_row(struct listeners *s, unsigned row, struct place *p, int backlog, struct config_error *e)
{
	int err = s->port > 0 ? probe(p, s->port, e) : 0;

	for (unsigned k = 0; k < s->workers && err == 0; k++) {
		set_port(p, s->port > 0 ? s->port : 0);
		s->row[row].fd[k] = make(p, true);
		if (s->row[row].fd[k] < 0 || listen(s->row[row].fd[k], backlog) != 0)
			err = explain(p, s->port, errno, e);
		else if (s->port < 0)
			s->port = port_of(s->row[row].fd[k]);
	}
	if (err == 0)
		name_of(p, s->port, s->row[row].name, sizeof s->row[row].name);
	return err;
}

static int
open_all(struct listeners *s, const struct config *c, struct config_error *e)
{
	struct place place[LISTENERS_ADDRESSES];
	unsigned n = places(c, place);
	int err = 0;

	s->port = (int)c->mqtt_port;
	if (n == 0) {
		snprintf(e->text, sizeof e->text, "listeners.mqtt.bind %s: not an IPv4 or IPv6 address", c->mqtt_bind);
		return FB_EINVAL;
	}
	for (unsigned row = 0; row < n && err == 0; row++) {
		for (unsigned k = 0; k < s->workers; k++)
			s->row[row].fd[k] = -1;
		s->addresses = row + 1;
		err = open_row(s, row, &place[row], (int)c->mqtt_backlog, e);
	}
	return err;
}

int
listeners_open(struct listeners *s, const struct config *c, unsigned workers, struct config_error *e)
{
	int err = 0;

	*s = (struct listeners){ .workers = workers };
	if (c->mqtt_port == 0)
		return 0;
	/* A port that the kernel chose for IPv4 may be taken for IPv6: try another. */
	for (unsigned i = 0; i < PORT_TRIES; i++) {
		err = open_all(s, c, e);
		if (err == 0)
			return 0;
		listeners_close(s);
		if (err != FB_EBUSY || c->mqtt_port > 0)
			break;
	}
	return err;
}

int
listeners_probe(const struct config *c, struct config_error *e)
{
	struct place place[LISTENERS_ADDRESSES];
	unsigned n = places(c, place);
	int err = 0;

	for (unsigned i = 0; i < n && err == 0 && c->mqtt_port > 0; i++)
		err = probe(&place[i], (int)c->mqtt_port, e);
	return err;
}

void
listeners_close(struct listeners *s)
{
	for (unsigned row = 0; row < s->addresses; row++)
		for (unsigned k = 0; k < s->workers; k++)
			if (s->row[row].fd[k] >= 0)
				close(s->row[row].fd[k]);
	s->addresses = 0;
}

void
listeners_send(const struct listeners *s, unsigned slot, struct chan *to)
{
	for (unsigned row = 0; row < s->addresses; row++) {
		const struct ipc_listener p = { .kind = LISTENER_MQTT, .index = (uint16_t)row, .slot = (uint16_t)slot,
			.name = slice_str(s->row[row].name) };
		struct buf b;

		buf_init(&b);
		ipc_put_listener(&b, &p);
		chan_send_fd(to, IPC_LISTENER, buf_slice(&b), s->row[row].fd[slot]);
		buf_fini(&b);
	}
}
