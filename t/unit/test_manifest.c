/* SPDX-License-Identifier: Apache-2.0 */
#include "store/manifest.h"

#include <stdio.h>
#include <string.h>

#include "t/support/unit.h"

static void
make(struct buf *b)
{
	struct manifest m = { .version = "1.2", .node = "a node", .made = "2026-01-31T12:00:00Z", .epoch = 17 };
	struct manifest_file *f = manifest_add(&m, "state/accounts.db");

	f->bytes = 16384;
	digest_text(SLICE_LIT("x"), f->hash);
	f = manifest_add(&m, "queue/log.0000000001");
	f->bytes = 1;
	digest_text(SLICE_LIT("y"), f->hash);
	manifest_put(b, &m);
	manifest_fini(&m);
}

START_TEST(comes_back)
{
	struct manifest m;
	struct buf b;

	buf_init(&b);
	make(&b);
	ck_assert_int_eq(manifest_take(buf_slice(&b), &m), 0);
	ck_assert_str_eq(m.version, "1.2");
	ck_assert_str_eq(m.node, "a node");
	ck_assert_str_eq(m.made, "2026-01-31T12:00:00Z");
	ck_assert_uint_eq(m.epoch, 17);
	ck_assert_uint_eq(m.count, 2);
	ck_assert_str_eq(m.file[1].name, "queue/log.0000000001");
	ck_assert_uint_eq(manifest_bytes(&m), 16385);
	/* sha256("x") */
	ck_assert_str_eq(m.file[0].hash, "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881");
	manifest_fini(&m);
	buf_fini(&b);
}
END_TEST

START_TEST(any_damage_is_seen)
{
	struct manifest m;
	struct buf b;

	buf_init(&b);
	make(&b);
	for (size_t i = 0; i < buf_len(&b); i++) {
		b.base[b.start + i] ^= 1;
		ck_assert_int_ne(manifest_take(buf_slice(&b), &m), 0);
		ck_assert(m.file == NULL);
		b.base[b.start + i] ^= 1;
		ck_assert_int_ne(manifest_take(slice_of(buf_slice(&b).p, i), &m), 0);
	}
	buf_fini(&b);
}
END_TEST

/* Whoever makes the text can make its hash, too: names must not lead out of the directory. */
static int
with_line(const char *line)
{
	char text[512], hash[DIGEST_TEXT_MAX];
	struct manifest m;
	size_t n = (size_t)snprintf(text, sizeof text, "fubar-backup 1\n%s\n", line);
	int rc;

	digest_text(slice_of(text, n), hash);
	n += (size_t)snprintf(text + n, sizeof text - n, "end %s\n", hash);
	rc = manifest_take(slice_of(text, n), &m);
	manifest_fini(&m);
	return rc;
}

#define H "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"

START_TEST(names_stay_inside)
{
	ck_assert_int_eq(with_line("file state/x.db 5 " H), 0);
	ck_assert_int_eq(with_line("file ../x.db 5 " H), FB_ECORRUPT);
	ck_assert_int_eq(with_line("file state/../../x 5 " H), FB_ECORRUPT);
	ck_assert_int_eq(with_line("file /etc/passwd 5 " H), FB_ECORRUPT);
	ck_assert_int_eq(with_line("file state/.. 5 " H), FB_ECORRUPT);
	ck_assert_int_eq(with_line("file state/a/b 5 " H), FB_ECORRUPT);
	ck_assert_int_eq(with_line("file state/x.db 5 123"), FB_ECORRUPT);
	ck_assert_int_eq(with_line("what is this"), FB_ECORRUPT);
}
END_TEST

START_TEST(a_later_format_is_named_so)
{
	struct manifest m;

	ck_assert_int_eq(manifest_take(SLICE_LIT("fubar-backup 2\nwhatever\n"), &m), FB_EVERSION);
	ck_assert_int_eq(manifest_take(SLICE_LIT("hello\n"), &m), FB_ECORRUPT);
	ck_assert_int_eq(manifest_take(SLICE_LIT(""), &m), FB_ECORRUPT);
}
END_TEST

UNIT_MAIN("manifest", comes_back, any_damage_is_seen, names_stay_inside, a_later_format_is_named_so)
