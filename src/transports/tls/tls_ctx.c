/* SPDX-License-Identifier: MIT
 *
 * See tls_ctx.h.  The only place that decides what is negotiated: versions, suites, groups, who
 * must prove himself.
 */
#include "transports/tls/tls_ctx.h"

#include <string.h>

#include <tako/server.h>

#include "transports/tls/tls_keylog.h"
#include "transports/tls/tls_layer.h"
#include "transports/tls/tls_staple.h"
#include "transports/tls/tls_ticket.h"

/* Always set, because a wolfSSL may be built with RC4, NULL and anonymous suites on.  Forward
 * secrecy and AEAD only; AES first, for which every CPU that matters has instructions. */
static const char suites[] = "TLS13-AES128-GCM-SHA256:"
			     "TLS13-AES256-GCM-SHA384:"
			     "TLS13-CHACHA20-POLY1305-SHA256:"
			     "ECDHE-ECDSA-AES128-GCM-SHA256:"
			     "ECDHE-RSA-AES128-GCM-SHA256:"
			     "ECDHE-ECDSA-AES256-GCM-SHA384:"
			     "ECDHE-RSA-AES256-GCM-SHA384:"
			     "ECDHE-ECDSA-CHACHA20-POLY1305:"
			     "ECDHE-RSA-CHACHA20-POLY1305";

int tako__tls_ctx_terms(WOLFSSL_CTX *ctx, uint32_t min_version)
{
	int groups[] = {WOLFSSL_ECC_X25519, WOLFSSL_ECC_SECP256R1, WOLFSSL_ECC_SECP384R1};
	int min = min_version == 13 ? TLS1_3_VERSION : TLS1_2_VERSION;

	if (wolfSSL_CTX_set_min_proto_version(ctx, min) != WOLFSSL_SUCCESS ||
	    wolfSSL_CTX_set_cipher_list(ctx, suites) != WOLFSSL_SUCCESS ||
	    wolfSSL_CTX_set1_groups(ctx, groups, TAKO__COUNT(groups)) != WOLFSSL_SUCCESS)
		return tako__fail(TAKO_ETLS, "this wolfSSL lacks suites or groups that tako needs");
	wolfSSL_CTX_set_session_cache_mode(ctx, WOLFSSL_SESS_CACHE_OFF);
	return 0;
}

int tako__tls_ctx_certificate(WOLFSSL_CTX *ctx, const struct tako__cert_version *v)
{
	int rc = wolfSSL_CTX_use_certificate_chain_buffer_format(
		ctx, (const unsigned char *)v->chain.p, (long)v->chain.n,
		tako__tls_format(&v->chain));

	if (rc != WOLFSSL_SUCCESS)
		return tako__tls_fail(rc, "certificate");
	rc = wolfSSL_CTX_use_PrivateKey_buffer(ctx, (const unsigned char *)v->key.p, (long)v->key.n,
	                                       WOLFSSL_FILETYPE_ASN1);
	if (rc != WOLFSSL_SUCCESS)
		return tako__tls_fail(rc, "private key");
	if (wolfSSL_CTX_check_private_key(ctx) != WOLFSSL_SUCCESS)
		return tako__fail(TAKO_ETLS, "the private key is not this certificate's");
	return v->ocsp.n ? tako__tls_staple_apply(ctx, v) : 0;
}

/* wolfSSL reads one list of a file; the others follow here. */
static int load_crls(WOLFSSL_CTX *ctx, const struct tako__tls_blob *crls)
{
	static const char mark[] = "-----BEGIN";
	const char *at = crls->p;
	const char *end = crls->p + crls->n;
	unsigned count = 0;

	if (wolfSSL_CTX_EnableCRL(ctx, WOLFSSL_CRL_CHECK) != WOLFSSL_SUCCESS)
		return tako__fail(TAKO_ETLS, "client_crl_file: this wolfSSL checks none");
	while ((at = memmem(at, (size_t)(end - at), mark, sizeof mark - 1))) {
		int rc = wolfSSL_CTX_LoadCRLBuffer(ctx, (const unsigned char *)at, (long)(end - at),
		                                   WOLFSSL_FILETYPE_PEM);

		if (rc != WOLFSSL_SUCCESS)
			return tako__tls_fail(rc, "client_crl_file: not a revocation list");
		at += sizeof mark - 1;
		count++;
	}
	return count ? 0 : tako__fail(TAKO_ETLS, "client_crl_file: no revocation list in PEM");
}

static int set_clients(WOLFSSL_CTX *ctx, const struct tako__tls_options *o)
{
	int mode = WOLFSSL_VERIFY_PEER;
	int rc;

	if (o->client_auth == TAKO_CLIENT_AUTH_NONE) {
		wolfSSL_CTX_set_verify(ctx, WOLFSSL_VERIFY_NONE, NULL);
		return 0;
	}
	if (o->client_auth == TAKO_CLIENT_AUTH_REQUIRED)
		mode |= WOLFSSL_VERIFY_FAIL_IF_NO_PEER_CERT;
	wolfSSL_CTX_set_verify(ctx, mode, NULL);
	rc = wolfSSL_CTX_load_verify_buffer(ctx, (const unsigned char *)o->client_ca.p,
	                                    (long)o->client_ca.n, tako__tls_format(&o->client_ca));
	if (rc != WOLFSSL_SUCCESS)
		return tako__tls_fail(rc, "client_ca");
	return o->client_crl.n ? load_crls(ctx, &o->client_crl) : 0;
}

static int set_options(WOLFSSL_CTX *ctx, const struct tako__tls_options *o)
{
	int rc = set_clients(ctx, o);

	if (rc == 0)
		rc = tako__ticket_apply(ctx, o->tickets);
	/* What comes before the handshake is through may be a replay: not unless it is asked for.  QUIC's
	 * is bounded by its windows (RFC 9001 section 4.6.1). */
	if (rc == 0)
		wolfSSL_CTX_set_max_early_data(
			ctx, o->early_bytes && o->no_records ? UINT32_MAX : o->early_bytes);
	if (rc == 0) {
		tako__tls_layer_apply(ctx);
		tako__tls_keylog_apply(ctx);
		if (o->apply)
			o->apply(ctx);
	}
	return rc;
}

int tako__tls_ctx_new(WOLFSSL_CTX **out, const struct tako__tls_options *o,
                      const struct tako__cert_version *v)
{
	WOLFSSL_CTX *ctx = wolfSSL_CTX_new(wolfTLS_server_method());
	int rc;

	if (!ctx)
		return tako__fail(TAKO_ENOMEM, "TLS: out of memory");
	rc = tako__tls_ctx_terms(ctx, o ? o->min_version : 12);
	/* The signer of the staple would become one of clients. */
	if (o && o->client_auth && v && v->ocsp.n)
		rc = tako__fail(TAKO_ENOTSUP,
		                "a certificate with an ocsp_file cannot be used where "
		                "client_auth is set");
	if (rc == 0 && v)
		rc = tako__tls_ctx_certificate(ctx, v);
	if (rc == 0 && o)
		rc = set_options(ctx, o);
	if (tako__tls_lib_short())
		rc = tako__fail(TAKO_ENOMEM, "TLS: out of memory");
	if (rc < 0)
		wolfSSL_CTX_free(ctx);
	else
		*out = ctx;
	return rc;
}

/* ---- Those of one worker ----------------------------------------------------------------------- */

static void context_free(struct tako__tls_context *c)
{
	wolfSSL_CTX_free(c->ctx);
	tako__cert_drop(c->version);
	tako_cert_free(c->cert);
	tako__free(c, sizeof *c);
}

static void forget_oldest(struct tako__tls_contexts *t)
{
	struct tako__tls_context **at = &t->first;

	if (!*at)
		return;
	while ((*at)->next)
		at = &(*at)->next;
	context_free(*at);
	*at = NULL;
	t->count--;
}

/* To the front, so that the oldest is last. */
static struct tako__tls_context *find(struct tako__tls_contexts *t, const struct tako_cert *cert)
{
	for (struct tako__tls_context **at = &t->first; *at; at = &(*at)->next) {
		struct tako__tls_context *c = *at;

		if (c->cert == cert) {
			*at = c->next;
			c->next = t->first;
			t->first = c;
			return c;
		}
	}
	return NULL;
}

/* Present what the certificate is now. */
static int renew(struct tako__tls_contexts *t, struct tako__tls_context *c)
{
	struct tako__cert_version *v = tako__cert_take(c->cert);
	WOLFSSL_CTX *ctx = NULL;
	int rc = tako__tls_ctx_new(&ctx, t->options, v);

	if (rc < 0) {
		tako__cert_drop(v);
		return rc;
	}
	wolfSSL_CTX_free(c->ctx);
	tako__cert_drop(c->version);
	c->ctx = ctx;
	c->version = v;
	return 0;
}

static struct tako__tls_context *add(struct tako__tls_contexts *t, struct tako_cert *cert)
{
	struct tako__tls_context *c = tako__zalloc(sizeof *c);

	if (!c)
		return NULL;
	c->cert = tako_cert_ref(cert);
	if (renew(t, c) < 0) {
		context_free(c);
		return NULL;
	}
	if (t->count == TAKO__TLS_CONTEXTS_MAX)
		forget_oldest(t);
	c->next = t->first;
	t->first = c;
	t->count++;
	t->fresh = true;
	return c;
}

struct tako__tls_context *tako__tls_contexts_get(struct tako__tls_contexts *t,
                                                 struct tako_cert *cert)
{
	struct tako__tls_context *c = find(t, cert);

	if (TAKO__UNLIKELY(!c))
		return add(t, cert);
	/* Without memory for the new one the old one goes on, and the next client tries again. */
	if (TAKO__UNLIKELY(atomic_load_explicit(&cert->generation, memory_order_acquire) !=
	                   c->version->generation))
		(void)renew(t, c);
	return c;
}

void tako__tls_contexts_fini(struct tako__tls_contexts *t)
{
	struct tako__tls_context *next;

	for (struct tako__tls_context *c = t->first; c; c = next) {
		next = c->next;
		context_free(c);
	}
	t->first = NULL;
	t->count = 0;
}
