/* SPDX-License-Identifier: Apache-2.0
 * common/ipc/qops.h - what a Q_OPS message does to the queues on disk: operations in their order, put by a worker and
 * walked by the store.
 *
 * Rows are named by (qid, n): qid is the number of a durable session, even, made once and kept in its row; n is the place
 * of a message in it, growing, and says its packet id: a key is put once in its life.
 *
 * The store applies each Q_OPS once, whatever is sent again (Q_DONE in payloads.def). The rows of one are changed in one
 * transaction: at most QOPS_ITEMS_MAX items are put by it. */
#ifndef COMMON_IPC_QOPS_H
#define COMMON_IPC_QOPS_H

#include <stdbool.h>

#include "common/base/buf.h"
#include "common/base/slice.h"

enum qop_type {
	QOP_PUT = 1,            /* a message for these sessions */
	QOP_DEL,                /* the client has it, or it was dropped by a rule */
	QOP_RELEASED,           /* QoS 2: PUBREC came: the row stays, its message goes */
	QOP_TRIM,               /* the oldest count rows from n on are dropped */
	QOP_DROP,               /* the session ends: all its rows, and what is remembered of its QoS 2 publishes */
	QOP_FORGET,             /* PUBREL came from the publisher: id is forgotten */
	QOP_WILL_PUT,           /* a client's will, unless there is one by a higher stamp */
	QOP_WILL_DEL,           /* it is of no use any more, unless it is one by a higher stamp */
};

enum {
	QITEM_QOS = 3,          /* mask: 1 or 2 */
	QITEM_RETAIN = 4,
	QITEM_RELEASED = 8,     /* only in rows: no message */
};

struct qitem {
	uint64_t qid, n;
	uint8_t flags;          /* QITEM_... */
	uint8_t direct;         /* as struct queued has it; 0: a subscribed message */
};

#define QITEM_SIZE 18u
#define QOPS_ITEMS_MAX 4096u

struct qmsg {
	struct slice topic, props, payload;
	uint64_t expires_s;     /* wall clock, 0: never */
	uint64_t qos2_id;       /* of the publish; 0: none */
	uint8_t qos;            /* as published */
	bool retain;            /* as published */
};

/* Whose will it is: a client's connection, by the store's number of the OPENED that let it in. */
struct qwill {
	struct slice client_id, account;        /* WILL_DEL: no account */
	uint64_t stamp;
	bool disk;              /* its publish is to be on the disk */
};

struct qop {
	uint8_t type;           /* enum qop_type */
	uint64_t qid, n;        /* all but PUT, FORGET and WILL_...; DROP: no n */
	uint64_t id;            /* FORGET: the qos2_id */
	uint32_t count;         /* TRIM: rows; PUT: items */
	struct qmsg msg;        /* PUT, WILL_PUT */
	struct slice items;     /* PUT: count of them, for qitem_take() */
	struct qwill will;      /* WILL_PUT, WILL_DEL */
};

/* Appends. A PUT: qop_put_msg(), then exactly count times qitem_put(). */
void qop_put_msg(struct buf *b, const struct qmsg *m, uint32_t count);
void qitem_put(struct buf *b, const struct qitem *i);
void qop_put_row(struct buf *b, enum qop_type type, uint64_t qid, uint64_t n);  /* DEL, RELEASED */
void qop_put_trim(struct buf *b, uint64_t qid, uint64_t from, uint32_t count);
void qop_put_drop(struct buf *b, uint64_t qid);
void qop_put_forget(struct buf *b, uint64_t id);
void qop_put_will(struct buf *b, const struct qwill *w, const struct qmsg *m);
void qop_put_will_del(struct buf *b, struct slice client_id, uint64_t stamp);

/* Takes the next off s; FB_ENOENT: the end; FB_EPROTO: damaged. */
int qop_take(struct slice *s, struct qop *out);
int qitem_take(struct slice *s, struct qitem *out);

/* A message in a row or an answer, as bytes; FB_EPROTO: damaged. */
void qmsg_put(struct buf *b, const struct qmsg *m);
int qmsg_take(struct slice *s, struct qmsg *out);

/* The rows of a Q_ROWS message: u64 n, u8 flags, u8 direct, and unless released the message. */
struct qrow {
	uint64_t n;
	uint8_t flags, direct;
	struct qmsg msg;
};
void qrow_put(struct buf *b, const struct qrow *r);
int qrow_take(struct slice *s, struct qrow *out);       /* FB_ENOENT: the end; FB_EPROTO */

/* The identity of a QoS 2 publish of a durable session: the same when it is sent again, after any crash, until its
 * PUBREL. Those of one session have the upper 48 bits of its qid. */
static inline uint64_t
qos2_id_of(uint64_t qid, uint16_t packet_id)
{
	return (qid & ~UINT64_C(0xffff)) | packet_id;
}

/* The queue of a shared group, by the text of its subscription, "$share/GROUP/FILTER": odd, the same on each node for
 * ever. Its n are the numbers of the group's home, and say no packet id. */
uint64_t qid_of_group(struct slice text);

#endif
