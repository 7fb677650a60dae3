/* SPDX-License-Identifier: Apache-2.0 */
#include "t/support/unit.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/guess.h"
#include "common/config/config.h"
#include "common/config/dirs.h"
#include "common/config/print.h"
#include "common/config/yaml.h"

static struct config_error e;

static int
set(struct config *c, const char *path, const char *value)
{
	return config_set(c, path, value, CONFIG_FLAG, &e);
}

static const char *
get(const struct config *c, enum config_key k)
{
	static char out[CONFIG_VALUE_MAX];

	return config_get(c, k, out, sizeof out);
}

START_TEST(defaults_of_the_table_are_set)
{
	struct config c;

	config_init(&c);
	ck_assert_int_eq(c.mqtt_port, 1883);
	ck_assert(c.auth_enabled);
	ck_assert_int_eq(c.max_packet, 1 << 20);
	ck_assert_int_eq(c.max_age, 2 * 86400);
	ck_assert_str_eq(c.node, "fubar");
	ck_assert_int_eq(c.source[CONFIG_K_node], CONFIG_DEFAULT);
	ck_assert_int_eq(config_check(&c, &e), 0);
	config_fini(&c);
}
END_TEST

START_TEST(each_default_is_taken_back_from_its_text)
{
	struct config a, b;

	config_init(&a);
	config_init(&b);
	for (enum config_key k = 0; k < CONFIG_KEY_COUNT; k++) {
		ck_assert_msg(set(&b, config_info(k)->path, get(&a, k)) == 0, "%s", e.text);
		ck_assert(config_equal(&a, &b, k));
		ck_assert_int_eq(b.source[k], CONFIG_FLAG);
	}
	config_fini(&a);
	config_fini(&b);
}
END_TEST

START_TEST(each_bound_is_valid_and_beyond_it_is_not)
{
	struct config c;

	config_init(&c);
	for (enum config_key k = 0; k < CONFIG_KEY_COUNT; k++) {
		const struct config_info *i = config_info(k);

		if (i->type == CONFIG_TEXT || i->type == CONFIG_BOOL)
			continue;
		ck_assert_msg(i->min[0] != '\0' && i->max[0] != '\0', "%s has no range", i->path);
		ck_assert_msg(set(&c, i->path, i->min) == 0, "%s", e.text);
		ck_assert_msg(set(&c, i->path, i->max) == 0, "%s", e.text);
		ck_assert_int_eq(set(&c, i->path, "9223372036854775807"), FB_ERANGE);
		ck_assert_int_eq(set(&c, i->path, "-9223372036854775808"), FB_ERANGE);
	}
	config_fini(&c);
}
END_TEST

START_TEST(units_are_understood_and_printed)
{
	static const struct { const char *path, *in, *out; enum config_key k; } row[] = {
		{ "mqtt.max_packet_size", "64", "64", CONFIG_K_max_packet },
		{ "mqtt.max_packet_size", "4KiB", "4KiB", CONFIG_K_max_packet },
		{ "mqtt.max_packet_size", "4 kib", "4KiB", CONFIG_K_max_packet },
		{ "mqtt.max_packet_size", "2048KiB", "2MiB", CONFIG_K_max_packet },
		{ "mqtt.max_packet_size", "1kB", "1000", CONFIG_K_max_packet },
		{ "store.cache", "1TiB", "1TiB", CONFIG_K_store_cache },
		{ "session.max_age", "0", "0", CONFIG_K_max_age },
		{ "session.max_age", "1w", "7d", CONFIG_K_max_age },
		{ "session.max_age", "90", "90s", CONFIG_K_max_age },
		{ "session.max_age", "120s", "2m", CONFIG_K_max_age },
		{ "session.max_age", "36h", "36h", CONFIG_K_max_age },
		{ "listeners.mqtt.port", "-1", "-1", CONFIG_K_mqtt_port },
		{ "auth.enabled", "off", "false", CONFIG_K_auth_enabled },
		{ "auth.enabled", "Yes", "true", CONFIG_K_auth_enabled },
		{ "log.level", "warn", "warn", CONFIG_K_log_level },
	};
	struct config c;

	config_init(&c);
	for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
		ck_assert_msg(set(&c, row[i].path, row[i].in) == 0, "%s", e.text);
		ck_assert_str_eq(get(&c, row[i].k), row[i].out);
	}
	config_fini(&c);
}
END_TEST

START_TEST(what_is_not_valid_is_refused_and_changes_nothing)
{
	static const struct { const char *path, *value; int err; const char *says; } row[] = {
		{ "mqtt.max_qos", "3", FB_ERANGE, "mqtt.max_qos: \"3\" is out of range; valid: a whole number, from 0 to 2" },
		{ "mqtt.max_qos", "1.5", FB_EINVAL, "is not valid" },
		{ "mqtt.max_qos", "", FB_EINVAL, "is not valid" },
		{ "mqtt.max_qos", " 1", FB_EINVAL, "is not valid" },
		{ "mqtt.max_qos", "0x1", FB_EINVAL, "is not valid" },
		{ "mqtt.max_qos", "-", FB_EINVAL, "is not valid" },
		{ "mqtt.max_packet_size", "1s", FB_EINVAL, "4KiB" },
		{ "mqtt.max_packet_size", "99999999TiB", FB_ERANGE, "out of range" },
		{ "mqtt.max_packet_size", "99999999999999999999", FB_ERANGE, "from 64 to 256MiB" },
		{ "session.max_age", "2 weeks", FB_EINVAL, "7d" },
		{ "auth.enabled", "maybe", FB_EINVAL, "true or false" },
		{ "log.level", "loud", FB_EINVAL, "error, warn, notice, info, debug" },
		{ "log.level", "err", FB_EINVAL, "none of the words" },
		{ "session.durability", "quorum", FB_EINVAL, "comes with the cluster; valid: memory, disk" },
		{ "session.durability", "often", FB_EINVAL, "valid: memory, disk" },
		{ "listeners.wss2.durability", "quorum", FB_EINVAL, "comes with the cluster" },
		{ "listeners.wss2.durability", "", FB_EINVAL, "valid: default, memory, disk" },
		{ "session.durability_topics", "a", FB_EINVAL, "each entry is a topic filter and memory or disk" },
		{ "session.durability_topics", "disk", FB_EINVAL, "each entry" },
		{ "session.durability_topics", "a disk, b", FB_EINVAL, "each entry" },
		{ "session.durability_topics", "a quorum", FB_EINVAL, "quorum comes with the cluster" },
		{ "session.durability_topics", "a often, b disk", FB_EINVAL, "each entry" },
		{ "session.durability_topics", "a# disk", FB_EINVAL, "is no topic filter" },
		{ "session.durability_topics", "a disk, $share/g/a disk", FB_EINVAL, "is no topic filter" },
		{ "workers", "0", FB_EINVAL, "1 to 64" },
		{ "workers", "65", FB_EINVAL, "auto" },
		{ "auth.scrypt_n", "5000", FB_EINVAL, "power of two" },
		{ "node", "a b", FB_EINVAL, "letters" },
		{ "node", "", FB_EINVAL, "letters" },
		{ "log.dir", "a\nb", FB_EINVAL, "control characters" },
		{ "log.dir", "\xff", FB_EINVAL, "UTF-8" },
		{ "listeners.mqtt.bind", "300.1.1.1", FB_EINVAL, "address" },
		{ "server.alternate", "host:1883", FB_EINVAL, "is no address of a server; valid: tcp://HOST:PORT, ssl://HOST:PORT, none" },
		{ "server.when_overloaded", "reject", FB_EINVAL, "drop, accept" },
		{ "server.valid_keep_alive", "3600-1800", FB_EINVAL, "is no range; valid: MIN-MAX in seconds" },
		{ "server.valid_keep_alive", "0-0", FB_EINVAL, "MIN-MAX" },
		{ "server.valid_keep_alive", "0-65536", FB_EINVAL, "MIN-MAX" },
		{ "server.valid_keep_alive", "1800", FB_EINVAL, "MIN-MAX" },
		{ "server.valid_keep_alive", "1800-", FB_EINVAL, "MIN-MAX" },
		{ "server.valid_keep_alive", "-1-5", FB_EINVAL, "MIN-MAX" },
		{ "server.valid_keep_alive", "1-5 ", FB_EINVAL, "MIN-MAX" },
		{ "server.valid_keep_alive", "", FB_EINVAL, "MIN-MAX" },
	};
	struct config a, b;

	config_init(&a);
	config_init(&b);
	for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
		ck_assert_int_eq(set(&a, row[i].path, row[i].value), row[i].err);
		ck_assert_msg(strstr(e.text, row[i].says) != NULL, "%s", e.text);
		ck_assert_msg(strncmp(e.text, row[i].path, strlen(row[i].path)) == 0, "%s", e.text);
	}
	for (enum config_key k = 0; k < CONFIG_KEY_COUNT; k++)
		ck_assert(config_equal(&a, &b, k));
	config_fini(&a);
	config_fini(&b);
}
END_TEST

START_TEST(addresses_are_taken)
{
	static const char *const ok[] = { "", "127.0.0.1", "::", "::1", "fe80::1%eth0" };
	struct config c;

	config_init(&c);
	for (size_t i = 0; i < sizeof ok / sizeof ok[0]; i++)
		ck_assert_msg(set(&c, "listeners.mqtt.bind", ok[i]) == 0, "%s", e.text);
	config_fini(&c);
}
END_TEST

START_TEST(ranges)
{
	uint16_t min = 7, max = 7;

	ck_assert(!config_range("2-1", &min, &max));
	ck_assert_uint_eq(min, 7);
	ck_assert(config_range("1800-3600", &min, &max));
	ck_assert_uint_eq(min, 1800);
	ck_assert_uint_eq(max, 3600);
	ck_assert(config_range("0-65535", &min, &max));
	ck_assert_uint_eq(max, 65535);
	ck_assert(config_range("5-5", &min, &max));
}
END_TEST

START_TEST(durability_of_topics)
{
	const char *text = "sensors/# memory,  a b/+/new   disk ,, # disk", *why = "none";
	struct slice filter;
	bool disk;

	ck_assert_int_eq(config_durability_next(&text, &filter, &disk, &why), 0);
	ck_assert(slice_eq(filter, SLICE_LIT("sensors/#")) && !disk);
	ck_assert_int_eq(config_durability_next(&text, &filter, &disk, &why), 0);
	ck_assert(slice_eq(filter, SLICE_LIT("a b/+/new")) && disk);
	ck_assert_int_eq(config_durability_next(&text, &filter, &disk, &why), 0);
	ck_assert(slice_eq(filter, SLICE_LIT("#")) && disk);
	ck_assert_int_eq(config_durability_next(&text, &filter, &disk, &why), FB_ENOENT);
	ck_assert_str_eq(why, "none");
}
END_TEST

START_TEST(addresses_of_servers)
{
	static const char *const good[] = {
		"tcp://h:1883", "ssl://host.example.org:8883", "tcp://10.0.0.1:1", "tcp://[::1]:65535", "ssl://a-b_c.d:80",
	};
	static const char *const bad[] = {
		"tcp://h", "tcp://h:", "tcp://:1883", "tcp://h:0", "tcp://h:65536", "tcp://h:1883/", "tcp://h:18x", "tcp:/h:1",
		"mqtt://h:1883", "TCP://h:1", "tcp://::1:1883", "tcp://[::1]", "tcp://[::1:1", "tcp://[h]:1", "tcp://h h:1",
		"tcp://u@h:1", " tcp://h:1", "tcp://h:1 ", "tcp://-h:1", "tcp://.:1", "tcp://[]:1",
		"tcp://[1111:2222:3333:4444:5555:6666:7777:8888:9999:1111:2222:3333]:1", "tcp://h:000001", "NONE",
	};
	char long_host[300];
	struct config c;

	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
		ck_assert_msg(config_server(good[i]), "%s", good[i]);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		ck_assert_msg(!config_server(bad[i]), "%s", bad[i]);
	snprintf(long_host, sizeof long_host, "tcp://%0*d:1", 253, 1);
	ck_assert(config_server(long_host));
	snprintf(long_host, sizeof long_host, "tcp://%0*d:1", 254, 1);
	ck_assert(!config_server(long_host));
	config_init(&c);
	ck_assert_ptr_null(config_alternate(&c));
	ck_assert_int_eq(set(&c, "server.alternate", "tcp://h:1883"), 0);
	ck_assert_str_eq(config_alternate(&c), "tcp://h:1883");
	ck_assert_int_eq(set(&c, "server.alternate", "none"), 0);
	ck_assert_ptr_null(config_alternate(&c));
	ck_assert_int_eq(set(&c, "server.alternate", ""), 0);
	ck_assert_ptr_null(config_alternate(&c));
	config_fini(&c);
}
END_TEST

START_TEST(a_weaker_source_does_not_win)
{
	struct config c;

	config_init(&c);
	ck_assert_int_eq(config_set(&c, "mqtt.max_qos", "1", CONFIG_OVERRIDE, &e), 0);
	ck_assert_int_eq(config_set(&c, "mqtt.max_qos", "0", CONFIG_FILE, &e), 0);
	ck_assert_int_eq(c.max_qos, 1);
	ck_assert_int_eq(config_set(&c, "mqtt.max_qos", "9", CONFIG_FILE, &e), FB_ERANGE);
	ck_assert_int_eq(config_set(&c, "mqtt.max_qos", "2", CONFIG_OVERRIDE, &e), 0);
	ck_assert_int_eq(c.max_qos, 2);
	ck_assert_int_eq(config_set(&c, "mqtt.max_qos", "0", CONFIG_FLAG, &e), 0);
	ck_assert_int_eq(c.max_qos, 0);
	ck_assert_int_eq(c.source[CONFIG_K_max_qos], CONFIG_FLAG);
	config_fini(&c);
}
END_TEST

START_TEST(unknown_keys_get_advice)
{
	static const struct { const char *path, *says; } row[] = {
		{ "mqtt.max_qso", "mqtt.max_qso: no such key; did you mean mqtt.max_qos?" },
		{ "max_packet_size", "did you mean mqtt.max_packet_size?" },
		{ "log.levle", "did you mean log.level?" },
		{ "wokers", "did you mean workers?" },
		{ "mqtt.colour", "mqtt.colour: no such key; valid in mqtt: max_packet_size, max_qos, max_topic_levels" },
		{ "sesion", "did you mean session?" },
		{ "entirely.else", "no such key; valid: node, user, workers" },
		{ "cluster.port", "cluster.port: not in this version of fubar" },
		{ "listeners.mqtts.prot", "did you mean listeners.mqtts.port?" },
		{ "listeners.mqtt.prot", "did you mean listeners.mqtt.port?" },
		{ "", "no such key" },
		{ "..", "no such key" },
	};
	struct config c;

	config_init(&c);
	for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
		ck_assert_int_eq(set(&c, row[i].path, "1"), FB_ENOENT);
		ck_assert_msg(strstr(e.text, row[i].says) != NULL, "%s", e.text);
	}
	config_fini(&c);
}
END_TEST

START_TEST(distances_are_those_of_typing)
{
	ck_assert_uint_eq(guess_distance("abc", "abc"), 0);
	ck_assert_uint_eq(guess_distance("abc", "ABC"), 0);
	ck_assert_uint_eq(guess_distance("", "abc"), 3);
	ck_assert_uint_eq(guess_distance("abc", ""), 3);
	ck_assert_uint_eq(guess_distance("abdc", "abcd"), 1);
	ck_assert_uint_eq(guess_distance("kitten", "sitting"), 3);
}
END_TEST

START_TEST(rules_over_several_keys)
{
	struct config c;

	config_init(&c);
	ck_assert_int_eq(config_check(&c, &e), 0);
	ck_assert_int_eq(set(&c, "auth.scrypt_n", "1048576"), 0);
	ck_assert_int_eq(set(&c, "auth.threads", "64"), 0);
	ck_assert_int_eq(config_check(&c, &e), FB_ECONFLICT);
	ck_assert_ptr_nonnull(strstr(e.text, "auth.threads"));
	config_fini(&c);
}
END_TEST

START_TEST(workers_are_counted)
{
	struct config c;

	config_init(&c);
	ck_assert_uint_ge(config_workers(&c), 1);
	ck_assert_uint_le(config_workers(&c), 64);
	ck_assert_int_eq(set(&c, "workers", "7"), 0);
	ck_assert_uint_eq(config_workers(&c), 7);
	config_fini(&c);
}
END_TEST

START_TEST(a_copy_is_equal_and_on_its_own)
{
	struct config a, b;

	config_init(&a);
	config_init(&b);
	ck_assert_int_eq(set(&a, "node", "north"), 0);
	config_copy(&b, &a);
	ck_assert_str_eq(b.node, "north");
	ck_assert_ptr_ne(a.node, b.node);
	ck_assert_int_eq(b.source[CONFIG_K_node], CONFIG_FLAG);
	config_fini(&a);
	ck_assert_str_eq(b.node, "north");
	config_fini(&b);
}
END_TEST

START_TEST(printed_texts_come_back)
{
	static const char *const text[] = {
		"", "plain", " spaces ", "quote \" and \\ slash", "# no comment", "a: b", "- x", "null", "\xc3\xa4\xe2\x82\xac",
		"line\xe2\x80\xa8sep\xe2\x80\xa9", ("\xef\xbb\xbf" "bom"),
	};
	struct config a, b;

	config_init(&a);
	config_init(&b);
	for (size_t i = 0; i < sizeof text / sizeof text[0]; i++) {
		char *out = NULL;
		size_t n = 0;
		FILE *f = open_memstream(&out, &n);

		ck_assert_msg(set(&a, "log.dir", text[i]) == 0, "%s", e.text);
		config_print(f, &a);
		ck_assert_int_eq(fclose(f), 0);
		ck_assert_msg(config_load_text(&b, "printed", slice_of(out, n), &e) == 0, "%s", e.text);
		ck_assert_str_eq(b.log_dir, text[i]);
		free(out);
	}
	config_fini(&a);
	config_fini(&b);
}
END_TEST

START_TEST(files_that_are_not_there_or_too_large)
{
	struct config c;
	static char big[YAML_FILE_MAX + 1];

	config_init(&c);
	ck_assert_int_eq(config_load_file(&c, "/nonexistent/fubar.yaml", &e), FB_ENOENT);
	ck_assert_str_eq(e.text, "/nonexistent/fubar.yaml: No such file or directory");
	ck_assert_int_eq(config_load_file(&c, "/", &e), FB_EIO);
	memset(big, '\n', sizeof big);
	ck_assert_int_eq(config_load_text(&c, "big", slice_of(big, sizeof big), &e), FB_ETOOBIG);
	ck_assert_int_eq(config_load_text(&c, "big", slice_of(big, sizeof big - 1), &e), 0);
	config_fini(&c);
}
END_TEST

START_TEST(directories_follow_the_user)
{
	struct config c;
	char out[CONFIG_VALUE_MAX];

	config_init(&c);
	ck_assert_int_eq(set(&c, "run_dir", "r"), 0);
	ck_assert_int_eq(dirs_run(&c, out, sizeof out), 0);
	ck_assert_str_eq(out, "r");
	setenv("XDG_STATE_HOME", "/s", 1);
	setenv("XDG_RUNTIME_DIR", "/r", 1);
	ck_assert_int_eq(dirs_run(NULL, out, sizeof out), 0);
	ck_assert_str_eq(out, geteuid() == 0 ? "/run/fubar" : "/r/fubar");
	ck_assert_int_eq(dirs_data(&c, out, sizeof out), 0);
	ck_assert_str_eq(out, geteuid() == 0 ? "/var/lib/fubar" : "/s/fubar");
	ck_assert_int_eq(dirs_log(&c, out, sizeof out), 0);
	ck_assert_str_eq(out, geteuid() == 0 ? "/var/log/fubar" : "/s/fubar/log");
	setenv("STATE_DIRECTORY", "/u/state:/u/other", 1);
	setenv("RUNTIME_DIRECTORY", "/u/run", 1);
	setenv("LOGS_DIRECTORY", "/u/log", 1);
	ck_assert_int_eq(dirs_data(&c, out, sizeof out), 0);
	ck_assert_str_eq(out, "/u/state");
	ck_assert_int_eq(dirs_log(&c, out, sizeof out), 0);
	ck_assert_str_eq(out, "/u/log");
	ck_assert_int_eq(dirs_run(&c, out, sizeof out), 0);
	ck_assert_str_eq(out, "r");             /* what the configuration says is stronger */
	ck_assert_int_eq(set(&c, "run_dir", ""), 0);
	ck_assert_int_eq(dirs_run(&c, out, sizeof out), 0);
	ck_assert_str_eq(out, "/u/run");
	/* fubar-admin may be run by another unit. */
	ck_assert_int_eq(dirs_run(NULL, out, sizeof out), 0);
	ck_assert_str_eq(out, geteuid() == 0 ? "/run/fubar" : "/r/fubar");
	unsetenv("STATE_DIRECTORY");
	unsetenv("RUNTIME_DIRECTORY");
	unsetenv("LOGS_DIRECTORY");
	config_fini(&c);
}
END_TEST

UNIT_MAIN("config", defaults_of_the_table_are_set, each_default_is_taken_back_from_its_text,
    each_bound_is_valid_and_beyond_it_is_not, units_are_understood_and_printed,
    what_is_not_valid_is_refused_and_changes_nothing, addresses_are_taken, ranges, durability_of_topics, addresses_of_servers, a_weaker_source_does_not_win,
    unknown_keys_get_advice, distances_are_those_of_typing, rules_over_several_keys, workers_are_counted,
    a_copy_is_equal_and_on_its_own, printed_texts_come_back, files_that_are_not_there_or_too_large,
    directories_follow_the_user)
