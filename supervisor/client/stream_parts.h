/* SPDX-License-Identifier: Apache-2.0
 * supervisor/client/stream_parts.h - the two layers of a stream; for stream.c. Each works on bytes, as the whole does. */
#ifndef CLIENT_STREAM_PARTS_H
#define CLIENT_STREAM_PARTS_H

#include "supervisor/client/stream.h"

#define STREAM_ERROR_MAX 200

struct tls_end;
struct tls_end *tls_end_new(struct tls *t, const char *host, char *error);      /* error[STREAM_ERROR_MAX] */
void tls_end_free(struct tls_end *e);
/* Also begins the handshake, with an empty in. */
int tls_end_take(struct tls_end *e, struct slice in, struct buf *plain, struct buf *out);
int tls_end_put(struct tls_end *e, struct slice plain, struct buf *out);        /* one record, up to 16 KiB */
void tls_end_finish(struct tls_end *e, struct buf *out);
bool tls_end_ready(const struct tls_end *e);
const char *tls_end_cipher(const struct tls_end *e, char *out, size_t size);

struct ws_end;
struct ws_end *ws_end_new(const struct target *at, uint8_t level, char *error);
void ws_end_free(struct ws_end *e);
void ws_end_start(struct ws_end *e, struct buf *out);
int ws_end_take(struct ws_end *e, struct slice in, struct buf *plain, struct buf *out);
int ws_end_put(struct ws_end *e, struct slice plain, struct buf *out);          /* one frame */
void ws_end_finish(struct ws_end *e, struct buf *out);
bool ws_end_ready(const struct ws_end *e);

#endif
