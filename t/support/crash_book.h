/* SPDX-License-Identifier: Apache-2.0
 * t/support/crash_book.h - what the crash tests know: which message of which publisher was acknowledged, and what each
 * subscriber got of it, in which order.
 *
 * Pure: no I/O, no clock. A publisher numbers its messages from 0; number n goes to its topic n % TOPICS. What is wrong
 * is counted and said to a callback at once; what is missing is known at the end, from book_close(). */
#ifndef T_SUPPORT_CRASH_BOOK_H
#define T_SUPPORT_CRASH_BOOK_H

#include <stdbool.h>
#include <stdint.h>

#define TOPICS 2

enum wrong {
	WRONG_LOST,                     /* acknowledged, and a durable subscriber never got it */
	WRONG_ORDER,                    /* a number arrived for the first time behind a larger one of its topic */
	WRONG_TWICE,                    /* QoS 2 from a durable publisher, more than once to one session */
	WRONG_GAP,                      /* a clean subscriber got a larger one of that topic on one connection, not this, which was
	                                 * first sent after its SUBACK (acknowledgements need not come in order) */
	WRONG_UNACKED,                  /* never acknowledged, though its publisher could */
	WRONG_STRANGE,                  /* never published, or not subscribed to */
	WRONG_SESSION,                  /* a durable session that was not present, or a refused CONNECT or SUBSCRIBE */
	WRONG_COUNT
};
extern const char *const wrong_names[WRONG_COUNT];

struct book_pub {
	const char *name;               /* borrowed */
	unsigned group;
	uint8_t qos;
	bool durable;
	uint8_t *acked;                 /* [room], owned */
	int64_t *sent_ns;               /* [room], owned: of the first sending, the caller's */
	uint32_t count;
	uint32_t room;
	uint32_t acks;
};

struct book_sub;
struct book {
	struct book_pub *pubs;        /* owned */
	struct book_sub *subs;        /* owned */
	unsigned pub_count;
	unsigned sub_count;
	uint64_t arrived;               /* all, repeats too */
	uint64_t again;                 /* repeats that are allowed */
	uint64_t wrong[WRONG_COUNT];
	void (*say)(void *arg, enum wrong what, const char *sub, const char *pub, uint32_t number);     /* may be NULL */
	void *arg;
};

/* A zeroed struct is an empty one. Numbers of publishers and subscribers are given from 0 on, all before the first
 * message; names are borrowed. */
void book_fini(struct book *l);
unsigned book_add_pub(struct book *l, const char *name, unsigned group, uint8_t qos, bool durable);
unsigned book_add_sub(struct book *l, const char *name, unsigned group, uint8_t qos, bool durable);
uint32_t book_sent(struct book *l, unsigned pub, int64_t now_ns);   /* the number */
void book_acked(struct book *l, unsigned pub, uint32_t number);
/* A clean subscriber's new connection, on which messages may come before the SUBACK does; and its SUBACK. */
void book_connected(struct book *l, unsigned sub);
void book_subscribed(struct book *l, unsigned sub, int64_t now_ns);
void book_arrived(struct book *l, unsigned sub, unsigned pub, uint32_t number);
void book_wrong(struct book *l, enum wrong what, const char *sub, const char *pub, uint32_t number);
/* Acknowledged messages that durable subscribers have not got yet. */
uint64_t book_missing(const struct book *l);
/* Counts what is missing as wrong. */
void book_close(struct book *l);

#endif
