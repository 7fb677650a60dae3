/* SPDX-License-Identifier: Apache-2.0
 * store/import.h - `fubar-admin store import`: rows (dump.h) become records while the store is in use.
 *
 * Two arguments: how, and the rows, each with its length in front and a field `line`. how: "check" writes nothing,
 * "new" writes what is not there, "keep" and "replace" say what becomes of what is there with another value. "end" has no
 * rows: imported sessions go to their workers. The answer: a row for each that is not as it should be (line, result,
 * what), and one of the table "counts". */
#ifndef STORE_IMPORT_H
#define STORE_IMPORT_H

#include "store/admin.h"

admin_fn import_admin;

/* Sessions that were imported and not handed out yet: their queues may be imported, too. */
struct imported;
void import_fini(struct store *s);

#endif
