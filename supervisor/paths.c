/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/config/dirs.h"

#define PID_FILE "fubard.pid"
#define RUN_LOCK "fubard.lock"

static int
failed(int err, struct config_error *e, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static int
failed(int err, struct config_error *e, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(e->text, sizeof e->text, fmt, ap);
	va_end(ap);
	return err;
}

const char *
paths_in(const char *dir, const char *name, char *out)
{
	int n = snprintf(out, PATH_MAX, "%s/%s", dir, name);

	FB_ASSERT(n > 0 && n < PATH_MAX);       /* paths_resolve() leaves room */
	return out;
}

/* path, made absolute. */
static int
absolute(char path[PATH_MAX], const char *key, struct config_error *e)
{
	char cwd[PATH_MAX];
	char full[PATH_MAX + CONFIG_VALUE_MAX];
	size_t len;

	if (path[0] == '/') {
		snprintf(full, sizeof full, "%s", path);
	} else {
		if (getcwd(cwd, sizeof cwd) == NULL)
			return failed(FB_EIO, e, "%s: the working directory cannot be read (%s); give an absolute path", key,
			    strerror(errno));
		snprintf(full, sizeof full, "%s/%s", cwd, path);
	}
	len = strlen(full);
	while (len > 1 && full[len - 1] == '/')
		full[--len] = '\0';
	if (len > PATH_MAX - 64)
		return failed(FB_ETOOBIG, e, "%s: the path is too long", key);
	memcpy(path, full, len + 1);
	return 0;
}

int
paths_resolve(struct paths *p, const struct config *c, struct config_error *e)
{
	int err;

	p->data_lock = p->run_lock = -1;
	if (dirs_data(c, p->data_dir, sizeof p->data_dir) != 0 || dirs_run(c, p->run_dir, sizeof p->run_dir) != 0)
		return failed(FB_ENOENT, e, "no directory to keep data in: HOME is not set; use --data-dir and --run-dir");
	err = absolute(p->data_dir, "data_dir", e);
	if (err == 0)
		err = absolute(p->run_dir, "run_dir", e);
	if (err == 0 && strlen(p->run_dir) > PATHS_SOCKET_MAX)
		err = failed(FB_ETOOBIG, e, "run_dir %s is too long for the sockets in it: at most %d bytes; use --run-dir",
		    p->run_dir, PATHS_SOCKET_MAX);
	return err;
}

static int
make_parents(const char *dir, const char *key, struct config_error *e)
{
	char path[PATH_MAX];

	snprintf(path, sizeof path, "%s", dir);
	for (char *s = strchr(path + 1, '/'); s != NULL; s = strchr(s + 1, '/')) {
		*s = '\0';
		if (mkdir(path, 0755) != 0 && errno != EEXIST)
			return failed(FB_EPERM, e, "%s %s: cannot make %s (%s); make it, or choose another directory", key, dir,
			    path, strerror(errno));
		*s = '/';
	}
	return 0;
}

int
paths_make_dir(const char *dir, const char *key, mode_t mode, uid_t uid, gid_t gid, struct config_error *e)
{
	struct stat st;
	int err = make_parents(dir, key, e);

	if (err != 0)
		return err;
	if (mkdir(dir, mode) == 0) {
		if (geteuid() == 0 && chown(dir, uid, gid) != 0)
			return failed(FB_EPERM, e, "%s %s: cannot give it to user %u (%s)", key, dir, (unsigned)uid,
			    strerror(errno));
	} else if (errno != EEXIST) {
		return failed(FB_EPERM, e, "%s %s: cannot be made (%s); make it, or choose another directory", key, dir,
		    strerror(errno));
	}
	if (stat(dir, &st) != 0)
		return failed(FB_EPERM, e, "%s %s: %s", key, dir, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return failed(FB_EINVAL, e, "%s %s: is not a directory", key, dir);
	if (st.st_uid != uid)
		return failed(FB_EPERM, e, "%s %s: belongs to user %u, not to user %u; chown it, or choose another directory",
		    key, dir, (unsigned)st.st_uid, (unsigned)uid);
	if ((st.st_mode & S_IWOTH) != 0)
		return failed(FB_EPERM, e, "%s %s: everybody may write there; chmod o-w %s", key, dir, dir);
	if (geteuid() == uid && access(dir, R_OK | W_OK | X_OK) != 0)
		return failed(FB_EPERM, e, "%s %s: no right to write there (%s); chmod u+rwx %s", key, dir, strerror(errno), dir);
	return 0;
}

int
paths_make(struct paths *p, uid_t uid, gid_t gid, struct config_error *e)
{
	int err;
	mode_t before = umask(022);

	err = paths_make_dir(p->data_dir, "data_dir", 0700, uid, gid, e);
	if (err == 0)
		err = paths_make_dir(p->run_dir, "run_dir", 0750, uid, gid, e);
	umask(before);
	return err;
}

/* Who holds the lock, as it wrote into the file. */
static long
holder(int fd)
{
	char text[32] = "";

	if (pread(fd, text, sizeof text - 1, 0) <= 0)
		return 0;
	return strtol(text, NULL, 10);
}

static int
lock_file(const char *dir, const char *name, const char *flag, int *out, struct config_error *e)
{
	char path[PATH_MAX];
	char text[32];
	int fd = open(paths_in(dir, name, path), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	int n;

	if (fd < 0)
		return failed(FB_EPERM, e, "%s: %s; check the rights of the directory", path, strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		failed(FB_EBUSY, e, "another fubard runs on %s (pid %ld); stop it first, or use another %s", dir, holder(fd), flag);
		close(fd);
		return FB_EBUSY;
	}
	n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
	if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)n, 0) != n) {
		close(fd);
		return failed(FB_EIO, e, "%s: %s", path, strerror(errno));
	}
	*out = fd;
	return 0;
}

int
paths_lock(struct paths *p, uid_t uid, gid_t gid, struct config_error *e)
{
	int err = lock_file(p->data_dir, PID_FILE, "--data-dir", &p->data_lock, e);

	if (err == 0)
		err = lock_file(p->run_dir, RUN_LOCK, "--run-dir", &p->run_lock, e);
	if (err == 0 && geteuid() == 0 && (fchown(p->data_lock, uid, gid) != 0 || fchown(p->run_lock, uid, gid) != 0))
		err = failed(FB_EPERM, e, "%s: cannot give the lock file to user %u", p->data_dir, (unsigned)uid);
	return err;
}

/* The files stay: unlinking a lock file lets two processes hold "the" lock. */
void
paths_unlock(struct paths *p)
{
	if (p->data_lock >= 0) {
		(void)!ftruncate(p->data_lock, 0);
		close(p->data_lock);
	}
	if (p->run_lock >= 0) {
		(void)!ftruncate(p->run_lock, 0);
		close(p->run_lock);
	}
	p->data_lock = p->run_lock = -1;
}

int
paths_write(const char *dir, const char *name, const char *text, struct config_error *e)
{
	char path[PATH_MAX];
	char fresh[PATH_MAX + 8];
	size_t len = strlen(text);
	int fd;
	bool ok;

	paths_in(dir, name, path);
	snprintf(fresh, sizeof fresh, "%s.new", path);
	fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return failed(FB_EIO, e, "%s: cannot be written (%s)", path, strerror(errno));
	ok = write(fd, text, len) == (ssize_t)len && fsync(fd) == 0;
	ok = close(fd) == 0 && ok && rename(fresh, path) == 0;
	if (!ok)
		return failed(FB_EIO, e, "%s: cannot be written (%s)", path, strerror(errno));
	return 0;
}

/* The number in a file of the data directory; 0: there is no file. */
static int
read_epoch(const struct paths *p, const char *name, uint64_t *out, struct config_error *e)
{
	char path[PATH_MAX];
	FILE *f = fopen(paths_in(p->data_dir, name, path), "re");
	int err = 0;

	*out = 0;
	if (f == NULL)
		return errno == ENOENT ? 0 : failed(FB_EIO, e, "%s: cannot be read (%s)", path, strerror(errno));
	if (fscanf(f, "%" SCNu64, out) != 1)
		err = failed(FB_ECORRUPT, e, "%s: holds no number; if it was damaged, put a large one there, such as "
		    "the output of date +%%s", path);
	fclose(f);
	return err;
}

int
paths_boot(const struct paths *p, uint64_t *boot, struct config_error *e)
{
	uint64_t n = 0, restored = 0;
	char text[32];
	int err = read_epoch(p, "epoch", &n, e);

	if (err == 0)
		err = read_epoch(p, "restore/epoch", &restored, e);
	if (err != 0)
		return err;
	if (restored > n)
		n = restored;
	snprintf(text, sizeof text, "%" PRIu64 "\n", n + 1);
	err = paths_write(p->data_dir, "epoch", text, e);
	if (err == 0)
		*boot = n + 1;
	return err;
}

int
paths_helper(const char *name, char *out, struct config_error *e)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	char *slash;

	if (n > 0) {
		self[n] = '\0';
		slash = strrchr(self, '/');
		if (slash != NULL && strlen(name) + (size_t)(slash - self) + 2 < PATH_MAX) {
			*slash = '\0';
			if (access(paths_in(self, name, out), X_OK) == 0)
				return 0;
		}
	} else {
		self[0] = '\0';
	}
	if (access(paths_in(PKGLIBEXECDIR, name, out), X_OK) == 0)
		return 0;
	return failed(FB_ENOENT, e, "the helper program %s is missing: neither in %s nor in %s; install fubar again (make, "
	    "make install)", name, self, PKGLIBEXECDIR);
}

int
paths_user(const struct config *c, uid_t *uid, gid_t *gid, struct config_error *e)
{
	struct passwd *pw;

	*uid = geteuid();
	*gid = getegid();
	if (c->user[0] == '\0')
		return 0;
	pw = getpwnam(c->user);
	if (pw == NULL)
		return failed(FB_ENOENT, e, "user %s: there is no such user; adduser --system --group %s", c->user, c->user);
	if (geteuid() != 0 && pw->pw_uid != geteuid())
		return failed(FB_EPERM, e, "user %s: only root can become another user; start as root, or leave user empty",
		    c->user);
	*uid = pw->pw_uid;
	*gid = pw->pw_gid;
	return 0;
}
