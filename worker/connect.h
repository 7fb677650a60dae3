/* SPDX-License-Identifier: Apache-2.0
 * worker/connect.h - a CONNECT from the packet to the CONNACK: the store's word, the session from wherever it is, the
 * neighbours' acknowledgement.
 *
 * Once the store was asked, it goes on even if the client goes away: the store has given us the id. Several CONNECTs
 * with one id are worked off one after the other, in the store's order. */
#ifndef WORKER_CONNECT_H
#define WORKER_CONNECT_H

#include "worker/storec.h"

struct conn;
struct open;
struct session;
struct worker;

/* Somebody who waits until no CONNECT with this id is being worked on any more. */
struct follower {
	struct list link;
	void (*run)(struct follower *f);
};

/* Is a CONNECT with that id being worked on? */
bool connect_pending(const struct worker *w, struct slice client_id);
/* The last one with that id that the store answered with a number up to stamp; NULL: none is being worked on. */
struct open *connect_before(const struct worker *w, struct slice client_id, uint64_t stamp);
uint64_t connect_stamp(const struct open *o);
uint64_t connect_prev_stamp(const struct open *o);
void connect_follow(struct open *o, struct follower *f);
void connect_conn_gone(struct conn *c);
void connect_session_gone(struct worker *w, const struct session *s);
/* A move is over: the session is here, or (NULL) there is none. */
void connect_taken(struct open *o, struct session *s);
/* Its owner says that it is gone; its owner died: the store is asked for its rows. */
void connect_gone(struct open *o);
/* asked: it lives, but knows nothing of it. The store is asked who had it before, or for its rows. */
void connect_reload(struct open *o, bool asked);
/* What its client has sent elsewhere: the CONNACK waits until the store has applied the writes of that worker up to seq. */
void connect_behind(struct open *o, unsigned slot, uint64_t epoch, uint64_t seq);
/* The CONNECT that has this session in hand, before its CONNACK; NULL: none. */
struct open *connect_holding(const struct worker *w, const struct session *s);
void connect_name(struct worker *w);    /* tells a new store of sessions that are to come here */
struct slice connect_id(const struct open *o);
bool connect_clean(const struct open *o);
bool connect_is_of(const struct open *o, struct slice account);         /* so says the store */
struct slice connect_account(const struct open *o);
void connect_free_all(struct worker *w);        /* worker_free()'s */

#endif
