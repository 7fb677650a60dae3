/* SPDX-License-Identifier: Apache-2.0
 * store/st_wills.h - the wills on the disk: a row for each client that is connected and left one.
 *
 * A row is its worker's to delete, as long as that incarnation lives. When it is over, the rows that it leaves are due:
 * after session.will_grace each goes to a living worker, which publishes it and deletes the row; unless the client
 * came back before, then nobody hears of it. What is due is in memory, found by reading the table, a slice at a time. */
#ifndef STORE_ST_WILLS_H
#define STORE_ST_WILLS_H

#include "common/base/buf.h"
#include "common/base/hmap.h"
#include "common/base/loop.h"
#include "store/work.h"

struct slot;
struct store;
struct txn;

struct will_rows {
	struct hmap due;                /* struct due, by client id */
	struct list waiting;            /* of them those that nobody publishes yet, oldest first */
	size_t handed;                  /* to workers */
	struct timer timer;             /* for the first that waits */
	struct work_job hand;
	struct work_job scan;
	struct buf after;               /* the last id that the scan looked at, and a 0 */
	bool scanning, again;
	bool open;                      /* all workers have had their sessions: */
	struct mono open_since;         /* from then on clients could connect */
	struct hmap back;               /* struct back: who connected while the table is read */
};

void will_rows_init(struct store *s);
void will_rows_fini(struct store *s);
void will_rows_configure(struct store *s);          /* session.will_grace may be another */
/* All workers have named what they have: which rows are nobody's can be said. */
void will_rows_start(struct store *s);
void will_rows_slot_loaded(struct store *s);
void will_rows_slot_gone(struct store *s, unsigned slot);   /* an incarnation of it is over */
/* The id was given to a CONNECT. */
void will_rows_client_back(struct store *s, struct slice id);
void will_rows_do_here(struct slot *t, struct slice payload);
void will_rows_clear(struct store *s);              /* the rows go, too */

/* Those operations of a Q_OPS message that are about wills: in a run function, by that incarnation; and in the loop when
 * they are committed. */
int will_rows_apply(struct txn *x, unsigned slot, uint64_t epoch, struct slice ops);
void will_rows_applied(struct store *s, struct slice ops);

#endif
