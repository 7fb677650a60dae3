/* SPDX-License-Identifier: Apache-2.0
 * supervisor/client/target.h - where a server is and how it is spoken to: kind://[user[:password]@]host[:port][/path].
 *
 * Kinds: mqtt (tcp), mqtts (ssl, tls), ws, wss. */
#ifndef CLIENT_TARGET_H
#define CLIENT_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TARGET_HOST_MAX 255
#define TARGET_PATH_MAX 255

struct target {
	char host[TARGET_HOST_MAX + 1]; /* name or address, without brackets */
	char path[TARGET_PATH_MAX + 1]; /* WebSocket; starts with '/'; empty: /mqtt */
	uint16_t port;                  /* 0: that of its kind */
	bool tls;
	bool ws;
};

/* Where the other parts of a URL go; empty: not in it. */
struct target_rest {
	char user[256];
	char password[256];
	char path[256];                 /* of mqtt and mqtts, without the '/': people write a topic there */
	bool has_password;
};

/* Fills *t; rest may be NULL: then a user, a password or a topic is an error. 0; FB_EINVAL with the text in error. */
int target_parse(struct target *t, const char *url, struct target_rest *rest, char *error, size_t error_size);
/* An alternate server as it stands in CONNACK: a URL, or host[:port] of the same kind as *from. The first of several
 * (separated by blanks) counts. FB_EINVAL: none of that; FB_EPERM: from TLS to a server without. */
int target_alternate(struct target *t, const struct target *from, const void *text, size_t len);
const char *target_kind(const struct target *t);        /* mqtt, mqtts, ws, wss */
uint16_t target_port(const struct target *t);           /* the port, or that of its kind: 1883, 8883, 80, 443 */
const char *target_show(const struct target *t, char *out, size_t size);

#endif
