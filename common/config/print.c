/* SPDX-License-Identifier: Apache-2.0
 * common/config/print.c - rows of keys.def to nested YAML. Relies on each section being one block of rows. */
#include "common/config/print.h"

#include <string.h>

static void
indent(FILE *f, unsigned depth)
{
	fprintf(f, "%*s", (int)(2 * depth), "");
}

/* Opens the sections of path that the row before did not share; returns its depth. */
static unsigned
open_sections(FILE *f, const char *path, const char *before)
{
	unsigned depth = 0;
	bool shared = true;

	for (const char *name = path;; depth++) {
		size_t n = strcspn(name, ".");
		size_t all = (size_t)(name - path) + n;

		if (name[n] == '\0')
			return depth;
		shared = shared && strncmp(path, before, all) == 0 && before[all] == '.';
		if (!shared) {
			indent(f, depth);
			fprintf(f, "%.*s:\n", (int)n, name);
		}
		name += n + 1;
	}
}

/* Values hold no control characters, so what is left to escape are quotes, backslashes, and the three characters that
 * YAML takes as line ends or refuses: U+2028, U+2029, U+FEFF. */
static void
print_text(FILE *f, const char *s)
{
	static const char *const special[][2] = {
		{ "\"", "\\\"" }, { "\\", "\\\\" }, { "\xe2\x80\xa8", "\\u2028" }, { "\xe2\x80\xa9", "\\u2029" },
		{ "\xef\xbb\xbf", "\\uFEFF" },
	};

	putc('"', f);
	while (*s != '\0') {
		size_t i = 0;

		while (i < sizeof special / sizeof special[0] && strncmp(s, special[i][0], strlen(special[i][0])) != 0)
			i++;
		if (i < sizeof special / sizeof special[0]) {
			fputs(special[i][1], f);
			s += strlen(special[i][0]);
		} else {
			putc(*s++, f);
		}
	}
	putc('"', f);
}

void
config_print(FILE *f, const struct config *c)
{
	static const char *const from[] = { "", "  # from the file", "  # set at run time", "  # from the command line" };
	const char *before = "";
	char text[CONFIG_VALUE_MAX];

	for (enum config_key k = 0; k < CONFIG_KEY_COUNT; k++) {
		const struct config_info *i = config_info(k);
		const char *name = strrchr(i->path, '.');

		if (c->source[k] == CONFIG_DEFAULT && config_is_spare(k))
			continue;
		indent(f, open_sections(f, i->path, before));
		fprintf(f, "%s: ", name != NULL ? name + 1 : i->path);
		config_get(c, k, text, sizeof text);
		if (i->type == CONFIG_TEXT && i->min[0] == '\0')
			print_text(f, text);
		else
			fputs(text, f);
		fprintf(f, "%s\n", from[c->source[k]]);
		before = i->path;
	}
}
