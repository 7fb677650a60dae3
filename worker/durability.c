/* SPDX-License-Identifier: Apache-2.0
 *
 * The text of the setting has at most 1,023 bytes, so the filters are few: they are tried one by one. Most are dismissed
 * by their first bytes, which are compared without looking for levels. */
#include "worker/durability.h"

#include <string.h>

#include "common/base/mem.h"
#include "common/mqtt/topic.h"

struct rule {
	struct slice filter;            /* in text */
	size_t plain;                   /* bytes of it before the first wildcard and the '/' before that */
	bool disk;
};

struct durability {
	char *text;
	unsigned count;
	struct rule rules[];
};

static size_t
plain_len(struct slice filter)
{
	size_t n = 0;

	while (n < filter.len && filter.p[n] != '+' && filter.p[n] != '#')
		n++;
	return n < filter.len && n > 0 ? n - 1 : n;
}

static struct durability *
compile(const char *from)
{
	struct durability *d;
	struct slice filter;
	const char *text = from, *why;
	unsigned count = 0;
	bool disk;

	while (config_durability_next(&text, &filter, &disk, &why) == 0)
		count++;
	if (count == 0)
		return NULL;
	d = mem_zalloc(sizeof *d + count * sizeof d->rules[0]);
	d->text = mem_strdup(from);
	text = d->text;
	while (config_durability_next(&text, &filter, &disk, &why) == 0)
		d->rules[d->count++] = (struct rule){ filter, plain_len(filter), disk };
	return d;
}

void
durability_free(struct durability *d)
{
	if (d == NULL)
		return;
	mem_free(d->text);
	mem_free(d);
}

void
durability_configure(struct worker *w)
{
	durability_free(w->disk_topics);
	w->disk_topics = compile(w->config.durability_topics);
	w->disk_listeners = 0;
	for (unsigned i = 0; i < CONFIG_LISTENERS; i++) {
		struct listener_config l;
		const char *word;

		config_listener(&w->config, i, &l);
		word = strcmp(l.durability, "default") != 0 ? l.durability : w->config.durability;
		if (strcmp(word, "disk") == 0)
			w->disk_listeners |= UINT32_C(1) << i;
	}
}

bool
durability_of_topic(const struct durability *d, struct slice topic, bool otherwise)
{
	for (unsigned i = 0; i < d->count; i++) {
		const struct rule *r = &d->rules[i];

		if (topic.len >= r->plain && memcmp(topic.p, r->filter.p, r->plain) == 0 && topic_matches(r->filter, topic))
			return r->disk;
	}
	return otherwise;
}
