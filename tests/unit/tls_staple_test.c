/* SPDX-License-Identifier: MIT
 *
 * OCSP responses as bytes: what they say of which certificate, and every way to be cut or broken.
 * Signed ones come from OpenSSL, in tests/integration/test_tls.py.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "transports/tls/tls_staple.h"

/* Of serial number 77 (hexadecimal), for three days from 2026-11-26 00:00:00. */
#define SINGLE(serial, status, until)                                                              \
	"\x30\x48"                                                                                 \
	"\x30\x20\x30\x07\x06\x05\x2b\x0e\x03\x02\x1a\x04\x08hash-one\x04\x08hash-"                \
	"two\x02\x01" serial status "\x18\x0f"                                                     \
	"20261126000000Z" until
#define UNTIL(text) "\xa0\x11\x18\x0f" text
/* Who, when, and what of each: two, one of which is another's. */
#define RESPONSE(serial, status, until)                                                            \
	"\x30\x81\xcd\x0a\x01\x00\xa0\x81\xc7\x30\x81\xc4\x06\x09\x2b\x06\x01\x05\x05\x07\x30\x01" \
	"\x01\x04\x81\xb6\x30\x81\xb3\x30\x81\xb0\xa2\x06\x04\x04name\x18\x0f"                     \
	"20261126000000Z\x30\x81\x94" SINGLE("\x55", "\x80\x00", UNTIL("20261129000000Z"))         \
		SINGLE(serial, status, until)

static const unsigned char serial[] = {0x00, 0x77};

static enum tako__tls_staple_verdict judge(struct tako__tls_staple *s, const char *p, size_t n)
{
	/* Of its own size, so that a sanitizer sees a byte too many. */
	unsigned char *copy = malloc(n ? n : 1);
	enum tako__tls_staple_verdict verdict;

	assert_non_null(copy);
	memcpy(copy, p, n);
	verdict = tako__tls_staple_read(s, copy, n, serial, sizeof serial);
	free(copy);
	return verdict;
}

static const char good[] = RESPONSE("\x77", "\x80\x00", UNTIL("20261129000000Z"));

static void test_good(void **state)
{
	struct tako__tls_staple s;

	(void)state;
	assert_int_equal(judge(&s, good, sizeof good - 1), TAKO__TLS_STAPLE_GOOD);
	assert_int_equal(s.from_s, 1795651200);
	assert_int_equal(s.until_s, 1795651200 + 3 * 86400);
}

static void test_verdicts(void **state)
{
	static const struct {
		const char *p;
		size_t n;
		enum tako__tls_staple_verdict verdict;
	} rows[] = {
#define ROW(bytes, verdict) {bytes, sizeof bytes - 1, verdict}
		ROW(RESPONSE("\x78", "\x80\x00", UNTIL("20261129000000Z")), TAKO__TLS_STAPLE_OTHER),
		ROW(RESPONSE("\x77", "\xa1\x00", UNTIL("20261129000000Z")),
	            TAKO__TLS_STAPLE_REVOKED),
		ROW(RESPONSE("\x77", "\x82\x00", UNTIL("20261129000000Z")),
	            TAKO__TLS_STAPLE_UNKNOWN),
		ROW(RESPONSE("\x77", "\x83\x00", UNTIL("20261129000000Z")),
	            TAKO__TLS_STAPLE_MALFORMED),
		ROW(RESPONSE("\x77", "\x80\x00", UNTIL("2026112900000+Z")),
	            TAKO__TLS_STAPLE_MALFORMED),
		ROW(RESPONSE("\x77", "\x80\x00", UNTIL("202611290000000")),
	            TAKO__TLS_STAPLE_MALFORMED),
		ROW("\x30\x03\x0a\x01\x00", TAKO__TLS_STAPLE_MALFORMED),
		ROW("\x30\x03\x0a\x01\x06", TAKO__TLS_STAPLE_ERROR),
		ROW("\x30\x80\x0a\x01\x06\x00\x00", TAKO__TLS_STAPLE_MALFORMED),
		ROW("\x30\x84\x00\x00\x00\x03\x0a\x01\x06", TAKO__TLS_STAPLE_MALFORMED),
		ROW("\x30\x83\xff\xff\xff\x0a\x01\x06", TAKO__TLS_STAPLE_MALFORMED),
		ROW("", TAKO__TLS_STAPLE_MALFORMED),
#undef ROW
	};
	struct tako__tls_staple s;

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		if (judge(&s, rows[i].p, rows[i].n) != rows[i].verdict)
			fail_msg("row %zu", i);
	}
}

static void test_cut_and_longer(void **state)
{
	char longer[sizeof good];
	struct tako__tls_staple s;

	(void)state;
	for (size_t n = 0; n < sizeof good - 1; n++)
		assert_int_equal(judge(&s, good, n), TAKO__TLS_STAPLE_MALFORMED);
	memcpy(longer, good, sizeof good);
	assert_int_equal(judge(&s, longer, sizeof good), TAKO__TLS_STAPLE_MALFORMED);
}

/* Whatever one byte becomes, nothing beyond the end is read; a length that grew is noticed. */
static void test_broken(void **state)
{
	struct tako__tls_staple s;
	char broken[sizeof good - 1];
	unsigned changed = 0;

	(void)state;
	for (size_t i = 0; i < sizeof broken; i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			memcpy(broken, good, sizeof broken);
			broken[i] = (char)(broken[i] ^ (1 << bit));
			changed += judge(&s, broken, sizeof broken) != TAKO__TLS_STAPLE_GOOD;
		}
	}
	assert_true(changed > sizeof broken);
}

/* Which wolfSSL none is given out with.  What is linked here staples: test_tls.py does. */
static void test_which_leaks(void **state)
{
	(void)state;
	assert_true(tako__tls_staple_leaks(0x05005004, false));
	assert_true(tako__tls_staple_leaks(0x05002000, false));
	assert_false(tako__tls_staple_leaks(0x05006000, false));
	assert_false(tako__tls_staple_leaks(0x05005004, true));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),           cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_cut_and_longer), cmocka_unit_test(test_broken),
		cmocka_unit_test(test_which_leaks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
