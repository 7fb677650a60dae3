/* SPDX-License-Identifier: Apache-2.0
 * Filters and topics at random against topic_matches(), with subscriptions that come and go; shapes by hand. */
#include "worker/trie.h"

#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/rand.h"
#include "common/mqtt/topic.h"
#include "t/support/unit.h"

#define SESSIONS 12
#define SUBS     600

struct model {                          /* one subscription as the test knows it */
	unsigned session;
	char filter[48];
	struct sub *sub;
};

static struct trie trie;
static char session_blocks[SESSIONS];   /* the trie looks at addresses alone */
static struct list lists[SESSIONS];
static struct model model[SUBS];
static unsigned count;

static struct session *
session(unsigned i)
{
	return (struct session *)(void *)&session_blocks[i];
}

static void
start(void)
{
	trie_init(&trie);
	count = 0;
	for (unsigned i = 0; i < SESSIONS; i++)
		list_init(&lists[i]);
}

static void
words(struct rand *r, char *out, bool filter)
{
	static const char *const levels[] = { "a", "b", "c", "", "aa", "$s", "$", "a b", "+", "#" };
	unsigned n = 1 + (unsigned)rand_below(r, 5);

	out[0] = '\0';
	for (unsigned i = 0; i < n; i++) {
		strcat(out, levels[rand_below(r, filter ? 10 : 8)]);
		if (i + 1 < n)
			strcat(out, "/");
	}
}

static void
put(struct rand *r)
{
	struct model *m = &model[count];
	bool is_new = false;
	bool known = false;

	words(r, m->filter, true);
	if (!topic_filter_valid(slice_str(m->filter)) || count == SUBS)
		return;
	m->session = (unsigned)rand_below(r, SESSIONS);
	for (unsigned i = 0; i < count; i++)
		known = known || (model[i].session == m->session && strcmp(model[i].filter, m->filter) == 0);
	ck_assert((trie_get(&trie, session(m->session), slice_str(m->filter)) != NULL) == known);
	m->sub = trie_put(&trie, session(m->session), &lists[m->session], slice_str(m->filter), &is_new);
	ck_assert(is_new == !known);
	ck_assert_ptr_eq(trie_get(&trie, session(m->session), slice_str(m->filter)), m->sub);
	if (is_new)
		count++;
}

static void
del(unsigned i)
{
	trie_del(&trie, model[i].sub);
	ck_assert_ptr_null(trie_get(&trie, session(model[i].session), slice_str(model[i].filter)));
	model[i] = model[--count];
}

/* Each subscription of the model must be found once if its filter matches, else not at all. */
static void
check(const char *topic)
{
	struct slice t = slice_str(topic);
	struct filter *const *found;
	uint32_t n = trie_match(&trie, t, rand_hash(t.p, t.len), &found);
	unsigned want = 0, got = 0;

	for (unsigned i = 0; i < count; i++)
		want += topic_matches(slice_str(model[i].filter), t);
	for (uint32_t i = 0; i < n; i++) {
		ck_assert_msg(topic_matches(filter_text(found[i]), t), "%.*s is no match of %s", (int)found[i]->len,
		    (const char *)found[i]->text, topic);
		for (uint32_t k = 0; k < i; k++)
			ck_assert_ptr_ne(found[i], found[k]);
		for (uint32_t k = 0; k < found[i]->count; k++) {
			ck_assert_ptr_eq(filter_subs(found[i])[k]->filter, found[i]);
			ck_assert_uint_eq(filter_subs(found[i])[k]->index, k);
		}
		got += found[i]->count;
	}
	ck_assert_msg(got == want, "%s: %u of %u", topic, got, want);
}

static void
finish(void)
{
	while (count > 0)
		del(count - 1);
	ck_assert_uint_eq(trie.count, 0);
	ck_assert_ptr_null(trie.root);
	for (unsigned i = 0; i < SESSIONS; i++)
		ck_assert(list_empty(&lists[i]));
	trie_fini(&trie);
}

START_TEST(random_filters_and_topics)
{
	struct rand r;
	char topic[48];

	for (uint64_t seed = 1; seed <= 20; seed++) {
		rand_seed(&r, seed);
		start();
		for (unsigned i = 0; i < 1500; i++) {
			if (rand_below(&r, 3) > 0 && count < SUBS)
				put(&r);
			else if (count > 0)
				del((unsigned)rand_below(&r, count));
			words(&r, topic, false);
			if (topic_name_valid(slice_str(topic)))
				check(topic);
			ck_assert_uint_eq(trie.count, count);
		}
		finish();
	}
}
END_TEST

static void
sub(const char *filter)
{
	struct model *m = &model[count++];

	m->session = count % SESSIONS;
	snprintf(m->filter, sizeof m->filter, "%s", filter);
	m->sub = trie_put(&trie, session(m->session), &lists[m->session], slice_str(filter), NULL);
}

static unsigned
hits(const char *topic)
{
	struct slice t = slice_str(topic);
	struct filter *const *found;

	check(topic);
	return trie_match(&trie, t, rand_hash(t.p, t.len), &found);
}

/* [MQTT-4.7.1-2] [MQTT-4.7.1-3] [MQTT-4.7.2-1] and the examples of section 4.7 */
START_TEST(by_the_book)
{
	start();
	sub("sport/tennis/player1/#");
	ck_assert_uint_eq(hits("sport/tennis/player1"), 1);
	ck_assert_uint_eq(hits("sport/tennis/player1/ranking"), 1);
	ck_assert_uint_eq(hits("sport/tennis/player1/score/wimbledon"), 1);
	ck_assert_uint_eq(hits("sport/tennis/player2"), 0);
	sub("sport/#");
	ck_assert_uint_eq(hits("sport"), 1);
	sub("sport/+");
	ck_assert_uint_eq(hits("sport"), 1);
	ck_assert_uint_eq(hits("sport/"), 2);
	sub("+/+");
	ck_assert_uint_eq(hits("/finance"), 1);
	sub("/+");
	ck_assert_uint_eq(hits("/finance"), 2);
	sub("+");
	ck_assert_uint_eq(hits("/finance"), 2);
	sub("#");
	ck_assert_uint_eq(hits("/finance"), 3);
	ck_assert_uint_eq(hits("$SYS/monitor/Clients"), 0);
	sub("+/monitor/Clients");
	ck_assert_uint_eq(hits("$SYS/monitor/Clients"), 0);
	sub("$SYS/#");
	ck_assert_uint_eq(hits("$SYS/monitor/Clients"), 1);
	sub("$SYS/monitor/+");
	ck_assert_uint_eq(hits("$SYS/monitor/Clients"), 2);
	ck_assert_uint_eq(hits("$SYS"), 1);
	ck_assert_uint_eq(hits("ACCOUNTS"), 2);         /* "+" and "#" */
	ck_assert_uint_eq(hits("Accounts"), 2);
	finish();
}
END_TEST

/* A thousand of one filter, gone in another order: the last one frees it. */
START_TEST(many_of_one_filter)
{
	static struct sub *subs[1000];
	static char blocks[1000];
	struct list all;
	struct filter *const *found;
	struct rand r;

	trie_init(&trie);
	list_init(&all);
	rand_seed(&r, 7);
	for (unsigned round = 0; round < 3; round++) {
		const char *filter = round == 0 ? "a/+/b" : round == 1 ? "a/#" : "a/x/b";

		for (unsigned i = 0; i < 1000; i++)
			subs[i] = trie_put(&trie, (struct session *)(void *)&blocks[i], &all, slice_str(filter), NULL);
		for (unsigned left = 1000; left > 0; left--) {
			unsigned i = (unsigned)rand_below(&r, left);
			struct slice t = SLICE_LIT("a/x/b");

			ck_assert_uint_eq(trie_match(&trie, t, rand_hash(t.p, t.len), &found), 1);
			ck_assert_uint_eq(found[0]->count, left);
			trie_del(&trie, subs[i]);
			subs[i] = subs[left - 1];
		}
		ck_assert_uint_eq(trie.filters.count, 0);
	}
	trie_fini(&trie);
}
END_TEST

/* A deep topic against filters that branch at each level: the walk sees each node once. */
START_TEST(a_hostile_shape)
{
	struct list all;
	struct filter *const *found;
	char filter[64], topic[64] = "a";
	struct slice t;

	trie_init(&trie);
	list_init(&all);
	for (unsigned bits = 0; bits < 4096; bits++) {
		filter[0] = '\0';
		for (unsigned i = 0; i < 12; i++)
			strcat(filter, bits >> i & 1 ? (i ? "/+" : "+") : (i ? "/a" : "a"));
		trie_put(&trie, session(0), &all, slice_str(filter), NULL);
	}
	for (unsigned i = 1; i < 12; i++)
		strcat(topic, "/a");
	t = slice_str(topic);
	ck_assert_uint_eq(trie_match(&trie, t, rand_hash(t.p, t.len), &found), 4096);
	while (!list_empty(&all))
		trie_del(&trie, container_of(all.next, struct sub, link));
	trie_fini(&trie);
}
END_TEST

UNIT_MAIN("trie", random_filters_and_topics, by_the_book, many_of_one_filter, a_hostile_shape)
