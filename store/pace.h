/* SPDX-License-Identifier: Apache-2.0
 * store/pace.h - pages of databases go to the disk steadily. The system would keep what Berkeley DB writes until the flush
 * that ends a checkpoint; a log's flush at that time waits behind all of it. So what was written is noted, and the
 * checkpointers have it go to the disk bit by bit. */
#ifndef STORE_PACE_H
#define STORE_PACE_H

/* From the first environment on, for all of the process. on_failed: the disk fails; any thread; does not return. */
void pace_install(void (*on_failed)(const char *why));
/* This thread is a checkpointer: where Berkeley DB lets it pause between pages, it does pace_go(). */
void pace_here(void);
/* What any thread has written since begins to go to the disk; waits until what this thread began the last time is there. */
void pace_go(void);

#endif
