/* SPDX-License-Identifier: Apache-2.0
 * The packet CONNECT: decoded and checked; OPEN to the store (who is it, whose is the id). It goes on in connect.c. */
#include <inttypes.h>
#include <stdio.h>

#include "common/base/mem.h"
#include "common/base/rand.h"
#include "common/ipc/message.h"
#include "common/metrics/page.h"
#include "common/mqtt/decode.h"
#include "common/mqtt/reason.h"
#include "common/mqtt/topic.h"
#include "worker/admission.h"
#include "worker/ban.h"
#include "worker/connect_int.h"
#include "worker/dispatch.h"
#include "worker/durability.h"
#include "worker/will.h"
#include "worker/worker.h"

static struct slice
copy_text(uint8_t **at, struct slice from)
{
	struct slice to = slice_of(*at, from.len);

	if (from.len > 0)
		memcpy(*at, from.p, from.len);
	*at += from.len;
	return to;
}

static struct slice
assigned_id(char out[40])
{
	uint64_t r[2];

	rand_bytes(r, sizeof r);
	snprintf(out, 40, "auto-%016" PRIx64 "%016" PRIx64, r[0], r[1]);
	return slice_str(out);
}

/* What the standard leaves to the server, and what needs the configuration. */
static bool
acceptable(struct conn *c, const struct mqtt_connect *p)
{
	struct worker *w = c->worker;

	if (p->level == MQTT_50) {
		conn_refuse(c, MQTT_R_UNSUPPORTED_VERSION, "MQTT 5.0 is not spoken by this version");
		return false;
	}
	if (p->client_id.len == 0 && (p->level == MQTT_31 || !p->clean)) {
		conn_refuse(c, MQTT_R_BAD_CLIENT_ID, "MQTT-3.1.3-8");
		return false;
	}
	if (p->has_will && (!topic_name_valid(p->will.topic) ||
	    topic_levels(p->will.topic) > (uint32_t)w->config.max_levels)) {
		conn_kill(c, CONN_SIDE_SERVER, "the will's topic is not valid");
		return false;
	}
	metrics->note = rand_hash(p->client_id.p, p->client_id.len);
	if (ban_has(w, metrics->note)) {
		conn_refuse(c, MQTT_R_BANNED, "two processes died with this client in hand");
		return false;
	}
	if (w->stopping) {
		conn_refuse(c, MQTT_R_SERVER_UNAVAILABLE, "the server is stopping");
		return false;
	}
	return true;
}

/* What the load of the node has to say. */
static bool
admitted(struct conn *c, const struct mqtt_connect *p)
{
	const struct worker *w = c->worker;
	const char *target = config_alternate(&w->config);
	struct admission_case a = { .overloaded = w->overloaded, .target = target != NULL,
	    .drop = w->config.when_overloaded[0] == 'd', .follows = p->has_max_recursion && p->max_recursion > 0 };

	switch (admission_decide(&a)) {
	case ADMISSION_GO_ON:
		break;
	case ADMISSION_UNAVAILABLE:
		conn_refuse(c, MQTT_R_SERVER_UNAVAILABLE, "the node is overloaded");
		return false;
	case ADMISSION_ELSEWHERE:
		conn_redirect(c, target, (uint16_t)(p->max_recursion - 1));
		return false;
	}
	return true;
}

/* Only where the client can be told: else what it asked for holds. [MQTT-3.1.2-24] */
static void
set_keep_alive(struct open *o, uint16_t asked_s)
{
	const struct config *config = &o->worker->config;
	uint16_t min, max;

	o->keep_alive_s = asked_s;
	if (!config->ext_keep_alive || !config_range(config->valid_keep_alive, &min, &max))
		return;
	o->keep_alive_s = admission_keep_alive(asked_s, min, max);
	o->keep_alive_moved = o->keep_alive_s != asked_s;
}

/* By the listener that it came in at, unless an IP rule spares it. */
static bool
needs_login(const struct conn *c)
{
	const struct config *config = &c->worker->config;
	struct listener_config l;

	config_listener(config, c->listener, &l);
	if (c->flags & CONN_ALLOWED)
		return false;
	return strcmp(l.auth, "default") == 0 ? config->auth_enabled : strcmp(l.auth, "on") == 0;
}

/* The name in a client's certificate stands for user name and password, where the listener has it so. NULL: none. */
static const char *
vouched_user(const struct conn *c)
{
	struct listener_config l;

	config_listener(&c->worker->config, c->listener, &l);
	return l.cn_user && c->stream != NULL ? c->stream->ops->user(c->stream) : NULL;
}

/* What is asked of the store about who it is. */
static uint8_t
login_flags(const struct conn *c, const struct mqtt_connect *p, bool vouched)
{
	if (vouched)
		return OPEN_VOUCHED | OPEN_HAS_USER;
	return (uint8_t)((p->has_user ? OPEN_HAS_USER : 0) | (needs_login(c) ? OPEN_AUTH : 0));
}

int
do_connect(struct conn *c, const struct frame *f, struct violation *v)
{
	struct worker *w = c->worker;
	struct decode_opts opts = { .alternate_server_v4 = w->config.ext_alternate_v4 };
	struct mqtt_connect p;
	char text[40];
	const char *user;
	struct open *o;
	uint8_t *at;
	int err = decode_connect(f, &opts, &p, v);

	METRIC_ADD(connects, 1);
	c->level = p.level;
	if (err != 0)
		return err;
	if (!acceptable(c, &p) || !admitted(c, &p))
		return 0;
	if (p.client_id.len == 0)
		p.client_id = assigned_id(text);        /* [MQTT-3.1.3-6] */
	user = vouched_user(c);
	if (user != NULL)
		p.user = slice_str(user);
	o = mem_zalloc(sizeof *o + p.client_id.len + p.user.len + p.password.len);
	o->worker = w;
	o->conn = c;
	o->level = p.level;
	o->clean = p.clean;
	set_keep_alive(o, p.keep_alive_s);
	o->will = p.has_will ? will_new(&p.will, durability_disk(w, c->listener, p.will.topic)) : NULL;
	list_init(&o->followers);
	at = o->bytes;
	o->ask.client_id = copy_text(&at, p.client_id);
	o->ask.user = copy_text(&at, p.user);
	o->ask.password = copy_text(&at, p.password);
	o->ask.flags = (uint8_t)((p.clean ? OPEN_CLEAN : 0) | login_flags(c, &p, user != NULL) |
	    (p.client_id.p == (const uint8_t *)text ? OPEN_ASSIGNED : 0));
	o->ask.done = connect_opened;
	hmap_put(&w->opens, &o->node, rand_hash(p.client_id.p, p.client_id.len));
	c->open = o;
	c->state = CONN_OPENING;
	storec_open(w->store, &o->ask);
	return 0;
}
