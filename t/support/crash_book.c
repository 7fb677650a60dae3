/* SPDX-License-Identifier: Apache-2.0 */
#include "t/support/crash_book.h"

#include <string.h>

#include "common/base/err.h"
#include "common/base/mem.h"

/* What one subscriber got of one publisher. */
struct got {
	uint8_t *times;                 /* [room], owned; stops at 255 */
	uint32_t room;
	int64_t newest[TOPICS];         /* the largest number so far; -1: none. Of a clean one: on this connection */
};

struct book_sub {
	const char *name;
	unsigned group;
	uint8_t qos;
	bool durable;
	int64_t since_ns;               /* of its subscription, of a clean one */
	struct got *got;                /* [publishers], owned */
};

const char *const wrong_names[WRONG_COUNT] = {
	"lost", "order", "twice", "gap", "unacked", "strange", "session"
};

void
book_fini(struct book *l)
{
	for (unsigned i = 0; i < l->sub_count; i++) {
		for (unsigned k = 0; l->subs[i].got != NULL && k < l->pub_count; k++)
			mem_free(l->subs[i].got[k].times);
		mem_free(l->subs[i].got);
	}
	for (unsigned i = 0; i < l->pub_count; i++) {
		mem_free(l->pubs[i].acked);
		mem_free(l->pubs[i].sent_ns);
	}
	mem_free(l->subs);
	mem_free(l->pubs);
	memset(l, 0, sizeof *l);
}

unsigned
book_add_pub(struct book *l, const char *name, unsigned group, uint8_t qos, bool durable)
{
	l->pubs = mem_realloc(l->pubs, (l->pub_count + 1) * sizeof *l->pubs);
	l->pubs[l->pub_count] = (struct book_pub){ .name = name, .group = group, .qos = qos, .durable = durable };
	return l->pub_count++;
}

unsigned
book_add_sub(struct book *l, const char *name, unsigned group, uint8_t qos, bool durable)
{
	l->subs = mem_realloc(l->subs, (l->sub_count + 1) * sizeof *l->subs);
	l->subs[l->sub_count] = (struct book_sub){ .name = name, .group = group, .qos = qos, .durable = durable };
	return l->sub_count++;
}

/* Room for number n in an array of bytes. */
static uint32_t
larger(uint32_t room, uint32_t n)
{
	if (room == 0)
		room = 256;
	while (room <= n)
		room *= 2;
	return room;
}

uint32_t
book_sent(struct book *l, unsigned pub, int64_t now_ns)
{
	struct book_pub *p = &l->pubs[pub];

	if (p->count == p->room) {
		p->room = larger(p->room, p->count);
		p->acked = mem_realloc(p->acked, p->room);
		p->sent_ns = mem_realloc(p->sent_ns, p->room * sizeof *p->sent_ns);
	}
	p->acked[p->count] = 0;
	p->sent_ns[p->count] = now_ns;
	return p->count++;
}

void
book_acked(struct book *l, unsigned pub, uint32_t number)
{
	struct book_pub *p = &l->pubs[pub];

	FB_ASSERT(number < p->count);
	if (!p->acked[number])
		p->acks++;
	p->acked[number] = 1;
}

static void
got_clear(struct got *g)
{
	for (unsigned t = 0; t < TOPICS; t++)
		g->newest[t] = -1;
}

static struct got *
got_of(struct book *l, struct book_sub *s, unsigned pub)
{
	if (s->got == NULL) {
		s->got = mem_zalloc(l->pub_count * sizeof *s->got);
		for (unsigned i = 0; i < l->pub_count; i++)
			got_clear(&s->got[i]);
	}
	return &s->got[pub];
}

void
book_wrong(struct book *l, enum wrong what, const char *sub, const char *pub, uint32_t number)
{
	l->wrong[what]++;
	if (l->say != NULL)
		l->say(l->arg, what, sub, pub, number);
}

void
book_subscribed(struct book *l, unsigned sub, int64_t now_ns)
{
	FB_ASSERT(!l->subs[sub].durable);
	l->subs[sub].since_ns = now_ns;
}

void
book_connected(struct book *l, unsigned sub)
{
	struct book_sub *s = &l->subs[sub];

	FB_ASSERT(!s->durable);
	s->since_ns = INT64_MAX;
	for (unsigned i = 0; i < l->pub_count; i++)
		got_clear(got_of(l, s, i));
}

/* A session's first times are in order whatever crashed: what is sent again keeps its place, or comes before anything newer. */
static void
arrived_durable(struct book *l, struct book_sub *s, unsigned pub, uint32_t number)
{
	struct book_pub *p = &l->pubs[pub];
	struct got *g = got_of(l, s, pub);

	if (g->room <= number) {
		uint32_t room = larger(g->room, number);

		g->times = mem_realloc(g->times, room);
		memset(g->times + g->room, 0, room - g->room);
		g->room = room;
	}
	if (g->times[number] < UINT8_MAX)
		g->times[number]++;
	if (g->times[number] > 1) {
		if (p->durable && p->qos == 2 && s->qos == 2)
			book_wrong(l, WRONG_TWICE, s->name, p->name, number);
		else
			l->again++;
		return;
	}
	if ((int64_t)number < g->newest[number % TOPICS])
		book_wrong(l, WRONG_ORDER, s->name, p->name, number);
	else
		g->newest[number % TOPICS] = number;
}

static void
arrived_clean(struct book *l, struct book_sub *s, unsigned pub, uint32_t number)
{
	struct book_pub *p = &l->pubs[pub];
	struct got *g = got_of(l, s, pub);
	int64_t *newest = &g->newest[number % TOPICS];

	if ((int64_t)number <= *newest) {
		if (p->durable && p->qos == 2 && s->qos == 2)
			book_wrong(l, WRONG_TWICE, s->name, p->name, number);
		else
			l->again++;
		return;
	}
	for (uint32_t n = (uint32_t)(*newest + TOPICS); *newest >= 0 && n < number; n += TOPICS) {
		if (p->sent_ns[n] >= s->since_ns)
			book_wrong(l, WRONG_GAP, s->name, p->name, n);
	}
	*newest = number;
}

void
book_arrived(struct book *l, unsigned sub, unsigned pub, uint32_t number)
{
	struct book_sub *s = &l->subs[sub];

	l->arrived++;
	if (pub >= l->pub_count || l->pubs[pub].group != s->group || number >= l->pubs[pub].count)
		book_wrong(l, WRONG_STRANGE, s->name, pub < l->pub_count ? l->pubs[pub].name : "?", number);
	else if (s->durable)
		arrived_durable(l, s, pub, number);
	else
		arrived_clean(l, s, pub, number);
}

static uint64_t
missing(struct book *l, const struct book *cl, bool say)
{
	uint64_t count = 0;

	for (unsigned i = 0; i < cl->sub_count; i++) {
		const struct book_sub *s = &cl->subs[i];

		for (unsigned k = 0; s->durable && k < cl->pub_count; k++) {
			const struct book_pub *p = &cl->pubs[k];

			for (uint32_t n = 0; p->group == s->group && n < p->count; n++) {
				if (!p->acked[n] || (s->got != NULL && n < s->got[k].room && s->got[k].times[n] > 0))
					continue;
				count++;
				if (say)
					book_wrong(l, WRONG_LOST, s->name, p->name, n);
			}
		}
	}
	return count;
}

uint64_t
book_missing(const struct book *l)
{
	return missing(NULL, l, false);
}

void
book_close(struct book *l)
{
	(void)missing(l, l, true);
	for (unsigned k = 0; k < l->pub_count; k++) {
		for (uint32_t n = 0; n < l->pubs[k].count; n++) {
			if (!l->pubs[k].acked[n])
				book_wrong(l, WRONG_UNACKED, "-", l->pubs[k].name, n);
		}
	}
}
