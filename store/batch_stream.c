/* SPDX-License-Identifier: Apache-2.0 */
#include "store/batch_stream.h"

#include "common/base/err.h"

enum table
batch_meta(const struct env *e)
{
	return env_which(e) == ENV_queue ? TABLE_qmeta : TABLE_meta;
}

enum { NUMBER_KEY_MAX = 32 };

static struct slice
number_key(uint8_t out[NUMBER_KEY_MAX], uint16_t slot, uint64_t epoch)
{
	size_t n = sizeof "number";             /* with its 0 */

	memcpy(out, "number", n);
	out[n++] = (uint8_t)(slot >> 8);
	out[n++] = (uint8_t)slot;
	for (int i = 7; i >= 0; i--)
		out[n++] = (uint8_t)(epoch >> (8 * i));
	return slice_of(out, n);
}

int
batch_stream_load(struct env *e, uint16_t slot, uint64_t epoch, struct batch_stream *s)
{
	uint8_t key[NUMBER_KEY_MAX];
	struct slice k = number_key(key, slot, epoch);
	struct buf b;
	int rc;

	*s = (struct batch_stream){ .slot = slot, .epoch = epoch };
	buf_init(&b);
	rc = table_get(e, NULL, batch_meta(e), k, &b);
	if (rc == 0) {
		int bad = rec_take_number(buf_slice(&b), &s->applied);

		if (bad != 0)
			rec_bad(batch_meta(e), k, bad);
	}
	buf_fini(&b);
	return rc == FB_ENOENT ? 0 : rc;
}

int
batch_stream_answer(const struct rec_number *r, uint64_t seq)
{
	uint32_t n = r->fail_count < REC_FAILS ? r->fail_count : REC_FAILS;

	for (uint32_t i = 0; i < n; i++) {
		if (r->fails[i].seq == seq)
			return -(int)r->fails[i].code;
	}
	return 0;
}

int
batch_stream_forget(struct txn *x, uint16_t slot, uint64_t epoch)
{
	uint8_t prefix[NUMBER_KEY_MAX];
	struct slice p = number_key(prefix, slot, 0);
	uint8_t mine[NUMBER_KEY_MAX];
	struct slice m = number_key(mine, slot, epoch);
	struct cursor *c;
	uint8_t found[NUMBER_KEY_MAX];
	int rc;

	/* One at a time: there are one or two. */
	do {
		rc = cursor_open(txn_env(x), x, batch_meta(txn_env(x)), &c);
		if (rc != 0)
			return rc;
		rc = cursor_seek(c, p);
		if (rc == 0 && (cursor_key(c).len != m.len || memcmp(cursor_key(c).p, m.p, m.len) >= 0))
			rc = FB_ENOENT;
		if (rc == 0)
			memcpy(found, cursor_key(c).p, m.len);
		cursor_close(c);
		if (rc == 0)
			rc = table_del(x, batch_meta(txn_env(x)), slice_of(found, m.len));
	} while (rc == 0);
	return rc == FB_ENOENT ? 0 : rc;
}

void
batch_stream_note(struct rec_number *r, uint64_t seq, int code)
{
	r->last = seq;
	if (code != 0) {
		r->fails[r->fail_count % REC_FAILS] = (struct rec_fail){ seq, (uint16_t)-code };
		/* Counts on without an end; kept below 2^32 with the same place in the ring. */
		r->fail_count++;
		if (r->fail_count == UINT32_MAX)
			r->fail_count = REC_FAILS + UINT32_MAX % REC_FAILS;
	}
}

int
batch_stream_write(struct txn *x, const struct batch_stream *s)
{
	uint8_t key[NUMBER_KEY_MAX];
	struct buf b;
	int rc;

	buf_init(&b);
	rec_put_number(&b, &s->pending);
	rc = table_put(x, batch_meta(txn_env(x)), number_key(key, s->slot, s->epoch), buf_slice(&b));
	buf_fini(&b);
	return rc;
}
