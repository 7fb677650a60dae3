/* SPDX-License-Identifier: Apache-2.0
 * common/config/config.c - values by path and text: parsed, checked, kept, given back. */
#include "common/config/config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/err.h"
#include "common/base/mem.h"
#include "common/base/utf8.h"

/* run_dir holds sockets, whose whole path has 107 bytes. */
#define RUN_DIR_MAX 80
#define NODE_MAX 64

static const struct config_info info[CONFIG_KEY_COUNT] = {
#define KEY(field, path, type, def, min, max, when, help) \
	[CONFIG_K_##field] = { path, def, min, max, help, CONFIG_##type, CONFIG_##when, offsetof(struct config, field) },
#include "common/config/keys.def"
#undef KEY
};

struct value {
	int64_t number;                 /* BOOL, NUMBER, BYTES, SECONDS */
	double real;
	const char *text;
};

struct unit {
	const char *name;
	int64_t factor;
	bool shown;                     /* printed, not only understood */
};

static const struct unit byte_units[] = {
	{ "TiB", INT64_C(1) << 40, true }, { "GiB", INT64_C(1) << 30, true }, { "MiB", INT64_C(1) << 20, true },
	{ "KiB", INT64_C(1) << 10, true }, { "TB", INT64_C(1000000000000), false }, { "GB", INT64_C(1000000000), false },
	{ "MB", 1000000, false }, { "kB", 1000, false }, { "B", 1, false }, { NULL, 0, false },
};
static const struct unit time_units[] = {
	{ "w", 604800, false }, { "d", 86400, true }, { "h", 3600, true }, { "m", 60, true }, { "s", 1, true },
	{ NULL, 0, false },
};

const struct config_info *
config_info(enum config_key k)
{
	FB_ASSERT(k < CONFIG_KEY_COUNT);
	return &info[k];
}

static void *
field_at(const struct config *c, enum config_key k)
{
	return (char *)(uintptr_t)c + info[k].offset;
}

static const struct unit *
units_of(enum config_type type)
{
	return type == CONFIG_BYTES ? byte_units : type == CONFIG_SECONDS ? time_units : NULL;
}

/* "a|b|c" as "a, b, c". */
static void
show_words(const char *words, char *out, size_t size)
{
	size_t used = 0;

	for (; *words != '\0' && used + 3 < size; words++) {
		out[used++] = *words == '|' ? ',' : *words;
		if (*words == '|')
			out[used++] = ' ';
	}
	out[used] = '\0';
}

/* What a text must be like, for people. */
static const char *
text_form(enum config_key k)
{
	if (k == CONFIG_K_workers)
		return "auto|a whole number from 1 to 64";
	if (k == CONFIG_K_valid_keep_alive)
		return "MIN-MAX in seconds, such as 1800-3600, from 0 to 65535";
	if (k == CONFIG_K_durability_topics)
		return "FILTER memory|FILTER disk";
	if (k == CONFIG_K_alternate)
		return "tcp://HOST:PORT|ssl://HOST:PORT|none|\"\"";
	return info[k].min[0] != '\0' ? info[k].min : "text";
}

void
config_valid(enum config_key k, char *out, size_t size)
{
	const struct config_info *i = &info[k];
	const char *what = "";

	switch (i->type) {
	case CONFIG_BOOL:
		snprintf(out, size, "true or false");
		return;
	case CONFIG_TEXT:
		show_words(text_form(k), out, size);
		return;
	case CONFIG_NUMBER:
		what = "a whole number";
		break;
	case CONFIG_REAL:
		what = "a number";
		break;
	case CONFIG_BYTES:
		what = "a size such as 64, 4KiB, 1MiB, 2GiB";
		break;
	case CONFIG_SECONDS:
		what = "a time such as 10s, 5m, 2h, 7d";
		break;
	}
	if (i->min[0] != '\0' && i->max[0] != '\0')
		snprintf(out, size, "%s, from %s to %s", what, i->min, i->max);
	else
		snprintf(out, size, "%s", what);
}

static int
refuse(enum config_key k, const char *text, const char *why, int code, struct config_error *e)
{
	char shown[80], valid[160];

	config_valid(k, valid, sizeof valid);
	snprintf(e->text, sizeof e->text, "%s: \"%s\" %s; valid: %s", info[k].path,
	    utf8_show(slice_str(text), shown, sizeof shown), why, valid);
	return code;
}

/* Another sentence than the valid range. */
static int
refuse_by_rule(enum config_key k, const char *text, const char *rule, struct config_error *e)
{
	char shown[80];

	snprintf(e->text, sizeof e->text, "%s: \"%s\": %s", info[k].path,
	    utf8_show(slice_str(text), shown, sizeof shown), rule);
	return FB_EINVAL;
}

/* A whole number with an optional unit. */
static int
parse_number(const char *text, const struct unit *u, int64_t *out)
{
	char *end;
	long long n;

	if (text[0] != '-' && (text[0] < '0' || text[0] > '9'))
		return FB_EINVAL;
	errno = 0;
	n = strtoll(text, &end, 10);
	if (end == text || (text[0] == '-' && end == text + 1))
		return FB_EINVAL;
	if (errno == ERANGE)
		return FB_ERANGE;
	while (*end == ' ')
		end++;
	if (*end != '\0') {
		for (; u != NULL && u->name != NULL && strcasecmp(u->name, end) != 0; u++)
			;
		if (u == NULL || u->name == NULL)
			return FB_EINVAL;
		if (__builtin_mul_overflow(n, u->factor, &n))
			return FB_ERANGE;
	}
	*out = n;
	return 0;
}

static int
parse_real(const char *text, double *out)
{
	char *end;
	double d;

	if (text[0] != '-' && text[0] != '.' && (text[0] < '0' || text[0] > '9'))
		return FB_EINVAL;
	d = strtod(text, &end);
	if (end == text || *end != '\0' || !isfinite(d))
		return FB_EINVAL;
	*out = d;
	return 0;
}

static int
parse_bool(const char *text, int64_t *out)
{
	static const char *const words[] = { "false", "true", "no", "yes", "off", "on" };

	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		if (strcasecmp(text, words[i]) == 0) {
			*out = (int64_t)(i & 1);
			return 0;
		}
	return FB_EINVAL;
}

static bool
is_word_of(const char *text, const char *words)
{
	size_t n = strlen(text);

	for (const char *w = words; n > 0; w++) {
		if (strncmp(w, text, n) == 0 && (w[n] == '|' || w[n] == '\0'))
			return true;
		w = strchr(w, '|');
		if (w == NULL)
			return false;
	}
	return false;
}

static bool
in_range(const struct config_info *i, int64_t n)
{
	int64_t bound;

	if (i->min[0] != '\0' && parse_number(i->min, units_of(i->type), &bound) == 0 && n < bound)
		return false;
	if (i->max[0] != '\0' && parse_number(i->max, units_of(i->type), &bound) == 0 && n > bound)
		return false;
	return true;
}

static bool
is_address(const char *text)
{
	struct in6_addr a;
	char host[INET6_ADDRSTRLEN];
	const char *zone = strchr(text, '%');
	size_t n = zone == NULL ? strlen(text) : (size_t)(zone - text);

	if (inet_pton(AF_INET, text, &a) == 1)
		return true;
	if (n >= sizeof host || (zone != NULL && zone[1] == '\0'))
		return false;
	memcpy(host, text, n);
	host[n] = '\0';
	return inet_pton(AF_INET6, host, &a) == 1;
}

static bool
is_node_name(const char *text)
{
	size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.");

	return n > 0 && n <= NODE_MAX && text[n] == '\0';
}

static bool
is_last_name(enum config_key k, const char *name)
{
	const char *last = strrchr(info[k].path, '.');

	return last != NULL && strcmp(last, name) == 0;
}

/* NULL: nothing. */
static const char *
wrong_durability(const char *text)
{
	const char *why = NULL;
	struct slice filter;
	bool disk;

	while (config_durability_next(&text, &filter, &disk, &why) == 0)
		continue;
	return why;
}

/* What type and range do not say. */
static int
check_rules(enum config_key k, const char *text, const struct value *v, struct config_error *e)
{
	uint16_t min, max;
	const char *why;
	int64_t n;

	if (k == CONFIG_K_node && !is_node_name(text))
		return refuse_by_rule(k, text, "a name has 1 to 64 letters, digits, \"-\", \"_\" and \".\"", e);
	if (k == CONFIG_K_workers && strcmp(text, "auto") != 0 && (parse_number(text, NULL, &n) != 0 || n < 1 || n > 64))
		return refuse_by_rule(k, text, "valid: auto, or a whole number, 1 to 64", e);
	if (k == CONFIG_K_run_dir && strlen(text) > RUN_DIR_MAX)
		return refuse_by_rule(k, text, "at most 80 bytes, since paths of sockets are short", e);
	if (is_last_name(k, ".bind") && text[0] != '\0' && !is_address(text))
		return refuse_by_rule(k, text, "valid: an IPv4 or IPv6 address, or \"\" for all", e);
	if (k == CONFIG_K_valid_keep_alive && !config_range(text, &min, &max))
		return refuse(k, text, "is no range", FB_EINVAL, e);
	if (k == CONFIG_K_alternate && text[0] != '\0' && strcmp(text, "none") != 0 && !config_server(text))
		return refuse(k, text, "is no address of a server", FB_EINVAL, e);
	if (k == CONFIG_K_durability_topics && (why = wrong_durability(text)) != NULL)
		return refuse_by_rule(k, text, why, e);
	if (is_last_name(k, ".path") && text[0] != '\0' && text[0] != '/')
		return refuse_by_rule(k, text, "a path begins with /", e);
	if (k == CONFIG_K_auth_scrypt_n && (v->number & (v->number - 1)) != 0)
		return refuse_by_rule(k, text, "not a power of two; valid: 1024, 2048, 4096 ... 1048576", e);
	return 0;
}

static int
parse_text(enum config_key k, const char *text, struct config_error *e)
{
	const char *words = info[k].min;

	if (!utf8_clean(slice_str(text)))
		return refuse_by_rule(k, text, "control characters or bytes that are not UTF-8", e);
	if (words[0] == '\0' || is_word_of(text, words))
		return 0;
	if (is_last_name(k, ".durability") && strcmp(text, "quorum") == 0)
		return refuse_by_rule(k, text, "comes with the cluster; valid: memory, disk", e);
	return refuse(k, text, "is none of the words", FB_EINVAL, e);
}

static int
parse(enum config_key k, const char *text, struct value *v, struct config_error *e)
{
	const struct config_info *i = &info[k];
	int err = 0;

	if (strlen(text) >= CONFIG_VALUE_MAX)
		return refuse_by_rule(k, text, "longer than 1023 bytes", e);
	v->text = text;
	switch (i->type) {
	case CONFIG_BOOL:
		err = parse_bool(text, &v->number);
		break;
	case CONFIG_NUMBER:
	case CONFIG_BYTES:
	case CONFIG_SECONDS:
		err = parse_number(text, units_of(i->type), &v->number);
		if (err == 0 && !in_range(i, v->number))
			err = FB_ERANGE;
		break;
	case CONFIG_REAL:
		err = parse_real(text, &v->real);
		if (err == 0 && ((i->min[0] != '\0' && v->real < strtod(i->min, NULL)) ||
		    (i->max[0] != '\0' && v->real > strtod(i->max, NULL))))
			err = FB_ERANGE;
		break;
	case CONFIG_TEXT:
		err = parse_text(k, text, e);
		if (err != 0)
			return err;
		break;
	}
	if (err != 0)
		return refuse(k, text, err == FB_ERANGE ? "is out of range" : "is not valid", err, e);
	return check_rules(k, text, v, e);
}

static void
keep(struct config *c, enum config_key k, const struct value *v, enum config_source source)
{
	void *f = field_at(c, k);

	switch (info[k].type) {
	case CONFIG_BOOL:
		*(bool *)f = v->number != 0;
		break;
	case CONFIG_NUMBER:
	case CONFIG_BYTES:
	case CONFIG_SECONDS:
		*(int64_t *)f = v->number;
		break;
	case CONFIG_REAL:
		*(double *)f = v->real;
		break;
	case CONFIG_TEXT: {
		char *old = *(char **)f;

		*(char **)f = mem_strdup(v->text);
		mem_free(old);
		break;
	}
	}
	c->source[k] = (uint8_t)source;
}

void
config_init(struct config *c)
{
	struct config_error e;

	memset(c, 0, sizeof *c);
	for (enum config_key k = 0; k < CONFIG_KEY_COUNT; k++) {
		struct value v = { 0, 0, NULL };
		int err = parse(k, info[k].def, &v, &e);

		FB_ASSERT(err == 0);
		keep(c, k, &v, CONFIG_DEFAULT);
	}
}

void
config_fini(struct config *c)
{
	for (enum config_key k = 0; k < CONFIG_KEY_COUNT; k++)
		if (info[k].type == CONFIG_TEXT)
			mem_free(*(char **)field_at(c, k));
	memset(c, 0, sizeof *c);
}

void
config_copy(struct config *to, const struct config *from)
{
	struct config c = *from;

	for (enum config_key k = 0; k < CONFIG_KEY_COUNT; k++)
		if (info[k].type == CONFIG_TEXT)
			*(char **)field_at(&c, k) = mem_strdup(*(char **)field_at(from, k));
	config_fini(to);
	*to = c;
}

int
config_set(struct config *c, const char *path, const char *value, enum config_source source, struct config_error *e)
{
	enum config_key k = config_find(path, NULL);
	struct value v = { 0, 0, NULL };
	int err;

	if (k == CONFIG_KEY_COUNT) {
		config_unknown(path, e);
		return FB_ENOENT;
	}
	err = parse(k, value, &v, e);
	if (err == 0 && source >= (enum config_source)c->source[k])
		keep(c, k, &v, source);
	return err;
}

static void
print_number(int64_t n, const struct unit *u, char *out, size_t size)
{
	for (; n != 0 && u != NULL && u->name != NULL; u++)
		if (u->shown && n % u->factor == 0) {
			snprintf(out, size, "%" PRId64 "%s", n / u->factor, u->name);
			return;
		}
	snprintf(out, size, "%" PRId64, n);
}

const char *
config_get(const struct config *c, enum config_key k, char *out, size_t size)
{
	const void *f = field_at(c, k);

	switch (config_info(k)->type) {
	case CONFIG_BOOL:
		snprintf(out, size, "%s", *(const bool *)f ? "true" : "false");
		break;
	case CONFIG_NUMBER:
	case CONFIG_BYTES:
	case CONFIG_SECONDS:
		print_number(*(const int64_t *)f, units_of(info[k].type), out, size);
		break;
	case CONFIG_REAL:
		snprintf(out, size, "%.15g", *(const double *)f);
		if (strtod(out, NULL) != *(const double *)f)
			snprintf(out, size, "%.17g", *(const double *)f);
		break;
	case CONFIG_TEXT:
		snprintf(out, size, "%s", *(char *const *)f);
		break;
	}
	return out;
}

bool
config_equal(const struct config *a, const struct config *b, enum config_key k)
{
	const void *x = field_at(a, k), *y = field_at(b, k);

	switch (config_info(k)->type) {
	case CONFIG_BOOL:
		return *(const bool *)x == *(const bool *)y;
	case CONFIG_NUMBER:
	case CONFIG_BYTES:
	case CONFIG_SECONDS:
		return *(const int64_t *)x == *(const int64_t *)y;
	case CONFIG_REAL:
		return !(*(const double *)x < *(const double *)y) && !(*(const double *)x > *(const double *)y);
	case CONFIG_TEXT:
		return strcmp(*(char *const *)x, *(char *const *)y) == 0;
	}
	return false;
}
