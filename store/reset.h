/* SPDX-License-Identifier: Apache-2.0
 * store/reset.h - clearing all stored data: all or nothing, also over a crash. */
#ifndef STORE_RESET_H
#define STORE_RESET_H

#include "store/admin.h"
#include "store/env.h"

admin_fn reset_admin;

/* At start: a reset that a crash cut short is finished. */
int reset_finish(struct env *e, struct env *queue);

#endif
