/* SPDX-License-Identifier: Apache-2.0
 * supervisor/client/simulate.h - a crowd of clients that come and go and write to each other, each at random times, and an
 * account of what went wrong. One struct simulate a process. */
#ifndef CLIENT_SIMULATE_H
#define CLIENT_SIMULATE_H

#include "supervisor/client/hist.h"
#include "supervisor/client/ledger.h"
#include "supervisor/client/net.h"
#include "common/base/clock.h"
#include "common/base/heap.h"
#include "common/base/rand.h"

#define SIMULATE_MIN_SIZE 16

enum simulate_mix { MIX_TOPIC, MIX_DIRECT, MIX_QOS0, MIX_QOS1, MIX_QOS2, MIX_COUNT };

struct simulate_opts {
	struct net net;
	const char *user;
	const char *password;
	const char *prefix;
	char prefix_made[16];
	uint32_t first;                 /* ids */
	uint32_t last;
	uint32_t mix[MIX_COUNT];        /* weights */
	uint32_t size;
	uint32_t drop_percent;
	uint64_t seed;
	double rate;
	double reconnect_s;
	double away_s;
	double publish_s;
	double duration_s;
	double settle_s;
	uint16_t keep_alive_s;
	uint16_t redirects;
	uint8_t level;
	bool clean, json, quiet, help;
};

/* argv starts behind "simulate". 0; FB_EINVAL with the text in error. */
int simulate_opts_parse(struct simulate_opts *o, char **argv, char *error, size_t error_size);
void simulate_opts_help(void);

struct simulate_totals {
	uint64_t connected;
	uint64_t said_goodbye;          /* ends with DISCONNECT */
	uint64_t dropped;               /* without */
	uint64_t redirected;
	uint64_t direct;                /* of the messages */
	uint64_t held_back;             /* not published, since too much was under way */
	/* What went wrong. */
	uint64_t no_server;
	uint64_t refused;               /* by CONNACK */
	uint64_t lost;                  /* connections that the server or the network ended */
	uint64_t broken;                /* the server broke the protocol, or was silent */
	uint64_t sessions_lost;         /* kept, but not there when the client came back */
	uint64_t sub_refused;
};

struct actor;
struct simulate {
	struct simulate_opts o;
	struct actor *actors;
	uint32_t count;
	uint32_t up;
	struct heap timers;
	struct rand rand;
	struct ledger ledger;
	struct simulate_totals n;
	struct hist connect_ns;         /* dial to CONNACK */
	struct mono start;
	struct mono now;
	double seconds;                 /* how long it went on */
	uint32_t not_back;              /* clients that were not up at the end */
	uint64_t messages_lost;
	int64_t next_dial_ns;           /* no connection before */
	struct mono shown;              /* progress line */
	struct mono moved;              /* when anything happened last */
	uint8_t *payload;               /* of the message in hand */
	bool ending;                    /* nothing new: all come back, and wait for what is under way */
	bool tty;
	int epoll;
	char last_error[200];           /* of a connection that went wrong */
};

bool simulate_clean(const struct simulate *s);          /* nothing went wrong */
void simulate_report(const struct simulate *s);

int simulate_main(char **argv);

#endif
