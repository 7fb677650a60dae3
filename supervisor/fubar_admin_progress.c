/* SPDX-License-Identifier: Apache-2.0
 * supervisor/fubar_admin_progress.c - how far something is. */
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "common/admin/row.h"
#include "common/base/clock.h"
#include "supervisor/fubar_admin.h"

#define BAR      40
#define LINE_NS  (5 * NS_PER_SEC)       /* between two lines */
#define BAR_NS   (100 * NS_PER_MS)

static struct {
	const char *what;
	bool shown;                     /* a bar stands there */
	struct mono last;
} at;

void
progress_what(const char *what)
{
	at.what = what;
}

static void
draw(const char *what, unsigned percent)
{
	char bar[BAR + 1];
	unsigned full = percent * BAR / 100;

	memset(bar, '#', full);
	memset(bar + full, '.', BAR - full);
	bar[BAR] = '\0';
	fprintf(stderr, "\r%s [%s] %3u %%", what, bar, percent);
	fflush(stderr);
	at.shown = true;
}

void
progress_show(const char *what, int64_t done, int64_t total)
{
	unsigned percent = total > 0 && done < total ? (unsigned)((double)done * 100 / (double)total) : done > 0 ? 100 : 0;
	bool bar = isatty(STDERR_FILENO) == 1;
	struct mono now = clock_mono();

	if (at.last.ns == 0)
		at.last = now;
	if (mono_diff(now, at.last) < (bar ? BAR_NS : LINE_NS))
		return;
	at.last = now;
	if (bar)
		draw(what, percent);
	else
		fprintf(stderr, "%s: %u %% (%" PRId64 " of %" PRId64 ")\n", what, percent, done, total);
}

void
progress_end(void)
{
	if (at.shown)
		fprintf(stderr, "\r%*s\r", BAR + 40, "");
	at.shown = false;
	at.last = (struct mono){ 0 };
}

bool
progress_row(void *arg, struct slice fields)
{
	int64_t done = 0, total = 0;
	bool is_progress = false;
	struct row_field f;

	(void)arg;
	while (row_next(&fields, &f) == 0) {
		if (f.type == ROW_TEXT && slice_eq(f.name, SLICE_LIT("_table")))
			is_progress = slice_eq(f.text, SLICE_LIT("progress"));
		else if (f.type == ROW_NUMBER && slice_eq(f.name, SLICE_LIT("bytes")))
			done = f.number;
		else if (f.type == ROW_NUMBER && slice_eq(f.name, SLICE_LIT("of")))
			total = f.number;
	}
	if (is_progress)
		progress_show(at.what, done, total);
	return is_progress;
}
