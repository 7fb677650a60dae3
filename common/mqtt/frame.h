/* SPDX-License-Identifier: Apache-2.0
 * common/mqtt/frame.h - cutting a byte stream into control packets. */
#ifndef COMMON_MQTT_FRAME_H
#define COMMON_MQTT_FRAME_H

#include "common/base/slice.h"
#include "common/mqtt/packet.h"

struct frame {
	uint8_t type;                   /* enum mqtt_type, or 0 or 15 as it came */
	uint8_t flags;                  /* low four bits of the first byte */
	struct slice body;              /* variable header and payload */
	uint32_t size;                  /* whole packet with its fixed header */
};

/* frame_next()'s rare cases: no length yet, or one of three or four bytes. */
int frame_long_length(struct slice in, uint32_t *head, uint32_t *len, struct violation *v);
int frame_too_large(struct violation *v);

/* Looks at the start of *in. 0: a whole packet in *out, and *in moved past it. FB_ESHORT: more bytes are needed;
 * *need says how many the whole packet has, or 0 while unknown. FB_EPROTO: *v says what is wrong (remaining length
 * of more than four bytes [MQTT-2.2.3], packet over max_size), known as soon as the header is. */
static inline int
frame_next(struct slice *in, uint32_t max_size, struct frame *out, uint32_t *need, struct violation *v)
{
	const uint8_t *p = in->p;
	uint32_t head;
	uint32_t len;

	if (__builtin_expect(in->len >= 2 && p[1] < 0x80, 1)) {
		head = 2;
		len = p[1];
	} else if (in->len >= 3 && p[2] < 0x80) {
		head = 3;
		len = (uint32_t)(p[1] & 0x7f) | (uint32_t)p[2] << 7;
	} else {
		int err = frame_long_length(*in, &head, &len, v);

		if (err != 0) {
			*need = 0;
			return err;
		}
	}
	if (__builtin_expect(head + len > max_size, 0))
		return frame_too_large(v);
	if (in->len < head + len) {
		*need = head + len;
		return FB_ESHORT;
	}
	out->type = p[0] >> 4;
	out->flags = p[0] & 0x0f;
	out->body = slice_of(p + head, len);
	out->size = head + len;
	in->p = p + out->size;
	in->len -= out->size;
	return 0;
}

#endif
