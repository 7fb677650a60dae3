/* SPDX-License-Identifier: Apache-2.0
 * common/ipc/codec.h - the payloads of channel messages: structs made from payloads.def, put and taken with every
 * length checked. Little-endian; strings carry four bytes of length.
 *
 * For each PAYLOAD(name, fields) of payloads.def: struct ipc_name, ipc_put_name(), ipc_take_name(). What take yields
 * points into the message: borrowed until the message callback returns. */
#ifndef COMMON_IPC_CODEC_H
#define COMMON_IPC_CODEC_H

#include "common/base/buf.h"
#include "common/base/slice.h"

/* Field types in payloads.def. */
#define IPC_C_U8    uint8_t
#define IPC_C_U16   uint16_t
#define IPC_C_U32   uint32_t
#define IPC_C_U64   uint64_t
#define IPC_C_BYTES struct slice
/* REST: all bytes to the end of the payload, for repeated elements that the two ends walk themselves; last field. */
#define IPC_C_REST  struct slice

#define IPC_FIELD(type, name) IPC_C_##type name;
#define PAYLOAD(name, FIELDS) struct ipc_##name { FIELDS(IPC_FIELD) };
#include "common/ipc/payloads.def"
#undef PAYLOAD

#define PAYLOAD(name, FIELDS) \
	void ipc_put_##name(struct buf *b, const struct ipc_##name *p); \
	/* 0, FB_ESHORT, or FB_EPROTO: bytes left over */ \
	int ipc_take_##name(struct slice s, struct ipc_##name *out);
#include "common/ipc/payloads.def"
#undef PAYLOAD

#endif
