/* SPDX-License-Identifier: Apache-2.0
 * Channel payloads and admin rows from any bytes: the first byte chooses. What is taken must be put back as it was. */
#include <stddef.h>
#include <stdint.h>

#include "common/admin/row.h"
#include "common/ipc/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NUMBER_BEFORE = -1,
#define PAYLOAD(name, FIELDS) NUMBER_##name,
#include "common/ipc/payloads.def"
#undef PAYLOAD
	NUMBER_COUNT
};

#define PAYLOAD(name, FIELDS) \
	static void \
	try_##name(struct slice s) \
	{ \
		struct ipc_##name p; \
		struct buf b; \
\
		if (ipc_take_##name(s, &p) != 0) \
			return; \
		buf_init(&b); \
		ipc_put_##name(&b, &p); \
		FB_ASSERT(slice_eq(buf_slice(&b), s)); \
		buf_fini(&b); \
	}
#include "common/ipc/payloads.def"
#undef PAYLOAD

static void
try_row(struct slice s)
{
	struct row_field f;

	while (row_next(&s, &f) == 0)
		;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice s = slice_of(data, size);
	uint8_t which = 0;

	if (slice_take_u8(&s, &which) != 0)
		return 0;
	switch (which % (NUMBER_COUNT + 1)) {
#define PAYLOAD(name, FIELDS) case NUMBER_##name: try_##name(s); break;
#include "common/ipc/payloads.def"
#undef PAYLOAD
	default:
		try_row(s);
		break;
	}
	return 0;
}
