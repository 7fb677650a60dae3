/* SPDX-License-Identifier: Apache-2.0 */
#include "store/manifest.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/mem.h"

#define HEAD "fubar-backup"
#define FORMAT 1

void
manifest_fini(struct manifest *m)
{
	mem_free(m->file);
	*m = (struct manifest){ .file = NULL };
}

struct manifest_file *
manifest_add(struct manifest *m, const char *name)
{
	struct manifest_file *f;

	m->file = mem_realloc(m->file, (m->count + 1) * sizeof *m->file);
	f = &m->file[m->count++];
	*f = (struct manifest_file){ .bytes = 0 };
	snprintf(f->name, sizeof f->name, "%s", name);
	return f;
}

uint64_t
manifest_bytes(const struct manifest *m)
{
	uint64_t n = 0;

	for (size_t i = 0; i < m->count; i++)
		n += m->file[i].bytes;
	return n;
}

static void put_line(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void
put_line(struct buf *b, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	buf_put_slice(b, slice_str(line));
}

void
manifest_put(struct buf *b, const struct manifest *m)
{
	size_t was = buf_len(b);
	char hash[DIGEST_TEXT_MAX];

	put_line(b, HEAD " %d\nversion %s\nnode %s\nmade %s\nepoch %" PRIu64 "\n", FORMAT, m->version, m->node, m->made,
	    m->epoch);
	for (size_t i = 0; i < m->count; i++)
		put_line(b, "file %s %" PRIu64 " %s\n", m->file[i].name, m->file[i].bytes, m->file[i].hash);
	digest_text(slice_of(buf_slice(b).p + was, buf_len(b) - was), hash);
	put_line(b, "end %s\n", hash);
}

/* One folder and one file of it, of letters, digits, '.', '_' and '-': nothing that leads elsewhere. */
static bool
name_is_good(const char *name)
{
	const char *slash = strchr(name, '/');

	if (slash == NULL || slash == name || slash[1] == '\0' || slash[1] == '.' || name[0] == '.')
		return false;
	return name[strspn(name, "abcdefghijklmnopqrstuvwxyz")] == '/' &&
	    slash[1 + strspn(slash + 1, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")] == '\0';
}

static bool
hash_is_good(const char *hash)
{
	return strlen(hash) == DIGEST_TEXT_MAX - 1 && strspn(hash, "0123456789abcdef") == DIGEST_TEXT_MAX - 1;
}

static int
take_line(struct manifest *m, const char *line)
{
	struct manifest_file f = { .bytes = 0 };
	int end = 0;

	if (sscanf(line, "version %31s%n", m->version, &end) == 1 && line[end] == '\0')
		return 0;
	if (sscanf(line, "made %39s%n", m->made, &end) == 1 && line[end] == '\0')
		return 0;
	if (sscanf(line, "epoch %" SCNu64 "%n", &m->epoch, &end) == 1 && line[end] == '\0')
		return 0;
	if (strncmp(line, "node ", 5) == 0) {
		snprintf(m->node, sizeof m->node, "%s", line + 5);
		return 0;
	}
	if (sscanf(line, "file %95s %" SCNu64 " %64s%n", f.name, &f.bytes, f.hash, &end) != 3 || line[end] != '\0' ||
	    !name_is_good(f.name) || !hash_is_good(f.hash))
		return FB_ECORRUPT;
	*manifest_add(m, f.name) = f;
	return 0;
}

/* The last line is right, and cut off. */
static int
take_end(char *text, size_t len)
{
	char hash[DIGEST_TEXT_MAX];
	char *end = NULL;

	for (char *p = strstr(text, "\nend "); p != NULL; p = strstr(p + 1, "\nend "))
		end = p + 1;
	if (end == NULL || strlen(text) != len || strlen(end) != sizeof "end \n" - 1 + DIGEST_TEXT_MAX - 1)
		return FB_ECORRUPT;
	digest_text(slice_of(text, (size_t)(end - text)), hash);
	if (memcmp(end + 4, hash, DIGEST_TEXT_MAX - 1) != 0 || text[len - 1] != '\n')
		return FB_ECORRUPT;
	*end = '\0';
	return 0;
}

int
manifest_take(struct slice s, struct manifest *out)
{
	char *text = mem_dup(s.p, s.len);
	struct manifest m = { .file = NULL };
	char *save = NULL, *line;
	int format = 0, rc = FB_ECORRUPT;

	*out = m;
	if (sscanf(text, HEAD " %d\n", &format) == 1 && format != FORMAT)
		rc = FB_EVERSION;
	else if (format == FORMAT)
		rc = take_end(text, s.len);
	line = rc == 0 ? strtok_r(text, "\n", &save) : NULL;
	while (rc == 0 && (line = strtok_r(NULL, "\n", &save)) != NULL)
		rc = take_line(&m, line);
	mem_free(text);
	if (rc != 0)
		manifest_fini(&m);
	*out = m;
	return rc;
}
