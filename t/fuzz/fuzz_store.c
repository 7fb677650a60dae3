/* SPDX-License-Identifier: Apache-2.0
 * Records of the store, hashes of passwords, and the skip-scan, from any bytes: the first byte chooses. A filter and a
 * key come split by a newline; what the scan says must agree with topic_matches(), and a seek must go forward. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/base/err.h"
#include "common/crypto/passwd.h"
#include "common/mqtt/topic.h"
#include "store/rec.h"
#include "store/scan.h"
#include "t/fuzz/seeds.h"

#define TRY(name) \
	static void \
	try_##name(struct slice s) \
	{ \
		struct rec_##name r; \
		struct buf b; \
\
		if (rec_take_##name(s, &r) != 0) \
			return; \
		buf_init(&b); \
		rec_put_##name(&b, &r); \
		FB_ASSERT(rec_take_##name(buf_slice(&b), &r) == 0); \
		buf_fini(&b); \
	}
TRY(account)
TRY(acl)
TRY(setting)
TRY(right)
TRY(retained)
TRY(session)
TRY(sub)
TRY(number)
TRY(counts)
TRY(will)

static void
try_password(struct slice s)
{
	struct passwd_mac *m = passwd_mac_new("key", 3);

	/* Nothing that any bytes make may pass; and slow ones are not run here. */
	if (passwd_kind(s) == PASSWD_KEYED)
		FB_ASSERT(passwd_check_keyed(m, s, SLICE_LIT("a"), SLICE_LIT("b")) != 0);
	else if (passwd_kind(s) == PASSWD_BAD)
		FB_ASSERT(passwd_check(s, SLICE_LIT("b")) == FB_ECORRUPT);
	passwd_mac_free(m);
}

static bool
behind(struct slice a, struct slice b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	int c = n > 0 ? memcmp(a.p, b.p, n) : 0;

	return c > 0 || (c == 0 && a.len > b.len);
}

static void
try_scan(struct slice s)
{
	const uint8_t *split = s.len > 0 ? memchr(s.p, '\n', s.len) : NULL;
	struct slice filter, topic;
	struct buf key, seek;

	if (split == NULL)
		return;
	filter = slice_of(s.p, (size_t)(split - s.p));
	topic = slice_of(split + 1, s.len - filter.len - 1);
	if (!topic_filter_valid(filter) || !topic_name_valid(topic))
		return;
	buf_init(&key);
	buf_init(&seek);
	scan_put_key(&key, topic);
	switch (scan_look(filter, buf_slice(&key), &seek)) {
	case SCAN_MATCH:
		FB_ASSERT(topic_matches(filter, topic));
		break;
	case SCAN_SEEK:
		FB_ASSERT(!topic_matches(filter, topic) && behind(buf_slice(&seek), buf_slice(&key)));
		break;
	case SCAN_END:
		FB_ASSERT(!topic_matches(filter, topic));
		break;
	}
	buf_clear(&seek);
	scan_put_start(&seek, filter);
	FB_ASSERT(!topic_matches(filter, topic) || !behind(buf_slice(&seek), buf_slice(&key)));
	buf_fini(&key);
	buf_fini(&seek);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const tries[])(struct slice s) = { try_scan, try_account, try_acl, try_setting, try_retained,
		try_session, try_sub, try_number, try_counts, try_password, try_right, try_will };

	if (size > 0)
		tries[data[0] % (sizeof tries / sizeof tries[0])](slice_of(data + 1, size - 1));
	return 0;
}

size_t
fuzz_seed(size_t i, uint8_t *out, size_t max)
{
	static const char *const seeds[] = { "\x0b" "+/b/#\na/b/c", "\x0b" "a/+\na/b/c", "\x0b" "#\n$x/y", "\x0b" "a/b\na",
		"\x0b" "+/+/c\na//c", "\x09$hmac-sha256$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		"\x01\x01" "12345678" "12345678" "$scrypt$", "\x04\x01\x0d" "12345678\x01" };
	size_t len;

	if (i >= sizeof seeds / sizeof seeds[0])
		return 0;
	len = strlen(seeds[i]);
	len = len < max ? len : max;
	memcpy(out, seeds[i], len);
	return len;
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	fuzz_write_seeds(*argc, *argv);
	return 0;
}
