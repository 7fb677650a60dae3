/* SPDX-License-Identifier: Apache-2.0
 * t/support/fake_wants.h - counted filters in a list, for fake_cluster.c. */
#ifndef T_SUPPORT_FAKE_WANTS_H
#define T_SUPPORT_FAKE_WANTS_H

#include "common/base/list.h"
#include "common/base/slice.h"

struct want {
	struct list link;
	unsigned count;
	size_t len;
	uint8_t filter[];
};

/* true: it is the first, or was the last. */
bool fake_wants_put(struct list *l, struct slice filter);
bool fake_wants_del(struct list *l, struct slice filter);
void fake_wants_free(struct list *l);
bool fake_wants_has(const struct list *l, struct slice filter);
bool fake_wants_match(const struct list *l, struct slice topic);

#endif
