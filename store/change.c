/* SPDX-License-Identifier: Apache-2.0 */
#include "store/change.h"

#include "common/base/mem.h"
#include "store/slots.h"
#include "store/store.h"

int
change_run_put(struct batch_op *op, struct txn *x, struct rec_counts *counts)
{
	const struct change *c = container_of(op, struct change, op);

	return table_put(x, c->table, c->key, c->value);
}

int
change_run_del(struct batch_op *op, struct txn *x, struct rec_counts *counts)
{
	const struct change *c = container_of(op, struct change, op);
	int rc = table_del(x, c->table, c->key);

	return rc == FB_ENOENT ? 0 : rc;
}

int
change_run_take(struct batch_op *op, struct txn *x, struct rec_counts *counts)
{
	const struct change *c = container_of(op, struct change, op);
	int rc = table_del(x, c->table, c->key);

	if (rc != FB_ENOENT)
		return rc;
	op->code = rc;
	return 0;
}

int
change_run_refuse(struct batch_op *op, struct txn *x, struct rec_counts *counts)
{
	op->code = container_of(op, struct change, op)->refusal;
	return 0;
}

static void
on_done(struct batch_op *op)
{
	struct change *c = container_of(op, struct change, op);

	if (c->after != NULL)
		c->after(c);
	if (c->slot != NULL)
		slot_written(c->slot, op);
	mem_free(c);
}

struct change *
change_new(struct store *s, enum table t, struct slice key, struct slice value,
    int (*run)(struct batch_op *op, struct txn *x, struct rec_counts *counts))
{
	struct change *c = mem_alloc(sizeof *c + key.len + value.len);

	*c = (struct change){ .store = s, .table = t };
	c->op.run = run;
	c->op.done = on_done;
	c->op.bytes = key.len + value.len;
	c->key = slice_of(c->bytes, key.len);
	c->value = slice_of(c->bytes + key.len, value.len);
	if (key.len > 0)
		memcpy(c->bytes, key.p, key.len);
	if (value.len > 0)
		memcpy(c->bytes + key.len, value.p, value.len);
	return c;
}

void
change_put(struct change *c)
{
	batch_put(c->store->batch, &c->op);
}

void
change_put_numbered(struct change *c, struct slot *slot, uint64_t seq)
{
	c->slot = slot;
	slot_put(slot, &c->op, seq);
}
