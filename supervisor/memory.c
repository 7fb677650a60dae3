/* SPDX-License-Identifier: Apache-2.0
 * One line of /proc/PID/statm a process, which the kernel keeps counted: about 5 us, however large the process is. The
 * proportional set size of smaps_rollup would be exacter about shared pages, but makes the kernel walk every page of it
 * (some 20 ms a GiB, with its memory map locked), and the plain resident size counts the programs' text once a worker. */
#include "supervisor/memory.h"

#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define KIB 1024u

static FILE *
open_in(const char *root, const char *path)
{
	char full[PATH_MAX];

	if ((size_t)snprintf(full, sizeof full, "%s%s", root, path) >= sizeof full)
		return NULL;
	return fopen(full, "re");
}

uint64_t
memory_of(const char *root, pid_t pid)
{
	uint64_t resident = 0, shared = 0;
	char path[48];
	FILE *f;
	int n;

	snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
	f = open_in(root, path);
	if (f == NULL)
		return 0;
	n = fscanf(f, "%*u %" SCNu64 " %" SCNu64, &resident, &shared);
	fclose(f);
	return n == 2 && resident > shared ? (resident - shared) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

static uint64_t
machine(const char *root)
{
	char line[256];
	uint64_t kb = 0;
	FILE *f = open_in(root, "/proc/meminfo");

	while (f != NULL && fgets(line, sizeof line, f) != NULL)
		if (sscanf(line, "MemTotal: %" SCNu64, &kb) == 1)
			break;
	if (f != NULL)
		fclose(f);
	return kb * KIB;
}

/* The number in a file; "max", and no such file: 0. */
static uint64_t
number_in(const char *root, const char *path)
{
	uint64_t n = 0;
	FILE *f = open_in(root, path);

	if (f == NULL)
		return 0;
	if (fscanf(f, "%" SCNu64, &n) != 1)
		n = 0;
	fclose(f);
	return n;
}

static uint64_t
smaller(uint64_t a, uint64_t b)
{
	return a == 0 || (b != 0 && b < a) ? b : a;
}

/* The tightest limit of a group and all above it. In a container the path may be the host's, which is not there;
 * what is mounted then is the container's own group. */
static uint64_t
group_limit(const char *root, const char *mount, char *group, const char *file)
{
	char path[PATH_MAX];
	uint64_t limit = 0;

	for (;;) {
		char *slash = strrchr(group, '/');

		if ((size_t)snprintf(path, sizeof path, "%s%s/%s", mount, strcmp(group, "/") == 0 ? "" : group, file) < sizeof path)
			limit = smaller(limit, number_in(root, path));
		if (group[0] == '\0' || slash == NULL)
			return limit;
		*slash = '\0';
	}
}

/* Is memory among the comma-separated controllers? */
static bool
is_memory(const char *list, size_t len)
{
	static const char word[] = "memory";
	size_t n = sizeof word - 1;

	for (size_t i = 0; i + n <= len; i++)
		if (strncmp(list + i, word, n) == 0 && (i == 0 || list[i - 1] == ',') && (i + n == len || list[i + n] == ','))
			return true;
	return false;
}

uint64_t
memory_limit(const char *root)
{
	uint64_t limit = machine(root);
	char line[PATH_MAX];
	FILE *f = open_in(root, "/proc/self/cgroup");

	/* "4:memory:/a/b" of version 1, "0::/a/b" of version 2 */
	while (f != NULL && fgets(line, sizeof line, f) != NULL) {
		char *list = strchr(line, ':');
		char *group = list == NULL ? NULL : strchr(list + 1, ':');

		if (group == NULL)
			continue;
		group++;
		group[strcspn(group, "\n")] = '\0';
		if (strncmp(line, "0::", 3) == 0)
			limit = smaller(limit, group_limit(root, "/sys/fs/cgroup", group, "memory.max"));
		else if (is_memory(list + 1, (size_t)(group - 1 - (list + 1))))
			limit = smaller(limit, group_limit(root, "/sys/fs/cgroup/memory", group, "memory.limit_in_bytes"));
	}
	if (f != NULL)
		fclose(f);
	return limit;
}
