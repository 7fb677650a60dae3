/* SPDX-License-Identifier: Apache-2.0
 * File, overrides and flags become one configuration; what needs a restart waits. */
#include "t/support/unit.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/log.h"
#include "supervisor/reload.h"

static char path[] = "/tmp/fubar-t-XXXXXX";
static char flag_path[] = "mqtt.max_topic_levels", flag_value[] = "77";
static struct options_set flag = { flag_path, flag_value };
static struct options options = { .file = path, .set = &flag, .set_count = 1 };
static struct reload r;
static struct config_error e;

static void
write_file(const char *text)
{
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

static void
make(const char *text)
{
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	close(fd);
	write_file(text);
	log_set_level(LOG_ERROR);
	ck_assert_int_eq(reload_init(&r, &options, &e), 0);
}

static void
unmake(void)
{
	reload_fini(&r);
	unlink(path);
	memcpy(path + sizeof path - 7, "XXXXXX", 6);
}

static void
all_overrides(const char *key, const char *value)
{
	reload_overrides_begin(&r);
	ck_assert(!reload_override(&r, slice_str(key), slice_str(value)));
	ck_assert(reload_overrides_end(&r));
}

START_TEST(later_sources_win)
{
	make("mqtt.max_qos: 1\nmqtt.max_topic_levels: 5\n");
	ck_assert_int_eq(r.running.max_qos, 1);
	ck_assert_int_eq(r.running.max_levels, 77);
	all_overrides("mqtt.max_qos", "0");
	ck_assert_int_eq(r.running.max_qos, 0);
	ck_assert(reload_override(&r, slice_str("mqtt.max_topic_levels"), slice_str("9")));
	ck_assert_int_eq(r.running.max_levels, 77);
	ck_assert_str_eq(reload_source(&r.wanted, CONFIG_K_max_qos), "override");
	ck_assert_str_eq(reload_source(&r.wanted, CONFIG_K_max_levels), "flag");
	ck_assert(reload_override_gone(&r, slice_str("mqtt.max_qos")));
	ck_assert_int_eq(r.running.max_qos, 1);
	unmake();
}
END_TEST

START_TEST(a_new_store_brings_all_its_overrides_anew)
{
	make("");
	all_overrides("mqtt.max_qos", "0");
	all_overrides("auth.queue", "5");
	ck_assert_int_eq(r.running.max_qos, 2);
	ck_assert_int_eq(r.running.auth_queue, 5);
	reload_overrides_begin(&r);
	ck_assert(reload_overrides_end(&r));
	ck_assert_int_eq(r.running.auth_queue, 10000);
	unmake();
}
END_TEST

START_TEST(reads_the_file_again_or_not_at_all)
{
	char waiting[200];

	make("mqtt.max_qos: 1\n");
	write_file("mqtt.max_qos: 0\nno.such.key: 1\n");
	ck_assert_int_eq(reload_file(&r, &e), FB_ENOENT);
	ck_assert_ptr_nonnull(strstr(e.text, ":2:"));
	write_file("mqtt.max_qos: 0\nauth:\n  scrypt_n: 1048576\n  threads: 64\n");
	ck_assert_int_eq(reload_file(&r, &e), FB_ECONFLICT);
	ck_assert_int_eq(r.running.max_qos, 1);
	ck_assert_int_eq(r.wanted.max_qos, 1);
	write_file("mqtt.max_qos: 0\nworkers: 7\nnode: other\n");
	ck_assert_int_eq(reload_file(&r, &e), 0);
	ck_assert_int_eq(r.running.max_qos, 0);
	ck_assert_str_eq(r.running.workers, "auto");
	ck_assert_str_eq(r.wanted.workers, "7");
	ck_assert_str_eq(reload_waiting(&r, waiting, sizeof waiting), "node, workers");
	write_file("");
	ck_assert_int_eq(reload_file(&r, &e), 0);
	ck_assert_str_eq(reload_waiting(&r, waiting, sizeof waiting), "");
	unmake();
}
END_TEST

START_TEST(what_may_be_set_at_run_time)
{
	make("log.dir: /proc/none/log\n");
	ck_assert_int_eq(reload_may_set(&r, "mqtt.max_qos", "1", &e), 0);
	ck_assert_int_eq(reload_may_set(&r, "mqtt.max_qos", NULL, &e), 0);
	ck_assert_int_eq(reload_may_set(&r, "mqtt.max_qos", "3", &e), FB_ERANGE);
	ck_assert_int_eq(reload_may_set(&r, "mqtt.max_qos", "", &e), FB_EINVAL);
	ck_assert_int_eq(reload_may_set(&r, "server.alternate", "", &e), 0);
	ck_assert_int_eq(reload_may_set(&r, "mqtt.max_qoss", "1", &e), FB_ENOENT);
	ck_assert_int_eq(reload_may_set(&r, "workers", "2", &e), FB_EUNSUP);
	ck_assert_int_eq(reload_may_set(&r, "listeners.mqtts.cert", "/tmp/x", &e), FB_EUNSUP);
	ck_assert(strstr(e.text, "that listener is off") != NULL);
	ck_assert_int_eq(reload_may_set(&r, "mqtt.max_topic_levels", "2", &e), FB_ECONFLICT);
	ck_assert_int_eq(reload_may_set(&r, "log.to", "files", &e), FB_EPERM);
	ck_assert_int_eq(r.running.max_qos, 2);
	unmake();
}
END_TEST

START_TEST(overrides_that_make_no_sense_are_passed_over)
{
	make("");
	reload_overrides_begin(&r);
	(void)reload_override(&r, slice_str("of.another.version"), slice_str("1"));
	(void)reload_override(&r, slice_str("workers"), slice_str("3"));
	(void)reload_override(&r, slice_str("mqtt.max_qos"), slice_str("1"));
	ck_assert(reload_overrides_end(&r));
	ck_assert_str_eq(r.running.workers, "auto");
	ck_assert_int_eq(r.running.max_qos, 1);
	unmake();
}
END_TEST

UNIT_MAIN("reload", later_sources_win, a_new_store_brings_all_its_overrides_anew, reads_the_file_again_or_not_at_all,
    what_may_be_set_at_run_time, overrides_that_make_no_sense_are_passed_over)
