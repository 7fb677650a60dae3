/* SPDX-License-Identifier: Apache-2.0
 * What a listener's streams have in common: certificate, key, authorities, versions and ciphers. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/metrics/page.h"
#include "worker/tls_int.h"

/* Forward secrecy and authenticated encryption alone. AES with 128 bits first: enough, and cheaper. */
#define CIPHERS_12 "ECDHE+AESGCM:ECDHE+CHACHA20:@STRENGTH"
#define CIPHERS_13 "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384"
#define GROUPS "X25519:P-256:P-384"
/* A ticket is worth no more than its key: two times server.ticket_rotation at most. */
#define TICKET_S (24 * 3600)

/* OpenSSL's reason, in words. */
static const char *
reason(void)
{
	unsigned long code = ERR_peek_error();
	const char *text = ERR_reason_error_string(code);

	if (ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE)
		return "holds nothing of that kind in PEM form";
	return text != NULL ? text : "unknown reason";
}

static int
fail(struct config_error *e, const struct listener_config *l, const char *key, const char *file, const char *why, int err)
{
	snprintf(e->text, sizeof e->text, "listeners.%s.%s %s: %s", l->name, key, file, why);
	return err;
}

/* OpenSSL's words for a file that cannot be read help nobody. */
static int
check_file(const struct listener_config *l, const char *key, const char *file, struct config_error *e)
{
	char why[128];
	int saved;
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd >= 0) {
		close(fd);
		return 0;
	}
	saved = errno;
	if (saved == EACCES) {
		snprintf(why, sizeof why, "%s; user %u, as whom fubard runs, must be able to read it", strerror(saved),
		    (unsigned)geteuid());
		return fail(e, l, key, file, why, FB_EPERM);
	}
	return fail(e, l, key, file, strerror(saved), FB_ENOENT);
}

static int
no_passphrase(char *buf, int size, int writing, void *arg)
{
	bool *asked = arg;

	(void)buf, (void)size, (void)writing;
	*asked = true;
	return 0;
}

static int
use_certificate(SSL_CTX *ctx, const struct listener_config *l, struct config_error *e)
{
	bool asked = false;
	int err = check_file(l, "cert", l->cert, e);

	if (err == 0)
		err = check_file(l, "key", l->key, e);
	if (err != 0)
		return err;
	SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
	SSL_CTX_set_default_passwd_cb_userdata(ctx, &asked);
	if (SSL_CTX_use_certificate_chain_file(ctx, l->cert) != 1)
		return fail(e, l, "cert", l->cert, reason(), FB_EINVAL);
	if (SSL_CTX_use_PrivateKey_file(ctx, l->key, SSL_FILETYPE_PEM) != 1) {
		if (asked)
			return fail(e, l, "key", l->key, "is protected by a passphrase, and nobody is there to type it", FB_EINVAL);
		if (ERR_GET_REASON(ERR_peek_last_error()) != X509_R_KEY_VALUES_MISMATCH)
			return fail(e, l, "key", l->key, reason(), FB_EINVAL);
	}
	SSL_CTX_set_default_passwd_cb_userdata(ctx, NULL);
	if (SSL_CTX_check_private_key(ctx) != 1)
		return fail(e, l, "key", l->key, "is not the key of the certificate in cert", FB_EINVAL);
	return 0;
}

static int
use_authorities(SSL_CTX *ctx, const struct listener_config *l, struct config_error *e)
{
	STACK_OF(X509_NAME) *names;
	int mode = SSL_VERIFY_PEER;
	int err;

	if (strcmp(l->client_cert, "off") == 0)
		return 0;
	if (strcmp(l->client_cert, "required") == 0)
		mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
	err = check_file(l, "ca", l->ca, e);
	if (err != 0)
		return err;
	names = SSL_load_client_CA_file(l->ca);
	if (names == NULL || SSL_CTX_load_verify_file(ctx, l->ca) != 1) {
		sk_X509_NAME_pop_free(names, X509_NAME_free);
		return fail(e, l, "ca", l->ca, reason(), FB_EINVAL);
	}
	SSL_CTX_set_client_CA_list(ctx, names);
	SSL_CTX_set_verify(ctx, mode, NULL);
	return 0;
}

/* A session may be resumed where the same is asked of clients: tickets of another listener, or of other authorities,
 * are not taken. */
static void
set_session_context(SSL_CTX *ctx, const struct listener_config *l)
{
	unsigned char id[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	const STACK_OF(X509_OBJECT) *known = X509_STORE_get0_objects(SSL_CTX_get_cert_store(ctx));

	EVP_DigestInit_ex(md, EVP_sha256(), NULL);
	EVP_DigestUpdate(md, l->name, strlen(l->name) + 1);
	EVP_DigestUpdate(md, l->client_cert, strlen(l->client_cert) + 1);
	for (int i = 0; i < sk_X509_OBJECT_num(known); i++) {
		const X509 *x = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(known, i));

		if (x != NULL && X509_digest(x, EVP_sha256(), id, &len) == 1)
			EVP_DigestUpdate(md, id, len);
	}
	EVP_DigestFinal_ex(md, id, &len);
	EVP_MD_CTX_free(md);
	SSL_CTX_set_session_id_context(ctx, id, len);
}

static void
set_options(struct tls *t, SSL_CTX *ctx, const struct listener_config *l)
{
	SSL_CTX_set_app_data(ctx, t);
	SSL_CTX_set_min_proto_version(ctx, strcmp(l->tls_min, "1.3") == 0 ? TLS1_3_VERSION : TLS1_2_VERSION);
	/* Many MQTT clients end without a close_notify; a packet knows its own length. */
	SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
	    SSL_OP_PRIORITIZE_CHACHA | SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_info_callback(ctx, tls_on_event);
	/* Else each record costs two reads, one for its five first bytes. */
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_timeout(ctx, TICKET_S);
	SSL_CTX_set_num_tickets(ctx, 1);
	SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, tls_ticket_callback);
	FB_ASSERT(SSL_CTX_set_cipher_list(ctx, CIPHERS_12) == 1);
	FB_ASSERT(SSL_CTX_set_ciphersuites(ctx, CIPHERS_13) == 1);
	FB_ASSERT(SSL_CTX_set1_groups_list(ctx, GROUPS) == 1);
}

static struct wall
expiry(SSL_CTX *ctx)
{
	X509 *x = SSL_CTX_get0_certificate(ctx);
	struct tm tm;

	if (x == NULL || ASN1_TIME_to_tm(X509_get0_notAfter(x), &tm) != 1)
		return (struct wall){ 0 };
	return (struct wall){ (int64_t)timegm(&tm) * NS_PER_SEC };
}

SSL_CTX *
tls_context_make(struct tls *t, const struct listener_config *l, struct wall *expires, struct config_error *e)
{
	SSL_CTX *ctx;
	int err;

	ERR_clear_error();
	ctx = SSL_CTX_new(TLS_server_method());
	FB_ASSERT(ctx != NULL);
	set_options(t, ctx, l);
	err = use_certificate(ctx, l, e);
	if (err == 0)
		err = use_authorities(ctx, l, e);
	ERR_clear_error();
	if (err != 0) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	set_session_context(ctx, l);
	*expires = expiry(ctx);
	return ctx;
}

struct tls *
tls_new(struct loop *l)
{
	struct tls *t = mem_zalloc(sizeof *t);

	t->loop = l;
	return t;
}

/* A worker without a TLS listener never wakes OpenSSL up: a megabyte. */
static void
wake_openssl(struct tls *t)
{
	if (t->ticket_cipher != NULL)
		return;
	t->ticket_cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
	FB_ASSERT(t->ticket_cipher != NULL);
	tls_bio_init(t);
}

static void
settings_free(struct tls_context *c)
{
	mem_free(c->cert);
	mem_free(c->key);
	mem_free(c->ca);
	mem_free(c->client_cert);
	mem_free(c->tls_min);
}

static void
settings_keep(struct tls_context *c, const struct listener_config *l)
{
	settings_free(c);
	c->cert = mem_strdup(l->cert);
	c->key = mem_strdup(l->key);
	c->ca = mem_strdup(l->ca);
	c->client_cert = mem_strdup(l->client_cert);
	c->tls_min = mem_strdup(l->tls_min);
}

static bool
is_same(const struct tls_context *c, const struct listener_config *l)
{
	return c->ctx != NULL && strcmp(c->cert, l->cert) == 0 && strcmp(c->key, l->key) == 0 && strcmp(c->ca, l->ca) == 0 &&
	    strcmp(c->client_cert, l->client_cert) == 0 && strcmp(c->tls_min, l->tls_min) == 0;
}

void
tls_free(struct tls *t)
{
	for (unsigned i = 0; i < CONFIG_LISTENERS; i++) {
		SSL_CTX_free(t->context[i].ctx);
		settings_free(&t->context[i]);
	}
	if (t->ticket_cipher != NULL)
		tls_bio_fini(t);
	EVP_CIPHER_free(t->ticket_cipher);
	OPENSSL_cleanse(t->ticket, sizeof t->ticket);
	mem_free(t);
}

void
tls_configure(struct tls *t, const struct config *config, bool again)
{
	for (unsigned i = 0; i < CONFIG_LISTENERS; i++) {
		struct tls_context *c = &t->context[i];
		struct listener_config l;
		struct config_error e;
		struct wall expires;
		SSL_CTX *ctx;

		config_listener(config, i, &l);
		if (l.port == 0 || !listener_has_tls(l.kind) || (!again && is_same(c, &l)))
			continue;
		wake_openssl(t);
		ctx = tls_context_make(t, &l, &expires, &e);
		if (ctx == NULL) {
			log_error("tls", c->ctx != NULL ? "the certificate stays as it was" : "no certificate, so no clients",
			    "listener=%s why=\"%s\"", l.name, e.text);
			continue;
		}
		SSL_CTX_free(c->ctx);           /* streams that have it keep it */
		c->ctx = ctx;
		settings_keep(c, &l);
		metrics->listener_expires_s[i] = (uint64_t)(expires.ns / NS_PER_SEC);
	}
}

int
tls_check(const struct config *config, struct config_error *e)
{
	struct tls *t = NULL;
	int err = 0;

	for (unsigned i = 0; i < CONFIG_LISTENERS && err == 0; i++) {
		struct listener_config l;
		struct wall expires;
		SSL_CTX *ctx;

		config_listener(config, i, &l);
		if (l.port == 0 || !listener_has_tls(l.kind))
			continue;
		ctx = tls_context_make(t, &l, &expires, e);
		if (ctx == NULL)
			err = FB_EINVAL;
		SSL_CTX_free(ctx);
	}
	return err;
}
