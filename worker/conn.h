/* SPDX-License-Identifier: Apache-2.0
 * worker/conn.h - one client's socket: reading, the output of a turn, pausing, closing.
 *
 * Input of all connections goes through one buffer of the worker; a connection has memory of its own only while a
 * packet is half there. Output is gathered during a turn and written once at its end; it holds memory only until
 * the socket took it. Nothing is freed under its caller's feet: conn_kill() marks, the end of the turn frees. */
#ifndef WORKER_CONN_H
#define WORKER_CONN_H

#include "common/base/buf.h"
#include "common/base/list.h"
#include "common/base/loop.h"
#include "common/mqtt/packet.h"
#include "worker/msg.h"
#include "worker/stream.h"

struct session;
struct worker;
struct open;
struct will;
struct write;

enum conn_state {
	CONN_NEW,                       /* no CONNECT yet */
	CONN_OPENING,                   /* CONNECT is being worked on: nothing is parsed */
	CONN_READY,                     /* CONNACK was sent */
	CONN_LINGER,                    /* last output on its way; input is thrown away */
	CONN_DEAD,                      /* to be freed at the end of the turn */
};

enum {
	CONN_WAIT_OPS = 1,              /* too many unanswered SUBSCRIBEs: not parsed */
	CONN_GRACEFUL = 2,              /* DISCONNECT has come: no will */
	CONN_WANT_WRITE = 4,            /* the socket was full */
	CONN_WAIT_KEPT = 8,             /* too many unacknowledged publishes: not parsed */
	CONN_ALLOWED = 16,              /* an IP rule allows it: no login */
	CONN_IN_RESUMED = 32,
	CONN_DIRTY = 128,               /* has output to be written at the end of the turn */
	CONN_HAS_OPS = 64,              /* a SUBSCRIBE or UNSUBSCRIBE waits for the store or the neighbours */
	CONN_WAIT_OUT = 512,            /* does not read its answers: not parsed */
	CONN_UNHEARD = 1024,            /* the peer takes nothing any more: read to its end, output is thrown away */
	CONN_LATER = 256,               /* its share of this turn is used up: goes on in the next */
};

#define CONN_LINGER_NS (2 * NS_PER_SEC)         /* of one that ends: for the last bytes of either side */

/* Large payloads are sent by reference: this one stands behind `before` more bytes of the output buffer. */
struct outref {
	struct list link;
	struct msg *msg;
	uint32_t before;
	uint32_t done;                  /* bytes of the payload already written */
};

struct outrefs {
	struct list list;               /* struct outref */
	uint32_t bytes;                 /* of payloads not yet written */
	uint32_t marked;                /* bytes of the output buffer that stand before some ref */
};

/* A publish (or PUBREL) from this client whose acknowledgement must wait; in the order received. [MQTT-4.6.0-2]
 * If the connection ends first, one of QoS 2 stays in its session's flow->orphans, so that the client's repeat finds
 * it and is neither delivered again nor acknowledged too early. */
#define WAITING_PUBREL 0
struct waiting {
	struct list link;               /* in conn->waiting, flow->orphans or worker->unkept */
	struct conn *conn;              /* NULL: it is gone */
	struct session *orphan_of;      /* set while in flow->orphans */
	struct write *retain;           /* at worker/storec.h; NULL: none, or answered */
	uint32_t legs;                  /* still open */
	uint32_t real_size;             /* of this block, for mem_slab_put() */
	uint16_t packet_id;
	uint8_t qos;                    /* WAITING_PUBREL: it is no publish */
	bool failed;                    /* a leg failed: not kept, so not acknowledged */
	bool will;                      /* is part of a struct parting of worker/will.c, and in no list */
};

struct waitings {
	struct list list;
	uint32_t count;
};

/* Stands behind its struct loop_fd, which loop_fd_of() leads to. Without holes: there are many. */
struct conn {
	struct worker *worker;
	struct stream *stream;          /* owned; NULL: plain TCP */
	struct session *session;        /* borrowed; NULL before CONNACK and after the end */
	union {
		struct open *open;      /* CONN_OPENING: the CONNECT being worked on */
		struct will *will;      /* CONN_READY: owned; NULL: none */
	};
	struct list link;               /* in worker->conns, ->resumed, ->later or ->dead */
	struct waitings *waiting;       /* NULL: every publish is acknowledged */
	struct timer timer;             /* CONNECT time-out, keep-alive, linger */
	struct buf *in;                 /* a packet that is half there; NULL: none */
	struct buf out;
	int fd;
	uint16_t flags;
	uint8_t listener;               /* CONFIG_L_... where it came in */
	uint8_t state;                  /* enum conn_state */
	struct outrefs *refs;           /* NULL: none */
	uint32_t last_in_ms;            /* loop clock, wraps */
	uint32_t since_s;               /* loop clock */
	uint64_t bytes_in;
	uint64_t bytes_out;
	uint16_t keep_alive_s;
	uint16_t peer_port;
	uint8_t peer[16];               /* as struct cidr has it */
	uint8_t level;                  /* 0 before CONNECT */
};

/* Where a connection comes from. */
struct conn_origin {
	int fd;                         /* taken */
	struct stream *stream;          /* taken; NULL: plain TCP */
	uint8_t peer[16];
	uint16_t port;
	uint8_t listener;               /* CONFIG_L_... */
	bool allowed;                   /* an IP rule spares the login */
};
struct conn *conn_new(struct worker *w, const struct conn_origin *from);
void conn_free(struct conn *c);         /* the end of the turn's */
/* fn for every connection that has not ended; it may end the one it is called with. */
void conn_each(struct worker *w, void (*fn)(struct conn *c, void *arg), void *arg);
void conn_out_free(struct conn *c);     /* the output that nobody will read */
void waiting_free(struct waiting *w);
/* Its client is gone, or at another worker soon: a retained message that waits for room is given up, and w maybe freed. */
void waiting_hurry(struct worker *worker, struct waiting *w);
/* An orphan's client is back and has sent it again: its acknowledgement will go to c. */
void conn_adopt(struct conn *c, struct waiting *orphan);
void conn_add_waiting(struct conn *c, struct waiting *w);

/* Why it ends, for the one log line. side: who decided. */
enum conn_side { CONN_SIDE_CLIENT, CONN_SIDE_SERVER, CONN_SIDE_NETWORK };
/* Ends the connection without more output: its session goes offline, its will is published unless graceful. */
void conn_kill(struct conn *c, enum conn_side side, const char *reason);
/* The same after what is in the output has been written (bounded by time). */
void conn_close(struct conn *c, const char *reason);
void conn_close_by(struct conn *c, enum conn_side side, const char *reason);    /* the same; side for the log */
/* The peer broke the protocol: logs, counts, answers as its level has it, closes. */
void conn_violate(struct conn *c, const struct violation *v);
/* The same without an answer: before CONNECT nobody is told anything. */
void conn_violate_silently(struct conn *c, const struct violation *v);
/* Sends a CONNACK that refuses, then closes. */
void conn_refuse(struct conn *c, enum mqtt_reason reason, const char *why);

/* Sends a CONNACK with the address of another server and how many redirections may follow, then closes. */
void conn_redirect(struct conn *c, const char *server, uint16_t max_recursion);

/* The buffer to append packets to; conn_touch() behind it, so that they go out at the end of the turn. */
static inline struct buf *
conn_out(struct conn *c)
{
	return &c->out;
}
void conn_touch(struct conn *c);
/* Appends a PUBLISH; m, if not NULL, holds the same payload and may be referenced instead of copied. */
void conn_put_publish(struct conn *c, const struct mqtt_publish *p, struct msg *m);
/* Appends bytes that are already a packet. */
void conn_put_encoded(struct conn *c, struct slice packet);
/* Bytes of output not yet written. */
static inline size_t
conn_pending(const struct conn *c)
{
	return buf_len(&c->out) + (c->refs != NULL ? c->refs->bytes : 0);
}
void conn_flush(struct conn *c);                /* write what the socket takes; the end of the turn's */

void conn_resume(struct conn *c);               /* parse on, at the end of this turn */
void conn_resume_now(struct conn *c);           /* the end of the turn's */
void conn_keepalive(struct conn *c);            /* the keep-alive is known: start watching */
const char *conn_peer_text(const struct conn *c, char *out, size_t size);

#endif
