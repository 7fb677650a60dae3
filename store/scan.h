/* SPDX-License-Identifier: Apache-2.0
 * store/scan.h - topics as keys, and a filter answered by skipping over a sorted table of them.
 *
 * A key is the topic with '/' written as 0: 0 is in no topic and sorts before everything, so that a topic is followed
 * by all that is below it. Pure functions. */
#ifndef STORE_SCAN_H
#define STORE_SCAN_H

#include "common/base/buf.h"
#include "common/base/slice.h"

void scan_put_key(struct buf *b, struct slice topic);
void scan_put_topic(struct buf *b, struct slice key);

/* Where a scan for filter starts: the literal levels before its first wildcard. */
void scan_put_start(struct buf *b, struct slice filter);

enum scan_result {
	SCAN_MATCH,             /* the filter matches this key; go on with the next one */
	SCAN_SEEK,              /* it does not; no key before *seek does: go on with the first one at or behind it */
	SCAN_END,               /* it does not, nor any key behind */
};
/* seek is overwritten, and is behind key. */
enum scan_result scan_look(struct slice filter, struct slice key, struct buf *seek);

#endif
