/* SPDX-License-Identifier: Apache-2.0 */
#include "common/admin/row.h"

#include <time.h>

static void
put_head(struct buf *b, enum row_type type, const char *name)
{
	buf_put_u8(b, (uint8_t)type);
	buf_put_le32_bytes(b, slice_str(name));
}

void
row_put_text(struct buf *b, const char *name, struct slice text)
{
	put_head(b, ROW_TEXT, name);
	buf_put_le32_bytes(b, text);
}

void
row_put_str(struct buf *b, const char *name, const char *text)
{
	row_put_text(b, name, slice_str(text));
}

void
row_put_number(struct buf *b, const char *name, int64_t number)
{
	put_head(b, ROW_NUMBER, name);
	buf_put_le64(b, (uint64_t)number);
}

void
row_put_bool(struct buf *b, const char *name, bool value)
{
	put_head(b, ROW_BOOL, name);
	buf_put_u8(b, value ? 1 : 0);
}

void
row_put_real(struct buf *b, const char *name, double value)
{
	uint64_t bits;

	memcpy(&bits, &value, sizeof bits);
	put_head(b, ROW_REAL, name);
	buf_put_le64(b, bits);
}

void
row_put_time(struct buf *b, const char *name, int64_t unix_s)
{
	time_t t = (time_t)unix_s;
	char text[40];
	struct tm tm;

	if (gmtime_r(&t, &tm) == NULL || strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		text[0] = '\0';
	row_put_str(b, name, text);
}

static int
take_value(struct slice *s, struct row_field *f)
{
	uint64_t bits = 0;
	uint8_t flag = 0;

	switch (f->type) {
	case ROW_TEXT:
		return slice_take_le32_bytes(s, &f->text);
	case ROW_BOOL:
		if (slice_take_u8(s, &flag) != 0 || flag > 1)
			return FB_EPROTO;
		f->number = flag;
		return 0;
	case ROW_NUMBER:
	case ROW_REAL:
		if (slice_take_le64(s, &bits) != 0)
			return FB_EPROTO;
		f->number = f->type == ROW_NUMBER ? (int64_t)bits : 0;
		if (f->type == ROW_REAL)
			memcpy(&f->real, &bits, sizeof f->real);
		return 0;
	}
	return FB_EPROTO;
}

int
row_next(struct slice *fields, struct row_field *out)
{
	struct slice s = *fields;
	struct row_field f = { 0 };
	uint8_t type = 0;

	if (s.len == 0)
		return FB_ENOENT;
	if (slice_take_u8(&s, &type) != 0 || slice_take_le32_bytes(&s, &f.name) != 0)
		return FB_EPROTO;
	if (type < ROW_TEXT || type > ROW_REAL)
		return FB_EPROTO;
	f.type = (enum row_type)type;
	if (take_value(&s, &f) != 0)
		return FB_EPROTO;
	*fields = s;
	*out = f;
	return 0;
}
