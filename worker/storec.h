/* SPDX-License-Identifier: Apache-2.0
 * worker/storec.h - asking the store. Requests outlive a store: what was not answered is sent again to its
 * successor, and the numbering of writes makes that harmless. Nothing here blocks. */
#ifndef WORKER_STOREC_H
#define WORKER_STOREC_H

#include "common/base/hmap.h"
#include "common/base/list.h"
#include "common/ipc/codec.h"

struct cluster_pub;
struct session;
struct storec;
struct worker;

struct storec *storec_new(struct worker *w);
void storec_free(struct storec *s);
/* A channel to a new store: everything unanswered goes out again. fd is taken. */
void storec_attach(struct storec *s, int fd);
/* Too much waits for the store: hold back what can wait. */
bool storec_full(const struct storec *s);
/* Everything sent was answered. */
bool storec_idle(const struct storec *s);

/* May this client in? The caller owns the request and its texts until done; there is no
 * cancelling: the store has given us the id, so somebody must take it. */
struct store_open {
	struct list link;
	uint64_t req;
	struct slice client_id, user, password;
	uint64_t stamp, dead_stamp;     /* of OPEN_RELOAD: payloads.def */
	uint8_t flags;                  /* OPEN_... of chan.h */
	void (*done)(struct store_open *o, const struct ipc_opened *answer);
};
void storec_open(struct storec *s, struct store_open *o);
/* What was given by that stamp is no longer here. */
void storec_give_up(struct storec *s, struct slice client_id, uint64_t stamp);
/* The same, but not before all writes so far are answered: until then whoever wants the id next asks us, and waits for
 * them. Else what the client published before could be applied behind what it publishes elsewhere. */
void storec_let_go(struct storec *s, struct slice client_id, uint64_t stamp);

/* Tells a new store of a session that is here, or that a CONNECT of ours is about to take. flags: OWN_... of chan.h. */
void storec_own(struct storec *s, const struct ipc_own *own);

/* Durable writes: each returns its number. done may be NULL; it is called with 0 or FB_E... when committed or
 * refused. */
typedef void store_done_fn(void *arg, int err);
uint64_t storec_session_put(struct storec *s, const struct session *se, store_done_fn *done, void *arg);
/* The same for one whose client has been away for so long. */
uint64_t storec_session_aged(struct storec *s, const struct session *se, uint64_t aged_ms);
/* With done: by a CONNECT that ends it; refused for want of room or by an error of the disk, it is tried again each second. */
uint64_t storec_session_del(struct storec *s, struct slice client_id, store_done_fn *done, void *arg);
uint64_t storec_sub_put(struct storec *s, struct slice client_id, struct slice filter, uint8_t qos, uint8_t options,
    store_done_fn *done, void *arg);
uint64_t storec_sub_del(struct storec *s, struct slice client_id, struct slice filter, store_done_fn *done, void *arg);
uint64_t storec_queue_put(struct storec *s, struct slice client_id, uint32_t part, struct slice items);
uint64_t storec_queue_del(struct storec *s, struct slice client_id);
/* A retained message. Patient: refused for want of room or by an error of the disk it is tried again, each second, until
 * it is kept, or replaced by a newer one of its topic. Else it is dropped then, and counted. What is returned is valid
 * until done is called; NULL: it was. */
struct write;
struct write *storec_retain(struct storec *s, const struct cluster_pub *p, bool patient, store_done_fn *done, void *arg);
/* No longer patient: done is called with an error, at once if it was refused already. Who published it is gone, and it must
 * not be kept behind what he publishes elsewhere. */
void storec_retain_impatient(struct storec *s, struct write *wr);
void storec_stop(struct storec *s);     /* nothing is held any more */
uint64_t storec_last_seq(const struct storec *s);
uint64_t storec_last_unanswered(const struct storec *s);       /* 0: none */

/* The next retained messages of a replay: rows is borrowed for the call of done. With an empty filter nothing is read:
 * done when the writes that min names are applied. */
struct store_get {
	struct list link;
	uint64_t req;
	struct slice filter, after, min;        /* the caller's, until done or cancel */
	void (*done)(struct store_get *g, const struct ipc_retain_rows *rows);
};
void storec_retain_get(struct storec *s, struct store_get *g);
void storec_retain_cancel(struct storec *s, struct store_get *g);

#endif
