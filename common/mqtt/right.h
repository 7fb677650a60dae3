/* SPDX-License-Identifier: Apache-2.0
 * common/mqtt/right.h - rules that say what a client may: one rule, and whether it speaks of a client and a topic.
 *
 * Of several rules the one with the lowest place that matches decides; putting them in order is the caller's.
 *
 * Filters are topic filters in which %u stands for the client's user name and %c for its id (%% for a percent sign).
 * Such a value is compared byte by byte within its level, never read as wildcards. One that would leave its level or
 * reach names that start with $ (empty, '/', '+' or '#' in it, '$' in front) cannot be put in: the rule then allows
 * nothing, and denies whatever stands at that level. So a name that a client chose can make a rule stricter only.
 *
 * A rule that denies is taken widely, one that allows narrowly: a subscription is allowed by a rule that covers all of
 * its filter, denied by one that covers any topic of it; wildcards in front match names that start with $ only in rules
 * that deny. */
#ifndef COMMON_MQTT_RIGHT_H
#define COMMON_MQTT_RIGHT_H

#include <stdbool.h>

#include "common/base/slice.h"

enum right_action {
	RIGHT_PUBLISH = 1,
	RIGHT_SUBSCRIBE = 2,
	RIGHT_SEND = 4,                 /* a direct message; the topic is the id of who gets it */
	RIGHT_RECEIVE = 8,
	RIGHT_ALL = 15,
};

enum right_who { RIGHT_EVERYONE, RIGHT_ANONYMOUS, RIGHT_USER, RIGHT_GROUP };

#define RIGHT_NAME_MAX 256
#define RIGHT_FILTER_MAX 4096

struct right_rule {
	uint32_t place;                 /* from 1 */
	uint8_t actions;                /* set of enum right_action */
	uint8_t who;                    /* enum right_who */
	bool allow;
	struct slice name;              /* of the user or group */
	struct slice filter;
};

struct right_client {
	struct slice user;              /* of the account that it logged in with; empty: none */
	struct slice id;
};

/* Does the rule speak of this action on this topic, or (RIGHT_SUBSCRIBE) filter? Whether the client is meant by
 * who and name has been seen before. by_id, if not NULL, is set to true if the answer depends on the id. */
bool right_matches(const struct right_rule *r, enum right_action action, const struct right_client *c,
    struct slice topic, bool *by_id);
/* NULL: it may be a rule's filter; else why not. */
const char *right_filter_wrong(struct slice filter);

const char *right_action_name(enum right_action a);             /* "publish", "all" */
int right_action_parse(struct slice name, enum right_action *out);      /* FB_EINVAL */
/* "everyone", "anonymous", "user:NAME", "group:NAME". FB_EINVAL; name is borrowed from text. */
int right_who_parse(struct slice text, enum right_who *who, struct slice *name);
const char *right_who_name(enum right_who who);                 /* "user:" */

#endif
