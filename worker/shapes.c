/* SPDX-License-Identifier: Apache-2.0
 * The shapes of a session are counted from its subscriptions when that is first asked, and kept up to date from then on. */
#include "worker/shapes.h"

#include "common/base/list.h"
#include "common/base/mem.h"
#include "common/base/rand.h"
#include "common/mqtt/topic.h"
#include "worker/shared.h"
#include "worker/worker.h"

struct shape {
	struct hmap_node node;          /* by shape_of() */
	uint32_t filters;
};

struct shapes {
	struct hmap_node node;          /* in worker->shapes, by session */
	const struct session *session;
	struct hmap set;                /* struct shape */
};

static bool
has_shape(struct slice filter)
{
	return topic_has_wildcard(filter) || shared_is(filter);
}

static uint64_t
session_hash(const struct session *s)
{
	return rand_hash(&s, sizeof s);
}

/* Two shapes with one hash count as one: a client cannot choose them. */
static uint64_t
shape_of(struct slice filter)
{
	uint64_t fold[2] = { 0, 0 };
	struct slice level;

	if (shared_is(filter)) {
		topic_next_level(&filter, &level);
		topic_next_level(&filter, &level);
		fold[0] = rand_hash(level.p, level.len);
	}
	while (topic_next_level(&filter, &level)) {
		fold[1] = level.len == 1 && (level.p[0] == '+' || level.p[0] == '#') ? level.p[0] : 0;
		fold[0] = rand_hash(fold, sizeof fold);
	}
	return fold[0];
}

static struct shapes *
shapes_of(const struct worker *w, const struct session *s)
{
	uint64_t h = session_hash(s);

	for (struct hmap_node *n = hmap_first(&w->shapes, h); n != NULL; n = hmap_next(n, h)) {
		struct shapes *all = container_of(n, struct shapes, node);

		if (all->session == s)
			return all;
	}
	return NULL;
}

static struct shape *
shape_get(const struct shapes *all, uint64_t shape)
{
	struct hmap_node *n = hmap_first(&all->set, shape);

	return n != NULL ? container_of(n, struct shape, node) : NULL;
}

static void
add(struct shapes *all, struct slice filter)
{
	uint64_t hash = shape_of(filter);
	struct shape *shape = shape_get(all, hash);

	if (shape == NULL) {
		shape = mem_zalloc(sizeof *shape);
		hmap_put(&all->set, &shape->node, hash);
	}
	shape->filters++;
}

static struct shapes *
count_all(struct worker *w, const struct session *s)
{
	struct shapes *all = mem_zalloc(sizeof *all);

	all->session = s;
	hmap_init(&all->set);
	hmap_put(&w->shapes, &all->node, session_hash(s));
	LIST_EACH(n, &s->subs) {
		struct slice text = filter_text(container_of(n, struct sub, link)->filter);

		if (has_shape(text))
			add(all, text);
	}
	return all;
}

bool
shapes_allow(struct worker *w, const struct session *s, struct slice filter)
{
	uint64_t limit = (uint64_t)w->config.max_shapes;
	struct shapes *all;

	if (s->sub_count < limit || !has_shape(filter))
		return true;
	all = shapes_of(w, s);
	if (all == NULL)
		all = count_all(w, s);
	return all->set.count < limit || shape_get(all, shape_of(filter)) != NULL;
}

void
shapes_put(struct worker *w, const struct session *s, struct slice filter)
{
	struct shapes *all = w->shapes.count > 0 && has_shape(filter) ? shapes_of(w, s) : NULL;

	if (all != NULL)
		add(all, filter);
}

void
shapes_del(struct worker *w, const struct session *s, struct slice filter)
{
	struct shapes *all = w->shapes.count > 0 && has_shape(filter) ? shapes_of(w, s) : NULL;
	struct shape *shape = all != NULL ? shape_get(all, shape_of(filter)) : NULL;

	if (shape == NULL || --shape->filters > 0)
		return;
	hmap_del(&all->set, &shape->node);
	mem_free(shape);
}

void
shapes_forget(struct worker *w, const struct session *s)
{
	struct shapes *all = w->shapes.count > 0 ? shapes_of(w, s) : NULL;
	struct hmap_iter it = { 0 };
	struct hmap_node *n;

	if (all == NULL)
		return;
	while ((n = hmap_each(&all->set, &it)) != NULL) {
		hmap_del(&all->set, n);
		mem_free(container_of(n, struct shape, node));
	}
	hmap_fini(&all->set);
	hmap_del(&w->shapes, &all->node);
	mem_free(all);
}
