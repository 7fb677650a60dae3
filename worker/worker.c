/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/worker.h"

#include <string.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/ipc/chan.h"
#include "common/metrics/beat.h"
#include "common/metrics/page.h"
#include "worker/admin.h"
#include "worker/ban.h"
#include "worker/barrier.h"
#include "worker/conn.h"
#include "worker/connect.h"
#include "worker/ctl.h"
#include "worker/dispatch.h"
#include "worker/durability.h"
#include "worker/flow.h"
#include "worker/keep.h"
#include "worker/listener.h"
#include "worker/move.h"
#include "worker/queuec.h"
#include "worker/rights.h"
#include "worker/seen.h"
#include "worker/shared.h"
#include "worker/storec.h"
#include "worker/sys.h"
#include "worker/tls.h"
#include "worker/trace.h"
#include "worker/ws.h"

#define TICK_NS      (250 * NS_PER_MS)
#define FLUSHES      32u                /* between two looks at the clock */
#define RESUMES      8u                 /* the same; each may have a large packet */

/* A write may lead to more output: the list grows while it is worked off. What a turn that has taken long enough leaves
 * stays in the list, in order. */
static void
flush_dirty(struct worker *w)
{
	uint32_t i = 0;

	while (i < w->dirty_count) {
		struct conn *c = w->dirty[i++];

		c->flags = (uint16_t)(c->flags & ~CONN_DIRTY);
		conn_flush(c);
		if (i % FLUSHES == 0 && worker_check_late(w))
			break;
	}
	w->dirty_count -= i;
	w->behind -= i < w->behind ? i : w->behind;
	memmove(w->dirty, w->dirty + i, w->dirty_count * sizeof *w->dirty);
}

/* Output is left for the next turn. A message to thousands is soon read and long written, and many of them at once cost
 * less, so reading goes on beside it; but when somebody has a lot of it, nothing more is taken in until what is left now is
 * written. What comes to that meanwhile waits for a turn that reads. */
static void
leave_rest(struct worker *w)
{
	if (w->swollen && w->behind_turn != loop_stats(w->loop)->turns + 1) {
		w->behind = w->dirty_count;
		w->swollen = false;
	}
	loop_next(w->loop, &w->turn_end);
}

/* The end of a turn: connections that may go on, one write for each that has output, the dead. One may lead to
 * another, so until all is quiet, or the turn has taken long enough: then the rest is for the end of the next. */
static void
on_turn_end(struct task *t)
{
	struct worker *w = container_of(t, struct worker, turn_end);
	unsigned resumed = 0;

	if (w->behind > 0)
		w->behind_turn = loop_stats(w->loop)->turns + 1;
	for (;;) {
		struct conn *c;

		keeps_turn_end(w->keeps);
		queuec_flush(w->queue);
		barriers_start(w);
		if (list_empty(&w->resumed) && w->dirty_count == 0)
			break;
		while (w->behind == 0 && !worker_is_over(w) && (c = LIST_FIRST(&w->resumed, struct conn, link)) != NULL) {
			conn_resume_now(c);
			if (++resumed % RESUMES == 0)
				(void)worker_check_turn(w);
		}
		flush_dirty(w);
		if (worker_is_over(w) && (!list_empty(&w->resumed) || w->dirty_count > 0)) {
			leave_rest(w);
			break;
		}
	}
	loop_hold_input(w->loop, w->behind > 0);
	LIST_EACH_SAFE(n, tmp, &w->dead)
		if ((container_of(n, struct conn, link)->flags & CONN_DIRTY) == 0)
			conn_free(container_of(n, struct conn, link));
}

/* The connections that used up their share of the last turn, behind all others of this one. */
static void
on_next_turn(struct task *t)
{
	struct worker *w = container_of(t, struct worker, next_turn);
	struct conn *c;

	while ((c = LIST_FIRST(&w->later, struct conn, link)) != NULL) {
		c->flags = (uint16_t)(c->flags & ~CONN_LATER);
		conn_resume(c);
	}
}

static void
on_tick(struct timer *t)
{
	struct worker *w = container_of(t, struct worker, tick);

	beat(w->loop);
	w->wall_offset_ns = clock_wall().ns - loop_now(w->loop).ns;
	budget_tick(w);
	if (w->gates_open)
		listeners_retry(w->listeners);
	if (w->stopping)
		stop_check(w);
	loop_timer_in(w->loop, t, TICK_NS);
}

struct worker *
worker_new(struct loop *l, int sup_fd)
{
	struct worker *w = mem_zalloc(sizeof *w);

	w->loop = l;
	w->sup = chan_new(l, sup_fd, IPC_WORKER, IPC_SUP, &ctl_ops, w);
	w->slots = 1;
	config_init(&w->config);
	config_init(&w->config_next);
	sessions_init(&w->sessions);
	hmap_init(&w->opens);
	list_init(&w->sub_ops);
	list_init(&w->unkept);
	wills_init(&w->wills);
	trie_init(&w->trie);
	hmap_init(&w->shapes);
	list_init(&w->conns);
	list_init(&w->resumed);
	list_init(&w->later);
	list_init(&w->dead);
	stop_init(&w->stop);
	list_init(&w->follows);
	arena_init(&w->arena);
	for (int i = 0; i < 4; i++)
		buf_init(&w->scratch[i]);
	w->rbuf = mem_alloc(WORKER_RBUF);
	budget_init(w);
	w->acl = cidr_table_new();
	w->rights = rights_new();
	w->traces = traces_new(w);
	w->store = storec_new(w);
	w->queue = queuec_new(w);
	w->keeps = keeps_new(w);
	w->listeners = listeners_new(w);
	w->tls = tls_new(l);
	w->moves = moves_new();
	w->bans = bans_new();
	w->barriers = barriers_new();
	w->sys = sys_new();
	w->shares = shares_new(w);
	w->seen = seen_new();
	task_init(&w->turn_end, on_turn_end);
	task_init(&w->next_turn, on_next_turn);
	timer_init(&w->tick, on_tick);
	w->wall_offset_ns = clock_wall().ns - loop_now(l).ns;
	loop_timer_in(l, &w->tick, TICK_NS);
	return w;
}

static void
kill_one(struct conn *c, void *arg)
{
	(void)arg;
	conn_kill(c, CONN_SIDE_SERVER, "the server is stopping");
}

void
worker_free(struct worker *w)
{
	struct hmap_iter it = { 0 };
	struct hmap_node *n;

	w->wills.over = true;
	queuec_detach(w->queue);        /* no last words: a session that is forgotten has not ended */
	conn_each(w, kill_one, NULL);
	w->ending = true;
	on_turn_end(&w->turn_end);
	moves_drop(w);
	connect_free_all(w);
	subscribe_free_all(w);
	while ((n = hmap_each(&w->sessions.map, &it)) != NULL)
		session_forget(w, container_of(n, struct session, node));
	shared_puts_drop(w);
	stop_fini(w);
	task_cancel(&w->turn_end);
	task_cancel(&w->next_turn);
	loop_timer_cancel(w->loop, &w->tick);
	budget_fini(w);
	listeners_free(w->listeners);
	ws_pool_free(w->ws);
	if (w->cluster != NULL)
		cluster_free(w->cluster);
	admin_fini(w);
	storec_free(w->store);
	keeps_free(w->keeps);
	(void)chan_drain(w->sup, 100);
	chan_free(w->sup);
	wills_fini(&w->wills);
	LIST_EACH_SAFE(l, tmp, &w->unkept)
		waiting_free(container_of(l, struct waiting, link));
	moves_free(w->moves);
	bans_free(w->bans);
	tls_free(w->tls);
	barriers_free(w->barriers);
	sys_free(w->sys);
	cidr_table_free(w->acl);
	shares_free(w->shares);
	queuec_free(w->queue);
	rights_free(w->rights);
	durability_free(w->disk_topics);
	seen_free(w->seen);
	traces_free(w->traces);
	trie_fini(&w->trie);
	hmap_fini(&w->shapes);
	sessions_fini(&w->sessions);
	hmap_fini(&w->opens);
	arena_fini(&w->arena);
	for (int i = 0; i < 4; i++)
		buf_fini(&w->scratch[i]);
	mem_free(w->dirty);
	mem_free(w->rcpts);
	mem_free(w->rbuf);
	config_fini(&w->config);
	config_fini(&w->config_next);
	mem_free(w);
}
