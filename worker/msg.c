/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/msg.h"

#include <string.h>

#include "common/base/mem.h"

#define TRACE_SIZE 18u          /* u64 arrival, u64 matched, u16 length of the id */

static uint8_t *
put(uint8_t *to, struct slice s)
{
	if (s.len > 0)
		memcpy(to, s.p, s.len);
	return to + s.len;
}

static void
put_trace(uint8_t *at, const struct cluster_pub *p)
{
	uint16_t len = (uint16_t)p->origin_id.len;

	memcpy(at, &p->traced_ns, sizeof p->traced_ns);
	memcpy(at + 8, &p->matched_ns, sizeof p->matched_ns);
	memcpy(at + 16, &len, sizeof len);
	put(at + TRACE_SIZE, p->origin_id);
}

struct cluster_pub
msg_pub_whole(const struct msg *m)
{
	const uint8_t *at = m->bytes + m->topic_len + m->props_len + m->payload_len;
	struct cluster_pub p = msg_pub(m);
	uint16_t len;

	if (!m->traced)
		return p;
	memcpy(&p.traced_ns, at, sizeof p.traced_ns);
	memcpy(&p.matched_ns, at + 8, sizeof p.matched_ns);
	memcpy(&len, at + 16, sizeof len);
	p.origin_id = slice_of(at + TRACE_SIZE, len);
	return p;
}

struct msg *
msg_new(const struct cluster_pub *p)
{
	size_t real = 0;
	size_t trace = p->traced_ns != 0 ? TRACE_SIZE + p->origin_id.len : 0;
	struct msg *m = mem_slab_get(sizeof *m + p->topic.len + p->props.len + p->payload.len + trace, &real);
	uint8_t *at = m->bytes;

	m->refs = 1;
	m->topic_len = (uint32_t)p->topic.len;
	m->props_len = (uint32_t)p->props.len;
	m->payload_len = (uint32_t)p->payload.len;
	m->expires_s = p->expires_s;
	m->qos2_id = p->qos2_id;
	m->real_size = real;
	m->qos = p->qos;
	m->retain = p->retain;
	m->disk = p->disk;
	at = put(at, p->topic);
	at = put(at, p->props);
	at = put(at, p->payload);
	m->traced = trace != 0;
	if (trace != 0)
		put_trace(at, p);
	return m;
}

void
msg_free(struct msg *m)
{
	mem_slab_put(m, m->real_size);
}
