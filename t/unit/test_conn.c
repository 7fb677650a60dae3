/* SPDX-License-Identifier: Apache-2.0
 * A connection's bytes: packets cut anywhere, large ones, those that have to wait, ends of all kinds. */
#include "worker/conn.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/rand.h"
#include "common/metrics/page.h"
#include "t/support/fake_cluster.h"
#include "t/support/unit.h"
#include "t/support/worker_fixture.h"
#include "worker/session.h"
#include "worker/stream.h"
#include "worker/worker.h"

static struct fx fx;

static struct conn *
conn_of(const char *id)
{
	return session_get(&fx.w[0].worker->sessions, slice_str(id), rand_hash(id, strlen(id)))->conn;
}

/* A client that wants what it sends. */
static struct fx_client *
echo(const char *id)
{
	struct fx_client *c = fx_connected(&fx, 0, id, FX_CLEAN, false);

	fx_send(c, "SUBSCRIBE 1 t 0");
	fx_expect(c, "SUBACK 1 0");
	return c;
}

START_TEST(packets_cut_anywhere)
{
	static const size_t chunks[] = { 1, 2, 3, 7, 1000, 65535, 65536, 131071, 131072, 131073, 0 };
	static const unsigned sizes[] = { 0, 1, 60, 115, 121, 122, 123, 1000, 16377, 16378, 65400, 65532, 131000, 131066, 131068,
		131069, 140000, 300000, 5 };
	char text[64];

	fx_open(&fx, 1, &fake_net, NULL);
	for (size_t k = 0; k < sizeof chunks / sizeof chunks[0]; k++) {
		struct fx_client *c = echo("c");
		unsigned sent = 0;

		c->chunk = chunks[k];
		for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
			if (chunks[k] != 0 && chunks[k] < 10 && sizes[i] > 2000)
				continue;
			snprintf(text, sizeof text, sizes[i] == 0 ? "PUBLISH t -" : "PUBLISH t *%u", sizes[i]);
			fx_send(c, text);
			sent++;
		}
		fx_send(c, "PINGREQ");
		for (unsigned i = 0; i < sent; i++)
			ck_assert_int_eq(strncmp(fx_next(c), "PUBLISH t ", 10), 0);
		fx_expect(c, "PINGRESP");
		ck_assert_ptr_null(conn_of("c")->in);     /* idle: no buffers */
		ck_assert_uint_eq(conn_of("c")->out.cap, 0);
		fx_client_close(c);
		fx_run(&fx);
	}
	fx_close(&fx);
}
END_TEST

START_TEST(random_sizes_and_cuts)
{
	struct rand r;
	struct fx_client *c;
	char text[64];

	rand_seed(&r, 11);
	fx_open(&fx, 1, &fake_net, NULL);
	c = echo("c");
	for (unsigned round = 0; round < 60; round++) {
		unsigned size[40];
		unsigned n = 1 + (unsigned)rand_below(&r, 40);

		for (unsigned i = 0; i < n; i++) {
			size[i] = 300 + (unsigned)rand_below(&r, rand_below(&r, 8) ? 3000 : 250000);
			snprintf(text, sizeof text, "PUBLISH t *%u", size[i]);
			fx_send(c, text);
		}
		c->chunk = 1000 + rand_below(&r, 200000);
		for (unsigned i = 0; i < n; i++) {
			snprintf(text, sizeof text, "PUBLISH t *%u", size[i]);
			fx_expect(c, text);
		}
	}
	fx_close(&fx);
}
END_TEST

/* While a publish waits to be kept nothing is parsed, and no more than a bound is read. */
START_TEST(held_back)
{
	struct fx_client *c, *s;
	char text[64];

	fx_open(&fx, 2, &fake_net, "session.max_wait", "1", NULL);
	s = fx_connected(&fx, 1, "s", FX_CLEAN, false);
	fx_send(s, "SUBSCRIBE 1 t 1");
	fx_expect(s, "SUBACK 1 1");
	c = fx_connected(&fx, 0, "c", FX_CLEAN, false);
	fx_run(&fx);
	fake_net_hold(1, 0, true);
	for (unsigned i = 1; i <= 400; i++) {
		snprintf(text, sizeof text, "PUBLISH t *%u qos=1,%u", 1000 + i, i);
		fx_send(c, text);
	}
	fx_run(&fx);
	ck_assert_uint_gt(buf_len(&c->out), 0);
	ck_assert_uint_le(buf_len(conn_of("c")->in), 128 * 1024);
	fake_net_hold(1, 0, false);
	for (unsigned i = 1; i <= 400; i++) {
		snprintf(text, sizeof text, "PUBACK %u", i);
		fx_expect(c, text);
		snprintf(text, sizeof text, "PUBLISH t *%u qos=1,%u", 1000 + i, i);
		fx_expect(s, text);
		snprintf(text, sizeof text, "PUBACK %u", i);
		fx_send(s, text);
	}
	ck_assert_ptr_null(conn_of("c")->in);
	fx_close(&fx);
}
END_TEST

/* A client that is not read is not called silent. One that is silent then is, in its time after it was read again. */
START_TEST(held_back_and_keep_alive)
{
	struct fx_client *c, *s;
	char text[64];

	fx_open(&fx, 2, &fake_net, "session.max_wait", "1", NULL);
	s = fx_connected(&fx, 1, "s", FX_CLEAN, false);
	fx_send(s, "SUBSCRIBE 1 t 0");
	fx_expect(s, "SUBACK 1 0");
	c = fx_client(&fx, 0, FX_CLEAN);
	fx_send(c, "CONNECT c clean keep=2");
	fx_expect(c, "CONNACK 0");
	fake_net_hold(1, 0, true);
	for (unsigned i = 1; i <= 200; i++) {
		snprintf(text, sizeof text, "PUBLISH t *1000 qos=1,%u", i);
		fx_send(c, text);
	}
	for (unsigned i = 0; i < 3; i++) {
		fx_pass_ms(&fx, 2500);
		fx_send(c, "PINGREQ");
	}
	fake_net_hold(1, 0, false);
	for (unsigned i = 1; i <= 200; i++) {
		snprintf(text, sizeof text, "PUBACK %u", i);
		fx_expect(c, text);
	}
	for (unsigned i = 0; i < 3; i++)
		fx_expect(c, "PINGRESP");
	fx_pass_ms(&fx, 2500);
	fx_send(c, "PINGREQ");
	fx_expect(c, "PINGRESP");
	fx_pass_ms(&fx, 3500);
	fx_expect(c, "END");
	fx_close(&fx);
}
END_TEST

/* Drops of a packet are no sign of life, good parts of a large one are. */
START_TEST(drops_and_keep_alive)
{
	static const uint8_t head[] = { 0x30, 0x80, 0x7d, 0, 1, 't' };  /* 16,000 bytes behind the length */
	static const uint8_t part[1600];
	struct fx_client *c;

	fx_open(&fx, 1, &fake_net, NULL);
	c = fx_client(&fx, 0, FX_CLEAN);
	fx_send(c, "CONNECT c clean keep=2");
	fx_expect(c, "CONNACK 0");
	ck_assert_int_eq(send(c->fd, head, sizeof head, 0), sizeof head);
	for (size_t sent = 3; sent < 16000;) {
		size_t n = 16000 - sent < sizeof part ? 16000 - sent : sizeof part;

		ck_assert_int_eq(send(c->fd, part, n, 0), (ssize_t)n);
		sent += n;
		fx_pass_ms(&fx, 1000);
	}
	fx_send(c, "PINGREQ");
	fx_expect(c, "PINGRESP");
	ck_assert_int_eq(send(c->fd, head, sizeof head, 0), sizeof head);
	for (unsigned i = 0; i < 4 && !c->eof; i++) {
		(void)send(c->fd, part, 1, MSG_NOSIGNAL);
		fx_pass_ms(&fx, 1000);
	}
	fx_expect(c, "END");
	fx_close(&fx);
}
END_TEST

START_TEST(a_limit_lowered_in_the_middle_of_a_packet)
{
	static const uint8_t head[] = { 0x30, 0xa0, 0xf7, 0x36, 0, 1, 't' };    /* 900,000 bytes behind the length */
	static const uint8_t part[50000];
	struct fx_client *c;

	fx_open(&fx, 1, &fake_net, NULL);
	c = echo("c");
	ck_assert_int_eq(send(c->fd, head, sizeof head, 0), sizeof head);
	for (unsigned i = 0; i < 6; i++) {
		ck_assert_int_eq(send(c->fd, part, sizeof part, 0), sizeof part);
		fx_run(&fx);
	}
	ck_assert_uint_gt(buf_len(conn_of("c")->in), WORKER_RBUF);
	fx_set(&fx, "mqtt.max_packet_size", "64KiB");
	fx_run(&fx);
	ck_assert_int_eq(send(c->fd, part, sizeof part, MSG_NOSIGNAL), sizeof part);
	fx_expect(c, "END");
	fx_close(&fx);
}
END_TEST

/* Whatever the client does after its violation, it gets our last bytes and an end; nothing is kept. */
START_TEST(ends)
{
	struct fx_client *c;

	fx_open(&fx, 1, &fake_net, "mqtt.max_packet_size", "1MiB", NULL);
	/* In a large packet, with more behind it. */
	c = echo("c");
	fx_send(c, "PUBLISH # *200000");
	for (unsigned i = 0; i < 20; i++)
		fx_send(c, "PUBLISH t *100000");
	fx_expect(c, "END");
	fx_pass_ms(&fx, 2500);
	ck_assert_uint_eq(fx.w[0].worker->conn_count, 0);
	/* The peer closes its writing side with output under way. */
	c = echo("c");
	fx_send(c, "PUBLISH t x");
	fx_send(c, "DISCONNECT");
	fx_expect(c, "PUBLISH t x");
	fx_expect(c, "END");
	/* Half a packet, then the end. */
	c = echo("c");
	buf_put_slice(&c->out, SLICE_LIT("\x30\xff"));
	fx_run(&fx);
	fx_client_close(c);
	fx_run(&fx);
	ck_assert_uint_eq(fx.w[0].worker->conn_count, 0);
	/* Too large, known from the header. */
	c = echo("c");
	buf_put_slice(&c->out, SLICE_LIT("\x30\xff\xff\xff\x7f"));
	fx_expect(c, "END");
	/* A length of five bytes. */
	c = echo("c");
	buf_put_slice(&c->out, SLICE_LIT("\x30\xff\xff\xff\xff\x01"));
	fx_expect(c, "END");
	ck_assert_uint_eq(METRIC_GET(violations), 3);
	fx_pass_ms(&fx, 2500);
	ck_assert_uint_eq(METRIC_GET(connections), 0);
	ck_assert_uint_eq(METRIC_GET(clients), 0);
	fx_close(&fx);
}
END_TEST

/* A client that lingers and does not go is let go of. */
START_TEST(lingering)
{
	struct fx_client *c;

	fx_open(&fx, 1, &fake_net, NULL);
	c = echo("c");
	c->paused = true;
	fx_send(c, "PUBLISH # x");
	fx_run(&fx);
	ck_assert_uint_eq(fx.w[0].worker->conn_count, 1);
	ck_assert_uint_eq(METRIC_GET(clients), 0);
	fx_pass_ms(&fx, 2100);
	ck_assert_uint_eq(fx.w[0].worker->conn_count, 0);
	fx_close(&fx);
}
END_TEST

/* TCP through the face of a stream. */
struct through {
	struct stream stream;
	int fd;
};

static ssize_t
through_read(struct stream *s, void *p, size_t len)
{
	return tcp_read(container_of(s, struct through, stream)->fd, p, len);
}

static ssize_t
through_writev(struct stream *s, const struct iovec *iov, int count)
{
	return tcp_writev(container_of(s, struct through, stream)->fd, iov, count);
}

static bool
through_no(const struct stream *s)
{
	(void)s;
	return false;
}

static const char *
through_why(const struct stream *s)
{
	(void)s;
	return "";
}

static void
through_end(struct stream *s)
{
	(void)s;
}

static const struct stream_ops through_ops = { .read = through_read, .writev = through_writev, .more = through_no,
	.unsent = through_no, .shutdown = through_end, .why = through_why, .free = through_end };

/* A stream is read until it has nothing more: no room is kept for what did not come. */
START_TEST(stream_holds_no_room)
{
	struct through t = { .stream.ops = &through_ops };
	struct fx_client *c;
	struct conn *conn;

	fx_open(&fx, 1, &fake_net, NULL);
	c = fx_client(&fx, 0, 0);
	conn = container_of(fx.w[0].worker->conns.next, struct conn, link);
	t.fd = conn->fd;
	conn->stream = &t.stream;
	fx.store.hold_opens = true;
	fx_send(c, "CONNECT c clean");
	fx_run(&fx);
	ck_assert_int_eq(conn->state, CONN_OPENING);
	ck_assert_ptr_null(conn->in);
	fx.store.hold_opens = false;
	fx_run(&fx);
	fx_expect(c, "CONNACK 0");
	fx_send(c, "SUBSCRIBE 1 t 0");
	fx_expect(c, "SUBACK 1 0");
	ck_assert_ptr_null(conn->in);
	ck_assert_uint_eq(conn->out.cap, 0);
	fx_client_close(c);
	fx_run(&fx);
	fx_close(&fx);
}
END_TEST

UNIT_MAIN("conn", stream_holds_no_room, packets_cut_anywhere, random_sizes_and_cuts, held_back, held_back_and_keep_alive, drops_and_keep_alive,
    a_limit_lowered_in_the_middle_of_a_packet, ends, lingering)
