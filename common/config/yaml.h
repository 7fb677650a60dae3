/* SPDX-License-Identifier: Apache-2.0
 * common/config/yaml.h - the configuration file: YAML with keys nested or dotted. The only user of libyaml; called by
 * the supervisor and tools, never with bytes from a network. */
#ifndef COMMON_CONFIG_YAML_H
#define COMMON_CONFIG_YAML_H

#include "common/base/slice.h"
#include "common/config/config.h"

#define YAML_FILE_MAX (256 * 1024)

/* Sets what the file says in c, as CONFIG_FILE; all of it, or on failure nothing. 0; else *e says "path:line:column:",
 * what is wrong and what would be valid: FB_ENOENT (no such file), FB_EPERM, FB_EIO, FB_ETOOBIG, FB_ESYNTAX, or the
 * error of config_set(). Does not do config_check(). */
int config_load_file(struct config *c, const char *path, struct config_error *e);
/* The same of bytes in memory; name stands for the path in errors. */
int config_load_text(struct config *c, const char *name, struct slice text, struct config_error *e);

#endif
