/* SPDX-License-Identifier: Apache-2.0
 *
 * One entry a publisher: the upper 48 bits of its identities are its session's, the lower ones a packet id. An entry
 * without ids is given back at once; entries and sets come from slabs, so a publisher with one message at a time costs
 * no malloc. */
#include "worker/seen.h"

#include "common/base/bitmap.h"
#include "common/base/hmap.h"
#include "common/base/mem.h"
#include "worker/worker.h"

#define RECORD_SIZE 8u                  /* le64 identity; its packet id 0: all of that session */

struct publisher {
	struct hmap_node node;          /* its hash is the upper 48 bits, which are random, and all there is to compare */
	struct bitmap ids;
	size_t real_size;
};

struct seen {
	struct hmap publishers;
};

struct seen *
seen_new(void)
{
	struct seen *s = mem_zalloc(sizeof *s);

	hmap_init(&s->publishers);
	return s;
}

static void
forget(struct seen *s, struct publisher *p)
{
	hmap_del(&s->publishers, &p->node);
	bitmap_fini(&p->ids);
	mem_slab_put(p, p->real_size);
}

void
seen_free(struct seen *s)
{
	struct hmap_iter it = { 0 };
	struct hmap_node *n;

	while ((n = hmap_each(&s->publishers, &it)) != NULL)
		forget(s, container_of(n, struct publisher, node));
	hmap_fini(&s->publishers);
	mem_free(s);
}

static struct publisher *
find(const struct seen *s, uint64_t id)
{
	struct hmap_node *n = hmap_first(&s->publishers, id >> 16);

	return n != NULL ? container_of(n, struct publisher, node) : NULL;
}

static inline uint16_t
packet_id_of(uint64_t id)
{
	return (uint16_t)(id & UINT16_MAX);
}

bool
seen_put(struct worker *w, uint64_t qos2_id)
{
	struct publisher *p = find(w->seen, qos2_id);

	if (p == NULL) {
		size_t real;

		p = mem_slab_get(sizeof *p, &real);
		p->real_size = real;
		bitmap_init(&p->ids);
		hmap_put(&w->seen->publishers, &p->node, qos2_id >> 16);
	}
	return bitmap_put(&p->ids, packet_id_of(qos2_id));
}

bool
seen_has(const struct worker *w, uint64_t qos2_id)
{
	const struct publisher *p = find(w->seen, qos2_id);

	return p != NULL && bitmap_has(&p->ids, packet_id_of(qos2_id));
}

static void
release(struct seen *s, uint64_t id)
{
	struct publisher *p = find(s, id);

	if (p == NULL)
		return;
	if (packet_id_of(id) != 0)
		bitmap_del(&p->ids, packet_id_of(id));
	if (packet_id_of(id) == 0 || p->ids.used == 0)
		forget(s, p);
}

/* A neighbour that is not there has delivered nothing, and its successor will not have. */
static void
tell_all(struct worker *w, uint64_t id, enum cluster_tell how)
{
	uint8_t body[RECORD_SIZE];

	for (unsigned i = 0; i < RECORD_SIZE; i++)
		body[i] = (uint8_t)(id >> (8 * i));
	for (unsigned slot = 0; w->cluster != NULL && slot < w->slots; slot++)
		if (slot != w->slot)
			(void)cluster_tell(w->cluster, slot, SEEN_RECORD, slice_of(body, sizeof body), how);
}

void
seen_release(struct worker *w, uint64_t qos2_id)
{
	release(w->seen, qos2_id);
	tell_all(w, qos2_id, CLUSTER_BARRIER);
}

void
seen_release_all(struct worker *w, uint64_t qid)
{
	uint64_t id = qid & ~(uint64_t)UINT16_MAX;

	release(w->seen, id);
	tell_all(w, id, CLUSTER_SOON);
}

void
seen_on_record(struct worker *w, struct slice body)
{
	uint64_t id;

	if (slice_take_le64(&body, &id) == 0)
		release(w->seen, id);
}
