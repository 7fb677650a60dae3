/* SPDX-License-Identifier: Apache-2.0
 *
 * A disk that is really full: a small tmpfs in a mount namespace of the test's own. Where such a thing is not allowed
 * the tests say so and pass. */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "t/support/store_rig.h"
#include "t/support/unit.h"

static const char *const settings[] = { "store.min_free", "8MiB", "store.cache", "4MiB", NULL };

static void
write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	if (fd < 0)
		return;
	(void)!write(fd, text, strlen(text));
	close(fd);
}

static bool
small_disk(const char *dir)
{
	char uids[32], gids[32];

	snprintf(uids, sizeof uids, "0 %u 1", (unsigned)getuid());
	snprintf(gids, sizeof gids, "0 %u 1", (unsigned)getgid());
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) {
		printf("skipped: no namespaces here\n");
		return false;
	}
	write_file("/proc/self/setgroups", "deny");
	write_file("/proc/self/uid_map", uids);
	write_file("/proc/self/gid_map", gids);
	if (mount("tmpfs", dir, "tmpfs", 0, "size=128m") != 0) {
		printf("skipped: no mounts here\n");
		return false;
	}
	return true;
}

static int64_t
free_bytes(const char *dir)
{
	struct statvfs v;

	ck_assert_int_eq(statvfs(dir, &v), 0);
	return (int64_t)v.f_bavail * (int64_t)v.f_frsize;
}

static char filler[128];

static void
fill(const char *dir, int64_t leave)
{
	int fd;

	snprintf(filler, sizeof filler, "%s/filler", dir);
	fd = open(filler, O_WRONLY | O_CREAT, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(posix_fallocate(fd, 0, free_bytes(dir) - leave), 0);
	close(fd);
}

static void
workers(struct rig *r)
{
	rig_wait_ready(r);
	rig_worker(r, 0, 0, true);
	mem_free(rig_wait(&r->worker[0], IPC_LOADED));
}

static int
retain(struct rig *r, uint64_t seq, unsigned topic, size_t size)
{
	static uint8_t payload[1 << 20];
	char text[32];

	snprintf(text, sizeof text, "t/%u", topic);
	CHAN_SEND(r->worker[0].chan, RETAIN, retain, .seq = seq, .qos = 1, .topic = slice_str(text),
	    .payload = slice_of(payload, size));
	return rig_wait_done(r, 0, seq);
}

START_TEST(a_disk_that_fills_refuses_and_goes_on)
{
	unsigned kept = 0;
	uint64_t seq = 0;
	struct rig r;
	int code;

	rig_init(&r, 1);
	if (small_disk(r.dir)) {
		rig_start(&r, settings);
		workers(&r);
		while ((code = retain(&r, ++seq, kept, 1 << 20)) == 0)
			ck_assert_uint_lt(++kept, 200);
		ck_assert_int_eq(code, FB_EDISK);
		ck_assert_int_gt(free_bytes(r.dir), 2 << 20);
		ck_assert_uint_eq(rig_retained(&r, 0, "#", 1 << 20), kept);
		ck_assert_int_eq(rig_open(&r, 0, OPEN_CLEAN, "c", NULL, NULL).code, 0);
		rig_kill(&r);
		rig_start(&r, settings);
		workers(&r);
		ck_assert_uint_eq(rig_retained(&r, 0, "#", 1 << 20), kept);
		rig_kill(&r);
		ck_assert_int_eq(umount2(r.dir, MNT_DETACH), 0);
	}
	rig_fini(&r);
}
END_TEST

START_TEST(recovery_needs_no_room)
{
	uint64_t seq = 0;
	char path[128];
	struct rig r;

	rig_init(&r, 1);
	if (small_disk(r.dir)) {
		rig_start(&r, settings);
		workers(&r);
		for (unsigned i = 0; i < 100; i++)
			ck_assert_int_eq(retain(&r, ++seq, i, 1000), 0);
		snprintf(path, sizeof path, "%s/data/ballast", r.dir);
		ck_assert_int_eq(access(path, F_OK), 0);
		fill(r.dir, 0);
		ck_assert_int_eq(retain(&r, ++seq, 100, 1000), FB_EDISK);
		rig_kill(&r);
		rig_start(&r, settings);
		workers(&r);
		ck_assert_int_ne(access(path, F_OK), 0);
		ck_assert_uint_eq(rig_retained(&r, 0, "#", 1 << 20), 100);
		ck_assert_int_eq(unlink(filler), 0);
		ck_assert_int_eq(retain(&r, 1, 100, 1000), 0);
		rig_kill(&r);
		rig_start(&r, settings);
		workers(&r);
		ck_assert_int_eq(access(path, F_OK), 0);
		ck_assert_uint_eq(rig_retained(&r, 0, "#", 1 << 20), 101);
		rig_kill(&r);
		ck_assert_int_eq(umount2(r.dir, MNT_DETACH), 0);
	}
	rig_fini(&r);
}
END_TEST

UNIT_MAIN("store_disk", a_disk_that_fills_refuses_and_goes_on, recovery_needs_no_room)
