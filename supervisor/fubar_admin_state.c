/* SPDX-License-Identifier: Apache-2.0
 * supervisor/fubar_admin_state.c - the answer to `state` for people: lines about the node, then tables of 80 columns.
 * Programs read all of it with --json. */
#include <inttypes.h>
#include <string.h>

#include "common/admin/row.h"
#include "common/base/utf8.h"
#include "supervisor/fubar_admin.h"

#define SHOWN_MAX 1100          /* a value of the configuration, and more */

/* What the lines below show; what else the node says comes behind them. */
static const char *const known[] = {
	"node", "description", "version", "state", "pid", "since", "uptime_s", "config", "data_dir", "run_dir", "needs_restart",
	"workers", "connections", "clients", "sessions", "sessions_durable", "subscriptions", "retained", "routes", "queued",
	"queued_bytes", "messages_in", "messages_out", "memory_kb", "cpu_s", "cpu", "memory_mb", "memory_limit_mb", "load",
	"overloaded", "min_load", "min_load_node", "alternate", "disk", "flush_ms", "acks_waiting",
};

static bool
find(struct slice fields, const char *name, struct row_field *f)
{
	while (row_next(&fields, f) == 0)
		if (slice_eq(f->name, slice_str(name)))
			return true;
	memset(f, 0, sizeof *f);
	return false;
}

static const char *
text(struct slice fields, const char *name, char *out, size_t size)
{
	struct row_field f;

	find(fields, name, &f);
	return utf8_show(f.text, out, size);
}

static int64_t
number(struct slice fields, const char *name)
{
	struct row_field f;

	find(fields, name, &f);
	return f.number;
}

static double
real(struct slice fields, const char *name)
{
	struct row_field f;

	find(fields, name, &f);
	return f.real;
}

static void
put_uptime(FILE *out, int64_t s)
{
	if (s >= 86400)
		fprintf(out, "%" PRId64 " d ", s / 86400);
	fprintf(out, "%02d:%02d:%02d", (int)(s / 3600 % 24), (int)(s / 60 % 60), (int)(s % 60));
}

static void
put_who(FILE *out, struct slice n)
{
	char t[SHOWN_MAX];

	fprintf(out, "node:          %s\n", text(n, "node", t, sizeof t));
	fprintf(out, "description:   %s\n", text(n, "description", t, sizeof t));
	fprintf(out, "version:       %s\n", text(n, "version", t, sizeof t));
	fprintf(out, "state:         %s", text(n, "state", t, sizeof t));
	fprintf(out, " since %s, pid %" PRId64 "\n", text(n, "since", t, sizeof t), number(n, "pid"));
	fprintf(out, "uptime:        ");
	put_uptime(out, number(n, "uptime_s"));
	fprintf(out, "\nconfig:        %s\n", text(n, "config", t, sizeof t)[0] != '\0' ? t : "none, all at its default");
	fprintf(out, "data_dir:      %s\n", text(n, "data_dir", t, sizeof t));
	fprintf(out, "run_dir:       %s\n", text(n, "run_dir", t, sizeof t));
	if (text(n, "needs_restart", t, sizeof t)[0] != '\0')
		fprintf(out, "needs restart: %s\n", t);
}

static void
put_disk(FILE *out, struct slice n)
{
	char t[SHOWN_MAX];
	double s = (double)number(n, "flush_ms") / 1000;

	if (strcmp(text(n, "disk", t, sizeof t), "ok") == 0)
		fprintf(out, "disk:          ok\n");
	else if (strcmp(t, "full") == 0)
		fprintf(out, "disk:          full, durable writes are refused, ");
	else if (strcmp(t, "slow") == 0)
		fprintf(out, "disk:          slow, last flush %.1f s, ", s);
	else
		fprintf(out, "disk:          store down, ");
	if (strcmp(t, "ok") != 0)
		fprintf(out, "%" PRId64 " acknowledgements wait\n", number(n, "acks_waiting"));
}

static void
put_what(FILE *out, struct slice n)
{
	char t[SHOWN_MAX];

	fprintf(out, "memory:        %.1f MB, limit %.1f MB\n", real(n, "memory_mb"), real(n, "memory_limit_mb"));
	fprintf(out, "load:          %.2f, %soverloaded\n", real(n, "load"), number(n, "overloaded") != 0 ? "" : "not ");
	fprintf(out, "min_load:      %.2f (%s)\n", real(n, "min_load"), text(n, "min_load_node", t, sizeof t));
	fprintf(out, "alternate:     %s\n", text(n, "alternate", t, sizeof t)[0] != '\0' ? t : "none");
	put_disk(out, n);
	fprintf(out, "cpu:           %.2f in use, %.1f s\n", real(n, "cpu"), real(n, "cpu_s"));
	fprintf(out, "clients:       %" PRId64 ", connections %" PRId64 "\n", number(n, "clients"), number(n, "connections"));
	fprintf(out, "sessions:      %" PRId64 ", durable %" PRId64 ", subscriptions %" PRId64 "\n", number(n, "sessions"),
	    number(n, "sessions_durable"), number(n, "subscriptions"));
	fprintf(out, "messages:      in %" PRId64 ", out %" PRId64 ", retained %" PRId64 ", queued %" PRId64 " (%" PRId64
	    " bytes)\n", number(n, "messages_in"), number(n, "messages_out"), number(n, "retained"), number(n, "queued"),
	    number(n, "queued_bytes"));
	fprintf(out, "routes:        %" PRId64 "\n", number(n, "routes"));
}

static void
put_rest(FILE *out, struct slice fields)
{
	char name[SHOWN_MAX], t[SHOWN_MAX];
	struct row_field f;

	while (row_next(&fields, &f) == 0) {
		bool old = false;

		for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
			old = old || slice_eq(f.name, slice_str(known[i]));
		if (old)
			continue;
		fprintf(out, "%s:%*s", utf8_show(f.name, name, sizeof name), f.name.len < 14 ? 14 - (int)f.name.len : 1, "");
		if (f.type == ROW_TEXT)
			fprintf(out, "%s\n", utf8_show(f.text, t, sizeof t));
		else if (f.type == ROW_REAL)
			fprintf(out, "%.4g\n", f.real);
		else if (f.type == ROW_BOOL)
			fprintf(out, "%s\n", f.number != 0 ? "yes" : "no");
		else
			fprintf(out, "%" PRId64 "\n", f.number);
	}
}

static const char *
columns(struct slice table)
{
	if (table.len == 0)
		return "";
	if (slice_eq(table, SLICE_LIT("processes")))
		return "name pid state restarts memory_kb=kB cpu clients messages_in=in messages_out=out";
	if (slice_eq(table, SLICE_LIT("store")))
		return "accounts retained session_ids writes writes_failed=failed writes_waiting=waiting flush_last_ms=flush_ms "
		    "flush_max_ms=longest_ms";
	if (slice_eq(table, SLICE_LIT("queues")))
		return "messages writes writes_failed=failed writes_waiting=waiting flush_last_ms=flush_ms flush_max_ms=longest_ms "
		    "flushing_ms";
	if (slice_eq(table, SLICE_LIT("links")))
		return "worker neighbour up msgs_in msgs_out pending_bytes=pending unkept routes";
	return NULL;
}

void
show_state(FILE *f, const struct answer *a)
{
	struct slice n = a->count > 0 ? a->rows[0].fields : slice_of(NULL, 0);
	char t[SHOWN_MAX];
	struct row_field field;

	if (a->count == 0 || a->rows[0].table.len > 0 || !find(n, "version", &field)) {
		show_answer(f, a);
		return;
	}
	put_who(f, n);
	put_what(f, n);
	put_rest(f, n);
	show_tables(f, a, columns);
	if (a->text != NULL && a->text[0] != '\0')
		fprintf(f, "\n%s\n", utf8_show(slice_str(a->text), t, sizeof t));
}
