/* SPDX-License-Identifier: Apache-2.0
 *
 * A job is the loop's, but for what is under the lock: its place in the queue, and its result once a thread has it. The
 * loop frees it when it comes back. */
#include "store/auth.h"

#include <pthread.h>

#include "common/base/err.h"
#include "common/base/hmap.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/rand.h"
#include "common/metrics/page.h"
#include "store/rec.h"
#include "store/st_accounts.h"

#define CACHE_MAX     65536
#define DIGEST_BYTES  16
#define STACK_BYTES   (256u * 1024)

struct digest { uint8_t b[DIGEST_BYTES]; };

struct verified {
	struct hmap_node node;
	struct list link;               /* oldest use first */
	struct digest digest;
};

struct job {
	struct list link;               /* queue or finished */
	struct hmap_node node;          /* by digest; checks only */
	struct list asks;
	struct digest digest;
	int64_t deadline_ns;            /* under the lock */
	bool running;                   /* under the lock */
	int rc;
	uint32_t n;                     /* a new hash: its cost; 0: a check */
	char text[PASSWD_TEXT_MAX];
	void (*hashed)(void *arg, int rc, const char *text);
	void *arg;
	size_t password_len;
	uint8_t password[];
};

struct auth {
	struct loop *loop;
	struct env *env;
	struct auth_config cfg;
	struct passwd_mac *mac;         /* of the store's key */
	struct passwd_mac *cache_mac;   /* of this process alone */
	struct hmap verified;
	struct list uses;
	struct hmap jobs;
	uint64_t asks;                  /* that wait */
	struct buf record;
	struct loop_bell *bell;

	pthread_t *threads;
	pthread_mutex_t lock;           /* for what follows */
	pthread_cond_t cond;
	struct list queue, finished;
	bool stopping;
};

/* ---- the pool ---- */

static void
work(struct job *j)
{
	struct slice password = slice_of(j->password, j->password_len);

	if (j->n != 0)
		j->rc = passwd_hash(password, j->n, j->text);
	else
		j->rc = passwd_check(slice_str(j->text), password);
}

static void *
pool_thread(void *arg)
{
	struct auth *a = arg;

	pthread_mutex_lock(&a->lock);
	while (!a->stopping) {
		struct job *j = LIST_FIRST(&a->queue, struct job, link);

		if (j == NULL) {
			pthread_cond_wait(&a->cond, &a->lock);
			continue;
		}
		list_del(&j->link);
		j->running = true;
		if (j->n == 0 && clock_mono().ns > j->deadline_ns) {
			j->rc = FB_EBUSY;
		} else {
			pthread_mutex_unlock(&a->lock);
			work(j);
			pthread_mutex_lock(&a->lock);
		}
		list_put_last(&a->finished, &j->link);
		loop_bell_ring(a->bell);
	}
	pthread_mutex_unlock(&a->lock);
	return NULL;
}

static struct job *
job_new(struct slice password)
{
	struct job *j = mem_alloc(sizeof *j + password.len);

	*j = (struct job){ .password_len = password.len };
	list_init(&j->asks);
	if (password.len > 0)
		memcpy(j->password, password.p, password.len);
	return j;
}

static void
job_free(struct job *j)
{
	explicit_bzero(j->password, j->password_len);
	mem_free(j);
}

static void
job_queue(struct auth *a, struct job *j, bool first)
{
	pthread_mutex_lock(&a->lock);
	if (first)
		list_put_first(&a->queue, &j->link);
	else
		list_put_last(&a->queue, &j->link);
	pthread_cond_signal(&a->cond);
	pthread_mutex_unlock(&a->lock);
}

/* ---- verified credentials ---- */

static struct digest
digest_of(struct auth *a, struct slice name, struct slice password, struct slice text)
{
	const struct slice parts[] = { name, password, text };
	uint8_t full[PASSWD_MAC_BYTES];
	struct digest d;

	passwd_mac(a->cache_mac, parts, 3, full);
	memcpy(d.b, full, sizeof d.b);
	return d;
}

static uint64_t
digest_hash(const struct digest *d)
{
	uint64_t h;

	memcpy(&h, d->b, sizeof h);     /* a keyed hash already */
	return h;
}

static struct verified *
verified_find(struct auth *a, const struct digest *d)
{
	uint64_t h = digest_hash(d);

	for (struct hmap_node *n = hmap_first(&a->verified, h); n != NULL; n = hmap_next(n, h)) {
		struct verified *v = container_of(n, struct verified, node);

		if (memcmp(v->digest.b, d->b, sizeof d->b) == 0)
			return v;
	}
	return NULL;
}

static void
verified_del(struct auth *a, struct verified *v)
{
	hmap_del(&a->verified, &v->node);
	list_del(&v->link);
	mem_free(v);
}

static void
verified_add(struct auth *a, const struct digest *d)
{
	struct verified *v;

	if (verified_find(a, d) != NULL)
		return;
	if (a->verified.count >= CACHE_MAX)
		verified_del(a, LIST_FIRST(&a->uses, struct verified, link));
	v = mem_zalloc(sizeof *v);
	v->digest = *d;
	hmap_put(&a->verified, &v->node, digest_hash(d));
	list_put_last(&a->uses, &v->link);
}

void
auth_forget(struct auth *a)
{
	while (!list_empty(&a->uses))
		verified_del(a, LIST_FIRST(&a->uses, struct verified, link));
}

/* ---- asking ---- */

/* The account's hash, borrowed until the next call. */
static int
read_account(struct auth *a, struct slice name, struct slice *hash)
{
	struct rec_account r;
	int rc;

	buf_clear(&a->record);
	rc = accounts_get(a->env, name, &a->record, &r);
	if (rc == 0)
		*hash = r.hash;
	return rc;
}

static int
failed(int rc)
{
	METRIC_ADD(logins_failed, 1);
	return rc == FB_ENOENT || rc == FB_EAUTH ? FB_EAUTH : FB_EIO;
}

int
auth_check_fast(struct auth *a, struct slice name, struct slice password)
{
	struct slice hash;
	struct digest d;
	struct verified *v;
	int rc = read_account(a, name, &hash);

	METRIC_ADD(logins, 1);
	if (rc == 0 && passwd_kind(hash) == PASSWD_KEYED) {
		rc = passwd_check_keyed(a->mac, hash, name, password);
		return rc == 0 ? 0 : failed(rc);
	}
	if (rc == 0 && (passwd_kind(hash) != PASSWD_SCRYPT || hash.len >= PASSWD_TEXT_MAX)) {
		rc = FB_ECORRUPT;
		rec_bad(TABLE_accounts, name, rc);
	}
	if (rc != 0)
		return failed(rc);
	d = digest_of(a, name, password, hash);
	v = verified_find(a, &d);
	if (v == NULL)
		return FB_EAGAIN;
	list_del(&v->link);
	list_put_last(&a->uses, &v->link);
	METRIC_ADD(logins_cached, 1);
	return 0;
}

static struct job *
job_find(struct auth *a, const struct digest *d)
{
	uint64_t h = digest_hash(d);

	for (struct hmap_node *n = hmap_first(&a->jobs, h); n != NULL; n = hmap_next(n, h)) {
		struct job *j = container_of(n, struct job, node);

		if (memcmp(j->digest.b, d->b, sizeof d->b) == 0)
			return j;
	}
	return NULL;
}

int
auth_check_slow(struct auth *a, struct slice name, struct slice password, struct auth_ask *ask)
{
	int64_t deadline = loop_now(a->loop).ns + a->cfg.patience_ns;
	struct slice hash;
	struct digest d;
	struct job *j;
	int rc;

	if (a->asks >= a->cfg.queue) {
		METRIC_ADD(logins_shed, 1);
		return FB_EBUSY;
	}
	rc = read_account(a, name, &hash);
	if (rc != 0)
		return failed(rc);
	d = digest_of(a, name, password, hash);
	j = job_find(a, &d);
	if (j == NULL) {
		j = job_new(password);
		j->digest = d;
		j->deadline_ns = deadline;
		memcpy(j->text, hash.p, hash.len);
		hmap_put(&a->jobs, &j->node, digest_hash(&d));
		job_queue(a, j, false);
	} else {
		pthread_mutex_lock(&a->lock);
		j->deadline_ns = deadline;
		pthread_mutex_unlock(&a->lock);
	}
	list_put_last(&j->asks, &ask->link);
	a->asks++;
	return 0;
}

static void
drop_from(struct auth *a, struct job *j, const void *asker, void (*fn)(struct auth_ask *ask))
{
	LIST_EACH_SAFE(n, tmp, &j->asks) {
		struct auth_ask *ask = container_of(n, struct auth_ask, link);

		if (ask->asker != asker)
			continue;
		list_del(&ask->link);
		a->asks--;
		fn(ask);
	}
}

void
auth_drop(struct auth *a, const void *asker, void (*fn)(struct auth_ask *ask))
{
	struct hmap_iter it = { 0 };
	struct hmap_node *n;

	while (a != NULL && (n = hmap_each(&a->jobs, &it)) != NULL) {
		struct job *j = container_of(n, struct job, node);
		bool waits;

		drop_from(a, j, asker, fn);
		if (!list_empty(&j->asks))
			continue;
		pthread_mutex_lock(&a->lock);
		waits = !j->running;
		if (waits)
			list_del(&j->link);
		pthread_mutex_unlock(&a->lock);
		if (waits) {
			hmap_del(&a->jobs, &j->node);
			job_free(j);
		}
	}
}

static void
finish_check(struct auth *a, struct job *j)
{
	int rc = j->rc;

	hmap_del(&a->jobs, &j->node);
	if (rc == 0)
		verified_add(a, &j->digest);
	while (!list_empty(&j->asks)) {
		struct auth_ask *ask = LIST_FIRST(&j->asks, struct auth_ask, link);

		list_del(&ask->link);
		a->asks--;
		if (rc == FB_EBUSY)
			METRIC_ADD(logins_shed, 1);
		ask->done(ask, rc == 0 || rc == FB_EBUSY ? rc : failed(rc));
	}
}

static void
on_bell(void *arg)
{
	struct auth *a = arg;
	struct list done;

	list_init(&done);
	pthread_mutex_lock(&a->lock);
	list_move_all(&done, &a->finished);
	pthread_mutex_unlock(&a->lock);
	while (!list_empty(&done)) {
		struct job *j = LIST_FIRST(&done, struct job, link);

		list_del(&j->link);
		if (j->n == 0)
			finish_check(a, j);
		else
			j->hashed(j->arg, j->rc, j->text);
		job_free(j);
	}
}

void
auth_hash(struct auth *a, struct slice password, uint32_t n, void (*done)(void *arg, int rc, const char *text),
    void *arg)
{
	struct job *j = job_new(password);

	j->n = n;
	j->hashed = done;
	j->arg = arg;
	job_queue(a, j, true);
}

void
auth_keyed(struct auth *a, struct slice name, struct slice password, char out[PASSWD_TEXT_MAX])
{
	passwd_keyed(a->mac, name, password, out);
}

/* ---- life ---- */

struct auth *
auth_new(struct loop *l, struct env *e, const void *key, const struct auth_config *cfg)
{
	struct auth *a = mem_zalloc(sizeof *a);
	uint8_t own[PASSWD_MAC_BYTES];
	pthread_attr_t attr;

	a->loop = l;
	a->env = e;
	a->cfg = *cfg;
	a->mac = passwd_mac_new(key, PASSWD_MAC_BYTES);
	rand_bytes(own, sizeof own);
	a->cache_mac = passwd_mac_new(own, sizeof own);
	explicit_bzero(own, sizeof own);
	list_init(&a->uses);
	list_init(&a->queue);
	list_init(&a->finished);
	a->bell = loop_bell_new(l, on_bell, a);
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->cond, NULL);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	a->threads = mem_zalloc(cfg->threads * sizeof *a->threads);
	for (unsigned i = 0; i < cfg->threads; i++)
		FB_ASSERT(pthread_create(&a->threads[i], &attr, pool_thread, a) == 0);
	pthread_attr_destroy(&attr);
	return a;
}

void
auth_set(struct auth *a, const struct auth_config *cfg)
{
	unsigned threads = a->cfg.threads;

	a->cfg = *cfg;
	a->cfg.threads = threads;
}

static void
free_jobs(struct auth *a, struct list *jobs)
{
	while (!list_empty(jobs)) {
		struct job *j = LIST_FIRST(jobs, struct job, link);

		list_del(&j->link);
		if (j->n == 0)
			hmap_del(&a->jobs, &j->node);
		job_free(j);
	}
}

void
auth_free(struct auth *a)
{
	if (a == NULL)
		return;
	pthread_mutex_lock(&a->lock);
	a->stopping = true;
	pthread_cond_broadcast(&a->cond);
	pthread_mutex_unlock(&a->lock);
	for (unsigned i = 0; i < a->cfg.threads; i++)
		pthread_join(a->threads[i], NULL);
	free_jobs(a, &a->queue);
	free_jobs(a, &a->finished);
	auth_forget(a);
	hmap_fini(&a->verified);
	hmap_fini(&a->jobs);
	loop_bell_free(a->bell);
	pthread_cond_destroy(&a->cond);
	pthread_mutex_destroy(&a->lock);
	passwd_mac_free(a->mac);
	passwd_mac_free(a->cache_mac);
	buf_fini(&a->record);
	mem_free(a->threads);
	mem_free(a);
}

void
auth_set_key(struct auth *a, const void *key)
{
	passwd_mac_free(a->mac);
	a->mac = passwd_mac_new(key, PASSWD_MAC_BYTES);
	auth_forget(a);
}
