/* SPDX-License-Identifier: Apache-2.0
 * supervisor/client/property.h - properties of level 5 by the names that a person types: "message-expiry-interval". */
#ifndef CLIENT_PROPERTY_H
#define CLIENT_PROPERTY_H

#include "common/mqtt/props.h"

/* Appends a property; second is the value of a user-property, whose name is value then. 0; FB_ENOENT: no such name;
 * FB_EINVAL: no such value. */
int property_put(struct buf *b, const char *name, const char *value, const char *second);

#endif
