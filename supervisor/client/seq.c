/* SPDX-License-Identifier: Apache-2.0
 * supervisor/client/seq.c - gaps are kept as sorted ranges: few in practice, since streams come in order. */
#include "supervisor/client/seq.h"

#include <string.h>

#include "common/base/mem.h"

struct seq_gap {
	uint32_t from;
	uint32_t to;                    /* one past the last missing */
};

void
seq_fini(struct seq *s)
{
	mem_free(s->gaps);
	memset(s, 0, sizeof *s);
}

/* Puts a gap at place i. Room is made, or cut back, whenever the count is a power of two. */
static void
gap_put(struct seq *s, uint32_t i, uint32_t from, uint32_t to)
{
	if ((s->gap_count & (s->gap_count - 1)) == 0)
		s->gaps = mem_realloc(s->gaps, (s->gap_count == 0 ? 1 : 2 * s->gap_count) * sizeof *s->gaps);
	memmove(s->gaps + i + 1, s->gaps + i, (s->gap_count - i) * sizeof *s->gaps);
	s->gaps[i] = (struct seq_gap){ from, to };
	s->gap_count++;
}

static void
gap_del(struct seq *s, uint32_t i)
{
	s->gap_count--;
	memmove(s->gaps + i, s->gaps + i + 1, (s->gap_count - i) * sizeof *s->gaps);
	if (s->gap_count == 0) {
		mem_free(s->gaps);
		s->gaps = NULL;
	}
}

static enum seq_verdict
seq_behind(struct seq *s, uint32_t number)
{
	for (uint32_t i = s->gap_count; i-- > 0;) {
		struct seq_gap *g = &s->gaps[i];
		uint32_t to = g->to;

		if (number >= g->to)
			return SEQ_AGAIN;
		if (number < g->from)
			continue;
		if (number > g->from && number + 1 < to) {
			g->to = number;
			gap_put(s, i + 1, number + 1, to);
		} else if (g->to - g->from == 1) {
			gap_del(s, i);
		} else if (number == g->from) {
			g->from++;
		} else {
			g->to--;
		}
		return SEQ_LATE;
	}
	return SEQ_AGAIN;
}

enum seq_verdict
seq_odd(struct seq *s, uint32_t number)
{
	if (number < s->next)
		return seq_behind(s, number);
	gap_put(s, s->gap_count, s->next, number);
	s->next = number + 1;
	return SEQ_JUMP;
}

uint64_t
seq_missing(const struct seq *s, uint32_t sent)
{
	uint64_t n = sent > s->next ? sent - s->next : 0;

	for (uint32_t i = 0; i < s->gap_count; i++)
		n += s->gaps[i].to - s->gaps[i].from;
	return n;
}
