/* SPDX-License-Identifier: Apache-2.0 */
#include "store/slots.h"

#include <unistd.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "store/open.h"
#include "store/st_queue.h"
#include "store/st_queues.h"
#include "store/st_retained.h"
#include "store/st_sessions.h"
#include "store/st_sessions_load.h"
#include "store/st_wills.h"
#include "store/store.h"

/* After the last channel was given: the supervisor gives those of all living workers in one go. */
#define GRACE_NS (500 * NS_PER_MS)

static void slot_adopt(struct slot *t);

/* ---- naming ---- */

/* The claim is over. Its process is dead maybe, and its successor has got the row; or it has not heard of it yet, and the
 * taker may die before it does. by: who says so. */
static void
end_claim(struct store *s, struct owner *w, uint64_t stamp, const struct slot *by)
{
	const struct owner_claim *c = owners_claim_get(&s->owners, w, stamp);
	struct slot *of = c != NULL ? &s->slots.slot[c->slot] : NULL;

	if (of != NULL && of != by && of->chan != NULL && !c->dead)
		CHAN_SEND(of->chan, DISOWN, client, .stamp = stamp, .client_id = owner_id(w));
	owners_claim_del(&s->owners, w, stamp);
	if (of != NULL && (w->flags & (OWNER_DURABLE | OWNER_HELD | OWNER_CLAIMED)) == (OWNER_DURABLE | OWNER_HELD))
		sessions_has_moved(s, w, w->slot);
}

/* Who moved a session while there was no store to be told: it has let it go, or its successor has its row and must not. */
static void
end_claims_over(struct store *s)
{
	struct hmap_iter it = { 0 };
	const struct owner_claim *c;

	while ((c = owners_claim_over(&s->owners, &it)) != NULL)
		end_claim(s, c->owner, c->stamp, NULL);
}

/* The slots whose process has nothing that it could name. */
static uint64_t
fresh_slots(const struct store *s)
{
	uint64_t fresh = 0;

	for (unsigned i = 0; i < s->slot_count; i++) {
		const struct slot *t = &s->slots.slot[i];

		if (t->chan == NULL || !t->was_loaded)
			fresh |= UINT64_C(1) << i;
	}
	return fresh;
}

static void
all_named(struct store *s)
{
	s->slots.all_named = true;
	owners_named(&s->owners, fresh_slots(s));
	end_claims_over(s);
	will_rows_start(s);
	loop_timer_cancel(s->loop, &s->slots.grace);
	open_serve_waiting(s);
	for (unsigned i = 0; i < s->slot_count; i++) {
		struct slot *t = &s->slots.slot[i];

		if (t->chan != NULL && t->named && t->load == NULL && !t->loaded)
			sessions_load_start(t);
	}
}

static void
check_named(struct store *s)
{
	bool every = true;

	if (s->slots.all_named || s->env == NULL)
		return;
	for (unsigned i = 0; i < s->slot_count; i++) {
		const struct slot *t = &s->slots.slot[i];

		if (t->chan != NULL && !t->named)
			return;
		every = every && t->chan != NULL;
	}
	if (every || s->slots.grace_over)
		all_named(s);
}

static void
on_grace(struct timer *tm)
{
	struct slots *sl = container_of(tm, struct slots, grace);

	sl->grace_over = true;
	check_named(container_of(sl, struct store, slots));
}

/* ---- numbers ---- */

static void
answer_write(struct slot *t, uint64_t seq, int code)
{
	CHAN_SEND(t->chan, DONE, done, .seq = seq, .code = (uint16_t)-code);
}

bool
slot_accept(struct slot *t, uint64_t seq)
{
	enum numbers_what what = numbers_accept(&t->writes, seq);

	if (what == NUMBERS_AGAIN)
		numbers_tell(&t->writes, seq, numbers_again(&t->writes, seq));
	return what == NUMBERS_NEW;
}

void
slot_put(struct slot *t, struct batch_op *op, uint64_t seq)
{
	numbers_put(&t->writes, t->store->batch, op, seq);
}

bool
slots_applied(const struct store *s, unsigned number, uint64_t epoch, uint64_t seq)
{
	const struct slot *t;

	if (number >= s->slot_count)
		return true;
	t = &s->slots.slot[number];
	if (epoch <= t->gone_epoch || epoch < t->epoch)
		return true;
	return epoch == t->epoch && t->hello && t->writes.applied >= seq;
}

/* ---- the life of an incarnation ---- */

void
slot_check_over(struct slot *t)
{
	struct store *s = t->store;

	if (t->epoch == 0 || t->chan != NULL || t->writes.pending > 0 || t->queue.pending > 0 || !(t->gone || t->next_fd >= 0))
		return;
	log_debug("store", "worker incarnation over", "slot=%u epoch=%llu", t->number, (unsigned long long)t->epoch);
	if (t->epoch > t->gone_epoch)
		t->gone_epoch = t->epoch;
	t->epoch = 0;
	t->hello = t->named = t->loaded = t->was_loaded = t->gone = false;
	owners_slot_gone(&s->owners, t->number);
	will_rows_slot_gone(s, t->number);
	retained_check_waiting(s);
	open_serve_slot(t);     /* what it had may not be its successor's */
	if (t->next_fd >= 0)
		slot_adopt(t);
}

void
slot_written(struct slot *t, const struct batch_op *op)
{
	(void)numbers_written(&t->writes, op);
	retained_check_waiting(t->store);
	numbers_tell(&t->writes, op->seq, op->code);
	slot_check_over(t);
}

static void
end_channel(struct slot *t)
{
	struct chan *c = t->chan;

	t->chan = NULL;
	chan_free(c);
	numbers_silence(&t->writes);
	numbers_silence(&t->queue);
	queue_drop_slot(t);
	sessions_load_stop(t);
	retained_drop_slot(t);
	while (!list_empty(&t->parked))
		list_del(t->parked.next);
	open_drop_slot(t);
	check_named(t->store);
	slot_check_over(t);
}

static void
on_closed(void *arg)
{
	end_channel(arg);
}

static void
on_drained(void *arg)
{
	struct slot *t = arg;

	while (!list_empty(&t->parked)) {
		struct work_job *j = container_of(t->parked.next, struct work_job, link);

		list_del(&j->link);
		work_put(&t->store->work, j);
	}
}

void
slot_park(struct slot *t, struct work_job *j)
{
	list_del(&j->link);
	list_put_last(&t->parked, &j->link);
}

/* ---- messages ---- */

static void
do_hello(struct slot *t, struct slice payload)
{
	struct ipc_hello p;

	if (ipc_take_hello(payload, &p) != 0 || t->hello)
		store_bad_message(IPC_W_HELLO);
	if (p.slot != t->number || p.epoch != t->epoch) {
		log_error("store", "hello of another worker on this channel", "slot=%u epoch=%llu", p.slot,
		    (unsigned long long)p.epoch);
		end_channel(t);
		return;
	}
	if (numbers_load(&t->writes, t->store->env, (uint16_t)t->number, t->epoch) != 0 ||
	    numbers_load(&t->queue, t->store->queue, (uint16_t)t->number, t->epoch) != 0) {
		end_channel(t);
		return;
	}
	numbers_answered(&t->writes, p.answered);
	t->hello = true;
	t->was_loaded = p.loaded != 0;
	sessions_forget_numbers(t);
	retained_check_waiting(t->store);
}

/* Several may name one id: the move was under way when the last store died. Their numbers say who is the owner, and who
 * still has a claim. */
static void
do_own(struct slot *t, struct slice payload)
{
	struct store *s = t->store;
	struct ipc_own p;
	struct owner *w;

	if (ipc_take_own(payload, &p) != 0 || p.client_id.len > UINT16_MAX)
		store_bad_message(IPC_OWN);
	w = owners_find(&s->owners, p.client_id);
	if (w == NULL)
		w = owners_add(&s->owners, p.client_id, p.account, t->number, 0);
	if ((p.flags & OWN_HERE) == 0 && !s->slots.all_named)
		owners_taker(&s->owners, w, p.stamp, p.prev_slot, p.prev_stamp);
	/* It came there while there was no store that could be told, maybe. */
	if ((p.flags & (OWN_HERE | OWN_DURABLE)) == (OWN_HERE | OWN_DURABLE) && (w->flags & OWNER_DURABLE) != 0 &&
	    ((w->flags & OWNER_GUESS) == 0 || w->slot != t->number))
		sessions_has_moved(s, w, t->number);
	if (!owners_name(&s->owners, w, t->number, p.stamp, (p.flags & OWN_HERE) != 0))
		return;
	if ((p.flags & OWN_ONLINE) != 0 || (p.flags & OWN_HERE) == 0)
		w->flags |= OWNER_CAME;
	if ((p.flags & OWN_DURABLE) != 0)
		w->flags |= OWNER_DURABLE;
	owners_set_account(&s->owners, w, p.account);
}

static void
do_own_end(struct slot *t)
{
	t->named = true;
	if (t->store->slots.all_named)
		sessions_load_start(t);
	else
		check_named(t->store);
}

static void
do_give_up(struct slot *t, struct slice payload)
{
	struct ipc_client p;
	struct owner *w;

	if (ipc_take_client(payload, &p) != 0)
		store_bad_message(IPC_GIVE_UP);
	w = owners_find(&t->store->owners, p.client_id);
	if (w == NULL)
		return;
	if (w->slot != t->number || w->stamp != p.stamp)
		end_claim(t->store, w, p.stamp, t);
	/* Its taker has died since: only the row is left of what moved. */
	else if (owners_next(&t->store->owners, w) && t->store->slots.all_named)
		sessions_hand_row(t, w);
}

static void
on_msg(void *arg, enum ipc_type type, struct slice payload, int fd)
{
	struct slot *t = arg;

	if (fd >= 0)
		close(fd);
	if (!t->hello && type != IPC_W_HELLO)
		store_bad_message(type);
	switch ((int)type) {
	case IPC_W_HELLO:
		do_hello(t, payload);
		break;
	case IPC_OWN:
		do_own(t, payload);
		break;
	case IPC_WILL_HERE:
		will_rows_do_here(t, payload);
		break;
	case IPC_OWN_END:
		do_own_end(t);
		break;
	case IPC_OPEN:
		open_do(t, payload);
		break;
	case IPC_GIVE_UP:
		do_give_up(t, payload);
		break;
	case IPC_SESSION_PUT:
		sessions_do_put(t, payload);
		break;
	case IPC_SESSION_DEL:
		sessions_do_del(t, payload);
		break;
	case IPC_SUB_PUT:
		sessions_do_sub_put(t, payload);
		break;
	case IPC_Q_OPS:
		queue_do_ops(t, payload);
		break;
	case IPC_Q_GET:
		queue_do_get(t, payload);
		break;
	case IPC_QUEUE_PUT:
		queues_do_put(t, payload);
		break;
	case IPC_QUEUE_DEL:
		queues_do_del(t, payload);
		break;
	case IPC_SUB_DEL:
		sessions_do_sub_del(t, payload);
		break;
	case IPC_RETAIN:
		retained_do_put(t, payload);
		break;
	case IPC_RETAIN_GET:
		retained_do_get(t, payload);
		break;
	default:
		store_bad_message(type);
	}
}

/* ---- the supervisor's words ---- */

static const struct chan_ops ops = { .on_msg = on_msg, .on_closed = on_closed, .on_drained = on_drained };

static void
slot_adopt(struct slot *t)
{
	struct store *s = t->store;

	t->epoch = t->next_epoch;
	t->hello = t->named = t->loaded = t->was_loaded = false;
	t->gone = t->epoch <= t->gone_epoch;
	numbers_reset(&t->writes);
	numbers_reset(&t->queue);
	t->chan = chan_new(s->loop, t->next_fd, IPC_STORE, IPC_WORKER, &ops, t);
	t->next_fd = -1;
	if (!s->slots.all_named) {
		s->slots.grace_over = false;
		loop_timer_in(s->loop, &s->slots.grace, GRACE_NS);
	}
}

void
slots_given(struct store *s, unsigned number, uint64_t epoch, int fd)
{
	struct slot *t;

	if (number >= s->slot_count || fd < 0)
		store_bad_message(IPC_WORKER_CHAN);
	t = &s->slots.slot[number];
	if (t->next_fd >= 0)
		close(t->next_fd);
	t->next_fd = fd;
	t->next_epoch = epoch;
	if (s->env != NULL && t->epoch == 0)
		slot_adopt(t);
	else
		slot_check_over(t);
}

void
slots_gone(struct store *s, unsigned number, uint64_t epoch)
{
	struct slot *t;

	if (number >= s->slot_count)
		store_bad_message(IPC_WORKER_GONE);
	t = &s->slots.slot[number];
	if (t->epoch == epoch)
		t->gone = true;
	else if (epoch > t->gone_epoch)
		t->gone_epoch = epoch;
	slot_check_over(t);
	if (s->env != NULL)
		retained_check_waiting(s);
}

bool
slot_live(const struct slot *t)
{
	return t->chan != NULL && t->hello;
}

struct slot *
slots_next(struct store *s, struct slot *t)
{
	for (unsigned i = t == NULL ? 0 : t->number + 1; i < s->slot_count; i++) {
		if (slot_live(&s->slots.slot[i]))
			return &s->slots.slot[i];
	}
	return NULL;
}

void
slots_init(struct store *s)
{
	s->slots.slot = mem_zalloc(s->slot_count * sizeof *s->slots.slot);
	for (unsigned i = 0; i < s->slot_count; i++) {
		struct slot *t = &s->slots.slot[i];

		t->store = s;
		t->number = i;
		t->next_fd = -1;
		numbers_init(&t->writes, t, false, answer_write);
		numbers_init(&t->queue, t, true, queue_answer);
		list_init(&t->gets);
		list_init(&t->parked);
		list_init(&t->opens);
	}
	timer_init(&s->slots.grace, on_grace);
	list_init(&s->slots.opens);
}

void
slots_start(struct store *s)
{
	loop_timer_in(s->loop, &s->slots.grace, GRACE_NS);
	for (unsigned i = 0; i < s->slot_count; i++) {
		if (s->slots.slot[i].next_fd >= 0)
			slot_adopt(&s->slots.slot[i]);
	}
}

void
slots_fini(struct store *s)
{
	if (s->slots.slot == NULL)
		return;
	loop_timer_cancel(s->loop, &s->slots.grace);
	/* The last channel that ends must not start a load for the others. */
	s->slots.all_named = true;
	for (unsigned i = 0; i < s->slot_count; i++) {
		struct slot *t = &s->slots.slot[i];

		if (t->next_fd >= 0)
			close(t->next_fd);
		t->next_fd = -1;
		t->gone = false;
		if (t->chan != NULL)
			end_channel(t);
	}
	mem_free(s->slots.slot);
	s->slots.slot = NULL;
}
