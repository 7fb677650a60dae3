/* SPDX-License-Identifier: Apache-2.0
 * common/base/rand.h - randomness from the kernel, a seedable generator for tests and spreading, keyed hashes. */
#ifndef COMMON_BASE_RAND_H
#define COMMON_BASE_RAND_H

#include <stddef.h>
#include <stdint.h>

/* Secret-grade bytes from the kernel; dies if it has none. */
void rand_bytes(void *p, size_t len);

/* xoshiro256**-class generator, not secret; seed 0 is allowed. */
struct rand { uint64_t s[4]; };
void rand_seed(struct rand *r, uint64_t seed);
uint64_t rand_u64(struct rand *r);
uint64_t rand_below(struct rand *r, uint64_t n);        /* 0..n-1, n >= 1, without bias */

/* SipHash-1-3. hash key k for hash tables of this process is made at start; the one for routes is given out
 * by the supervisor, the same for all workers of a node. */
struct hash_key { uint64_t k0, k1; };
uint64_t rand_siphash(const struct hash_key *k, const void *p, size_t len);
extern struct hash_key rand_process_key;                /* random, set before main() */

static inline uint64_t
rand_hash(const void *p, size_t len)
{
	return rand_siphash(&rand_process_key, p, len);
}

#endif
