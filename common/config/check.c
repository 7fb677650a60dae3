/* SPDX-License-Identifier: Apache-2.0
 * common/config/check.c - rules that need more than one key, and values that depend on the machine. */
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/config/config.h"

#define WORKERS_MAX 64
/* One scrypt with r = 8 takes 1 KiB for each step of N. */
#define SCRYPT_STEP_BYTES 1024
#define SCRYPT_ALL_BYTES (INT64_C(8) << 30)

static int
check_listener(const struct listener_config *l, struct config_error *e)
{
	if (l->port == 0 || !listener_has_tls(l->kind))
		return 0;
	if (l->cert[0] == '\0' || l->key[0] == '\0') {
		snprintf(e->text, sizeof e->text, "listeners.%s.port is set without listeners.%s.%s; scripts/new-certs makes "
		    "a certificate to try it with", l->name, l->name, l->cert[0] == '\0' ? "cert" : "key");
		return FB_ECONFLICT;
	}
	if (strcmp(l->client_cert, "off") != 0 && l->ca[0] == '\0') {
		snprintf(e->text, sizeof e->text, "listeners.%s.client_cert is %s without listeners.%s.ca, the authorities that "
		    "client certificates must come from", l->name, l->client_cert, l->name);
		return FB_ECONFLICT;
	}
	if (l->cn_user && strcmp(l->client_cert, "off") == 0) {
		snprintf(e->text, sizeof e->text, "listeners.%s.cn_is_user needs listeners.%s.client_cert: optional or required",
		    l->name, l->name);
		return FB_ECONFLICT;
	}
	return 0;
}

/* Two that listen at one address; 0.0.0.0 beside 127.0.0.1 shows only when they do. */
static int
check_ports(const struct config *c, const struct listener_config *l, unsigned before, struct config_error *e)
{
	for (unsigned i = 0; i < before && l->port > 0; i++) {
		struct listener_config o;

		config_listener(c, i, &o);
		if (o.port != l->port || (o.bind[0] != '\0' && l->bind[0] != '\0' && strcmp(o.bind, l->bind) != 0))
			continue;
		snprintf(e->text, sizeof e->text, "listeners.%s.port is %u, as listeners.%s.port; give them different ports, or "
		    "each an address of its own with bind", l->name, (unsigned)l->port, o.name);
		return FB_ECONFLICT;
	}
	return 0;
}

int
config_check(const struct config *c, struct config_error *e)
{
	int64_t hashing = c->auth_scrypt_n * SCRYPT_STEP_BYTES * c->auth_threads;

	if (hashing > SCRYPT_ALL_BYTES) {
		snprintf(e->text, sizeof e->text,
		    "auth.scrypt_n %" PRId64 " with auth.threads %" PRId64 " would take %" PRId64
		    " MiB of memory at once; valid: at most %" PRId64 " MiB, so lower one of them",
		    c->auth_scrypt_n, c->auth_threads, hashing >> 20, SCRYPT_ALL_BYTES >> 20);
		return FB_ECONFLICT;
	}
	for (unsigned i = 0; i < CONFIG_LISTENERS; i++) {
		struct listener_config l;
		int err;

		config_listener(c, i, &l);
		err = check_listener(&l, e);
		if (err == 0)
			err = check_ports(c, &l, i, e);
		if (err != 0)
			return err;
	}
	return 0;
}

static unsigned
usable_cpus(void)
{
	cpu_set_t set;
	int n = 0;

	CPU_ZERO(&set);
	if (sched_getaffinity(0, sizeof set, &set) == 0)
		n = CPU_COUNT(&set);
	return n < 1 ? 1 : n > WORKERS_MAX ? WORKERS_MAX : (unsigned)n;
}

unsigned
config_workers(const struct config *c)
{
	if (strcmp(c->workers, "auto") == 0)
		return usable_cpus();
	return (unsigned)strtoul(c->workers, NULL, 10);
}
