/* SPDX-License-Identifier: Apache-2.0
 * store/store.h - the process: its channels, its environments, and what it remembers.
 *
 * Threads: the loop (channels, decisions, short reads), the committer (batch.c), the checkpointer (env.c), the hashing
 * pool (auth.c), and at start the opener. Everything in struct store is the loop's, unless said. */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "common/config/config.h"
#include "common/ipc/chan.h"
#include "common/ipc/codec.h"
#include "store/age.h"
#include "store/auth.h"
#include "store/batch.h"
#include "store/env.h"
#include "store/opener.h"
#include "store/owners.h"
#include "store/save.h"
#include "store/slots.h"
#include "store/st_queue.h"
#include "store/st_retained.h"
#include "store/st_wills.h"
#include "store/work.h"

#define STORE_SLOTS_MAX    64
#define STORE_BALLAST_BYTES (INT64_C(64) << 20)
#define STORE_ACCOUNT_MAX  256          /* bytes of an account's name */

struct store {
	struct loop *loop;
	struct chan *sup;
	struct config config;           /* in force */
	struct config held;             /* with the settings that came since SETTINGS_END */
	char *data_dir;
	unsigned slot_count;
	struct env *env;                /* NULL: not open yet */
	struct env *queue;
	struct batch *batch, *qbatch;   /* of env, of queue */
	struct queue q;
	struct auth *auth;
	struct owners owners;
	struct work work;
	struct slots slots;
	struct {
		struct list all;
		struct timer again;
	} rows_old;                     /* st_sessions.c: rows of sessions that have moved, to be written again */
	struct retained retained;
	struct will_rows wills;
	struct age age;
	struct list parked;             /* struct work_job that wait for room in the supervisor's channel */
	struct opener *opener;          /* while it runs */
	struct save *save;              /* while a backup is made */
	struct imported *imported;      /* import.h; NULL: none */
	struct timer heartbeat;
	bool disk_full;
	bool disk_slow;
	uint64_t flushes;               /* when looked at last */
	struct mono slow_until;         /* a flush was slow not long before */
	int64_t slowest_ns;             /* of the flushes since it is slow */
};

/* fd: the channel to the supervisor, taken. Runs by the loop's callbacks from then on; a supervisor that is gone, or
 * STOP, ends the loop. */
struct store *store_new(struct loop *l, int fd);
void store_free(struct store *s);

/* For handlers: a message that cannot be read is our own fault, it is logged and the process dies. */
_Noreturn void store_bad_message(enum ipc_type type);

#endif
