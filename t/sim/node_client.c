/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/mem.h"
#include "t/sim/node_sim.h"
#include "t/sim/sock_sim.h"
#include "worker/conn.h"

#define CONNECT_NS (30 * NS_PER_SEC)
#define LATE_NS    (3 * NS_PER_SEC)

const char *const filter_names[ALL_FILTERS] = {
	"a/b", "a/c", "a/+", "a/#", "d/e/f", "+/e/f", "d/#", "x", "#", "r/#", "r/+/0", "+",
	"$share/g/$s/0", "$share/h/$s/1/#",
	"w/+",
};

static const char *const plain[TOPICS] = { "a/b", "a/c", "a/d", "d/e/f", "d/e/g", "x", "y", "a/b/c" };
static char made[TOPIC_COUNT][8];

const char *
topic_name(unsigned topic)
{
	if (topic < TOPICS)
		return plain[topic];
	if (made[topic][0] == '\0') {
		unsigned k = topic - TOPICS;

		if (k < 2 * CLIENTS)
			snprintf(made[topic], sizeof made[topic], "r/%u/%u", k / 2 % 100, k % 2);
		else if (k >= 3 * CLIENTS)
			snprintf(made[topic], sizeof made[topic], "$s/%u", (k - 3 * CLIENTS) % 100);
		else
			snprintf(made[topic], sizeof made[topic], "c%u", (k - 2 * CLIENTS) % 100);
	}
	return made[topic];
}

bool
topic_is_direct(unsigned topic)
{
	return topic >= TOPICS + 2 * CLIENTS && topic_group(topic) < 0;
}

int
topic_group(unsigned topic)
{
	return (int)topic - (int)(TOPIC_COUNT - GROUPS) < 0 ? -1 : (int)(topic - (TOPIC_COUNT - GROUPS));
}

static void
flush(struct actor *a)
{
	if (a->line == NULL)
		return;
	sim_sock_send(a->line->sock, buf_slice(&a->mqtt.out));
	buf_clear(&a->mqtt.out);
}

/* ---- lives ---- */

static void
life_ends(struct actor *a)
{
	a->life++;
	a->known = false;
	for (unsigned i = 0; i < ALL_FILTERS; i++)
		a->wish[i].live = false;
	memset(a->last, 0, sizeof a->last);
	check_groups();
}

static void
forget_ids(struct actor *a)
{
	bitmap_fini(&a->mqtt.qos2_in);
	bitmap_init(&a->mqtt.qos2_in);
}

static void
forget_asked(struct actor *a)
{
	for (unsigned i = 0; i < ALL_FILTERS; i++) {
		struct wish *w = &a->wish[i];

		if (w->asked > 0)
			w->live = false;
		w->asked = 0;
	}
	check_groups();
}

/* What it has done is done. A clean one may have ended whatever there was. */
static void
ghosts_over(struct actor *a, unsigned clean, unsigned durable)
{
	a->durable_ghosts -= durable;
	a->clean_ghosts -= clean;
	if (clean == 0)
		return;
	life_ends(a);
	/* What the client knows may be of a session that is no more, and the ids of the next one mean others. */
	a->taint = sn.msg_count;
	forget_ids(a);
}

static void
on_late(struct sim_event *e)
{
	struct actor *a = container_of(e, struct actor, late);

	ghosts_over(a, a->clean_late, a->durable_late);
	a->clean_late = a->durable_late = 0;
}

/* A CONNECT without an answer, whose connection has ended. */
static void
never_answered(struct actor *a, bool clean)
{
	if (clean)
		a->clean_late++;
	else
		a->durable_late++;
	sim_event_in(&a->late, LATE_NS);
}

static void
ghost_answered(struct line *l)
{
	if (!l->answered)
		ghosts_over(l->actor, l->clean, !l->clean);
	l->answered = true;
}

/* ---- connections ---- */

static void
line_free(struct line *l, bool reset)
{
	if (l->ghost && !l->answered)
		never_answered(l->actor, l->clean);
	sim_sock_close(l->sock, reset);
	list_del(&l->link);
	mem_free(l);
}

/* The line is over, by the other side or by ours. */
static void
went_down(struct actor *a)
{
	client_closed(&a->mqtt);
	a->line = NULL;
	buf_clear(&a->in);
	sim_event_cancel(&a->wake);
	forget_asked(a);
	if (a->clean)
		life_ends(a);
}

static void
leave_line(struct actor *a, bool was_up, bool ghost, bool reset)
{
	struct line *l = a->line;

	sim_sock_pause(l->sock, false);
	if (!was_up) {
		l->ghost = true;
		if (l->clean)
			a->clean_ghosts++;
		else
			a->durable_ghosts++;
		a->none = false;
	}
	went_down(a);
	if (ghost || !was_up) {
		/* A CONNECT under way has its effect even if we close; the end that comes back says when. */
		l->ghost = true;
		l->answered = was_up;
		if (!ghost)
			l->doomed = true;
		return;
	}
	line_free(l, reset);
}

static void
on_in(void *arg)
{
	struct line *l = arg;
	struct actor *a = l->actor;
	struct buf *b = sim_sock_in(l->sock);
	bool eof = sim_sock_eof(l->sock);
	struct slice in;
	int err = 0;

	if (l->ghost) {
		if (buf_len(b) > 0)
			ghost_answered(l);
		buf_clear(b);
		if (eof || (l->doomed && l->answered))
			line_free(l, false);
		return;
	}
	buf_put_slice(&a->in, buf_slice(b));
	buf_clear(b);
	in = buf_slice(&a->in);
	if (in.len > 0 && a->mqtt.state != CLIENT_ENDING)
		err = client_input(&a->mqtt, &in, sim_now());
	if (err == FB_EPROTO)
		fail("%s: the server broke the protocol: %s", a->id, a->mqtt.violation.statement);
	buf_eat(&a->in, buf_len(&a->in) - in.len);
	flush(a);
	if (!eof && err == 0)
		return;
	trace("%s: its connection to %u ended", a->id, l->slot);
	if (a->mqtt.state == CLIENT_CONNECTING) {
		if (l->clean)
			a->clean_ghosts++;
		else
			a->durable_ghosts++;
		never_answered(a, l->clean);
		a->none = false;
	}
	wills_left(a, a->mqtt.state == CLIENT_UP, false);
	went_down(a);
	line_free(l, false);
}

void
actor_connect(struct actor *a, unsigned slot, bool clean)
{
	struct conn_origin from = { .peer = { [10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1 }, .port = 1024 };
	struct worker *w = sn.node.proc[slot].worker;
	struct mqtt_connect p = { .client_id = slice_str(a->id), .level = MQTT_311, .clean = clean };
	struct line *l = mem_zalloc(sizeof *l);
	int fd;

	FB_ASSERT(a->line == NULL && w != NULL);
	l->actor = a;
	l->slot = slot;
	l->clean = clean;
	l->sock = sim_sock_new(w, &fd, on_in, l);
	list_put_last(&sn.lines, &l->link);
	a->line = l;
	a->clean = clean;
	a->conn_no++;
	if (clean) {
		life_ends(a);
		a->unsure = true;
	}
	trace("%s: connects to %u, clean %d, conn %u", a->id, slot, clean, a->conn_no);
	wills_connect(a, slot, &p);
	client_connect(&a->mqtt, &p, CONNECT_NS, sim_now());
	from.fd = fd;
	(void)conn_new(w, &from);
	flush(a);
}

void
actor_leave(struct actor *a, enum leave how)
{
	bool up = a->mqtt.state == CLIENT_UP;

	trace("%s: leaves, %d%s", a->id, how, up ? "" : ", before CONNACK");
	if (how == LEAVE_DISCONNECT && up) {
		(void)client_disconnect(&a->mqtt, NULL);
		flush(a);
	}
	wills_left(a, up, how == LEAVE_DISCONNECT);
	/* Without a CONNACK the socket is kept, to see when the broker is through with it. */
	leave_line(a, up, how == LEAVE_GHOST, how == LEAVE_RESET);
}

void
ghosts_close(void)
{
	LIST_EACH_SAFE(n, tmp, &sn.lines) {
		struct line *l = container_of(n, struct line, link);

		if (l->ghost && l->answered)
			line_free(l, false);
		else if (l->ghost)
			l->doomed = true;
	}
}

static void
on_wake(struct sim_event *e)
{
	struct actor *a = container_of(e, struct actor, wake);

	if (a->line != NULL)
		sim_sock_pause(a->line->sock, false);
}

void
actor_pause(struct actor *a, int64_t ns)
{
	sim_sock_pause(a->line->sock, true);
	sim_event_in(&a->wake, ns);
}

/* ---- what the client is told ---- */

static void
on_connack(struct client *c, const struct mqtt_connack *p)
{
	struct actor *a = c->arg;

	trace("%s: CONNACK %u present %d", a->id, p->code, p->session_present);
	if (p->code != 0) {
		a->none = false;
		return;
	}
	wills_connack(a);
	/* Ids of QoS 2 messages that its dead worker had sent: one in some hundred would meet one of them, and take a new
	 * message for a repeat. The broker begins at a random one, and can do no better without a disk. */
	if (a->forgets)
		forget_ids(a);
	a->forgets = false;
	if (!p->session_present)
		a->unsure = false;
	if (!p->session_present && a->clean_ghosts + a->durable_ghosts == 0)
		for (unsigned i = 0; i < ALL_FILTERS; i++)
			a->wish[i].ever = false;
	if (a->clean) {
		if (p->session_present)
			fail("%s: session present after a clean CONNECT", a->id);
		a->none = a->durable_ghosts == 0;
		return;
	}
	if (a->clean_ghosts == 0) {
		if (a->known && !p->session_present)
			fail("%s: a durable session is lost", a->id);
		/* A disk that refuses deletions has it still. */
		if (a->none && a->durable_ghosts == 0 && p->session_present && !sn.refuses)
			fail("%s: a session that was ended is back", a->id);
	}
	if (!p->session_present)
		life_ends(a);
	a->known = a->clean_ghosts == 0;
	a->none = false;
}

static void
on_publish(struct client *c, const struct mqtt_publish *p)
{
	ledger_receive(c->arg, p);
}

static void
on_sent(struct client *c, uint16_t packet_id, uint64_t token, uint8_t reason)
{
	struct entry *m = &sn.msgs[token];

	if (m->state != MSG_OPEN)
		fail("message %u is over twice", (unsigned)token);
	m->over_conn_no = ((const struct actor *)c->arg)->conn_no;
	m->state = reason == 0 ? MSG_ACKED : MSG_LOST;
	if (reason == 0)
		sn.acked++;
}

/* token: the filter, and the life in which it was asked. */
static void
on_suback(struct client *c, const struct mqtt_suback *p, uint64_t token)
{
	struct actor *a = c->arg;
	struct wish *w = &a->wish[token % ALL_FILTERS];

	w->asked--;
	if (p->codes.len != 1 || p->codes.p[0] > 2) {
		if (!sn.refuses)
			fail("%s: subscription refused", a->id);
		/* What there was before may have changed. */
		w->live = false;
		check_groups();
		ledger_unwish(a, (unsigned)(token % ALL_FILTERS));
		return;
	}
	w->qos = p->codes.p[0];
	w->live = a->clean_ghosts == 0;
	trace("%s: SUBACK %s %u live %d", a->id, filter_names[token % ALL_FILTERS], w->qos, w->live);
}

static void
on_unsuback(struct client *c, const struct mqtt_suback *p, uint64_t token)
{
	struct actor *a = c->arg;

	a->wish[token % ALL_FILTERS].asked--;
	trace("%s: UNSUBACK %s", a->id, filter_names[token % ALL_FILTERS]);
}

static const struct client_ops ops = {
	.on_connack = on_connack,
	.on_publish = on_publish,
	.on_sent = on_sent,
	.on_suback = on_suback,
	.on_unsuback = on_unsuback,
};

/* ---- what the client does ---- */

void
actor_subscribe(struct actor *a, unsigned filter, uint8_t qos)
{
	struct mqtt_filter f = { .filter = slice_str(filter_names[filter]), .qos = qos };
	struct wish *w = &a->wish[filter];
	uint16_t id;

	if (filter >= FILTERS - GROUPS && filter < FILTERS)
		f.qos = qos = 1;
	if (w->asked > 0 || client_subscribe(&a->mqtt, &f, 1, slice_of(NULL, 0), filter, &id) != 0)
		return;
	trace("%s: SUBSCRIBE %s %u", a->id, filter_names[filter], qos);
	if (w->live && qos < w->qos) {
		ledger_unwish(a, filter);
		w->qos = qos;
	}
	w->ever = true;
	w->asked++;
	flush(a);
}

void
actor_unsubscribe(struct actor *a, unsigned filter)
{
	struct slice f = slice_str(filter_names[filter]);
	uint16_t id;

	if (a->wish[filter].asked > 0 || client_unsubscribe(&a->mqtt, &f, 1, slice_of(NULL, 0), filter, &id) != 0)
		return;
	trace("%s: UNSUBSCRIBE %s", a->id, filter_names[filter]);
	a->wish[filter].live = false;
	a->wish[filter].asked++;
	check_groups();
	ledger_unwish(a, filter);
	flush(a);
}

bool
actor_publish(struct actor *a, unsigned topic, uint8_t qos, bool retain, bool empty)
{
	static uint8_t payload[20000];
	uint32_t n = sn.msg_count;
	size_t len = sim_one_in(100) ? 9000 + sim_below(9000) : 8 + sim_below(100);
	struct mqtt_publish p = { .topic = slice_str(topic_name(topic)), .qos = qos, .retain = retain };
	struct entry *m = &sn.msgs[n];

	if (n == MSGS_MAX)
		return false;
	memset(payload, (int)(n % 251), len);
	memcpy(payload, &n, sizeof n);
	p.payload = slice_of(payload, empty ? 0 : len);
	*m = (struct entry){ .from = (uint8_t)a->index, .qos = qos, .topic = (uint8_t)topic, .retain = retain, .empty = empty,
		.unsure = a->unsure && qos == 2, .calm = sn.calm, .conn_no = a->conn_no };
	/* It has no identity: the successor of a worker that is dead now gets it, and the new owner of what moves from there. */
	m->again = check_any_dead();
	m->twice_ok = !a->known && m->again;
	if (topic_group((unsigned)topic) >= 0 && check_group_unheard((unsigned)topic_group((unsigned)topic), a->line->slot))
		sn.group_taint[topic_group((unsigned)topic)] = n + 1;
	sn.msg_count++;
	ledger_publish(m);
	if (client_publish(&a->mqtt, &p, n) != 0) {
		sn.msg_count--;
		return false;
	}
	trace("%s: PUBLISH %u %s qos %u id %u%s", a->id, n, topic_name(topic), qos, p.packet_id, retain ? " retain" : "");
	flush(a);
	return true;
}

bool
actor_quiet(const struct actor *a)
{
	if (a->line == NULL || a->mqtt.state != CLIENT_UP || a->mqtt.in_flight > 0)
		return false;
	for (unsigned i = 0; i < ALL_FILTERS; i++)
		if (a->wish[i].asked > 0)
			return false;
	return true;
}

void
actor_init(struct actor *a, unsigned index)
{
	memset(a, 0, sizeof *a);
	a->index = index;
	snprintf(a->id, sizeof a->id, "c%u", index % 100);
	client_init(&a->mqtt, &ops, a);
	a->mqtt.window = 20;
	a->mqtt.keep_copies = true;
	a->none = true;
	sim_event_init(&a->wake, on_wake);
	sim_event_init(&a->late, on_late);
}

void
actor_fini(struct actor *a)
{
	sim_event_cancel(&a->wake);
	sim_event_cancel(&a->late);
	if (a->line != NULL) {
		struct line *l = a->line;

		went_down(a);
		line_free(l, false);
	}
	client_fini(&a->mqtt);
	buf_fini(&a->in);
}
