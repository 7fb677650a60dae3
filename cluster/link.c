/* SPDX-License-Identifier: Apache-2.0
 *
 * A frame is in one of three places: `open` takes records, `ready` is closed and waits for the window, `sent` is not
 * acknowledged. Numbers are given when a frame is opened, headers written when it is sent. A part-full frame is
 * copied into a block of its size when it is closed, so that a window of small frames does not hold 512 KiB. */
#include "cluster/link.h"

#include <inttypes.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/metrics/page.h"

#define ACK_EVERY     4u
#define ACK_DELAY_NS  (20 * NS_PER_MS)
#define WATCH_NS      (500 * NS_PER_MS)
#define QUIET_NS      NS_PER_SEC                /* then a PING */
#define SILENCE_NS    (3 * NS_PER_SEC)
#define BUSY_NS       NS_PER_SEC
#define REDIAL_NS     (2 * NS_PER_SEC)
#define PACE_TICK_NS  NS_PER_MS
#define COPY_MAX      16384u

struct outframe {
	struct list link;
	uint64_t seq;
	uint8_t *bytes;
	size_t cap, real_size;          /* of bytes, of this struct, as the slab counts */
	uint32_t len;                   /* with header */
	uint16_t flags;
};

struct big {
	struct buf body;
	uint32_t length;
	uint8_t type, flags;
	bool open;
};

struct link {
	struct link_set *set;
	struct list dirty;
	const struct link_ops *ops;
	void *arg;
	struct pipe *pipe;
	unsigned slot;
	uint64_t epoch;

	struct outframe *open;          /* NULL: none */
	struct list ready, sent;
	uint32_t sent_count;
	uint64_t opened;                /* number of the newest frame */
	uint64_t acked;
	size_t pending;
	enum link_haste haste;          /* of what is in open, or of what on_flush will put */
	bool wants_flush;

	uint64_t received;              /* the last frame processed */
	uint32_t unanswered;            /* of those, not acknowledged yet */
	bool ack_now;
	struct timer ack_timer;
	struct big big;

	bool piped, greeted, greeted_once;      /* the connection is there; its HELLO came; any HELLO ever */
	struct timer watch;
	int64_t watched_ns, heard_ns, progress_ns, down_ns;
	struct link_counts counts;
};

static void flush_all(struct task *t);
static void on_rest(struct task *t);
static void on_pace(struct timer *t);

static inline int64_t
now_ns(const struct link *k)
{
	return loop_now(k->set->loop).ns;
}

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
	task_init(&s->rest_task, on_rest);
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

static void
mark_dirty(struct link *k)
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

static void
send_bare(struct link *k, enum frame_type type, uint16_t flags)
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

static void
send_data(struct link *k, struct outframe *o)
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
		send_data(k, o);
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

static void
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
	mark_dirty(k);
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
	mark_dirty(k);
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
		send_bare(k, FRAME_ACK, 0);
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

/* Frames in. */

static void
take_ack(struct link *k, const struct frame *f)
{
	bool moved = false;

	while (!list_empty(&k->sent)) {
		struct outframe *o = LIST_FIRST(&k->sent, struct outframe, link);

		if (o->seq > f->ack)
			break;
		list_del(&o->link);
		k->sent_count--;
		k->acked = o->seq;
		k->pending -= o->len - FRAME_HEADER;
		outframe_free(o);
		moved = true;
	}
	if (moved) {
		k->progress_ns = now_ns(k);
		if (!list_empty(&k->ready) || k->open != NULL)
			mark_dirty(k);
	}
	if (k->greeted_once)
		k->ops->on_acked(k->arg, k->acked, f->store_seq);
}

static void
bad_record(struct link *k, uint8_t type, int err)
{
	log_error("link", "record skipped", "slot=%u record=%s error=\"%s\"", k->slot, record_name(type), err_text(err));
}

static void
big_begin(struct link *k, struct slice body)
{
	struct big *b = &k->big;
	int rv = record_big_get(body, &b->type, &b->flags, &b->length);

	buf_clear(&b->body);
	b->open = rv == 0 && b->length <= k->set->big_max;
	if (!b->open)
		bad_record(k, RECORD_BIG, rv != 0 ? rv : FB_ETOOBIG);
}

static void
big_more(struct link *k, struct slice body)
{
	struct big *b = &k->big;
	struct record r;
	int rv;

	if (!b->open)
		return;                 /* its BIG was refused, and logged */
	if (body.len > b->length - buf_len(&b->body)) {
		b->open = false;
		bad_record(k, RECORD_MORE, FB_EPROTO);
		return;
	}
	buf_put_slice(&b->body, body);
	if (buf_len(&b->body) < b->length)
		return;
	b->open = false;
	r = (struct record){ .type = b->type, .flags = b->flags, .body = buf_slice(&b->body) };
	if ((rv = k->ops->on_record(k->arg, &r)) != 0)
		bad_record(k, r.type, rv);
	buf_fini(&b->body);
}

/* The records of a frame, at least one of them: what is left of them when the turn has no more time. */
static struct slice
take_records(struct link *k, struct slice body)
{
	struct loop *l = k->set->loop;
	struct record r;
	int rv;

	while ((rv = record_next(&body, &r)) == 0) {
		if (__builtin_expect(r.type == RECORD_MORE, 0))
			big_more(k, r.body);
		else if (__builtin_expect(r.type == RECORD_BIG, 0))
			big_begin(k, r.body);
		else if ((rv = k->ops->on_record(k->arg, &r)) != 0)
			bad_record(k, r.type, rv);
		if (__builtin_expect(loop_is_over(l), 0) && body.len > 0 && loop_check_late(l))
			return body;
	}
	if (rv != FB_ENOENT)
		bad_record(k, 0, rv);
	return slice_of(NULL, 0);
}

/* A frame with records was processed, or came again. */
static void
answer(struct link *k, uint16_t flags)
{
	k->unanswered++;
	if ((flags & FRAME_ASK) != 0 || k->unanswered >= ACK_EVERY) {
		k->ack_now = true;
		mark_dirty(k);
	} else if (!timer_is_set(&k->ack_timer)) {
		loop_timer_in(k->set->loop, &k->ack_timer, ACK_DELAY_NS);
	}
}

static void
rest_end(struct link_set *s)
{
	s->resting = NULL;
	buf_fini(&s->rest);
	task_cancel(&s->rest_task);
	pipe_hub_pause(s->hub, false);
}

static void
on_rest(struct task *t)
{
	struct link_set *s = container_of(t, struct link_set, rest_task);
	struct link *k = s->resting;
	struct slice left;

	if (loop_holds_input(s->loop)) {
		loop_next(s->loop, t);
		return;
	}
	left = take_records(k, buf_slice(&s->rest));
	if (left.len > 0) {
		buf_eat(&s->rest, buf_len(&s->rest) - left.len);
		if (k->greeted && now_ns(k) - s->busy_ns >= BUSY_NS) {
			s->busy_ns = now_ns(k);
			send_bare(k, FRAME_ACK, FRAME_BUSY);
		}
		loop_next(s->loop, t);
		return;
	}
	k->received++;
	answer(k, s->rest_flags);
	rest_end(s);
}

/* A copy: the connection that brought it may end before. */
static void
rest_begin(struct link *k, struct slice left, uint16_t flags)
{
	struct link_set *s = k->set;

	s->resting = k;
	s->rest_flags = flags;
	s->busy_ns = now_ns(k);
	buf_put_slice(&s->rest, left);
	pipe_hub_pause(s->hub, true);
	loop_next(s->loop, &s->rest_task);
}

static void
take_data(struct link *k, const struct frame *f, struct slice body)
{
	if (f->seq > k->received + 1) {
		log_warn("link", "gap", "slot=%u have=%" PRIu64 " got=%" PRIu64, k->slot, k->received, f->seq);
		pipe_reset(k->pipe);
		return;
	}
	if (f->seq == k->received + 1) {
		struct slice left = take_records(k, body);

		if (left.len > 0) {
			rest_begin(k, left, f->flags);
			return;
		}
		k->received = f->seq;
	}
	answer(k, f->flags);
}

static void
on_ack_timer(struct timer *t)
{
	struct link *k = container_of(t, struct link, ack_timer);

	if (k->unanswered == 0)
		return;
	k->ack_now = true;
	mark_dirty(k);
}

/* Everything from the first unacknowledged frame on goes again. */
static void
take_hello(struct link *k, const struct frame *f, struct slice body)
{
	struct frame_hello h;

	if (frame_hello_get(body, &h) != 0 || h.digest != frames_digest() || h.from_slot != k->slot ||
	    h.to_slot != k->set->own_slot || h.from_epoch != k->epoch || h.to_epoch != k->set->own_epoch) {
		log_error("link", "wrong hello", "slot=%u epoch=%" PRIu64, k->slot, k->epoch);
		return;
	}
	k->greeted = true;
	k->progress_ns = now_ns(k);
	LIST_EACH(pos, &k->sent) {
		send_data(k, container_of(pos, struct outframe, link));
		k->counts.resent++;
		METRIC_ADD(link_resent, 1);
	}
	mark_dirty(k);
	if (!k->greeted_once) {
		k->greeted_once = true;
		k->ops->on_greeted(k->arg);
	}
}

static void
on_frame(void *arg, struct slice whole)
{
	struct link *k = arg;
	struct frame f;
	struct slice body;
	int rv = frame_get(whole, &f, &body);

	if (rv == 0 && (f.from != (uint32_t)k->epoch || f.to != (uint32_t)k->set->own_epoch || f.ack > k->opened ||
	    (!k->greeted && f.type != FRAME_HELLO)))
		rv = FB_EPROTO;
	if (rv != 0) {
		log_error("link", "bad frame", "slot=%u error=\"%s\"", k->slot, err_text(rv));
		return;
	}
	k->counts.frames_in++;
	METRIC_ADD(link_frames_in, 1);
	k->heard_ns = now_ns(k);
	take_ack(k, &f);
	switch (f.type) {
	case FRAME_HELLO:
		take_hello(k, &f, body);
		break;
	case FRAME_DATA:
		take_data(k, &f, body);
		break;
	case FRAME_ACK:
		if (f.flags & FRAME_BUSY)
			k->progress_ns = now_ns(k);
		break;
	case FRAME_PING:
		k->ack_now = true;
		mark_dirty(k);
		break;
	default:
		log_error("link", "unknown frame", "slot=%u type=%u", k->slot, f.type);
	}
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
		send_bare(k, FRAME_PING, FRAME_ASK);
}

static const struct pipe_ops link_pipe_ops = { .on_up = on_up, .on_frame = on_frame, .on_down = on_down };

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
	timer_init(&k->ack_timer, on_ack_timer);
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
		rest_end(k->set);
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
