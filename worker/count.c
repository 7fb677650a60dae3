/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/count.h"

_Static_assert(METRIC_COUNT <= UINT8_MAX && METRIC_heartbeat_ns == 0, "a metric fits, and 0 is none of a packet's");

const uint8_t count_in_metric[16] = {
	[MQTT_CONNECT] = METRIC_connect_in,
	[MQTT_PUBACK] = METRIC_puback_in,
	[MQTT_PUBREC] = METRIC_pubrec_in,
	[MQTT_PUBREL] = METRIC_pubrel_in,
	[MQTT_PUBCOMP] = METRIC_pubcomp_in,
	[MQTT_SUBSCRIBE] = METRIC_subscribe_in,
	[MQTT_UNSUBSCRIBE] = METRIC_unsubscribe_in,
	[MQTT_PINGREQ] = METRIC_pingreq_in,
	[MQTT_DISCONNECT] = METRIC_disconnect_in,
	[MQTT_AUTH] = METRIC_auth_in,
};

const uint8_t count_out_metric[16] = {
	[MQTT_CONNACK] = METRIC_connack_out,
	[MQTT_PUBACK] = METRIC_puback_out,
	[MQTT_PUBREC] = METRIC_pubrec_out,
	[MQTT_PUBREL] = METRIC_pubrel_out,
	[MQTT_PUBCOMP] = METRIC_pubcomp_out,
	[MQTT_SUBACK] = METRIC_suback_out,
	[MQTT_UNSUBACK] = METRIC_unsuback_out,
	[MQTT_PINGRESP] = METRIC_pingresp_out,
	[MQTT_DISCONNECT] = METRIC_disconnect_out,
	[MQTT_AUTH] = METRIC_auth_out,
};
