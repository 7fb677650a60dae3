/* SPDX-License-Identifier: Apache-2.0
 * store/st_retained.h - retained messages: kept for workers, read by filter a slice at a time. */
#ifndef STORE_ST_RETAINED_H
#define STORE_ST_RETAINED_H

#include "store/slots.h"

struct retained {
	struct list gets;               /* struct retained_get, all */
	struct task check;
};

void retained_init(struct store *s);
void retained_fini(struct store *s);
void retained_do_put(struct slot *t, struct slice payload);
void retained_do_get(struct slot *t, struct slice payload);
/* Writes were applied, or an incarnation is over: gets that wait for it may go on. */
void retained_check_waiting(struct store *s);
void retained_drop_slot(struct slot *t);

#endif
