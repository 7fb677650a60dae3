/* SPDX-License-Identifier: Apache-2.0
 * t/support/powercut.c - a disk that forgets, fails, fills and stalls: preloaded into fubar-store (LD_PRELOAD), it notes
 * what is not flushed; t/support/powercut.py takes it back after kill -9 of everything.
 *
 * POWERCUT_DIR: files below it are watched. POWERCUT_SIDE: a directory of the same file system, not below it: `journal`
 * (what was there before each write, in order, over all incarnations of the program), `grave` (hard links to what was
 * unlinked), `control` (see struct control). POWERCUT_PROGRAM: another program's name than fubar-store.
 *
 * What it models. A write is in the page cache, gone with the power, until an fsync() or fdatasync() of that file that
 * began after it returned 0. After kill -9 of the program the cache lives on, also for its successor. At the cut every page
 * of 4 KiB that was written but not flushed holds what it held at the last flush or what was written last; in logs every
 * sector of 512 bytes (torn pages). Databases (*.db) are torn so only with --tear: Berkeley DB has no defence against a torn
 * page, so ours are as large as what the system and today's disks write at once. A file that grew has any length of such
 * units in between, with zeros where data did not arrive.
 * A flush that fails makes nothing durable, and a later one that succeeds does not either unless the page was written
 * again: as Linux does. Names (create, rename, unlink, mkdir) are in an ordered journal, of which a beginning survives:
 * everything before the last successful flush of any file or directory, as ext4, XFS and btrfs do; with --strict only
 * an fsync of a name's directory makes it durable, which POSIX allows and those do not do.
 * What it does not model: writes through a shared mapping (noted, as is a use of anything not wrapped here; the
 * program has none: its environments are private), sectors torn inside, a disk whose own cache lies about a flush (that
 * is `lie`), bits that rot, old versions other than the last flushed one, and files of other processes. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define SECTOR  512
#define FDS_MAX 4096
#define MAGIC   0x43575031u

/* powercut.py knows these numbers. */
enum type { START = 1, WRITE, TRUNC, SYNC, FAILED, CREATE, UNLINK, RENAME, MAKEDIR, MAPPED };

struct record {
	uint32_t magic;
	uint32_t type;
	uint64_t ino;
	uint64_t a;             /* WRITE, TRUNC: offset of the data; SYNC, FAILED: position in the journal that it covers; RENAME:
	                         * the file that it replaced */
	uint64_t b;             /* WRITE, TRUNC: the file's size before */
	uint32_t len;           /* of what follows: bytes before, or path, or path NUL path */
	uint32_t more;          /* WRITE, TRUNC: how far it went from there; SYNC: 1 of a directory */
};

/* The test writes the first half at any time; the second is ours. */
struct control {
	_Atomic uint32_t lie;           /* flushes do nothing and say that all is well */
	_Atomic uint32_t write_eio;     /* writes of a million that fail */
	_Atomic uint32_t sync_eio;      /* flushes of a million that fail */
	_Atomic uint32_t enospc;        /* nothing grows */
	_Atomic uint32_t stall_ms;      /* that each flush takes longer */
	_Atomic uint32_t seed;
	uint32_t unused[2];
	_Atomic uint32_t writes, syncs, faults, stalls, odd;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool active;
static char watched[PATH_MAX], side[PATH_MAX];
static uint64_t inode[FDS_MAX];         /* of a watched descriptor; 0: not watched */
static bool is_dir[FDS_MAX];
static int journal = -1;
static uint64_t position;               /* end of the journal */
static struct control none, *control = &none;
static uint64_t rng;

static _Noreturn void
broken(const char *what)
{
	fprintf(stderr, "powercut: %s: %s\n", what, strerror(errno));
	_exit(97);
}

/* ---- the journal ---- */

static void
put(enum type type, uint64_t ino, uint64_t a, uint64_t b, uint32_t more, const void *data, size_t len)
{
	struct record r = { MAGIC, type, ino, a, b, (uint32_t)len, more };
	struct iovec v[2] = { { &r, sizeof r }, { (void *)(uintptr_t)data, len } };
	ssize_t n = syscall(SYS_writev, journal, v, 2);

	if (n != (ssize_t)(sizeof r + len))
		broken("journal");
	position += (uint64_t)n;
}

/* What [from, to) holds now, in whole sectors. */
static void
put_before(enum type type, int fd, uint64_t from, uint64_t to)
{
	struct stat st;
	uint64_t start = from / SECTOR * SECTOR;
	uint64_t end = (to + SECTOR - 1) / SECTOR * SECTOR;
	size_t len = 0;
	uint8_t *p;

	if (fstat(fd, &st) != 0)
		broken("fstat");
	if (end > (uint64_t)st.st_size)
		end = (uint64_t)st.st_size;
	p = malloc(end > start ? end - start : 1);
	if (p == NULL)
		broken("malloc");
	while (start + len < end) {
		long n = syscall(SYS_pread64, fd, p + len, end - start - len, start + len);

		if (n <= 0)
			break;
		len += (size_t)n;
	}
	put(type, (uint64_t)st.st_ino, start, (uint64_t)st.st_size, (uint32_t)(to - start), p, len);
	free(p);
}

/* A descriptor of ours for what may have been opened for writing only. */
static void
put_before_of(enum type type, int fd, uint64_t from, uint64_t to)
{
	char path[64];
	int readable;

	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	readable = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
	if (readable < 0)
		broken("open again");
	put_before(type, readable, from, to);
	syscall(SYS_close, readable);
}

/* The last record may have been cut short by kill -9: its write was not begun. */
static void
to_the_end(void)
{
	struct record r;
	int in;
	char path[PATH_MAX + 16];
	struct stat st;
	uint64_t next;

	snprintf(path, sizeof path, "%s/journal", side);
	in = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
	if (in < 0 || fstat(in, &st) != 0)
		broken("journal");
	while (syscall(SYS_pread64, in, &r, sizeof r, position) == (long)sizeof r) {
		next = position + sizeof r + r.len;
		if (r.magic != MAGIC || next > (uint64_t)st.st_size)
			break;
		position = next;
	}
	syscall(SYS_close, in);
	if (position < (uint64_t)st.st_size && syscall(SYS_ftruncate, journal, position) != 0)
		broken("journal");
}

/* ---- faults ---- */

static bool
chance(uint32_t of_a_million)
{
	if (of_a_million == 0)
		return false;
	if (rng == 0)
		rng = (uint64_t)atomic_load(&control->seed) * 2654435761u + (uint64_t)getpid();
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng % 1000000 < of_a_million;
}

/* Under the lock. 0, or the errno of this write. */
static int
write_fault(int fd, uint64_t end)
{
	struct stat st;

	atomic_fetch_add(&control->writes, 1);
	if (chance(atomic_load(&control->write_eio))) {
		atomic_fetch_add(&control->faults, 1);
		return EIO;
	}
	if (atomic_load(&control->enospc) && fstat(fd, &st) == 0 && end > (uint64_t)st.st_size) {
		atomic_fetch_add(&control->faults, 1);
		return ENOSPC;
	}
	return 0;
}

static void
stall(void)
{
	uint32_t ms = atomic_load(&control->stall_ms);
	struct timespec ts = { ms / 1000, (long)(ms % 1000) * 1000000 };

	if (ms == 0)
		return;
	atomic_fetch_add(&control->stalls, 1);
	while (nanosleep(&ts, &ts) != 0 && errno == EINTR)
		;
}

/* ---- descriptors ---- */

static uint64_t
watch(int fd)
{
	char link[64], path[PATH_MAX];
	struct stat st;
	ssize_t n;

	if (fd < 0 || fd >= FDS_MAX)
		return 0;
	inode[fd] = 0;
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof path - 1);
	if (n < 0 || fstat(fd, &st) != 0 || (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)))
		return 0;
	path[n] = '\0';
	if (strncmp(path, watched, strlen(watched)) != 0)
		return 0;
	is_dir[fd] = S_ISDIR(st.st_mode);
	inode[fd] = (uint64_t)st.st_ino;
	return inode[fd];
}

static uint64_t
of_fd(int fd)
{
	return active && fd >= 0 && fd < FDS_MAX ? inode[fd] : 0;
}

/* An absolute name of a file below the watched directory. */
static bool
below(const char *path, char *full)
{
	char dir[PATH_MAX];
	const char *slash = strrchr(path, '/');

	if (!active || strlen(path) >= PATH_MAX)
		return false;
	snprintf(dir, sizeof dir, "%.*s", slash == NULL ? 1 : slash == path ? 1 : (int)(slash - path),
	    slash == NULL ? "." : path);
	if (realpath(dir, full) == NULL || strncmp(full, watched, strlen(watched)) != 0)
		return false;
	return snprintf(full + strlen(full), PATH_MAX - strlen(full), "/%s", slash == NULL ? path : slash + 1) > 0;
}

/* A last link to it, so that it can come back, and its inode's number is not used again. */
static uint64_t
bury(const char *path)
{
	char grave[PATH_MAX + 64];
	struct stat st;

	if (lstat(path, &st) != 0)
		return 0;
	if (S_ISREG(st.st_mode)) {
		snprintf(grave, sizeof grave, "%s/grave/%llu", side, (unsigned long long)st.st_ino);
		if (link(path, grave) != 0 && errno != EEXIST)
			broken("grave");
	}
	return (uint64_t)st.st_ino;
}

__attribute__((constructor)) static void
begin(void)
{
	const char *dir = getenv("POWERCUT_DIR");
	const char *s = getenv("POWERCUT_SIDE");
	const char *program = getenv("POWERCUT_PROGRAM");
	char path[PATH_MAX + 16];
	struct stat st;
	int fd;

	if (dir == NULL || s == NULL || strcmp(program_invocation_short_name, program ? program : "fubar-store") != 0)
		return;
	if (realpath(dir, watched) == NULL || realpath(s, side) == NULL)
		broken("directory");
	snprintf(path, sizeof path, "%s/control", side);
	fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) != 0 || (size_t)st.st_size < sizeof *control)
		broken("control");
	control = (void *)syscall(SYS_mmap, NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (control == MAP_FAILED)
		broken("control");
	syscall(SYS_close, fd);
	snprintf(path, sizeof path, "%s/journal", side);
	fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	journal = fcntl(fd, F_DUPFD_CLOEXEC, 900);
	syscall(SYS_close, fd);
	if (journal < 0)
		broken("journal");
	to_the_end();
	put(START, 0, (uint64_t)getpid(), 0, 0, NULL, 0);
	active = true;
}

/* ---- what is wrapped ---- */

static int
open_at(int dir, const char *path, int flags, mode_t mode)
{
	char full[PATH_MAX];
	struct stat st;
	bool ours, was;
	int fd;

	/* By descriptor, a directory is taken to be the current one: the program opens nothing so. */
	ours = dir == AT_FDCWD && below(path, full);
	if (!ours) {
		fd = (int)syscall(SYS_openat, dir, path, flags, mode);
		if (fd >= 0 && active)
			(void)watch(fd);                /* the watched directory itself, to be flushed */
		return fd;
	}
	pthread_mutex_lock(&lock);
	was = lstat(full, &st) == 0;
	if (was && (flags & O_TRUNC) != 0 && st.st_size > 0) {
		fd = (int)syscall(SYS_openat, AT_FDCWD, full, O_RDONLY | O_CLOEXEC);
		if (fd >= 0) {
			put_before(TRUNC, fd, 0, (uint64_t)st.st_size);
			syscall(SYS_close, fd);
		}
	}
	if (!was && (flags & O_CREAT) != 0 && atomic_load(&control->enospc)) {
		atomic_fetch_add(&control->faults, 1);
		fd = -1;
		errno = ENOSPC;
	} else {
		fd = (int)syscall(SYS_openat, dir, path, flags, mode);
	}
	if (fd >= 0 && watch(fd) != 0 && !was)
		put(CREATE, inode[fd], 0, 0, 0, full, strlen(full));
	pthread_mutex_unlock(&lock);
	return fd;
}

static mode_t
mode_of(int flags, va_list ap)
{
	return (flags & (O_CREAT | O_TMPFILE)) != 0 ? (mode_t)va_arg(ap, int) : 0;
}

#define OPEN(name) \
	int \
	name(const char *path, int flags, ...) \
	{ \
		va_list ap; \
		mode_t mode; \
		va_start(ap, flags); \
		mode = mode_of(flags, ap); \
		va_end(ap); \
		return open_at(AT_FDCWD, path, flags, mode); \
	}
OPEN(open)
OPEN(open64)

int
openat(int dir, const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = mode_of(flags, ap);
	va_end(ap);
	return open_at(dir, path, flags, mode);
}

int
close(int fd)
{
	if (of_fd(fd) != 0) {
		pthread_mutex_lock(&lock);
		inode[fd] = 0;
		pthread_mutex_unlock(&lock);
	}
	return (int)syscall(SYS_close, fd);
}

ssize_t
pwrite(int fd, const void *p, size_t n, off_t at)
{
	ssize_t done = -1;
	int err;

	if (of_fd(fd) == 0)
		return syscall(SYS_pwrite64, fd, p, n, at);
	pthread_mutex_lock(&lock);
	err = write_fault(fd, (uint64_t)at + n);
	if (err == 0) {
		put_before_of(WRITE, fd, (uint64_t)at, (uint64_t)at + n);
		done = syscall(SYS_pwrite64, fd, p, n, at);
		err = errno;
	}
	pthread_mutex_unlock(&lock);
	errno = err;
	return done;
}

ssize_t
pwrite64(int fd, const void *p, size_t n, off_t at)
{
	return pwrite(fd, p, n, at);
}

ssize_t
writev(int fd, const struct iovec *v, int count)
{
	uint64_t at, n = 0;
	ssize_t done = -1;
	struct stat st;
	int err;

	if (of_fd(fd) == 0)
		return syscall(SYS_writev, fd, v, count);
	for (int i = 0; i < count; i++)
		n += v[i].iov_len;
	pthread_mutex_lock(&lock);
	at = (uint64_t)lseek(fd, 0, SEEK_CUR);
	if ((fcntl(fd, F_GETFL) & O_APPEND) != 0 && fstat(fd, &st) == 0)
		at = (uint64_t)st.st_size;
	err = write_fault(fd, at + n);
	if (err == 0) {
		put_before_of(WRITE, fd, at, at + n);
		done = syscall(SYS_writev, fd, v, count);
		err = errno;
	}
	pthread_mutex_unlock(&lock);
	errno = err;
	return done;
}

ssize_t
write(int fd, const void *p, size_t n)
{
	struct iovec v = { (void *)(uintptr_t)p, n };

	return of_fd(fd) == 0 ? syscall(SYS_write, fd, p, n) : writev(fd, &v, 1);
}

int
ftruncate(int fd, off_t size)
{
	struct stat st;
	int rc, err = 0;

	if (of_fd(fd) == 0)
		return (int)syscall(SYS_ftruncate, fd, size);
	pthread_mutex_lock(&lock);
	if (fstat(fd, &st) != 0)
		broken("fstat");
	if (size > st.st_size)
		err = write_fault(fd, (uint64_t)size);
	if (err == 0)
		put_before_of(TRUNC, fd, (uint64_t)size, size > st.st_size ? (uint64_t)size : (uint64_t)st.st_size);
	rc = err == 0 ? (int)syscall(SYS_ftruncate, fd, size) : -1;
	err = err == 0 ? errno : err;
	pthread_mutex_unlock(&lock);
	errno = err;
	return rc;
}

int
ftruncate64(int fd, off_t size)
{
	return ftruncate(fd, size);
}

/* Space without data: its content is zeros before and after. */
int
posix_fallocate(int fd, off_t at, off_t len)
{
	if (of_fd(fd) != 0 && atomic_load(&control->enospc))
		return ENOSPC;
	return syscall(SYS_fallocate, fd, 0, at, len) == 0 ? 0 : errno;
}

int
posix_fallocate64(int fd, off_t at, off_t len)
{
	return posix_fallocate(fd, at, len);
}

static int
sync_fd(int fd, long nr)
{
	uint64_t ino = of_fd(fd);
	uint64_t covers;
	bool fails;
	int rc = 0;

	if (ino == 0)
		return (int)syscall(nr, fd);
	stall();
	pthread_mutex_lock(&lock);
	atomic_fetch_add(&control->syncs, 1);
	covers = position;
	fails = chance(atomic_load(&control->sync_eio));
	pthread_mutex_unlock(&lock);
	if (atomic_load(&control->lie))
		return 0;
	if (!fails)
		rc = (int)syscall(nr, fd);
	pthread_mutex_lock(&lock);
	put(fails || rc != 0 ? FAILED : SYNC, ino, covers, 0, is_dir[fd], NULL, 0);
	if (fails)
		atomic_fetch_add(&control->faults, 1);
	pthread_mutex_unlock(&lock);
	if (fails) {
		errno = EIO;
		return -1;
	}
	return rc;
}

int
fsync(int fd)
{
	return sync_fd(fd, SYS_fsync);
}

int
fdatasync(int fd)
{
	return sync_fd(fd, SYS_fdatasync);
}

int
unlink(const char *path)
{
	char full[PATH_MAX];
	uint64_t ino;
	int rc, err;

	if (!below(path, full))
		return (int)syscall(SYS_unlink, path);
	pthread_mutex_lock(&lock);
	ino = bury(full);
	rc = (int)syscall(SYS_unlink, path);
	err = errno;
	if (rc == 0)
		put(UNLINK, ino, 0, 0, 0, full, strlen(full));
	pthread_mutex_unlock(&lock);
	errno = err;
	return rc;
}

int
rename(const char *from, const char *to)
{
	char names[2 * PATH_MAX], full[PATH_MAX];
	uint64_t over;
	struct stat st;
	size_t len;
	int rc, err;

	if (!below(from, names) || !below(to, full))
		return (int)syscall(SYS_rename, from, to);
	pthread_mutex_lock(&lock);
	over = bury(full);
	rc = lstat(names, &st) != 0 ? -1 : (int)syscall(SYS_rename, from, to);
	err = errno;
	len = strlen(names) + 1;
	memcpy(names + len, full, strlen(full));
	if (rc == 0)
		put(RENAME, (uint64_t)st.st_ino, over, 0, 0, names, len + strlen(full));
	pthread_mutex_unlock(&lock);
	errno = err;
	return rc;
}

int
mkdir(const char *path, mode_t mode)
{
	char full[PATH_MAX];
	int rc, err;

	if (!below(path, full))
		return (int)syscall(SYS_mkdir, path, mode);
	pthread_mutex_lock(&lock);
	rc = (int)syscall(SYS_mkdir, path, mode);
	err = errno;
	if (rc == 0)
		put(MAKEDIR, 0, 0, 0, 0, full, strlen(full));
	pthread_mutex_unlock(&lock);
	errno = err;
	return rc;
}

void *
mmap(void *at, size_t len, int prot, int flags, int fd, off_t from)
{
	if (of_fd(fd) != 0 && (flags & MAP_SHARED) != 0 && (prot & PROT_WRITE) != 0) {
		atomic_fetch_add(&control->odd, 1);
		pthread_mutex_lock(&lock);
		put(MAPPED, of_fd(fd), (uint64_t)from, len, 0, NULL, 0);
		pthread_mutex_unlock(&lock);
	}
	return (void *)syscall(SYS_mmap, at, len, prot, flags, fd, from);
}
