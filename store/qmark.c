/* SPDX-License-Identifier: Apache-2.0 */
#include "store/qmark.h"

#include <string.h>

#include "common/base/err.h"
#include "store/rec.h"

#define MARK_BYTES 13u          /* drop, 0, qid */

struct slice
qmark_start(void)
{
	return slice_of((const uint8_t *)"drop", 5);
}

uint64_t
qmark_of(struct slice key)
{
	if (key.len != MARK_BYTES || memcmp(key.p, "drop", 5) != 0)
		return 0;
	return rec_number_of(slice_of(key.p + 5, 8));
}

static struct slice
mark_key(uint8_t out[MARK_BYTES], uint64_t qid)
{
	memcpy(out, "drop", 5);
	(void)rec_number_key(out + 5, qid);
	return slice_of(out, MARK_BYTES);
}

int
qmark_set(struct txn *x, uint64_t qid, bool more, uint64_t last)
{
	uint8_t key[MARK_BYTES], bytes[8];
	struct buf b;
	int rc;

	if (!more) {
		rc = table_del(x, TABLE_qmeta, mark_key(key, qid));
		return rc == FB_ENOENT ? 0 : rc;
	}
	buf_init(&b);
	rec_put_blob(&b, &(struct rec_blob){ .bytes = rec_number_key(bytes, last) });
	rc = table_put(x, TABLE_qmeta, mark_key(key, qid), buf_slice(&b));
	buf_fini(&b);
	return rc;
}

int
qmark_get(struct txn *x, uint64_t qid, uint64_t *last)
{
	uint8_t key[MARK_BYTES];
	struct rec_blob r;
	struct buf b;
	int rc;

	buf_init(&b);
	rc = table_get(txn_env(x), x, TABLE_qmeta, mark_key(key, qid), &b);
	if (rc == 0 && rec_take_blob(buf_slice(&b), &r) == 0 && r.bytes.len == 8)
		*last = rec_number_of(r.bytes);
	buf_fini(&b);
	return rc == FB_ENOENT ? 0 : rc;
}

int
qmark_last(struct txn *x, uint64_t qid, uint64_t *last)
{
	uint8_t key[REC_PAIR_BYTES];
	struct cursor *c;
	int rc = cursor_open(txn_env(x), x, TABLE_items, &c);

	if (rc != 0)
		return rc;
	rc = cursor_before(c, qid < UINT64_MAX ? rec_pair_key(key, qid + 1, 0) : slice_of(NULL, 0));
	*last = 0;
	if (rc == 0 && cursor_key(c).len == REC_PAIR_BYTES && rec_number_of(cursor_key(c)) == qid)
		*last = rec_number_of(slice_of(cursor_key(c).p + 8, 8));
	cursor_close(c);
	return rc == FB_ENOENT ? 0 : rc;
}
