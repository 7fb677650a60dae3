/* SPDX-License-Identifier: Apache-2.0
 * Ticket keys from the supervisor's hand to the worker's, and the steps of the warning. */
#include "t/support/unit.h"

#include "supervisor/certs.h"
#include "worker/tls_int.h"

#define DAY_S (24 * 3600)

START_TEST(a_new_key_keeps_the_one_before)
{
	struct certs s = { 0 };
	uint8_t first[CERTS_KEY_BYTES];

	certs_rotate(&s);
	ck_assert_uint_eq(s.made, 1);
	memcpy(first, s.keys, sizeof first);
	certs_rotate(&s);
	ck_assert_uint_eq(s.made, 2);
	ck_assert_mem_eq(s.keys + CERTS_KEY_BYTES, first, sizeof first);
	ck_assert_mem_ne(s.keys, first, sizeof first);
	certs_rotate(&s);
	ck_assert_uint_eq(s.made, 2);
	ck_assert_mem_ne(s.keys + CERTS_KEY_BYTES, first, sizeof first);
}
END_TEST

START_TEST(only_whole_keys_are_taken)
{
	static const size_t wrong[] = { 0, 1, TLS_TICKET_KEY_BYTES - 1, TLS_TICKET_KEY_BYTES + 1,
	    (TLS_TICKET_KEYS_MAX + 1) * TLS_TICKET_KEY_BYTES };
	static uint8_t bytes[(TLS_TICKET_KEYS_MAX + 1) * TLS_TICKET_KEY_BYTES];
	struct tls *t = tls_new(NULL);

	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
		ck_assert_int_eq(tls_ticket_keys(t, slice_of(bytes, wrong[i])), FB_EINVAL);
	ck_assert_uint_eq(t->tickets, 0);
	for (unsigned n = 1; n <= TLS_TICKET_KEYS_MAX; n++) {
		ck_assert_int_eq(tls_ticket_keys(t, slice_of(bytes, n * TLS_TICKET_KEY_BYTES)), 0);
		ck_assert_uint_eq(t->tickets, n);
	}
	tls_free(t);
}
END_TEST

struct seal {
	SSL *ssl;
	EVP_CIPHER_CTX *cipher;
	EVP_MAC_CTX *mac;
};

/* What OpenSSL does with the callback. name and iv as in a ticket. */
static int
ask(const struct seal *s, unsigned char *name, unsigned char *iv, int make)
{
	EVP_CIPHER_CTX_reset(s->cipher);
	return tls_ticket_callback(s->ssl, name, iv, s->cipher, s->mac, make);
}

START_TEST(an_older_key_is_taken_and_renewed)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	struct seal s = { SSL_new(ctx), EVP_CIPHER_CTX_new(), EVP_MAC_CTX_new(hmac) };
	struct tls *t = tls_new(NULL);
	struct certs c = { 0 };
	unsigned char name[16], again[16], iv[EVP_MAX_IV_LENGTH];

	t->ticket_cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
	tls_bio_init(t);
	SSL_CTX_set_app_data(ctx, t);
	ck_assert_int_eq(ask(&s, name, iv, 1), 0);
	certs_rotate(&c);
	ck_assert_int_eq(tls_ticket_keys(t, slice_of(c.keys, c.made * CERTS_KEY_BYTES)), 0);
	ck_assert_int_eq(ask(&s, name, iv, 1), 1);
	ck_assert_int_eq(ask(&s, name, iv, 0), 1);
	certs_rotate(&c);
	ck_assert_int_eq(tls_ticket_keys(t, slice_of(c.keys, c.made * CERTS_KEY_BYTES)), 0);
	ck_assert_int_eq(ask(&s, name, iv, 0), 2);
	ck_assert_int_eq(ask(&s, again, iv, 1), 1);
	ck_assert_mem_ne(name, again, sizeof name);
	certs_rotate(&c);
	ck_assert_int_eq(tls_ticket_keys(t, slice_of(c.keys, c.made * CERTS_KEY_BYTES)), 0);
	ck_assert_int_eq(ask(&s, name, iv, 0), 0);
	ck_assert_int_eq(ask(&s, again, iv, 0), 2);
	EVP_CIPHER_CTX_free(s.cipher);
	EVP_MAC_CTX_free(s.mac);
	EVP_MAC_free(hmac);
	SSL_free(s.ssl);
	SSL_CTX_free(ctx);
	tls_free(t);
}
END_TEST

START_TEST(steps_of_the_warning)
{
	ck_assert_int_eq(certs_step(31 * DAY_S), -1);
	ck_assert_int_eq(certs_step(30 * DAY_S), 30);
	ck_assert_int_eq(certs_step(8 * DAY_S), 30);
	ck_assert_int_eq(certs_step(7 * DAY_S), 7);
	ck_assert_int_eq(certs_step(DAY_S + 1), 7);
	ck_assert_int_eq(certs_step(DAY_S), 1);
	ck_assert_int_eq(certs_step(1), 1);
	ck_assert_int_eq(certs_step(0), 0);
	ck_assert_int_eq(certs_step(-DAY_S), 0);
}
END_TEST

UNIT_MAIN("certs", a_new_key_keeps_the_one_before, only_whole_keys_are_taken, an_older_key_is_taken_and_renewed,
    steps_of_the_warning)
