/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/client/stream.h"

#include <stdio.h>

#include "supervisor/client/stream_parts.h"
#include "common/base/err.h"
#include "common/base/mem.h"

struct stream {
	struct tls_end *tls;            /* NULL: none; owned */
	struct ws_end *ws;              /* the same */
	bool split;
	bool started;                   /* the WebSocket request is out */
	char error[STREAM_ERROR_MAX];
};

struct stream *
stream_new(const struct target *at, struct tls *tls, uint8_t level, bool split)
{
	struct stream *s;

	if (!at->tls && !at->ws)
		return NULL;
	s = mem_zalloc(sizeof *s);
	s->split = split;
	if (at->tls)
		s->tls = tls_end_new(tls, at->host, s->error);
	if (at->ws)
		s->ws = ws_end_new(at, level, s->error);
	return s;
}

void
stream_free(struct stream *s)
{
	if (s == NULL)
		return;
	tls_end_free(s->tls);
	ws_end_free(s->ws);
	mem_free(s);
}

/* Bytes that are ready for the wire but for TLS. */
static int
wrap(struct stream *s, struct buf *bytes, struct buf *out)
{
	int r = 0;

	if (buf_len(bytes) > 0)
		r = tls_end_put(s->tls, buf_slice(bytes), out);
	buf_fini(bytes);
	return r;
}

static int
start_ws(struct stream *s, struct buf *out)
{
	struct buf request;

	s->started = true;
	if (s->ws == NULL)
		return 0;
	if (s->tls == NULL) {
		ws_end_start(s->ws, out);
		return 0;
	}
	buf_init(&request);
	ws_end_start(s->ws, &request);
	return wrap(s, &request, out);
}

int
stream_start(struct stream *s, struct buf *out)
{
	struct buf none;
	int r;

	if (s->tls == NULL)
		return start_ws(s, out);
	buf_init(&none);
	r = tls_end_take(s->tls, slice_of(NULL, 0), &none, out);
	buf_fini(&none);
	return r;
}

static int
take_both(struct stream *s, struct slice in, struct buf *plain, struct buf *out)
{
	struct buf mid;
	struct buf back;
	int end;
	int r = 0;

	buf_init(&mid);
	buf_init(&back);
	end = tls_end_take(s->tls, in, &mid, out);
	if (!s->started && tls_end_ready(s->tls))
		r = start_ws(s, out);
	if (r == 0 && buf_len(&mid) > 0)
		r = ws_end_take(s->ws, buf_slice(&mid), plain, &back);
	(void)wrap(s, &back, out);
	buf_fini(&mid);
	return r != 0 ? r : end;
}

int
stream_take(struct stream *s, struct slice in, struct buf *plain, struct buf *out)
{
	if (s->tls == NULL)
		return ws_end_take(s->ws, in, plain, out);
	if (s->ws == NULL)
		return tls_end_take(s->tls, in, plain, out);
	return take_both(s, in, plain, out);
}

bool
stream_ready(const struct stream *s)
{
	return s->ws != NULL ? ws_end_ready(s->ws) : tls_end_ready(s->tls);
}

static int
put(struct stream *s, struct slice plain, struct buf *out)
{
	struct buf frame;
	int r;

	if (s->ws == NULL)
		return tls_end_put(s->tls, plain, out);
	if (s->tls == NULL)
		return ws_end_put(s->ws, plain, out);
	buf_init(&frame);
	r = ws_end_put(s->ws, plain, &frame);
	return r != 0 ? (buf_fini(&frame), r) : wrap(s, &frame, out);
}

/* The size of the packet at the start, all of it when that cannot be told. */
static size_t
packet_size(struct slice b)
{
	size_t n = 0;

	for (uint32_t i = 0; i < 4 && i + 1 < b.len; i++) {
		n |= (size_t)(b.p[i + 1] & 0x7F) << (7 * i);
		if (b.p[i + 1] < 0x80)
			return n + i + 2 < b.len ? n + i + 2 : b.len;
	}
	return b.len;
}

int
stream_put(struct stream *s, struct slice plain, struct buf *out)
{
	int r = 0;

	while (r == 0 && plain.len > 0) {
		size_t n = s->split ? packet_size(plain) : plain.len;

		r = put(s, slice_of(plain.p, n), out);
		plain = slice_of(plain.p + n, plain.len - n);
	}
	return r;
}

void
stream_end(struct stream *s, struct buf *out)
{
	struct buf bye;

	if (!stream_ready(s))
		return;
	buf_init(&bye);
	if (s->ws != NULL)
		ws_end_finish(s->ws, s->tls == NULL ? out : &bye);
	if (s->tls != NULL) {
		(void)wrap(s, &bye, out);
		tls_end_finish(s->tls, out);
	}
}

const char *
stream_error(const struct stream *s)
{
	return s->error[0] != 0 ? s->error : "closed by the server";
}

const char *
stream_cipher(const struct stream *s, char *out, size_t size)
{
	out[0] = 0;
	return s->tls != NULL ? tls_end_cipher(s->tls, out, size) : out;
}
