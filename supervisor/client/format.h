/* SPDX-License-Identifier: Apache-2.0
 * supervisor/client/format.h - how sub prints a message. */
#ifndef CLIENT_FORMAT_H
#define CLIENT_FORMAT_H

#include <stdio.h>

#include "common/base/clock.h"
#include "common/mqtt/packet.h"

/* %t topic, %p payload, %x %X payload in hex, %l its length, %q QoS, %r retain, %m packet id, %I time as ISO 8601,
 * %U seconds since 1970, %j all of it as JSON, %J the same with a payload that is JSON, %% a %; \n \t \r \a \e \0 \\.
 * 0; FB_ESYNTAX: *bad is the character after % or \ that means nothing. */
int format_check(const char *format, char *bad);
/* The format must have been checked. */
void format_print(FILE *out, const char *format, const struct mqtt_publish *p, struct wall now);

#endif
