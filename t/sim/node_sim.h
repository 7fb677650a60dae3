/* SPDX-License-Identifier: Apache-2.0
 * t/sim/node_sim.h - what the parts of sim_node share: the clients, what they know of their sessions, and the ledger of
 * every message with whom it was due to.
 *
 * A client is one id with one state, as the standard has it; it may leave connections behind ("ghosts") that the broker still
 * takes for it. Its session has a life, from a CONNACK that started it until it is known or suspected to have ended;
 * what was due to an earlier life is owed no more. */
#ifndef T_SIM_NODE_SIM_H
#define T_SIM_NODE_SIM_H

#include "common/mqtt/client.h"
#include "t/sim/node.h"

#define CLIENTS  8u
#define PROBE    CLIENTS                /* asks for the retained messages at the end */
#define WATCHER  (CLIENTS + 1)          /* listens to wills */
#define ALL_CLIENTS (CLIENTS + 2)
#define TOPICS   8u                     /* then two retained ones a client, then the clients' ids, then a group's each */
#define GROUPS   2u
#define TOPIC_COUNT (TOPICS + 3 * CLIENTS + GROUPS)
#define FILTERS  (12u + GROUPS)         /* the last ones are shared, at QoS 1 */
#define ALL_FILTERS (FILTERS + 1)        /* and the watcher's */
#define MSGS_MAX 20000u

/* Of the number in a payload: it is a will's. */
#define WILL_BIT (UINT32_C(1) << 31)
#define WILL_GRACE_S 1

struct line {                           /* a connection */
	struct list link;               /* of all */
	struct sim_sock *sock;
	struct actor *actor;
	unsigned slot;
	bool clean, ghost, answered, doomed;
};

struct wish {                           /* one filter of one client */
	bool ever;                      /* since it had no session */
	bool live;                      /* SUBACK came, nothing since */
	unsigned asked;                 /* SUBSCRIBEs and UNSUBSCRIBEs without an answer */
	uint8_t qos;
};

struct actor {
	unsigned index;
	char id[8];
	struct client mqtt;
	struct line *line;              /* NULL: down */
	struct buf in;
	uint32_t conn_no;               /* connections so far */
	uint32_t will;                  /* of the line: number plus 1; 0: none */
	uint64_t life;
	bool known;                     /* its life is one of a durable session */
	bool none;                      /* there is no session */
	bool clean;                     /* of the line */
	/* CONNECTs given up without an answer. Those whose connection has ended may still have their effect, for a while. */
	unsigned clean_ghosts, durable_ghosts;
	unsigned clean_late, durable_late;
	struct sim_event late;
	bool unsure;                    /* it gave its state up for a clean CONNECT that may never have been heard */
	bool homeless;                  /* its worker died */
	bool forgets;                   /* the same: nobody knows any more what the ids that it remembers mean */
	uint32_t taint;                 /* messages before this one may be lost, or come twice */
	struct wish wish[ALL_FILTERS];
	uint32_t last[CLIENTS][TOPIC_COUNT][2]; /* by QoS 0 or above: the newest message seen, plus 1 */
	struct sim_event wake;          /* reads again */
};

enum entry_state { MSG_OPEN, MSG_ACKED, MSG_LOST };

struct entry {
	uint8_t from, qos, topic;
	bool retain, empty;             /* empty: deletes, cannot be told apart by its receivers */
	bool calm;                      /* no faults from its start on */
	bool unsure;                    /* its id may be that of another QoS 2 message */
	bool twice_ok;                  /* the publisher's side of it died with a worker */
	bool again;                     /* it may have been routed again: a worker died before it was acknowledged */
	enum entry_state state;
	uint32_t conn_no, over_conn_no;
	bool due[CLIENTS];
	uint8_t due_qos[CLIENTS];
	uint64_t due_life[CLIENTS];
	uint16_t got[CLIENTS];
	uint16_t got_qos2[CLIENTS];     /* of which at QoS 2 */
	uint64_t got_life[CLIENTS];
	uint32_t group_got;             /* of a group's topic: members' copies */
};

#define FAULTS(F) \
	F(kill_worker, 2) F(kill_store, 2) F(kill_flush, 3) F(kill_all, 4) F(power_cut, 3) F(freeze, 2) F(pipes, 3) F(ghosts, 3) \
	F(slow_store, 3) F(slow_flush, 4) F(full_disk, 3) F(disk_errors, 4) F(pause, 3) F(moves, 8) F(resets, 3) \
	F(wills, 2)

/* Which may happen in a run. */
struct faults {
#define F(name, not_one_in) bool name;
	FAULTS(F)
#undef F
};

/* How often they did, over all runs. */
struct fault_counts {
#define F(name, not_one_in) uint64_t name;
	FAULTS(F)
#undef F
};

extern struct sim_node {
	uint64_t seed;
	struct node node;
	struct actor actors[ALL_CLIENTS];
	struct list lines;
	struct entry *msgs;
	uint32_t msg_count;
	bool calm;
	bool trace, log, failed;
	bool disk;                      /* session.durability */
	bool wills;                     /* clients have some */
	bool refuses;                   /* the disk does, or did, in this run */
	struct faults faults;           /* none, when it is calm */
	struct fault_counts happened;
	uint64_t delivered, acked, moves, wills_told;
	uint32_t group_taint[GROUPS];   /* messages before this one: there may have been no member */
	uint32_t retained[2 * CLIENTS]; /* what the probe was given: message plus 1 */
} sn;

_Noreturn void fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void trace(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

void trace_start(void);                         /* node_trace.c */

/* node_client.c */
extern const char *const filter_names[ALL_FILTERS];
const char *topic_name(unsigned topic);
bool topic_is_direct(unsigned topic);
int topic_group(unsigned topic);        /* whose topic it is, or -1 */
void actor_init(struct actor *a, unsigned index);
void actor_fini(struct actor *a);
void actor_connect(struct actor *a, unsigned slot, bool clean);
enum leave { LEAVE_DISCONNECT, LEAVE_FIN, LEAVE_RESET, LEAVE_GHOST };
void actor_leave(struct actor *a, enum leave how);
void actor_subscribe(struct actor *a, unsigned filter, uint8_t qos);
void actor_unsubscribe(struct actor *a, unsigned filter);
bool actor_publish(struct actor *a, unsigned topic, uint8_t qos, bool retain, bool empty);
void actor_pause(struct actor *a, int64_t ns);
bool actor_quiet(const struct actor *a);        /* up, and nothing is waited for */
void ghosts_close(void);

/* node_check.c */
void ledger_publish(struct entry *m);             /* whom it is due to */
void ledger_receive(struct actor *a, const struct mqtt_publish *p);
void ledger_unwish(const struct actor *a, unsigned filter);     /* what it brought is not due any more */
void check_groups(void);                        /* a member may be one no more */
void check_kill(unsigned slot);          /* before it happens */
bool check_any_dead(void);              /* a worker */
bool check_group_unheard(unsigned group, unsigned slot);        /* at the worker of that slot */
bool check_any_connected(const struct actor *a);        /* for a worker it still is */
void check_kill_all(void);
void check_running(void);                       /* whenever */
void check_delivered(void);                     /* at rest */
void check_rows(void);
void check_owners(void);
void check_retained(void);
void check_empty(void);                         /* after the last client has ended its session */

/* node_wills.c */
void wills_open(void);
void wills_connect(struct actor *a, unsigned slot, struct mqtt_connect *p);     /* may put one into it */
void wills_connack(struct actor *a);
void wills_left(struct actor *a, bool was_up, bool disconnect);
bool wills_away(const struct actor *a);         /* stays away until its will is told */
void wills_kill(unsigned slot);                 /* before it happens; the store, too */
void wills_unheard(void);                       /* who listens had no session: what was told until now is not known */
void wills_receive(const struct actor *a, uint32_t number, uint8_t qos);
bool wills_told(void);                          /* all that are owed */
void wills_check(void);

#endif
