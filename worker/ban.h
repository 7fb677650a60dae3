/* SPDX-License-Identifier: Apache-2.0
 * worker/ban.h - client ids that are refused for a while: two processes died with one of them in hand. */
#ifndef WORKER_BAN_H
#define WORKER_BAN_H

#include <stdbool.h>
#include <stdint.h>

struct worker;

struct bans *bans_new(void);
void bans_free(struct bans *b);
void ban_put(struct worker *w, uint64_t hash, uint32_t seconds);        /* hash: as metrics_page.note has it */
bool ban_has(struct worker *w, uint64_t hash);

#endif
