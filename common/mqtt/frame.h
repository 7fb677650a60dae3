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

/* Looks at the start of *in. 0: a whole packet in *out, and *in moved past it. FB_ESHORT: more bytes are needed;
 * *need says how many the whole packet has, or 0 while unknown. FB_EPROTO: *v says what is wrong (remaining length
 * of more than four bytes [MQTT-2.2.3], packet over max_size), known as soon as the header is. */
int frame_next(struct slice *in, uint32_t max_size, struct frame *out, uint32_t *need, struct violation *v);

#endif
