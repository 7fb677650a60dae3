/* SPDX-License-Identifier: Apache-2.0
 * t/support/fake_cluster.h - cluster.h for tests of worker/: queues within this process where there are links.
 *
 * A program links this instead of libfbcluster.a. Between each two workers there is one queue a direction; a record leaves
 * it by fake_net_step() and is handled in the receiver's next loop turn. What a link promises holds: order, nothing
 * lost between two incarnations that live, acknowledgements (for barriers) and KEPT come back the same way, un-KEPT
 * publishes go to a neighbour's successor. What it does not promise is up to the test: how the links run against each
 * other. */
#ifndef T_SUPPORT_FAKE_CLUSTER_H
#define T_SUPPORT_FAKE_CLUSTER_H

#include <stdbool.h>
#include <stddef.h>

#include "t/support/worker_fixture.h"

extern const struct fx_net fake_net;    /* for fx_open() */

/* Records of this direction wait until they are let go. */
void fake_net_hold(unsigned from, unsigned to, bool hold);
void fake_net_hold_all(bool hold);
/* The oldest record of that direction goes, held or not; false: there is none. */
bool fake_net_step_link(unsigned from, unsigned to);
/* One record of any direction that is not held (they take turns); false: there is none. */
bool fake_net_step(void);
/* The process dies: nobody hears what it says from now on. What is on its way arrives, until its death is known. */
void fake_net_die(unsigned slot);
/* And what is on its way is lost. */
void fake_net_lose(unsigned slot);
/* Nobody holds anything back; all queues are empty. */
void fake_net_reset(void);

#endif
