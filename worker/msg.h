/* SPDX-License-Identifier: Apache-2.0
 * worker/msg.h - an application message that outlives the packet it came in: immutable, counted.
 *
 * Counted, because one message waits in the queues and windows of many sessions at once and none of them is its
 * owner. It never leaves its process. Made only when somebody must keep it: QoS 0 to a reading client makes none. */
#ifndef WORKER_MSG_H
#define WORKER_MSG_H

#include "cluster/cluster.h"

struct msg {
	uint32_t refs;
	uint32_t topic_len;
	uint32_t props_len;
	uint32_t payload_len;
	uint64_t expires_s;             /* wall clock, 0: never */
	uint64_t qos2_id;
	size_t real_size;               /* of the block, for mem_slab_put() */
	uint8_t qos;                    /* as published */
	bool retain;                    /* as published */
	bool disk;
	bool traced;                    /* times and the publisher's id stand behind the payload */
	uint8_t bytes[];                /* topic, props, payload, [trace] */
};

/* A copy of p with one reference, the caller's. */
struct msg *msg_new(const struct cluster_pub *p);
void msg_free(struct msg *m);

static inline struct msg *
msg_hold(struct msg *m)
{
	m->refs++;
	return m;
}

static inline void
msg_drop(struct msg *m)
{
	if (--m->refs == 0)
		msg_free(m);
}

/* What m says, borrowed from it; without its trace. */
static inline struct cluster_pub
msg_pub(const struct msg *m)
{
	return (struct cluster_pub){
		.topic = { m->bytes, m->topic_len },
		.props = { m->bytes + m->topic_len, m->props_len },
		.payload = { m->bytes + m->topic_len + m->props_len, m->payload_len },
		.expires_s = m->expires_s,
		.qos2_id = m->qos2_id,
		.qos = m->qos,
		.retain = m->retain,
		.disk = m->disk,
	};
}

/* With its trace and origin_id, if it has one. */
struct cluster_pub msg_pub_whole(const struct msg *m);

/* What it is charged at in queues: its bytes and its bookkeeping. */
static inline uint32_t
msg_cost(const struct msg *m)
{
	return (uint32_t)sizeof *m + m->topic_len + m->props_len + m->payload_len;
}

#endif
