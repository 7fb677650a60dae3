/* SPDX-License-Identifier: Apache-2.0
 * supervisor/client/pub.c - publishes an argument, a file, or the lines of standard input; done when all is acknowledged. */
#include "supervisor/client/pub.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supervisor/client/wire.h"
#include "common/base/err.h"
#include "common/mqtt/reason.h"

#define PAYLOAD_MAX 268435455u
#define READ_BYTES 65536
#define OUT_HIGH (1u << 20)             /* bytes to send, and messages under way, at which lines are not read */
/* What mosquitto's clients do at levels 3 and 4, which cannot say how much a server takes: mosquitto 2.0 acknowledges
 * QoS 2 messages beyond its limit of 20 and drops them. */
#define IN_FLIGHT_HIGH 20

struct pub {
	struct cli cli;
	struct wire wire;
	struct buf payload;             /* -f, -s: the whole; -l: the start of a line */
	uint64_t sent;
	uint64_t refused;
	bool end_of_input;
	bool all_sent;
};

static bool
publish(struct pub *p, struct slice payload)
{
	struct wire *w = &p->wire;
	struct mqtt_publish m = {
		.topic = slice_str(p->cli.topics.text[0]),
		.payload = payload,
		.props = buf_slice(&p->cli.props[CLI_P_PUBLISH]),
		.qos = p->cli.qos,
		.retain = p->cli.retain,
	};

	if (client_publish(&w->caller.client, &m, 0) != 0)
		return false;
	p->sent++;
	wire_debug(w, "sending PUBLISH (QoS %u%s, id %u, %s, %zu bytes)", m.qos, m.retain ? ", retained" : "", m.packet_id,
	    p->cli.topics.text[0], payload.len);
	return true;
}

static void
check_end(struct pub *p)
{
	if (p->all_sent && p->wire.caller.client.in_flight == 0)
		wire_finish(&p->wire, p->refused > 0 ? WIRE_FAILED : WIRE_OK);
}

static bool
full(const struct pub *p)
{
	const struct client *c = &p->wire.caller.client;

	return buf_len(&c->out) > OUT_HIGH || c->in_flight >= IN_FLIGHT_HIGH;
}

/* The copies of one message; the rest goes when the timer or an acknowledgement comes. */
static void
send_repeats(struct pub *p)
{
	struct slice payload = buf_slice(&p->payload);

	if (p->cli.source == CLI_MESSAGE)
		payload = slice_str(p->cli.message);
	while (p->sent < p->cli.repeat) {
		if (full(p) || !publish(p, payload))
			break;
		if (p->cli.repeat_delay_s > 0)
			break;
	}
	if (p->sent >= p->cli.repeat)
		p->all_sent = true;
	else if (p->cli.repeat_delay_s > 0)
		p->wire.timer = mono_add(clock_mono(), (int64_t)(p->cli.repeat_delay_s * (double)NS_PER_SEC));
	else
		p->wire.timer = mono_add(clock_mono(), NS_PER_MS);
	check_end(p);
}

/* Publishes the whole lines in p->payload, and what is behind the last one if nothing follows. False: not all went,
 * for want of packet ids. */
static bool
send_lines(struct pub *p)
{
	for (;;) {
		struct slice rest = buf_slice(&p->payload);
		const uint8_t *nl = rest.len > 0 ? memchr(rest.p, '\n', rest.len) : NULL;
		size_t len = nl != NULL ? (size_t)(nl - rest.p) : rest.len;

		if (nl == NULL && (!p->end_of_input || rest.len == 0))
			return true;
		if (full(p) || !publish(p, slice_of(rest.p, len)))
			return false;
		buf_eat(&p->payload, nl != NULL ? len + 1 : len);
	}
}

/* Reads on only when all that was read is sent; on_timer() tries again: acknowledgements and the socket make room. */
static void
pump_lines(struct pub *p)
{
	struct wire *w = &p->wire;
	bool all = send_lines(p);

	w->watch_fd = all && !p->end_of_input ? STDIN_FILENO : -1;
	if (!all)
		w->timer = mono_add(clock_mono(), NS_PER_MS);
	p->all_sent = all && p->end_of_input;
	check_end(p);
}

static void
on_watch(struct wire *w)
{
	struct pub *p = w->arg;
	ssize_t n;

	n = read(STDIN_FILENO, buf_room(&p->payload, READ_BYTES), READ_BYTES);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n > 0)
		buf_added(&p->payload, (size_t)n);
	if (n < 0) {
		wire_error(w, "standard input: %s", strerror(errno));
		p->refused++;
	}
	p->end_of_input = n <= 0;
	if (buf_len(&p->payload) > PAYLOAD_MAX) {
		wire_error(w, "a line is longer than a packet can be");
		wire_finish(w, WIRE_FAILED);
	}
	pump_lines(p);
}

static void
on_timer(struct wire *w)
{
	struct pub *p = w->arg;

	if (p->cli.source != CLI_STDIN_LINE)
		send_repeats(p);
	else
		pump_lines(p);
}

static void
on_up(struct wire *w, bool session_present)
{
	struct pub *p = w->arg;

	if (p->cli.source == CLI_STDIN_LINE)
		w->watch_fd = STDIN_FILENO;
	else
		send_repeats(p);
}

static void
on_sent(struct client *c, uint16_t packet_id, uint64_t token, uint8_t reason)
{
	struct pub *p = wire_of(c)->arg;

	wire_debug(&p->wire, "message %u is acknowledged (%u)", packet_id, reason);
	if (reason >= 0x80) {
		p->refused++;
		wire_error(&p->wire, "message %u was refused: %s", packet_id,
		    reason == CLIENT_LOST ? "connection lost" : reason_text(reason));
	}
	check_end(p);
}

static void
on_disconnect(struct client *c, enum mqtt_type type, const struct mqtt_disconnect *d)
{
	wire_error(wire_of(c), "the server says: %s", reason_text(d->reason));
}

/* -f and -s: all of it, before anything is connected. */
static bool
read_all(struct pub *p)
{
	const char *name = p->cli.source == CLI_FILE ? p->cli.message : "standard input";
	int fd = p->cli.source == CLI_FILE ? open(p->cli.message, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
	ssize_t n = -1;

	while (fd >= 0 && buf_len(&p->payload) <= PAYLOAD_MAX) {
		n = read(fd, buf_room(&p->payload, READ_BYTES), READ_BYTES);
		if (n > 0)
			buf_added(&p->payload, (size_t)n);
		else if (n == 0 || errno != EINTR)
			break;
	}
	if (fd < 0 || n < 0)
		fprintf(stderr, "fubar-client pub: %s: %s\n", name, strerror(errno));
	else if (n > 0)
		fprintf(stderr, "fubar-client pub: %s: larger than a packet can be\n", name);
	if (fd > STDIN_FILENO)
		close(fd);
	return n == 0;
}

int
pub_main(char **argv)
{
	static const struct wire_ops ops = {
		.on_up = on_up,
		.on_watch = on_watch,
		.on_timer = on_timer,
		.client = { .on_sent = on_sent, .on_disconnect = on_disconnect },
	};
	struct pub p = { .wire = { .watch_fd = -1, .timer = { INT64_MAX } } };
	char error[256];
	int status = WIRE_USAGE;

	if (cli_parse(&p.cli, CLI_PUB, argv, error, sizeof error) != 0) {
		fprintf(stderr, "fubar-client pub: %s\nTry 'fubar-client pub --help'.\n", error);
	} else if (p.cli.help) {
		cli_help(CLI_PUB);
		status = WIRE_OK;
	} else if ((p.cli.source == CLI_FILE || p.cli.source == CLI_STDIN_FILE) && !read_all(&p)) {
		status = WIRE_FAILED;
	} else {
		p.wire.cli = &p.cli;
		p.wire.arg = &p;
		status = wire_run(&p.wire, &ops);
	}
	buf_fini(&p.payload);
	cli_fini(&p.cli);
	return status;
}
