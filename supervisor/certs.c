/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/certs.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/rand.h"
#include "common/ipc/codec.h"
#include "supervisor/paths.h"
#include "supervisor/proctab.h"
#include "supervisor/spawn.h"

#define TICK_NS      (60 * NS_PER_SEC)
#define FIRST_NS     (2 * NS_PER_SEC)
#define CHECK_MS     10000              /* for the helper; it needs some 20 */
#define DAY_S        (24 * 3600)

/* --- trying the files -------------------------------------------------------------------------------------------- */

static bool
any_tls(const struct config *c)
{
	for (unsigned i = 0; i < CONFIG_LISTENERS; i++) {
		struct listener_config l;

		config_listener(c, i, &l);
		if (l.port != 0 && listener_has_tls(l.kind))
			return true;
	}
	return false;
}

/* The child: the user that fubard will be, standard input and output, nothing else. */
static _Noreturn void
become(const char *path, const struct config *c, int in, int out)
{
	char option[] = "--check-tls";
	char name[] = "fubar-worker";
	char *const argv[] = { name, option, NULL };
	struct config_error e;
	sigset_t none;
	uid_t uid;
	gid_t gid;

	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (dup2(in, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0 &&
	    paths_user(c, &uid, &gid, &e) == 0 && spawn_drop_privileges(c, uid, gid, &e) == 0) {
		(void)close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC);
		execv(path, argv);
	}
	_exit(127);
}

/* All keys of listeners, each as path and value with a NUL behind both. */
static void
tell(int fd, const struct config *c)
{
	char value[CONFIG_VALUE_MAX];
	struct buf b;
	size_t at = 0;

	buf_init(&b);
	for (enum config_key k = 0; k < CONFIG_KEY_COUNT; k++) {
		const char *path = config_info(k)->path;

		if (strncmp(path, "listeners.", 10) != 0)
			continue;
		buf_put(&b, path, strlen(path) + 1);
		config_get(c, k, value, sizeof value);
		buf_put(&b, value, strlen(value) + 1);
	}
	while (at < buf_len(&b)) {
		ssize_t n = write(fd, buf_slice(&b).p + at, buf_len(&b) - at);

		if (n < 0 && errno != EINTR)
			break;
		at += n > 0 ? (size_t)n : 0;
	}
	buf_fini(&b);
}

/* What it has to say, until its end; false: it took too long. */
static bool
listen_to(int fd, char *out, size_t size)
{
	struct mono by = mono_add(clock_mono(), CHECK_MS * NS_PER_MS);
	size_t used = 0;

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int64_t left = mono_diff(by, clock_mono()) / NS_PER_MS;
		ssize_t n;

		if (left <= 0)
			return false;
		if (poll(&p, 1, (int)left) <= 0)
			continue;
		n = read(fd, out + used, size - 1 - used);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		used += (size_t)n;
		if (used == size - 1)
			break;
	}
	out[used] = '\0';
	return true;
}

static int
check(const char *path, const struct config *c, const int in[2], const int out[2], struct config_error *e)
{
	pid_t child = fork();
	int status = 0;
	bool done;

	if (child < 0)
		return FB_EIO;
	if (child == 0)
		become(path, c, in[0], out[1]);
	tell(in[1], c);
	close(in[1]);
	close(out[1]);
	done = listen_to(out[0], e->text, sizeof e->text);
	if (!done)
		(void)kill(child, SIGKILL);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	e->text[strcspn(e->text, "\n")] = '\0';
	if (!done)
		snprintf(e->text, sizeof e->text, "the files of the TLS listeners could not be read in %d s", CHECK_MS / 1000);
	else if (status != 0 && e->text[0] == '\0')
		snprintf(e->text, sizeof e->text, "fubar-worker --check-tls failed (status %d)", status);
	return status == 0 ? 0 : FB_EINVAL;
}

int
certs_check(const struct config *c, struct config_error *e)
{
	char path[PATH_MAX];
	int in[2];
	int out[2];
	int err;

	if (!any_tls(c))
		return 0;
	err = paths_helper("fubar-worker", path, e);
	if (err != 0)
		return err;
	if (pipe2(in, O_CLOEXEC) != 0) {
		snprintf(e->text, sizeof e->text, "cannot check the TLS listeners: %s", strerror(errno));
		return FB_EIO;
	}
	if (pipe2(out, O_CLOEXEC) != 0) {
		close(in[0]);
		close(in[1]);
		snprintf(e->text, sizeof e->text, "cannot check the TLS listeners: %s", strerror(errno));
		return FB_EIO;
	}
	fflush(NULL);
	signal(SIGPIPE, SIG_IGN);       /* it may die before it has read all */
	err = check(path, c, in, out, e);
	close(in[0]);
	close(out[0]);
	return err;
}

/* --- ticket keys ------------------------------------------------------------------------------------------------- */

void
certs_rotate(struct certs *s)
{
	memmove(s->keys + CERTS_KEY_BYTES, s->keys, sizeof s->keys - CERTS_KEY_BYTES);
	rand_bytes(s->keys, CERTS_KEY_BYTES);
	if (s->made < CERTS_KEYS)
		s->made++;
}

void
certs_send(const struct certs *s, struct chan *to)
{
	CHAN_SEND(to, TICKET_KEYS, name, .name = slice_of(s->keys, s->made * CERTS_KEY_BYTES));
}

/* --- the end of certificates ------------------------------------------------------------------------------------- */

uint64_t
certs_expires(const struct node *n, unsigned listener)
{
	uint64_t first = 0;

	for (unsigned k = 0; k < n->workers; k++) {
		uint64_t at = n->worker[k].page != NULL ? n->worker[k].page->listener_expires_s[listener] : 0;

		if (at != 0 && (first == 0 || at < first))
			first = at;
	}
	return first;
}

int
certs_step(int64_t left_s)
{
	static const int days[] = { 0, 1, 7, 30 };

	for (size_t i = 0; i < sizeof days / sizeof days[0]; i++)
		if (left_s <= (int64_t)days[i] * DAY_S)
			return days[i];
	return -1;
}

static void
warn(struct certs *s, unsigned listener)
{
	uint64_t expires = certs_expires(s->node, listener);
	int64_t left = (int64_t)expires - clock_wall().ns / NS_PER_SEC;
	int step = expires != 0 ? certs_step(left) : -1;
	struct listener_config l;

	if (step < 0 || (s->warned[listener].expires_s == expires && s->warned[listener].days <= step))
		return;
	s->warned[listener].expires_s = expires;
	s->warned[listener].days = step;
	config_listener(&s->node->reload.running, listener, &l);
	if (left <= 0)
		log_error("certs", "certificate has expired", "listener=%s file=%s hint=\"replace it, then fubar-admin reload\"",
		    l.name, l.cert);
	else
		log_warn("certs", "certificate expires soon", "listener=%s file=%s days=%" PRId64, l.name, l.cert, left / DAY_S);
}

static void
on_tick(struct timer *t)
{
	struct certs *s = container_of(t, struct certs, tick);
	struct node *n = s->node;
	struct mono now = loop_now(n->loop);

	if (mono_diff(now, s->changed) >= n->reload.running.ticket_rotation * NS_PER_SEC) {
		certs_rotate(s);
		s->changed = now;
		EACH_WORKER(w, n)
			if (proc_alive(w))
				certs_send(s, w->chan);
	}
	for (unsigned i = 0; i < CONFIG_LISTENERS; i++)
		warn(s, i);
	loop_timer_in(n->loop, t, n->reload.running.ticket_rotation < TICK_NS / NS_PER_SEC ? NS_PER_SEC : TICK_NS);
}

void
certs_start(struct certs *s, struct node *n)
{
	s->node = n;
	s->changed = loop_now(n->loop);
	certs_rotate(s);
	timer_init(&s->tick, on_tick);
	loop_timer_in(n->loop, &s->tick, FIRST_NS);
}

void
certs_stop(struct certs *s)
{
	if (s->node != NULL)
		loop_timer_cancel(s->node->loop, &s->tick);
}

int
certs_may_set(const struct config *c, const char *path, struct config_error *e)
{
	const char *last = strrchr(path, '.');

	if (last == NULL || (strcmp(last, ".cert") != 0 && strcmp(last, ".key") != 0 && strcmp(last, ".ca") != 0))
		return 0;
	for (unsigned i = 0; i < CONFIG_LISTENERS; i++) {
		struct listener_config l;
		char start[64];

		config_listener(c, i, &l);
		snprintf(start, sizeof start, "listeners.%s.", l.name);
		if (strncmp(path, start, strlen(start)) != 0 || l.port != 0)
			continue;
		snprintf(e->text, sizeof e->text, "%s: that listener is off, so nothing would check the file: set it in the "
		    "configuration file, together with listeners.%s.port", path, l.name);
		return FB_EUNSUP;
	}
	return 0;
}
