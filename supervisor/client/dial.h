/* SPDX-License-Identifier: Apache-2.0
 * supervisor/client/dial.h - a TCP connection by name, given up when another descriptor becomes readable. */
#ifndef CLIENT_DIAL_H
#define CLIENT_DIAL_H

#include <stddef.h>
#include <stdint.h>

/* Tries each address of host, 30 s at most for each. from: local address, or NULL. stop_fd: see above. Returns the
 * descriptor, not blocking, TCP_NODELAY; or FB_ENOENT (no such name), FB_EIO, FB_ETIMEOUT, FB_ECLOSED (stop_fd), with
 * the text in error. */
int dial_tcp(const char *host, uint16_t port, const char *from, int stop_fd, char *error, size_t error_size);

#endif
