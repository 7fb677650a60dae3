/* SPDX-License-Identifier: Apache-2.0
 *
 * fubar-store: started by the supervisor alone, with its channel on descriptor 3. It goes when that channel says so or
 * ends, never by a signal: those of a terminal or of systemd reach the whole group, and the workers still need it. */
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/loop.h"
#include "store/restore.h"
#include "store/store.h"

#define SUP_FD 3

static void
ignore_signals(void)
{
	static const int ignored[] = { SIGPIPE, SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2 };

	for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
		signal(ignored[i], SIG_IGN);
}

int
main(int argc, char **argv)
{
	struct loop *l;
	struct store *s;

	log_open(STDERR_FILENO, "store", LOG_INFO);
	if (fcntl(SUP_FD, F_SETFD, FD_CLOEXEC) != 0) {
		fprintf(stderr, "fubar-store is started by fubard, not by hand\n");
		return 2;
	}
	ignore_signals();
	umask(077);
	/* 16 MiB a password hash, given back each time; few threads allocate much. */
	mallopt(M_MMAP_THRESHOLD, 1 << 20);
	mallopt(M_ARENA_MAX, 2);
	if (argc > 1)
		return restore_main(argc, argv, SUP_FD);
	l = loop_new();
	s = store_new(l, SUP_FD);
	loop_run(l);
	store_free(s);
	loop_free(l);
	return EXIT_SUCCESS;
}
