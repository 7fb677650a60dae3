/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/ipc/chan.h"

#define CHAN_FD 3
#define OOM_SCORE "/proc/self/oom_score_adj"

int
spawn_oom_score(int ours, int less)
{
	if (ours >= 0)
		return ours;
	return ours + less < 0 ? ours + less : 0;
}

/* The score that a child is to have; "": ours. */
static void
oom_score(int less, char *out, size_t size)
{
	FILE *f = fopen(OOM_SCORE, "re");
	int score = 0;

	out[0] = '\0';
	if (f == NULL)
		return;
	if (fscanf(f, "%d", &score) == 1 && spawn_oom_score(score, less) != score)
		snprintf(out, size, "%d", spawn_oom_score(score, less));
	fclose(f);
}

/* After fork(): only calls that are safe there. report: closed by a successful exec. */
static _Noreturn void
become(const char *path, char *const argv[], const char *oom, int log_fd, int chan_fd, int report)
{
	int fd = oom[0] != '\0' ? open(OOM_SCORE, O_WRONLY | O_CLOEXEC) : -1;
	sigset_t none;
	int err;

	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)setpgid(0, 0);
	if (fd >= 0)
		(void)!write(fd, oom, strlen(oom));
	if (dup2(log_fd, STDOUT_FILENO) >= 0 && dup2(log_fd, STDERR_FILENO) >= 0 && dup2(chan_fd, CHAN_FD) >= 0) {
		(void)close_range(CHAN_FD + 1, ~0u, CLOSE_RANGE_CLOEXEC);
		execv(path, argv);
	}
	err = errno;
	(void)!write(report, &err, sizeof err);
	_exit(127);
}

int
spawn(const char *path, char *const argv[], int oom_less, int log_fd, pid_t *pid, int *chan_fd)
{
	int pair[2];
	int report[2];
	char oom[16];
	int err = 0;
	ssize_t n;
	pid_t child;

	if (chan_pair(pair) != 0)
		return FB_EIO;
	if (pipe2(report, O_CLOEXEC) != 0) {
		close(pair[0]);
		close(pair[1]);
		return FB_EIO;
	}
	oom_score(oom_less, oom, sizeof oom);
	child = fork();
	if (child == 0)
		become(path, argv, oom, log_fd, pair[1], report[1]);
	err = errno;
	close(pair[1]);
	close(report[1]);
	if (child > 0) {
		do
			n = read(report[0], &err, sizeof err);
		while (n < 0 && errno == EINTR);
		if (n == 0) {
			close(report[0]);
			*pid = child;
			*chan_fd = pair[0];
			return 0;
		}
		(void)waitpid(child, NULL, 0);
	}
	close(report[0]);
	close(pair[0]);
	errno = err;
	return FB_EIO;
}

void
spawn_reserve_fds(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd >= 0 && fd < CHAN_FD);
	/* Those that were missing among 0 to 2 are the children's too. */
	for (int i = 0; i < CHAN_FD; i++) {
		int flags = fcntl(i, F_GETFD);

		if (flags >= 0)
			(void)fcntl(i, F_SETFD, flags & ~FD_CLOEXEC);
	}
	if (fd > CHAN_FD)
		close(fd);
}

uint64_t
spawn_raise_limits(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) != 0)
		return 1024;
	if (r.rlim_cur < r.rlim_max) {
		rlim_t before = r.rlim_cur;

		r.rlim_cur = r.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &r) != 0)
			r.rlim_cur = before;
	}
	return r.rlim_cur;
}

uint64_t
spawn_clients(uint64_t descriptors)
{
	return descriptors > CONFIG_WORKER_FDS ? descriptors - CONFIG_WORKER_FDS : 0;
}

int
spawn_drop_privileges(const struct config *c, uid_t uid, gid_t gid, struct config_error *e)
{
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);        /* ports below 1024 are ours now */
	if (geteuid() == uid || c->user[0] == '\0')
		return 0;
	if (initgroups(c->user, gid) != 0 || setresgid(gid, gid, gid) != 0 || setresuid(uid, uid, uid) != 0 ||
	    (uid != 0 && setuid(0) == 0)) {
		snprintf(e->text, sizeof e->text, "user %s: cannot become this user (%s)", c->user, strerror(errno));
		return FB_EPERM;
	}
	(void)prctl(PR_SET_DUMPABLE, 1);        /* a core, if we ever die, and /proc for our own children */
	return 0;
}
