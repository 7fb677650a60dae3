/* SPDX-License-Identifier: Apache-2.0 */
#include "t/sim/store_sim.h"

#include <stdio.h>

#include "common/base/err.h"
#include "common/base/mem.h"
#include "store/opener.h"
#include "store/save.h"
#include "store/st_sessions.h"
#include "t/sim/sim.h"

int64_t sim_commit_delay_max_ns = 4 * NS_PER_MS;

/* ---- opener.h ---- */

struct opener {
	struct loop *loop;
	struct timer timer;
	unsigned slots;
	void (*done)(void *arg, struct opener_result *r);
	void *arg;
};

static void
on_open_time(struct timer *t)
{
	struct opener *o = container_of(t, struct opener, timer);
	struct opener_result r = { 0 };

	owners_init(&r.owners);
	r.rc = env_open(&(struct env_config){ .name = ENV_state }, &r.env);
	if (r.rc == 0)
		r.rc = env_open(&(struct env_config){ .name = ENV_queue }, &r.queue);
	if (r.rc == 0)
		r.rc = sessions_read(r.env, r.queue, o->slots, &r.owners, &r.gone);
	o->done(o->arg, &r);
}

struct opener *
opener_new(struct loop *l, const struct env_config cfg[ENV_COUNT], unsigned slots,
    void (*done)(void *arg, struct opener_result *r), void *arg)
{
	struct opener *o = mem_zalloc(sizeof *o);

	o->loop = l;
	o->slots = slots;
	o->done = done;
	o->arg = arg;
	timer_init(&o->timer, on_open_time);
	loop_timer_in(l, &o->timer, sim_between(NS_PER_MS, 200 * NS_PER_MS));
	return o;
}

void
opener_free(struct opener *o)
{
	if (o == NULL)
		return;
	loop_timer_cancel(o->loop, &o->timer);
	mem_free(o);
}

/* ---- save.h: nobody asks for a backup ---- */

void
save_admin(const struct admin_call *call)
{
}

void
save_stop(struct store *s)
{
}

void
save_put_progress(struct buf *b, const struct files_job *j)
{
}

/* ---- auth.h: nobody logs in ---- */

struct auth *
auth_new(struct loop *l, struct env *e, const void *key, const struct auth_config *cfg)
{
	return NULL;
}

void
auth_free(struct auth *a)
{
}

void
auth_set(struct auth *a, const struct auth_config *cfg)
{
}

int
auth_check_fast(struct auth *a, struct slice name, struct slice password)
{
	return 0;
}

int
auth_check_slow(struct auth *a, struct slice name, struct slice password, struct auth_ask *ask)
{
	return FB_EBUSY;
}

void
auth_drop(struct auth *a, const void *asker, void (*fn)(struct auth_ask *ask))
{
}

void
auth_hash(struct auth *a, struct slice password, uint32_t n, void (*done)(void *arg, int rc, const char *text), void *arg)
{
	done(arg, FB_EBUSY, NULL);
}

void
auth_keyed(struct auth *a, struct slice name, struct slice password, char out[PASSWD_TEXT_MAX])
{
	out[0] = '\0';
}

void
auth_forget(struct auth *a)
{
}

void
auth_set_key(struct auth *a, const void *key)
{
}

/* ---- batch.h: operations wait here for the disk, then batch.c does them in the loop ---- */

static struct delayed {
	struct batch *batch;            /* NULL: no store */
	struct loop *loop;
	struct list ops;
	size_t count;
	struct timer timer;
} disk_queues[ENV_COUNT];

static struct delayed *
of_batch(const struct batch *b)
{
	for (unsigned i = 0; i < ENV_COUNT; i++) {
		if (disk_queues[i].batch == b)
			return &disk_queues[i];
	}
	FB_ASSERT(false);
	return NULL;
}

struct batch *__real_batch_new(struct loop *l, struct env *e, bool threaded);
void __real_batch_put(struct batch *b, struct batch_op *op);
size_t __real_batch_waiting(const struct batch *b);
void __real_batch_drain(struct batch *b);
void __real_batch_free(struct batch *b);
struct batch *__wrap_batch_new(struct loop *l, struct env *e, bool threaded);
void __wrap_batch_put(struct batch *b, struct batch_op *op);
size_t __wrap_batch_waiting(const struct batch *b);
void __wrap_batch_drain(struct batch *b);
void __wrap_batch_free(struct batch *b);

static void
commit(struct delayed *d, uint64_t max)
{
	while (!list_empty(&d->ops) && max-- > 0) {
		struct batch_op *op = LIST_FIRST(&d->ops, struct batch_op, link);

		list_del(&op->link);
		d->count--;
		__real_batch_put(d->batch, op);
	}
}

static void
on_commit_time(struct timer *t)
{
	struct delayed *d = container_of(t, struct delayed, timer);

	commit(d, 1 + sim_below(64));
	if (!list_empty(&d->ops))
		loop_timer_in(d->loop, t, sim_between(NS_PER_US, sim_commit_delay_max_ns));
}

struct batch *
__wrap_batch_new(struct loop *l, struct env *e, bool threaded)
{
	struct delayed *d = &disk_queues[env_which(e)];

	d->loop = l;
	d->count = 0;
	list_init(&d->ops);
	timer_init(&d->timer, on_commit_time);
	d->batch = __real_batch_new(l, e, false);
	return d->batch;
}

void
__wrap_batch_put(struct batch *b, struct batch_op *op)
{
	struct delayed *d = of_batch(b);

	list_put_last(&d->ops, &op->link);
	d->count++;
	if (!timer_is_set(&d->timer))
		loop_timer_in(d->loop, &d->timer, sim_between(NS_PER_US, sim_commit_delay_max_ns));
}

size_t
__wrap_batch_waiting(const struct batch *b)
{
	return __real_batch_waiting(b) + of_batch(b)->count;
}

void
__wrap_batch_drain(struct batch *b)
{
	commit(of_batch(b), UINT64_MAX);
	__real_batch_drain(b);
}

void
__wrap_batch_free(struct batch *b)
{
	struct delayed *d;

	if (b == NULL)
		return;
	d = of_batch(b);
	loop_timer_cancel(d->loop, &d->timer);
	__real_batch_free(b);
	d->batch = NULL;
}

static void
lose(struct delayed *d)
{
	while (!list_empty(&d->ops)) {
		struct batch_op *op = LIST_FIRST(&d->ops, struct batch_op, link);

		list_del(&op->link);
		d->count--;
		op->code = FB_EIO;
		op->done(op);
	}
}

void
sim_store_die(struct store *s)
{
	opener_free(s->opener);
	s->opener = NULL;
	for (unsigned i = 0; s->batch != NULL && i < ENV_COUNT; i++)
		lose(&disk_queues[i]);
	store_free(s);
}
