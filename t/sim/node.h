/* SPDX-License-Identifier: Apache-2.0
 * t/sim/node.h - a node in one process: workers and the store as they are, and a supervisor that says what the real
 * one says, in its order (supervisor/proctab.c). Processes die and come back. */
#ifndef T_SIM_NODE_H
#define T_SIM_NODE_H

#include "t/sim/sim.h"

#define NODE_WORKERS 3

struct node;
struct store;
struct worker;

struct node_proc {
	struct node *node;
	unsigned slot;                  /* NODE_WORKERS: the store */
	uint64_t epoch;
	struct loop *loop;
	struct worker *worker;          /* NULL: dead; or it is the store */
	struct store *store;
	struct chan *chan;              /* the supervisor's end; NULL: dead, and it knows */
	bool ready, was_ready, open;
	struct sim_event death, birth;
};

struct node {
	struct loop *loop;              /* the supervisor's */
	unsigned workers;
	struct node_proc proc[NODE_WORKERS + 1];
	const char *const *settings;    /* path, value, ..., NULL */
	uint64_t epochs;
	bool workers_started, gates_open;
	int64_t birth_max_ns;           /* how long a process stays dead */
};

void node_open(struct node *n, unsigned workers, const char *const *settings);
void node_close(struct node *n);        /* kills what lives */
void node_kill(struct node *n, unsigned slot);  /* kill -9; the supervisor sees it a while later */
void node_kill_all(struct node *n, bool power); /* all at once, the supervisor too; a new one starts */

/* Its clients get in. */
bool node_accepts(const struct node *n, unsigned slot);
bool node_all_ready(const struct node *n);

#endif
