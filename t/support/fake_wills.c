/* SPDX-License-Identifier: Apache-2.0
 * The wills on disk of the fake store. When one is due is the test's to say. */
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/ipc/qops.h"
#include "t/support/fake_tables.h"

struct will_row {
	struct list link;
	char *id, *account;
	uint64_t stamp;
	bool disk;
	struct buf msg;
};

static struct will_row *
will_find(const struct fake_store_inner *in, struct slice id)
{
	LIST_EACH(n, &in->wills) {
		struct will_row *r = container_of(n, struct will_row, link);

		if (ft_is(r->id, id))
			return r;
	}
	return NULL;
}

static void
will_del(struct will_row *r)
{
	list_del(&r->link);
	mem_free(r->id);
	mem_free(r->account);
	buf_fini(&r->msg);
	mem_free(r);
}

void
fw_apply(struct fake_store_inner *in, const struct qop *o)
{
	struct will_row *r = will_find(in, o->will.client_id);

	if (r != NULL && r->stamp > o->will.stamp)
		return;
	if (r != NULL)
		will_del(r);
	if (o->type == QOP_WILL_DEL)
		return;
	r = mem_zalloc(sizeof *r);
	r->id = ft_text(o->will.client_id);
	r->account = ft_text(o->will.account);
	r->stamp = o->will.stamp;
	r->disk = o->will.disk;
	qmsg_put(&r->msg, &o->msg);
	list_put_last(&in->wills, &r->link);
}

void
fw_here(struct fake_store *s, struct slice payload)
{
	struct ipc_client p;

	FB_ASSERT(ipc_take_client(payload, &p) == 0);
	s->wills_named++;
}

void
fw_clear(struct fake_store_inner *in)
{
	LIST_EACH_SAFE(n, tmp, &in->wills)
		will_del(container_of(n, struct will_row, link));
}

const char *
fake_will(const struct fake_store *s, const char *id)
{
	const struct will_row *r = will_find(s->in, slice_str(id));
	struct slice bytes;
	struct qmsg m;

	if (r == NULL)
		return NULL;
	bytes = buf_slice(&r->msg);
	FB_ASSERT(qmsg_take(&bytes, &m) == 0);
	snprintf(s->in->text, sizeof s->in->text, "%.*s", (int)m.payload.len, (const char *)m.payload.p);
	return s->in->text;
}

void
fake_will_due(struct fake_store *s, unsigned slot, const char *id)
{
	const struct will_row *r = will_find(s->in, slice_str(id));

	FB_ASSERT(r != NULL);
	CHAN_SEND(s->in->slot[slot].chan, WILL_DUE, will, .stamp = r->stamp, .disk = r->disk, .client_id = slice_str(id),
	    .account = slice_str(r->account), .msg = buf_slice(&r->msg));
}
