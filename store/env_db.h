/* SPDX-License-Identifier: Apache-2.0
 * store/env_db.h - what env.c and tables.c share: the only header that knows Berkeley DB's types. */
#ifndef STORE_ENV_DB_H
#define STORE_ENV_DB_H

#include <db.h>
#include <pthread.h>
#include <stdatomic.h>

#include "common/base/clock.h"
#include "store/env.h"

struct env {
	enum env_name name;
	DB_ENV *dbenv;
	DB *db[TABLE_COUNT];                    /* NULL: of the other environment */
	char *dir;
	int lock_fd;                            /* -1: not state */
	_Atomic int64_t min_free_bytes;
	int64_t ballast_bytes;

	/* The checkpointer's (checkpoint.c). */
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool has_thread;
	bool stopping;                          /* under lock */
	_Atomic uint64_t updates;
	_Atomic uint64_t checked_updates;       /* updates at the last checkpoint */
	_Atomic uint64_t checkpoints;
	struct mono checked_at;
	struct mono check_at, write_at;         /* not before */
	bool old_logs;                          /* there may be */
	pthread_mutex_t logs_lock;
	bool keep_logs;                         /* under logs_lock */
};

struct txn {
	struct env *env;
	DB_TXN *txn;
};

/* Berkeley DB's result as one of ours; a broken environment does not return. what: for the log. */
int env_rc(int rc, const char *what);
_Noreturn void env_broken(const char *why);
/* If there is none, and room for it. */
void env_make_ballast(struct env *e);

/* The checkpointer of an environment that is open; at its end there is a last checkpoint, if it was started. */
void checkpoint_start(struct env *e);
void checkpoint_stop(struct env *e);

/* The one place for trying again: as long as fn says FB_EAGAIN. */
int env_retry(int (*fn)(void *arg), void *arg);

#endif
