/* SPDX-License-Identifier: Apache-2.0
 * supervisor/client/sub.c - prints what arrives. A message is acknowledged when it is printed: what comes after the last one
 * wanted (-C) is not, and stays with a durable session. */
#include "supervisor/client/sub.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "supervisor/client/format.h"
#include "supervisor/client/wire.h"
#include "common/base/utf8.h"
#include "common/mqtt/reason.h"
#include "common/mqtt/topic.h"

struct sub {
	struct cli cli;
	struct wire wire;
	uint64_t printed;
};

static void
subscribe(struct wire *w)
{
	const struct cli *cli = w->cli;
	struct mqtt_filter filters[CLI_LIST_MAX];
	uint16_t id;

	for (uint32_t i = 0; i < cli->topics.count; i++) {
		filters[i] = (struct mqtt_filter){
			.filter = slice_str(cli->topics.text[i]),
			.qos = cli->qos,
			.no_local = cli->no_local,
			.retain_as_published = cli->retain_as_published,
			.retain_handling = cli->retain_handling,
		};
		wire_debug(w, "sending SUBSCRIBE (%s, QoS %u)", cli->topics.text[i], cli->qos);
	}
	if (cli->topics.count > 0)
		(void)client_subscribe(&w->caller.client, filters, cli->topics.count, buf_slice(&cli->props[CLI_P_SUBSCRIBE]), 0, &id);
}

static void
on_up(struct wire *w, bool session_present)
{
	const struct cli *cli = w->cli;
	struct slice filters[CLI_LIST_MAX];
	uint16_t id;

	w->caller.client.manual_ack = true;
	for (uint32_t i = 0; i < cli->unsubscribe.count; i++) {
		filters[i] = slice_str(cli->unsubscribe.text[i]);
		wire_debug(w, "sending UNSUBSCRIBE (%s)", cli->unsubscribe.text[i]);
	}
	if (cli->unsubscribe.count > 0)
		(void)client_unsubscribe(&w->caller.client, filters, cli->unsubscribe.count,
		    buf_slice(&cli->props[CLI_P_UNSUBSCRIBE]), 0, &id);
	subscribe(w);
}

static void
on_suback(struct client *c, const struct mqtt_suback *p, uint64_t token)
{
	struct wire *w = wire_of(c);
	uint32_t refused = 0;

	for (uint32_t i = 0; i < p->codes.len && i < w->cli->topics.count; i++) {
		uint8_t code = p->codes.p[i];

		wire_debug(w, "received SUBACK (%s: code %u)", w->cli->topics.text[i], code);
		if (code < 0x80)
			continue;
		refused++;
		wire_error(w, "the server refused %s: %s", w->cli->topics.text[i],
		    c->level == MQTT_50 ? reason_text(code) : "no reason given");
	}
	if (refused == p->codes.len)
		wire_finish(w, WIRE_FAILED);
	else if (w->cli->exit_after_suback)
		wire_finish(w, refused > 0 ? WIRE_FAILED : WIRE_OK);
}

static void
on_unsuback(struct client *c, const struct mqtt_suback *p, uint64_t token)
{
	struct wire *w = wire_of(c);

	wire_debug(w, "received UNSUBACK");
	if (w->cli->topics.count == 0)
		wire_finish(w, WIRE_OK);
}

static bool
wanted(const struct cli *cli, const struct mqtt_publish *p)
{
	if (p->retain && cli->no_retained)
		return false;
	if (!p->retain && cli->only_retained)
		return false;
	for (uint32_t i = 0; i < cli->filter_out.count; i++)
		if (topic_matches(slice_str(cli->filter_out.text[i]), p->topic))
			return false;
	return true;
}

static void
print(const struct cli *cli, const struct mqtt_publish *p)
{
	if (cli->format != NULL) {
		format_print(stdout, cli->format, p, clock_wall());
	} else if (cli->verbose) {
		fwrite(p->topic.p, 1, p->topic.len, stdout);
		fputc(' ', stdout);
		if (p->payload.len == 0)
			fputs("(null)", stdout);
	}
	if (cli->format == NULL && p->payload.len > 0)
		fwrite(p->payload.p, 1, p->payload.len, stdout);
	if (!cli->no_newline)
		fputc('\n', stdout);
}

static void
on_publish(struct client *c, const struct mqtt_publish *p)
{
	struct wire *w = wire_of(c);
	struct sub *s = w->arg;

	if (w->finished)
		return;
	if (w->cli->debug) {
		char topic[256];

		wire_debug(w, "received PUBLISH (QoS %u%s%s, id %u, %s, %zu bytes)", p->qos, p->retain ? ", retained" : "",
		    p->dup ? ", again" : "", p->packet_id, utf8_show(p->topic, topic, sizeof topic), p->payload.len);
	}
	if (wanted(w->cli, p)) {
		print(w->cli, p);
		s->printed++;
	}
	if (p->qos > 0)
		(void)client_ack(c, p->packet_id, p->qos, 0);
	if ((w->cli->count > 0 && s->printed >= w->cli->count) || (w->cli->only_retained && !p->retain))
		wire_finish(w, WIRE_OK);
}

static void
on_disconnect(struct client *c, enum mqtt_type type, const struct mqtt_disconnect *p)
{
	wire_error(wire_of(c), "the server says: %s", reason_text(p->reason));
}

static void
on_turn(struct wire *w)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return;
	wire_error(w, "standard output: %s", strerror(errno));
	wire_finish(w, WIRE_FAILED);
}

int
sub_main(char **argv)
{
	static const struct wire_ops ops = {
		.on_up = on_up,
		.on_turn = on_turn,
		.client = {
			.on_publish = on_publish,
			.on_suback = on_suback,
			.on_unsuback = on_unsuback,
			.on_disconnect = on_disconnect,
		},
	};
	struct sub s = { .wire = { .watch_fd = -1, .timer = { INT64_MAX }, .keep_trying = true } };
	char error[256];
	char bad = 0;
	int status = WIRE_USAGE;

	if (cli_parse(&s.cli, CLI_SUB, argv, error, sizeof error) != 0) {
		fprintf(stderr, "fubar-client sub: %s\nTry 'fubar-client sub --help'.\n", error);
	} else if (s.cli.help) {
		cli_help(CLI_SUB);
		status = WIRE_OK;
	} else if (s.cli.format != NULL && format_check(s.cli.format, &bad) != 0) {
		fprintf(stderr, "fubar-client sub: --format: '%c' behind %% or \\ means nothing\n", bad);
	} else {
		s.wire.cli = &s.cli;
		s.wire.arg = &s;
		status = wire_run(&s.wire, &ops);
	}
	cli_fini(&s.cli);
	return status;
}
