/* SPDX-License-Identifier: Apache-2.0 */
#include "t/support/worker_fixture.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/arena.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/rand.h"
#include "common/ipc/chan.h"
#include "common/ipc/codec.h"
#include "common/metrics/page.h"
#include "common/mqtt/decode.h"
#include "common/mqtt/encode.h"
#include "common/mqtt/frame.h"
#include "t/sim/sim.h"
#include "t/support/unit.h"
#include "worker/conn.h"
#include "worker/worker.h"

/* ---- the supervisor ---- */

static void
on_sup_msg(void *arg, enum ipc_type type, struct slice payload, int fd)
{
	struct fx_worker *w = arg;

	(void)fd;
	if (type == IPC_READY)
		w->ready = true;
	else if (type == IPC_ADMIN_ROW)
		buf_put_slice(&w->rows, payload);
}

static void
on_sup_closed(void *arg)
{
	(void)arg;
}

static const struct chan_ops sup_ops = { .on_msg = on_sup_msg, .on_closed = on_sup_closed };

static void
tell_peer(struct fx_worker *to, const struct fx_worker *about, bool up)
{
	if (to == about || to->worker == NULL)
		return;
	if (up)
		CHAN_SEND(to->sup, PEER_UP, peer, .slot = (uint16_t)about->slot, .epoch = about->epoch);
	else
		CHAN_SEND(to->sup, PEER_DOWN, peer, .slot = (uint16_t)about->slot, .epoch = about->epoch);
}

static void
give_store(struct fx_worker *w)
{
	int fd[2];

	ck_assert_int_eq(chan_pair(fd), 0);
	chan_send_fd(w->sup, IPC_STORE_CHAN, slice_of(NULL, 0), fd[1]);
	close(fd[1]);
	fake_store_given(&w->fx->store, w->slot, w->epoch, fd[0]);
}

static void
start(struct fx *fx, unsigned slot)
{
	struct fx_worker *w = &fx->w[slot];
	int fd[2];

	*w = (struct fx_worker){ .fx = fx, .slot = slot, .epoch = ++fx->epochs };
	w->loop = loop_new();
	ck_assert_int_eq(chan_pair(fd), 0);
	w->sup = chan_new(fx->loop, fd[0], IPC_SUP, IPC_WORKER, &sup_ops, w);
	w->worker = worker_new(w->loop, fd[1]);
	CHAN_SEND(w->sup, START, start, .digest = ipc_digest(), .slot = (uint16_t)slot, .slots = (uint16_t)fx->slots,
	    .epoch = w->epoch, .route_k0 = rand_process_key.k0, .route_k1 = rand_process_key.k1, .node = SLICE_LIT("t"),
	    .run_dir = SLICE_LIT("/nowhere"), .data_dir = SLICE_LIT("/nowhere"));
	for (unsigned i = 0; fx->settings[i] != NULL; i += 2)
		CHAN_SEND(w->sup, SETTING, setting, .path = slice_str(fx->settings[i]),
		    .value = slice_str(fx->settings[i + 1]));
	chan_send(w->sup, IPC_SETTINGS_END);
	give_store(w);
}

void
fx_worker_start(struct fx *fx, unsigned slot)
{
	struct fx_worker *w = &fx->w[slot];

	start(fx, slot);
	for (unsigned i = 0; i < fx->slots; i++) {
		if (fx->w[i].worker == NULL)
			continue;
		tell_peer(w, &fx->w[i], true);
		tell_peer(&fx->w[i], w, true);
	}
	chan_send(w->sup, IPC_GATES_OPEN);
}

void
fx_open(struct fx *fx, unsigned slots, const struct fx_net *net, ...)
{
	va_list ap;
	unsigned n = 4;

	memset(fx, 0, sizeof *fx);
	log_set_level(getenv("FX_LOG") != NULL ? LOG_DEBUG : LOG_ERROR);
	memset(metrics->value, 0, sizeof metrics->value);
	sim_open(1);
	list_init(&fx->clients);
	fx->slots = slots;
	fx->net = net;
	fx->settings[0] = "auth.enabled";
	fx->settings[1] = "false";
	fx->settings[2] = "session.durability";
	fx->settings[3] = "memory";
	if (getenv("FX_LOG") == NULL) {
		fx->settings[n++] = "log.level";
		fx->settings[n++] = "error";
	}
	va_start(ap, net);
	for (const char *s = va_arg(ap, const char *); s != NULL; s = va_arg(ap, const char *)) {
		ck_assert_uint_lt(n, 22);
		fx->settings[n++] = s;
	}
	va_end(ap);
	fx->loop = loop_new();
	fake_store_init(&fx->store, fx->loop, slots);
	for (unsigned i = 0; i < slots; i++)
		start(fx, i);
	for (unsigned i = 0; i < slots; i++)
		for (unsigned k = 0; k < slots; k++)
			tell_peer(&fx->w[i], &fx->w[k], true);
	fx_run(fx);
	for (unsigned i = 0; i < slots; i++) {
		ck_assert(fx->w[i].ready);
		chan_send(fx->w[i].sup, IPC_GATES_OPEN);
	}
	fx_run(fx);
}

void
fx_set(struct fx *fx, const char *path, const char *value)
{
	for (unsigned i = 0; i < fx->slots; i++) {
		if (fx->w[i].worker == NULL)
			continue;
		CHAN_SEND(fx->w[i].sup, SETTING, setting, .path = slice_str(path), .value = slice_str(value));
		chan_send(fx->w[i].sup, IPC_SETTINGS_END);
	}
	fx_run(fx);
}

void
fx_worker_die(struct fx *fx, unsigned slot)
{
	struct fx_worker *w = &fx->w[slot];
	struct worker *gone = w->worker;

	/* What it would still say on its way out, a process that is killed does not say. */
	fx->net->die(slot);
	fake_store_cut(&fx->store, slot);
	w->worker = NULL;
	worker_free(gone);
	loop_free(w->loop);
	chan_free(w->sup);
	buf_fini(&w->rows);
}

void
fx_worker_reaped(struct fx *fx, unsigned slot)
{
	for (unsigned i = 0; i < fx->slots; i++)
		tell_peer(&fx->w[i], &fx->w[slot], false);
	fake_store_gone(&fx->store, slot);
}

void
fx_worker_kill(struct fx *fx, unsigned slot)
{
	fx_worker_die(fx, slot);
	fx_worker_reaped(fx, slot);
}

void
fx_store_kill(struct fx *fx)
{
	fake_store_crash(&fx->store);
}

void
fx_store_start(struct fx *fx)
{
	for (unsigned i = 0; i < fx->slots; i++)
		if (fx->w[i].worker != NULL)
			give_store(&fx->w[i]);
}

void
fx_sup_stop(struct fx *fx, unsigned slot)
{
	chan_send(fx->w[slot].sup, IPC_STOP);
}

void
fx_admin(struct fx *fx, unsigned slot, unsigned command, const char *arg)
{
	struct buf words;

	buf_init(&words);
	if (arg != NULL)
		buf_put_le32_bytes(&words, slice_str(arg));
	buf_clear(&fx->w[slot].rows);
	CHAN_SEND(fx->w[slot].sup, ADMIN, admin, .id = 1, .rights = 3, .command = (uint16_t)command,
	    .words = buf_slice(&words));
	buf_fini(&words);
	fx_run(fx);
}

void
fx_close(struct fx *fx)
{
	LIST_EACH_SAFE(n, tmp, &fx->clients)
		fx_client_close(container_of(n, struct fx_client, link));
	fx_run(fx);
	for (unsigned i = 0; i < fx->slots; i++)
		if (fx->w[i].worker != NULL)
			fx_worker_die(fx, i);
	fake_store_fini(&fx->store);
	fx->net->reset();
	loop_free(fx->loop);
	sim_close();
}

/* ---- the world ---- */

/* Bytes from and to the socket; false: none. */
static bool
client_step(struct fx_client *c)
{
	bool any = false;
	size_t len = buf_len(&c->out);
	ssize_t n;

	if (c->chunk != 0 && len > c->chunk)
		len = c->chunk;
	if (len > 0 && (n = send(c->fd, buf_slice(&c->out).p, len, MSG_NOSIGNAL)) > 0) {
		buf_eat(&c->out, (size_t)n);
		any = true;
	}
	while (!c->paused && !c->eof) {
		n = recv(c->fd, buf_room(&c->in, 65536), 65536, 0);
		if (n > 0)
			buf_added(&c->in, (size_t)n);
		else if (n == 0 || errno != EAGAIN)
			c->eof = true;
		else
			break;
		any = true;
	}
	return any;
}

bool
fx_step(struct fx *fx)
{
	bool any = false;

	LIST_EACH(n, &fx->clients)
		any = client_step(container_of(n, struct fx_client, link)) || any;
	for (unsigned i = 0; i < fx->slots; i++) {
		if (fx->w[i].worker != NULL && sim_loop_ready(fx->w[i].loop)) {
			(void)loop_turn(fx->w[i].loop, false);
			any = true;
		}
	}
	if (sim_loop_ready(fx->loop)) {
		(void)loop_turn(fx->loop, false);
		any = true;
	}
	any = fake_store_step(&fx->store) || any;
	while (fx->net->step())
		any = true;
	return any;
}

void
fx_run(struct fx *fx)
{
	unsigned turns = 0;

	while (fx_step(fx))
		ck_assert_msg(++turns < 200000, "the world does not come to rest");
}

void
fx_pass_ms(struct fx *fx, int64_t ms)
{
	while (ms > 0) {
		int64_t part = ms < 50 ? ms : 50;

		fx_run(fx);
		sim_run_for(part * NS_PER_MS);
		ms -= part;
	}
	fx_run(fx);
}

/* ---- clients ---- */

struct fx_client *
fx_client(struct fx *fx, unsigned slot, unsigned flags)
{
	struct fx_client *c = mem_zalloc(sizeof *c);
	struct conn_origin from = { .peer = { [10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1 }, .port = 1024 };
	const int small = 4096;
	int fd[2];

	ck_assert_int_eq(chan_pair(fd), 0);
	if (flags & FX_SMALL) {
		(void)setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
		(void)setsockopt(fd[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
	}
	c->fx = fx;
	c->fd = fd[0];
	c->level = flags & FX_LEVEL3 ? MQTT_31 : MQTT_311;
	list_put_last(&fx->clients, &c->link);
	from.fd = fd[1];
	from.allowed = (flags & FX_ALLOWED) != 0;
	(void)conn_new(fx->w[slot].worker, &from);
	return c;
}

void
fx_client_close(struct fx_client *c)
{
	list_del(&c->link);
	close(c->fd);
	buf_fini(&c->in);
	buf_fini(&c->out);
	mem_free(c);
}

struct session *
fx_session(const struct fx *fx, unsigned slot, const char *id)
{
	struct slice s = slice_str(id);

	return session_get(&fx->w[slot].worker->sessions, s, rand_hash(s.p, s.len));
}

struct fx_client *
fx_connect(struct fx *fx, unsigned slot, const char *id, unsigned flags)
{
	struct fx_client *c = fx_client(fx, slot, flags);
	char text[256];

	snprintf(text, sizeof text, "CONNECT %s%s", id, flags & FX_CLEAN ? " clean" : "");
	fx_send(c, text);
	return c;
}

struct fx_client *
fx_connected(struct fx *fx, unsigned slot, const char *id, unsigned flags, bool present)
{
	struct fx_client *c = fx_connect(fx, slot, id, flags);

	ck_assert_str_eq(fx_next(c), present ? "CONNACK 0 present" : "CONNACK 0");
	return c;
}

/* ---- packets out of texts ---- */

/* The next word of *at, in out; false: none. */
static bool
word(const char **at, char *out, size_t size)
{
	size_t len;

	*at += strspn(*at, " ");
	len = strcspn(*at, " ");
	ck_assert_uint_lt(len, size);
	memcpy(out, *at, len);
	out[len] = '\0';
	*at += len;
	return len > 0;
}

static uint16_t
number(const char **at)
{
	char w[64];

	ck_assert(word(at, w, sizeof w));
	return (uint16_t)atoi(w);
}

/* The value behind "key=" if w is that; else NULL. */
static const char *
value(const char *w, const char *key)
{
	size_t len = strlen(key);

	return strncmp(w, key, len) == 0 && w[len] == '=' ? w + len + 1 : NULL;
}

static void
take_will(struct mqtt_will *will, const char *v)
{
	const char *comma = strchr(v, ',');

	will->topic = slice_of(v, (size_t)(comma - v));
	will->qos = (uint8_t)(comma[1] - '0');
	will->retain = comma[3] == '1';
	will->payload = slice_str(comma + 5);
}

static void
put_connect(struct fx_client *c, const char *t)
{
	struct mqtt_connect p = { .level = c->level };
	static char words[16][4096];
	unsigned n = 0;
	const char *v;

	while (word(&t, words[n], sizeof words[n])) {
		const char *w = words[n++];

		if (n == 1)
			p.client_id = strcmp(w, "-") == 0 ? slice_of("", 0) : slice_str(w);
		else if (strcmp(w, "clean") == 0)
			p.clean = true;
		else if ((v = value(w, "level")) != NULL)
			p.level = c->level = (uint8_t)atoi(v);
		else if ((v = value(w, "user")) != NULL)
			p.has_user = true, p.user = slice_str(v);
		else if ((v = value(w, "password")) != NULL)
			p.has_password = true, p.password = slice_str(v);
		else if ((v = value(w, "keep")) != NULL)
			p.keep_alive_s = (uint16_t)atoi(v);
		else if ((v = value(w, "recursion")) != NULL)
			p.has_max_recursion = true, p.max_recursion = (uint16_t)atoi(v);
		else if ((v = value(w, "will")) != NULL)
			p.has_will = true, take_will(&p.will, v);
		else
			ck_abort_msg("CONNECT: what is \"%s\"?", w);
	}
	encode_connect(&c->out, &p);
}

static void
put_publish(struct fx_client *c, const char *t)
{
	struct mqtt_publish p = { 0 };
	static char topic[65536], payload[4096], w[64];
	char *big = NULL;
	const char *v;

	ck_assert(word(&t, topic, sizeof topic) && word(&t, payload, sizeof payload));
	p.topic = slice_str(topic);
	p.payload = slice_str(payload);
	if (strcmp(payload, "-") == 0) {
		p.payload.len = 0;
	} else if (payload[0] == '*') {
		p.payload.len = (size_t)atol(payload + 1);
		p.payload.p = memset(big = mem_alloc(p.payload.len), 'x', p.payload.len);
	}
	while (word(&t, w, sizeof w)) {
		if ((v = value(w, "qos")) != NULL) {
			p.qos = (uint8_t)(v[0] - '0');
			p.packet_id = (uint16_t)(v[1] == ',' ? atoi(v + 2) : 0);
		} else if (strcmp(w, "retain") == 0) {
			p.retain = true;
		} else if (strcmp(w, "dup") == 0) {
			p.dup = true;
		} else {
			ck_abort_msg("PUBLISH: what is \"%s\"?", w);
		}
	}
	encode_publish(&c->out, c->level, &p);
	mem_free(big);
}

static void
put_subscribe(struct fx_client *c, const char *t)
{
	struct mqtt_filter f[16] = { 0 };
	struct mqtt_subscribe p = { .filters = f };
	static char words[16][65536];

	p.packet_id = number(&t);
	while (word(&t, words[p.count], sizeof words[0])) {
		f[p.count].filter = slice_str(words[p.count]);
		f[p.count].qos = (uint8_t)number(&t);
		p.count++;
	}
	encode_subscribe(&c->out, c->level, &p);
}

static void
put_unsubscribe(struct fx_client *c, const char *t)
{
	struct slice f[16];
	struct mqtt_unsubscribe p = { .filters = f };
	static char words[16][65536];

	p.packet_id = number(&t);
	while (word(&t, words[p.count], sizeof words[0])) {
		f[p.count] = slice_str(words[p.count]);
		p.count++;
	}
	encode_unsubscribe(&c->out, c->level, &p);
}

static bool
put_ack(struct fx_client *c, const char *type, const char *t)
{
	static const char *const names[] = { "PUBACK", "PUBREC", "PUBREL", "PUBCOMP" };
	struct mqtt_ack ack = { 0 };

	for (unsigned i = 0; i < 4; i++) {
		if (strcmp(type, names[i]) != 0)
			continue;
		ack.packet_id = number(&t);
		encode_ack(&c->out, (enum mqtt_type)(MQTT_PUBACK + i), c->level, &ack);
		return true;
	}
	return false;
}

void
fx_send(struct fx_client *c, const char *t)
{
	struct mqtt_disconnect bye = { 0 };
	char type[32];

	ck_assert(word(&t, type, sizeof type));
	if (strcmp(type, "CONNECT") == 0)
		put_connect(c, t);
	else if (strcmp(type, "PUBLISH") == 0)
		put_publish(c, t);
	else if (strcmp(type, "SUBSCRIBE") == 0)
		put_subscribe(c, t);
	else if (strcmp(type, "UNSUBSCRIBE") == 0)
		put_unsubscribe(c, t);
	else if (strcmp(type, "PINGREQ") == 0)
		encode_ping(&c->out, MQTT_PINGREQ);
	else if (strcmp(type, "DISCONNECT") == 0)
		encode_disconnect(&c->out, MQTT_DISCONNECT, c->level, &bye);
	else if (!put_ack(c, type, t))
		ck_abort_msg("what is \"%s\"?", type);
}

/* ---- packets into texts ---- */

static bool
all_x(struct slice s)
{
	return s.len == 0 || (s.p[0] == 'x' && memcmp(s.p, s.p + 1, s.len - 1) == 0);
}

static void
show_publish(struct fx_client *c, const struct frame *f)
{
	struct mqtt_publish p;
	struct violation v;
	char *at = c->text;
	char *end = c->text + sizeof c->text;

	ck_assert_int_eq(decode_publish(f, c->level, &p, &v), 0);
	at += snprintf(at, (size_t)(end - at), "PUBLISH %.*s ", (int)p.topic.len, (const char *)p.topic.p);
	if (p.payload.len > 256)
		at += snprintf(at, (size_t)(end - at), "%c%zu", all_x(p.payload) ? '*' : '?', p.payload.len);
	else
		at += snprintf(at, (size_t)(end - at), "%.*s", (int)p.payload.len, (const char *)p.payload.p);
	if (p.qos > 0)
		at += snprintf(at, (size_t)(end - at), " qos=%u,%u", p.qos, p.packet_id);
	snprintf(at, (size_t)(end - at), "%s%s", p.retain ? " retain" : "", p.dup ? " dup" : "");
}

static void
show_suback(struct fx_client *c, const struct frame *f)
{
	struct mqtt_suback p;
	struct violation v;
	char *at = c->text;

	ck_assert_int_eq(decode_suback(f, c->level, &p, &v), 0);
	at += sprintf(at, "%s %u", f->type == MQTT_SUBACK ? "SUBACK" : "UNSUBACK", p.packet_id);
	for (size_t i = 0; i < p.codes.len; i++)
		at += sprintf(at, " %u", p.codes.p[i]);
}

static void
show_connack(struct fx_client *c, const struct frame *f)
{
	struct mqtt_connack p;
	struct violation v;

	ck_assert_int_eq(decode_connack(f, c->level, &p, &v), 0);
	sprintf(c->text, "CONNACK %u%s", p.code, p.session_present ? " present" : "");
	if (p.has_keep_alive)
		sprintf(c->text + strlen(c->text), " keep=%u", p.keep_alive_s);
	if (p.server.len > 0)
		sprintf(c->text + strlen(c->text), " server=%.*s recursion=%u", (int)p.server.len, (const char *)p.server.p,
		    p.max_recursion);
}

static void
show(struct fx_client *c, const struct frame *f)
{
	static const char *const names[] = { "PUBACK", "PUBREC", "PUBREL", "PUBCOMP" };
	struct mqtt_ack ack;
	struct violation v;

	switch ((enum mqtt_type)f->type) {
	case MQTT_CONNACK:
		show_connack(c, f);
		break;
	case MQTT_PUBLISH:
		show_publish(c, f);
		break;
	case MQTT_PUBACK:
	case MQTT_PUBREC:
	case MQTT_PUBREL:
	case MQTT_PUBCOMP:
		ck_assert_int_eq(decode_ack(f, c->level, &ack, &v), 0);
		sprintf(c->text, "%s %u", names[f->type - MQTT_PUBACK], ack.packet_id);
		break;
	case MQTT_SUBACK:
	case MQTT_UNSUBACK:
		show_suback(c, f);
		break;
	case MQTT_PINGRESP:
		strcpy(c->text, "PINGRESP");
		break;
	default:
		sprintf(c->text, "packet of type %u", f->type);
	}
}

const char *
fx_next(struct fx_client *c)
{
	struct slice in;
	struct frame f;
	struct violation v;
	uint32_t need;
	int err;

	fx_run(c->fx);
	in = buf_slice(&c->in);
	err = frame_next(&in, UINT32_C(1) << 28, &f, &need, &v);
	ck_assert_int_ne(err, FB_EPROTO);
	if (err != 0) {
		ck_assert(!c->eof || buf_len(&c->in) == 0);
		return c->eof ? "END" : "";
	}
	show(c, &f);
	buf_eat(&c->in, f.size);
	return c->text;
}

void
fx_expect_at(struct fx_client *c, const char *text, const char *file, int line)
{
	const char *got = fx_next(c);
	size_t len = strlen(text);
	bool same = len > 0 && text[len - 1] == '*' ? strncmp(got, text, len - 1) == 0 : strcmp(got, text) == 0;

	if (!same)
		ck_abort_msg("%s:%d: expected \"%s\", got \"%s\"", file, line, text, got);
}

void
fx_expect_end_at(struct fx_client *c, const char *file, int line)
{
	const char *got;

	while (strcmp(got = fx_next(c), "END") != 0)
		if (got[0] == '\0')
			ck_abort_msg("%s:%d: the connection lives on", file, line);
}
