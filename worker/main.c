/* SPDX-License-Identifier: Apache-2.0
 * fubar-worker: started by fubard alone, with its channel on descriptor 3. */
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/log.h"
#include "worker/tls.h"
#include "worker/worker.h"

#define SUP_FD 3

/* Standard input: paths and values of settings, each with a NUL behind it. Says what is wrong with the files of
 * listeners with TLS: fubard does not link what could tell. */
static int
check_tls(void)
{
	char *path = NULL;
	char *value = NULL;
	size_t sizes[2] = { 0 };
	struct config_error e = { "" };
	struct config c;
	int err = 0;

	config_init(&c);
	while (err == 0 && getdelim(&path, &sizes[0], '\0', stdin) > 0 && getdelim(&value, &sizes[1], '\0', stdin) > 0)
		err = config_set(&c, path, value, CONFIG_FLAG, &e);
	if (err == 0)
		err = tls_check(&c, &e);
	if (err != 0)
		puts(e.text);
	free(path);
	free(value);
	config_fini(&c);
	return err != 0;
}

int
main(int argc, char **argv)
{
	char who[32] = "worker";
	struct loop *loop;
	struct worker *w;

	if (argc == 2 && strcmp(argv[1], "--check-tls") == 0)
		return check_tls();
	if (argc != 3 || strcmp(argv[1], "--slot") != 0) {
		fprintf(stderr, "fubar-worker is started by fubard, not by hand\n");
		return 2;
	}
	snprintf(who, sizeof who, "worker %s", argv[2]);
	log_open(STDERR_FILENO, who, LOG_INFO);
	signal(SIGPIPE, SIG_IGN);
	mallopt(M_ARENA_MAX, 1);
	/* Buffers of large packets come and go: not by mmap() and its page faults. */
	mallopt(M_MMAP_THRESHOLD, 4 << 20);
	mallopt(M_TRIM_THRESHOLD, 2 << 20);
	loop = loop_new();
	w = worker_new(loop, SUP_FD);
	loop_run(loop);
	worker_free(w);
	loop_free(loop);
	return 0;
}
