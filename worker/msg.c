/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/msg.h"

#include <string.h>

#include "common/base/mem.h"

static uint8_t *
put(uint8_t *to, struct slice s)
{
	if (s.len > 0)
		memcpy(to, s.p, s.len);
	return to + s.len;
}

struct msg *
msg_new(const struct cluster_pub *p)
{
	size_t real = 0;
	struct msg *m = mem_slab_get(sizeof *m + p->topic.len + p->props.len + p->payload.len, &real);
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
	at = put(at, p->topic);
	at = put(at, p->props);
	put(at, p->payload);
	return m;
}

void
msg_free(struct msg *m)
{
	mem_slab_put(m, m->real_size);
}
