/* SPDX-License-Identifier: Apache-2.0
 * supervisor/client/wire.c - poll() and not the loop of common/base: one socket, perhaps standard input (which may be a file,
 * that epoll refuses), and signals. */
#include "supervisor/client/wire.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "supervisor/client/dial.h"
#include "common/base/err.h"
#include "common/base/utf8.h"
#include "common/mqtt/props.h"
#include "common/mqtt/reason.h"

#define CONNECT_TIMEOUT_NS (30 * NS_PER_SEC)
#define AGAIN_NS NS_PER_SEC             /* between two attempts to connect */
#define LINGER_MS 1000
#define READ_BYTES 65536

static void
say(const struct wire *w, const char *fmt, va_list ap)
{
	fflush(stdout);
	fprintf(stderr, "fubar-client %s: ", cli_word(w->cli));
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
}

void
wire_error(const struct wire *w, const char *fmt, ...)
{
	va_list ap;

	if (w->cli->quiet)
		return;
	va_start(ap, fmt);
	say(w, fmt, ap);
	va_end(ap);
}

void
wire_debug(const struct wire *w, const char *fmt, ...)
{
	va_list ap;

	if (!w->cli->debug)
		return;
	va_start(ap, fmt);
	say(w, fmt, ap);
	va_end(ap);
}

void
wire_finish(struct wire *w, int status)
{
	if (w->finished)
		return;
	w->finished = true;
	w->status = status;
	/* What is to be sent may take its time, but not when time is up. */
	w->end.ns = status == WIRE_TIMEOUT ? clock_mono().ns + LINGER_MS * NS_PER_MS : INT64_MAX;
	if (w->client.state == CLIENT_UP) {
		struct mqtt_disconnect p = { .props = buf_slice(&w->cli->props[CLI_P_DISCONNECT]) };

		wire_debug(w, "sending DISCONNECT");
		(void)client_disconnect(&w->client, &p);
	}
}

static const char *
refusal(uint8_t level, uint8_t code)
{
	static const char *const old[] = { "accepted", "unacceptable protocol version", "client id refused",
		"server unavailable", "bad user name or password", "not authorized", "use another server" };

	if (level == MQTT_50)
		return reason_text(code);
	return code < sizeof old / sizeof old[0] ? old[code] : "unknown code";
}

/* "tcp://host:port" of the original, "host:port" of level 5; several may be given, the first counts. */
static bool
take_address(struct wire *w, struct slice server)
{
	char text[300];
	char *host = text;
	char *colon;
	long port = 1883;
	size_t len = server.len < sizeof text - 1 ? server.len : sizeof text - 1;

	if (len == 0)
		return false;
	memcpy(text, server.p, len);
	text[len] = 0;
	host[strcspn(host, " ")] = 0;
	if (strncmp(host, "tcp://", 6) == 0)
		host += 6;
	else if (strstr(host, "://") != NULL)
		return false;
	colon = strrchr(host, ':');
	if (colon != NULL && strchr(colon, ']') == NULL) {
		*colon = 0;
		port = strtol(colon + 1, NULL, 10);
	}
	if (host[0] == '[' && strchr(host, ']') != NULL) {
		host++;
		*strchr(host, ']') = 0;
	}
	if (*host == 0 || port < 1 || port > UINT16_MAX)
		return false;
	snprintf(w->host, sizeof w->host, "%.255s", host);
	w->port = (uint16_t)port;
	return true;
}

static struct slice
server_of(const struct client *c, const struct mqtt_connack *p)
{
	struct prop prop;

	if (c->level == MQTT_50 && prop_find(p->props, PROP_SERVER_REFERENCE, &prop))
		return prop.text;
	return p->server;
}

static void
on_connack(struct client *c, const struct mqtt_connack *p)
{
	struct wire *w = wire_of(c);

	wire_debug(w, "received CONNACK (code %u, session %s)", p->code, p->session_present ? "present" : "not present");
	if (p->code == 0) {
		w->was_up = true;
		w->ops->on_up(w, p->session_present);
		return;
	}
	if (w->redirects > 0 && take_address(w, server_of(c, p))) {
		wire_debug(w, "going to %s port %u", w->host, w->port);
		w->redirects--;
		w->redirect = true;
		return;
	}
	wire_error(w, "connection refused: %s (code %u)", refusal(c->level, p->code), p->code);
	wire_finish(w, p->code);
}

static void
put_connect(struct wire *w)
{
	const struct cli *cli = w->cli;
	struct mqtt_connect p = { .level = cli->level, .clean = !cli->durable, .keep_alive_s = cli->keep_alive_s };

	p.client_id = slice_str(cli->id);
	p.props = buf_slice(&cli->props[CLI_P_CONNECT]);
	if (cli->user != NULL) {
		p.has_user = true;
		p.user = slice_str(cli->user);
	}
	if (cli->password != NULL) {
		p.has_password = true;
		p.password = slice_str(cli->password);
	}
	if (cli->will_topic != NULL) {
		p.has_will = true;
		p.will.topic = slice_str(cli->will_topic);
		p.will.payload = slice_str(cli->will_payload != NULL ? cli->will_payload : "");
		p.will.qos = cli->will_qos;
		p.will.retain = cli->will_retain;
		p.will.props = buf_slice(&cli->props[CLI_P_WILL]);
	}
	/* Level 4 has no room for it: a server may refuse the bit. */
	if (w->redirects > 0 && cli->level == MQTT_31) {
		p.has_max_recursion = true;
		p.max_recursion = w->redirects;
	}
	wire_debug(w, "sending CONNECT (client id %s, level %u, %s)", cli->id, cli->level,
	    p.clean ? "clean session" : "session kept");
	client_connect(&w->client, &p, CONNECT_TIMEOUT_NS, clock_mono());
}

static int
flush_out(struct wire *w)
{
	while (buf_len(&w->client.out) > 0) {
		struct slice out = buf_slice(&w->client.out);
		ssize_t n = send(w->fd, out.p, out.len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : FB_EIO;
		buf_eat(&w->client.out, (size_t)n);
	}
	return 0;
}

static int
read_in(struct wire *w)
{
	struct slice in;
	ssize_t n;
	int r;
	size_t len;

	n = recv(w->fd, buf_room(&w->in, READ_BYTES), READ_BYTES, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0)
		return FB_ECLOSED;
	buf_added(&w->in, (size_t)n);
	in = buf_slice(&w->in);
	len = in.len;
	r = client_input(&w->client, &in, clock_mono());
	buf_eat(&w->in, len - in.len);
	if (w->ops->on_turn != NULL)
		w->ops->on_turn(w);
	return r;
}

static struct mono
earlier(struct mono a, struct mono b)
{
	return a.ns < b.ns ? a : b;
}

static int
wait_ms(const struct wire *w)
{
	struct mono at = earlier(earlier(client_deadline(&w->client), w->timer), w->end);
	int64_t ns;

	if (at.ns == INT64_MAX)
		return -1;
	ns = mono_diff(at, clock_mono());
	return ns < 0 ? 0 : ns > 3600 * NS_PER_SEC ? 3600000 : (int)((ns + NS_PER_MS - 1) / NS_PER_MS);
}

static int
run_timers(struct wire *w)
{
	struct mono now = clock_mono();

	if (mono_diff(w->end, now) <= 0) {
		if (w->finished)
			return FB_ETIMEOUT;
		wire_finish(w, WIRE_TIMEOUT);
	}
	if (mono_diff(w->timer, now) <= 0) {
		w->timer.ns = INT64_MAX;
		if (w->client.state == CLIENT_UP)
			w->ops->on_timer(w);
	}
	return w->finished ? 0 : client_tick(&w->client, now);
}

static void
take_signal(struct wire *w)
{
	struct signalfd_siginfo info;

	if (read(w->signals, &info, sizeof info) != (ssize_t)sizeof info)
		return;
	if (w->finished)
		w->end = clock_mono();
	w->interrupted = true;
	wire_debug(w, "signal %u", info.ssi_signo);
	wire_finish(w, w->cli->who == CLI_SUB ? WIRE_OK : WIRE_FAILED);
}

/* One connection, until it ends or all is said. */
static int
converse(struct wire *w)
{
	int r = 0;

	while (r == 0 && !w->redirect) {
		struct pollfd p[3] = { { .fd = w->fd, .events = POLLIN }, { .fd = w->signals, .events = POLLIN },
			{ .fd = w->watch_fd, .events = POLLIN } };

		r = flush_out(w);
		if (r != 0 || (w->finished && buf_len(&w->client.out) == 0))
			break;
		if (buf_len(&w->client.out) > 0)
			p[0].events |= POLLOUT;
		if (w->client.state != CLIENT_UP)
			p[2].fd = -1;
		if (poll(p, 3, wait_ms(w)) < 0)
			continue;
		if (p[1].revents != 0)
			take_signal(w);
		if ((p[0].revents & ~POLLOUT) != 0)
			r = read_in(w);
		if (r == 0 && p[2].revents != 0)
			w->ops->on_watch(w);
		if (r == 0)
			r = run_timers(w);
	}
	return r;
}

/* DISCONNECT is on its way: closing now, with bytes unread, would make a reset of it that may overtake what was sent. */
static void
linger(struct wire *w)
{
	struct pollfd p = { .fd = w->fd, .events = POLLIN };
	struct mono end = mono_add(clock_mono(), LINGER_MS * NS_PER_MS);

	(void)shutdown(w->fd, SHUT_WR);
	for (;;) {
		int64_t ns = mono_diff(end, clock_mono());

		if (ns <= 0 || poll(&p, 1, (int)(ns / NS_PER_MS) + 1) <= 0)
			return;
		buf_clear(&w->in);
		if (recv(w->fd, buf_room(&w->in, READ_BYTES), READ_BYTES, MSG_DONTWAIT) <= 0)
			return;
	}
}

/* Waits before the next attempt; false: a signal or the end came. */
static bool
pause_before(struct wire *w)
{
	struct mono at = earlier(mono_add(clock_mono(), AGAIN_NS), w->end);
	int64_t ns;

	while ((ns = mono_diff(at, clock_mono())) > 0) {
		struct pollfd p = { .fd = w->signals, .events = POLLIN };

		if (poll(&p, 1, (int)(ns / NS_PER_MS) + 1) > 0)
			take_signal(w);
		if (w->finished)
			return false;
	}
	if (mono_diff(w->end, clock_mono()) > 0)
		return true;
	wire_finish(w, WIRE_TIMEOUT);
	return false;
}

static void
say_end(struct wire *w, int r)
{
	const struct violation *v = &w->client.violation;

	switch (r) {
	case FB_EPROTO:
		wire_error(w, "the server broke the protocol: %s",
		    v->statement != NULL ? v->statement : reason_text((uint8_t)v->reason));
		break;
	case FB_ETIMEOUT:
		wire_error(w, "the server does not answer");
		break;
	default:
		wire_error(w, w->was_up ? "connection lost%s" : "the server closed the connection%s",
		    w->keep_trying && w->was_up ? ", connecting again" : "");
		break;
	}
}

/* Dials and converses once. False: no further attempt makes sense. */
static bool
attempt(struct wire *w)
{
	char error[128];
	int r;

	w->redirect = false;
	w->fd = dial_tcp(w->host, w->port, w->cli->bind, w->signals, error, sizeof error);
	if (w->fd == FB_ECLOSED) {
		take_signal(w);
		return false;
	}
	if (w->fd < 0) {
		if (!w->was_up)
			wire_error(w, "%s port %u: %s", w->host, w->port, error);
		w->status = WIRE_NO_SERVER;
		return w->keep_trying && w->was_up;
	}
	put_connect(w);
	r = converse(w);
	if (w->finished && r == 0)
		linger(w);
	else if (!w->finished && !w->redirect)
		say_end(w, r);
	close(w->fd);
	client_closed(&w->client);
	buf_clear(&w->in);
	if (w->finished)
		return false;
	w->status = WIRE_FAILED;
	return w->redirect || (w->keep_trying && w->was_up);
}

int
wire_run(struct wire *w, const struct wire_ops *ops)
{
	sigset_t set;

	w->ops = ops;
	w->client_ops = ops->client;
	w->client_ops.on_connack = on_connack;
	client_init(&w->client, &w->client_ops, w);
	buf_init(&w->in);
	snprintf(w->host, sizeof w->host, "%s", w->cli->host);
	w->port = w->cli->port;
	w->redirects = w->cli->redirects;
	if (w->cli->timeout_s >= 0)
		w->end = mono_add(clock_mono(), (int64_t)(w->cli->timeout_s * (double)NS_PER_SEC));
	else
		w->end.ns = INT64_MAX;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	w->signals = signalfd(-1, &set, SFD_CLOEXEC);
	while (attempt(w) && (w->redirect || pause_before(w)))
		;
	close(w->signals);
	buf_fini(&w->in);
	client_fini(&w->client);
	return w->status;
}
