/* SPDX-License-Identifier: Apache-2.0
 *
 * One table after the other, with a cursor that lives for a slice. What a record of one table says of another is looked up
 * when the cursor is closed: with two lockers in one thread Berkeley DB could not see that they wait for each other.
 *
 * The tables change meanwhile. So what looks wrong is looked at again: it is bad if it is still there, and still wrong.
 * Counts are compared only if nothing was written while they were counted. */
#include "store/check.h"

#include <stdio.h>

#include "common/base/mem.h"
#include "store/save.h"
#include "store/scan.h"
#include "store/store.h"

#define SHOWN_MAX   100u                /* bad records that are named */
#define KEY_SHOWN   200u
#define PROGRESS_NS (500 * NS_PER_MS)

struct checking {
	struct work_job job;
	struct store *store;
	uint64_t id;
	enum table table;
	struct buf at;                  /* where the next slice starts */
	struct buf doubts;              /* keys to look at again, with their lengths */
	uint64_t records[TABLE_COUNT], bad[TABLE_COUNT];
	uint64_t shown, all_bad, all;
	uint64_t writes;                /* done when the table was begun */
	struct files_job progress;
	struct mono told;
};

static struct env *
env_of(const struct checking *c)
{
	return table_env(c->table) == ENV_queue ? c->store->queue : c->store->env;
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

/* ---- doubts ---- */

static struct slice
id_of_sub(struct slice key)
{
	const uint8_t *end = memchr(key.p, '\0', key.len);

	return slice_of(key.p, end != NULL ? (size_t)(end - key.p) : key.len);
}

/* Of two rows that are written in one transaction, but read in two. */
static void
check_doubt(struct checking *c, struct slice key)
{
	struct env *e = env_of(c);

	if (c->table != TABLE_subscriptions || table_has(e, TABLE_sessions, id_of_sub(key)))
		return;
	if (table_has(e, TABLE_subscriptions, key) && !table_has(e, TABLE_sessions, id_of_sub(key)))
		bad(c, key, "there is no such session");
}

static void
check_doubts(struct checking *c)
{
	struct slice left = buf_slice(&c->doubts), key;

	while (slice_take_le32_bytes(&left, &key) == 0)
		check_doubt(c, key);
	buf_clear(&c->doubts);
}

/* ---- records ---- */

static void
look(struct checking *c, struct slice key, struct slice value)
{
	const char *why;
	int rc = check_record(c->table, key, value, &why);

	c->records[c->table]++;
	c->all++;
	if (rc != 0)
		bad(c, key, why != NULL ? why : err_text(rc));
	else if (c->table == TABLE_subscriptions)
		buf_put_le32_bytes(&c->doubts, key);
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

static void
check_count(struct checking *c)
{
	struct rec_counts n = batch_counts(c->store->batch);
	uint64_t want = c->table == TABLE_retained ? n.retained : n.accounts;
	char why[100];

	if (c->table != TABLE_retained && c->table != TABLE_accounts)
		return;
	if (batch_stats(c->store->batch).writes != c->writes || batch_waiting(c->store->batch) != 0 ||
	    want == c->records[c->table])
		return;
	snprintf(why, sizeof why, "%llu are there, counted were %llu", (unsigned long long)c->records[c->table],
	    (unsigned long long)want);
	bad(c, SLICE_LIT("(count)"), why);
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
	admin_done(c->store, c->id, rc, text[0] != '\0' ? text : NULL);
	buf_fini(&c->at);
	buf_fini(&c->doubts);
	mem_free(c);
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
	rc = slice_of_table(c);
	tell(c);
	if (rc == 0 || rc == FB_EAGAIN)
		return true;
	if (rc == FB_ENOENT) {
		check_count(c);
		buf_clear(&c->at);
		c->table++;
		c->writes = batch_stats(c->store->batch).writes;
		if (c->table < TABLE_COUNT)
			return true;
		rc = 0;
	}
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
	c->writes = batch_stats(s->batch).writes;
	atomic_store(&c->progress.total, n.retained + n.accounts + owners_count(&s->owners));
	work_put(&s->work, &c->job);
}
