/* SPDX-License-Identifier: Apache-2.0
 * t/bench/proc.h - what a process has used, for benches: 0 of one that is gone. */
#ifndef T_BENCH_PROC_H
#define T_BENCH_PROC_H

#include <stdint.h>
#include <sys/types.h>

double proc_cpu_s(pid_t pid);
/* A line "name: N kB" of a file of its in /proc: "status" and "VmRSS", "smaps_rollup" and "Pss". */
int64_t proc_kb(const char *file, const char *name, pid_t pid);
double now_s(void);

#endif
