/* SPDX-License-Identifier: Apache-2.0
 * supervisor/client/stream_ws.c - the client's side of RFC 6455: one HTTP request and its answer, then libwslay's frames,
 * without its buffering: a message's bytes go on as they come, since MQTT does not care where frames end. */
#include <openssl/evp.h>
#include <stdio.h>
#include <strings.h>
#include <wslay/wslay.h>

#include "supervisor/client/stream_parts.h"
#include "common/base/err.h"
#include "common/base/mem.h"
#include "common/base/rand.h"

#define HEAD_MAX 8192
#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

enum ws_state { WS_REQUESTED, WS_OPEN, WS_OVER };

struct ws_end {
	const struct target *at;        /* borrowed until the request is made */
	wslay_event_context_ptr ctx;
	char *error;                    /* the stream's */
	struct buf head;                /* of the answer, until it is whole */
	struct slice in;                /* during a call */
	struct buf *plain;              /* the same */
	struct buf *out;                /* the same */
	struct rand rand;               /* for masks: they protect proxies from the page's script, and here is no page */
	uint8_t level;
	uint8_t opcode;                 /* of the frame that is coming */
	enum ws_state state;
	bool text;                      /* a text frame came [MQTT-6.0.0-1] */
	char host[TARGET_HOST_MAX + 12];
	char path[TARGET_PATH_MAX + 1];
	char key[32];                   /* Sec-WebSocket-Key */
	char accept[32];                /* the answer to it */
};

/* ---- wslay's callbacks ---- */

static ssize_t
ws_recv(wslay_event_context_ptr ctx, uint8_t *p, size_t len, int flags, void *arg)
{
	struct ws_end *e = arg;
	size_t n = e->in.len < len ? e->in.len : len;

	if (n == 0) {
		wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
		return -1;
	}
	memcpy(p, e->in.p, n);
	e->in = slice_of(e->in.p + n, e->in.len - n);
	return (ssize_t)n;
}

static ssize_t
ws_send(wslay_event_context_ptr ctx, const uint8_t *p, size_t len, int flags, void *arg)
{
	struct ws_end *e = arg;

	buf_put(e->out, p, len);
	return (ssize_t)len;
}

static int
ws_mask(wslay_event_context_ptr ctx, uint8_t *p, size_t len, void *arg)
{
	struct ws_end *e = arg;
	uint64_t r = rand_u64(&e->rand);

	FB_ASSERT(len <= sizeof r);
	memcpy(p, &r, len);
	return 0;
}

static void
ws_frame(wslay_event_context_ptr ctx, const struct wslay_event_on_frame_recv_start_arg *arg, void *user)
{
	struct ws_end *e = user;

	e->opcode = arg->opcode;
	e->text |= arg->opcode == WSLAY_TEXT_FRAME;
}

static void
ws_chunk(wslay_event_context_ptr ctx, const struct wslay_event_on_frame_recv_chunk_arg *arg, void *user)
{
	struct ws_end *e = user;

	if (e->opcode == WSLAY_BINARY_FRAME || e->opcode == WSLAY_CONTINUATION_FRAME)
		buf_put(e->plain, arg->data, arg->data_length);
}

/* ---- the request and its answer ---- */

static void
make_key(struct ws_end *e)
{
	uint8_t nonce[16];
	uint8_t sum[EVP_MAX_MD_SIZE];
	char text[80];
	unsigned n = 0;

	rand_bytes(nonce, sizeof nonce);
	(void)EVP_EncodeBlock((unsigned char *)e->key, nonce, sizeof nonce);
	snprintf(text, sizeof text, "%s" GUID, e->key);
	FB_ASSERT(EVP_Digest(text, strlen(text), sum, &n, EVP_sha1(), NULL) == 1);
	(void)EVP_EncodeBlock((unsigned char *)e->accept, sum, (int)n);
}

struct ws_end *
ws_end_new(const struct target *at, uint8_t level, char *error)
{
	static const struct wslay_event_callbacks calls = {
		.recv_callback = ws_recv,
		.send_callback = ws_send,
		.genmask_callback = ws_mask,
		.on_frame_recv_start_callback = ws_frame,
		.on_frame_recv_chunk_callback = ws_chunk,
	};
	struct ws_end *e = mem_zalloc(sizeof *e);
	bool six = strchr(at->host, ':') != NULL;
	uint64_t seed;

	e->error = error;
	e->level = level;
	rand_bytes(&seed, sizeof seed);
	rand_seed(&e->rand, seed);
	snprintf(e->path, sizeof e->path, "%s", at->path[0] != 0 ? at->path : "/mqtt");
	snprintf(e->host, sizeof e->host, "%s%s%s:%u", six ? "[" : "", at->host, six ? "]" : "", target_port(at));
	make_key(e);
	FB_ASSERT(wslay_event_context_client_init(&e->ctx, &calls, e) == 0);
	wslay_event_config_set_no_buffering(e->ctx, 1);
	return e;
}

void
ws_end_free(struct ws_end *e)
{
	if (e == NULL)
		return;
	wslay_event_context_free(e->ctx);
	buf_fini(&e->head);
	mem_free(e);
}

void
ws_end_start(struct ws_end *e, struct buf *out)
{
	char text[HEAD_MAX];
	int n = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	    "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: %s\r\n\r\n", e->path, e->host,
	    e->key, e->level == 3 ? "mqttv3.1" : "mqtt");

	buf_put(out, text, (size_t)n);
}

static int
refuse(struct ws_end *e, const char *why)
{
	snprintf(e->error, STREAM_ERROR_MAX, "WebSocket: %s", why);
	e->state = WS_OVER;
	return FB_EPROTO;
}

/* The value of a header line, or NULL; text is the whole head with a NUL behind it. */
static const char *
header(const char *text, const char *name, char *out, size_t size)
{
	size_t len = strlen(name);

	for (const char *line = strstr(text, "\r\n"); line != NULL; line = strstr(line + 2, "\r\n")) {
		const char *p = line + 2;

		if (strncasecmp(p, name, len) != 0 || p[len] != ':')
			continue;
		p += len + 1;
		p += strspn(p, " \t");
		snprintf(out, size, "%.*s", (int)strcspn(p, "\r\n"), p);
		out[strcspn(out, " \t,")] = 0;
		return out;
	}
	return NULL;
}

static int
check_head(struct ws_end *e, const char *text)
{
	char value[256];
	char why[128];

	if (strncmp(text, "HTTP/1.1 101", 12) != 0) {
		snprintf(why, sizeof why, "the server answers '%.*s'", (int)(strcspn(text, "\r\n") < 60 ? strcspn(text, "\r\n") : 60),
		    text);
		for (char *p = why; *p != 0; p++)
			if (*p < ' ' || *p > '~')
				*p = '?';
		return refuse(e, why);
	}
	if (header(text, "Upgrade", value, sizeof value) == NULL || strcasecmp(value, "websocket") != 0)
		return refuse(e, "the answer has no Upgrade: websocket");
	if (header(text, "Sec-WebSocket-Accept", value, sizeof value) == NULL || strcmp(value, e->accept) != 0)
		return refuse(e, "the answer's Sec-WebSocket-Accept is wrong");
	if (header(text, "Sec-WebSocket-Protocol", value, sizeof value) == NULL || strncmp(value, "mqtt", 4) != 0)
		return refuse(e, "the server does not speak mqtt there");
	e->state = WS_OPEN;
	return 0;
}

/* Collects the head; what follows it stays in *in. */
static int
take_head(struct ws_end *e, struct slice *in)
{
	size_t had = buf_len(&e->head);
	size_t from = had > 3 ? had - 3 : 0;
	const uint8_t *end;
	struct slice all;
	size_t head;
	char text[HEAD_MAX + 1];

	buf_put_slice(&e->head, *in);
	all = buf_slice(&e->head);
	end = memmem(all.p + from, all.len - from, "\r\n\r\n", 4);
	if (end == NULL && all.len < HEAD_MAX) {
		*in = slice_of(NULL, 0);
		return 0;
	}
	head = end != NULL ? (size_t)(end - all.p) + 2 : all.len;
	if (end == NULL || head > HEAD_MAX)
		return refuse(e, "the answer's head is too long");
	memcpy(text, all.p, head);
	text[head] = 0;
	*in = slice_of(in->p + (head + 2 - had), in->len - (head + 2 - had));
	buf_fini(&e->head);
	return check_head(e, text);
}

int
ws_end_take(struct ws_end *e, struct slice in, struct buf *plain, struct buf *out)
{
	int r = 0;

	if (e->state == WS_OVER)
		return FB_ECLOSED;
	if (e->state == WS_REQUESTED)
		r = take_head(e, &in);
	if (r != 0 || e->state != WS_OPEN)
		return r;
	e->in = in;
	e->plain = plain;
	e->out = out;
	while (r == 0 && e->in.len > 0 && wslay_event_get_read_enabled(e->ctx))
		r = wslay_event_recv(e->ctx);
	(void)wslay_event_send(e->ctx);                 /* pongs, the answer to a close */
	if (r != 0)
		return refuse(e, "a frame that breaks the rules");
	if (e->text)
		return refuse(e, "the server sent a text frame (MQTT-6.0.0-1)");
	if (!wslay_event_get_close_received(e->ctx))
		return 0;
	snprintf(e->error, STREAM_ERROR_MAX, "WebSocket closed by the server, code %u",
	    wslay_event_get_status_code_received(e->ctx));
	e->state = WS_OVER;
	return FB_ECLOSED;
}

int
ws_end_put(struct ws_end *e, struct slice plain, struct buf *out)
{
	struct wslay_event_msg m = { .opcode = WSLAY_BINARY_FRAME, .msg = plain.p, .msg_length = plain.len };

	if (e->state != WS_OPEN)
		return FB_ECLOSED;
	e->out = out;
	if (wslay_event_queue_msg(e->ctx, &m) != 0 || wslay_event_send(e->ctx) != 0)
		return FB_ECLOSED;
	return 0;
}

void
ws_end_finish(struct ws_end *e, struct buf *out)
{
	if (e->state != WS_OPEN)
		return;
	e->out = out;
	(void)wslay_event_queue_close(e->ctx, WSLAY_CODE_NORMAL_CLOSURE, NULL, 0);
	(void)wslay_event_send(e->ctx);
}

bool
ws_end_ready(const struct ws_end *e)
{
	return e->state == WS_OPEN;
}
