/* SPDX-License-Identifier: MIT
 *
 * What a handler may know of a TLS connection: what was agreed on, and who the client has proved to
 * be.  Copies into the exchange's memory, because the session may end before the handler does.
 */
#include <arpa/inet.h>
#include <string.h>
#include <time.h>

#include <tako/http.h>

#include "core/conn.h"
#include "core/mem.h"
#include "core/str.h"
#include "transports/tls/tls_layer.h"

enum {
	SERIAL_BYTES = 64,
	NAMES_MAX = 100, /* of one certificate; more are not told */
};

/* ---- The client's certificate ------------------------------------------------------------- */

static const char *copy(struct tako__arena *a, const void *p, size_t n)
{
	return tako__arena_strndup(a, p, n);
}

static const char *hex(struct tako__arena *a, const unsigned char *p, size_t n)
{
	char *to = tako__arena_alloc(a, 2 * n + 1);

	if (!to)
		return NULL;
	tako__hex_encode(to, p, n);
	to[2 * n] = '\0';
	return to;
}

static const char *name_of(struct tako__arena *a, WOLFSSL_X509_NAME *name)
{
	char *text = wolfSSL_X509_NAME_oneline(name, NULL, 0);
	const char *copied = text ? copy(a, text, strlen(text)) : NULL;

	wolfSSL_Free(text);
	return copied;
}

static int64_t seconds(const WOLFSSL_ASN1_TIME *t)
{
	struct tm tm;

	return t && wolfSSL_ASN1_TIME_to_tm(t, &tm) == WOLFSSL_SUCCESS ? (int64_t)timegm(&tm) : -1;
}

static const char *text_name(struct tako__arena *a, const char *kind, const WOLFSSL_ASN1_STRING *s)
{
	const unsigned char *p = wolfSSL_ASN1_STRING_get0_data(s);
	int n = wolfSSL_ASN1_STRING_length((WOLFSSL_ASN1_STRING *)(uintptr_t)s);
	size_t kind_n = strlen(kind);
	char *to;

	/* A name with a NUL in it is a lie to whoever reads only up to there. */
	if (!p || n < 0 || memchr(p, '\0', (size_t)n))
		return "";
	to = tako__arena_alloc(a, kind_n + (size_t)n + 1);
	if (!to)
		return NULL;
	memcpy(to, kind, kind_n);
	memcpy(to + kind_n, p, (size_t)n);
	to[kind_n + (size_t)n] = '\0';
	return to;
}

static const char *address_name(struct tako__arena *a, const WOLFSSL_ASN1_STRING *s)
{
	const unsigned char *p = wolfSSL_ASN1_STRING_get0_data(s);
	int n = wolfSSL_ASN1_STRING_length((WOLFSSL_ASN1_STRING *)(uintptr_t)s);
	char text[INET6_ADDRSTRLEN + 3] = "IP:";

	if (!p || (n != 4 && n != 16) ||
	    !inet_ntop(n == 4 ? AF_INET : AF_INET6, p, text + 3, sizeof text - 3))
		return "";
	return copy(a, text, strlen(text));
}

static const char *alt_name(struct tako__arena *a, const WOLFSSL_GENERAL_NAME *name)
{
	switch (name->type) {
	case TAKO__TLS_NAME_DNS:
		return text_name(a, "DNS:", name->d.dNSName);
	case TAKO__TLS_NAME_EMAIL:
		return text_name(a, "email:", name->d.rfc822Name);
	case TAKO__TLS_NAME_URI:
		return text_name(a, "URI:", name->d.uniformResourceIdentifier);
	case TAKO__TLS_NAME_IP:
		return address_name(a, name->d.iPAddress);
	default:
		return "";
	}
}

static const char *const *names_of(struct tako__arena *a, WOLFSSL_X509 *x)
{
	WOLF_STACK_OF(WOLFSSL_GENERAL_NAME) *all = wolfSSL_X509_get_ext_d2i(x, NID_subject_alt_name,
	                                                                    NULL, NULL);
	int count = all ? wolfSSL_sk_GENERAL_NAME_num(all) : 0;
	const char **names;
	size_t n = 0;

	count = count > NAMES_MAX ? NAMES_MAX : count;
	names = tako__arena_zalloc(a, ((size_t)count + 1) * sizeof *names);
	for (int i = 0; names && i < count; i++) {
		const WOLFSSL_GENERAL_NAME *name = wolfSSL_sk_GENERAL_NAME_value(all, i);
		const char *text = name ? alt_name(a, name) : "";

		if (!text)
			names = NULL;
		else if (text[0])
			names[n++] = text;
	}
	if (all)
		wolfSSL_sk_GENERAL_NAME_pop_free(all, NULL);
	return names;
}

static int describe(tako_peer_cert *out, struct tako__arena *a, WOLFSSL_X509 *x)
{
	unsigned char digest[WC_SHA256_DIGEST_SIZE];
	unsigned char serial[SERIAL_BYTES];
	int serial_n = sizeof serial;
	int der_n = 0;
	const unsigned char *der = wolfSSL_X509_get_der(x, &der_n);

	if (!der || wc_Sha256Hash(der, (word32)der_n, digest) != 0 ||
	    wolfSSL_X509_get_serial_number(x, serial, &serial_n) != WOLFSSL_SUCCESS)
		return TAKO_ENOMEM;
	*out = (tako_peer_cert){
		.size = sizeof *out,
		.subject = name_of(a, wolfSSL_X509_get_subject_name(x)),
		.issuer = name_of(a, wolfSSL_X509_get_issuer_name(x)),
		.sha256 = hex(a, digest, sizeof digest),
		.serial = hex(a, serial, (size_t)serial_n),
		.names = names_of(a, x),
		.der = {copy(a, der, (size_t)der_n), (size_t)der_n},
		.not_before_s = seconds(wolfSSL_X509_get_notBefore(x)),
		.not_after_s = seconds(wolfSSL_X509_get_notAfter(x)),
	};
	return out->subject && out->issuer && out->sha256 && out->serial && out->names && out->der.p
	               ? 0
	               : TAKO_ENOMEM;
}

static int peer_cert(struct tako__tls_layer *t, struct tako__info_query *q)
{
	WOLFSSL_X509 *x;
	tako_peer_cert *cert;
	int rc;

	if (!t->dialled && t->tls->options->client_auth == TAKO_CLIENT_AUTH_NONE)
		return 0;
	x = wolfSSL_get_peer_certificate(t->ssl);
	if (!x)
		return 0;
	cert = tako__arena_alloc(q->arena, sizeof *cert);
	rc = cert ? describe(cert, q->arena, x) : TAKO_ENOMEM;
	wolfSSL_X509_free(x);
	if (rc == 0)
		q->info->peer_cert = cert;
	return rc;
}

/* ---- What was agreed on --------------------------------------------------------------------- */

static int conn_info(struct tako__tls_layer *t, struct tako__info_query *q)
{
	const char *name = wolfSSL_get_servername(t->ssl, WOLFSSL_SNI_HOST_NAME);
	unsigned short n = 0;
	char *alpn = NULL;

	q->info->tls = wolfSSL_get_version(t->ssl);
	q->info->cipher = wolfSSL_get_cipher_name(t->ssl);
	q->info->resumed = (uint64_t)wolfSSL_session_reused(t->ssl);
	if (name) {
		q->info->server_name = copy(q->arena, name, strlen(name));
		if (!q->info->server_name)
			return TAKO_ENOMEM;
	}
	if (wolfSSL_ALPN_GetProtocol(t->ssl, &alpn, &n) == WOLFSSL_SUCCESS && n) {
		q->info->alpn = copy(q->arena, alpn, n);
		if (!q->info->alpn)
			return TAKO_ENOMEM;
	}
	return peer_cert(t, q);
}

int tako__tls_query(struct tako__layer *l, enum tako__fact what, void *out)
{
	struct tako__tls_layer *t = tako__tls_of(l);
	int rc;

	if (!t->ssl)
		return TAKO_ENOTSUP;
	if (what != TAKO__FACT_CONN_INFO)
		return TAKO_ENOTSUP;
	rc = conn_info(t, out);
	return tako__tls_lib_short() ? TAKO_ENOMEM : rc;
}
