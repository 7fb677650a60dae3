/* SPDX-License-Identifier: Apache-2.0
 * store/files.h - copies of files for backup and restore: what blocks is done on a thread, which counts what it did and
 * looks whether it is to stop. */
#ifndef STORE_FILES_H
#define STORE_FILES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/crypto/digest.h"

#define FILES_PATH_MAX 4096
#define FILES_WHY_MAX  512

/* What a thread does, and what the loop may look at meanwhile. */
struct files_job {
	_Atomic uint64_t done, total;   /* bytes */
	_Atomic bool stop;
	char why[FILES_WHY_MAX];        /* of the thread, until it has ended: for people; set with the error */
};

/* Sets why. Returns code. */
int files_fail(struct files_job *j, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The same for what the system refused; FB_EDISK if there is no room. */
int files_fail_errno(struct files_job *j, const char *what, const char *path, int err);

/* dir/name, in out of FILES_PATH_MAX bytes, which it returns; too long a path is cut, and fails when it is used. */
char *files_path(char *out, const char *dir, const char *name);
bool files_exists(const char *path);
int64_t files_free_bytes(const char *dir);              /* INT64_MAX: unknown */
uint64_t files_bytes(const char *dir);                  /* of the files in a folder; 0: not there */
/* A folder with what is in it. Does nothing if it is not there. */
void files_remove(const char *dir);
int files_make_dir(struct files_job *j, const char *path);
/* Flushes a file or folder. */
int files_sync(struct files_job *j, const char *path);
/* to is new. hash: of what was copied. Counts. */
int files_copy(struct files_job *j, const char *from, const char *to, char hash[DIGEST_TEXT_MAX]);
/* Size and hash of a file. Does not count. */
int files_hash(struct files_job *j, const char *path, uint64_t *bytes, char hash[DIGEST_TEXT_MAX]);
/* A small file, whole, with a NUL behind it, at most max bytes: the caller's. NULL: *err is errno. */
char *files_read(const char *path, size_t max, size_t *len, int *err);
int files_write(struct files_job *j, const char *path, const void *p, size_t len);     /* and flushed */
/* Calls fn for each file of a folder, in no order, until it says something else than 0. */
int files_each(const char *dir, int (*fn)(void *arg, const char *name), void *arg);

#endif
