/* SPDX-License-Identifier: Apache-2.0
 * common/crypto/passwd.h - password hashes as text, with their parameters in them.
 *
 * Two kinds. People's passwords: "$scrypt-sha256$ln=14,r=8,p=1$SALT$HASH", scrypt of the password's SHA-256, slow by
 * intent (N = 2^ln; 44 ms at 14): hash and check them on a thread that may be busy that long. Generated ones of >= 128
 * bits: "$hmac-sha256$MAC", one keyed hash of name and password, a microsecond: guessing them is hopeless anyway, and
 * the key keeps a stolen copy of the table useless without the rest of the store. Base64 without padding. */
#ifndef COMMON_CRYPTO_PASSWD_H
#define COMMON_CRYPTO_PASSWD_H

#include <stdint.h>

#include "common/base/slice.h"

#define PASSWD_TEXT_MAX      160        /* a hash as text, with its NUL */
#define PASSWD_GENERATED_MIN 22         /* characters of a generated password: 128 bits in base64 */
#define PASSWD_MAC_BYTES     32

enum passwd_kind { PASSWD_BAD, PASSWD_SCRYPT, PASSWD_KEYED };

enum passwd_kind passwd_kind(struct slice text);

/* Slow. n: a power of two, 1024..2^20; FB_EINVAL otherwise. */
int passwd_hash(struct slice password, uint32_t n, char out[PASSWD_TEXT_MAX]);
/* Slow. 0; FB_EAUTH: another password; FB_ECORRUPT: not a text of passwd_hash(). Any thread. */
int passwd_check(struct slice text, struct slice password);

/* HMAC-SHA256 with its key set up once; one thread at a time. */
struct passwd_mac;
struct passwd_mac *passwd_mac_new(const void *key, size_t len);
void passwd_mac_free(struct passwd_mac *m);
/* Of parts, each with its length in front, so that no two lists of parts look the same. */
void passwd_mac(struct passwd_mac *m, const struct slice *parts, size_t count, uint8_t out[PASSWD_MAC_BYTES]);

void passwd_keyed(struct passwd_mac *m, struct slice name, struct slice password, char out[PASSWD_TEXT_MAX]);
/* 0, FB_EAUTH, FB_ECORRUPT. */
int passwd_check_keyed(struct passwd_mac *m, struct slice text, struct slice name, struct slice password);

#endif
