/* SPDX-License-Identifier: Apache-2.0
 * worker/stream.h - the bytes of a connection: what a kind of transport must do. tcp.c is the plain one.
 *
 * Both return a number of bytes >= 0, or FB_EAGAIN, FB_ECLOSED (the peer ended its side), FB_EIO (errno says). */
#ifndef WORKER_STREAM_H
#define WORKER_STREAM_H

#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

ssize_t tcp_read(int fd, void *p, size_t len);
ssize_t tcp_writev(int fd, const struct iovec *iov, int count);

#endif
