/* SPDX-License-Identifier: Apache-2.0
 * t/fuzz/seeds.h - inputs to start from, made by the harness itself, so that no binary files lie in the tree.
 *
 * A harness may define fuzz_seed(): the i-th input into out, and its length; 0: there are no more. driver.c starts
 * from them; for libFuzzer, LLVMFuzzerInitialize() calls fuzz_write_seeds(), which puts them into the corpus
 * directory if that is empty. */
#ifndef T_FUZZ_SEEDS_H
#define T_FUZZ_SEEDS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);
size_t fuzz_seed(size_t i, uint8_t *out, size_t max) __attribute__((weak));

static inline void
fuzz_write_seeds(int argc, char **argv)
{
	const char *folder = argc > 1 ? argv[argc - 1] : "-";
	uint8_t bytes[4096];
	size_t n;

	if (folder[0] == '-')
		return;
	for (size_t i = 0; (n = fuzz_seed(i, bytes, sizeof bytes)) > 0; i++) {
		char path[4096];
		FILE *f;

		(void)snprintf(path, sizeof path, "%s/seed-%03zu", folder, i);
		f = fopen(path, "wx");
		if (f == NULL)
			return;
		(void)fwrite(bytes, 1, n, f);
		(void)fclose(f);
	}
}

#endif
