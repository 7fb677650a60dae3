/* SPDX-License-Identifier: Apache-2.0
 * fubard: the supervisor of a node. Everything that can be wrong with configuration, directories, ports and helpers is
 * found before the first child is started, and said in one line. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/config/print.h"
#include "config.h"
#include "supervisor/admin.h"
#include "supervisor/doctor.h"
#include "supervisor/notify.h"
#include "supervisor/proctab.h"
#include "supervisor/restore.h"
#include "supervisor/spawn.h"

#define CLIENTS_MIN 32  /* a worker must be able to hold */

enum { EXIT_BAD = 1, EXIT_USAGE = 2 };

static bool is_journal;

static void
on_signal(void *arg, int signo)
{
	struct node *n = arg;
	struct config_error e;

	switch (signo) {
	case SIGCHLD:
		proctab_reap(n);
		break;
	case SIGHUP:
		(void)proctab_reload(n, &e);    /* which logs what came of it */
		break;
	case SIGUSR1:
		if (logs_open(&n->logs, &n->reload.running, &e) != 0)
			log_error("main", "log files stay as they were", "why=\"%s\"", e.text);
		else
			log_notice("main", "logs opened anew", "to=%s", n->reload.running.log_to);
		break;
	default:
		proctab_stop(n, signo == SIGINT ? "SIGINT" : "SIGTERM");
		break;
	}
}

static void
watch_signals(struct node *n)
{
	static const int numbers[] = { SIGCHLD, SIGHUP, SIGUSR1, SIGTERM, SIGINT };

	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
		loop_signal(n->loop, numbers[i], on_signal, n);
}

static int
write_ports(struct node *n, struct config_error *e)
{
	char text[CONFIG_LISTENERS * 16];

	listeners_ports(&n->listeners, text, sizeof text);
	return paths_write(n->paths.run_dir, "ports", text, e);
}

static void
say_limits(const struct node *n)
{
	uint64_t descriptors = spawn_raise_limits();
	uint64_t clients = spawn_clients(descriptors);

	log_notice("main", "limits", "descriptors=%" PRIu64 " clients_a_worker=%" PRIu64 " clients=%" PRIu64, descriptors, clients,
	    clients * n->workers);
	if (n->listeners.rows == 0)
		log_warn("main", "no listener", "why=\"every port is 0\"");
	if (geteuid() == 0)
		log_warn("main", "runs as root", "hint=\"set user: in the configuration\"");
}

/* With fewer the processes could not keep their channels and sockets, and fail one by one. */
static int
check_descriptors(struct config_error *e)
{
	uint64_t descriptors = spawn_raise_limits();

	if (spawn_clients(descriptors) >= CLIENTS_MIN)
		return 0;
	snprintf(e->text, sizeof e->text, "only %" PRIu64 " descriptors are allowed, %" PRIu64 " are needed; raise the limit by "
	    "ulimit -Hn or LimitNOFILE= in the unit", descriptors, (uint64_t)CONFIG_WORKER_FDS + CLIENTS_MIN);
	return FB_EINVAL;
}

/* Directories, locks, sockets, privileges: all that must be there before the first child. */
static int
prepare(struct node *n, struct config_error *e)
{
	const struct config *c = &n->reload.running;
	uid_t uid;
	gid_t gid;
	int err = check_descriptors(e);

	if (err == 0)
		err = paths_user(c, &uid, &gid, e);
	if (err == 0)
		err = paths_resolve(&n->paths, c, e);
	if (err == 0)
		err = proctab_init(n, e);
	if (err == 0)
		err = certs_check(c, e);
	if (err == 0)
		err = paths_make(&n->paths, uid, gid, e);
	if (err == 0)
		err = paths_lock(&n->paths, uid, gid, e);
	if (err == 0)
		err = listeners_open(&n->listeners, c, n->workers, e);
	if (err == 0)
		err = logs_init(&n->logs, n->loop, c, uid, gid, e);
	if (err != 0)
		return err;
	logs_chown(&n->logs);
	(void)umask(077);
	err = spawn_drop_privileges(c, uid, gid, e);
	if (err == 0)
		err = paths_boot(&n->paths, &n->boot, e);
	if (err == 0)
		err = admin_init(n, e);
	trace_init(n);
	if (err == 0)
		err = write_ports(n, e);
	return err;
}

static int
run(struct node *n, struct config_error *e)
{
	char path[PATH_MAX];
	int err;

	spawn_reserve_fds();
	(void)spawn_raise_limits();
	n->loop = loop_new();
	n->paths.data_lock = n->paths.run_lock = -1;
	n->logs.pipe_in = n->logs.pipe_out = -1;
	err = prepare(n, e);
	if (err == 0) {
		watch_signals(n);
		log_notice("main", "fubard " PACKAGE_VERSION, "node=%s pid=%d data_dir=%s run_dir=%s port=%d", n->reload.running.node,
		    (int)getpid(), n->paths.data_dir, n->paths.run_dir, n->listeners.port[CONFIG_L_mqtt]);
		say_limits(n);
		proctab_start(n);
		loop_run(n->loop);
		proctab_fini(n);
		(void)unlink(paths_in(n->paths.run_dir, "ports", path));
		if (n->exit_code == 0)
			log_notice("main", "stopped", "%s", "");
	}
	admin_fini(n);
	trace_fini(n);
	listeners_close(&n->listeners);
	logs_fini(&n->logs);
	paths_unlock(&n->paths);
	if (err == 0 && n->exit_code != 0) {
		snprintf(e->text, sizeof e->text, "could not start; what it logged says why");
		err = FB_EIO;
	}
	loop_free(n->loop);
	return err;
}

/* --restore: as far as the node's own start goes, then the helper instead of the store. */
static int
restore(struct node *n, struct config_error *e)
{
	const struct config *c = &n->reload.running;
	uid_t uid;
	gid_t gid;
	int err;

	spawn_reserve_fds();
	signal(SIGPIPE, SIG_IGN);
	n->paths.data_lock = n->paths.run_lock = -1;
	err = paths_user(c, &uid, &gid, e);
	if (err == 0)
		err = paths_resolve(&n->paths, c, e);
	if (err == 0)
		err = proctab_init(n, e);
	if (err == 0)
		err = paths_make(&n->paths, uid, gid, e);
	if (err == 0)
		err = paths_lock(&n->paths, uid, gid, e);
	(void)umask(077);
	if (err == 0)
		err = spawn_drop_privileges(c, uid, gid, e);
	if (err == 0)
		err = restore_once(n, n->options.backup, e);
	paths_unlock(&n->paths);
	return err;
}

static int
fail(const struct config_error *e, int code)
{
	fprintf(stderr, "%sfubard: %s\n", is_journal ? "<3>" : "", e->text);
	service_failed(e->text);
	return code;
}

/* Everything after the command line. */
static int
with_config(struct node *n)
{
	struct config_error e;
	int err;

	notify_init();
	err = reload_init(&n->reload, &n->options, &e);
	if (err != 0)
		return fail(&e, EXIT_BAD);
	switch (n->options.mode) {
	case OPTIONS_CHECK:
		if (certs_check(&n->reload.running, &e) != 0)
			return fail(&e, EXIT_BAD);
		printf("fubard: the configuration is valid\n");
		return EXIT_SUCCESS;
	case OPTIONS_PRINT:
		config_print(stdout, &n->reload.wanted);
		return fflush(stdout) == 0 && !ferror(stdout) ? EXIT_SUCCESS : EXIT_BAD;
	case OPTIONS_DOCTOR:
		return doctor(stdout, &n->reload.running) == 0 ? EXIT_SUCCESS : EXIT_BAD;
	case OPTIONS_RESTORE:
		return restore(n, &e) == 0 ? EXIT_SUCCESS : fail(&e, EXIT_BAD);
	case OPTIONS_RUN:
	case OPTIONS_HELP:
	case OPTIONS_VERSION:
		break;
	}
	return run(n, &e) == 0 ? EXIT_SUCCESS : fail(&e, EXIT_BAD);
}

int
main(int argc, char **argv)
{
	struct node *n = mem_zalloc(sizeof *n);
	struct config_error e;
	int code = EXIT_SUCCESS;

	is_journal = logs_is_journal();
	if (options_parse(&n->options, argc, argv, &e) != 0) {
		code = fail(&e, EXIT_USAGE);
	} else if (n->options.mode == OPTIONS_HELP) {
		fputs(options_help, stdout);
	} else if (n->options.mode == OPTIONS_VERSION) {
		puts("fubard " PACKAGE_VERSION);
	} else {
		code = with_config(n);
		reload_fini(&n->reload);
	}
	options_fini(&n->options);
	mem_free(n);
	return code;
}
