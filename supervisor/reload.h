/* SPDX-License-Identifier: Apache-2.0
 * supervisor/reload.h - the configuration of the node, from file, overrides of the store and flags, and how a new one
 * takes effect: all of it or nothing.
 *
 * wanted is what they say now. running is what the processes were told: it differs from wanted only in keys that need
 * a restart. */
#ifndef SUPERVISOR_RELOAD_H
#define SUPERVISOR_RELOAD_H

#include "common/base/list.h"
#include "common/base/slice.h"
#include "common/ipc/chan.h"
#include "supervisor/options.h"

struct reload {
	const struct options *options;
	struct config file;             /* defaults and the file as last read */
	struct config wanted;
	struct config running;
	struct list overrides;          /* struct override, of the store */
	struct list incoming;           /* a new store tells all of its overrides */
	bool collecting;
};

/* Reads the file for the first time. 0, or an error of config_load_file(), config_set() or config_check() and *e. */
int reload_init(struct reload *r, const struct options *o, struct config_error *e);
void reload_fini(struct reload *r);

/* Reads the file again. 0: wanted and running are new; else nothing changed and *e says why. */
int reload_file(struct reload *r, struct config_error *e);
/* A store came up: its overrides follow, each by reload_override(), then reload_overrides_end(). Without the begin an
 * override is one change at run time; so is one that is gone. All return true if something may have changed in running. */
void reload_overrides_begin(struct reload *r);
bool reload_override(struct reload *r, struct slice path, struct slice value);
bool reload_override_gone(struct reload *r, struct slice path);
bool reload_overrides_end(struct reload *r);
/* May this run-time change be made? value NULL: taken back. 0, or *e says why not. */
int reload_may_set(const struct reload *r, const char *path, const char *value, struct config_error *e);

/* SETTING for each key of running that differs from before (NULL: for all), then SETTINGS_END; false: nothing differs,
 * nothing was sent. */
bool reload_send(const struct reload *r, const struct config *before, struct chan *to);
/* Keys that wait for a restart, as "workers, node"; "" if none. Returns out. */
const char *reload_waiting(const struct reload *r, char *out, size_t size);
bool reload_waits(const struct reload *r, enum config_key k);
const char *reload_source(const struct config *c, enum config_key k);   /* "file" */

#endif
