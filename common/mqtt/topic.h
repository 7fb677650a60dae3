/* SPDX-License-Identifier: Apache-2.0
 * common/mqtt/topic.h - topic names and topic filters: valid, how many levels, does this filter match, $share. */
#ifndef COMMON_MQTT_TOPIC_H
#define COMMON_MQTT_TOPIC_H

#include <stdbool.h>

#include "common/base/slice.h"

/* UTF-8 is decode's; these see to the rest. At least one character [MQTT-4.7.3-1], no U+0000 [MQTT-4.7.3-2]. */
bool topic_name_valid(struct slice topic);              /* no wildcard [MQTT-3.3.2-2] */
bool topic_filter_valid(struct slice filter);           /* wildcards where they may be [MQTT-4.7.1-2] [MQTT-4.7.1-3] */
bool topic_has_wildcard(struct slice filter);
uint32_t topic_levels(struct slice topic);              /* number of '/' + 1 */
/* Both valid. Topics that start with $ are not matched by a filter that starts with a wildcard [MQTT-4.7.2-1]. */
bool topic_matches(struct slice filter, struct slice topic);
/* Takes the next level off *rest (without its '/'); false at the end. Start with rest->p != NULL; "a/" has two levels. */
bool topic_next_level(struct slice *rest, struct slice *level);

/* "$share/group/filter": true, and the parts. false: an ordinary filter, group empty, *inner = filter.
 * A filter that starts with "$share/" but is malformed: true with an empty *inner. [MQTT-4.8.2-1] [MQTT-4.8.2-2] */
bool topic_share(struct slice filter, struct slice *group, struct slice *inner);

#endif
