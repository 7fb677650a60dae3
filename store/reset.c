/* SPDX-License-Identifier: Apache-2.0
 *
 * A million records do not fit one transaction. So the first one writes a mark, others delete a few thousand records
 * each, the last one takes the mark away; a start that finds the mark goes on deleting before anything is read. They
 * run inside one operation of the batch, so that no other write falls between; the operation's own transaction holds
 * no lock meanwhile.
 *
 * The workers are told, and the owner table is cleared, when the operation is queued: later writes for sessions from
 * before are refused for lack of an owner, sessions opened from then on are written behind it. The batch of the queues is
 * held meanwhile: what came before is cleared, what comes is written after it. */
#include "store/reset.h"

#include <unistd.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "store/change.h"
#include "store/st_settings.h"
#include "store/store.h"

#define CHUNK 2000

static const struct slice mark_key = { (const uint8_t *)"reset", sizeof "reset" };

static bool
is_cleared(const struct env *e, enum table t)
{
	return table_env(t) == env_which(e) && t != TABLE_meta && t != TABLE_qmeta;
}

static int
write_mark(struct txn *x, void *arg)
{
	return table_put(x, TABLE_meta, mark_key, SLICE_LIT("1"));
}

static int
take_mark_away(struct txn *x, void *arg)
{
	int rc = table_del(x, TABLE_meta, mark_key);

	return rc == FB_ENOENT ? 0 : rc;
}

/* And marks of sessions that are being dropped. */
static int
forget_counts(struct txn *x, void *arg)
{
	uint64_t count;
	int rc = table_del_prefix(x, TABLE_qmeta, slice_str("counts"), UINT64_MAX, &count);

	return rc != 0 ? rc : table_del_prefix(x, TABLE_qmeta, slice_str("drop"), UINT64_MAX, &count);
}

struct chunk {
	enum table table;
	uint64_t deleted;
};

static int
del_chunk(struct txn *x, void *arg)
{
	struct chunk *c = arg;

	return table_del_prefix(x, c->table, slice_of(NULL, 0), CHUNK, &c->deleted);
}

static int
clear_tables(struct env *e)
{
	int rc = 0;

	for (struct chunk c = { 0 }; c.table < TABLE_COUNT && rc == 0; c.table++) {
		if (!is_cleared(e, c.table))
			continue;
		do {
			rc = env_write(e, del_chunk, &c);
			env_count_updates(e, c.deleted);
		} while (rc == 0 && c.deleted == CHUNK);
	}
	return rc;
}

/* The queues are cleared first and flushed: their log is another one than that of the mark. */
static int
clear_all(struct env *e, struct env *queue)
{
	int rc = env_write(e, write_mark, NULL);

	if (rc == 0) {
		env_flush(e);
		rc = clear_tables(queue);
	}
	if (rc == 0)
		rc = env_write(queue, forget_counts, NULL);
	if (rc != 0)
		return rc;
	env_flush(queue);
	return clear_tables(e);
}

int
reset_finish(struct env *e, struct env *queue)
{
	int rc;

	if (!table_has(e, TABLE_meta, mark_key))
		return 0;
	log_notice("store", "finishing a reset that was cut short", " ");
	rc = clear_all(e, queue);
	if (rc == 0)
		rc = env_write(e, take_mark_away, NULL);
	env_flush(e);
	return rc;
}

struct reset {
	struct batch_op op;
	struct store *store;
	uint64_t id;
	struct settings_clear *settings;
};

static int
run_reset(struct batch_op *op, struct txn *x, struct rec_counts *counts)
{
	int rc = clear_all(txn_env(x), container_of(op, struct reset, op)->store->queue);

	if (rc != 0)
		return rc;
	*counts = (struct rec_counts){ 0 };
	return take_mark_away(x, NULL);
}

static void
done_reset(struct batch_op *op)
{
	struct reset *r = container_of(op, struct reset, op);
	struct store *s = r->store;

	if (op->code != 0) {
		/* Half is gone, and the owner table does not know the other half. A new start finishes it. */
		log_error("store", "reset failed, starting again", "why=%s", err_text(op->code));
		_exit(ENV_BROKEN_EXIT);
	}
	batch_resume(s->qbatch);
	settings_clear_end(s, r->settings, true);
	auth_forget(s->auth);
	for (struct slot *t = slots_next(s, NULL); t != NULL; t = slots_next(s, t)) {
		chan_send(t->chan, IPC_ACL_CLEAR);
		chan_send(t->chan, IPC_RIGHTS_BEGIN);
		chan_send(t->chan, IPC_RIGHTS_END);
	}
	log_notice("store", "all data cleared", " ");
	admin_done(s, r->id, 0, NULL);
	mem_free(r);
}

void
reset_admin(const struct admin_call *call)
{
	struct store *s = call->store;
	struct reset *r = mem_zalloc(sizeof *r);

	r->store = s;
	r->id = call->id;
	r->settings = settings_clear_begin(s);
	r->op.run = run_reset;
	r->op.done = done_reset;
	r->op.bytes = SIZE_MAX;         /* a transaction of its own */
	r->op.need = ENV_ADMIN;
	for (struct slot *t = slots_next(s, NULL); t != NULL; t = slots_next(s, t))
		chan_send(t->chan, IPC_RESET);
	owners_clear(&s->owners);
	batch_hold(s->qbatch);
	will_rows_clear(s);
	batch_put(s->batch, &r->op);
}
