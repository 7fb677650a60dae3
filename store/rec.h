/* SPDX-License-Identifier: Apache-2.0
 * store/rec.h - records of the tables, and back: little-endian, a version byte first.
 *
 * rec_put_... append to a buf; rec_take_... give slices into the record. A record that cannot be read: FB_ECORRUPT, one
 * of a version that this program does not know: FB_EVERSION; the caller skips it and says so with rec_bad(). */
#ifndef STORE_REC_H
#define STORE_REC_H

#include <stdbool.h>

#include "common/base/buf.h"
#include "common/ipc/qops.h"
#include "store/tables.h"

struct rec_account {
	uint64_t created_s, changed_s;  /* wall clock */
	struct slice hash;              /* text of common/crypto/passwd.h */
};
struct rec_acl { bool allow; };
struct rec_right {                      /* as struct right_rule has it; its place is the key */
	uint8_t actions, who;
	bool allow;
	struct slice name, filter;
};
struct rec_group { uint8_t unused; };   /* the key says all */
struct rec_setting { struct slice value; };
struct rec_retained {
	uint64_t expires_s;             /* wall clock, 0: never */
	uint8_t qos;
	struct slice props, payload;
};
struct rec_session {
	uint64_t offline_since_ms;      /* by age.h's clock; 0: online, or not long */
	uint32_t expiry_s;
	uint16_t slot;                  /* a hint: who had it when the row was written */
	uint64_t qid;                   /* its number in the queues; 0: none, as in version 1 */
	struct slice account;
};
struct rec_sub { uint8_t qos, options; };
struct rec_will {
	uint64_t stamp;                 /* of the connection that left it */
	uint64_t epoch;                 /* of the worker that had it */
	uint16_t slot;
	bool disk;                      /* its publish is to be on the disk */
	struct slice account;
	struct qmsg msg;
};

/* Numbering of one worker incarnation: the last request applied, and the latest ones that failed, so that a request
 * which is sent again gets its true answer. */
#define REC_FAILS 32
struct rec_fail { uint64_t seq; uint16_t code; };
struct rec_number {
	uint64_t last;
	uint32_t fail_count;            /* ever; the latest REC_FAILS are kept, at index n % REC_FAILS */
	struct rec_fail fails[REC_FAILS];
};
struct rec_counts {
	uint64_t retained, accounts;    /* rec_counts */
	uint64_t rows, bodies;          /* rec_qcounts: of items; the last number given to a body */
};
struct rec_blob { struct slice bytes; };
struct rec_queue { struct slice items; };        /* worker/ship.h knows them */


/* The queues. A message is bytes as qmsg_put() makes them. */
struct rec_item {
	uint8_t flags, direct;          /* as struct qitem has them; QITEM_RELEASED: no message, no body */
	uint64_t body;                  /* the number of its message; 0: it is here */
	struct slice msg;
};
#define REC_ITEM_HEAD 11u               /* bytes of a record, at most, that say all but the message */
struct rec_body { struct slice msg; };
struct rec_ref { uint64_t count; };
struct rec_seen { uint8_t unused; };    /* the key says all */

/* Keys of the queue environment. */
#define REC_PAIR_BYTES 16u
struct slice rec_pair_key(uint8_t out[REC_PAIR_BYTES], uint64_t a, uint64_t b);
struct slice rec_number_key(uint8_t out[8], uint64_t n);
uint64_t rec_number_of(struct slice key);       /* its first 8 bytes; too short: 0 */

void rec_put_account(struct buf *b, const struct rec_account *r);
void rec_put_acl(struct buf *b, const struct rec_acl *r);
void rec_put_right(struct buf *b, const struct rec_right *r);
void rec_put_group(struct buf *b, const struct rec_group *r);
void rec_put_setting(struct buf *b, const struct rec_setting *r);
void rec_put_retained(struct buf *b, const struct rec_retained *r);
void rec_put_session(struct buf *b, const struct rec_session *r);
void rec_put_sub(struct buf *b, const struct rec_sub *r);
void rec_put_queue(struct buf *b, const struct rec_queue *r);
void rec_put_will(struct buf *b, const struct rec_will *r);
void rec_put_number(struct buf *b, const struct rec_number *r);
void rec_put_counts(struct buf *b, const struct rec_counts *r);
void rec_put_qcounts(struct buf *b, const struct rec_counts *r);
void rec_put_item(struct buf *b, const struct rec_item *r);
void rec_put_body(struct buf *b, const struct rec_body *r);
void rec_put_ref(struct buf *b, const struct rec_ref *r);
void rec_put_seen(struct buf *b, const struct rec_seen *r);
void rec_put_blob(struct buf *b, const struct rec_blob *r);

int rec_take_account(struct slice s, struct rec_account *out);
int rec_take_acl(struct slice s, struct rec_acl *out);
int rec_take_right(struct slice s, struct rec_right *out);
int rec_take_group(struct slice s, struct rec_group *out);
int rec_take_setting(struct slice s, struct rec_setting *out);
int rec_take_retained(struct slice s, struct rec_retained *out);
int rec_take_session(struct slice s, struct rec_session *out);
int rec_take_sub(struct slice s, struct rec_sub *out);
int rec_take_queue(struct slice s, struct rec_queue *out);
int rec_take_will(struct slice s, struct rec_will *out);
int rec_take_number(struct slice s, struct rec_number *out);
int rec_take_counts(struct slice s, struct rec_counts *out);
int rec_take_qcounts(struct slice s, struct rec_counts *out);
int rec_take_item(struct slice s, struct rec_item *out);
int rec_take_body(struct slice s, struct rec_body *out);
int rec_take_ref(struct slice s, struct rec_ref *out);
int rec_take_seen(struct slice s, struct rec_seen *out);
int rec_take_blob(struct slice s, struct rec_blob *out);

/* Logs a record that cannot be used, with its table and key, and counts it. Any thread. */
void rec_bad(enum table t, struct slice key, int code);
uint64_t rec_bad_count(void);

#endif
