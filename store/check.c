/* SPDX-License-Identifier: Apache-2.0
 *
 * One table after the other, with a cursor that lives for a slice. What a record of one table says of another is looked up
 * when the cursor is closed: with two lockers in one thread Berkeley DB could not see that they wait for each other.
 *
 * The tables change meanwhile. So what looks wrong is looked at again: it is bad if it is still there, and still wrong.
 * Counts are compared only if nothing was written while they were counted. */
#include "store/check.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/mem.h"
#include "store/check_refs.h"
#include "store/save.h"
#include "store/scan.h"
#include "store/store.h"

#define SHOWN_MAX   100u                /* bad records that are named */
#define KEY_SHOWN   200u
#define PROGRESS_NS (500 * NS_PER_MS)
#define STRAYS_MAX  100000u             /* queues without a session that are looked at again */

/* After the tables: what each message is said to wait for; then, if need be, the sessions once more. */
enum phase { PHASE_TABLES, PHASE_REFS, PHASE_SESSIONS, PHASE_OVER };

struct checking {
	struct work_job job;
	struct store *store;
	uint64_t id;
	enum phase phase;
	enum table table;
	struct buf at;                  /* where the next slice starts */
	struct buf doubts;              /* keys to look at again, with their lengths */
	struct buf qids;                /* of sessions, as numbers of this machine; sorted when all are there */
	struct buf strays;              /* queues of no session, the same */
	uint64_t qid;                   /* the last one that was looked up */
	struct check_refs refs;
	uint64_t records[TABLE_COUNT], bad[TABLE_COUNT];
	uint64_t shown, all_bad, all;
	uint64_t skipped;               /* counts that could not be compared */
	uint64_t writes;                /* done when the table was begun */
	struct files_job progress;
	struct mono told;
};

static struct env *
env_of(const struct checking *c)
{
	return table_env(c->table) == ENV_queue ? c->store->queue : c->store->env;
}

static struct batch *
batch_of(const struct checking *c)
{
	return table_env(c->table) == ENV_queue ? c->store->qbatch : c->store->batch;
}

static void
bad(struct checking *c, struct slice key, const char *why)
{
	struct buf *b, topic;

	c->bad[c->table]++;
	c->all_bad++;
	if (c->shown++ >= SHOWN_MAX)
		return;
	buf_init(&topic);
	if (c->table == TABLE_retained) {
		scan_put_topic(&topic, key);
		key = buf_slice(&topic);
	}
	b = admin_row_begin(c->store, c->id);
	row_put_str(b, "_table", "bad");
	row_put_str(b, "table", table_name(c->table));
	row_put_text(b, "key", slice_of(key.p, key.len < KEY_SHOWN ? key.len : KEY_SHOWN));
	row_put_str(b, "why", why);
	admin_row_end(c->store);
	buf_fini(&topic);
}

/* Keys that are numbers are named by them. */
static void
bad_numbers(struct checking *c, struct slice key, const char *why)
{
	char shown[80];
	int n = snprintf(shown, sizeof shown, "%016llx", (unsigned long long)rec_number_of(key));

	if (key.len == REC_PAIR_BYTES)
		snprintf(shown + n, sizeof shown - (size_t)n, " %llu", (unsigned long long)rec_number_of(slice_of(key.p + 8, 8)));
	bad(c, slice_str(shown), why);
}

/* ---- queues and their sessions ---- */

static int
by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static bool
is_known(const struct checking *c, uint64_t qid)
{
	return buf_len(&c->qids) > 0 &&
	    bsearch(&qid, buf_slice(&c->qids).p, buf_len(&c->qids) / sizeof qid, sizeof qid, by_number) != NULL;
}

static void
sort_qids(struct checking *c)
{
	if (buf_len(&c->qids) > 0)
		qsort(c->qids.base + c->qids.start, buf_len(&c->qids) / sizeof(uint64_t), sizeof(uint64_t), by_number);
}

static void
note_session(struct checking *c, struct slice value)
{
	struct rec_session r;

	if (rec_take_session(value, &r) == 0 && r.qid != 0)
		buf_put(&c->qids, &r.qid, sizeof r.qid);
}

/* Rows of one queue stand together. */
static void
note_queue(struct checking *c, uint64_t qid)
{
	if (qid == c->qid || (qid & 1) != 0)    /* a shared group has it: groups.h looks after those */
		return;
	c->qid = qid;
	if (!is_known(c, qid) && buf_len(&c->strays) < STRAYS_MAX * sizeof qid)
		buf_put(&c->strays, &qid, sizeof qid);
}

/* The session may have come since; or it ended, and its rows are about to go. */
static void
check_strays(struct checking *c)
{
	bool dropping = !list_empty(&c->store->q.drops) || c->store->q.dropping > 0;
	uint64_t qid, first, last;

	c->table = TABLE_items;
	for (size_t i = 0; i < buf_len(&c->strays) / sizeof qid && !dropping; i++) {
		uint8_t key[8];

		memcpy(&qid, buf_slice(&c->strays).p + i * sizeof qid, sizeof qid);
		if (!is_known(c, qid) && queue_range(c->store->queue, qid, &first, &last) == 0 && first <= last)
			bad_numbers(c, rec_number_key(key, qid), "no session has this queue");
	}
}

/* ---- doubts ---- */

static struct slice
id_of_sub(struct slice key)
{
	const uint8_t *end = memchr(key.p, '\0', key.len);

	return slice_of(key.p, end != NULL ? (size_t)(end - key.p) : key.len);
}

/* Of two rows that are written in one transaction, but read in two. */
static bool
is_alone(struct checking *c, struct slice key)
{
	struct env *e = env_of(c);
	uint8_t number[8];
	struct rec_item r;
	struct buf value;
	bool alone = false;

	switch ((unsigned)c->table) {
	case TABLE_subscriptions:
		return !table_has(e, TABLE_sessions, id_of_sub(key));
	case TABLE_bodies:
		return !table_has(e, TABLE_refs, key);
	case TABLE_refs:
		return !table_has(e, TABLE_bodies, key);
	case TABLE_items:
		buf_init(&value);
		if (table_get(e, NULL, TABLE_items, key, &value) == 0 && rec_take_item(buf_slice(&value), &r) == 0)
			alone = r.body != 0 && !table_has(e, TABLE_bodies, rec_number_key(number, r.body));
		buf_fini(&value);
		return alone;
	default:
		return false;
	}
}

static void
check_doubts(struct checking *c)
{
	struct slice left = buf_slice(&c->doubts), key;

	while (slice_take_le32_bytes(&left, &key) == 0) {
		if (!is_alone(c, key) || !table_has(env_of(c), c->table, key) || !is_alone(c, key))
			continue;
		if (c->table == TABLE_subscriptions)
			bad(c, key, "there is no such session");
		else
			bad_numbers(c, key, c->table == TABLE_bodies ? "nobody waits for this message" : "its message is missing");
	}
	buf_clear(&c->doubts);
}

/* ---- records ---- */

/* What it says of others. */
static void
note(struct checking *c, struct slice key, struct slice value)
{
	struct rec_item r;

	switch ((unsigned)c->table) {
	case TABLE_sessions:
		note_session(c, value);
		break;
	case TABLE_items:
		note_queue(c, rec_number_of(key));
		if (rec_take_item(value, &r) == 0 && r.body != 0)
			buf_put_le32_bytes(&c->doubts, key);
		break;
	case TABLE_subscriptions:
	case TABLE_bodies:
	case TABLE_refs:
		buf_put_le32_bytes(&c->doubts, key);
		break;
	default:
		break;
	}
}

static void
look(struct checking *c, struct slice key, struct slice value)
{
	const char *why;
	int rc;

	if (c->phase == PHASE_SESSIONS) {
		note_session(c, value);
		return;
	}
	rc = check_record(c->table, key, value, &why);
	c->records[c->table]++;
	c->all++;
	if (rc == 0)
		note(c, key, value);
	else if (table_env(c->table) == ENV_queue && (key.len == 8 || key.len == REC_PAIR_BYTES))
		bad_numbers(c, key, why != NULL ? why : err_text(rc));
	else
		bad(c, key, why != NULL ? why : err_text(rc));
}

static int
slice_of_table(struct checking *c)
{
	struct cursor *cur;
	int rc = cursor_open(env_of(c), NULL, c->table, &cur);

	if (rc != 0)
		return rc;
	rc = cursor_seek(cur, buf_slice(&c->at));
	for (unsigned n = 0; rc == 0 && n < WORK_SLICE_COUNT; n++) {
		look(c, cursor_key(cur), cursor_value(cur));
		buf_clear(&c->at);
		buf_put_slice(&c->at, cursor_key(cur));
		buf_put_u8(&c->at, 0);
		rc = cursor_next(cur);
	}
	cursor_close(cur);
	check_doubts(c);
	return rc;
}

/* ---- counts ---- */

static bool
counted(const struct checking *c, uint64_t *want)
{
	struct rec_counts n = batch_counts(batch_of(c));

	*want = c->table == TABLE_retained ? n.retained : c->table == TABLE_accounts ? n.accounts : n.rows;
	return c->table == TABLE_retained || c->table == TABLE_accounts || c->table == TABLE_items;
}

static void
check_count(struct checking *c)
{
	uint64_t want;
	char why[100];

	if (!counted(c, &want) || want == c->records[c->table])
		return;
	if (batch_stats(batch_of(c)).writes != c->writes || batch_waiting(batch_of(c)) != 0) {
		c->skipped++;
		return;
	}
	snprintf(why, sizeof why, "%llu are there, counted were %llu", (unsigned long long)c->records[c->table],
	    (unsigned long long)want);
	bad(c, SLICE_LIT("(count)"), why);
}

static void
on_wrong_ref(void *arg, uint64_t number, uint64_t says, uint64_t is)
{
	struct checking *c = arg;
	uint8_t key[8];
	char why[100];

	c->table = TABLE_refs;
	snprintf(why, sizeof why, "says %llu, %llu wait for the message", (unsigned long long)says, (unsigned long long)is);
	bad_numbers(c, rec_number_key(key, number), why);
}

/* ---- the job ---- */

static void
tell(struct checking *c)
{
	struct mono now = clock_mono();

	if (mono_diff(now, c->told) < PROGRESS_NS)
		return;
	c->told = now;
	atomic_store(&c->progress.done, c->all);
	save_put_progress(admin_row_begin(c->store, c->id), &c->progress);
	admin_row_end(c->store);
}

static void
finish(struct checking *c, int rc)
{
	char text[100] = "";

	for (enum table t = 0; t < TABLE_COUNT; t++) {
		struct buf *b = admin_row_begin(c->store, c->id);

		row_put_str(b, "_table", "checked");
		row_put_str(b, "table", table_name(t));
		row_put_number(b, "records", (int64_t)c->records[t]);
		row_put_number(b, "bad", (int64_t)c->bad[t]);
		admin_row_end(c->store);
	}
	if (rc == 0 && c->all_bad > 0) {
		rc = FB_ECORRUPT;
		snprintf(text, sizeof text, "%llu of %llu records are bad", (unsigned long long)c->all_bad,
		    (unsigned long long)c->all);
	}
	c->skipped += c->refs.skipped;
	if (rc == 0 && c->skipped > 0)
		snprintf(text, sizeof text, "%llu counts were not compared, since the tables changed", (unsigned long long)c->skipped);
	admin_done(c->store, c->id, rc, text[0] != '\0' ? text : NULL);
	check_refs_fini(&c->refs);
	buf_fini(&c->at);
	buf_fini(&c->doubts);
	buf_fini(&c->qids);
	buf_fini(&c->strays);
	mem_free(c);
}

static void
begin_table(struct checking *c)
{
	buf_clear(&c->at);
	c->writes = batch_stats(batch_of(c)).writes;
}

/* The table is at its end, or the phase. */
static void
next(struct checking *c)
{
	switch (c->phase) {
	case PHASE_TABLES:
		check_count(c);
		if (c->table == TABLE_sessions)
			sort_qids(c);
		if (++c->table < TABLE_COUNT) {
			begin_table(c);
			break;
		}
		c->phase = PHASE_REFS;
		check_refs_init(&c->refs, c->store, on_wrong_ref, c);
		break;
	case PHASE_REFS:
		c->phase = buf_len(&c->strays) > 0 ? PHASE_SESSIONS : PHASE_OVER;
		c->table = TABLE_sessions;
		buf_clear(&c->at);
		buf_clear(&c->qids);
		break;
	case PHASE_SESSIONS:
		sort_qids(c);
		check_strays(c);
		c->phase = PHASE_OVER;
		break;
	case PHASE_OVER:
		break;
	}
}

static bool
step(struct work_job *j)
{
	struct checking *c = container_of(j, struct checking, job);
	int rc;

	if (chan_full(c->store->sup)) {
		list_put_last(&c->store->parked, &j->link);
		return false;
	}
	rc = c->phase == PHASE_REFS ? check_refs_step(&c->refs) : slice_of_table(c);
	tell(c);
	if (rc == FB_ENOENT) {
		next(c);
		rc = 0;
	}
	if ((rc == 0 || rc == FB_EAGAIN) && c->phase != PHASE_OVER)
		return true;
	finish(c, rc);
	return false;
}

void
check_admin(const struct admin_call *call)
{
	struct store *s = call->store;
	struct checking *c = mem_zalloc(sizeof *c);
	struct rec_counts n = batch_counts(s->batch);

	c->job.step = step;
	c->store = s;
	c->id = call->id;
	c->told = clock_mono();
	begin_table(c);
	atomic_store(&c->progress.total, n.retained + n.accounts + owners_count(&s->owners) + batch_counts(s->qbatch).rows);
	work_put(&s->work, &c->job);
}
