/* SPDX-License-Identifier: Apache-2.0
 * supervisor/client/opt.h - taking options off a command line by a table: -q 1, -q1, -dv, --qos 1, --qos=1.
 *
 * The table (a .def file) makes the parser, the help text and a test of the man page. */
#ifndef CLIENT_OPT_H
#define CLIENT_OPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct opt_row {
	char letter;                    /* 0: none */
	const char *name;               /* without "--"; NULL: none */
	const char *arg;                /* what follows it, as shown in help; NULL: nothing does */
	unsigned who;                   /* bits of the commands that take it */
	const char *help;
};

struct opt {
	const struct opt_row *rows;
	size_t row_count;
	unsigned who;                   /* the command at hand: one bit */
	char **argv;                    /* NULL at its end */
	const char *cluster;            /* rest of "-dv" */
	char error[200];
};

enum { OPT_END = -1, OPT_WORD = -2, OPT_ERROR = -3 };

/* The next option's row number, with *value its argument (NULL: none). OPT_WORD: *value is a word that is no option;
 * OPT_END; OPT_ERROR: see o->error. */
int opt_next(struct opt *o, const char **value);
/* The next word, whatever it looks like, for options of several arguments; NULL at the end. */
const char *opt_more(struct opt *o);
void opt_help(const struct opt *o);                     /* the rows of o->who, to standard output */

/* Values; false puts a text into o->error, which names the option's row. */
bool opt_number(struct opt *o, int row, const char *value, uint64_t min, uint64_t max, uint64_t *out);
bool opt_real(struct opt *o, int row, const char *value, double min, double max, double *out);
/* "3", "31", "mqttv31", "mqttv311", "5" ... */
bool opt_level(struct opt *o, int row, const char *value, uint8_t *out);

#endif
