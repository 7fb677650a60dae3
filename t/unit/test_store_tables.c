/* SPDX-License-Identifier: Apache-2.0 */
#include "store/tables.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/rand.h"
#include "store/env.h"
#include "store/rec.h"
#include "t/support/unit.h"

/* A model of TABLE_items: what a number's record is: the length and the byte that fills it. */
enum { QIDS = 12, EACH = 100, RECORDS = QIDS * EACH, VALUE_MAX = 900 };

struct record { uint32_t len; uint8_t byte; };          /* len 0: there is none */

struct edit {
	struct rand rand;
	struct record record[RECORDS], next[RECORDS];
	uint32_t share;                 /* one record in so many is changed */
	bool fail;
};

static char dir[64];
static struct env *env;

static void
start(void)
{
	const struct env_config cfg = { .name = ENV_queue, .dir = dir, .cache_bytes = 1 << 20, .min_free_bytes = 1 };

	snprintf(dir, sizeof dir, "/tmp/fubar-tables-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(env_open(&cfg, &env), 0);
}

static void
finish(void)
{
	char cmd[128];

	env_close(env);
	snprintf(cmd, sizeof cmd, "rm -rf %s", dir);
	ck_assert_int_eq(system(cmd), 0);
}

static struct slice
key_of(uint8_t *bytes, uint32_t i)
{
	return rec_pair_key(bytes, i / EACH, i % EACH);
}

static bool
is(const struct record *r, struct slice v)
{
	for (size_t i = 0; i < v.len; i++) {
		if (v.p[i] != r->byte)
			return false;
	}
	return v.len == r->len;
}

static int
change(struct edit *e, struct cursor *c, uint32_t i)
{
	struct record *r = &e->next[i];
	uint8_t bytes[REC_PAIR_BYTES], value[VALUE_MAX], head[8];
	struct slice key = key_of(bytes, i);
	uint32_t what = (uint32_t)rand_below(&e->rand, 4);
	size_t len;
	int rc = 0;

	if (what > 0) {
		rc = cursor_peek(c, key, head, sizeof head, &len);
		ck_assert_int_eq(rc, r->len > 0 ? 0 : FB_ENOENT);
		ck_assert(rc != 0 || len == (r->len < sizeof head ? r->len : sizeof head));
		ck_assert(rc != 0 || head[0] == r->byte);
	}
	if (what > 1 && rc == 0) {
		r->len = 0;
		return cursor_del(c);
	}
	*r = (struct record){ .len = 1 + (uint32_t)rand_below(&e->rand, VALUE_MAX), .byte = (uint8_t)rand_below(&e->rand, 256) };
	memset(value, r->byte, r->len);
	return cursor_put(c, key, slice_of(value, r->len));
}

static int
edit(struct txn *x, void *arg)
{
	struct edit *e = arg;
	struct cursor *c;
	int closed;
	int rc = cursor_open_edit(x, TABLE_items, &c);

	memcpy(e->next, e->record, sizeof e->next);
	for (uint32_t i = 0; i < RECORDS && rc == 0; i++) {
		if (rand_below(&e->rand, e->share) == 0)
			rc = change(e, c, i);
	}
	closed = cursor_close(c);
	return rc != 0 ? rc : closed != 0 ? closed : e->fail ? FB_EDISK : 0;
}

static void
check(const struct edit *e)
{
	uint8_t bytes[REC_PAIR_BYTES];
	struct cursor *c;
	int rc;

	ck_assert_int_eq(cursor_open(env, NULL, TABLE_items, &c), 0);
	rc = cursor_seek(c, slice_of(NULL, 0));
	for (uint32_t i = 0; i < RECORDS; i++) {
		if (e->record[i].len == 0)
			continue;
		ck_assert_int_eq(rc, 0);
		ck_assert(slice_eq(cursor_key(c), key_of(bytes, i)));
		ck_assert(is(&e->record[i], cursor_value(c)));
		rc = cursor_next(c);
	}
	ck_assert_int_eq(rc, FB_ENOENT);
	ck_assert_int_eq(cursor_close(c), 0);
}

/* Pages that fill, split, empty and go under an edit; each third one is given up. */
START_TEST(edits_are_what_single_changes_would_be)
{
	static struct edit e;

	start();
	rand_seed(&e.rand, 4711);
	for (unsigned round = 0; round < 300; round++) {
		e.share = 1 + (uint32_t)rand_below(&e.rand, round % 2 == 0 ? 4 : 100);
		e.fail = rand_below(&e.rand, 3) == 0;
		ck_assert_int_eq(env_write(env, edit, &e), e.fail ? FB_EDISK : 0);
		if (!e.fail)
			memcpy(e.record, e.next, sizeof e.record);
		check(&e);
	}
	finish();
}
END_TEST

UNIT_MAIN("store_tables", edits_are_what_single_changes_would_be)
