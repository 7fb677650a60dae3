/* SPDX-License-Identifier: Apache-2.0
 * Packet ids are given in sequence, so the window is a ring in which id and slot tell each other: an acknowledgement
 * is one index, whatever order it comes in. The price: while the oldest is unacknowledged the ring cannot turn past
 * it, so the window may be full with fewer than limit messages in it. */
#include "worker/flow.h"

#include "common/base/mem.h"
#include "common/metrics/page.h"
#include "worker/backlog.h"
#include "worker/conn.h"
#include "worker/keep.h"
#include "worker/release.h"
#include "worker/worker.h"

#define PACKET_IDS 65535u
#define LIFE_STEP  24593u
#define GAP_MAX    1024u           /* slots that dropped messages may leave behind at once */

struct flow *
flow_new(struct worker *w, struct session *s)
{
	struct flow *f = mem_zalloc(sizeof *f);

	f->worker = w;
	f->session = s;
	f->window_head = f->window_tail = f->next_n = FLOW_FIRST;
	bitmap_init(&f->received);
	list_init(&f->orphans);
	list_init(&f->releases);
	return f;
}

void
flow_free(struct flow *f)
{
	uint64_t seq = f->window_head;
	struct inflight *slot;

	while ((slot = flow_next(f, &seq, NULL)) != NULL) {
		if (slot->stored == STORED_ASKED)
			keep_detach(slot->keep, slot->keep_at);
		flow_release(f, slot);
	}
	while (flow_first(f) != NULL) {
		struct queued q = flow_pop(f);

		METRIC_ADD(dropped_session_end, 1);
		if (q.stored == STORED_ASKED)
			keep_detach(q.keep, q.keep_at);
		if (q.msg != NULL)
			msg_drop(q.msg);
	}
	backlog_free(f);
	releases_cancel(f);
	LIST_EACH_SAFE(n, tmp, &f->orphans) {
		struct waiting *w = container_of(n, struct waiting, link);

		w->orphan_of = NULL;
		list_del(n);
		list_put_last(&f->worker->unkept, n);
		waiting_hurry(f->worker, w);
	}
	mem_free(f->window);
	mem_free(f->queue);
	mem_free(f->direct_of);
	bitmap_fini(&f->received);
	mem_free(f);
}

bool
flow_empty(const struct flow *f)
{
	return f->window_used == 0 && f->queue_head == f->queue_tail && f->received.used == 0 &&
	    list_empty(&f->orphans) && f->replays == NULL && f->backlog == NULL && list_empty(&f->releases);
}

uint16_t
flow_packet_id(uint64_t seq)
{
	return (uint16_t)(((seq & FLOW_INDEX_MASK) + (seq >> FLOW_LIFE_SHIFT) * LIFE_STEP) % PACKET_IDS + 1);
}

static inline struct inflight *
window_at(const struct flow *f, uint64_t seq)
{
	return &f->window[seq & (f->window_room - 1)];
}

static void
window_grow(struct flow *f, uint64_t span)
{
	struct flow old = *f;

	while (f->window_room < span)
		f->window_room = f->window_room == 0 ? 4 : f->window_room * 2;
	f->window = mem_zalloc(f->window_room * sizeof *f->window);
	for (uint64_t seq = f->window_head; f->window_used > 0 && seq != f->window_tail; seq++)
		*window_at(f, seq) = *window_at(&old, seq);
	mem_free(old.window);
}

/* The place n in the window, which is behind all that were sent; NULL: it is full. */
static struct inflight *
window_take(struct flow *f, uint64_t n, uint32_t limit)
{
	uint64_t span;

	if (f->window_used == 0) {
		f->window_head = f->window_tail = n;
		f->window_gaps = 0;
	}
	span = f->window_tail - f->window_head;
	if (span - f->window_gaps >= limit || n - f->window_tail > GAP_MAX ||
	    n - f->window_head >= PACKET_IDS)
		return NULL;
	if (n + 1 - f->window_head > f->window_room)
		window_grow(f, n + 1 - f->window_head);
	for (; f->window_tail < n; f->window_tail++) {
		window_at(f, f->window_tail)->gap = true;
		f->window_gaps++;
	}
	f->window_used++;
	f->window_tail = n + 1;
	return window_at(f, n);
}

uint16_t
flow_send(struct flow *f, struct msg *m, uint8_t qos, bool retain, uint32_t limit)
{
	uint64_t ahead = f->next_n - f->window_head;
	struct inflight *slot;

	/* Nearly always it is the next behind others, and there is room. */
	if (f->next_n == f->window_tail && f->window_used > 0 && ahead < limit && ahead < f->window_room &&
	    ahead < PACKET_IDS) {
		f->window_used++;
		f->window_tail++;
		slot = window_at(f, f->next_n);
	} else {
		slot = window_take(f, f->next_n, limit);
		if (slot == NULL)
			return 0;
	}
	slot->msg = msg_hold(m);        /* all else of a free slot is 0 */
	slot->qos = qos;
	slot->retain = retain;
	return flow_packet_id(f->next_n++);
}

uint16_t
flow_send_queued(struct flow *f, const struct queued *q, uint32_t limit)
{
	struct inflight *slot = window_take(f, q->n, limit);

	if (slot == NULL)
		return 0;
	*slot = (struct inflight){ .msg = q->msg != NULL ? msg_hold(q->msg) : NULL, .keep = q->keep, .keep_at = q->keep_at,
		.lease = q->lease, .qos = q->qos, .stored = q->stored, .retain = q->retain, .released = q->msg == NULL };
	return flow_packet_id(q->n);
}

struct inflight *
flow_slot_at(struct flow *f, uint64_t n)
{
	struct inflight *slot;

	if (n < f->window_head || n >= f->window_tail)
		return NULL;
	slot = window_at(f, n);
	return slot->qos != 0 ? slot : NULL;
}

uint64_t
flow_place(const struct flow *f, uint16_t packet_id)
{
	uint64_t ahead = (uint64_t)packet_id + PACKET_IDS - flow_packet_id(f->window_head);

	return f->window_head + (ahead < PACKET_IDS ? ahead : ahead - PACKET_IDS);
}

struct inflight *
flow_find(struct flow *f, uint16_t packet_id)
{
	uint64_t ahead = flow_place(f, packet_id) - f->window_head;
	struct inflight *slot;

	if (packet_id == 0 || ahead >= f->window_tail - f->window_head)
		return NULL;
	slot = window_at(f, f->window_head + ahead);
	return slot->qos != 0 ? slot : NULL;
}

void
flow_release(struct flow *f, struct inflight *slot)
{
	if (slot->msg != NULL)
		msg_drop(slot->msg);
	*slot = (struct inflight){ 0 };
	f->window_used--;
	while (f->window_head != f->window_tail && window_at(f, f->window_head)->qos == 0) {
		if (window_at(f, f->window_head)->gap) {
			window_at(f, f->window_head)->gap = false;
			f->window_gaps--;
		}
		f->window_head++;
	}
}

struct inflight *
flow_next(struct flow *f, uint64_t *seq, uint16_t *packet_id)
{
	while (*seq < f->window_tail) {
		struct inflight *slot = window_at(f, *seq);
		uint64_t at = (*seq)++;

		if (at >= f->window_head && slot->qos != 0) {
			if (packet_id != NULL)
				*packet_id = flow_packet_id(at);
			return slot;
		}
	}
	return NULL;
}

int
flow_restore(struct flow *f, uint64_t head, uint64_t tail)
{
	if (tail < head || tail - head > PACKET_IDS || f->window_tail != f->window_head)
		return FB_EPROTO;
	f->window_head = head;
	f->window_tail = tail;
	f->next_n = tail;
	if (f->window_room < tail - head)
		window_grow(f, tail - head);
	return 0;
}

int
flow_restore_slot(struct flow *f, uint64_t seq, struct msg *m, uint8_t qos, bool retain)
{
	struct inflight *slot;

	if (seq < f->window_head || seq >= f->window_tail || qos < 1 || qos > 2)
		return FB_EPROTO;
	slot = window_at(f, seq);
	if (slot->qos != 0)
		return FB_EPROTO;
	*slot = (struct inflight){ .msg = m != NULL ? msg_hold(m) : NULL, .qos = qos, .retain = retain,
		.released = m == NULL };
	f->window_used++;
	return 0;
}

static inline struct queued *
queue_at(struct flow *f, uint32_t pos)
{
	return &f->queue[pos & (f->queue_room - 1)];
}

static uint32_t
cost_of(const struct queued *q)
{
	return q->msg != NULL ? msg_cost(q->msg) : 0;
}

static void
set_room(struct flow *f, uint32_t room)
{
	struct flow old = *f;

	f->queue_room = room;
	f->queue = mem_alloc(room * sizeof *f->queue);
	for (uint32_t pos = f->queue_head; pos != f->queue_tail; pos++)
		*queue_at(f, pos) = *queue_at(&old, pos);
	mem_free(old.queue);
}

void
flow_fit(struct flow *f)
{
	uint32_t room = f->queue_room;

	while (room > 8 && flow_queued(f) <= room / 4)
		room /= 2;
	if (room != f->queue_room && flow_queued(f) > 0)
		set_room(f, room);
}

void
flow_push_queued(struct flow *f, const struct queued *q)
{
	uint32_t cost = cost_of(q);

	if (flow_queued(f) == f->queue_room)
		set_room(f, f->queue_room == 0 ? 8 : f->queue_room * 2);

	*queue_at(f, f->queue_tail++) = *q;
	queue_at(f, f->queue_tail - 1)->direct = 0;
	f->queue_bytes += cost;
	METRIC_ADD(queued, 1);
	METRIC_ADD(queued_bytes, cost);
	if (q->direct != 0)
		flow_direct_last(f, q->direct);
}

void
flow_push(struct flow *f, struct msg *m, uint8_t qos, bool retain, bool aside)
{
	const struct queued q = { .msg = msg_hold(m), .n = f->next_n, .qos = qos, .retain = retain,
		.aside = aside };

	if (!aside)
		f->next_n++;
	flow_push_queued(f, &q);
}

struct queued *
flow_last(struct flow *f)
{
	return f->queue_head == f->queue_tail ? NULL : queue_at(f, f->queue_tail - 1);
}

/* Places grow towards the end; one that is aside has that of the next that is not. */
static uint32_t
find_at(struct flow *f, uint64_t n)
{
	uint32_t lo = 0;
	uint32_t hi = flow_queued(f);

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		const struct queued *q = queue_at(f, f->queue_head + mid);

		if (q->n < n)
			lo = mid + 1;
		else
			hi = mid;
	}
	while (lo < flow_queued(f) && queue_at(f, f->queue_head + lo)->aside)
		lo++;
	return f->queue_head + lo;
}

struct queued *
flow_queued_at(struct flow *f, uint64_t n)
{
	uint32_t pos = find_at(f, n);
	struct queued *q = pos != f->queue_tail ? queue_at(f, pos) : NULL;

	return q != NULL && !q->aside && q->n == n ? q : NULL;
}

void
flow_lease_last(struct flow *f, uint32_t lease)
{
	queue_at(f, f->queue_tail - 1)->lease = lease;
}

void
flow_direct_last(struct flow *f, uint8_t sender)
{
	struct queued *q = queue_at(f, f->queue_tail - 1);

	if (f->direct_of == NULL)
		f->direct_of = mem_zalloc((FLOW_SENDERS + 1) * sizeof *f->direct_of);
	q->direct = sender;
	f->direct_queued++;
	f->direct_bytes += msg_cost(q->msg);
	if (f->direct_of[sender] < UINT16_MAX)
		f->direct_of[sender]++;
}

/* Those before it move up by one, and the first is taken off. */
static struct queued
take_out(struct flow *f, uint32_t pos)
{
	struct queued found = *queue_at(f, pos);

	for (; pos != f->queue_head; pos--)
		*queue_at(f, pos) = *queue_at(f, pos - 1);
	*queue_at(f, f->queue_head) = found;
	return flow_pop(f);
}

struct queued
flow_take_at(struct flow *f, uint64_t n)
{
	return take_out(f, find_at(f, n));
}

static bool
is_of(const struct queued *q, unsigned sender)
{
	return sender == FLOW_DIRECT ? q->direct != 0 : q->direct == sender;
}

bool
flow_take_oldest(struct flow *f, unsigned sender, struct queued *out)
{
	uint32_t pos = f->queue_head;

	while (pos != f->queue_tail && !is_of(queue_at(f, pos), sender))
		pos++;
	if (pos == f->queue_tail)
		return false;
	*out = take_out(f, pos);
	return true;
}

struct queued
flow_pop(struct flow *f)
{
	struct queued q = *queue_at(f, f->queue_head++);
	uint32_t cost = cost_of(&q);

	f->queue_bytes -= cost;
	if (q.direct != 0) {
		f->direct_queued--;
		f->direct_bytes -= cost;
		if (f->direct_of[q.direct] > 0)
			f->direct_of[q.direct]--;
	}
	METRIC_SUB(queued, 1);
	METRIC_SUB(queued_bytes, cost);
	if (f->queue_head == f->queue_tail) {
		mem_free(f->queue);
		mem_free(f->direct_of);
		f->queue = NULL;
		f->direct_of = NULL;
		f->queue_room = 0;
	}
	return q;
}
