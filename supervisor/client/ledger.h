/* SPDX-License-Identifier: Apache-2.0
 * supervisor/client/ledger.h - every message of a simulation, a byte for each: was it acknowledged, did it arrive, twice?
 *
 * Pure: no I/O, no clock. Messages have numbers from 0 on. */
#ifndef CLIENT_LEDGER_H
#define CLIENT_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

struct ledger_totals {
	uint64_t published[3];          /* by QoS */
	uint64_t arrived[3];
	uint64_t acked;                 /* QoS 1 and 2 */
	uint64_t again;                 /* QoS 1: may come twice */
	uint64_t doubled;               /* QoS 2, and QoS 0 */
	uint64_t strange;               /* for somebody else, or never published */
	uint64_t refused;               /* acknowledged with a failure, or given up */
};

struct ledger {
	uint8_t *state;                 /* owned */
	uint64_t count;
	uint64_t room;
	struct ledger_totals n;
};

/* A zeroed struct is an empty one. */
void ledger_fini(struct ledger *l);
uint64_t ledger_put(struct ledger *l, uint8_t qos);             /* the message's number */
void ledger_undo(struct ledger *l);                             /* the last put: it was not published after all */
void ledger_acked(struct ledger *l, uint64_t number, bool ok);
void ledger_arrived(struct ledger *l, uint64_t number);
/* Of QoS 1 and 2: acknowledged, but not arrived; neither acknowledged nor refused. */
uint64_t ledger_lost(const struct ledger *l);
uint64_t ledger_unacked(const struct ledger *l);

#endif
