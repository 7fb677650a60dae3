/* SPDX-License-Identifier: Apache-2.0
 * supervisor/options.h - the command line of fubard. */
#ifndef SUPERVISOR_OPTIONS_H
#define SUPERVISOR_OPTIONS_H

#include <stddef.h>

#include "common/config/config.h"

enum options_mode { OPTIONS_RUN, OPTIONS_CHECK, OPTIONS_PRINT, OPTIONS_DOCTOR, OPTIONS_RESTORE, OPTIONS_HELP, OPTIONS_VERSION };

struct options_set { char *path, *value; };

struct options {
	enum options_mode mode;
	char *file;                     /* of -c, absolute; NULL: none */
	char *backup;                   /* of --restore, absolute */
	struct options_set *set;        /* flags as configuration values, in their order */
	size_t set_count;
};

/* 0; FB_ESYNTAX: e says what is wrong. */
int options_parse(struct options *o, int argc, char **argv, struct config_error *e);
void options_fini(struct options *o);
extern const char options_help[];

#endif
