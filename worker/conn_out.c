/* SPDX-License-Identifier: Apache-2.0
 * The output of a connection: gathered during a turn, written once at its end. */
#include "worker/conn.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/mem.h"
#include "common/metrics/page.h"
#include "common/mqtt/encode.h"
#include "worker/count.h"
#include "worker/deliver.h"
#include "worker/session.h"
#include "worker/worker.h"

#define REF_BYTES     (8 * 1024)        /* payloads from here on are sent by reference */
#define EARLY_BYTES   (64 * 1024)       /* output beyond this does not wait for the end of the turn */
#define IOV_MAX_COUNT 32

static void
drop_refs(struct conn *c)
{
	if (c->refs == NULL)
		return;
	LIST_EACH_SAFE(n, tmp, &c->refs->list) {
		struct outref *r = container_of(n, struct outref, link);

		msg_drop(r->msg);
		mem_free(r);
	}
	mem_free(c->refs);
	c->refs = NULL;
}

void
conn_out_free(struct conn *c)
{
	drop_refs(c);
	buf_fini(&c->out);
}

void
conn_touch(struct conn *c)
{
	struct worker *w = c->worker;

	if (c->flags & CONN_DIRTY)
		return;
	c->flags |= CONN_DIRTY;
	if (w->dirty_count == w->dirty_room) {
		w->dirty_room = w->dirty_room == 0 ? 64 : w->dirty_room * 2;
		w->dirty = mem_realloc(w->dirty, w->dirty_room * sizeof *w->dirty);
	}
	w->dirty[w->dirty_count++] = c;
	worker_wake(w);
}

static int write_some(struct conn *c);

/* There is more output. A lot is written at once: it is still in the processor's cache, and buffers stay small. The
 * caller may be going through recipients, thousands that all have a lot, so an error is left for the end of the turn to
 * find, and a turn that has taken long enough leaves it all. */
static void
added(struct conn *c)
{
	conn_touch(c);
	if (conn_pending(c) < EARLY_BYTES || (c->flags & (CONN_WANT_WRITE | CONN_UNHEARD)))
		return;
	if (worker_is_over(c->worker)) {
		c->worker->swollen = true;
		return;
	}
	(void)write_some(c);
	(void)worker_check_turn(c->worker);
}

void
conn_put_encoded(struct conn *c, struct slice packet)
{
	count_sent(MQTT_PUBLISH);
	buf_put_slice(&c->out, packet);
	added(c);
}

void
conn_put_publish(struct conn *c, const struct mqtt_publish *p, struct msg *m)
{
	struct outref *r;

	count_sent(MQTT_PUBLISH);
	if (m == NULL || p->payload.len < REF_BYTES) {
		encode_publish(&c->out, c->level, p);
		added(c);
		return;
	}
	encode_publish_head(&c->out, c->level, p);
	if (c->refs == NULL) {
		c->refs = mem_zalloc(sizeof *c->refs);
		list_init(&c->refs->list);
	}
	r = mem_zalloc(sizeof *r);
	r->msg = msg_hold(m);
	r->before = (uint32_t)buf_len(&c->out) - c->refs->marked;
	c->refs->marked += r->before;
	c->refs->bytes += (uint32_t)p->payload.len;
	list_put_last(&c->refs->list, &r->link);
	added(c);
}

/* The output as pieces in the order of the stream. */
static int
gather(const struct conn *c, struct iovec iov[IOV_MAX_COUNT])
{
	const uint8_t *at = c->out.base + c->out.start;
	size_t left = buf_len(&c->out);
	int n = 0;

	if (c->refs != NULL) {
		LIST_EACH(l, &c->refs->list) {
			const struct outref *r = container_of(l, struct outref, link);
			struct cluster_pub p = msg_pub(r->msg);

			if (n + 3 > IOV_MAX_COUNT)
				return n;
			if (r->before > 0)
				iov[n++] = (struct iovec){ (void *)(uintptr_t)at, r->before };
			at += r->before;
			left -= r->before;
			iov[n++] = (struct iovec){ (void *)(uintptr_t)(p.payload.p + r->done), p.payload.len - r->done };
		}
	}
	if (left > 0)
		iov[n++] = (struct iovec){ (void *)(uintptr_t)at, left };
	return n;
}

/* The socket took n bytes. */
static void
written(struct conn *c, size_t n)
{
	struct outref *r;

	while (c->refs != NULL && (r = LIST_FIRST(&c->refs->list, struct outref, link)) != NULL) {
		size_t part = n < r->before ? n : r->before;
		size_t rest = r->msg->payload_len - r->done;

		buf_eat(&c->out, part);
		r->before -= (uint32_t)part;
		c->refs->marked -= (uint32_t)part;
		n -= part;
		if (r->before > 0)
			return;
		part = n < rest ? n : rest;
		r->done += (uint32_t)part;
		c->refs->bytes -= (uint32_t)part;
		n -= part;
		if (part < rest)
			return;
		list_del(&r->link);
		msg_drop(r->msg);
		mem_free(r);
		if (list_empty(&c->refs->list))
			drop_refs(c);
	}
	buf_eat(&c->out, n);
}

static void
out_empty(struct conn *c)
{
	buf_shrink(&c->out);
	if (c->flags & CONN_WANT_WRITE) {
		c->flags = (uint16_t)(c->flags & ~CONN_WANT_WRITE);
		loop_fd_want(loop_fd_of(c), LOOP_READ);
	}
	if (c->flags & CONN_WAIT_OUT) {
		c->flags = (uint16_t)(c->flags & ~CONN_WAIT_OUT);
		conn_resume(c);
	}
	if (c->state == CONN_LINGER) {
		if (c->stream != NULL)
			c->stream->ops->shutdown(c->stream);
		shutdown(c->fd, SHUT_WR);
	} else if (c->state == CONN_READY && c->session->flow != NULL) {
		deliver_pump(c->worker, c->session);
	}
}

static void
want_write(struct conn *c)
{
	c->flags |= CONN_WANT_WRITE;
	loop_fd_want(loop_fd_of(c), LOOP_READ | LOOP_WRITE);
}

static ssize_t
put(struct conn *c, const struct iovec *iov, int count)
{
	return c->stream == NULL ? tcp_writev(c->fd, iov, count) : c->stream->ops->writev(c->stream, iov, count);
}

/* What the transport itself has to send. 0, FB_EIO; then *full: the socket is. */
static int
flush_stream(struct conn *c, bool *full)
{
	int err = 0;

	*full = false;
	if (c->stream != NULL && c->stream->ops->unsent(c->stream)) {
		err = c->stream->ops->flush(c->stream);
		if (err == 0 && c->stream->ops->more(c->stream))
			conn_resume(c);
	}
	if (err != FB_EAGAIN)
		return err;
	*full = true;
	want_write(c);
	return 0;
}

/* Writes until nothing is left or the socket is full (then it is watched): 0. FB_EIO: errno says why. */
static int
write_some(struct conn *c)
{
	struct iovec iov[IOV_MAX_COUNT];
	size_t pending;
	ssize_t n;
	bool full;

	if (flush_stream(c, &full) != 0)
		return FB_EIO;
	if (full)
		return 0;
	while ((pending = conn_pending(c)) > 0) {
		if (c->refs == NULL) {
			iov[0] = (struct iovec){ c->out.base + c->out.start, buf_len(&c->out) };
			n = put(c, iov, 1);
		} else {
			n = put(c, iov, gather(c, iov));
		}
		if (n == FB_EAGAIN) {
			want_write(c);
			return 0;
		}
		if (n < 0)
			return FB_EIO;
		METRIC_ADD(writes, 1);
		METRIC_ADD(bytes_out, n);
		c->bytes_out += (uint64_t)n;
		written(c, (size_t)n);
		/* A short write: the socket is full; ask no more, wait for room. */
		if ((size_t)n < pending && c->refs == NULL && c->stream == NULL) {
			want_write(c);
			return 0;
		}
	}
	return flush_stream(c, &full);
}

static const char *
why_not(const struct conn *c)
{
	const char *why = c->stream != NULL ? c->stream->ops->why(c->stream) : "";

	return why[0] != '\0' ? why : strerror(errno);
}

static void
discard(struct conn *c)
{
	drop_refs(c);
	buf_clear(&c->out);
	buf_shrink(&c->out);
	if (c->flags & CONN_WAIT_OUT) {
		c->flags = (uint16_t)(c->flags & ~CONN_WAIT_OUT);
		conn_resume(c);
	}
}

/* Nobody takes our output any more; but what the peer sent before it left is read still: messages, and a DISCONNECT, which
 * decides about the will. The end of the input ends the connection then; or some time, while its packets must wait.
 * [MQTT-3.14.4-3] */
static void
write_failed(struct conn *c)
{
	if (c->state != CONN_READY) {
		conn_kill(c, CONN_SIDE_NETWORK, why_not(c));
		return;
	}
	c->flags |= CONN_UNHEARD;
	loop_timer_in(c->worker->loop, &c->timer, CONN_LINGER_NS);
	discard(c);
}

void
conn_flush(struct conn *c)
{
	if (c->state == CONN_DEAD || (c->flags & CONN_WANT_WRITE))
		return;
	if (c->flags & CONN_UNHEARD)
		discard(c);
	else if (write_some(c) != 0)
		write_failed(c);
	else if (conn_pending(c) == 0 && (c->stream == NULL || (c->flags & CONN_WANT_WRITE) == 0))
		out_empty(c);
}
