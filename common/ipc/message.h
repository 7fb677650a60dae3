/* SPDX-License-Identifier: Apache-2.0
 * common/ipc/message.h - what processes say to each other over a channel: the rows of messages.def, and who may send
 * which to whom. */
#ifndef COMMON_IPC_MESSAGE_H
#define COMMON_IPC_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

enum ipc_type {
	IPC_NONE,
#define MSG(name, from, to, payload, help) IPC_##name,
#include "common/ipc/messages.def"
#undef MSG
	IPC_TYPE_COUNT
};
enum ipc_role { IPC_SUP = 1, IPC_WORKER = 2, IPC_STORE = 4, IPC_CHILD = IPC_WORKER | IPC_STORE, IPC_ANY = 7 };

/* Flags in payloads. */
enum { OWN_DURABLE = 1, OWN_HERE = 2, OWN_ONLINE = 4 };
enum { OPEN_CLEAN = 1, OPEN_AUTH = 2, OPEN_HAS_USER = 4, OPEN_ASSIGNED = 8, OPEN_RELOAD = 16, OPEN_VOUCHED = 32 };
enum { IPC_TRACE_CLIENT = 1, IPC_TRACE_TOPIC };
#define OPEN_NOBODY 0xffff

const char *ipc_name(unsigned type);            /* "SESSION_PUT"; never NULL */
bool ipc_may_send(unsigned type, enum ipc_role from, enum ipc_role to);
uint64_t ipc_digest(void);                      /* of both tables: two programs of one node must agree */

#endif
