/* SPDX-License-Identifier: Apache-2.0
 * common/base/cidr.h - IP addresses and prefixes, IPv4 and IPv6, and the table that finds the longest one.
 *
 * An address is kept as 16 bytes; IPv4 in its mapped form ::ffff:a.b.c.d, so that a client on a dual-stack
 * socket is the same client. */
#ifndef COMMON_BASE_CIDR_H
#define COMMON_BASE_CIDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sockaddr;

struct cidr {
	uint8_t addr[16];
	uint8_t bits;                   /* 0..128; an IPv4 /n is 96 + n */
};

#define CIDR_TEXT_MAX 64

/* "10.0.0.0/8", "::1", "192.168.1.7". Bits behind the prefix must be 0. FB_EINVAL otherwise. */
int cidr_parse(const char *text, struct cidr *out);
/* The address of a peer; false: neither IPv4 nor IPv6 (a Unix socket). */
bool cidr_from_sockaddr(const struct sockaddr *sa, struct cidr *out);
void cidr_print(const struct cidr *c, char text[CIDR_TEXT_MAX]);        /* IPv4 shown as such; /bits unless whole */

struct cidr_table;
struct cidr_table *cidr_table_new(void);
void cidr_table_free(struct cidr_table *t);
void cidr_table_put(struct cidr_table *t, const struct cidr *c, int value);     /* replaces */
bool cidr_table_del(struct cidr_table *t, const struct cidr *c);                /* false: was not there */
void cidr_table_clear(struct cidr_table *t);
size_t cidr_table_count(const struct cidr_table *t);
/* The value at the longest prefix that holds addr; false: none does. */
bool cidr_table_find(const struct cidr_table *t, const uint8_t addr[16], int *value);

#endif
