/* SPDX-License-Identifier: MIT
 *
 * Tokens: good for whom they were made for, for as long as they are, and for nobody else.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <string.h>

#include "transports/quic/quic_token.h"
#include "transports/tls/tls_lib.h"
#include "unit/failalloc.h"

#define SECOND UINT64_C(1000000000)

static struct tako__quic_secrets secrets;
static const struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = 1, .sin_addr = {1}};
static const struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = 1, .sin_addr = {2}};
static uint8_t token[TAKO__QUIC_TOKEN_BYTES];
static ngtcp2_pkt_hd hd;

static void put_token(ngtcp2_ssize n)
{
	assert_true(n > 0 && n <= TAKO__QUIC_TOKEN_BYTES);
#if TAKO__NGTCP2_OLD
	hd.token = (ngtcp2_vec){token, (size_t)n};
#else
	hd.token = token;
	hd.tokenlen = (size_t)n;
#endif
}

static enum tako__quic_proof check(ngtcp2_cid *original, const struct sockaddr_in *from,
                                   uint64_t now_ns)
{
	return tako__quic_token_check(original, &secrets, &hd, (const struct sockaddr *)from,
	                              sizeof *from, now_ns);
}

static int set_up(void **state)
{
	(void)state;
	memset(&hd, 0, sizeof hd);
	hd.version = NGTCP2_PROTO_VER_V1;
	return tako__tls_lib_enter() || tako__quic_secrets_init(&secrets);
}

static int tear_down(void **state)
{
	(void)state;
	tako__tls_lib_leave();
	return failalloc_live() || failalloc_wrong();
}

static void test_retry(void **state)
{
	ngtcp2_cid original, scid, other, got;

	(void)state;
	ngtcp2_cid_init(&original, (const uint8_t *)"original", 8);
	ngtcp2_cid_init(&scid, (const uint8_t *)"the new one", 11);
	ngtcp2_cid_init(&other, (const uint8_t *)"some other", 10);
	hd.dcid = scid;
	put_token(tako__quic_token_retry(token, &secrets, hd.version,
	                                 (const struct sockaddr *)&here, sizeof here, &scid,
	                                 &original, 100 * SECOND));
	assert_int_equal(check(&got, &here, 105 * SECOND), TAKO__QUIC_RETRIED);
	assert_true(ngtcp2_cid_eq(&got, &original));
	assert_int_equal(check(&got, &there, 105 * SECOND), TAKO__QUIC_BAD_RETRY);
	assert_int_equal(check(&got, &here, 120 * SECOND), TAKO__QUIC_BAD_RETRY);
	hd.dcid = other;
	assert_int_equal(check(&got, &here, 105 * SECOND), TAKO__QUIC_BAD_RETRY);
	hd.dcid = scid;
	token[15] ^= 1;
	assert_int_equal(check(&got, &here, 105 * SECOND), TAKO__QUIC_BAD_RETRY);
}

static void test_new_token(void **state)
{
	struct sockaddr_in other_port = here;
	ngtcp2_cid got;

	(void)state;
	put_token(tako__quic_token_new(token, &secrets, (const struct sockaddr *)&here, sizeof here,
	                               100 * SECOND));
	other_port.sin_port = 77;
	assert_int_equal(check(&got, &here, 200 * SECOND), TAKO__QUIC_PROVEN);
	/* Behind the same address, from wherever. */
	assert_int_equal(check(&got, &other_port, 200 * SECOND), TAKO__QUIC_PROVEN);
	assert_int_equal(check(&got, &there, 200 * SECOND), TAKO__QUIC_UNPROVEN);
	assert_int_equal(check(&got, &here, 4000 * SECOND), TAKO__QUIC_UNPROVEN);
	token[15] ^= 1;
	assert_int_equal(check(&got, &here, 200 * SECOND), TAKO__QUIC_UNPROVEN);
}

static void test_of_another_listener(void **state)
{
	ngtcp2_cid got;

	(void)state;
	put_token(tako__quic_token_new(token, &secrets, (const struct sockaddr *)&here, sizeof here,
	                               SECOND));
	assert_int_equal(tako__quic_secrets_init(&secrets), 0);
	assert_int_equal(check(&got, &here, SECOND), TAKO__QUIC_UNPROVEN);
}

static void test_none_and_junk(void **state)
{
	ngtcp2_cid got;

	(void)state;
	assert_int_equal(check(&got, &here, SECOND), TAKO__QUIC_UNPROVEN);
	memset(token, 0x11, sizeof token);
	for (ngtcp2_ssize n = 1; n <= TAKO__QUIC_TOKEN_BYTES; n++) {
		put_token(n);
		token[0] = 0x11;
		assert_int_equal(check(&got, &here, SECOND), TAKO__QUIC_UNPROVEN);
		token[0] = NGTCP2_CRYPTO_TOKEN_MAGIC_REGULAR;
		assert_int_equal(check(&got, &here, SECOND), TAKO__QUIC_UNPROVEN);
		token[0] = NGTCP2_CRYPTO_TOKEN_MAGIC_RETRY;
		assert_int_equal(check(&got, &here, SECOND), TAKO__QUIC_BAD_RETRY);
	}
}

static void test_reset_tokens(void **state)
{
	uint8_t a[NGTCP2_STATELESS_RESET_TOKENLEN], b[NGTCP2_STATELESS_RESET_TOKENLEN];
	ngtcp2_cid one, two;

	(void)state;
	ngtcp2_cid_init(&one, (const uint8_t *)"one", 3);
	ngtcp2_cid_init(&two, (const uint8_t *)"two", 3);
	assert_int_equal(tako__quic_token_reset(a, &secrets, &one), 0);
	assert_int_equal(tako__quic_token_reset(b, &secrets, &one), 0);
	assert_memory_equal(a, b, sizeof a);
	assert_int_equal(tako__quic_token_reset(b, &secrets, &two), 0);
	assert_memory_not_equal(a, b, sizeof a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_retry, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_new_token, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_of_another_listener, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_none_and_junk, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_reset_tokens, set_up, tear_down),
	};

	return failalloc_install() || cmocka_run_group_tests(tests, NULL, NULL);
}
