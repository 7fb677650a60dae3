/* SPDX-License-Identifier: Apache-2.0
 *
 * What the disk and Berkeley DB can do: bare_db DIR RECORDS BATCH BYTES [SESSIONS]. Puts records of that size into one
 * btree, BATCH in a transaction, each flushed, with the environment's settings of the store; keys as those of messages that
 * wait in sessions. Then flushes alone, of 4 KiB appended to a file. One line of JSON. For t/bench/durable. */
#include <db.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/clock.h"

#define FLUSHES    200
#define LONGEST_NS (8 * NS_PER_SEC)

static _Noreturn void
fail(const char *what, int rc)
{
	fprintf(stderr, "bare_db: %s: %s\n", what, rc == -1 ? strerror(errno) : db_strerror(rc));
	exit(1);
}

#define DO(call) \
	do { \
		int rc_ = (call); \
		if (rc_ != 0) \
			fail(#call, rc_); \
	} while (0)

static void
be64(uint8_t *p, uint64_t v)
{
	for (int i = 7; i >= 0; i--, v >>= 8)
		p[i] = (uint8_t)v;
}

static void
open_db(const char *dir, DB_ENV **env, DB **db)
{
	DO(db_env_create(env, 0));
	DO((*env)->set_cachesize(*env, 0, 64u << 20, 1));
	DO((*env)->set_lg_bsize(*env, 256u * 1024));
	DO((*env)->set_lg_max(*env, 16u << 20));
	DO((*env)->log_set_config(*env, DB_LOG_AUTO_REMOVE, 1));
	DO((*env)->open(*env, dir, DB_CREATE | DB_RECOVER | DB_INIT_TXN | DB_INIT_LOCK | DB_INIT_LOG | DB_INIT_MPOOL |
	    DB_THREAD | DB_PRIVATE, 0600));
	DO(db_create(db, *env, 0));
	DO((*db)->set_pagesize(*db, 4096));
	DO((*db)->open(*db, NULL, "items.db", NULL, DB_BTREE, DB_CREATE | DB_THREAD | DB_AUTO_COMMIT, 0600));
}

/* How many were put, in *s seconds. */
static unsigned
put_all(DB_ENV *env, DB *db, unsigned records, unsigned batch, unsigned bytes, unsigned sessions, double *s)
{
	static uint8_t value[65536];
	int64_t start = clock_mono().ns;
	uint8_t key[16];
	unsigned done = 0;

	memset(value, 'x', sizeof value);
	while (done < records && clock_mono().ns - start < LONGEST_NS) {
		DB_TXN *txn;

		DO(env->txn_begin(env, NULL, &txn, DB_TXN_NOSYNC));
		for (unsigned i = 0; i < batch && done < records; i++, done++) {
			DBT k = { .data = key, .size = sizeof key };
			DBT v = { .data = value, .size = bytes };

			be64(key, (done % sessions + 1) * UINT64_C(0x9e3779b97f4a7c15));
			be64(key + 8, done / sessions + 1);
			DO(db->put(db, txn, &k, &v, 0));
		}
		DO(txn->commit(txn, DB_TXN_NOSYNC));
		DO(env->log_flush(env, NULL));
	}
	*s = (double)(clock_mono().ns - start) / 1e9;
	return done;
}

static int
compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a;
	int64_t y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

static void
flushes(const char *dir, int64_t *took)
{
	static char page[4096];
	char path[4096];
	int fd;

	snprintf(path, sizeof path, "%s/flushes", dir);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		fail(path, -1);
	for (int i = 0; i < FLUSHES; i++) {
		int64_t start = clock_mono().ns;

		if (write(fd, page, sizeof page) != (ssize_t)sizeof page || fdatasync(fd) != 0)
			fail(path, -1);
		took[i] = clock_mono().ns - start;
	}
	close(fd);
	unlink(path);
	qsort(took, FLUSHES, sizeof *took, compare);
}

int
main(int argc, char **argv)
{
	int64_t took[FLUSHES];
	unsigned records, batch, bytes, sessions;
	double s;
	DB_ENV *env;
	DB *db;

	if (argc < 5) {
		fprintf(stderr, "usage: bare_db DIR RECORDS BATCH BYTES [SESSIONS]\n");
		return 2;
	}
	records = (unsigned)strtoul(argv[2], NULL, 10);
	batch = (unsigned)strtoul(argv[3], NULL, 10);
	bytes = (unsigned)strtoul(argv[4], NULL, 10);
	sessions = argc > 5 ? (unsigned)strtoul(argv[5], NULL, 10) : 16;
	if (records == 0 || batch == 0 || bytes > 65536 || sessions == 0)
		return 2;
	if (mkdir(argv[1], 0700) != 0 && errno != EEXIST)
		fail(argv[1], -1);
	open_db(argv[1], &env, &db);
	records = put_all(env, db, records, batch, bytes, sessions, &s);
	DO(db->close(db, 0));
	DO(env->close(env, 0));
	flushes(argv[1], took);
	printf("{\"records\": %u, \"batch\": %u, \"seconds\": %.3f, \"per_s\": %.0f, \"flush_p50_us\": %" PRId64
	    ", \"flush_p99_us\": %" PRId64 "}\n", records, batch, s, records / s, took[FLUSHES / 2] / 1000,
	    took[FLUSHES * 99 / 100] / 1000);
	return 0;
}
