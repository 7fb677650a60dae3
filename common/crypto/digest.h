/* SPDX-License-Identifier: Apache-2.0
 * common/crypto/digest.h - SHA-256 of bytes that come in pieces, as text: is a copy of a file what it was? */
#ifndef COMMON_CRYPTO_DIGEST_H
#define COMMON_CRYPTO_DIGEST_H

#include "common/base/slice.h"

#define DIGEST_TEXT_MAX 65              /* 64 hexadecimal digits and their NUL */

struct digest;
struct digest *digest_new(void);
void digest_add(struct digest *d, const void *p, size_t len);
void digest_end(struct digest *d, char out[DIGEST_TEXT_MAX]);   /* frees d; out may be NULL */
void digest_text(struct slice s, char out[DIGEST_TEXT_MAX]);    /* all at once */

#endif
