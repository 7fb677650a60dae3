/* SPDX-License-Identifier: Apache-2.0
 *
 * Output is one byte queue. A descriptor waits in a list with the stream offset of its message's header, and leaves with
 * the sendmsg() that starts exactly there: the kernel delivers it with the first byte of that call, so at the receiver
 * descriptors come in the order of the messages that carry them, and never later than the end of their message. */
#include "common/ipc/chan.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/mem.h"

#define HEADER    8u
#define MSG_LIMIT ((size_t)257 << 20)        /* the largest packet that a client may send, and what goes with it */
#define HIGH_MARK ((size_t)8 << 20)
#define LOW_MARK  ((size_t)2 << 20)
#define READ_SIZE ((size_t)64 << 10)
#define READS     16                    /* a turn: other descriptors want their share */
#define FDS       16                    /* descriptors in one recvmsg(); we send one */

struct fd_item {
	struct list link;
	uint64_t at;                    /* output only: offset in the stream */
	int fd;
};

struct chan {
	struct loop *loop;
	struct loop_fd *watch;
	struct task flush_task;
	const struct chan_ops *ops;
	void *arg;
	enum ipc_role self, peer;
	int fd;
	struct buf in, out;
	struct list fds_in, fds_out;    /* struct fd_item */
	uint64_t sent;                  /* offset in the stream of the first byte of out */
	size_t begun;                   /* offset in out of the header of the open message */
	unsigned busy;                  /* callbacks and loops on the stack that use this chan */
	bool open;                      /* between begin and end */
	bool blocked;                   /* the socket took less than we had: the loop watches for room */
	bool full;                      /* was full since the last on_drained */
	bool flushing;
	bool write_dead;
	bool closed;                    /* on_closed was called */
	bool doomed;                    /* freed by the owner while busy */
};

int
chan_pair(int fd[2])
{
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd) == 0 ? 0 : FB_EIO;
}

static void
fd_push(struct list *head, int fd, uint64_t at)
{
	struct fd_item *f = mem_zalloc(sizeof *f);

	f->fd = fd;
	f->at = at;
	list_put_last(head, &f->link);
}

static int
fd_shift(struct list *head)
{
	struct fd_item *f = LIST_FIRST(head, struct fd_item, link);
	int fd = f->fd;

	list_del(&f->link);
	mem_free(f);
	return fd;
}

static void
fds_close(struct list *head)
{
	while (!list_empty(head))
		close(fd_shift(head));
}

static void
leave(struct chan *c)
{
	if (--c->busy > 0 || !c->doomed)
		return;
	buf_fini(&c->in);
	buf_fini(&c->out);
	mem_free(c);
}

/* --- input ------------------------------------------------------------------------------------------------------- */

static void
take_fds(struct chan *c, struct msghdr *m)
{
	for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h != NULL; h = CMSG_NXTHDR(m, h)) {
		int fd[FDS];
		size_t n;

		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(fd, CMSG_DATA(h), n * sizeof(int));
		for (size_t i = 0; i < n; i++)
			fd_push(&c->fds_in, fd[i], 0);
	}
}

/* > 0: bytes; 0: end; FB_EAGAIN, FB_ECLOSED. */
static ssize_t
receive(struct chan *c)
{
	union { struct cmsghdr align; char space[CMSG_SPACE(FDS * sizeof(int))]; } control;
	struct iovec iov = { .iov_base = buf_room(&c->in, READ_SIZE), .iov_len = READ_SIZE };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
	ssize_t n;

	do
		n = recvmsg(c->fd, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN || errno == EWOULDBLOCK ? FB_EAGAIN : FB_ECLOSED;
	take_fds(c, &m);
	buf_added(&c->in, (size_t)n);
	return n;
}

/* A peer that breaks the rules is a fault of ours; the supervisor must outlive it. */
static int
broken(struct chan *c, unsigned type, const char *why)
{
	log_error("ipc", "channel broken", "why=\"%s\" message=%s type=%u self=%d peer=%d", why, ipc_name(type), type,
	    (int)c->self, (int)c->peer);
	FB_ASSERT(c->self == IPC_SUP);
	return FB_EPROTO;
}

/* Delivers the whole messages in c->in. */
static int
deliver(struct chan *c)
{
	while (!c->doomed && buf_len(&c->in) >= HEADER) {
		struct slice s = buf_slice(&c->in);
		uint32_t len = 0;
		uint16_t type = 0;
		uint8_t has_fd = 0;
		int fd = -1;

		(void)slice_take_le32(&s, &len);
		(void)slice_take_le16(&s, &type);
		(void)slice_take_u8(&s, &has_fd);
		if (len > MSG_LIMIT)
			return broken(c, type, "message too long");
		if (!ipc_may_send(type, c->peer, c->self))
			return broken(c, type, "not that role's to send");
		if (buf_len(&c->in) < HEADER + len)
			return 0;
		if (has_fd != 0 && list_empty(&c->fds_in))
			return broken(c, type, "descriptor missing");
		if (has_fd != 0)
			fd = fd_shift(&c->fds_in);
		c->ops->on_msg(c->arg, (enum ipc_type)type, slice_of(s.p + 1, len), fd);
		buf_eat(&c->in, HEADER + len);
	}
	return 0;
}

static void
close_now(struct chan *c)
{
	if (c->closed || c->doomed)
		return;
	c->closed = true;
	c->write_dead = true;
	loop_fd_want(c->watch, 0);
	task_cancel(&c->flush_task);
	fds_close(&c->fds_out);
	c->ops->on_closed(c->arg);
}

static void
on_readable(struct chan *c)
{
	ssize_t n = 0;

	for (int i = 0; i < READS && !c->doomed; i++) {
		n = receive(c);
		if (n <= 0)
			break;
		if (deliver(c) != 0) {
			n = FB_ECLOSED;
			break;
		}
		if ((size_t)n < READ_SIZE && list_empty(&c->fds_in))
			break;
	}
	if (!c->doomed && buf_len(&c->in) == 0)
		buf_shrink(&c->in);
	if (n == 0 || n == FB_ECLOSED)
		close_now(c);
}

/* --- output ------------------------------------------------------------------------------------------------------ */

/* One sendmsg(): > 0 bytes taken; FB_EAGAIN, FB_ECLOSED. */
static ssize_t
transmit(struct chan *c)
{
	union { struct cmsghdr align; char space[CMSG_SPACE(sizeof(int))]; } control = { 0 };
	struct slice s = buf_slice(&c->out);
	struct iovec iov = { .iov_base = (void *)(uintptr_t)s.p, .iov_len = s.len };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct fd_item *f = LIST_FIRST(&c->fds_out, struct fd_item, link);
	bool carries = f != NULL && f->at == c->sent;
	ssize_t n;

	if (carries) {
		struct cmsghdr *h;

		m.msg_control = &control;
		m.msg_controllen = sizeof control;
		h = CMSG_FIRSTHDR(&m);
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(h), &f->fd, sizeof(int));
		f = f->link.next == &c->fds_out ? NULL : container_of(f->link.next, struct fd_item, link);
	}
	if (f != NULL)
		iov.iov_len = (size_t)(f->at - c->sent);        /* the next one starts a call of its own */
	do
		n = sendmsg(c->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS || errno == ETOOMANYREFS ? FB_EAGAIN : FB_ECLOSED;
	if (carries)
		close(fd_shift(&c->fds_out));
	c->sent += (uint64_t)n;
	buf_eat(&c->out, (size_t)n);
	return n;
}

static size_t
settled(const struct chan *c)
{
	return c->open ? c->begun : buf_len(&c->out);
}

static void
block(struct chan *c, bool blocked)
{
	if (c->blocked == blocked || c->closed)
		return;
	c->blocked = blocked;
	loop_fd_want(c->watch, blocked ? LOOP_READ | LOOP_WRITE : LOOP_READ);
}

void
chan_flush(struct chan *c)
{
	ssize_t n = 0;

	FB_ASSERT(!c->open);
	if (c->flushing || c->doomed)
		return;
	c->busy++;
	c->flushing = true;
	task_cancel(&c->flush_task);
	while (!c->write_dead && settled(c) > 0 && (n = transmit(c)) > 0)
		;
	if (n == FB_ECLOSED)
		c->write_dead = true;           /* what it sent before is still read; then comes its end */
	if (c->write_dead) {
		buf_clear(&c->out);
		fds_close(&c->fds_out);
	}
	buf_shrink(&c->out);
	block(c, buf_len(&c->out) > 0);
	if (c->full && buf_len(&c->out) < LOW_MARK) {
		c->full = false;
		if (c->ops->on_drained != NULL && !c->write_dead)
			c->ops->on_drained(c->arg);
	}
	c->flushing = false;
	leave(c);
}

static void
on_flush(struct task *t)
{
	chan_flush(container_of(t, struct chan, flush_task));
}

static void
on_fd(void *arg, unsigned ready)
{
	struct chan *c = arg;

	c->busy++;
	if ((ready & LOOP_WRITE) != 0)
		chan_flush(c);
	if ((ready & LOOP_READ) != 0 && !c->doomed && !c->closed)
		on_readable(c);
	leave(c);
}

struct buf *
chan_begin(struct chan *c, enum ipc_type type)
{
	FB_ASSERT(!c->open && ipc_may_send(type, c->self, c->peer));
	if (c->write_dead)
		buf_clear(&c->out);             /* nobody will take it */
	c->open = true;
	c->begun = buf_len(&c->out);
	buf_put_le32(&c->out, 0);
	buf_put_le16(&c->out, (uint16_t)type);
	buf_put_le16(&c->out, 0);
	return &c->out;
}

void
chan_end(struct chan *c)
{
	uint8_t *head = c->out.base + c->out.start + c->begun;
	size_t len = buf_len(&c->out) - c->begun - HEADER;

	FB_ASSERT(c->open && len <= MSG_LIMIT);
	for (unsigned i = 0; i < 4; i++)
		head[i] = (uint8_t)(len >> (8 * i));
	c->open = false;
	if (c->write_dead) {
		buf_clear(&c->out);
		return;
	}
	if (buf_len(&c->out) > HIGH_MARK)
		c->full = true;
	if (c->blocked)
		return;
	if (c->flushing)
		loop_next(c->loop, &c->flush_task);
	else
		loop_defer(c->loop, &c->flush_task);
}

void
chan_send(struct chan *c, enum ipc_type type)
{
	buf_put_u8(chan_begin(c, type), 0);     /* struct ipc_none */
	chan_end(c);
}

void
chan_send_fd(struct chan *c, enum ipc_type type, struct slice payload, int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	FB_ASSERT(copy >= 0);
	buf_put_slice(chan_begin(c, type), payload);
	if (c->write_dead) {
		close(copy);
	} else {
		fd_push(&c->fds_out, copy, c->sent + c->begun);
		c->out.base[c->out.start + c->begun + 6] = 1;
	}
	chan_end(c);
}

bool
chan_full(const struct chan *c)
{
	return buf_len(&c->out) > HIGH_MARK;
}

size_t
chan_pending(const struct chan *c)
{
	return buf_len(&c->out);
}

bool
chan_drain(struct chan *c, int timeout_ms)
{
	struct mono end = mono_add(clock_mono(), timeout_ms * NS_PER_MS);

	for (;;) {
		struct pollfd p = { .fd = c->fd, .events = POLLOUT };
		int64_t left;

		chan_flush(c);
		if (c->write_dead)
			return false;
		if (buf_len(&c->out) == 0)
			return true;
		left = mono_diff(end, clock_mono()) / NS_PER_MS;
		if (left <= 0)
			return false;
		(void)poll(&p, 1, (int)left);
	}
}

struct chan *
chan_new(struct loop *l, int fd, enum ipc_role self, enum ipc_role peer, const struct chan_ops *ops, void *arg)
{
	struct chan *c = mem_zalloc(sizeof *c);
	int flags = fcntl(fd, F_GETFL);

	FB_ASSERT(flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0);
	c->loop = l;
	c->fd = fd;
	c->self = self;
	c->peer = peer;
	c->ops = ops;
	c->arg = arg;
	buf_init(&c->in);
	buf_init(&c->out);
	list_init(&c->fds_in);
	list_init(&c->fds_out);
	task_init(&c->flush_task, on_flush);
	c->watch = loop_fd_new(l, fd, LOOP_READ, on_fd, c);
	return c;
}

void
chan_free(struct chan *c)
{
	if (c == NULL)
		return;
	FB_ASSERT(!c->doomed);
	c->doomed = true;
	task_cancel(&c->flush_task);
	loop_fd_free(c->watch);
	close(c->fd);
	fds_close(&c->fds_in);
	fds_close(&c->fds_out);
	c->busy++;
	leave(c);
}
