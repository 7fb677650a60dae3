/* SPDX-License-Identifier: Apache-2.0
 * common/admin/words.c - typed words to rows of commands.def. The set of commands that still match shrinks word by
 * word; what is left of it is also what an error shows. */
#include "common/admin/words.h"

#include <string.h>

#include "common/base/err.h"
#include "common/base/guess.h"
#include "common/base/utf8.h"

#define WORD_MAX 48
#define WORDS_IN_A_COMMAND 3
#define LIST_MAX 256

static struct admin_info info[ADMIN_COMMAND_COUNT] = {
#define CMD(words, args, by, right, handler, help) [ADMIN_##handler] = { words, args, help, ADMIN_BY_##by, ADMIN_##right, 0, 0 },
#include "common/admin/commands.def"
#undef CMD
};

/* Commands that the manual of a later version has. */
static const char *const later[] = { "cluster" };

/* The n-th word of s; false: it has fewer. */
static bool
nth_word(const char *s, size_t n, char out[WORD_MAX])
{
	size_t len;

	for (; n > 0; n--) {
		s = strchr(s, ' ');
		if (s == NULL)
			return false;
		s++;
	}
	len = strcspn(s, " ");
	if (len == 0)
		return false;
	snprintf(out, WORD_MAX, "%.*s", (int)len, s);
	return true;
}

uint16_t
words_digest(void)
{
	static const char *const rows =
#define CMD(words, args, by, right, handler, help) words " " args ";"
#include "common/admin/commands.def"
#undef CMD
	    ;
	uint64_t h = UINT64_C(0xcbf29ce484222325);      /* FNV-1a */
	uint16_t folded;

	for (const char *p = rows; *p != '\0'; p++)
		h = (h ^ (uint8_t)*p) * UINT64_C(0x100000001b3);
	folded = (uint16_t)(h ^ h >> 16 ^ h >> 32 ^ h >> 48);
	return folded != 0 ? folded : 1;
}

const struct admin_info *
admin_info(enum admin_command c)
{
	struct admin_info *i;
	char word[WORD_MAX];

	FB_ASSERT(c < ADMIN_COMMAND_COUNT);
	i = &info[c];
	if (i->args_max == 0)
		for (size_t n = 0; nth_word(i->args, n, word); n++) {
			i->args_max++;
			i->args_min += word[0] != '[';
		}
	return i;
}

/* The commands that are still possible. */
struct set { bool in[ADMIN_COMMAND_COUNT]; };

/* Adds a word to a list of them, once. */
static void
list_word(char *list, size_t size, const char *word)
{
	size_t used = strlen(list), n = strlen(word);

	for (const char *p = list; (p = strstr(p, word)) != NULL; p += n)
		if ((p == list || p[-1] == ' ') && (p[n] == ',' || p[n] == '\0'))
			return;
	if (used + n + 3 < size)
		snprintf(list + used, size - used, "%s%s", used > 0 ? ", " : "", word);
}

/* The words at place n of the commands in s; counts the different ones. */
static void
list_set(const struct set *s, size_t n, char *list, size_t size)
{
	char word[WORD_MAX];

	list[0] = '\0';
	for (size_t c = 0; c < ADMIN_COMMAND_COUNT; c++)
		if (s->in[c] && nth_word(info[c].words, n, word))
			list_word(list, size, word);
}

/* Keeps the commands whose word n begins with typed, or is typed if one is exactly that. Returns the number of
 * different words; *full is the last of them. */
static size_t
narrow(struct set *s, size_t n, const char *typed, char full[WORD_MAX])
{
	struct set exact = *s;
	char word[WORD_MAX], list[LIST_MAX];
	size_t count = 0, exact_count = 0;
	const char *p;

	for (size_t c = 0; c < ADMIN_COMMAND_COUNT; c++) {
		bool there = s->in[c] && nth_word(info[c].words, n, word);

		exact.in[c] = there && strcmp(word, typed) == 0;
		s->in[c] = there && typed[0] != '\0' && strncmp(word, typed, strlen(typed)) == 0;
		exact_count += exact.in[c];
		if (s->in[c])
			memcpy(full, word, WORD_MAX);
	}
	if (exact_count > 0) {
		*s = exact;
		snprintf(full, WORD_MAX, "%s", typed);
		return 1;
	}
	list_set(s, n, list, sizeof list);
	if (list[0] != '\0')
		for (count = 1, p = list; (p = strchr(p, ',')) != NULL; p++)
			count++;
	return count;
}

static const char *
nearest(const struct set *s, size_t n, const char *typed, char word[WORD_MAX])
{
	unsigned best = GUESS_MAX;
	char w[WORD_MAX];

	for (size_t c = 0; c < ADMIN_COMMAND_COUNT; c++) {
		unsigned d;

		if (!s->in[c] || !nth_word(info[c].words, n, w))
			continue;
		d = guess_distance(typed, w);
		if (d < best && guess_near(d, typed)) {
			best = d;
			memcpy(word, w, WORD_MAX);
		}
	}
	return best < GUESS_MAX ? word : NULL;
}

static int
refuse_word(const struct set *before, size_t n, const char *so_far, const char *typed, char *error, size_t size)
{
	char shown[64], list[LIST_MAX], word[WORD_MAX];
	const char *guess = nearest(before, n, typed, word);
	const char *space = so_far[0] != '\0' ? " " : "";

	utf8_show(slice_str(typed), shown, sizeof shown);
	for (size_t i = 0; n == 0 && i < sizeof later / sizeof later[0]; i++)
		if (strcmp(typed, later[i]) == 0) {
			snprintf(error, size, "%s: not in this version of fubar", shown);
			return FB_ESYNTAX;
		}
	list_set(before, n, list, sizeof list);
	if (guess != NULL)
		snprintf(error, size, "%s%s%s: no such command; did you mean %s%s%s? possible: %s", so_far, space, shown,
		    so_far, space, guess, list);
	else
		snprintf(error, size, "%s%s%s: no such command; possible: %s", so_far, space, shown, list);
	return FB_ESYNTAX;
}

/* Does the argument fit its name in the table? Only choices say what they want. */
static bool
fits(const char *arg, const char *name)
{
	size_t n = strlen(arg);

	if (strchr(name, '|') == NULL)
		return true;
	for (const char *p = name; n > 0 && (p = strstr(p, arg)) != NULL; p++)
		if ((p == name || p[-1] == '|' || p[-1] == '[') && (p[n] == '|' || p[n] == ']' || p[n] == '\0'))
			return true;
	return false;
}

static int
check_args(enum admin_command c, size_t argc, char *const *argv, char *error, size_t size)
{
	const struct admin_info *i = admin_info(c);
	char name[WORD_MAX], shown[64];

	if (argc < i->args_min || argc > i->args_max) {
		snprintf(error, size, "%s: %s; it is: %s%s%s", i->words,
		    argc < i->args_min ? "an argument is missing" : "too many arguments", i->words,
		    i->args[0] != '\0' ? " " : "", i->args);
		return FB_ESYNTAX;
	}
	for (size_t n = 0; n < argc && nth_word(i->args, n, name); n++)
		if (!fits(argv[n], name)) {
			snprintf(error, size, "%s: \"%s\" is not possible there; it is: %s %s", i->words,
			    utf8_show(slice_str(argv[n]), shown, sizeof shown), i->words, i->args);
			return FB_ESYNTAX;
		}
	return 0;
}

/* The command in s that has exactly n words; ADMIN_COMMAND_COUNT: each has more. */
static enum admin_command
complete_at(const struct set *s, size_t n)
{
	char word[WORD_MAX];

	for (size_t c = 0; c < ADMIN_COMMAND_COUNT; c++)
		if (s->in[c] && !nth_word(info[c].words, n, word))
			return (enum admin_command)c;
	return ADMIN_COMMAND_COUNT;
}

int
words_match(size_t argc, char *const *argv, enum admin_command *out, size_t *used, char *error, size_t error_size)
{
	struct set s;
	char so_far[WORDS_IN_A_COMMAND * WORD_MAX] = "", list[LIST_MAX];

	for (size_t c = 0; c < ADMIN_COMMAND_COUNT; c++)
		s.in[c] = true;
	for (size_t n = 0;; n++) {
		struct set before = s;
		char full[WORD_MAX] = "";
		size_t count;
		enum admin_command c = n == 0 ? ADMIN_COMMAND_COUNT : complete_at(&s, n);

		if (c != ADMIN_COMMAND_COUNT) {
			int err = check_args(c, argc - n, argv + n, error, error_size);

			if (err == 0) {
				*out = c;
				*used = n;
			}
			return err;
		}
		if (n >= argc) {
			list_set(&s, n, list, sizeof list);
			snprintf(error, error_size, "%s%s: %s", so_far[0] != '\0' ? so_far : "a command is missing",
			    so_far[0] != '\0' ? " needs one more word" : "; possible", list);
			return FB_ESYNTAX;
		}
		count = narrow(&s, n, argv[n], full);
		if (count == 0)
			return refuse_word(&before, n, so_far, argv[n], error, error_size);
		if (count > 1) {
			list_set(&s, n, list, sizeof list);
			snprintf(error, error_size, "%s%s%s: could be %s", so_far, n > 0 ? " " : "", argv[n], list);
			return FB_ESYNTAX;
		}
		snprintf(so_far + strlen(so_far), sizeof so_far - strlen(so_far), "%s%s", n > 0 ? " " : "", full);
	}
}

bool
words_help(FILE *f, size_t argc, char *const *argv)
{
	struct set s;
	char word[WORD_MAX];
	bool any = false;

	for (size_t c = 0; c < ADMIN_COMMAND_COUNT; c++) {
		s.in[c] = true;
		for (size_t n = 0; n < argc && s.in[c]; n++)
			s.in[c] = nth_word(info[c].words, n, word) && strncmp(word, argv[n], strlen(argv[n])) == 0;
		any = any || s.in[c];
	}
	for (size_t c = 0; c < ADMIN_COMMAND_COUNT && f != NULL; c++)
		if (s.in[c])
			fprintf(f, "  %s%s%s\n      %s\n", info[c].words, info[c].args[0] != '\0' ? " " : "",
			    info[c].args, info[c].help);
	return any;
}
