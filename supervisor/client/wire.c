/* SPDX-License-Identifier: Apache-2.0
 * supervisor/client/wire.c - poll() and not the loop of common/base: one caller, perhaps standard input (which may be a file,
 * that epoll refuses), and signals. */
#include "supervisor/client/wire.h"

#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "common/base/err.h"

#define AGAIN_NS NS_PER_SEC             /* between two attempts to connect */
#define LINGER_MS 1000

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
	struct mqtt_disconnect p = { .props = buf_slice(&w->cli->props[CLI_P_DISCONNECT]) };

	if (w->finished)
		return;
	w->finished = true;
	w->status = status;
	/* What is to be sent may take its time, but not when time is up. */
	w->end.ns = status == WIRE_TIMEOUT ? clock_mono().ns + LINGER_MS * NS_PER_MS : INT64_MAX;
	if (w->caller.client.state == CLIENT_UP)
		wire_debug(w, "sending DISCONNECT");
	caller_end(&w->caller, &p);
}

static void
on_up(struct caller *c, bool session_present)
{
	struct wire *w = c->arg;
	char cipher[64];

	if (c->stream != NULL && *stream_cipher(c->stream, cipher, sizeof cipher) != 0)
		wire_debug(w, "encrypted by %s", cipher);
	wire_debug(w, "received CONNACK (code 0, session %s)", session_present ? "present" : "not present");
	if (c->client.keep_alive_s != w->cli->keep_alive_s)
		wire_debug(w, "the server wants a keep-alive of %u s", c->client.keep_alive_s);
	w->was_up = true;
	w->ops->on_up(w, session_present);
}

static void
on_redirect(struct caller *c)
{
	char text[600];

	wire_debug(c->arg, "received CONNACK (code %u), going to %s", c->code, target_show(&c->at, text, sizeof text));
}

static void
on_down(struct caller *c, enum caller_end why, const char *text)
{
	struct wire *w = c->arg;
	const char *again = w->keep_trying && w->was_up ? ", connecting again" : "";

	w->down = true;
	if (w->finished)
		return;
	w->status = WIRE_FAILED;
	switch (why) {
	case CALLER_ENDED:
		break;
	case CALLER_NO_SERVER:
		if (!w->was_up)
			wire_error(w, "%s port %u: %s", c->at.host, target_port(&c->at), text);
		w->status = WIRE_NO_SERVER;
		break;
	case CALLER_REFUSED:
		wire_debug(w, "received CONNACK (code %u)", c->code);
		wire_error(w, "connection refused: %s", text);
		w->finished = true;
		w->status = c->code;
		break;
	case CALLER_LOST:
		wire_error(w, w->was_up ? "connection lost (%s)%s" : "no answer to CONNECT (%s)%s", text, again);
		break;
	case CALLER_SILENT:
		wire_error(w, "%s", text);
		break;
	case CALLER_BROKEN:
		wire_error(w, "the server broke the protocol: %s", text);
		break;
	}
}

static void
on_turn(struct caller *c)
{
	struct wire *w = c->arg;

	if (w->ops->on_turn != NULL)
		w->ops->on_turn(w);
}

static void
set_connect(struct wire *w)
{
	const struct cli *cli = w->cli;
	struct mqtt_connect *p = &w->caller.connect;

	cli_connect(cli, p);
	wire_debug(w, "sending CONNECT (client id %s, level %u, %s)", cli->id, cli->level,
	    p->clean ? "clean session" : "session kept");
}

static struct mono
earlier(struct mono a, struct mono b)
{
	return a.ns < b.ns ? a : b;
}

static int
wait_ms(const struct wire *w)
{
	struct mono at = earlier(earlier(caller_deadline(&w->caller), w->timer), w->end);
	int64_t ns;

	if (at.ns == INT64_MAX)
		return -1;
	ns = mono_diff(at, clock_mono());
	return ns < 0 ? 0 : ns > 3600 * NS_PER_SEC ? 3600000 : (int)((ns + NS_PER_MS - 1) / NS_PER_MS);
}

static void
run_timers(struct wire *w)
{
	struct mono now = clock_mono();

	if (mono_diff(w->end, now) <= 0) {
		if (w->finished)
			caller_drop(&w->caller);
		wire_finish(w, WIRE_TIMEOUT);
	}
	if (mono_diff(w->timer, now) <= 0) {
		w->timer.ns = INT64_MAX;
		if (w->caller.client.state == CLIENT_UP)
			w->ops->on_timer(w);
	}
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
static void
converse(struct wire *w)
{
	struct caller *c = &w->caller;

	while (!w->down) {
		struct pollfd p[3] = { { .fd = c->fd }, { .fd = w->signals, .events = POLLIN },
			{ .fd = c->client.state == CLIENT_UP ? w->watch_fd : -1, .events = POLLIN } };

		caller_flush(c, clock_mono());
		if (w->down)
			break;
		p[0].fd = c->fd;
		p[0].events = caller_events(c);
		if (poll(p, 3, wait_ms(w)) < 0)
			continue;
		if (p[1].revents != 0)
			take_signal(w);
		caller_ready(c, p[0].revents, clock_mono());
		if (p[2].revents != 0 && c->client.state == CLIENT_UP)
			w->ops->on_watch(w);
		if (!w->down)
			run_timers(w);
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
watch_signals(struct wire *w)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	w->signals = signalfd(-1, &set, SFD_CLOEXEC);
}

int
wire_run(struct wire *w, const struct wire_ops *ops)
{
	char error[256];

	w->ops = ops;
	w->caller_ops = (struct caller_ops){ .on_up = on_up, .on_down = on_down, .on_redirect = on_redirect, .on_turn = on_turn,
		.client = ops->client };
	w->net = w->cli->net;
	if (net_open(&w->net, w->cli->redirects > 0, error, sizeof error) != 0) {
		wire_error(w, "%s", error);
		return WIRE_USAGE;
	}
	caller_init(&w->caller, &w->net, &w->caller_ops, w);
	if (w->cli->timeout_s >= 0)
		w->end = mono_add(clock_mono(), (int64_t)(w->cli->timeout_s * (double)NS_PER_SEC));
	else
		w->end.ns = INT64_MAX;
	watch_signals(w);
	do {
		w->down = false;
		set_connect(w);
		caller_dial(&w->caller, w->cli->redirects, clock_mono());
		converse(w);
	} while (!w->finished && w->keep_trying && w->was_up && pause_before(w));
	close(w->signals);
	caller_fini(&w->caller);
	net_close(&w->net);
	return w->status;
}
