/* SPDX-License-Identifier: Apache-2.0 */
#include "t/support/unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/base/cidr.h"
#include "common/base/err.h"
#include "common/base/rand.h"

START_TEST(texts_there_and_back)
{
	static const char *const same[] = { "10.0.0.0/8", "192.168.1.7", "0.0.0.0/0", "::1", "::/0", "2001:db8::/32",
		"fe80::/10", "10.1.2.0/23", "2001:db8::1:0/112" };
	char text[CIDR_TEXT_MAX];
	struct cidr c;

	for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
		ck_assert_int_eq(cidr_parse(same[i], &c), 0);
		cidr_print(&c, text);
		ck_assert_str_eq(text, same[i]);
	}
	ck_assert_int_eq(cidr_parse("::ffff:10.0.0.1", &c), 0);
	cidr_print(&c, text);
	ck_assert_str_eq(text, "10.0.0.1");
	ck_assert_int_eq(cidr_parse("10.0.0.1/32", &c), 0);
	cidr_print(&c, text);
	ck_assert_str_eq(text, "10.0.0.1");
}
END_TEST

START_TEST(what_is_no_prefix_is_refused)
{
	static const char *const bad[] = { "", "/", "/8", "10", "10.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.1/8",
		"10.0.0.0/8x", "10.0.0.0/-1", "10.0.0.0/ 8", "::/129", "::1/127", "localhost", "10.0.0.0/8/8", "fe80::1%lo",
		"10.0.0.0/99999999999999999999", "1111111111111111111111111111111111111111111111111111111111111111111111111" };
	struct cidr c = { .bits = 77 };

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		ck_assert_msg(cidr_parse(bad[i], &c) == FB_EINVAL, "%s", bad[i]);
	ck_assert_uint_eq(c.bits, 77);
}
END_TEST

START_TEST(from_a_socket)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct cidr a;
	struct cidr b;

	in.sin_addr.s_addr = htonl(0x7f000001);
	inet_pton(AF_INET6, "::ffff:127.0.0.1", &in6.sin6_addr);
	ck_assert(cidr_from_sockaddr((const struct sockaddr *)&in, &a));
	ck_assert(cidr_from_sockaddr((const struct sockaddr *)&in6, &b));
	ck_assert_mem_eq(&a, &b, sizeof a);
	ck_assert_uint_eq(a.bits, 128);
	ck_assert(!cidr_from_sockaddr((const struct sockaddr *)&un, &a));
}
END_TEST

static int
value_of(const struct cidr_table *t, const char *addr)
{
	struct cidr c;
	int value = -1;

	ck_assert_int_eq(cidr_parse(addr, &c), 0);
	return cidr_table_find(t, c.addr, &value) ? value : -1;
}

static void
put(struct cidr_table *t, const char *text, int value)
{
	struct cidr c;

	ck_assert_int_eq(cidr_parse(text, &c), 0);
	cidr_table_put(t, &c, value);
}

START_TEST(the_longest_prefix_wins)
{
	struct cidr_table *t = cidr_table_new();
	struct cidr c;

	ck_assert_int_eq(value_of(t, "10.0.0.1"), -1);
	put(t, "0.0.0.0/0", 1);
	put(t, "10.0.0.0/8", 2);
	put(t, "10.1.0.0/16", 3);
	put(t, "10.1.2.3", 4);
	put(t, "2001:db8::/32", 5);
	ck_assert_uint_eq(cidr_table_count(t), 5);
	ck_assert_int_eq(value_of(t, "9.9.9.9"), 1);
	ck_assert_int_eq(value_of(t, "10.9.9.9"), 2);
	ck_assert_int_eq(value_of(t, "10.1.9.9"), 3);
	ck_assert_int_eq(value_of(t, "10.1.2.3"), 4);
	ck_assert_int_eq(value_of(t, "2001:db8::9"), 5);
	ck_assert_int_eq(value_of(t, "2001:db9::9"), -1);
	put(t, "10.1.0.0/16", 6);
	ck_assert_uint_eq(cidr_table_count(t), 5);
	ck_assert_int_eq(value_of(t, "10.1.9.9"), 6);
	ck_assert_int_eq(cidr_parse("10.1.0.0/16", &c), 0);
	ck_assert(cidr_table_del(t, &c));
	ck_assert(!cidr_table_del(t, &c));
	ck_assert_int_eq(value_of(t, "10.1.9.9"), 2);
	put(t, "::/0", 7);
	ck_assert_int_eq(value_of(t, "2001:db9::9"), 7);
	ck_assert_int_eq(value_of(t, "9.9.9.9"), 1);
	cidr_table_clear(t);
	ck_assert_uint_eq(cidr_table_count(t), 0);
	ck_assert_int_eq(value_of(t, "10.1.2.3"), -1);
	cidr_table_free(t);
	cidr_table_free(NULL);
}
END_TEST

static bool
holds(const struct cidr *c, const uint8_t addr[16])
{
	for (unsigned i = 0; i < c->bits; i++)
		if ((c->addr[i / 8] ^ addr[i / 8]) >> (7 - i % 8) & 1)
			return false;
	return true;
}

/* Against a walk over all rules, in a corner of the address space where they overlap. */
START_TEST(like_a_search_of_all)
{
	enum { COUNT = 300 };
	static struct cidr rule[COUNT];
	struct cidr_table *t = cidr_table_new();
	struct rand r;

	rand_seed(&r, 3);
	for (int i = 0; i < COUNT; i++) {
		uint64_t bits = rand_below(&r, 129);

		memset(&rule[i], 0, sizeof rule[i]);
		rule[i].bits = (uint8_t)bits;
		for (unsigned j = 0; j < bits; j++)
			if (rand_below(&r, 40) == 0)
				rule[i].addr[j / 8] |= (uint8_t)(0x80 >> j % 8);
		cidr_table_put(t, &rule[i], i);
	}
	for (int i = 0; i < 5000; i++) {
		uint8_t addr[16] = { 0 };
		int best = -1;
		int value = -1;

		for (unsigned j = 0; j < 128; j++)
			if (rand_below(&r, 40) == 0)
				addr[j / 8] |= (uint8_t)(0x80 >> j % 8);
		for (int j = 0; j < COUNT; j++)         /* of equal rules the last one counts */
			if (holds(&rule[j], addr) && (best < 0 || rule[j].bits >= rule[best].bits))
				best = j;
		ck_assert(cidr_table_find(t, addr, &value) == (best >= 0));
		ck_assert_int_eq(value, best);
	}
	cidr_table_free(t);
}
END_TEST

UNIT_MAIN("cidr", texts_there_and_back, what_is_no_prefix_is_refused, from_a_socket, the_longest_prefix_wins,
    like_a_search_of_all)
