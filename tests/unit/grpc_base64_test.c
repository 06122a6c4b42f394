/* SPDX-License-Identifier: MIT
 *
 * Base64 both ways: the RFC's vectors, every length of a body in every pair of pieces, padding in the
 * middle of it as gRPC-Web has it, and what is not base64.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "transports/grpc/grpc_base64.h"

static int decode(const char *text, size_t n, size_t cut, bool loose, char *to, size_t *ret_n)
{
	struct tako__base64 d = {.bits = 0};
	size_t a = 0, b = 0, c = 0;
	int rc = tako__base64_decode(&d, to, &a, text, cut);

	if (rc == 0)
		rc = tako__base64_decode(&d, to + a, &b, text + cut, n - cut);
	if (rc == 0)
		rc = tako__base64_end(&d, to + a + b, &c, loose);
	*ret_n = a + b + c;
	return rc;
}

/* RFC 4648 section 10. */
static void vectors(void **state)
{
	static const char *const rows[][3] = {
		{"", "", ""},
		{"f", "Zg==", "Zg"},
		{"fo", "Zm8=", "Zm8"},
		{"foo", "Zm9v", "Zm9v"},
		{"foob", "Zm9vYg==", "Zm9vYg"},
		{"fooba", "Zm9vYmE=", "Zm9vYmE"},
		{"foobar", "Zm9vYmFy", "Zm9vYmFy"},
		{"\xfb\xff\xfe", "+//+", "+//+"},
	};
	char buf[32];
	size_t n;

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		size_t raw = strlen(rows[i][0]);

		for (int pad = 0; pad < 2; pad++) {
			const char *want = rows[i][pad ? 1 : 2];

			n = tako__base64_encode(buf, rows[i][0], raw, pad);
			assert_int_equal(n, strlen(want));
			assert_memory_equal(buf, want, n);
			assert_int_equal(decode(want, strlen(want), 0, true, buf, &n), 0);
			assert_int_equal(n, raw);
			assert_memory_equal(buf, rows[i][0], n);
		}
	}
}

static void in_pieces(void **state)
{
	char raw[40], text[64], got[48];
	size_t n;

	(void)state;
	for (size_t i = 0; i < sizeof raw; i++)
		raw[i] = (char)(i * 37 + 200);
	for (size_t len = 0; len <= sizeof raw; len++) {
		size_t chars = tako__base64_encode(text, raw, len, true);

		assert_int_equal(chars, TAKO__BASE64_CHARS(len));
		for (size_t cut = 0; cut <= chars; cut++) {
			assert_int_equal(decode(text, chars, cut, false, got, &n), 0);
			assert_int_equal(n, len);
			assert_memory_equal(got, raw, n);
		}
	}
}

/* Each write is padded by itself (PROTOCOL-WEB.md). */
static void padding_within(void **state)
{
	static const char text[] = "Zg==Zm8=Zm9vYg==";
	char got[16];
	size_t n;

	(void)state;
	for (size_t cut = 0; cut < sizeof text; cut++) {
		assert_int_equal(decode(text, sizeof text - 1, cut, false, got, &n), 0);
		assert_int_equal(n, 7);
		assert_memory_equal(got, "ffofoob", 7);
	}
}

static void not_base64(void **state)
{
	static const char *const rows[] = {
		"=",       "Z",     "Z=",    "Zg=",  "Zg=Z", "Zg===", "Zm8==",
		"Zm9v=",   "Zm 9v", "Zm9-",  "Zm9_", "Zh==", "Zm9=",  "Zg\n=",
		"\x80m9v", "====",  "Zm9vZ", "Z===", "Zg=a", "Zm8=Z",
	};
	char got[32];
	size_t n;

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		assert_int_equal(decode(rows[i], strlen(rows[i]), 0, true, got, &n), TAKO_EINVAL);
	/* Without its padding only where that may be missing. */
	assert_int_equal(decode("Zg", 2, 0, false, got, &n), TAKO_EINVAL);
	assert_int_equal(decode("Zh", 2, 0, true, got, &n), TAKO_EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors),
		cmocka_unit_test(in_pieces),
		cmocka_unit_test(padding_within),
		cmocka_unit_test(not_base64),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
