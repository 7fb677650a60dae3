/* SPDX-License-Identifier: Apache-2.0 */
#include "common/ipc/codec.h"

#define PUT_U8(v)    buf_put_u8(b, v)
#define PUT_U16(v)   buf_put_le16(b, v)
#define PUT_U32(v)   buf_put_le32(b, v)
#define PUT_U64(v)   buf_put_le64(b, v)
#define PUT_BYTES(v) buf_put_le32_bytes(b, v)
#define PUT_REST(v)  buf_put_slice(b, v)

#define PUT_FIELD(type, name) PUT_##type(p->name);
#define PAYLOAD(name, FIELDS) \
	void \
	ipc_put_##name(struct buf *b, const struct ipc_##name *p) \
	{ \
		FIELDS(PUT_FIELD) \
	}
#include "common/ipc/payloads.def"
#undef PAYLOAD

static int
take_rest(struct slice *s, struct slice *out)
{
	return slice_take(s, s->len, out);
}

#define TAKE_U8    slice_take_u8
#define TAKE_U16   slice_take_le16
#define TAKE_U32   slice_take_le32
#define TAKE_U64   slice_take_le64
#define TAKE_BYTES slice_take_le32_bytes
#define TAKE_REST  take_rest

#define TAKE_FIELD(type, name) \
	if (TAKE_##type(&s, &t.name) != 0) \
		return FB_ESHORT;
#define PAYLOAD(name, FIELDS) \
	int \
	ipc_take_##name(struct slice s, struct ipc_##name *out) \
	{ \
		struct ipc_##name t; \
\
		FIELDS(TAKE_FIELD) \
		if (s.len != 0) \
			return FB_EPROTO; \
		*out = t; \
		return 0; \
	}
#include "common/ipc/payloads.def"
#undef PAYLOAD
