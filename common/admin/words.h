/* SPDX-License-Identifier: Apache-2.0
 * common/admin/words.h - matching typed words against commands.def: unique prefixes, what was possible. */
#ifndef COMMON_ADMIN_WORDS_H
#define COMMON_ADMIN_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum admin_command {
#define CMD(words, args, by, right, handler, help) ADMIN_##handler,
#include "common/admin/commands.def"
#undef CMD
	ADMIN_COMMAND_COUNT
};
enum admin_by { ADMIN_BY_SUP, ADMIN_BY_STORE, ADMIN_BY_WORKERS, ADMIN_BY_NODE };
enum admin_right { ADMIN_READ = 1, ADMIN_WRITE = 2 };

struct admin_info {
	const char *words, *args, *help;
	enum admin_by by;
	enum admin_right right;
	unsigned args_min, args_max;
};
const struct admin_info *admin_info(enum admin_command c);

/* Of the table: the tool sends a command's number, so tool and daemon must have one table. Never 0. */
uint16_t words_digest(void);

/* Finds the command that argv starts with; *used says how many words it took. Each word may be shortened to a unique
 * prefix. 0; FB_ESYNTAX: none or several match, or the arguments are wrong: error says what was possible. */
int words_match(size_t argc, char *const *argv, enum admin_command *out, size_t *used, char *error, size_t error_size);

/* The commands that begin with these words (none: all), with arguments and help, to f unless NULL; false:
 * there is none. */
bool words_help(FILE *f, size_t argc, char *const *argv);

#endif
