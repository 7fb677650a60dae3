/* SPDX-License-Identifier: Apache-2.0 */
#include "common/crypto/passwd.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>

#include "common/base/mem.h"
#include "common/base/rand.h"

#define SALT_BYTES 16u
#define HASH_BYTES 32u
#define SCRYPT_R   8u
#define SCRYPT_P   1u
/* What a record may ask for, whoever wrote it: 1 GiB at most. */
#define LN_MAX 20u
#define R_MAX  8u
#define P_MAX  16u

static const char scrypt_tag[] = "$scrypt-sha256$";
static const char keyed_tag[] = "$hmac-sha256$";

/* ---- base64 without padding ---- */

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static char *
base64_put(char *out, const uint8_t *p, size_t len)
{
	uint32_t bits = 0;
	unsigned have = 0;

	for (size_t i = 0; i < len; i++) {
		bits = bits << 8 | p[i];
		for (have += 8; have >= 6; have -= 6)
			*out++ = alphabet[bits >> (have - 6) & 63];
	}
	if (have > 0)
		*out++ = alphabet[bits << (6 - have) & 63];
	*out = '\0';
	return out;
}

/* Exactly len bytes, in the one form that base64_put() gives. */
static int
base64_take(struct slice s, uint8_t *out, size_t len)
{
	uint32_t bits = 0;
	unsigned have = 0;
	size_t n = 0;

	if (s.len != (len * 8 + 5) / 6)
		return FB_ECORRUPT;
	for (size_t i = 0; i < s.len; i++) {
		const char *c = s.p[i] != 0 ? strchr(alphabet, s.p[i]) : NULL;

		if (c == NULL)
			return FB_ECORRUPT;
		bits = bits << 6 | (uint32_t)(c - alphabet);
		have += 6;
		if (have >= 8) {
			have -= 8;
			out[n++] = (uint8_t)(bits >> have);
		}
	}
	return (bits & ((UINT32_C(1) << have) - 1)) == 0 ? 0 : FB_ECORRUPT;
}

static bool
starts_with(struct slice s, const char *tag)
{
	size_t n = strlen(tag);

	return s.len >= n && memcmp(s.p, tag, n) == 0;
}

enum passwd_kind
passwd_kind(struct slice text)
{
	if (starts_with(text, scrypt_tag))
		return PASSWD_SCRYPT;
	return starts_with(text, keyed_tag) ? PASSWD_KEYED : PASSWD_BAD;
}

/* ---- scrypt ---- */

struct scrypt {
	unsigned ln, r, p;
	uint8_t salt[SALT_BYTES], hash[HASH_BYTES];
};

/* Of the password's hash, which has one length: scrypt, being HMAC inside, pads its key with zeros and so would not tell
 * "x" from "x\0". */
static int
derive(const struct scrypt *s, struct slice password, uint8_t out[HASH_BYTES])
{
	uint64_t n = UINT64_C(1) << s->ln;
	uint64_t memory = UINT64_C(128) * s->r * (n + s->p + 4);
	uint8_t key[HASH_BYTES];
	int ok = EVP_Digest(password.p, password.len, key, NULL, EVP_sha256(), NULL);

	if (ok == 1)
		ok = EVP_PBE_scrypt((const char *)key, sizeof key, s->salt, SALT_BYTES, n, s->r, s->p, memory, out,
		    HASH_BYTES);
	OPENSSL_cleanse(key, sizeof key);
	return ok == 1 ? 0 : FB_EIO;
}

int
passwd_hash(struct slice password, uint32_t n, char out[PASSWD_TEXT_MAX])
{
	struct scrypt s = { .r = SCRYPT_R, .p = SCRYPT_P };
	char salt[SALT_BYTES * 2], hash[HASH_BYTES * 2];
	int rc;

	if (n < 1024 || n > UINT32_C(1) << LN_MAX || (n & (n - 1)) != 0)
		return FB_EINVAL;
	while (n >> (s.ln + 1) != 0)
		s.ln++;
	rand_bytes(s.salt, sizeof s.salt);
	rc = derive(&s, password, s.hash);
	if (rc != 0)
		return rc;
	base64_put(salt, s.salt, SALT_BYTES);
	base64_put(hash, s.hash, HASH_BYTES);
	snprintf(out, PASSWD_TEXT_MAX, "%sln=%u,r=%u,p=%u$%s$%s", scrypt_tag, s.ln, s.r, s.p, salt, hash);
	OPENSSL_cleanse(&s, sizeof s);
	return 0;
}

/* Up to the byte end, which is skipped. */
static int
take_until(struct slice *s, char end, struct slice *out)
{
	const uint8_t *p = s->len > 0 ? memchr(s->p, end, s->len) : NULL;

	if (p == NULL)
		return FB_ECORRUPT;
	*out = slice_of(s->p, (size_t)(p - s->p));
	*s = slice_of(p + 1, s->len - out->len - 1);
	return 0;
}

/* "ln=14" and an end. */
static int
take_number(struct slice *s, const char *name, char end, unsigned max, unsigned *out)
{
	struct slice t;
	size_t n = strlen(name);
	unsigned v = 0;

	if (take_until(s, end, &t) != 0 || !starts_with(t, name) || t.len == n || t.len > n + 2)
		return FB_ECORRUPT;
	for (size_t i = n; i < t.len; i++) {
		if (t.p[i] < '0' || t.p[i] > '9')
			return FB_ECORRUPT;
		v = 10 * v + (unsigned)(t.p[i] - '0');
	}
	if (v < 1 || v > max)
		return FB_ECORRUPT;
	*out = v;
	return 0;
}

static int
scrypt_parse(struct slice text, struct scrypt *out)
{
	struct slice salt;
	struct slice s = text;
	struct slice tag;

	if (!starts_with(s, scrypt_tag) || slice_take(&s, sizeof scrypt_tag - 1, &tag) != 0)
		return FB_ECORRUPT;
	if (take_number(&s, "ln=", ',', LN_MAX, &out->ln) != 0 || take_number(&s, "r=", ',', R_MAX, &out->r) != 0 ||
	    take_number(&s, "p=", '$', P_MAX, &out->p) != 0)
		return FB_ECORRUPT;
	if (take_until(&s, '$', &salt) != 0 || base64_take(salt, out->salt, SALT_BYTES) != 0)
		return FB_ECORRUPT;
	return base64_take(s, out->hash, HASH_BYTES);
}

int
passwd_check(struct slice text, struct slice password)
{
	uint8_t hash[HASH_BYTES];
	struct scrypt s;
	int rc = scrypt_parse(text, &s);

	if (rc == 0)
		rc = derive(&s, password, hash);
	if (rc == 0 && CRYPTO_memcmp(hash, s.hash, HASH_BYTES) != 0)
		rc = FB_EAUTH;
	OPENSSL_cleanse(hash, sizeof hash);
	return rc;
}

/* ---- keyed ---- */

/* HMAC by hand over two prepared digests: a copy of each a call, instead of a set-up of the key. */
struct passwd_mac {
	EVP_MD_CTX *inner, *outer, *work;
};

#define BLOCK_BYTES 64u

static void
must(int ok)
{
	FB_ASSERT(ok == 1);
}

struct passwd_mac *
passwd_mac_new(const void *key, size_t len)
{
	struct passwd_mac *m = mem_zalloc(sizeof *m);
	uint8_t block[BLOCK_BYTES] = { 0 };
	uint8_t pad[BLOCK_BYTES];

	FB_ASSERT(len <= BLOCK_BYTES);
	memcpy(block, key, len);
	m->inner = EVP_MD_CTX_new();
	m->outer = EVP_MD_CTX_new();
	m->work = EVP_MD_CTX_new();
	must(m->inner != NULL && m->outer != NULL && m->work != NULL);
	for (size_t i = 0; i < BLOCK_BYTES; i++)
		pad[i] = block[i] ^ 0x36;
	must(EVP_DigestInit_ex(m->inner, EVP_sha256(), NULL));
	must(EVP_DigestUpdate(m->inner, pad, sizeof pad));
	for (size_t i = 0; i < BLOCK_BYTES; i++)
		pad[i] = block[i] ^ 0x5c;
	must(EVP_DigestInit_ex(m->outer, EVP_sha256(), NULL));
	must(EVP_DigestUpdate(m->outer, pad, sizeof pad));
	OPENSSL_cleanse(block, sizeof block);
	OPENSSL_cleanse(pad, sizeof pad);
	return m;
}

void
passwd_mac_free(struct passwd_mac *m)
{
	if (m == NULL)
		return;
	EVP_MD_CTX_free(m->inner);
	EVP_MD_CTX_free(m->outer);
	EVP_MD_CTX_free(m->work);
	mem_free(m);
}

void
passwd_mac(struct passwd_mac *m, const struct slice *parts, size_t count, uint8_t out[PASSWD_MAC_BYTES])
{
	must(EVP_MD_CTX_copy_ex(m->work, m->inner));
	for (size_t i = 0; i < count; i++) {
		uint8_t len[4] = { (uint8_t)parts[i].len, (uint8_t)(parts[i].len >> 8), (uint8_t)(parts[i].len >> 16),
			(uint8_t)(parts[i].len >> 24) };

		must(EVP_DigestUpdate(m->work, len, sizeof len));
		must(EVP_DigestUpdate(m->work, parts[i].p, parts[i].len));
	}
	must(EVP_DigestFinal_ex(m->work, out, NULL));
	must(EVP_MD_CTX_copy_ex(m->work, m->outer));
	must(EVP_DigestUpdate(m->work, out, PASSWD_MAC_BYTES));
	must(EVP_DigestFinal_ex(m->work, out, NULL));
}

static void
keyed_mac(struct passwd_mac *m, struct slice name, struct slice password, uint8_t out[PASSWD_MAC_BYTES])
{
	const struct slice parts[] = { SLICE_LIT("account"), name, password };

	passwd_mac(m, parts, 3, out);
}

void
passwd_keyed(struct passwd_mac *m, struct slice name, struct slice password, char out[PASSWD_TEXT_MAX])
{
	uint8_t mac[PASSWD_MAC_BYTES];

	keyed_mac(m, name, password, mac);
	memcpy(out, keyed_tag, sizeof keyed_tag);
	base64_put(out + sizeof keyed_tag - 1, mac, sizeof mac);
}

int
passwd_check_keyed(struct passwd_mac *m, struct slice text, struct slice name, struct slice password)
{
	uint8_t stored[PASSWD_MAC_BYTES], mac[PASSWD_MAC_BYTES];
	struct slice tag;

	if (!starts_with(text, keyed_tag) || slice_take(&text, sizeof keyed_tag - 1, &tag) != 0 ||
	    base64_take(text, stored, sizeof stored) != 0)
		return FB_ECORRUPT;
	keyed_mac(m, name, password, mac);
	return CRYPTO_memcmp(mac, stored, sizeof mac) == 0 ? 0 : FB_EAUTH;
}
