/* SPDX-License-Identifier: Apache-2.0 */
#include "store/groups.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/ipc/qops.h"

#define SHARE SLICE_LIT("$share/")

static bool
any_group(struct slice gone)
{
	uint64_t qid;

	while (slice_take_le64(&gone, &qid) == 0)
		if ((qid & 1) != 0)
			return true;
	return false;
}

/* The numbers of all groups, in their order of the table; key: client id, 0, filter. */
static int
find_groups(struct env *state, struct buf *out)
{
	struct cursor *c;
	int rc = cursor_open(state, NULL, TABLE_subscriptions, &c);

	if (rc != 0)
		return rc;
	for (rc = cursor_seek(c, slice_of(NULL, 0)); rc == 0; rc = cursor_next(c)) {
		struct slice key = cursor_key(c);
		const uint8_t *end = key.len > 0 ? memchr(key.p, '\0', key.len) : NULL;
		struct slice filter = end == NULL ? slice_of(NULL, 0) : slice_of(end + 1, key.len - (size_t)(end + 1 - key.p));

		if (filter.len > SHARE.len && memcmp(filter.p, SHARE.p, SHARE.len) == 0) {
			uint64_t qid = qid_of_group(filter);

			buf_put(out, &qid, sizeof qid);
		}
	}
	cursor_close(c);
	return rc == FB_ENOENT ? 0 : rc;
}

static int
compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a;
	uint64_t y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

int
groups_spare(struct env *state, struct buf *gone)
{
	struct slice all = buf_slice(gone);
	struct buf groups, rest;
	uint64_t *known;
	uint64_t qid;
	size_t count;
	int rc;

	if (!any_group(all))
		return 0;
	buf_init(&groups);
	buf_init(&rest);
	rc = find_groups(state, &groups);
	known = (uint64_t *)(void *)(groups.base + groups.start);
	count = buf_len(&groups) / sizeof *known;
	if (count > 1)
		qsort(known, count, sizeof *known, compare);
	while (rc == 0 && slice_take_le64(&all, &qid) == 0)
		if ((qid & 1) == 0 || count == 0 || bsearch(&qid, known, count, sizeof *known, compare) == NULL)
			buf_put_le64(&rest, qid);
	buf_fini(&groups);
	if (rc != 0) {
		buf_fini(&rest);
		return rc;
	}
	buf_fini(gone);
	*gone = rest;
	return 0;
}
