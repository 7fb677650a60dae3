/* SPDX-License-Identifier: Apache-2.0
 * supervisor/listeners.h - the listening sockets: one an address and worker, made once, open until the node stops, so
 * that a worker's successor finds the connections that wait. */
#ifndef SUPERVISOR_LISTENERS_H
#define SUPERVISOR_LISTENERS_H

#include "common/config/config.h"
#include "common/ipc/chan.h"

#define LISTENERS_WORKERS 64
#define LISTENERS_ADDRESSES 2           /* IPv4 and IPv6 */

struct listeners {
	unsigned workers;
	unsigned rows;
	int port[CONFIG_LISTENERS];     /* 0: off */
	struct listener_row {
		unsigned listener;      /* CONFIG_L_... */
		char name[80];          /* "mqtt 0.0.0.0:1883" */
		int fd[LISTENERS_WORKERS];
	} row[CONFIG_LISTENERS * LISTENERS_ADDRESSES];
};

/* 0; FB_EBUSY (port in use), FB_EPERM, FB_EINVAL, FB_EIO, and *e is one line with the remedy. */
int listeners_open(struct listeners *s, const struct config *c, unsigned workers, struct config_error *e);
/* One line a listener that is on: "mqtt 1883". */
void listeners_ports(const struct listeners *s, char *out, size_t size);
void listeners_close(struct listeners *s);
/* Hands the sockets of a slot to a worker. */
void listeners_send(const struct listeners *s, unsigned slot, struct chan *to);
/* Does somebody else listen where the configuration says? For --doctor: 0 or as listeners_open(). */
int listeners_probe(const struct config *c, unsigned listener, struct config_error *e);

#endif
