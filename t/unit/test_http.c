/* SPDX-License-Identifier: Apache-2.0 */
#include "t/support/unit.h"

#include <stdio.h>

#include "worker/http.h"

#define GET      "GET /mqtt HTTP/1.1\r\n"
#define HOST     "Host: a.example:80\r\n"
#define UPGRADE  "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
#define KEY      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define VERSION  "Sec-WebSocket-Version: 13\r\n"
#define PROTOCOL "Sec-WebSocket-Protocol: chat, mqtt\r\n"
#define GOOD     GET HOST UPGRADE KEY VERSION PROTOCOL
#define END      "\r\n"

static const struct http_rules any = { "", "" };

static int
parse(const char *text, const struct http_rules *rules)
{
	struct http_upgrade u;
	const char *why;
	size_t len;

	return http_parse(slice_str(text), rules, &len, &u, &why);
}

START_TEST(a_good_request_is_answered)
{
	struct http_upgrade u;
	const char *why;
	struct buf out;
	size_t len = 0;

	buf_init(&out);
	ck_assert_int_eq(http_parse(SLICE_LIT(GOOD END "rest"), &any, &len, &u, &why), 0);
	ck_assert_uint_eq(len, strlen(GOOD END));
	ck_assert(slice_eq(u.protocol, SLICE_LIT("mqtt")));
	ck_assert_int_eq(http_accept(&out, &u), 0);
	/* The key and its answer of RFC 6455, section 1.3. */
	ck_assert(slice_eq(buf_slice(&out), SLICE_LIT("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
	    "Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
	    "Sec-WebSocket-Protocol: mqtt\r\n\r\n")));
	buf_fini(&out);
}
END_TEST

START_TEST(every_cut_is_short)
{
	static const char text[] = GOOD END;
	struct http_upgrade u;
	const char *why;
	size_t len;

	for (size_t n = 0; n < sizeof text - 1; n++)
		ck_assert_int_eq(http_parse(slice_of(text, n), &any, &len, &u, &why), FB_ESHORT);
}
END_TEST

START_TEST(what_is_refused_and_how)
{
	static const struct { const char *text; int status; } row[] = {
		{ "\x10\x0c", 400 },                                            /* MQTT at the wrong door */
		{ "\x16\x03\x01", 400 },                                        /* TLS */
		{ "GET\n", 400 },
		{ "GET /mqtt HTTP/1.1\r\nHost: a\nUpgrade: b\r\n", 400 },       /* a bare LF */
		{ "GET /mqtt HTTP/1.1\rX", 400 },                               /* a bare CR */
		{ "GET  HTTP/1.1\r\n" HOST END, 400 },
		{ "GET /mqtt\r\n" HOST END, 400 },
		{ "GET mqtt HTTP/1.1\r\n" HOST END, 404 },
		{ "GET /mqtt HTTP/1.0\r\n" HOST END, 505 },
		{ "POST /mqtt HTTP/1.1\r\n" HOST END, 405 },
		{ GET HOST END, 426 },                                          /* a browser that looks */
		{ GET UPGRADE KEY VERSION PROTOCOL END, 400 },                  /* no Host */
		{ GOOD "Host: b\r\n" END, 400 },
		{ GOOD "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" END, 400 },
		{ GOOD " folded\r\n" END, 400 },
		{ GOOD "Name : space\r\n" END, 400 },
		{ GOOD "nothing\r\n" END, 400 },
		{ GOOD "X: \x01\r\n" END, 400 },
		{ GOOD "Content-Length: 5\r\n" END, 400 },
		{ GOOD "Transfer-Encoding: chunked\r\n" END, 400 },
		{ GOOD "Content-Length: 0\r\n" END, 0 },
		{ GET HOST UPGRADE KEY "Sec-WebSocket-Version: 8\r\n" PROTOCOL END, 426 },
		{ GET HOST UPGRADE "Sec-WebSocket-Key: short\r\n" VERSION PROTOCOL END, 400 },
		{ GET HOST UPGRADE "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZ===\r\n" VERSION PROTOCOL END, 400 },
		{ GET HOST UPGRADE KEY VERSION END, 400 },                      /* [MQTT-6.0.0-3] */
		{ GET HOST UPGRADE KEY VERSION "Sec-WebSocket-Protocol: MQTT, chat\r\n" END, 400 },
		{ GET HOST UPGRADE KEY VERSION "Sec-WebSocket-Protocol: mqttv3.1\r\n" END, 0 },
		{ GET HOST "upgrade: WebSocket\r\nCONNECTION: upgrade\r\n" KEY VERSION PROTOCOL END, 0 },
	};

	for (size_t i = 0; i < sizeof row / sizeof row[0]; i++)
		ck_assert_msg(parse(row[i].text, &any) == row[i].status, "row %zu: %d", i, parse(row[i].text, &any));
}
END_TEST

START_TEST(the_path_and_the_origin_are_the_listeners)
{
	static const struct { const char *path, *origins, *header; int status; } row[] = {
		{ "/mqtt", "", "", 0 },
		{ "/other", "", "", 404 },
		{ "/mqt", "", "", 404 },
		{ "", "", "Origin: http://a.example:80\r\n", 0 },
		{ "", "", "Origin: https://A.example:80\r\n", 0 },
		{ "", "", "Origin: http://a.example\r\n", 403 },
		{ "", "", "Origin: http://evil.example\r\n", 403 },
		{ "", "", "Origin: null\r\n", 403 },
		{ "", "*", "Origin: http://evil.example\r\n", 0 },
		{ "", "http://x http://evil.example", "Origin: http://evil.example\r\n", 0 },
		{ "", "http://x http://evil.exampl", "Origin: http://evil.example\r\n", 403 },
		{ "", "http://x", "", 0 },
	};

	for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
		const struct http_rules rules = { row[i].path, row[i].origins };
		char text[1024];

		snprintf(text, sizeof text, "%s%s%s", GOOD, row[i].header, END);
		ck_assert_msg(parse(text, &rules) == row[i].status, "row %zu: %d", i, parse(text, &rules));
	}
}
END_TEST

START_TEST(its_length_and_its_headers_are_limited)
{
	struct buf b;

	buf_init(&b);
	buf_put_slice(&b, SLICE_LIT(GOOD));
	for (int i = 0; i < HTTP_HEADERS_MAX; i++)
		buf_put_slice(&b, SLICE_LIT("X: y\r\n"));
	buf_put(&b, END, 3);
	ck_assert_int_eq(parse((const char *)buf_slice(&b).p, &any), 431);
	buf_clear(&b);
	buf_put_slice(&b, SLICE_LIT("GET /"));
	while (buf_len(&b) < HTTP_REQUEST_MAX)
		buf_put_u8(&b, 'a');
	buf_put_u8(&b, 0);
	ck_assert_int_eq(parse((const char *)buf_slice(&b).p, &any), 431);
	buf_fini(&b);
}
END_TEST

START_TEST(every_refusal_is_http)
{
	static const int status[] = { 400, 403, 404, 405, 426, 431, 500, 505 };

	for (size_t i = 0; i < sizeof status / sizeof status[0]; i++) {
		char start[32], *text;
		struct buf b;

		buf_init(&b);
		http_refuse(&b, status[i]);
		buf_put_u8(&b, 0);
		text = (char *)(uintptr_t)buf_slice(&b).p;
		snprintf(start, sizeof start, "HTTP/1.1 %d ", status[i]);
		ck_assert(strncmp(text, start, strlen(start)) == 0);
		ck_assert(strstr(text, "\r\nContent-Length: 0\r\n\r\n") != NULL);
		ck_assert(status[i] != 426 || strstr(text, "\r\nSec-WebSocket-Version: 13\r\n") != NULL);
		buf_fini(&b);
	}
}
END_TEST

UNIT_MAIN("http", a_good_request_is_answered, every_cut_is_short, what_is_refused_and_how,
    the_path_and_the_origin_are_the_listeners, its_length_and_its_headers_are_limited, every_refusal_is_http)
