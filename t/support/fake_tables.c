/* SPDX-License-Identifier: Apache-2.0 */
#include "t/support/fake_tables.h"

#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"

char *
ft_text(struct slice s)
{
	return mem_dup(s.p, s.len);
}

bool
ft_is(const char *t, struct slice s)
{
	return slice_eq(slice_str(t), s);
}

struct owner *
ft_owner_find(const struct fake_store_inner *in, struct slice id)
{
	LIST_EACH(n, &in->owners)
		if (ft_is(container_of(n, struct owner, link)->id, id))
			return container_of(n, struct owner, link);
	return NULL;
}

struct owner *
ft_owner_add(struct fake_store_inner *in, struct slice id, struct slice account, unsigned slot, bool durable, bool held)
{
	struct owner *o = mem_zalloc(sizeof *o);

	o->id = ft_text(id);
	o->account = ft_text(account);
	o->slot = slot;
	o->durable = durable;
	o->held = held;
	list_init(&o->claims);
	list_put_last(&in->owners, &o->link);
	return o;
}

struct claim *
ft_claim_before(const struct owner *o, uint64_t stamp)
{
	struct claim *newest = NULL;

	LIST_EACH(n, &o->claims) {
		struct claim *c = container_of(n, struct claim, link);

		if (c->stamp < stamp && (newest == NULL || c->stamp > newest->stamp))
			newest = c;
	}
	return newest;
}

void
ft_claim_put(struct owner *o, unsigned slot, uint64_t stamp)
{
	struct claim *c = mem_zalloc(sizeof *c);

	c->slot = slot;
	c->stamp = stamp;
	list_put_last(&o->claims, &c->link);
}

void
ft_claim_free(struct claim *c)
{
	list_del(&c->link);
	mem_free(c);
}

void
ft_owner_del(struct owner *o)
{
	LIST_EACH_SAFE(n, tmp, &o->claims)
		ft_claim_free(container_of(n, struct claim, link));
	list_del(&o->link);
	mem_free(o->id);
	mem_free(o->account);
	mem_free(o);
}

struct row *
ft_row_find(const struct fake_store_inner *in, struct slice id)
{
	LIST_EACH(n, &in->rows)
		if (ft_is(container_of(n, struct row, link)->id, id))
			return container_of(n, struct row, link);
	return NULL;
}

void
ft_sub_del(struct sub *s)
{
	list_del(&s->link);
	mem_free(s->filter);
	mem_free(s);
}

struct sub *
ft_sub_find(const struct row *r, struct slice filter)
{
	LIST_EACH(n, &r->subs)
		if (ft_is(container_of(n, struct sub, link)->filter, filter))
			return container_of(n, struct sub, link);
	return NULL;
}

struct waiting *
ft_wait_new(const struct slot *t, enum ipc_type type, struct slice payload)
{
	struct waiting *w = mem_zalloc(sizeof *w + payload.len);

	w->type = type;
	w->slot = t->number;
	w->len = payload.len;
	if (payload.len > 0)
		memcpy(w->bytes, payload.p, payload.len);
	return w;
}

struct waiting *
ft_wait_put(struct list *l, const struct slot *t, enum ipc_type type, struct slice payload)
{
	struct waiting *w = ft_wait_new(t, type, payload);

	list_put_last(l, &w->link);
	return w;
}

void
ft_waiting_drop(struct list *l, int slot)
{
	LIST_EACH_SAFE(n, tmp, l) {
		struct waiting *w = container_of(n, struct waiting, link);

		if (slot >= 0 && w->slot != (unsigned)slot)
			continue;
		list_del(n);
		mem_free(w);
	}
}

void
ft_row_del(struct row *r)
{
	ft_waiting_drop(&r->parts, -1);
	LIST_EACH_SAFE(n, tmp, &r->subs)
		ft_sub_del(container_of(n, struct sub, link));
	list_del(&r->link);
	mem_free(r->id);
	mem_free(r->account);
	mem_free(r);
}

struct row *
ft_row_put(struct fake_store_inner *in, struct slice id, struct slice account, unsigned slot, uint64_t qid)
{
	struct row *r = ft_row_find(in, id);

	if (r == NULL) {
		r = mem_zalloc(sizeof *r);
		r->id = ft_text(id);
		list_init(&r->subs);
		list_init(&r->parts);
		list_put_last(&in->rows, &r->link);
	}
	mem_free(r->account);
	r->account = ft_text(account);
	r->slot = slot;
	if (r->qid != qid)
		fq_drop(in, r->qid);
	r->qid = qid;
	return r;
}

void
ft_sub_put(struct row *r, struct slice filter, uint8_t qos, uint8_t options)
{
	struct sub *s = ft_sub_find(r, filter);

	if (s == NULL) {
		s = mem_zalloc(sizeof *s);
		s->filter = ft_text(filter);
		list_put_last(&r->subs, &s->link);
	}
	s->qos = qos;
	s->options = options;
}

void
ft_retained_del(struct retained *r)
{
	list_del(&r->link);
	mem_free(r->topic);
	mem_free((void *)(uintptr_t)r->payload.p);
	mem_free(r);
}

void
ft_retained_put(struct fake_store_inner *in, const struct ipc_retain *p)
{
	struct list *before = &in->retained;
	struct retained *r;
	char *topic = ft_text(p->topic);

	LIST_EACH_SAFE(n, tmp, &in->retained) {
		r = container_of(n, struct retained, link);
		if (strcmp(r->topic, topic) == 0)
			ft_retained_del(r);
		else if (before == &in->retained && strcmp(r->topic, topic) > 0)
			before = n;
	}
	if (p->payload.len == 0) {
		mem_free(topic);
		return;
	}
	r = mem_zalloc(sizeof *r);
	r->topic = topic;
	r->payload = slice_of(ft_text(p->payload), p->payload.len);
	r->expires_s = p->expires_s;
	r->qos = p->qos;
	list_insert(before->prev, &r->link);
}

void
ft_put_subs(struct buf *b, const struct row *r)
{
	LIST_EACH(n, &r->subs) {
		const struct sub *s = container_of(n, struct sub, link);

		buf_put_u8(b, s->qos);
		buf_put_u8(b, s->options);
		buf_put_le32_bytes(b, slice_str(s->filter));
	}
}

struct number *
ft_number_of(struct list *numbers, unsigned slot, uint64_t epoch)
{
	struct number *x;

	LIST_EACH(n, numbers) {
		x = container_of(n, struct number, link);
		if (x->slot == slot && x->epoch == epoch)
			return x;
	}
	x = mem_zalloc(sizeof *x);
	x->slot = slot;
	x->epoch = epoch;
	list_put_last(numbers, &x->link);
	return x;
}

/* A new number; another slot that has it keeps a claim. */
void
ft_give(struct fake_store_inner *in, struct owner *o, unsigned slot)
{
	if (o->held && o->slot != slot)
		ft_claim_put(o, o->slot, o->stamp);
	o->slot = slot;
	o->held = true;
	o->stamp = ++in->stamp;
}

/* The owner has nothing: the newest claim, or only the row (true), or nobody. */
bool
ft_next_owner(struct owner *o)
{
	struct claim *c = ft_claim_before(o, UINT64_MAX);

	if (c != NULL) {
		o->slot = c->slot;
		o->stamp = c->stamp;
		o->held = !c->dead;
		ft_claim_free(c);
		return false;
	}
	if (!o->durable) {
		ft_owner_del(o);
		return false;
	}
	o->held = false;
	o->stamp = 0;
	return true;
}

void
ft_claims_gone(struct owner *o, unsigned slot)
{
	LIST_EACH_SAFE(n, tmp, &o->claims) {
		struct claim *c = container_of(n, struct claim, link);

		if (c->slot != slot)
			continue;
		c->dead = o->durable && ft_claim_before(o, c->stamp) == NULL;
		if (!c->dead)
			ft_claim_free(c);
	}
}

struct claim *
ft_claim_dead(const struct owner *o, unsigned slot)
{
	struct claim *c = NULL;

	LIST_EACH(n, &o->claims) {
		c = container_of(n, struct claim, link);
		if (c->slot == slot && c->dead)
			return c;
	}
	return NULL;
}

bool
ft_claimed_by(const struct owner *o, unsigned slot)
{
	LIST_EACH(n, &o->claims)
		if (container_of(n, struct claim, link)->slot == slot)
			return true;
	return false;
}

/* ---- for the test ---- */

int
fake_store_owner(const struct fake_store *s, const char *id)
{
	const struct owner *o = ft_owner_find(s->in, slice_str(id));

	return o != NULL && o->held ? (int)o->slot : -1;
}

bool
fake_store_row(const struct fake_store *s, const char *id)
{
	return ft_row_find(s->in, slice_str(id)) != NULL;
}

int
fake_store_sub(const struct fake_store *s, const char *id, const char *filter)
{
	const struct row *r = ft_row_find(s->in, slice_str(id));
	const struct sub *sub = r != NULL ? ft_sub_find(r, slice_str(filter)) : NULL;

	return sub != NULL ? sub->qos : -1;
}

const char *
fake_store_retained(const struct fake_store *s, const char *topic)
{
	LIST_EACH(n, &s->in->retained) {
		const struct retained *r = container_of(n, struct retained, link);

		if (strcmp(r->topic, topic) != 0)
			continue;
		snprintf(s->in->text, sizeof s->in->text, "%.*s", (int)r->payload.len, (const char *)r->payload.p);
		return s->in->text;
	}
	return NULL;
}

void
fake_store_retain(struct fake_store *s, const char *topic, const char *payload, uint8_t qos)
{
	const struct ipc_retain p = { .qos = qos, .topic = slice_str(topic), .payload = slice_str(payload) };

	ft_retained_put(s->in, &p);
}

uint64_t
fake_store_qid(const struct fake_store *s, const char *id)
{
	const struct row *r = ft_row_find(s->in, slice_str(id));

	return r != NULL ? r->qid : 0;
}

void
fake_store_put_row(struct fake_store *s, const char *id, unsigned slot, const char *filter, uint8_t qos)
{
	struct row *r = ft_row_put(s->in, slice_str(id), slice_of(NULL, 0), slot, ++s->in->qids << 32);

	if (filter != NULL)
		ft_sub_put(r, slice_str(filter), qos, 0);
}
