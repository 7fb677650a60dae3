/* SPDX-License-Identifier: Apache-2.0 */
#include "common/mqtt/frame.h"

/* A length that is not the shortest is let pass here: MQTT 3.1.1 does not forbid it, 5.0 does, and only decode
 * knows the level. */
int
frame_long_length(struct slice in, uint32_t *head, uint32_t *len, struct violation *v)
{
	uint32_t value = 0;

	for (uint32_t i = 1; i <= 4; i++) {
		if (in.len <= i)
			return FB_ESHORT;
		value |= (uint32_t)(in.p[i] & 0x7f) << (7 * (i - 1));
		if (in.p[i] < 0x80) {
			*head = i + 1;
			*len = value;
			return 0;
		}
	}
	*v = (struct violation){ MQTT_R_MALFORMED, "MQTT-2.2.3" };
	return FB_EPROTO;
}

int
frame_too_large(struct violation *v)
{
	*v = (struct violation){ MQTT_R_PACKET_TOO_LARGE, "packet larger than the limit" };
	return FB_EPROTO;
}
