/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/conn.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/cidr.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/utf8.h"
#include "common/metrics/page.h"
#include "common/mqtt/encode.h"
#include "common/mqtt/frame.h"
#include "common/mqtt/reason.h"
#include "worker/connect.h"
#include "worker/count.h"
#include "worker/dispatch.h"
#include "worker/session.h"
#include "worker/storec.h"
#include "worker/will.h"
#include "worker/worker.h"

#define READS_A_TURN  4
#define PART_BYTES    256               /* of a packet under way, at once: the client is not silent */
#define HOLD_BYTES    (64 * 1024)       /* read ahead of a connection that is not parsed */
#define WHY_MAX       160
#define TLS_FIRST     0x16              /* byte of a client that speaks TLS */
#define HELD          (CONN_WAIT_KEPT | CONN_WAIT_OPS | CONN_WAIT_OUT)
#define READIES       32u               /* between two looks at the clock */
#define MEMORY_ROOM   (16 * 1024)       /* what a packet may take when memory is out */
#define SHARE         2048              /* of a connection in a turn; a packet is 1, what costs more is charged */

static void on_ready(void *arg, unsigned ready);
static void on_timer(struct timer *t);

static size_t
in_len(const struct conn *c)
{
	return c->in != NULL ? buf_len(c->in) : 0;
}

static struct slice
in_slice(const struct conn *c)
{
	return c->in != NULL ? buf_slice(c->in) : slice_of(NULL, 0);
}

static struct buf *
in_make(struct conn *c)
{
	if (c->in == NULL)
		c->in = mem_zalloc(sizeof *c->in);
	return c->in;
}

static void
in_free(struct conn *c)
{
	if (c->in == NULL)
		return;
	buf_fini(c->in);
	mem_free(c->in);
	c->in = NULL;
}

static uint32_t
now_ms(const struct conn *c)
{
	return (uint32_t)(loop_now(c->worker->loop).ns / NS_PER_MS);
}

struct conn *
conn_new(struct worker *w, const struct conn_origin *from)
{
	struct conn *c = loop_fd_with(w->loop, sizeof *c, from->fd, LOOP_READ, on_ready);

	c->worker = w;
	c->fd = from->fd;
	c->stream = from->stream;
	memcpy(c->peer, from->peer, sizeof c->peer);
	c->peer_port = from->port;
	c->listener = from->listener;
	c->flags = from->allowed ? CONN_ALLOWED : 0;
	c->since_s = (uint32_t)(loop_now(w->loop).ns / NS_PER_SEC);
	c->last_in_ms = now_ms(c);
	list_put_last(&w->conns, &c->link);
	w->conn_count++;
	timer_init(&c->timer, on_timer);
	/* A CONNECT must come in time. [MQTT-3.1.4-1 and section 3.1.4] */
	loop_timer_in(w->loop, &c->timer, w->config.connect_timeout * NS_PER_SEC);
	metrics->listener_connections[c->listener]++;
	METRIC_ADD(connections, 1);
	METRIC_ADD(connections_total, 1);
	return c;
}

void
waiting_free(struct waiting *w)
{
	METRIC_SUB(acks_waiting, 1);
	mem_slab_put(w, w->real_size);
}

void
waiting_hurry(struct worker *worker, struct waiting *w)
{
	if (w->retain != NULL)
		storec_retain_impatient(worker->store, w->retain);
}

void
conn_add_waiting(struct conn *c, struct waiting *w)
{
	if (c->waiting == NULL) {
		c->waiting = mem_zalloc(sizeof *c->waiting);
		list_init(&c->waiting->list);
	}
	w->conn = c;
	list_put_last(&c->waiting->list, &w->link);
	c->waiting->count++;
}

void
conn_adopt(struct conn *c, struct waiting *orphan)
{
	list_del(&orphan->link);
	orphan->orphan_of = NULL;
	conn_add_waiting(c, orphan);
}

/* These acknowledgements go nowhere any more; their legs still close. s: the session that lives on, or NULL. */
static void
drop_waiting(struct conn *c, struct session *s)
{
	if (c->waiting == NULL)
		return;
	LIST_EACH_SAFE(n, tmp, &c->waiting->list) {
		struct waiting *w = container_of(n, struct waiting, link);

		list_del(n);
		w->conn = NULL;
		if (w->legs == 0) {
			/* It failed behind another that did, and was not told: if it comes again it is a new one. */
			if (w->failed && s != NULL && w->qos == 2)
				bitmap_del(&session_flow(c->worker, s)->received, w->packet_id);
			waiting_free(w);
		} else if (s != NULL && w->qos == 2) {
			w->orphan_of = s;
			list_put_last(&session_flow(c->worker, s)->orphans, &w->link);
			if (storec_full(c->worker->store))
				waiting_hurry(c->worker, w);
		} else {
			list_put_last(&c->worker->unkept, &w->link);
			waiting_hurry(c->worker, w);
		}
	}
	mem_free(c->waiting);
	c->waiting = NULL;
}

void
conn_free(struct conn *c)
{
	struct worker *w = c->worker;
	int fd = c->fd;

	FB_ASSERT(c->session == NULL && (c->flags & CONN_DIRTY) == 0);
	FB_ASSERT(c->waiting == NULL);
	loop_timer_cancel(w->loop, &c->timer);
	if (c->stream != NULL)
		c->stream->ops->free(c->stream);
	list_del(&c->link);
	conn_out_free(c);
	in_free(c);
	w->conn_count--;
	metrics->listener_connections[c->listener]--;
	METRIC_SUB(connections, 1);
	loop_fd_free(loop_fd_of(c));    /* and c with it */
	close(fd);
}

void
conn_each(struct worker *w, void (*fn)(struct conn *c, void *arg), void *arg)
{
	LIST_EACH_SAFE(n, tmp, &w->stop.closing)
		fn(container_of(n, struct conn, link), arg);
	LIST_EACH_SAFE(n, tmp, &w->conns)
		fn(container_of(n, struct conn, link), arg);
	LIST_EACH_SAFE(n, tmp, &w->resumed)
		fn(container_of(n, struct conn, link), arg);
	LIST_EACH_SAFE(n, tmp, &w->later)
		fn(container_of(n, struct conn, link), arg);
}

const char *
conn_peer_text(const struct conn *c, char *out, size_t size)
{
	struct cidr a = { .bits = 128 };
	char text[CIDR_TEXT_MAX];

	memcpy(a.addr, c->peer, sizeof a.addr);
	cidr_print(&a, text);
	snprintf(out, size, strchr(text, ':') != NULL ? "[%s]:%u" : "%s:%u", text, c->peer_port);
	return out;
}

static void
log_end(const struct conn *c, enum conn_side side, const char *reason)
{
	static const char *const sides[] = { "client", "server", "network" };
	char id[80];
	char peer[80];

	const char *failed = c->stream != NULL ? c->stream->ops->why(c->stream) : "";

	if (c->bytes_in == 0 && side != CONN_SIDE_SERVER && failed[0] == '\0') {
		METRIC_ADD(connections_silent, 1);
		return;
	}
	log_info("conn", "closed", "client=%s peer=%s side=%s reason=\"%s\" in=%" PRIu64 " out=%" PRIu64 " seconds=%u",
	    c->session != NULL ? utf8_show(session_id(c->session), id, sizeof id) : "-",
	    conn_peer_text(c, peer, sizeof peer), sides[side], reason, c->bytes_in, c->bytes_out,
	    (uint32_t)(loop_now(c->worker->loop).ns / NS_PER_SEC) - c->since_s);
}

/* What is to be published; NULL: nothing, or not any more. */
static struct will *
take_will(struct conn *c)
{
	struct will *will = c->state == CONN_READY ? c->will : NULL;

	if (will == NULL)
		return NULL;
	c->will = NULL;
	if (c->flags & CONN_GRACEFUL) {
		will_cancel(c->worker, c->session, will);
		return NULL;
	}
	will_ask(c->worker, c->session, will);
	return will;
}

/* Parts the connection from its session; what the client was owed is the session's matter from now on. */
static void
detach(struct conn *c)
{
	struct session *s = c->session;
	struct will *will = NULL;

	if (c->state == CONN_OPENING && c->open != NULL)
		connect_conn_gone(c);
	if (c->flags & CONN_HAS_OPS)
		subscribe_conn_gone(c);
	drop_waiting(c, s != NULL && (s->flags & SESSION_DURABLE) ? s : NULL);
	if (s != NULL) {
		will = take_will(c);
		c->session = NULL;
		if (c->state == CONN_READY) {
			METRIC_SUB(clients, 1);
			if (s->account != NULL)
				s->account->clients--;
		}
		session_offline(c->worker, s);
	}
	if (will != NULL)
		will_publish(c->worker, will);          /* [MQTT-3.1.2-8] */
}

void
conn_kill(struct conn *c, enum conn_side side, const char *reason)
{
	struct worker *w = c->worker;

	if (c->state == CONN_DEAD)
		return;
	if (c->state != CONN_LINGER) {
		log_end(c, side, reason);
		detach(c);
	}
	c->state = CONN_DEAD;
	loop_fd_want(loop_fd_of(c), 0);
	list_del(&c->link);
	list_put_last(&w->dead, &c->link);
	worker_wake(w);
}

void
conn_close(struct conn *c, const char *reason)
{
	conn_close_by(c, CONN_SIDE_SERVER, reason);
}

void
conn_close_by(struct conn *c, enum conn_side side, const char *reason)
{
	if (c->state == CONN_DEAD || c->state == CONN_LINGER)
		return;
	log_end(c, side, reason);
	detach(c);
	c->state = CONN_LINGER;
	in_free(c);
	loop_timer_in(c->worker->loop, &c->timer, CONN_LINGER_NS);
	conn_touch(c);
}

void
conn_refuse(struct conn *c, enum mqtt_reason reason, const char *why)
{
	struct mqtt_connack ack = { .code = (uint8_t)reason };
	int code = reason_connack_v3(reason);

	METRIC_ADD(connects_refused, 1);
	if (c->level != MQTT_50)
		ack.code = (uint8_t)code;
	if (c->level == MQTT_50 || code >= 0) {
		encode_connack(conn_out(c), c->level == 0 ? MQTT_311 : c->level, &ack);
		count_sent(MQTT_CONNACK);
	}
	conn_close(c, why);
}

void
conn_redirect(struct conn *c, const char *server, uint16_t max_recursion)
{
	struct mqtt_connack ack = { .code = (uint8_t)reason_connack_v3(MQTT_R_USE_ANOTHER_SERVER),
	    .server = slice_str(server), .max_recursion = max_recursion };
	char why[WHY_MAX + CONFIG_VALUE_MAX];

	METRIC_ADD(redirects, 1);
	count_sent(MQTT_CONNACK);
	encode_connack(conn_out(c), c->level, &ack);
	snprintf(why, sizeof why, "sent to %s", server);
	conn_close(c, why);
}

static const char *
why_text(const struct violation *v, char *out, size_t size)
{
	METRIC_ADD(violations, 1);
	snprintf(out, size, "protocol violation: %s [%s]", reason_text((uint8_t)v->reason), v->statement);
	return out;
}

void
conn_violate_silently(struct conn *c, const struct violation *v)
{
	char why[WHY_MAX];

	conn_kill(c, CONN_SIDE_SERVER, why_text(v, why, sizeof why));
}

void
conn_violate(struct conn *c, const struct violation *v)
{
	char why[WHY_MAX];

	why_text(v, why, sizeof why);
	if (c->state == CONN_NEW) {
		conn_refuse(c, v->reason, why);
		return;
	}
	if (c->state == CONN_READY && c->level == MQTT_50) {
		struct mqtt_disconnect d = { .reason = (uint8_t)v->reason };

		encode_disconnect(conn_out(c), MQTT_DISCONNECT, c->level, &d);
		count_sent(MQTT_DISCONNECT);
	}
	conn_close(c, why);
}

/* A flood of tiny packets must not hold up the others: on in the next turn. */
static void
go_on_later(struct conn *c)
{
	struct worker *w = c->worker;

	if (c->flags & (CONN_IN_RESUMED | CONN_LATER))
		return;
	c->flags |= CONN_LATER;
	list_del(&c->link);
	list_put_last(&w->later, &c->link);
	loop_next(w->loop, &w->next_turn);
}

/* Handles whole packets at the start of *in, as far as the connection's state and its share of the turn let it. */
static void
parse(struct conn *c, struct slice *in)
{
	struct worker *w = c->worker;
	struct frame f;
	struct violation v;
	uint32_t need;
	int err;

	/* HTTP, TLS or SSH at the wrong door: not worth waiting for a whole packet. [MQTT-3.1.0-1] */
	if (c->state == CONN_NEW && in->len > 0 && in->p[0] != MQTT_CONNECT << 4) {
		v = (struct violation){ MQTT_R_PROTOCOL_ERROR, "MQTT-3.1.0-1" };
		if (in->p[0] == TLS_FIRST && c->stream == NULL)
			conn_kill(c, CONN_SIDE_SERVER, "a TLS client at a listener without TLS");
		else
			conn_violate_silently(c, &v);
		return;
	}
	while (in->len > 0 && (c->state == CONN_READY || c->state == CONN_NEW) && !(c->flags & HELD)) {
		err = frame_next(in, (uint32_t)w->config.max_packet, &f, &need, &v);
		if (err == FB_ESHORT)
			return;
		if (err != 0) {
			conn_violate(c, &v);
			return;
		}
		count_received(f.type);
		dispatch(c, &f);
		/* Messages for it stop at the limit; what is beyond are answers, and it does not read them. */
		if (conn_pending(c) > 2 * (size_t)w->config.output_bytes && (c->flags & CONN_WANT_WRITE))
			c->flags |= CONN_WAIT_OUT;
		if (--w->share <= 0 && in->len > 0 && c->state == CONN_READY && !(c->flags & (HELD | CONN_IN_RESUMED))) {
			go_on_later(c);
			return;
		}
	}
}

/* How much room the packet that is half there still needs, if it does not fit into the common buffer. */
static size_t
large_rest(const struct conn *c)
{
	struct slice in = in_slice(c);
	struct frame f;
	struct violation v;
	uint32_t need = 0;

	if (c->state != CONN_READY && c->state != CONN_NEW)
		return in_len(c) < HOLD_BYTES ? HOLD_BYTES - in_len(c) : 0;
	if (c->flags & HELD)
		return in_len(c) < HOLD_BYTES ? HOLD_BYTES - in_len(c) : 0;
	if (in.len == 0 || frame_next(&in, (uint32_t)c->worker->config.max_packet, &f, &need, &v) != FB_ESHORT)
		return 0;
	return need > WORKER_RBUF / 2 ? need - in_len(c) : 0;
}

static void
parse_own(struct conn *c)
{
	struct slice in = in_slice(c);
	size_t len = in.len;

	parse(c, &in);
	if (c->state == CONN_DEAD || c->state == CONN_LINGER)
		return;
	if (len == 0)
		return;
	buf_eat(c->in, len - in.len);
	if (in.len == 0)
		in_free(c);
}

static bool
is_held(const struct conn *c)
{
	return (c->state != CONN_READY && c->state != CONN_NEW) || (c->flags & HELD);
}

static ssize_t
get(struct conn *c, void *p, size_t len)
{
	ssize_t n;

	if (c->stream == NULL)
		return tcp_read(c->fd, p, len);
	n = c->stream->ops->read(c->stream, p, len);
	if (c->stream->ops->unsent(c->stream))
		conn_touch(c);
	return n;
}

/* The input has ended, n says how. */
static void
ended(struct conn *c, ssize_t n)
{
	bool answers = c->stream != NULL && c->stream->ops->unsent(c->stream);
	enum conn_side side = n == FB_ECLOSED ? CONN_SIDE_CLIENT : answers ? CONN_SIDE_SERVER : CONN_SIDE_NETWORK;
	const char *why = c->stream != NULL ? c->stream->ops->why(c->stream) : "";

	if (why[0] == '\0')
		why = n == FB_ECLOSED ? "end of stream" : strerror(errno);
	/* An answer of the transport's own is on its way, such as an HTTP error. */
	if (answers)
		conn_close_by(c, side, why);
	else
		conn_kill(c, side, why);
}

/* A packet is a sign of life [MQTT-3.1.2-24]; so is a good part of one, but not the drops that hold a connection open. */
static void
note_life(struct conn *c, ssize_t n, bool packet)
{
	if (packet || n >= PART_BYTES)
		c->last_in_ms = now_ms(c);
}

/* One read call; false: nothing more to be had now. */
static bool
read_once(struct conn *c)
{
	struct worker *w = c->worker;
	bool held = is_held(c);
	size_t have = in_len(c);
	size_t own = have > 0 || held ? large_rest(c) : 0;
	size_t room = own > 0 ? own : WORKER_RBUF - have;
	struct slice in;
	ssize_t n;

	if (held && own == 0) {
		loop_fd_want(loop_fd_of(c), c->flags & CONN_WANT_WRITE ? LOOP_WRITE : 0);
		return false;
	}
	/* Less is allowed now than when this packet began: what is here is enough to say so. */
	if (own == 0 && have >= WORKER_RBUF) {
		parse_own(c);
		return false;
	}
	if (own > MEMORY_ROOM && budget_is(w, BUDGET_OUT)) {
		METRIC_ADD(connections_memory, 1);
		conn_kill(c, CONN_SIDE_SERVER, "no memory for a packet of that size");
		return false;
	}
	n = get(c, own > 0 ? buf_room(in_make(c), own) : w->rbuf + have, room);
	METRIC_ADD(reads, 1);
	if (n == FB_EAGAIN) {
		if (c->in != NULL && buf_len(c->in) == 0)
			in_free(c);             /* room that nothing came for */
		return false;
	}
	if (n < 0) {
		ended(c, n);
		return false;
	}
	c->bytes_in += (uint64_t)n;
	METRIC_ADD(bytes_in, n);
	if (own > 0) {
		buf_added(c->in, (size_t)n);
		if (!held)
			parse_own(c);
		note_life(c, n, held || in_len(c) < have + (size_t)n);
		return ((size_t)n == room || c->stream != NULL) && c->state != CONN_DEAD && c->state != CONN_LINGER;
	}
	if (have > 0) {
		memcpy(w->rbuf, in_slice(c).p, have);
		in_free(c);
	}
	in = slice_of(w->rbuf, have + (size_t)n);
	parse(c, &in);
	note_life(c, n, in.len < have + (size_t)n);
	if (c->state == CONN_DEAD || c->state == CONN_LINGER)
		return false;
	if (in.len > 0)
		buf_put_slice(in_make(c), in);
	return (size_t)n == room || c->stream != NULL;
}

/* Reads as much as one turn grants. What a stream holds then is read in the next turn: no socket will say so. */
static void
read_turn(struct conn *c)
{
	for (int i = 0; i < READS_A_TURN; i++)
		if (!read_once(c) || c->worker->share <= 0)
			break;
	if (c->stream == NULL || c->state == CONN_DEAD || c->state == CONN_LINGER)
		return;
	if (c->stream->ops->more(c->stream) && !(is_held(c) && large_rest(c) == 0))
		go_on_later(c);
}

/* Input after the end: thrown away, so that the peer gets our last bytes and not a reset. */
static void
read_away(struct conn *c)
{
	ssize_t n = tcp_read(c->fd, c->worker->rbuf, WORKER_RBUF);

	if (n < 0 && n != FB_EAGAIN)
		conn_kill(c, CONN_SIDE_CLIENT, "");
}

static void
on_ready(void *arg, unsigned ready)
{
	struct conn *c = arg;
	struct worker *w = c->worker;

	/* It stays ready. */
	if (worker_is_over(w) || (++w->ready_count % READIES == 0 && worker_check_turn(w)))
		return;
	if (ready & LOOP_WRITE) {
		c->flags = (uint16_t)(c->flags & ~CONN_WANT_WRITE);
		loop_fd_want(loop_fd_of(c), LOOP_READ);
		conn_flush(c);
	}
	if (c->state == CONN_DEAD || (ready & LOOP_READ) == 0 || w->behind > 0)
		return;
	if (c->state == CONN_LINGER) {
		read_away(c);
		return;
	}
	if (c->flags & CONN_LATER)
		return;
	c->worker->share = SHARE;
	metrics->note = c->session != NULL ? c->session->node.hash : 0;
	read_turn(c);
	metrics->note = 0;
}

void
conn_resume(struct conn *c)
{
	if ((c->flags & (CONN_IN_RESUMED | CONN_LATER)) || c->state == CONN_DEAD)
		return;
	c->flags |= CONN_IN_RESUMED;
	list_del(&c->link);
	list_put_last(&c->worker->resumed, &c->link);
	worker_wake(c->worker);
}

void
conn_resume_now(struct conn *c)
{
	c->flags = (uint16_t)(c->flags & ~CONN_IN_RESUMED);
	list_del(&c->link);
	list_put_last(&c->worker->conns, &c->link);
	if (c->state == CONN_LINGER)
		return;
	loop_fd_want(loop_fd_of(c), c->flags & CONN_WANT_WRITE ? LOOP_READ | LOOP_WRITE : LOOP_READ);
	c->last_in_ms = now_ms(c);      /* what it sent was waiting here */
	c->worker->share = SHARE;
	metrics->note = c->session != NULL ? c->session->node.hash : 0;
	parse_own(c);
	if (c->stream != NULL && c->state != CONN_DEAD && c->state != CONN_LINGER && c->stream->ops->more(c->stream))
		read_turn(c);
	metrics->note = 0;
}

/* Nothing more is read of it before it may go on: whether it is silent cannot be known. */
static bool
is_unread(const struct conn *c)
{
	return (c->flags & HELD) && in_len(c) >= HOLD_BYTES;
}

static void
on_timer(struct timer *t)
{
	struct conn *c = container_of(t, struct conn, timer);
	int64_t limit_ms = (int64_t)c->keep_alive_s * 1500;
	int64_t idle_ms = (int64_t)(uint32_t)(now_ms(c) - c->last_in_ms);

	switch ((enum conn_state)c->state) {
	case CONN_NEW:
	case CONN_OPENING:
		conn_kill(c, CONN_SIDE_SERVER, c->state == CONN_NEW ? "no CONNECT in time" : "CONNECT took too long");
		break;
	case CONN_READY:
		if (c->flags & CONN_UNHEARD) {
			conn_kill(c, CONN_SIDE_NETWORK, "the client has gone");
			break;
		}
		session_flow_trim(c->session);
		if (is_unread(c))
			idle_ms = 0;
		/* One and a half times the keep-alive. [MQTT-3.1.2-24] */
		if (idle_ms < limit_ms) {
			loop_timer_in(c->worker->loop, t, (limit_ms - idle_ms) * NS_PER_MS);
			break;
		}
		if (c->level == MQTT_50) {
			struct mqtt_disconnect d = { .reason = MQTT_R_KEEP_ALIVE_TIMEOUT };

			encode_disconnect(conn_out(c), MQTT_DISCONNECT, c->level, &d);
			count_sent(MQTT_DISCONNECT);
			conn_close(c, "keep-alive time-out");
			break;
		}
		conn_kill(c, CONN_SIDE_SERVER, "keep-alive time-out");
		break;
	case CONN_LINGER:
		conn_kill(c, CONN_SIDE_SERVER, "");
		break;
	case CONN_DEAD:
		break;
	}
}

void
conn_keepalive(struct conn *c)
{
	if (c->keep_alive_s == 0)
		loop_timer_cancel(c->worker->loop, &c->timer);
	else
		loop_timer_in(c->worker->loop, &c->timer, c->keep_alive_s * NS_PER_SEC * 3 / 2);
}
