/* SPDX-License-Identifier: Apache-2.0
 * common/config/listener.c - the keys of one listener out of the flat table. */
#include <string.h>

#include "common/base/err.h"
#include "common/config/config.h"

#define BASE(L) \
	out->bind = c->L##_bind; \
	out->port = c->L##_port; \
	out->backlog = c->L##_backlog; \
	out->auth = c->L##_auth; \
	out->most = c->L##_most; \
	out->durability = c->L##_durability;
#define TLS(L) \
	out->cert = c->L##_cert; \
	out->key = c->L##_key; \
	out->ca = c->L##_ca; \
	out->client_cert = c->L##_client_cert; \
	out->cn_user = c->L##_cn_user; \
	out->tls_min = c->L##_tls_min;
#define WS(L) \
	out->path = c->L##_path; \
	out->origins = c->L##_origins; \
	out->allow = c->L##_allow;
#define FILL_MQTT(L)  BASE(L) out->allow = true;
#define FILL_MQTTS(L) BASE(L) TLS(L) out->allow = true;
#define FILL_WS(L)    BASE(L) WS(L)
#define FILL_WSS(L)   BASE(L) TLS(L) WS(L)

void
config_listener(const struct config *c, unsigned listener, struct listener_config *out)
{
	*out = (struct listener_config){ .cert = "", .key = "", .ca = "", .client_cert = "off", .tls_min = "1.2", .path = "",
		.origins = "" };
	switch (listener) {
#define LISTENER(field, text, what, port) \
	case CONFIG_L_##field: \
		out->name = text; \
		out->kind = LISTENER_##what; \
		FILL_##what(field) \
		break;
#include "common/config/listeners.def"
#undef LISTENER
	default:
		FB_ASSERT(0 && "no such listener");
	}
}

bool
config_is_spare(enum config_key k)
{
	const char *name = config_info(k)->path;

	if (strncmp(name, "listeners.", 10) != 0)
		return false;
	name += 10;
	return name[strcspn(name, "0123456789.")] != '.';
}
