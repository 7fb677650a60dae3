/* SPDX-License-Identifier: Apache-2.0
 * worker/count.h - packets by their type. PUBLISH is counted by QoS where that is known; here only among all. */
#ifndef WORKER_COUNT_H
#define WORKER_COUNT_H

#include "common/metrics/page.h"
#include "common/mqtt/packet.h"

extern const uint8_t count_in_metric[16];       /* by type; 0 (no packet's): has none */
extern const uint8_t count_out_metric[16];

/* Received: whole, and not looked at yet; type: enum mqtt_type, or 0 or 15 as it came. */
static inline void
count_received(uint8_t type)
{
	METRIC_ADD(packets_in, 1);
	if (count_in_metric[type & 15] != 0)
		metrics->value[count_in_metric[type & 15]]++;
}

/* Put into a client's output. */
static inline void
count_sent(enum mqtt_type type)
{
	METRIC_ADD(packets_out, 1);
	if (count_out_metric[type & 15] != 0)
		metrics->value[count_out_metric[type & 15]]++;
}

#endif
