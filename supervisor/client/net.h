/* SPDX-License-Identifier: Apache-2.0
 * supervisor/client/net.h - the options that say where the server is: the same for every command. */
#ifndef CLIENT_NET_H
#define CLIENT_NET_H

#include "supervisor/client/opt.h"
#include "supervisor/client/stream.h"
#include "supervisor/client/target.h"

enum {
#define OPT(ID, letter, name, arg, who, help) NET_##ID,
#include "supervisor/client/net.def"
#undef OPT
	NET_OPT_COUNT
};

struct net {
	struct target at;
	struct target_rest rest;        /* of --url */
	struct tls_files files;
	const char *bind;               /* NULL: any */
	bool split;
	bool has_url;
	struct tls *tls;                /* from net_open() on; NULL: not needed */
};

void net_init(struct net *n);
/* row is one of the first NET_OPT_COUNT of a table that begins with net.def. Texts are borrowed. */
bool net_option(struct net *n, struct opt *o, int row, const char *value);
/* Reads certificates and keys; also when only an alternate server may need them. 0; FB_EINVAL with the text. */
int net_open(struct net *n, bool may_redirect, char *error, size_t error_size);
void net_close(struct net *n);

#endif
