/* SPDX-License-Identifier: Apache-2.0
 * supervisor/client/swarm.h - many MQTT connections on one epoll, for the load generator: opens them at a pace, reads in large
 * pieces, writes once for each connection and turn. What the bytes mean after CONNACK and SUBACK is its user's.
 *
 * A connection costs its struct and its descriptor; bytes that wait are the only other memory. */
#ifndef CLIENT_SWARM_H
#define CLIENT_SWARM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "supervisor/client/hist.h"
#include "supervisor/client/net.h"
#include "common/base/buf.h"
#include "common/base/clock.h"

/* OPENING: the handshakes of TLS and WebSocket; CONNECTING: CONNECT is sent. */
enum peer_state { PEER_NEW, PEER_DIALING, PEER_OPENING, PEER_CONNECTING, PEER_UP, PEER_CLOSED };

#define PEER_BAD SIZE_MAX

struct swarm;
struct peer {
	/* Bytes of a connection that is up: returns how many it took (whole packets), or PEER_BAD with the swarm's
	 * error set. NULL: they are thrown away, but for CONNACK and the SUBACKs that come before anything else. */
	size_t (*on_bytes)(struct peer *p, const uint8_t *bytes, size_t len);
	struct swarm *swarm;
	void *owner;                    /* for on_bytes */
	struct buf out;                 /* bytes to send: put, then peer_touch() */
	struct buf rest;                /* the start of a packet that is not whole yet */
	struct stream *stream;          /* NULL: plain; owned */
	struct buf wire;                /* with a stream: what it made of out */
	struct mono opened;
	int fd;
	uint32_t number;                /* index in swarm->peers; makes the client id */
	uint32_t subacks;               /* SUBACKs that have not come */
	enum peer_state state;
	bool touched;                   /* in swarm->touched */
	bool blocked;                   /* the socket takes no more: waiting for EPOLLOUT */
};

struct swarm {
	/* Set by the user before the first turn. */
	const struct net *net;          /* opened; borrowed */
	struct sockaddr_storage addr;
	socklen_t addr_len;
	uint8_t level;
	const char *user, *password;    /* NULL: none; borrowed */
	const char *prefix;             /* of client ids; borrowed */
	uint32_t opening_max;           /* connections between dial and CONNACK at most */
	double open_rate;               /* new connections a second; 0: no limit */
	size_t scratch_size;            /* largest read */
	void (*on_turn)(void *arg);     /* before the turn's writes; NULL: none */
	void *arg;
	bool spin;                      /* do not sleep */

	struct peer **peers;
	uint32_t peer_count;
	uint32_t opened;                /* peers[0 .. opened - 1] have been dialed */
	uint32_t target;                /* dial up to here */
	uint32_t opening;
	uint32_t up;
	uint32_t closed;                /* connections that were up and are not any more */
	uint32_t subacks;               /* that have not come */
	uint64_t refused;               /* filters that SUBACK refused */
	uint16_t receive_max;           /* smallest that any CONNACK named */
	struct hist connect_ns;         /* dial to CONNACK */
	struct mono now;                /* after the last wait */
	struct mono open_start;
	uint32_t open_base;
	char error[256];                /* not empty: something is wrong, the run is over */

	uint8_t *scratch;
	struct buf plain;               /* what a stream made of scratch */
	struct peer **touched;
	uint32_t touched_count;
	uint32_t room;                  /* of peers and touched */
	int epoll;
};

void swarm_init(struct swarm *s);
void swarm_fini(struct swarm *s);                       /* closes all */
/* Looks the name in s->net up; false with s->error. */
bool swarm_resolve(struct swarm *s);
/* More connections to come: makes n peers and returns the number of the first. */
uint32_t swarm_more(struct swarm *s, uint32_t n);
/* Lets peers below target be dialed, at s->open_rate from now on. */
void swarm_open(struct swarm *s, uint32_t target);
/* One turn: dial, wait (at most wait_ns), read, on_turn, write. */
void swarm_turn(struct swarm *s, int64_t wait_ns);
void swarm_fail(struct swarm *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static inline bool
swarm_failed(const struct swarm *s)
{
	return s->error[0] != 0;
}

void peer_touch(struct peer *p);                        /* p->out has bytes: write them at the end of the turn */
void peer_flush(struct peer *p);                        /* now */
void peer_close(struct peer *p);                        /* with DISCONNECT if it is up; not an error */
/* SUBSCRIBE; the answers count down s->subacks. */
void peer_subscribe(struct peer *p, const struct slice *filters, uint32_t count, uint8_t qos);

/* A packet at the start of bytes: its whole size, with *body; 0: not whole yet; PEER_BAD. */
static inline size_t
peer_packet(const uint8_t *bytes, size_t len, struct slice *body)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < 4; i++) {
		if (len < i + 2)
			return 0;
		n |= (uint32_t)(bytes[i + 1] & 0x7F) << (7 * i);
		if (bytes[i + 1] < 0x80) {
			if (len < (size_t)n + i + 2)
				return 0;
			*body = slice_of(bytes + i + 2, n);
			return (size_t)n + i + 2;
		}
	}
	return PEER_BAD;
}

#endif
