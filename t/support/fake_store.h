/* SPDX-License-Identifier: Apache-2.0
 * t/support/fake_store.h - the other end of the workers' channels to the store: the same rules (owners, numbers, rows,
 * retained messages), kept in memory, with hooks to hold answers back, to fail and to crash.
 *
 * What is committed survives fake_store_crash(); owners, what waits and what was not committed do not. */
#ifndef T_SUPPORT_FAKE_STORE_H
#define T_SUPPORT_FAKE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/loop.h"
#include "common/base/slice.h"

struct fake_store {
	/* The test's: when a hold is taken back, fake_store_step() serves what has waited. */
	bool hold_opens;                /* OPEN is not looked at */
	bool hold_commits;              /* writes are checked, not committed */
	bool hold_gets;                 /* RETAIN_GET is not looked at */
	int fail_writes;                /* FB_E...: the answer to the writes that come */
	int fail_gets;
	int fail_opens;
	bool hold_queue;                /* Q_OPS are not looked at: nothing is written, nothing answered */
	bool hold_queue_gets;
	int fail_queue;                 /* FB_E...: the answer to each Q_OPS that is looked at */
	int fail_queue_gets;
	unsigned rows_a_get;            /* most rows in one answer; 0: what fits */
	bool auth;                      /* a session belongs to the account that made it */
	/* What was asked. */
	unsigned opens, gets, writes, repeated;
	unsigned queue_ops, queue_repeated, queue_gets;
	unsigned wills_named;           /* WILL_HERE came */
	struct fake_store_inner *in;
};

void fake_store_init(struct fake_store *s, struct loop *l, unsigned slots);
void fake_store_fini(struct fake_store *s);

/* A channel to that incarnation; fd is taken. Several in a row before a turn are one start. */
void fake_store_given(struct fake_store *s, unsigned slot, uint64_t epoch, int fd);
void fake_store_cut(struct fake_store *s, unsigned slot);               /* its channel ends here and now */
void fake_store_gone(struct fake_store *s, unsigned slot);              /* after the channel ended, or before */
void fake_store_crash(struct fake_store *s);                            /* channels end; fake_store_given() starts the next */
bool fake_store_step(struct fake_store *s);                             /* false: there was nothing to do */

void fake_store_account(struct fake_store *s, const char *name, const char *password);
void fake_store_account_del(struct fake_store *s, const char *name);    /* tells the workers */
void fake_store_reset(struct fake_store *s);                            /* clears all, tells the workers */
void fake_store_disown(struct fake_store *s, unsigned slot, const char *id, uint64_t stamp);

/* Who has it; -1: nobody. Is there a row? Its account. Its subscription's QoS; -1: none. */
int fake_store_owner(const struct fake_store *s, const char *id);
bool fake_store_row(const struct fake_store *s, const char *id);
uint64_t fake_store_qid(const struct fake_store *s, const char *id);     /* of the row; 0: there is none */
int fake_store_sub(const struct fake_store *s, const char *id, const char *filter);
/* The retained payload as text, valid until the next call; NULL: none. Puts one without a worker. */
const char *fake_store_retained(const struct fake_store *s, const char *topic);
void fake_store_retain(struct fake_store *s, const char *topic, const char *payload, uint8_t qos);
/* A row and its only subscription, as an earlier life left them. */
void fake_store_put_row(struct fake_store *s, const char *id, unsigned slot, const char *filter, uint8_t qos);

/* The queues on disk, of fake_queue.c. Rows of a session, 0: of all. A row's payload as text, valid until the next call,
 * "released", NULL: there is none. Is that QoS 2 publish remembered for the session? A row as an earlier life left it. */
unsigned fake_queue_count(const struct fake_store *s, uint64_t qid);
const char *fake_queue_row(const struct fake_store *s, uint64_t qid, uint64_t n);
bool fake_queue_seen(const struct fake_store *s, uint64_t qos2_id, uint64_t qid);
void fake_queue_put(struct fake_store *s, uint64_t qid, uint64_t n, const char *topic, const char *payload, uint8_t qos);

/* The payload of a client's will on disk, valid until the next call; NULL: there is none. Hands it to that worker. */
const char *fake_will(const struct fake_store *s, const char *id);
void fake_will_due(struct fake_store *s, unsigned slot, const char *id);

#endif
