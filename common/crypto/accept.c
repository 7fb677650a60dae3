/* SPDX-License-Identifier: Apache-2.0 */
#include "common/crypto/accept.h"

#include <openssl/evp.h>
#include <string.h>

#include "common/base/err.h"

#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

int
accept_text(struct slice key, char out[ACCEPT_TEXT_MAX])
{
	char text[ACCEPT_KEY_LEN + sizeof GUID];
	unsigned char hash[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	FB_ASSERT(key.len == ACCEPT_KEY_LEN);
	memcpy(text, key.p, ACCEPT_KEY_LEN);
	memcpy(text + ACCEPT_KEY_LEN, GUID, sizeof GUID);
	if (EVP_Digest(text, sizeof text - 1, hash, &n, EVP_sha1(), NULL) != 1 || n != 20)
		return FB_EIO;
	EVP_EncodeBlock((unsigned char *)out, hash, (int)n);
	return 0;
}
