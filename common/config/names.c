/* SPDX-License-Identifier: Apache-2.0
 * common/config/names.c - paths of keys and sections: finding them, and what to say of one that is not there. */
#include <stdio.h>
#include <string.h>

#include "common/base/guess.h"
#include "common/base/utf8.h"
#include "common/config/config.h"

/* Names that the manual of a later version has: the answer is not "unknown". */
static const char *const later[] = {
	"sysmon.offloading_threshold",
	"cluster", "server.address",
};

/* Is path section, or behind it? */
static bool
is_under(const char *path, const char *section)
{
	size_t n = strlen(section);

	return strncmp(path, section, n) == 0 && (path[n] == '\0' || path[n] == '.');
}

bool
config_is_section(const char *path)
{
	for (enum config_key k = 0; k < CONFIG_KEY_COUNT; k++)
		if (is_under(config_info(k)->path, path) && strcmp(config_info(k)->path, path) != 0)
			return true;
	return false;
}

/* "mqtt.max_qos" was meant by "max_qos". */
static bool
is_last_name(const char *typed, const char *path)
{
	size_t t = strlen(typed), n = strlen(path);

	return t > 0 && t < n && path[n - t - 1] == '.' && strcmp(path + n - t, typed) == 0;
}

enum config_key
config_find(const char *path, const char **guess)
{
	unsigned best = GUESS_MAX;

	if (guess != NULL)
		*guess = NULL;
	for (enum config_key k = 0; k < CONFIG_KEY_COUNT; k++)
		if (strcmp(config_info(k)->path, path) == 0)
			return k;
	if (guess == NULL)
		return CONFIG_KEY_COUNT;
	for (enum config_key k = 0; k < CONFIG_KEY_COUNT; k++) {
		const char *known = config_info(k)->path;
		unsigned d = is_last_name(path, known) ? 0 : guess_distance(path, known);

		if (d < best && guess_near(d, path)) {
			best = d;
			*guess = known;
		}
	}
	return CONFIG_KEY_COUNT;
}

/* The nearest section in out; false: none is near. */
static bool
guess_section(const char *path, unsigned below, char *out, size_t size)
{
	bool found = false;

	for (enum config_key k = 0; k < CONFIG_KEY_COUNT; k++) {
		const char *known = config_info(k)->path;

		for (const char *dot = strchr(known, '.'); dot != NULL; dot = strchr(dot + 1, '.')) {
			char section[GUESS_MAX];
			unsigned d;

			snprintf(section, sizeof section, "%.*s", (int)(dot - known), known);
			d = guess_distance(path, section);
			if (d < below && guess_near(d, path)) {
				below = d;
				found = true;
				snprintf(out, size, "%s", section);
			}
		}
	}
	return found;
}

/* The names right below a section ("": the top), in the order of the table, where each section is one block. */
static void
list_names(const char *section, char *out, size_t size)
{
	size_t skip = section[0] == '\0' ? 0 : strlen(section) + 1;
	const char *last = "";
	size_t last_len = 0, used = 0;

	out[0] = '\0';
	for (enum config_key k = 0; k < CONFIG_KEY_COUNT; k++) {
		const char *path = config_info(k)->path;
		size_t n;

		if ((skip > 0 && !is_under(path, section)) || strlen(path) <= skip)
			continue;
		path += skip;
		n = strcspn(path, ".");
		if (n == last_len && strncmp(path, last, n) == 0)
			continue;
		last = path;
		last_len = n;
		if (used + n + 6 >= size)
			return;
		used += (size_t)snprintf(out + used, size - used, "%s%.*s", used == 0 ? "" : ", ", (int)n, path);
	}
}

/* The longest known section that path begins with. */
static void
known_part(const char *path, char *out, size_t size)
{
	snprintf(out, size, "%s", path);
	while (out[0] != '\0' && !config_is_section(out)) {
		char *dot = strrchr(out, '.');

		*(dot != NULL ? dot : out) = '\0';
	}
}

void
config_unknown(const char *path, struct config_error *e)
{
	char shown[128], section[GUESS_MAX], names[256];
	const char *guess;

	utf8_show(slice_str(path), shown, sizeof shown);
	for (size_t i = 0; i < sizeof later / sizeof later[0]; i++)
		if (is_under(path, later[i])) {
			snprintf(e->text, sizeof e->text, "%s: not in this version of fubar", shown);
			return;
		}
	config_find(path, &guess);
	if (guess_section(path, guess == NULL ? GUESS_MAX : guess_distance(path, guess), section, sizeof section))
		guess = section;
	if (guess != NULL) {
		snprintf(e->text, sizeof e->text, "%s: no such key; did you mean %s?", shown, guess);
		return;
	}
	known_part(path, section, sizeof section);
	list_names(section, names, sizeof names);
	snprintf(e->text, sizeof e->text, "%s: no such key; valid%s%s: %s", shown, section[0] != '\0' ? " in " : "",
	    section, names);
}
