/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/client/ledger.h"

#include "common/base/err.h"
#include "common/base/mem.h"

enum { QOS_BITS = 3, ACKED = 4, ARRIVED = 8, REFUSED = 16 };

void
ledger_fini(struct ledger *l)
{
	mem_free(l->state);
	*l = (struct ledger){ .state = NULL };
}

uint64_t
ledger_put(struct ledger *l, uint8_t qos)
{
	if (l->count == l->room) {
		l->room = l->room == 0 ? 4096 : l->room * 2;
		l->state = mem_realloc(l->state, l->room);
	}
	l->state[l->count] = qos;
	l->n.published[qos]++;
	return l->count++;
}

void
ledger_undo(struct ledger *l)
{
	FB_ASSERT(l->count > 0);
	l->n.published[l->state[--l->count] & QOS_BITS]--;
}

void
ledger_acked(struct ledger *l, uint64_t number, bool ok)
{
	if (number >= l->count || (l->state[number] & (ACKED | REFUSED)) != 0) {
		l->n.strange++;
		return;
	}
	l->state[number] |= ok ? ACKED : REFUSED;
	l->n.acked += ok;
	l->n.refused += !ok;
}

void
ledger_arrived(struct ledger *l, uint64_t number)
{
	uint8_t qos;

	if (number >= l->count) {
		l->n.strange++;
		return;
	}
	qos = l->state[number] & QOS_BITS;
	if ((l->state[number] & ARRIVED) == 0) {
		l->state[number] |= ARRIVED;
		l->n.arrived[qos]++;
	} else if (qos == 1) {
		l->n.again++;
	} else {
		l->n.doubled++;
	}
}

uint64_t
ledger_lost(const struct ledger *l)
{
	uint64_t n = 0;

	for (uint64_t i = 0; i < l->count; i++)
		n += (l->state[i] & (ACKED | ARRIVED)) == ACKED;
	return n;
}

uint64_t
ledger_unacked(const struct ledger *l)
{
	return l->n.published[1] + l->n.published[2] - l->n.acked - l->n.refused;
}
