/* SPDX-License-Identifier: Apache-2.0
 * t/sim/sim_cluster.c - three workers' message planes in one process, under a false clock, with seeded faults.
 *
 *	sim_cluster [SEEDS [FIRST]]
 *
 * Workers want and publish at random while connections break or go dumb, workers stand still, die and come back.
 * What must hold, whatever happens:
 *   - a publisher's messages reach each incarnation of a receiver in order, and none twice;
 *   - what was kept (QoS 1, 2) was seen by some incarnation of each worker whose want was live when it was published;
 *   - QoS 0 between two workers that both lived on is not lost, however often their connection broke;
 *   - after a barrier a want is live in every neighbour that is up;
 *   - records arrive in order, none lost between two incarnations that live on;
 *   - never more frames are under way than NNG's queues hold;
 *   - when the faults end, all is linked and everything is kept. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster/cluster.h"
#include "cluster/forward.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/metrics/page.h"
#include "t/sim/sim.h"

#define WORKERS    3u
#define TOPICS     12u
#define MSG_MAX    20000u

struct sub {                            /* one filter of one worker */
	bool wanted;
	bool live;                      /* its barrier is through */
	bool durable;                   /* wanted again by the next incarnation, before it links */
	uint64_t epoch;                 /* of the incarnation that made it live */
	uint64_t made;                  /* number of this life of the want */
	struct cluster_barrier barrier;
	struct worker *worker;
	unsigned topic;
};

struct msg {
	uint8_t qos, topic;
	bool kept;
	uint8_t from;
	uint64_t from_epoch;
	/* For each worker, at the time of publishing: a live want, of which life, in which incarnation. */
	bool due[WORKERS], due_durable[WORKERS];
	uint64_t due_epoch[WORKERS], due_made[WORKERS];
	bool seen[WORKERS];
	uint64_t seen_epoch[WORKERS];
};

struct worker {
	unsigned slot;
	bool alive, frozen;
	uint64_t epoch;
	struct loop *loop;
	struct cluster *cluster;
	struct sub subs[TOPICS];
	uint32_t last_msg[WORKERS];     /* the newest message seen of each publisher's incarnation */
	uint64_t last_from[WORKERS];
	uint64_t records_in[WORKERS], records_in_epoch[WORKERS];
	uint64_t records_out[WORKERS], records_out_epoch[WORKERS];
	uint64_t up_epoch[WORKERS];
	struct { unsigned from; uint64_t token; } owed[64];     /* KEPT given later */
	unsigned owed_count;
};

static struct world {
	uint64_t seed;
	struct worker w[WORKERS];
	uint64_t epochs;
	struct msg *msgs;
	uint32_t msg_count;
	uint64_t next_made;
	uint64_t delivered, kept;
	bool calm;
} sim;

/* What the supervisor says, a while later. */
struct word {
	struct sim_event event;
	unsigned to, about;
	uint64_t to_epoch, epoch;
	bool up;
};

static const char *const filters[TOPICS] = {
	"a/b", "a/c", "client-1", "client-2", "deep/er/and/deeper", "x", "a/+", "#", "deep/#", "+/er/+/deeper", "+", "a/b/#",
};
static const char *const topics[TOPICS] = {
	"a/b", "a/c", "client-1", "client-2", "deep/er/and/deeper", "x", "a/d", "none/of/them", "deep/x", "y/er/z/deeper", "b",
	"a/b/c",
};
/* Which filters match which topic: rows are topics. */
static const char *const matches[TOPICS] = {
	"a/b a/+ # a/b/#", "a/c a/+ #", "client-1 # +", "client-2 # +", "deep/er/and/deeper # deep/# +/er/+/deeper", "x # +",
	"a/+ #", "#", "deep/# #", "+/er/+/deeper #", "+ #", "# a/b/#",
};

_Noreturn static void
fail(const char *what, uint32_t msg, unsigned slot)
{
	fprintf(stderr, "sim_cluster: seed %" PRIu64 ": %s (message %u, worker %u, at %.6f s)\n", sim.seed, what, msg, slot,
	    (double)sim_now().ns / 1e9);
	abort();
}

static bool
word_in(const char *words, const char *w)
{
	size_t len = strlen(w);

	for (const char *p = words; (p = strstr(p, w)) != NULL; p++)
		if ((p == words || p[-1] == ' ') && (p[len] == ' ' || p[len] == '\0'))
			return true;
	return false;
}

/* A worker's callbacks. */

static void
on_publish(void *arg, unsigned from, const struct cluster_pub *p, uint64_t kept)
{
	struct worker *w = arg;
	uint32_t n;
	struct msg *m;

	FB_ASSERT(p->payload.len >= sizeof n);
	memcpy(&n, p->payload.p, sizeof n);
	if (n >= sim.msg_count)
		fail("a message that nobody sent", n, w->slot);
	m = &sim.msgs[n];
	if (m->from != from || m->qos != p->qos || !slice_eq(p->topic, slice_str(topics[m->topic])))
		fail("a message that differs", n, w->slot);
	if (w->last_from[from] == m->from_epoch && w->last_msg[from] >= n + 1)
		fail("out of order, or twice", n, w->slot);
	for (size_t i = sizeof n; i < p->payload.len; i += 97)
		if (p->payload.p[i] != (uint8_t)(n + i))
			fail("a damaged message", n, w->slot);
	w->last_from[from] = m->from_epoch;
	w->last_msg[from] = n + 1;
	m->seen[w->slot] = true;
	m->seen_epoch[w->slot] = w->epoch;
	sim.delivered++;
	if (kept == 0)
		return;
	if (sim_one_in(4) && w->owed_count < 64) {
		w->owed[w->owed_count].from = from;
		w->owed[w->owed_count++].token = kept;
	} else {
		cluster_kept(w->cluster, from, kept);
	}
}

/* The want for which m was due to worker i, in the same life. */
static bool
still_wanted(const struct msg *m, unsigned i)
{
	for (unsigned t = 0; t < TOPICS; t++)
		if (sim.w[i].subs[t].wanted && sim.w[i].subs[t].made == m->due_made[i])
			return true;
	return false;
}

static void
on_kept(void *arg, uint64_t cookie)
{
	const struct worker *w = arg;
	struct msg *m = &sim.msgs[cookie];

	if (m->kept || m->from != w->slot || m->qos == 0)
		fail("kept twice or wrongly", (uint32_t)cookie, w->slot);
	m->kept = true;
	sim.kept++;
	for (unsigned i = 0; i < WORKERS; i++) {
		if (!m->due[i] || m->seen[i] || !still_wanted(m, i))
			continue;       /* the want may have ended, or died with its incarnation */
		if (m->due_durable[i] || (sim.w[i].alive && sim.w[i].epoch == m->due_epoch[i]))
			fail("kept but not delivered", (uint32_t)cookie, i);
	}
}

static void
on_record(void *arg, unsigned from, uint8_t type, struct slice body)
{
	struct worker *w = arg;
	uint64_t n[2];

	FB_ASSERT(body.len >= sizeof n);
	memcpy(n, body.p, sizeof n);
	if (w->records_in_epoch[from] != n[0]) {
		w->records_in_epoch[from] = n[0];
		w->records_in[from] = 0;
	}
	if (n[1] != w->records_in[from] + 1 || type != (uint8_t)n[1])
		fail("a record lost, twice or out of order", 0, w->slot);
	w->records_in[from] = n[1];
}

static void
on_neighbour(void *arg, unsigned slot, uint64_t epoch, bool up)
{
	struct worker *w = arg;

	/* The end is told also of an incarnation that was never up: records may have gone to it since its greeting. */
	if (w->up_epoch[slot] != 0 && (up || w->up_epoch[slot] != epoch))
		fail("up or down without its turn", 0, w->slot);
	w->up_epoch[slot] = up ? epoch : 0;
	if (!up)
		w->records_out[slot] = 0;
}

static uint64_t
store_seq(void *arg)
{
	return (uint64_t)sim_now().ns;
}

static const struct cluster_ops ops = {
	.on_publish = on_publish,
	.on_kept = on_kept,
	.on_record = on_record,
	.on_neighbour = on_neighbour,
	.store_seq = store_seq,
};

/* Wants. */

static void
barrier_done(struct cluster_barrier *b)
{
	struct sub *s = container_of(b, struct sub, barrier);

	s->live = true;
	s->epoch = s->worker->epoch;
}

static void
sub_start(struct worker *w, unsigned topic)
{
	struct sub *s = &w->subs[topic];

	s->wanted = true;
	s->live = false;
	s->worker = w;
	s->topic = topic;
	s->made = ++sim.next_made;
	s->durable = sim_one_in(2);
	cluster_want(w->cluster, slice_str(filters[topic]));
	cluster_barrier(w->cluster, &s->barrier, barrier_done);
}

static void
sub_stop(struct worker *w, unsigned topic)
{
	struct sub *s = &w->subs[topic];

	cluster_barrier_cancel(w->cluster, &s->barrier);
	cluster_unwant(w->cluster, slice_str(filters[topic]));
	s->wanted = s->live = false;
}

/* Life and death. */

static void
on_word(struct sim_event *e)
{
	struct word *x = container_of(e, struct word, event);
	struct worker *w = &sim.w[x->to];

	if (w->alive && w->epoch == x->to_epoch) {
		if (x->up)
			cluster_peer_up(w->cluster, x->about, x->epoch);
		else
			cluster_peer_down(w->cluster, x->about, x->epoch);
	}
	mem_free(x);
}

static void
say(unsigned to, unsigned about, uint64_t epoch, bool up, int64_t delay)
{
	struct word *x = mem_zalloc(sizeof *x);

	x->to = to;
	x->about = about;
	x->to_epoch = sim.w[to].epoch;
	x->epoch = epoch;
	x->up = up;
	sim_event_init(&x->event, on_word);
	sim_event_in(&x->event, delay);
}

static void
worker_start(struct worker *w)
{
	struct cluster_config cfg = { .slot = w->slot, .slots = WORKERS, .route_key = { 3, 4 }, .dir = "/nowhere" };

	w->alive = true;
	w->frozen = false;
	w->epoch = cfg.epoch = ++sim.epochs;
	w->loop = loop_new();
	w->cluster = cluster_new(w->loop, &cfg, &ops, w);
	w->owed_count = 0;
	memset(w->last_from, 0, sizeof w->last_from);
	memset(w->records_in_epoch, 0, sizeof w->records_in_epoch);
	memset(w->records_out, 0, sizeof w->records_out);
	memset(w->up_epoch, 0, sizeof w->up_epoch);
	for (unsigned i = 0; i < TOPICS; i++) {
		struct sub *s = &w->subs[i];

		s->wanted = s->wanted && s->durable;
		s->live = s->live && s->wanted;
		if (s->wanted)
			cluster_want(w->cluster, slice_str(filters[i]));
	}
	for (unsigned i = 0; i < WORKERS; i++) {
		if (i == w->slot || !sim.w[i].alive)
			continue;
		say(i, w->slot, w->epoch, true, sim_between(0, 5 * NS_PER_MS));
		cluster_peer_up(w->cluster, i, sim.w[i].epoch); /* a worker starts with the list of the living */
	}
}

static void
worker_kill(struct worker *w)
{
	w->alive = false;
	cluster_free(w->cluster);
	loop_free(w->loop);
	for (unsigned i = 0; i < WORKERS; i++)
		if (i != w->slot && sim.w[i].alive && !sim_one_in(4))   /* else only the successor is announced */
			say(i, w->slot, w->epoch, false, sim_between(0, 3 * NS_PER_MS));
}

/* A worker whose loop stands does nothing, and a publisher waits until it is linked, as clients do. */
static bool
acts(const struct worker *w)
{
	return w->alive && !w->frozen;
}

static void
publish(struct worker *w)
{
	static uint8_t payload[400000];
	uint32_t n = sim.msg_count;
	struct msg *m = &sim.msgs[n];
	struct cluster_pub p = { 0 };
	size_t len = sim_one_in(300) ? sim_below(sizeof payload - 64) + 64 : 32 + sim_below(2000);

	if (n == MSG_MAX || !cluster_linked(w->cluster))
		return;
	sim.msg_count++;
	memset(m, 0, sizeof *m);
	m->topic = (uint8_t)sim_below(TOPICS);
	m->qos = (uint8_t)sim_below(3);
	m->from = (uint8_t)w->slot;
	m->from_epoch = w->epoch;
	for (unsigned i = 0; i < WORKERS; i++) {
		for (unsigned t = 0; t < TOPICS; t++) {
			const struct sub *s = &sim.w[i].subs[t];

			if (i == w->slot || !s->wanted || !s->live || !word_in(matches[m->topic], filters[t]))
				continue;
			if (m->qos == 0 && (!sim.w[i].alive || w->up_epoch[i] != sim.w[i].epoch))
				continue;       /* nobody promises it to a worker that is coming back */
			m->due[i] = true;
			m->due_durable[i] = s->durable;
			m->due_epoch[i] = sim.w[i].alive ? sim.w[i].epoch : 0;
			m->due_made[i] = s->made;
		}
	}
	for (size_t i = 0; i < len; i++)
		payload[i] = (uint8_t)(n + i);
	memcpy(payload, &n, sizeof n);
	p.topic = slice_str(topics[m->topic]);
	p.payload = slice_of(payload, len);
	p.qos = m->qos;
	if (cluster_publish(w->cluster, &p, n) == 0 && m->qos != 0)
		on_kept(w, n);
}

static void
send_record(struct worker *w)
{
	static uint8_t body[100000];
	unsigned to = (unsigned)sim_below(WORKERS);
	uint64_t n[2] = { w->epoch, w->records_out[to] + 1 };

	if (to == w->slot)
		return;
	memcpy(body, n, sizeof n);
	if (cluster_send(w->cluster, to, (uint8_t)n[1], slice_of(body, sizeof n + sim_below(sim_one_in(20) ? 90000 : 100))) == 0)
		w->records_out[to]++;
}

static void
pay_owed(struct worker *w)
{
	while (w->owed_count > 0) {
		w->owed_count--;
		cluster_kept(w->cluster, w->owed[w->owed_count].from, w->owed[w->owed_count].token);
	}
}

static void
one_act(void)
{
	struct worker *w = &sim.w[sim_below(WORKERS)];
	unsigned topic = (unsigned)sim_below(TOPICS);

	if (!acts(w))
		return;
	switch (sim_below(12)) {
	case 0:
		if (w->subs[topic].wanted)
			sub_stop(w, topic);
		else if (cluster_linked(w->cluster))
			sub_start(w, topic);
		break;
	case 1:
		send_record(w);
		break;
	case 2:
		pay_owed(w);
		break;
	default:
		for (uint64_t i = sim_below(20); i > 0; i--)
			publish(w);
	}
}

static void
one_fault(void)
{
	struct worker *w = &sim.w[sim_below(WORKERS)];

	if (!w->alive) {
		if (sim_one_in(2))
			worker_start(w);
		return;
	}
	switch (sim_below(3)) {
	case 0:
		w->frozen = !w->frozen;
		sim_freeze(w->loop, w->frozen);
		break;
	case 1:
		if (sim_one_in(2))
			worker_kill(w);
		break;
	default:
		break;
	}
}

static void
calm_down(void)
{
	struct sim_pipe_faults *f = &sim_pipe_faults;

	f->break_one_in = f->cut_one_in = f->twin_one_in = 0;
	for (unsigned i = 0; i < WORKERS; i++) {
		struct worker *w = &sim.w[i];

		if (!w->alive)
			worker_start(w);
		w->frozen = false;
		sim_freeze(w->loop, false);
	}
	for (int i = 0; i < 300; i++) {
		for (unsigned n = 0; n < WORKERS; n++)
			pay_owed(&sim.w[n]);
		sim_run_for(100 * NS_PER_MS);
	}
}

static void
check_end(uint64_t shed)
{
	for (unsigned i = 0; i < WORKERS; i++)
		if (!cluster_linked(sim.w[i].cluster))
			fail("not linked at the end", 0, i);
	for (uint32_t n = 0; n < sim.msg_count; n++) {
		const struct msg *m = &sim.msgs[n];
		bool sender_lived = sim.w[m->from].epoch == m->from_epoch;

		if (m->qos != 0 && sender_lived && !m->kept)
			fail("never kept", n, m->from);
		for (unsigned i = 0; i < WORKERS; i++)
			if (m->due[i] && !m->seen[i] && sender_lived && sim.w[i].epoch == m->due_epoch[i] && shed == 0 &&
			    (m->qos == 0 || still_wanted(m, i)))
				fail("lost between two that lived on", n, i);
	}
	for (unsigned i = 0; i < WORKERS; i++)
		for (unsigned t = 0; t < TOPICS; t++)
			if (sim.w[i].subs[t].wanted && !sim.w[i].subs[t].live && list_linked(&sim.w[i].subs[t].barrier.link))
				fail("a barrier without end", t, i);
	for (unsigned i = 0; i < WORKERS; i++)
		for (unsigned k = 0; k < WORKERS; k++)
			if (i != k && sim.w[i].records_in_epoch[k] == sim.w[k].epoch &&
			    sim.w[k].up_epoch[i] == sim.w[i].epoch && sim.w[i].records_in[k] != sim.w[k].records_out[i])
				fail("records lost", 0, i);
	if (sim_pipe_overflows != 0)
		fail("more under way than NNG's queues hold", 0, 0);
}

static void
run_seed(uint64_t seed)
{
	uint64_t shed = METRIC_GET(dropped_link_full);
	struct sim_pipe_faults *f = &sim_pipe_faults;
	unsigned acts_left;

	memset(&sim, 0, sizeof sim);
	sim.seed = seed;
	sim.msgs = mem_zalloc(MSG_MAX * sizeof *sim.msgs);
	sim_open(seed);
	sim_pipe_overflows = 0;
	f->delay_max_ns = sim_between(50 * NS_PER_US, 5 * NS_PER_MS);
	f->break_one_in = sim_one_in(3) ? 0 : 20 + sim_below(2000);
	f->cut_one_in = sim_one_in(2) ? 0 : 100 + sim_below(5000);
	f->twin_one_in = sim_one_in(2) ? 0 : 20 + sim_below(500);
	for (unsigned i = 0; i < WORKERS; i++) {
		sim.w[i].slot = i;
		worker_start(&sim.w[i]);
	}
	sim_run_for(200 * NS_PER_MS);
	acts_left = 300 + (unsigned)sim_below(1200);
	while (acts_left-- > 0) {
		one_act();
		if (sim_one_in(100))
			one_fault();
		sim_run_for(sim_between(0, sim_one_in(50) ? NS_PER_SEC : 2 * NS_PER_MS));
	}
	calm_down();
	check_end(METRIC_GET(dropped_link_full) - shed);
	for (unsigned i = 0; i < WORKERS; i++) {
		cluster_free(sim.w[i].cluster);
		loop_free(sim.w[i].loop);
	}
	sim_run_for(NS_PER_SEC);
	sim_close();
	mem_free(sim.msgs);
}

int
main(int argc, char **argv)
{
	uint64_t seeds = argc > 1 ? strtoull(argv[1], NULL, 10) : 200;
	uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
	uint64_t delivered = 0, kept = 0;

	log_open(2, "sim", LOG_ERROR);
	for (uint64_t seed = first; seed < first + seeds; seed++) {
		run_seed(seed);
		delivered += sim.delivered;
		kept += sim.kept;
	}
	printf("sim_cluster: %" PRIu64 " seeds, %" PRIu64 " messages delivered, %" PRIu64 " kept, %" PRIu64 " frames sent again\n",
	    seeds, delivered, kept, METRIC_GET(link_resent));
	return 0;
}
