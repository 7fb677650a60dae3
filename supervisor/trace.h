/* SPDX-License-Identifier: Apache-2.0
 * supervisor/trace.h - what is traced, for all workers and those that come later; it ends with the node. And who
 * watches: the TRACE lines of the workers' log, sent on as they come. */
#ifndef SUPERVISOR_TRACE_H
#define SUPERVISOR_TRACE_H

#include <stdbool.h>
#include <stddef.h>

#define TRACE_MAX 1000

struct admin_call;
struct node;
struct proc;

struct trace_entry {
	bool is_topic;
	char *name;                     /* owned */
};

struct trace_list {
	struct trace_entry *at;
	size_t count;
	unsigned watchers;
};

void trace_init(struct node *n);
void trace_fini(struct node *n);
/* To a worker that comes up. */
void trace_tell(const struct node *n, struct proc *w);
/* The commands. */
void trace_client(struct admin_call *c);
void trace_topic(struct admin_call *c);
void trace_list(struct admin_call *c);
void trace_watch(struct admin_call *c);
/* The client of a call that watches has gone: the call ends. */
void trace_watch_end(struct admin_call *c);

#endif
