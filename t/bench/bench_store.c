/* SPDX-License-Identifier: Apache-2.0
 *
 * What the store costs: bench_store [MESSAGES [OPENS [SESSIONS]]]. Prints one line a figure: bytes of memory per retained message
 * and per client id, CPU of a login with a machine password, how long OPENs take while a `#` subscriber reads
 * everything. The real process, its supervisor and workers played by this one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/admin/words.h"
#include "common/base/mem.h"
#include "t/bench/proc.h"
#include "t/support/store_rig.h"

#define GENERATED "AbCdEfGhIjKlMnOpQrStUv"

static const char *const settings[] = { "store.cache", "1GiB", NULL };

static void
load_retained(struct rig *r, unsigned from, unsigned to)
{
	uint8_t payload[64];
	char topic[64];

	memset(payload, 'x', sizeof payload);
	for (unsigned i = from; i < to; i++) {
		/* Not in the order of keys: devices come as they like. */
		snprintf(topic, sizeof topic, "site/%u/device/%u", i * 2654435761u % 1000, i);
		CHAN_SEND(r->worker[0].chan, RETAIN, retain, .seq = i + 1, .qos = 1, .topic = slice_str(topic),
		    .payload = slice_of(payload, sizeof payload));
		if (i % 4096 == 4095)
			(void)rig_wait_done(r, 0, i + 1);
	}
	(void)rig_wait_done(r, 0, to);
	rig_drop(&r->worker[0]);
}

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* Worker 0 reads all, worker 1 opens clients meanwhile. */
static void
read_all(struct rig *r, unsigned total)
{
	static double took[1000000];
	struct buf after = { 0 };
	double start = now_s();
	double cpu = proc_cpu_s(r->pid);
	unsigned opens = 0;
	unsigned bytes = 0;
	bool more = true;

	CHAN_SEND(r->worker[0].chan, RETAIN_GET, retain_get, .req = 1, .max_bytes = 65536, .filter = SLICE_LIT("#"));
	while (more) {
		double t = now_s();
		struct rig_msg *m;
		char id[32];

		snprintf(id, sizeof id, "during%u", opens);
		(void)rig_open(r, 1, OPEN_CLEAN, id, NULL, NULL);
		if (opens < sizeof took / sizeof took[0])
			took[opens++] = now_s() - t;
		while ((m = rig_peek(&r->worker[0], IPC_RETAIN_ROWS)) != NULL) {
			struct ipc_retain_rows p;

			if (ipc_take_retain_rows(m->payload, &p) != 0)
				abort();
			bytes += (unsigned)p.rows.len;
			more = p.more;
			if (more)
				CHAN_SEND(r->worker[0].chan, RETAIN_GET, retain_get, .req = 1, .max_bytes = 65536,
				    .filter = SLICE_LIT("#"), .after = p.next);
			list_del(&m->link);
			mem_free(m);
		}
	}
	buf_fini(&after);
	qsort(took, opens, sizeof took[0], compare);
	printf("read # of %u: %.2f s, CPU %.2f s, %u bytes; %u OPENs meanwhile: p50 %.0f us, p99 %.0f us, max %.0f us\n", total,
	    now_s() - start, proc_cpu_s(r->pid) - cpu, bytes, opens, took[opens / 2] * 1e6, took[opens * 99 / 100] * 1e6,
	    took[opens - 1] * 1e6);
}

static void
open_many(struct rig *r, unsigned count)
{
	int64_t pss = proc_kb("smaps_rollup", "Pss", r->pid);
	double cpu = proc_cpu_s(r->pid);
	double start = now_s();
	unsigned got = 0;

	for (unsigned i = 0; i < count; i++) {
		char id[32];

		snprintf(id, sizeof id, "client-id-of-20-%05u", i);
		CHAN_SEND(r->worker[0].chan, OPEN, open, .req = i, .flags = OPEN_CLEAN | OPEN_AUTH | OPEN_HAS_USER,
		    .client_id = slice_str(id), .user = SLICE_LIT("fleet"), .password = SLICE_LIT(GENERATED));
	}
	while (got < count) {
		struct rig_msg *m = rig_wait(&r->worker[0], IPC_OPENED);
		struct ipc_opened p;

		if (ipc_take_opened(m->payload, &p) != 0 || p.code != 0)
			abort();
		mem_free(m);
		got++;
	}
	printf("%u logins with a machine password: %.3f s, CPU %.2f s, %.1f us each; %lld bytes an id\n", count,
	    now_s() - start, proc_cpu_s(r->pid) - cpu, (proc_cpu_s(r->pid) - cpu) * 1e6 / count,
	    (long long)(proc_kb("smaps_rollup", "Pss", r->pid) - pss) * 1024 / count);
}

static void
durable(struct rig *r, unsigned count)
{
	uint64_t seq = 0;
	double start = now_s();
	double cpu = proc_cpu_s(r->pid);
	int64_t pss;
	unsigned rows = 0;
	struct rig_msg *m;

	for (unsigned i = 0; i < count; i++) {
		char id[32], filter[64];

		snprintf(id, sizeof id, "durable-of-20-%06u", i);
		CHAN_SEND(r->worker[0].chan, OPEN, open, .req = i, .client_id = slice_str(id));
		CHAN_SEND(r->worker[0].chan, SESSION_PUT, session_put, .seq = ++seq, .client_id = slice_str(id));
		for (unsigned k = 0; k < 2; k++) {
			snprintf(filter, sizeof filter, "site/%u/device/%u/+", k, i);
			CHAN_SEND(r->worker[0].chan, SUB_PUT, sub_put, .seq = ++seq, .client_id = slice_str(id), .qos = 1,
			    .filter = slice_str(filter));
		}
		if (i % 1024 == 1023) {
			(void)rig_wait_done(r, 0, seq);
			rig_drop(&r->worker[0]);
		}
	}
	(void)rig_wait_done(r, 0, seq);
	printf("%u durable sessions with 2 subscriptions: %.2f s, CPU %.2f s\n", count, now_s() - start,
	    proc_cpu_s(r->pid) - cpu);
	rig_kill(r);
	start = now_s();
	rig_start(r, settings);
	rig_deadline(r, 600);
	rig_wait_ready(r);
	printf("ready again after %.2f s, CPU %.2f s\n", now_s() - start, proc_cpu_s(r->pid));
	pss = proc_kb("smaps_rollup", "Pss", r->pid);
	start = now_s();
	cpu = proc_cpu_s(r->pid);
	for (unsigned i = 0; i < 2; i++)
		rig_worker(r, i, 0, true);
	for (unsigned i = 0; i < 2; i++)
		mem_free(rig_wait(&r->worker[i], IPC_LOADED));
	while ((m = rig_peek(&r->worker[0], IPC_SESSION_ROW)) != NULL) {
		list_del(&m->link);
		mem_free(m);
		rows++;
	}
	printf("%u of them loaded by their worker: %.2f s, CPU %.2f s, %lld KiB\n", rows, now_s() - start,
	    proc_cpu_s(r->pid) - cpu, (long long)(proc_kb("smaps_rollup", "Pss", r->pid) - pss));
}

int
main(int argc, char **argv)
{
	unsigned messages = argc > 1 ? (unsigned)atoi(argv[1]) : 1000000;
	unsigned opens = argc > 2 ? (unsigned)atoi(argv[2]) : 20000;
	unsigned sessions = argc > 3 ? (unsigned)atoi(argv[3]) : 100000;
	int64_t pss;
	double start;
	double cpu;
	struct rig r;

	setvbuf(stdout, NULL, _IOLBF, 0);
	rig_init(&r, 2);
	rig_start(&r, NULL);
	rig_wait_ready(&r);
	printf("idle, with default settings: %lld KiB\n", (long long)proc_kb("smaps_rollup", "Pss", r.pid));
	(void)rig_stop(&r);
	rig_start(&r, settings);
	rig_deadline(&r, 600);
	rig_wait_ready(&r);
	for (unsigned i = 0; i < 2; i++)
		rig_worker(&r, i, 0, true);
	for (unsigned i = 0; i < 2; i++)
		mem_free(rig_wait(&r.worker[i], IPC_LOADED));
	(void)rig_admin(&r, ADMIN_account_set, NULL, "fleet", GENERATED, "generated", NULL);
	open_many(&r, opens);
	load_retained(&r, 0, messages / 10);
	pss = proc_kb("smaps_rollup", "Pss", r.pid);
	start = now_s();
	cpu = proc_cpu_s(r.pid);
	load_retained(&r, messages / 10, messages);
	printf("%u retained of 64 bytes: %.2f s, CPU %.2f s; %lld bytes each\n", messages, now_s() - start, proc_cpu_s(r.pid) - cpu,
	    (long long)(proc_kb("smaps_rollup", "Pss", r.pid) - pss) * 1024 / (messages - messages / 10));
	read_all(&r, messages);
	start = now_s();
	rig_kill(&r);
	rig_start(&r, settings);
	rig_deadline(&r, 600);
	rig_wait_ready(&r);
	printf("recovery after kill -9: %.2f s\n", now_s() - start);
	for (unsigned i = 0; i < 2; i++)
		rig_worker(&r, i, 0, true);
	for (unsigned i = 0; i < 2; i++)
		mem_free(rig_wait(&r.worker[i], IPC_LOADED));
	durable(&r, sessions);
	rig_fini(&r);
	return 0;
}
