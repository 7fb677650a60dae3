/* SPDX-License-Identifier: Apache-2.0
 * t/unit/test_conf.c - reads each t/conf/NAME.yaml; NAME.ok holds the error, or "path = value" of each key it set.
 * CONF_WRITE=1 in the environment writes the .ok files instead; look at the difference before you keep it. */
#include "t/support/unit.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "common/config/print.h"
#include "common/config/yaml.h"

static char *
slurp(const char *path, size_t *len)
{
	char *out = NULL;
	FILE *to = open_memstream(&out, len);
	FILE *f = fopen(path, "re");
	int b;

	ck_assert_msg(f != NULL, "no %s", path);
	while ((b = getc(f)) != EOF)
		putc(b, to);
	fclose(f);
	fclose(to);
	return out;
}

/* What the file did, as .ok files show it. */
static char *
outcome(struct config *c, const char *name, const char *text, size_t len)
{
	struct config_error e;
	char value[CONFIG_VALUE_MAX];
	char *out = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&out, &n);
	int err = config_load_text(c, name, slice_of(text, len), &e);

	if (err == 0)
		err = config_check(c, &e);
	if (err != 0)
		fprintf(f, "%s: %s\n", err_name(err), e.text);
	for (enum config_key k = 0; err == 0 && k < CONFIG_KEY_COUNT; k++)
		if (c->source[k] != CONFIG_DEFAULT)
			fprintf(f, "%s = %s\n", config_info(k)->path, config_get(c, k, value, sizeof value));
	fclose(f);
	return out;
}

static void
check_round_trip(const struct config *c, const char *name)
{
	struct config again;
	struct config_error e;
	char *out = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&out, &n);

	config_init(&again);
	config_print(f, c);
	fclose(f);
	ck_assert_msg(config_load_text(&again, name, slice_of(out, n), &e) == 0, "%s\n%s", e.text, out);
	for (enum config_key k = 0; k < CONFIG_KEY_COUNT; k++)
		ck_assert_msg(config_equal(c, &again, k), "%s: %s", name, config_info(k)->path);
	config_fini(&again);
	free(out);
}

static void
check_file(const char *file)
{
	char path[1024];
	struct config c;
	size_t len, ok_len;
	char *text, *got, *ok;

	snprintf(path, sizeof path, "%s/%s", CONF_DIR, file);
	text = slurp(path, &len);
	config_init(&c);
	got = outcome(&c, file, text, len);
	snprintf(path + strlen(path) - 4, 4, "ok");
	if (getenv("CONF_WRITE") != NULL) {
		FILE *f = fopen(path, "we");

		ck_assert_ptr_nonnull(f);
		fputs(got, f);
		fclose(f);
	}
	ok = slurp(path, &ok_len);
	ck_assert_msg(strcmp(got, ok) == 0, "%s: expected\n%sgot\n%s", file, ok, got);
	check_round_trip(&c, file);
	config_fini(&c);
	free(text);
	free(got);
	free(ok);
}

START_TEST(every_file_does_what_its_ok_says)
{
	DIR *d = opendir(CONF_DIR);
	const struct dirent *entry;
	unsigned count = 0;

	ck_assert_ptr_nonnull(d);
	while ((entry = readdir(d)) != NULL) {
		size_t n = strlen(entry->d_name);

		if (n < 6 || strcmp(entry->d_name + n - 5, ".yaml") != 0)
			continue;
		check_file(entry->d_name);
		count++;
	}
	closedir(d);
	ck_assert_uint_gt(count, 20);
}
END_TEST

START_TEST(the_sample_is_all_defaults)
{
	struct config c, defaults;
	struct config_error e;

	config_init(&c);
	config_init(&defaults);
	ck_assert_msg(config_load_file(&c, CONF_DIR "/../../etc/fubar.yaml", &e) == 0, "%s", e.text);
	for (enum config_key k = 0; k < CONFIG_KEY_COUNT; k++) {
		ck_assert_msg(c.source[k] == CONFIG_FILE || config_is_spare(k), "%s is missing", config_info(k)->path);
		ck_assert_msg(config_equal(&c, &defaults, k), "%s", config_info(k)->path);
	}
	config_fini(&c);
	config_fini(&defaults);
}
END_TEST

UNIT_MAIN("conf", every_file_does_what_its_ok_says, the_sample_is_all_defaults)
