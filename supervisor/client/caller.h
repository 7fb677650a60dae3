/* SPDX-License-Identifier: Apache-2.0
 * supervisor/client/caller.h - one MQTT client on one socket that never blocks: dials, speaks TLS and WebSocket where that is
 * asked for, connects, follows alternate servers, feeds bytes to and from struct client, ends cleanly.
 *
 * It has no loop of its own. The owner waits for caller_events() on c->fd until caller_deadline(), then calls
 * caller_ready(), and caller_flush() after it put something into c->client by itself. Looking up a name does block. */
#ifndef CLIENT_CALLER_H
#define CLIENT_CALLER_H

#include "supervisor/client/net.h"
#include "common/mqtt/client.h"

enum caller_state { CALLER_DOWN, CALLER_DIALING, CALLER_OPENING, CALLER_TALKING, CALLER_LINGERING };

enum caller_end {
	CALLER_ENDED,                   /* as caller_end() or caller_drop() asked */
	CALLER_NO_SERVER,               /* nobody answers there; TLS or WebSocket failed */
	CALLER_REFUSED,                 /* by a CONNACK: c->code */
	CALLER_LOST,                    /* closed or reset */
	CALLER_SILENT,                  /* no answer in time */
	CALLER_BROKEN                   /* the server broke the protocol */
};

struct caller;
struct caller_ops {
	void (*on_up)(struct caller *c, bool session_present);
	/* Once for each caller_dial(), perhaps before it returns; c->state is CALLER_DOWN and c may be dialed again or
	 * freed. text is for people and borrowed. */
	void (*on_down)(struct caller *c, enum caller_end why, const char *text);
	void (*on_redirect)(struct caller *c);                  /* c->at is where it goes now; NULL: nothing to do */
	void (*on_turn)(struct caller *c);                      /* bytes were handled; NULL: nothing to do */
	struct client_ops client;                               /* on_connack is the caller's own */
};

struct caller {
	struct client client;           /* its arg is the caller */
	void *arg;                      /* the owner's */
	struct mqtt_connect connect;    /* what to say; the slices are borrowed while it lives */

	/* To read. */
	struct target at;               /* where it is or was */
	enum caller_state state;
	int fd;                         /* -1: none */
	uint32_t dials;                 /* sockets so far: tells a new one from an old one with the same number */
	uint8_t code;                   /* of the last CONNACK */
	struct stream *stream;          /* NULL: plain */

	/* caller.c's own. */
	const struct caller_ops *ops;
	struct client_ops client_ops;
	const struct net *net;
	struct addrinfo *list;          /* addresses; owned */
	const struct addrinfo *next;
	struct buf in;                  /* MQTT's bytes that are no whole packet yet */
	struct buf wire;                /* with a stream: bytes to send */
	struct mono deadline;           /* of dialing, opening and lingering */
	uint16_t redirects;
	bool redirect;
	bool drop;
	bool ending;
	char error[200];
};

/* net is borrowed while the caller lives. */
void caller_init(struct caller *c, const struct net *net, const struct caller_ops *ops, void *arg);
void caller_fini(struct caller *c);             /* closes without a word */
/* To net->at, following at most that many alternate servers. Only when it is down. */
void caller_dial(struct caller *c, uint16_t redirects, struct mono now);
/* What to wait for: POLLIN, POLLOUT; 0 when down. */
short caller_events(const struct caller *c);
struct mono caller_deadline(const struct caller *c);
/* revents may be 0: then only time is looked at. */
void caller_ready(struct caller *c, short revents, struct mono now);
void caller_flush(struct caller *c, struct mono now);
/* DISCONNECT (p may be NULL), and waits a second at most for the other end to close. */
void caller_end(struct caller *c, const struct mqtt_disconnect *p);
/* Closes at the next caller_ready() or caller_flush(), as if the network had failed. */
void caller_drop(struct caller *c);

static inline struct caller *
caller_of(struct client *c)
{
	return c->arg;
}

/* CONNACK's code in words. */
const char *caller_code_text(uint8_t level, uint8_t code);

#endif
