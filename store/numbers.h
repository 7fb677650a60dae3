/* SPDX-License-Identifier: Apache-2.0
 * store/numbers.h - the loop's side of one numbering of a worker incarnation: which requests are new, which are done,
 * which are answered. There are two for each: durable writes (DONE), and changes of the queues (Q_DONE).
 *
 * Strict ones are taken and done in order alone (batch_stream.h): when one fails, that is the answer, and whatever was
 * sent behind it is dropped, until it comes again by the same number. */
#ifndef STORE_NUMBERS_H
#define STORE_NUMBERS_H

#include <stddef.h>

#include "common/base/loop.h"
#include "store/batch.h"

struct slot;

struct numbers {
	struct slot *slot;
	void (*answer)(struct slot *t, uint64_t seq, int code);
	bool strict;
	bool begun;                     /* strict: one was taken from this incarnation since hello */
	struct batch_stream stream;
	struct rec_number resumed;      /* as of hello: the answers to requests that are sent again */
	uint64_t seen;                  /* highest number accepted */
	uint64_t applied;               /* highest number done */
	uint64_t told, to_tell;         /* highest answer sent, and due */
	struct task tell;
	size_t pending;                 /* in the batch */
};

/* answer: all up to seq are done, and seq with that code. */
void numbers_init(struct numbers *n, struct slot *t, bool strict, void (*answer)(struct slot *t, uint64_t seq, int code));
void numbers_reset(struct numbers *n);                  /* another incarnation; nothing is pending */
int numbers_load(struct numbers *n, struct env *e, uint16_t slot, uint64_t epoch);
/* So the worker says. */
void numbers_answered(struct numbers *n, uint64_t seq);
void numbers_silence(struct numbers *n);                /* nobody is there to be told */

enum numbers_what {
	NUMBERS_NEW,                    /* to be done */
	NUMBERS_AGAIN,                  /* done by an earlier store: to be answered with numbers_again() */
	NUMBERS_DROP,                   /* in hand already, or behind one that failed */
};
enum numbers_what numbers_accept(struct numbers *n, uint64_t seq);
int numbers_again(const struct numbers *n, uint64_t seq);
void numbers_put(struct numbers *n, struct batch *b, struct batch_op *op, uint64_t seq);
/* The operation is over. false: it is nobody's business (stale). Else it is to be answered. */
bool numbers_written(struct numbers *n, const struct batch_op *op);
void numbers_told(struct numbers *n, uint64_t seq);     /* a success was answered otherwise */
/* Answers: successes once a turn. */
void numbers_tell(struct numbers *n, uint64_t seq, int code);

#endif
