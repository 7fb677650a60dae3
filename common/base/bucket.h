/* SPDX-License-Identifier: Apache-2.0
 * common/base/bucket.h - token bucket: how fast may one peer go on?
 *
 * Pure: the caller brings the time, so that a test never sleeps. Embedded, no locking. */
#ifndef COMMON_BASE_BUCKET_H
#define COMMON_BASE_BUCKET_H

#include "common/base/clock.h"

struct bucket {
	uint64_t rate;                  /* tokens a second, 1..2^32; over 10^9 small takes cost nothing */
	uint64_t burst;                 /* 1..2^32 */
	int64_t full_at;                /* ns; when it will next be full */
};

void bucket_init(struct bucket *b, uint64_t rate, uint64_t burst);      /* full */
/* Takes n tokens, all or none. 0; FB_EAGAIN, and *wait_ns says how long until n are there; FB_EINVAL: n is
 * more than burst, so no wait would help. */
int bucket_take(struct bucket *b, uint64_t n, struct mono now, int64_t *wait_ns);

#endif
