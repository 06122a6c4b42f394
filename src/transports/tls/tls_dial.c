/* SPDX-License-Identifier: MIT
 *
 * The handshake of a connection that we make: what is said in the first message, and whether the peer is who
 * was meant.  Reading and writing are the layer's own.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "core/conn.h"
#include "core/dial.h"
#include "transports/tls/tls_client.h"
#include "transports/tls/tls_name.h"

/* ---- What a worker has for all of them ----------------------------------------------------------- */

struct local {
	struct tako__worker_local base;
	struct tako__tls_worker tls; /* without settings: those are a listener's */
};

static void local_free(struct tako__worker_local *base)
{
	struct local *l = TAKO__CONTAINER(base, struct local, base);

	tako__free(l->tls.plain, TAKO__TLS_PLAIN_BYTES);
	tako__free(l, sizeof *l);
}

static struct tako__tls_worker *local_of(struct tako__worker *w)
{
	struct local *l = tako__worker_local(w, local_free);

	if (l)
		return &l->tls;
	l = tako__zalloc(sizeof *l);
	if (!l)
		return NULL;
	l->tls.plain = tako__alloc(TAKO__TLS_PLAIN_BYTES);
	if (!l->tls.plain) {
		tako__free(l, sizeof *l);
		return NULL;
	}
	tako__worker_keep(w, &l->base, local_free);
	return &l->tls;
}

/* ---- The end of it -------------------------------------------------------------------------------- */

static void name_of(const struct tako__tls_dialled *d, char *to, size_t n)
{
	snprintf(to, n, "%.*s", (int)d->name_n, d->key);
}

/* The alert that the peer has sent, if it has. */
static int say_alert(const struct tako__tls_layer *t)
{
	WOLFSSL_ALERT_HISTORY h = {{0, 0}, {0, 0}};

	if (wolfSSL_get_alert_history(t->ssl, &h) != WOLFSSL_SUCCESS || h.last_rx.level < 1 ||
	    h.last_rx.code < 0)
		return 0;
	return tako__fail(TAKO_ETLS, "TLS: the peer refuses: %s",
	                  wolfSSL_alert_desc_string_long(h.last_rx.code));
}

static int say_code(int code)
{
	static const struct {
		int code;
		const char *text;
	} known[] = {
		{ASN_AFTER_DATE_E, "its certificate has expired"},
		{ASN_BEFORE_DATE_E, "its certificate is not valid yet"},
		{ASN_NO_SIGNER_E, "its certificate was signed by nobody who is trusted"},
		{ASN_SELF_SIGNED_E, "its certificate was signed by nobody who is trusted"},
		{ASN_SIG_CONFIRM_E, "its certificate was not signed by who it says"},
		{ASN_PATHLEN_SIZE_E, "its chain of certificates is longer than it may be"},
		{ASN_PATHLEN_INV_E, "its chain of certificates is longer than it may be"},
		{CRL_CERT_REVOKED, "its certificate is revoked"},
		{VERSION_ERROR, "it speaks no version of TLS that is allowed"},
		{UNSUPPORTED_SUITE, "it has no cipher suite that is allowed"},
		{MATCH_SUITE_ERROR, "it has no cipher suite that is allowed"},
		{UNKNOWN_RECORD_TYPE, "what it speaks is not TLS"},
		{NO_PEER_CERT, "it shows no certificate"},
	};

	for (size_t i = 0; i < TAKO__COUNT(known); i++) {
		if (known[i].code == code)
			return tako__fail(TAKO_ETLS, "TLS: %s", known[i].text);
	}
	return tako__tls_fail(code, "TLS");
}

static int reason(const struct tako__tls_layer *t)
{
	int code = wolfSSL_get_error(t->ssl, 0);
	int rc;

	if (t->no_memory)
		return tako__fail(TAKO_ENOMEM, "TLS: out of memory");
	if (t->eof)
		return tako__fail(TAKO_ECLOSED, "it hung up during the TLS handshake");
	rc = code == FATAL_ERROR || code == WOLFSSL_FATAL_ERROR ? say_alert(t) : 0;
	return rc < 0 ? rc : say_code(code);
}

static void fail_with(struct tako__tls_layer *t, int err, bool told)
{
	t->state = TAKO__TLS_OVER;
	(void)tako__tls_lib_short();
	tako__dial_failed(t->l.conn, err, told);
}

void tako__tls_dial_over(struct tako__tls_layer *t, bool told)
{
	fail_with(t, reason(t), told && !t->no_memory && !t->eof);
}

/* ---- Who is it? -------------------------------------------------------------------------------------- */

/* A session that is resumed is one whose certificate was looked at, by the same settings. */
static int check_name(struct tako__tls_layer *t)
{
	struct tako__tls_dialled *d = t->dialled;
	char host[TAKO__TLS_KEY_BYTES];
	WOLFSSL_X509 *x;
	bool fits;

	if (d->client->insecure || wolfSSL_session_reused(t->ssl))
		return 0;
	name_of(d, host, sizeof host);
	x = wolfSSL_get_peer_certificate(t->ssl);
	fits = x && tako__tls_names_host(x, host);
	wolfSSL_X509_free(x);
	return fits ? 0 : tako__fail(TAKO_ETLS, "TLS: its certificate is not one of %.200s", host);
}

static void ready(struct tako__tls_layer *t)
{
	unsigned short n = 0;
	char *alpn = NULL;
	int rc = check_name(t);

	if (tako__tls_lib_short())
		rc = tako__fail(TAKO_ENOMEM, "TLS: out of memory");
	if (rc < 0) {
		fail_with(t, rc, false);
		return;
	}
	if (wolfSSL_ALPN_GetProtocol(t->ssl, &alpn, &n) != WOLFSSL_SUCCESS)
		n = 0;
	t->state = TAKO__TLS_READY;
	tako__dial_ready(t->l.conn, (tako_str){n ? alpn : NULL, n});
}

void tako__tls_dial_shake(struct tako__tls_layer *t)
{
	int rc = wolfSSL_connect(t->ssl);

	if (TAKO__UNLIKELY(tako__tls_lib_short())) {
		t->no_memory = true;
		tako__tls_dial_over(t, false);
	} else if (rc == WOLFSSL_SUCCESS) {
		ready(t);
	} else if (wolfSSL_get_error(t->ssl, rc) != WOLFSSL_ERROR_WANT_READ) {
		tako__tls_dial_over(t, true);
	}
}

/* RFC 8446 section 4.6.1: what a ticket is good for comes from the connection that it came on.  One that was
 * resumed and was sent none has the ticket that it was resumed by, which a server would find does not
 * verify; it was used, anyway (section C.4). */
static bool may_be_kept(const struct tako__tls_layer *t, WOLFSSL_SESSION *session)
{
	if (!wolfSSL_SESSION_is_resumable(session))
		return false;
	return t->dialled->ticketed || !wolfSSL_session_reused(t->ssl) ||
	       wolfSSL_GetVersion(t->ssl) != WOLFSSL_TLSV1_3;
}

void tako__tls_dial_fini(struct tako__tls_layer *t)
{
	struct tako__tls_dialled *d = t->dialled;
	struct tako_tls_client *client = d->client;
	WOLFSSL_SESSION *session = NULL;

	if (t->ssl && t->state == TAKO__TLS_READY && client->sessions.max)
		session = wolfSSL_get1_session(t->ssl);
	if (session && !may_be_kept(t, session)) {
		wolfSSL_SESSION_free(session);
		session = NULL;
	}
	if (session) {
		pthread_mutex_lock(&client->lock);
		tako__tls_sessions_put(&client->sessions, d->key, session);
		pthread_mutex_unlock(&client->lock);
	}
	(void)tako__tls_lib_short();
	tako__free(d, sizeof *d);
}

/* ---- Beginning ----------------------------------------------------------------------------------------- */

/* Of addresses there is none to be told (RFC 6066 section 3), and a last dot is no part of it. */
static bool set_server_name(WOLFSSL *ssl, const char *name)
{
	unsigned char ip[16];
	size_t n = strlen(name);

	if (inet_pton(AF_INET, name, ip) == 1 || inet_pton(AF_INET6, name, ip) == 1)
		return true;
	if (name[n - 1] == '.')
		n--;
	return wolfSSL_UseSNI(ssl, WOLFSSL_SNI_HOST_NAME, name, (unsigned short)n) ==
	       WOLFSSL_SUCCESS;
}

static bool offer(WOLFSSL *ssl, const char *alpn)
{
	char copy[64];
	size_t n = strlen(alpn);

	if (!n)
		return true;
	/* It takes what it only reads as mutable. */
	memcpy(copy, alpn, n + 1);
	return wolfSSL_UseALPN(ssl, copy, (unsigned)n, WOLFSSL_ALPN_CONTINUE_ON_MISMATCH) ==
	       WOLFSSL_SUCCESS;
}

static int on_ticket(WOLFSSL *ssl, const unsigned char *p, int n, void *arg)
{
	struct tako__tls_dialled *d = arg;

	(void)ssl, (void)p, (void)n;
	d->ticketed = true;
	return 0;
}

static void resume(struct tako__tls_layer *t)
{
	struct tako_tls_client *client = t->dialled->client;
	WOLFSSL_SESSION *session;

	pthread_mutex_lock(&client->lock);
	session = tako__tls_sessions_take(&client->sessions, t->dialled->key);
	pthread_mutex_unlock(&client->lock);
	if (!session)
		return;
	/* Too old, perhaps: then it is a handshake like others. */
	(void)wolfSSL_set_session(t->ssl, session);
	wolfSSL_SESSION_free(session);
}

static struct tako__tls_dialled *dialled_new(struct tako_tls_client *tls,
                                             const struct tako__tls_peer *peer, const char *alpn)
{
	struct tako__tls_dialled *d = tako__zalloc(sizeof *d);

	if (!d)
		return NULL;
	d->client = tls;
	d->name_n = strlen(peer->name);
	snprintf(d->key, sizeof d->key, "%s:%u %s", peer->name, peer->port, alpn);
	return d;
}

int tako__tls_dial_begin(struct tako__conn *c, struct tako_tls_client *tls,
                         const struct tako__tls_peer *peer)
{
	const char *alpn = peer->alpn ? peer->alpn : tls->alpn;
	struct tako__tls_layer *t = tako__zalloc(sizeof *t);

	if (!t)
		return tako__fail(TAKO_ENOMEM, "TLS: out of memory");
	t->tls = local_of(c->worker);
	t->dialled = dialled_new(tls, peer, alpn);
	t->state = TAKO__TLS_HANDSHAKE;
	if (!t->tls || !t->dialled) {
		tako__free(t->dialled, sizeof *t->dialled);
		tako__free(t, sizeof *t);
		return tako__fail(TAKO_ENOMEM, "TLS: out of memory");
	}
	/* From here on it ends with its layer, which refers to the client. */
	tako_tls_client_ref(tls);
	tako__tls_layer_put(c, t);
	t->ssl = tako__tls_client_session(tls, tako__now_ns(c->worker));
	if (!t->ssl)
		return TAKO_ENOMEM;
	wolfSSL_SetIOReadCtx(t->ssl, t);
	wolfSSL_SetIOWriteCtx(t->ssl, t);
	wolfSSL_set_SessionTicket_cb(t->ssl, on_ticket, t->dialled);
	if (!set_server_name(t->ssl, peer->name) || !offer(t->ssl, alpn) || tako__tls_lib_short())
		return tako__fail(TAKO_ENOMEM, "TLS: out of memory");
	resume(t);
	tako__tls_dial_shake(t);
	return 0;
}
