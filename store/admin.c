/* SPDX-License-Identifier: Apache-2.0 */
#include "store/admin.h"

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/metrics/page.h"
#include "store/change.h"
#include "store/check.h"
#include "store/export.h"
#include "store/import.h"
#include "store/reset.h"
#include "store/save.h"
#include "store/st_accounts.h"
#include "store/st_acls.h"
#include "store/st_rights.h"
#include "store/st_settings.h"
#include "store/store.h"

void
admin_done(struct store *s, uint64_t id, int code, const char *text)
{
	if (text == NULL)
		text = code != 0 ? err_text(code) : "";
	CHAN_SEND(s->sup, ADMIN_DONE, admin_done, .id = id, .code = (uint16_t)-code, .text = slice_str(text));
}

struct buf *
admin_row_begin(struct store *s, uint64_t id)
{
	struct buf *b = chan_begin(s->sup, IPC_ADMIN_ROW);

	buf_put_le64(b, id);
	return b;
}

void
admin_row_end(struct store *s)
{
	chan_end(s->sup);
}

void
admin_after_change(struct change *c)
{
	admin_done(c->store, c->id, c->op.code, NULL);
}

/* ---- lists ---- */

struct list_job {
	struct work_job job;
	struct store *store;
	uint64_t id;
	enum table table;
	int (*row)(struct buf *b, struct slice key, struct slice value);
	struct buf at, fields;
};

static void
list_free(struct list_job *l)
{
	buf_fini(&l->at);
	buf_fini(&l->fields);
	mem_free(l);
}

static void
list_row(struct list_job *l, struct slice key, struct slice value)
{
	int bad;

	buf_clear(&l->fields);
	bad = l->row(&l->fields, key, value);
	if (bad != 0) {
		rec_bad(l->table, key, bad);
		return;
	}
	buf_put_slice(admin_row_begin(l->store, l->id), buf_slice(&l->fields));
	admin_row_end(l->store);
}

static int
list_slice(struct list_job *l, struct cursor *c)
{
	int rc = cursor_seek(c, buf_slice(&l->at));

	for (unsigned n = 0; rc == 0 && n < WORK_SLICE_COUNT; n++) {
		list_row(l, cursor_key(c), cursor_value(c));
		buf_clear(&l->at);
		buf_put_slice(&l->at, cursor_key(c));
		buf_put_u8(&l->at, 0);
		rc = cursor_next(c);
	}
	return rc;
}

static bool
list_step(struct work_job *j)
{
	struct list_job *l = container_of(j, struct list_job, job);
	struct cursor *c;
	int rc;

	if (chan_full(l->store->sup)) {
		list_put_last(&l->store->parked, &j->link);
		return false;
	}
	rc = cursor_open(l->store->env, NULL, l->table, &c);
	if (rc == 0) {
		rc = list_slice(l, c);
		cursor_close(c);
	}
	if (rc == 0 || rc == FB_EAGAIN)
		return true;
	admin_done(l->store, l->id, rc == FB_ENOENT ? 0 : rc, NULL);
	list_free(l);
	return false;
}

void
admin_list(const struct admin_call *call, enum table t, int (*row)(struct buf *b, struct slice key,
    struct slice value))
{
	struct list_job *l = mem_zalloc(sizeof *l);

	l->job.step = list_step;
	l->store = call->store;
	l->id = call->id;
	l->table = t;
	l->row = row;
	work_put(&call->store->work, &l->job);
}

void
admin_drained(struct store *s)
{
	while (!list_empty(&s->parked)) {
		struct work_job *j = container_of(s->parked.next, struct work_job, link);

		list_del(&j->link);
		work_put(&s->work, j);
	}
}

/* ---- state ---- */

/* Milliseconds; flushing: the one under way. */
static void
put_flushes(struct buf *b, const struct batch_stats *st)
{
	int64_t now = st->flushing_since.ns != 0 ? mono_diff(clock_mono(), st->flushing_since) : 0;

	row_put_number(b, "flushes", (int64_t)st->flushes);
	row_put_number(b, "flush_last_ms", st->last_flush_ns / NS_PER_MS);
	row_put_number(b, "flush_max_ms", st->max_flush_ns / NS_PER_MS);
	row_put_number(b, "flushing_ms", now / NS_PER_MS);
}

static void
state_queue(const struct admin_call *call)
{
	struct store *s = call->store;
	struct batch_stats st = batch_stats(s->qbatch);
	struct buf *b = admin_row_begin(s, call->id);

	row_put_str(b, "_table", "queues");
	row_put_number(b, "messages", (int64_t)batch_counts(s->qbatch).rows);
	row_put_number(b, "writes", (int64_t)st.writes);
	row_put_number(b, "writes_failed", (int64_t)st.failed);
	row_put_number(b, "writes_refused", (int64_t)st.refused);
	row_put_number(b, "writes_waiting", (int64_t)batch_waiting(s->qbatch));
	row_put_number(b, "batches", (int64_t)st.batches);
	row_put_number(b, "checkpoints", (int64_t)env_checkpoints(s->queue));
	row_put_number(b, "sessions_dropping", (int64_t)queue_dropping(s));
	put_flushes(b, &st);
	admin_row_end(s);
}

static void
state_admin(const struct admin_call *call)
{
	struct store *s = call->store;
	struct batch_stats st = batch_stats(s->batch);
	struct rec_counts n = batch_counts(s->batch);
	struct buf *b = admin_row_begin(s, call->id);

	row_put_str(b, "_table", "store");
	row_put_number(b, "accounts", (int64_t)n.accounts);
	row_put_number(b, "retained", (int64_t)n.retained);
	row_put_number(b, "session_ids", (int64_t)owners_count(&s->owners));
	row_put_number(b, "writes", (int64_t)st.writes);
	row_put_number(b, "writes_failed", (int64_t)st.failed);
	row_put_number(b, "writes_waiting", (int64_t)batch_waiting(s->batch));
	row_put_number(b, "batches", (int64_t)st.batches);
	row_put_number(b, "checkpoints", (int64_t)env_checkpoints(s->env));
	row_put_number(b, "records_skipped", (int64_t)rec_bad_count());
	row_put_bool(b, "disk_full", !env_has_room(s->env, ENV_GROWS));
	put_flushes(b, &st);
	admin_row_end(s);
	state_queue(call);
	admin_done(s, call->id, 0, NULL);
}

/* The supervisor reads the counters' page itself. */
static void
stats_admin(const struct admin_call *call)
{
	admin_done(call->store, call->id, 0, NULL);
}

/* ---- dispatch ---- */

static admin_fn *const handlers[ADMIN_COMMAND_COUNT] = {
	[ADMIN_state] = state_admin,
	[ADMIN_stats] = stats_admin,
	[ADMIN_reset] = reset_admin,
	[ADMIN_backup] = save_admin,
	[ADMIN_store_check] = check_admin,
	[ADMIN_store_export] = export_admin,
	[ADMIN_store_import] = import_admin,
	[ADMIN_account_set] = accounts_admin_set,
	[ADMIN_account_get] = accounts_admin_get,
	[ADMIN_account_del] = accounts_admin_del,
	[ADMIN_account_all] = accounts_admin_all,
	[ADMIN_acl_set] = acls_admin_set,
	[ADMIN_acl_get] = acls_admin_get,
	[ADMIN_acl_del] = acls_admin_del,
	[ADMIN_acl_all] = acls_admin_all,
	[ADMIN_right_set] = rights_admin_set,
	[ADMIN_right_del] = rights_admin_del,
	[ADMIN_right_all] = rights_admin_all,
	[ADMIN_right_check] = rights_admin_check,
	[ADMIN_group_add] = groups_admin_add,
	[ADMIN_group_del] = groups_admin_del,
	[ADMIN_group_all] = groups_admin_all,
	[ADMIN_settings_set] = settings_admin_set,
	[ADMIN_settings_unset] = settings_admin_unset,
};

static int
take_args(struct slice words, struct admin_call *call)
{
	while (words.len > 0) {
		if (call->argc == ADMIN_ARGS_MAX || slice_take_le32_bytes(&words, &call->argv[call->argc]) != 0)
			return FB_EPROTO;
		call->argc++;
	}
	return 0;
}

void
admin_do(struct store *s, struct slice payload)
{
	struct admin_call call = { .store = s };
	struct ipc_admin p;

	if (ipc_take_admin(payload, &p) != 0 || p.command >= ADMIN_COMMAND_COUNT)
		store_bad_message(IPC_ADMIN);
	call.id = p.id;
	if (handlers[p.command] == NULL)
		admin_done(s, p.id, FB_EUNSUP, "not a command of the store");
	else if ((p.rights & admin_info((enum admin_command)p.command)->right) == 0)
		admin_done(s, p.id, FB_EPERM, NULL);
	else if (s->batch == NULL)
		admin_done(s, p.id, FB_EAGAIN, "the store is still starting");
	else if (take_args(p.words, &call) != 0)
		store_bad_message(IPC_ADMIN);
	else
		handlers[p.command](&call);
}
