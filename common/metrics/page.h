/* SPDX-License-Identifier: Apache-2.0
 * common/metrics/page.h - a shared page of counters a process: the child writes plain words, the supervisor reads.
 *
 * One writer, so a counter is one add without a lock. Until page_map() the pointer aims at a private page, so that
 * tests and tools need nothing. */
#ifndef COMMON_METRICS_PAGE_H
#define COMMON_METRICS_PAGE_H

#include <stdint.h>

#include "common/config/config.h"

enum metric {
#define METRIC(name, kind, unit, role, help) METRIC_##name,
#include "common/metrics/metrics.def"
#undef METRIC
	METRIC_COUNT
};

struct metrics_page {
	uint64_t digest;                        /* of metrics.def: both ends must agree */
	uint64_t value[METRIC_COUNT];
	uint64_t listener_connections[CONFIG_LISTENERS];        /* open now, of a worker */
	uint64_t listener_expires_s[CONFIG_LISTENERS];          /* its certificate, wall clock; 0: none */
	uint64_t note;                          /* hash of the session in hand (0: none): who killed this process? */
};

extern struct metrics_page *metrics;            /* never NULL */

#define METRIC_ADD(name, n) (metrics->value[METRIC_##name] += (uint64_t)(n))
#define METRIC_SUB(name, n) (metrics->value[METRIC_##name] -= (uint64_t)(n))
#define METRIC_SET(name, n) (metrics->value[METRIC_##name] = (uint64_t)(n))
#define METRIC_GET(name)    (metrics->value[METRIC_##name])

struct metric_info { const char *name; const char *kind; const char *unit; const char *role; const char *help; };
const struct metric_info *metric_info(enum metric m);

/* Supervisor: a new memfd with a zeroed page; *map is its mapping. Returns the descriptor, or FB_EIO. */
int metrics_make(struct metrics_page **map);
/* Child: map the page that fd shows and write there from now on. fd is taken. 0 or FB_EIO, FB_EVERSION. */
int metrics_map(int fd);

#endif
