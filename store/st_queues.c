/* SPDX-License-Identifier: Apache-2.0 */
#include "store/st_queues.h"

#include "common/base/buf.h"
#include "store/change.h"
#include "store/store.h"

/* client id, 0, part: no id holds a 0, so that the parts of one are contiguous and in order. */
static void
put_prefix(struct buf *b, struct slice id)
{
	buf_put_slice(b, id);
	buf_put_u8(b, 0);
}

static bool
owned(struct slot *t, struct slice id)
{
	const struct owner *w = owners_find(&t->store->owners, id);

	return w != NULL && w->slot == t->number && (w->flags & OWNER_DURABLE) != 0;
}

static void
refuse(struct slot *t, uint64_t seq)
{
	struct slice none = { 0 };
	struct change *c = change_new(t->store, TABLE_meta, none, none, change_run_refuse);

	c->refusal = FB_EOWNER;
	change_put_numbered(c, t, seq);
}

void
queues_do_put(struct slot *t, struct slice payload)
{
	struct ipc_queue_put p;
	struct buf key;
	struct buf value;

	if (ipc_take_queue_put(payload, &p) != 0)
		store_bad_message(IPC_QUEUE_PUT);
	if (!slot_accept(t, p.seq))
		return;
	if (!owned(t, p.client_id)) {
		refuse(t, p.seq);
		return;
	}
	buf_init(&key);
	buf_init(&value);
	put_prefix(&key, p.client_id);
	buf_put_be32(&key, p.part);
	rec_put_queue(&value, &(struct rec_queue){ .items = p.items });
	change_put_numbered(change_new(t->store, TABLE_queues, buf_slice(&key), buf_slice(&value), change_run_put), t,
	    p.seq);
	buf_fini(&key);
	buf_fini(&value);
}

int
queues_del_in(struct txn *x, struct slice id)
{
	uint64_t count = 0;
	struct buf prefix;
	int rc;

	buf_init(&prefix);
	put_prefix(&prefix, id);
	rc = table_del_prefix(x, TABLE_queues, buf_slice(&prefix), UINT64_MAX, &count);
	buf_fini(&prefix);
	return rc == FB_ENOENT ? 0 : rc;
}

static int
run_del(struct batch_op *op, struct txn *x, struct rec_counts *counts)
{
	(void)counts;
	return queues_del_in(x, container_of(op, struct change, op)->key);
}

void
queues_do_del(struct slot *t, struct slice payload)
{
	struct ipc_session_del p;
	struct change *c;

	if (ipc_take_session_del(payload, &p) != 0)
		store_bad_message(IPC_QUEUE_DEL);
	if (!slot_accept(t, p.seq))
		return;
	if (!owned(t, p.client_id)) {
		refuse(t, p.seq);
		return;
	}
	c = change_new(t->store, TABLE_queues, p.client_id, slice_of(NULL, 0), run_del);
	c->op.need = ENV_SHRINKS;
	change_put_numbered(c, t, p.seq);
}

static int
send_once(struct slot *t, struct slice id, struct slice prefix, struct buf *after)
{
	struct cursor *c;
	int rc = cursor_open(t->store->env, NULL, TABLE_queues, &c);

	if (rc != 0)
		return rc;
	for (rc = cursor_seek(c, buf_slice(after)); rc == 0; rc = cursor_next(c)) {
		struct slice key = cursor_key(c);
		struct rec_queue r;
		int bad;

		if (key.len <= prefix.len || memcmp(key.p, prefix.p, prefix.len) != 0)
			break;
		bad = rec_take_queue(cursor_value(c), &r);
		if (bad != 0)
			rec_bad(TABLE_queues, key, bad);
		else
			CHAN_SEND(t->chan, QUEUE_PART, queue_part, .client_id = id, .items = r.items);
		buf_clear(after);
		buf_put_slice(after, key);
		buf_put_u8(after, 0);
	}
	cursor_close(c);
	return rc == FB_ENOENT ? 0 : rc;
}

void
queues_send(struct slot *t, struct slice id)
{
	struct buf prefix;
	struct buf after;

	buf_init(&prefix);
	buf_init(&after);
	put_prefix(&prefix, id);
	put_prefix(&after, id);
	while (send_once(t, id, buf_slice(&prefix), &after) == FB_EAGAIN)
		continue;
	buf_fini(&prefix);
	buf_fini(&after);
}
