/* SPDX-License-Identifier: Apache-2.0
 * sd_notify(3) documents this protocol as stable and meant to be spoken without its library. */
#include "supervisor/notify.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/clock.h"

static struct sockaddr_un address;
static socklen_t address_len;           /* 0: nobody wants to know */
static int64_t watchdog_ns;

static void
take_watchdog(void)
{
	const char *usec = getenv("WATCHDOG_USEC");
	const char *pid = getenv("WATCHDOG_PID");
	int64_t us;

	if (usec != NULL && (pid == NULL || strtol(pid, NULL, 10) == (long)getpid()) && sscanf(usec, "%" SCNd64, &us) == 1 && us > 0 &&
	    us < INT64_MAX / NS_PER_US)
		watchdog_ns = us * NS_PER_US;
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

void
notify_init(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	size_t len = path == NULL ? 0 : strlen(path);

	if (len > 1 && len < sizeof address.sun_path && (path[0] == '/' || path[0] == '@')) {
		address.sun_family = AF_UNIX;
		memcpy(address.sun_path, path, len);
		if (path[0] == '@')
			address.sun_path[0] = '\0';     /* the abstract name space */
		address_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
		take_watchdog();
	}
	unsetenv("NOTIFY_SOCKET");
}

bool
notify_send(const char *text)
{
	ssize_t n;
	int fd;

	if (address_len == 0)
		return true;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	n = sendto(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT, (const struct sockaddr *)&address, address_len);
	close(fd);
	return n >= 0;
}

int64_t
notify_watchdog_ns(void)
{
	return watchdog_ns;
}
