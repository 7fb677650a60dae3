/* SPDX-License-Identifier: Apache-2.0
 * The configuration file from any bytes: what is taken must print, and read back equal. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/config/print.h"
#include "common/config/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
round_trip(const struct config *c)
{
	struct config again;
	struct config_error e;
	char *out = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&out, &n);

	FB_ASSERT(f != NULL);
	config_print(f, c);
	fclose(f);
	config_init(&again);
	FB_ASSERT(config_load_text(&again, "printed", slice_of(out, n), &e) == 0);
	for (enum config_key k = 0; k < CONFIG_KEY_COUNT; k++)
		FB_ASSERT(config_equal(c, &again, k));
	config_fini(&again);
	free(out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config c;
	struct config_error e;

	e.text[0] = '\0';
	config_init(&c);
	if (config_load_text(&c, "input", slice_of(data, size), &e) == 0)
		round_trip(&c);
	else
		FB_ASSERT(strncmp(e.text, "input:", 6) == 0);
	config_fini(&c);
	return 0;
}
