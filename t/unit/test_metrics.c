/* SPDX-License-Identifier: Apache-2.0
 * The shared page and the admin rows. */
#include "t/support/unit.h"

#include <sys/mman.h>
#include <unistd.h>

#include "common/admin/row.h"
#include "common/metrics/page.h"

START_TEST(counts_before_and_after_mapping)
{
	struct metrics_page *seen;
	int fd;

	METRIC_ADD(reads, 3);
	fd = metrics_make(&seen);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_ne(ftruncate(fd, 1), 0);          /* nobody can pull the page away */
	ck_assert_int_eq(metrics_map(fd), 0);
	METRIC_ADD(reads, 2);
	METRIC_SET(clients, 9);
	METRIC_SUB(clients, 1);
	ck_assert_uint_eq(seen->value[METRIC_reads], 5);
	ck_assert_uint_eq(seen->value[METRIC_clients], 8);
	ck_assert_uint_eq(METRIC_GET(clients), 8);
	ck_assert_str_eq(metric_info(METRIC_clients)->name, "clients");
	ck_assert_str_eq(metric_info(METRIC_clients)->kind, "GAUGE");
}
END_TEST

START_TEST(another_layout_is_refused)
{
	struct metrics_page *seen;
	struct metrics_page *before = metrics;
	int fd = metrics_make(&seen);
	int small = memfd_create("t", MFD_CLOEXEC);

	seen->digest ^= 1;
	ck_assert_int_eq(metrics_map(fd), FB_EVERSION);
	ck_assert_int_eq(ftruncate(small, 8), 0);
	ck_assert_int_eq(metrics_map(small), FB_EVERSION);
	ck_assert_ptr_eq(metrics, before);
}
END_TEST

START_TEST(row_there_and_back_and_cut)
{
	struct buf b;
	struct slice s;
	struct row_field f = { 0 };

	buf_init(&b);
	row_put_str(&b, "_table", "worker");
	row_put_number(&b, "pid", -5);
	row_put_bool(&b, "ready", true);
	row_put_real(&b, "load", 0.25);
	s = buf_slice(&b);
	ck_assert_int_eq(row_next(&s, &f), 0);
	ck_assert(f.type == ROW_TEXT && slice_eq(f.name, SLICE_LIT("_table")) && slice_eq(f.text, SLICE_LIT("worker")));
	ck_assert_int_eq(row_next(&s, &f), 0);
	ck_assert(f.type == ROW_NUMBER && f.number == -5);
	ck_assert_int_eq(row_next(&s, &f), 0);
	ck_assert(f.type == ROW_BOOL && f.number == 1);
	ck_assert_int_eq(row_next(&s, &f), 0);
	ck_assert(f.type == ROW_REAL && f.real > 0.24 && f.real < 0.26);
	ck_assert_int_eq(row_next(&s, &f), FB_ENOENT);
	for (size_t cut = 0; cut < buf_len(&b); cut++) {
		int err;

		s = slice_of(buf_slice(&b).p, cut);
		while ((err = row_next(&s, &f)) == 0)
			;
		ck_assert(err == FB_EPROTO || err == FB_ENOENT);
	}
	buf_fini(&b);
}
END_TEST

UNIT_MAIN("metrics", counts_before_and_after_mapping, another_layout_is_refused, row_there_and_back_and_cut)
