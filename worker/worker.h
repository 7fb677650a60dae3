/* SPDX-License-Identifier: Apache-2.0
 * worker/worker.h - what one worker process owns. Passed to everything; nothing of it is global, so that t/sim can
 * hold several. */
#ifndef WORKER_WORKER_H
#define WORKER_WORKER_H

#include "cluster/cluster.h"
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/cidr.h"
#include "common/base/loop.h"
#include "common/config/config.h"
#include "worker/budget.h"
#include "worker/session.h"
#include "worker/stop.h"
#include "worker/trie.h"
#include "worker/will.h"

struct chan;
struct conn;
struct keeps;
struct storec;
struct queuec;
struct listeners;
struct ws_pool;
struct moves;
struct bans;
struct barriers;
struct sys;
struct rights;
struct tls;
struct traces;
struct shares;
struct durability;
struct seen;

#define WORKER_RBUF (128 * 1024)

/* A session that a publish reaches, gathered over all filters that match. */
struct recipient {
	struct session *session;
	uint8_t qos;                    /* highest of its matching subscriptions */
	uint8_t options;
	bool direct;                    /* no subscription: its id is the topic */
};

struct worker {
	struct loop *loop;
	unsigned slot;
	unsigned slots;
	uint64_t epoch;
	bool gates_open;                /* accept clients */
	bool stopping;
	bool overloaded;                /* the node, so says the supervisor */
	bool takes_none;                /* for the stop: nothing is taken into sessions any more */
	struct stop stop;
	bool tracing;                   /* something is traced */
	uint32_t disk_listeners;        /* bits by CONFIG_L_...: what comes in there goes to the disk, but for: */
	struct durability *disk_topics; /* topics with a durability of their own; NULL: none */
	uint8_t rights_active;          /* set of enum right_action that rights may refuse */
	bool loaded;                    /* the store sent all our sessions */
	bool ready_sent;
	int64_t wall_offset_ns;         /* wall clock minus loop clock, refreshed each second */
	struct config config;           /* in force */
	struct config config_next;      /* held until SETTINGS_END */

	struct chan *sup;
	struct storec *store;
	struct list follows;            /* admin.c: FOLLOWs that wait for the store */
	struct queuec *queue;
	struct keeps *keeps;
	uint64_t qids;                  /* given to new sessions */
	struct cluster *cluster;        /* NULL: the only worker */
	uint64_t peers[CLUSTER_MAX];    /* epochs of those to link to when our sessions are loaded; 0: none */
	struct listeners *listeners;
	struct tls *tls;
	struct ws_pool *ws;             /* NULL: no listener has been given */
	struct cidr_table *acl;
	struct rights *rights;
	struct traces *traces;
	struct moves *moves;
	struct bans *bans;
	struct barriers *barriers;
	struct sys *sys;
	struct shares *shares;
	struct seen *seen;
	struct wills wills;

	struct sessions sessions;
	struct hmap opens;              /* struct open: CONNECTs being worked on, by client id */
	struct list unkept;             /* struct waiting that nobody waits for: legs still close */
	struct list sub_ops;            /* SUBSCRIBEs and UNSUBSCRIBEs being worked on */
	size_t sub_load;                /* and their filters */
	struct trie trie;
	struct hmap shapes;             /* of the filters of sessions with many: shapes.h */
	struct recipient *rcpts;
	uint32_t rcpt_count;
	uint32_t rcpt_room;

	struct list conns;              /* all connections */
	struct conn **dirty;            /* connections with output to write at the end of the turn, in order */
	uint32_t dirty_count;
	uint32_t dirty_room;
	struct list resumed;            /* connections to be parsed on at the end of this turn */
	struct list later;              /* connections to be parsed on in the next turn */
	struct task next_turn;
	int64_t share;                  /* work that the connection in hand may still do in this turn */
	struct list dead;               /* connections to be freed at the end of the turn */
	struct task turn_end;
	bool swollen;                   /* one of the dirty has a lot, and the turn no time to write it */
	uint32_t behind;                /* so many of the dirty are written before anybody is read again */
	uint64_t behind_turn;           /* the number, from 1, of the last turn that began so */
	uint32_t ready_count;
	bool ending;                    /* there is no next turn */
	struct budget budget;
	struct timer tick;              /* heartbeat, wall clock */
	uint32_t conn_count;
	uint32_t conn_limit;

	struct arena arena;             /* of the packet in hand */
	struct buf scratch[4];          /* encoded QoS 0 packet of the publish in hand, per level kind and retain */
	uint8_t *rbuf;                  /* WORKER_RBUF bytes that all connections read into */
};

/* sup_fd: the channel to the supervisor, taken; everything else comes over it. */
struct worker *worker_new(struct loop *l, int sup_fd);
void worker_free(struct worker *w);
static inline struct wall
worker_wall(const struct worker *w)
{
	return (struct wall){ loop_now(w->loop).ns + w->wall_offset_ns };
}

/* The connection in hand caused more work than handling a packet takes. */
static inline void
worker_charge(struct worker *w, size_t work)
{
	w->share -= (int64_t)work;
}

/* So much work has been done in this turn that the rest waits for the next. */
static inline bool
worker_is_over(const struct worker *w)
{
	return !w->ending && loop_is_over(w->loop);
}

/* After something large, or many small things: is it so? */
static inline bool
worker_check_turn(struct worker *w)
{
	return !w->ending && loop_check(w->loop);
}

/* The same for what comes last in a turn. */
static inline bool
worker_check_late(struct worker *w)
{
	return !w->ending && loop_check_late(w->loop);
}

/* Something has to be done at the end of this turn. */
static inline void
worker_wake(struct worker *w)
{
	loop_defer(w->loop, &w->turn_end);
}

#endif
