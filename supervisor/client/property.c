/* SPDX-License-Identifier: Apache-2.0
 * supervisor/client/property.c - names are the texts of properties.def, with '-' for each blank. */
#include "supervisor/client/property.h"

#include <errno.h>
#include <stdlib.h>

#include "common/base/err.h"
#include "common/base/utf8.h"

static const struct {
	uint8_t id;
	enum prop_type type;
	const char *text;
} table[] = {
#define PROP(name, number, kind, packets, words) { number, PROP_##kind, words },
#include "common/mqtt/properties.def"
#undef PROP
};

static bool
same_name(const char *text, const char *typed)
{
	while (*text != 0 && (*text == *typed || (*text == ' ' && *typed == '-'))) {
		text++;
		typed++;
	}
	return *text == 0 && *typed == 0;
}

static int
take_number(const char *value, uint32_t max, uint32_t *out)
{
	char *end = NULL;
	unsigned long long v;

	errno = 0;
	v = strtoull(value, &end, 10);
	if (value[0] < '0' || value[0] > '9' || *end != 0 || errno != 0 || v > max)
		return FB_EINVAL;
	*out = (uint32_t)v;
	return 0;
}

static int
set_text(struct prop *p, const char *value)
{
	p->text = slice_str(value);
	if (p->text.len > UINT16_MAX || (p->type != PROP_BINARY && !utf8_valid(p->text)))
		return FB_EINVAL;
	return 0;
}

static int
set_value(struct prop *p, const char *value, const char *second)
{
	switch (p->type) {
	case PROP_U8:
		return take_number(value, UINT8_MAX, &p->number);
	case PROP_U16:
		return take_number(value, UINT16_MAX, &p->number);
	case PROP_U32:
		return take_number(value, UINT32_MAX, &p->number);
	case PROP_VARINT:
		return take_number(value, 268435455, &p->number);
	case PROP_BINARY:
	case PROP_STRING:
		return set_text(p, value);
	case PROP_PAIR:
		p->value = slice_str(second != NULL ? second : "");
		if (second == NULL || p->value.len > UINT16_MAX || !utf8_valid(p->value))
			return FB_EINVAL;
		return set_text(p, value);
	}
	return FB_EINVAL;
}

int
property_put(struct buf *b, const char *name, const char *value, const char *second)
{
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		struct prop p = { .id = table[i].id, .type = table[i].type };

		if (!same_name(table[i].text, name))
			continue;
		if (set_value(&p, value, second) != 0)
			return FB_EINVAL;
		prop_put(b, &p);
		return 0;
	}
	return FB_ENOENT;
}
