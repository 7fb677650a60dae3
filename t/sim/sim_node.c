/* SPDX-License-Identifier: Apache-2.0
 * t/sim/sim_node.c - a whole node in one process: workers and the store's logic as they are, under a false clock, with
 * clients and seeded faults.
 *
 *	sim_node [SEEDS [FIRST]]        SIM_TRACE=1: what happens, to stderr; SIM_FAULTS="NAME...": these, always;
 *	                                SIM_DURABILITY=memory|disk: that, always; else every other seed is at disk
 *	                                SIM_TURNS=N: a turn has no more time at each Nth look (0: the seed says which);
 *	                                "never": turns have time; else every third seed is as with 0
 *
 * Clients connect (clean and durable, the same id on all workers, one connection chasing the other), subscribe, publish,
 * leave in all ways. Processes die and come back, links and channels are slow, break and repeat. What must hold:
 *   - what was acknowledged reaches every session that it was due to (a SUBACK had come before it was sent, and the
 *     session's worker did not die), at QoS 2 once; each publisher's messages on a topic in order;
 *   - never two workers with one id, and the store knows who has it;
 *   - of a group's members at least one gets it, while there are any; exactly one, when nothing fails;
 *   - a durable session and its subscriptions survive everything, a clean CONNECT ends it;
 *   - the retained messages are the newest that were acknowledged, or newer;
 *   - a will is told when its connection ends without DISCONNECT, and only then; also when its worker dies and the client
 *     does not come back;
 *   - when the last session has ended, nothing is left anywhere. */
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/metrics/page.h"
#include "t/sim/chan_sim.h"
#include "t/sim/node_sim.h"
#include "t/sim/sock_sim.h"
#include "t/sim/store_sim.h"

struct sim_node sn;
static const char *program;

void
fail(const char *fmt, ...)
{
	const char *faults = getenv("SIM_FAULTS");
	va_list ap;

	fprintf(stderr, "sim_node: seed %" PRIu64 ": at %.6f s: ", sn.seed, (double)sim_now().ns / 1e9);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\nagain: %s%s%sSIM_TRACE=1 SIM_LOG=1 %s 1 %" PRIu64 "\n", faults != NULL ? "SIM_FAULTS=\"" : "",
	    faults != NULL ? faults : "", faults != NULL ? "\" " : "", program, sn.seed);
	sn.failed = true;
	abort();
}

void
trace(const char *fmt, ...)
{
	va_list ap;

	if (!sn.trace)
		return;
	fprintf(stderr, "%.6f ", (double)sim_now().ns / 1e9);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

/* That nothing can be written is an error, and wanted here. */
static void
on_log(void *arg, const char *line, size_t len)
{
	if (sn.log || !sn.refuses || (strstr(line, " store: ") == NULL && strstr(line, " queuec: ") == NULL &&
	    strstr(line, " storec: ") == NULL))
		fwrite(line, 1, len, stderr);
}

static void
on_crash(int signo)
{
	signal(signo, SIG_DFL);
	if (!sn.failed)
		fprintf(stderr, "sim_node: seed %" PRIu64 ": signal %d\n", sn.seed, signo);
	raise(signo);
}

/* ---- what happens ---- */

static bool
some_worker(unsigned *slot)
{
	unsigned first = (unsigned)sim_below(sn.node.workers);

	for (unsigned i = 0; i < sn.node.workers; i++) {
		*slot = (first + i) % sn.node.workers;
		if (node_accepts(&sn.node, *slot))
			return true;
	}
	return false;
}

static void
connect_somewhere(struct actor *a, bool clean)
{
	unsigned slot;

	if (!wills_away(a) && some_worker(&slot))
		actor_connect(a, slot, clean);
}

/* Which mode a client has mostly: the low half is durable. */
static bool
pick_clean(const struct actor *a)
{
	return (a->index % 2 == 0) != sim_one_in(12);
}

static void
publish_some(struct actor *a)
{
	unsigned topic;

	for (uint64_t i = 1 + sim_below(6); i > 0; i--) {
		uint8_t qos = (uint8_t)sim_below(3);

		switch (sim_below(8)) {
		case 0:
			topic = TOPICS + 2 * a->index + (unsigned)sim_below(2);
			(void)actor_publish(a, topic, qos, true, sim_one_in(4));
			break;
		case 1:
			topic = TOPICS + 2 * CLIENTS + (unsigned)sim_below(CLIENTS);
			(void)actor_publish(a, topic, qos, false, false);
			break;
		case 2:
			topic = TOPIC_COUNT - GROUPS + (unsigned)sim_below(GROUPS);
			(void)actor_publish(a, topic, qos, sim_one_in(10), false);
			break;
		default:
			(void)actor_publish(a, (unsigned)sim_below(TOPICS), qos, false, false);
		}
	}
}

static void
leave(struct actor *a)
{
	const struct faults *f = &sn.faults;
	enum leave how = sim_one_in(2) ? LEAVE_DISCONNECT : LEAVE_FIN;

	if (f->resets && sim_one_in(4))
		how = LEAVE_RESET, sn.happened.resets++;
	else if (f->ghosts && sim_one_in(3))
		how = LEAVE_GHOST, sn.happened.ghosts++;
	actor_leave(a, how);
	if (sim_one_in(2))
		connect_somewhere(a, pick_clean(a));
}

static void
one_act(void)
{
	struct actor *a = &sn.actors[sim_below(CLIENTS)];

	if (a->line == NULL) {
		if (sim_one_in(2))
			connect_somewhere(a, pick_clean(a));
		return;
	}
	if (a->mqtt.state == CLIENT_CONNECTING) {
		if (sn.faults.ghosts && sim_one_in(12))
			leave(a);
		return;
	}
	switch (sim_below(14)) {
	case 0:
	case 1:
		actor_subscribe(a, (unsigned)sim_below(FILTERS), (uint8_t)sim_below(3));
		break;
	case 2:
		if (sim_one_in(2))
			actor_unsubscribe(a, (unsigned)sim_below(FILTERS));
		break;
	case 3:
		if (sn.faults.moves && sim_one_in(2))
			leave(a), sn.happened.moves++;
		break;
	case 4:
		if (sn.faults.pause)
			sn.happened.pause++, actor_pause(a, sim_between(0, 200 * NS_PER_MS));
		break;
	default:
		publish_some(a);
	}
}

static void
kill_worker(unsigned slot)
{
	trace("worker %u is killed", slot);
	check_kill(slot);
	sn.happened.kill_worker++;
	node_kill(&sn.node, slot);
}

static void
kill_store(uint64_t *counter)
{
	trace("the store is killed");
	check_kill(NODE_WORKERS);
	++*counter;
	node_kill(&sn.node, NODE_WORKERS);
}

static void
kill_all(bool power, uint64_t *counter)
{
	trace(power ? "the power is cut" : "all are killed");
	check_kill_all();
	++*counter;
	node_kill_all(&sn.node, power);
}

/* The store dies between a commit and its answer. */
static void
on_flush_kill(struct sim_event *e)
{
	if (sn.node.proc[NODE_WORKERS].store != NULL)
		kill_store(&sn.happened.kill_flush);
}

static struct sim_event flush_kill = { .fn = on_flush_kill, .node.index = SIZE_MAX };

static void
on_flush(int64_t takes_ns)
{
	if (sn.faults.kill_flush && sn.node.gates_open && sim_one_in(60))
		sim_event_in(&flush_kill, sim_between(0, takes_ns + 50 * NS_PER_US));
}

static void
turn_disk(void)
{
	struct sim_disk_faults *f = &sim_disk_faults;

	if (sn.faults.full_disk) {
		f->full = f->full != 0 || sim_one_in(2) ? 0 : 1 + (unsigned)sim_below(2);
		sn.happened.full_disk += f->full != 0;
		trace("the disk is full: %u", f->full);
	}
	if (sn.faults.disk_errors) {
		f->fail_one_in = f->fail_one_in != 0 || sim_one_in(2) ? 0 : 1 + sim_below(6);
		sn.happened.disk_errors += f->fail_one_in != 0;
		trace("one commit fails of %u", (unsigned)f->fail_one_in);
	}
	if (sn.faults.slow_flush) {
		sim_flush_max_ns = sim_one_in(2) ? 2 * NS_PER_MS : sim_between(10 * NS_PER_MS, 3 * NS_PER_SEC);
		sn.happened.slow_flush += sim_flush_max_ns > 2 * NS_PER_MS;
	}
}

static void
one_fault(void)
{
	const struct faults *f = &sn.faults;
	unsigned slot = (unsigned)sim_below(sn.node.workers);
	struct loop *l;

	switch (sim_below(12)) {
	case 0:
	case 1:
		if (f->kill_worker && sn.node.gates_open)
			kill_worker(slot);
		break;
	case 2:
		if (f->kill_store && sn.node.gates_open)
			kill_store(&sn.happened.kill_store);
		break;
	case 3:
		if (f->kill_all && sim_one_in(2))
			kill_all(false, &sn.happened.kill_all);
		break;
	case 4:
		if (f->power_cut)
			kill_all(true, &sn.happened.power_cut);
		break;
	case 5:
	case 6:
		turn_disk();
		break;
	default:
		if (sim_one_in(3))
			slot = NODE_WORKERS;
		l = sn.node.proc[slot].loop;
		if (f->freeze && l != NULL) {
			trace("process %u stands still or goes on", slot);
			sn.happened.freeze++;
			sim_freeze(l, sim_one_in(2));
		}
	}
}

/* ---- a run ---- */

static void
until(bool (*done)(void), const char *what)
{
	for (int i = 0; !done(); i++) {
		if (i > 6000)
			fail("%s: never", what);
		sim_run_for(10 * NS_PER_MS);
		check_running();
	}
}

static bool
all_ready(void)
{
	return node_all_ready(&sn.node);
}

static bool
no_lines(void)
{
	ghosts_close();
	return list_empty(&sn.lines);
}

static bool
no_ghosts(void)
{
	ghosts_close();
	LIST_EACH(n, &sn.lines)
		if (container_of(n, struct line, link)->ghost)
			return false;
	for (unsigned i = 0; i < ALL_CLIENTS; i++)
		if (sn.actors[i].clean_ghosts + sn.actors[i].durable_ghosts > 0)
			return false;
	return true;
}

/* The one who listens to wills is in. */
static bool
watching(void)
{
	struct actor *a = &sn.actors[WATCHER];

	if (!sn.wills)
		return true;
	if (a->line == NULL)
		connect_somewhere(a, false);
	else if (a->mqtt.state == CLIENT_UP && !a->wish[FILTERS].live)
		actor_subscribe(a, FILTERS, 2);
	return actor_quiet(a) && a->wish[FILTERS].live;
}

static bool
all_wills_told(void)
{
	return watching() && wills_told();
}

/* Everybody in, and nothing waited for. */
static bool
all_quiet(void)
{
	bool quiet = watching();

	for (unsigned i = 0; i < CLIENTS; i++) {
		struct actor *a = &sn.actors[i];

		if (a->line == NULL)
			connect_somewhere(a, !a->known && a->index % 2 == 0);
		quiet = quiet && actor_quiet(a);
	}
	return quiet;
}

static void
calm_down(void)
{
	struct sim_pipe_faults *f = &sim_pipe_faults;

	f->break_one_in = f->cut_one_in = f->twin_one_in = 0;
	memset(&sn.faults, 0, sizeof sn.faults);
	sim_commit_delay_max_ns = 4 * NS_PER_MS;
	sim_flush_max_ns = 2 * NS_PER_MS;
	memset(&sim_disk_faults, 0, sizeof sim_disk_faults);
	for (unsigned i = 0; i <= NODE_WORKERS; i++)
		if (sn.node.proc[i].loop != NULL)
			sim_freeze(sn.node.proc[i].loop, false);
	until(all_ready, "all processes ready");
	until(no_ghosts, "the end of connections left behind");
	until(all_wills_told, "a will that is owed");
	until(all_quiet, "all clients in, and acknowledged");
	sim_run_for(10 * NS_PER_SEC);
	until(all_quiet, "all clients in, and acknowledged");
	wills_check();
}

static bool
probe_in(void)
{
	struct actor *a = &sn.actors[PROBE];

	if (a->line == NULL)
		connect_somewhere(a, true);
	return actor_quiet(a);
}

/* A new client asks what is retained. */
static void
probe(void)
{
	struct actor *a = &sn.actors[PROBE];

	memset(sn.retained, 0, sizeof sn.retained);
	until(probe_in, "a new client in");
	actor_subscribe(a, 9, 1);
	until(probe_in, "its SUBACK");
	sim_run_for(3 * NS_PER_SEC);
	check_retained();
	actor_leave(a, LEAVE_DISCONNECT);
}

static void
calm_round(void)
{
	sn.calm = true;
	for (unsigned i = 0; i < CLIENTS; i++) {
		struct actor *a = &sn.actors[i];

		for (unsigned t = 0; t < TOPICS; t++)
			(void)actor_publish(a, t, (uint8_t)sim_below(3), false, false);
		for (unsigned t = 0; t < CLIENTS; t++)
			(void)actor_publish(a, TOPICS + 2 * CLIENTS + t, (uint8_t)sim_below(3), false, false);
		for (unsigned t = 0; t < GROUPS; t++)
			(void)actor_publish(a, TOPIC_COUNT - GROUPS + t, 1, false, false);
		(void)actor_publish(a, TOPICS + 2 * i, 1, true, false);
	}
	until(all_quiet, "the last messages acknowledged");
	sim_run_for(5 * NS_PER_SEC);
}

static bool
has_ended(struct actor *a)
{
	if (a->line != NULL && (!a->clean || a->mqtt.state == CLIENT_UP))
		actor_leave(a, LEAVE_DISCONNECT);
	if (a->line == NULL && !a->none)
		connect_somewhere(a, true);
	return a->line == NULL;
}

static bool
all_ended(void)
{
	bool ended = true;

	for (unsigned i = 0; i < CLIENTS; i++)
		if (!has_ended(&sn.actors[i]))
			ended = false;
	return ended;
}

static bool
watcher_ended(void)
{
	return has_ended(&sn.actors[WATCHER]);
}

static void
end_all(void)
{
	until(all_ended, "the end of all sessions");
	sim_run_for(5 * NS_PER_SEC);
	until(watcher_ended, "the end of the session that listens to wills");
	until(no_lines, "the end of all connections");
	sim_run_for(5 * NS_PER_SEC);
	check_empty();
}

static unsigned
long_every(void)
{
	const char *turns = getenv("SIM_TURNS");
	unsigned of_seed = 1 + (unsigned)(sn.seed % 8);

	if (turns == NULL)
		return sn.seed % 3 == 0 ? of_seed : 0;
	if (strcmp(turns, "never") == 0)
		return 0;
	return atoi(turns) > 0 ? (unsigned)atoi(turns) : of_seed;
}

static void
set_faults(const char *only)
{
	struct faults *f = &sn.faults;
	struct sim_pipe_faults *p = &sim_pipe_faults;
	const char *durability = getenv("SIM_DURABILITY");

#define F(name, n) f->name = only != NULL ? strstr(only, #name) != NULL : !sim_one_in(n);
	FAULTS(F)
#undef F
	sn.disk = durability != NULL ? strcmp(durability, "disk") == 0 : sn.seed % 2 == 0;
	sn.wills = f->wills;
	sn.happened.wills += f->wills;
	sn.refuses = f->full_disk || f->disk_errors;
	sn.happened.pipes += f->pipes;
	sn.happened.slow_store += f->slow_store;
	p->delay_max_ns = sim_between(50 * NS_PER_US, 5 * NS_PER_MS);
	p->break_one_in = f->pipes && !sim_one_in(3) ? 20 + sim_below(1000) : 0;
	p->cut_one_in = f->pipes && sim_one_in(3) ? 200 + sim_below(3000) : 0;
	p->twin_one_in = f->pipes && sim_one_in(2) ? 20 + sim_below(300) : 0;
	sim_commit_delay_max_ns = f->slow_store ? sim_between(NS_PER_MS, 300 * NS_PER_MS) : 4 * NS_PER_MS;
	sim_flush_max_ns = 2 * NS_PER_MS;
	sim_long_every = long_every();
	sim_chan_delay_max_ns = sim_between(50 * NS_PER_US, 8 * NS_PER_MS);
	sim_sock_delay_max_ns = sim_between(50 * NS_PER_US, 3 * NS_PER_MS);
}

static void
run_seed(uint64_t seed, const char *only)
{
	static const char *settings[] = { "auth.enabled", "false", "log.level", "error", "session.max_inflight", "5",
		"session.durability", "memory", "session.will_grace", "1s", NULL };
	unsigned acts;

	sn.seed = seed;
	sn.calm = false;
	sn.msg_count = 0;
	memset(sn.group_taint, 0, sizeof sn.group_taint);
	list_init(&sn.lines);
	sim_open(seed);
	sim_pipe_overflows = 0;
	wills_open();
	set_faults(only);
	for (unsigned i = 0; i < ALL_CLIENTS; i++)
		actor_init(&sn.actors[i], i);
	settings[3] = sn.log ? "debug" : "error";
	settings[5] = sim_one_in(2) ? "5" : "100";
	settings[7] = sn.disk ? "disk" : "memory";
	trace("durability %s", settings[7]);
	node_open(&sn.node, 2 + (unsigned)sim_below(NODE_WORKERS - 1), settings);
	until(all_ready, "the start");
	until(watching, "who listens to wills");
	acts = 100 + (unsigned)sim_below(500);
	while (acts-- > 0) {
		one_act();
		(void)watching();
		if (sim_one_in(40))
			one_fault();
		sim_run_for(sim_between(0, sim_one_in(30) ? NS_PER_SEC : 4 * NS_PER_MS));
		check_running();
	}
	calm_down();
	check_delivered();
	check_owners();
	probe();
	calm_round();
	check_delivered();
	check_rows();
	check_owners();
	probe();
	end_all();
	for (unsigned i = 0; i < ALL_CLIENTS; i++)
		actor_fini(&sn.actors[i]);
	node_close(&sn.node);
	sim_run_for(NS_PER_SEC);
	sim_disk_clear();
	sim_event_cancel(&flush_kill);
	sim_close();
}

int
main(int argc, char **argv)
{
	uint64_t seeds = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000;
	uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;

	const char *faults = getenv("SIM_FAULTS");

	program = argv[0];
	sn.log = getenv("SIM_LOG") != NULL;
	log_open_sink(on_log, NULL, "sim", sn.log ? LOG_DEBUG : LOG_ERROR);
	signal(SIGABRT, on_crash);
	signal(SIGSEGV, on_crash);
	sn.trace = getenv("SIM_TRACE") != NULL;
	trace_start();
	sim_flush_watch = on_flush;
	sn.msgs = mem_zalloc(MSGS_MAX * sizeof *sn.msgs);
	for (uint64_t seed = first; seed < first + seeds; seed++)
		run_seed(seed, faults);
	printf("sim_node: %" PRIu64 " seeds, %" PRIu64 " messages acknowledged, %" PRIu64 " delivered, %d sessions moved, %" PRIu64 " wills\n", seeds,
	    sn.acked, sn.delivered, (int)METRIC_GET(moves_in), sn.wills_told);
	printf("commits %" PRIu64 ", flushes %" PRIu64 ", failed %" PRIu64 ", lost %" PRIu64 " by %" PRIu64 " crashes\nfaults:",
	    sim_disk_counts.commits, sim_disk_counts.flushes, sim_disk_counts.errors, sim_disk_counts.lost,
	    sim_disk_counts.lossy);
#define F(name, n) printf(" " #name " %" PRIu64, sn.happened.name);
	FAULTS(F)
#undef F
	putchar('\n');
	mem_free(sn.msgs);
	return 0;
}
