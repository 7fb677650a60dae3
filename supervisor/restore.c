/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/restore.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/ipc/codec.h"
#include "supervisor/spawn.h"

#define OOM_LESS 100                    /* as the store */

struct restoring {
	struct node *node;
	struct loop *loop;
	struct chan *chan;              /* of the helper; NULL: it is over */
	pid_t pid;
	int status;
	bool reaped, closed;
	uint64_t call;                  /* the admin's; 0: --restore */
	bool done;                      /* the helper has said how it went */
	int code;
	char text[CONFIG_ERROR_MAX + 64];
	char aside[PATH_MAX];           /* where the data of today go; "": not known yet */
};

static struct admin_call *
call_of(const struct restoring *r)
{
	return r->call != 0 && r->node->admin != NULL ? admin_call_by_id(r->node->admin, r->call) : NULL;
}

static void
restoring_free(struct restoring *r)
{
	r->node->restoring = NULL;
	chan_free(r->chan);
	mem_free(r);
}

static void
finish(struct restoring *r, int code, const char *text)
{
	struct admin_call *c = call_of(r);

	if (code != 0)
		log_error("restore", "not done", "why=\"%s\"", text);
	if (c != NULL)
		admin_finish(c, code, text);    /* text may be in r */
	restoring_free(r);
}

/* ---- the helper ---- */

/* Reaped, and all that it said was heard. */
static void
helper_over(struct restoring *r)
{
	if (!r->reaped || !r->closed)
		return;
	if (!r->done) {
		r->code = FB_EIO;
		snprintf(r->text, sizeof r->text, "the check of the backup broke off; the log says why");
	}
	if (r->call == 0) {
		loop_stop(r->loop);
		return;
	}
	chan_free(r->chan);
	r->chan = NULL;
	r->pid = 0;
	if (r->code != 0)
		finish(r, r->code, r->text);
	else
		proctab_pause(r->node, "restore");
}

static void
note_aside(struct restoring *r, struct slice fields)
{
	struct row_field f;
	char name[64];

	while (row_next(&fields, &f) == 0) {
		if (f.type != ROW_TEXT || !slice_eq(f.name, SLICE_LIT("data_of_before")) || f.text.len >= sizeof name)
			continue;
		memcpy(name, f.text.p, f.text.len);
		name[f.text.len] = '\0';
		paths_in(r->node->paths.data_dir, name, r->aside);
	}
}

static void
on_row(struct restoring *r, struct slice payload)
{
	struct admin_call *c = call_of(r);
	struct ipc_admin_row p;

	if (ipc_take_admin_row(payload, &p) != 0)
		return;
	note_aside(r, p.fields);
	if (c == NULL)
		return;
	buf_put_slice(admin_row(c), p.fields);
	admin_row_end(c);
}

static void
on_msg(void *arg, enum ipc_type type, struct slice payload, int fd)
{
	struct restoring *r = arg;
	struct ipc_admin_done d;

	if (fd >= 0)
		close(fd);
	if (type == IPC_ADMIN_ROW) {
		on_row(r, payload);
	} else if (type == IPC_ADMIN_DONE && ipc_take_admin_done(payload, &d) == 0) {
		r->done = true;
		r->code = -(int)d.code;
		snprintf(r->text, sizeof r->text, "%.*s", (int)(d.text.len < sizeof r->text ? d.text.len : sizeof r->text - 1),
		    (const char *)d.text.p);
	}
}

static void
on_closed(void *arg)
{
	struct restoring *r = arg;

	r->closed = true;
	helper_over(r);
}

static const struct chan_ops ops = { .on_msg = on_msg, .on_closed = on_closed };

void
restore_reap(struct node *n)
{
	struct restoring *r = n->restoring;

	if (r == NULL || r->pid <= 0 || r->reaped || waitpid(r->pid, &r->status, WNOHANG) != r->pid)
		return;
	r->reaped = true;
	helper_over(r);
}

/* NULL: errno. */
static struct restoring *
start(struct node *n, struct loop *l, const char *dir, uint64_t call, int log_fd)
{
	struct restoring *r = mem_zalloc(sizeof *r);
	char option[] = "--restore", min_free[32];
	char *argv[] = { n->store.helper, option, (char *)(uintptr_t)dir, n->paths.data_dir, min_free, NULL };
	int fd;

	snprintf(min_free, sizeof min_free, "%lld", (long long)n->reload.running.store_min_free);
	if (spawn(n->store.helper, argv, OOM_LESS, log_fd, &r->pid, &fd) != 0) {
		mem_free(r);
		return NULL;
	}
	r->node = n;
	r->loop = l;
	r->call = call;
	r->chan = chan_new(l, fd, IPC_SUP, IPC_STORE, &ops, r);
	n->restoring = r;
	return r;
}

/* ---- with a node ---- */

void
restore_admin(struct admin_call *c)
{
	struct node *n = c->node;
	char text[128];

	if (c->arg[0][0] != '/') {
		admin_finish(c, FB_EINVAL, "an absolute path of a directory is wanted");
	} else if (n->restoring != NULL || n->state != NODE_RUNNING) {
		admin_finish(c, FB_EBUSY, n->restoring != NULL ? "another restore is under way" : "the node does not serve now");
	} else if (start(n, n->loop, c->arg[0], c->id, n->logs.pipe_out) == NULL) {
		snprintf(text, sizeof text, "the helper cannot be started: %s", strerror(errno));
		admin_finish(c, FB_EIO, text);
	} else {
		log_notice("restore", "backup is checked", "dir=%s", c->arg[0]);
	}
}

void
restore_over(struct node *n)
{
	struct restoring *r = n->restoring;
	char text[PATH_MAX + 64];

	if (r->aside[0] == '\0' || access(r->aside, F_OK) != 0) {
		finish(r, FB_EIO, "the data could not be exchanged; the log says why");
		return;
	}
	log_notice("restore", "done", "data_of_before=%s", r->aside);
	snprintf(text, sizeof text, "restored; the data of before are in %s", r->aside);
	finish(r, 0, text);
}

void
restore_stop(struct node *n)
{
	struct restoring *r = n->restoring;

	if (r == NULL)
		return;
	if (r->pid > 0 && !r->reaped) {
		(void)kill(r->pid, SIGKILL);
		(void)waitpid(r->pid, NULL, 0);
	}
	/* Once the copy is good, whichever store comes next takes it. */
	finish(r, FB_ECLOSED, r->chan == NULL ? "the node stops; the backup will be in place when it starts again" :
	    "the node stops, nothing was changed");
}

/* ---- without one ---- */

static void
on_signal(void *arg, int signo)
{
	struct node *n = arg;

	if (signo == SIGCHLD) {
		restore_reap(n);
		return;
	}
	n->restoring->code = FB_ECLOSED;
	n->restoring->done = true;
	snprintf(n->restoring->text, sizeof n->restoring->text, "interrupted");
	(void)kill(n->restoring->pid, SIGKILL);
}

int
restore_once(struct node *n, const char *dir, struct config_error *e)
{
	static const int numbers[] = { SIGCHLD, SIGTERM, SIGINT };
	struct loop *l = loop_new();
	struct restoring *r = start(n, l, dir, 0, STDERR_FILENO);
	int code = FB_EIO;

	if (r == NULL) {
		snprintf(e->text, sizeof e->text, "the helper %.300s cannot be started: %s", n->store.helper, strerror(errno));
	} else {
		for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
			loop_signal(l, numbers[i], on_signal, n);
		restore_reap(n);                /* before SIGCHLD was watched */
		loop_run(l);
		code = r->code;
		snprintf(e->text, sizeof e->text, "restore: %.480s", r->text);
		if (code == 0)
			printf("fubard: the backup is good and will be in place at the next start; the data of before will be in %s\n",
			    r->aside);
		restoring_free(r);
	}
	loop_free(l);
	return code;
}
