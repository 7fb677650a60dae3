/* SPDX-License-Identifier: Apache-2.0
 * t/support/ws_peer.h - a stream below WebSocket's that a test feeds and drains, and the request that opens one. */
#ifndef T_SUPPORT_WS_PEER_H
#define T_SUPPORT_WS_PEER_H

#include "common/base/buf.h"
#include "worker/stream.h"

#define WS_PEER_REQUEST "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" \
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"

struct ws_peer {
	struct stream stream;
	struct buf to_server, to_client;
	size_t step;                    /* bytes a read gives at most; 0: all */
	size_t room;                    /* bytes that writes take before FB_EAGAIN; at first no limit */
	bool eof;                       /* reads end where there is nothing */
};

struct ws_peer *ws_peer_new(void);      /* the stream above frees it */

#endif
