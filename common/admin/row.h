/* SPDX-License-Identifier: Apache-2.0
 * common/admin/row.h - one row of an admin answer: named fields with typed values, put by the process that answers,
 * walked by the supervisor and fubar-admin.
 *
 * Field: u8 type, bytes name, then the value. A field named "_table" (TEXT) groups rows: "worker", "listener", ... */
#ifndef COMMON_ADMIN_ROW_H
#define COMMON_ADMIN_ROW_H

#include "common/base/buf.h"

enum row_type { ROW_TEXT = 1, ROW_NUMBER, ROW_BOOL, ROW_REAL };

struct row_field {
	enum row_type type;
	struct slice name;
	struct slice text;              /* TEXT */
	int64_t number;                 /* NUMBER, BOOL */
	double real;                    /* REAL */
};

void row_put_text(struct buf *b, const char *name, struct slice text);
void row_put_str(struct buf *b, const char *name, const char *text);
void row_put_number(struct buf *b, const char *name, int64_t number);
void row_put_bool(struct buf *b, const char *name, bool value);
void row_put_real(struct buf *b, const char *name, double value);
/* Seconds since 1970, as text such as 2026-01-15T07:30:19Z. */
void row_put_time(struct buf *b, const char *name, int64_t unix_s);
/* The next field: 0; FB_ENOENT: the end; FB_EPROTO. */
int row_next(struct slice *fields, struct row_field *out);

#endif
