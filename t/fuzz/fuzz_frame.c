/* SPDX-License-Identifier: Apache-2.0
 * Frames of a link and their records from any bytes: what is taken must be put back as it was. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cluster/frame.h"
#include "cluster/patterns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
try_publish(const struct record *r)
{
	struct cluster_pub p;
	uint64_t leg;
	size_t skip;
	uint8_t *again;

	if (record_publish_get(r, &p, &leg) != 0)
		return;
	/* Empty optional parts are left out when it is put again. */
	skip = p.qos != 0 ? 8 : 0;
	if (record_publish_flags(&p) != r->flags)
		return;
	FB_ASSERT(record_publish_size(&p) == r->body.len - skip);
	again = malloc(r->body.len + 1);
	FB_ASSERT(again != NULL);
	record_publish_put(again, &p);
	FB_ASSERT(memcmp(again, r->body.p + skip, r->body.len - skip) == 0);
	FB_ASSERT(slice_eq(record_publish_topic(again), p.topic));
	free(again);
}

static void
try_hashes(struct slice body)
{
	struct pattern p = { 0 };
	uint64_t hash;

	while (record_hash_next(&body, &hash) == 0)
		if (p.levels < PATTERN_LEVELS)
			p.level[p.levels++] = hash;
	(void)pattern_check(&p);
}

static void
try_kept(struct slice body)
{
	uint64_t first;
	uint32_t count;

	while (record_kept_next(&body, &first, &count) == 0)
		FB_ASSERT(first != 0 && count != 0);
}

static void
try_records(struct slice body)
{
	struct record r;
	uint8_t type, flags;
	uint32_t length;

	while (record_next(&body, &r) == 0) {
		switch (r.type) {
		case RECORD_PUBLISH:
		case RECORD_PUBLISH_DISK:
			try_publish(&r);
			break;
		case RECORD_KEPT:
			try_kept(r.body);
			break;
		case RECORD_BIG:
			(void)record_big_get(r.body, &type, &flags, &length);
			break;
		default:
			try_hashes(r.body);
			break;
		}
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice body;
	struct frame f;
	struct frame_hello h;
	uint8_t again[FRAME_HEADER];

	try_records(slice_of(data, size));
	if (frame_get(slice_of(data, size), &f, &body) != 0)
		return 0;
	frame_put(again, &f, (uint32_t)size);
	FB_ASSERT(memcmp(again, data, FRAME_HEADER) == 0);
	if (f.type == FRAME_HELLO)
		(void)frame_hello_get(body, &h);
	else
		try_records(body);
	return 0;
}
