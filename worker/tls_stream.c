/* SPDX-License-Identifier: Apache-2.0
 * The bytes of a connection over TLS.
 *
 * OpenSSL reads and writes through one BIO of ours that all streams share: it knows which stream is in hand, that a
 * short read has emptied the socket (so that no second read asks in vain), and spares each connection a BIO of its own.
 * OpenSSL holds buffers only while a record is half there; what it decrypts goes straight to the reader. */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/utf8.h"
#include "common/metrics/page.h"
#include "worker/tls_int.h"

/* A signature with RSA takes a millisecond: the clients that are in must not wait for all that come in. */
#define HANDSHAKES_NS (2 * NS_PER_MS)   /* a turn; one begins in any case */
/* Half a handshake holds some 45 KB for up to server.timeout, and needs no account: whoever comes when so many are under
 * way is sent off. In honest crowds few are: a handshake begins when its turn has come, and needs two round trips. */
#define SHAKING_MAX   4096
#define RECORDS       256               /* most that one read takes: they may have one byte each */
#define REFILLS       2                 /* of OpenSSL's buffer on the way to the next byte: a record may need two */
#define EVENTS_MAX    256               /* in the life of a stream: a change of keys costs us more than the client */
#define WHY_MAX       200
#define NAME_MAX_LEN  256

enum { HANDSHAKE = 22 };                /* the first byte of a client that speaks TLS */

enum tls_state {
	TLS_HANDSHAKE,
	TLS_OPEN,
	TLS_ENDED,                      /* the peer said goodbye, or its end of the socket has come */
	TLS_FAILED,
};

struct tls_stream {
	struct stream stream;
	struct tls *tls;
	SSL *ssl;                       /* NULL: nothing was heard yet */
	SSL_CTX *ctx;                   /* held until ssl is made */
	char *why;                      /* TLS_FAILED, TLS_ENDED; NULL: see errno, or a plain end */
	int64_t empty_ns;               /* the turn in which a short read emptied the socket */
	int64_t full_ns;                /* the turn in which the socket took no more */
	int fd;
	int error;                      /* errno of the last call that failed */
	uint16_t events;                /* changes of keys, and the like, since the handshake */
	uint8_t state;
	uint8_t first;                  /* byte that was heard */
	bool heard;
	bool eof;
	bool unsent;                    /* OpenSSL has bytes that the socket did not take, or a last word was said */
	bool more;                      /* records wait in OpenSSL's buffer that the last read had no room for */
};

static struct tls_stream *
of(const struct stream *s)
{
	return (struct tls_stream *)(void *)(uintptr_t)s;
}

static int64_t
turn(const struct tls_stream *s)
{
	return loop_now(s->tls->loop).ns;
}

/* --- the BIO ----------------------------------------------------------------------------------------------------- */

static int
bio_read(BIO *b, char *p, int len)
{
	struct tls_stream *s = ((struct tls *)BIO_get_data(b))->in_hand;
	ssize_t n;

	BIO_clear_retry_flags(b);
	if (s->empty_ns == turn(s) || (s->state == TLS_OPEN && s->tls->refills-- == 0)) {
		s->tls->refills = 0;
		BIO_set_retry_read(b);
		return -1;
	}
	n = tcp_read(s->fd, p, (size_t)len);
	if (n < len)
		s->empty_ns = turn(s);
	if (n > 0) {
		if (!s->heard)
			s->first = (uint8_t)p[0];
		s->heard = true;
		return (int)n;
	}
	if (n == FB_EAGAIN) {
		BIO_set_retry_read(b);
		return -1;
	}
	s->eof = n == FB_ECLOSED;
	s->error = errno;
	return s->eof ? 0 : -1;
}

static int
bio_write(BIO *b, const char *p, int len)
{
	struct tls_stream *s = ((struct tls *)BIO_get_data(b))->in_hand;
	const struct iovec iov = { (void *)(uintptr_t)p, (size_t)len };
	ssize_t n;

	BIO_clear_retry_flags(b);
	if (s->full_ns == turn(s)) {
		BIO_set_retry_write(b);
		return -1;
	}
	n = tcp_writev(s->fd, &iov, 1);
	if (n < len)
		s->full_ns = turn(s);
	if (n >= 0)
		return (int)n;
	s->error = errno;
	if (n == FB_EAGAIN)
		BIO_set_retry_write(b);
	else if (s->state == TLS_OPEN)
		return len;             /* nobody hears it; but OpenSSL goes on to read what the client sent before it left */
	return -1;
}

static long
bio_ctrl(BIO *b, int cmd, long number, void *p)
{
	(void)number, (void)p;
	switch (cmd) {
	case BIO_CTRL_FLUSH:
		return 1;
	case BIO_CTRL_EOF:
		return ((struct tls *)BIO_get_data(b))->in_hand->eof;
	default:
		return 0;
	}
}

void
tls_bio_init(struct tls *t)
{
	t->method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "fubar socket");
	FB_ASSERT(t->method != NULL);
	BIO_meth_set_read(t->method, bio_read);
	BIO_meth_set_write(t->method, bio_write);
	BIO_meth_set_ctrl(t->method, bio_ctrl);
	t->bio = BIO_new(t->method);
	FB_ASSERT(t->bio != NULL);
	BIO_set_data(t->bio, t);
	BIO_set_init(t->bio, 1);
}

void
tls_bio_fini(struct tls *t)
{
	BIO_free(t->bio);
	BIO_meth_free(t->method);
}

/* --- failures ---------------------------------------------------------------------------------------------------- */

static void
explain(struct tls_stream *s, const char *fmt, const char *what, const char *more)
{
	char text[WHY_MAX];

	if (s->why != NULL)
		return;
	snprintf(text, sizeof text, fmt, what, more);
	s->why = mem_strdup(text);
}

static void
set_state(struct tls_stream *s, enum tls_state state)
{
	if (s->state == TLS_HANDSHAKE && s->ssl != NULL && state != TLS_HANDSHAKE)
		s->tls->shaking--;
	s->state = (uint8_t)state;
}

/* Only words of OpenSSL's, never a byte of the client's. */
static void
explain_error(struct tls_stream *s, const char *during)
{
	const char *text = ERR_reason_error_string(ERR_peek_error());
	long verified = SSL_get_verify_result(s->ssl);

	if (s->state == TLS_HANDSHAKE && s->heard && s->first != HANDSHAKE)
		explain(s, "%s%s", "no TLS at a TLS listener", s->first == 0x10 ? ": the client speaks plain MQTT" : "");
	else if (verified != X509_V_OK)
		explain(s, "client certificate: %s%s", X509_verify_cert_error_string(verified), "");
	else
		explain(s, "%s: %s", during, text != NULL ? text : "protocol error");
}

/* What came of the call that just returned n <= 0: FB_EAGAIN, FB_ECLOSED, FB_EIO. */
static int
outcome(struct tls_stream *s, int n)
{
	int why = SSL_get_error(s->ssl, n);
	const char *during = s->state == TLS_HANDSHAKE ? "TLS handshake" : "TLS";

	switch (why) {
	case SSL_ERROR_WANT_READ:
		return FB_EAGAIN;
	case SSL_ERROR_WANT_WRITE:
		s->unsent = true;
		return FB_EAGAIN;
	default:
		break;
	}
	s->unsent = false;
	if (s->eof || why == SSL_ERROR_ZERO_RETURN) {
		if (s->state == TLS_HANDSHAKE && s->heard)
			explain(s, "%s%s", "closed in the middle of the TLS handshake", "");
		set_state(s, TLS_ENDED);
		return FB_ECLOSED;
	}
	if (why == SSL_ERROR_SYSCALL && s->error != 0) {
		explain(s, "%s: %s", during, strerror(s->error));
	} else {
		explain_error(s, during);
		/* The alert that says so to the client must not be lost with the rest of the socket. */
		s->unsent = s->first == HANDSHAKE;
	}
	set_state(s, TLS_FAILED);
	return FB_EIO;
}

/* --- the handshake ----------------------------------------------------------------------------------------------- */

static bool
may_shake(struct tls *t)
{
	struct mono now = loop_now(t->loop);

	if (now.ns != t->turn.ns) {
		t->turn = now;
		t->spent_ns = 0;
	}
	return t->spent_ns < HANDSHAKES_NS;
}

/* A ticket may outlive the certificate that it was given for. */
static bool
has_expired(const struct tls_stream *s)
{
	X509 *x = SSL_get0_peer_certificate(s->ssl);

	return x != NULL && SSL_session_reused(s->ssl) && X509_cmp_current_time(X509_get0_notAfter(x)) < 0;
}

static int
step(struct tls_stream *s)
{
	struct tls *t = s->tls;
	int n;

	ERR_clear_error();
	t->in_hand = s;
	s->error = 0;
	s->unsent = false;
	n = SSL_do_handshake(s->ssl);
	if (n != 1)
		return outcome(s, n);
	if (has_expired(s)) {
		explain(s, "client certificate: %s%s", X509_verify_cert_error_string(X509_V_ERR_CERT_HAS_EXPIRED), "");
		set_state(s, TLS_FAILED);
		return FB_EIO;
	}
	if (s->state == TLS_HANDSHAKE) {
		METRIC_ADD(tls_handshakes, 1);
		METRIC_ADD(tls_resumed, SSL_session_reused(s->ssl));
	}
	set_state(s, TLS_OPEN);
	return 0;
}

static int
begin(struct tls_stream *s)
{
	struct tls *t = s->tls;

	if (t->shaking >= SHAKING_MAX) {
		explain(s, "%s%s", "too many TLS handshakes at a time", "");
		set_state(s, TLS_FAILED);
		return FB_EIO;
	}
	t->shaking++;
	s->ssl = SSL_new(s->ctx);
	FB_ASSERT(s->ssl != NULL);
	SSL_CTX_free(s->ctx);
	s->ctx = NULL;
	BIO_up_ref(t->bio);
	SSL_set_bio(s->ssl, t->bio, t->bio);
	SSL_set_accept_state(s->ssl);
	return 0;
}

static int
handshake(struct tls_stream *s)
{
	struct tls *t = s->tls;
	struct mono start;
	int err = 0;

	if (!may_shake(t))
		return FB_EAGAIN;               /* the socket stays readable: in a later turn */
	start = clock_mono();
	if (s->ssl == NULL)
		err = begin(s);
	if (err == 0)
		err = step(s);
	if (err != 0 && err != FB_EAGAIN && s->why != NULL)
		METRIC_ADD(tls_failed, 1);
	t->spent_ns += mono_diff(clock_mono(), start);
	return err;
}

void
tls_on_event(const SSL *ssl, int where, int value)
{
	struct tls_stream *s = ((struct tls *)SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)))->in_hand;

	(void)where, (void)value;
	if (s->state == TLS_OPEN && s->events <= EVENTS_MAX)
		s->events++;
}

/* --- the stream -------------------------------------------------------------------------------------------------- */

static int
ended(const struct tls_stream *s)
{
	errno = s->error;
	return s->state == TLS_ENDED ? FB_ECLOSED : FB_EIO;
}

static ssize_t
tls_read(struct stream *stream, void *p, size_t len)
{
	struct tls_stream *s = of(stream);
	unsigned records = 0;
	size_t got = 0;
	size_t n;
	int err = s->state == TLS_HANDSHAKE ? handshake(s) : 0;

	if (err == FB_EAGAIN)
		return FB_EAGAIN;
	if (s->state != TLS_OPEN)
		return ended(s);
	s->more = false;
	s->error = 0;
	s->tls->in_hand = s;
	ERR_clear_error();
	while (got < len && records < RECORDS) {
		/* Nothing in OpenSSL's buffer, nothing in the socket. */
		if (s->empty_ns == turn(s) && !SSL_has_pending(s->ssl))
			break;
		s->tls->refills = REFILLS;      /* a client that changes its keys all the time holds up nobody */
		if (SSL_read_ex(s->ssl, (uint8_t *)p + got, len - got, &n) == 1) {
			got += n;
			records++;
			continue;
		}
		err = outcome(s, 0);
		break;
	}
	if (s->events > EVENTS_MAX) {
		explain(s, "%s%s", "TLS: too many changes of keys", "");
		set_state(s, TLS_FAILED);
		return FB_EIO;
	}
	s->more = got == len || records == RECORDS ? SSL_has_pending(s->ssl) : s->state != TLS_OPEN;
	if (got > 0)
		return (ssize_t)got;
	return s->state == TLS_OPEN ? FB_EAGAIN : ended(s);
}

/* As many bytes from the start of the pieces as one record takes, in one piece. */
static size_t
gather(struct tls *t, const struct iovec *iov, int count, size_t skip, const uint8_t **p)
{
	size_t n = 0;

	*p = (const uint8_t *)iov[0].iov_base + skip;
	if (count == 1 || iov[0].iov_len - skip >= TLS_RECORD)
		return iov[0].iov_len - skip;
	for (int i = 0; i < count && n < TLS_RECORD; i++, skip = 0) {
		size_t part = iov[i].iov_len - skip;

		if (part > TLS_RECORD - n)
			part = TLS_RECORD - n;
		memcpy(t->gather + n, (const uint8_t *)iov[i].iov_base + skip, part);
		n += part;
	}
	*p = t->gather;
	return n;
}

/* After FB_EAGAIN OpenSSL holds a record that was made of the first bytes; it is sent, and counted, with the next call,
 * which must offer at least as many. */
static ssize_t
tls_writev(struct stream *stream, const struct iovec *iov, int count)
{
	struct tls_stream *s = of(stream);
	const uint8_t *p;
	size_t skip = 0;
	size_t done = 0;
	size_t n;
	int err = 0;

	if (s->state == TLS_HANDSHAKE || s->full_ns == turn(s))
		return FB_EAGAIN;
	if (s->state != TLS_OPEN)
		return ended(s);
	s->tls->in_hand = s;
	s->error = 0;
	ERR_clear_error();
	while (count > 0) {
		n = gather(s->tls, iov, count, skip, &p);
		if (SSL_write_ex(s->ssl, p, n, &n) != 1) {
			err = outcome(s, 0);
			s->unsent = s->unsent && err != FB_EAGAIN;      /* the connection comes back with the same bytes */
			break;
		}
		done += n;
		for (n += skip; count > 0 && n >= iov->iov_len; iov++, count--)
			n -= iov->iov_len;
		skip = n;
	}
	if (done > 0)
		return (ssize_t)done;
	return err == FB_EAGAIN ? FB_EAGAIN : ended(s);
}

static bool
tls_more(const struct stream *stream)
{
	return of(stream)->more;
}

static bool
tls_unsent(const struct stream *stream)
{
	return of(stream)->unsent;
}

static int
tls_flush(struct stream *stream)
{
	struct tls_stream *s = of(stream);
	int err;

	if (s->state != TLS_HANDSHAKE && s->state != TLS_OPEN) {
		s->unsent = false;
		return 0;
	}
	err = step(s);
	/* The client's first packet may have come with the end of its handshake. */
	s->more = err == 0 && SSL_has_pending(s->ssl);
	if (err == FB_EAGAIN)
		return s->unsent ? FB_EAGAIN : 0;
	return err == 0 ? 0 : FB_EIO;
}

static void
tls_shutdown(struct stream *stream)
{
	struct tls_stream *s = of(stream);

	if (s->state != TLS_OPEN)
		return;
	ERR_clear_error();
	s->tls->in_hand = s;
	(void)SSL_shutdown(s->ssl);
	s->state = TLS_ENDED;
}

static const char *
tls_why(const struct stream *stream)
{
	const struct tls_stream *s = of(stream);

	return s->why != NULL ? s->why : "";
}

/* The common name of a certificate that was checked. */
static const char *
tls_user(const struct stream *stream)
{
	static char name[NAME_MAX_LEN];
	const struct tls_stream *s = of(stream);
	X509 *x = s->state == TLS_OPEN ? SSL_get0_peer_certificate(s->ssl) : NULL;
	X509_NAME *subject;
	unsigned char *text = NULL;
	int at;
	int len;

	if (x == NULL || SSL_get_verify_result(s->ssl) != X509_V_OK)
		return NULL;
	subject = X509_get_subject_name(x);
	at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	if (at < 0)
		return NULL;
	len = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
	/* A name with a NUL in it would be another one to whoever reads up to there. */
	if (len <= 0 || len >= NAME_MAX_LEN || memchr(text, '\0', (size_t)len) != NULL) {
		OPENSSL_free(text);
		return NULL;
	}
	memcpy(name, text, (size_t)len);
	name[len] = '\0';
	OPENSSL_free(text);
	return utf8_clean(slice_str(name)) ? name : NULL;         /* as for accounts */
}

static void
tls_stream_free(struct stream *stream)
{
	struct tls_stream *s = of(stream);

	set_state(s, TLS_ENDED);
	s->tls->in_hand = s;
	SSL_free(s->ssl);
	SSL_CTX_free(s->ctx);
	s->tls->in_hand = NULL;
	mem_free(s->why);
	mem_free(s);
}

static const struct stream_ops tls_ops = {
	.read = tls_read,
	.writev = tls_writev,
	.more = tls_more,
	.unsent = tls_unsent,
	.flush = tls_flush,
	.shutdown = tls_shutdown,
	.why = tls_why,
	.user = tls_user,
	.free = tls_stream_free,
};

struct stream *
tls_stream_new(struct tls *t, unsigned listener, int fd)
{
	SSL_CTX *ctx = t->context[listener].ctx;
	struct tls_stream *s;

	if (ctx == NULL)
		return NULL;
	s = mem_zalloc(sizeof *s);
	s->stream.ops = &tls_ops;
	s->tls = t;
	SSL_CTX_up_ref(ctx);
	s->ctx = ctx;
	s->empty_ns = s->full_ns = -1;
	s->fd = fd;
	return &s->stream;
}
