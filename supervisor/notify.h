/* SPDX-License-Identifier: Apache-2.0
 * supervisor/notify.h - datagrams to systemd, if it started us. */
#ifndef SUPERVISOR_NOTIFY_H
#define SUPERVISOR_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

/* Takes NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID from the environment, so that no child inherits them. Once, at
 * start. */
void notify_init(void);
/* Assignments, one a line: "READY=1\nSTATUS=fine". Does not wait; false: it could not be sent now. Nobody who wants to
 * know: true. */
bool notify_send(const char *text);
/* We are killed if WATCHDOG=1 is not heard for so long; 0: nobody watches. */
int64_t notify_watchdog_ns(void);

#endif
