/* SPDX-License-Identifier: Apache-2.0
 * supervisor/client/bench.h - the load generator's parts: options, connections, a run, its report. One struct bench a process. */
#ifndef CLIENT_BENCH_H
#define CLIENT_BENCH_H

#include <stdbool.h>
#include <stdint.h>

#include "supervisor/client/traffic.h"
#include "supervisor/client/opt.h"
#include "supervisor/client/proc.h"
#include "supervisor/client/swarm.h"

enum bench_mode { BENCH_CONN, BENCH_1TO1, BENCH_FANIN, BENCH_FANOUT, BENCH_RETAINED };

struct bench_opts {
	enum bench_mode mode;
	struct net net;
	const char *user;
	const char *password;
	const char *prefix;
	const char *admin_socket;
	uint8_t level;
	uint8_t qos;
	uint32_t size;
	uint32_t pubs;                  /* 1to1: also the number of subscribers */
	uint32_t subs;
	uint32_t clients;
	uint32_t window;
	uint32_t idle;
	uint32_t subscribe;
	uint32_t concurrency;
	uint64_t messages;
	double rate;
	double duration_s;
	double warmup_s;
	double hold_s;
	double stall_s;
	bool cross, retain, slope, spin, allow_loss, json, quiet, help;
	struct proc_set procs;          /* root_count 0: not asked for */
	char prefix_made[16];
};

/* argv starts behind "bench" and is NULL at its end. 0; FB_EINVAL with the text in error. */
int bench_opts_parse(struct bench_opts *o, char **argv, char *error, size_t error_size);
void bench_opts_help(void);
const char *bench_mode_name(enum bench_mode mode);

/* All counters at one moment. */
struct bench_sample {
	struct mono at;
	int64_t broker_cpu_ns;
	int64_t own_cpu_ns;
	struct traffic_totals n;
};

enum bench_slope { SLOPE_CONNECTION, SLOPE_SUBSCRIPTION, SLOPE_RETAINED, SLOPE_COUNT };

struct bench {
	struct bench_opts o;
	struct swarm swarm;
	struct traffic traffic;
	struct bench_sample from, to;   /* what is measured lies between */
	int64_t pss_before, pss_after;  /* -1: unknown */
	uint64_t missing;               /* 1to1, fanin, fanout: lost; retained: not fetched */
	uint64_t unacked;
	struct bench_sample fetch_from, fetch_to;       /* retained */
	uint64_t connects;              /* connections in the measured time, conn */
	double slope[SLOPE_COUNT];      /* bytes each; NAN: not measured */
	int64_t slope_from, slope_to;   /* what it was made of */
	struct mono shown;              /* progress line */
	uint64_t shown_count;
	bool tty;
};

/* True once SIGINT or SIGTERM came: finish and report. */
bool bench_interrupted(void);
/* One turn with progress line; false: failed or interrupted. count and what are for the progress line. */
bool bench_turn(struct bench *b, int64_t wait_ns, const char *what, uint64_t count);
void bench_sample(struct bench *b, struct bench_sample *s);
/* n more connections, all up on return; *first is the first's number. */
bool bench_open(struct bench *b, uint32_t n, uint32_t *first);
bool bench_subacks(struct bench *b);
/* slope of n things between two answers of bench_memory(). */
bool bench_slope(struct bench *b, enum bench_slope what, int64_t from, int64_t to, uint64_t n);
/* Waits until the memory of the broker's processes stands still; -1 if unknown. */
int64_t bench_memory(struct bench *b);

bool bench_conn(struct bench *b);                       /* mode conn */
bool bench_idle(struct bench *b);                       /* --idle and --subscribe of the other modes */
bool bench_retained(struct bench *b);                   /* mode retained */
/* Sorts peers (numbers first ...) into pubs and subs that are on different workers; opens more if it must. */
bool cross_pick(struct bench *b, struct peer **pubs, uint32_t pub_count, struct peer **subs, uint32_t sub_count);

void bench_report(const struct bench *b, bool ok);
/* What the run found wrong, not counting swarm.error. */
bool bench_clean(const struct bench *b);

int bench_main(char **argv);                            /* exit code */

#endif
