/* SPDX-License-Identifier: Apache-2.0
 * t/bench/bench_link.c - what a publish costs between two workers: CPU of both processes for one message.
 *
 *	bench_link [-n MESSAGES] [-s BYTES] [-q QOS] [-b BATCH] [-w WINDOW] [-t TOPICS] [-2]
 *
 * Two processes on one core (-2: on two). The parent publishes BATCH messages a loop turn through cluster_publish() as
 * long as fewer than WINDOW are under way; the child counts them in on_publish(). Each side prints its CPU time. */
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cluster/cluster.h"
#include "common/base/log.h"
#include "common/base/mem.h"

struct shared {
	uint64_t got;                   /* written by the child only */
	uint64_t bytes;
	double child_cpu_s;
};

struct side {
	struct loop *loop;
	struct cluster *cluster;
	struct shared *shared;
	struct task turn;
	unsigned slot;
	bool up, started;
	uint64_t sent, kept, got, total, window;
	unsigned batch, topics;
	uint8_t qos;
	struct slice payload;
	double cpu_start;
	struct mono start;
};

static double
cpu_s(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void
on_publish(void *arg, unsigned from, const struct cluster_pub *p, uint64_t kept)
{
	struct side *s = arg;

	if (s->got++ == 0)
		s->cpu_start = cpu_s();
	s->shared->bytes += p->payload.len;
	__atomic_store_n(&s->shared->got, s->got, __ATOMIC_RELAXED);
	if (kept != 0)
		cluster_kept(s->cluster, from, kept);
}

static void
on_kept(void *arg, uint64_t cookie)
{
	((struct side *)arg)->kept++;
}

static void
on_record(void *arg, unsigned from, uint8_t type, struct slice body)
{
	struct side *s = arg;

	s->shared->child_cpu_s = cpu_s() - s->cpu_start;
	loop_stop(s->loop);
}

static void
on_neighbour(void *arg, unsigned slot, uint64_t epoch, bool up)
{
	struct side *s = arg;

	s->up = up;
	if (s->slot == 0)
		loop_next(s->loop, &s->turn);
}

static void
publish_batch(struct side *s)
{
	char topic[32];

	for (unsigned i = 0; i < s->batch && s->sent < s->total; i++) {
		uint64_t done = s->qos != 0 ? s->kept : __atomic_load_n(&s->shared->got, __ATOMIC_RELAXED);
		struct cluster_pub p = { .payload = s->payload, .qos = s->qos };

		if (s->sent - done >= s->window)
			break;
		p.topic = slice_of(topic, (size_t)snprintf(topic, sizeof topic, "bench/%06u", (unsigned)(s->sent % s->topics)));
		if (cluster_publish(s->cluster, &p, s->sent) != 1) {
			fprintf(stderr, "bench_link: message %" PRIu64 " has no leg\n", s->sent);
			exit(1);
		}
		s->sent++;
	}
}

static void
on_turn(struct task *t)
{
	struct side *s = container_of(t, struct side, turn);
	uint64_t before = s->sent;

	if (!s->started) {
		s->started = true;
		s->cpu_start = cpu_s();
		s->start = clock_mono();
	}
	publish_batch(s);
	if (__atomic_load_n(&s->shared->got, __ATOMIC_RELAXED) == s->total) {
		double wall = (double)mono_diff(clock_mono(), s->start) / 1e9;
		struct cluster_link_stats st;

		cluster_link_stats(s->cluster, 1, &st);
		printf("%" PRIu64 " messages in %.3f s: %.0f a second, publisher %.3f us each, %.0f messages a frame\n",
		    s->total, wall, (double)s->total / wall, (cpu_s() - s->cpu_start) * 1e6 / (double)s->total,
		    (double)s->total / (double)st.frames_out);
		(void)cluster_send(s->cluster, 1, 1, slice_of(NULL, 0));
		return;
	}
	if (s->sent == before)
		sched_yield();
	loop_next(s->loop, &s->turn);
}

static const struct cluster_ops ops = {
	.on_publish = on_publish,
	.on_kept = on_kept,
	.on_record = on_record,
	.on_neighbour = on_neighbour,
};

static void
side_run(struct side *s, const char *dir)
{
	struct cluster_config cfg = {
		.slot = s->slot,
		.slots = 2,
		.epoch = s->slot + 1,
		.route_key = { 1, 2 },
		.dir = dir,
	};
	char topic[32];

	s->loop = loop_new();
	task_init(&s->turn, on_turn);
	s->cluster = cluster_new(s->loop, &cfg, &ops, s);
	for (unsigned i = 0; s->slot == 1 && i < s->topics; i++)
		cluster_want(s->cluster, slice_of(topic, (size_t)snprintf(topic, sizeof topic, "bench/%06u", i)));
	cluster_peer_up(s->cluster, 1 - s->slot, 2 - s->slot);
	while (loop_turn(s->loop, true))
		if (s->slot == 0 && s->started && waitpid(-1, NULL, WNOHANG) != 0)
			break;
}

static void
pin(size_t cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	(void)sched_setaffinity(0, sizeof set, &set);
}

int
main(int argc, char **argv)
{
	struct side s = { .total = 2000000, .window = 5000, .batch = 500, .topics = 50 };
	char dir[] = "/tmp/bench_link.XXXXXX";
	size_t size = 64;
	bool two = false;
	pid_t child;
	int o;

	while ((o = getopt(argc, argv, "n:s:q:b:w:t:2")) != -1) {
		switch (o) {
		case 'n': s.total = strtoull(optarg, NULL, 10); break;
		case 's': size = strtoull(optarg, NULL, 10); break;
		case 'q': s.qos = (uint8_t)atoi(optarg); break;
		case 'b': s.batch = (unsigned)atoi(optarg); break;
		case 'w': s.window = strtoull(optarg, NULL, 10); break;
		case 't': s.topics = (unsigned)atoi(optarg); break;
		case '2': two = true; break;
		default: return 2;
		}
	}
	log_open(2, "bench", LOG_WARN);
	s.payload = slice_of(mem_zalloc(size), size);
	s.shared = mmap(NULL, sizeof *s.shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (s.shared == MAP_FAILED || mkdtemp(dir) == NULL)
		return 1;
	child = fork();
	if (child == 0) {
		s.slot = 1;
		pin(two ? 1 : 0);
		side_run(&s, dir);
		cluster_free(s.cluster);
		_exit(0);
	}
	pin(0);
	side_run(&s, dir);
	cluster_free(s.cluster);
	(void)rmdir(dir);
	printf("receiver %.3f us each, %" PRIu64 " bytes\n", s.shared->child_cpu_s * 1e6 / (double)s.total, s.shared->bytes);
	return s.shared->bytes == s.total * size ? 0 : 1;
}
