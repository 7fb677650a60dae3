/* SPDX-License-Identifier: Apache-2.0 */
#include "t/support/unit.h"

#include "common/base/rand.h"
#include "t/support/ws_peer.h"
#include "worker/ws.h"

enum { CONT = 0, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10, FIN = 0x80 };

static struct ws_pool *pool;
static struct config config;
static struct ws_peer *peer;
static struct stream *ws;

static void
start(void)
{
	config_init(&config);
	pool = ws_pool_new();
	peer = ws_peer_new();
	ws = ws_new(pool, -1, &peer->stream, &config, CONFIG_L_ws);
}

static void
end(void)
{
	ws->ops->free(ws);
	ws_pool_free(pool);
	config_fini(&config);
}

/* Reads all there is into out, in pieces of `piece`; returns what ended it. */
static ssize_t
drain(struct buf *out, size_t piece)
{
	for (;;) {
		ssize_t n = ws->ops->read(ws, buf_room(out, piece), piece);

		if (n < 0) {
			ck_assert_int_eq(ws->ops->flush(ws), 0);
			return n;
		}
		ck_assert(n > 0 && (size_t)n <= piece);
		buf_added(out, (size_t)n);
	}
}

static void
open_it(void)
{
	uint8_t p[8];

	start();
	buf_put_slice(&peer->to_server, SLICE_LIT(WS_PEER_REQUEST));
	ck_assert_int_eq(ws->ops->read(ws, p, sizeof p), FB_EAGAIN);
	ck_assert(ws->ops->unsent(ws));
	ck_assert_int_eq(ws->ops->flush(ws), 0);
	ck_assert(!ws->ops->unsent(ws));
	ck_assert_int_eq(memcmp(buf_slice(&peer->to_client).p, "HTTP/1.1 101", 12), 0);
	buf_clear(&peer->to_client);
}

/* A frame from the client. */
static void
put_frame(struct buf *b, unsigned first, const void *p, size_t len, bool masked)
{
	static const uint8_t key[4] = { 0x11, 0, 0xfe, 0x80 };

	buf_put_u8(b, (uint8_t)first);
	if (len < 126) {
		buf_put_u8(b, (uint8_t)((masked ? 0x80 : 0) | len));
	} else if (len < 65536) {
		buf_put_u8(b, masked ? 0xfe : 126);
		buf_put_be16(b, (uint16_t)len);
	} else {
		buf_put_u8(b, masked ? 0xff : 127);
		buf_put_be32(b, 0);
		buf_put_be32(b, (uint32_t)len);
	}
	if (masked)
		buf_put(b, key, 4);
	for (size_t i = 0; i < len; i++)
		buf_put_u8(b, (uint8_t)(((const uint8_t *)p)[i] ^ (masked ? key[i & 3] : 0)));
}

static void
expect_sent(struct slice want)
{
	ck_assert_msg(slice_eq(buf_slice(&peer->to_client), want), "sent %zu bytes", buf_len(&peer->to_client));
	buf_clear(&peer->to_client);
}

START_TEST(bytes_pass_however_they_are_cut)
{
	static uint8_t data[200000];

	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (uint8_t)(i * 7 + i / 251);
	for (unsigned round = 0; round < 12; round++) {
		static const size_t steps[] = { 0, 1, 7, 4096 }, pieces[] = { 1, 100, 131072 };
		size_t size = steps[round % 4] == 1 || pieces[round % 3] == 1 ? 3000 : sizeof data;
		struct buf out;

		open_it();
		buf_init(&out);
		peer->step = steps[round % 4];
		/* A message in fragments, with a ping between them; an empty one; then the rest in one frame. */
		put_frame(&peer->to_server, BINARY, data, 100, true);
		put_frame(&peer->to_server, PING | FIN, "are you", 7, true);
		put_frame(&peer->to_server, CONT, data + 100, 0, true);
		put_frame(&peer->to_server, CONT | FIN, data + 100, 200, true);
		put_frame(&peer->to_server, BINARY | FIN, data, 0, true);
		put_frame(&peer->to_server, PONG | FIN, "", 0, true);
		put_frame(&peer->to_server, BINARY | FIN, data + 300, size - 300, true);
		ck_assert_int_eq(drain(&out, pieces[round % 3]), FB_EAGAIN);
		ck_assert_uint_eq(buf_len(&out), size);
		ck_assert_int_eq(memcmp(buf_slice(&out).p, data, size), 0);
		ck_assert(!ws->ops->more(ws));
		expect_sent(SLICE_LIT("\x8a\x07" "are you"));
		buf_fini(&out);
		end();
	}
}
END_TEST

START_TEST(what_follows_the_request_is_not_lost)
{
	for (size_t step = 0; step < 40; step++) {
		struct buf out;

		start();
		buf_init(&out);
		peer->step = step;
		buf_put_slice(&peer->to_server, SLICE_LIT(WS_PEER_REQUEST));
		put_frame(&peer->to_server, BINARY | FIN, "hello", 5, true);
		ck_assert_int_eq(drain(&out, 3), FB_EAGAIN);
		ck_assert(slice_eq(buf_slice(&out), SLICE_LIT("hello")));
		buf_fini(&out);
		end();
	}
}
END_TEST

START_TEST(rules_of_the_frames)
{
	static const struct { unsigned first; const char *payload; size_t len; bool masked; const char *sent; const char *why; } row[] = {
		{ TEXT | FIN, "hi", 2, true, "\x88\x02\x03\xeb", "[MQTT-6.0.0-1]" },
		{ BINARY | FIN, "hi", 2, false, "\x88\x02\x03\xea", "mask" },
		{ CONT | FIN, "hi", 2, true, "\x88\x02\x03\xea", "fragments" },
		{ BINARY | FIN | 0x40, "hi", 2, true, "\x88\x02\x03\xea", "reserved" },
		{ 3 | FIN, "hi", 2, true, "\x88\x02\x03\xea", "WebSocket" },
		{ 11 | FIN, "hi", 2, true, "\x88\x02\x03\xea", "WebSocket" },
		{ PING, "hi", 2, true, "\x88\x02\x03\xea", "WebSocket" },
		{ CLOSE | FIN, "\x03\xe8", 2, true, "\x88\x02\x03\xe8", "closed by the client, code 1000" },
		{ CLOSE | FIN, "\x03\xe8" "bye", 5, true, "\x88\x02\x03\xe8", "closed by the client, code 1000" },
		{ CLOSE | FIN, "", 0, true, "\x88\x00", "code 1005" },
		{ CLOSE | FIN, "x", 1, true, "\x88\x02\x03\xea", "wrong code" },
		{ CLOSE | FIN, "\x03\xed", 2, true, "\x88\x02\x03\xea", "wrong code" },
		{ CLOSE | FIN, "\x00\x07", 2, true, "\x88\x02\x03\xea", "wrong code" },
	};

	for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
		struct buf out;

		open_it();
		buf_init(&out);
		put_frame(&peer->to_server, BINARY | FIN, "before", 6, true);
		put_frame(&peer->to_server, row[i].first, row[i].payload, row[i].len, row[i].masked);
		put_frame(&peer->to_server, BINARY | FIN, "behind", 6, true);
		ck_assert_int_eq(ws->ops->read(ws, buf_room(&out, 100), 100), 6);
		/* No socket will say that there is something to read. */
		ck_assert(ws->ops->more(ws));
		ck_assert_int_eq(drain(&out, 100), strstr(row[i].why, "code 1") != NULL ? FB_ECLOSED : FB_EIO);
		ck_assert(!ws->ops->more(ws));
		ck_assert_msg(strstr(ws->ops->why(ws), row[i].why) != NULL, "row %zu: %s", i, ws->ops->why(ws));
		expect_sent(slice_of(row[i].sent, row[i].sent[1] == 0 ? 2 : 4));
		buf_fini(&out);
		end();
	}
}
END_TEST

START_TEST(a_new_message_inside_another_is_refused)
{
	struct buf out;

	open_it();
	buf_init(&out);
	put_frame(&peer->to_server, BINARY, "a", 1, true);
	put_frame(&peer->to_server, BINARY | FIN, "b", 1, true);
	ck_assert_int_eq(drain(&out, 100), FB_EIO);
	expect_sent(SLICE_LIT("\x88\x02\x03\xea"));
	buf_fini(&out);
	end();
}
END_TEST

START_TEST(a_bad_request_is_answered_and_closed)
{
	uint8_t p[8];

	start();
	buf_put_slice(&peer->to_server, SLICE_LIT("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
	ck_assert_int_eq(ws->ops->read(ws, p, sizeof p), FB_EIO);
	ck_assert_str_eq(ws->ops->why(ws), "HTTP 426: no request for WebSocket");
	ck_assert(ws->ops->unsent(ws));
	ck_assert_int_eq(ws->ops->flush(ws), 0);
	ck_assert_int_eq(memcmp(buf_slice(&peer->to_client).p, "HTTP/1.1 426", 12), 0);
	ck_assert_int_eq(ws->ops->read(ws, p, sizeof p), FB_EIO);
	end();
}
END_TEST

START_TEST(output_is_framed_once_and_survives_a_full_socket)
{
	static uint8_t data[100000];
	struct iovec iov[3] = { { data, 10 }, { data, 0 }, { data + 10, sizeof data - 10 } };
	size_t taken = 0;

	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (uint8_t)(i * 3);
	open_it();
	ck_assert_str_eq(ws->ops->user(ws), "ann");
	peer->room = 5;
	taken = (size_t)ws->ops->writev(ws, iov, 3);
	ck_assert_uint_eq(taken, 65536);
	ck_assert(ws->ops->unsent(ws));
	iov[0] = (struct iovec){ data + taken, sizeof data - taken };
	ck_assert_int_eq(ws->ops->writev(ws, iov, 1), FB_EAGAIN);
	ck_assert_int_eq(ws->ops->flush(ws), FB_EAGAIN);
	peer->room = SIZE_MAX;
	ck_assert_int_eq(ws->ops->flush(ws), 0);
	ck_assert_int_eq(ws->ops->writev(ws, iov, 1), (ssize_t)(sizeof data - taken));
	ck_assert_uint_eq(buf_len(&peer->to_client), 10 + 65536 + 4 + sizeof data - 65536);
	ck_assert_int_eq(memcmp(buf_slice(&peer->to_client).p, "\x82\x7f\0\0\0\0\0\1\0\0", 10), 0);
	ck_assert_int_eq(memcmp(buf_slice(&peer->to_client).p + 10, data, 65536), 0);
	ck_assert_int_eq(memcmp(buf_slice(&peer->to_client).p + 10 + 65536, "\x82\x7e\x86\xa0", 4), 0);
	buf_clear(&peer->to_client);
	ws->ops->shutdown(ws);
	expect_sent(SLICE_LIT("\x88\x02\x03\xe8"));
	end();
}
END_TEST

START_TEST(unread_pongs_end_it)
{
	uint8_t p[100];
	ssize_t n = FB_EAGAIN;

	open_it();
	peer->room = 0;
	for (int i = 0; i < 1000 && n == FB_EAGAIN; i++) {
		put_frame(&peer->to_server, PING | FIN, "0123456789012345678901234567890123456789", 40, true);
		n = ws->ops->read(ws, p, sizeof p);
	}
	ck_assert_int_eq(n, FB_EIO);
	end();
}
END_TEST

/* A slow reader's ping is no crime: what it has not read is mostly ours. */
START_TEST(a_ping_behind_a_large_message_is_answered)
{
	static uint8_t data[60000];
	struct iovec iov = { data, sizeof data };
	uint8_t p[8];

	open_it();
	peer->room = 5;
	ck_assert_int_eq(ws->ops->writev(ws, &iov, 1), sizeof data);
	put_frame(&peer->to_server, PING | FIN, "x", 1, true);
	ck_assert_int_eq(ws->ops->read(ws, p, sizeof p), FB_EAGAIN);
	peer->room = SIZE_MAX;
	ck_assert_int_eq(ws->ops->flush(ws), 0);
	ck_assert_uint_eq(buf_len(&peer->to_client), 4 + sizeof data + 3);
	ck_assert_int_eq(memcmp(buf_slice(&peer->to_client).p + 4 + sizeof data, "\x8a\1x", 3), 0);
	end();
}
END_TEST

/* Frames without payload come as fast as we look at them. */
START_TEST(a_flood_of_nothing_ends_the_read)
{
	uint8_t p[8];

	open_it();
	for (unsigned i = 0; i < 40000; i++)
		put_frame(&peer->to_server, PONG | FIN, "", 0, true);
	ck_assert_int_eq(ws->ops->read(ws, p, sizeof p), FB_EAGAIN);
	ck_assert_uint_gt(buf_len(&peer->to_server), 128 * 1024);
	end();
}
END_TEST

START_TEST(the_end_below_is_the_end)
{
	uint8_t p[8];

	open_it();
	peer->eof = true;
	ck_assert_int_eq(ws->ops->read(ws, p, sizeof p), FB_ECLOSED);
	ck_assert_str_eq(ws->ops->why(ws), "peer");
	end();
}
END_TEST

START_TEST(any_bytes_do_no_harm)
{
	struct rand r;

	rand_seed(&r, 7);
	for (int round = 0; round < 300; round++) {
		struct buf out;
		size_t n = 1 + rand_below(&r, 300);

		open_it();
		buf_init(&out);
		peer->step = rand_below(&r, 20);
		for (size_t i = 0; i < n; i++)
			buf_put_u8(&peer->to_server, i < 2 ? (uint8_t[]){ 0x82, 0xfe }[i] : (uint8_t)rand_below(&r, 256));
		(void)drain(&out, 1 + rand_below(&r, 64));
		buf_fini(&out);
		end();
	}
}
END_TEST

UNIT_MAIN("ws", bytes_pass_however_they_are_cut, what_follows_the_request_is_not_lost, rules_of_the_frames,
    a_new_message_inside_another_is_refused, a_bad_request_is_answered_and_closed,
    output_is_framed_once_and_survives_a_full_socket, unread_pongs_end_it,
    a_ping_behind_a_large_message_is_answered, a_flood_of_nothing_ends_the_read, the_end_below_is_the_end, any_bytes_do_no_harm)
