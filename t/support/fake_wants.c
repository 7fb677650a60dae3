/* SPDX-License-Identifier: Apache-2.0 */
#include "t/support/fake_wants.h"

#include <string.h>

#include "common/base/mem.h"
#include "common/mqtt/topic.h"

static struct want *
want_find(struct list *l, struct slice filter)
{
	LIST_EACH(n, l) {
		struct want *w = container_of(n, struct want, link);

		if (slice_eq(slice_of(w->filter, w->len), filter))
			return w;
	}
	return NULL;
}

bool
fake_wants_put(struct list *l, struct slice filter)
{
	struct want *w = want_find(l, filter);

	if (w == NULL) {
		w = mem_zalloc(sizeof *w + filter.len);
		w->len = filter.len;
		memcpy(w->filter, filter.p, filter.len);
		list_put_last(l, &w->link);
	}
	return w->count++ == 0;
}

bool
fake_wants_del(struct list *l, struct slice filter)
{
	struct want *w = want_find(l, filter);

	FB_ASSERT(w != NULL);
	if (--w->count > 0)
		return false;
	list_del(&w->link);
	mem_free(w);
	return true;
}

void
fake_wants_free(struct list *l)
{
	LIST_EACH_SAFE(n, tmp, l)
		mem_free(container_of(n, struct want, link));
	list_init(l);
}

bool
fake_wants_match(const struct list *l, struct slice topic)
{
	LIST_EACH(n, l) {
		const struct want *w = container_of(n, struct want, link);
		struct slice filter = slice_of(w->filter, w->len);

		if (filter.p[0] == 1 && slice_eq(slice_of(filter.p + 1, filter.len - 1), topic))
			return true;
		if (slice_eq(filter, topic) || (topic_filter_valid(filter) && topic_matches(filter, topic)))
			return true;
	}
	return false;
}

bool
fake_wants_has(const struct list *l, struct slice filter)
{
	LIST_EACH(n, l)
		if (slice_eq(slice_of(container_of(n, struct want, link)->filter, container_of(n, struct want, link)->len), filter))
			return true;
	return false;
}
