/* SPDX-License-Identifier: Apache-2.0 */
#include "store/st_sessions_load.h"

#include "common/base/buf.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "store/open.h"
#include "store/st_acls.h"
#include "store/st_queue.h"
#include "store/st_queues.h"
#include "store/st_rights.h"
#include "store/st_sessions.h"
#include "store/st_wills.h"
#include "store/store.h"

struct sessions_load {
	struct work_job job;
	struct slot *slot;
	struct buf after;               /* the last id that was looked at, and a 0 */
	bool acls_sent;
};

/* claim: that by which the slot's last process had it; NULL: nobody else is to have it. */
static void
send_row(struct slot *t, struct owner *w, struct owner_claim *claim, struct slice value)
{
	struct ipc_session_row p = { .client_id = owner_id(w) };
	struct rec_session r;
	uint64_t first, last;
	struct buf subs;
	int bad = rec_take_session(value, &r);

	if (bad != 0) {
		rec_bad(TABLE_sessions, owner_id(w), bad);
		return;
	}
	buf_init(&subs);
	if (sessions_put_subs(t->store->env, &subs, p.client_id) == 0 &&
	    queue_range(t->store->queue, r.qid, &first, &last) == 0) {
		p.account = r.account;
		p.expiry_s = r.expiry_s;
		if (r.offline_since_ms != 0 && r.offline_since_ms < age_ms(t->store))
			p.offline_ms = age_ms(t->store) - r.offline_since_ms;
		p.qid = r.qid;
		p.q_first = first;
		p.q_last = last;
		p.claimed = claim != NULL;
		p.subs = buf_slice(&subs);
		if (claim == NULL)
			owners_give(&t->store->owners, w, t->number);
		else
			claim->dead = false;
		p.stamp = claim == NULL ? w->stamp : claim->stamp;
		ipc_put_session_row(chan_begin(t->chan, IPC_SESSION_ROW), &p);
		chan_end(t->chan);
		queues_send(t, p.client_id);
	}
	buf_fini(&subs);
}

void
sessions_hand_row(struct slot *t, struct owner *w)
{
	struct buf value;

	buf_init(&value);
	if (table_get(t->store->env, NULL, TABLE_sessions, owner_id(w), &value) == 0)
		send_row(t, w, NULL, buf_slice(&value));
	buf_fini(&value);
}

static struct owner *
nobodys(struct store *s, struct slice id)
{
	struct owner *w = owners_find(&s->owners, id);
	const struct slot *t;

	if (w == NULL || (w->flags & (OWNER_DURABLE | OWNER_HELD)) != OWNER_DURABLE || w->slot >= s->slot_count)
		return NULL;
	t = &s->slots.slot[owners_row_slot(&s->owners, w)];
	return slot_live(t) && t->loaded ? w : NULL;
}

/* Which ones, first; with the cursor open nothing else is read. */
int
sessions_hand_some(struct store *s, struct buf *at)
{
	struct buf ids;
	struct cursor *c;
	struct slice left, id;
	int rc = cursor_open(s->env, NULL, TABLE_sessions, &c);

	if (rc != 0)
		return rc;
	buf_init(&ids);
	rc = cursor_seek(c, buf_slice(at));
	for (unsigned n = 0; rc == 0 && n < WORK_SLICE_COUNT; n++) {
		if (nobodys(s, cursor_key(c)) != NULL)
			buf_put_le32_bytes(&ids, cursor_key(c));
		buf_clear(at);
		buf_put_slice(at, cursor_key(c));
		buf_put_u8(at, 0);
		rc = cursor_next(c);
	}
	cursor_close(c);
	for (left = buf_slice(&ids); slice_take_le32_bytes(&left, &id) == 0;) {
		struct owner *w = nobodys(s, id);

		if (w != NULL)
			sessions_hand_row(&s->slots.slot[owners_row_slot(&s->owners, w)], w);
	}
	buf_fini(&ids);
	return rc;
}

static void
send_row_if_its(struct slot *t, struct owner *w, struct slice value)
{
	struct owner_claim *claim;

	if ((w->flags & (OWNER_DURABLE | OWNER_HELD)) == OWNER_DURABLE &&
	    owners_row_slot(&t->store->owners, w) == t->number)
		send_row(t, w, NULL, value);
	else if ((claim = owners_claim_dead(&t->store->owners, w, t->number)) != NULL)
		send_row(t, w, claim, value);
}

static bool
is_its(const struct slot *t, const struct owner *w)
{
	return owners_row_slot(&t->store->owners, w) == t->number || owners_claim_dead(&t->store->owners, w, t->number) != NULL;
}

/* The ids of the rows of a slice, behind after. 0; FB_ENOENT: those are the last. */
static int
gather_ids(struct sessions_load *l, struct buf *ids)
{
	struct cursor *c;
	unsigned n = 0;
	int rc = cursor_open(l->slot->store->env, NULL, TABLE_sessions, &c);

	if (rc != 0)
		return rc;
	for (rc = cursor_seek(c, buf_slice(&l->after)); rc == 0 && n < WORK_SLICE_COUNT; rc = cursor_next(c), n++)
		buf_put_le32_bytes(ids, cursor_key(c));
	cursor_close(c);
	return rc;
}

/* 0: a slice is done; FB_ENOENT: all is. Rows are read when no cursor is open: it would be locked while others are
 * waited for, by the one thread that could let go of it. */
static int
load_some(struct sessions_load *l)
{
	struct slot *t = l->slot;
	struct mono until = mono_add(clock_mono(), WORK_SLICE_NS);
	struct slice left, id;
	struct buf ids, value;
	int rc;

	buf_init(&ids);
	buf_init(&value);
	rc = gather_ids(l, &ids);
	left = buf_slice(&ids);
	while ((rc == 0 || rc == FB_ENOENT) && slice_take_le32_bytes(&left, &id) == 0) {
		struct owner *w = owners_find(&t->store->owners, id);

		buf_clear(&l->after);
		buf_put_slice(&l->after, id);
		buf_put_u8(&l->after, 0);
		buf_clear(&value);
		if (w != NULL && is_its(t, w) && table_get(t->store->env, NULL, TABLE_sessions, id, &value) == 0)
			send_row_if_its(t, w, buf_slice(&value));
		if (left.len > 0 && (chan_full(t->chan) || mono_diff(until, clock_mono()) <= 0))
			rc = FB_EAGAIN;
	}
	buf_fini(&ids);
	buf_fini(&value);
	return rc;
}

static bool
load_step(struct work_job *j)
{
	struct sessions_load *l = container_of(j, struct sessions_load, job);
	struct slot *t = l->slot;
	int rc;

	if (!l->acls_sent) {
		if (acls_send_all(t) != 0 || rights_send_all(t) != 0)
			return true;
		l->acls_sent = true;
	}
	if (chan_full(t->chan)) {
		slot_park(t, j);
		return false;
	}
	rc = load_some(l);
	if (rc != FB_ENOENT)
		return true;
	CHAN_SEND(t->chan, LOADED, stamp, .stamp = t->store->owners.last_stamp);
	t->loaded = true;
	owners_slot_loaded(&t->store->owners, t->number);
	will_rows_slot_loaded(t->store);
	open_serve_slot(t);
	log_info("store", "worker loaded", "slot=%u", t->number);
	sessions_load_stop(t);
	return false;
}

void
sessions_load_start(struct slot *t)
{
	struct sessions_load *l = mem_zalloc(sizeof *l);

	l->job.step = load_step;
	l->slot = t;
	buf_init(&l->after);
	t->load = l;
	work_put(&t->store->work, &l->job);
}

void
sessions_load_stop(struct slot *t)
{
	struct sessions_load *l = t->load;

	if (l == NULL)
		return;
	t->load = NULL;
	work_del(&l->job);
	buf_fini(&l->after);
	mem_free(l);
}
