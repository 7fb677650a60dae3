/* SPDX-License-Identifier: Apache-2.0
 * supervisor/client/swarm.c - the generator must be far cheaper than the broker it measures: one read of all that a socket has,
 * one write of all that a turn made for it, and no other system call while messages flow. Level-triggered, since a
 * read that leaves nothing costs no second look; EPOLLOUT only while a socket is full. */
#include "supervisor/client/swarm.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/mem.h"
#include "common/mqtt/decode.h"
#include "common/mqtt/encode.h"
#include "common/mqtt/props.h"
#include "common/mqtt/reason.h"

#define EVENTS 1024
#define DIALS_A_TURN 64
#define OPEN_TIMEOUT_NS (60 * NS_PER_SEC)

void
swarm_init(struct swarm *s)
{
	memset(s, 0, sizeof *s);
	s->opening_max = 64;
	s->receive_max = UINT16_MAX;
	s->scratch_size = 256 * 1024;
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	FB_ASSERT(s->epoll >= 0);
}

void
swarm_fini(struct swarm *s)
{
	for (uint32_t i = 0; i < s->peer_count; i++) {
		struct peer *p = s->peers[i];

		peer_close(p);
		mem_free(p);
	}
	mem_free(s->peers);
	mem_free(s->touched);
	mem_free(s->scratch);
	buf_fini(&s->plain);
	close(s->epoll);
}

void
swarm_fail(struct swarm *s, const char *fmt, ...)
{
	va_list ap;

	if (swarm_failed(s))
		return;
	va_start(ap, fmt);
	vsnprintf(s->error, sizeof s->error, fmt, ap);
	va_end(ap);
}

bool
swarm_resolve(struct swarm *s)
{
	const char *host = s->net->at.host;
	uint16_t port = target_port(&s->net->at);
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *list = NULL;
	char service[8];
	int err;

	snprintf(service, sizeof service, "%u", port);
	err = getaddrinfo(host, service, &hints, &list);
	if (err != 0) {
		swarm_fail(s, "%s: %s", host, gai_strerror(err));
		return false;
	}
	/* The first that takes a connection: "localhost" is often two addresses, and a broker listens on one. */
	for (struct addrinfo *a = list; a != NULL; a = a->ai_next) {
		int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		bool ok = fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) == 0;

		err = errno;
		if (fd >= 0)
			close(fd);
		if (!ok)
			continue;
		memcpy(&s->addr, a->ai_addr, a->ai_addrlen);
		s->addr_len = a->ai_addrlen;
		break;
	}
	freeaddrinfo(list);
	if (s->addr_len == 0)
		swarm_fail(s, "%s port %u: %s", host, port, strerror(err));
	return s->addr_len != 0;
}

uint32_t
swarm_more(struct swarm *s, uint32_t n)
{
	uint32_t first = s->peer_count;

	if (s->room < first + n) {
		s->room = first + n;
		s->peers = mem_realloc(s->peers, s->room * sizeof *s->peers);
		s->touched = mem_realloc(s->touched, s->room * sizeof *s->touched);
	}
	for (uint32_t i = first; i < first + n; i++) {
		struct peer *p = mem_zalloc(sizeof *p);

		p->swarm = s;
		buf_init(&p->wire);
		p->fd = -1;
		p->number = i;
		s->peers[i] = p;
	}
	s->peer_count += n;
	return first;
}

void
swarm_open(struct swarm *s, uint32_t target)
{
	s->target = target;
	s->open_base = s->opened;
	s->open_start = clock_mono();
}

void
peer_touch(struct peer *p)
{
	if (p->touched || p->blocked)
		return;
	p->touched = true;
	p->swarm->touched[p->swarm->touched_count++] = p;
}

static void
peer_gone(struct peer *p)
{
	struct swarm *s = p->swarm;

	if (p->state == PEER_UP)
		s->up--;
	if (p->state != PEER_UP && p->fd >= 0)
		s->opening--;
	if (p->fd >= 0)
		close(p->fd);
	s->subacks -= p->subacks;
	p->subacks = 0;
	p->fd = -1;
	p->state = PEER_CLOSED;
	stream_free(p->stream);
	p->stream = NULL;
	buf_fini(&p->out);
	buf_fini(&p->rest);
	buf_fini(&p->wire);
}

void
peer_close(struct peer *p)
{
	static const uint8_t bye[] = { MQTT_DISCONNECT << 4, 0 };

	if (p->state == PEER_UP && p->stream == NULL) {
		(void)!send(p->fd, bye, sizeof bye, MSG_NOSIGNAL | MSG_DONTWAIT);
	} else if (p->state == PEER_UP) {
		(void)stream_put(p->stream, slice_of(bye, sizeof bye), &p->wire);
		stream_end(p->stream, &p->wire);
		(void)!send(p->fd, buf_slice(&p->wire).p, buf_len(&p->wire), MSG_NOSIGNAL | MSG_DONTWAIT);
	}
	peer_gone(p);
}

static void
peer_lost(struct peer *p, const char *why)
{
	if (p->state == PEER_UP)
		p->swarm->closed++;
	swarm_fail(p->swarm, "connection %s%u: %s", p->swarm->prefix, p->number, why);
	peer_gone(p);
}

static void
peer_watch(struct peer *p, uint32_t events, int op)
{
	struct epoll_event ev = { .events = events, .data.ptr = p };

	if (epoll_ctl(p->swarm->epoll, op, p->fd, &ev) != 0)
		swarm_fail(p->swarm, "epoll: %s", strerror(errno));
}

void
peer_flush(struct peer *p)
{
	struct buf *b = p->stream != NULL ? &p->wire : &p->out;
	struct slice out;
	ssize_t n;

	if (p->blocked || p->fd < 0 || p->state == PEER_DIALING)
		return;
	if (p->stream != NULL && p->state != PEER_OPENING && buf_len(&p->out) > 0) {
		if (stream_put(p->stream, buf_slice(&p->out), &p->wire) != 0) {
			peer_lost(p, stream_error(p->stream));
			return;
		}
		buf_clear(&p->out);
	}
	out = buf_slice(b);
	if (out.len == 0)
		return;
	n = send(p->fd, out.p, out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		peer_lost(p, strerror(errno));
		return;
	}
	if (n > 0)
		buf_eat(b, (size_t)n);
	if (buf_len(b) > 0) {
		p->blocked = true;
		peer_watch(p, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
	} else if (b->cap > 4096 || p->state != PEER_UP) {
		buf_shrink(b);
		buf_shrink(&p->out);
	}
}

static void
put_connect(struct peer *p)
{
	struct swarm *s = p->swarm;
	char id[80];
	struct mqtt_connect c = { .level = s->level, .clean = true };

	snprintf(id, sizeof id, "%.60s%u", s->prefix, p->number);
	c.client_id = slice_str(id);
	if (s->user != NULL) {
		c.has_user = true;
		c.user = slice_str(s->user);
	}
	if (s->password != NULL) {
		c.has_password = true;
		c.password = slice_str(s->password);
	}
	encode_connect(&p->out, &c);
}

static void
dialed(struct peer *p)
{
	int err = 0;
	socklen_t len = sizeof err;
	int one = 1;

	if (getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &err, &len) != 0 || err != 0) {
		peer_lost(p, strerror(err != 0 ? err : errno));
		return;
	}
	(void)setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	peer_watch(p, EPOLLIN, EPOLL_CTL_MOD);
	p->stream = stream_new(&p->swarm->net->at, p->swarm->net->tls, p->swarm->level, p->swarm->net->split);
	p->state = p->stream == NULL ? PEER_CONNECTING : PEER_OPENING;
	if (p->stream == NULL)
		put_connect(p);
	else if (stream_start(p->stream, &p->wire) != 0)
		peer_lost(p, stream_error(p->stream));
	peer_flush(p);
}

static void
dial(struct peer *p)
{
	struct swarm *s = p->swarm;
	int r;

	p->opened = clock_mono();
	p->fd = socket(s->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (p->fd < 0) {
		swarm_fail(s, "socket: %s (after %u connections)", strerror(errno), s->opened);
		return;
	}
	p->state = PEER_DIALING;
	s->opening++;
	s->opened++;
	r = connect(p->fd, (struct sockaddr *)&s->addr, s->addr_len);
	if (r != 0 && errno != EINPROGRESS) {
		peer_lost(p, strerror(errno));
		return;
	}
	peer_watch(p, EPOLLOUT, EPOLL_CTL_ADD);
	if (r == 0)
		dialed(p);
}

/* Dials what may be dialed now, but few a turn: a server gives up on a connection whose CONNECT does not follow. The
 * longest that the turn may wait for the sake of those that remain. */
static int64_t
dial_more(struct swarm *s, int64_t wait_ns)
{
	uint32_t few = DIALS_A_TURN;
	int64_t pause;
	uint32_t due = s->target;

	if (s->opened >= s->target)
		return wait_ns;
	if (s->open_rate > 0) {
		double t = (double)mono_diff(clock_mono(), s->open_start) / (double)NS_PER_SEC;
		double n = t * s->open_rate + 1 + s->open_base;

		if (n < (double)due)
			due = (uint32_t)n;
	}
	while (few-- > 0 && s->opened < due && s->opening < s->opening_max && !swarm_failed(s))
		dial(s->peers[s->opened]);
	if (s->opened >= s->target || s->opening >= s->opening_max)
		return wait_ns;
	pause = s->opened < due ? 0 : NS_PER_MS;        /* some may be dialed now, or when the pace lets them */
	return wait_ns < pause ? wait_ns : pause;
}

static bool
take_connack(struct peer *p, const struct frame *f)
{
	struct swarm *s = p->swarm;
	struct mqtt_connack ack;
	struct violation v = { 0 };
	struct prop prop;

	if (decode_connack(f, s->level, &ack, &v) != 0) {
		peer_lost(p, v.statement != NULL ? v.statement : "a bad CONNACK");
		return false;
	}
	if (ack.code != 0) {
		char text[64];

		snprintf(text, sizeof text, "refused with code %u%s%s", ack.code, s->level == MQTT_50 ? ": " : "",
		    s->level == MQTT_50 ? reason_text(ack.code) : "");
		peer_lost(p, text);
		return false;
	}
	if (s->level == MQTT_50 && prop_find(ack.props, PROP_RECEIVE_MAXIMUM, &prop) && prop.number < s->receive_max)
		s->receive_max = (uint16_t)prop.number;
	p->state = PEER_UP;
	s->opening--;
	s->up++;
	hist_add(&s->connect_ns, mono_diff(clock_mono(), p->opened), 1);
	return true;
}

static bool
take_suback(struct peer *p, const struct frame *f)
{
	struct mqtt_suback ack;
	struct violation v = { 0 };

	if (decode_suback(f, p->swarm->level, &ack, &v) != 0 || p->subacks == 0) {
		peer_lost(p, v.statement != NULL ? v.statement : "a SUBACK for nothing");
		return false;
	}
	for (size_t i = 0; i < ack.codes.len; i++)
		p->swarm->refused += ack.codes.p[i] >= 0x80;
	p->subacks--;
	p->swarm->subacks--;
	return true;
}

/* CONNACK, and SUBACKs while some are to come; anything else is the user's. */
static size_t
handshake(struct peer *p, const uint8_t *bytes, size_t len)
{
	size_t taken = 0;

	while (taken < len && (p->state == PEER_CONNECTING || p->subacks > 0)) {
		struct slice body;
		size_t size = peer_packet(bytes + taken, len - taken, &body);
		uint8_t first = bytes[taken];
		struct frame f = { .type = first >> 4, .flags = first & 15, .size = (uint32_t)size };

		if (size == 0)
			return taken;
		f.body = body;
		if (size == PEER_BAD) {
			peer_lost(p, "not MQTT");
			return PEER_BAD;
		}
		if (p->state == PEER_CONNECTING && f.type != MQTT_CONNACK) {
			peer_lost(p, "the first packet is no CONNACK");
			return PEER_BAD;
		}
		if (p->state == PEER_CONNECTING) {
			if (!take_connack(p, &f))
				return PEER_BAD;
		} else if (f.type == MQTT_SUBACK) {
			if (!take_suback(p, &f))
				return PEER_BAD;
		} else {
			break;
		}
		taken += size;
	}
	return taken;
}

static bool
take_bytes(struct peer *p, const uint8_t *bytes, size_t len)
{
	size_t taken = 0;
	size_t more = 0;

	if (p->state == PEER_CONNECTING || p->subacks > 0)
		taken = handshake(p, bytes, len);
	if (taken == PEER_BAD)
		return false;
	if (p->on_bytes == NULL && p->state == PEER_UP)
		return true;
	if (taken < len && p->state == PEER_UP) {
		more = p->on_bytes(p, bytes + taken, len - taken);
		if (more == PEER_BAD) {
			peer_lost(p, "not what the protocol says");
			return false;
		}
		taken += more;
	}
	buf_put(&p->rest, bytes + taken, len - taken);
	return true;
}

/* Bytes from the socket through the peer's stream. False: the peer is gone. */
static bool
take_stream(struct peer *p, const uint8_t *bytes, size_t len)
{
	struct buf *plain = &p->swarm->plain;
	bool ok;
	int r;

	buf_clear(plain);
	buf_put_slice(plain, buf_slice(&p->rest));
	buf_clear(&p->rest);
	r = stream_take(p->stream, slice_of(bytes, len), plain, &p->wire);
	if (r == 0 && p->state == PEER_OPENING && stream_ready(p->stream)) {
		p->state = PEER_CONNECTING;
		put_connect(p);
		peer_touch(p);
	}
	ok = buf_len(plain) == 0 || take_bytes(p, buf_slice(plain).p, buf_len(plain));
	if (ok && r != 0) {
		peer_lost(p, stream_error(p->stream));
		return false;
	}
	if (ok && buf_len(&p->wire) > 0)
		peer_touch(p);
	return ok;
}

static void
readable(struct peer *p)
{
	struct swarm *s = p->swarm;
	ssize_t n;

	do {
		size_t have = p->stream == NULL ? buf_len(&p->rest) : 0;
		size_t room;

		FB_ASSERT(have < s->scratch_size);
		if (have > 0)
			memcpy(s->scratch, buf_slice(&p->rest).p, have);
		room = s->scratch_size - have;
		n = recv(p->fd, s->scratch + have, room, MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			peer_lost(p, n == 0 ? "closed by the server" : strerror(errno));
			return;
		}
		if (p->stream == NULL)
			buf_clear(&p->rest);
		if (p->stream == NULL ? !take_bytes(p, s->scratch, have + (size_t)n) : !take_stream(p, s->scratch, (size_t)n))
			return;
		if (buf_len(&p->rest) == 0)
			buf_shrink(&p->rest);
		if ((size_t)n < room)
			return;
	} while (p->fd >= 0);
}

static void
writable(struct peer *p)
{
	if (p->state == PEER_DIALING) {
		dialed(p);
		return;
	}
	p->blocked = false;
	peer_flush(p);
	if (!p->blocked && p->fd >= 0)
		peer_watch(p, EPOLLIN, EPOLL_CTL_MOD);
}

static void
flush_all(struct swarm *s)
{
	for (uint32_t i = 0; i < s->touched_count; i++) {
		s->touched[i]->touched = false;
		peer_flush(s->touched[i]);
	}
	s->touched_count = 0;
}

/* The oldest that is still opening stands for all: they were dialed in order. */
static void
check_opening(struct swarm *s)
{
	for (uint32_t i = s->opened > s->opening_max ? s->opened - s->opening_max : 0; i < s->opened; i++) {
		struct peer *p = s->peers[i];

		if (p->state == PEER_UP || p->state == PEER_CLOSED)
			continue;
		if (mono_diff(s->now, p->opened) > OPEN_TIMEOUT_NS)
			peer_lost(p, "no answer within 60 s");
		return;
	}
}

void
swarm_turn(struct swarm *s, int64_t wait_ns)
{
	struct epoll_event events[EVENTS];
	struct timespec wait;
	int n;

	if (s->scratch == NULL)
		s->scratch = mem_alloc(s->scratch_size);
	wait_ns = dial_more(s, wait_ns);
	if (s->spin || wait_ns < 0)
		wait_ns = 0;
	wait = (struct timespec){ wait_ns / NS_PER_SEC, wait_ns % NS_PER_SEC };
	n = epoll_pwait2(s->epoll, events, EVENTS, &wait, NULL);
	s->now = clock_mono();
	for (int i = 0; i < n; i++) {
		struct peer *p = events[i].data.ptr;

		if ((events[i].events & EPOLLOUT) != 0 && p->fd >= 0)
			writable(p);
		if ((events[i].events & (uint32_t)~EPOLLOUT) != 0 && p->fd >= 0 && p->state != PEER_DIALING)
			readable(p);
	}
	if (s->opening > 0 && n == 0)
		check_opening(s);
	if (s->on_turn != NULL)
		s->on_turn(s->arg);
	flush_all(s);
}

void
peer_subscribe(struct peer *p, const struct slice *filters, uint32_t count, uint8_t qos)
{
	struct mqtt_filter list[64];
	struct mqtt_subscribe sub = { .packet_id = (uint16_t)(p->subacks % 60000 + 1), .filters = list };

	for (uint32_t i = 0; i < count; i += sub.count) {
		sub.count = count - i < 64 ? count - i : 64;
		for (uint32_t k = 0; k < sub.count; k++)
			list[k] = (struct mqtt_filter){ .filter = filters[i + k], .qos = qos };
		encode_subscribe(&p->out, p->swarm->level, &sub);
		sub.packet_id++;
		p->subacks++;
		p->swarm->subacks++;
	}
	peer_touch(p);
}
