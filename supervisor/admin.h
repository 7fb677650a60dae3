/* SPDX-License-Identifier: Apache-2.0
 * supervisor/admin.h - the admin socket: who may ask, one request at a time a client, the answer in rows. Requests are
 * framed as on a channel (common/ipc): one ADMIN frame in, ADMIN_ROW frames and one ADMIN_DONE out.
 *
 * admin.c has sockets and clients, admin_fan.c asks children and joins what they say, admin_do.c and stats.c are the
 * supervisor's own commands. */
#ifndef SUPERVISOR_ADMIN_H
#define SUPERVISOR_ADMIN_H

#include "common/admin/row.h"
#include "common/admin/words.h"
#include "common/base/hmap.h"
#include "supervisor/proctab.h"

#define ADMIN_ARGS_MAX 8

struct admin;
struct admin_conn;

/* One request on its way. */
struct admin_call {
	struct list link;
	struct node *node;
	struct admin_conn *conn;        /* NULL: the client went away */
	uint64_t id;                    /* ours, to the children */
	uint64_t client_id;             /* the client's own */
	enum admin_command command;
	char *arg[ADMIN_ARGS_MAX];      /* owned, each with a NUL behind it */
	size_t arg_len[ADMIN_ARGS_MAX]; /* it may hold others */
	size_t args;
	uint64_t workers;               /* slots that have not answered yet */
	bool store;                     /* has not answered yet */
	bool told;                      /* the children are asked whether they follow: admin_fan_follow() */
	bool stream;                    /* rows come until its client goes */
	uint64_t lost;                  /* rows of a stream that its client did not take */
	size_t rows;
	int code;
	char text[CONFIG_ERROR_MAX + 64];
	struct timer limit;
	struct hmap merged;             /* admin_fan.c: rows being added up */
	void (*on_row)(void *arg, struct slice fields);        /* set: the supervisor's own question */
	void *on_row_arg;
	struct buf row;                 /* being made */
};

/* Makes run_dir/admin.sock. 0; FB_EIO and *e. */
int admin_init(struct node *n, struct config_error *e);
void admin_fini(struct node *n);        /* answers what is open, removes the socket */

/* A question of our own, which children answer: each row goes to on_row, perhaps at once, perhaps none. arg must last
 * until admin_fini(). arg1 is copied. */
void admin_ask(struct admin *a, enum admin_command command, const char *arg1, void (*on_row)(void *arg, struct slice fields),
    void *arg);

/* From a child's channel; the admin may be NULL. */
void admin_on_row(struct admin *a, const struct proc *p, struct slice payload);
void admin_on_done(struct admin *a, const struct proc *p, struct slice payload);
void admin_on_death(struct admin *a, const struct proc *p);

/* --- for the parts ----------------------------------------------------------------------------------------------- */

struct buf *admin_row(struct admin_call *c);            /* row_put_...() into it, then admin_row_end() */
void admin_row_end(struct admin_call *c);
/* The end of a call, which is not the caller's any more: the answer goes out, at once or, to a command that changed something, when
 * the children follow. text NULL: that of the code. */
void admin_finish(struct admin_call *c, int code, const char *text);
struct admin_call *admin_call_by_id(struct admin *a, uint64_t id);
struct list *admin_calls(struct admin *a);

void admin_fan_out(struct admin_call *c);               /* ends by admin_finish(), perhaps at once */
/* A change is made: all children are asked whether it holds there; then admin_finish() with 0 and that text. */
void admin_fan_follow(struct admin_call *c, const char *text);
void admin_fan_free(struct admin_call *c);
/* A command of the supervisor's own, or one that it must look at first: true: finished. */
bool admin_do(struct admin_call *c);

#endif
