/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supervisor/client/simulate.h"
#include "common/base/err.h"

enum {
#define OPT(ID, letter, name, arg, who, help) OPT_##ID,
#include "supervisor/client/simulate.def"
#undef OPT
};

static const struct opt_row rows[] = {
#define OPT(ID, letter, name, arg, who, help) { letter, name, arg, who, help },
#include "supervisor/client/simulate.def"
#undef OPT
};

static const char *const mix_names[MIX_COUNT] = { "topic", "direct", "qos0", "qos1", "qos2" };

void
simulate_opts_help(void)
{
	struct opt o = { .rows = rows, .row_count = sizeof rows / sizeof rows[0], .who = 1 };

	printf("usage: fubar-client simulate [OPTION]...\nClients that come and go and write to each other; reports what went "
	    "wrong.\n\n");
	opt_help(&o);
}

static bool
fail(struct opt *opt, const char *text)
{
	snprintf(opt->error, sizeof opt->error, "%s", text);
	return false;
}

static bool
take_ids(struct simulate_opts *o, struct opt *opt, const char *value)
{
	char *end = NULL;
	unsigned long first = strtoul(value, &end, 10);
	unsigned long last;

	if (value[0] < '0' || value[0] > '9' || *end != '-' || end[1] < '0' || end[1] > '9')
		return fail(opt, "--ids: a range, such as 1-100");
	last = strtoul(end + 1, &end, 10);
	if (*end != 0 || last < first || last > 1000000000 || last - first >= 1000000)
		return fail(opt, "--ids: a range of at most a million ids, such as 1-100");
	o->first = (uint32_t)first;
	o->last = (uint32_t)last;
	return true;
}

/* One "kind=weight" of len bytes. */
static bool
take_kind(struct simulate_opts *o, const char *text, size_t len)
{
	for (int i = 0; i < MIX_COUNT; i++) {
		size_t n = strlen(mix_names[i]);
		char *end = NULL;
		unsigned long weight;

		if (len < n + 2 || strncmp(text, mix_names[i], n) != 0 || text[n] != '=' || text[n + 1] < '0' || text[n + 1] > '9')
			continue;
		weight = strtoul(text + n + 1, &end, 10);
		if (end != text + len || weight > 1000000)
			return false;
		o->mix[i] = (uint32_t)weight;
		return true;
	}
	return false;
}

static bool
take_mix(struct simulate_opts *o, struct opt *opt, const char *value)
{
	memset(o->mix, 0, sizeof o->mix);
	for (const char *p = value; *p != 0;) {
		size_t len = strcspn(p, ",");

		if (!take_kind(o, p, len))
			return fail(opt, "--mix: topic, direct, qos0, qos1, qos2, each with =WEIGHT, by commas");
		p += len + (p[len] == ',');
	}
	/* Of what sort none is named, all of it is as likely. */
	if (o->mix[MIX_TOPIC] + o->mix[MIX_DIRECT] == 0)
		o->mix[MIX_TOPIC] = o->mix[MIX_DIRECT] = 1;
	if (o->mix[MIX_QOS0] + o->mix[MIX_QOS1] + o->mix[MIX_QOS2] == 0)
		o->mix[MIX_QOS0] = o->mix[MIX_QOS1] = o->mix[MIX_QOS2] = 1;
	return true;
}

static bool
take_number(struct opt *opt, int row, const char *value, uint64_t min, uint64_t max, uint64_t *out)
{
	return opt_number(opt, row, value, min, max, out);
}

static bool
set_flag(bool *flag)
{
	return *flag = true;
}

static bool
set_text(const char **out, const char *value)
{
	*out = value;
	return true;
}

static bool
take_small(struct simulate_opts *o, struct opt *opt, int row, const char *value)
{
	uint64_t v = 0;

	if (!take_number(opt, row, value, row == OPT_SIZE ? SIMULATE_MIN_SIZE : 0,
	    row == OPT_SIZE ? 64 << 20 : row == OPT_DROP ? 100 : UINT16_MAX, &v))
		return false;
	if (row == OPT_SIZE)
		o->size = (uint32_t)v;
	else if (row == OPT_DROP)
		o->drop_percent = (uint32_t)v;
	else if (row == OPT_KEEP_ALIVE)
		o->keep_alive_s = (uint16_t)v;
	else
		o->redirects = (uint16_t)v;
	return true;
}

static bool
take_option(struct simulate_opts *o, struct opt *opt, int row, const char *value)
{
	if (row < NET_OPT_COUNT)
		return net_option(&o->net, opt, row, value);
	switch (row) {
	case OPT_LEVEL: return opt_level(opt, row, value, &o->level);
	case OPT_USER: return set_text(&o->user, value);
	case OPT_PASSWORD: return set_text(&o->password, value);
	case OPT_IDS: return take_ids(o, opt, value);
	case OPT_PREFIX: return set_text(&o->prefix, value);
	case OPT_RATE: return opt_real(opt, row, value, 0.001, 1e6, &o->rate);
	case OPT_RECONNECT: return opt_real(opt, row, value, 0, 1e9, &o->reconnect_s);
	case OPT_AWAY: return opt_real(opt, row, value, 0, 1e9, &o->away_s);
	case OPT_PUBLISH: return opt_real(opt, row, value, 0, 1e9, &o->publish_s);
	case OPT_DURATION: return opt_real(opt, row, value, 0, 1e9, &o->duration_s);
	case OPT_SETTLE: return opt_real(opt, row, value, 0, 1e6, &o->settle_s);
	case OPT_MIX: return take_mix(o, opt, value);
	case OPT_DROP:
	case OPT_SIZE:
	case OPT_KEEP_ALIVE:
	case OPT_REDIRECTS: return take_small(o, opt, row, value);
	case OPT_SEED: return take_number(opt, row, value, 0, UINT64_MAX, &o->seed);
	case OPT_CLEAN: return set_flag(&o->clean);
	case OPT_JSON: return set_flag(&o->json);
	case OPT_QUIET: return set_flag(&o->quiet);
	default: return set_flag(&o->help);
	}
}

static void
set_defaults(struct simulate_opts *o)
{
	uint64_t v;

	memset(o, 0, sizeof *o);
	net_init(&o->net);
	rand_bytes(&v, sizeof v);
	o->seed = v >> 32;
	snprintf(o->prefix_made, sizeof o->prefix_made, "fb%04x-", (unsigned)(v & 0xFFFF));
	o->prefix = o->prefix_made;
	o->first = 1;
	o->last = 100;
	o->size = 64;
	o->drop_percent = 50;
	o->rate = 100;
	o->reconnect_s = 10;
	o->away_s = 1;
	o->publish_s = 1;
	o->duration_s = 10;
	o->settle_s = 5;
	o->keep_alive_s = 60;
	o->level = 4;
	for (int i = 0; i < MIX_COUNT; i++)
		o->mix[i] = 1;
}

static bool
check(struct simulate_opts *o, struct opt *opt)
{
	if (o->user == NULL && o->net.rest.user[0] != 0)
		o->user = o->net.rest.user;
	if (o->password == NULL && o->net.rest.has_password)
		o->password = o->net.rest.password;
	if (o->net.rest.path[0] != 0)
		return fail(opt, "--url: a topic has no place here");
	if (o->password != NULL && o->user == NULL && o->level < 5)
		return fail(opt, "--password needs --user");
	if (strpbrk(o->prefix, "+#") != NULL || *o->prefix == 0 || strlen(o->prefix) > 60)
		return fail(opt, "--clients-prefix: it is the start of topics, 1 to 60 bytes without + and #");
	return true;
}

int
simulate_opts_parse(struct simulate_opts *o, char **argv, char *error, size_t error_size)
{
	struct opt opt = { .rows = rows, .row_count = sizeof rows / sizeof rows[0], .who = 1, .argv = argv };
	const char *value;
	bool ok = true;
	int row;

	set_defaults(o);
	while (ok && (row = opt_next(&opt, &value)) != OPT_END) {
		if (row == OPT_WORD) {
			snprintf(opt.error, sizeof opt.error, "'%.40s' is no option", value);
			ok = false;
		} else {
			ok = row != OPT_ERROR && take_option(o, &opt, row, value);
		}
	}
	if (ok && (o->help || check(o, &opt)))
		return 0;
	snprintf(error, error_size, "%s", opt.error);
	return FB_EINVAL;
}
