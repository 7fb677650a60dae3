/* SPDX-License-Identifier: Apache-2.0
 * common/mqtt/client.h - the client's side of a connection, levels 3, 4 and 5: packet ids, QoS 1 and 2 in both
 * directions, keep-alive, resending after a reconnect. For fubar-client and tests; the broker does not use it.
 *
 * No I/O and no clock: received bytes go into client_input(), bytes to send are in c->out (send buf_slice(&c->out),
 * then buf_eat()), and the caller says what time it is. Idle it holds no memory but the struct itself, and it calls
 * no malloc per message.
 *
 * The life of one:
 *	client_init(&c, &ops, arg);  c.window = 100;  ...
 *	client_connect(&c, &connect, timeout_ns, now);          then write c.out to the socket
 *	client_input(&c, &bytes, now) on each read;  client_tick(&c, now) at client_deadline(&c)
 *	client_publish(), client_subscribe() ... once c.state is CLIENT_UP (from on_connack on)
 *	client_disconnect(&c, NULL);  write c.out, close;  client_closed(&c);
 *	client_connect() again, or client_fini(&c)
 *
 * Callbacks may call everything here but client_fini(), client_connect() and client_closed(); to leave
 * client_input() early they call client_stop(). */
#ifndef COMMON_MQTT_CLIENT_H
#define COMMON_MQTT_CLIENT_H

#include "common/base/bitmap.h"
#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/mqtt/packet.h"

enum client_state {
	CLIENT_DOWN,                    /* no connection, or one that is over */
	CLIENT_CONNECTING,              /* CONNECT is in c->out, no CONNACK yet */
	CLIENT_UP,
	CLIENT_ENDING                   /* DISCONNECT is in c->out; what still arrives is ignored */
};

/* on_sent's reason for a message that no answer will come for: the server has no session, or no copy was kept. */
#define CLIENT_LOST 0xFF

struct client;
/* Each may be NULL. All slices are borrowed for the call. */
struct client_ops {
	/* Any CONNACK. c->state is CLIENT_UP if it accepts (code 0), else CLIENT_DOWN and the connection is to be
	 * closed; with code 6 at levels 3 and 4 p->server says where to go (SERVER_REFERENCE in the props at 5).
	 * With session_present, what was under way has been put into c->out again before this call. */
	void (*on_connack)(struct client *c, const struct mqtt_connack *p);
	/* A message for us: at QoS 2 once, at its first arrival. Topic aliases are already resolved. The answer
	 * (PUBACK, PUBREC) is sent on return, unless c->manual_ack: then client_ack() sends it, and repeats of a
	 * QoS 2 message come here too, to be answered again. */
	void (*on_publish)(struct client *c, const struct mqtt_publish *p);
	/* A publish of QoS 1 or 2 is over (PUBACK, PUBCOMP, or a refusing PUBREC), or CLIENT_LOST. Its id is free. */
	void (*on_sent)(struct client *c, uint16_t packet_id, uint64_t token, uint8_t reason);
	void (*on_suback)(struct client *c, const struct mqtt_suback *p, uint64_t token);
	void (*on_unsuback)(struct client *c, const struct mqtt_suback *p, uint64_t token);
	void (*on_pingresp)(struct client *c);
	/* The server's DISCONNECT, and AUTH (type says which), level 5. DISCONNECT: c->state is CLIENT_DOWN. */
	void (*on_disconnect)(struct client *c, enum mqtt_type type, const struct mqtt_disconnect *p);
};

struct client_slot;                     /* one packet id that is under way */

struct client {
	/* The caller's; may be changed at any time. */
	const struct client_ops *ops;   /* borrowed */
	void *arg;                      /* for the callbacks */
	uint32_t max_packet;            /* larger packets from the server are a violation; default 256 MiB */
	uint16_t window;                /* publishes of QoS 1 and 2 under way at most; default 65535 */
	bool keep_copies;               /* keep a copy of each QoS 1 and 2 publish, to resend it after a reconnect */
	bool manual_ack;                /* see on_publish */

	/* For the caller to send and to read. */
	struct buf out;
	enum client_state state;
	struct violation violation;     /* when client_input() returned FB_EPROTO */
	uint8_t level;                  /* from client_connect() on */
	uint16_t keep_alive_s;          /* after CONNACK: the server's, if it named one */
	uint16_t in_flight;             /* publishes of QoS 1 and 2 that are not over */
	uint16_t peer_receive_max;      /* level 5, from CONNACK; else 65535 */
	uint16_t peer_alias_max;        /* level 5, from CONNACK; else 0 */
	uint32_t peer_max_packet;       /* level 5, from CONNACK; else the largest there is; the caller sees to it */
	uint32_t need;                  /* size of the packet that client_input() waits for; 0: not known yet */

	/* client.c's own. */
	struct client_slot *slots;      /* slot i is packet id i + 1; owned, grown when all are in use */
	struct slice *aliases;          /* of the server; [alias_max], owned with their bytes */
	struct bitmap qos2_in;          /* ids for which PUBREC went out (or is owed) and PUBREL has not come */
	uint16_t slot_count;
	uint16_t free_first;            /* list of free slots, as ids; 0: none */
	uint16_t alias_max;
	bool clean;                     /* the session of the last CONNECT */
	bool wrote;                     /* since the last tick */
	bool ping_out;                  /* a PINGREQ since ping_at, nothing received since */
	uint32_t next_order;            /* counts what was sent with an id, to resend it in order */
	struct mono deadline;           /* of the next tick */
	struct mono ping_at;
};

void client_init(struct client *c, const struct client_ops *ops, void *arg);
void client_fini(struct client *c);

/* Puts CONNECT into c->out, which must be for a new connection. state must be CLIENT_DOWN. Acts on RECEIVE_MAXIMUM
 * and TOPIC_ALIAS_MAXIMUM of p->props by itself. With p->clean all that was under way is given up (CLIENT_LOST).
 * No CONNACK within timeout_ns: client_tick() says FB_ETIMEOUT. */
void client_connect(struct client *c, const struct mqtt_connect *p, int64_t timeout_ns, struct mono now);
/* The connection is gone: forgets c->out and unanswered SUBSCRIBEs and UNSUBSCRIBEs, keeps publishes that are under way
 * for the next connection. */
void client_closed(struct client *c);

/* Handles every whole packet of *in and moves *in past it; what remains (c->need says of how much) the caller gives
 * again, with more behind it. 0; FB_EPROTO: the server broke the protocol, see c->violation; FB_ECLOSED: refused,
 * disconnected, or client_stop(): close. */
int client_input(struct client *c, struct slice *in, struct mono now);
/* Makes client_input() return FB_ECLOSED after the callback in hand; state is CLIENT_DOWN. */
void client_stop(struct client *c);

/* When client_tick() wants to be called next; ns is INT64_MAX: never. */
struct mono client_deadline(const struct client *c);
/* Sends PINGREQ when it is time. 0; FB_ETIMEOUT: no CONNACK, or silence for a keep-alive after a PINGREQ: close. */
int client_tick(struct client *c, struct mono now);

/* Each puts one packet into c->out and gives its id; token comes back with the answer. 0; FB_ECLOSED: not
 * CLIENT_UP; FB_EAGAIN: the window is full, or no id is free. p->packet_id is set (0 at QoS 0), p->dup is ignored. */
int client_publish(struct client *c, struct mqtt_publish *p, uint64_t token);
int client_subscribe(struct client *c, const struct mqtt_filter *filters, uint32_t count, struct slice props,
    uint64_t token, uint16_t *packet_id);
int client_unsubscribe(struct client *c, const struct slice *filters, uint32_t count, struct slice props,
    uint64_t token, uint16_t *packet_id);
/* With manual_ack: the answer to a publish of that id and QoS (1: PUBACK, 2: PUBREC); reason is for level 5. */
int client_ack(struct client *c, uint16_t packet_id, uint8_t qos, uint8_t reason);
int client_ping(struct client *c);
/* DISCONNECT; p may be NULL (reason 0). AUTH at level 5, also while connecting. */
int client_disconnect(struct client *c, const struct mqtt_disconnect *p);
int client_auth(struct client *c, const struct mqtt_disconnect *p);

#endif
