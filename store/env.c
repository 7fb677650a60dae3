/* SPDX-License-Identifier: Apache-2.0
 *
 * A commit does not wait for the disk (DB_TXN_NOSYNC): its locks are held for as long as the changes take in memory, and
 * a reader on the loop thread never waits for a flush. What is answered as durable waits for env_flush(). A flush
 * that fails cannot be taken back, so the process ends and recovery decides what was written. */
#include "store/env.h"

#include <db.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "store/db_os.h"
#include "store/env_db.h"
#include "store/heal.h"
#include "store/pace.h"
#include "store/restore.h"

#define PAGE_BYTES        4096          /* what the system writes at once: a power cut must not tear a page */
#define LOG_BUFFER_BYTES  (256u * 1024)
#define LOG_FILE_BYTES    (16u << 20)
#define LOCKS_MAX         20000         /* pages in one transaction */
#define QUEUE_LOCKS_MAX   500000        /* a message for that many sessions */
#define LOCKS_FIRST       5000
#define RETRIES_MAX       1000
#define ADMIN_FLOOR_BYTES (INT64_C(16) << 20)

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

static const char *const homes[ENV_COUNT] = { [ENV_state] = "state", [ENV_queue] = "queue" };

const char *
table_name(enum table t)
{
	return names[t];
}

enum env_name
table_env(enum table t)
{
	return envs[t];
}

const char *
env_folder(enum env_name name)
{
	return homes[name];
}

static char folders[ENV_COUNT][4096];   /* of the environments that were opened */

/* It may have been a flush, Berkeley DB does not say. */
_Noreturn void
env_broken(const char *why)
{
	for (int i = 0; i < ENV_COUNT; i++) {
		if (folders[i][0] != '\0')
			heal_mark(folders[i]);
	}
	log_error("store", "environment broken, exiting for recovery", "why=%s", why);
	_exit(ENV_BROKEN_EXIT);
}

int
env_rc(int rc, const char *what)
{
	switch (rc) {
	case 0:
		return 0;
	case DB_NOTFOUND:
	case DB_KEYEMPTY:
		return FB_ENOENT;
	case DB_KEYEXIST:
		return FB_EEXIST;
	case DB_LOCK_DEADLOCK:
	case DB_LOCK_NOTGRANTED:
	case DB_REP_HANDLE_DEAD:
	case DB_REP_LOCKOUT:
		return FB_EAGAIN;
	case DB_RUNRECOVERY:
		env_broken(what);
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		log_error("store", "no room on the disk", "operation=%s", what);
		return FB_EDISK;
	default:
		log_error("store", "database error", "operation=%s why=%s", what, db_strerror(rc));
		return FB_EIO;
	}
}

int
env_retry(int (*fn)(void *arg), void *arg)
{
	int rc = FB_EAGAIN;

	for (int i = 0; i < RETRIES_MAX && rc == FB_EAGAIN; i++)
		rc = fn(arg);
	return rc;
}

static void
on_error(const DB_ENV *dbenv, const char *prefix, const char *text)
{
	(void)dbenv;
	(void)prefix;
	log_error("bdb", "said", "%s", text);
}

static void
on_message(const DB_ENV *dbenv, const char *text)
{
	(void)dbenv;
	log_notice("bdb", "said", "%s", text);
}

static void
on_event(DB_ENV *dbenv, u_int32_t event, void *info)
{
	(void)dbenv;
	(void)info;
	if (event == DB_EVENT_PANIC)
		env_broken("panic");
}

/* ---- room on the disk ---- */

static int64_t
free_bytes(const char *dir)
{
	struct statvfs v;

	if (statvfs(dir, &v) != 0)
		return INT64_MAX;       /* unknown is not full: the write itself will tell */
	return (int64_t)v.f_bavail * (int64_t)v.f_frsize;
}

bool
env_has_room(struct env *e, enum env_need need)
{
	int64_t floor = atomic_load(&e->min_free_bytes);

	switch (need) {
	case ENV_GROWS:
		break;
	case ENV_SHRINKS:
		floor /= 2;
		break;
	case ENV_ADMIN:
		floor = floor / 2 < ADMIN_FLOOR_BYTES ? floor / 2 : ADMIN_FLOOR_BYTES;
		break;
	}
	return free_bytes(e->dir) >= floor;
}

void
env_set_min_free(struct env *e, int64_t bytes)
{
	atomic_store(&e->min_free_bytes, bytes);
}

static void
path_in(char *out, size_t size, const char *dir, const char *name)
{
	snprintf(out, size, "%s/%s", dir, name);
}

/* Recovery writes too: without room it would fail for ever, so the ballast goes first. */
static void
ballast_release(struct env *e)
{
	char path[4096];

	if (e->ballast_bytes == 0 || free_bytes(e->dir) >= e->ballast_bytes)
		return;
	path_in(path, sizeof path, e->dir, "ballast");
	if (unlink(path) == 0)
		log_warn("store", "disk nearly full, ballast released for recovery", "free=%lld",
		    (long long)free_bytes(e->dir));
}

void
env_make_ballast(struct env *e)
{
	char path[4096];
	int64_t need = atomic_load(&e->min_free_bytes) + e->ballast_bytes;
	int fd;

	path_in(path, sizeof path, e->dir, "ballast");
	if (e->ballast_bytes == 0 || access(path, F_OK) == 0 || free_bytes(e->dir) < need)
		return;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return;
	if (posix_fallocate(fd, 0, e->ballast_bytes) != 0)
		(void)unlink(path);
	close(fd);
}

/* ---- opening ---- */

static int
make_dir(const char *path)
{
	if (mkdir(path, 0700) == 0 || errno == EEXIST)
		return 0;
	log_error("store", "cannot make directory", "path=%s why=%s", path, strerror(errno));
	return FB_EIO;
}

/* An OFD lock goes with the descriptor, so with the process, however it ends. */
static int
lock_dir(struct env *e)
{
	struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char path[4096];

	path_in(path, sizeof path, e->dir, "store.lock");
	e->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (e->lock_fd < 0) {
		log_error("store", "cannot open lock file", "path=%s why=%s", path, strerror(errno));
		return FB_EIO;
	}
	if (fcntl(e->lock_fd, F_OFD_SETLK, &fl) == 0)
		return 0;
	log_notice("store", "waiting for the lock of another store", "path=%s", path);
	while (fcntl(e->lock_fd, F_OFD_SETLKW, &fl) != 0) {
		if (errno != EINTR) {
			log_error("store", "cannot lock", "path=%s why=%s", path, strerror(errno));
			return FB_EIO;
		}
	}
	return 0;
}

static int
configure(struct env *e, int64_t cache_bytes)
{
	DB_ENV *d = e->dbenv;
	u_int32_t gbytes = (u_int32_t)(cache_bytes >> 30);
	u_int32_t bytes = (u_int32_t)(cache_bytes & ((INT64_C(1) << 30) - 1));
	u_int32_t locks = e->name == ENV_queue ? QUEUE_LOCKS_MAX : LOCKS_MAX;
	int rc;

	d->set_errcall(d, on_error);
	d->set_msgcall(d, on_message);
	rc = d->set_event_notify(d, on_event);
	rc = rc ? rc : d->set_cachesize(d, gbytes, bytes, 1);
	rc = rc ? rc : d->set_lg_bsize(d, LOG_BUFFER_BYTES);
	rc = rc ? rc : d->set_lg_max(d, LOG_FILE_BYTES);
	rc = rc ? rc : d->set_lk_detect(d, DB_LOCK_MINWRITE);
	rc = rc ? rc : d->set_lk_max_locks(d, locks);
	rc = rc ? rc : d->set_lk_max_objects(d, locks);
	rc = rc ? rc : d->set_lk_tablesize(d, LOCKS_FIRST);
	rc = rc ? rc : d->set_memory_init(d, DB_MEM_LOCK, LOCKS_FIRST);
	rc = rc ? rc : d->set_memory_init(d, DB_MEM_LOCKOBJECT, LOCKS_FIRST);
	return env_rc(rc, "configure");
}

static int
open_table(struct env *e, enum table t)
{
	char file[64];
	DB *db;
	int rc;

	snprintf(file, sizeof file, "%s.db", names[t]);
	rc = db_create(&db, e->dbenv, 0);
	if (rc != 0)
		return env_rc(rc, "create handle");
	e->db[t] = db;
	rc = db->set_pagesize(db, PAGE_BYTES);
	rc = rc ? rc : db->open(db, NULL, file, NULL, DB_BTREE, DB_CREATE | DB_THREAD | DB_AUTO_COMMIT, 0600);
	return env_rc(rc, file);
}

static int
open_all(struct env *e, const struct env_config *cfg)
{
	char *home = folders[e->name];
	int rc;

	path_in(home, sizeof folders[0], e->dir, homes[e->name]);
	rc = make_dir(home);
	if (rc == 0)
		rc = heal_apply(home);
	if (rc == 0)
		rc = db_os_flush_folder(e->dir);
	if (rc != 0)
		return rc;
	db_os_install(env_broken);
	pace_install(env_broken);
	rc = env_rc(db_env_create(&e->dbenv, 0), "create environment");
	if (rc != 0) {
		e->dbenv = NULL;
		return rc;
	}
	rc = configure(e, cfg->cache_bytes);
	if (rc == 0)
		rc = env_rc(e->dbenv->open(e->dbenv, home, DB_CREATE | (cfg->copied ? DB_RECOVER_FATAL : DB_RECOVER) |
		    DB_INIT_TXN | DB_INIT_LOCK | DB_INIT_LOG | DB_INIT_MPOOL | DB_THREAD | DB_PRIVATE, 0600), "open environment");
	for (enum table t = 0; t < TABLE_COUNT && rc == 0; t++) {
		if (envs[t] == e->name)
			rc = open_table(e, t);
	}
	if (rc == 0)
		rc = db_os_flush_folder(home);
	if (rc == FB_EIO)
		heal_mark(home);
	return rc;
}

/* ---- life ---- */

int
env_open(const struct env_config *cfg, struct env **out)
{
	struct env *e = mem_zalloc(sizeof *e);
	int rc;

	e->name = cfg->name;
	e->dir = mem_strdup(cfg->dir);
	e->lock_fd = -1;
	e->ballast_bytes = cfg->ballast_bytes;
	atomic_init(&e->min_free_bytes, cfg->min_free_bytes);
	rc = make_dir(e->dir);
	if (rc == 0 && e->name == ENV_state)
		rc = lock_dir(e);
	if (rc == 0 && e->name == ENV_state)
		rc = restore_apply(e->dir);
	if (rc == 0) {
		ballast_release(e);
		rc = open_all(e, cfg);
	}
	if (rc != 0) {
		env_close(e);
		return rc;
	}
	env_make_ballast(e);
	checkpoint_start(e);
	*out = e;
	return 0;
}

void
env_close(struct env *e)
{
	if (e == NULL)
		return;
	checkpoint_stop(e);
	for (enum table t = 0; t < TABLE_COUNT; t++) {
		if (e->db[t] != NULL)
			(void)env_rc(e->db[t]->close(e->db[t], 0), "close table");
	}
	if (e->dbenv != NULL)
		(void)env_rc(e->dbenv->close(e->dbenv, 0), "close environment");
	if (e->lock_fd >= 0)
		close(e->lock_fd);
	mem_free(e->dir);
	mem_free(e);
}

/* ---- writing ---- */

struct write_call {
	struct env *env;
	int (*fn)(struct txn *x, void *arg);
	void *arg;
};

static int
write_once(void *arg)
{
	struct write_call *w = arg;
	struct txn x = { .env = w->env };
	int rc = env_rc(w->env->dbenv->txn_begin(w->env->dbenv, NULL, &x.txn, DB_TXN_NOSYNC), "begin");

	if (rc != 0)
		return rc;
	rc = w->fn(&x, w->arg);
	if (rc == 0)
		return env_rc(x.txn->commit(x.txn, DB_TXN_NOSYNC), "commit");
	(void)env_rc(x.txn->abort(x.txn), "abort");
	return rc;
}

int
env_write(struct env *e, int (*fn)(struct txn *x, void *arg), void *arg)
{
	struct write_call w = { .env = e, .fn = fn, .arg = arg };

	return env_retry(write_once, &w);
}

void
env_flush(struct env *e)
{
	int rc = e->dbenv->log_flush(e->dbenv, NULL);

	if (rc != 0)
		env_broken(db_strerror(rc));
}

struct env *
txn_env(const struct txn *x)
{
	return x->env;
}

enum env_name
env_which(const struct env *e)
{
	return e->name;
}
