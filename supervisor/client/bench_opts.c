/* SPDX-License-Identifier: Apache-2.0
 * supervisor/client/bench_opts.c - options of the load generator. */
#include <stdio.h>
#include <string.h>

#include "supervisor/client/bench.h"
#include "common/base/err.h"
#include "common/base/rand.h"

enum {
#define OPT(ID, letter, name, arg, who, help) OPT_##ID,
#include "supervisor/client/bench.def"
#undef OPT
};

static const struct opt_row rows[] = {
#define OPT(ID, letter, name, arg, who, help) { letter, name, arg, who, help },
#include "supervisor/client/bench.def"
#undef OPT
};

static const char *const mode_names[] = { "conn", "1to1", "fanin", "fanout", "retained" };

const char *
bench_mode_name(enum bench_mode mode)
{
	return mode_names[mode];
}

void
bench_opts_help(void)
{
	struct opt o = { .rows = rows, .row_count = sizeof rows / sizeof rows[0], .who = 1 };

	printf("usage: fubar-client bench conn|1to1|fanin|fanout|retained [OPTION]...\n\n"
	       "  conn      connections: how many a second, and how long each takes\n"
	       "  1to1      each publisher has a topic and a subscriber of its own\n"
	       "  fanin     many publishers, one topic, one subscriber\n"
	       "  fanout    one publisher, one topic, many subscribers\n"
	       "  retained  sets retained messages, then fetches them all\n\n");
	opt_help(&o);
}

static bool
find_mode(struct opt *opt, const char *word, bool *have, enum bench_mode *out)
{
	for (size_t i = 0; i < sizeof mode_names / sizeof mode_names[0]; i++) {
		if (strcmp(word, mode_names[i]) == 0 && !*have) {
			*out = (enum bench_mode)i;
			*have = true;
			return true;
		}
	}
	snprintf(opt->error, sizeof opt->error, "'%.40s' is not what to measure: conn, 1to1, fanin, fanout or retained",
	    word);
	return false;
}

static bool
take_u32(struct opt *opt, int row, const char *value, uint32_t min, uint32_t max, uint32_t *out)
{
	uint64_t v;

	if (!opt_number(opt, row, value, min, max, &v))
		return false;
	*out = (uint32_t)v;
	return true;
}

static bool
take_pids(struct opt *opt, const char *value, struct proc_set *out)
{
	if (proc_parse(out, value))
		return true;
	snprintf(opt->error, sizeof opt->error, "--broker-pid: '%.60s' is not a list of process ids", value);
	return false;
}

static bool
set_flag(bool *flag)
{
	*flag = true;
	return true;
}

static bool
set_text(const char **out, const char *value)
{
	*out = value;
	return true;
}

/* Numbers that are not given are 0 (level, warm-up and QoS: UINT8_MAX or negative) until set_defaults(). */
static bool
take_option(struct bench_opts *o, struct opt *opt, int row, const char *value)
{
	uint32_t v = 0;

	if (row < NET_OPT_COUNT)
		return net_option(&o->net, opt, row, value);
	switch (row) {
	case OPT_LEVEL: return opt_level(opt, row, value, &o->level);
	case OPT_USER: return set_text(&o->user, value);
	case OPT_PASSWORD: return set_text(&o->password, value);
	case OPT_PREFIX: return set_text(&o->prefix, value);
	case OPT_QOS:
		if (!take_u32(opt, row, value, 0, 2, &v))
			return false;
		o->qos = (uint8_t)v;
		return true;
	case OPT_SIZE: return take_u32(opt, row, value, TRAFFIC_MIN_SIZE, 64 << 20, &o->size);
	case OPT_PAIRS:
	case OPT_PUBS: return take_u32(opt, row, value, 1, 1000000, &o->pubs);
	case OPT_SUBS: return take_u32(opt, row, value, 1, 1000000, &o->subs);
	case OPT_CLIENTS: return take_u32(opt, row, value, 1, 1000000, &o->clients);
	case OPT_WINDOW: return take_u32(opt, row, value, 1, 1 << 20, &o->window);
	case OPT_RATE: return opt_real(opt, row, value, 0.001, 1e9, &o->rate);
	case OPT_DURATION: return opt_real(opt, row, value, 0.01, 1e6, &o->duration_s);
	case OPT_MESSAGES: return opt_number(opt, row, value, 1, UINT32_MAX, &o->messages);
	case OPT_WARMUP: return opt_real(opt, row, value, 0, 1e6, &o->warmup_s);
	case OPT_CROSS: return set_flag(&o->cross);
	case OPT_ADMIN_SOCKET: return set_text(&o->admin_socket, value);
	case OPT_RETAIN: return set_flag(&o->retain);
	case OPT_IDLE: return take_u32(opt, row, value, 0, 1000000, &o->idle);
	case OPT_SUBSCRIBE: return take_u32(opt, row, value, 0, 100000000, &o->subscribe);
	case OPT_HOLD: return opt_real(opt, row, value, 0, 1e9, &o->hold_s);
	case OPT_STALL: return opt_real(opt, row, value, 0.1, 1e6, &o->stall_s);
	case OPT_CONCURRENCY: return take_u32(opt, row, value, 1, 1000000, &o->concurrency);
	case OPT_BROKER_PID: return take_pids(opt, value, &o->procs);
	case OPT_SLOPE: return set_flag(&o->slope);
	case OPT_SPIN: return set_flag(&o->spin);
	case OPT_ALLOW_LOSS: return set_flag(&o->allow_loss);
	case OPT_JSON: return set_flag(&o->json);
	case OPT_QUIET: return set_flag(&o->quiet);
	default: return set_flag(&o->help);
	}
}

static void
set_u32(uint32_t *v, uint32_t value)
{
	if (*v == 0)
		*v = value;
}

static void
set_defaults(struct bench_opts *o)
{
	static const uint32_t pubs[] = { 0, 50, 100, 1, 1 };
	static const uint32_t subs[] = { 0, 0, 1, 1000, 0 };

	if (o->prefix == NULL) {
		uint32_t v;

		rand_bytes(&v, sizeof v);
		snprintf(o->prefix_made, sizeof o->prefix_made, "fb%04x-", v & 0xFFFF);
		o->prefix = o->prefix_made;
	}
	if (o->qos == UINT8_MAX)
		o->qos = o->mode == BENCH_RETAINED ? 1 : 0;
	set_u32(&o->size, 64);
	set_u32(&o->pubs, pubs[o->mode]);
	set_u32(&o->subs, subs[o->mode]);
	if (o->mode == BENCH_1TO1)
		o->subs = o->pubs;
	set_u32(&o->clients, 1000);
	set_u32(&o->window, o->mode == BENCH_FANOUT ? 10 : 100);
	set_u32(&o->concurrency, 64);
	if (o->warmup_s < 0)
		o->warmup_s = o->messages > 0 ? 0 : 1;
	if (o->duration_s <= 0)
		o->duration_s = 5;
	if (o->messages == 0 && o->mode == BENCH_RETAINED)
		o->messages = 100000;
	if (o->subscribe > 0 && o->idle == 0 && o->mode != BENCH_CONN)
		o->idle = o->subscribe < 100 ? o->subscribe : 100;
}

static bool
check(struct bench_opts *o, struct opt *opt, bool have_mode)
{
	const char *wrong = NULL;

	if (o->user == NULL && o->net.rest.user[0] != 0)
		o->user = o->net.rest.user;
	if (o->password == NULL && o->net.rest.has_password)
		o->password = o->net.rest.password;

	if (!have_mode)
		wrong = "say what to measure: conn, 1to1, fanin, fanout or retained";
	else if (o->slope && o->procs.root_count == 0)
		wrong = "--slope needs --broker-pid";
	else if (o->slope && o->mode != BENCH_CONN && o->mode != BENCH_RETAINED)
		wrong = "--slope is for conn and retained";
	else if (o->password != NULL && o->user == NULL && o->level < 5)
		wrong = "--password needs --user";
	else if (o->qos > 0 && o->qos != UINT8_MAX && o->window > 32767)
		wrong = "--window: at most 32767 at QoS 1 and 2";
	else if (o->prefix != NULL && strpbrk(o->prefix, "+#") != NULL)
		wrong = "--clients-prefix: it is the start of topics, so no + or #";
	else if (o->net.rest.path[0] != 0)
		wrong = "--url: a topic has no place here";
	if (wrong != NULL)
		snprintf(opt->error, sizeof opt->error, "%s", wrong);
	return wrong == NULL;
}

int
bench_opts_parse(struct bench_opts *o, char **argv, char *error, size_t error_size)
{
	struct opt opt = { .rows = rows, .row_count = sizeof rows / sizeof rows[0], .who = 1, .argv = argv };
	bool have_mode = false;
	const char *value;
	bool ok = true;
	int row;

	memset(o, 0, sizeof *o);
	net_init(&o->net);
	o->level = 4;
	o->qos = UINT8_MAX;
	o->warmup_s = -1;
	o->stall_s = 5;
	while (ok && (row = opt_next(&opt, &value)) != OPT_END) {
		if (row == OPT_WORD)
			ok = find_mode(&opt, value, &have_mode, &o->mode);
		else
			ok = row != OPT_ERROR && take_option(o, &opt, row, value);
	}
	if (ok && o->help)
		return 0;
	if (!ok || !check(o, &opt, have_mode)) {
		snprintf(error, error_size, "%s", opt.error);
		return FB_EINVAL;
	}
	set_defaults(o);
	return 0;
}
