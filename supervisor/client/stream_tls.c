/* SPDX-License-Identifier: Apache-2.0
 * supervisor/client/stream_tls.c - OpenSSL on bytes in memory: a BIO of our own reads from the slice in hand and writes to
 * the caller's buffer, so that many records leave in one write of the socket. */
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "supervisor/client/stream_parts.h"
#include "common/base/err.h"
#include "common/base/mem.h"

#define READ_BYTES 16384

struct tls {
	SSL_CTX *ctx;
	BIO_METHOD *method;
};

struct tls_end {
	SSL *ssl;
	char *error;                    /* the stream's */
	struct slice in;                /* during a call */
	struct buf *out;                /* the same */
	bool ready;
	bool over;
};

/* ---- the BIO ---- */

static int
bio_read(BIO *b, char *p, int len)
{
	struct tls_end *e = BIO_get_data(b);
	size_t n = e->in.len < (size_t)len ? e->in.len : (size_t)len;

	BIO_clear_retry_flags(b);
	if (n == 0) {
		BIO_set_retry_read(b);
		return -1;
	}
	memcpy(p, e->in.p, n);
	e->in = slice_of(e->in.p + n, e->in.len - n);
	return (int)n;
}

static int
bio_write(BIO *b, const char *p, int len)
{
	struct tls_end *e = BIO_get_data(b);

	buf_put(e->out, p, (size_t)len);
	return len;
}

static long
bio_ctrl(BIO *b, int cmd, long num, void *ptr)
{
	return cmd == BIO_CTRL_FLUSH;
}

static int
bio_create(BIO *b)
{
	BIO_set_init(b, 1);
	return 1;
}

/* ---- the context ---- */

/* The newest error of OpenSSL's queue, without its numbers; errno's text for a file. */
static void
put_reason(char *error, size_t size, const char *what)
{
	unsigned long e = ERR_peek_last_error();
	const char *why = e != 0 && !ERR_SYSTEM_ERROR(e) ? ERR_reason_error_string(e) : NULL;
	unsigned long first = ERR_peek_error();

	if (first != 0 && ERR_SYSTEM_ERROR(first))
		why = strerror(ERR_GET_REASON(first));
	snprintf(error, size, "%s: %s", what, why != NULL ? why : "failed");
	ERR_clear_error();
}

static int
load_files(SSL_CTX *ctx, const struct tls_files *f, char *error, size_t error_size)
{
	if (f->cafile == NULL)
		(void)SSL_CTX_set_default_verify_paths(ctx);
	else if (SSL_CTX_load_verify_file(ctx, f->cafile) != 1)
		return put_reason(error, error_size, f->cafile), FB_EINVAL;
	if (f->cert != NULL && SSL_CTX_use_certificate_chain_file(ctx, f->cert) != 1)
		return put_reason(error, error_size, f->cert), FB_EINVAL;
	if (f->key != NULL && SSL_CTX_use_PrivateKey_file(ctx, f->key, SSL_FILETYPE_PEM) != 1)
		return put_reason(error, error_size, f->key), FB_EINVAL;
	if (f->cert != NULL && SSL_CTX_check_private_key(ctx) != 1)
		return put_reason(error, error_size, "certificate and key"), FB_EINVAL;
	return 0;
}

struct tls *
tls_open(const struct tls_files *files, char *error, size_t error_size)
{
	struct tls *t = mem_zalloc(sizeof *t);

	ERR_clear_error();
	t->ctx = SSL_CTX_new(TLS_client_method());
	t->method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "fubar-client");
	FB_ASSERT(t->ctx != NULL && t->method != NULL);
	BIO_meth_set_read(t->method, bio_read);
	BIO_meth_set_write(t->method, bio_write);
	BIO_meth_set_ctrl(t->method, bio_ctrl);
	BIO_meth_set_create(t->method, bio_create);
	SSL_CTX_set_min_proto_version(t->ctx, TLS1_2_VERSION);
	SSL_CTX_set_mode(t->ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_options(t->ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_session_cache_mode(t->ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_verify(t->ctx, files->insecure && files->cafile == NULL ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_app_data(t->ctx, files->insecure ? t : NULL);
	if (load_files(t->ctx, files, error, error_size) == 0)
		return t;
	tls_close(t);
	return NULL;
}

void
tls_close(struct tls *t)
{
	if (t == NULL)
		return;
	SSL_CTX_free(t->ctx);
	BIO_meth_free(t->method);
	mem_free(t);
}

/* ---- one connection ---- */

struct tls_end *
tls_end_new(struct tls *t, const char *host, char *error)
{
	struct tls_end *e = mem_zalloc(sizeof *e);
	unsigned char address[16];
	bool numeric = inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
	bool any_name = SSL_CTX_get_app_data(t->ctx) != NULL;
	BIO *bio = BIO_new(t->method);

	e->error = error;
	e->ssl = SSL_new(t->ctx);
	FB_ASSERT(e->ssl != NULL && bio != NULL);
	BIO_set_data(bio, e);
	SSL_set_bio(e->ssl, bio, bio);
	SSL_set_connect_state(e->ssl);
	if (!numeric)
		(void)SSL_set_tlsext_host_name(e->ssl, host);
	if (!any_name && numeric)
		(void)X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(e->ssl), host);
	else if (!any_name)
		(void)SSL_set1_host(e->ssl, host);
	return e;
}

void
tls_end_free(struct tls_end *e)
{
	if (e == NULL)
		return;
	SSL_free(e->ssl);
	mem_free(e);
}

static int
failed(struct tls_end *e, int ret)
{
	long verify = SSL_get_verify_result(e->ssl);
	int r = FB_EPROTO;

	switch (SSL_get_error(e->ssl, ret)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return 0;
	case SSL_ERROR_ZERO_RETURN:
		r = FB_ECLOSED;
		break;
	default:
		if (!e->ready && verify != X509_V_OK && (SSL_get_verify_mode(e->ssl) & SSL_VERIFY_PEER) != 0) {
			snprintf(e->error, STREAM_ERROR_MAX, "the server's certificate: %s", X509_verify_cert_error_string(verify));
			r = FB_EAUTH;
		} else {
			put_reason(e->error, STREAM_ERROR_MAX, "TLS");
		}
		break;
	}
	ERR_clear_error();
	e->over = true;
	return r;
}

static int
read_all(struct tls_end *e, struct buf *plain)
{
	for (;;) {
		int n = SSL_read(e->ssl, buf_room(plain, READ_BYTES), READ_BYTES);

		if (n <= 0)
			return failed(e, n);
		buf_added(plain, (size_t)n);
	}
}

int
tls_end_take(struct tls_end *e, struct slice in, struct buf *plain, struct buf *out)
{
	int r = 0;

	if (e->over)
		return FB_ECLOSED;
	e->in = in;
	e->out = out;
	ERR_clear_error();
	if (!e->ready) {
		int n = SSL_do_handshake(e->ssl);

		e->ready = n == 1;
		if (n != 1)
			r = failed(e, n);
	}
	if (r == 0 && e->ready)
		r = read_all(e, plain);
	return r;
}

int
tls_end_put(struct tls_end *e, struct slice plain, struct buf *out)
{
	struct buf none;
	int r = 0;

	buf_init(&none);
	if (e->over)
		return FB_ECLOSED;
	e->in = slice_of(NULL, 0);
	e->out = out;
	ERR_clear_error();
	while (r == 0 && plain.len > 0) {
		size_t n = 0;
		int ret = SSL_write_ex(e->ssl, plain.p, plain.len, &n);

		if (ret != 1) {
			r = failed(e, ret);
			FB_ASSERT(r != 0);      /* the BIO takes everything */
		}
		plain = slice_of(plain.p + n, plain.len - n);
	}
	return r;
}

void
tls_end_finish(struct tls_end *e, struct buf *out)
{
	if (e->over || !e->ready)
		return;
	e->in = slice_of(NULL, 0);
	e->out = out;
	(void)SSL_shutdown(e->ssl);
	ERR_clear_error();
}

bool
tls_end_ready(const struct tls_end *e)
{
	return e->ready;
}

const char *
tls_end_cipher(const struct tls_end *e, char *out, size_t size)
{
	snprintf(out, size, "%s %s", SSL_get_version(e->ssl), SSL_get_cipher_name(e->ssl));
	return out;
}
