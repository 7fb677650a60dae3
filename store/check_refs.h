/* SPDX-License-Identifier: Apache-2.0
 * store/check_refs.h - for how many sessions does each shared message wait, and is that what `refs` says?
 *
 * The rows are counted by message, a window of numbers at a time, so that the memory is bounded: a walk over all rows for
 * each million of messages. A window in which something was written is counted anew, a few times; then it is
 * not compared. */
#ifndef STORE_CHECK_REFS_H
#define STORE_CHECK_REFS_H

#include "common/base/buf.h"

struct store;

struct check_refs {
	struct store *store;
	void (*wrong)(void *arg, uint64_t number, uint64_t says, uint64_t is);
	void *arg;
	uint64_t first;                 /* of the window */
	uint64_t writes;                /* done when it was begun */
	uint32_t *count;                /* owned; NULL: no window is begun */
	bool counted;                   /* all rows were; refs are next */
	unsigned tries;                 /* of this window */
	uint64_t skipped;               /* windows that were never quiet */
	struct buf at;
};

void check_refs_init(struct check_refs *r, struct store *s, void (*wrong)(void *arg, uint64_t number, uint64_t says, uint64_t is),
    void *arg);
void check_refs_fini(struct check_refs *r);             /* a zeroed one, too */
/* A slice of the work. 0 or FB_EAGAIN: there is more; FB_ENOENT: that was all. */
int check_refs_step(struct check_refs *r);

#endif
