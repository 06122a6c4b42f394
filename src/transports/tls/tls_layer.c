/* SPDX-License-Identifier: MIT
 *
 * The receiving half of the TLS layer, and its life: handshake, plain text up, goodbye.  wolfSSL
 * reads from the borrowed buffer through callbacks and never sees a socket.  What a peer does
 * wrong ends its connection after the alert that says so, and is nobody else's business.
 */
#include "transports/tls/tls_layer.h"

#include <string.h>

#include "core/conn.h"
#include "core/server.h"
#include "transports/tls/tls_client.h"
#include "transports/tls/tls_early.h"
#include "transports/tls/tls_keylog.h"
#include "transports/tls/tls_set.h"

enum { RECORD_HANDSHAKE = 22 }; /* RFC 8446 section 5.1 */

/* ---- wolfSSL's callbacks -------------------------------------------------------------------- */

static int on_read(WOLFSSL *ssl, char *to, int n, void *arg)
{
	struct tako__tls_layer *t = arg;
	size_t step = (size_t)n < t->in_n ? (size_t)n : t->in_n;

	(void)ssl;
	if (step == 0)
		return WOLFSSL_CBIO_ERR_WANT_READ;
	memcpy(to, t->in, step);
	t->in += step;
	t->in_n -= step;
	return (int)step;
}

/* With a reference; NULL: none. */
static struct tako_cert *choose(const struct tako__tls_options *o, const char *name)
{
	tako_str want = {name, name ? strlen(name) : 0};
	struct tako_cert *cert = NULL;

	if (o->cert_fn == tako_cert_set_find)
		cert = tako__cert_set_take(o->cert_arg, want);
	else if (o->cert_fn)
		cert = tako_cert_ref(o->cert_fn(want, o->cert_arg));
	return cert ? cert : tako_cert_ref(o->cert);
}

static void present(struct tako__tls_layer *t, struct tako__tls_context *context)
{
	tako__cert_drop(t->version);
	atomic_fetch_add(&context->version->refs, 1);
	t->version = context->version;
}

/* wolfSSL frees what it is given. */
int tako__tls_status_cb(WOLFSSL *ssl, void *arg)
{
	const struct tako__tls_layer *t = wolfSSL_GetIOReadCtx(ssl);
	const struct tako__tls_blob *ocsp = t && t->version ? &t->version->ocsp : NULL;
	unsigned char *copy = ocsp && ocsp->n ? wolfSSL_Malloc(ocsp->n) : NULL;

	(void)arg;
	if (!copy)
		return 3; /* nothing to staple */
	memcpy(copy, ocsp->p, ocsp->n);
	wolfSSL_set_tlsext_status_ocsp_resp(ssl, copy, (int)ocsp->n);
	return 0;
}

static int on_server_name(WOLFSSL *ssl, int *alert, void *arg)
{
	struct tako__tls_layer *t = wolfSSL_GetIOReadCtx(ssl);
	const struct tako__tls_options *o = t->tls->options;
	struct tako__tls_context *context;
	struct tako_cert *cert;

	(void)arg;
	tako__tls_early_heard(t);
	if (!o->cert_fn || t->named)
		return 0;
	cert = choose(o, wolfSSL_get_servername(ssl, WOLFSSL_SNI_HOST_NAME));
	if (!cert) {
		*alert = unrecognized_name;
		return fatal_return;
	}
	context = tako__tls_present(t->tls, cert);
	tako_cert_free(cert);
	if (!context || !wolfSSL_set_SSL_CTX(ssl, context->ctx)) {
		*alert = internal_error;
		return fatal_return;
	}
	present(t, context);
	return 0;
}

void tako__tls_layer_apply(WOLFSSL_CTX *ctx)
{
	wolfSSL_CTX_SetIORecv(ctx, on_read);
	wolfSSL_CTX_SetIOSend(ctx, tako__tls_send_cb);
	wolfSSL_CTX_set_servername_callback(ctx, on_server_name);
}

/* ---- Handshake ------------------------------------------------------------------------------------ */

void tako__tls_over(struct tako__tls_layer *t, bool told)
{
	struct tako__conn *c = t->l.conn;

	if (t->state < TAKO__TLS_READY && t->dialled) {
		tako__tls_dial_over(t, told);
		return;
	}
	if (t->state < TAKO__TLS_READY)
		tako__add(&c->worker->stats.tls_failures, 1);
	t->state = TAKO__TLS_OVER;
	/* Whatever memory lacked for is given up with this; the next connection is not to blame. */
	(void)tako__tls_lib_short();
	/* Where there is an alert or an answer, the peer shall get it instead of a reset. */
	if (told)
		tako__conn_finish(c, true);
	else
		tako__conn_close(c);
}

/* A browser that was told http:// where https:// was meant. */
static void answer_plain(struct tako__tls_layer *t)
{
	static const char answer[] = "HTTP/1.1 400 Bad Request\r\n"
				     "Content-Type: text/plain; charset=utf-8\r\n"
				     "Content-Length: 58\r\n"
				     "Connection: close\r\n\r\n"
				     "This port speaks HTTPS: the address begins with https://.\n";

	tako__tls_over(t, tako__tls_write_plain(t, answer, sizeof answer - 1) == 0);
}

/* What begins with a letter is a method, as no record of TLS does. */
static bool is_text(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* The name in a ClientHello that is there as a whole, as nearly all are; else "". */
static void peek_name(const struct tako__tls_layer *t, char *name, unsigned room)
{
	unsigned n = room - 1;

	if (wolfSSL_SNI_GetFromBuffer((const unsigned char *)t->in, (unsigned)t->in_n,
	                              WOLFSSL_SNI_HOST_NAME, (unsigned char *)name,
	                              &n) != WOLFSSL_SUCCESS)
		n = 0;
	name[n] = '\0';
}

/* With the certificate that it will be, as far as that can be known: a staple is looked for before
 * wolfSSL tells the name. */
static WOLFSSL_CTX *first_context(struct tako__tls_layer *t)
{
	const struct tako__tls_options *o = t->tls->options;
	struct tako__tls_context *context;
	struct tako_cert *cert;
	char name[256] = "";

	if (o->cert_fn)
		peek_name(t, name, sizeof name);
	cert = name[0] ? choose(o, name) : tako_cert_ref(o->cert);
	if (!cert)
		return t->tls->nameless;
	context = tako__tls_present(t->tls, cert);
	tako_cert_free(cert);
	if (!context)
		return NULL;
	present(t, context);
	t->named = name[0] != '\0';
	return context->ctx;
}

bool tako__tls_begin(struct tako__tls_layer *t)
{
	const struct tako__tls_options *o = t->tls->options;
	WOLFSSL_CTX *ctx = first_context(t);
	char alpn[sizeof o->alpn];

	t->ssl = ctx ? wolfSSL_new(ctx) : NULL;
	if (!t->ssl)
		return false;
	tako__tls_keylog_begin(t->ssl);
	wolfSSL_SetIOReadCtx(t->ssl, t);
	wolfSSL_SetIOWriteCtx(t->ssl, t);
	/* It takes what it only reads as mutable. */
	memcpy(alpn, o->alpn, sizeof alpn);
	t->state = TAKO__TLS_HANDSHAKE;
	if (o->early_bytes && !tako__tls_early_offer(t))
		return false;
	if (!alpn[0])
		return !tako__tls_lib_short();
	return wolfSSL_UseALPN(t->ssl, alpn, (unsigned)strlen(alpn),
	                       WOLFSSL_ALPN_FAILED_ON_MISMATCH) == WOLFSSL_SUCCESS &&
	       !tako__tls_lib_short();
}

static const struct tako__proto_ops *agreed(struct tako__tls_layer *t)
{
	const struct tako__proto_ops *const *protos = t->tls->options->protos;
	unsigned short n = 0;
	char *name = NULL;

	if (wolfSSL_ALPN_GetProtocol(t->ssl, &name, &n) != WOLFSSL_SUCCESS)
		n = 0;
	/* Who does not ask speaks HTTP/1.1 (RFC 9113 section 3.3): the last of them. */
	while (protos[1] && (strlen((*protos)->name) != n || memcmp((*protos)->name, name, n) != 0))
		protos++;
	return *protos;
}

bool tako__tls_speak(struct tako__tls_layer *t)
{
	struct tako__conn *c = t->l.conn;

	if (tako__conn_become(c, agreed(t)) == 0)
		return true;
	tako__conn_close(c);
	return false;
}

void tako__tls_ready(struct tako__tls_layer *t)
{
	struct tako__stats *stats = &t->l.conn->worker->stats;

	tako__add(&stats->tls_handshakes, 1);
	if (wolfSSL_session_reused(t->ssl))
		tako__add(&stats->tls_resumed, 1);
	t->state = TAKO__TLS_READY;
	tako__tls_keylog_ready(t->ssl);
	tako__cert_drop(t->version);
	t->version = NULL;
}

static void ready(struct tako__tls_layer *t)
{
	tako__tls_ready(t);
	if (tako__tls_early_end(t))
		tako__tls_pump(t);
	else
		tako__tls_speak(t);
}

void tako__tls_shake(struct tako__tls_layer *t)
{
	int rc;

	if (t->dialled) {
		tako__tls_dial_shake(t);
		return;
	}
	rc = wolfSSL_accept(t->ssl);
	if (TAKO__UNLIKELY(tako__tls_lib_short()))
		tako__tls_over(t, false);
	else if (rc == WOLFSSL_SUCCESS && t->early && !wolfSSL_is_init_finished(t->ssl))
		t->state = TAKO__TLS_EARLY;
	else if (rc == WOLFSSL_SUCCESS)
		ready(t);
	else if (wolfSSL_get_error(t->ssl, rc) != WOLFSSL_ERROR_WANT_READ)
		tako__tls_over(t, !t->no_memory);
	else
		tako__tls_early_wait(t);
}

static void first_byte(struct tako__tls_layer *t)
{
	if (is_text(t->in[0]) && !t->l.conn->listener->raw)
		answer_plain(t);
	else if (t->in[0] != RECORD_HANDSHAKE)
		tako__tls_over(t, true);
	else if (!tako__tls_begin(t))
		tako__tls_over(t, false);
}

/* ---- Up --------------------------------------------------------------------------------------------- */

static void eof(struct tako__tls_layer *t)
{
	struct tako__conn *c = t->l.conn;

	if (t->eof)
		return;
	/* The end must not overtake what the protocol keeps for after its pause. */
	if (c->sock.flags & TAKO_SOCK_PAUSED) {
		c->flags |= TAKO__CONN_HELD;
		return;
	}
	t->eof = true;
	tako__layer_up(c, &t->l, NULL, 0);
}

/* As much as the scratch holds; *ret_why is why there is no more, WOLFSSL_ERROR_NONE: there may be.
 * Asked at once, as the answer to what goes up is written through the same session.  wolfSSL is not asked
 * to say that there is nothing left: it puts that in words and on a list, which takes a thousand
 * instructions, a quarter of what it spends on a small request and its answer. */
static size_t decrypt(struct tako__tls_layer *t, int *ret_why)
{
	size_t n = 0;

	*ret_why = WOLFSSL_ERROR_NONE;
	while (n < TAKO__TLS_PLAIN_BYTES) {
		int rc = wolfSSL_read(t->ssl, t->tls->plain + n, (int)(TAKO__TLS_PLAIN_BYTES - n));

		if (rc <= 0) {
			*ret_why = wolfSSL_get_error(t->ssl, rc);
			break;
		}
		n += (size_t)rc;
		if (!t->in_n && !wolfSSL_pending(t->ssl)) {
			*ret_why = WOLFSSL_ERROR_WANT_READ;
			break;
		}
	}
	return n;
}

/* Everything of one delivery goes up, also past a pause that it causes: its size is bounded, and
 * what a protocol cannot use yet it keeps. */
static void read_all(struct tako__tls_layer *t)
{
	struct tako__conn *c = t->l.conn;
	int why;

	do {
		size_t n = decrypt(t, &why);

		if (TAKO__UNLIKELY(tako__tls_lib_short())) {
			tako__tls_over(t, false);
			return;
		}
		if (n)
			tako__layer_up(c, &t->l, t->tls->plain, (ssize_t)n);
		if (c->flags & TAKO__CONN_CLOSING)
			return;
	} while (why == WOLFSSL_ERROR_NONE);
	switch (why) {
	case WOLFSSL_ERROR_WANT_READ:
	case WOLFSSL_ERROR_WANT_WRITE:
		return;
	case WOLFSSL_ERROR_ZERO_RETURN:
		t->l.conn->flags |= TAKO__CONN_SAID_END;
		eof(t);
		return;
	default:
		tako__tls_over(t, !t->no_memory);
	}
}

static void up(struct tako__layer *l, char *p, ssize_t res)
{
	struct tako__tls_layer *t = tako__tls_of(l);

	if (res <= 0) {
		/* Without a close_notify an end is an end all the same: HTTP's framing tells whether
		 * a message is whole (RFC 9110 section 8.6). */
		if (t->state == TAKO__TLS_READY && res == 0)
			eof(t);
		else if (t->state == TAKO__TLS_READY)
			tako__layer_up(l->conn, l, p, res);
		else if (t->state < TAKO__TLS_READY) {
			t->eof = true;
			tako__tls_over(t, false);
		}
		return;
	}
	t->in = p;
	t->in_n = (size_t)res;
	if (t->state == TAKO__TLS_FIRST)
		first_byte(t);
	if (t->state == TAKO__TLS_HANDSHAKE)
		tako__tls_shake(t);
	if (TAKO__UNLIKELY(t->state == TAKO__TLS_EARLY) && !(l->conn->flags & TAKO__CONN_CLOSING))
		tako__tls_early_read(t);
	if (TAKO__LIKELY(t->state == TAKO__TLS_READY) && !(l->conn->flags & TAKO__CONN_CLOSING))
		read_all(t);
	t->in = NULL;
	t->in_n = 0;
}

/* ---- The other ops ------------------------------------------------------------------------------------- */

static int finish(struct tako__layer *l)
{
	struct tako__tls_layer *t = tako__tls_of(l);

	if (t->state == TAKO__TLS_READY || t->state == TAKO__TLS_EARLY)
		(void)wolfSSL_shutdown(t->ssl);
	/* It ends anyway. */
	(void)tako__tls_lib_short();
	return 0;
}

static void resumed(struct tako__layer *l)
{
	eof(tako__tls_of(l));
}

static void fini(struct tako__layer *l)
{
	struct tako__tls_layer *t = tako__tls_of(l);
	struct tako_tls_client *client = t->dialled ? t->dialled->client : NULL;

	tako__tls_drop_ops(t);
	if (t->dialled)
		tako__tls_dial_fini(t);
	(void)tako__tls_early_end(t);
	tako__cert_drop(t->version);
	if (t->ssl)
		wolfSSL_free(t->ssl);
	tako__free(t, sizeof *t);
	/* Last of all: it may be what wolfSSL itself is there for. */
	tako_tls_client_free(client);
}

static const struct tako__layer_ops layer_ops = {
	.name = "tls",
	.up = up,
	.down = tako__tls_down,
	.finish = finish,
	.resumed = resumed,
	.query = tako__tls_query,
	.fini = fini,
};

void tako__tls_layer_put(struct tako__conn *c, struct tako__tls_layer *t)
{
	t->l.ops = &layer_ops;
	tako__layer_push(c, &t->l);
}

/* ---- The protocol until it is through --------------------------------------------------------------------- */

static int handshake_open(struct tako__conn *c)
{
	uint64_t limit_ns = (uint64_t)c->worker->srv->cfg.tls_handshake_timeout_ms * 1000000;
	struct tako__tls_layer *t = tako__zalloc(sizeof *t);

	if (!t)
		return TAKO_ENOMEM;
	t->tls = c->listener->state;
	tako__tls_layer_put(c, t);
	tako__conn_deadline(c, tako__now_ns(c->worker) + limit_ns);
	return 0;
}

static void handshake_recv(struct tako__conn *c, char *p, ssize_t res)
{
	(void)p;
	(void)res;
	/* The layer passes nothing on before it is ready. */
	tako__conn_close(c);
}

static void handshake_written(struct tako__conn *c)
{
	(void)c;
}

static void handshake_tick(struct tako__conn *c)
{
	tako__add(&c->worker->stats.timeouts, 1);
	tako__add(&c->worker->stats.tls_failures, 1);
	tako__conn_close(c);
}

/* Who has begun may finish, within the handshake's own time; then the protocol drains. */
static void handshake_drain(struct tako__conn *c)
{
	const struct tako__tls_layer *t = tako__tls_of(c->top);

	c->flags |= TAKO__CONN_DRAINING;
	if (t->state == TAKO__TLS_FIRST && !c->sock.loop->rt->waiting(&c->sock))
		tako__conn_close(c);
}

static void handshake_fini(struct tako__conn *c)
{
	(void)c;
}

const struct tako__proto_ops tako__tls_handshake_ops = {
	.name = "tls",
	.open = handshake_open,
	.recv = handshake_recv,
	.written = handshake_written,
	.tick = handshake_tick,
	.drain = handshake_drain,
	.fini = handshake_fini,
};
