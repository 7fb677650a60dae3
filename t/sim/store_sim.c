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
int64_t sim_flush_max_ns = 2 * NS_PER_MS;
void (*sim_flush_watch)(int64_t takes_ns);

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

/* ---- batch.h ----
 * A committer without a thread: operations wait for it; then batch.c's own code runs some of them in the loop, and
 * their done is held back until the flush has taken its time. The loop reads what is committed and not flushed
 * meanwhile, as it does beside the real one. */

struct held {
	struct list link;
	struct batch_op *op;
	void (*done)(struct batch_op *op);
};

struct committer {
	struct batch *batch;            /* NULL: none */
	struct env *env;
	struct loop *loop;
	struct list ops;                /* not run */
	struct list held;               /* struct held: being run, or committed and not flushed */
	struct list over;               /* the same: all but done() */
	size_t count;                   /* in all three */
	struct timer start, flushed;
};

static struct committer committers[ENV_COUNT];
static struct committer *running;

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

static struct committer *
committer_of(const struct batch *b)
{
	struct committer *c = committers;

	while (c->batch != b)
		FB_ASSERT(++c < committers + ENV_COUNT);
	return c;
}

static void
start_soon(struct committer *c)
{
	if (!list_empty(&c->ops) && list_empty(&c->held) && !timer_is_set(&c->start))
		loop_timer_in(c->loop, &c->start, sim_between(NS_PER_US, sim_commit_delay_max_ns));
}

/* batch.c calls it in the order in which they were put. */
static void
on_run(struct batch_op *op)
{
	struct held *h = LIST_FIRST(&running->held, struct held, link);

	FB_ASSERT(h != NULL && h->op == op);
	op->done = h->done;
	list_del(&h->link);
	list_put_last(&running->over, &h->link);
}

/* Their order is kept whatever done() puts. */
static void
answer(struct committer *c)
{
	struct held *h;

	while ((h = LIST_FIRST(&c->over, struct held, link)) != NULL) {
		struct batch_op *op = h->op;

		list_del(&h->link);
		mem_free(h);
		c->count--;
		op->done(op);
	}
}

static void
run(struct committer *c, uint64_t max)
{
	struct batch_op *op;

	while (max-- > 0 && (op = LIST_FIRST(&c->ops, struct batch_op, link)) != NULL) {
		struct held *h = mem_zalloc(sizeof *h);

		list_del(&op->link);
		h->op = op;
		h->done = op->done;
		op->done = on_run;
		list_put_last(&c->held, &h->link);
		__real_batch_put(c->batch, op);
	}
	running = c;
	sim_disk_lazy = true;
	__real_batch_drain(c->batch);
	sim_disk_lazy = false;
	FB_ASSERT(list_empty(&c->held));
}

static void
on_start(struct timer *t)
{
	struct committer *c = container_of(t, struct committer, start);
	int64_t takes = sim_between(20 * NS_PER_US, sim_flush_max_ns);

	run(c, 1 + sim_below(64));
	loop_timer_in(c->loop, &c->flushed, takes);
	if (sim_flush_watch != NULL)
		sim_flush_watch(takes);
}

static void
on_flushed(struct timer *t)
{
	struct committer *c = container_of(t, struct committer, flushed);

	sim_disk_flushed(c->env);
	answer(c);
	start_soon(c);
}

struct batch *
__wrap_batch_new(struct loop *l, struct env *e, bool threaded)
{
	struct committer *c = &committers[env_which(e)];

	*c = (struct committer){ .env = e, .loop = l };
	list_init(&c->ops);
	list_init(&c->held);
	list_init(&c->over);
	timer_init(&c->start, on_start);
	timer_init(&c->flushed, on_flushed);
	c->batch = __real_batch_new(l, e, false);
	return c->batch;
}

void
__wrap_batch_put(struct batch *b, struct batch_op *op)
{
	struct committer *c = committer_of(b);

	list_put_last(&c->ops, &op->link);
	c->count++;
	if (!timer_is_set(&c->flushed))
		start_soon(c);
}

size_t
__wrap_batch_waiting(const struct batch *b)
{
	return committer_of(b)->count;
}

void
__wrap_batch_drain(struct batch *b)
{
	struct committer *c = committer_of(b);

	while (c->count > 0) {
		run(c, UINT64_MAX);
		sim_disk_flushed(c->env);
		answer(c);
	}
}

void
__wrap_batch_free(struct batch *b)
{
	struct committer *c;

	if (b == NULL)
		return;
	c = committer_of(b);
	loop_timer_cancel(c->loop, &c->start);
	loop_timer_cancel(c->loop, &c->flushed);
	__real_batch_free(b);
	c->batch = NULL;
}

/* Nobody hears what done() still says. */
static void
forget(struct committer *c)
{
	struct batch_op *op;

	while (c->count > 0) {
		answer(c);
		if ((op = LIST_FIRST(&c->ops, struct batch_op, link)) == NULL)
			continue;
		list_del(&op->link);
		c->count--;
		op->code = FB_EIO;
		op->done(op);
	}
}

void
sim_store_die(struct store *s, bool power)
{
	opener_free(s->opener);
	s->opener = NULL;
	if (s->env != NULL) {
		sim_disk_crash(s->env, power);
		sim_disk_crash(s->queue, power);
	}
	for (unsigned i = 0; s->batch != NULL && i < ENV_COUNT; i++)
		forget(&committers[i]);
	store_free(s);
}
