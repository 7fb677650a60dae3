/* SPDX-License-Identifier: Apache-2.0
 * The message plane over real NNG between real processes: stopped, killed, started again, under load.
 *
 * The test is the supervisor: it forks workers (and never touches NNG itself), tells them of each other over a socket,
 * and waits for what they say. What a worker saw is in shared memory. */
#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cluster/cluster.h"
#include "common/base/log.h"
#include "t/support/unit.h"

#define SLOTS    3u
#define MESSAGES 200000u
#define BATCH    20u            /* a loop turn */
#define FLIGHT   2000u          /* published and not kept */
#define ENDS     20u

struct seen {
	uint32_t first, last, count;
	bool disordered;
	uint64_t resent;
};

struct shared {
	struct seen seen[SLOTS][2];     /* of two incarnations */
	uint32_t kept;
	unsigned threads[SLOTS];
};

struct command {
	char what;                      /* u: peer up; d: peer down; w: want; p: publish; q: end */
	unsigned slot;
	uint64_t epoch;
};

struct proc {                           /* as the test sees it */
	pid_t pid;
	int fd;
	uint64_t epoch;
};

struct child {
	struct loop *loop;
	struct cluster *cluster;
	struct seen *seen;
	struct shared *shared;
	struct task turn;
	unsigned slot;
	uint32_t sent;
	int fd;
};

static struct shared *shared;
static struct proc procs[SLOTS];
static char dir[32];
static uint64_t last_epoch;

static void
tell(struct child *c, char what)
{
	FB_ASSERT(write(c->fd, &what, 1) == 1);
}

static void
on_publish(void *arg, unsigned from, const struct cluster_pub *p, uint64_t kept)
{
	struct child *c = arg;
	uint32_t n;

	memcpy(&n, p->payload.p, sizeof n);
	if (c->seen->count++ == 0)
		c->seen->first = n;
	else if (n != c->seen->last + 1)
		c->seen->disordered = true;
	c->seen->last = n;
	cluster_kept(c->cluster, from, kept);
	if (n % (MESSAGES / 20) == 0)
		tell(c, 'p');
	if (n == MESSAGES)
		tell(c, 'e');
}

static void
on_kept(void *arg, uint64_t cookie)
{
	struct child *c = arg;

	if (++c->shared->kept == MESSAGES)
		tell(c, 'k');
	loop_next(c->loop, &c->turn);
}

static void
on_record(void *arg, unsigned from, uint8_t type, struct slice body)
{
}

static void
on_neighbour(void *arg, unsigned slot, uint64_t epoch, bool up)
{
	struct child *c = arg;

	if (up && cluster_linked(c->cluster))
		tell(c, 'l');
}

static const struct cluster_ops ops = {
	.on_publish = on_publish,
	.on_kept = on_kept,
	.on_record = on_record,
	.on_neighbour = on_neighbour,
};

static void
on_turn(struct task *t)
{
	struct child *c = container_of(t, struct child, turn);
	uint8_t payload[100] = { 0 };
	struct cluster_pub p = { .topic = SLICE_LIT("t"), .payload = slice_of(payload, sizeof payload), .qos = 1 };

	for (unsigned i = 0; i < BATCH && c->sent < MESSAGES && c->sent - c->shared->kept < FLIGHT; i++) {
		c->sent++;
		memcpy(payload, &c->sent, sizeof c->sent);
		FB_ASSERT(cluster_publish(c->cluster, &p, c->sent) == SLOTS - 1);
	}
	if (c->sent < MESSAGES && c->sent - c->shared->kept < FLIGHT)
		loop_next(c->loop, &c->turn);
}

static void
barrier_done(struct cluster_barrier *b)
{
}

static unsigned
count_threads(void)
{
	DIR *d = opendir("/proc/self/task");
	unsigned n = 0;
	struct dirent *e;

	FB_ASSERT(d != NULL);
	while ((e = readdir(d)) != NULL)
		n += e->d_name[0] != '.' ? 1 : 0;
	closedir(d);
	return n;
}

static void
on_command(void *arg, unsigned ready)
{
	static struct cluster_barrier barrier;
	struct child *c = arg;
	struct command cmd;
	struct cluster_link_stats st;

	if (read(c->fd, &cmd, sizeof cmd) != sizeof cmd)
		_exit(0);
	switch (cmd.what) {
	case 'u':
		cluster_peer_up(c->cluster, cmd.slot, cmd.epoch);
		break;
	case 'd':
		cluster_peer_down(c->cluster, cmd.slot, cmd.epoch);
		break;
	case 'w':
		cluster_want(c->cluster, SLICE_LIT("t"));
		cluster_barrier(c->cluster, &barrier, barrier_done);
		break;
	case 'p':
		loop_next(c->loop, &c->turn);
		break;
	case 'q':
		loop_stop(c->loop);
		break;
	case 's':
		if (cluster_link_stats(c->cluster, cmd.slot, &st))
			c->seen->resent = st.resent;
		c->shared->threads[c->slot] = count_threads();
		tell(c, 's');
		break;
	}
}

_Noreturn static void
child_run(unsigned slot, uint64_t epoch, int fd, struct seen *seen, bool wants)
{
	struct child c = { .slot = slot, .fd = fd, .seen = seen, .shared = shared };
	struct cluster_config cfg = { .slot = slot, .slots = SLOTS, .epoch = epoch, .route_key = { 1, 2 }, .dir = dir };

	log_open(2, "child", LOG_ERROR);
	c.loop = loop_new();
	c.cluster = cluster_new(c.loop, &cfg, &ops, &c);
	if (wants)
		cluster_want(c.cluster, SLICE_LIT("t"));
	task_init(&c.turn, on_turn);
	(void)loop_fd_new(c.loop, fd, LOOP_READ, on_command, &c);
	loop_run(c.loop);
	cluster_free(c.cluster);
	_exit(0);
}

static void
start(unsigned slot, unsigned incarnation, bool wants)
{
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
	procs[slot].epoch = ++last_epoch;
	procs[slot].pid = fork();
	if (procs[slot].pid == 0) {
		for (unsigned i = 0; i < SLOTS; i++)
			if (i != slot && procs[i].fd > 0)
				close(procs[i].fd);
		close(fds[0]);
		child_run(slot, procs[slot].epoch, fds[1], &shared->seen[slot][incarnation], wants);
	}
	ck_assert_int_gt(procs[slot].pid, 0);
	close(fds[1]);
	procs[slot].fd = fds[0];
}

static void
command(unsigned to, char what, unsigned slot)
{
	struct command cmd = { .what = what, .slot = slot, .epoch = procs[slot].epoch };

	ck_assert_int_eq((int)write(procs[to].fd, &cmd, sizeof cmd), (int)sizeof cmd);
}

/* Until that worker says so. */
static void
await(unsigned slot, char what)
{
	struct pollfd p = { .fd = procs[slot].fd, .events = POLLIN };
	char got = 0;

	do {
		ck_assert_msg(poll(&p, 1, 30000) == 1, "worker %u does not say %c", slot, what);
		ck_assert_int_eq((int)read(procs[slot].fd, &got, 1), 1);
	} while (got != what);
}

/* Until it has ended by itself. */
static void
await_end(unsigned slot)
{
	struct pollfd p = { .fd = procs[slot].fd, .events = POLLIN };
	char got;

	do
		ck_assert_msg(poll(&p, 1, 10000) == 1, "worker %u does not end", slot);
	while (read(procs[slot].fd, &got, 1) == 1);
}

static void
finish(unsigned slot, int signo)
{
	int status;

	kill(procs[slot].pid, signo);
	ck_assert_int_eq(waitpid(procs[slot].pid, &status, 0), procs[slot].pid);
	close(procs[slot].fd);
	procs[slot].fd = 0;
}

static void
start_all(void)
{
	signal(SIGPIPE, SIG_IGN);
	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(shared, MAP_FAILED);
	strcpy(dir, "/tmp/test_pipe.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	for (unsigned i = 0; i < SLOTS; i++)
		start(i, 0, i != 0);
	for (unsigned i = 0; i < SLOTS; i++)
		for (unsigned k = 0; k < SLOTS; k++)
			if (i != k)
				command(i, 'u', k);
	for (unsigned i = 0; i < SLOTS; i++)
		await(i, 'l');
}

static void
finish_all(void)
{
	char path[sizeof dir + 300];
	DIR *d;
	struct dirent *e;

	for (unsigned i = 0; i < SLOTS; i++)
		finish(i, SIGKILL);
	d = opendir(dir);
	ck_assert_ptr_nonnull(d);
	while ((e = readdir(d)) != NULL) {
		snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
		if (e->d_name[0] != '.')
			unlink(path);
	}
	closedir(d);
	ck_assert_int_eq(rmdir(dir), 0);
	munmap(shared, sizeof *shared);
}

static void
check_all_seen(const struct seen *s)
{
	ck_assert(!s->disordered);
	ck_assert_uint_eq(s->first, 1);
	ck_assert_uint_eq(s->last, MESSAGES);
	ck_assert_uint_eq(s->count, MESSAGES);
}

START_TEST(few_threads)
{
	start_all();
	command(0, 's', 1);
	await(0, 's');
	ck_assert_uint_ge(shared->threads[0], 2);
	ck_assert_uint_le(shared->threads[0], 14);
	finish_all();
}
END_TEST

START_TEST(a_stopped_worker_misses_nothing)
{
	struct timespec pause = { .tv_sec = 4 };

	start_all();
	command(0, 'p', 0);
	for (unsigned i = 0; i < 3; i++) {
		await(1, 'p');
		kill(procs[1].pid, SIGSTOP);
		await(2, 'p');          /* its sibling goes on meanwhile, until the window of un-kept ones is full */
		kill(procs[1].pid, SIGCONT);
		if (i == 1) {           /* longer than the patience of a link: the connection is replaced */
			kill(procs[1].pid, SIGSTOP);
			nanosleep(&pause, NULL);
			kill(procs[1].pid, SIGCONT);
		}
	}
	await(0, 'k');
	await(1, 'e');
	await(2, 'e');
	check_all_seen(&shared->seen[1][0]);
	check_all_seen(&shared->seen[2][0]);
	finish_all();
}
END_TEST

START_TEST(a_killed_worker_is_succeeded)
{
	const struct seen *old = &shared->seen[2][0];
	const struct seen *new;

	start_all();
	command(0, 'p', 0);
	await(2, 'p');
	await(2, 'p');
	await(2, 'p');
	kill(procs[2].pid, SIGKILL);
	finish(2, SIGKILL);
	command(0, 'd', 2);
	command(1, 'd', 2);
	start(2, 1, true);
	for (unsigned i = 0; i < 2; i++) {
		command(2, 'u', i);
		command(i, 'u', 2);
	}
	await(0, 'k');
	await(1, 'e');
	await(2, 'e');
	check_all_seen(&shared->seen[1][0]);
	old = &shared->seen[2][0];
	new = &shared->seen[2][1];
	ck_assert(!old->disordered && !new->disordered);
	ck_assert_uint_eq(old->first, 1);
	ck_assert_uint_eq(old->count, old->last);
	ck_assert_uint_le(new->first, old->last + 1);   /* no gap; the un-kept ones twice */
	ck_assert_uint_eq(new->last, MESSAGES);
	ck_assert_uint_eq(new->count, MESSAGES - new->first + 1);
	ck_assert_uint_le(old->last - new->first + 1, FLIGHT + 1);
	finish_all();
}
END_TEST

/* With frames under way in both directions. */
START_TEST(all_end_under_load)
{
	for (unsigned i = 0; i < ENDS; i++) {
		start_all();
		command(0, 'p', 0);
		await(1, 'p');
		for (unsigned k = 0; k < SLOTS; k++)
			command(k, 'q', 0);
		for (unsigned k = 0; k < SLOTS; k++)
			await_end(k);
		finish_all();
	}
}
END_TEST

UNIT_MAIN("pipe", few_threads, all_end_under_load, a_stopped_worker_misses_nothing, a_killed_worker_is_succeeded)
