/* SPDX-License-Identifier: Apache-2.0
 * store/auth.h - is this the password of this account?
 *
 * Cheap answers come at once: generated passwords, unknown names, credentials verified before (a bounded cache of keyed
 * hashes over name, password and the account's record: a changed account is simply not found). The others go to a
 * pool of threads, one check for all who ask the same at the same time, in order of arrival; a login that waited longer
 * than clients are given is dropped, and over auth.queue waiting ones new ones are refused. */
#ifndef STORE_AUTH_H
#define STORE_AUTH_H

#include "common/base/list.h"
#include "common/base/loop.h"
#include "common/base/slice.h"
#include "common/crypto/passwd.h"

struct env;
struct auth;

struct auth_config {
	unsigned threads;
	uint64_t queue;                 /* logins that may wait */
	int64_t patience_ns;            /* how long a login may wait */
};

/* key: the store's, PASSWD_MAC_BYTES bytes. */
struct auth *auth_new(struct loop *l, struct env *e, const void *key, const struct auth_config *cfg);
void auth_free(struct auth *a);         /* NULL is allowed; who waits is forgotten */
void auth_set(struct auth *a, const struct auth_config *cfg);           /* threads stay as they are */

/* 0; FB_EAUTH: unknown or wrong; FB_EAGAIN: ask auth_check_slow(); FB_EIO. */
int auth_check_fast(struct auth *a, struct slice name, struct slice password);

struct auth_ask {
	struct list link;               /* the job's */
	void *asker;                    /* for auth_drop() */
	void (*done)(struct auth_ask *ask, int rc);     /* 0, FB_EAUTH, FB_EBUSY (waited too long), FB_EIO */
};
/* 0: done is called later; FB_EBUSY: too many wait. */
int auth_check_slow(struct auth *a, struct slice name, struct slice password, struct auth_ask *ask);
/* Forgets what asker waits for; each ask is given to fn. */
void auth_drop(struct auth *a, const void *asker, void (*fn)(struct auth_ask *ask));

/* A new hash for an account: done(arg, 0, text) in the loop. Goes before all checks. */
void auth_hash(struct auth *a, struct slice password, uint32_t n, void (*done)(void *arg, int rc, const char *text),
    void *arg);
void auth_keyed(struct auth *a, struct slice name, struct slice password, char out[PASSWD_TEXT_MAX]);
/* Another key from now on: generated passwords that were made with the one before are not valid any more. */
void auth_set_key(struct auth *a, const void *key);
/* Forgets all verified credentials. */
void auth_forget(struct auth *a);

#endif
