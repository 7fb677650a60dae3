/* SPDX-License-Identifier: Apache-2.0
 * supervisor/client/wire.h - one caller and its loop, until it is done: connects again after a loss, ends cleanly on SIGINT and
 * SIGTERM. For sub and pub. */
#ifndef CLIENT_WIRE_H
#define CLIENT_WIRE_H

#include <sys/types.h>

#include "supervisor/client/caller.h"
#include "supervisor/client/cli.h"

/* Exit codes; a CONNACK that refuses is one too: its code (levels 3 and 4: 1 to 5; level 5: 128 and up). */
enum { WIRE_OK = 0, WIRE_FAILED = 1, WIRE_USAGE = 2, WIRE_NO_SERVER = 3, WIRE_TIMEOUT = 27 };

struct wire;
struct wire_ops {
	void (*on_up)(struct wire *w, bool session_present);    /* accepted */
	void (*on_turn)(struct wire *w);        /* bytes were handled: flush what was printed; NULL: none */
	void (*on_watch)(struct wire *w);       /* watch_fd is readable */
	void (*on_timer)(struct wire *w);       /* timer is due, and INT64_MAX again */
	struct client_ops client;
};

struct wire {
	const struct cli *cli;          /* borrowed */
	struct caller caller;           /* its arg is the wire */
	void *arg;                      /* the user's */
	bool keep_trying;               /* connect again after a loss, once it was up */
	int watch_fd;                   /* -1: none */
	struct mono timer;              /* ns INT64_MAX: not set */
	struct mono end;                /* --timeout; the same */
	bool interrupted;

	/* wire.c's own. */
	const struct wire_ops *ops;
	struct caller_ops caller_ops;
	struct net net;
	int signals;
	int status;
	bool finished;
	bool was_up;
	bool down;                      /* the connection is over */
};

/* Runs to the end and returns the exit code; w holds what the user set. Errors are on standard error. */
int wire_run(struct wire *w, const struct wire_ops *ops);
/* Ends after what is in caller.client.out: DISCONNECT, and status is the exit code. */
void wire_finish(struct wire *w, int status);
void wire_error(const struct wire *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void wire_debug(const struct wire *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static inline struct wire *
wire_of(struct client *c)
{
	return caller_of(c)->arg;
}

#endif
