/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/client/caller.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/mem.h"
#include "common/mqtt/props.h"
#include "common/mqtt/reason.h"

#define DIAL_NS (30 * NS_PER_SEC)
#define CONNECT_NS (30 * NS_PER_SEC)
#define LINGER_NS NS_PER_SEC
#define READ_BYTES 65536
#define NEVER ((struct mono){ INT64_MAX })

static void dial_next(struct caller *c, struct mono now);

const char *
caller_code_text(uint8_t level, uint8_t code)
{
	static const char *const old[] = { "accepted", "unacceptable protocol version", "client id refused",
		"server unavailable", "bad user name or password", "not authorized", "use another server" };

	if (level == MQTT_50)
		return reason_text(code);
	return code < sizeof old / sizeof old[0] ? old[code] : "unknown code";
}

/* ---- the end ---- */

static void
hang_up(struct caller *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->state = CALLER_DOWN;
	c->deadline = NEVER;
	stream_free(c->stream);
	c->stream = NULL;
	client_closed(&c->client);
	buf_fini(&c->in);
	buf_fini(&c->wire);
}

static void
forget_addresses(struct caller *c)
{
	if (c->list != NULL)
		freeaddrinfo(c->list);
	c->list = NULL;
	c->next = NULL;
}

/* text may be c->error. */
static void
down(struct caller *c, enum caller_end why, const char *text)
{
	char copy[sizeof c->error];

	snprintf(copy, sizeof copy, "%s", text);
	hang_up(c);
	forget_addresses(c);
	c->ops->on_down(c, c->ending ? CALLER_ENDED : why, copy);
}

/* ---- dialing ---- */

static bool
bind_to(int fd, const char *from, int family)
{
	struct addrinfo hints = { .ai_family = family, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST };
	struct addrinfo *list = NULL;
	bool ok;

	if (from == NULL)
		return true;
	errno = EADDRNOTAVAIL;
	if (getaddrinfo(from, NULL, &hints, &list) != 0)
		return false;
	ok = bind(fd, list->ai_addr, list->ai_addrlen) == 0;
	freeaddrinfo(list);
	return ok;
}

static void
look_up(struct caller *c, struct mono now)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	char service[8];
	int err;

	forget_addresses(c);
	snprintf(service, sizeof service, "%u", target_port(&c->at));
	err = getaddrinfo(c->at.host, service, &hints, &c->list);
	if (err != 0) {
		c->list = NULL;
		snprintf(c->error, sizeof c->error, "%s", gai_strerror(err));
		down(c, CALLER_NO_SERVER, c->error);
		return;
	}
	c->next = c->list;
	dial_next(c, now);
}

void
caller_dial(struct caller *c, uint16_t redirects, struct mono now)
{
	FB_ASSERT(c->state == CALLER_DOWN);
	c->at = c->net->at;
	c->redirects = redirects;
	c->ending = c->drop = c->redirect = false;
	c->error[0] = 0;
	c->state = CALLER_DIALING;
	look_up(c, now);
}

static void
begin_mqtt(struct caller *c, struct mono now)
{
	c->state = CALLER_TALKING;
	c->deadline = NEVER;
	c->code = 0;
	c->error[0] = 0;
	/* Level 5 has a property of its own; the others only know who asks for it. */
	c->connect.has_max_recursion = c->redirects > 0 && c->connect.level < MQTT_50;
	c->connect.max_recursion = c->redirects;
	client_connect(&c->client, &c->connect, CONNECT_NS, now);
}

static void
dialed(struct caller *c, struct mono now)
{
	int one = 1;

	(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	c->stream = stream_new(&c->at, c->net->tls, c->connect.level, c->net->split);
	if (c->stream == NULL) {
		begin_mqtt(c, now);
	} else {
		c->state = CALLER_OPENING;
		if (stream_start(c->stream, &c->wire) != 0) {
			down(c, CALLER_NO_SERVER, stream_error(c->stream));
			return;
		}
	}
	caller_flush(c, now);
}

/* Tries the addresses from c->next on until one is on its way. */
static void
dial_next(struct caller *c, struct mono now)
{
	while (c->next != NULL) {
		const struct addrinfo *a = c->next;

		c->next = a->ai_next;
		c->fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (c->fd >= 0 && bind_to(c->fd, c->net->bind, a->ai_family) &&
		    (connect(c->fd, a->ai_addr, a->ai_addrlen) == 0 || errno == EINPROGRESS)) {
			c->dials++;
			c->state = CALLER_DIALING;
			c->deadline = mono_add(now, DIAL_NS);
			return;
		}
		snprintf(c->error, sizeof c->error, "%s", strerror(errno));
		if (c->fd >= 0)
			close(c->fd);
		c->fd = -1;
	}
	down(c, CALLER_NO_SERVER, c->error);
}

static void
dial_ready(struct caller *c, struct mono now)
{
	int err = 0;
	socklen_t len = sizeof err;

	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &len) == 0 && err == 0) {
		dialed(c, now);
		return;
	}
	snprintf(c->error, sizeof c->error, "%s", strerror(err));
	close(c->fd);
	c->fd = -1;
	dial_next(c, now);
}

/* ---- CONNACK ---- */

static bool
may_go(struct caller *c, const struct mqtt_connack *p)
{
	struct client *client = &c->client;
	struct slice server = p->server;
	struct prop prop;
	int r;

	if (client->level == MQTT_50) {
		if ((p->code != MQTT_R_USE_ANOTHER_SERVER && p->code != MQTT_R_SERVER_MOVED) ||
		    !prop_find(p->props, PROP_SERVER_REFERENCE, &prop))
			return false;
		server = prop.text;
	}
	if (server.len == 0)
		return false;
	if (c->redirects == 0) {
		snprintf(c->error, sizeof c->error, "it names another server, %.*s, but no more may be followed",
		    (int)(server.len < 100 ? server.len : 100), (const char *)server.p);
		return false;
	}
	r = target_alternate(&c->at, &c->at, server.p, server.len);
	if (r != 0)
		snprintf(c->error, sizeof c->error, "it names another server, %.*s, %s",
		    (int)(server.len < 100 ? server.len : 100), (const char *)server.p,
		    r == FB_EPERM ? "which is not encrypted" : "which is no address");
	/* The server's number at levels 3 and 4, but never one that would go round for ever. */
	c->redirects--;
	if (client->level < MQTT_50 && p->max_recursion < c->redirects)
		c->redirects = p->max_recursion;
	return r == 0;
}

static void
on_connack(struct client *client, const struct mqtt_connack *p)
{
	struct caller *c = caller_of(client);

	c->code = p->code;
	if (p->code == 0) {
		c->ops->on_up(c, p->session_present);
		return;
	}
	snprintf(c->error, sizeof c->error, "%s (code %u)", caller_code_text(client->level, p->code), p->code);
	c->redirect = may_go(c, p);
}

/* ---- bytes ---- */

static void
show_violation(struct caller *c)
{
	const struct violation *v = &c->client.violation;

	snprintf(c->error, sizeof c->error, "%s", v->statement != NULL ? v->statement : reason_text((uint8_t)v->reason));
}

/* What client_input(), client_tick() or the socket said; false: it is over (or begins anew). */
static bool
goes_on(struct caller *c, int r, struct mono now)
{
	if (c->drop) {
		c->ending = true;
		down(c, CALLER_ENDED, "closed by this end");
		return false;
	}
	if (r == 0)
		return true;
	if (c->redirect) {
		c->redirect = false;
		hang_up(c);
		c->state = CALLER_DIALING;
		if (c->ops->on_redirect != NULL)
			c->ops->on_redirect(c);
		look_up(c, now);
		return false;
	}
	if (r == FB_EPROTO)
		show_violation(c);
	if (r == FB_EPROTO)
		down(c, CALLER_BROKEN, c->error);
	else if (r == FB_ETIMEOUT)
		down(c, CALLER_SILENT, "the server does not answer");
	else if (c->code != 0 && c->state == CALLER_TALKING)
		down(c, CALLER_REFUSED, c->error);
	else
		down(c, CALLER_LOST, c->error[0] != 0 ? c->error : "closed by the server");
	return false;
}

/* The socket's or the stream's failure. With TLS 1.3 a server refuses our certificate when our side of the handshake is
 * over, and CONNECT on its way. */
static void
lost(struct caller *c, int r, const char *why)
{
	if (c->state == CALLER_OPENING || c->state == CALLER_DIALING ||
	    (r == FB_EPROTO && c->client.state == CLIENT_CONNECTING))
		down(c, CALLER_NO_SERVER, why);
	else
		down(c, r == FB_EPROTO ? CALLER_BROKEN : CALLER_LOST, why);
}

/* Bytes from the socket through the stream. False: it is over. */
static bool
take_stream(struct caller *c, struct slice bytes, struct mono now)
{
	int r = stream_take(c->stream, bytes, &c->in, &c->wire);

	if (r == 0 && c->state == CALLER_OPENING && stream_ready(c->stream))
		begin_mqtt(c, now);
	if (r == 0 || (r == FB_ECLOSED && buf_len(&c->in) > 0))
		return true;            /* a goodbye comes again as the end of the socket */
	if (buf_len(&c->wire) > 0)
		(void)!send(c->fd, buf_slice(&c->wire).p, buf_len(&c->wire), MSG_NOSIGNAL | MSG_DONTWAIT);
	snprintf(c->error, sizeof c->error, "%s", stream_error(c->stream));
	lost(c, r, c->error);
	return false;
}

static bool
read_in(struct caller *c, struct mono now)
{
	static uint8_t scratch[READ_BYTES];
	ssize_t n = recv(c->fd, scratch, sizeof scratch, MSG_DONTWAIT);
	struct slice in;
	struct slice rest;
	int r;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n <= 0) {
		lost(c, 0, n == 0 ? "closed by the server" : strerror(errno));
		return false;
	}
	if (c->state == CALLER_LINGERING)
		return true;
	in = slice_of(scratch, (size_t)n);
	if (c->stream != NULL && !take_stream(c, in, now))
		return false;
	if (c->state != CALLER_TALKING)
		return true;
	if (c->stream == NULL && buf_len(&c->in) > 0)
		buf_put_slice(&c->in, in);
	rest = buf_len(&c->in) > 0 || c->stream != NULL ? buf_slice(&c->in) : in;
	r = client_input(&c->client, &rest, now);
	if (rest.p >= scratch && rest.p <= scratch + sizeof scratch)
		buf_put_slice(&c->in, rest);
	else
		buf_eat(&c->in, buf_len(&c->in) - rest.len);
	buf_shrink(&c->in);
	if (c->ops->on_turn != NULL)
		c->ops->on_turn(c);
	return goes_on(c, r, now);
}

static int
send_buf(struct caller *c, struct buf *b)
{
	while (buf_len(b) > 0) {
		struct slice out = buf_slice(b);
		ssize_t n = send(c->fd, out.p, out.len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? FB_EAGAIN : FB_EIO;
		buf_eat(b, (size_t)n);
	}
	return 0;
}

static int
flush_out(struct caller *c)
{
	int r;

	if (c->stream == NULL)
		return send_buf(c, &c->client.out);
	if (c->state == CALLER_TALKING && buf_len(&c->client.out) > 0) {
		r = stream_put(c->stream, buf_slice(&c->client.out), &c->wire);
		buf_clear(&c->client.out);
		if (r != 0)
			return r;
	}
	return send_buf(c, &c->wire);
}

/* DISCONNECT is out: closing now, with bytes unread, would make a reset of it that may overtake what was sent. */
static void
linger(struct caller *c, struct mono now)
{
	if (c->stream != NULL)
		stream_end(c->stream, &c->wire);
	(void)send_buf(c, &c->wire);
	(void)shutdown(c->fd, SHUT_WR);
	c->state = CALLER_LINGERING;
	c->deadline = mono_add(now, LINGER_NS);
}

void
caller_flush(struct caller *c, struct mono now)
{
	int r;

	if (c->state == CALLER_DOWN || (c->drop && !goes_on(c, 0, now)))
		return;
	if (c->state == CALLER_DIALING || c->state == CALLER_LINGERING)
		return;
	r = flush_out(c);
	if (r != 0 && r != FB_EAGAIN)
		lost(c, r, r == FB_EIO ? strerror(errno) : stream_error(c->stream));
	else if (r == 0 && c->state == CALLER_TALKING && c->client.state == CLIENT_ENDING)
		linger(c, now);
}

/* ---- for the owner's loop ---- */

void
caller_init(struct caller *c, const struct net *net, const struct caller_ops *ops, void *arg)
{
	memset(c, 0, sizeof *c);
	c->net = net;
	c->ops = ops;
	c->arg = arg;
	c->fd = -1;
	c->deadline = NEVER;
	c->client_ops = ops->client;
	c->client_ops.on_connack = on_connack;
	client_init(&c->client, &c->client_ops, c);
	buf_init(&c->in);
	buf_init(&c->wire);
}

void
caller_fini(struct caller *c)
{
	hang_up(c);
	forget_addresses(c);
	client_fini(&c->client);
}

short
caller_events(const struct caller *c)
{
	bool more = buf_len(&c->wire) > 0 || (c->state == CALLER_TALKING && buf_len(&c->client.out) > 0);

	switch (c->state) {
	case CALLER_DOWN:
		return 0;
	case CALLER_DIALING:
		return POLLOUT;
	case CALLER_OPENING:
	case CALLER_TALKING:
		return more ? POLLIN | POLLOUT : POLLIN;
	case CALLER_LINGERING:
		return POLLIN;
	}
	return 0;
}

struct mono
caller_deadline(const struct caller *c)
{
	struct mono at = client_deadline(&c->client);

	return at.ns < c->deadline.ns ? at : c->deadline;
}

static void
check_time(struct caller *c, struct mono now)
{
	if (c->state == CALLER_TALKING) {
		(void)goes_on(c, client_tick(&c->client, now), now);
		return;
	}
	if (mono_diff(c->deadline, now) > 0)
		return;
	if (c->state == CALLER_DIALING) {
		snprintf(c->error, sizeof c->error, "no answer");
		close(c->fd);
		c->fd = -1;
		dial_next(c, now);
	} else if (c->state != CALLER_DOWN) {
		down(c, CALLER_SILENT, "the server does not answer");
	}
}

void
caller_ready(struct caller *c, short revents, struct mono now)
{
	if (c->state == CALLER_DOWN || (c->drop && !goes_on(c, 0, now)))
		return;
	if (c->state == CALLER_DIALING && revents != 0) {
		dial_ready(c, now);
		return;
	}
	if ((revents & ~POLLOUT) != 0 && !read_in(c, now))
		return;
	check_time(c, now);
	caller_flush(c, now);
}

void
caller_end(struct caller *c, const struct mqtt_disconnect *p)
{
	c->ending = true;
	if (c->state == CALLER_TALKING && client_disconnect(&c->client, p) == 0)
		return;
	c->drop = c->state != CALLER_LINGERING;
}

void
caller_drop(struct caller *c)
{
	c->drop = true;
	client_stop(&c->client);
}
