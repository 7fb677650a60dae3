/* SPDX-License-Identifier: Apache-2.0 */
#include "t/support/unit.h"

#include <stdarg.h>
#include <stdio.h>

#include "common/mqtt/client.h"
#include "common/mqtt/props.h"
#include "t/support/codec.h"

#define SEC(n) ((struct mono){ (n) * NS_PER_SEC })

/* What the callbacks saw, as one line of text. */
static char seen[1024];
static bool stop_at_publish;
static bool publish_at_sent;

static __attribute__((format(printf, 1, 2))) void
saw(const char *format, ...)
{
	size_t n = strlen(seen);
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(seen + n, sizeof seen - n, format, ap);
	va_end(ap);
}

static void
on_connack(struct client *c, const struct mqtt_connack *p)
{
	saw("connack %d %d;", p->code, p->session_present);
}

static void
on_publish(struct client *c, const struct mqtt_publish *p)
{
	saw("publish %.*s %d %d;", (int)p->topic.len, (const char *)p->topic.p, p->qos, p->packet_id);
	if (stop_at_publish)
		client_stop(c);
}

static void
on_sent(struct client *c, uint16_t packet_id, uint64_t token, uint8_t reason)
{
	struct mqtt_publish p = { .topic = SLICE_LIT("again"), .qos = 1 };

	saw("sent %d %d %02x;", packet_id, (int)token, reason);
	if (publish_at_sent)
		(void)client_publish(c, &p, 99);
}

static void
on_suback(struct client *c, const struct mqtt_suback *p, uint64_t token)
{
	saw("suback %d %d %02x;", p->packet_id, (int)token, p->codes.p[0]);
}

static void
on_unsuback(struct client *c, const struct mqtt_suback *p, uint64_t token)
{
	saw("unsuback %d %d;", p->packet_id, (int)token);
}

static void
on_pingresp(struct client *c)
{
	saw("pingresp;");
}

static void
on_disconnect(struct client *c, enum mqtt_type type, const struct mqtt_disconnect *p)
{
	saw("%s %02x;", type == MQTT_AUTH ? "auth" : "disconnect", p->reason);
}

static const struct client_ops ops = { on_connack, on_publish, on_sent, on_suback, on_unsuback, on_pingresp, on_disconnect };

static void
expect_seen(const char *text)
{
	ck_assert_str_eq(seen, text);
	seen[0] = '\0';
}

/* The client has put exactly these bytes out. */
static void
expect_out(struct client *c, const char *text)
{
	struct buf want;

	buf_init(&want);
	(void)put_text(&want, text);
	ck_assert_msg(slice_eq(buf_slice(&c->out), buf_slice(&want)), "%s", text);
	buf_fini(&want);
	buf_clear(&c->out);
}

static int
receive(struct client *c, const char *text, struct mono now)
{
	struct buf b;
	struct slice in;
	int err;

	buf_init(&b);
	(void)put_text(&b, text);
	in = buf_slice(&b);
	err = client_input(c, &in, now);
	if (err == 0)
		ck_assert_uint_eq(in.len, 0);
	buf_fini(&b);
	return err;
}

static void
down(struct client *c)
{
	client_init(c, &ops, NULL);
	seen[0] = '\0';
	stop_at_publish = publish_at_sent = false;
}

static void
connect_as(struct client *c, struct mqtt_connect p, const char *connack)
{
	p.client_id = SLICE_LIT("c");
	client_connect(c, &p, 10 * NS_PER_SEC, SEC(0));
	ck_assert_int_eq(c->state, CLIENT_CONNECTING);
	buf_clear(&c->out);
	ck_assert_int_eq(receive(c, connack, SEC(0)), 0);
	ck_assert_int_eq(c->state, CLIENT_UP);
}

static void
up(struct client *c, uint8_t level)
{
	down(c);
	connect_as(c, (struct mqtt_connect){ .level = level, .keep_alive_s = 60 }, level == 5 ? "20 03 00 00 00" : "20 02 00 00");
	expect_seen("connack 0 0;");
}

static int
publish(struct client *c, uint8_t qos, uint64_t token)
{
	struct mqtt_publish p = { .topic = SLICE_LIT("t"), .payload = SLICE_LIT("x"), .qos = qos };

	return client_publish(c, &p, token);
}

START_TEST(connects_and_is_refused)
{
	struct client c;

	down(&c);
	ck_assert_int_eq(publish(&c, 0, 0), FB_ECLOSED);
	client_connect(&c, &(struct mqtt_connect){ .level = 3, .client_id = SLICE_LIT("c"), .has_max_recursion = true,
	    .max_recursion = 1 }, NS_PER_SEC, SEC(5));
	expect_out(&c, "10 11 <MQIsdp> 03 01 0000 <c> 0001");
	ck_assert_int_eq(client_deadline(&c).ns, 6 * NS_PER_SEC);
	ck_assert_int_eq(publish(&c, 0, 0), FB_ECLOSED);
	ck_assert_int_eq(receive(&c, "20 0a 00 06 <host> 0000", SEC(5)), FB_ECLOSED);
	expect_seen("connack 6 0;");
	ck_assert_int_eq(c.state, CLIENT_DOWN);
	client_fini(&c);
}
END_TEST

START_TEST(connack_that_never_comes)
{
	struct client c;

	down(&c);
	client_connect(&c, &(struct mqtt_connect){ .level = 4 }, NS_PER_SEC, SEC(5));
	ck_assert_int_eq(client_tick(&c, mono_ms(5999)), 0);
	ck_assert_int_eq(client_tick(&c, SEC(6)), FB_ETIMEOUT);
	client_closed(&c);
	ck_assert_int_eq(client_deadline(&c).ns, INT64_MAX);
	client_fini(&c);
}
END_TEST

START_TEST(bytes_in_any_portions)
{
	static const uint8_t bytes[] = { 0x30, 4, 0, 1, 't', 'x', 0xd0, 0 };
	struct client c;

	up(&c, 4);
	for (size_t i = 0, from = 0; i <= sizeof bytes; i++) {
		struct slice in = slice_of(bytes + from, i - from);

		ck_assert_int_eq(client_input(&c, &in, SEC(1)), 0);
		from = (size_t)(in.p - bytes);
		if (i == 3)
			ck_assert_uint_eq(c.need, 6);
	}
	expect_seen("publish t 0 0;pingresp;");
	client_fini(&c);
}
END_TEST

START_TEST(publishes)
{
	struct client c;

	up(&c, 4);
	ck_assert_int_eq(publish(&c, 0, 1), 0);
	expect_out(&c, "30 04 <t> 'x'");
	ck_assert_int_eq(publish(&c, 1, 11), 0);
	expect_out(&c, "32 06 <t> 0001 'x'");
	ck_assert_int_eq(publish(&c, 2, 12), 0);
	expect_out(&c, "34 06 <t> 0002 'x'");
	ck_assert_uint_eq(c.in_flight, 2);
	ck_assert_int_eq(receive(&c, "40 02 0001  50 02 0002", SEC(1)), 0);
	expect_out(&c, "62 02 0002");
	expect_seen("sent 1 11 00;");
	ck_assert_int_eq(receive(&c, "50 02 0002", SEC(1)), 0);         /* again: PUBREL again */
	expect_out(&c, "62 02 0002");
	ck_assert_int_eq(receive(&c, "70 02 0002", SEC(1)), 0);
	expect_seen("sent 2 12 00;");
	ck_assert_uint_eq(c.in_flight, 0);
	/* answers to nothing */
	ck_assert_int_eq(receive(&c, "40 02 0001  70 02 0002  40 02 ffff", SEC(1)), 0);
	expect_seen("");
	client_fini(&c);
}
END_TEST

START_TEST(window)                                      /* [MQTT-3.3.4-7] */
{
	struct client c;

	down(&c);
	c.window = 3;
	connect_as(&c, (struct mqtt_connect){ .level = 5 }, "20 06 00 00 {21 0002}");
	ck_assert_uint_eq(c.peer_receive_max, 2);
	ck_assert_int_eq(publish(&c, 1, 1), 0);
	ck_assert_int_eq(publish(&c, 2, 2), 0);
	ck_assert_int_eq(publish(&c, 1, 3), FB_EAGAIN);
	ck_assert_int_eq(publish(&c, 0, 3), 0);
	/* a PUBREC that refuses ends it [MQTT-4.4.0-2] */
	ck_assert_int_eq(receive(&c, "50 03 0002 97", SEC(1)), 0);
	expect_seen("connack 0 0;sent 2 2 97;");
	ck_assert_int_eq(publish(&c, 1, 3), 0);
	client_fini(&c);
}
END_TEST

START_TEST(as_many_ids_as_there_are)
{
	struct client c;

	up(&c, 4);
	for (uint32_t i = 0; i < 65535; i++)
		ck_assert_int_eq(publish(&c, 1, i), 0);
	ck_assert_int_eq(publish(&c, 1, 0), FB_EAGAIN);
	ck_assert_int_eq(receive(&c, "40 02 ffff", SEC(1)), 0);
	expect_seen("sent 65535 65534 00;");
	ck_assert_int_eq(publish(&c, 1, 7), 0);
	client_fini(&c);
}
END_TEST

START_TEST(receives)
{
	struct client c;

	up(&c, 4);
	ck_assert_int_eq(receive(&c, "30 03 <t>  32 05 <t> 0007  34 05 <t> 0008", SEC(1)), 0);
	expect_seen("publish t 0 0;publish t 1 7;publish t 2 8;");
	expect_out(&c, "40 02 0007 50 02 0008");
	/* a repeat before PUBREL is answered and not shown and one after it is new [MQTT-4.3.3-2] */
	ck_assert_int_eq(receive(&c, "3c 05 <t> 0008", SEC(1)), 0);
	expect_seen("");
	expect_out(&c, "50 02 0008");
	ck_assert_int_eq(receive(&c, "62 02 0008  34 05 <t> 0008", SEC(1)), 0);
	expect_seen("publish t 2 8;");
	expect_out(&c, "70 02 0008 50 02 0008");
	ck_assert_int_eq(receive(&c, "62 02 0099", SEC(1)), 0);
	expect_out(&c, "70 02 0099");
	client_fini(&c);
}
END_TEST

START_TEST(receives_with_manual_ack)
{
	struct client c;

	up(&c, 5);
	c.manual_ack = true;
	ck_assert_int_eq(receive(&c, "32 06 <t> 0007 00  34 06 <t> 0008 00", SEC(1)), 0);
	expect_out(&c, "");
	ck_assert_int_eq(client_ack(&c, 8, 2, 0x97), 0);
	expect_out(&c, "50 03 0008 97");
	expect_seen("publish t 1 7;publish t 2 8;");
	/* so the id is free, and the same again is a new message [MQTT-4.3.3-9] */
	c.manual_ack = false;
	ck_assert_int_eq(receive(&c, "34 06 <t> 0008 00", SEC(1)), 0);
	expect_seen("publish t 2 8;");
	expect_out(&c, "50 02 0008");
	ck_assert_int_eq(client_ack(&c, 7, 1, 0), 0);
	expect_out(&c, "40 02 0007");
	client_fini(&c);
}
END_TEST

START_TEST(subscribes)
{
	struct mqtt_filter filters[] = { { .filter = SLICE_LIT("a"), .qos = 1 }, { .filter = SLICE_LIT("#"), .qos = 2 } };
	struct slice names[] = { SLICE_LIT("a") };
	struct client c;
	uint16_t id;

	up(&c, 4);
	ck_assert_int_eq(client_subscribe(&c, filters, 2, slice_of(NULL, 0), 5, &id), 0);
	ck_assert_uint_eq(id, 1);
	expect_out(&c, "82 0a 0001 <a> 01 <#> 02");
	ck_assert_int_eq(client_unsubscribe(&c, names, 1, slice_of(NULL, 0), 6, &id), 0);
	ck_assert_uint_eq(id, 2);
	expect_out(&c, "a2 05 0002 <a>");
	ck_assert_uint_eq(c.in_flight, 0);
	ck_assert_int_eq(receive(&c, "90 04 0001 01 80  b0 02 0002  90 03 0001 00", SEC(1)), 0);
	expect_seen("suback 1 5 01;unsuback 2 6;");
	client_fini(&c);
}
END_TEST

START_TEST(keeps_alive)
{
	struct client c;

	up(&c, 4);
	ck_assert_int_eq(client_deadline(&c).ns, 30 * NS_PER_SEC);
	(void)publish(&c, 0, 0);
	buf_clear(&c.out);
	ck_assert_int_eq(client_tick(&c, SEC(30)), 0);
	expect_out(&c, "");
	ck_assert_int_eq(client_tick(&c, SEC(60)), 0);
	expect_out(&c, "c0 00");                                /* [MQTT-3.1.2-23] */
	ck_assert_int_eq(receive(&c, "d0 00", SEC(61)), 0);
	ck_assert_int_eq(client_tick(&c, SEC(90)), 0);
	expect_out(&c, "c0 00");
	ck_assert_int_eq(client_tick(&c, SEC(120)), 0);
	expect_out(&c, "");
	ck_assert_int_eq(client_tick(&c, SEC(150)), FB_ETIMEOUT);
	client_fini(&c);
}
END_TEST

/* Level 5 by property, levels 3 and 4 by the original's two bytes; 0 is off. */
START_TEST(the_server_s_keep_alive)
{
	struct client c;

	down(&c);
	connect_as(&c, (struct mqtt_connect){ .level = 5, .keep_alive_s = 60 }, "20 06 00 00 {13 000a}");
	ck_assert_int_eq(client_deadline(&c).ns, 5 * NS_PER_SEC);
	client_fini(&c);
	down(&c);
	connect_as(&c, (struct mqtt_connect){ .level = 3, .keep_alive_s = 60 }, "20 04 00 00 0708");
	ck_assert_uint_eq(c.keep_alive_s, 1800);
	client_fini(&c);
	down(&c);
	connect_as(&c, (struct mqtt_connect){ .level = 4 }, "20 02 00 00");
	ck_assert_int_eq(client_deadline(&c).ns, INT64_MAX);
	client_fini(&c);
}
END_TEST

/* [MQTT-4.4.0-1] [MQTT-4.6.0-1]: in order, with DUP [MQTT-3.3.1-1], PUBREL where PUBREC had come [MQTT-4.3.3-1]. */
START_TEST(resends)
{
	struct client c;

	up(&c, 4);
	c.keep_copies = true;
	for (uint8_t i = 0; i < 3; i++)
		ck_assert_int_eq(publish(&c, i == 1 ? 2 : 1, i), 0);
	ck_assert_int_eq(receive(&c, "40 02 0001  50 02 0002", SEC(1)), 0);
	ck_assert_int_eq(publish(&c, 1, 3), 0);                 /* takes id 1 again, and is the youngest */
	expect_seen("sent 1 0 00;");
	client_closed(&c);
	ck_assert_int_eq(publish(&c, 1, 4), FB_ECLOSED);
	client_connect(&c, &(struct mqtt_connect){ .level = 4 }, NS_PER_SEC, SEC(2));
	buf_clear(&c.out);
	ck_assert_int_eq(receive(&c, "20 02 01 00", SEC(2)), 0);
	expect_out(&c, "62 02 0002  3a 06 <t> 0003 'x'  3a 06 <t> 0001 'x'");
	expect_seen("connack 0 1;");
	ck_assert_uint_eq(c.in_flight, 3);
	ck_assert_int_eq(receive(&c, "40 02 0003  70 02 0002  40 02 0001", SEC(2)), 0);
	expect_seen("sent 3 2 00;sent 2 1 00;sent 1 3 00;");
	client_fini(&c);
}
END_TEST

START_TEST(loses_what_the_server_forgot)
{
	struct client c;

	up(&c, 4);
	c.keep_copies = true;
	(void)publish(&c, 1, 1);
	(void)publish(&c, 2, 2);
	client_closed(&c);
	client_connect(&c, &(struct mqtt_connect){ .level = 4 }, NS_PER_SEC, SEC(2));
	buf_clear(&c.out);
	publish_at_sent = true;
	ck_assert_int_eq(receive(&c, "20 02 00 00", SEC(2)), 0);
	expect_seen("sent 1 1 ff;sent 2 2 ff;connack 0 0;");
	ck_assert_uint_eq(c.in_flight, 2);                      /* those of the callbacks */
	client_closed(&c);
	publish_at_sent = false;
	client_connect(&c, &(struct mqtt_connect){ .level = 4, .clean = true }, NS_PER_SEC, SEC(2));
	ck_assert_uint_eq(c.in_flight, 0);
	client_fini(&c);
}
END_TEST

START_TEST(loses_what_has_no_copy)
{
	struct client c;
	uint16_t id;

	up(&c, 4);
	(void)publish(&c, 1, 1);
	(void)publish(&c, 2, 2);
	(void)client_subscribe(&c, &(struct mqtt_filter){ .filter = SLICE_LIT("a") }, 1, slice_of(NULL, 0), 3, &id);
	ck_assert_int_eq(receive(&c, "50 02 0002", SEC(1)), 0);
	client_closed(&c);
	client_connect(&c, &(struct mqtt_connect){ .level = 4 }, NS_PER_SEC, SEC(2));
	buf_clear(&c.out);
	ck_assert_int_eq(receive(&c, "20 02 01 00", SEC(2)), 0);
	expect_out(&c, "62 02 0002");
	expect_seen("sent 1 1 ff;connack 0 1;");
	ck_assert_int_eq(receive(&c, "90 03 0003 00", SEC(2)), 0);
	expect_seen("");
	client_fini(&c);
}
END_TEST

START_TEST(qos2_ids_outlive_a_connection)
{
	struct client c;

	up(&c, 3);
	ck_assert_int_eq(receive(&c, "34 05 <t> 0008", SEC(1)), 0);
	client_closed(&c);
	connect_as(&c, (struct mqtt_connect){ .level = 3 }, "20 02 00 00");
	ck_assert_int_eq(receive(&c, "3c 05 <t> 0008", SEC(1)), 0);
	expect_seen("publish t 2 8;connack 0 0;");
	expect_out(&c, "50 02 0008");
	client_fini(&c);
}
END_TEST

START_TEST(topic_aliases)                               /* [MQTT-3.1.2-26] [MQTT-3.1.2-27] */
{
	static const uint8_t alias_max[] = { PROP_TOPIC_ALIAS_MAXIMUM, 0, 2 };
	struct client c;

	down(&c);
	connect_as(&c, (struct mqtt_connect){ .level = 5, .props = slice_of(alias_max, 3) }, "20 03 00 00 00");
	ck_assert_int_eq(receive(&c, "30 08 <ab> {23 0002}  30 06 <> {23 0002}  30 07 <c> {23 0002} 30 06 <> {23 0002}",
	    SEC(1)), 0);
	expect_seen("connack 0 0;publish ab 0 0;publish ab 0 0;publish c 0 0;publish c 0 0;");
	ck_assert_int_eq(receive(&c, "30 06 <> {23 0001}", SEC(1)), FB_EPROTO);
	client_closed(&c);                                      /* the next connection has none [MQTT-3.3.2-7] */
	connect_as(&c, (struct mqtt_connect){ .level = 5, .props = slice_of(alias_max, 3) }, "20 03 00 00 00");
	ck_assert_int_eq(receive(&c, "30 06 <> {23 0002}", SEC(1)), FB_EPROTO);
	client_fini(&c);
	up(&c, 5);
	ck_assert_int_eq(receive(&c, "30 07 <c> {23 0001}", SEC(1)), FB_EPROTO);
	ck_assert_str_eq(c.violation.statement, "MQTT-3.1.2-26");
	ck_assert_int_eq(c.state, CLIENT_DOWN);
	client_fini(&c);
}
END_TEST

START_TEST(ends)
{
	struct client c;

	up(&c, 4);
	ck_assert_int_eq(client_disconnect(&c, NULL), 0);
	expect_out(&c, "e0 00");
	ck_assert_int_eq(publish(&c, 0, 0), FB_ECLOSED);
	ck_assert_int_eq(client_disconnect(&c, NULL), FB_ECLOSED);
	ck_assert_int_eq(receive(&c, "30 03 <t>", SEC(1)), 0);
	expect_seen("");
	client_fini(&c);
	up(&c, 5);
	ck_assert_int_eq(receive(&c, "f0 06 18 {15<m>}", SEC(1)), 0);
	ck_assert_int_eq(receive(&c, "e0 01 8b", SEC(1)), FB_ECLOSED);
	expect_seen("auth 18;disconnect 8b;");
	client_fini(&c);
	up(&c, 4);
	stop_at_publish = true;
	ck_assert_int_eq(receive(&c, "32 05 <t> 0001  32 05 <t> 0002", SEC(1)), FB_ECLOSED);
	expect_seen("publish t 1 1;");
	expect_out(&c, "");
	client_fini(&c);
}
END_TEST

START_TEST(servers_that_break_the_protocol)
{
	static const struct {
		const char *bytes;
		const char *statement;
		bool connecting;
	} rows[] = {
		{ "d0 00", "MQTT-3.2.0-1", true },
		{ "20 02 00 00", "MQTT-3.2.0-2", false },
		{ "82 05 0001 <a> 00", "a packet that only a client sends", false },
		{ "e0 00", "a packet that only a client sends", false },
		{ "00 00", "a packet that only a client sends", false },
		{ "36 05 <t> 0001", "MQTT-3.3.1-4", false },
		{ "30 ffffffffff", "MQTT-2.2.3", false },
		{ "d0 01 00", "a ping has no body (3.12)", false },
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct client c;

		if (rows[i].connecting) {
			down(&c);
			client_connect(&c, &(struct mqtt_connect){ .level = 4 }, NS_PER_SEC, SEC(0));
		} else {
			up(&c, 4);
		}
		ck_assert_int_eq(receive(&c, rows[i].bytes, SEC(1)), FB_EPROTO);
		ck_assert_str_eq(c.violation.statement, rows[i].statement);
		ck_assert_int_eq(c.state, CLIENT_DOWN);
		ck_assert_int_eq(receive(&c, "d0 00", SEC(1)), FB_ECLOSED);
		client_fini(&c);
	}
}
END_TEST

UNIT_MAIN("client", connects_and_is_refused, connack_that_never_comes, bytes_in_any_portions, publishes, window,
    as_many_ids_as_there_are, receives, receives_with_manual_ack, subscribes, keeps_alive, the_server_s_keep_alive,
    resends, loses_what_the_server_forgot, loses_what_has_no_copy, qos2_ids_outlive_a_connection, topic_aliases, ends,
    servers_that_break_the_protocol)
