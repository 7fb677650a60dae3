/* SPDX-License-Identifier: Apache-2.0
 * cluster/frame.h - the bytes on a link: frames (a header of 40 bytes, then records) and the records in them.
 *
 * Pure: no I/O, no state. Everything that is read is checked against what is there; what does not fit is FB_EPROTO.
 * The numbers are in frames.def. */
#ifndef CLUSTER_FRAME_H
#define CLUSTER_FRAME_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "cluster/cluster.h"
#include "common/base/slice.h"

#define FRAME_VERSION    1
#define FRAME_HEADER     40u
#define FRAME_MAX        65536u
#define FRAME_BODY_MAX   (FRAME_MAX - FRAME_HEADER)
#define RECORD_HEADER    4u
#define RECORD_BODY_MAX  (FRAME_BODY_MAX - RECORD_HEADER)

enum frame_type {
#define FRAME(name, number, help) FRAME_##name = (number),
#include "cluster/frames.def"
};

enum record_type {
#define RECORD(name, number, help) RECORD_##name = (number),
#include "cluster/frames.def"
};

enum {                                  /* flags: */
	FRAME_ASK = 1,                  /* acknowledge at once */
	FRAME_BUSY = 2                  /* of an ACK: the next one is being processed, and takes its time */
};

struct frame {
	uint8_t type;
	uint16_t flags;
	uint32_t from, to;              /* low halves of the epochs */
	uint64_t seq;                   /* DATA: its number, from 1; others: the number of the next DATA */
	uint64_t ack;                   /* all DATA up to this one are processed */
	uint64_t store_seq;             /* as it was when that was said */
};

void frame_put(uint8_t at[FRAME_HEADER], const struct frame *f, uint32_t length);
/* whole: the bytes of one frame. 0 and the header and its body; FB_EPROTO, FB_EVERSION. */
int frame_get(struct slice whole, struct frame *f, struct slice *body);
const char *frame_name(uint8_t type);   /* never NULL */
/* Of frames.def: both ends of a link must have the same. */
uint64_t frames_digest(void);

struct frame_hello {
	uint64_t digest;
	uint32_t from_slot, to_slot;
	uint64_t from_epoch, to_epoch;
};
#define FRAME_HELLO_SIZE 32u
void frame_hello_put(uint8_t at[FRAME_HELLO_SIZE], const struct frame_hello *h);
int frame_hello_get(struct slice body, struct frame_hello *h);

struct record {
	uint8_t type;
	uint8_t flags;
	struct slice body;
};

/* Takes the next record off the frame's body. 0, FB_ENOENT at the end, FB_EPROTO. Its type may be unknown. */
int record_next(struct slice *rest, struct record *r);
const char *record_name(uint8_t type);

static inline void
record_header_put(uint8_t *at, uint8_t type, uint8_t flags, size_t body_len)    /* body_len <= RECORD_BODY_MAX */
{
	at[0] = type;
	at[1] = flags;
	at[2] = (uint8_t)body_len;
	at[3] = (uint8_t)(body_len >> 8);
}

/* A publish without its leg: the part that is the same for each neighbour. Its flags byte travels in the record, whose
 * type says whether it is to be on the disk. */
static inline uint8_t
record_publish_type(const struct cluster_pub *p)
{
	return p->disk && p->qos != 0 ? RECORD_PUBLISH_DISK : RECORD_PUBLISH;
}

uint8_t record_publish_flags(const struct cluster_pub *p);
size_t record_publish_size(const struct cluster_pub *p);
void record_publish_put(uint8_t *at, const struct cluster_pub *p);
/* r->body and flags of a PUBLISH; the slices of *p are borrowed from it. *leg is 0 with QoS 0. */
int record_publish_get(const struct record *r, struct cluster_pub *p, uint64_t *leg);
/* Only the topic, from a body without its leg. */
struct slice record_publish_topic(const uint8_t *body);

#define RECORD_KEPT_SIZE 12u
void record_kept_put(uint8_t at[RECORD_KEPT_SIZE], uint64_t first, uint32_t count);
int record_kept_next(struct slice *rest, uint64_t *first, uint32_t *count);     /* FB_ENOENT at the end */

/* A number of hashes: FB_EPROTO unless the body is a multiple of 8 bytes. */
int record_hash_next(struct slice *rest, uint64_t *hash);                       /* FB_ENOENT at the end */

#define RECORD_BIG_SIZE 6u
void record_big_put(uint8_t at[RECORD_BIG_SIZE], uint8_t type, uint8_t flags, uint32_t length);
int record_big_get(struct slice body, uint8_t *type, uint8_t *flags, uint32_t *length);

static inline void
le64_put(uint8_t *at, uint64_t v)
{
	for (unsigned i = 0; i < 8; i++)
		at[i] = (uint8_t)(v >> (8 * i));
}

static inline void
le32_put(uint8_t *at, uint32_t v)
{
	for (unsigned i = 0; i < 4; i++)
		at[i] = (uint8_t)(v >> (8 * i));
}

static inline void
le16_put(uint8_t *at, size_t v)
{
	at[0] = (uint8_t)v;
	at[1] = (uint8_t)(v >> 8);
}

#endif
