/* SPDX-License-Identifier: Apache-2.0
 * common/mqtt/encode.h - from structs to bytes, appended to a buf. The caller has checked its values; encode only
 * asserts what would make a packet that cannot be read. */
#ifndef COMMON_MQTT_ENCODE_H
#define COMMON_MQTT_ENCODE_H

#include "common/base/buf.h"
#include "common/mqtt/packet.h"

/* Bytes that a remaining length takes (1..4), and writing it; returns the number of bytes. */
uint32_t encode_length_size(uint32_t length);
uint32_t encode_length(uint8_t *out, uint32_t length);

void encode_connect(struct buf *b, const struct mqtt_connect *p);
void encode_connack(struct buf *b, uint8_t level, const struct mqtt_connack *p);
void encode_publish(struct buf *b, uint8_t level, const struct mqtt_publish *p);
/* Everything of a PUBLISH but its payload (for payloads sent by reference). */
void encode_publish_head(struct buf *b, uint8_t level, const struct mqtt_publish *p);
/* Size of the whole encoded PUBLISH. */
uint32_t encode_publish_size(uint8_t level, const struct mqtt_publish *p);
void encode_ack(struct buf *b, enum mqtt_type type, uint8_t level, const struct mqtt_ack *p);
void encode_subscribe(struct buf *b, uint8_t level, const struct mqtt_subscribe *p);
void encode_suback(struct buf *b, enum mqtt_type type, uint8_t level, const struct mqtt_suback *p);
void encode_unsubscribe(struct buf *b, uint8_t level, const struct mqtt_unsubscribe *p);
void encode_ping(struct buf *b, enum mqtt_type type);
void encode_disconnect(struct buf *b, enum mqtt_type type, uint8_t level, const struct mqtt_disconnect *p);

#endif
