/* SPDX-License-Identifier: MIT
 *
 * What a handler is told of a TLS connection and of the client that has proved who he is: all of it,
 * nothing where there is nothing, and an error where there is no memory.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <time.h>

#include "core/str.h"
#include "transports/tls/tls_layer.h"
#include "unit/tls_rig.h"

enum { TEXT = 128, NAMES = 2, ANSWER = 4096, DAY_S = 24 * 3600 };

/* Copies, as what a handler sees dies with its request. */
static struct {
	unsigned runs;
	bool has_cert;
	char tls[TEXT], cipher[TEXT], alpn[TEXT], name[TEXT];
	char subject[TEXT], issuer[TEXT], sha256[TEXT], serial[TEXT];
	char names[NAMES][TEXT];
	size_t name_count;
	char der[2048];
	size_t der_n;
	int64_t from_s, until_s;
	bool resumed;
} seen;

static struct tako__cert_version *client_cert;

static void keep(char *to, const char *text)
{
	strncpy(to, text ? text : "-", TEXT - 1);
}

static void keep_cert(const tako_peer_cert *p)
{
	keep(seen.subject, p->subject);
	keep(seen.issuer, p->issuer);
	keep(seen.sha256, p->sha256);
	keep(seen.serial, p->serial);
	for (; p->names[seen.name_count]; seen.name_count++) {
		if (seen.name_count < NAMES)
			keep(seen.names[seen.name_count], p->names[seen.name_count]);
	}
	seen.der_n = p->der.n;
	memcpy(seen.der, p->der.p, p->der.n < sizeof seen.der ? p->der.n : sizeof seen.der);
	seen.from_s = p->not_before_s;
	seen.until_s = p->not_after_s;
}

static int who(tako_req *req, tako_res *res, void *arg)
{
	tako_conn_info info = {.size = sizeof info};
	int rc = tako_req_conn_info(req, &info);

	(void)arg;
	if (rc < 0)
		return rc;
	memset(&seen, 0, sizeof seen);
	seen.runs = 1;
	keep(seen.tls, info.tls);
	keep(seen.cipher, info.cipher);
	keep(seen.alpn, info.alpn);
	keep(seen.name, info.server_name);
	seen.resumed = info.resumed;
	seen.has_cert = info.peer_cert != NULL;
	if (info.peer_cert)
		keep_cert(info.peer_cert);
	return tako_res_text(res, 200, "seen");
}

static int start(void)
{
	tako_router *r = tako_router_new();

	tako_get(r, "/", who, NULL);
	return tls_rig_start(r);
}

/* Clients sign themselves, and are believed. */
static void ask_for_certificates(uint32_t client_auth)
{
	tls_rig.listen.client_auth = client_auth;
	tls_rig.listen.client_ca = (tako_str){client_cert->chain.p, client_cert->chain.n};
}

static bool carry_certificate(void)
{
	return wolfSSL_use_certificate_buffer(
		       tls_rig.ssl, (const unsigned char *)client_cert->chain.p,
		       (long)client_cert->chain.n, WOLFSSL_FILETYPE_PEM) == WOLFSSL_SUCCESS &&
	       wolfSSL_use_PrivateKey_buffer(tls_rig.ssl, (const unsigned char *)client_cert->key.p,
	                                     (long)client_cert->key.n,
	                                     WOLFSSL_FILETYPE_ASN1) == WOLFSSL_SUCCESS;
}

/* A whole conversation.  `session`: one to resume, or NULL. */
static bool converse(bool carries, WOLFSSL_SESSION *session, WOLFSSL_SESSION **ret_session)
{
	static char http11[] = "http/1.1";
	char answer[ANSWER];
	bool ok = tls_rig_open(0) && (!carries || carry_certificate()) &&
	          (!session || wolfSSL_set_session(tls_rig.ssl, session) == WOLFSSL_SUCCESS) &&
	          wolfSSL_UseALPN(tls_rig.ssl, http11, sizeof http11 - 1,
	                          WOLFSSL_ALPN_FAILED_ON_MISMATCH) == WOLFSSL_SUCCESS &&
	          wolfSSL_UseSNI(tls_rig.ssl, WOLFSSL_SNI_HOST_NAME, "a.example", 9) ==
	                  WOLFSSL_SUCCESS &&
	          tls_rig_connect() &&
	          tls_rig_ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
	size_t n = ok ? tls_rig_receive(answer, sizeof answer - 1) : 0;

	answer[n] = '\0';
	if (ret_session)
		*ret_session = wolfSSL_get1_session(tls_rig.ssl);
	tls_rig_close();
	return n > 0 && strstr(answer, "200 OK");
}

static void test_what_was_agreed_on(void **state)
{
	WOLFSSL_SESSION *session = NULL;

	(void)state;
	assert_int_equal(start(), 0);
	assert_true(converse(false, NULL, &session));
	assert_string_equal(seen.tls, "TLSv1.3");
	assert_string_equal(seen.cipher, "TLS13-AES128-GCM-SHA256");
	assert_string_equal(seen.alpn, "http/1.1");
	assert_string_equal(seen.name, "a.example");
	assert_false(seen.resumed);
	assert_false(seen.has_cert);
	assert_non_null(session);
	assert_true(converse(false, session, NULL));
	assert_true(seen.resumed);
	assert_string_equal(seen.name, "a.example");
	wolfSSL_SESSION_free(session);
	assert_int_equal(tls_rig_stop(), 0);
}

static void test_who_the_client_is(void **state)
{
	char sha256[2 * 32 + 1] = "";
	unsigned char digest[32];
	int64_t now = (int64_t)time(NULL);

	(void)state;
	ask_for_certificates(TAKO_CLIENT_AUTH_REQUIRED);
	assert_int_equal(start(), 0);
	assert_true(converse(true, NULL, NULL));
	assert_true(seen.has_cert);
	assert_non_null(strstr(seen.subject, "CN=localhost"));
	assert_string_equal(seen.subject, seen.issuer);
	assert_int_equal(seen.name_count, 1);
	assert_string_equal(seen.names[0], "DNS:localhost");
	tako__hex_encode(sha256, client_cert->sha256, sizeof client_cert->sha256);
	assert_string_equal(seen.sha256, sha256);
	assert_in_range(seen.der_n, 200, sizeof seen.der);
	assert_int_equal(wc_Sha256Hash((unsigned char *)seen.der, (word32)seen.der_n, digest), 0);
	assert_memory_equal(digest, client_cert->sha256, sizeof digest);
	assert_true(strlen(seen.serial) >= 2);
	assert_true(seen.from_s <= now);
	assert_in_range(seen.until_s, now, now + 4 * DAY_S);
	assert_int_equal(tls_rig_stop(), 0);
}

static void test_who_shows_nothing(void **state)
{
	(void)state;
	ask_for_certificates(TAKO_CLIENT_AUTH_OPTIONAL);
	assert_int_equal(start(), 0);
	seen.has_cert = true;
	assert_true(converse(false, NULL, NULL));
	assert_false(seen.has_cert);
	assert_true(converse(true, NULL, NULL));
	assert_true(seen.has_cert);
	assert_int_equal(tls_rig_stop(), 0);
	/* Where he has to he is not let in. */
	ask_for_certificates(TAKO_CLIENT_AUTH_REQUIRED);
	assert_int_equal(start(), 0);
	seen.runs = 0;
	assert_false(converse(false, NULL, NULL));
	assert_int_equal(seen.runs, 0);
	assert_int_equal(tls_rig_stop(), 0);
}

/* Before there is a session there is nothing to tell; and of other things others may know. */
static void test_too_early(void **state)
{
	struct tako__tls_layer t = {.state = TAKO__TLS_FIRST};

	(void)state;
	assert_int_equal(tako__tls_query(&t.l, TAKO__FACT_CONN_INFO, NULL), TAKO_ENOTSUP);
}

static bool talk(void)
{
	return converse(true, NULL, NULL);
}

static void test_allocations(void **state)
{
	(void)state;
	ask_for_certificates(TAKO_CLIENT_AUTH_REQUIRED);
	tls_rig_each_allocation(start, talk, 300);
}

static int set_up(void **state)
{
	int rc = tls_rig_up(state);

	if (rc == 0)
		client_cert = tako__cert_take(tls_rig.cert);
	return rc;
}

static int tear_down(void **state)
{
	tako__cert_drop(client_cert);
	return tls_rig_down(state);
}

static int calm(void **state)
{
	(void)state;
	memset(&tls_rig.listen, 0, sizeof tls_rig.listen);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_what_was_agreed_on, calm),
		cmocka_unit_test_setup(test_who_the_client_is, calm),
		cmocka_unit_test_setup(test_who_shows_nothing, calm),
		cmocka_unit_test_setup(test_too_early, calm),
		cmocka_unit_test_setup(test_allocations, calm),
	};

	if (tls_rig_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
