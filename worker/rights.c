/* SPDX-License-Identifier: Apache-2.0
 *
 * A set of rules is an array in the order of their places. For each account that asks, the rules that mean it are
 * picked out of the set, a list an action: an account's list is as long as the rules that concern it, however many
 * others have. Lists live until the set changes; a session's name remembers its own by the number of the change. */
#include "worker/rights.h"

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/rand.h"
#include "common/base/utf8.h"
#include "common/ipc/codec.h"
#include "common/metrics/page.h"

#define ACTIONS 4

struct rule {
	struct right_rule is;
	uint8_t bytes[];                /* name, filter */
};

struct member {
	struct hmap_node node;          /* by name */
	struct name *name;
	struct name *group;
};

struct set {
	struct rule **rules;
	size_t count, room;
	struct hmap members;
};

/* The rules that mean one account, for each action. */
struct rights_list {
	struct hmap_node node;          /* in rights->lists, by name */
	struct name *name;              /* NULL: of those who did not log in */
	const struct right_rule **rules[ACTIONS];
	size_t count[ACTIONS];
};

struct rights {
	struct set live;
	struct set next;
	bool filling;                   /* next is being filled */
	bool allow;                     /* by default */
	uint32_t change;                /* number of the last change, never 0 */
	struct hmap lists;
	struct rights_list *nobody;
};

/* ---- a set ---- */

static void
set_clear(struct set *s)
{
	struct hmap_iter it = { 0 };
	struct hmap_node *n;

	for (size_t i = 0; i < s->count; i++)
		mem_free(s->rules[i]);
	mem_free(s->rules);
	while ((n = hmap_each(&s->members, &it)) != NULL) {
		struct member *m = container_of(n, struct member, node);

		name_drop(m->name);
		name_drop(m->group);
		mem_free(m);
	}
	hmap_fini(&s->members);
	*s = (struct set){ 0 };
	hmap_init(&s->members);
}

/* Where a rule of that place stands or would. */
static size_t
index_of(const struct set *s, uint32_t place)
{
	size_t i = s->count;

	while (i > 0 && s->rules[i - 1]->is.place >= place)
		i--;
	return i;
}

static void
set_del(struct set *s, uint32_t place)
{
	size_t i = index_of(s, place);

	if (i == s->count || s->rules[i]->is.place != place)
		return;
	mem_free(s->rules[i]);
	s->count--;
	memmove(s->rules + i, s->rules + i + 1, (s->count - i) * sizeof *s->rules);
}

static void
set_put(struct set *s, const struct ipc_right *p)
{
	struct rule *r = mem_alloc(sizeof *r + p->name.len + p->filter.len);
	size_t i;

	set_del(s, p->place);
	r->is = (struct right_rule){ .place = p->place, .actions = p->actions, .who = p->who, .allow = p->allow != 0,
		.name = slice_of(r->bytes, p->name.len), .filter = slice_of(r->bytes + p->name.len, p->filter.len) };
	if (p->name.len > 0)
		memcpy(r->bytes, p->name.p, p->name.len);
	memcpy(r->bytes + p->name.len, p->filter.p, p->filter.len);
	if (s->count == s->room) {
		s->room = s->room == 0 ? 16 : s->room * 2;
		s->rules = mem_realloc(s->rules, s->room * sizeof *s->rules);
	}
	i = index_of(s, p->place);
	memmove(s->rules + i + 1, s->rules + i, (s->count - i) * sizeof *s->rules);
	s->rules[i] = r;
	s->count++;
}

/* group empty: any. NULL: there is none. */
static struct member *
member_of(const struct set *s, struct slice name, struct slice group)
{
	uint64_t hash = rand_hash(name.p, name.len);

	for (struct hmap_node *n = hmap_first(&s->members, hash); n != NULL; n = hmap_next(n, hash)) {
		struct member *m = container_of(n, struct member, node);

		if (slice_eq(name_text(m->name), name) && (group.len == 0 || slice_eq(name_text(m->group), group)))
			return m;
	}
	return NULL;
}

static void
set_group(struct set *s, const struct ipc_group *p, bool in)
{
	struct member *m;

	if (in) {
		if (member_of(s, p->name, p->group) != NULL)
			return;
		m = mem_alloc(sizeof *m);
		m->name = name_new(p->name);
		m->group = name_new(p->group);
		hmap_put(&s->members, &m->node, rand_hash(p->name.p, p->name.len));
		return;
	}
	while ((m = member_of(s, p->name, p->group)) != NULL) {
		hmap_del(&s->members, &m->node);
		name_drop(m->name);
		name_drop(m->group);
		mem_free(m);
	}
}

/* ---- lists ---- */

static void
list_free(struct rights_list *l)
{
	for (int i = 0; i < ACTIONS; i++)
		mem_free(l->rules[i]);
	name_drop(l->name);
	mem_free(l);
}

static void
lists_drop(struct rights *r)
{
	struct hmap_iter it = { 0 };
	struct hmap_node *n;

	while ((n = hmap_each(&r->lists, &it)) != NULL)
		list_free(container_of(n, struct rights_list, node));
	hmap_fini(&r->lists);
	hmap_init(&r->lists);
	if (r->nobody != NULL)
		list_free(r->nobody);
	r->nobody = NULL;
}

static bool
means(const struct set *s, const struct right_rule *rule, struct slice name)
{
	switch ((enum right_who)rule->who) {
	case RIGHT_EVERYONE:
		return true;
	case RIGHT_ANONYMOUS:
		return name.len == 0;
	case RIGHT_USER:
		return name.len > 0 && slice_eq(rule->name, name);
	case RIGHT_GROUP:
		return name.len > 0 && member_of(s, name, rule->name) != NULL;
	}
	return false;
}

static struct rights_list *
list_new(const struct set *s, struct slice name)
{
	struct rights_list *l = mem_zalloc(sizeof *l);

	for (size_t i = 0; i < s->count; i++) {
		const struct right_rule *rule = &s->rules[i]->is;

		if (!means(s, rule, name))
			continue;
		for (int a = 0; a < ACTIONS; a++) {
			if ((rule->actions >> a & 1) == 0)
				continue;
			if (l->rules[a] == NULL)
				l->rules[a] = mem_alloc((s->count - i) * sizeof *l->rules[a]);
			l->rules[a][l->count[a]++] = rule;
		}
	}
	return l;
}

static const struct rights_list *
list_of(struct rights *r, struct name *account)
{
	struct slice name;
	uint64_t hash;

	if (account == NULL) {
		if (r->nobody == NULL)
			r->nobody = list_new(&r->live, slice_of(NULL, 0));
		return r->nobody;
	}
	if (account->rights_change == r->change)
		return account->rights;
	account->rights = NULL;
	name = name_text(account);
	hash = rand_hash(name.p, name.len);
	for (struct hmap_node *n = hmap_first(&r->lists, hash); n != NULL; n = hmap_next(n, hash))
		if (slice_eq(name_text(container_of(n, struct rights_list, node)->name), name))
			account->rights = container_of(n, struct rights_list, node);
	if (account->rights == NULL) {
		account->rights = list_new(&r->live, name);
		account->rights->name = name_new(name);
		hmap_put(&r->lists, &account->rights->node, hash);
	}
	account->rights_change = r->change;
	return account->rights;
}

/* ---- changes ---- */

static void
changed(struct worker *w)
{
	struct rights *r = w->rights;
	uint8_t active = r->allow ? 0 : RIGHT_ALL;

	lists_drop(r);
	if (++r->change == 0)
		r->change = 1;
	for (size_t i = 0; i < r->live.count; i++)
		active |= r->live.rules[i]->is.actions;
	w->rights_active = active;
}

struct rights *
rights_new(void)
{
	struct rights *r = mem_zalloc(sizeof *r);

	hmap_init(&r->live.members);
	hmap_init(&r->next.members);
	hmap_init(&r->lists);
	r->allow = true;
	r->change = 1;
	return r;
}

void
rights_free(struct rights *r)
{
	lists_drop(r);
	hmap_fini(&r->lists);
	set_clear(&r->live);
	set_clear(&r->next);
	hmap_fini(&r->live.members);
	hmap_fini(&r->next.members);
	mem_free(r);
}

void
rights_set_default(struct worker *w, bool allow)
{
	if (w->rights->allow == allow)
		return;
	w->rights->allow = allow;
	changed(w);
}

void
rights_begin(struct worker *w)
{
	set_clear(&w->rights->next);
	w->rights->filling = true;
}

void
rights_end(struct worker *w)
{
	struct rights *r = w->rights;
	struct set old = r->live;

	r->live = r->next;
	r->next = old;
	set_clear(&r->next);
	r->filling = false;
	changed(w);
}

void
rights_put(struct worker *w, const struct ipc_right *p)
{
	struct rights *r = w->rights;

	if (p->who > RIGHT_GROUP || p->actions > RIGHT_ALL || right_filter_wrong(p->filter) != NULL) {
		log_error("rights", "a rule of the store is damaged", "place=%u", p->place);
		return;
	}
	set_put(r->filling ? &r->next : &r->live, p);
	if (!r->filling)
		changed(w);
}

void
rights_del(struct worker *w, uint32_t place)
{
	set_del(&w->rights->live, place);
	changed(w);
}

void
rights_group(struct worker *w, const struct ipc_group *p, bool in)
{
	struct rights *r = w->rights;

	set_group(r->filling ? &r->next : &r->live, p, in);
	if (!r->filling)
		changed(w);
}

/* ---- questions ---- */

static enum rights_verdict
verdict(const struct worker *w, const struct session *s, enum right_action a, struct slice topic, bool *by_id)
{
	struct rights *r = w->rights;
	const struct rights_list *l = list_of(r, s->account);
	const struct right_client c = { .user = session_account(s), .id = session_id(s) };
	int at = __builtin_ctz((unsigned)a);

	for (size_t i = 0; i < l->count[at]; i++)
		if (right_matches(l->rules[at][i], a, &c, topic, by_id))
			return l->rules[at][i]->allow ? RIGHTS_ALLOW : RIGHTS_DENY;
	return r->allow ? RIGHTS_ALLOW_DEFAULT : RIGHTS_DENY;
}

enum rights_verdict
rights_ask(const struct worker *w, const struct session *s, enum right_action a, struct slice topic)
{
	return verdict(w, s, a, topic, NULL);
}

static bool
refused(const struct session *s, const struct cluster_pub *p)
{
	char id[80], topic[200];

	METRIC_ADD(refused_publish, 1);
	log_info("rights", "publish refused", "client=%s account=%s topic=%s", utf8_show(session_id(s), id, sizeof id),
	    s->account != NULL ? s->account->text : "-", utf8_show(p->topic, topic, sizeof topic));
	return false;
}

bool
rights_publish(struct worker *w, const struct session *s, struct cluster_pub *p)
{
	bool may = rights_ask(w, s, RIGHT_PUBLISH, p->topic) != RIGHTS_DENY;
	enum rights_verdict send = RIGHTS_ALLOW_DEFAULT;

	if (w->config.direct && p->topic.p[0] != '$')
		send = rights_ask(w, s, RIGHT_SEND, p->topic);
	/* Only a rule makes a direct message of what may not be published: nobody means that by saying nothing. */
	if (!may && send != RIGHTS_ALLOW)
		return refused(s, p);
	p->reach = !may ? CLUSTER_DIRECT_ONLY : send == RIGHTS_DENY ? CLUSTER_NOT_DIRECT : CLUSTER_ALL;
	if (!may)
		p->retain = false;
	return true;
}

bool
rights_may_receive(struct worker *w, const struct session *s, struct slice topic)
{
	if (rights_may(w, s, RIGHT_RECEIVE, topic))
		return true;
	METRIC_ADD(refused_receive, 1);
	return false;
}

void
rights_receive(struct worker *w, struct slice topic)
{
	const struct name *last = NULL;
	enum rights_verdict known = RIGHTS_DENY;
	bool have = false;
	uint32_t left = 0;

	for (uint32_t i = 0; i < w->rcpt_count; i++) {
		struct session *s = w->rcpts[i].session;
		bool by_id = false;

		/* Many are of one account, and what an account may seldom depends on its clients' ids. */
		if (!have || s->account != last) {
			known = verdict(w, s, RIGHT_RECEIVE, topic, &by_id);
			have = !by_id;
			last = s->account;
		}
		if (known == RIGHTS_DENY) {
			METRIC_ADD(refused_receive, 1);
			continue;
		}
		w->rcpts[left++] = w->rcpts[i];
	}
	w->rcpt_count = left;
}
