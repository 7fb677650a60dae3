/* SPDX-License-Identifier: Apache-2.0 */
#include "t/bench/proc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"

double
proc_cpu_s(pid_t pid)
{
	unsigned long user = 0, sys = 0;
	char path[64];
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	f = fopen(path, "r");
	if (f == NULL)
		return 0;
	if (fscanf(f, "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &sys) != 2)
		user = sys = 0;
	fclose(f);
	return (double)(user + sys) / (double)sysconf(_SC_CLK_TCK);
}

int64_t
proc_kb(const char *file, const char *name, pid_t pid)
{
	char path[64], line[256];
	int64_t kb = 0;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
	f = fopen(path, "r");
	while (f != NULL && kb == 0 && fgets(line, sizeof line, f) != NULL) {
		if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':')
			kb = strtoll(line + strlen(name) + 1, NULL, 10);
	}
	if (f != NULL)
		fclose(f);
	return kb;
}

double
now_s(void)
{
	return (double)clock_mono().ns / 1e9;
}
