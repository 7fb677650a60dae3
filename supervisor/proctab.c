/* SPDX-License-Identifier: Apache-2.0
 *
 * A child counts as dead when it is reaped and its channel has reached its end: what it said before it died is heard.
 * Only then its neighbours are told and a successor may start. */
#include "supervisor/proctab.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/ipc/codec.h"
#include "supervisor/admin.h"
#include "supervisor/death.h"
#include "supervisor/restore.h"
#include "supervisor/spawn.h"
#include "supervisor/watch.h"

#define FIRST_TRIES 5           /* deaths of one child before the node was ever ready: it never will be */
/* Most memory, and least harm: a worker. Then the store; we are the last. */
#define OOM_WORKER 200
#define OOM_STORE  100
#define STOP_WORKERS_SHARE 0.7  /* of stop_timeout; the rest is the store's */

static const struct chan_ops chan_ops;
static void proc_start(struct proc *p);
static void stop_step(struct node *n);

static void
on_respawn(struct timer *t)
{
	struct proc *p = container_of(t, struct proc, respawn);

	if (p->node->state != NODE_STOPPING && !p->node->paused)
		proc_start(p);
}

static void
proc_init(struct proc *p, struct node *n, const char *name, enum ipc_role role, unsigned slot)
{
	*p = (struct proc){ .node = n, .name = name, .role = role, .slot = slot, .lent_to = -1 };
	timer_init(&p->respawn, on_respawn);
}

int
proctab_init(struct node *n, struct config_error *e)
{
	int err;

	proc_init(&n->store, n, "store", IPC_STORE, 0);
	err = paths_helper("fubar-store", n->store.helper, e);
	n->workers = config_workers(&n->reload.running);
	EACH_WORKER(p, n) {
		proc_init(p, n, "worker", IPC_WORKER, (unsigned)(p - n->worker));
		if (err == 0)
			err = paths_helper("fubar-worker", p->helper, e);
	}
	return err;
}

const char *
proc_state_text(const struct proc *p)
{
	if (p->chan != NULL && p->node->state == NODE_STOPPING)
		return "stopping";
	switch (p->state) {
	case PROC_DOWN:
		return "down";
	case PROC_STARTING:
		return "starting";
	case PROC_READY:
		return p->role == IPC_STORE || p->open ? "ready" : "waiting";
	}
	return "?";
}

/* --- births ------------------------------------------------------------------------------------------------------ */

static uint64_t
next_epoch(struct node *n)
{
	struct config_error e;

	if (++n->run > 0xffff) {
		n->run = 1;
		if (paths_boot(&n->paths, &n->boot, &e) != 0) {
			log_error("proctab", "epoch cannot be kept", "why=\"%s\"", e.text);
			n->boot++;
		}
	}
	return n->boot << 16 | n->run;
}

static void
send_peer(struct proc *to, enum ipc_type type, const struct proc *about)
{
	const struct ipc_peer peer = { .slot = (uint16_t)about->slot, .epoch = about->epoch };

	ipc_put_peer(chan_begin(to->chan, type), &peer);
	chan_end(to->chan);
}

/* A new channel between a worker and the store. */
static void
connect_store(struct node *n, struct proc *w)
{
	const struct ipc_peer peer = { .slot = (uint16_t)w->slot, .epoch = w->epoch };
	struct buf b;
	int pair[2];

	if (chan_pair(pair) != 0) {
		log_error("proctab", "no channel to the store", "slot=%u error=\"%s\"", w->slot, strerror(errno));
		return;
	}
	buf_init(&b);
	ipc_put_peer(&b, &peer);
	chan_send_fd(n->store.chan, IPC_WORKER_CHAN, buf_slice(&b), pair[0]);
	chan_send_fd(w->chan, IPC_STORE_CHAN, (struct slice){ 0 }, pair[1]);
	buf_fini(&b);
	close(pair[0]);
	close(pair[1]);
}

static void
introduce_worker(struct proc *p)
{
	struct node *n = p->node;

	certs_send(&n->certs, p->chan);
	if (n->listeners.rows > 0)
		listeners_send(&n->listeners, p->slot, p->chan);
	if (proc_alive(&n->store))
		connect_store(n, p);
	EACH_WORKER(o, n) {
		if (o == p || !proc_alive(o))
			continue;
		send_peer(p, IPC_PEER_UP, o);
		send_peer(o, IPC_PEER_UP, p);
	}
	for (unsigned i = 0; i < sizeof n->blame.row / sizeof n->blame.row[0]; i++) {
		uint32_t left = blame_left_s(&n->blame, i, loop_now(n->loop));

		if (left > 0)
			CHAN_SEND(p->chan, BAN, ban, .note = n->blame.row[i].note, .seconds = left);
	}
}

static void
introduce(struct proc *p, int page_fd)
{
	struct node *n = p->node;

	CHAN_SEND(p->chan, START, start, .digest = ipc_digest(), .slot = (uint16_t)p->slot, .slots = (uint16_t)n->workers,
	    .epoch = p->epoch, .route_k0 = n->route_key.k0, .route_k1 = n->route_key.k1,
	    .node = slice_str(n->reload.running.node), .run_dir = slice_str(n->paths.run_dir),
	    .data_dir = slice_str(n->paths.data_dir));
	(void)reload_send(&n->reload, NULL, p->chan);
	chan_send_fd(p->chan, IPC_METRICS, (struct slice){ 0 }, page_fd);
	if (p->role == IPC_WORKER) {
		sysmon_tell(n, p);
		trace_tell(n, p);
		systree_tell(n, p);
		introduce_worker(p);
		return;
	}
	reload_overrides_begin(&n->reload);
	EACH_WORKER(w, n)
		if (proc_alive(w))
			connect_store(n, w);
}

static int
launch(struct proc *p, int *chan_fd)
{
	char slot[16];
	char option[] = "--slot";
	char *argv[] = { p->helper, NULL, NULL, NULL };

	snprintf(slot, sizeof slot, "%u", p->slot);
	if (p->role == IPC_WORKER) {
		argv[1] = option;
		argv[2] = slot;
	}
	return spawn(p->helper, argv, p->role == IPC_WORKER ? OOM_WORKER : OOM_STORE, p->node->logs.pipe_out, &p->pid, chan_fd);
}

static void
again_later(struct proc *p)
{
	struct node *n = p->node;
	int64_t wait = restart_delay_ns(&p->restart, loop_now(n->loop));

	if (n->state == NODE_STARTING && p->restart.fails >= FIRST_TRIES) {
		log_error("proctab", "gave up", "process=%s slot=%u starts=%u hint=\"it dies before the node is ready; its lines "
		    "above say why\"", p->name, p->slot, p->restart.fails);
		n->exit_code = 1;
		loop_stop(n->loop);
		return;
	}
	if (wait > 0)
		log_warn("proctab", "start delayed", "process=%s slot=%u wait_ms=%lld", p->name, p->slot,
		    (long long)(wait / NS_PER_MS));
	loop_timer_in(n->loop, &p->respawn, wait);
}

static void
proc_start(struct proc *p)
{
	struct node *n = p->node;
	int chan_fd = -1;
	int page_fd;

	if (p->role == IPC_WORKER && !proc_alive(&n->store))
		return;                         /* the store's start brings the missing workers up */
	restart_started(&p->restart, loop_now(n->loop));
	page_fd = metrics_make(&p->page);
	if (page_fd < 0 || launch(p, &chan_fd) != 0) {
		log_error("proctab", "cannot start", "process=%s slot=%u file=%s error=\"%s\"", p->name, p->slot, p->helper,
		    strerror(errno));
		if (page_fd >= 0) {
			munmap(p->page, sizeof *p->page);
			close(page_fd);
		}
		p->page = NULL;
		again_later(p);
		return;
	}
	p->epoch = next_epoch(n);
	p->state = PROC_STARTING;
	p->started = p->seen = loop_now(n->loop);
	p->since = clock_wall();
	p->beat = 0;
	p->cpu_ticks = 0;
	p->load = 0;
	p->reaped = p->closed = p->silenced = p->open = false;
	p->chan = chan_new(n->loop, chan_fd, IPC_SUP, p->role, &chan_ops, p);
	introduce(p, page_fd);
	close(page_fd);
	log_info("proctab", "started", "process=%s slot=%u pid=%d", p->name, p->slot, (int)p->pid);
	if (p->role == IPC_STORE && n->workers_started)
		EACH_WORKER(w, n)
			if (w->chan == NULL && !timer_is_set(&w->respawn))
				proc_start(w);
}

void
proctab_start(struct node *n)
{
	n->state = NODE_STARTING;
	n->started = loop_now(n->loop);
	n->since = clock_wall();
	rand_bytes(&n->route_key, sizeof n->route_key);
	certs_start(&n->certs, n);
	watch_start(n);
	sysmon_start(n);
	budget_start(n);
	systree_start(n);
	statlog_start(n);
	proc_start(&n->store);
}

/* --- what children say ------------------------------------------------------------------------------------------- */

static void
start_workers(struct node *n)
{
	if (n->workers_started || n->store.state != PROC_READY || n->reload.collecting || n->state == NODE_STOPPING || n->paused)
		return;
	n->workers_started = true;
	EACH_WORKER(w, n)
		proc_start(w);
}

static void
open_gate(struct proc *w)
{
	w->open = true;
	chan_send(w->chan, IPC_GATES_OPEN);
	watch_take_back(w);
}

static void
all_open(struct node *n)
{
	EACH_WORKER(w, n)
		if (w->state != PROC_READY)
			return;
	n->gates_open = true;
	n->state = NODE_RUNNING;
	sysmon_look(n);
	budget_look(n);
	systree_settings(n);
	EACH_WORKER(w, n) {
		open_gate(w);
		chan_flush(w->chan);
	}
	log_notice("proctab", "ready", "node=%s workers=%u port=%d start_ms=%lld", n->reload.running.node, n->workers,
	    n->listeners.port[CONFIG_L_mqtt], (long long)(mono_diff(loop_now(n->loop), n->started) / NS_PER_MS));
	if (n->restoring != NULL) {
		restore_over(n);
		return;
	}
	puts("fubard: ready");
	fflush(stdout);
	service_ready(n);
}

static void
on_ready(struct proc *p)
{
	struct node *n = p->node;

	if (p->state != PROC_STARTING)
		return;
	p->state = PROC_READY;
	p->seen = loop_now(n->loop);
	if (p->restarts > 0)
		log_notice("proctab", "back", "process=%s slot=%u pid=%d down_ms=%lld", p->name, p->slot, (int)p->pid,
		    (long long)(mono_diff(loop_now(n->loop), p->down) / NS_PER_MS));
	if (n->state == NODE_STOPPING || n->paused)
		return;
	if (p->role == IPC_STORE)
		start_workers(n);
	else if (n->gates_open)
		open_gate(p);
	else
		all_open(n);
}

static void
on_override(struct node *n, enum ipc_type type, struct slice payload)
{
	struct config before;
	struct ipc_setting s;
	struct ipc_name gone;
	bool changed = false;

	config_init(&before);
	config_copy(&before, &n->reload.running);
	if (type == IPC_OVERRIDES_END)
		changed = reload_overrides_end(&n->reload);
	else if (type == IPC_OVERRIDE && ipc_take_setting(payload, &s) == 0)
		changed = reload_override(&n->reload, s.path, s.value);
	else if (type == IPC_OVERRIDE_GONE && ipc_take_name(payload, &gone) == 0)
		changed = reload_override_gone(&n->reload, gone.name);
	if (changed)
		proctab_settings(n, &before);
	config_fini(&before);
	if (type == IPC_OVERRIDES_END)
		start_workers(n);
}

static void
on_msg(void *arg, enum ipc_type type, struct slice payload, int fd)
{
	struct proc *p = arg;

	if (fd >= 0)
		close(fd);                      /* no child has one for us */
	switch ((unsigned)type) {
	case IPC_READY:
		on_ready(p);
		break;
	case IPC_OVERRIDE:
	case IPC_OVERRIDE_GONE:
	case IPC_OVERRIDES_END:
		on_override(p->node, type, payload);
		break;
	case IPC_ADMIN_ROW:
		admin_on_row(p->node->admin, p, payload);
		break;
	case IPC_ADMIN_DONE:
		admin_on_done(p->node->admin, p, payload);
		break;
	default:
		log_error("proctab", "message not understood", "message=%s process=%s slot=%u", ipc_name(type), p->name, p->slot);
		break;
	}
}

void
proctab_settings(struct node *n, const struct config *before)
{
	static const enum config_key log_keys[] = { CONFIG_K_log_level, CONFIG_K_log_to, CONFIG_K_log_dir, CONFIG_K_log_max_size,
		CONFIG_K_log_keep, CONFIG_K_stat_interval };
	struct config_error e;
	const struct config *now = &n->reload.running;
	bool logs = false;

	EACH_PROC(p, n)
		if (proc_alive(p))
			(void)reload_send(&n->reload, before, p->chan);
	for (size_t i = 0; i < sizeof log_keys / sizeof log_keys[0]; i++)
		logs |= !config_equal(before, now, log_keys[i]);
	if (logs && logs_open(&n->logs, now, &e) != 0)
		log_error("proctab", "log files stay as they were", "why=\"%s\"", e.text);
	if (!config_equal(before, now, CONFIG_K_high_watermark) || !config_equal(before, now, CONFIG_K_sysmon_interval))
		sysmon_look(n);
	if (!config_equal(before, now, CONFIG_K_memory_limit)) {
		sysmon_look(n);
		budget_look(n);
	}
	if (!config_equal(before, now, CONFIG_K_sys_interval))
		systree_settings(n);
	if (!config_equal(before, now, CONFIG_K_stat_interval))
		statlog_settings(n);
}

int
proctab_reload(struct node *n, struct config_error *e)
{
	char waiting[CONFIG_ERROR_MAX / 2];
	struct config before;
	int err;

	if (n->state == NODE_STOPPING) {
		snprintf(e->text, sizeof e->text, "the node is stopping");
		return FB_EBUSY;
	}
	service_reloading(n);
	config_init(&before);
	config_copy(&before, &n->reload.running);
	err = reload_file(&n->reload, e);
	if (err != 0) {
		log_error("reload", "refused, the old configuration stays", "why=\"%s\"", e->text);
	} else {
		proctab_settings(n, &before);
		EACH_WORKER(w, n)
			if (proc_alive(w))
				chan_send(w->chan, IPC_CERTS_AGAIN);
		reload_waiting(&n->reload, waiting, sizeof waiting);
		if (waiting[0] != '\0')
			snprintf(e->text, sizeof e->text, "configuration read; needs restart: %s", waiting);
		else
			snprintf(e->text, sizeof e->text, "configuration read");
		log_notice("reload", "done", "needs_restart=\"%s\"", waiting);
	}
	config_fini(&before);
	service_reloaded(n);
	return err;
}

/* --- deaths ------------------------------------------------------------------------------------------------------ */

static void
blame(struct proc *p)
{
	struct node *n = p->node;
	uint64_t note = p->page->note;

	if (p->role != IPC_WORKER || !death_is_fault(p->status, p->silenced) || !blame_death(&n->blame, note, loop_now(n->loop)))
		return;
	log_error("proctab", "client banned", "note=%016llx seconds=%u why=\"two processes died with it in hand\"",
	    (unsigned long long)note, BLAME_BAN_S);
	EACH_WORKER(w, n)
		if (proc_alive(w))
			CHAN_SEND(w->chan, BAN, ban, .note = note, .seconds = BLAME_BAN_S);
}

static void
tell_others(struct proc *p)
{
	struct node *n = p->node;

	if (p->role != IPC_WORKER)
		return;
	if (proc_alive(&n->store))
		send_peer(&n->store, IPC_WORKER_GONE, p);
	EACH_WORKER(w, n) {
		if (w->lent_to == (int)p->slot)
			w->lent_to = -1;
		if (w != p && proc_alive(w))
			send_peer(w, IPC_PEER_DOWN, p);
	}
}

/* Reaped, and all that it said was heard. */
static void
proc_dead(struct proc *p)
{
	struct node *n = p->node;

	death_log(p);
	blame(p);
	if (p->open || p->restarts == 0 || p->state == PROC_READY)
		p->down = loop_now(n->loop);
	p->open = false;
	p->state = PROC_DOWN;
	p->pid = 0;
	for (enum metric m = 0; m < METRIC_COUNT; m++)
		if (metric_info(m)->kind[0] == 'C')
			n->ended[m] += p->page->value[m];
	munmap(p->page, sizeof *p->page);
	p->page = NULL;
	chan_free(p->chan);
	p->chan = NULL;
	admin_on_death(n->admin, p);
	tell_others(p);
	p->reaped = p->closed = false;
	if (n->state == NODE_STOPPING || n->paused) {
		stop_step(n);
		return;
	}
	p->restarts++;
	again_later(p);
}

static void
maybe_dead(struct proc *p)
{
	if (p->reaped && p->closed)
		proc_dead(p);
	else
		p->ended = loop_now(p->node->loop);
}

static void
on_closed(void *arg)
{
	struct proc *p = arg;

	p->closed = true;
	maybe_dead(p);
}

void
proctab_end_channel(struct proc *p)
{
	on_closed(p);
}

static const struct chan_ops chan_ops = { .on_msg = on_msg, .on_closed = on_closed };

void
proctab_reap(struct node *n)
{
	restore_reap(n);
	EACH_PROC(p, n) {
		int status;

		if (p->pid > 0 && !p->reaped && waitpid(p->pid, &status, WNOHANG) == p->pid) {
			p->reaped = true;
			p->status = status;
			maybe_dead(p);
		}
	}
}

/* --- the end ----------------------------------------------------------------------------------------------------- */

static bool
any_worker(const struct node *n)
{
	for (unsigned k = 0; k < n->workers; k++)
		if (n->worker[k].chan != NULL)
			return true;
	return false;
}

/* The pause is over: as at the start of the node, but that it has been ready before. */
static void
go_on(struct node *n)
{
	struct config_error e;

	if (paths_boot(&n->paths, &n->boot, &e) != 0)
		log_error("proctab", "epoch cannot be kept", "why=\"%s\"", e.text);
	n->run = 0;
	n->paused = n->store_told_to_stop = n->workers_started = n->gates_open = false;
	n->started = loop_now(n->loop);
	EACH_PROC(p, n)
		p->restart = (struct restart){ .fails = 0 };
	proc_start(&n->store);
}

static void
tell_to_stop(struct node *n)
{
	EACH_WORKER(w, n) {
		loop_timer_cancel(n->loop, &w->respawn);
		w->lent_to = -1;
		if (proc_alive(w))
			chan_send(w->chan, IPC_STOP);
	}
	loop_timer_cancel(n->loop, &n->store.respawn);
	stop_step(n);
}

void
proctab_pause(struct node *n, const char *why)
{
	struct mono now = loop_now(n->loop);
	int64_t limit = n->reload.running.stop_timeout * NS_PER_SEC;

	log_notice("proctab", "all processes start again", "why=\"%s\"", why);
	n->paused = true;
	n->stop_workers_by = mono_add(now, (int64_t)((double)limit * STOP_WORKERS_SHARE));
	n->stop_by = mono_add(now, limit);
	tell_to_stop(n);
}

/* Workers first: what they end with goes to the store. */
static void
stop_step(struct node *n)
{
	if (any_worker(n))
		return;
	if (n->store.chan == NULL) {
		if (n->state == NODE_STOPPING)
			loop_stop(n->loop);
		else
			go_on(n);
		return;
	}
	if (n->store_told_to_stop)
		return;
	n->store_told_to_stop = true;
	if (proc_alive(&n->store))
		chan_send(n->store.chan, IPC_STOP);
}

void
proctab_stop(struct node *n, const char *why)
{
	struct mono now = loop_now(n->loop);
	int64_t limit = n->reload.running.stop_timeout * NS_PER_SEC;

	if (n->state == NODE_STOPPING) {
		log_warn("proctab", "stopping by force", "why=\"%s again\"", why);
		n->stop_workers_by = n->stop_by = now;
		return;
	}
	log_notice("proctab", "stopping", "why=\"%s\"", why);
	n->state = NODE_STOPPING;
	service_stopping(n, limit);
	n->stop_workers_by = mono_add(now, (int64_t)((double)limit * STOP_WORKERS_SHARE));
	n->stop_by = mono_add(now, limit);
	listeners_close(&n->listeners);
	n->paused = false;
	restore_stop(n);
	tell_to_stop(n);
}

void
proctab_fini(struct node *n)
{
	loop_timer_cancel(n->loop, &n->tick);
	restore_stop(n);
	sysmon_stop(n);
	budget_stop(n);
	systree_stop(n);
	statlog_stop(n);
	certs_stop(&n->certs);
	EACH_PROC(p, n) {
		loop_timer_cancel(n->loop, &p->respawn);
		if (p->pid > 0 && !p->reaped)
			(void)kill(p->pid, SIGKILL);
	}
	EACH_PROC(p, n) {
		if (p->pid > 0 && !p->reaped)
			(void)waitpid(p->pid, NULL, 0);
		chan_free(p->chan);
		if (p->page != NULL)
			munmap(p->page, sizeof *p->page);
		p->chan = NULL;
		p->page = NULL;
		p->pid = 0;
	}
}
