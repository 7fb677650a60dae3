/* SPDX-License-Identifier: Apache-2.0
 *
 * env.h and tables.h over sorted arrays that outlive the environment. A transaction that fails is undone by what it
 * noted. A commit is seen at once, and kept undoable until it is flushed: a crash takes back the newest ones, as many as
 * chance says. That holds for the death of the process alone too: what was committed without a flush is in a buffer of
 * its own memory. What is left then is on the disk for good, since recovery ends with a checkpoint. */
#include <string.h>

#include "common/base/err.h"
#include "common/base/mem.h"
#include "t/sim/sim.h"
#include "t/sim/store_sim.h"

struct row {
	struct slice key, value;        /* one block, at key.p */
};

static struct disk_table {
	struct row *rows;
	size_t count, room;
} disk[TABLE_COUNT];

struct undo {
	struct undo *next;              /* older */
	enum table table;
	bool was;
	struct row old;                 /* key always; value if it was there */
};

struct commit {
	struct list link;
	uint64_t no;
	struct undo *undo;
};

/* What an environment has on its disk but for the rows: outlives struct env. */
static struct journal {
	struct list commits;            /* not flushed, the oldest first */
	uint64_t last;                  /* number of the newest commit */
	uint64_t asked;                 /* the newest one that a flush was asked for */
} journals[ENV_COUNT];

struct env {
	enum env_name name;
	bool dead;
};

struct txn {
	struct env *env;
	struct undo *undo;
};

struct sim_disk_faults sim_disk_faults;
bool sim_disk_lazy;
struct sim_disk_counts sim_disk_counts;

struct cursor {
	enum table table;
	size_t at;
	struct txn *txn;        /* of an edit */
};

static const char *const names[TABLE_COUNT] = {
#define TABLE(name, env, version, key, value, help) [TABLE_##name] = #name,
#include "store/tables.def"
#undef TABLE
};

static const enum env_name envs[TABLE_COUNT] = {
#define TABLE(name, env, version, key, value, help) [TABLE_##name] = ENV_##env,
#include "store/tables.def"
#undef TABLE
};

enum env_name
table_env(enum table t)
{
	return envs[t];
}

enum env_name
env_which(const struct env *e)
{
	return e->name;
}

const char *
table_name(enum table t)
{
	return names[t];
}

static int
compare(struct slice a, struct slice b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	int c = n > 0 ? memcmp(a.p, b.p, n) : 0;

	if (c != 0)
		return c;
	return a.len < b.len ? -1 : a.len > b.len;
}

/* The first row at or behind key; *exact: it is that key's. */
static size_t
lookup(enum table t, struct slice key, bool *exact)
{
	size_t lo = 0;
	size_t hi = disk[t].count;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (compare(disk[t].rows[mid].key, key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	*exact = lo < disk[t].count && compare(disk[t].rows[lo].key, key) == 0;
	return lo;
}

static struct row
row_new(struct slice key, struct slice value)
{
	uint8_t *p = mem_alloc(key.len + value.len + 1);

	if (key.len > 0)
		memcpy(p, key.p, key.len);
	if (value.len > 0)
		memcpy(p + key.len, value.p, value.len);
	return (struct row){ slice_of(p, key.len), slice_of(p + key.len, value.len) };
}

static void
row_free(struct row *r)
{
	mem_free((void *)(uintptr_t)r->key.p);
}

static void
put(enum table t, struct slice key, struct slice value)
{
	struct disk_table *d = &disk[t];
	bool exact;
	size_t at = lookup(t, key, &exact);
	struct row r = row_new(key, value);

	if (exact) {
		row_free(&d->rows[at]);
	} else {
		if (d->count == d->room) {
			d->room = d->room == 0 ? 64 : d->room * 2;
			d->rows = mem_realloc(d->rows, d->room * sizeof *d->rows);
		}
		memmove(d->rows + at + 1, d->rows + at, (d->count - at) * sizeof *d->rows);
		d->count++;
	}
	d->rows[at] = r;
}

static void
del(enum table t, size_t at)
{
	struct disk_table *d = &disk[t];

	row_free(&d->rows[at]);
	d->count--;
	memmove(d->rows + at, d->rows + at + 1, (d->count - at) * sizeof *d->rows);
}

void
sim_disk_clear(void)
{
	memset(&sim_disk_faults, 0, sizeof sim_disk_faults);
	for (unsigned t = 0; t < TABLE_COUNT; t++) {
		while (disk[t].count > 0)
			del((enum table)t, disk[t].count - 1);
		mem_free(disk[t].rows);
		disk[t] = (struct disk_table){ 0 };
	}
}

size_t
sim_disk_count(enum table t)
{
	return disk[t].count;
}

/* ---- what is on the disk for good ---- */

static void
undo_all(struct undo **first, bool undo)
{
	struct undo *u;

	while ((u = *first) != NULL) {
		bool exact;
		size_t at = lookup(u->table, u->old.key, &exact);

		*first = u->next;
		if (undo && u->was)
			put(u->table, u->old.key, u->old.value);
		else if (undo && exact)
			del(u->table, at);
		row_free(&u->old);
		mem_free(u);
	}
}

static void
commit_free(struct commit *c, bool undo)
{
	undo_all(&c->undo, undo);
	list_del(&c->link);
	mem_free(c);
}

void
sim_disk_flushed(struct env *e)
{
	struct journal *j = &journals[e->name];

	LIST_EACH_SAFE(n, tmp, &j->commits) {
		struct commit *c = container_of(n, struct commit, link);

		if (c->no > j->asked)
			break;
		commit_free(c, false);
	}
	sim_disk_counts.flushes++;
}

void
sim_disk_crash(struct env *e, bool power)
{
	struct journal *j = &journals[e->name];
	uint64_t count = 0;
	uint64_t lost;

	e->dead = true;
	LIST_EACH(n, &j->commits)
		count++;
	lost = !power && sim_one_in(2) ? 0 : sim_below(count + 1);
	sim_disk_counts.lost += lost;
	if (lost > 0)
		sim_disk_counts.lossy++;
	while (!list_empty(&j->commits)) {
		struct commit *c = container_of(j->commits.prev, struct commit, link);

		commit_free(c, lost > 0);
		if (lost > 0)
			lost--;
	}
}

bool
sim_disk_get(enum table t, struct slice key, struct slice *value)
{
	bool exact;
	size_t at = lookup(t, key, &exact);

	LIST_EACH(n, &journals[envs[t]].commits)
		for (struct undo *u = container_of(n, struct commit, link)->undo; u != NULL; u = u->next)
			if (u->table == t && slice_eq(u->old.key, key))
				return false;
	if (exact)
		*value = disk[t].rows[at].value;
	return exact;
}

bool
sim_disk_unflushed(const struct env *e)
{
	return !list_empty(&journals[e->name].commits);
}

/* ---- env.h ---- */

int
env_open(const struct env_config *cfg, struct env **out)
{
	struct env *e = mem_zalloc(sizeof *e);
	struct journal *j = &journals[cfg->name];

	e->name = cfg->name;
	if (j->commits.next == NULL)
		list_init(&j->commits);
	FB_ASSERT(list_empty(&j->commits));
	*out = e;
	return 0;
}

void
env_close(struct env *e)
{
	if (!e->dead) {
		journals[e->name].asked = journals[e->name].last;
		sim_disk_flushed(e);
	}
	mem_free(e);
}

void
env_set_min_free(struct env *e, int64_t bytes)
{
}

static void
note(struct txn *x, enum table t, struct slice key)
{
	struct undo *u = mem_zalloc(sizeof *u);
	size_t at = lookup(t, key, &u->was);

	FB_ASSERT(envs[t] == x->env->name);
	u->table = t;
	u->old = row_new(key, u->was ? disk[t].rows[at].value : slice_of(NULL, 0));
	u->next = x->undo;
	x->undo = u;
}

/* The error of a commit that fails, or 0. */
static int
some_error(const struct env *e)
{
	if (e->dead)
		return FB_EIO;
	if (!sim_one_in(sim_disk_faults.fail_one_in))
		return 0;
	sim_disk_counts.errors++;
	return sim_one_in(2) ? FB_EDISK : FB_EIO;
}

int
env_write(struct env *e, int (*fn)(struct txn *x, void *arg), void *arg)
{
	struct journal *j = &journals[e->name];
	struct txn x = { .env = e };
	int rc = fn(&x, arg);
	struct commit *c;

	if (rc == 0)
		rc = some_error(e);
	if (rc != 0) {
		undo_all(&x.undo, true);
		return rc;
	}
	c = mem_zalloc(sizeof *c);
	c->no = ++j->last;
	c->undo = x.undo;
	list_put_last(&j->commits, &c->link);
	sim_disk_counts.commits++;
	return 0;
}

void
env_flush(struct env *e)
{
	journals[e->name].asked = journals[e->name].last;
	if (!sim_disk_lazy)
		sim_disk_flushed(e);
}

struct env *
txn_env(const struct txn *x)
{
	return x->env;
}

bool
env_has_room(struct env *e, enum env_need need)
{
	if (need == ENV_ADMIN || sim_disk_faults.full == 0)
		return true;
	return sim_disk_faults.full == 1 && need == ENV_SHRINKS;
}

void
env_count_updates(struct env *e, uint64_t n)
{
}

uint64_t
env_checkpoints(const struct env *e)
{
	return 0;
}

/* ---- tables.h ---- */

int
table_get(struct env *e, struct txn *x, enum table t, struct slice key, struct buf *out)
{
	bool exact;
	size_t at = lookup(t, key, &exact);

	FB_ASSERT(envs[t] == e->name);
	if (!exact)
		return FB_ENOENT;
	buf_put_slice(out, disk[t].rows[at].value);
	return 0;
}

bool
table_has(struct env *e, enum table t, struct slice key)
{
	bool exact;

	(void)lookup(t, key, &exact);
	return exact;
}

int
table_has_in(struct txn *x, enum table t, struct slice key)
{
	return table_has(x->env, t, key) ? 0 : FB_ENOENT;
}

int
table_put(struct txn *x, enum table t, struct slice key, struct slice value)
{
	note(x, t, key);
	put(t, key, value);
	return 0;
}

int
table_del(struct txn *x, enum table t, struct slice key)
{
	bool exact;
	size_t at = lookup(t, key, &exact);

	if (!exact)
		return FB_ENOENT;
	note(x, t, key);
	del(t, at);
	return 0;
}

int
table_del_prefix(struct txn *x, enum table t, struct slice prefix, uint64_t max, uint64_t *count)
{
	bool exact;
	size_t at = lookup(t, prefix, &exact);

	for (*count = 0; *count < max && at < disk[t].count; (*count)++) {
		struct slice key = disk[t].rows[at].key;

		if (key.len < prefix.len || (prefix.len > 0 && memcmp(key.p, prefix.p, prefix.len) != 0))
			break;
		note(x, t, key);
		del(t, at);
	}
	return 0;
}

int
cursor_open(struct env *e, struct txn *x, enum table t, struct cursor **out)
{
	FB_ASSERT(envs[t] == e->name);
	*out = mem_zalloc(sizeof **out);
	(*out)->table = t;
	return 0;
}

int
cursor_close(struct cursor *c)
{
	mem_free(c);
	return 0;
}

int
cursor_seek(struct cursor *c, struct slice key)
{
	bool exact;

	c->at = lookup(c->table, key, &exact);
	return c->at < disk[c->table].count ? 0 : FB_ENOENT;
}

int
cursor_before(struct cursor *c, struct slice key)
{
	bool exact;

	c->at = key.len > 0 ? lookup(c->table, key, &exact) : disk[c->table].count;
	return c->at-- > 0 ? 0 : FB_ENOENT;
}

int
cursor_next(struct cursor *c)
{
	return ++c->at < disk[c->table].count ? 0 : FB_ENOENT;
}

int
cursor_open_edit(struct txn *x, enum table t, struct cursor **out)
{
	int rc = cursor_open(x->env, x, t, out);

	(*out)->txn = x;
	return rc;
}

int
cursor_peek(struct cursor *c, struct slice key, uint8_t *out, size_t max, size_t *len)
{
	struct slice v;
	bool exact;

	c->at = lookup(c->table, key, &exact);
	if (!exact)
		return FB_ENOENT;
	v = cursor_value(c);
	*len = v.len < max ? v.len : max;
	if (*len > 0)
		memcpy(out, v.p, *len);
	return 0;
}

int
cursor_del(struct cursor *c)
{
	note(c->txn, c->table, cursor_key(c));
	del(c->table, c->at);
	return 0;
}

int
cursor_put(struct cursor *c, struct slice key, struct slice value)
{
	return table_put(c->txn, c->table, key, value);
}

struct slice
cursor_key(const struct cursor *c)
{
	return disk[c->table].rows[c->at].key;
}

struct slice
cursor_value(const struct cursor *c)
{
	return disk[c->table].rows[c->at].value;
}
