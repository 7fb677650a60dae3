/* SPDX-License-Identifier: Apache-2.0
 * common/config/print.h - the configuration as YAML that yaml.h reads back to the same values. */
#ifndef COMMON_CONFIG_PRINT_H
#define COMMON_CONFIG_PRINT_H

#include <stdio.h>

#include "common/config/config.h"

/* Every key with its value; one that is not the default says in a comment where it came from. The caller looks at
 * ferror(). */
void config_print(FILE *f, const struct config *c);

#endif
