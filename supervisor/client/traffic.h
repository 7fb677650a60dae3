/* SPDX-License-Identifier: Apache-2.0
 * supervisor/client/traffic.h - numbered messages from publishers to subscribers of one process: how many may be under way, when
 * they arrived, and whether one is missing, came twice or out of order.
 *
 * Payload: publisher, number, time of sending (for open loop: the time at which it was due), then filler.
 * Closed loop: a publisher has at most `window` messages that some subscriber has not yet received (and, at QoS 1
 * and 2, that the broker has not yet acknowledged); all that a turn's arrivals allow goes out in one write.
 * Open loop: `rate` messages a second over all publishers, evenly spaced, whatever comes back. */
#ifndef CLIENT_TRAFFIC_H
#define CLIENT_TRAFFIC_H

#include "supervisor/client/hist.h"
#include "supervisor/client/seq.h"
#include "supervisor/client/swarm.h"

#define TRAFFIC_MIN_SIZE 16

struct traffic_pub;
struct traffic_sub;

struct traffic_totals {
	uint64_t sent;
	uint64_t delivered;             /* first arrivals, over all subscribers */
	uint64_t acked;                 /* QoS 1 and 2 messages whose sending is over */
	uint64_t again;                 /* came twice */
	uint64_t late;                  /* came out of order */
	uint64_t foreign;               /* not ours, or damaged */
	uint64_t refused;               /* acknowledged with a failure */
	uint64_t bad_acks;              /* acknowledgements for what was not sent */
};

struct traffic {
	/* Set by the user before traffic_start(). */
	struct swarm *swarm;
	uint8_t qos;
	bool retain;
	uint32_t size;                  /* of a payload, >= TRAFFIC_MIN_SIZE */
	uint32_t window;
	double rate;                    /* open loop if > 0 */
	uint64_t messages;              /* in all, at most; 0: no limit */
	bool shared_topic;              /* every subscriber gets every publisher's messages, not only its own one's */

	struct traffic_pub *pubs;
	struct traffic_sub *subs;
	uint32_t pub_count;
	uint32_t sub_count;
	struct traffic_totals n;
	struct hist latency_ns;
	struct traffic_pub **ready;        /* publishers that may send */
	uint32_t ready_count;
	bool sending;
	int64_t due_start;              /* open loop: message i is due at due_start + i / rate */
	uint64_t due_next;
};

/* Publisher i has the peer pubs[i], subscriber i subs[i]; they must be up. Subscribes; wait for swarm->subacks == 0. */
void traffic_init(struct traffic *f, struct peer **pubs, uint32_t pub_count, struct peer **subs, uint32_t sub_count);
void traffic_fini(struct traffic *f);
/* Clears the histogram and starts sending. */
void traffic_start(struct traffic *f);
void traffic_stop(struct traffic *f);
/* swarm->on_turn with arg = f. */
void traffic_turn(void *f);
/* How long the swarm may wait for events; an open loop must not sleep over its next message. */
int64_t traffic_wait_ns(const struct traffic *f);
/* Deliveries and acknowledgements that have not come. 0: all is done. */
uint64_t traffic_missing(const struct traffic *f);
uint64_t traffic_unacked(const struct traffic *f);
bool traffic_sent_all(const struct traffic *f);               /* all of f->messages */
/* Empty retained messages in place of those that retain left; then a few turns to write them. */
void traffic_clear_retained(struct traffic *f);

#endif
