/* SPDX-License-Identifier: Apache-2.0
 * supervisor/fubar_admin_complete.c - completion for bash. The words come from commands.def, the keys from keys.def. */
#include <string.h>

#include "common/config/config.h"
#include "supervisor/fubar_admin.h"

static const char head[] =
    "# bash completion of fubar-admin: eval \"$(fubar-admin --complete)\"\n"
    "_fubar_admin()\n"
    "{\n"
    "\tlocal cur=${COMP_WORDS[COMP_CWORD]} words= i w list=\n"
    "\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
    "\t\tw=${COMP_WORDS[i]}\n"
    "\t\tcase $w in\n"
    "\t\t--socket|--run-dir) ((i++)) ;;\n"
    "\t\t-*) ;;\n"
    "\t\t*) words=\"$words $w\" ;;\n"
    "\t\tesac\n"
    "\tdone\n"
    "\tcase ${COMP_WORDS[COMP_CWORD-1]} in\n"
    "\t--socket|--run-dir) COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n"
    "\tesac\n"
    "\tcase $words in\n";
static const char tail[] =
    "\tesac\n"
    "\t[[ $cur == -* ]] && list='--socket --run-dir --json --yes --generate --help --version'\n"
    "\tCOMPREPLY=($(compgen -W \"$list\" -- \"$cur\"))\n"
    "}\n"
    "complete -F _fubar_admin fubar-admin\n";

/* The second words behind the first word of command c; nothing if an earlier command had the same first word. */
static void
second_words(FILE *f, enum admin_command c)
{
	const char *words = admin_info(c)->words;
	size_t n = strcspn(words, " ");

	if (words[n] == '\0')
		return;
	for (enum admin_command d = 0; d < c; d++)
		if (strncmp(admin_info(d)->words, words, n + 1) == 0)
			return;
	fprintf(f, "\t' %.*s') list='", (int)n, words);
	for (enum admin_command d = c; d < ADMIN_COMMAND_COUNT; d++)
		if (strncmp(admin_info(d)->words, words, n + 1) == 0)
			fprintf(f, "%s%s", d == c ? "" : " ", admin_info(d)->words + n + 1);
	fprintf(f, "' ;;\n");
}

static void
arguments(FILE *f, enum admin_command c)
{
	const struct admin_info *i = admin_info(c);

	if (strncmp(i->args, "KEY", 3) == 0) {
		fprintf(f, "\t' %s') list='", i->words);
		for (enum config_key k = 0; k < CONFIG_KEY_COUNT; k++)
			fprintf(f, "%s%s", k == 0 ? "" : " ", config_info(k)->path);
		fprintf(f, "' ;;\n");
	}
}

void
complete_print(FILE *f)
{
	fputs(head, f);
	fputs("\t'') list='help", f);
	for (enum admin_command c = 0; c < ADMIN_COMMAND_COUNT; c++) {
		const char *words = admin_info(c)->words;
		size_t n = strcspn(words, " ");
		bool again = false;

		for (enum admin_command d = 0; d < c && words[n] != '\0'; d++)
			again = again || strncmp(admin_info(d)->words, words, n + 1) == 0;
		if (!again)
			fprintf(f, " %.*s", (int)n, words);
	}
	fputs("' ;;\n", f);
	for (enum admin_command c = 0; c < ADMIN_COMMAND_COUNT; c++) {
		second_words(f, c);
		arguments(f, c);
	}
	fputs("\t' acl set '*) list='allow deny' ;;\n", f);
	fputs("\t' right set'|' right del') list='everyone anonymous user: group:' ;;\n", f);
	fputs("\t' right set '*) list='publish subscribe send receive all allow deny' ;;\n", f);
	fputs("\t' right check '*' '*) list='publish subscribe send receive' ;;\n", f);
	fputs("\t' trace client '*|' trace topic '*) list='on off' ;;\n", f);
	fputs(tail, f);
}
