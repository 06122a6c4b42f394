/* SPDX-License-Identifier: MIT
 *
 * What connections that we make over TLS share: whom they believe, what they show, a context of wolfSSL's.  One
 * for all workers, as a set of signers takes a tenth of a second to read; they meet in it for as long as it
 * takes to make a session.
 */
#include "transports/tls/tls_client.h"

#include <string.h>

#include "transports/tls/tls_ctx.h"
#include "transports/tls/tls_load.h"

static const char system_ca_file[] = "/etc/ssl/certs/ca-certificates.crt";

enum { SESSIONS_MAX = 65536 };

/* ---- Settings ---------------------------------------------------------------------------------- */

static int check_alpn(const char *alpn)
{
	size_t n = strlen(alpn);

	if (!n || n >= sizeof(((struct tako_tls_client *)0)->alpn))
		return tako__fail(TAKO_EINVAL, "TLS client: alpn has %zu bytes, not 1 to 63", n);
	if (alpn[0] == ',' || alpn[n - 1] == ',' || strstr(alpn, ",,"))
		return tako__fail(TAKO_EINVAL, "TLS client: alpn has an empty name in it");
	return 0;
}

static int check(const tako_tls_client_config *c)
{
	int signers = (c->ca_file != NULL) + (c->ca_dir != NULL) + (c->ca.n != 0);

	if (signers > 1)
		return tako__fail(TAKO_EINVAL, "TLS client: more than one of ca_file, ca_dir and "
		                               "ca is set");
	if (c->insecure > 1)
		return tako__fail(TAKO_EINVAL, "TLS client: insecure is %u, not 0 or 1",
		                  c->insecure);
	if (c->insecure && signers)
		return tako__fail(TAKO_EINVAL, "TLS client: insecure is set, and then nobody "
		                               "looks at ca_file, ca_dir or ca");
	if (c->min_version && c->min_version != 12 && c->min_version != 13)
		return tako__fail(TAKO_EINVAL, "TLS client: min_version is %u, not 12 or 13",
		                  c->min_version);
	if (c->session_count > SESSIONS_MAX && c->session_count != TAKO_OFF)
		return tako__fail(TAKO_EINVAL, "TLS client: session_count is %u, not in 0 to %d",
		                  c->session_count, SESSIONS_MAX);
	if (c->reserved)
		return tako__fail(TAKO_EINVAL, "TLS client: reserved is not 0");
	return c->alpn ? check_alpn(c->alpn) : 0;
}

static int read_signers(struct tako__tls_blob *ca, const tako_tls_client_config *c)
{
	if (c->insecure)
		return 0;
	if (c->ca_dir)
		return tako__tls_read_dir(ca, c->ca_dir, "ca_dir");
	if (c->ca.n)
		return tako__tls_copy(ca, c->ca.p, c->ca.n);
	return tako__tls_read_file(ca, c->ca_file ? c->ca_file : system_ca_file, "ca_file");
}

/* ---- The context ----------------------------------------------------------------------------------- */

/* Of the system's some may be such that wolfSSL does not know, or too old, and are nobody's then: nothing here may
 * say that a date does not matter, or wolfSSL believes whoever shows what such a one has signed.  What somebody has
 * chosen has to have a good one in it. */
static int set_signers(WOLFSSL_CTX *ctx, const struct tako_tls_client *tls, bool all_good)
{
	uint32_t flags = all_good ? WOLFSSL_LOAD_FLAG_NONE : WOLFSSL_LOAD_FLAG_IGNORE_ERR;
	int rc;

	if (tls->insecure) {
		wolfSSL_CTX_set_verify(ctx, WOLFSSL_VERIFY_NONE, NULL);
		return 0;
	}
	wolfSSL_CTX_set_verify(ctx, WOLFSSL_VERIFY_PEER, NULL);
	rc = wolfSSL_CTX_load_verify_buffer_ex(ctx, (const unsigned char *)tls->ca.p,
	                                       (long)tls->ca.n, tako__tls_format(&tls->ca), 0,
	                                       flags);
	return rc == WOLFSSL_SUCCESS ? 0 : tako__tls_fail(rc, "who signs servers' certificates");
}

static int show(WOLFSSL_CTX *ctx, struct tako_cert *cert, uint64_t *ret_generation)
{
	struct tako__cert_version *v = tako__cert_take(cert);
	int rc = tako__tls_ctx_certificate(ctx, v);

	*ret_generation = v->generation;
	tako__cert_drop(v);
	return rc;
}

static int make_context(WOLFSSL_CTX **out, struct tako_tls_client *tls, bool all_good,
                        uint64_t *ret_generation)
{
	WOLFSSL_CTX *ctx = wolfSSL_CTX_new(wolfTLS_client_method());
	int rc;

	if (!ctx)
		return tako__fail(TAKO_ENOMEM, "TLS client: out of memory");
	rc = tako__tls_ctx_terms(ctx, tls->min_version);
	if (rc == 0)
		rc = set_signers(ctx, tls, all_good);
	if (rc == 0 && tls->cert)
		rc = show(ctx, tls->cert, ret_generation);
	tako__tls_layer_apply(ctx);
	if (tako__tls_lib_short())
		rc = tako__fail(TAKO_ENOMEM, "TLS client: out of memory");
	if (rc < 0)
		wolfSSL_CTX_free(ctx);
	else
		*out = ctx;
	return rc;
}

/* What cert has been reloaded with; where that cannot be shown, what was shown before. */
static void renew(struct tako_tls_client *tls, uint64_t now_ns)
{
	WOLFSSL_CTX *ctx = NULL;
	uint64_t generation = 0;

	if (!tls->cert)
		return;
	(void)tako__cert_watch(tls->cert, now_ns);
	if (atomic_load_explicit(&tls->cert->generation, memory_order_acquire) == tls->generation)
		return;
	if (make_context(&ctx, tls, false, &generation) < 0)
		return;
	wolfSSL_CTX_free(tls->ctx); /* sessions have references of their own */
	tls->ctx = ctx;
	tls->generation = generation;
}

WOLFSSL *tako__tls_client_session(struct tako_tls_client *tls, uint64_t now_ns)
{
	WOLFSSL *ssl;

	pthread_mutex_lock(&tls->lock);
	renew(tls, now_ns);
	ssl = wolfSSL_new(tls->ctx);
	pthread_mutex_unlock(&tls->lock);
	if (tako__tls_lib_short() || !ssl) {
		wolfSSL_free(ssl);
		tako__fail(TAKO_ENOMEM, "TLS client: out of memory");
		return NULL;
	}
	return ssl;
}

/* ---- New and free ------------------------------------------------------------------------------------ */

static void client_free(struct tako_tls_client *tls)
{
	tako__tls_sessions_fini(&tls->sessions);
	wolfSSL_CTX_free(tls->ctx);
	tako_cert_free(tls->cert);
	tako__tls_wipe(&tls->ca);
	pthread_mutex_destroy(&tls->lock);
	tako__free(tls, sizeof *tls);
	tako__tls_lib_leave();
}

static const struct tako__secured_ops secured_ops = {
	.check_alpn = check_alpn,
	.begin = tako__tls_dial_begin,
	.ref = tako_tls_client_ref,
	.unref = tako_tls_client_free,
};

static int client_make(struct tako_tls_client **out, const tako_tls_client_config *c)
{
	struct tako_tls_client *tls = tako__zalloc(sizeof *tls);
	int rc;

	if (!tls)
		return tako__fail(TAKO_ENOMEM, "TLS client: out of memory");
	tls->secured.ops = &secured_ops;
	atomic_store(&tls->refs, 1);
	pthread_mutex_init(&tls->lock, NULL);
	tako__list_init(&tls->sessions.all);
	tls->sessions.max = c->session_count == TAKO_OFF ? 0
	                    : c->session_count           ? c->session_count
	                                                 : 64;
	tls->min_version = c->min_version ? c->min_version : 12;
	tls->insecure = c->insecure;
	tls->cert = tako_cert_ref(c->cert);
	if (c->alpn)
		memcpy(tls->alpn, c->alpn, strlen(c->alpn) + 1);
	rc = read_signers(&tls->ca, c);
	if (rc == 0)
		rc = make_context(&tls->ctx, tls, c->ca_file || c->ca_dir || c->ca.n,
		                  &tls->generation);
	if (rc < 0) {
		/* The caller leaves the library. */
		tako_cert_free(tls->cert);
		tako__tls_wipe(&tls->ca);
		pthread_mutex_destroy(&tls->lock);
		tako__free(tls, sizeof *tls);
		return rc;
	}
	*out = tls;
	return 0;
}

int tako_tls_client_new(tako_tls_client **out, const tako_tls_client_config *cfg)
{
	tako_tls_client_config c = {.size = sizeof c};
	int rc = 0;

	if (!out)
		return tako__fail(TAKO_EINVAL, "tako_tls_client_new: nowhere to put it");
	if (cfg)
		rc = tako__import(&c, sizeof c, cfg, sizeof c, "tako_tls_client_config");
	if (rc == 0)
		rc = check(&c);
	if (rc == 0)
		rc = tako__tls_lib_enter();
	if (rc < 0)
		return rc;
	rc = client_make(out, &c);
	if (rc < 0)
		tako__tls_lib_leave();
	return rc;
}

tako_tls_client *tako_tls_client_ref(tako_tls_client *tls)
{
	if (tls)
		atomic_fetch_add_explicit(&tls->refs, 1, memory_order_relaxed);
	return tls;
}

void tako_tls_client_free(tako_tls_client *tls)
{
	if (tls && atomic_fetch_sub_explicit(&tls->refs, 1, memory_order_acq_rel) == 1)
		client_free(tls);
}
