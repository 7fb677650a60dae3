/* SPDX-License-Identifier: Apache-2.0
 * common/base/utf8.h - UTF-8 by MQTT's rules. */
#ifndef COMMON_BASE_UTF8_H
#define COMMON_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/slice.h"

/* Well-formed UTF-8, no surrogates, no U+0000. [MQTT-1.5.3-1] [MQTT-1.5.3-2] (ASCII is checked eight bytes a step) */
bool utf8_valid(struct slice s);
/* The same, and without control characters (U+0001..1F, 7F..9F) and non-characters, which MQTT lets a server refuse. */
bool utf8_clean(struct slice s);

/* s for people and logs: control characters, non-characters, those that hide or turn text, quotes, backslashes and what
 * is not UTF-8 become \xNN; cut with "..." at size. Always NUL-terminated; returns out. */
const char *utf8_show(struct slice s, char *out, size_t size);

#endif
