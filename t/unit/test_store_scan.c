/* SPDX-License-Identifier: Apache-2.0 */
#include "store/scan.h"

#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/rand.h"
#include "common/mqtt/topic.h"
#include "t/support/unit.h"

#define TOPICS 400

struct key { uint8_t bytes[64]; size_t len; };

static struct key keys[TOPICS];
static size_t key_count;
static char topics[TOPICS][64];

static int
compare(const void *a, const void *b)
{
	const struct key *x = a;
	const struct key *y = b;
	size_t n = x->len < y->len ? x->len : y->len;
	int c = memcmp(x->bytes, y->bytes, n);

	return c != 0 ? c : x->len < y->len ? -1 : x->len > y->len;
}

/* Levels from a small set with all that is awkward: empty, one a prefix of another, bytes below '/', $. */
static const char *const levels[] = { "", "a", "aa", "b", "$x", "!", "a\x01", "\xc3\xa9" };

static void
random_text(struct rand *r, char *out, size_t size, bool filter)
{
	size_t n = 1 + rand_below(r, 4);

	out[0] = '\0';
	for (size_t i = 0; i < n; i++) {
		const char *l = levels[rand_below(r, sizeof levels / sizeof levels[0])];

		if (i > 0)
			strncat(out, "/", size - strlen(out) - 1);
		if (filter && rand_below(r, 3) == 0)
			l = "+";
		else if (strcmp(l, "+") == 0)
			l = "c";
		if (filter && i == n - 1 && rand_below(r, 3) == 0)
			l = "#";
		strncat(out, l, size - strlen(out) - 1);
	}
}

static void
make_topics(struct rand *r)
{
	key_count = 0;
	for (size_t i = 0; i < TOPICS; i++) {
		struct buf b = { 0 };
		struct key k;
		bool twice = false;

		do
			random_text(r, topics[i], sizeof topics[i], false);
		while (topics[i][0] == '\0');
		scan_put_key(&b, slice_str(topics[i]));
		k.len = buf_len(&b);
		memcpy(k.bytes, b.base, k.len);
		buf_fini(&b);
		for (size_t j = 0; j < key_count; j++)
			twice = twice || compare(&keys[j], &k) == 0;
		if (!twice)
			keys[key_count++] = k;
	}
	qsort(keys, key_count, sizeof keys[0], compare);
}

static size_t
seek(const struct buf *b, size_t from)
{
	struct key k = { .len = buf_len(b) };

	ck_assert_uint_le(k.len, sizeof k.bytes);
	if (k.len > 0)
		memcpy(k.bytes, b->base + b->start, k.len);
	while (from < key_count && compare(&keys[from], &k) < 0)
		from++;
	return from;
}

/* Every filter finds exactly what topic_matches() finds by trying all; and each seek goes forward. */
static size_t
check_filter(const char *filter, size_t *steps)
{
	struct buf start = { 0 };
	struct buf to = { 0 };
	bool found[TOPICS] = { false };
	size_t matches = 0;
	size_t i;

	scan_put_start(&start, slice_str(filter));
	i = seek(&start, 0);
	*steps = 0;
	while (i < key_count) {
		enum scan_result res = scan_look(slice_str(filter), slice_of(keys[i].bytes, keys[i].len), &to);
		size_t next;

		(*steps)++;
		if (res == SCAN_END)
			break;
		if (res == SCAN_MATCH) {
			found[i++] = true;
			continue;
		}
		next = seek(&to, i);
		ck_assert_uint_gt(next, i);
		i = next;
	}
	for (i = 0; i < key_count; i++) {
		struct buf topic = { 0 };
		bool want;

		scan_put_topic(&topic, slice_of(keys[i].bytes, keys[i].len));
		want = topic_matches(slice_str(filter), buf_slice(&topic));
		ck_assert_msg(found[i] == want, "filter %s topic %.*s", filter, (int)buf_len(&topic), topic.base);
		matches += want;
		buf_fini(&topic);
	}
	buf_fini(&start);
	buf_fini(&to);
	return matches;
}

START_TEST(finds_what_brute_force_finds)
{
	struct rand r;
	char filter[64];
	size_t steps;
	size_t total = 0;

	rand_seed(&r, 42);
	for (unsigned round = 0; round < 20; round++) {
		make_topics(&r);
		for (unsigned i = 0; i < 200; i++) {
			do
				random_text(&r, filter, sizeof filter, true);
			while (filter[0] == '\0');
			total += check_filter(filter, &steps);
		}
	}
	ck_assert_uint_gt(total, 1000);
}
END_TEST

/* 400 devices with 100 topics each would be 40,000 keys: two looks a device, not a hundred. */
START_TEST(skips_what_cannot_match)
{
	size_t steps;

	key_count = 0;
	for (unsigned d = 0; d < 20; d++) {
		for (unsigned t = 0; t < 20; t++) {
			struct key *k = &keys[key_count++];

			k->len = (size_t)snprintf((char *)k->bytes, sizeof k->bytes, "dev%02u/t%02u", d, t);
			for (size_t i = 0; i < k->len; i++)
				k->bytes[i] = k->bytes[i] == '/' ? 0 : k->bytes[i];
		}
	}
	qsort(keys, key_count, sizeof keys[0], compare);
	ck_assert_uint_eq(check_filter("+/t07", &steps), 20);
	ck_assert_uint_le(steps, 3 * 20);
	ck_assert_uint_eq(check_filter("dev07/+", &steps), 20);
	ck_assert_uint_le(steps, 21);
	ck_assert_uint_eq(check_filter("dev07/t03", &steps), 1);
	ck_assert_uint_le(steps, 2);
	ck_assert_uint_eq(check_filter("nothing/#", &steps), 0);
	ck_assert_uint_le(steps, 1);
}
END_TEST

UNIT_MAIN("store_scan", finds_what_brute_force_finds, skips_what_cannot_match)
