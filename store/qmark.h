/* SPDX-License-Identifier: Apache-2.0
 * store/qmark.h - marks in qmeta: of a queue that is being dropped, the last row that goes. */
#ifndef STORE_QMARK_H
#define STORE_QMARK_H

#include "store/env.h"

/* more: false: the mark goes. */
int qmark_set(struct txn *x, uint64_t qid, bool more, uint64_t last);
int qmark_get(struct txn *x, uint64_t qid, uint64_t *last);     /* no mark: *last is left */
int qmark_last(struct txn *x, uint64_t qid, uint64_t *last);    /* n of the last row that there is; 0: none */

/* Marks by key: where they begin, and of which queue one is; 0: not a mark. */
struct slice qmark_start(void);
uint64_t qmark_of(struct slice key);

#endif
