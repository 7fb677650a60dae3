/* SPDX-License-Identifier: Apache-2.0
 * store/batch_stream.h - the numbers of one worker incarnation in one environment: written in the same transaction as what
 * they number. */
#ifndef STORE_BATCH_STREAM_H
#define STORE_BATCH_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "store/env.h"
#include "store/rec.h"

/* The numbering of one worker incarnation. The committer's while operations of it are queued; else the loop's.
 *
 * strict: an operation is done only if its number follows the last one done; else it is marked as stale, and nothing
 * of it remains. Failures take no number: what failed and what came behind it come again, by the same numbers. */
struct batch_stream {
	uint16_t slot;
	bool strict;
	uint64_t epoch;
	struct rec_number applied;      /* committed, and refusals that a later commit will record */
	struct rec_number pending;      /* with the transaction in hand */
};

/* The environment's table of numbers and counts. */
enum table batch_meta(const struct env *e);
/* Reads the numbering of a worker incarnation; not there: zero. Not strict. */
int batch_stream_load(struct env *e, uint16_t slot, uint64_t epoch, struct batch_stream *s);
/* The answer to seq <= r->last: 0, or the code with which it failed. */
int batch_stream_answer(const struct rec_number *r, uint64_t seq);
/* Deletes the numbering of older incarnations of the slot; in a run function. */
int batch_stream_forget(struct txn *x, uint16_t slot, uint64_t epoch);
/* The batch's: seq was done with that code; the pending ones go into the transaction. */
void batch_stream_note(struct rec_number *r, uint64_t seq, int code);
int batch_stream_write(struct txn *x, const struct batch_stream *s);

#endif
