/* SPDX-License-Identifier: Apache-2.0
 * worker/shapes.h - how many shapes the wildcard filters of one session have: a bound against filters made to explode.
 *
 * The shape of a filter is where its wildcards stand: "a/+/c" and "x/+/z" have one. A session has at most one filter of
 * each shape that matches a topic, so its shapes bound what it can make a publish cost; 100,000 filters of one shape
 * are harmless, 100,000 shapes of "+" and "a" made one publish take 300 ms. Each group of shared subscriptions has
 * shapes of its own, also without wildcards: a client gets a message once for each group. Nothing is kept for a session
 * with fewer subscriptions than shapes allowed. */
#ifndef WORKER_SHAPES_H
#define WORKER_SHAPES_H

#include <stdbool.h>

#include "common/base/hmap.h"
#include "common/base/slice.h"

struct session;
struct worker;

/* May s have this filter, which is new to it? */
bool shapes_allow(struct worker *w, const struct session *s, struct slice filter);
/* It got the filter, or lost it. */
void shapes_put(struct worker *w, const struct session *s, struct slice filter);
void shapes_del(struct worker *w, const struct session *s, struct slice filter);
void shapes_forget(struct worker *w, const struct session *s);  /* it has no filters any more */

#endif
