/* SPDX-License-Identifier: Apache-2.0
 * common/config/dirs.c - the rules of the XDG base directories, and the system's for root. */
#include "common/config/dirs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/err.h"

static int
join(char *out, size_t size, const char *dir, const char *rest)
{
	int n = snprintf(out, size, "%s%s", dir, rest);

	return n < 0 || (size_t)n >= size ? FB_ETOOBIG : 0;
}

/* The value of an environment variable that must be an absolute path, or NULL. */
static const char *
absolute(const char *name)
{
	const char *v = getenv(name);

	return v != NULL && v[0] == '/' ? v : NULL;
}

/* The directory that systemd made for this unit, the first if it made several. */
static int
of_unit(char *out, size_t size, const char *name)
{
	const char *dir = absolute(name);
	char first[CONFIG_VALUE_MAX];
	size_t len;

	if (dir == NULL)
		return FB_ENOENT;
	len = strcspn(dir, ":");
	if (len >= sizeof first)
		return FB_ETOOBIG;
	memcpy(first, dir, len);
	first[len] = '\0';
	return join(out, size, first, "");
}

/* $XDG_STATE_HOME/rest, or $HOME/.local/state/rest. */
static int
in_state(char *out, size_t size, const char *rest)
{
	const char *dir = absolute("XDG_STATE_HOME");
	char state[CONFIG_VALUE_MAX];

	if (dir != NULL)
		return join(out, size, dir, rest);
	dir = absolute("HOME");
	if (dir == NULL)
		return FB_ENOENT;
	if (join(state, sizeof state, dir, "/.local/state") != 0)
		return FB_ETOOBIG;
	return join(out, size, state, rest);
}

int
dirs_data(const struct config *c, char *out, size_t size)
{
	if (c != NULL && c->data_dir[0] != '\0')
		return join(out, size, c->data_dir, "");
	if (c != NULL && of_unit(out, size, "STATE_DIRECTORY") == 0)
		return 0;
	if (geteuid() == 0)
		return join(out, size, "/var/lib/fubar", "");
	return in_state(out, size, "/fubar");
}

int
dirs_run(const struct config *c, char *out, size_t size)
{
	const char *dir = absolute("XDG_RUNTIME_DIR");

	if (c != NULL && c->run_dir[0] != '\0')
		return join(out, size, c->run_dir, "");
	if (c != NULL && of_unit(out, size, "RUNTIME_DIRECTORY") == 0)
		return 0;
	if (geteuid() == 0)
		return join(out, size, "/run/fubar", "");
	if (dir != NULL)
		return join(out, size, dir, "/fubar");
	return in_state(out, size, "/fubar/run");
}

int
dirs_log(const struct config *c, char *out, size_t size)
{
	if (c->log_dir[0] != '\0')
		return join(out, size, c->log_dir, "");
	if (of_unit(out, size, "LOGS_DIRECTORY") == 0)
		return 0;
	if (geteuid() == 0)
		return join(out, size, "/var/log/fubar", "");
	return in_state(out, size, "/fubar/log");
}
