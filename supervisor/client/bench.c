/* SPDX-License-Identifier: Apache-2.0
 * supervisor/client/bench.c - a run: connections first, then warm-up, the measured time, and waiting for what is under way. */
#include "supervisor/client/bench.h"

#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/mem.h"

#define PROGRESS_NS (500 * NS_PER_MS)

static volatile sig_atomic_t interrupted;

static void
on_signal(int signo)
{
	interrupted = signo;
}

bool
bench_interrupted(void)
{
	return interrupted != 0;
}

static void
progress(struct bench *b, const char *what, uint64_t count)
{
	int64_t ns = mono_diff(b->swarm.now, b->shown);

	if (!b->tty || ns < PROGRESS_NS)
		return;
	fprintf(stderr, "\r%s %" PRIu64 " (%.0f a second)\033[K", what, count,
	    count >= b->shown_count ? (double)(count - b->shown_count) * (double)NS_PER_SEC / (double)ns : 0.0);
	b->shown = b->swarm.now;
	b->shown_count = count;
}

bool
bench_turn(struct bench *b, int64_t wait_ns, const char *what, uint64_t count)
{
	swarm_turn(&b->swarm, wait_ns);
	progress(b, what, count);
	return !swarm_failed(&b->swarm) && !bench_interrupted();
}

void
bench_sample(struct bench *b, struct bench_sample *s)
{
	s->at = clock_mono();
	s->broker_cpu_ns = proc_cpu_ns(&b->o.procs);
	s->own_cpu_ns = proc_own_cpu_ns();
	s->n = b->traffic.n;
}

int64_t
bench_memory(struct bench *b)
{
	struct mono end = mono_add(clock_mono(), 10 * NS_PER_SEC);
	int64_t last = -1;

	if (b->o.procs.root_count == 0 || !proc_find(&b->o.procs))
		return -1;
	for (;;) {
		struct mono next = mono_add(clock_mono(), 400 * NS_PER_MS);
		int64_t pss = proc_pss(&b->o.procs);

		if (pss < 0 || (last >= 0 && llabs(pss - last) <= 32 * 1024) || mono_diff(end, next) < 0)
			return pss;
		last = pss;
		while (mono_diff(next, clock_mono()) > 0)
			if (!bench_turn(b, 50 * NS_PER_MS, "waiting for memory to settle", (uint64_t)pss))
				return -1;
	}
}

bool
bench_slope(struct bench *b, enum bench_slope what, int64_t from, int64_t to, uint64_t n)
{
	if (from < 0 || to < 0)
		return false;
	b->slope[what] = (double)(to - from) / (double)n;
	b->slope_from = from;
	b->slope_to = to;
	return true;
}

static bool
connect_roles(struct bench *b, struct peer **pubs, struct peer **subs)
{
	uint32_t first;

	if (b->o.cross)
		return cross_pick(b, pubs, b->o.pubs, subs, b->o.subs);
	if (!bench_open(b, b->o.pubs + b->o.subs, &first))
		return false;
	for (uint32_t i = 0; i < b->o.pubs; i++)
		pubs[i] = b->swarm.peers[first + i];
	for (uint32_t i = 0; i < b->o.subs; i++)
		subs[i] = b->swarm.peers[first + b->o.pubs + i];
	return true;
}

/* Turns until that time, or until all of --messages are sent; false if something is wrong or nothing moves. */
static bool
run_until(struct bench *b, struct mono end, bool drain)
{
	struct traffic *f = &b->traffic;
	uint64_t seen = f->n.delivered + f->n.acked;
	struct mono moved = clock_mono();
	int64_t stall_ns = (int64_t)(b->o.stall_s * (double)NS_PER_SEC);

	for (;;) {
		if (drain ? traffic_unacked(f) == 0 && traffic_missing(f) == 0 : mono_diff(end, b->swarm.now) <= 0)
			return true;
		if (!drain && traffic_sent_all(f))
			return true;
		/* An interrupt ends sending; what is under way still arrives. */
		if (!bench_turn(b, traffic_wait_ns(f), "delivered", f->n.delivered) && (swarm_failed(&b->swarm) || !drain))
			return !swarm_failed(&b->swarm);
		if (seen != f->n.delivered + f->n.acked || f->n.sent == 0) {
			seen = f->n.delivered + f->n.acked;
			moved = b->swarm.now;
		} else if (mono_diff(b->swarm.now, moved) > stall_ns && (drain || f->rate <= 0)) {
			return drain;   /* the report says what is missing */
		}
	}
}

static struct mono
after(double s)
{
	return mono_add(clock_mono(), (int64_t)(s * (double)NS_PER_SEC));
}

static bool
run_traffic(struct bench *b)
{
	struct traffic *f = &b->traffic;
	bool ok = true;

	b->swarm.now = clock_mono();
	traffic_start(f);
	if (b->o.warmup_s > 0)
		ok = run_until(b, after(b->o.warmup_s), false);
	hist_clear(&f->latency_ns);
	bench_sample(b, &b->from);
	ok = ok && run_until(b, b->o.messages > 0 ? (struct mono){ INT64_MAX } : after(b->o.duration_s), false);
	if (b->o.messages == 0)
		bench_sample(b, &b->to);
	traffic_stop(f);
	if (!ok && !swarm_failed(&b->swarm))
		swarm_fail(&b->swarm, "nothing moved for %g s", b->o.stall_s);
	ok = ok && run_until(b, (struct mono){ 0 }, true);
	if (b->o.messages > 0)
		bench_sample(b, &b->to);
	b->missing = traffic_missing(f);
	b->unacked = traffic_unacked(f);
	return ok;
}

static bool
bench_traffic(struct bench *b)
{
	struct traffic *f = &b->traffic;
	struct peer **pubs = mem_zalloc(b->o.pubs * sizeof(struct peer *));
	struct peer **subs = mem_zalloc(b->o.subs * sizeof(struct peer *));
	bool ok;

	f->swarm = &b->swarm;
	f->qos = b->o.qos;
	f->size = b->o.size;
	f->retain = b->o.retain;
	f->window = b->o.window;
	f->rate = b->o.rate;
	f->messages = b->o.messages;
	f->shared_topic = b->o.mode != BENCH_1TO1;
	ok = bench_idle(b) && connect_roles(b, pubs, subs);
	if (ok) {
		b->swarm.on_turn = traffic_turn;
		b->swarm.arg = f;
		traffic_init(f, pubs, b->o.pubs, subs, b->o.subs);
		ok = bench_subacks(b);
		b->pss_before = b->o.procs.count > 0 ? proc_pss(&b->o.procs) : -1;
		ok = ok && run_traffic(b);
		b->pss_after = b->o.procs.count > 0 ? proc_pss(&b->o.procs) : -1;
		if (f->retain && ok) {
			traffic_clear_retained(f);
			swarm_turn(&b->swarm, 0);
		}
		traffic_fini(f);
	}
	mem_free(pubs);
	mem_free(subs);
	return ok;
}

static void
raise_limit(struct bench *b)
{
	struct rlimit r;
	uint64_t need = (uint64_t)b->o.idle + (b->o.mode == BENCH_CONN ? b->o.clients : b->o.pubs + b->o.subs) + 16;

	if (getrlimit(RLIMIT_NOFILE, &r) != 0)
		return;
	if (r.rlim_cur < r.rlim_max) {
		r.rlim_cur = r.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &r);
	}
	if (r.rlim_cur < need)
		swarm_fail(&b->swarm, "%" PRIu64 " descriptors are needed, %" PRIu64 " allowed: raise the limit (ulimit -Hn) or "
		    "use several processes", need, (uint64_t)r.rlim_cur);
}

static bool
setup(struct bench *b)
{
	struct swarm *s = &b->swarm;
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND };

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	/* An open loop wakes up for each message: the default slack of 50 us would be in every latency. */
	prctl(PR_SET_TIMERSLACK, 1000UL);
	swarm_init(s);
	s->net = &b->o.net;
	s->level = b->o.level;
	s->user = b->o.user;
	s->password = b->o.password;
	s->prefix = b->o.prefix;
	s->opening_max = b->o.concurrency;
	s->spin = b->o.spin;
	while (s->scratch_size < 2 * (size_t)b->o.size + 65536)
		s->scratch_size *= 2;
	b->tty = !b->o.quiet && isatty(STDERR_FILENO) == 1;
	b->pss_before = b->pss_after = -1;
	for (int i = 0; i < SLOPE_COUNT; i++)
		b->slope[i] = NAN;
	raise_limit(b);
	if (b->o.procs.root_count > 0 && !proc_find(&b->o.procs))
		swarm_fail(s, "--broker-pid: no such process");
	return !swarm_failed(s) && swarm_resolve(s);
}

int
bench_main(char **argv)
{
	static struct bench b;
	char error[256];
	bool ok;

	if (bench_opts_parse(&b.o, argv, error, sizeof error) != 0) {
		fprintf(stderr, "fubar-client bench: %s\nTry 'fubar-client bench --help'.\n", error);
		return 2;
	}
	if (b.o.help) {
		bench_opts_help();
		return 0;
	}
	if (net_open(&b.o.net, false, error, sizeof error) != 0) {
		fprintf(stderr, "fubar-client bench: %s\n", error);
		return 2;
	}
	ok = setup(&b);
	if (ok && b.o.mode == BENCH_CONN)
		ok = bench_conn(&b);
	else if (ok && b.o.mode == BENCH_RETAINED)
		ok = bench_idle(&b) && bench_retained(&b);
	else if (ok)
		ok = bench_traffic(&b);
	if (b.tty)
		fprintf(stderr, "\r\033[K");
	ok = ok && bench_clean(&b);
	if (swarm_failed(&b.swarm))
		fprintf(stderr, "fubar-client bench: %s\n", b.swarm.error);
	bench_report(&b, ok);
	swarm_fini(&b.swarm);
	net_close(&b.o.net);
	return ok ? 0 : 1;
}
