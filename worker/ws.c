/* SPDX-License-Identifier: Apache-2.0
 * worker/ws.c - the only user of libwslay in the broker. */
#include "worker/ws.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <wslay/wslay.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/mem.h"
#include "worker/http.h"

#define INPUT      (64 * 1024)          /* looked at in one read: frames without payload must not hold up the others */
#define REQUEST_STEP 1024
#define FRAME_MAX  (64 * 1024)          /* payload of a frame that we send */
#define CONTROL_MAX 125
#define PONG_HEAD  2
#define PONGS_MAX  (16 * 1024)          /* unread answers to pings; beyond, the client is not served */

enum ws_state { WS_REQUEST, WS_OPEN, WS_CLOSED };

/* A frame parser and what it may read. */
struct reader {
	wslay_frame_context_ptr ctx;
	struct slice feed;
};

struct ws_pool {
	struct reader *spare;           /* for connections that stand between two frames; NULL: make one */
	wslay_frame_context_ptr sender;
	struct buf *out;                /* where the sender writes */
	uint8_t input[INPUT];
};

struct ws {
	struct stream stream;
	struct ws_pool *pool;
	struct stream *below;           /* owned; NULL: the socket */
	const struct config *config;
	struct reader *own;             /* in the middle of a frame; NULL: between two */
	struct buf in;                  /* the request; then what came behind it */
	struct buf out;                 /* frames that the stream below did not take yet */
	struct buf control;             /* payload of the control frame in hand */
	uint64_t left;                  /* bytes of the frame in hand still to come */
	uint32_t pongs;                 /* bytes of answers to pings in out */
	uint64_t unread;                /* bytes given to the parser and not yet accounted for */
	const char *why;                /* set with WS_CLOSED */
	int fd;
	uint16_t listener;
	uint8_t state;                  /* enum ws_state */
	uint8_t opcode;                 /* of the frame in hand */
	bool fin;
	bool in_frame;
	bool in_message;                /* a data message has begun and its last frame has not */
	bool close_sent;
	bool refused;                   /* we ended it, the peer broke a rule: FB_EIO and not FB_ECLOSED */
	bool told;                      /* read() has said so */
	char text[64];
};

static ssize_t
on_feed(uint8_t *p, size_t len, int flags, void *arg)
{
	struct reader *r = arg;
	size_t n = r->feed.len < len ? r->feed.len : len;

	(void)flags;
	if (n == 0)
		return -1;              /* the library says WANT_READ */
	memcpy(p, r->feed.p, n);
	r->feed = slice_of(r->feed.p + n, r->feed.len - n);
	return (ssize_t)n;
}

static ssize_t
on_send(const uint8_t *p, size_t len, int flags, void *arg)
{
	struct ws_pool *pool = arg;

	(void)flags;
	buf_put(pool->out, p, len);
	return (ssize_t)len;
}

static struct reader *
reader_new(void)
{
	static const struct wslay_frame_callbacks calls = { .recv_callback = on_feed };
	struct reader *r = mem_zalloc(sizeof *r);
	int err = wslay_frame_context_init(&r->ctx, &calls, r);

	FB_ASSERT(err == 0);
	return r;
}

static void
reader_free(struct reader *r)
{
	if (r == NULL)
		return;
	wslay_frame_context_free(r->ctx);
	mem_free(r);
}

struct ws_pool *
ws_pool_new(void)
{
	static const struct wslay_frame_callbacks calls = { .send_callback = on_send };
	struct ws_pool *pool = mem_zalloc(sizeof *pool);
	int err = wslay_frame_context_init(&pool->sender, &calls, pool);

	FB_ASSERT(err == 0);
	return pool;
}

void
ws_pool_free(struct ws_pool *pool)
{
	if (pool == NULL)
		return;
	reader_free(pool->spare);
	wslay_frame_context_free(pool->sender);
	mem_free(pool);
}

/* A frame of ours, whole, behind what is in out. */
static void
put_frame(struct ws *s, uint8_t opcode, const void *p, size_t len)
{
	struct wslay_frame_iocb f = { .fin = 1, .opcode = opcode, .payload_length = len, .data = p, .data_length = len };
	ssize_t n;

	s->pool->out = &s->out;
	n = wslay_frame_send(s->pool->sender, &f);
	FB_ASSERT(n == (ssize_t)len);
}

static void
put_close(struct ws *s, unsigned code)
{
	uint8_t p[2] = { (uint8_t)(code >> 8), (uint8_t)code };

	if (s->close_sent)
		return;
	s->close_sent = true;
	put_frame(s, WSLAY_CONNECTION_CLOSE, p, code == 0 ? 0 : sizeof p);
}

/* The peer broke a rule: it is told which kind, and the connection ends. */
static void
fail(struct ws *s, unsigned code, const char *why)
{
	if (s->state == WS_CLOSED)
		return;
	put_close(s, code);
	s->state = WS_CLOSED;
	s->refused = true;
	s->why = why;
}

static ssize_t
below_read(struct ws *s, void *p, size_t len)
{
	return s->below != NULL ? s->below->ops->read(s->below, p, len) : tcp_read(s->fd, p, len);
}

static ssize_t
below_write(struct ws *s, const struct iovec *iov, int count)
{
	return s->below != NULL ? s->below->ops->writev(s->below, iov, count) : tcp_writev(s->fd, iov, count);
}

/* ---- the request */

/* 0: the connection is open; FB_EAGAIN; FB_ECLOSED; FB_EIO: also when refused, then the answer is in out. */
static int
handshake(struct ws *s)
{
	struct listener_config l;
	struct http_upgrade up;
	struct http_rules rules;
	size_t len = 0;
	ssize_t n;
	int status;

	config_listener(s->config, s->listener, &l);
	rules = (struct http_rules){ l.path, l.origins };
	do {
		n = below_read(s, buf_room(&s->in, REQUEST_STEP), REQUEST_STEP);
		if (n < 0)
			return (int)n;
		buf_added(&s->in, (size_t)n);
		status = http_parse(buf_slice(&s->in), &rules, &len, &up, &s->why);
	} while (status == FB_ESHORT);
	if (status == 0 && http_accept(&s->out, &up) != 0)
		status = 500;
	if (status != 0) {
		snprintf(s->text, sizeof s->text, "HTTP %d: %s", status, s->why);
		http_refuse(&s->out, status);
		s->why = s->text;
		s->state = WS_CLOSED;
		s->close_sent = true;
		s->refused = true;
		s->told = true;
		return FB_EIO;
	}
	buf_eat(&s->in, len);
	buf_shrink(&s->in);
	s->state = WS_OPEN;
	s->why = "";
	return 0;
}

/* ---- frames from the client */

static bool
is_control(uint8_t opcode)
{
	return wslay_is_ctrl_frame(opcode) != 0;
}

static void
frame_begins(struct ws *s, const struct wslay_frame_iocb *f)
{
	s->unread -= 2U + (f->mask ? 4U : 0) + (f->payload_length < 126 ? 0 : f->payload_length < 65536 ? 2U : 8U);
	s->in_frame = true;
	s->left = f->payload_length;
	s->opcode = f->opcode;
	s->fin = f->fin != 0;
	if (!f->mask)
		fail(s, WSLAY_CODE_PROTOCOL_ERROR, "WebSocket: a frame without a mask");
	else if (f->rsv != WSLAY_RSV_NONE)
		fail(s, WSLAY_CODE_PROTOCOL_ERROR, "WebSocket: a reserved bit");
	else if (f->opcode == WSLAY_TEXT_FRAME)
		/* [MQTT-6.0.0-1] */
		fail(s, WSLAY_CODE_UNSUPPORTED_DATA, "WebSocket: a text frame [MQTT-6.0.0-1]");
	else if (f->opcode == WSLAY_CONTINUATION_FRAME ? !s->in_message : f->opcode == WSLAY_BINARY_FRAME && s->in_message)
		fail(s, WSLAY_CODE_PROTOCOL_ERROR, "WebSocket: fragments out of order");
	else if (f->opcode > WSLAY_PONG || (f->opcode > WSLAY_BINARY_FRAME && !is_control(f->opcode)))
		fail(s, WSLAY_CODE_PROTOCOL_ERROR, "WebSocket: an unknown kind of frame");
	else if (is_control(f->opcode) && (!s->fin || f->payload_length > CONTROL_MAX))
		fail(s, WSLAY_CODE_PROTOCOL_ERROR, "WebSocket: a control frame in fragments, or longer than 125 bytes");
}

/* May a peer send this code? RFC 6455, section 7.4. */
static bool
is_close_code(unsigned code)
{
	return (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006) || (code >= 3000 && code <= 4999);
}

static void
close_came(struct ws *s)
{
	struct slice p = buf_slice(&s->control);
	unsigned code = p.len >= 2 ? (unsigned)p.p[0] << 8 | p.p[1] : 0;

	if (p.len == 1 || (p.len >= 2 && !is_close_code(code))) {
		fail(s, WSLAY_CODE_PROTOCOL_ERROR, "WebSocket: a close frame with a wrong code");
		return;
	}
	put_close(s, code);
	s->state = WS_CLOSED;
	snprintf(s->text, sizeof s->text, "WebSocket: closed by the client, code %u", code == 0 ? 1005 : code);
	s->why = s->text;
}

static void
frame_ends(struct ws *s)
{
	s->in_frame = false;
	if (!is_control(s->opcode)) {
		s->in_message = !s->fin;
		return;
	}
	if (s->opcode == WSLAY_PING && s->pongs > PONGS_MAX) {
		fail(s, WSLAY_CODE_POLICY_VIOLATION, "WebSocket: pings whose answers are not read");
	} else if (s->opcode == WSLAY_PING) {
		put_frame(s, WSLAY_PONG, buf_slice(&s->control).p, buf_len(&s->control));
		s->pongs += PONG_HEAD + (uint32_t)buf_len(&s->control);
	} else if (s->opcode == WSLAY_CONNECTION_CLOSE) {
		close_came(s);
	}
	buf_clear(&s->control);
	buf_shrink(&s->control);
}

/* Takes all of feed apart; payload goes to p, which has room for all of it. Returns the bytes there. */
static size_t
take(struct ws *s, struct slice feed, uint8_t *p)
{
	struct reader *r = s->own != NULL ? s->own : s->pool->spare != NULL ? s->pool->spare : reader_new();
	struct wslay_frame_iocb f;
	size_t got = 0;
	ssize_t n = 0;

	if (r == s->pool->spare)
		s->pool->spare = NULL;
	s->own = r;
	r->feed = feed;
	s->unread += feed.len;
	while (s->state == WS_OPEN && (n = wslay_frame_recv(r->ctx, &f)) >= 0) {
		if (!s->in_frame)
			frame_begins(s, &f);
		if (s->state != WS_OPEN)
			break;
		s->unread -= (size_t)n;
		s->left -= (size_t)n;
		if (is_control(s->opcode)) {
			buf_put(&s->control, f.data, (size_t)n);
		} else if (n > 0) {
			memcpy(p + got, f.data, (size_t)n);
			got += (size_t)n;
		}
		if (s->left == 0)
			frame_ends(s);
	}
	if (n < 0 && n != WSLAY_ERR_WANT_READ)
		fail(s, WSLAY_CODE_PROTOCOL_ERROR, "WebSocket: not a frame");
	r->feed = slice_of(NULL, 0);
	if (s->state != WS_OPEN) {
		reader_free(r);
		s->own = NULL;
	} else if (!s->in_frame && s->unread == 0) {
		s->own = NULL;
		if (s->pool->spare == NULL)
			s->pool->spare = r;
		else
			reader_free(r);
	}
	return got;
}

/* ---- the stream */

/* A parser gives no more payload than it was fed in the same call (what it holds in between is a part of a header), so
 * feeding at most what p still has room for is enough. */
static ssize_t
ws_read(struct stream *stream, void *p, size_t len)
{
	struct ws *s = (struct ws *)stream;
	size_t looked = 0;
	size_t got = 0;
	ssize_t n;

	if (s->state == WS_REQUEST && (n = handshake(s)) != 0)
		return n;
	while (s->state == WS_OPEN && got < len && looked < INPUT) {
		size_t want = len - got < INPUT ? len - got : INPUT;

		if (buf_len(&s->in) > 0) {
			n = (ssize_t)(buf_len(&s->in) < want ? buf_len(&s->in) : want);
			memcpy(s->pool->input, buf_slice(&s->in).p, (size_t)n);
			buf_eat(&s->in, (size_t)n);
			buf_shrink(&s->in);
		} else {
			n = below_read(s, s->pool->input, want);
			if (n < 0 && got == 0)
				return n;
			if (n < 0)
				break;
		}
		looked += (size_t)n;
		got += take(s, slice_of(s->pool->input, (size_t)n), (uint8_t *)p + got);
		if (s->below == NULL && (size_t)n < want && buf_len(&s->in) == 0)
			break;
	}
	if (got > 0)
		return (ssize_t)got;
	if (s->state != WS_CLOSED)
		return FB_EAGAIN;
	s->told = true;
	return s->refused ? FB_EIO : FB_ECLOSED;
}

static bool
ws_unsent(const struct stream *stream)
{
	const struct ws *s = (const struct ws *)stream;

	return buf_len(&s->out) > 0 || (s->below != NULL && s->below->ops->unsent(s->below));
}

static int
ws_flush(struct stream *stream)
{
	struct ws *s = (struct ws *)stream;

	while (buf_len(&s->out) > 0) {
		struct iovec iov = { (void *)(uintptr_t)buf_slice(&s->out).p, buf_len(&s->out) };
		ssize_t n = below_write(s, &iov, 1);

		if (n < 0)
			return (int)n;
		buf_eat(&s->out, (size_t)n);
	}
	s->pongs = 0;
	buf_shrink(&s->out);
	return s->below != NULL && s->below->ops->unsent(s->below) ? s->below->ops->flush(s->below) : 0;
}

static ssize_t
ws_writev(struct stream *stream, const struct iovec *iov, int count)
{
	struct ws *s = (struct ws *)stream;
	struct wslay_frame_iocb f = { .fin = 1, .opcode = WSLAY_BINARY_FRAME };
	size_t sum = 0;
	int err;

	/* One frame at a time: the socket's room is what bounds our memory. */
	if (buf_len(&s->out) > 0 && (err = ws_flush(stream)) != 0)
		return err;
	if (s->close_sent)
		return FB_EIO;
	for (int i = 0; i < count; i++)
		sum += iov[i].iov_len;
	sum = sum < FRAME_MAX ? sum : FRAME_MAX;
	f.payload_length = sum;
	s->pool->out = &s->out;
	for (size_t done = 0; done < sum; done += f.data_length, iov++) {
		ssize_t n;

		f.data = iov->iov_base;
		f.data_length = iov->iov_len < sum - done ? iov->iov_len : sum - done;
		if (f.data_length == 0)
			continue;
		n = wslay_frame_send(s->pool->sender, &f);
		FB_ASSERT(n == (ssize_t)f.data_length);
	}
	err = ws_flush(stream);
	return err == 0 || err == FB_EAGAIN ? (ssize_t)sum : err;
}

static bool
ws_more(const struct stream *stream)
{
	const struct ws *s = (const struct ws *)stream;

	if (s->state == WS_CLOSED)
		return !s->told;
	return (s->state == WS_OPEN && buf_len(&s->in) > 0) || (s->below != NULL && s->below->ops->more(s->below));
}

static void
ws_shutdown(struct stream *stream)
{
	struct ws *s = (struct ws *)stream;

	if (s->state == WS_OPEN)
		put_close(s, WSLAY_CODE_NORMAL_CLOSURE);
	(void)ws_flush(stream);
	if (s->below != NULL)
		s->below->ops->shutdown(s->below);
}

static const char *
ws_why(const struct stream *stream)
{
	const struct ws *s = (const struct ws *)stream;

	if (s->state == WS_CLOSED)
		return s->why;
	return s->below != NULL ? s->below->ops->why(s->below) : "";
}

static const char *
ws_user(const struct stream *stream)
{
	const struct ws *s = (const struct ws *)stream;

	return s->below != NULL ? s->below->ops->user(s->below) : NULL;
}

static void
ws_free(struct stream *stream)
{
	struct ws *s = (struct ws *)stream;

	if (s->below != NULL)
		s->below->ops->free(s->below);
	reader_free(s->own);
	buf_fini(&s->in);
	buf_fini(&s->out);
	buf_fini(&s->control);
	mem_free(s);
}

struct stream *
ws_new(struct ws_pool *pool, int fd, struct stream *below, const struct config *config, unsigned listener)
{
	static const struct stream_ops ops = {
		.read = ws_read, .writev = ws_writev, .more = ws_more, .unsent = ws_unsent, .flush = ws_flush,
		.shutdown = ws_shutdown, .why = ws_why, .user = ws_user, .free = ws_free,
	};
	struct ws *s = mem_zalloc(sizeof *s);

	s->stream.ops = &ops;
	s->pool = pool;
	s->below = below;
	s->config = config;
	s->fd = fd;
	s->listener = (uint16_t)listener;
	s->why = "";
	return &s->stream;
}
