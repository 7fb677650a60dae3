/* SPDX-License-Identifier: Apache-2.0
 * worker/tls.h - TLS for the listeners that have it: what a worker knows (contexts, ticket keys), and the streams.
 *
 * OpenSSL stays behind this header. A context belongs to one listener; it is replaced when its settings or files
 * change, and lives on as long as streams that were made with it. */
#ifndef WORKER_TLS_H
#define WORKER_TLS_H

#include "common/base/loop.h"
#include "common/base/slice.h"
#include "common/config/config.h"
#include "worker/stream.h"

struct tls;

struct tls *tls_new(struct loop *l);
void tls_free(struct tls *t);           /* after all streams */
/* Makes the contexts of the listeners that are on: of those whose settings differ from before, or, with again, of all:
 * their files may have changed. One that cannot be made is logged, and the one before stays. */
void tls_configure(struct tls *t, const struct config *c, bool again);
/* Keys for session tickets, TLS_TICKET_KEY_BYTES each, the newest first: that one is for new tickets. All workers of a
 * node have the same, so that a client may resume at any. FB_EINVAL: not such keys; the old ones stay. */
#define TLS_TICKET_KEY_BYTES 80
#define TLS_TICKET_KEYS_MAX 4
int tls_ticket_keys(struct tls *t, struct slice keys);

/* A stream over the socket of a client that came in at that listener: conn's own, or below its WebSocket stream. The
 * socket stays the caller's, and outlives it. NULL: the listener has no usable certificate. */
struct stream *tls_stream_new(struct tls *t, unsigned listener, int fd);

/* Tries what tls_configure() would do, for fubard --check and reload. 0; FB_EINVAL, FB_EPERM, FB_ENOENT: *e names the
 * key, the file and the reason. */
int tls_check(const struct config *c, struct config_error *e);

#endif
