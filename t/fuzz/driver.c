/* SPDX-License-Identifier: Apache-2.0
 * A main() for a harness where libFuzzer is not: each file given (or of a folder given), each seed of the harness,
 * then a fixed number of mutations of them, the same in every run.
 *
 *	run_codec [-runs=N] [-seed=N] [FILE or FOLDER]... */
#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/base/rand.h"
#include "t/fuzz/seeds.h"

#define INPUT_MAX 4096
#define INPUTS_MAX 1024

struct input {
	uint8_t *bytes;
	size_t len;
};

static struct input inputs[INPUTS_MAX];
static size_t input_count;
static struct input in_hand;

static void
add(const uint8_t *p, size_t len)
{
	if (input_count == INPUTS_MAX)
		return;
	inputs[input_count].bytes = mem_dup(p, len);
	inputs[input_count++].len = len;
}

static void
add_file(const char *path)
{
	uint8_t bytes[INPUT_MAX];
	FILE *f = fopen(path, "rb");

	if (f == NULL)
		return;
	add(bytes, fread(bytes, 1, sizeof bytes, f));
	(void)fclose(f);
}

static void
add_path(const char *path)
{
	DIR *d = opendir(path);
	const struct dirent *e;

	if (d == NULL) {
		add_file(path);
		return;
	}
	while ((e = readdir(d)) != NULL) {
		char name[4096];

		(void)snprintf(name, sizeof name, "%s/%s", path, e->d_name);
		if (e->d_name[0] != '.')
			add_file(name);
	}
	(void)closedir(d);
}

/* The input that did it, in hex, so that it becomes a test. */
static void
on_death(int number)
{
	static const char digits[] = "0123456789abcdef";
	char line[2 * INPUT_MAX + 1];
	size_t n = 0;

	for (; n < in_hand.len; n++) {
		line[2 * n] = digits[in_hand.bytes[n] >> 4];
		line[2 * n + 1] = digits[in_hand.bytes[n] & 15];
	}
	line[2 * n] = '\n';
	(void)!write(STDERR_FILENO, "input: ", 7);
	(void)!write(STDERR_FILENO, line, 2 * n + 1);
	(void)signal(number, SIG_DFL);
	(void)raise(number);
}

static void
run(const uint8_t *p, size_t len)
{
	/* of its own size, so that a sanitizer sees a read past the end */
	in_hand = (struct input){ mem_dup(p, len), len };
	(void)LLVMFuzzerTestOneInput(in_hand.bytes, len);
	mem_free(in_hand.bytes);
}

static size_t
mutate_once(struct rand *r, uint8_t *p, size_t len)
{
	static const uint8_t telling[] = { 0, 1, 2, 0x7f, 0x80, 0xff, '+', '#', '/', '$' };
	size_t at = len == 0 ? 0 : rand_below(r, len);
	size_t n;

	switch (rand_below(r, 6)) {
	case 0:
		if (len > 0)
			p[at] ^= (uint8_t)(1u << rand_below(r, 8));
		return len;
	case 1:
		if (len > 0)
			p[at] = telling[rand_below(r, sizeof telling)];
		return len;
	case 2:                         /* a byte more */
		if (len == INPUT_MAX)
			return len;
		memmove(p + at + 1, p + at, len - at);
		p[at] = (uint8_t)rand_u64(r);
		return len + 1;
	case 3:                         /* some bytes less */
		n = len - at < 8 ? len - at : 1 + rand_below(r, 8);
		memmove(p + at, p + at + n, len - at - n);
		return len - n;
	case 4:                         /* a length up or down by one */
		if (len > 0)
			p[at] = (uint8_t)(p[at] + (rand_below(r, 2) != 0 ? 1 : -1));
		return len;
	default:                        /* another input behind it */
		if (input_count > 0) {
			const struct input *other = &inputs[rand_below(r, input_count)];

			n = other->len < INPUT_MAX - len ? other->len : INPUT_MAX - len;
			if (n > 1)
				memcpy(p + len, other->bytes + 1, n - 1);
			return n > 1 ? len + n - 1 : len;
		}
		return len;
	}
}

static void
mutate(struct rand *r)
{
	static uint8_t bytes[INPUT_MAX];
	size_t len = 0;

	if (input_count > 0) {
		const struct input *from = &inputs[rand_below(r, input_count)];

		len = from->len;
		memcpy(bytes, from->bytes, len);
	}
	for (uint64_t i = 1 + rand_below(r, 8); i > 0; i--)
		len = mutate_once(r, bytes, len);
	run(bytes, len);
}

int
main(int argc, char **argv)
{
	unsigned long long runs = 20000;
	unsigned long long seed = 1;
	uint8_t bytes[INPUT_MAX];
	struct rand r;
	size_t n;

	(void)signal(SIGABRT, on_death);
	(void)signal(SIGSEGV, on_death);
#ifdef FUZZ_CORPUS
	add_path(FUZZ_CORPUS);
#endif
	for (int i = 1; i < argc; i++) {
		if (strncmp(argv[i], "-runs=", 6) == 0)
			runs = strtoull(argv[i] + 6, NULL, 10);
		else if (strncmp(argv[i], "-seed=", 6) == 0)
			seed = strtoull(argv[i] + 6, NULL, 10);
		else
			add_path(argv[i]);
	}
	for (size_t i = 0; fuzz_seed != NULL && (n = fuzz_seed(i, bytes, sizeof bytes)) > 0; i++)
		add(bytes, n);
	for (size_t i = 0; i < input_count; i++)
		run(inputs[i].bytes, inputs[i].len);
	rand_seed(&r, seed);
	for (unsigned long long i = 0; i < runs; i++)
		mutate(&r);
	printf("%zu inputs, %llu mutations\n", input_count, runs);
	for (size_t i = 0; i < input_count; i++)
		mem_free(inputs[i].bytes);
	return 0;
}
