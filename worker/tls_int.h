/* SPDX-License-Identifier: Apache-2.0
 * worker/tls_int.h - between tls_context.c, tls_stream.c and tls_ticket.c. */
#ifndef WORKER_TLS_INT_H
#define WORKER_TLS_INT_H

#include <openssl/ssl.h>

#include "worker/tls.h"

#define TLS_RECORD 16384                /* most plain bytes in one record */

struct tls_ticket_key {
	uint8_t name[16];
	uint8_t cipher[32];             /* AES-256-CBC */
	uint8_t mac[32];                /* HMAC-SHA256 */
};
_Static_assert(sizeof(struct tls_ticket_key) == TLS_TICKET_KEY_BYTES, "a key as the supervisor sends it");

/* Of one listener. The settings are those that it was made of. */
struct tls_context {
	SSL_CTX *ctx;                   /* NULL: none yet */
	char *cert, *key, *ca, *client_cert, *tls_min;
};

struct tls {
	struct loop *loop;
	struct tls_context context[CONFIG_LISTENERS];
	struct tls_ticket_key ticket[TLS_TICKET_KEYS_MAX];
	unsigned tickets;
	EVP_CIPHER *ticket_cipher;
	/* One BIO for all: it reads and writes the socket of the stream in hand. Never popped off a chain, since its
	 * prev_bio is that of whoever pushed last. */
	BIO_METHOD *method;
	BIO *bio;
	struct tls_stream *in_hand;
	unsigned refills;               /* that the read in hand may still ask the socket for */
	/* Handshakes of this turn. */
	struct mono turn;
	int64_t spent_ns;
	unsigned shaking;               /* streams in the middle of one */
	uint8_t gather[TLS_RECORD];     /* small pieces of output on their way into one record */
};

/* tls_context.c: a context of these settings, NULL and *e: why not. expires: of the certificate. */
SSL_CTX *tls_context_make(struct tls *t, const struct listener_config *l, struct wall *expires, struct config_error *e);
/* tls_ticket.c: SSL_CTX_set_tlsext_ticket_key_evp_cb()'s. */
int tls_ticket_callback(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int make);
/* tls_stream.c; tls_on_event is SSL_CTX_set_info_callback()'s. */
void tls_on_event(const SSL *ssl, int where, int value);
void tls_bio_init(struct tls *t);
void tls_bio_fini(struct tls *t);

#endif
