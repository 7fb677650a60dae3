/* SPDX-License-Identifier: Apache-2.0
 * store/opener.h - opening both environments on a thread, so that the loop shows life while it waits and recovers. */
#ifndef STORE_OPENER_H
#define STORE_OPENER_H

#include "common/base/buf.h"
#include "common/base/loop.h"
#include "common/crypto/passwd.h"
#include "store/env.h"
#include "store/owners.h"

struct opener;
struct opener_result {
	int rc;
	struct env *env, *queue;
	struct buf gone;                /* of queue_find_gone(); the callee's */
	struct owners owners;           /* an entry for each durable session; the callee's */
	uint8_t key[PASSWD_MAC_BYTES];  /* the store's, made at the first start */
};

/* cfg: of both environments; copied, the directories' names too. done: once, in the loop. */
struct opener *opener_new(struct loop *l, const struct env_config cfg[ENV_COUNT], unsigned slots,
    void (*done)(void *arg, struct opener_result *r), void *arg);
void opener_free(struct opener *o);     /* from done or after it */

#endif
