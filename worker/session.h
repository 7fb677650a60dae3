/* SPDX-License-Identifier: Apache-2.0
 * worker/session.h - one client's state, and the map from client id to it.
 *
 * A session of a connected client that holds nothing costs one small block; what queues, windows and timers need is
 * made when first used (struct flow). Owner: the map, until session_end(). */
#ifndef WORKER_SESSION_H
#define WORKER_SESSION_H

#include "common/base/bitmap.h"
#include "common/base/hmap.h"
#include "common/base/wheel.h"
#include "worker/msg.h"

struct backlog;
struct conn;
struct keep;
struct move;
struct worker;
struct replays;

enum {
	SESSION_DURABLE = 1,            /* outlives its connection, has a row in the store */
	SESSION_ASSIGNED = 2,           /* its id was made here: nobody else can have it */
	SESSION_DISOWNED = 8,           /* the store knows another owner: it ends without a word to the store */
	SESSION_ROW = 16,               /* its row is known to be in the store */
	SESSION_LOADED = 32,            /* made of its row: its client may remember packet ids that we do not */
	SESSION_WANTED = 4,             /* its id is announced for direct messages */
	SESSION_SHARES = 64,            /* is a member of shared groups */
	SESSION_SHARES_ON = 128,        /* and counted among their connected ones */
};

/* What the store has of a message of a durable session (worker/keep.h). */
enum stored {
	STORED_NO,                      /* nothing: it is in memory alone */
	STORED_ASKED,                   /* keep and keep_at say how far it is */
	STORED_ON,                      /* a row */
};

/* One message on its way to the client: the window's slot. */
struct inflight {
	struct msg *msg;                /* NULL: the slot is free, or PUBREC has come */
	struct keep *keep;
	uint32_t keep_at;
	uint32_t lease;                 /* of a shared group, worker/shared.h; 0: none */
	uint8_t qos;                    /* 0: free */
	uint8_t stored;                 /* enum stored */
	bool retain;
	bool released;                  /* PUBREL was sent, PUBCOMP is awaited */
	bool gap;                       /* free, and never was in use: that message was dropped before */
};

/* A message that waits for room in the window. */
struct queued {
	struct msg *msg;                /* NULL: read from the disk, PUBREC has come */
	struct keep *keep;
	uint64_t n;                     /* its place in the session, which is its sequence number in the window; aside: not its own yet */
	uint32_t keep_at;
	uint8_t stored;                 /* enum stored */
	uint8_t qos;
	bool retain : 1;
	bool aside : 1;                 /* came after its sender's mark in a move: not shipped */
	bool again : 1;                 /* may have been sent by a worker before this one */
	uint8_t held_of;                /* while it comes here: the neighbour that sent it, as worker/move.c knows it; 0: none */
	uint8_t direct;                 /* a direct message: which of the FLOW_SENDERS sent it; 0: a subscribed one */
	uint32_t lease;                 /* as in struct inflight */
};

struct flow {
	struct worker *worker;
	struct session *session;
	uint64_t next_n;                /* the place of the next message in the session */
	/* Window: a message's sequence number is its place in the session and gives its packet id, so that slot and id tell
	 * each other, and it goes out under the same id after any crash; head is the oldest not free. */
	struct inflight *window;
	uint32_t window_room;           /* a power of two */
	uint64_t window_head;           /* sequence numbers; id = seq % 65535 + 1 */
	uint64_t window_tail;           /* behind the last that was sent */
	uint32_t window_used;           /* slots not free */
	uint32_t window_gaps;           /* slots free since their message was dropped before it was sent */
	/* Queue: a ring. */
	struct queued *queue;
	uint32_t queue_room;            /* a power of two */
	uint32_t queue_head;
	uint32_t queue_tail;
	uint64_t queue_bytes;
	uint64_t direct_bytes;          /* of which are direct messages */
	uint32_t direct_queued;
	uint16_t *direct_of;            /* how many of each sender; NULL: no direct messages wait */
	struct bitmap received;         /* QoS 2 packet ids from the client, until PUBREL */
	struct timer expiry;            /* while offline; connected: worker/retry.c's */
	struct mono offline_at;         /* while offline: since when, without the time that the node was down */
	bool age_kept;                  /* while offline: its row says so */
	bool queue_kept;                /* a graceful stop gave everything to the store */
	uint64_t retry_head;            /* the window when that was set */
	uint64_t retry_tail;
	uint32_t retries;               /* without an acknowledgement between */
	struct list orphans;            /* struct waiting: QoS 2 publishes whose connection ended before PUBREC */
	uint32_t held;                  /* messages that worker/keep.c holds back from the disk */
	struct backlog *backlog;        /* what waits behind the queue, on the disk alone; NULL: nothing */
	struct list releases;           /* struct release of worker/do_ack.c: PUBREC came, PUBREL waits for the disk */
	struct replays *replays;        /* of retained messages; NULL: none */
};

struct rights_list;

struct name {                           /* an account's name, counted: its sessions share it */
	struct hmap_node node;          /* in sessions->accounts */
	struct sessions *all;           /* NULL: in no map */
	uint32_t refs;
	uint32_t clients;               /* connected */
	uint32_t len;
	struct rights_list *rights;     /* worker/rights.c's: as of that change */
	uint32_t rights_change;
	char text[];
};

struct session {
	struct hmap_node node;
	struct conn *conn;              /* NULL: offline */
	struct flow *flow;              /* NULL: nothing waits */
	struct name *account;           /* NULL: nobody's */
	struct move *move;              /* coming or going; NULL: neither */
	uint64_t qid;                   /* its number in the store's queues; 0: it is not durable */
	struct list subs;
	uint32_t sub_count;             /* as subs_weight() counts them */
	uint32_t match_index;           /* its place among the recipients of a publish, if it is one */
	uint64_t stamp : 48;            /* the store's number by which it is here */
	uint64_t id_len : 16;
	uint8_t flags;
	char id[];
};

/* No byte for the hole at its end: there is one of these for every client. */
#define SESSION_SIZE(id_len) \
	(offsetof(struct session, id) + (id_len) > sizeof(struct session) ? offsetof(struct session, id) + (id_len) \
									 : sizeof(struct session))

#define SESSION_STAMP_MAX ((UINT64_C(1) << 48) - 1)

struct sessions {
	struct hmap map;
	struct hmap accounts;           /* struct name */
};

void sessions_init(struct sessions *s);
void sessions_fini(struct sessions *s);
struct session *session_get(const struct sessions *s, struct slice id, uint64_t hash);  /* hash: rand_hash(id) */

/* What the store, or the owner before, says of its queue on disk: places of the first and the last row, first > last or 0:
 * none. */
struct session_queue { uint64_t qid, first, last; };

/* A durable one has a new qid; session_set_queue(), after its stamp is set: it has that one. */
struct session *session_new(struct worker *w, struct slice id, struct slice account, uint8_t flags);
void session_set_queue(struct worker *w, struct session *s, const struct session_queue *q);
/* Its row is deleted, and its queue with it: but for what is still on its way there from here, which goes, too. */
void session_drop_queue(struct worker *w, const struct session *s);
/* Ends it for good: subscriptions, queue, announcements, its row in the store. It must have no connection. */
void session_end(struct worker *w, struct session *s);
/* The same without telling the store (the row is another's now, or gone). */
void session_forget(struct worker *w, struct session *s);
/* Its connection is gone: a durable one stays and ages, a clean one ends. */
void session_offline(struct worker *w, struct session *s);
/* Has come of its row, and has aged for so long (0: unknown) before. */
void session_loaded(struct worker *w, struct session *s, uint64_t aged_ms);
void session_online(struct worker *w, struct session *s, struct conn *c);
/* Another account uses it from now on (session.shared_ids). */
void session_set_account(struct worker *w, struct session *s, struct slice account);
/* Announces its id for direct messages (or takes it back), as features.direct_messaging says. */
void session_announce(struct worker *w, struct session *s);

struct flow *session_flow(struct worker *w, struct session *s);         /* made if need be */
void session_flow_trim(struct session *s);      /* gives a flow back that holds nothing */

struct name *name_new(struct slice text);       /* in no map */
void name_drop(struct name *n);                 /* NULL is allowed */

static inline struct slice
name_text(const struct name *n)
{
	return slice_of(n->text, n->len);
}

static inline struct slice
session_id(const struct session *s)
{
	return slice_of(s->id, (size_t)s->id_len);
}

static inline struct slice
session_account(const struct session *s)
{
	return s->account == NULL ? slice_of(NULL, 0) : slice_of(s->account->text, s->account->len);
}

#endif
