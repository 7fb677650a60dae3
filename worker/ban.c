/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/ban.h"

#include "common/base/log.h"
#include "common/base/mem.h"
#include "worker/worker.h"

#define BANS 16         /* the newest; more at a time is a failing build, not a poisonous client */

struct bans {
	struct { uint64_t hash; struct mono until; } list[BANS];
	unsigned next;
};

struct bans *
bans_new(void)
{
	return mem_zalloc(sizeof(struct bans));
}

void
bans_free(struct bans *b)
{
	mem_free(b);
}

void
ban_put(struct worker *w, uint64_t hash, uint32_t seconds)
{
	struct bans *b = w->bans;

	b->list[b->next].hash = hash;
	b->list[b->next].until = mono_add(loop_now(w->loop), seconds * NS_PER_SEC);
	b->next = (b->next + 1) % BANS;
}

bool
ban_has(struct worker *w, uint64_t hash)
{
	for (unsigned i = 0; i < BANS; i++)
		if (w->bans->list[i].hash == hash && w->bans->list[i].until.ns > loop_now(w->loop).ns)
			return true;
	return false;
}
