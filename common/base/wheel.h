/* SPDX-License-Identifier: Apache-2.0
 * common/base/wheel.h - hierarchical timer wheel, 1 ms steps; now is passed in.
 *
 * Setting and cancelling are O(1); a timer never fires early, and at most 1 ms late by the wheel's doing. */
#ifndef COMMON_BASE_WHEEL_H
#define COMMON_BASE_WHEEL_H

#include <stdbool.h>

#include "common/base/clock.h"
#include "common/base/list.h"

struct timer {
	struct list link;               /* unlinked: not set */
	int64_t at_ms;
	void (*fn)(struct timer *t);    /* may set it again, or free what holds it */
};

struct wheel;

struct wheel *wheel_new(struct mono now);
void wheel_free(struct wheel *w);               /* timers still set are forgotten */

static inline void
timer_init(struct timer *t, void (*fn)(struct timer *t))
{
	*t = (struct timer){ .fn = fn };
}

static inline bool
timer_is_set(const struct timer *t)
{
	return list_linked(&t->link);
}

void wheel_set(struct wheel *w, struct timer *t, struct mono at);       /* moves it if set already */
void wheel_cancel(struct wheel *w, struct timer *t);                    /* not set: does nothing */
/* Fires, in order of time, all that is due. */
void wheel_advance(struct wheel *w, struct mono now);
/* The time until which nothing can be due: true and *at, or false when no timer is set. May be early. */
bool wheel_next(const struct wheel *w, struct mono *at);

#endif
