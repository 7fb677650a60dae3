/* SPDX-License-Identifier: Apache-2.0 */
#include "store/check_refs.h"

#include "common/base/mem.h"
#include "store/rec.h"
#include "store/store.h"

#define WINDOW (1u << 20)
#define TRIES  3u

void
check_refs_init(struct check_refs *r, struct store *s, void (*wrong)(void *arg, uint64_t number, uint64_t says, uint64_t is),
    void *arg)
{
	*r = (struct check_refs){ .store = s, .wrong = wrong, .arg = arg };
}

void
check_refs_fini(struct check_refs *r)
{
	mem_free(r->count);
	r->count = NULL;
	buf_fini(&r->at);
}

static bool
is_quiet(const struct check_refs *r)
{
	return batch_stats(r->store->qbatch).writes == r->writes && batch_waiting(r->store->qbatch) == 0;
}

/* The window starts at the first number that there is. FB_ENOENT: there is none. */
static int
begin(struct check_refs *r)
{
	struct cursor *c;
	uint8_t key[8];
	int rc = cursor_open(r->store->queue, NULL, TABLE_refs, &c);

	if (rc != 0)
		return rc;
	rc = cursor_seek(c, rec_number_key(key, r->first));
	if (rc == 0)
		r->first = rec_number_of(cursor_key(c));
	cursor_close(c);
	if (rc != 0)
		return rc;
	r->writes = batch_stats(r->store->qbatch).writes;
	r->count = mem_zalloc(WINDOW * sizeof *r->count);
	r->counted = false;
	buf_clear(&r->at);
	return 0;
}

static void
count(struct check_refs *r, struct slice value)
{
	struct rec_item item;

	if (rec_take_item(value, &item) == 0 && item.body >= r->first && item.body - r->first < WINDOW)
		r->count[item.body - r->first]++;
}

/* false: behind the window. */
static bool
compare(struct check_refs *r, struct slice key, struct slice value)
{
	uint64_t number = rec_number_of(key);
	struct rec_ref ref;

	if (number - r->first >= WINDOW)
		return false;
	if (rec_take_ref(value, &ref) == 0 && ref.count != r->count[number - r->first] && is_quiet(r))
		r->wrong(r->arg, number, ref.count, r->count[number - r->first]);
	return true;
}

static int
walk(struct check_refs *r)
{
	struct cursor *c;
	int rc = cursor_open(r->store->queue, NULL, r->counted ? TABLE_refs : TABLE_items, &c);

	if (rc != 0)
		return rc;
	rc = cursor_seek(c, buf_slice(&r->at));
	for (unsigned n = 0; rc == 0 && n < WORK_SLICE_COUNT; n++) {
		if (!r->counted)
			count(r, cursor_value(c));
		else if (!compare(r, cursor_key(c), cursor_value(c))) {
			rc = FB_ENOENT;
			break;
		}
		buf_clear(&r->at);
		buf_put_slice(&r->at, cursor_key(c));
		buf_put_u8(&r->at, 0);
		rc = cursor_next(c);
	}
	cursor_close(c);
	return rc;
}

int
check_refs_step(struct check_refs *r)
{
	uint8_t key[8];
	int rc = r->count == NULL ? begin(r) : walk(r);

	if (rc != FB_ENOENT || r->count == NULL)
		return rc;
	buf_clear(&r->at);
	if (!r->counted && is_quiet(r)) {
		r->counted = true;
		buf_put_slice(&r->at, rec_number_key(key, r->first));
		return 0;
	}
	mem_free(r->count);
	r->count = NULL;
	/* What was written does not fit what was counted. */
	if (!r->counted && ++r->tries < TRIES)
		return 0;
	r->skipped += !r->counted;
	r->tries = 0;
	if (r->first > UINT64_MAX - WINDOW)
		return FB_ENOENT;
	r->first += WINDOW;
	return 0;
}
