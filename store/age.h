/* SPDX-License-Identifier: Apache-2.0
 * store/age.h - how long this node has been up, over all its starts: the clock by which sessions without a client age.
 *
 * The wall clock would not do: it jumps, and goes on while the node is down and nobody can come back. Kept in the table
 * meta, written from time to time while there are sessions: a node that dies without a word is some minutes younger then,
 * or an eighth of session.max_age if that is less. */
#ifndef STORE_AGE_H
#define STORE_AGE_H

#include <stdint.h>

#include "common/base/loop.h"

struct store;

struct age {
	uint64_t before_ms;             /* as the last store left it */
	struct mono since;              /* when this one took over */
	bool started;
	struct timer timer;
};

void age_init(struct store *s);
void age_fini(struct store *s);
void age_start(struct store *s);        /* the environment is open */
uint64_t age_ms(const struct store *s); /* never 0 */
void age_write(struct store *s);        /* not waited for */

#endif
