/* SPDX-License-Identifier: Apache-2.0
 * store/env.h - a Berkeley DB environment: opened with recovery, written in transactions, checkpointed. There are two,
 * each in its folder of the data directory, with its own log and tables (tables.def).
 *
 * The environment's regions are this process's own memory (DB_PRIVATE): nobody else can open it, and a lock on the
 * data directory keeps a second store waiting until the first one is gone. `state` holds the lock and the ballast for
 * both: it is opened first and closed last. When Berkeley DB finds the environment
 * broken, or a flush fails, the process ends at once with ENV_BROKEN_EXIT; the next one recovers. */
#ifndef STORE_ENV_H
#define STORE_ENV_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "store/tables.h"

#define ENV_BROKEN_EXIT 3

struct env_config {
	enum env_name name;
	const char *dir;                /* the data directory; made if missing */
	int64_t cache_bytes;
	int64_t min_free_bytes;
	bool copied;                    /* made by backup_env(): all of its log is to be applied */
	int64_t ballast_bytes;          /* a file that is given up when recovery finds no room; 0: none */
};

/* Blocks: waits for the lock (state), recovers, opens the tables. FB_EIO: logged. */
int env_open(const struct env_config *cfg, struct env **out);
void env_close(struct env *e);          /* with a last checkpoint; no cursor or transaction may be open */
void env_set_min_free(struct env *e, int64_t bytes);    /* any thread */

/* Runs fn in a transaction and commits, without waiting for the disk: env_flush() does. fn's error aborts. Deadlocks
 * (FB_EAGAIN) run it again, so it must have no effect outside the transaction that may not happen twice. */
int env_write(struct env *e, int (*fn)(struct txn *x, void *arg), void *arg);
void env_flush(struct env *e);          /* all commits so far are on the disk */
struct env *txn_env(const struct txn *x);
enum env_name env_which(const struct env *e);
const char *env_folder(enum env_name name);     /* of the data directory */

/* May something of this kind be written now, or is the disk too full? A look at the file system. */
enum env_need {
	ENV_GROWS,              /* stops at min_free */
	ENV_SHRINKS,            /* deletions go on to the half of it */
	ENV_ADMIN,              /* few and small: to the last 16 MiB, so that an operator can act */
};
bool env_has_room(struct env *e, enum env_need need);

/* For the checkpointer: n updates were committed. */
void env_count_updates(struct env *e, uint64_t n);
uint64_t env_checkpoints(const struct env *e);
/* No log is removed until it is said again, with false: somebody copies them. */
void env_keep_logs(struct env *e, bool keep);

#endif
