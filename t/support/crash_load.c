/* SPDX-License-Identifier: Apache-2.0
 * t/support/crash_load.c - clients that keep books while the broker is killed under them.
 *
 *	crash_load port=1883 [seed=1] [groups=2] [scale=1] [pubs=12ab] [subs=DdSsFfOoCc] [window=20] [rate=300]
 *	           [size=0] [count=0] [prefix=x] [stall=20]
 *
 * For each group, `scale` times: publishers (1, 2: durable, QoS 1, 2; a, b: clean, QoS 1, 2) and subscribers of everything
 * in the group (small letter: QoS 2; D: durable and online; S: the same, reading only each 20 ms; F: durable, comes and
 * goes; O: durable, away until the end; C: clean). rate: messages a second of each publisher; 0: as the window allows.
 * size: of the payload, 0 mixes sizes. count: each publisher ends after so many.
 *
 * Everybody reconnects; durable publishers send again what was not acknowledged, with the same packet ids and DUP; clean
 * ones as new messages, in their order. Commands come on standard input: `stop` (no new messages; all are acknowledged,
 * everybody is online and has everything, or nothing moved for `stall` seconds, then it ends), `port N`, `mark`.
 * Lines on standard output, T in seconds of CLOCK_MONOTONIC: `mark ACKS T` (how many there were so far), `up T` (publishing begins), `closed NAME T` (the broker's
 * doing), `gap NAME T T` (no acknowledgement in between, over 0.5 s), `bad WHAT SUB PUB NUMBER at T`, `result {...}`. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/mem.h"
#include "common/base/rand.h"
#include "common/mqtt/client.h"
#include "supervisor/client/hist.h"
#include "t/support/crash_book.h"

#define CONNECT_NS   (10 * NS_PER_SEC)
#define RETRY_NS     (20 * NS_PER_MS)
#define SLOW_NS      (20 * NS_PER_MS)
#define GAP_NS       (500 * NS_PER_MS)
#define BAD_LINES    50
#define PAYLOAD_MAX  (200 * 1024)

struct peer {
	struct client c;
	struct buf in;
	struct load *load;
	char name[32];
	char kind;                      /* letter of pubs= or subs= */
	bool publisher;
	bool durable;
	bool known;                     /* connected once: from then on a durable session must be present */
	bool leaving;                   /* F and O: ends the connection as soon as all is written */
	bool subscribed;
	uint8_t qos;
	unsigned group;
	unsigned index;                 /* in the book, as publisher or subscriber */
	int fd;                         /* -1: none */
	struct mono next;               /* of connecting, while fd is -1; F: of leaving */
	struct mono read_at;            /* S */
	/* publishers */
	uint32_t *again;                /* numbers to publish again, in order; owned */
	uint32_t again_count;
	uint32_t again_at;
	struct mono due;                /* of the next message */
	struct mono waits;              /* since then for an acknowledgement; ns 0: not */
};

struct load {
	struct book book;
	struct rand rand;
	struct peer *peers;
	unsigned count;
	unsigned pub_count;
	unsigned groups, scale, window, rate, size, limit, stall;
	unsigned port;
	const char *pubs, *subs, *prefix;
	uint64_t seed;
	bool running;                   /* all subscribers were up: publishing */
	bool stopping;
	bool drained;
	uint64_t bad_lines;
	uint64_t moved;                 /* grows with everything that arrives */
	struct mono now;
	struct hist ack_ns;
	int64_t first_ns, last_ns;      /* of sending, of an acknowledgement */
	uint8_t payload[PAYLOAD_MAX];
};

static double
seconds(struct mono t)
{
	return (double)t.ns / 1e9;
}

static void
say_wrong(void *arg, enum wrong what, const char *sub, const char *pub, uint32_t number)
{
	struct load *l = arg;

	if (l->bad_lines++ < BAD_LINES)
		printf("bad %s %s %s %u at %.3f\n", wrong_names[what], sub, pub, number, seconds(l->now));
}

/* ---- what the client tells us ---- */

static int
by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a;
	uint32_t y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void
publish_again(struct peer *p, uint32_t number)
{
	p->again = mem_realloc(p->again, (p->again_count + 1) * sizeof *p->again);
	p->again[p->again_count++] = number;
	qsort(p->again + p->again_at, p->again_count - p->again_at, sizeof *p->again, by_number);
}

static void
on_sent(struct client *c, uint16_t id, uint64_t token, uint8_t reason)
{
	struct peer *p = c->arg;
	struct load *l = p->load;
	uint32_t number = (uint32_t)token;

	(void)id;
	l->moved++;
	if (reason != 0) {
		publish_again(p, number);
		return;
	}
	if (p->waits.ns != 0 && mono_diff(l->now, p->waits) > GAP_NS)
		printf("gap %s %.3f %.3f\n", p->name, seconds(p->waits), seconds(l->now));
	p->waits = c->in_flight > 0 ? l->now : (struct mono){ 0 };
	hist_add(&l->ack_ns, l->now.ns - l->book.pubs[p->index].sent_ns[number], 1);
	l->last_ns = l->now.ns;
	book_acked(&l->book, p->index, number);
}

static void
on_publish(struct client *c, const struct mqtt_publish *m)
{
	struct peer *p = c->arg;
	struct load *l = p->load;
	uint32_t who[2];

	l->moved++;
	if (m->payload.len < sizeof who) {
		book_wrong(&l->book, WRONG_STRANGE, p->name, "?", 0);
		return;
	}
	memcpy(who, m->payload.p, sizeof who);
	book_arrived(&l->book, p->index, who[0], who[1]);
}

static void
on_connack(struct client *c, const struct mqtt_connack *a)
{
	struct peer *p = c->arg;
	struct load *l = p->load;
	struct mqtt_filter f = { .qos = p->qos };
	char text[64];
	uint16_t id;

	l->moved++;
	if (a->code != 0)
		return;
	if (p->durable && p->known && !a->session_present)
		book_wrong(&l->book, WRONG_SESSION, p->name, "connack", 0);
	if (p->publisher || (p->durable && p->known && a->session_present)) {
		p->known = true;
		p->subscribed = true;
		if (p->waits.ns == 0 && c->in_flight > 0)
			p->waits = l->now;
		return;
	}
	if (!p->durable)
		book_connected(&l->book, p->index);
	snprintf(text, sizeof text, "%s/%u/#", l->prefix, p->group);
	f.filter = slice_str(text);
	(void)client_subscribe(c, &f, 1, (struct slice){ 0 }, 0, &id);
}

static void
on_suback(struct client *c, const struct mqtt_suback *a, uint64_t token)
{
	struct peer *p = c->arg;

	(void)token;
	if (a->codes.len != 1 || a->codes.p[0] != p->qos)
		book_wrong(&p->load->book, WRONG_SESSION, p->name, "suback", 0);
	p->known = true;
	p->subscribed = true;
	p->load->moved++;
	if (!p->durable)
		book_subscribed(&p->load->book, p->index, p->load->now.ns);
}

static const struct client_ops ops = {
	.on_connack = on_connack, .on_publish = on_publish, .on_sent = on_sent, .on_suback = on_suback,
};

/* ---- connections ---- */

static int64_t
between_ms(struct load *l, unsigned from, unsigned to)
{
	return (int64_t)(from + rand_below(&l->rand, to - from + 1)) * NS_PER_MS;
}

/* How long a subscriber stays away after it left. */
static int64_t
away_ns(struct peer *p)
{
	if (p->load->stopping)
		return 0;
	return p->kind == 'O' ? INT64_MAX / 4 : between_ms(p->load, 50, 800);
}

static void
hang_up(struct peer *p, bool by_us)
{
	struct load *l = p->load;

	if (!by_us && p->c.state == CLIENT_UP && p->subscribed)
		printf("closed %s %.3f\n", p->name, seconds(l->now));
	close(p->fd);
	p->fd = -1;
	p->subscribed = false;
	client_closed(&p->c);
	buf_clear(&p->in);
	p->next = mono_add(l->now, by_us ? away_ns(p) : RETRY_NS);
	p->leaving = false;
}

static void
dial(struct peer *p)
{
	struct load *l = p->load;
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)l->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct mqtt_connect m = { .client_id = slice_str(p->name), .level = MQTT_311, .clean = !p->durable };
	int one = 1;

	p->next = mono_add(l->now, RETRY_NS);
	p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	FB_ASSERT(p->fd >= 0);
	if (connect(p->fd, (struct sockaddr *)&a, sizeof a) != 0) {
		close(p->fd);
		p->fd = -1;
		return;
	}
	(void)setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	(void)fcntl(p->fd, F_SETFL, O_NONBLOCK);
	client_connect(&p->c, &m, CONNECT_NS, l->now);
	if (p->kind == 'F')
		p->next = mono_add(l->now, l->stopping ? INT64_MAX / 4 : between_ms(l, 100, 700));
}

/* Everything that is there; then what is not a whole packet stays. */
static void
receive(struct peer *p)
{
	struct load *l = p->load;
	ssize_t n = read(p->fd, buf_room(&p->in, 65536), 65536);
	struct slice s;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		hang_up(p, false);
		return;
	}
	buf_added(&p->in, (size_t)n);
	s = buf_slice(&p->in);
	if (client_input(&p->c, &s, l->now) != 0) {
		if (p->c.violation.statement != NULL)
			book_wrong(&l->book, WRONG_STRANGE, p->name, p->c.violation.statement, 0);
		hang_up(p, false);
		return;
	}
	buf_eat(&p->in, buf_len(&p->in) - s.len);
	if (p->kind == 'S')
		p->read_at = mono_add(l->now, SLOW_NS);
}

static void
transmit(struct peer *p)
{
	struct slice s = buf_slice(&p->c.out);
	ssize_t n;

	if (s.len == 0)
		return;
	n = send(p->fd, s.p, s.len, MSG_NOSIGNAL);
	if (n > 0)
		buf_eat(&p->c.out, (size_t)n);
	else if (errno != EAGAIN && errno != EINTR)
		hang_up(p, false);
}

/* ---- publishing ---- */

static uint32_t
payload_len(struct load *l)
{
	uint64_t x = rand_below(&l->rand, 2000);

	if (l->size > 0)
		return l->size;
	return x == 0 ? 100000 : x < 10 ? 9000 : 16 + (uint32_t)rand_below(&l->rand, 300);
}

static bool
publish_one(struct peer *p)
{
	struct load *l = p->load;
	struct mqtt_publish m = { .qos = p->qos };
	bool again = p->again_at < p->again_count;
	uint32_t number;
	char topic[64];

	if (p->c.in_flight >= l->window)
		return false;
	number = again ? p->again[p->again_at++] : book_sent(&l->book, p->index, l->now.ns);
	if (p->again_at == p->again_count)
		p->again_at = p->again_count = 0;
	snprintf(topic, sizeof topic, "%s/%u/%s/%u", l->prefix, p->group, p->name, number % TOPICS);
	m.topic = slice_str(topic);
	m.payload = slice_of(l->payload, payload_len(l));
	memcpy(l->payload, &p->index, sizeof p->index);
	memcpy(l->payload + sizeof p->index, &number, sizeof number);
	FB_ASSERT(client_publish(&p->c, &m, number) == 0);
	if (p->waits.ns == 0)
		p->waits = l->now;
	if (l->first_ns == 0)
		l->first_ns = l->now.ns;
	return true;
}

static void
publish_due(struct peer *p)
{
	struct load *l = p->load;
	struct book_pub *b = &l->book.pubs[p->index];

	while (p->c.state == CLIENT_UP && l->running) {
		if (p->again_at < p->again_count) {
			if (!publish_one(p))
				return;
			continue;
		}
		if (l->stopping || (l->limit > 0 && b->count >= l->limit))
			return;
		if (l->rate > 0 && mono_diff(l->now, p->due) < 0)
			return;
		if (l->rate > 0 && mono_diff(l->now, p->due) > 200 * NS_PER_MS)
			p->due = l->now;        /* after an outage: no flood to make up for it */
		if (!publish_one(p))
			return;
		if (l->rate > 0)
			p->due = mono_add(p->due, NS_PER_SEC / l->rate);
	}
}

/* ---- the loop ---- */

static void
peer_init(struct load *l, struct peer *p, char kind, bool publisher, unsigned group, unsigned number)
{
	bool small = kind >= 'a' && kind <= 'z';

	p->load = l;
	p->publisher = publisher;
	p->group = group;
	p->kind = publisher || !small ? kind : (char)(kind - 'a' + 'A');
	p->qos = publisher ? (kind == '1' || kind == 'a' ? 1 : 2) : small ? 2 : 1;
	p->durable = publisher ? kind == '1' || kind == '2' : p->kind != 'C';
	p->fd = -1;
	snprintf(p->name, sizeof p->name, "%.16s%c%u.%u", l->prefix, kind, group, number);
	client_init(&p->c, &ops, p);
	p->c.keep_copies = p->durable;
	p->c.window = (uint16_t)l->window;
	if (publisher)
		p->index = book_add_pub(&l->book, p->name, group, p->qos, p->durable);
	else
		p->index = book_add_sub(&l->book, p->name, group, p->qos, p->durable);
}

static void
peers_make(struct load *l)
{
	unsigned each = (unsigned)(strlen(l->pubs) + strlen(l->subs));
	struct peer *p;

	l->peers = p = mem_zalloc(l->groups * l->scale * each * sizeof *p);
	for (unsigned g = 0; g < l->groups; g++) {
		for (unsigned i = 0; i < l->scale; i++) {
			for (const char *k = l->pubs; *k != '\0'; k++)
				peer_init(l, p++, *k, true, g, i);
			for (const char *k = l->subs; *k != '\0'; k++)
				peer_init(l, p++, *k, false, g, i);
		}
	}
	l->count = (unsigned)(p - l->peers);
}

static void
peer_turn(struct peer *p)
{
	struct load *l = p->load;

	if (p->fd < 0) {
		if (mono_diff(l->now, p->next) < 0 || (p->publisher && !l->running))
			return;
		dial(p);
		if (p->fd < 0)
			return;
	}
	if (client_tick(&p->c, l->now) != 0) {
		hang_up(p, false);
		return;
	}
	if (p->publisher)
		publish_due(p);
	if (!l->running && p->kind == 'O' && p->subscribed && !p->leaving) {
		p->leaving = true;
		(void)client_disconnect(&p->c, NULL);
	}
	if (l->running && p->kind == 'F' && !l->stopping && p->c.state == CLIENT_UP && p->subscribed &&
	    mono_diff(l->now, p->next) >= 0) {
		p->leaving = true;
		if (rand_below(&l->rand, 2) == 0)
			(void)client_disconnect(&p->c, NULL);
	}
	transmit(p);
	if (p->fd >= 0 && p->leaving && buf_len(&p->c.out) == 0)
		hang_up(p, true);
}

static void
command(struct load *l, char *line)
{
	unsigned port;

	if (strcmp(line, "stop") == 0) {
		l->stopping = true;
		for (unsigned i = 0; i < l->count; i++)
			l->peers[i].next = mono_add(l->now, l->peers[i].fd < 0 ? 0 : INT64_MAX / 4);
	} else if (strcmp(line, "mark") == 0) {
		printf("mark %" PRIu64 " %.3f\n", l->ack_ns.count, seconds(l->now));
	} else if (sscanf(line, "port %u", &port) == 1) {
		l->port = port;
	}
}

/* false: end of file. */
static bool
commands(struct load *l, struct buf *in)
{
	ssize_t n = read(STDIN_FILENO, buf_room(in, 1024), 1024);
	char *end;

	if (n <= 0)
		return n < 0 && errno == EAGAIN;
	buf_added(in, (size_t)n);
	while ((end = memchr(buf_slice(in).p, '\n', buf_len(in))) != NULL) {
		char *line = (char *)(in->base + in->start);

		*end = '\0';
		command(l, line);
		buf_eat(in, (size_t)(end + 1 - line));
		if (buf_len(in) == 0)
			break;
	}
	return true;
}

static bool
all_ready(struct load *l)
{
	for (unsigned i = 0; i < l->count; i++) {
		struct peer *p = &l->peers[i];

		if (!p->publisher && (p->kind == 'O' ? p->fd >= 0 || !p->known : !p->subscribed))
			return false;
	}
	return true;
}

/* After `stop`: everything acknowledged and received, or nothing moves any more. */
static bool
all_over(struct load *l, struct mono *still, uint64_t *moved)
{
	if (l->moved != *moved) {
		*moved = l->moved;
		*still = l->now;
	} else if (mono_diff(l->now, *still) > (int64_t)l->stall * NS_PER_SEC) {
		return true;
	}
	for (unsigned i = 0; i < l->count; i++) {
		struct peer *p = &l->peers[i];

		if (!p->subscribed || p->c.in_flight > 0 || p->again_at < p->again_count)
			return false;
		if (p->publisher && l->limit > 0 && !l->stopping && l->book.pubs[p->index].count < l->limit)
			return false;
	}
	/* A second of silence more: what should not come comes then. */
	return book_missing(&l->book) == 0 && mono_diff(l->now, *still) > NS_PER_SEC;
}

static int64_t
wait_ms(struct load *l)
{
	return l->rate > 1000 ? 1 : l->running || l->count > 0 ? 2 : 100;
}

static void
turn(struct load *l, struct buf *in, struct pollfd *fds)
{
	for (unsigned i = 0; i < l->count; i++) {
		struct peer *p = &l->peers[i];
		bool later = p->kind == 'S' && mono_diff(l->now, p->read_at) < 0;

		fds[i] = (struct pollfd){ .fd = p->fd, .events = (short)((later ? 0 : POLLIN) |
		    (buf_len(&p->c.out) > 0 ? POLLOUT : 0)) };
	}
	fds[l->count] = (struct pollfd){ .fd = STDIN_FILENO, .events = POLLIN };
	(void)poll(fds, l->count + 1, (int)wait_ms(l));
	l->now = clock_mono();
	for (unsigned i = 0; i < l->count; i++) {
		if (l->peers[i].fd >= 0 && l->peers[i].fd == fds[i].fd && (fds[i].revents & (POLLIN | POLLHUP | POLLERR)) != 0)
			receive(&l->peers[i]);
	}
	for (unsigned i = 0; i < l->count; i++)
		peer_turn(&l->peers[i]);
	if (fds[l->count].revents != 0 && !commands(l, in))
		exit(3);                                        /* the test is gone */
}

static void
run(struct load *l)
{
	struct pollfd *fds = mem_zalloc((l->count + 1) * sizeof *fds);
	struct buf in = { 0 };
	struct mono still = { 0 };
	uint64_t moved = 0;

	l->now = clock_mono();
	for (;;) {
		turn(l, &in, fds);
		if (!l->running && all_ready(l)) {
			l->running = true;
			printf("up %.3f\n", seconds(l->now));
			for (unsigned i = 0; i < l->count; i++)
				l->peers[i].due = l->now;
		}
		if (still.ns == 0)
			still = l->now;
		if (l->stopping && all_over(l, &still, &moved))
			break;
		if (!l->stopping)
			still = l->now;
	}
	mem_free(fds);
	buf_fini(&in);
}

static void
report(struct load *l)
{
	uint64_t sent = 0, acks = 0;
	double s = (double)(l->last_ns - l->first_ns) / 1e9;

	book_close(&l->book);
	for (unsigned i = 0; i < l->book.pub_count; i++) {
		sent += l->book.pubs[i].count;
		acks += l->book.pubs[i].acks;
	}
	printf("result {\"sent\": %" PRIu64 ", \"acked\": %" PRIu64 ", \"arrived\": %" PRIu64 ", \"again\": %" PRIu64
	    ", \"seconds\": %.3f, \"ack_p50_us\": %.1f, \"ack_p99_us\": %.1f, \"ack_max_us\": %.1f", sent, acks, l->book.arrived,
	    l->book.again, s, (double)hist_quantile(&l->ack_ns, 0.5) / 1e3, (double)hist_quantile(&l->ack_ns, 0.99) / 1e3,
	    (double)l->ack_ns.max / 1e3);
	for (int i = 0; i < WRONG_COUNT; i++)
		printf(", \"%s\": %" PRIu64, wrong_names[i], l->book.wrong[i]);
	printf("}\n");
}

static unsigned
number_arg(int argc, char **argv, const char *name, unsigned otherwise)
{
	size_t len = strlen(name);

	for (int i = 1; i < argc; i++) {
		if (strncmp(argv[i], name, len) == 0 && argv[i][len] == '=')
			return (unsigned)strtoul(argv[i] + len + 1, NULL, 10);
	}
	return otherwise;
}

static const char *
text_arg(int argc, char **argv, const char *name, const char *otherwise)
{
	size_t len = strlen(name);

	for (int i = 1; i < argc; i++) {
		if (strncmp(argv[i], name, len) == 0 && argv[i][len] == '=')
			return argv[i] + len + 1;
	}
	return otherwise;
}

int
main(int argc, char **argv)
{
	static struct load l;

	setvbuf(stdout, NULL, _IOLBF, 0);
	l.port = number_arg(argc, argv, "port", 0);
	l.groups = number_arg(argc, argv, "groups", 2);
	l.scale = number_arg(argc, argv, "scale", 1);
	l.window = number_arg(argc, argv, "window", 20);
	l.rate = number_arg(argc, argv, "rate", 300);
	l.size = number_arg(argc, argv, "size", 0);
	l.limit = number_arg(argc, argv, "count", 0);
	l.stall = number_arg(argc, argv, "stall", 20);
	l.pubs = text_arg(argc, argv, "pubs", "12ab");
	l.subs = text_arg(argc, argv, "subs", "DdSsFfOoCc");
	l.prefix = text_arg(argc, argv, "prefix", "x");
	if (l.port == 0 || l.size >= PAYLOAD_MAX || (l.size > 0 && l.size < 8)) {
		fprintf(stderr, "usage: crash_load port=N [NAME=VALUE]...\n");
		return 2;
	}
	rand_seed(&l.rand, number_arg(argc, argv, "seed", 1));
	l.book.say = say_wrong;
	l.book.arg = &l;
	hist_clear(&l.ack_ns);
	peers_make(&l);
	run(&l);
	report(&l);
	return 0;
}
