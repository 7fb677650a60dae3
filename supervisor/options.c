/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/options.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/mem.h"

const char options_help[] =
	"fubard - MQTT broker\n"
	"\n"
	"usage: fubard [option]...\n"
	"  -c, --config FILE        configuration file, see fubar.yaml(5); without one the defaults hold\n"
	"      --node NAME          name of this node\n"
	"      --bind ADDR          address of all listeners; default: all addresses\n"
	"      --mqtt-port N        port of the MQTT listener; 0: off; -1: the kernel chooses\n"
	"      --mqtts-port N       port of the MQTT listener over TLS\n"
	"      --http-port N        port of the WebSocket listener\n"
	"      --https-port N       port of the WebSocket listener over TLS\n"
	"      --workers N          number of worker processes, or auto\n"
	"      --data-dir DIR       directory of the store\n"
	"      --run-dir DIR        directory of sockets and the list of ports\n"
	"      --set KEY=VALUE      any key of the configuration; may be given again\n"
	"  -n, --check              check the configuration and exit\n"
	"  -p, --print-config       print the configuration and exit\n"
	"      --doctor             check what the machine offers, say what to do about it, and exit\n"
	"      --restore DIR        put a backup in place of the data, while no fubard runs, and exit\n"
	"      --version            print the version and exit\n"
	"  -h, --help               print this and exit\n"
	"\n"
	"It runs in the foreground and prints \"fubard: ready\" when it serves. SIGTERM stops it, SIGHUP reads the\n"
	"configuration again, SIGUSR1 opens the log files anew. See fubard(8).\n";

enum { OPT_SET = 256, OPT_BIND, OPT_DOCTOR, OPT_RESTORE, OPT_VERSION, OPT_KEY, OPT_LATER = OPT_KEY + 16 };

/* Flags that stand for a key: OPT_KEY + index. */
static const char *const keys[] = {
	"node", "listeners.mqtt.port", "workers", "data_dir", "run_dir", "listeners.mqtts.port", "listeners.ws.port",
	"listeners.wss.port",
};

/* Flags of a later build: OPT_LATER + index. A port of 0 means off, which it is. */
static const struct { const char *flag, *what; bool port; } laters[] = {
	{ "cluster-port", "cluster", true },
	{ "master", "cluster", false },
	{ "cookie-file", "cluster", false },
};

static const struct option longs[] = {
	{ "config", required_argument, NULL, 'c' },
	{ "node", required_argument, NULL, OPT_KEY },
	{ "bind", required_argument, NULL, OPT_BIND },
	{ "mqtt-port", required_argument, NULL, OPT_KEY + 1 },
	{ "workers", required_argument, NULL, OPT_KEY + 2 },
	{ "data-dir", required_argument, NULL, OPT_KEY + 3 },
	{ "run-dir", required_argument, NULL, OPT_KEY + 4 },
	{ "mqtts-port", required_argument, NULL, OPT_KEY + 5 },
	{ "http-port", required_argument, NULL, OPT_KEY + 6 },
	{ "https-port", required_argument, NULL, OPT_KEY + 7 },
	{ "set", required_argument, NULL, OPT_SET },
	{ "check", no_argument, NULL, 'n' },
	{ "print-config", no_argument, NULL, 'p' },
	{ "doctor", no_argument, NULL, OPT_DOCTOR },
	{ "restore", required_argument, NULL, OPT_RESTORE },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ "help", no_argument, NULL, 'h' },
	{ "cluster-port", required_argument, NULL, OPT_LATER },
	{ "master", required_argument, NULL, OPT_LATER + 1 },
	{ "cookie-file", required_argument, NULL, OPT_LATER + 2 },
	{ NULL, 0, NULL, 0 },
};

static void
add_set(struct options *o, const char *path, size_t path_len, const char *value)
{
	o->set = mem_realloc(o->set, (o->set_count + 1) * sizeof o->set[0]);
	o->set[o->set_count++] = (struct options_set){ mem_dup(path, path_len), mem_strdup(value) };
}

/* --bind is for every listener. */
static void
add_binds(struct options *o, const char *value)
{
	static const char *const paths[] = {
#define LISTENER(field, name, kind, port) "listeners." name ".bind",
#include "common/config/listeners.def"
#undef LISTENER
	};

	for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
		add_set(o, paths[i], strlen(paths[i]), value);
}

/* Later the working directory may be another, or another user's to read. */
static char *
absolute(const char *path)
{
	char cwd[PATH_MAX];
	size_t size;
	char *full;

	if (path[0] == '/' || getcwd(cwd, sizeof cwd) == NULL)
		return mem_strdup(path);
	size = strlen(cwd) + strlen(path) + 2;
	full = mem_alloc(size);
	snprintf(full, size, "%s/%s", cwd, path);
	return full;
}

static int
take_set(struct options *o, const char *text, struct config_error *e)
{
	const char *eq = strchr(text, '=');

	if (eq == NULL || eq == text) {
		snprintf(e->text, sizeof e->text, "--set %s: must be KEY=VALUE, such as --set mqtt.max_qos=1", text);
		return FB_ESYNTAX;
	}
	add_set(o, text, (size_t)(eq - text), eq + 1);
	return 0;
}

static int
take_later(size_t i, const char *value, struct config_error *e)
{
	if (laters[i].port && strcmp(value, "0") == 0)
		return 0;
	snprintf(e->text, sizeof e->text, "--%s: this build has no %s yet", laters[i].flag, laters[i].what);
	return FB_ESYNTAX;
}

static int
take(struct options *o, int c, const char *value, struct config_error *e)
{
	switch (c) {
	case 'c':
		mem_free(o->file);
		o->file = absolute(value);
		return 0;
	case 'n':
		o->mode = OPTIONS_CHECK;
		return 0;
	case 'p':
		o->mode = OPTIONS_PRINT;
		return 0;
	case 'h':
		o->mode = OPTIONS_HELP;
		return 0;
	case OPT_DOCTOR:
		o->mode = OPTIONS_DOCTOR;
		return 0;
	case OPT_RESTORE:
		o->mode = OPTIONS_RESTORE;
		mem_free(o->backup);
		o->backup = absolute(value);
		return 0;
	case OPT_VERSION:
		o->mode = OPTIONS_VERSION;
		return 0;
	case OPT_SET:
		return take_set(o, value, e);
	case OPT_BIND:
		add_binds(o, value);
		return 0;
	default:
		if (c >= OPT_LATER)
			return take_later((size_t)(c - OPT_LATER), value, e);
		add_set(o, keys[c - OPT_KEY], strlen(keys[c - OPT_KEY]), value);
		return 0;
	}
}

int
options_parse(struct options *o, int argc, char **argv, struct config_error *e)
{
	int c;
	int err;

	*o = (struct options){ .mode = OPTIONS_RUN };
	optind = 1;
	opterr = 0;
	while ((c = getopt_long(argc, argv, ":c:nph", longs, NULL)) != -1) {
		if (c == ':') {
			snprintf(e->text, sizeof e->text, "%s: a value is missing behind it", argv[optind - 1]);
			return FB_ESYNTAX;
		}
		if (c == '?') {
			snprintf(e->text, sizeof e->text, "%s: no such option, or no value belongs there; --help lists all",
			    argv[optind - 1]);
			return FB_ESYNTAX;
		}
		err = take(o, c, optarg, e);
		if (err != 0)
			return err;
	}
	if (optind < argc) {
		snprintf(e->text, sizeof e->text, "%s: only options are taken; --help lists them", argv[optind]);
		return FB_ESYNTAX;
	}
	return 0;
}

void
options_fini(struct options *o)
{
	for (size_t i = 0; i < o->set_count; i++) {
		mem_free(o->set[i].path);
		mem_free(o->set[i].value);
	}
	mem_free(o->set);
	mem_free(o->file);
	mem_free(o->backup);
}
