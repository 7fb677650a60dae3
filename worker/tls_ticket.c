/* SPDX-License-Identifier: Apache-2.0
 * Session tickets: the state of a session, sealed, is kept by its client, so that any worker resumes it. */
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <string.h>

#include "common/base/err.h"
#include "worker/tls_int.h"

int
tls_ticket_keys(struct tls *t, struct slice keys)
{
	if (keys.len == 0 || keys.len % TLS_TICKET_KEY_BYTES != 0 || keys.len > sizeof t->ticket)
		return FB_EINVAL;
	memset(t->ticket, 0, sizeof t->ticket);
	memcpy(t->ticket, keys.p, keys.len);
	t->tickets = (unsigned)(keys.len / TLS_TICKET_KEY_BYTES);
	return 0;
}

static const struct tls_ticket_key *
find(const struct tls *t, const unsigned char *name)
{
	for (unsigned i = 0; i < t->tickets; i++)
		if (memcmp(t->ticket[i].name, name, sizeof t->ticket[i].name) == 0)
			return &t->ticket[i];
	return NULL;
}

static int
set_mac(EVP_MAC_CTX *mac, const struct tls_ticket_key *k)
{
	char digest[] = "SHA256";
	uint8_t key[sizeof k->mac];
	OSSL_PARAM params[3];
	int ok;

	memcpy(key, k->mac, sizeof key);
	params[0] = OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key, sizeof key);
	params[1] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0);
	params[2] = OSSL_PARAM_construct_end();
	ok = EVP_MAC_CTX_set_params(mac, params);
	OPENSSL_cleanse(key, sizeof key);
	return ok;
}

/* 1: done; 2: done, and the client gets a ticket of the newest key; 0: unknown, so a whole handshake; -1: failed. */
int
tls_ticket_callback(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int make)
{
	const struct tls *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	const struct tls_ticket_key *k = make ? &t->ticket[0] : find(t, name);

	if (k == NULL || t->tickets == 0)
		return 0;
	if (make) {
		memcpy(name, k->name, sizeof k->name);
		if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(t->ticket_cipher)) != 1 ||
		    EVP_EncryptInit_ex(cipher, t->ticket_cipher, NULL, k->cipher, iv) != 1)
			return -1;
	} else if (EVP_DecryptInit_ex(cipher, t->ticket_cipher, NULL, k->cipher, iv) != 1) {
		return -1;
	}
	if (set_mac(mac, k) != 1)
		return -1;
	return make || k == &t->ticket[0] ? 1 : 2;
}
