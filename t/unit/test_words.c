/* SPDX-License-Identifier: Apache-2.0 */
#include "t/support/unit.h"

#include <string.h>

#include "common/admin/words.h"
#include "common/base/err.h"

static char error[512];
static size_t used;

/* line is split at spaces; the command, or the negative error. */
static int
match(const char *line)
{
	char copy[256], *argv[16], *save = NULL;
	size_t argc = 0;
	enum admin_command c = ADMIN_COMMAND_COUNT;
	int err;

	snprintf(copy, sizeof copy, "%s", line);
	for (char *w = strtok_r(copy, " ", &save); w != NULL && argc < 16; w = strtok_r(NULL, " ", &save))
		argv[argc++] = w;
	error[0] = '\0';
	err = words_match(argc, argv, &c, &used, error, sizeof error);
	return err != 0 ? err : (int)c;
}

START_TEST(every_command_is_found_by_its_words)
{
	static const char *const sample[] = { "", " a", " a b", " a b c" };

	for (enum admin_command c = 0; c < ADMIN_COMMAND_COUNT; c++) {
		const struct admin_info *i = admin_info(c);
		char line[256];

		ck_assert_uint_le(i->args_min, i->args_max);
		if (strchr(i->args, '|') != NULL)
			continue;
		snprintf(line, sizeof line, "%s%s", i->words, sample[i->args_min]);
		ck_assert_msg(match(line) == (int)c, "%s: %s", line, error);
		snprintf(line, sizeof line, "%s%s", i->words, sample[i->args_max]);
		ck_assert_msg(match(line) == (int)c, "%s: %s", line, error);
		snprintf(line, sizeof line, "%s a b c d", i->words);
		ck_assert_int_eq(match(line), FB_ESYNTAX);
		ck_assert_ptr_nonnull(strstr(error, "too many"));
	}
}
END_TEST

START_TEST(unique_prefixes_are_enough)
{
	ck_assert_int_eq(match("acc s bob secret"), ADMIN_account_set);
	ck_assert_uint_eq(used, 2);
	ck_assert_int_eq(match("sess l"), ADMIN_session_list);
	ck_assert_int_eq(match("ac"), FB_ESYNTAX);
	ck_assert_str_eq(error, "ac: could be account, acl");
	ck_assert_int_eq(match("acl"), FB_ESYNTAX);
	ck_assert_str_eq(error, "acl needs one more word: set, get, del, all");
	ck_assert_int_eq(match("stat"), FB_ESYNTAX);
	ck_assert_str_eq(error, "stat: could be state, stats");
	ck_assert_int_eq(match("state"), ADMIN_state);
	ck_assert_int_eq(match("stats"), ADMIN_stats);
	ck_assert_int_eq(match("to l"), ADMIN_topic_list);
}
END_TEST

START_TEST(wrong_words_show_what_was_possible)
{
	ck_assert_int_eq(match(""), FB_ESYNTAX);
	ck_assert_ptr_nonnull(strstr(error, "a command is missing; possible: state, stats, stop"));
	ck_assert_int_eq(match("acount set"), FB_ESYNTAX);
	ck_assert_ptr_nonnull(strstr(error, "did you mean account?"));
	ck_assert_int_eq(match("account sett bob"), FB_ESYNTAX);
	ck_assert_str_eq(error, "account sett: no such command; did you mean account set? possible: set, get, del, all, clients");
	ck_assert_int_eq(match("account remove bob"), FB_ESYNTAX);
	ck_assert_ptr_nonnull(strstr(error, "possible: set, get, del, all"));
	ck_assert_int_eq(match("cluster x"), FB_ESYNTAX);
	ck_assert_str_eq(error, "cluster: not in this version of fubar");
	ck_assert_int_eq(match("\x1b[2J"), FB_ESYNTAX);
	ck_assert_ptr_null(strchr(error, '\x1b'));
}
END_TEST

START_TEST(arguments_are_counted_and_choices_checked)
{
	ck_assert_int_eq(match("account get"), FB_ESYNTAX);
	ck_assert_str_eq(error, "account get: an argument is missing; it is: account get NAME");
	ck_assert_int_eq(match("acl set 10.0.0.0/8 allow"), ADMIN_acl_set);
	ck_assert_int_eq(match("acl set 10.0.0.0/8 deny"), ADMIN_acl_set);
	ck_assert_int_eq(match("acl set 10.0.0.0/8 true"), FB_ESYNTAX);
	ck_assert_ptr_nonnull(strstr(error, "PREFIX allow|deny"));
	ck_assert_int_eq(match("acl set 10.0.0.0/8 allo"), FB_ESYNTAX);
	ck_assert_int_eq(match("acl set 10.0.0.0/8 low"), FB_ESYNTAX);
	ck_assert_int_eq(match("session list"), ADMIN_session_list);
	ck_assert_int_eq(match("session list x y"), FB_ESYNTAX);
}
END_TEST

START_TEST(help_is_of_what_was_typed)
{
	char *argv[] = { "acl" }, *none[] = { "nothing" };
	char *out = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&out, &n);

	ck_assert(words_help(f, 1, argv));
	ck_assert(!words_help(f, 1, none));
	ck_assert(words_help(NULL, 1, argv));
	fclose(f);
	ck_assert_ptr_nonnull(strstr(out, "acl set PREFIX allow|deny"));
	ck_assert_ptr_null(strstr(out, "account"));
	free(out);
}
END_TEST

UNIT_MAIN("words", every_command_is_found_by_its_words, unique_prefixes_are_enough,
    wrong_words_show_what_was_possible, arguments_are_counted_and_choices_checked, help_is_of_what_was_typed)
