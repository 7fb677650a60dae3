/* SPDX-License-Identifier: Apache-2.0
 * t/support/store_rig.h - the real fubar-store as a child, with the test as its supervisor and workers.
 *
 * Everything is one loop; rig_wait_...() turn it until what is wanted came, or abort after 30 s. */
#ifndef T_SUPPORT_STORE_RIG_H
#define T_SUPPORT_STORE_RIG_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/base/buf.h"
#include "common/base/loop.h"
#include "common/ipc/chan.h"
#include "common/ipc/codec.h"

#define RIG_SLOTS 3

struct rig;

/* One message that came, copied. */
struct rig_msg {
	struct list link;
	enum ipc_type type;
	struct slice payload;           /* in bytes */
	uint8_t bytes[];
};

struct rig_end {
	struct rig *rig;
	struct chan *chan;
	struct list msgs;               /* struct rig_msg, oldest first */
	uint64_t epoch;
	bool closed;
};

struct rig {
	struct loop *loop;
	pid_t pid;
	char dir[64];                   /* the data directory is below it */
	unsigned slots;
	struct rig_end sup;
	struct rig_end worker[RIG_SLOTS];
	uint64_t epochs;
	struct timer deadline;
	bool late;
};

/* settings: "path", "value", ..., NULL. The store is started; rig_wait_ready() when it should have recovered. */
void rig_init(struct rig *r, unsigned slots);
void rig_start(struct rig *r, const char *const *settings);
void rig_wait_ready(struct rig *r);
/* A channel for the slot; epoch 0: a new incarnation; else one that was loaded by an older store. Says hello, and OWN_END if end. */
void rig_worker(struct rig *r, unsigned slot, uint64_t epoch, bool end);
void rig_worker_gone(struct rig *r, unsigned slot);     /* closes its channel and tells the store */
void rig_kill(struct rig *r);                           /* -9, reaped; the channels are closed */
int rig_stop(struct rig *r);                            /* the supervisor's end closes; exit code */
void rig_fini(struct rig *r);                           /* also removes the directory */

/* The next message of that type; others are left. Wait for it; owned by the caller: mem_free(). */
struct rig_msg *rig_wait(struct rig_end *e, enum ipc_type type);
struct rig_msg *rig_peek(struct rig_end *e, enum ipc_type type);        /* NULL: not yet; stays in the list */
void rig_drop(struct rig_end *e);                       /* forget all messages that came */
void rig_turn(struct rig *r);                           /* one turn; fails when the deadline is over */
void rig_deadline(struct rig *r, unsigned seconds);     /* anew, from now */

/* OPEN and its answer. */
struct rig_opened { int code; unsigned prev_slot; bool durable; unsigned subs; uint64_t stamp, prev_stamp; };
struct rig_opened rig_open(struct rig *r, unsigned slot, unsigned flags, const char *id, const char *user,
    const char *password);
/* Waits until DONE says that seq is done: its code. */
int rig_wait_done(struct rig *r, unsigned slot, uint64_t seq);
/* An admin command with its arguments, NULL at the end; the code, rows are counted. */
int rig_admin(struct rig *r, unsigned command, unsigned *rows, ...);
/* All rows of a replay, by as many gets as it takes: how many. */
unsigned rig_retained(struct rig *r, unsigned slot, const char *filter, uint32_t max_bytes);

#endif
