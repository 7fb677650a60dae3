/* SPDX-License-Identifier: Apache-2.0
 * supervisor/notify.h - one datagram to systemd, if it started us: "READY=1", "STOPPING=1". */
#ifndef SUPERVISOR_NOTIFY_H
#define SUPERVISOR_NOTIFY_H

/* Takes the address from the environment, so that no child inherits it. Once, at start. */
void notify_init(void);
void notify_send(const char *text);

#endif
