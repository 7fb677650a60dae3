/* SPDX-License-Identifier: Apache-2.0
 * supervisor/client/main.c - fubar-client sub|pub|shell|bench|simulate. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "supervisor/client/bench.h"
#include "supervisor/client/pub.h"
#include "supervisor/client/shell.h"
#include "supervisor/client/simulate.h"
#include "supervisor/client/sub.h"

static const struct {
	const char *word;
	int (*main)(char **argv);
	const char *help;
} commands[] = {
	{ "sub", sub_main, "Print the messages of topics." },
	{ "pub", pub_main, "Publish messages." },
	{ "shell", shell_main, "Many clients at once, by hand or from a script." },
	{ "bench", bench_main, "Measure a server: connections, throughput, latency, losses." },
	{ "simulate", simulate_main, "A crowd that comes and goes, and what went wrong for it." },
};

static int
usage(FILE *f, int status)
{
	fprintf(f, "usage: fubar-client COMMAND [OPTION]...\n\n");
	for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
		fprintf(f, "  %-8s %s\n", commands[i].word, commands[i].help);
	fprintf(f, "\n'fubar-client COMMAND --help' shows the options of one.\n");
	return status;
}

int
main(int argc, char **argv)
{
	if (argc < 2)
		return usage(stderr, 2);
	for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
		if (strcmp(argv[1], commands[i].word) == 0)
			return commands[i].main(argv + 2);
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0)
		return usage(stdout, 0);
	if (strcmp(argv[1], "--version") == 0) {
		printf("fubar-client %s\n", PACKAGE_VERSION);
		return 0;
	}
	fprintf(stderr, "fubar-client: no command '%s'\n", argv[1]);
	return usage(stderr, 2);
}
