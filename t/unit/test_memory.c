/* SPDX-License-Identifier: Apache-2.0
 * Memory of processes and limits of control groups, read from a false root. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supervisor/memory.h"
#include "supervisor/sysmon.h"
#include "t/support/unit.h"

#define MIB (UINT64_C(1) << 20)

static char root[64];

static void
make(void)
{
	strcpy(root, "/tmp/fubar-memory-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(root));
}

static void
put(const char *path, const char *text)
{
	char full[512];
	FILE *f;

	snprintf(full, sizeof full, "%s%s", root, path);
	for (char *p = full + strlen(root) + 1; (p = strchr(p, '/')) != NULL; p++) {
		*p = '\0';
		(void)mkdir(full, 0700);
		*p = '/';
	}
	f = fopen(full, "w");
	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

static void
unmake(void)
{
	char command[128];

	snprintf(command, sizeof command, "rm -r %s", root);
	ck_assert_int_eq(system(command), 0);
}

START_TEST(private_pages_count)
{
	make();
	put("/proc/12/statm", "9000 3000 1000 5 0 700 0\n");
	ck_assert_uint_eq(memory_of(root, 12), 2000 * (uint64_t)sysconf(_SC_PAGESIZE));
	ck_assert_uint_eq(memory_of(root, 13), 0);
	put("/proc/13/statm", "damaged");
	ck_assert_uint_eq(memory_of(root, 13), 0);
	ck_assert_uint_gt(memory_of("", getpid()), 0);
	unmake();
}
END_TEST

START_TEST(the_machine_s_memory)
{
	make();
	ck_assert_uint_eq(memory_limit(root), 0);
	put("/proc/meminfo", "MemTotal:        2048 kB\nMemFree: 1 kB\n");
	ck_assert_uint_eq(memory_limit(root), 2 * MIB);
	put("/proc/self/cgroup", "");
	ck_assert_uint_eq(memory_limit(root), 2 * MIB);
	ck_assert_uint_gt(memory_limit(""), 64 * MIB);
	unmake();
}
END_TEST

START_TEST(groups_of_version_2)
{
	make();
	put("/proc/meminfo", "MemTotal: 1048576 kB\n");
	put("/proc/self/cgroup", "0::/a.slice/b.service\n");
	ck_assert_uint_eq(memory_limit(root), 1024 * MIB);
	put("/sys/fs/cgroup/a.slice/b.service/memory.max", "max\n");
	ck_assert_uint_eq(memory_limit(root), 1024 * MIB);
	put("/sys/fs/cgroup/a.slice/memory.max", "536870912\n");         /* one above */
	ck_assert_uint_eq(memory_limit(root), 512 * MIB);
	put("/sys/fs/cgroup/a.slice/b.service/memory.max", "104857600\n");
	ck_assert_uint_eq(memory_limit(root), 100 * MIB);
	put("/sys/fs/cgroup/a.slice/b.service/memory.max", "99999999999999\n");
	ck_assert_uint_eq(memory_limit(root), 512 * MIB);
	put("/proc/self/cgroup", "0::/\n");                             /* in a container, at its root */
	ck_assert_uint_eq(memory_limit(root), 1024 * MIB);
	put("/sys/fs/cgroup/memory.max", "1048576\n");
	ck_assert_uint_eq(memory_limit(root), MIB);
	unmake();
}
END_TEST

START_TEST(groups_of_version_1)
{
	make();
	put("/proc/meminfo", "MemTotal: 1048576 kB\n");
	put("/proc/self/cgroup", "5:cpu,cpuacct:/x\n4:hugetlb,memory:/docker/1\n3:memory_not:/y\n0::/\n");
	ck_assert_uint_eq(memory_limit(root), 1024 * MIB);
	put("/sys/fs/cgroup/memory/x/memory.limit_in_bytes", "1\n");
	ck_assert_uint_eq(memory_limit(root), 1024 * MIB);
	put("/sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes", "9223372036854771712\n");
	ck_assert_uint_eq(memory_limit(root), 1024 * MIB);
	put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "209715200\n");      /* what a container sees of its own */
	ck_assert_uint_eq(memory_limit(root), 200 * MIB);
	unmake();
}
END_TEST

START_TEST(load_is_a_share)
{
	ck_assert(sysmon_load(0, 0) < 0.001);
	ck_assert(sysmon_load(5, 0) < 0.001);
	ck_assert(sysmon_load(99, 100) < 1);
	ck_assert(sysmon_load(100, 100) >= 1);
}
END_TEST

UNIT_MAIN("memory", private_pages_count, the_machine_s_memory, groups_of_version_2, groups_of_version_1, load_is_a_share)
