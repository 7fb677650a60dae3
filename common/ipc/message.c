/* SPDX-License-Identifier: Apache-2.0 */
#include "common/ipc/message.h"

#include <stddef.h>

static const struct {
	const char *name;
	unsigned from, to;
} messages[IPC_TYPE_COUNT] = {
	[IPC_NONE] = { "NONE", 0, 0 },
#define MSG(name, from, to, payload, help) [IPC_##name] = { #name, IPC_##from, IPC_##to },
#include "common/ipc/messages.def"
#undef MSG
};

const char *
ipc_name(unsigned type)
{
	return type < IPC_TYPE_COUNT ? messages[type].name : "?";
}

bool
ipc_may_send(unsigned type, enum ipc_role from, enum ipc_role to)
{
	return type < IPC_TYPE_COUNT && (messages[type].from & from) != 0 && (messages[type].to & to) != 0;
}

uint64_t
ipc_digest(void)
{
	static const char *const rows[] = {
#define MSG(name, from, to, payload, help) #name " " #from " " #to " " #payload ";"
#include "common/ipc/messages.def"
#undef MSG
		,
#define FIELD_TEXT(type, name) #type " " #name ","
#define PAYLOAD(name, FIELDS) #name ":" FIELDS(FIELD_TEXT) ";"
#include "common/ipc/payloads.def"
#undef PAYLOAD
	};
	uint64_t h = UINT64_C(0xcbf29ce484222325);      /* FNV-1a */

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		for (const char *p = rows[i]; *p != '\0'; p++)
			h = (h ^ (uint8_t)*p) * UINT64_C(0x100000001b3);
	return h;
}
