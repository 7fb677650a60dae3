/* SPDX-License-Identifier: Apache-2.0
 *
 * The table is a hash map of prefixes and a count for each length: a search masks the address to each length in use,
 * longest first. Rules use a handful of lengths, so it is a handful of look-ups, however many rules there are. */
#include "common/base/cidr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/err.h"
#include "common/base/hmap.h"
#include "common/base/list.h"
#include "common/base/mem.h"
#include "common/base/rand.h"

#define CIDR_BITS 128

struct entry {
	struct hmap_node node;
	struct cidr c;
	int value;
};

struct cidr_table {
	struct hmap map;
	uint32_t lengths[CIDR_BITS + 1];        /* how many prefixes are that long */
	uint64_t used[3];                       /* bit n: lengths[n] is not 0 */
};

static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

static void
mask(uint8_t addr[16], unsigned bits)
{
	unsigned whole = bits / 8;

	if (bits % 8 != 0) {
		addr[whole] &= (uint8_t)(0xff00 >> bits % 8);
		whole++;
	}
	memset(addr + whole, 0, 16 - whole);
}

/* "0".."128", digits only. */
static int
parse_bits(const char *text, unsigned max, unsigned *out)
{
	unsigned n = 0;

	if (*text == '\0')
		return FB_EINVAL;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return FB_EINVAL;
		n = 10 * n + (unsigned)(*text - '0');
		if (n > max)
			return FB_EINVAL;
	}
	*out = n;
	return 0;
}

int
cidr_parse(const char *text, struct cidr *out)
{
	const char *slash = strchr(text, '/');
	size_t len = slash != NULL ? (size_t)(slash - text) : strlen(text);
	unsigned base = 0;
	unsigned bits = CIDR_BITS;
	struct cidr c = { .bits = CIDR_BITS };
	char host[CIDR_TEXT_MAX];
	uint8_t masked[16];

	if (len >= sizeof host)
		return FB_EINVAL;
	memcpy(host, text, len);
	host[len] = '\0';
	if (inet_pton(AF_INET, host, c.addr + 12) == 1) {
		memcpy(c.addr, mapped, sizeof mapped);
		base = 96;
	} else if (inet_pton(AF_INET6, host, c.addr) != 1) {
		return FB_EINVAL;
	}
	if (slash != NULL) {
		if (parse_bits(slash + 1, CIDR_BITS - base, &bits) != 0)
			return FB_EINVAL;
		bits += base;
	}
	memcpy(masked, c.addr, sizeof masked);
	mask(masked, bits);
	if (memcmp(masked, c.addr, sizeof masked) != 0)
		return FB_EINVAL;
	c.bits = (uint8_t)bits;
	*out = c;
	return 0;
}

bool
cidr_from_sockaddr(const struct sockaddr *sa, struct cidr *out)
{
	out->bits = CIDR_BITS;
	if (sa->sa_family == AF_INET) {
		struct sockaddr_in in;

		memcpy(&in, sa, sizeof in);
		memcpy(out->addr, mapped, sizeof mapped);
		memcpy(out->addr + 12, &in.sin_addr, 4);
		return true;
	}
	if (sa->sa_family == AF_INET6) {
		struct sockaddr_in6 in6;

		memcpy(&in6, sa, sizeof in6);
		memcpy(out->addr, &in6.sin6_addr, 16);
		return true;
	}
	return false;
}

void
cidr_print(const struct cidr *c, char text[CIDR_TEXT_MAX])
{
	bool v4 = c->bits >= 96 && memcmp(c->addr, mapped, sizeof mapped) == 0;
	char host[INET6_ADDRSTRLEN] = "";

	if (v4)
		inet_ntop(AF_INET, c->addr + 12, host, sizeof host);
	else
		inet_ntop(AF_INET6, c->addr, host, sizeof host);
	if (c->bits == CIDR_BITS)
		snprintf(text, CIDR_TEXT_MAX, "%s", host);
	else
		snprintf(text, CIDR_TEXT_MAX, "%s/%d", host, v4 ? c->bits - 96 : c->bits);
}

struct cidr_table *
cidr_table_new(void)
{
	return mem_zalloc(sizeof(struct cidr_table));
}

void
cidr_table_free(struct cidr_table *t)
{
	if (t == NULL)
		return;
	cidr_table_clear(t);
	mem_free(t);
}

/* struct cidr is 17 bytes without holes. */
_Static_assert(sizeof(struct cidr) == 17, "struct cidr is hashed and compared as bytes");

static struct entry *
find(const struct cidr_table *t, const struct cidr *c)
{
	uint64_t hash = rand_hash(c, sizeof *c);
	struct hmap_node *n;

	for (n = hmap_first(&t->map, hash); n != NULL; n = hmap_next(n, hash)) {
		struct entry *e = container_of(n, struct entry, node);

		if (memcmp(&e->c, c, sizeof *c) == 0)
			return e;
	}
	return NULL;
}

void
cidr_table_put(struct cidr_table *t, const struct cidr *c, int value)
{
	struct entry *e = find(t, c);

	FB_ASSERT(c->bits <= CIDR_BITS);
	if (e == NULL) {
		e = mem_alloc(sizeof *e);
		e->c = *c;
		hmap_put(&t->map, &e->node, rand_hash(c, sizeof *c));
		t->lengths[c->bits]++;
		t->used[c->bits / 64] |= UINT64_C(1) << c->bits % 64;
	}
	e->value = value;
}

bool
cidr_table_del(struct cidr_table *t, const struct cidr *c)
{
	struct entry *e = find(t, c);

	if (e == NULL)
		return false;
	hmap_del(&t->map, &e->node);
	mem_free(e);
	if (--t->lengths[c->bits] == 0)
		t->used[c->bits / 64] &= ~(UINT64_C(1) << c->bits % 64);
	return true;
}

void
cidr_table_clear(struct cidr_table *t)
{
	struct hmap_iter it = { 0 };
	struct hmap_node *n;

	while ((n = hmap_each(&t->map, &it)) != NULL)
		mem_free(container_of(n, struct entry, node));
	hmap_fini(&t->map);
	*t = (struct cidr_table){ 0 };
}

size_t
cidr_table_count(const struct cidr_table *t)
{
	return t->map.count;
}

bool
cidr_table_find(const struct cidr_table *t, const uint8_t addr[16], int *value)
{
	struct cidr c;

	memcpy(c.addr, addr, sizeof c.addr);
	for (int i = 2; i >= 0; i--) {
		uint64_t used = t->used[i];

		while (used != 0) {
			unsigned bit = 63u - (unsigned)__builtin_clzll(used);
			const struct entry *e;

			used &= ~(UINT64_C(1) << bit);
			c.bits = (uint8_t)(64u * (unsigned)i + bit);
			mask(c.addr, c.bits);
			e = find(t, &c);
			if (e != NULL) {
				*value = e->value;
				return true;
			}
		}
	}
	return false;
}
