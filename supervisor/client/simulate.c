/* SPDX-License-Identifier: Apache-2.0
 * supervisor/client/simulate.c - each actor is a caller with a plan: dial, subscribe to its own topic, publish to others until
 * it is time to go, be away, come back. All times are exponential, so that an actor's next step tells nothing of its last.
 * At the end all come back and wait, and every message that the server acknowledged must have arrived. */
#include "supervisor/client/simulate.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "supervisor/client/caller.h"
#include "common/base/err.h"
#include "common/base/list.h"
#include "common/base/mem.h"
#include "common/mqtt/props.h"

#define EVENTS 256
#define NEVER INT64_MAX
#define PROGRESS_NS (500 * NS_PER_MS)
#define WINDOW 100
#define MAGIC "fubarsim"

struct actor {
	struct caller caller;
	struct simulate *sim;
	struct heap_node timer;
	uint32_t id;
	bool was_up;
	bool known;                     /* its SUBACK came once: what is written to it must arrive */
	bool going;                     /* counted in sim->up */
	bool cleaning;                  /* the very end: it only wants its session away */
	int64_t dial_ns;                /* when to do what; NEVER: not planned */
	int64_t publish_ns;
	int64_t end_ns;
	struct mono dialed;
	char name[80];
	uint32_t watched_dials;         /* what epoll knows */
	short watched;
};

static volatile sig_atomic_t interrupted;

static void
on_signal(int signo)
{
	interrupted = signo;
}

static double
unit(struct simulate *s)
{
	return ((double)(rand_u64(&s->rand) >> 11) + 0.5) / 9007199254740992.0;         /* of 2^53, never 0 */
}

static int64_t
exponential_ns(struct simulate *s, double mean_s)
{
	double ns = -log(unit(s)) * mean_s * (double)NS_PER_SEC;

	return ns < 9e17 ? (int64_t)ns : (int64_t)9e17;
}

/* ---- plans ---- */

static void
plan(struct actor *a)
{
	int64_t at = caller_deadline(&a->caller).ns;

	if (a->dial_ns < at)
		at = a->dial_ns;
	if (a->publish_ns < at)
		at = a->publish_ns;
	if (a->end_ns < at)
		at = a->end_ns;
	if (a->timer.index != SIZE_MAX)
		heap_del(&a->sim->timers, &a->timer);
	if (at != NEVER)
		heap_put(&a->sim->timers, &a->timer, at);
}

/* Not before ns, and not more than --rate a second. */
static void
plan_dial(struct actor *a, int64_t ns)
{
	struct simulate *s = a->sim;

	if (ns < s->next_dial_ns)
		ns = s->next_dial_ns;
	s->next_dial_ns = ns + (int64_t)((double)NS_PER_SEC / s->o.rate);
	a->dial_ns = ns;
}

static void
plan_life(struct actor *a)
{
	struct simulate *s = a->sim;

	a->publish_ns = a->end_ns = NEVER;
	if (s->ending)
		return;
	if (s->o.publish_s > 0)
		a->publish_ns = s->now.ns + exponential_ns(s, s->o.publish_s);
	if (s->o.reconnect_s > 0)
		a->end_ns = s->now.ns + exponential_ns(s, s->o.reconnect_s);
}

/* Tells epoll what the caller waits for now. */
static void
watch(struct actor *a)
{
	struct caller *c = &a->caller;
	short want = caller_events(c);
	struct epoll_event ev = { .data.ptr = a };
	bool same = c->dials == a->watched_dials && a->watched != 0;

	if (c->fd < 0 || (same && want == a->watched)) {
		if (c->fd < 0)
			a->watched = 0;
		return;
	}
	ev.events = ((want & POLLIN) != 0 ? EPOLLIN : 0) | ((want & POLLOUT) != 0 ? EPOLLOUT : 0);
	FB_ASSERT(epoll_ctl(a->sim->epoll, same ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, c->fd, &ev) == 0);
	a->watched = want;
	a->watched_dials = c->dials;
}

/* After anything that may have changed what it waits for. */
static void
settle(struct actor *a)
{
	caller_flush(&a->caller, a->sim->now);
	watch(a);
	plan(a);
}

/* ---- what happens to an actor ---- */

static struct actor *
actor_of(struct client *c)
{
	return caller_of(c)->arg;
}

static void
subscribe(struct actor *a)
{
	struct mqtt_filter f = { .qos = 2 };
	char topic[96];
	uint16_t id;

	f.filter = slice_of(topic, (size_t)snprintf(topic, sizeof topic, "%s/in", a->name));
	(void)client_subscribe(&a->caller.client, &f, 1, slice_of(NULL, 0), 0, &id);
}

static void
on_up(struct caller *c, bool session_present)
{
	struct actor *a = c->arg;
	struct simulate *s = a->sim;

	s->n.connected++;
	s->moved = s->now;
	hist_add(&s->connect_ns, mono_diff(clock_mono(), a->dialed), 1);
	a->going = true;
	s->up++;
	if (a->cleaning) {
		caller_end(c, NULL);
		return;
	}
	if (a->known && !s->o.clean && !session_present && c->client.level != MQTT_31)
		s->n.sessions_lost++;
	a->was_up = true;
	if (!session_present || !a->known)
		subscribe(a);
	plan_life(a);
}

static void
count_end(struct actor *a, enum caller_end why, const char *text)
{
	struct simulate *s = a->sim;

	switch (why) {
	case CALLER_ENDED:
		return;
	case CALLER_NO_SERVER:
		s->n.no_server++;
		break;
	case CALLER_REFUSED:
		s->n.refused++;
		break;
	case CALLER_LOST:
		s->n.lost++;
		break;
	case CALLER_SILENT:
	case CALLER_BROKEN:
		s->n.broken++;
		break;
	}
	snprintf(s->last_error, sizeof s->last_error, "%s: %.100s", a->name, text);
}

static void
on_down(struct caller *c, enum caller_end why, const char *text)
{
	struct actor *a = c->arg;
	struct simulate *s = a->sim;

	count_end(a, why, text);
	if (a->going)
		s->up--;
	a->going = false;
	a->publish_ns = a->end_ns = NEVER;
	if (!a->cleaning)
		plan_dial(a, s->now.ns + (s->ending ? 0 : exponential_ns(s, s->o.away_s)));
}

static void
on_redirect(struct caller *c)
{
	((struct actor *)c->arg)->sim->n.redirected++;
}

static void
on_publish(struct client *c, const struct mqtt_publish *p)
{
	struct actor *a = actor_of(c);
	struct simulate *s = a->sim;
	uint32_t number;
	uint32_t to;

	s->moved = s->now;
	if (p->payload.len < SIMULATE_MIN_SIZE || memcmp(p->payload.p, MAGIC, 8) != 0) {
		s->ledger.n.strange++;
		return;
	}
	memcpy(&number, p->payload.p + 8, sizeof number);
	memcpy(&to, p->payload.p + 12, sizeof to);
	if (to != a->id)
		s->ledger.n.strange++;
	else
		ledger_arrived(&s->ledger, number);
}

static void
on_sent(struct client *c, uint16_t packet_id, uint64_t token, uint8_t reason)
{
	struct simulate *s = actor_of(c)->sim;

	s->moved = s->now;
	ledger_acked(&s->ledger, token, reason < 0x80);
}

static void
on_suback(struct client *c, const struct mqtt_suback *p, uint64_t token)
{
	struct actor *a = actor_of(c);

	if (p->codes.len == 1 && p->codes.p[0] < 0x80)
		a->known = true;
	else
		a->sim->n.sub_refused++;
}

/* ---- what an actor does ---- */

static uint32_t
weighted(struct simulate *s, const uint32_t *weights, uint32_t count)
{
	uint64_t sum = 0;
	uint64_t x;

	for (uint32_t i = 0; i < count; i++)
		sum += weights[i];
	x = rand_below(&s->rand, sum);
	for (uint32_t i = 0; i < count; i++) {
		if (x < weights[i])
			return i;
		x -= weights[i];
	}
	return count - 1;
}

static void
publish(struct actor *a)
{
	struct simulate *s = a->sim;
	struct actor *to = &s->actors[rand_below(&s->rand, s->count)];
	bool direct = weighted(s, &s->o.mix[MIX_TOPIC], 2) == 1;
	uint8_t qos = (uint8_t)weighted(s, &s->o.mix[MIX_QOS0], 3);
	struct mqtt_publish p = { .payload = { s->payload, s->o.size }, .qos = qos };
	char topic[96];
	uint32_t number;

	if (!to->known)
		return;
	number = (uint32_t)ledger_put(&s->ledger, qos);
	p.topic = slice_of(topic, (size_t)snprintf(topic, sizeof topic, "%s%s", to->name, direct ? "" : "/in"));
	memcpy(s->payload + 8, &number, sizeof number);
	memcpy(s->payload + 12, &to->id, sizeof to->id);
	if (client_publish(&a->caller.client, &p, number) != 0) {
		ledger_undo(&s->ledger);
		s->n.held_back++;
		return;
	}
	s->n.direct += direct;
}

static void
dial(struct actor *a)
{
	struct simulate *s = a->sim;
	struct mqtt_connect *p = &a->caller.connect;
	static struct buf expiry;

	if (buf_len(&expiry) == 0)
		prop_put(&expiry, &(struct prop){ .id = PROP_SESSION_EXPIRY, .type = PROP_U32, .number = 3600 });
	*p = (struct mqtt_connect){ .level = s->o.level, .clean = s->o.clean || a->cleaning,
		.keep_alive_s = s->o.keep_alive_s };
	/* What an earlier run left is none of this one's. */
	if (!a->was_up && s->o.level == MQTT_50)
		p->clean = true;
	p->client_id = slice_str(a->name);
	if (s->o.level == MQTT_50 && !s->o.clean && !a->cleaning)
		p->props = buf_slice(&expiry);
	if (s->o.user != NULL) {
		p->has_user = true;
		p->user = slice_str(s->o.user);
	}
	if (s->o.password != NULL) {
		p->has_password = true;
		p->password = slice_str(s->o.password);
	}
	a->dial_ns = NEVER;
	a->dialed = clock_mono();
	caller_dial(&a->caller, s->o.redirects, s->now);
}

static void
leave(struct actor *a)
{
	struct simulate *s = a->sim;

	a->publish_ns = a->end_ns = NEVER;
	if (rand_below(&s->rand, 100) < s->o.drop_percent) {
		s->n.dropped++;
		caller_drop(&a->caller);
	} else {
		s->n.said_goodbye++;
		caller_end(&a->caller, NULL);
	}
}

static void
act(struct actor *a)
{
	struct simulate *s = a->sim;
	bool up = a->caller.client.state == CLIENT_UP;

	if (a->dial_ns <= s->now.ns)
		dial(a);
	if (a->publish_ns <= s->now.ns) {
		a->publish_ns = s->now.ns + exponential_ns(s, s->o.publish_s);
		if (up)
			publish(a);
	}
	if (a->end_ns <= s->now.ns) {
		a->end_ns = NEVER;
		if (up)
			leave(a);
	}
	caller_ready(&a->caller, 0, s->now);
	settle(a);
}

/* ---- the run ---- */

static void
progress(struct simulate *s)
{
	const struct ledger_totals *n = &s->ledger.n;

	if (!s->tty || mono_diff(s->now, s->shown) < PROGRESS_NS)
		return;
	s->shown = s->now;
	fprintf(stderr, "\r%.0f s: %u of %u up, %" PRIu64 " connections, %" PRIu64 " messages, %" PRIu64 " arrived%s\033[K",
	    (double)mono_diff(s->now, s->start) / (double)NS_PER_SEC, s->up, s->count, s->n.connected,
	    n->published[0] + n->published[1] + n->published[2], n->arrived[0] + n->arrived[1] + n->arrived[2],
	    s->last_error[0] != 0 ? ", trouble" : "");
}

static void
turn(struct simulate *s, int64_t max_ns)
{
	struct epoll_event events[EVENTS];
	struct heap_node *first = heap_first(&s->timers);
	int64_t wait = max_ns;
	int n;

	s->now = clock_mono();
	if (first != NULL && first->key - s->now.ns < wait)
		wait = first->key > s->now.ns ? first->key - s->now.ns : 0;
	n = epoll_wait(s->epoll, events, EVENTS, (int)((wait + NS_PER_MS - 1) / NS_PER_MS));
	s->now = clock_mono();
	for (int i = 0; i < n; i++) {
		struct actor *a = events[i].data.ptr;
		uint32_t e = events[i].events;

		caller_ready(&a->caller, (short)(((e & ~(uint32_t)EPOLLOUT) != 0 ? POLLIN : 0) |
		    ((e & EPOLLOUT) != 0 ? POLLOUT : 0)), s->now);
		settle(a);
	}
	for (first = heap_first(&s->timers); first != NULL && first->key <= s->now.ns; first = heap_first(&s->timers))
		act(container_of(first, struct actor, timer));
	progress(s);
}

static bool
all_settled(const struct simulate *s)
{
	if (s->up < s->count)
		return false;
	for (uint32_t i = 0; i < s->count; i++)
		if (s->actors[i].caller.client.in_flight > 0)
			return false;
	return s->o.clean || ledger_lost(&s->ledger) == 0;
}

/* All come back, nothing new is written, what is under way arrives. */
static void
run_end(struct simulate *s)
{
	int64_t patience = (int64_t)(s->o.settle_s * (double)NS_PER_SEC);

	s->ending = true;
	s->moved = s->now;
	s->next_dial_ns = 0;
	for (uint32_t i = 0; i < s->count; i++) {
		struct actor *a = &s->actors[i];

		a->publish_ns = a->end_ns = NEVER;
		if (a->dial_ns != NEVER)
			plan_dial(a, s->now.ns);
		plan(a);
	}
	while (!all_settled(s) && mono_diff(s->now, s->moved) < patience)
		turn(s, 20 * NS_PER_MS);
}

static bool
anybody(const struct simulate *s)
{
	for (uint32_t i = 0; i < s->count; i++)
		if (s->actors[i].caller.state != CALLER_DOWN || s->actors[i].dial_ns != NEVER)
			return true;
	return false;
}

/* Each says goodbye; of kept sessions nothing stays. */
static void
run_cleanup(struct simulate *s)
{
	struct simulate_totals n = s->n;
	struct ledger_totals messages = s->ledger.n;
	struct mono end;

	s->next_dial_ns = 0;
	for (int round = 0; round < (s->o.clean ? 1 : 2); round++) {
		end = mono_add(s->now, 5 * NS_PER_SEC);
		for (uint32_t i = 0; i < s->count; i++) {
			struct actor *a = &s->actors[i];

			a->cleaning = true;
			a->dial_ns = NEVER;
			if (round == 0)
				caller_end(&a->caller, NULL);
			else if (a->caller.state == CALLER_DOWN && a->known)
				a->dial_ns = s->now.ns;
			settle(a);
		}
		while (anybody(s) && mono_diff(end, s->now) > 0)
			turn(s, 20 * NS_PER_MS);
	}
	s->n = n;
	s->ledger.n = messages;
}

static void
run(struct simulate *s)
{
	struct mono end = { s->o.duration_s > 0 ? s->now.ns + (int64_t)(s->o.duration_s * (double)NS_PER_SEC) : INT64_MAX };

	for (uint32_t i = 0; i < s->count; i++) {
		plan_dial(&s->actors[i], s->now.ns);
		plan(&s->actors[i]);
	}
	while (interrupted == 0 && mono_diff(end, s->now) > 0)
		turn(s, mono_diff(end, s->now) < 100 * NS_PER_MS ? mono_diff(end, s->now) : 100 * NS_PER_MS);
	s->seconds = (double)mono_diff(s->now, s->start) / (double)NS_PER_SEC;
	run_end(s);
	s->not_back = s->count - s->up;
	s->messages_lost = ledger_lost(&s->ledger);
	run_cleanup(s);
}

static void
make_actors(struct simulate *s)
{
	static const struct caller_ops ops = {
		.on_up = on_up,
		.on_down = on_down,
		.on_redirect = on_redirect,
		.client = { .on_publish = on_publish, .on_sent = on_sent, .on_suback = on_suback },
	};

	s->count = s->o.last - s->o.first + 1;
	s->actors = mem_zalloc(s->count * sizeof *s->actors);
	for (uint32_t i = 0; i < s->count; i++) {
		struct actor *a = &s->actors[i];

		a->sim = s;
		a->id = s->o.first + i;
		a->timer.index = SIZE_MAX;
		a->dial_ns = a->publish_ns = a->end_ns = NEVER;
		snprintf(a->name, sizeof a->name, "%.60s%u", s->o.prefix, a->id);
		caller_init(&a->caller, &s->o.net, &ops, a);
		a->caller.client.keep_copies = true;
		a->caller.client.window = WINDOW;
	}
}

static bool
setup(struct simulate *s)
{
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND };
	struct rlimit r;
	char error[256];

	if (net_open(&s->o.net, s->o.redirects > 0, error, sizeof error) != 0) {
		fprintf(stderr, "fubar-client simulate: %s\n", error);
		return false;
	}
	if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
		r.rlim_cur = r.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &r);
		if (r.rlim_max < s->o.last - s->o.first + 16) {
			fprintf(stderr, "fubar-client simulate: %u clients, but only %" PRIu64 " descriptors: raise the limit "
			    "(ulimit -Hn)\n", s->o.last - s->o.first + 1, (uint64_t)r.rlim_max);
			return false;
		}
	}
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	s->tty = !s->o.quiet && isatty(STDERR_FILENO) == 1;
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	FB_ASSERT(s->epoll >= 0);
	heap_init(&s->timers);
	rand_seed(&s->rand, s->o.seed);
	s->payload = mem_alloc(s->o.size);
	memset(s->payload, 's', s->o.size);
	memcpy(s->payload, MAGIC, 8);
	s->start = s->now = s->moved = clock_mono();
	make_actors(s);
	return true;
}

int
simulate_main(char **argv)
{
	static struct simulate s;
	char error[256];
	bool clean;

	if (simulate_opts_parse(&s.o, argv, error, sizeof error) != 0) {
		fprintf(stderr, "fubar-client simulate: %s\nTry 'fubar-client simulate --help'.\n", error);
		return 2;
	}
	if (s.o.help) {
		simulate_opts_help();
		return 0;
	}
	if (!setup(&s))
		return 2;
	run(&s);
	if (s.tty)
		fprintf(stderr, "\r\033[K");
	simulate_report(&s);
	clean = simulate_clean(&s);
	for (uint32_t i = 0; i < s.count; i++)
		caller_fini(&s.actors[i].caller);
	mem_free(s.actors);
	ledger_fini(&s.ledger);
	mem_free(s.payload);
	heap_fini(&s.timers);
	net_close(&s.o.net);
	close(s.epoll);
	return clean ? 0 : 1;
}
