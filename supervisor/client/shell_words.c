/* SPDX-License-Identifier: Apache-2.0
 * supervisor/client/shell_words.c - the words of a line, and what they could become. */
#include <stdlib.h>
#include <string.h>

#include "supervisor/client/opt.h"
#include "supervisor/client/shell.h"
#include "common/base/mem.h"

static const struct {
	const char *word;
	unsigned who;
} commands[] = {
#define SHELL(word, args, who, handler, help) { word, who },
#include "supervisor/client/shell.def"
#undef SHELL
};

/* Copies one word to *out (which lies at or before *in). False: a quote that does not end. */
static bool
take_word(char **in, char **out)
{
	char quote = 0;

	for (; **in != 0; (*in)++) {
		char c = **in;

		if (quote == 0 && (c == ' ' || c == '\t' || c == '\n' || c == '\r'))
			break;
		if (c == quote) {
			quote = 0;
		} else if (quote == 0 && (c == '\'' || c == '"')) {
			quote = c;
		} else {
			if (c == '\\' && quote != '\'' && (*in)[1] != 0)
				c = *++*in;
			*(*out)++ = c;
		}
	}
	return quote == 0;
}

int
shell_split(char *line, char **words, int max, const char **error)
{
	char *in = line;
	char *out = line;
	int n = 0;

	for (;;) {
		bool more;

		in += strspn(in, " \t\r\n");
		if (*in == 0 || *in == '#')
			break;
		if (n == max - 1) {
			*error = "too many words";
			return -1;
		}
		words[n++] = out;
		if (!take_word(&in, &out)) {
			*error = "a quote that does not end";
			return -1;
		}
		more = *in != 0;
		in += more ? 1 : 0;
		*out++ = 0;
		if (!more)
			break;
	}
	words[n] = NULL;
	return n;
}

/* ---- completion ---- */

struct found {
	char **list;
	size_t count;
	const char *word;               /* the start that is there */
};

static void
offer(struct found *f, const char *prefix, const char *text)
{
	char *whole;
	size_t len = strlen(prefix) + strlen(text) + 1;

	if (strlen(prefix) + strlen(text) < strlen(f->word))
		return;
	whole = mem_alloc(len);
	strcpy(whole, prefix);
	strcat(whole, text);
	if (strncmp(whole, f->word, strlen(f->word)) != 0) {
		mem_free(whole);
		return;
	}
	for (size_t i = 0; i < f->count; i++) {
		if (strcmp(f->list[i], whole) == 0) {
			mem_free(whole);
			return;
		}
	}
	f->list = mem_realloc(f->list, (f->count + 1) * sizeof *f->list);
	f->list[f->count++] = whole;
}

static int
by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void
offer_options(struct found *f, unsigned who)
{
	size_t n;
	const struct opt_row *rows = cli_rows(&n);

	for (size_t i = 0; i < n; i++)
		if ((rows[i].who & who) != 0 && rows[i].name != NULL)
			offer(f, "--", rows[i].name);
}

/* The words before the one in hand: which command is it? */
static int
command_of(char **words, int n)
{
	int at = n > 0 && strcmp(words[0], "!") == 0 ? 1 : 0;

	for (size_t i = 0; at < n && i < sizeof commands / sizeof commands[0]; i++)
		if (strncmp(commands[i].word, words[at], strlen(words[at])) == 0)
			return (int)i;
	return -1;
}

static void
offer_all(const struct shell *sh, struct found *f, char **words, int n)
{
	int command = command_of(words, n);

	if (n == 0 || (n == 1 && strcmp(words[0], "!") == 0) || (n == 1 && command >= 0 &&
	    strcmp(commands[command].word, "help") == 0)) {
		for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
			offer(f, "", commands[i].word);
	} else if (f->word[0] == '@') {
		LIST_EACH(node, &sh->members)
			offer(f, "@", container_of(node, struct member, node)->name);
	} else if (f->word[0] == '-' && command >= 0) {
		offer_options(f, commands[command].who);
	} else if (command >= 0) {
		for (size_t i = 0; i < SHELL_KNOWN_MAX; i++)
			if (sh->known[i] != NULL)
				offer(f, "", sh->known[i]);
		LIST_EACH(node, &sh->members)
			offer(f, strcmp(commands[command].word, "publish") == 0 ? "" : "@",
			    container_of(node, struct member, node)->name);
	}
}

char **
shell_complete(const struct shell *sh, const char *text, size_t *from, size_t *count)
{
	struct found f = { .list = NULL };
	char *copy = mem_strdup(text);
	char *words[SHELL_WORDS_MAX];
	const char *error;
	size_t at = strlen(text);
	int n;

	while (at > 0 && text[at - 1] != ' ' && text[at - 1] != '\t')
		at--;
	f.word = text + at;
	copy[at] = 0;
	n = shell_split(copy, words, SHELL_WORDS_MAX, &error);
	if (n >= 0)
		offer_all(sh, &f, words, n);
	mem_free(copy);
	if (f.count > 1)
		qsort(f.list, f.count, sizeof *f.list, by_text);
	*from = at;
	*count = f.count;
	return f.list;
}
