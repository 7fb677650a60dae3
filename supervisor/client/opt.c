/* SPDX-License-Identifier: Apache-2.0
 * supervisor/client/opt.c - getopt_long has global state, prints by itself, and cannot say what was possible. */
#include "supervisor/client/opt.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mqtt/packet.h"

static const char *
row_show(const struct opt_row *r, char *out, size_t size)
{
	if (r->name != NULL && r->letter != 0)
		snprintf(out, size, "-%c (--%s)", r->letter, r->name);
	else if (r->name != NULL)
		snprintf(out, size, "--%s", r->name);
	else
		snprintf(out, size, "-%c", r->letter);
	return out;
}

static int
find_letter(const struct opt *o, char letter)
{
	for (size_t i = 0; i < o->row_count; i++)
		if (o->rows[i].letter == letter && letter != 0 && (o->rows[i].who & o->who) != 0)
			return (int)i;
	return OPT_ERROR;
}

/* The row of that name, or of the only name that starts so. */
static int
find_name(struct opt *o, const char *name, size_t len)
{
	int found = OPT_ERROR;
	int count = 0;
	char list[120] = "";

	for (size_t i = 0; i < o->row_count; i++) {
		const struct opt_row *r = &o->rows[i];
		size_t used = strlen(list);

		if (r->name == NULL || (r->who & o->who) == 0 || strncmp(r->name, name, len) != 0)
			continue;
		if (strlen(r->name) == len)
			return (int)i;
		found = (int)i;
		count++;
		snprintf(list + used, sizeof list - used, " --%s", r->name);
	}
	if (count == 1)
		return found;
	if (count > 1)
		snprintf(o->error, sizeof o->error, "--%.*s could be:%s", (int)len, name, list);
	else
		snprintf(o->error, sizeof o->error, "unknown option --%.*s", (int)len, name);
	return OPT_ERROR;
}

static int
with_value(struct opt *o, int row, const char *inside, const char **value)
{
	char name[64];

	*value = inside;
	if (inside == NULL)
		*value = opt_more(o);
	if (*value != NULL)
		return row;
	snprintf(o->error, sizeof o->error, "%s needs a value: %s", row_show(&o->rows[row], name, sizeof name),
	    o->rows[row].arg);
	return OPT_ERROR;
}

static int
next_short(struct opt *o, const char **value)
{
	char letter = *o->cluster++;
	int row = find_letter(o, letter);

	*value = NULL;
	if (row < 0) {
		snprintf(o->error, sizeof o->error, "unknown option -%c", letter);
		return OPT_ERROR;
	}
	if (o->rows[row].arg == NULL)
		return row;
	row = with_value(o, row, *o->cluster != 0 ? o->cluster : NULL, value);
	o->cluster = NULL;
	return row;
}

static int
next_long(struct opt *o, const char *word, const char **value)
{
	const char *equal = strchr(word, '=');
	int row = find_name(o, word, equal != NULL ? (size_t)(equal - word) : strlen(word));

	*value = NULL;
	if (row < 0)
		return OPT_ERROR;
	if (o->rows[row].arg != NULL)
		return with_value(o, row, equal != NULL ? equal + 1 : NULL, value);
	if (equal == NULL)
		return row;
	snprintf(o->error, sizeof o->error, "--%s takes no value", o->rows[row].name);
	return OPT_ERROR;
}

int
opt_next(struct opt *o, const char **value)
{
	const char *word;

	if (o->cluster != NULL && *o->cluster != 0)
		return next_short(o, value);
	o->cluster = NULL;
	word = opt_more(o);
	*value = word;
	if (word == NULL)
		return OPT_END;
	if (word[0] != '-' || word[1] == 0)
		return OPT_WORD;
	if (word[1] == '-')
		return next_long(o, word + 2, value);
	o->cluster = word + 1;
	return next_short(o, value);
}

const char *
opt_more(struct opt *o)
{
	return *o->argv != NULL ? *o->argv++ : NULL;
}

void
opt_help(const struct opt *o)
{
	for (size_t i = 0; i < o->row_count; i++) {
		const struct opt_row *r = &o->rows[i];
		char left[64];

		if ((r->who & o->who) == 0)
			continue;
		snprintf(left, sizeof left, "%s%c%s%s%s %s", r->letter != 0 ? "-" : "  ", r->letter != 0 ? r->letter : ' ',
		    r->name != NULL ? (r->letter != 0 ? ", " : " ") : "", r->name != NULL ? "--" : "",
		    r->name != NULL ? r->name : "", r->arg != NULL ? r->arg : "");
		printf("  %-36s %s\n", left, r->help);
	}
}

bool
opt_number(struct opt *o, int row, const char *value, uint64_t min, uint64_t max, uint64_t *out)
{
	char name[64];
	char *end = NULL;
	uint64_t v;

	errno = 0;
	v = strtoull(value, &end, 10);
	if (value[0] >= '0' && value[0] <= '9' && *end == 0 && errno == 0 && v >= min && v <= max) {
		*out = v;
		return true;
	}
	snprintf(o->error, sizeof o->error, "%s: '%.40s' is not a number from %llu to %llu",
	    row_show(&o->rows[row], name, sizeof name), value, (unsigned long long)min, (unsigned long long)max);
	return false;
}

bool
opt_real(struct opt *o, int row, const char *value, double min, double max, double *out)
{
	char name[64];
	char *end = NULL;
	double v = strtod(value, &end);

	if (*value != 0 && *end == 0 && v >= min && v <= max) {
		*out = v;
		return true;
	}
	snprintf(o->error, sizeof o->error, "%s: '%.40s' is not a number from %g to %g",
	    row_show(&o->rows[row], name, sizeof name), value, min, max);
	return false;
}

bool
opt_level(struct opt *o, int row, const char *value, uint8_t *out)
{
	static const struct {
		const char *text;
		uint8_t level;
	} names[] = {
		{ "31", MQTT_31 }, { "3.1", MQTT_31 }, { "3", MQTT_31 }, { "mqttv31", MQTT_31 },
		{ "311", MQTT_311 }, { "3.1.1", MQTT_311 }, { "4", MQTT_311 }, { "mqttv311", MQTT_311 },
		{ "5", MQTT_50 }, { "5.0", MQTT_50 }, { "mqttv5", MQTT_50 },
	};
	char name[64];

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		if (strcmp(names[i].text, value) == 0) {
			*out = names[i].level;
			return true;
		}
	}
	snprintf(o->error, sizeof o->error, "%s: '%.40s' is not mqttv31, mqttv311 or mqttv5",
	    row_show(&o->rows[row], name, sizeof name), value);
	return false;
}
