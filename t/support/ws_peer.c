/* SPDX-License-Identifier: Apache-2.0 */
#include "t/support/ws_peer.h"

#include <string.h>

#include "common/base/err.h"
#include "common/base/mem.h"

static ssize_t
peer_read(struct stream *s, void *p, size_t len)
{
	struct ws_peer *q = (struct ws_peer *)s;
	size_t n = buf_len(&q->to_server);

	if (n == 0)
		return q->eof ? FB_ECLOSED : FB_EAGAIN;
	n = n < len ? n : len;
	n = q->step > 0 && n > q->step ? q->step : n;
	memcpy(p, buf_slice(&q->to_server).p, n);
	buf_eat(&q->to_server, n);
	return (ssize_t)n;
}

static ssize_t
peer_writev(struct stream *s, const struct iovec *iov, int count)
{
	struct ws_peer *q = (struct ws_peer *)s;
	size_t n = iov->iov_len < q->room ? iov->iov_len : q->room;

	FB_ASSERT(count == 1);
	if (n == 0)
		return FB_EAGAIN;
	buf_put(&q->to_client, iov->iov_base, n);
	q->room -= n;
	return (ssize_t)n;
}

static bool
peer_no(const struct stream *s)
{
	(void)s;
	return false;
}

static int
peer_flush(struct stream *s)
{
	(void)s;
	return 0;
}

static void
peer_shutdown(struct stream *s)
{
	(void)s;
}

static const char *
peer_why(const struct stream *s)
{
	(void)s;
	return "peer";
}

static const char *
peer_user(const struct stream *s)
{
	(void)s;
	return "ann";
}

static void
peer_free(struct stream *s)
{
	struct ws_peer *q = (struct ws_peer *)s;

	buf_fini(&q->to_server);
	buf_fini(&q->to_client);
	mem_free(q);
}

struct ws_peer *
ws_peer_new(void)
{
	static const struct stream_ops ops = { peer_read, peer_writev, peer_no, peer_no, peer_flush, peer_shutdown, peer_why,
		peer_user, peer_free };
	struct ws_peer *peer = mem_zalloc(sizeof *peer);

	peer->stream.ops = &ops;
	peer->room = SIZE_MAX;
	return peer;
}
