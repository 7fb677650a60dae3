/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/err.h"
#include "worker/stream.h"

ssize_t
tcp_read(int fd, void *p, size_t len)
{
	ssize_t n = recv(fd, p, len, 0);

	if (n > 0)
		return n;
	if (n == 0)
		return FB_ECLOSED;
	return errno == EAGAIN || errno == EINTR ? FB_EAGAIN : FB_EIO;
}

ssize_t
tcp_writev(int fd, const struct iovec *iov, int count)
{
	struct msghdr m = { .msg_iov = (struct iovec *)(void *)iov, .msg_iovlen = (size_t)count };
	ssize_t n = count == 1 ? send(fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL) : sendmsg(fd, &m, MSG_NOSIGNAL);

	if (n >= 0)
		return n;
	return errno == EAGAIN || errno == EINTR ? FB_EAGAIN : FB_EIO;
}
