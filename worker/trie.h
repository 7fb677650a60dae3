/* SPDX-License-Identifier: Apache-2.0
 * worker/trie.h - topic filters and who subscribes to each; which filters match a topic.
 *
 * Exact filters are found by one hash probe, however many there are. Filters with wildcards stand in a tree of
 * levels, walked only if there are any; the walk visits nodes of the tree, so its bound is their number. */
#ifndef WORKER_TRIE_H
#define WORKER_TRIE_H

#include <stdbool.h>

#include "common/base/hmap.h"
#include "common/base/list.h"
#include "common/base/slice.h"

struct session;
struct shared_group;
struct filter;
struct trie_node;

/* One subscription of one session. Owned by the trie; linked in the session's list. */
struct sub {
	struct hmap_node node;          /* by filter and session */
	struct list link;               /* in the session's list */
	struct filter *filter;
	struct session *session;
	uint32_t index;                 /* in the filter's array */
	uint8_t qos;
	uint8_t options;                /* level 5's no-local and kin */
	bool unsure;                    /* of a durable session: its row may not be on the disk */
};

enum {
	FILTER_GROUPS = 1,              /* shared groups take what matches it: it stays without subscriptions too */
	FILTER_MEMBERS = 2,             /* "$share/...": its subscriptions are a group's members, and match no topic */
};

struct filter {
	struct hmap_node node;          /* by text */
	union {
		struct sub *one;        /* room is 0 */
		struct sub **many;
	} subs;
	uint32_t count;
	uint32_t room;
	struct trie_node *at;           /* where a wildcard filter ends; NULL: exact */
	struct shared_group *groups;    /* FILTER_GROUPS: the first; FILTER_MEMBERS: theirs; worker/shared.c's */
	uint16_t len;
	uint8_t shared;                 /* FILTER_... */
	uint8_t text[];
};

struct trie {
	struct hmap filters;
	struct hmap subs;
	struct hmap nodes;              /* of the tree, by parent and level */
	struct trie_node *root;         /* NULL: no wildcards */
	struct filter **found;          /* what trie_match() yields; grows to the most that ever matched */
	uint32_t found_count;
	uint32_t found_room;
	uint64_t visits;                /* of nodes of the tree, ever: what matching costs */
	uint64_t count;                 /* subscriptions */
};

void trie_init(struct trie *t);
void trie_fini(struct trie *t);                 /* all subscriptions must be gone */

/* The session's subscription to that (valid) filter; made and linked at the end of *list if new. *is_new may be NULL. */
struct sub *trie_put(struct trie *t, struct session *s, struct list *list, struct slice filter, bool *is_new);
struct sub *trie_get(const struct trie *t, const struct session *s, struct slice filter);       /* NULL: none */
void trie_del(struct trie *t, struct sub *sub);

/* Two subscriptions change places in the filter's array. */
void filter_swap(struct filter *f, uint32_t a, uint32_t b);

/* A filter for groups, made if need be; back: freed if nobody subscribes to it. */
struct filter *trie_hold(struct trie *t, struct slice filter);
void trie_release(struct trie *t, struct filter *f);

/* The filters that match topic, hash being rand_hash() of it: *out is borrowed until the next call. */
uint32_t trie_match(struct trie *t, struct slice topic, uint64_t hash, struct filter *const **out);

static inline struct slice
filter_text(const struct filter *f)
{
	return slice_of(f->text, f->len);
}

static inline struct sub *const *
filter_subs(const struct filter *f)
{
	return f->room == 0 ? (struct sub *const *)&f->subs.one : (struct sub *const *)f->subs.many;
}

#endif
