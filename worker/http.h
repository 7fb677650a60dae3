/* SPDX-License-Identifier: Apache-2.0
 * worker/http.h - the one request that a WebSocket connection begins with (RFC 6455, section 4.2), and its answer.
 *
 * A page of our own and no parser of Debian's: what has to be understood is one GET without a body, and a parser for
 * all of HTTP would be more to audit than this. It is strict: CR LF ends lines, no folding, no spaces before a colon,
 * each of the headers that decide only once. t/fuzz/fuzz_http.c tries to break it. */
#ifndef WORKER_HTTP_H
#define WORKER_HTTP_H

#include "common/base/buf.h"
#include "common/base/slice.h"

#define HTTP_REQUEST_MAX 8192
#define HTTP_HEADERS_MAX 64

/* What a listener asks for; see listeners.NAME.path and .origins. */
struct http_rules {
	const char *path;               /* "": any */
	const char *origins;            /* "": that of the same host; "*": any; else a list with spaces */
};

/* Slices of the request. */
struct http_upgrade {
	struct slice key;               /* Sec-WebSocket-Key */
	struct slice protocol;          /* the one that we chose: "mqtt" or "mqttv3.1" */
};

/* 0: the first *len bytes of `in` ask for WebSocket with MQTT, and may have it. FB_ESHORT: the request is not whole yet.
 * Otherwise the status to refuse with (400 to 599), and *why for the log. */
int http_parse(struct slice in, const struct http_rules *rules, size_t *len, struct http_upgrade *out, const char **why);
/* "101 Switching Protocols". FB_EIO: the library has no SHA-1. */
int http_accept(struct buf *out, const struct http_upgrade *u);
/* The status, with what a client needs to do better, and the end of the connection. */
void http_refuse(struct buf *out, int status);

#endif
