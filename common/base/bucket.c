/* SPDX-License-Identifier: Apache-2.0
 *
 * One number moves: the time at which the bucket will next be full. There is no refill timer, and an idle peer costs
 * nothing. */
#include "common/base/bucket.h"

#include "common/base/err.h"

void
bucket_init(struct bucket *b, uint64_t rate, uint64_t burst)
{
	FB_ASSERT(rate >= 1 && rate <= UINT64_C(1) << 32);
	FB_ASSERT(burst >= 1 && burst <= UINT64_C(1) << 32);
	*b = (struct bucket){ .rate = rate, .burst = burst };
}

static int64_t
refill_ns(const struct bucket *b, uint64_t n)
{
	return (int64_t)(n * (uint64_t)NS_PER_SEC / b->rate);   /* twice 2^32 s still fits */
}

int
bucket_take(struct bucket *b, uint64_t n, struct mono now, int64_t *wait_ns)
{
	int64_t from = b->full_at > now.ns ? b->full_at : now.ns;
	int64_t over;

	if (n > b->burst)
		return FB_EINVAL;
	over = from - now.ns + refill_ns(b, n) - refill_ns(b, b->burst);
	if (over > 0) {
		*wait_ns = over;
		return FB_EAGAIN;
	}
	b->full_at = from + refill_ns(b, n);
	return 0;
}
