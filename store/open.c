/* SPDX-License-Identifier: Apache-2.0
 *
 * The usual OPEN is answered from inside open_do() without an allocation: the account's hash is cheap or cached, and the
 * owner table decides. What has to wait, for the hashing pool or for workers to name their sessions, is copied. */
#include "store/open.h"

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "store/auth.h"
#include "store/st_sessions.h"
#include "store/store.h"

struct open_wait {
	struct list link;               /* in slots.opens, while it waits for names */
	struct auth_ask ask;            /* while it waits for the pool */
	struct slot *slot;
	uint64_t req;
	uint8_t flags;
	struct slice client_id, account;        /* in bytes */
	uint8_t bytes[];
};

static void
answer(struct slot *t, uint64_t req, int code)
{
	CHAN_SEND(t->chan, OPENED, opened, .req = req, .code = (uint16_t)-code, .prev_slot = OPEN_NOBODY);
}

static struct open_wait *
wait_new(struct slot *t, uint64_t req, uint8_t flags, struct slice id, struct slice account)
{
	struct open_wait *o = mem_alloc(sizeof *o + id.len + account.len);

	*o = (struct open_wait){ .slot = t, .req = req, .flags = flags };
	o->client_id = slice_of(o->bytes, id.len);
	o->account = slice_of(o->bytes + id.len, account.len);
	if (id.len > 0)
		memcpy(o->bytes, id.p, id.len);
	if (account.len > 0)
		memcpy(o->bytes + id.len, account.p, account.len);
	return o;
}

static void
give(struct owners *o, struct owner *w, struct ipc_opened *p)
{
	owners_stamp(o, w);
	p->stamp = o->last_stamp;
}

/* The asker was made the owner, but the one before died before the move: what do the rows say? Others may have asked
 * since and have their turn behind it: the owner stays who it is, and so do the numbers. */
static int
reload(struct slot *t, struct owner *w, uint8_t flags, struct ipc_opened *p, struct buf *subs)
{
	struct store *s = t->store;
	int rc = 0;

	p->stamp = owners_stamp_of(&s->owners, w);
	p->durable = (w->flags & OWNER_DURABLE) != 0;
	if (p->durable && (flags & OPEN_CLEAN) == 0)
		rc = sessions_put_subs(s->env, subs, owner_id(w));
	p->subs = buf_slice(subs);
	if (w->slot == t->number)
		w->flags |= OWNER_HELD;
	return rc;
}

/* The id has an entry: may the asker have it, and from whom? Makes it the owner. */
static int
take_over(struct slot *t, struct owner *w, uint8_t flags, struct slice account, struct ipc_opened *p, struct buf *subs)
{
	struct store *s = t->store;
	bool held = (w->flags & OWNER_HELD) != 0;
	bool durable = (w->flags & OWNER_DURABLE) != 0;
	/* It became the owner otherwise, and has the session: the asker is the next. Its account was looked at before. */
	bool again = (flags & OPEN_RELOAD) != 0;
	int rc = 0;

	if (again && (w->slot == t->number || (held && w->stamp != 0)))
		return reload(t, w, flags, p, subs);
	if (!again && s->config.auth_enabled && !s->config.shared_ids && !slice_eq(owner_account(w), account))
		return FB_EOWNER;
	if (durable && (flags & OPEN_CLEAN) == 0 && !held)
		rc = sessions_put_subs(s->env, subs, owner_id(w));
	if (rc != 0)
		return rc;
	p->prev_slot = held ? w->slot : OPEN_NOBODY;
	p->prev_stamp = held ? owners_stamp_of(&s->owners, w) : 0;
	p->durable = durable;
	p->subs = buf_slice(subs);
	w->slot = (uint16_t)t->number;
	w->flags |= OWNER_HELD;
	give(&s->owners, w, p);
	/* A durable session stays with the account that made it, whoever may use it. */
	if (!again && (!durable || (flags & OPEN_CLEAN) != 0))
		owners_set_account(&s->owners, w, account);
	return 0;
}

static void
decide(struct slot *t, uint64_t req, uint8_t flags, struct slice id, struct slice account)
{
	struct ipc_opened p = { .req = req, .prev_slot = OPEN_NOBODY, .account = account };
	/* An assigned id, 128 random bits: nobody has it, nobody else will ask for it. */
	bool assigned = (flags & OPEN_ASSIGNED) != 0;
	struct owner *w = assigned ? NULL : owners_find(&t->store->owners, id);
	struct buf subs;
	int rc = 0;

	buf_init(&subs);
	if (w == NULL && !assigned)
		give(&t->store->owners, owners_add(&t->store->owners, id, account, t->number, OWNER_HELD), &p);
	else if (w != NULL)
		rc = take_over(t, w, flags, account, &p, &subs);
	if (rc == 0) {
		ipc_put_opened(chan_begin(t->chan, IPC_OPENED), &p);
		chan_end(t->chan);
	} else {
		answer(t, req, rc);
	}
	buf_fini(&subs);
}

/* Who it is is known. */
static void
proceed(struct slot *t, uint64_t req, uint8_t flags, struct slice id, struct slice account)
{
	if (t->store->slots.all_named)
		decide(t, req, flags, id, account);
	else
		list_put_last(&t->store->slots.opens, &wait_new(t, req, flags, id, account)->link);
}

static void
on_checked(struct auth_ask *ask, int rc)
{
	struct open_wait *o = container_of(ask, struct open_wait, ask);

	if (rc == 0)
		proceed(o->slot, o->req, o->flags, o->client_id, o->account);
	else
		answer(o->slot, o->req, rc);
	mem_free(o);
}

static void
check(struct slot *t, const struct ipc_open *p)
{
	struct store *s = t->store;
	int rc = p->user.len <= STORE_ACCOUNT_MAX ? auth_check_fast(s->auth, p->user, p->password) : FB_EAUTH;

	if (rc == 0) {
		proceed(t, p->req, p->flags, p->client_id, p->user);
	} else if (rc == FB_EAGAIN) {
		struct open_wait *o = wait_new(t, p->req, p->flags, p->client_id, p->user);

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
		proceed(t, p.req, p.flags, p.client_id, slice_of(NULL, 0));
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
		decide(o->slot, o->req, o->flags, o->client_id, o->account);
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
	LIST_EACH_SAFE(n, tmp, &t->store->slots.opens) {
		struct open_wait *o = container_of(n, struct open_wait, link);

		if (o->slot != t)
			continue;
		list_del(&o->link);
		mem_free(o);
	}
	auth_drop(t->store->auth, t, drop_ask);
}
