/* SPDX-License-Identifier: Apache-2.0
 * store/heal.h - after a flush that failed: the system keeps what it could not write, calls it written, and a later flush
 * that succeeds says nothing of it. So everything is written again before recovery believes what it reads. */
#ifndef STORE_HEAL_H
#define STORE_HEAL_H

/* An environment's folder needs it. Leaves a file there, if it can: should that be lost with the power, so is what it
 * warns of. Safe where nothing else is any more. */
void heal_mark(const char *home);
/* Before the environment is opened: if it is marked, reads and writes back its files, flushes them, takes the mark away.
 * 0; FB_EIO: logged, the mark stays. */
int heal_apply(const char *home);

#endif
