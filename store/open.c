/* SPDX-License-Identifier: Apache-2.0
 *
 * The usual OPEN is answered from inside open_do() without an allocation: the account's hash is cheap or cached, and the
 * owner table decides. What has to wait, for the hashing pool or for workers to name their sessions, is copied. */
#include "store/open.h"

#include <string.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "store/auth.h"
#include "store/st_sessions.h"
#include "store/st_wills.h"
#include "store/store.h"

struct open_wait {
	struct list link;               /* in slots.opens, while it waits for names; in a slot's, for its rows */
	struct auth_ask ask;            /* while it waits for the pool */
	struct slot *slot;
	struct ipc_open p;              /* client_id and user in bytes; no password */
	uint8_t bytes[];
};

static void
answer(struct slot *t, uint64_t req, int code)
{
	/* With the last number: what the asker may wait for is behind it. */
	CHAN_SEND(t->chan, OPENED, opened, .req = req, .code = (uint16_t)-code, .stamp = t->store->owners.last_stamp,
	    .prev_slot = OPEN_NOBODY);
}

static struct open_wait *
wait_new(struct slot *t, const struct ipc_open *p)
{
	struct open_wait *o = mem_alloc(sizeof *o + p->client_id.len + p->user.len);

	*o = (struct open_wait){ .slot = t, .p = *p };
	o->p.password = slice_of(NULL, 0);
	o->p.client_id = slice_of(o->bytes, p->client_id.len);
	o->p.user = slice_of(o->bytes + p->client_id.len, p->user.len);
	if (p->client_id.len > 0)
		memcpy(o->bytes, p->client_id.p, p->client_id.len);
	if (p->user.len > 0)
		memcpy(o->bytes + p->client_id.len, p->user.p, p->user.len);
	return o;
}

/* Does anybody log in? Where nobody does, the accounts of sessions are what is left of other times. */
static bool
anybody_logs_in(const struct config *config)
{
	struct listener_config l;

	for (unsigned i = 0; i < CONFIG_LISTENERS; i++) {
		config_listener(config, i, &l);
		if (l.port != 0 && (strcmp(l.auth, "on") == 0 || l.cn_user))
			return true;
	}
	return config->auth_enabled;
}

/* Nobody has the session. If there is no row either, its write has never been done, and nobody was told that it was. */
static int
what_rows_say(struct store *s, struct owner *w, struct ipc_opened *a, struct buf *subs)
{
	int rc = sessions_get_queue(s, owner_id(w), &a->qid, &a->q_first, &a->q_last);

	if (rc == FB_ENOENT) {
		w->flags &= (uint8_t)~OWNER_DURABLE;
		return 0;
	}
	return rc != 0 ? rc : sessions_put_subs(s->env, subs, owner_id(w));
}

/* The id has an entry: may the asker have it, and from whom? Makes it the owner. */
static int
take_over(struct slot *t, struct owner *w, const struct ipc_open *p, struct ipc_opened *a, struct buf *subs)
{
	struct store *s = t->store;
	bool clean = (p->flags & OPEN_CLEAN) != 0;
	bool held = (w->flags & OWNER_HELD) != 0;
	bool durable;
	int rc = 0;

	if (!s->config.shared_ids && !slice_eq(owner_account(w), a->account) && anybody_logs_in(&s->config))
		return FB_EOWNER;
	if ((w->flags & OWNER_DURABLE) != 0 && !clean && !held)
		rc = what_rows_say(s, w, a, subs);
	if (rc != 0)
		return rc;
	durable = (w->flags & OWNER_DURABLE) != 0;
	a->prev_slot = held ? w->slot : OPEN_NOBODY;
	a->prev_stamp = held ? w->stamp : 0;
	a->durable = durable;
	a->subs = buf_slice(subs);
	owners_give(&s->owners, w, t->number);
	a->stamp = w->stamp;
	/* A durable session stays with the account that made it, whoever may use it. */
	if (!durable || clean)
		owners_set_account(&s->owners, w, a->account);
	else
		sessions_client_back(s, w);
	return 0;
}

/* The one that had it before the asker is dead, or has nothing: the one before that, or what the rows say. */
static int
reload(struct slot *t, struct owner *w, const struct ipc_open *p, struct ipc_opened *a, struct buf *subs)
{
	struct owners *all = &t->store->owners;
	const struct owner_claim *c;
	int rc = 0;

	if (p->dead_stamp != 0)
		owners_claim_del(all, w, p->dead_stamp);
	c = owners_claim_before(all, w, p->stamp);
	a->stamp = p->stamp;
	if (c != NULL) {
		a->prev_slot = c->slot;
		a->prev_stamp = c->stamp;
	} else if ((w->flags & OWNER_DURABLE) != 0 && (p->flags & OPEN_CLEAN) == 0) {
		rc = what_rows_say(t->store, w, a, subs);
		a->subs = buf_slice(subs);
	}
	a->durable = (w->flags & OWNER_DURABLE) != 0;
	return rc;
}

/* The slot whose process had the session and is dead, until its last writes are done and its successor has the row. The
 * neighbours hold for it what was published since: so the session goes there first, and moves from there. NULL: none, or the
 * asker. */
static struct slot *
comes_back(struct slot *t, const struct owner *w, const struct ipc_open *p)
{
	struct store *s = t->store;
	const struct owner_claim *c;
	unsigned number = owners_row_slot(&s->owners, w);

	if ((w->flags & OWNER_HELD) != 0) {
		if ((p->flags & OPEN_RELOAD) == 0)
			return NULL;
		c = owners_claim_before(&s->owners, w, p->stamp);
		if (c == NULL)
			return NULL;
		number = c->slot;
		if (!c->dead)
			return number != t->number && s->slots.slot[number].chan == NULL ? &s->slots.slot[number] : NULL;
	}
	return number < s->slot_count && number != t->number && !s->slots.slot[number].loaded ? &s->slots.slot[number] : NULL;
}

static void
came(struct store *s, struct slice id)
{
	struct owner *w = owners_find(&s->owners, id);

	if (w != NULL)
		w->flags |= OWNER_CAME;
	will_rows_client_back(s, id);
}

/* Who it is is known. */
static void
decide(struct slot *t, const struct ipc_open *p)
{
	struct ipc_opened a = { .req = p->req, .prev_slot = OPEN_NOBODY };
	struct owners *all = &t->store->owners;
	/* An assigned id, 128 random bits: nobody has it, nobody else will ask for it. */
	bool assigned = (p->flags & OPEN_ASSIGNED) != 0;
	struct owner *w = assigned ? NULL : owners_find(all, p->client_id);
	struct slot *first = w != NULL ? comes_back(t, w, p) : NULL;
	struct buf subs;
	int rc = 0;

	if (first != NULL) {
		list_put_last(&first->opens, &wait_new(t, p)->link);
		return;
	}

	if ((p->flags & (OPEN_AUTH | OPEN_VOUCHED)) != 0)
		a.account = p->user;
	buf_init(&subs);
	if (w == NULL && !assigned) {
		w = owners_add(all, p->client_id, a.account, t->number, 0);
		owners_give(all, w, t->number);
		a.stamp = w->stamp;
	} else if (w != NULL && (p->flags & OPEN_RELOAD) != 0) {
		rc = reload(t, w, p, &a, &subs);
	} else if (w != NULL) {
		rc = take_over(t, w, p, &a, &subs);
	}
	if (rc == 0) {
		if (!assigned && (p->flags & OPEN_RELOAD) == 0)
			came(t->store, p->client_id);
		ipc_put_opened(chan_begin(t->chan, IPC_OPENED), &a);
		chan_end(t->chan);
	} else {
		answer(t, p->req, rc);
	}
	buf_fini(&subs);
}

static void
proceed(struct slot *t, const struct ipc_open *p)
{
	if (t->store->slots.all_named)
		decide(t, p);
	else
		list_put_last(&t->store->slots.opens, &wait_new(t, p)->link);
}

static void
on_checked(struct auth_ask *ask, int rc)
{
	struct open_wait *o = container_of(ask, struct open_wait, ask);

	if (rc == 0)
		proceed(o->slot, &o->p);
	else
		answer(o->slot, o->p.req, rc);
	mem_free(o);
}

static void
check(struct slot *t, const struct ipc_open *p)
{
	struct store *s = t->store;
	int rc = p->user.len <= STORE_ACCOUNT_MAX ? auth_check_fast(s->auth, p->user, p->password) : FB_EAUTH;

	if (rc == 0) {
		proceed(t, p);
	} else if (rc == FB_EAGAIN) {
		struct open_wait *o = wait_new(t, p);

		o->ask.done = on_checked;
		o->ask.asker = t;
		rc = auth_check_slow(s->auth, p->user, p->password, &o->ask);
		if (rc != 0) {
			answer(t, p->req, rc);
			mem_free(o);
		}
	} else {
		answer(t, p->req, rc);
	}
}

void
open_do(struct slot *t, struct slice payload)
{
	struct ipc_open p;

	if (ipc_take_open(payload, &p) != 0 || p.client_id.len > UINT16_MAX)
		store_bad_message(IPC_OPEN);
	if ((p.flags & OPEN_AUTH) == 0)
		proceed(t, &p);
	else if ((p.flags & OPEN_HAS_USER) == 0)
		answer(t, p.req, FB_EPERM);
	else
		check(t, &p);
}

void
open_serve_waiting(struct store *s)
{
	while (!list_empty(&s->slots.opens)) {
		struct open_wait *o = container_of(s->slots.opens.next, struct open_wait, link);

		list_del(&o->link);
		decide(o->slot, &o->p);
		mem_free(o);
	}
}

void
open_serve_slot(struct slot *t)
{
	struct list all;

	list_init(&all);
	list_move_all(&all, &t->opens);
	while (!list_empty(&all)) {
		struct open_wait *o = container_of(all.next, struct open_wait, link);

		list_del(&o->link);
		decide(o->slot, &o->p);
		mem_free(o);
	}
}

static void
drop_of(struct list *opens, const struct slot *t)
{
	LIST_EACH_SAFE(n, tmp, opens) {
		struct open_wait *o = container_of(n, struct open_wait, link);

		if (o->slot != t)
			continue;
		list_del(&o->link);
		mem_free(o);
	}
}

static void
drop_ask(struct auth_ask *ask)
{
	mem_free(container_of(ask, struct open_wait, ask));
}

void
open_drop_slot(struct slot *t)
{
	struct store *s = t->store;

	drop_of(&s->slots.opens, t);
	for (unsigned i = 0; i < s->slot_count; i++)
		drop_of(&s->slots.slot[i].opens, t);
	auth_drop(t->store->auth, t, drop_ask);
}
