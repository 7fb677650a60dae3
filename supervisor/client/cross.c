/* SPDX-License-Identifier: Apache-2.0
 * supervisor/client/cross.c - which connection is on which worker is the kernel's choice: open some to spare, ask fubar-admin
 * where they landed, pick publishers and subscribers that do not share a worker, close the rest. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "supervisor/client/bench.h"
#include "common/base/err.h"
#include "common/base/mem.h"

#define SLOTS 256
#define ROUNDS 6

struct cross {
	struct bench *bench;
	int16_t *slot_of;               /* of peer number; -1: unknown, -2: given a role; owned */
	uint32_t free_of[SLOTS];        /* peers without a role on each worker */
};

/* fubar-admin from beside this program, else from the path. */
static void
exec_admin(const struct bench_opts *o)
{
	char path[PATH_MAX + 16];
	ssize_t n = readlink("/proc/self/exe", path, PATH_MAX);
	char *argv[8];
	int i = 0;

	argv[i++] = (char *)"fubar-admin";
	if (o->admin_socket != NULL) {
		argv[i++] = (char *)"--socket";
		argv[i++] = (char *)(uintptr_t)o->admin_socket;
	}
	argv[i++] = (char *)"--json";
	argv[i++] = (char *)"session";
	argv[i++] = (char *)"list";
	argv[i] = NULL;
	while (n > 0 && path[n - 1] != '/')
		n--;
	if (n > 0) {
		snprintf(path + n, 16, "fubar-admin");
		execv(path, argv);
	}
	execvp("fubar-admin", argv);
	fprintf(stderr, "fubar-admin: %s\n", strerror(errno));
	_exit(127);
}

static json_t *
ask_admin(struct bench *b)
{
	json_error_t error;
	json_t *answer = NULL;
	int fds[2];
	int status = 0;
	pid_t pid;
	FILE *f;

	if (pipe2(fds, O_CLOEXEC) != 0)
		return NULL;
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		dup2(fds[1], STDOUT_FILENO);
		exec_admin(&b->o);
	}
	close(fds[1]);
	f = fdopen(fds[0], "r");
	if (f != NULL) {
		answer = json_loadf(f, 0, &error);
		fclose(f);
	}
	if (pid > 0)
		waitpid(pid, &status, 0);
	if (pid < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
		swarm_fail(&b->swarm, "--cross: 'fubar-admin --json session list' failed (see --admin-socket)");
	else if (answer == NULL)
		swarm_fail(&b->swarm, "--cross: fubar-admin's answer is not JSON: %s", error.text);
	return answer;
}

static const char *
text_of(const json_t *row)
{
	const char *s = json_string_value(json_object_get(row, "client"));

	return s != NULL ? s : json_string_value(json_object_get(row, "id"));
}

/* Any object with a client and a worker is a row, wherever it stands. */
static void
take_rows(struct cross *c, json_t *v)
{
	const struct bench *b = c->bench;
	size_t len = strlen(b->o.prefix);
	const char *client;
	json_t *worker;
	json_t *inner;
	const char *key;
	size_t i;

	json_array_foreach(v, i, inner)
		take_rows(c, inner);
	if (!json_is_object(v))
		return;
	client = text_of(v);
	worker = json_object_get(v, "worker");
	if (worker == NULL)
		worker = json_object_get(v, "slot");
	if (client != NULL && json_is_integer(worker) && strncmp(client, b->o.prefix, len) == 0) {
		char *end = NULL;
		unsigned long n = strtoul(client + len, &end, 10);
		json_int_t slot = json_integer_value(worker);

		if (end != client + len && *end == 0 && n < b->swarm.peer_count && slot >= 0 && slot < SLOTS &&
		    c->slot_of[n] == -1) {
			c->slot_of[n] = (int16_t)slot;
			c->free_of[slot]++;
		}
		return;
	}
	json_object_foreach(v, key, inner)
		take_rows(c, inner);
}

static struct peer *
take_from(struct cross *c, uint32_t slot, uint32_t first)
{
	for (uint32_t i = first; i < c->bench->swarm.peer_count; i++) {
		if (c->slot_of[i] != (int16_t)slot)
			continue;
		c->slot_of[i] = -2;
		c->free_of[slot]--;
		return c->bench->swarm.peers[i];
	}
	return NULL;
}

/* The worker with the most peers left, but not this one. */
static uint32_t
fullest(const struct cross *c, uint32_t but)
{
	uint32_t best = but == 0 ? 1 : 0;

	for (uint32_t i = 0; i < SLOTS; i++)
		if (i != but && c->free_of[i] > c->free_of[best])
			best = i;
	return best;
}

/* As many pairs as there are: from the two fullest workers, so that few remain. */
static uint32_t
pick_pairs(struct cross *c, uint32_t first, struct peer **pubs, struct peer **subs, uint32_t have, uint32_t want)
{
	while (have < want) {
		uint32_t a = fullest(c, SLOTS);
		uint32_t z = fullest(c, a);

		if (c->free_of[a] == 0 || c->free_of[z] == 0)
			break;
		pubs[have] = take_from(c, have % 2 == 0 ? a : z, first);
		subs[have] = take_from(c, have % 2 == 0 ? z : a, first);
		have++;
	}
	return have;
}

/* All of the smaller role on one worker, all of the larger on the others. */
static bool
pick_roles(struct cross *c, uint32_t first, struct peer **few, uint32_t few_count, struct peer **many,
    uint32_t many_count)
{
	uint32_t sum = 0;
	uint32_t home = SLOTS;

	for (uint32_t i = 0; i < SLOTS; i++)
		sum += c->free_of[i];
	for (uint32_t i = 0; i < SLOTS; i++)
		if (c->free_of[i] >= few_count && sum - c->free_of[i] >= many_count)
			home = i;
	if (home == SLOTS)
		return false;
	for (uint32_t i = 0; i < few_count; i++)
		few[i] = take_from(c, home, first);
	for (uint32_t i = 0; i < many_count; i++)
		many[i] = take_from(c, fullest(c, home), first);
	return true;
}

static void
close_spare(struct cross *c, uint32_t first)
{
	for (uint32_t i = first; i < c->bench->swarm.peer_count; i++)
		if (c->slot_of[i] != -2)
			peer_close(c->bench->swarm.peers[i]);
}

bool
cross_pick(struct bench *b, struct peer **pubs, uint32_t pub_count, struct peer **subs, uint32_t sub_count)
{
	struct cross c = { .bench = b };
	uint32_t have = 0;
	uint32_t first = b->swarm.peer_count;
	bool done = false;

	for (uint32_t round = 0; round < ROUNDS && !done && !swarm_failed(&b->swarm); round++) {
		uint32_t from;
		uint32_t n = round == 0 ? pub_count + sub_count + 8 : (pub_count + sub_count) / 2 + 8;
		json_t *rows;

		if (!bench_open(b, n, &from))
			break;
		c.slot_of = mem_realloc(c.slot_of, b->swarm.peer_count * sizeof *c.slot_of);
		for (uint32_t i = from; i < b->swarm.peer_count; i++)
			c.slot_of[i] = -1;
		rows = ask_admin(b);
		if (rows == NULL || swarm_failed(&b->swarm))
			break;
		take_rows(&c, rows);
		json_decref(rows);
		if (b->o.mode == BENCH_1TO1) {
			have = pick_pairs(&c, first, pubs, subs, have, pub_count);
			done = have == pub_count;
		} else if (pub_count <= sub_count) {
			done = pick_roles(&c, first, pubs, pub_count, subs, sub_count);
		} else {
			done = pick_roles(&c, first, subs, sub_count, pubs, pub_count);
		}
	}
	if (!done)
		swarm_fail(&b->swarm, "--cross: connections on different workers are too few (is there more than one worker?)");
	else
		close_spare(&c, first);
	mem_free(c.slot_of);
	return done;
}
