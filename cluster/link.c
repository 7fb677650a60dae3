/* SPDX-License-Identifier: Apache-2.0
 *
 * A frame is in one of three places: `open` takes records, `ready` is closed and waits for the window, `sent` is not
 * acknowledged. Numbers are given when a frame is opened, headers written when it is sent. A part-full frame is
 * copied into a block of its size when it is closed, so that a window of small frames does not hold 512 KiB. */
#include "cluster/link.h"

#include <inttypes.h>

#include "cluster/link_int.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/metrics/page.h"

#define WATCH_NS     (500 * NS_PER_MS)
#define QUIET_NS     NS_PER_SEC                /* then a PING */
#define SILENCE_NS   (3 * NS_PER_SEC)
#define REDIAL_NS    (2 * NS_PER_SEC)
#define PACE_TICK_NS NS_PER_MS
#define COPY_MAX     16384u

static void flush_all(struct task *t);
static void on_pace(struct timer *t);

void
link_set_init(struct link_set *s, struct loop *l, const char *dir, unsigned own_slot, uint64_t own_epoch,
    size_t big_max)
{
	memset(s, 0, sizeof *s);
	s->loop = l;
	s->hub = pipe_hub_new(l, dir, own_slot, own_epoch);
	s->own_slot = own_slot;
	s->own_epoch = own_epoch;
	s->big_max = big_max;
	list_init(&s->dirty);
	buf_init(&s->rest);
	task_init(&s->flush, flush_all);
	task_init(&s->rest_task, link_on_rest);
	timer_init(&s->pace, on_pace);
}

void
link_set_fini(struct link_set *s)
{
	task_cancel(&s->flush);
	task_cancel(&s->rest_task);
	loop_timer_cancel(s->loop, &s->pace);
	pipe_hub_free(s->hub);
}

void
link_mark_dirty(struct link *k)
{
	if (!list_linked(&k->dirty))
		list_put_last(&k->set->dirty, &k->dirty);
	if (!k->set->flushing)
		loop_defer(k->set->loop, &k->set->flush);
}

/* Frames out. */

static void
send_frame(struct link *k, enum frame_type type, uint8_t *bytes, uint32_t len, uint16_t flags, uint64_t seq)
{
	struct frame f = {
		.type = (uint8_t)type,
		.flags = flags,
		.from = (uint32_t)k->set->own_epoch,
		.to = (uint32_t)k->epoch,
		.seq = seq,
		.ack = k->received,
		.store_seq = k->ops->store_seq(k->arg),
	};

	frame_put(bytes, &f, len);
	pipe_send(k->pipe, slice_of(bytes, len));
	k->counts.frames_out++;
	METRIC_ADD(link_frames_out, 1);
	k->unanswered = 0;
	k->ack_now = false;
}

void
link_send_bare(struct link *k, enum frame_type type, uint16_t flags)
{
	uint8_t bytes[FRAME_HEADER];

	send_frame(k, type, bytes, sizeof bytes, flags, k->opened + 1);
}

static void
send_hello(struct link *k)
{
	uint8_t bytes[FRAME_HEADER + FRAME_HELLO_SIZE];
	struct frame_hello h = {
		.digest = frames_digest(),
		.from_slot = k->set->own_slot,
		.to_slot = k->slot,
		.from_epoch = k->set->own_epoch,
		.to_epoch = k->epoch,
	};

	frame_hello_put(bytes + FRAME_HEADER, &h);
	send_frame(k, FRAME_HELLO, bytes, sizeof bytes, 0, k->opened + 1);
}

void
link_send_data(struct link *k, struct outframe *o)
{
	send_frame(k, FRAME_DATA, o->bytes, o->len, o->flags, o->seq);
}

static inline bool
may_send(const struct link *k)
{
	return k->greeted && k->sent_count < LINK_WINDOW;
}

/* What is ready goes as far as the window allows. */
static void
send_ready(struct link *k)
{
	while (may_send(k) && !list_empty(&k->ready)) {
		struct outframe *o = LIST_FIRST(&k->ready, struct outframe, link);

		list_del(&o->link);
		if (k->sent_count++ == 0)
			k->progress_ns = now_ns(k);
		list_put_last(&k->sent, &o->link);
		link_send_data(k, o);
	}
}

static struct outframe *
outframe_new(struct link *k)
{
	struct outframe *o;
	size_t real;

	o = mem_slab_get(sizeof *o, &real);
	memset(o, 0, sizeof *o);
	o->real_size = real;
	o->bytes = mem_slab_get(FRAME_MAX, &o->cap);
	o->len = FRAME_HEADER;
	o->seq = ++k->opened;
	return o;
}

void
outframe_free(struct outframe *o)
{
	mem_slab_put(o->bytes, o->cap);
	mem_slab_put(o, o->real_size);
}

static void
close_open(struct link *k)
{
	struct outframe *o = k->open;

	if (o->len <= COPY_MAX) {
		size_t cap;
		uint8_t *bytes = mem_slab_get(o->len, &cap);

		memcpy(bytes + FRAME_HEADER, o->bytes + FRAME_HEADER, o->len - FRAME_HEADER);
		mem_slab_put(o->bytes, o->cap);
		o->bytes = bytes;
		o->cap = cap;
	}
	list_put_last(&k->ready, &o->link);
	k->open = NULL;
	k->haste = LINK_LAZY;
	send_ready(k);
}

uint8_t *
link_put(struct link *k, enum record_type type, uint8_t flags, size_t body_len, enum link_haste haste)
{
	size_t need = RECORD_HEADER + body_len;
	struct outframe *o = k->open;
	uint8_t *at;

	FB_ASSERT(body_len <= RECORD_BODY_MAX);
	if (o != NULL && FRAME_MAX - o->len < need) {
		close_open(k);
		o = NULL;
	}
	if (o == NULL)
		o = k->open = outframe_new(k);
	at = o->bytes + o->len;
	record_header_put(at, (uint8_t)type, flags, body_len);
	o->len += (uint32_t)need;
	k->pending += need;
	if (haste > k->haste)
		k->haste = haste;
	if (haste == LINK_ASK)
		o->flags |= FRAME_ASK;
	link_mark_dirty(k);
	return at + RECORD_HEADER;
}

/* Copies n bytes from the parts at *part, *offset. */
static void
gather(uint8_t *to, size_t n, const struct slice **part, size_t *offset)
{
	while (n > 0) {
		size_t m = (*part)->len - *offset < n ? (*part)->len - *offset : n;

		if (m > 0)
			memcpy(to, (*part)->p + *offset, m);
		to += m;
		n -= m;
		*offset += m;
		if (*offset == (*part)->len) {
			(*part)++;
			*offset = 0;
		}
	}
}

void
link_put_parts(struct link *k, enum record_type type, uint8_t flags, const struct slice *parts, size_t count,
    enum link_haste haste)
{
	size_t total = 0;
	size_t offset = 0;

	for (size_t i = 0; i < count; i++)
		total += parts[i].len;
	FB_ASSERT(total <= UINT32_MAX);
	if (total <= RECORD_BODY_MAX) {
		gather(link_put(k, type, flags, total, haste), total, &parts, &offset);
		return;
	}
	record_big_put(link_put(k, RECORD_BIG, 0, RECORD_BIG_SIZE, haste), (uint8_t)type, flags, (uint32_t)total);
	while (total > 0) {
		size_t room = k->open != NULL && FRAME_MAX - k->open->len > 2 * RECORD_HEADER ?
		    FRAME_MAX - k->open->len - RECORD_HEADER : RECORD_BODY_MAX;
		size_t n = total < room ? total : room;

		gather(link_put(k, RECORD_MORE, 0, n, haste), n, &parts, &offset);
		total -= n;
	}
}

void
link_touch(struct link *k, enum link_haste haste)
{
	if (haste > k->haste)
		k->haste = haste;
	k->wants_flush = true;
	link_mark_dirty(k);
}

uint64_t
link_last_seq(const struct link *k)
{
	return k->opened;
}

uint64_t
link_acked(const struct link *k)
{
	return k->acked;
}

size_t
link_pending(const struct link *k)
{
	return k->pending;
}

struct link_counts
link_counts(const struct link *k)
{
	return k->counts;
}

/* The pace: a part-full frame costs LINK_PART_NS of a credit that is never more than LINK_BURST_NS. Whoever is in haste
 * may overdraw it by as much again; who asks always goes. */
static bool
pay(struct link_set *s, enum link_haste haste)
{
	int64_t now = loop_now(s->loop).ns;
	int64_t limit = haste == LINK_LAZY ? LINK_BURST_NS : 2 * LINK_BURST_NS;

	if (s->paid_until_ns < now)
		s->paid_until_ns = now;
	if (s->paid_until_ns + LINK_PART_NS > now + limit && haste != LINK_ASK)
		return false;
	if (s->paid_until_ns < now + 2 * LINK_BURST_NS)
		s->paid_until_ns += LINK_PART_NS;
	return true;
}

/* false: it must wait for the pace. */
static bool
flush(struct link *k)
{
	if (k->wants_flush) {
		k->wants_flush = false;
		k->ops->on_flush(k->arg);
	}
	send_ready(k);
	if (k->open != NULL && may_send(k)) {
		if (!pay(k->set, k->haste))
			return false;
		close_open(k);
	}
	if (k->ack_now && k->greeted)
		link_send_bare(k, FRAME_ACK, 0);
	return true;
}

static void
flush_all(struct task *t)
{
	struct link_set *s = container_of(t, struct link_set, flush);
	struct list now;

	list_init(&now);
	list_move_all(&now, &s->dirty);
	s->flushing = true;
	while (!list_empty(&now)) {
		struct link *k = LIST_FIRST(&now, struct link, dirty);
		bool done;

		list_del(&k->dirty);
		done = flush(k);
		list_del(&k->dirty);            /* on_flush may have marked it */
		if (!done)
			list_put_last(&s->dirty, &k->dirty);
	}
	s->flushing = false;
	if (!list_empty(&s->dirty) && !timer_is_set(&s->pace))
		loop_timer_in(s->loop, &s->pace, PACE_TICK_NS);
}

static void
on_pace(struct timer *t)
{
	struct link_set *s = container_of(t, struct link_set, pace);

	loop_defer(s->loop, &s->flush);
}

static void
on_up(void *arg)
{
	struct link *k = arg;

	k->piped = true;
	k->greeted = false;
	k->heard_ns = k->progress_ns = now_ns(k);
	send_hello(k);
}

static void
on_down(void *arg)
{
	struct link *k = arg;

	k->piped = k->greeted = false;
	k->down_ns = now_ns(k);
}

/* Is the connection alive? A timer that comes late says that this process stood still, and who has no time for frames does
 * not hear: then nobody else is to blame. */
static void
on_watch(struct timer *t)
{
	struct link *k = container_of(t, struct link, watch);
	int64_t now = now_ns(k);

	if (now - k->watched_ns > 2 * WATCH_NS || k->set->resting != NULL || loop_holds_input(k->set->loop))
		k->heard_ns = k->progress_ns = now;
	k->watched_ns = now;
	loop_timer_in(k->set->loop, &k->watch, WATCH_NS);
	if (!k->piped) {
		if (now - k->down_ns >= REDIAL_NS) {
			k->down_ns = now;
			pipe_reset(k->pipe);
		}
		return;
	}
	if (now - (k->sent_count > 0 ? k->progress_ns : k->heard_ns) >= SILENCE_NS) {
		log_warn("link", "silent", "slot=%u epoch=%" PRIu64, k->slot, k->epoch);
		pipe_reset(k->pipe);
		return;
	}
	if (k->greeted && k->sent_count == 0 && now - k->heard_ns >= QUIET_NS)
		link_send_bare(k, FRAME_PING, FRAME_ASK);
}

static const struct pipe_ops link_pipe_ops = { .on_up = on_up, .on_frame = link_on_frame, .on_down = on_down };

struct link *
link_new(struct link_set *s, unsigned slot, uint64_t epoch, const struct link_ops *ops, void *arg)
{
	struct link *k = mem_zalloc(sizeof *k);
	struct pipe_ends ends = { s->own_slot, slot, s->own_epoch, epoch };

	k->set = s;
	k->ops = ops;
	k->arg = arg;
	k->slot = slot;
	k->epoch = epoch;
	list_init(&k->ready);
	list_init(&k->sent);
	buf_init(&k->big.body);
	timer_init(&k->ack_timer, link_on_ack_timer);
	timer_init(&k->watch, on_watch);
	k->watched_ns = k->down_ns = now_ns(k);
	loop_timer_in(s->loop, &k->watch, WATCH_NS);
	k->pipe = pipe_open(s->hub, &ends, &link_pipe_ops, k);
	return k;
}

static void
free_frames(struct list *l)
{
	while (!list_empty(l)) {
		struct outframe *o = LIST_FIRST(l, struct outframe, link);

		list_del(&o->link);
		outframe_free(o);
	}
}

void
link_free(struct link *k)
{
	if (k == NULL)
		return;
	pipe_close(k->pipe);
	if (k->set->resting == k)
		link_rest_end(k->set);
	loop_timer_cancel(k->set->loop, &k->ack_timer);
	loop_timer_cancel(k->set->loop, &k->watch);
	list_del(&k->dirty);
	free_frames(&k->ready);
	free_frames(&k->sent);
	if (k->open != NULL)
		outframe_free(k->open);
	buf_fini(&k->big.body);
	mem_free(k);
}
