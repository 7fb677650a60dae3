/* SPDX-License-Identifier: Apache-2.0
 * worker/stream.h - the bytes of a connection: what a kind of transport must do.
 *
 * Plain TCP has no struct stream: conn.c calls tcp.c. A connection over TLS or WebSocket has one, which owns what it
 * needs and may have another below it (WebSocket over TLS); the socket belongs to the connection. All calls are made
 * from the worker's loop, none blocks.
 *
 * read and writev return a number of bytes > 0, or FB_EAGAIN, FB_ECLOSED (the peer ended its side), FB_EIO (it broke, or
 * the peer broke a rule; why() says, for tcp errno). A read may leave something to be sent (a handshake,
 * a pong): then unsent() is true, and the connection calls flush() at the end of the turn and when the socket has room. */
#ifndef WORKER_STREAM_H
#define WORKER_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

ssize_t tcp_read(int fd, void *p, size_t len);
ssize_t tcp_writev(int fd, const struct iovec *iov, int count);

struct stream;

struct stream_ops {
	ssize_t (*read)(struct stream *s, void *p, size_t len);
	/* Takes some of the bytes; those taken are its own to deliver, in order. After FB_EAGAIN the next call begins with
	 * the same bytes and may have more behind them. */
	ssize_t (*writev)(struct stream *s, const struct iovec *iov, int count);
	/* Input is held here: another read gives something though the socket is not readable. */
	bool (*more)(const struct stream *s);
	bool (*unsent)(const struct stream *s);
	int (*flush)(struct stream *s);                 /* 0: all is sent; FB_EAGAIN, FB_EIO */
	void (*shutdown)(struct stream *s);             /* says goodbye as well as it can without waiting */
	const char *(*why)(const struct stream *s);     /* after FB_ECLOSED or FB_EIO: one line; "": see errno */
	/* The user that the transport vouches for (the name in a client certificate), or NULL. */
	const char *(*user)(const struct stream *s);
	void (*free)(struct stream *s);
};

struct stream {
	const struct stream_ops *ops;
};

#endif
