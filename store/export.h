/* SPDX-License-Identifier: Apache-2.0
 * store/export.h - `fubar-admin store export`: records as rows (dump.h), as many as a request takes.
 *
 * One argument: where to go on, "" at first. The answer: rows, and at the end one of the table "next": how many records
 * there are in all, about, and cursor, unless that was the last. */
#ifndef STORE_EXPORT_H
#define STORE_EXPORT_H

#include "store/admin.h"

admin_fn export_admin;

#endif
