/* SPDX-License-Identifier: Apache-2.0
 * supervisor/client/shell_member.c - one named client: what happens to it, in words. */
#include <stdio.h>

#include "supervisor/client/shell.h"
#include "common/base/err.h"
#include "common/base/mem.h"
#include "common/base/utf8.h"
#include "common/mqtt/reason.h"

#define SHOW_MAX 1024                   /* of a payload, on the screen */

static struct member *
member_of(struct client *c)
{
	return caller_of(c)->arg;
}

struct member *
member_find(const struct shell *sh, const char *name)
{
	LIST_EACH(node, &sh->members) {
		struct member *m = container_of(node, struct member, node);

		if (strcmp(m->name, name) == 0)
			return m;
	}
	return NULL;
}

struct member *
member_new(struct shell *sh, const char *name)
{
	struct member *m = mem_zalloc(sizeof *m);

	m->shell = sh;
	m->caller.fd = -1;
	snprintf(m->name, sizeof m->name, "%s", name);
	list_put_last(&sh->members, &m->node);
	return m;
}

static void
forget_connect(struct member *m)
{
	for (char **w = m->words; w != NULL && *w != NULL; w++)
		mem_free(*w);
	mem_free(m->words);
	m->words = NULL;
	if (!m->made)
		return;
	cli_fini(&m->cli);
	net_close(&m->net);
}

static void
forget_message(struct shell_message *s)
{
	mem_free(s->topic);
	mem_free(s->payload);
	memset(s, 0, sizeof *s);
}

void
member_free(struct member *m)
{
	list_del(&m->node);
	if (m->made)
		caller_fini(&m->caller);
	forget_connect(m);
	forget_message(&m->last);
	mem_free(m);
}

const char *
member_state(const struct member *m)
{
	if (!m->made || m->caller.state == CALLER_DOWN)
		return "down";
	if (m->caller.client.state == CLIENT_UP)
		return "up";
	return m->caller.client.state == CLIENT_ENDING || m->caller.state == CALLER_LINGERING ? "closing" : "connecting";
}

/* ---- what happens ---- */

static void
on_up(struct caller *c, bool session_present)
{
	struct member *m = c->arg;
	char where[600];
	char cipher[64] = "";
	char alive[64] = "";

	if (c->stream != NULL)
		(void)stream_cipher(c->stream, cipher, sizeof cipher);
	if (c->client.keep_alive_s != m->cli.keep_alive_s)
		snprintf(alive, sizeof alive, ", keep-alive %u s instead of %u", c->client.keep_alive_s, m->cli.keep_alive_s);
	shell_print(m->shell, "@%s connected to %s%s%s%s%s", m->name, target_show(&c->at, where, sizeof where),
	    *cipher != 0 ? ", " : "", cipher, session_present ? ", session present" : "", alive);
	m->was_up = true;
	shell_happened(m->shell, WAIT_UP, m, 0, true);
}

static void
on_down(struct caller *c, enum caller_end why, const char *text)
{
	static const char *const what[] = { "disconnected", "no connection", "refused", "connection lost", "connection lost",
		"the server broke the protocol" };
	struct member *m = c->arg;

	snprintf(m->why, sizeof m->why, "%s%s%s", what[why], why == CALLER_ENDED ? "" : ": ", why == CALLER_ENDED ? "" : text);
	shell_print(m->shell, "@%s %s", m->name, m->why);
	shell_happened(m->shell, WAIT_DOWN, m, 0, true);
}

static void
on_redirect(struct caller *c)
{
	struct member *m = c->arg;
	char where[600];

	shell_print(m->shell, "@%s is sent to %s", m->name, target_show(&c->at, where, sizeof where));
}

static void
keep_message(struct member *m, const struct mqtt_publish *p)
{
	struct shell_message *s = &m->last;

	forget_message(s);
	s->topic = mem_dup(p->topic.p, p->topic.len);
	s->topic_len = p->topic.len;
	s->payload = mem_dup(p->payload.p, p->payload.len);
	s->len = p->payload.len;
	s->qos = p->qos;
	s->retain = p->retain;
	s->dup = p->dup;
}

static void
on_publish(struct client *c, const struct mqtt_publish *p)
{
	struct member *m = member_of(c);
	char topic[256];
	char text[SHOW_MAX];
	char flags[40] = "";

	keep_message(m, p);
	m->received++;
	if (p->qos > 0 || p->retain || p->dup)
		snprintf(flags, sizeof flags, " (QoS %u%s%s)", p->qos, p->retain ? ", retained" : "", p->dup ? ", again" : "");
	shell_print(m->shell, "@%s %s%s: %s", m->name, utf8_show(p->topic, topic, sizeof topic), flags,
	    utf8_show(p->payload, text, sizeof text));
	shell_know(m->shell, p->topic);
	shell_happened(m->shell, WAIT_COUNT, m, 0, true);
}

static void
on_sent(struct client *c, uint16_t packet_id, uint64_t token, uint8_t reason)
{
	struct member *m = member_of(c);
	bool ok = reason < 0x80;

	m->acked += ok;
	if (ok)
		shell_print(m->shell, "@%s message %u is acknowledged%s%s", m->name, packet_id, reason != 0 ? ": " : "",
		    reason != 0 ? reason_text(reason) : "");
	else
		shell_print(m->shell, "@%s message %u is refused: %s", m->name, packet_id,
		    reason == CLIENT_LOST ? "its session is over" : reason_text(reason));
	shell_happened(m->shell, WAIT_ANSWER, m, token, ok);
}

static bool
show_codes(struct member *m, const struct mqtt_suback *p, const char *what)
{
	char text[200] = "";
	bool ok = true;

	for (size_t i = 0; i < p->codes.len && i < 20; i++) {
		size_t used = strlen(text);
		uint8_t code = p->codes.p[i];

		ok = ok && code < 0x80;
		if (code >= 0x80)
			snprintf(text + used, sizeof text - used, "%s%s", i > 0 ? ", " : ": ",
			    m->caller.client.level == MQTT_50 ? reason_text(code) : "refused");
		else if (what[0] == 's')
			snprintf(text + used, sizeof text - used, "%sQoS %u", i > 0 ? ", " : ": ", code);
		else
			snprintf(text + used, sizeof text - used, "%s%s", i > 0 ? ", " : ": ", reason_text(code));
	}
	shell_print(m->shell, "@%s %s%s", m->name, what, text);
	return ok;
}

static void
on_suback(struct client *c, const struct mqtt_suback *p, uint64_t token)
{
	struct member *m = member_of(c);
	bool ok = show_codes(m, p, "subscribed");

	shell_happened(m->shell, WAIT_ANSWER, m, token, ok);
}

static void
on_unsuback(struct client *c, const struct mqtt_suback *p, uint64_t token)
{
	struct member *m = member_of(c);
	bool ok = show_codes(m, p, "unsubscribed");

	shell_happened(m->shell, WAIT_ANSWER, m, token, ok);
}

static void
on_disconnect(struct client *c, enum mqtt_type type, const struct mqtt_disconnect *p)
{
	struct member *m = member_of(c);

	shell_print(m->shell, "@%s the server says: %s", m->name, reason_text(p->reason));
}

/* ---- connecting ---- */

int
member_connect(struct member *m, struct cli *cli, char **words, char *error, size_t error_size)
{
	static const struct caller_ops ops = {
		.on_up = on_up,
		.on_down = on_down,
		.on_redirect = on_redirect,
		.client = {
			.on_publish = on_publish,
			.on_sent = on_sent,
			.on_suback = on_suback,
			.on_unsuback = on_unsuback,
			.on_disconnect = on_disconnect,
		},
	};
	struct net net = cli->net;

	if (net_open(&net, cli->redirects > 0, error, error_size) != 0) {
		cli_fini(cli);
		for (char **w = words; *w != NULL; w++)
			mem_free(*w);
		mem_free(words);
		return FB_EINVAL;
	}
	forget_connect(m);
	m->net = net;
	m->cli = *cli;
	m->words = words;
	/* cli_connect() takes the user from a URL out of the struct that it is given. */
	if (m->cli.user == cli->net.rest.user)
		m->cli.user = m->cli.net.rest.user;
	if (m->cli.password == cli->net.rest.password)
		m->cli.password = m->cli.net.rest.password;
	if (m->cli.id == NULL)
		m->cli.id = m->name;
	else if (m->cli.id == cli->id_made)
		m->cli.id = m->cli.id_made;
	if (!m->made) {
		caller_init(&m->caller, &m->net, &ops, m);
		m->caller.client.keep_copies = true;
	}
	m->made = true;
	m->why[0] = 0;
	cli_connect(&m->cli, &m->caller.connect);
	caller_dial(&m->caller, m->cli.redirects, clock_mono());
	return 0;
}
