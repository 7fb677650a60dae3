/* SPDX-License-Identifier: Apache-2.0 */
#include "store/st_sessions.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/rand.h"
#include "store/change.h"
#include "store/groups.h"
#include "store/st_queue.h"
#include "store/st_queues.h"
#include "store/store.h"

/* Rows that say where a session was: how soon they are tried again, and how many at once. */
#define AGAIN_NS  (1 * NS_PER_SEC)
#define AGAIN_MAX 1000u

/* ---- keys ---- */

/* client id, 0, filter: no id holds a 0, so that the subscriptions of one are contiguous. */
static void
put_sub_key(struct buf *b, struct slice id, struct slice filter)
{
	buf_put_slice(b, id);
	buf_put_u8(b, 0);
	buf_put_slice(b, filter);
}

/* ---- writing ---- */

/* The entry says again what is in the table. */
static void
row_state(struct store *s, struct slice id)
{
	struct owner *w = owners_find(&s->owners, id);

	if (w == NULL)
		return;
	if (table_has(s->env, TABLE_sessions, id))
		w->flags |= OWNER_DURABLE;
	else
		w->flags &= (uint8_t)~OWNER_DURABLE;
}

static void
after_row_write(struct change *c)
{
	if (c->op.code == 0)
		queue_drop(c->store, c->id);
	else
		row_state(c->store, c->key);
}

static int
del_subs(struct txn *x, struct slice id)
{
	uint64_t count = 0;
	struct buf prefix;
	int rc;

	buf_init(&prefix);
	put_sub_key(&prefix, id, slice_of(NULL, 0));
	rc = table_del_prefix(x, TABLE_subscriptions, buf_slice(&prefix), UINT64_MAX, &count);
	buf_fini(&prefix);
	return rc;
}

static void
refuse(struct slot *t, uint64_t seq, int code)
{
	struct slice none = { 0 };
	struct change *c = change_new(t->store, TABLE_meta, none, none, change_run_refuse);

	c->refusal = code;
	change_put_numbered(c, t, seq);
}

/* c->id: the number of the queue that goes with the row that is there, if it has another one than keep. */
static int
look_for_qid(struct change *c, struct txn *x, uint64_t keep)
{
	struct rec_session r = { 0 };
	struct buf b;
	int rc;

	c->id = 0;
	buf_init(&b);
	rc = table_get(c->store->env, x, TABLE_sessions, c->key, &b);
	if (rc == 0 && rec_take_session(buf_slice(&b), &r) == 0 && r.qid != keep)
		c->id = r.qid;
	buf_fini(&b);
	return rc;
}

static uint64_t
new_qid(const struct change *c)
{
	struct rec_session r = { 0 };

	(void)rec_take_session(c->value, &r);
	return r.qid;
}

static int
run_put(struct batch_op *op, struct txn *x, struct rec_counts *counts)
{
	struct change *c = container_of(op, struct change, op);
	int rc = look_for_qid(c, x, new_qid(c));

	return rc == 0 || rc == FB_ENOENT ? change_run_put(op, x, counts) : rc;
}

/* A session that starts: a row and subscriptions that are still there belong to one that could not be deleted. */
static int
run_put_first(struct batch_op *op, struct txn *x, struct rec_counts *counts)
{
	struct change *c = container_of(op, struct change, op);
	int rc = look_for_qid(c, x, new_qid(c));

	if (rc == 0)
		rc = del_subs(x, c->key);
	if (rc == 0)
		rc = queues_del_in(x, c->key);
	return rc == 0 || rc == FB_ENOENT ? change_run_put(op, x, counts) : rc;
}

/* 0 stays 0, else what the node's age was then. */
static uint64_t
since_ms(const struct store *s, uint64_t offline_ms)
{
	uint64_t now = age_ms(s);

	if (offline_ms == 0)
		return 0;
	return offline_ms < now ? now - offline_ms : 1;
}

/* Writes the row again, if it is there and edit says that it differs. */
static int
edit_row(struct batch_op *op, struct txn *x, bool (*edit)(const struct change *c, struct rec_session *r))
{
	const struct change *c = container_of(op, struct change, op);
	struct rec_session r;
	struct buf old, new;
	int rc;

	buf_init(&old);
	buf_init(&new);
	rc = table_get(txn_env(x), x, TABLE_sessions, c->key, &old);
	/* What cannot be read the readers complain of. */
	if (rc == 0 && rec_take_session(buf_slice(&old), &r) == 0 && edit(c, &r)) {
		rec_put_session(&new, &r);
		rc = table_put(x, TABLE_sessions, c->key, buf_slice(&new));
	}
	buf_fini(&old);
	buf_fini(&new);
	return rc == FB_ENOENT ? 0 : rc;
}

static bool
ages_no_more(const struct change *c, struct rec_session *r)
{
	bool aged = r->offline_since_ms != 0;

	r->offline_since_ms = 0;
	return aged;
}

static int
run_client_back(struct batch_op *op, struct txn *x, struct rec_counts *counts)
{
	return edit_row(op, x, ages_no_more);
}

void
sessions_client_back(struct store *s, struct owner *w)
{
	struct change *c;

	if ((w->flags & OWNER_AGED) == 0)
		return;
	w->flags &= (uint8_t)~OWNER_AGED;
	c = change_new(s, TABLE_sessions, owner_id(w), slice_of(NULL, 0), run_client_back);
	c->op.need = ENV_SHRINKS;
	change_put(c);
}

static bool
is_elsewhere(const struct change *c, struct rec_session *r)
{
	bool other = r->slot != c->id;

	r->slot = c->id & UINT16_MAX;
	return other;
}

static int
run_moved(struct batch_op *op, struct txn *x, struct rec_counts *counts)
{
	return edit_row(op, x, is_elsewhere);
}

/* One whose row could not be written. */
struct row_old {
	struct list link;
	uint16_t len;
	uint8_t id[];
};

static void
row_old_new(struct store *s, struct owner *w)
{
	struct row_old *r = mem_alloc(sizeof *r + w->id_len);

	r->len = w->id_len;
	memcpy(r->id, w->id, w->id_len);
	w->flags |= OWNER_ROW_OLD;
	if (list_empty(&s->rows_old.all))
		loop_timer_in(s->loop, &s->rows_old.again, AGAIN_NS);
	list_put_last(&s->rows_old.all, &r->link);
}

static void
row_old_free(struct row_old *r)
{
	list_del(&r->link);
	mem_free(r);
}

static void
after_moved(struct change *c)
{
	struct owner *w = owners_find(&c->store->owners, c->key);

	if (c->op.code != 0 && w != NULL && (w->flags & OWNER_ROW_OLD) == 0)
		row_old_new(c->store, w);
}

void
sessions_has_moved(struct store *s, const struct owner *w, unsigned slot)
{
	struct change *c = change_new(s, TABLE_sessions, owner_id(w), slice_of(NULL, 0), run_moved);

	c->id = slot;
	c->op.need = ENV_ADMIN;
	c->after = after_moved;
	change_put(c);
}

static void
on_again(struct timer *t)
{
	struct store *s = container_of(t, struct store, rows_old.again);
	unsigned left = AGAIN_MAX;
	struct list all;

	list_init(&all);
	list_move_all(&all, &s->rows_old.all);
	while (!list_empty(&all)) {
		struct row_old *r = container_of(all.next, struct row_old, link);
		struct owner *w = owners_find(&s->owners, slice_of(r->id, r->len));

		if (w != NULL && (w->flags & (OWNER_DURABLE | OWNER_HELD)) == (OWNER_DURABLE | OWNER_HELD) &&
		    (left == 0 || owners_claim_before(&s->owners, w, UINT64_MAX) != NULL)) {
			/* Where it is is not sure while it moves. */
			row_old_new(s, w);
		} else if (w != NULL) {
			w->flags &= (uint8_t)~OWNER_ROW_OLD;
			if ((w->flags & (OWNER_DURABLE | OWNER_HELD)) == (OWNER_DURABLE | OWNER_HELD)) {
				sessions_has_moved(s, w, w->slot);
				left--;
			}
		}
		row_old_free(r);
	}
}

void
rows_old_init(struct store *s)
{
	list_init(&s->rows_old.all);
	timer_init(&s->rows_old.again, on_again);
}

void
rows_old_fini(struct store *s)
{
	loop_timer_cancel(s->loop, &s->rows_old.again);
	LIST_EACH_SAFE(n, tmp, &s->rows_old.all)
		row_old_free(container_of(n, struct row_old, link));
}

/* Or it will, as who asked for it last is dead and has taken nothing. */
static bool
owns(const struct slot *t, const struct owner *w)
{
	const struct slots *all = &t->store->slots;
	const struct owner_claim *c;

	if (w->slot == t->number)
		return true;
	if (!all->all_named || (w->flags & OWNER_HELD) == 0 || all->slot[w->slot].chan != NULL)
		return false;
	c = owners_claim_before(&t->store->owners, w, UINT64_MAX);
	return c != NULL && c->slot == t->number && !c->dead;
}

void
sessions_do_put(struct slot *t, struct slice payload)
{
	struct ipc_session_put p;
	struct owner *w;
	struct change *c;
	struct buf value;

	if (ipc_take_session_put(payload, &p) != 0)
		store_bad_message(IPC_SESSION_PUT);
	if (!slot_accept(t, p.seq)) {
		/* Its worker had not heard of the last store's refusal when it named the session. */
		if (numbers_again(&t->writes, p.seq) != 0)
			row_state(t->store, p.client_id);
		return;
	}
	w = owners_find(&t->store->owners, p.client_id);
	if (w == NULL || !owns(t, w)) {
		refuse(t, p.seq, FB_EOWNER);
		return;
	}
	buf_init(&value);
	rec_put_session(&value, &(struct rec_session){ .slot = (uint16_t)t->number, .expiry_s = p.expiry_s,
	    .offline_since_ms = since_ms(t->store, p.offline_ms), .qid = p.qid, .account = p.account });
	c = change_new(t->store, TABLE_sessions, p.client_id, buf_slice(&value),
	    (w->flags & OWNER_DURABLE) != 0 ? run_put : run_put_first);
	buf_fini(&value);
	c->after = after_row_write;
	w->flags |= OWNER_DURABLE;
	if (p.offline_ms != 0)
		w->flags |= OWNER_AGED;
	else
		w->flags &= (uint8_t)~OWNER_AGED;
	change_put_numbered(c, t, p.seq);
}

static int
run_del_session(struct batch_op *op, struct txn *x, struct rec_counts *counts)
{
	struct change *c = container_of(op, struct change, op);
	int rc = look_for_qid(c, x, 0);

	if (rc == 0)
		rc = table_del(x, TABLE_sessions, c->key);
	if (rc == 0 || rc == FB_ENOENT)
		rc = queues_del_in(x, c->key);
	return rc == 0 ? del_subs(x, c->key) : rc;
}

static struct change *
del_session(struct store *s, struct slice id)
{
	struct change *c = change_new(s, TABLE_sessions, id, slice_of(NULL, 0), run_del_session);

	/* Whoever made room for one has no other way to end it, and there are no more than rows. Refused, it would come back. */
	c->op.need = ENV_ADMIN;
	c->after = after_row_write;
	return c;
}

void
sessions_do_del(struct slot *t, struct slice payload)
{
	struct ipc_session_del p;
	struct owner *w;

	if (ipc_take_session_del(payload, &p) != 0)
		store_bad_message(IPC_SESSION_DEL);
	if (!slot_accept(t, p.seq))
		return;
	w = owners_find(&t->store->owners, p.client_id);
	/* Sent again to a new store, before all have named theirs: its row may hint at an older owner. A clean session that
	 * is asked for by the next owner already still ends the durable one before it. */
	if (w != NULL && w->slot != t->number && (t->store->slots.all_named || (w->flags & OWNER_HELD) != 0) &&
	    !owners_claimed_by(&t->store->owners, w, t->number)) {
		refuse(t, p.seq, FB_EOWNER);
		return;
	}
	if (w != NULL && (w->flags & OWNER_HELD) == 0)
		owners_del(&t->store->owners, w);
	else if (w != NULL)
		w->flags &= (uint8_t)~OWNER_DURABLE;
	change_put_numbered(del_session(t->store, p.client_id), t, p.seq);
}

void
sessions_do_sub_put(struct slot *t, struct slice payload)
{
	struct ipc_sub_put p;
	struct owner *w;
	struct buf key, value;

	if (ipc_take_sub_put(payload, &p) != 0)
		store_bad_message(IPC_SUB_PUT);
	if (!slot_accept(t, p.seq))
		return;
	w = owners_find(&t->store->owners, p.client_id);
	if (w == NULL || !owns(t, w) || (w->flags & OWNER_DURABLE) == 0) {
		refuse(t, p.seq, w != NULL && w->slot == t->number ? FB_ENOENT : FB_EOWNER);
		return;
	}
	buf_init(&key);
	buf_init(&value);
	put_sub_key(&key, p.client_id, p.filter);
	rec_put_sub(&value, &(struct rec_sub){ .qos = p.qos, .options = p.options });
	change_put_numbered(change_new(t->store, TABLE_subscriptions, buf_slice(&key), buf_slice(&value), change_run_put),
	    t, p.seq);
	buf_fini(&key);
	buf_fini(&value);
}

void
sessions_do_sub_del(struct slot *t, struct slice payload)
{
	struct ipc_sub_del p;
	struct owner *w;
	struct change *c;
	struct buf key;

	if (ipc_take_sub_del(payload, &p) != 0)
		store_bad_message(IPC_SUB_DEL);
	if (!slot_accept(t, p.seq))
		return;
	w = owners_find(&t->store->owners, p.client_id);
	if (w != NULL && !owns(t, w)) {
		refuse(t, p.seq, FB_EOWNER);
		return;
	}
	buf_init(&key);
	put_sub_key(&key, p.client_id, p.filter);
	c = change_new(t->store, TABLE_subscriptions, buf_slice(&key), slice_of(NULL, 0), change_run_del);
	buf_fini(&key);
	c->op.need = ENV_SHRINKS;
	change_put_numbered(c, t, p.seq);
}

struct forget {
	struct batch_op op;
	uint16_t number;
	uint64_t epoch;
};

static int
run_forget(struct batch_op *op, struct txn *x, struct rec_counts *counts)
{
	const struct forget *f = container_of(op, struct forget, op);

	return batch_stream_forget(x, f->number, f->epoch);
}

static void
done_forget(struct batch_op *op)
{
	mem_free(container_of(op, struct forget, op));
}

static void
forget_in(struct batch *b, const struct slot *t)
{
	struct forget *f = mem_zalloc(sizeof *f);

	f->op.run = run_forget;
	f->op.done = done_forget;
	f->op.need = ENV_SHRINKS;
	f->number = (uint16_t)t->number;
	f->epoch = t->epoch;
	batch_put(b, &f->op);
}

void
sessions_forget_numbers(struct slot *t)
{
	forget_in(t->store->batch, t);
	forget_in(t->store->qbatch, t);
}

/* ---- reading ---- */

/* A hint beyond the workers that there are now: spread, the same way each time. */
static unsigned
slot_of(struct slice id, uint16_t hint, unsigned slots)
{
	return hint < slots ? hint : (unsigned)(rand_siphash(&(struct hash_key){ 0 }, id.p, id.len) % slots);
}

/* Their qids are appended, as numbers of this machine. */
static int
fill_owners(struct env *e, struct owners *o, unsigned slots, struct buf *qids)
{
	struct cursor *c;
	int rc = cursor_open(e, NULL, TABLE_sessions, &c);

	if (rc != 0)
		return rc;
	for (rc = cursor_seek(c, slice_of(NULL, 0)); rc == 0; rc = cursor_next(c)) {
		struct slice id = cursor_key(c);
		struct rec_session r;
		int bad = id.len <= UINT16_MAX ? rec_take_session(cursor_value(c), &r) : FB_ECORRUPT;
		unsigned slot;

		if (bad != 0) {
			rec_bad(TABLE_sessions, id, bad);
			continue;
		}
		slot = slot_of(id, r.slot, slots);
		owners_add(o, id, r.account, slot, OWNER_DURABLE | OWNER_GUESS | (r.offline_since_ms != 0 ? OWNER_AGED : 0));
		if (r.qid != 0)
			buf_put(qids, &r.qid, sizeof r.qid);
	}
	cursor_close(c);
	return rc == FB_ENOENT ? 0 : rc;
}

static int
by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a;
	uint64_t y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

int
sessions_read(struct env *e, struct env *queue, unsigned slots, struct owners *o, struct buf *gone)
{
	uint64_t *known;
	struct buf qids;
	size_t count;
	int rc;

	buf_init(&qids);
	rc = fill_owners(e, o, slots, &qids);
	known = (uint64_t *)(void *)(qids.base + qids.start);
	count = buf_len(&qids) / sizeof *known;
	if (count > 1)
		qsort(known, count, sizeof *known, by_number);
	if (rc == 0)
		rc = queue_find_gone(queue, known, count, gone);
	if (rc == 0)
		rc = groups_spare(e, gone);
	if (rc == 0)
		rc = queue_find_marked(queue, gone);
	buf_fini(&qids);
	return rc;
}

static int
put_subs_once(struct env *e, struct buf *b, struct slice prefix)
{
	struct cursor *c;
	int rc = cursor_open(e, NULL, TABLE_subscriptions, &c);

	if (rc != 0)
		return rc;
	for (rc = cursor_seek(c, prefix); rc == 0; rc = cursor_next(c)) {
		struct slice key = cursor_key(c);
		struct rec_sub r;
		int bad;

		if (key.len <= prefix.len || memcmp(key.p, prefix.p, prefix.len) != 0)
			break;
		bad = rec_take_sub(cursor_value(c), &r);
		if (bad != 0) {
			rec_bad(TABLE_subscriptions, key, bad);
			continue;
		}
		buf_put_u8(b, r.qos);
		buf_put_u8(b, r.options);
		buf_put_le32_bytes(b, slice_of(key.p + prefix.len, key.len - prefix.len));
	}
	cursor_close(c);
	return rc == FB_ENOENT ? 0 : rc;
}

int
sessions_put_subs(struct env *e, struct buf *b, struct slice id)
{
	uint32_t was = (uint32_t)buf_len(b);
	struct buf prefix;
	int rc;

	buf_init(&prefix);
	put_sub_key(&prefix, id, slice_of(NULL, 0));
	while ((rc = put_subs_once(e, b, buf_slice(&prefix))) == FB_EAGAIN)
		b->end = b->start + was;
	buf_fini(&prefix);
	return rc;
}

int
sessions_get_queue(struct store *s, struct slice client_id, uint64_t *qid, uint64_t *first, uint64_t *last)
{
	struct rec_session r = { 0 };
	struct buf value;
	int rc;

	buf_init(&value);
	rc = table_get(s->env, NULL, TABLE_sessions, client_id, &value);
	if (rc == 0)
		(void)rec_take_session(buf_slice(&value), &r);
	buf_fini(&value);
	*qid = r.qid;
	return rc != 0 ? rc : queue_range(s->queue, r.qid, first, last);
}

void
sessions_import(struct store *s, struct slice id, struct slice record)
{
	struct owner *w = owners_find(&s->owners, id);
	struct rec_session r;

	if (rec_take_session(record, &r) != 0)
		return;
	if (w == NULL)
		w = owners_add(&s->owners, id, r.account, slot_of(id, r.slot, s->slot_count), OWNER_DURABLE);
	w->flags |= OWNER_DURABLE;
	owners_set_account(&s->owners, w, r.account);
}

void
sessions_import_failed(struct store *s, struct slice id)
{
	struct owner *w;

	row_state(s, id);
	w = owners_find(&s->owners, id);
	if (w != NULL && (w->flags & (OWNER_DURABLE | OWNER_HELD)) == 0)
		owners_del(&s->owners, w);
}
