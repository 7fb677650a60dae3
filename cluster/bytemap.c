/* SPDX-License-Identifier: Apache-2.0
 *
 * Linear probing in parts chosen by the top byte of the hash. The place of an entry is computed from the stored bits
 * by multiplication, so a part need not be a power of two: it grows by 1.4 at a load of 0.8, and the load stays above
 * 0.57. Deleting shifts back, there are no tombstones. */
#include "cluster/bytemap.h"

#include <string.h>

#include "common/base/err.h"
#include "common/base/mem.h"

#define PART_MIN 8u

static inline struct bytemap_part *
part_of(const struct bytemap *m, uint64_t hash)
{
	return (struct bytemap_part *)&m->part[hash >> 56];
}

static inline uint64_t
key_of(uint64_t hash)
{
	return hash << 8;
}

static inline uint32_t
home(const struct bytemap_part *p, uint64_t place)
{
	return (uint32_t)(((place >> 32) * p->cap) >> 32);
}

static inline uint32_t
step(const struct bytemap_part *p, uint32_t i)
{
	return i + 1 == p->cap ? 0 : i + 1;
}

void
bytemap_init(struct bytemap *m)
{
	memset(m, 0, sizeof *m);
}

void
bytemap_fini(struct bytemap *m)
{
	for (unsigned i = 0; i < BYTEMAP_PARTS; i++) {
		mem_free(m->part[i].places);
		mem_free(m->part[i].wide);
	}
	memset(m, 0, sizeof *m);
}

/* The place that holds key, or the free one where it would go. Needs cap > used. */
static inline uint32_t
find(const struct bytemap_part *p, uint64_t key)
{
	uint32_t i = home(p, key);

	while (p->places[i] != 0 && (p->places[i] ^ key) >= 256)
		i = step(p, i);
	return i;
}

static uint32_t
wide_find(const struct bytemap_part *p, uint64_t hash)
{
	uint32_t mask = p->wide_cap - 1;
	uint32_t i = (uint32_t)hash & mask;

	while (p->wide[i].value != 0 && p->wide[i].hash != hash)
		i = (i + 1) & mask;
	return i;
}

static void
wide_resize(struct bytemap_part *p, uint32_t cap)
{
	struct bytemap_wide *old = p->wide;
	uint32_t old_cap = p->wide_cap;

	p->wide = mem_zalloc(cap * sizeof *p->wide);
	p->wide_cap = cap;
	for (uint32_t i = 0; i < old_cap; i++)
		if (old[i].value != 0)
			p->wide[wide_find(p, old[i].hash)] = old[i];
	mem_free(old);
}

static void
wide_put(struct bytemap_part *p, uint64_t hash, uint64_t value)
{
	uint32_t i;

	FB_ASSERT(value != 0);
	if ((p->wide_used + 1) * 4 > p->wide_cap * 3)
		wide_resize(p, p->wide_cap == 0 ? 4 : p->wide_cap * 2);
	i = wide_find(p, hash);
	if (p->wide[i].value == 0)
		p->wide_used++;
	p->wide[i] = (struct bytemap_wide){ hash, value };
}

static void
wide_del(struct bytemap_part *p, uint64_t hash)
{
	uint32_t mask = p->wide_cap - 1;
	uint32_t i = wide_find(p, hash);
	uint32_t j = i;

	FB_ASSERT(p->wide[i].value != 0);
	for (;;) {
		uint32_t k;

		j = (j + 1) & mask;
		if (p->wide[j].value == 0)
			break;
		k = (uint32_t)p->wide[j].hash & mask;
		if (((j - k) & mask) < ((j - i) & mask))
			continue;
		p->wide[i] = p->wide[j];
		i = j;
	}
	p->wide[i].value = 0;
	p->wide_used--;
	if (p->wide_used == 0) {
		mem_free(p->wide);
		p->wide = NULL;
		p->wide_cap = 0;
	}
}

uint8_t
bytemap_get(const struct bytemap *m, uint64_t hash, uint64_t *wide)
{
	const struct bytemap_part *p = part_of(m, hash);
	uint8_t byte;

	if (p->used == 0)
		return 0;
	byte = (uint8_t)p->places[find(p, key_of(hash))];
	if (byte == BYTEMAP_WIDE)
		*wide = p->wide[wide_find(p, hash)].value;
	return byte;
}

static void
resize(struct bytemap_part *p, uint32_t cap)
{
	uint64_t *old = p->places;
	uint32_t old_cap = p->cap;

	p->places = mem_zalloc(cap * sizeof *p->places);
	p->cap = cap;
	for (uint32_t i = 0; i < old_cap; i++)
		if (old[i] != 0)
			p->places[find(p, old[i] & ~UINT64_C(255))] = old[i];
	mem_free(old);
}

void
bytemap_put(struct bytemap *m, uint64_t hash, uint8_t byte, uint64_t wide)
{
	struct bytemap_part *p = part_of(m, hash);
	uint32_t i;
	uint8_t was;

	FB_ASSERT(byte != 0);
	if ((p->used + 1) * 10ul > p->cap * 8ul)
		resize(p, p->cap < PART_MIN ? PART_MIN : p->cap + p->cap * 4 / 10);
	i = find(p, key_of(hash));
	was = (uint8_t)p->places[i];
	if (was == 0) {
		p->used++;
		m->count++;
	}
	if (was == BYTEMAP_WIDE && byte != BYTEMAP_WIDE)
		wide_del(p, hash);
	if (byte == BYTEMAP_WIDE)
		wide_put(p, hash, wide);
	p->places[i] = key_of(hash) | byte;
}

/* Closes the gap at i: whatever would no longer be found from its home moves there. */
static void
shift_back(struct bytemap_part *p, uint32_t i)
{
	uint32_t j = i;

	for (;;) {
		uint32_t k;

		j = step(p, j);
		if (p->places[j] == 0)
			break;
		k = home(p, p->places[j]);
		if (i <= j ? i < k && k <= j : i < k || k <= j)
			continue;
		p->places[i] = p->places[j];
		i = j;
	}
	p->places[i] = 0;
}

void
bytemap_del(struct bytemap *m, uint64_t hash)
{
	struct bytemap_part *p = part_of(m, hash);
	uint32_t i;

	if (p->used == 0)
		return;
	i = find(p, key_of(hash));
	if (p->places[i] == 0)
		return;
	if ((uint8_t)p->places[i] == BYTEMAP_WIDE)
		wide_del(p, hash);
	shift_back(p, i);
	p->used--;
	m->count--;
	if (p->used == 0) {
		mem_free(p->places);
		p->places = NULL;
		p->cap = 0;
	} else if (p->cap > 32 && p->used * 4ul < p->cap) {
		resize(p, p->used * 14 / 10 + PART_MIN);
	}
}

void
bytemap_each(const struct bytemap *m, bytemap_fn *fn, void *arg)
{
	for (uint64_t n = 0; n < BYTEMAP_PARTS; n++) {
		const struct bytemap_part *p = &m->part[n];

		for (uint32_t i = 0; i < p->cap; i++) {
			uint64_t hash = p->places[i] >> 8 | n << 56;
			uint8_t byte = (uint8_t)p->places[i];

			if (byte != 0)
				fn(arg, hash, byte, byte == BYTEMAP_WIDE ? p->wide[wide_find(p, hash)].value : 0);
		}
	}
}

size_t
bytemap_bytes(const struct bytemap *m)
{
	size_t n = 0;

	for (unsigned i = 0; i < BYTEMAP_PARTS; i++)
		n += m->part[i].cap * sizeof(uint64_t) + m->part[i].wide_cap * sizeof(struct bytemap_wide);
	return n;
}
