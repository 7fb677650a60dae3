/* SPDX-License-Identifier: Apache-2.0
 * supervisor/client/proc.c - CPU time comes from the process's own clock: in ns, up to this moment also for a thread that runs
 * now, with the threads that ended. The ticks of /proc/PID/stat are too coarse, schedstat forgets ended threads. */
#include "supervisor/client/proc.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/clock.h"

bool
proc_parse(struct proc_set *set, const char *list)
{
	const char *p = list;

	set->root_count = 0;
	while (set->root_count < sizeof set->roots / sizeof set->roots[0]) {
		char *end = NULL;
		long v = strtol(p, &end, 10);

		if (end == p || v <= 0 || v > INT32_MAX)
			return false;
		set->roots[set->root_count++] = (pid_t)v;
		if (*end == 0)
			return true;
		if (*end != ',')
			return false;
		p = end + 1;
	}
	return false;
}

struct proc_pair {
	pid_t pid;
	pid_t parent;
};

/* The parent is the second field behind the last ')': the name before it may hold anything. */
static pid_t
parent_of(const char *pid)
{
	char path[64];
	char line[512];
	const char *p = NULL;
	long parent = -1;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%.20s/stat", pid);
	f = fopen(path, "re");
	if (f == NULL)
		return -1;
	if (fgets(line, sizeof line, f) != NULL)
		p = strrchr(line, ')');
	if (p != NULL && strlen(p) > 4)
		parent = strtol(p + 4, NULL, 10);
	fclose(f);
	return (pid_t)parent;
}

static size_t
all_processes(struct proc_pair *out, size_t max)
{
	DIR *d = opendir("/proc");
	struct dirent *e;
	size_t n = 0;

	if (d == NULL)
		return 0;
	while (n < max && (e = readdir(d)) != NULL) {
		if (e->d_name[0] < '1' || e->d_name[0] > '9')
			continue;
		out[n].pid = (pid_t)strtol(e->d_name, NULL, 10);
		out[n].parent = parent_of(e->d_name);
		if (out[n].parent >= 0)
			n++;
	}
	closedir(d);
	return n;
}

static bool
has(const struct proc_set *set, pid_t pid)
{
	for (size_t i = 0; i < set->count; i++)
		if (set->pids[i] == pid)
			return true;
	return false;
}

static bool
is_root(const struct proc_set *set, pid_t pid)
{
	for (size_t i = 0; i < set->root_count; i++)
		if (set->roots[i] == pid)
			return true;
	return false;
}

bool
proc_find(struct proc_set *set)
{
	static struct proc_pair all[32768];
	size_t n = all_processes(all, sizeof all / sizeof all[0]);
	size_t before;

	set->count = 0;
	do {
		before = set->count;
		for (size_t i = 0; i < n && set->count < PROC_MAX; i++) {
			if (has(set, all[i].pid))
				continue;
			if (is_root(set, all[i].pid) || has(set, all[i].parent))
				set->pids[set->count++] = all[i].pid;
		}
	} while (set->count > before);
	return set->count > 0;
}

int64_t
proc_cpu_ns(const struct proc_set *set)
{
	int64_t sum = 0;

	for (size_t i = 0; i < set->count; i++) {
		clockid_t clock;
		struct timespec t;

		if (clock_getcpuclockid(set->pids[i], &clock) == 0 && clock_gettime(clock, &t) == 0)
			sum += t.tv_sec * NS_PER_SEC + t.tv_nsec;
	}
	return sum;
}

int64_t
proc_pss(const struct proc_set *set)
{
	int64_t sum = 0;

	for (size_t i = 0; i < set->count; i++) {
		char path[64];
		char line[256];
		long long kb = -1;
		FILE *f;

		snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)set->pids[i]);
		f = fopen(path, "re");
		if (f == NULL)
			return -1;
		while (kb < 0 && fgets(line, sizeof line, f) != NULL)
			if (sscanf(line, "Pss: %lld kB", &kb) != 1)
				kb = -1;
		fclose(f);
		if (kb < 0)
			return -1;
		sum += kb * 1024;
	}
	return sum;
}

int64_t
proc_own_cpu_ns(void)
{
	struct timespec t = { 0, 0 };

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * NS_PER_SEC + t.tv_nsec;
}
