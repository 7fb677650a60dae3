/* SPDX-License-Identifier: Apache-2.0
 * supervisor/certs.h - what the supervisor does for listeners with TLS, without linking OpenSSL: it has their files
 * tried by a helper, makes the keys of session tickets and changes them, and warns before a certificate ends. */
#ifndef SUPERVISOR_CERTS_H
#define SUPERVISOR_CERTS_H

#include "common/base/wheel.h"
#include "common/config/config.h"
#include "common/ipc/chan.h"

#define CERTS_KEY_BYTES 80              /* of one ticket key, random throughout */
#define CERTS_KEYS 2                    /* the newest, and the one before: its tickets are still taken */

struct node;

struct certs {
	struct node *node;
	struct timer tick;
	uint8_t keys[CERTS_KEYS * CERTS_KEY_BYTES];
	unsigned made;                  /* keys, CERTS_KEYS at most */
	struct mono changed;
	struct {
		uint64_t expires_s;     /* of the certificate that was warned about */
		int days;               /* what was left then, of the steps of certs.c */
	} warned[CONFIG_LISTENERS];
};

/* Runs `fubar-worker --check-tls` as the configuration's user, if a listener with TLS is on. 0, or FB_EINVAL and *e
 * names key, file and reason. Waits for it, some seconds at most. */
int certs_check(const struct config *c, struct config_error *e);

void certs_start(struct certs *s, struct node *n);
void certs_stop(struct certs *s);
/* Tells a worker the keys. */
void certs_send(const struct certs *s, struct chan *to);
/* When the certificate of that listener ends, the earliest of all workers', in seconds of the wall clock; 0: none. */
uint64_t certs_expires(const struct node *n, unsigned listener);

/* Pure parts. A new key, the one before behind it. */
void certs_rotate(struct certs *s);
/* The step (30, 7, 1 or 0 days) that these seconds have come below; -1: none yet. */
int certs_step(int64_t left_s);

/* May this key be set while it runs? The files of a listener that is off may not: they would wait unread until a file
 * switches it on. 0; FB_EUNSUP and *e. */
int certs_may_set(const struct config *c, const char *path, struct config_error *e);

#endif
