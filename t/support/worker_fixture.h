/* SPDX-License-Identifier: Apache-2.0
 * t/support/worker_fixture.h - whole workers in this process, under the false clock of t/sim: each with a loop of its own,
 * the test as their supervisor, a fake store, and clients whose bytes the test writes and reads as texts.
 *
 *	struct fx fx;
 *	struct fx_client *a;
 *
 *	fx_open(&fx, 2, &fake_net, "session.max_inflight", "2", NULL);     two workers, ready
 *	a = fx_connect(&fx, 0, "a", FX_CLEAN);                  CONNECT went out to worker 0
 *	fx_expect(a, "CONNACK 0");
 *	fx_send(a, "SUBSCRIBE 1 t/# 1");
 *	fx_expect(a, "SUBACK 1 1");
 *	fx_close(&fx);
 *
 * Nothing happens but inside fx_run(), which fx_expect() and kin call: it turns loops and lets the neighbours' records
 * through until nobody has anything to do at this instant. Time passes only in fx_pass_ms(). */
#ifndef T_SUPPORT_WORKER_FIXTURE_H
#define T_SUPPORT_WORKER_FIXTURE_H

#include "common/base/buf.h"
#include "common/base/list.h"
#include "common/base/loop.h"
#include "t/support/fake_store.h"

#define FX_SLOTS 4

struct chan;
struct worker;
struct fx;
struct session;

struct fx_worker {
	struct fx *fx;
	unsigned slot;
	uint64_t epoch;
	struct loop *loop;
	struct worker *worker;          /* NULL: it is dead */
	struct chan *sup;
	bool ready;
	struct buf rows;                /* ADMIN_ROWs that came */
};

/* What stands for the links between the workers. */
struct fx_net {
	bool (*step)(void);             /* lets one record through; false: there is none */
	void (*die)(unsigned slot);     /* whatever this process says from now on, nobody hears */
	void (*reset)(void);
};

struct fx {
	struct loop *loop;              /* supervisor and store */
	unsigned slots;
	struct fx_worker w[FX_SLOTS];
	struct fake_store store;
	const struct fx_net *net;
	uint64_t epochs;
	const char *settings[24];       /* path, value, ..., NULL */
	struct list clients;
};

/* The test's end of a connection. */
struct fx_client {
	struct list link;
	struct fx *fx;
	int fd;
	uint8_t level;
	bool paused;                    /* does not read */
	size_t chunk;                   /* most bytes written at a time; 0: all */
	bool eof;                       /* the worker ended the connection */
	struct buf in, out;
	char text[8192];                /* of the last packet */
};

enum { FX_CLEAN = 1, FX_LEVEL3 = 2, FX_ALLOWED = 4, FX_SMALL = 8 /* socket buffers */ };

/* settings: path, value, ..., NULL. auth.enabled is off and session.durability memory unless named. net: &fake_net of fake_cluster.h. */
void fx_open(struct fx *fx, unsigned slots, const struct fx_net *net, ...) __attribute__((sentinel));
void fx_close(struct fx *fx);
void fx_run(struct fx *fx);
/* One turn of each loop; false: all is at rest. */
bool fx_step(struct fx *fx);
void fx_pass_ms(struct fx *fx, int64_t ms);
/* One setting anew, in all workers. */
void fx_set(struct fx *fx, const char *path, const char *value);

/* kill -9 and reaped: neighbours and store are told. Its clients see the end of their connections. */
void fx_worker_kill(struct fx *fx, unsigned slot);
/* The two halves of it: dead, and heard of. */
void fx_worker_die(struct fx *fx, unsigned slot);
void fx_worker_reaped(struct fx *fx, unsigned slot);
void fx_worker_start(struct fx *fx, unsigned slot);
void fx_store_kill(struct fx *fx);
void fx_store_start(struct fx *fx);

/* A connection, nothing sent. */
struct fx_client *fx_client(struct fx *fx, unsigned slot, unsigned flags);
/* And a CONNECT; keep-alive 0. */
struct fx_client *fx_connect(struct fx *fx, unsigned slot, const char *id, unsigned flags);
/* That got its CONNACK: present, if not FX_CLEAN, must be what is said. */
struct fx_client *fx_connected(struct fx *fx, unsigned slot, const char *id, unsigned flags, bool present);
void fx_client_close(struct fx_client *c);              /* the socket; c is gone */
/* A worker's session, or NULL. */
struct session *fx_session(const struct fx *fx, unsigned slot, const char *id);

/* Puts packets out, one a text, as fx_next() shows them:
 *	CONNECT id [clean] [level=3] [user=U] [password=P] [keep=N] [recursion=N] [will=topic,qos,retain,payload]
 *	PUBLISH topic payload [qos=N,id] [retain] [dup]         PUBACK id   PUBREC id   PUBREL id   PUBCOMP id
 *	SUBSCRIBE id (filter qos)...    UNSUBSCRIBE id filter...   PINGREQ   DISCONNECT
 * and "CONNACK code [present] [keep=N] [server=A recursion=N]", "SUBACK id codes...", "UNSUBACK id", "PINGRESP" back. A payload of "*N" is N letters. */
void fx_send(struct fx_client *c, const char *text);
/* The next packet as text, or "END" after the end of the connection, or "" if none came; runs the world. */
const char *fx_next(struct fx_client *c);
/* A * at the end of text stands for anything: a packet id that is not known. */
void fx_expect_at(struct fx_client *c, const char *text, const char *file, int line);
#define fx_expect(c, text) fx_expect_at(c, text, __FILE__, __LINE__)

/* Whatever else comes, the connection ends. */
void fx_expect_end_at(struct fx_client *c, const char *file, int line);
#define fx_expect_end(c) fx_expect_end_at(c, __FILE__, __LINE__)

/* Sends an admin command to a worker and waits: the rows' bytes are in fx->w[slot].rows. */
void fx_admin(struct fx *fx, unsigned slot, unsigned command, const char *arg);
void fx_sup_stop(struct fx *fx, unsigned slot);

#endif
