/* SPDX-License-Identifier: MIT
 *
 * Contexts: what one is refused for, how many a worker keeps and which it forgets, and that a reload
 * makes a new one, as soon as there is memory for it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "transports/tls/tls_ctx.h"
#include "unit/tls_rig.h"

static struct tako__tls_options options;
static struct tako__tls_contexts contexts;
static struct tako__cert_version *version;

static void refused(int code, const char *words)
{
	WOLFSSL_CTX *ctx = NULL;

	assert_int_equal(tako__tls_ctx_new(&ctx, &options, version), code);
	assert_null(ctx);
	if (!strstr(tako_last_error(), words))
		fail_msg("\"%s\" without \"%s\"", tako_last_error(), words);
}

static struct tako__tls_blob blob(const char *text)
{
	return (struct tako__tls_blob){(char *)(uintptr_t)text, strlen(text)};
}

/* ---- One ------------------------------------------------------------------------------------- */

static void test_made(void **state)
{
	WOLFSSL_CTX *ctx = NULL;

	(void)state;
	assert_int_equal(tako__tls_ctx_new(&ctx, &options, version), 0);
	assert_non_null(ctx);
	wolfSSL_CTX_free(ctx);
	/* As a certificate is tried out that no listener has yet. */
	ctx = NULL;
	assert_int_equal(tako__tls_ctx_new(&ctx, NULL, version), 0);
	assert_non_null(ctx);
	wolfSSL_CTX_free(ctx);
}

static void test_refused(void **state)
{
	struct tako__cert_version *sound = version;
	struct tako__cert_version broken = *version;

	(void)state;
	options.client_auth = TAKO_CLIENT_AUTH_REQUIRED;
	options.client_ca = blob("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
	refused(TAKO_ETLS, "client_ca");
	options.client_ca = version->chain;
	options.client_crl = blob("-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n");
	refused(TAKO_ETLS, "client_crl_file: not a revocation list");
	options.client_crl = version->chain;
	refused(TAKO_ETLS, "client_crl_file: not a revocation list");
	/* Nothing was read of it, so that everybody would be refused without a word. */
	options.client_crl = blob("rubbish");
	refused(TAKO_ETLS, "client_crl_file: no revocation list in PEM");
	options.client_crl = (struct tako__tls_blob){NULL, 0};
	/* The signer of a staple would become one of clients. */
	version->ocsp = blob("x");
	refused(TAKO_ENOTSUP, "ocsp_file");
	version->ocsp = (struct tako__tls_blob){NULL, 0};
	options.client_auth = TAKO_CLIENT_AUTH_NONE;
	broken.chain = blob("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
	version = &broken;
	refused(TAKO_ETLS, "certificate");
	broken.chain.n = 0;
	refused(TAKO_ETLS, "certificate");
	version = sound;
}

/* ---- Those of a worker --------------------------------------------------------------------------- */

static tako_cert *another(void)
{
	tako_cert *cert = NULL;

	assert_int_equal(
		tako_cert_new(&cert, TAKO_CERT_CONFIG(.cert = {version->chain.p, version->chain.n},
	                                              .key = {version->key.p, version->key.n})),
		0);
	return cert;
}

static void test_kept(void **state)
{
	struct tako__tls_context *c = tako__tls_contexts_get(&contexts, tls_rig.cert);
	tako_cert *other = another();
	struct tako__tls_context *d;

	(void)state;
	assert_non_null(c);
	assert_true(contexts.fresh);
	contexts.fresh = false;
	assert_ptr_equal(tako__tls_contexts_get(&contexts, tls_rig.cert), c);
	assert_false(contexts.fresh);
	d = tako__tls_contexts_get(&contexts, other);
	assert_non_null(d);
	assert_ptr_not_equal(c, d);
	assert_true(contexts.fresh);
	assert_int_equal(contexts.count, 2);
	assert_ptr_equal(tako__tls_contexts_get(&contexts, tls_rig.cert), c);
	assert_ptr_equal(contexts.first, c);
	tako_cert_free(other);
}

static void test_renewed(void **state)
{
	tako_cert *cert = another();
	struct tako__tls_context *c = tako__tls_contexts_get(&contexts, cert);
	uint64_t generation;
	WOLFSSL_CTX *ctx;

	(void)state;
	assert_non_null(c);
	ctx = c->ctx;
	generation = c->version->generation;
	assert_int_equal(tako_cert_reload(cert, NULL), 0);
	/* Without memory the old one goes on, */
	tls_rig_starve(1);
	assert_ptr_equal(tako__tls_contexts_get(&contexts, cert), c);
	tls_rig_starve(0);
	assert_ptr_equal(c->ctx, ctx);
	assert_int_equal(c->version->generation, generation);
	(void)tako__tls_lib_short();
	/* … until there is some. */
	assert_ptr_equal(tako__tls_contexts_get(&contexts, cert), c);
	assert_int_equal(c->version->generation, generation + 1);
	assert_int_equal(contexts.count, 1);
	tako_cert_free(cert);
}

static void test_none_without_memory(void **state)
{
	size_t before = tls_rig_live_bytes();

	(void)state;
	tls_rig_starve(1);
	assert_null(tako__tls_contexts_get(&contexts, tls_rig.cert));
	tls_rig_starve(2);
	assert_null(tako__tls_contexts_get(&contexts, tls_rig.cert));
	tls_rig_starve(0);
	(void)tako__tls_lib_short();
	assert_int_equal(contexts.count, 0);
	assert_false(contexts.fresh);
	assert_int_equal(tls_rig_live_bytes(), before);
}

/* As many as there may be, and one more: who was not asked for the longest goes. */
static void test_oldest_is_forgotten(void **state)
{
	static struct tako_cert certs[TAKO__TLS_CONTEXTS_MAX + 1];
	struct tako__tls_context *first;

	(void)state;
	for (unsigned i = 0; i < TAKO__TLS_CONTEXTS_MAX + 1; i++) {
		certs[i].current = version;
		certs[i].generation = version->generation;
		certs[i].refs = 2;
		assert_int_equal(pthread_mutex_init(&certs[i].lock, NULL), 0);
	}
	for (unsigned i = 0; i < TAKO__TLS_CONTEXTS_MAX; i++)
		assert_non_null(tako__tls_contexts_get(&contexts, &certs[i]));
	assert_int_equal(contexts.count, TAKO__TLS_CONTEXTS_MAX);
	first = tako__tls_contexts_get(&contexts, &certs[0]);
	contexts.fresh = false;
	assert_non_null(tako__tls_contexts_get(&contexts, &certs[TAKO__TLS_CONTEXTS_MAX]));
	assert_int_equal(contexts.count, TAKO__TLS_CONTEXTS_MAX);
	assert_int_equal(certs[1].refs, 2);
	assert_int_equal(certs[2].refs, 3);
	contexts.fresh = false;
	assert_ptr_equal(tako__tls_contexts_get(&contexts, &certs[0]), first);
	assert_false(contexts.fresh);
	assert_non_null(tako__tls_contexts_get(&contexts, &certs[1]));
	assert_true(contexts.fresh);
	tako__tls_contexts_fini(&contexts);
	for (unsigned i = 0; i < TAKO__TLS_CONTEXTS_MAX + 1; i++) {
		assert_int_equal(certs[i].refs, 2);
		pthread_mutex_destroy(&certs[i].lock);
	}
}

/* ---- Set-up -------------------------------------------------------------------------------------- */

static int begin(void **state)
{
	(void)state;
	options = (struct tako__tls_options){.min_version = 12};
	contexts = (struct tako__tls_contexts){.options = &options};
	return 0;
}

static int end(void **state)
{
	(void)state;
	tako__tls_contexts_fini(&contexts);
	return contexts.count || contexts.first;
}

static int set_up(void **state)
{
	int rc = tls_rig_up(state);

	if (rc == 0)
		version = tako__cert_take(tls_rig.cert);
	return rc;
}

static int tear_down(void **state)
{
	tako__cert_drop(version);
	return tls_rig_down(state);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(test_made),
		WITH(test_refused),
		WITH(test_kept),
		WITH(test_renewed),
		WITH(test_none_without_memory),
		WITH(test_oldest_is_forgotten),
	};

	if (tls_rig_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
