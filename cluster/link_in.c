/* SPDX-License-Identifier: Apache-2.0
 *
 * What comes from a neighbour: acknowledgements, HELLOs, and frames of records, one after the other. */
#include <inttypes.h>

#include "cluster/link_int.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/metrics/page.h"

#define ACK_EVERY    4u
#define ACK_DELAY_NS (20 * NS_PER_MS)
#define BUSY_NS      NS_PER_SEC

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
			link_mark_dirty(k);
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
		link_mark_dirty(k);
	} else if (!timer_is_set(&k->ack_timer)) {
		loop_timer_in(k->set->loop, &k->ack_timer, ACK_DELAY_NS);
	}
}

void
link_rest_end(struct link_set *s)
{
	s->resting = NULL;
	buf_fini(&s->rest);
	task_cancel(&s->rest_task);
	pipe_hub_pause(s->hub, false);
}

void
link_on_rest(struct task *t)
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
			link_send_bare(k, FRAME_ACK, FRAME_BUSY);
		}
		loop_next(s->loop, t);
		return;
	}
	k->received++;
	answer(k, s->rest_flags);
	link_rest_end(s);
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

void
link_on_ack_timer(struct timer *t)
{
	struct link *k = container_of(t, struct link, ack_timer);

	if (k->unanswered == 0)
		return;
	k->ack_now = true;
	link_mark_dirty(k);
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
		link_send_data(k, container_of(pos, struct outframe, link));
		k->counts.resent++;
		METRIC_ADD(link_resent, 1);
	}
	link_mark_dirty(k);
	if (!k->greeted_once) {
		k->greeted_once = true;
		k->ops->on_greeted(k->arg);
	}
}

void
link_on_frame(void *arg, struct slice whole)
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
		link_mark_dirty(k);
		break;
	default:
		log_error("link", "unknown frame", "slot=%u type=%u", k->slot, f.type);
	}
}
