/* SPDX-License-Identifier: Apache-2.0
 * fubar-worker: started by fubard alone, with its channel on descriptor 3. */
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/log.h"
#include "worker/worker.h"

#define SUP_FD 3

int
main(int argc, char **argv)
{
	char who[32] = "worker";
	struct loop *loop;
	struct worker *w;

	if (argc != 3 || strcmp(argv[1], "--slot") != 0) {
		fprintf(stderr, "fubar-worker: is started by fubard, not by hand\n");
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
