/* SPDX-License-Identifier: Apache-2.0
 * worker/subs.h - a session's subscriptions: in the trie, announced to the neighbours, kept in the store. */
#ifndef WORKER_SUBS_H
#define WORKER_SUBS_H

#include "common/base/buf.h"
#include "worker/session.h"

/* Puts or replaces one (the filter is valid); announced if new. true: it is new or differs from before, so that a
 * durable one must be written. */
bool subs_put(struct worker *w, struct session *s, struct slice filter, uint8_t qos, uint8_t options);
/* What it counts towards session.max_subscriptions. */
uint32_t subs_weight(struct slice filter);
/* false: there was none. */
bool subs_del(struct worker *w, struct session *s, struct slice filter);
void subs_del_all(struct worker *w, struct session *s);

/* Writes all of them to the store. */
void subs_store(struct worker *w, const struct session *s);

/* Elements as the payloads opened, session_row and FROZEN carry them: u8 qos, u8 options, le32 filter. */
void subs_encode(const struct session *s, struct buf *b);
/* Puts all of them; what is damaged is skipped. */
void subs_decode(struct worker *w, struct session *s, struct slice subs);

#endif
