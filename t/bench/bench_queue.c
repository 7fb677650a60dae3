/* SPDX-License-Identifier: Apache-2.0
 *
 * What the queues on disk cost: bench_queue [MESSAGES [SESSIONS [BYTES [DIR]]]]. Messages for offline sessions are put through the real
 * fubar-store (its worker is this program), then deleted, against a bare Berkeley DB loop with the same records, keys, and sizes of
 * transactions and flushes, in the same directory and run. Then the messages are put again, the store is killed, and
 * started with them. Prints one line a figure. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/admin/words.h"
#include "common/base/mem.h"
#include "common/ipc/qops.h"
#include "store/env_db.h"
#include "store/rec.h"
#include "t/bench/proc.h"
#include "t/support/store_rig.h"

#define OPS_MESSAGES 100u       /* of one Q_OPS */
#define WINDOW       64u        /* Q_OPS without an answer */
#define TXN_ROWS     400u       /* the bare loop's */
#define FLUSH_ROWS   3200u

static const char *const settings[] = { "store.queue_cache", "1GiB", NULL };
static struct rig r;
static uint64_t seq, done, wseq;
static unsigned sessions, bytes;

/* Of session i: spread over all keys, as random ones are. */
static uint64_t
qid_of(uint64_t i)
{
	return (i % sessions + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

static void
take_done(void)
{
	struct rig_msg *m = rig_wait(&r.worker[0], IPC_Q_DONE);
	struct ipc_q_done p;

	if (ipc_take_q_done(m->payload, &p) != 0 || p.code != 0)
		abort();
	done = p.seq;
	mem_free(m);
}

static void
send_ops(struct buf *b)
{
	CHAN_SEND(r.worker[0].chan, Q_OPS, q_ops, .seq = ++seq, .ops = buf_slice(b));
	buf_clear(b);
	while (seq - done >= WINDOW)
		take_done();
}

static void
put_op(struct buf *b, const struct qmsg *m, uint64_t i, uint64_t first)
{
	qop_put_msg(b, m, 1);
	qitem_put(b, &(struct qitem){ .qid = qid_of(i), .n = first + i / sessions, .flags = 1 });
}

static void
del_op(struct buf *b, const struct qmsg *m, uint64_t i, uint64_t first)
{
	(void)m;
	qop_put_row(b, QOP_DEL, qid_of(i), first + i / sessions);
}

static double
through_store(const char *what, void (*op)(struct buf *b, const struct qmsg *m, uint64_t i, uint64_t first), uint64_t count,
    uint64_t first)
{
	char *payload = mem_zalloc(bytes);
	const struct qmsg m = { .topic = SLICE_LIT("site/7/device/11"), .payload = slice_of((uint8_t *)payload, bytes), .qos = 1 };
	double start = now_s();
	double cpu = proc_cpu_s(r.pid);
	struct buf b = { 0 };
	double took;

	rig_deadline(&r, 3600);
	for (uint64_t i = 0; i < count; i++) {
		op(&b, &m, i, first);
		if ((i + 1) % OPS_MESSAGES == 0)
			send_ops(&b);
	}
	if (buf_len(&b) > 0)
		send_ops(&b);
	while (done < seq)
		take_done();
	took = now_s() - start;
	printf("%s, store: %.0f /s, %.2f us of CPU each\n", what, (double)count / took,
	    (proc_cpu_s(r.pid) - cpu) * 1e6 / (double)count);
	buf_fini(&b);
	mem_free(payload);
	return (double)count / took;
}

static int
bare_put(DB *db, DB_TXN *x, struct slice key, struct slice record)
{
	DBT k, v;

	memset(&k, 0, sizeof k);
	memset(&v, 0, sizeof v);
	k.data = (void *)(uintptr_t)key.p;
	k.size = (u_int32_t)key.len;
	v.data = (void *)(uintptr_t)record.p;
	v.size = (u_int32_t)record.len;
	return record.p != NULL ? db->put(db, x, &k, &v, 0) : db->del(db, x, &k, 0);
}

/* record: empty: deletes. */
static double
bare(struct env *e, const char *what, uint64_t count, struct slice record)
{
	DB *db = e->db[TABLE_items];
	double start = now_s();
	DB_TXN *x = NULL;
	double took;

	for (uint64_t i = 0; i < count; i++) {
		uint8_t key[REC_PAIR_BYTES];

		if (i % TXN_ROWS == 0 && e->dbenv->txn_begin(e->dbenv, NULL, &x, DB_TXN_NOSYNC) != 0)
			abort();
		if (bare_put(db, x, rec_pair_key(key, qid_of(i), 1 + i / sessions), record) != 0)
			abort();
		if (((i + 1) % TXN_ROWS == 0 || i + 1 == count) && x->commit(x, DB_TXN_NOSYNC) != 0)
			abort();
		if ((i + 1) % FLUSH_ROWS == 0 || i + 1 == count)
			e->dbenv->log_flush(e->dbenv, NULL);
	}
	took = now_s() - start;
	printf("%s, bare Berkeley DB: %.0f /s, %.2f us each\n", what, (double)count / took, took * 1e6 / (double)count);
	return (double)count / took;
}

static void
bare_both(uint64_t count, double put, double del)
{
	struct env_config cfg = { .name = ENV_queue, .cache_bytes = 1 << 30, .min_free_bytes = 1 };
	struct rec_item item = { .flags = 1 };
	struct buf msg = { 0 }, record = { 0 };
	char *payload = mem_zalloc(bytes);
	struct env *e;
	char path[128];

	qmsg_put(&msg, &(struct qmsg){ .topic = SLICE_LIT("site/7/device/11"), .payload = slice_of((uint8_t *)payload, bytes), .qos = 1 });
	item.msg = buf_slice(&msg);
	rec_put_item(&record, &item);
	snprintf(path, sizeof path, "%s/bare", r.dir);
	cfg.dir = path;
	if (env_open(&cfg, &e) != 0)
		abort();
	printf("of bare: PUT %.0f %%\n", 100 * put / bare(e, "PUT", count, buf_slice(&record)));
	printf("of bare: DEL %.0f %%\n", 100 * del / bare(e, "DEL", count, slice_of(NULL, 0)));
	env_close(e);
	buf_fini(&msg);
	buf_fini(&record);
	mem_free(payload);
}

static void
make_sessions(void)
{
	for (unsigned i = 0; i < sessions; i++) {
		char id[32];

		snprintf(id, sizeof id, "offline-%u", i);
		CHAN_SEND(r.worker[0].chan, OPEN, open, .req = i, .client_id = slice_str(id));
		CHAN_SEND(r.worker[0].chan, SESSION_PUT, session_put, .seq = ++wseq, .client_id = slice_str(id), .qid = qid_of(i));
	}
	(void)rig_wait_done(&r, 0, wseq);
	rig_drop(&r.worker[0]);
}

static void
start(void)
{
	rig_start(&r, settings);
	rig_deadline(&r, 3600);
	rig_wait_ready(&r);
	for (unsigned i = 0; i < 2; i++)
		rig_worker(&r, i, 0, true);
	for (unsigned i = 0; i < 2; i++)
		mem_free(rig_wait(&r.worker[i], IPC_LOADED));
	seq = done = wseq = 0;
}

static void
start_again(const char *after)
{
	double at = now_s();

	rig_start(&r, settings);
	rig_deadline(&r, 3600);
	rig_wait_ready(&r);
	printf("ready %.2f s after %s, CPU %.2f s, %ld MiB\n", now_s() - at, after, proc_cpu_s(r.pid),
	    (long)proc_kb("status", "VmRSS", r.pid) / 1024);
	for (unsigned i = 0; i < 2; i++)
		rig_worker(&r, i, 0, true);
	for (unsigned i = 0; i < 2; i++)
		mem_free(rig_wait(&r.worker[i], IPC_LOADED));
	printf("workers loaded %.2f s after the start\n", now_s() - at);
	seq = done = wseq = 0;
}

int
main(int argc, char **argv)
{
	uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : 200000;
	bool compare = argc <= 4;
	double put, del;

	sessions = argc > 2 ? (unsigned)atoi(argv[2]) : 1000;
	bytes = argc > 3 ? (unsigned)atoi(argv[3]) : 256;
	setvbuf(stdout, NULL, _IOLBF, 0);
	rig_init(&r, 2);
	start();
	make_sessions();
	printf("%llu messages of %u bytes, %u sessions\n", (unsigned long long)count, bytes, sessions);
	put = through_store("PUT", put_op, count, 1);
	if (compare) {
		del = through_store("DEL", del_op, count, 1);
		bare_both(count, put, del);
		(void)through_store("PUT again", put_op, count, 1 + count);
	}
	rig_kill(&r);
	start_again("kill -9");
	(void)rig_stop(&r);
	start_again("a stop");
	rig_fini(&r);
	return 0;
}
