/* SPDX-License-Identifier: Apache-2.0
 * supervisor/client/stream.h - what lies between MQTT's bytes and the socket: nothing, TLS, WebSocket, or WebSocket in TLS.
 *
 * No I/O: bytes that came from the socket go into stream_take(), which gives MQTT's bytes and perhaps something to send
 * back; MQTT's bytes go through stream_put(). A plain connection has no stream (NULL), and its user no detour. */
#ifndef CLIENT_STREAM_H
#define CLIENT_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "supervisor/client/target.h"
#include "common/base/buf.h"

/* What is needed for TLS, as given by the user; borrowed. */
struct tls_files {
	const char *cafile;             /* NULL: the system's authorities */
	const char *cert;               /* ours, with its chain; NULL: none */
	const char *key;
	bool insecure;                  /* with cafile: any name; without: any certificate */
};

struct tls;
/* Loads all; NULL with the text in error. */
struct tls *tls_open(const struct tls_files *files, char *error, size_t error_size);
void tls_close(struct tls *t);          /* NULL is allowed; streams may still live */

struct stream;
/* For a connection to *at; tls may be NULL where at->tls is false. split: each MQTT packet becomes a record or frame
 * of its own. NULL: *at is plain. Caller owns it. */
struct stream *stream_new(const struct target *at, struct tls *tls, uint8_t level, bool split);
void stream_free(struct stream *s);     /* NULL is allowed */

/* The socket is connected: what is to be sent first goes to the end of *out. */
int stream_start(struct stream *s, struct buf *out);
/* All of in is taken; MQTT's bytes go to the end of *plain, what is to be sent to the end of *out. 0; FB_ECLOSED: the
 * other end said that it ends here; FB_EAUTH: its certificate; FB_EPROTO: anything else. See stream_error(). What has
 * come before is in *plain in all cases, and *out (an alert) is worth sending. */
int stream_take(struct stream *s, struct slice in, struct buf *plain, struct buf *out);
bool stream_ready(const struct stream *s);      /* handshakes are over: stream_put() may be called */
/* Whole MQTT packets. */
int stream_put(struct stream *s, struct slice plain, struct buf *out);
void stream_end(struct stream *s, struct buf *out);     /* says goodbye: nothing is put after it */
const char *stream_error(const struct stream *s);       /* why a call failed; never NULL */
/* "TLSv1.3 TLS_AES_256_GCM_SHA384", or "" without TLS; once ready. */
const char *stream_cipher(const struct stream *s, char *out, size_t size);

#endif
