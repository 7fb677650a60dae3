/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/client/net.h"

#include <stdio.h>
#include <string.h>

#include "common/base/err.h"

void
net_init(struct net *n)
{
	memset(n, 0, sizeof *n);
	snprintf(n->at.host, sizeof n->at.host, "localhost");
}

static bool
set_copy(struct opt *o, char *out, size_t size, const char *value, const char *what)
{
	if (*value != 0 && strlen(value) < size) {
		snprintf(out, size, "%s", value);
		return true;
	}
	snprintf(o->error, sizeof o->error, "%s is empty or too long", what);
	return false;
}

static bool
set_url(struct net *n, struct opt *o, const char *value)
{
	bool tls = n->at.tls && !n->has_url;
	bool ws = n->at.ws && !n->has_url;

	n->has_url = true;
	if (target_parse(&n->at, value, &n->rest, o->error, sizeof o->error) != 0)
		return false;
	n->at.tls |= tls;
	n->at.ws |= ws;
	return true;
}

static bool
set_file(struct net *n, const char **file, const char *value)
{
	n->at.tls = true;
	*file = value;
	return true;
}

bool
net_option(struct net *n, struct opt *o, int row, const char *value)
{
	uint64_t v = 0;

	switch (row) {
	case NET_HOST: return set_copy(o, n->at.host, sizeof n->at.host, value, "--host");
	case NET_PORT:
		if (!opt_number(o, row, value, 1, UINT16_MAX, &v))
			return false;
		n->at.port = (uint16_t)v;
		return true;
	case NET_URL: return set_url(n, o, value);
	case NET_BIND:
		n->bind = value;
		return true;
	case NET_TLS: return n->at.tls = true;
	case NET_CAFILE: return set_file(n, &n->files.cafile, value);
	case NET_CERT: return set_file(n, &n->files.cert, value);
	case NET_KEY: return set_file(n, &n->files.key, value);
	case NET_INSECURE: return n->at.tls = n->files.insecure = true;
	case NET_WS: return n->at.ws = true;
	case NET_WS_PATH:
		n->at.ws = true;
		if (value[0] == '/')
			return set_copy(o, n->at.path, sizeof n->at.path, value, "--ws-path");
		snprintf(o->error, sizeof o->error, "--ws-path: it starts with /");
		return false;
	default: return n->split = true;
	}
}

int
net_open(struct net *n, bool may_redirect, char *error, size_t error_size)
{
	if ((n->files.cert != NULL) != (n->files.key != NULL)) {
		snprintf(error, error_size, "--cert and --key go together");
		return FB_EINVAL;
	}
	if (!n->at.tls && !may_redirect)
		return 0;
	n->tls = tls_open(&n->files, error, error_size);
	return n->tls != NULL ? 0 : FB_EINVAL;
}

void
net_close(struct net *n)
{
	tls_close(n->tls);
	n->tls = NULL;
}
