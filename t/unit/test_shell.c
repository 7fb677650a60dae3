/* SPDX-License-Identifier: Apache-2.0
 * The words of the shell's lines, and what they could become. */
#include "t/support/unit.h"

#include <string.h>

#include "supervisor/client/shell.h"
#include "common/base/mem.h"

static char line[256];
static char *words[8];
static const char *error;

static int
split(const char *text)
{
	strcpy(line, text);
	return shell_split(line, words, 8, &error);
}

START_TEST(words_of_a_line)
{
	ck_assert_int_eq(split(""), 0);
	ck_assert_int_eq(split(" \t\r\n"), 0);
	ck_assert_int_eq(split("  a\tbc  d \n"), 3);
	ck_assert_str_eq(words[0], "a");
	ck_assert_str_eq(words[1], "bc");
	ck_assert_str_eq(words[2], "d");
	ck_assert_ptr_null(words[3]);
	ck_assert_int_eq(split("a 'b c'\"d 'e\" \\'f\\ g '' h"), 5);
	ck_assert_str_eq(words[1], "b cd 'e");
	ck_assert_str_eq(words[2], "'f g");
	ck_assert_str_eq(words[3], "");
	ck_assert_str_eq(words[4], "h");
	ck_assert_int_eq(split("\"a\\\"b\" 'a\\b'"), 2);
	ck_assert_str_eq(words[0], "a\"b");
	ck_assert_str_eq(words[1], "a\\b");
}
END_TEST

START_TEST(comments)
{
	ck_assert_int_eq(split("# all of it"), 0);
	ck_assert_int_eq(split("subscribe a/# # the rest"), 2);
	ck_assert_str_eq(words[1], "a/#");
	ck_assert_int_eq(split("subscribe '#'"), 2);
	ck_assert_str_eq(words[1], "#");
}
END_TEST

START_TEST(lines_that_are_refused)
{
	ck_assert_int_eq(split("a 'b"), -1);
	ck_assert_int_eq(split("a \"b\\\""), -1);
	ck_assert_int_eq(split("1 2 3 4 5 6 7"), 7);
	ck_assert_int_eq(split("1 2 3 4 5 6 7 8"), -1);
	ck_assert_int_eq(split("a \\"), 2);
	ck_assert_str_eq(words[1], "\\");
}
END_TEST

static struct shell sh;

/* All completions, joined by blanks. */
static const char *
complete(const char *text)
{
	static char out[2000];
	size_t from;
	size_t count;
	char **list = shell_complete(&sh, text, &from, &count);

	out[0] = 0;
	for (size_t i = 0; i < count; i++) {
		strcat(out, i > 0 ? " " : "");
		strcat(out, list[i]);
		mem_free(list[i]);
	}
	mem_free(list);
	ck_assert_uint_eq(from, strrchr(text, ' ') != NULL ? (size_t)(strrchr(text, ' ') - text) + 1 : 0);
	return out;
}

START_TEST(completions)
{
	struct member a = { .name = "alice" };
	struct member b = { .name = "bob" };

	list_init(&sh.members);
	list_put_last(&sh.members, &a.node);
	list_put_last(&sh.members, &b.node);
	shell_know(&sh, SLICE_LIT("some/topic"));
	shell_know(&sh, SLICE_LIT("some/other"));
	shell_know(&sh, SLICE_LIT("some/topic"));
	ck_assert_str_eq(complete("s"), "state subscribe");
	ck_assert_str_eq(complete("! un"), "unsubscribe");
	ck_assert_str_eq(complete("help la"), "last-message");
	ck_assert_str_eq(complete("state @"), "@alice @bob");
	ck_assert_str_eq(complete("pub @alice so"), "some/other some/topic");
	ck_assert_str_eq(complete("publish bo"), "bob");
	ck_assert_str_eq(complete("publish some/topic text --r"), "--retain");
	ck_assert_str_eq(complete("connect @c --will-"), "--will-payload --will-qos --will-retain --will-topic");
	ck_assert_str_eq(complete("bogus s"), "");
	ck_assert_str_eq(complete("publish 'so"), "");
	for (size_t i = 0; i < SHELL_KNOWN_MAX; i++)
		mem_free(sh.known[i]);
}
END_TEST

UNIT_MAIN("shell", words_of_a_line, comments, lines_that_are_refused, completions)
