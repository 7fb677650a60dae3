/* SPDX-License-Identifier: Apache-2.0
 * worker/ws.h - a connection's bytes inside WebSocket's binary frames (RFC 6455, MQTT section 6): a stream above TCP or
 * TLS. libwslay does the framing.
 *
 * An idle connection holds no frame parser: one of the pool serves all that stand between two frames, and only a
 * connection in the middle of a frame keeps one (4 KiB). */
#ifndef WORKER_WS_H
#define WORKER_WS_H

#include "common/config/config.h"
#include "worker/stream.h"

struct ws_pool;

struct ws_pool *ws_pool_new(void);
void ws_pool_free(struct ws_pool *pool);        /* after its streams */

/* below: the stream under this one, taken; NULL: fd itself, which stays the connection's. config: the listener's keys in
 * force, borrowed for as long as the request is not whole: a pointer to the worker's own. */
struct stream *ws_new(struct ws_pool *pool, int fd, struct stream *below, const struct config *config, unsigned listener);

#endif
