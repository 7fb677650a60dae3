/* SPDX-License-Identifier: Apache-2.0 */
#include "t/sim/node.h"

#include "common/base/err.h"
#include "common/base/mem.h"
#include "common/ipc/codec.h"
#include "t/sim/chan_sim.h"
#include "t/sim/sock_sim.h"
#include "t/sim/store_sim.h"
#include "worker/worker.h"

#define EACH_WORKER(w, n) \
	for (struct node_proc *w = (n)->proc; w != (n)->proc + (n)->workers; w++)

static void proc_start(struct node_proc *p);

static struct node_proc *
store_of(struct node *n)
{
	return &n->proc[NODE_WORKERS];
}

static bool
is_worker(const struct node_proc *p)
{
	return p->slot != NODE_WORKERS;
}

static void
send_peer(struct node_proc *to, enum ipc_type type, const struct node_proc *about)
{
	const struct ipc_peer peer = { .slot = (uint16_t)about->slot, .epoch = about->epoch };

	ipc_put_peer(chan_begin(to->chan, type), &peer);
	chan_end(to->chan);
}

static void
connect_store(struct node *n, struct node_proc *w)
{
	const struct ipc_peer peer = { .slot = (uint16_t)w->slot, .epoch = w->epoch };
	struct buf b;
	int pair[2];

	FB_ASSERT(chan_pair(pair) == 0);
	buf_init(&b);
	ipc_put_peer(&b, &peer);
	chan_send_fd(store_of(n)->chan, IPC_WORKER_CHAN, buf_slice(&b), pair[0]);
	chan_send_fd(w->chan, IPC_STORE_CHAN, slice_of(NULL, 0), pair[1]);
	buf_fini(&b);
}

static void
introduce(struct node_proc *p)
{
	struct node *n = p->node;

	CHAN_SEND(p->chan, START, start, .digest = ipc_digest(), .slot = (uint16_t)p->slot, .slots = (uint16_t)n->workers,
	    .epoch = p->epoch, .route_k0 = rand_process_key.k0, .route_k1 = rand_process_key.k1, .node = slice_str("sim"),
	    .run_dir = slice_str("/nowhere"), .data_dir = slice_str("/nowhere"));
	for (unsigned i = 0; n->settings[i] != NULL; i += 2)
		CHAN_SEND(p->chan, SETTING, setting, .path = slice_str(n->settings[i]), .value = slice_str(n->settings[i + 1]));
	chan_send(p->chan, IPC_SETTINGS_END);
	if (!is_worker(p)) {
		EACH_WORKER(w, n)
			if (w->chan != NULL)
				connect_store(n, w);
		return;
	}
	if (store_of(n)->chan != NULL)
		connect_store(n, p);
	EACH_WORKER(o, n) {
		if (o == p || o->chan == NULL)
			continue;
		send_peer(p, IPC_PEER_UP, o);
		send_peer(o, IPC_PEER_UP, p);
	}
}

static void
start_workers(struct node *n)
{
	if (n->workers_started || !store_of(n)->ready)
		return;
	n->workers_started = true;
	EACH_WORKER(w, n)
		proc_start(w);
}

static void
on_ready(struct node_proc *p)
{
	struct node *n = p->node;

	p->ready = p->was_ready = true;
	if (!is_worker(p))
		return;
	if (n->gates_open) {
		p->open = true;
		chan_send(p->chan, IPC_GATES_OPEN);
		return;
	}
	EACH_WORKER(w, n)
		if (!w->ready)
			return;
	n->gates_open = true;
	EACH_WORKER(w, n) {
		w->open = true;
		chan_send(w->chan, IPC_GATES_OPEN);
	}
}

static void
on_msg(void *arg, enum ipc_type type, struct slice payload, int fd)
{
	struct node_proc *p = arg;

	if (type == IPC_READY)
		on_ready(p);
	else if (type == IPC_OVERRIDES_END)
		start_workers(p->node);
}

/* All that it said was heard; it is reaped at some time. */
static void
on_closed(void *arg)
{
	struct node_proc *p = arg;

	FB_ASSERT(p->worker == NULL && p->store == NULL);
	sim_event_in(&p->death, sim_between(0, 3 * NS_PER_MS));
}

static const struct chan_ops ops = { .on_msg = on_msg, .on_closed = on_closed };

static void
on_death(struct sim_event *e)
{
	struct node_proc *p = container_of(e, struct node_proc, death);
	struct node *n = p->node;

	chan_free(p->chan);
	p->chan = NULL;
	p->ready = p->open = false;
	if (is_worker(p)) {
		if (store_of(n)->chan != NULL)
			send_peer(store_of(n), IPC_WORKER_GONE, p);
		EACH_WORKER(w, n)
			if (w != p && w->chan != NULL)
				send_peer(w, IPC_PEER_DOWN, p);
	}
	sim_event_in(&p->birth, sim_one_in(2) ? 0 : sim_between(0, n->birth_max_ns));
}

static void
proc_start(struct node_proc *p)
{
	struct node *n = p->node;
	int pair[2];

	if (p->chan != NULL || (is_worker(p) && store_of(n)->chan == NULL))
		return;                 /* the store's start brings the missing workers up */
	FB_ASSERT(chan_pair(pair) == 0);
	p->epoch = UINT64_C(1) << 16 | ++n->epochs;
	p->ready = p->open = false;
	p->loop = loop_new();
	p->chan = chan_new(n->loop, pair[0], IPC_SUP, is_worker(p) ? IPC_WORKER : IPC_STORE, &ops, p);
	if (is_worker(p))
		p->worker = worker_new(p->loop, pair[1]);
	else
		p->store = store_new(p->loop, pair[1]);
	introduce(p);
	if (!is_worker(p) && n->workers_started)
		EACH_WORKER(w, n)
			if (w->chan == NULL && !sim_event_is_set(&w->birth))
				proc_start(w);
}

static void
on_birth(struct sim_event *e)
{
	proc_start(container_of(e, struct node_proc, birth));
}

static void
die(struct node *n, unsigned slot, bool power)
{
	struct node_proc *p = &n->proc[slot];

	if (p->loop == NULL)
		return;
	sim_freeze(p->loop, false);
	sim_chan_die(p->loop);
	if (p->worker != NULL) {
		sim_sock_die(p->worker);
		sim_pipe_die(p->slot, p->epoch);
		worker_free(p->worker);
	} else {
		sim_store_die(p->store, power);
	}
	p->worker = NULL;
	p->store = NULL;
	loop_free(p->loop);
	p->loop = NULL;
}

void
node_kill(struct node *n, unsigned slot)
{
	die(n, slot, false);
}

/* The supervisor that starts then knows nothing but its epochs. */
void
node_kill_all(struct node *n, bool power)
{
	for (unsigned i = 0; i <= NODE_WORKERS; i++) {
		struct node_proc *p = &n->proc[i];

		die(n, i, power);
		chan_free(p->chan);
		p->chan = NULL;
		p->ready = p->was_ready = p->open = false;
		sim_event_cancel(&p->death);
		sim_event_cancel(&p->birth);
	}
	n->workers_started = n->gates_open = false;
	sim_event_in(&store_of(n)->birth, sim_between(NS_PER_MS, n->birth_max_ns));
}

bool
node_accepts(const struct node *n, unsigned slot)
{
	const struct worker *w = n->proc[slot].worker;

	return w != NULL && w->gates_open;
}

bool
node_all_ready(const struct node *n)
{
	if (!n->proc[NODE_WORKERS].ready)
		return false;
	for (unsigned i = 0; i < n->workers; i++)
		if (!node_accepts(n, i))
			return false;
	return true;
}

void
node_open(struct node *n, unsigned workers, const char *const *settings)
{
	*n = (struct node){ .workers = workers, .settings = settings, .birth_max_ns = 300 * NS_PER_MS };
	n->loop = loop_new();
	for (unsigned i = 0; i <= NODE_WORKERS; i++) {
		n->proc[i].node = n;
		n->proc[i].slot = i;
		sim_event_init(&n->proc[i].death, on_death);
		sim_event_init(&n->proc[i].birth, on_birth);
	}
	proc_start(store_of(n));
}

void
node_close(struct node *n)
{
	for (unsigned i = 0; i <= NODE_WORKERS; i++) {
		struct node_proc *p = &n->proc[i];

		node_kill(n, i);
		chan_free(p->chan);
		sim_event_cancel(&p->death);
		sim_event_cancel(&p->birth);
	}
	loop_free(n->loop);
}
