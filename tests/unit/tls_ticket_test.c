/* SPDX-License-Identifier: MIT
 *
 * The keys of session tickets: what is taken, and who holds them.  That what one ring sealed another
 * opens only with the same key is seen from outside, with clients that are not ours:
 * tests/integration/test_tls.py.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "transports/tls/tls_ticket.h"
#include "unit/failalloc.h"

static const char keys[TAKO_TICKET_KEY_BYTES * (TAKO_TICKET_KEYS_MAX + 1)];

static void test_lengths(void **state)
{
	static const size_t bad[] = {0, 1, 47, 49, 95, sizeof keys};
	tako_ticket_keys *k = NULL;
	tako_ticket_keys *none = NULL;

	(void)state;
	for (size_t n = 1; n <= TAKO_TICKET_KEYS_MAX; n++) {
		tako_str s = {keys, n * TAKO_TICKET_KEY_BYTES};

		assert_int_equal(tako_ticket_keys_new(&k, s), 0);
		assert_int_equal(tako_ticket_keys_set(k, s), 0);
		for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
			tako_str wrong = {keys, bad[i]};

			assert_int_equal(tako_ticket_keys_set(k, wrong), TAKO_EINVAL);
			assert_int_equal(tako_ticket_keys_new(&none, wrong), TAKO_EINVAL);
			assert_null(none);
		}
		tako_ticket_keys_free(k);
	}
	assert_int_equal(tako_ticket_keys_set(NULL, (tako_str){keys, 48}), TAKO_EINVAL);
	assert_int_equal(tako_ticket_keys_new(NULL, (tako_str){keys, 48}), TAKO_EINVAL);
	tako_ticket_keys_free(NULL);
	assert_int_equal(failalloc_live(), 0);
}

static void test_without_memory(void **state)
{
	tako_ticket_keys *k = NULL;

	(void)state;
	failalloc_arm(1);
	assert_int_equal(tako_ticket_keys_new(&k, (tako_str){keys, 48}), TAKO_ENOMEM);
	assert_int_equal(failalloc_disarm(), 1);
	failalloc_arm(1);
	assert_int_equal(tako__ticket_keys_own(&k), TAKO_ENOMEM);
	assert_int_equal(failalloc_disarm(), 1);
	assert_null(k);
	assert_int_equal(failalloc_live(), 0);
}

/* A context holds no reference: who applies keys keeps them. */
static void test_apply(void **state)
{
	tako_ticket_keys *k = NULL;
	WOLFSSL_CTX *ctx;

	(void)state;
	assert_int_equal(tako__tls_lib_enter(), 0);
	ctx = wolfSSL_CTX_new(wolfTLS_server_method());
	assert_non_null(ctx);
	assert_int_equal(tako__ticket_keys_own(&k), 0);
	assert_ptr_equal(tako__ticket_keys_ref(k), k);
	tako_ticket_keys_free(k);
	assert_int_equal(tako__ticket_apply(ctx, k), 0);
	assert_ptr_equal(wolfSSL_CTX_get_TicketEncCtx(ctx), k);
	assert_int_equal(tako__ticket_apply(ctx, NULL), 0);
	wolfSSL_CTX_free(ctx);
	tako_ticket_keys_free(k);
	tako__tls_lib_leave();
	assert_int_equal(failalloc_live(), 0);
	assert_int_equal(failalloc_wrong(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_without_memory),
		cmocka_unit_test(test_apply),
	};

	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
