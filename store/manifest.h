/* SPDX-License-Identifier: Apache-2.0
 * store/manifest.h - what a backup holds: a text of lines, "word value", in the file `manifest` of its directory.
 *
 *	fubar-backup 1
 *	version 0.2.0
 *	node fubar
 *	made 2026-01-31T12:00:00Z
 *	epoch 17
 *	file state/accounts.db 16384 (64 hexadecimal digits: its SHA-256)
 *	end (the SHA-256 of all lines before)
 *
 * epoch: as the data directory had it; what is restored must not see one of these again. */
#ifndef STORE_MANIFEST_H
#define STORE_MANIFEST_H

#include <stdint.h>

#include "common/base/buf.h"
#include "common/crypto/digest.h"

#define MANIFEST_NAME "manifest"
#define MANIFEST_MAX  (1u << 20)        /* bytes of the text */

struct manifest_file {
	char name[96];                  /* "state/accounts.db": one folder, one file */
	uint64_t bytes;
	char hash[DIGEST_TEXT_MAX];
};

struct manifest {
	char version[32], node[256], made[40];
	uint64_t epoch;
	struct manifest_file *file;     /* owned */
	size_t count;
};

void manifest_fini(struct manifest *m);
struct manifest_file *manifest_add(struct manifest *m, const char *name);       /* until the next one */
uint64_t manifest_bytes(const struct manifest *m);      /* of all files */
void manifest_put(struct buf *b, const struct manifest *m);
/* FB_EVERSION: of a later program; FB_ECORRUPT: damaged. Then *out is empty; else it is the caller's. */
int manifest_take(struct slice text, struct manifest *out);

#endif
