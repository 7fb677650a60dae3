/* SPDX-License-Identifier: Apache-2.0 */
#include "common/crypto/digest.h"

#include <openssl/evp.h>
#include <stdio.h>

#include "common/base/err.h"
#include "common/base/mem.h"

#define BYTES 32

struct digest { EVP_MD_CTX *ctx; };

struct digest *
digest_new(void)
{
	struct digest *d = mem_alloc(sizeof *d);

	d->ctx = EVP_MD_CTX_new();
	FB_ASSERT(d->ctx != NULL && EVP_DigestInit_ex(d->ctx, EVP_sha256(), NULL) == 1);
	return d;
}

void
digest_add(struct digest *d, const void *p, size_t len)
{
	FB_ASSERT(EVP_DigestUpdate(d->ctx, p, len) == 1);
}

void
digest_end(struct digest *d, char out[DIGEST_TEXT_MAX])
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	FB_ASSERT(EVP_DigestFinal_ex(d->ctx, hash, &n) == 1 && n == BYTES);
	EVP_MD_CTX_free(d->ctx);
	mem_free(d);
	for (unsigned i = 0; i < BYTES && out != NULL; i++)
		snprintf(out + 2 * i, 3, "%02x", hash[i]);
}

void
digest_text(struct slice s, char out[DIGEST_TEXT_MAX])
{
	struct digest *d = digest_new();

	digest_add(d, s.p, s.len);
	digest_end(d, out);
}
