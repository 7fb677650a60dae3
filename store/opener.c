/* SPDX-License-Identifier: Apache-2.0 */
#include "store/opener.h"

#include <pthread.h>

#include "common/base/buf.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/rand.h"
#include "store/rec.h"
#include "store/reset.h"
#include "store/st_sessions.h"

struct opener {
	struct env_config cfg[ENV_COUNT];
	char *dir[ENV_COUNT];
	unsigned slots;
	void (*done)(void *arg, struct opener_result *r);
	void *arg;
	struct loop_bell *bell;
	pthread_t thread;
	struct opener_result result;
};

static const struct slice key_key = { (const uint8_t *)"key", sizeof "key" };

static int
write_key(struct txn *x, void *arg)
{
	struct buf b;
	int rc;

	buf_init(&b);
	rec_put_blob(&b, &(struct rec_blob){ .bytes = slice_of(arg, PASSWD_MAC_BYTES) });
	rc = table_put(x, TABLE_meta, key_key, buf_slice(&b));
	buf_fini(&b);
	return rc;
}

/* A lost key locks out generated passwords only; they are set anew, the broker goes on. */
static int
load_key(struct env *e, uint8_t key[PASSWD_MAC_BYTES])
{
	struct rec_blob r;
	struct buf b;
	int rc;

	buf_init(&b);
	rc = table_get(e, NULL, TABLE_meta, key_key, &b);
	if (rc == 0) {
		int bad = rec_take_blob(buf_slice(&b), &r);

		if (bad == 0 && r.bytes.len != PASSWD_MAC_BYTES)
			bad = FB_ECORRUPT;
		if (bad == 0)
			memcpy(key, r.bytes.p, PASSWD_MAC_BYTES);
		else
			rec_bad(TABLE_meta, key_key, bad);
		rc = bad == 0 ? 0 : FB_ENOENT;
	}
	if (rc == FB_ENOENT) {
		rand_bytes(key, PASSWD_MAC_BYTES);
		rc = env_write(e, write_key, key);
		if (rc == 0)
			env_flush(e);
	}
	buf_fini(&b);
	return rc;
}

static void *
run(void *arg)
{
	struct opener *o = arg;
	struct opener_result *r = &o->result;

	r->rc = env_open(&o->cfg[ENV_state], &r->env);
	if (r->rc == 0)
		r->rc = env_open(&o->cfg[ENV_queue], &r->queue);
	if (r->rc == 0)
		r->rc = reset_finish(r->env, r->queue);
	if (r->rc == 0)
		r->rc = load_key(r->env, r->key);
	if (r->rc == 0)
		r->rc = sessions_read(r->env, r->queue, o->slots, &r->owners, &r->gone);
	loop_bell_ring(o->bell);
	return NULL;
}

static void
on_bell(void *arg)
{
	struct opener *o = arg;

	/* It has rung and returns: what it wrote is ours from here. */
	FB_ASSERT(pthread_join(o->thread, NULL) == 0);
	o->done(o->arg, &o->result);
}

struct opener *
opener_new(struct loop *l, const struct env_config cfg[ENV_COUNT], unsigned slots,
    void (*done)(void *arg, struct opener_result *r), void *arg)
{
	struct opener *o = mem_zalloc(sizeof *o);

	for (enum env_name i = 0; i < ENV_COUNT; i++) {
		o->cfg[i] = cfg[i];
		o->cfg[i].dir = o->dir[i] = mem_strdup(cfg[i].dir);
	}
	o->slots = slots;
	o->done = done;
	o->arg = arg;
	owners_init(&o->result.owners);
	o->bell = loop_bell_new(l, on_bell, o);
	FB_ASSERT(pthread_create(&o->thread, NULL, run, o) == 0);
	return o;
}

void
opener_free(struct opener *o)
{
	if (o == NULL)
		return;
	loop_bell_free(o->bell);
	for (enum env_name i = 0; i < ENV_COUNT; i++)
		mem_free(o->dir[i]);
	explicit_bzero(o->result.key, sizeof o->result.key);
	mem_free(o);
}
