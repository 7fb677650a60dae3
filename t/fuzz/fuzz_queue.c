/* SPDX-License-Identifier: Apache-2.0
 * Changes of the queues on disk. The first byte chooses: bytes as they come, which must be refused or applied, or
 * commands of two bytes, which are made into operations, split into transactions, and held against a plain model of
 * what should be there. The tables are those of t/sim. */
#include <stdbool.h>
#include <string.h>

#include "common/base/err.h"
#include "common/ipc/qops.h"
#include "store/qstage.h"
#include "t/fuzz/seeds.h"
#include "t/sim/store_sim.h"

enum { QIDS = 4, PLACES = 16, IDS = 3, COMMANDS_MAX = 400, REFS_MAX = 2 * COMMANDS_MAX };

static struct env *env;
static struct qstage *stage;
static struct rec_counts counts;
static struct buf ops, skipped, unfinished, expected;
static uint32_t item_count;     /* put in this Q_OPS */

/* What should be there. The qids share their upper 48 bits with the ids: a DROP forgets these. */
static struct place { bool there, released; uint8_t mark; } model[QIDS][PLACES];
static bool seen[IDS][QIDS];

static uint64_t
qid_of(unsigned q)
{
	return UINT64_C(0x00ff000000000001) * (q + 1);
}

/* Of a publish of the session q. */
static uint64_t
id_of(unsigned i)
{
	return qos2_id_of(qid_of(i), 9);
}

static int
apply(struct txn *x, void *arg)
{
	int rc;

	(void)arg;
	qstage_begin(stage);
	rc = qstage_apply(stage, x, &counts, buf_slice(&ops), &skipped, &unfinished);
	buf_clear(&unfinished);
	return rc != 0 ? rc : qstage_end(stage, x, &counts);
}

static void
commit(void)
{
	struct qstage_weight w;

	FB_ASSERT(qstage_weigh(buf_slice(&ops), &w) == 0);
	buf_clear(&skipped);
	FB_ASSERT(env_write(env, apply, NULL) == 0);
	FB_ASSERT(slice_eq(buf_slice(&skipped), buf_slice(&expected)));
	buf_clear(&ops);
	buf_clear(&expected);
	item_count = 0;
}

/* ---- commands ---- */

static void
do_put(unsigned q, unsigned n, uint8_t mark)
{
	static const char large[100] = "l";
	bool several = (mark & 16) != 0;
	unsigned id = mark >> 6;        /* 3: none */
	struct qitem items[2];
	uint8_t payload[100];
	uint32_t count = 0;

	for (unsigned k = 0; k < (several ? 2 : 1); k++) {
		unsigned to = (q + k) % QIDS;

		/* A key is put once while it is there. */
		if (model[to][n].there)
			continue;
		items[count++] = (struct qitem){ .qid = qid_of(to), .n = n + 1, .flags = 2 };
	}
	if (count == 0)
		return;
	memcpy(payload, large, sizeof payload);
	payload[1] = mark;
	qop_put_msg(&ops, &(struct qmsg){ .topic = SLICE_LIT("t"), .payload = slice_of(payload, (mark & 8) != 0 ? 100 : 2),
	    .qos2_id = id < IDS ? id_of(id) : 0, .qos = 2 }, count);
	for (uint32_t k = 0; k < count; k++, item_count++) {
		unsigned to = (items[k].qid == qid_of(q) ? q : q + 1) % QIDS;

		qitem_put(&ops, &items[k]);
		if (id < IDS && seen[id][to]) {
			buf_put_le32(&expected, item_count);
			continue;
		}
		if (id < IDS)
			seen[id][to] = true;
		model[to][n] = (struct place){ .there = true, .mark = mark };
	}
}

static void
do_trim(unsigned q, unsigned from, unsigned count)
{
	qop_put_trim(&ops, qid_of(q), from + 1, count);
	for (unsigned n = from; n < PLACES && count > 0; n++) {
		count -= model[q][n].there;
		model[q][n].there = false;
	}
}

static void
do_drop(unsigned q)
{
	qop_put_drop(&ops, qid_of(q));
	memset(model[q], 0, sizeof model[q]);
	if (q < IDS)
		memset(seen[q], 0, sizeof seen[q]);
}

static void
do_command(uint8_t a, uint8_t b)
{
	unsigned q = a >> 4 & 3;
	unsigned n = a & 15;

	switch (b & 7) {
	case 0:
	case 1:
		do_put(q, n, b | (a & 0xc0));
		break;
	case 2:
	case 3:
		qop_put_row(&ops, QOP_DEL, qid_of(q), n + 1);
		model[q][n].there = false;
		break;
	case 4:
		qop_put_row(&ops, QOP_RELEASED, qid_of(q), n + 1);
		model[q][n].there = model[q][n].released = true;
		break;
	case 5:
		if (b >> 3 < 3) {
			qop_put_forget(&ops, id_of(b >> 3));
			memset(seen[b >> 3], 0, sizeof seen[0]);
		} else {
			do_trim(q, n, b >> 3);
		}
		break;
	case 6:
		if (b > 0x80)
			do_drop(q);
		break;
	default:
		if (buf_len(&ops) > 0)
			commit();
	}
}

/* ---- what is there ---- */

static uint64_t
count_of(enum table t)
{
	struct cursor *c;
	uint64_t n = 0;

	FB_ASSERT(cursor_open(env, NULL, t, &c) == 0);
	for (int rc = cursor_seek(c, slice_of(NULL, 0)); rc == 0; rc = cursor_next(c))
		n++;
	cursor_close(c);
	return n;
}

static void
check_message(struct slice msg, uint8_t mark)
{
	struct qmsg m;

	FB_ASSERT(qmsg_take(&msg, &m) == 0 && msg.len == 0);
	FB_ASSERT(m.payload.len == ((mark & 8) != 0 ? 100 : 2) && m.payload.p[1] == mark);
}

/* refs: those of each body are counted. */
static void
check_place(unsigned q, unsigned n, uint64_t refs[])
{
	const struct place *p = &model[q][n];
	uint8_t key[REC_PAIR_BYTES], number[8];
	struct buf b = { 0 }, body = { 0 };
	struct rec_item r;
	struct rec_body rb;
	int rc = table_get(env, NULL, TABLE_items, rec_pair_key(key, qid_of(q), n + 1), &b);

	FB_ASSERT(p->there ? rc == 0 : rc == FB_ENOENT);
	if (rc == 0) {
		FB_ASSERT(rec_take_item(buf_slice(&b), &r) == 0);
		FB_ASSERT(((r.flags & QITEM_RELEASED) != 0) == p->released);
		if (r.body != 0) {
			FB_ASSERT(table_get(env, NULL, TABLE_bodies, rec_number_key(number, r.body), &body) == 0);
			FB_ASSERT(rec_take_body(buf_slice(&body), &rb) == 0 && r.body < REFS_MAX);
			refs[r.body]++;
			r.msg = rb.msg;
		}
		if (!p->released)
			check_message(r.msg, p->mark);
	}
	buf_fini(&b);
	buf_fini(&body);
}

static void
check_refs(const uint64_t refs[])
{
	uint64_t bodies = 0;

	for (uint64_t i = 1; i < REFS_MAX; i++) {
		struct rec_ref r = { 0 };
		struct buf b = { 0 };
		uint8_t key[8];

		if (refs[i] == 0)
			continue;
		bodies++;
		FB_ASSERT(table_get(env, NULL, TABLE_refs, rec_number_key(key, i), &b) == 0);
		FB_ASSERT(rec_take_ref(buf_slice(&b), &r) == 0 && r.count == refs[i]);
		buf_fini(&b);
	}
	FB_ASSERT(count_of(TABLE_bodies) == bodies && count_of(TABLE_refs) == bodies);
}

static void
check(void)
{
	uint64_t refs[REFS_MAX] = { 0 };
	uint64_t rows = 0, ids = 0;

	for (unsigned q = 0; q < QIDS; q++) {
		for (unsigned n = 0; n < PLACES; n++) {
			check_place(q, n, refs);
			rows += model[q][n].there;
		}
		for (unsigned i = 0; i < IDS; i++)
			ids += seen[i][q];
	}
	check_refs(refs);
	FB_ASSERT(count_of(TABLE_items) == rows && counts.rows == rows);
	FB_ASSERT(count_of(TABLE_seen) == ids);
}

/* ---- */

static void
try_bytes(const uint8_t *data, size_t size)
{
	struct qstage_weight w;

	buf_put(&ops, data, size);
	if (qstage_weigh(buf_slice(&ops), &w) == 0)
		FB_ASSERT(env_write(env, apply, NULL) == 0);
	buf_clear(&ops);
	buf_clear(&skipped);
}

static void
try_commands(const uint8_t *data, size_t size)
{
	memset(model, 0, sizeof model);
	memset(seen, 0, sizeof seen);
	for (size_t i = 0; i < COMMANDS_MAX && 2 * i + 1 < size; i++)
		do_command(data[2 * i], data[2 * i + 1]);
	commit();
	check();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	FB_ASSERT(env_open(&(struct env_config){ .name = ENV_queue }, &env) == 0);
	if (stage == NULL)
		stage = qstage_new();
	counts = (struct rec_counts){ 0 };
	if (size > 0 && data[0] % 4 == 0)
		try_bytes(data + 1, size - 1);
	else if (size > 0)
		try_commands(data + 1, size - 1);
	env_close(env);
	sim_disk_clear();
	return 0;
}

size_t
fuzz_seed(size_t i, uint8_t *out, size_t max)
{
	struct buf b = { 0 };
	size_t n;

	if (i >= 40)
		return 0;
	buf_put_u8(&b, i == 0 ? 0 : 1);
	if (i == 0) {
		qop_put_msg(&b, &(struct qmsg){ .topic = SLICE_LIT("t"), .payload = SLICE_LIT("p"), .qos = 2, .qos2_id = 7 }, 1);
		qitem_put(&b, &(struct qitem){ .qid = 5, .n = 1, .flags = 2 });
		qop_put_trim(&b, 5, 1, 3);
		qop_put_drop(&b, 5);
	}
	/* Commands that follow each other without much sense, but often meet. */
	for (uint32_t k = 1, x = (uint32_t)i * 2654435761u; i > 0 && k < 600; k++, x = x * 1664525u + 1013904223u)
		buf_put_u8(&b, (uint8_t)(x >> 24));
	n = buf_len(&b) < max ? buf_len(&b) : max;
	memcpy(out, buf_slice(&b).p, n);
	buf_fini(&b);
	return n;
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	fuzz_write_seeds(*argc, *argv);
	return 0;
}
