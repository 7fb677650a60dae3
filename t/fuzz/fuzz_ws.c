/* SPDX-License-Identifier: Apache-2.0
 * Frames from any bytes. The same bytes, read in two ways, must give the same payload, the same answers and the same
 * end. The first two bytes choose how the second way cuts them. */
#include <string.h>

#include "t/fuzz/seeds.h"
#include "t/support/ws_peer.h"
#include "worker/ws.h"

static const struct { const char *p; size_t len; } seeds[] = {
#define SEED(s) { s, sizeof s - 1 }
	SEED("\x03\x05\x82\x85\x01\x02\x03\x04ifnhn\x89\x80\x01\x02\x03\x04\x88\x82\0\0\0\0\x03\xe8"),
	SEED("\x01\x01\x02\x81\0\0\0\0a\x80\x81\0\0\0\0b\x82\xfe\0\x02\0\0\0\0xx"),
	SEED("\x09\x40\x82\xff\0\0\0\0\0\0\0\x01\0\0\0\0x\x81\x81\0\0\0\0t"),
};

/* Everything through one connection: payload to *got, what it sent to *sent; returns how it ended. */
static ssize_t
run(struct slice bytes, size_t step, size_t piece, struct buf *got, struct buf *sent)
{
	static struct config config;
	struct ws_peer *peer = ws_peer_new();
	struct ws_pool *pool = ws_pool_new();
	struct stream *ws;
	ssize_t n;

	if (config.node == NULL)
		config_init(&config);
	ws = ws_new(pool, -1, &peer->stream, &config, CONFIG_L_ws);
	buf_put_slice(&peer->to_server, SLICE_LIT(WS_PEER_REQUEST));
	FB_ASSERT(ws->ops->read(ws, buf_room(got, piece), piece) == FB_EAGAIN && buf_len(&peer->to_server) == 0);
	buf_put_slice(&peer->to_server, bytes);
	peer->step = step;
	while ((n = ws->ops->read(ws, buf_room(got, piece), piece)) > 0)
		buf_added(got, (size_t)n);
	FB_ASSERT(n == FB_EAGAIN || n == FB_ECLOSED || n == FB_EIO);
	FB_ASSERT(n != FB_EAGAIN || buf_len(&peer->to_server) == 0);
	FB_ASSERT(ws->ops->flush(ws) == 0 && !ws->ops->more(ws));
	buf_put_slice(sent, buf_slice(&peer->to_client));
	ws->ops->free(ws);
	ws_pool_free(pool);
	return n;
}

size_t
fuzz_seed(size_t i, uint8_t *out, size_t max)
{
	if (i >= sizeof seeds / sizeof seeds[0] || seeds[i].len > max)
		return 0;
	memcpy(out, seeds[i].p, seeds[i].len);
	return seeds[i].len;
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	fuzz_write_seeds(*argc, *argv);
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf got[2], sent[2];
	ssize_t end[2];

	if (size < 2)
		return 0;
	for (int i = 0; i < 2; i++) {
		buf_init(&got[i]);
		buf_init(&sent[i]);
		end[i] = run(slice_of(data + 2, size - 2), i == 0 ? 0 : 1U + data[0], i == 0 ? 131072 : 1U + data[1], &got[i],
		    &sent[i]);
	}
	FB_ASSERT(end[0] == end[1]);
	FB_ASSERT(slice_eq(buf_slice(&got[0]), buf_slice(&got[1])));
	FB_ASSERT(slice_eq(buf_slice(&sent[0]), buf_slice(&sent[1])));
	for (int i = 0; i < 2; i++) {
		buf_fini(&got[i]);
		buf_fini(&sent[i]);
	}
	return 0;
}
