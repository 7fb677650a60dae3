/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/config/dirs.h"
#include "supervisor/certs.h"
#include "supervisor/listeners.h"
#include "supervisor/paths.h"
#include "supervisor/spawn.h"

#define FEW_CLIENTS 4096u

struct report {
	FILE *f;
	int wrong;
};

/* level "ok", "note" or "WRONG". */
static void
say(struct report *r, const char *level, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static void
say(struct report *r, const char *level, const char *fmt, ...)
{
	va_list ap;

	if (level[0] == 'W')
		r->wrong++;
	fprintf(r->f, "%-5s  ", level);
	va_start(ap, fmt);
	vfprintf(r->f, fmt, ap);
	va_end(ap);
	putc('\n', r->f);
}

/* The nearest part of path that exists. */
static void
existing(const char *path, char out[PATH_MAX])
{
	struct stat st;
	char *slash;

	snprintf(out, PATH_MAX, "%s", path);
	while (stat(out, &st) != 0 && (slash = strrchr(out, '/')) != NULL && slash != out)
		*slash = '\0';
	if (out[0] == '/' && stat(out, &st) != 0)
		out[1] = '\0';
}

static void
check_dir(struct report *r, const char *key, const char *dir, uid_t uid)
{
	char there[PATH_MAX];
	struct stat st;

	existing(dir, there);
	if (stat(there, &st) != 0) {
		say(r, "WRONG", "%s %s: %s", key, dir, strerror(errno));
	} else if (!S_ISDIR(st.st_mode)) {
		say(r, "WRONG", "%s %s: %s is not a directory; choose another", key, dir, there);
	} else if (strcmp(there, dir) != 0) {
		if (access(there, W_OK | X_OK) == 0)
			say(r, "ok", "%s %s: will be made", key, dir);
		else
			say(r, "WRONG", "%s %s: cannot be made in %s (%s); make it and chown it to user %u", key, dir, there,
			    strerror(errno), (unsigned)uid);
	} else if (st.st_uid != uid) {
		say(r, "WRONG", "%s %s: belongs to user %u, fubard would run as %u; chown -R %u %s", key, dir,
		    (unsigned)st.st_uid, (unsigned)uid, (unsigned)uid, dir);
	} else if ((st.st_mode & S_IWOTH) != 0) {
		say(r, "WRONG", "%s %s: everybody may write there; chmod o-w %s", key, dir, dir);
	} else if (geteuid() == uid && access(dir, R_OK | W_OK | X_OK) != 0) {
		say(r, "WRONG", "%s %s: no right to write there; chmod u+rwx %s", key, dir, dir);
	} else {
		say(r, "ok", "%s %s", key, dir);
	}
}

static void
check_log_dir(struct report *r, const struct config *c, uid_t uid)
{
	char dir[PATH_MAX];

	if (strcmp(c->log_to, "stderr") == 0)
		return;
	if (dirs_log(c, dir, sizeof dir) == 0)
		check_dir(r, "log.dir", dir, uid);
	else
		say(r, "WRONG", "log.dir: HOME is not set, so there is no place for log files; set log.dir");
}

static void
check_space(struct report *r, const struct config *c, const char *dir)
{
	char there[PATH_MAX];
	struct statvfs v;
	uint64_t free_bytes;

	existing(dir, there);
	if (statvfs(there, &v) != 0)
		return;
	free_bytes = (uint64_t)v.f_bavail * v.f_frsize;
	if (free_bytes < (uint64_t)c->store_min_free)
		say(r, "WRONG", "disk of %s: %" PRIu64 " MiB free, less than store.min_free; durable writes would be refused: free "
		    "some, or lower it", dir, free_bytes >> 20);
	else
		say(r, "ok", "disk of %s: %" PRIu64 " MiB free", dir, free_bytes >> 20);
}

/* Is a fubard running there? */
static void
check_lock(struct report *r, const char *dir)
{
	char path[PATH_MAX];
	char text[32] = "";
	int fd = open(paths_in(dir, "fubard.pid", path), O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (flock(fd, LOCK_SH | LOCK_NB) != 0 && read(fd, text, sizeof text - 1) > 0)
		say(r, "note", "a fubard runs on %s (pid %ld); a second one would be refused", dir, strtol(text, NULL, 10));
	close(fd);
}

static void
check_helpers(struct report *r)
{
	static const char *const names[] = { "fubar-worker", "fubar-store" };
	char path[PATH_MAX];
	struct config_error e;

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		if (paths_helper(names[i], path, &e) == 0)
			say(r, "ok", "helper %s", path);
		else
			say(r, "WRONG", "%s", e.text);
	}
}

static void
check_limits(struct report *r, const struct config *c)
{
	unsigned workers = config_workers(c);
	uint64_t descriptors = spawn_raise_limits();
	uint64_t clients = spawn_clients(descriptors);
	struct rlimit core = { 0 };
	long somaxconn = 0;
	FILE *f;

	say(r, clients < FEW_CLIENTS ? "note" : "ok", "descriptors: %" PRIu64 " a process, so %" PRIu64 " clients a worker, %" PRIu64
	    " in all with %u workers%s", descriptors, clients, clients * workers, workers,
	    clients < FEW_CLIENTS ? "; raise it by ulimit -Hn or LimitNOFILE= in the unit" : "");
	f = fopen("/proc/sys/net/core/somaxconn", "re");
	if (f != NULL) {
		if (fscanf(f, "%ld", &somaxconn) == 1 && somaxconn < c->mqtt_backlog)
			say(r, "note", "net.core.somaxconn is %ld, less than listeners.mqtt.backlog: sysctl -w net.core.somaxconn=%" PRId64,
			    somaxconn, c->mqtt_backlog);
		fclose(f);
	}
	(void)getrlimit(RLIMIT_CORE, &core);
	if (core.rlim_cur == 0)
		say(r, "note", "no cores would be written: ulimit -c unlimited, or LimitCORE=infinity in the unit");
}

static void
check_listeners(struct report *r, const struct config *c)
{
	struct config_error e;
	unsigned on = 0;

	for (unsigned i = 0; i < CONFIG_LISTENERS; i++) {
		struct listener_config l;

		config_listener(c, i, &l);
		if (l.port == 0)
			continue;
		on++;
		if (listeners_probe(c, i, &e) == 0)
			say(r, "ok", "%s port %" PRId64, l.name, l.port);
		else
			say(r, "WRONG", "%s", e.text);
	}
	if (certs_check(c, &e) != 0)
		say(r, "WRONG", "%s", e.text);
	if (on == 0)
		say(r, "note", "every port is 0: nobody can connect");
}

int
doctor(FILE *f, const struct config *c)
{
	struct report r = { .f = f };
	struct config_error e;
	struct paths p;
	uid_t uid = geteuid();
	gid_t gid;

	if (paths_user(c, &uid, &gid, &e) == 0)
		say(&r, "ok", "user %s%u", c->user[0] != '\0' ? c->user : "", (unsigned)uid);
	else
		say(&r, "WRONG", "%s", e.text);
	if (uid == 0)
		say(&r, "note", "it would run as root: set user:, after adduser --system --group fubar");
	if (paths_resolve(&p, c, &e) != 0) {
		say(&r, "WRONG", "%s", e.text);
	} else {
		check_dir(&r, "data_dir", p.data_dir, uid);
		check_dir(&r, "run_dir", p.run_dir, uid);
		check_log_dir(&r, c, uid);
		check_space(&r, c, p.data_dir);
		check_lock(&r, p.data_dir);
	}
	check_helpers(&r);
	check_listeners(&r, c);
	check_limits(&r, c);
	fprintf(f, "%d wrong\n", r.wrong);
	return r.wrong;
}
