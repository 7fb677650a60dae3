/* SPDX-License-Identifier: Apache-2.0
 * t/support/fake_tables.h - what fake_store.c knows: its disk, its owners, what waits. Its own; tests use fake_store.h. */
#ifndef T_SUPPORT_FAKE_TABLES_H
#define T_SUPPORT_FAKE_TABLES_H

#include "common/base/buf.h"
#include "common/base/list.h"
#include "common/ipc/chan.h"
#include "common/ipc/codec.h"
#include "t/support/fake_store.h"

#define SLOTS 8

struct sub {
	struct list link;
	char *filter;
	uint8_t qos, options;
};

struct row {                            /* of a durable session */
	struct list link;
	char *id, *account;
	unsigned slot;
	uint64_t qid;
	struct list subs;
	uint64_t aged_ms;               /* 0: its client is here */
	struct mono aged_at;
	struct list parts;              /* struct waiting: of a queue kept over a graceful stop */
};

struct claim {                          /* of an owner before, who may still have it */
	struct list link;
	uint64_t stamp;
	unsigned slot;
	bool dead;                      /* its successor is to get the row */
};

struct owner {
	struct list link;
	struct list claims;
	char *id, *account;
	uint64_t stamp;                 /* of the answer that gave it; 0: long ago */
	unsigned slot;
	bool durable, held;
};

struct retained {                       /* sorted by topic */
	struct list link;
	char *topic;
	struct slice payload;
	uint64_t expires_s;
	uint8_t qos;
};

struct account {
	struct list link;
	char *name, *password;
};

struct number {                         /* of an incarnation: survives with its transactions */
	struct list link;
	unsigned slot;
	uint64_t epoch, last;
};

struct waiting {                        /* a message that was not served yet */
	struct list link;
	enum ipc_type type;
	unsigned slot;
	uint64_t seq;                   /* of a write */
	int code;
	size_t len;
	uint8_t bytes[];
};

struct slot {
	struct fake_store *store;
	unsigned number;
	uint64_t epoch;
	struct chan *chan;
	bool named, gone, loaded;
	uint64_t seen, done;
	uint64_t q_next, q_done;        /* of Q_OPS: the next to be taken, the last applied */
};

struct fake_store_inner {
	struct loop *loop;
	unsigned slots;
	bool all_named;
	uint64_t stamp;                 /* the last one given */
	uint64_t qids;                  /* of rows that no worker made */
	struct slot slot[SLOTS];
	struct list rows, retained, accounts, numbers;  /* on disk */
	struct list q_rows, q_seen, q_numbers, wills;   /* and of the queues */
	struct list owners, opens, gets, writes;        /* in memory */
	struct list q_ops, q_gets;
	char text[4096];
};

char *ft_text(struct slice s);
bool ft_is(const char *t, struct slice s);
struct owner *ft_owner_find(const struct fake_store_inner *in, struct slice id);
struct owner *ft_owner_add(struct fake_store_inner *in, struct slice id, struct slice account, unsigned slot, bool durable,
    bool held);
struct claim *ft_claim_before(const struct owner *o, uint64_t stamp);
void ft_claim_put(struct owner *o, unsigned slot, uint64_t stamp);
void ft_claim_free(struct claim *c);
/* The process of the slot is dead: its claims go, but for that which had a durable session. */
void ft_claims_gone(struct owner *o, unsigned slot);
struct claim *ft_claim_dead(const struct owner *o, unsigned slot);      /* that one; NULL: none */
void ft_owner_del(struct owner *o);
struct row *ft_row_find(const struct fake_store_inner *in, struct slice id);
void ft_sub_del(struct sub *s);
struct sub *ft_sub_find(const struct row *r, struct slice filter);
struct waiting *ft_wait_new(const struct slot *t, enum ipc_type type, struct slice payload);
struct waiting *ft_wait_put(struct list *l, const struct slot *t, enum ipc_type type, struct slice payload);
void ft_waiting_drop(struct list *l, int slot);
void ft_row_del(struct row *r);
struct row *ft_row_put(struct fake_store_inner *in, struct slice id, struct slice account, unsigned slot, uint64_t qid);
void ft_sub_put(struct row *r, struct slice filter, uint8_t qos, uint8_t options);
void ft_retained_del(struct retained *r);
void ft_retained_put(struct fake_store_inner *in, const struct ipc_retain *p);
void ft_put_subs(struct buf *b, const struct row *r);
void ft_give(struct fake_store_inner *in, struct owner *o, unsigned slot);
bool ft_next_owner(struct owner *o);
bool ft_claimed_by(const struct owner *o, unsigned slot);
struct number *ft_number_of(struct list *numbers, unsigned slot, uint64_t epoch);

/* fake_wills.c. */
struct qop;
void fw_apply(struct fake_store_inner *in, const struct qop *o);
void fw_here(struct fake_store *s, struct slice payload);
void fw_clear(struct fake_store_inner *in);

/* fake_queue.c. A slot said W_HELLO; it is gone, what came from it is served. The store dies. */
void fq_init(struct fake_store_inner *in);
void fq_fini(struct fake_store_inner *in);
void fq_hello(struct slot *t);
void fq_gone(struct slot *t);
void fq_forget(struct fake_store_inner *in);
/* A Q_OPS came (taken); what waited is served, false: nothing; a session ended; all rows go; the places of the first and
 * the last row of a session, 0: none. */
void fq_ops(struct fake_store *s, struct slot *t, struct waiting *w);
bool fq_step(struct fake_store *s);
void fq_drop(struct fake_store_inner *in, uint64_t qid);
void fq_clear(struct fake_store_inner *in);
void fq_span(const struct fake_store_inner *in, uint64_t qid, uint64_t *first, uint64_t *last);

#endif
