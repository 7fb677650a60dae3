/* SPDX-License-Identifier: Apache-2.0 */
#include "t/support/fake_store.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/mqtt/topic.h"
#include "t/support/fake_tables.h"

/* ---- OPEN ---- */

static int
check(const struct fake_store *s, const struct ipc_open *p)
{
	if (s->fail_opens != 0)
		return s->fail_opens;
	if ((p->flags & OPEN_AUTH) == 0)
		return 0;
	if ((p->flags & OPEN_HAS_USER) == 0)
		return FB_EPERM;
	LIST_EACH(n, &s->in->accounts) {
		const struct account *a = container_of(n, struct account, link);

		if (ft_is(a->name, p->user) && ft_is(a->password, p->password))
			return 0;
	}
	return FB_EAUTH;
}

static void
put_row(const struct fake_store_inner *in, struct ipc_opened *a, struct buf *subs, const struct row *r)
{
	ft_put_subs(subs, r);
	a->qid = r->qid;
	fq_span(in, r->qid, &a->q_first, &a->q_last);
}

static void
reload(struct fake_store *s, struct owner *o, const struct ipc_open *p, struct ipc_opened *a, struct buf *subs)
{
	struct row *r = ft_row_find(s->in, p->client_id);
	struct claim *c = p->dead_stamp != 0 ? ft_claim_before(o, p->dead_stamp + 1) : NULL;

	if (c != NULL && c->stamp == p->dead_stamp)
		ft_claim_free(c);
	c = ft_claim_before(o, p->stamp);
	a->stamp = p->stamp;
	a->durable = o->durable;
	if (c != NULL) {
		a->prev_slot = (uint16_t)c->slot;
		a->prev_stamp = c->stamp;
	} else if (o->durable && (p->flags & OPEN_CLEAN) == 0 && r != NULL) {
		put_row(s->in, a, subs, r);
	}
	a->subs = buf_slice(subs);
}

static int
take_over(struct fake_store *s, struct slot *t, struct owner *o, const struct ipc_open *p, struct ipc_opened *a,
    struct buf *subs)
{
	bool held = o->held;
	bool clean = (p->flags & OPEN_CLEAN) != 0;
	struct row *r = ft_row_find(s->in, p->client_id);

	if (p->flags & OPEN_RELOAD) {
		reload(s, o, p, a, subs);
		return 0;
	}
	if (s->auth && !ft_is(o->account, a->account))
		return FB_EOWNER;
	if (o->durable && !clean && !held && r != NULL)
		put_row(s->in, a, subs, r);
	a->prev_slot = (uint16_t)(held ? o->slot : OPEN_NOBODY);
	a->prev_stamp = held ? o->stamp : 0;
	a->durable = o->durable;
	a->subs = buf_slice(subs);
	if (r != NULL)
		r->aged_ms = 0;
	ft_give(s->in, o, t->number);
	a->stamp = o->stamp;
	if (!o->durable || clean) {
		mem_free(o->account);
		o->account = ft_text(a->account);
	}
	return 0;
}

static void
do_open(struct fake_store *s, struct slot *t, struct slice payload)
{
	struct ipc_open p;
	struct ipc_opened a = { .prev_slot = OPEN_NOBODY };
	struct owner *o;
	struct buf subs;
	int rc;

	FB_ASSERT(ipc_take_open(payload, &p) == 0);
	buf_init(&subs);
	a.req = p.req;
	if (p.flags & (OPEN_AUTH | OPEN_VOUCHED))
		a.account = p.user;
	rc = check(s, &p);
	a.stamp = rc != 0 ? s->in->stamp : 0;
	o = rc == 0 && !(p.flags & OPEN_ASSIGNED) ? ft_owner_find(s->in, p.client_id) : NULL;
	if (rc == 0 && o == NULL && !(p.flags & OPEN_ASSIGNED))
		ft_owner_add(s->in, p.client_id, a.account, t->number, false, true)->stamp = a.stamp = ++s->in->stamp;
	else if (o != NULL)
		rc = take_over(s, t, o, &p, &a, &subs);
	a.code = (uint16_t)-rc;
	if (t->chan != NULL) {
		ipc_put_opened(chan_begin(t->chan, IPC_OPENED), &a);
		chan_end(t->chan);
	}
	buf_fini(&subs);
}

/* ---- writes ---- */

static int
check_owner(const struct fake_store_inner *in, unsigned slot, struct slice id, bool must)
{
	const struct owner *o = ft_owner_find(in, id);

	return (o == NULL && must) || (o != NULL && o->slot != slot) ? FB_EOWNER : 0;
}

static int
accept_write(struct fake_store *s, unsigned slot, enum ipc_type type, struct slice payload, uint64_t *seq)
{
	struct fake_store_inner *in = s->in;
	struct ipc_session_put put;
	struct ipc_session_del del;
	struct ipc_sub_put sput;
	struct ipc_sub_del sdel;
	struct ipc_queue_put part;
	struct ipc_retain retain;
	int rc = 0;

	if (type == IPC_SESSION_PUT && ipc_take_session_put(payload, &put) == 0) {
		*seq = put.seq;
		rc = check_owner(in, slot, put.client_id, true);
		if (rc == 0 && s->fail_writes == 0)
			ft_owner_find(in, put.client_id)->durable = true;
	} else if (type == IPC_SESSION_DEL && ipc_take_session_del(payload, &del) == 0) {
		*seq = del.seq;
		rc = check_owner(in, slot, del.client_id, false);
		if (rc != 0 && ft_claimed_by(ft_owner_find(in, del.client_id), slot))
			rc = 0;
		if (rc == 0 && ft_owner_find(in, del.client_id) != NULL)
			ft_owner_find(in, del.client_id)->durable = false;
	} else if (type == IPC_SUB_PUT && ipc_take_sub_put(payload, &sput) == 0) {
		*seq = sput.seq;
		rc = check_owner(in, slot, sput.client_id, true);
		if (rc == 0 && !ft_owner_find(in, sput.client_id)->durable)
			rc = FB_ENOENT;
	} else if (type == IPC_SUB_DEL && ipc_take_sub_del(payload, &sdel) == 0) {
		*seq = sdel.seq;
		rc = check_owner(in, slot, sdel.client_id, false);
	} else if (type == IPC_QUEUE_PUT && ipc_take_queue_put(payload, &part) == 0) {
		*seq = part.seq;
		rc = check_owner(in, slot, part.client_id, true);
	} else if (type == IPC_QUEUE_DEL && ipc_take_session_del(payload, &del) == 0) {
		*seq = del.seq;
		rc = check_owner(in, slot, del.client_id, true);
	} else {
		FB_ASSERT(type == IPC_RETAIN && ipc_take_retain(payload, &retain) == 0);
		*seq = retain.seq;
	}
	return rc;
}

static void
apply(struct fake_store_inner *in, const struct waiting *w)
{
	struct slice payload = slice_of(w->bytes, w->len);
	struct ipc_session_put put;
	struct ipc_session_del del;
	struct ipc_sub_put sput;
	struct ipc_sub_del sdel;
	struct ipc_queue_put part;
	struct ipc_retain retain;
	struct waiting *kept;
	struct row *r;

	if (w->type == IPC_SESSION_PUT && ipc_take_session_put(payload, &put) == 0) {
		r = ft_row_put(in, put.client_id, put.account, w->slot, put.qid);
		r->aged_ms = put.offline_ms;
		r->aged_at = loop_now(in->loop);
	} else if (w->type == IPC_SESSION_DEL && ipc_take_session_del(payload, &del) == 0) {
		if ((r = ft_row_find(in, del.client_id)) != NULL)
			fq_drop(in, r->qid), ft_row_del(r);
	} else if (w->type == IPC_SUB_PUT && ipc_take_sub_put(payload, &sput) == 0) {
		if ((r = ft_row_find(in, sput.client_id)) != NULL)
			ft_sub_put(r, sput.filter, sput.qos, sput.options);
	} else if (w->type == IPC_SUB_DEL && ipc_take_sub_del(payload, &sdel) == 0) {
		r = ft_row_find(in, sdel.client_id);
		if (r != NULL && ft_sub_find(r, sdel.filter) != NULL)
			ft_sub_del(ft_sub_find(r, sdel.filter));
	} else if (w->type == IPC_QUEUE_PUT && ipc_take_queue_put(payload, &part) == 0) {
		if ((r = ft_row_find(in, part.client_id)) != NULL) {
			kept = mem_zalloc(sizeof *kept + part.items.len);
			kept->len = part.items.len;
			memcpy(kept->bytes, part.items.p, part.items.len);
			list_put_last(&r->parts, &kept->link);
		}
	} else if (w->type == IPC_QUEUE_DEL && ipc_take_session_del(payload, &del) == 0) {
		if ((r = ft_row_find(in, del.client_id)) != NULL)
			ft_waiting_drop(&r->parts, -1);
	} else if (ipc_take_retain(payload, &retain) == 0) {
		ft_retained_put(in, &retain);
	}
}

static void
say_done(struct slot *t, uint64_t seq, int code)
{
	if (t->chan != NULL)
		CHAN_SEND(t->chan, DONE, done, .seq = seq, .code = (uint16_t)-code);
}

/* All that is there in one transaction; then one answer a worker, and one for each that failed. */
static bool
commit(struct fake_store *s)
{
	struct fake_store_inner *in = s->in;
	uint64_t good[SLOTS] = { 0 };
	bool any = !list_empty(&in->writes);

	LIST_EACH_SAFE(n, tmp, &in->writes) {
		struct waiting *w = container_of(n, struct waiting, link);
		struct slot *t = &in->slot[w->slot];

		if (w->code == 0)
			apply(in, w);
		ft_number_of(&in->numbers, w->slot, t->epoch)->last = w->seq;
		t->done = w->seq;
		if (w->code != 0) {
			if (good[w->slot] != 0)
				say_done(t, good[w->slot], 0);
			good[w->slot] = 0;
			say_done(t, w->seq, w->code);
		} else {
			good[w->slot] = w->seq;
		}
		list_del(n);
		mem_free(w);
	}
	for (unsigned i = 0; i < in->slots; i++)
		if (good[i] != 0)
			say_done(&in->slot[i], good[i], 0);
	return any;
}

static void
do_write(struct fake_store *s, struct slot *t, enum ipc_type type, struct slice payload)
{
	uint64_t seq = 0;
	int rc = accept_write(s, t->number, type, payload, &seq);
	struct waiting *w;

	s->writes++;
	if (seq <= t->seen) {
		s->repeated++;
		if (seq <= t->done)
			say_done(t, seq, 0);
		return;
	}
	FB_ASSERT(seq == t->seen + 1);
	t->seen = seq;
	w = ft_wait_put(&s->in->writes, t, type, payload);
	w->seq = seq;
	w->code = s->fail_writes != 0 ? s->fail_writes : rc;
}

/* ---- RETAIN_GET ---- */

static bool
applied(const struct fake_store_inner *in, struct slice min)
{
	uint16_t slot;
	uint64_t epoch, seq;

	while (slice_take_le16(&min, &slot) == 0 && slice_take_le64(&min, &epoch) == 0 && slice_take_le64(&min, &seq) == 0)
		if (slot < in->slots && in->slot[slot].epoch == epoch && in->slot[slot].done < seq)
			return false;
	return true;
}

static bool
do_get(struct fake_store *s, struct slot *t, struct slice payload)
{
	struct ipc_retain_get p;
	struct ipc_retain_rows a = { 0 };
	struct buf b;
	unsigned rows = 0;

	FB_ASSERT(ipc_take_retain_get(payload, &p) == 0);
	if (!applied(s->in, p.min))
		return false;
	buf_init(&b);
	a.req = p.req;
	a.code = (uint16_t)-s->fail_gets;
	LIST_EACH(n, &s->in->retained) {
		const struct retained *r = container_of(n, struct retained, link);

		if (s->fail_gets != 0 || !topic_matches(p.filter, slice_str(r->topic)))
			continue;
		if (p.after.len > 0 && strncmp(r->topic, (const char *)p.after.p, p.after.len + 1) <= 0)
			continue;
		if (buf_len(&b) >= p.max_bytes || (s->rows_a_get != 0 && rows == s->rows_a_get)) {
			a.more = 1;
			break;
		}
		buf_put_u8(&b, r->qos);
		buf_put_le64(&b, r->expires_s);
		buf_put_le32_bytes(&b, slice_str(r->topic));
		buf_put_le32_bytes(&b, slice_of(NULL, 0));
		buf_put_le32_bytes(&b, r->payload);
		a.next = slice_of(r->topic, strlen(r->topic) + 1);      /* with its NUL: "a" is not behind "a/b" */
		rows++;
	}
	a.rows = buf_slice(&b);
	if (t->chan != NULL) {
		ipc_put_retain_rows(chan_begin(t->chan, IPC_RETAIN_ROWS), &a);
		chan_end(t->chan);
	}
	buf_fini(&b);
	return true;
}

/* ---- naming and loading ---- */

static void
load(struct slot *t)
{
	struct fake_store_inner *in = t->store->in;

	t->loaded = true;
	LIST_EACH(n, &in->owners) {
		struct owner *o = container_of(n, struct owner, link);
		struct row *r = ft_row_find(in, slice_str(o->id));
		struct claim *dead = ft_claim_dead(o, t->number);
		struct ipc_session_row p = { 0 };
		struct buf subs;

		if (((o->slot != t->number || o->held) && dead == NULL) || r == NULL)
			continue;
		buf_init(&subs);
		ft_put_subs(&subs, r);
		if (dead == NULL)
			ft_give(in, o, t->number);
		else
			dead->dead = false;
		p = (struct ipc_session_row){ .stamp = dead != NULL ? dead->stamp : o->stamp, .client_id = slice_str(o->id),
			.account = slice_str(r->account), .qid = r->qid, .claimed = dead != NULL, .subs = buf_slice(&subs) };
		fq_span(in, r->qid, &p.q_first, &p.q_last);
		if (r->aged_ms != 0)
			p.offline_ms = r->aged_ms + (uint64_t)(mono_diff(loop_now(in->loop), r->aged_at) / NS_PER_MS);
		ipc_put_session_row(chan_begin(t->chan, IPC_SESSION_ROW), &p);
		chan_end(t->chan);
		LIST_EACH(l, &r->parts) {
			const struct waiting *part = container_of(l, struct waiting, link);

			CHAN_SEND(t->chan, QUEUE_PART, queue_part, .client_id = slice_str(o->id),
			    .items = slice_of(part->bytes, part->len));
		}
		buf_fini(&subs);
	}
	CHAN_SEND(t->chan, LOADED, stamp, .stamp = in->stamp);
}

static void
check_named(struct fake_store_inner *in)
{
	for (unsigned i = 0; i < in->slots; i++)
		if (in->slot[i].chan != NULL && !in->slot[i].named)
			return;
	in->all_named = true;
	for (unsigned i = 0; i < in->slots; i++)
		if (in->slot[i].chan != NULL && !in->slot[i].loaded)
			load(&in->slot[i]);
}

static void
do_own(struct fake_store_inner *in, struct slot *t, struct slice payload)
{
	struct ipc_own p;
	struct owner *o;

	FB_ASSERT(ipc_take_own(payload, &p) == 0);
	o = ft_owner_find(in, p.client_id);
	if (o == NULL)
		o = ft_owner_add(in, p.client_id, p.account, t->number, false, false);
	if (p.stamp > in->stamp)
		in->stamp = p.stamp;
	if (o->held && p.stamp < o->stamp) {
		if (o->slot != t->number)
			ft_claim_put(o, t->number, p.stamp);
		return;
	}
	if (o->held && o->slot != t->number)
		ft_claim_put(o, o->slot, o->stamp);
	o->slot = t->number;
	o->stamp = p.stamp;
	o->held = true;
	o->durable = o->durable || (p.flags & OWN_DURABLE);
	mem_free(o->account);
	o->account = ft_text(p.account);
}

static void
do_give_up(struct slot *t, const struct ipc_client *p)
{
	struct owner *o = ft_owner_find(t->store->in, p->client_id);
	struct claim *c;

	if (o == NULL)
		return;
	if (o->slot == t->number && o->stamp == p->stamp) {
		if (ft_next_owner(o))
			load(t);
		return;
	}
	c = ft_claim_before(o, p->stamp + 1);
	if (c != NULL && c->stamp == p->stamp)
		ft_claim_free(c);
}

static void
on_msg(void *arg, enum ipc_type type, struct slice payload, int fd)
{
	struct slot *t = arg;
	struct fake_store *s = t->store;
	struct fake_store_inner *in = s->in;
	struct ipc_client client;

	FB_ASSERT(fd == -1);
	switch ((int)type) {
	case IPC_W_HELLO:
		t->seen = t->done = ft_number_of(&in->numbers, t->number, t->epoch)->last;
		fq_hello(t);
		break;
	case IPC_OWN:
		do_own(in, t, payload);
		break;
	case IPC_OWN_END:
		t->named = true;
		if (in->all_named && !t->loaded)
			load(t);
		else
			check_named(in);
		break;
	case IPC_OPEN:
		s->opens++;
		ft_wait_put(&in->opens, t, type, payload);
		break;
	case IPC_GIVE_UP:
		FB_ASSERT(ipc_take_client(payload, &client) == 0);
		do_give_up(t, &client);
		break;
	case IPC_RETAIN_GET:
		s->gets++;
		ft_wait_put(&in->gets, t, type, payload);
		break;
	case IPC_WILL_HERE:
		fw_here(s, payload);
		break;
	case IPC_Q_OPS:
		fq_ops(s, t, ft_wait_new(t, type, payload));
		break;
	case IPC_Q_GET:
		ft_wait_put(&in->q_gets, t, type, payload);
		break;
	default:
		do_write(s, t, type, payload);
	}
	/* An OPEN is answered at once, before what comes behind it. */
	if (type == IPC_OPEN)
		(void)fake_store_step(s);
}

static void
on_closed(void *arg)
{
	struct slot *t = arg;

	chan_free(t->chan);
	t->chan = NULL;
	if (t->gone)
		fake_store_gone(t->store, t->number);
}

static const struct chan_ops ops = { .on_msg = on_msg, .on_closed = on_closed };

/* ---- for the test ---- */

/* Who had it is dead, and its successor has not got the row yet, to be taken from there. */
static bool
comes_back(const struct fake_store_inner *in, struct slice open)
{
	struct ipc_open p;
	const struct owner *o;
	const struct claim *c;

	FB_ASSERT(ipc_take_open(open, &p) == 0);
	o = (p.flags & OPEN_RELOAD) != 0 ? ft_owner_find(in, p.client_id) : NULL;
	c = o != NULL && o->held ? ft_claim_before(o, p.stamp) : NULL;
	return c != NULL && c->dead && !in->slot[c->slot].loaded;
}

static bool
serve_opens(struct fake_store *s)
{
	bool any = false;

	if (s->hold_opens || !s->in->all_named)
		return false;
	LIST_EACH_SAFE(n, tmp, &s->in->opens) {
		struct waiting *w = container_of(n, struct waiting, link);

		if (comes_back(s->in, slice_of(w->bytes, w->len)))
			continue;
		list_del(&w->link);
		do_open(s, &s->in->slot[w->slot], slice_of(w->bytes, w->len));
		mem_free(w);
		any = true;
	}
	return any;
}

bool
fake_store_step(struct fake_store *s)
{
	bool any = serve_opens(s);

	if (!s->hold_commits)
		any = commit(s) || any;
	LIST_EACH_SAFE(n, tmp, &s->in->gets) {
		struct waiting *w = container_of(n, struct waiting, link);

		if (s->hold_gets || !do_get(s, &s->in->slot[w->slot], slice_of(w->bytes, w->len)))
			continue;
		list_del(n);
		mem_free(w);
		any = true;
	}
	return fq_step(s) || any;
}

void
fake_store_init(struct fake_store *s, struct loop *l, unsigned slots)
{
	struct fake_store_inner *in = mem_zalloc(sizeof *in);

	*s = (struct fake_store){ .in = in };
	in->loop = l;
	in->slots = slots;
	list_init(&in->rows);
	list_init(&in->retained);
	list_init(&in->accounts);
	list_init(&in->numbers);
	fq_init(in);
	list_init(&in->owners);
	list_init(&in->opens);
	list_init(&in->gets);
	list_init(&in->writes);
	for (unsigned i = 0; i < SLOTS; i++)
		in->slot[i] = (struct slot){ .store = s, .number = i };
}

static void
forget(struct fake_store_inner *in)
{
	LIST_EACH_SAFE(n, tmp, &in->owners)
		ft_owner_del(container_of(n, struct owner, link));
	ft_waiting_drop(&in->opens, -1);
	ft_waiting_drop(&in->gets, -1);
	ft_waiting_drop(&in->writes, -1);
	fq_forget(in);
	in->all_named = false;
}

void
fake_store_crash(struct fake_store *s)
{
	for (unsigned i = 0; i < s->in->slots; i++) {
		struct slot *t = &s->in->slot[i];

		chan_free(t->chan);
		*t = (struct slot){ .store = s, .number = i };
	}
	forget(s->in);
}

static void
clear_disk(struct fake_store_inner *in)
{
	LIST_EACH_SAFE(n, tmp, &in->rows)
		ft_row_del(container_of(n, struct row, link));
	LIST_EACH_SAFE(n, tmp, &in->retained)
		ft_retained_del(container_of(n, struct retained, link));
	fq_clear(in);
}

void
fake_store_fini(struct fake_store *s)
{
	struct fake_store_inner *in = s->in;

	fake_store_crash(s);
	clear_disk(in);
	LIST_EACH_SAFE(n, tmp, &in->accounts) {
		struct account *a = container_of(n, struct account, link);

		mem_free(a->name);
		mem_free(a->password);
		mem_free(a);
	}
	LIST_EACH_SAFE(n, tmp, &in->numbers)
		mem_free(container_of(n, struct number, link));
	fq_fini(in);
	mem_free(in);
}

void
fake_store_given(struct fake_store *s, unsigned slot, uint64_t epoch, int fd)
{
	struct fake_store_inner *in = s->in;
	struct slot *t = &in->slot[slot];
	bool first = true;

	for (unsigned i = 0; i < in->slots; i++)
		first = first && in->slot[i].chan == NULL;
	if (first && !in->all_named && list_empty(&in->owners)) {
		LIST_EACH(n, &in->rows) {
			struct row *r = container_of(n, struct row, link);

			ft_owner_add(in, slice_str(r->id), slice_str(r->account), r->slot % in->slots, true, false);
		}
	}
	FB_ASSERT(t->chan == NULL);
	t->epoch = epoch;
	t->named = t->gone = t->loaded = false;
	t->chan = chan_new(in->loop, fd, IPC_STORE, IPC_WORKER, &ops, t);
}

void
fake_store_cut(struct fake_store *s, unsigned slot)
{
	chan_free(s->in->slot[slot].chan);
	s->in->slot[slot].chan = NULL;
}

void
fake_store_gone(struct fake_store *s, unsigned slot)
{
	struct fake_store_inner *in = s->in;
	struct slot *t = &in->slot[slot];

	t->gone = true;
	if (t->chan != NULL)
		return;
	t->loaded = false;
	ft_waiting_drop(&in->opens, (int)slot);
	ft_waiting_drop(&in->gets, (int)slot);
	(void)commit(s);
	fq_gone(t);
	t->epoch = 0;
	LIST_EACH_SAFE(n, tmp, &in->owners) {
		struct owner *o = container_of(n, struct owner, link);

		ft_claims_gone(o, slot);
		if (o->slot == slot && (o->held || !o->durable))
			(void)ft_next_owner(o);
	}
	check_named(in);
}

void
fake_store_account(struct fake_store *s, const char *name, const char *password)
{
	struct account *a = mem_zalloc(sizeof *a);

	a->name = mem_strdup(name);
	a->password = mem_strdup(password);
	list_put_last(&s->in->accounts, &a->link);
}

void
fake_store_account_del(struct fake_store *s, const char *name)
{
	LIST_EACH_SAFE(n, tmp, &s->in->accounts) {
		struct account *a = container_of(n, struct account, link);

		if (strcmp(a->name, name) != 0)
			continue;
		list_del(n);
		mem_free(a->name);
		mem_free(a->password);
		mem_free(a);
	}
	for (unsigned i = 0; i < s->in->slots; i++)
		if (s->in->slot[i].chan != NULL)
			CHAN_SEND(s->in->slot[i].chan, ACCOUNT_GONE, name, .name = slice_str(name));
}

void
fake_store_reset(struct fake_store *s)
{
	struct fake_store_inner *in = s->in;

	clear_disk(in);
	LIST_EACH_SAFE(n, tmp, &in->owners)
		ft_owner_del(container_of(n, struct owner, link));
	for (unsigned i = 0; i < in->slots; i++)
		if (in->slot[i].chan != NULL)
			chan_send(in->slot[i].chan, IPC_RESET);
}

void
fake_store_disown(struct fake_store *s, unsigned slot, const char *id, uint64_t stamp)
{
	CHAN_SEND(s->in->slot[slot].chan, DISOWN, client, .stamp = stamp, .client_id = slice_str(id));
}
