/* SPDX-License-Identifier: Apache-2.0
 * supervisor/client/seq.h - one stream of messages numbered 0, 1, 2, ...: what is missing, came twice, came late?
 *
 * In order it is one comparison. A jump forward notes what was left out; a number from behind is then either one of
 * those (late: out of order) or a repetition. */
#ifndef CLIENT_SEQ_H
#define CLIENT_SEQ_H

#include <stdint.h>

struct seq_gap;

struct seq {
	uint32_t next;                  /* the number that should come next */
	uint32_t gap_count;
	struct seq_gap *gaps;           /* what is missing below next, in order; owned */
};

enum seq_verdict {
	SEQ_NEXT,                       /* the right one */
	SEQ_JUMP,                       /* some before it have not come */
	SEQ_LATE,                       /* one that a jump had left out */
	SEQ_AGAIN                       /* one that was seen before */
};

/* Zeroed memory is a stream of which nothing has come. */
void seq_fini(struct seq *s);
enum seq_verdict seq_odd(struct seq *s, uint32_t number);       /* of seq_see() */
/* How many of the numbers 0 .. sent - 1 have not come. */
uint64_t seq_missing(const struct seq *s, uint32_t sent);

static inline enum seq_verdict
seq_see(struct seq *s, uint32_t number)
{
	if (__builtin_expect(number != s->next, 0))
		return seq_odd(s, number);
	s->next++;
	return SEQ_NEXT;
}

#endif
