/* SPDX-License-Identifier: Apache-2.0
 * common/crypto/accept.h - the proof that a server of WebSocket read the client's key (RFC 6455, section 1.3). */
#ifndef COMMON_CRYPTO_ACCEPT_H
#define COMMON_CRYPTO_ACCEPT_H

#include "common/base/slice.h"

#define ACCEPT_KEY_LEN  24              /* 16 bytes in base64 */
#define ACCEPT_TEXT_MAX 29              /* 20 bytes in base64, with its NUL */

/* key: ACCEPT_KEY_LEN bytes. 0; FB_EIO: the library has no SHA-1. */
int accept_text(struct slice key, char out[ACCEPT_TEXT_MAX]);

#endif
