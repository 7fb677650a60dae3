/* SPDX-License-Identifier: Apache-2.0
 * supervisor/proctab.h - the node: which processes there are, how they come up, what each is told of the others'
 * births and deaths. */
#ifndef SUPERVISOR_PROCTAB_H
#define SUPERVISOR_PROCTAB_H

#include "common/base/rand.h"
#include "common/metrics/page.h"
#include "supervisor/certs.h"
#include "supervisor/listeners.h"
#include "supervisor/logs.h"
#include "supervisor/paths.h"
#include "supervisor/reload.h"
#include "supervisor/restart.h"
#include "supervisor/service.h"
#include "supervisor/statlog.h"
#include "supervisor/budget.h"
#include "supervisor/sysmon.h"
#include "supervisor/systree.h"
#include "supervisor/trace.h"

/* DOWN: none, or waiting to be started. STARTING: has not said READY. READY: serves; a worker only behind its gate. */
enum proc_state { PROC_DOWN, PROC_STARTING, PROC_READY };

struct proc {
	struct node *node;
	const char *name;               /* "store", "worker" */
	enum ipc_role role;
	unsigned slot;
	enum proc_state state;
	char helper[PATH_MAX];
	pid_t pid;                      /* 0: none */
	uint64_t epoch;
	struct chan *chan;              /* NULL: none */
	struct metrics_page *page;      /* NULL: none */
	struct timer respawn;
	struct restart restart;
	unsigned restarts;
	struct mono started, seen;      /* seen: when its heartbeat was last another one */
	struct mono down;               /* since when it does not serve */
	struct mono ended;              /* reaped or channel closed, whichever came first */
	struct wall since;
	uint64_t beat;
	int status;                     /* of waitpid(), once reaped */
	bool reaped, closed;            /* dead when both */
	bool silenced;                  /* killed by us, for silence */
	bool open;                      /* worker: its gate is open */
	int lent_to;                    /* worker: the slot that has our listeners meanwhile; -1: none */
	uint64_t cpu_ticks;             /* at the last sample */
	double load;                    /* CPUs in use between the last two samples */
};

enum node_state { NODE_STARTING, NODE_RUNNING, NODE_STOPPING };

struct node {
	struct loop *loop;
	struct options options;
	struct reload reload;
	struct paths paths;
	struct listeners listeners;
	struct logs logs;
	struct admin *admin;
	struct trace_list traces;
	struct proc store;
	struct proc worker[LISTENERS_WORKERS];
	unsigned workers;
	enum node_state state;
	bool workers_started;
	bool gates_open;                /* all workers were ready once */
	uint64_t boot;                  /* epochs: boot << 16 | run */
	uint64_t run;
	struct hash_key route_key;
	struct blame blame;
	struct service service;
	struct certs certs;
	struct timer tick;
	struct sysmon sysmon;
	struct budget budget;
	struct systree systree;
	struct statlog statlog;
	struct mono last_tick, last_sample;
	struct mono stop_workers_by, stop_by;
	bool store_told_to_stop;
	bool paused;                    /* all children are to end, and to be started again: proctab_pause() */
	struct restoring *restoring;    /* while a backup is put in place */
	struct mono started;
	struct wall since;
	uint64_t ended[METRIC_COUNT];   /* counters of processes that are gone */
	int exit_code;
};

/* Finds the helpers; nothing is started. 0, or FB_ENOENT and *e. */
int proctab_init(struct node *n, struct config_error *e);
void proctab_start(struct node *n);             /* the store; the rest follows by itself */
void proctab_reap(struct node *n);              /* after SIGCHLD */
/* p is reaped but something holds its channel open: wait no longer. */
void proctab_end_channel(struct proc *p);
/* Graceful; a second call is by force. The loop ends when all children are gone. */
void proctab_stop(struct node *n, const char *why);
/* All children end as with proctab_stop(), then start again, with an epoch that is fresh also for data that were exchanged
 * meanwhile; the listeners stay, and who connects waits. restore_paused() and restore_over() are told. */
void proctab_pause(struct node *n, const char *why);
/* At exit: kills and reaps what is left, frees all. */
void proctab_fini(struct node *n);
/* Tells all processes what differs between before and the running configuration, and takes it over here. */
void proctab_settings(struct node *n, const struct config *before);
/* The whole transaction of SIGHUP and `reload`: 0 and *e is what to tell people, or the error and *e says why. */
int proctab_reload(struct node *n, struct config_error *e);

static inline bool
proc_alive(const struct proc *p)
{
	return p->chan != NULL && !p->reaped && !p->closed;
}
const char *proc_state_text(const struct proc *p);
/* EACH_PROC(p, n): the store, then the workers. */
static inline struct proc *
proc_nth(struct node *n, unsigned i)
{
	return i == 0 ? &n->store : i <= n->workers ? &n->worker[i - 1] : NULL;
}
#define EACH_PROC(p, n) \
	for (unsigned p##_i = 0; p##_i <= (n)->workers; p##_i++) \
		for (struct proc *p = proc_nth(n, p##_i); p != NULL; p = NULL)
#define EACH_WORKER(p, n) for (struct proc *p = (n)->worker; p < (n)->worker + (n)->workers; p++)

#endif
