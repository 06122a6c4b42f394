/* SPDX-License-Identifier: MIT
 *
 * ASCII helpers: the class table against the grammars it abbreviates, comparison against a
 * plain loop, numbers at their limits, percent-encoding both ways.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base.h"
#include "core/str.h"

static bool in(const char *set, int c)
{
	return c && strchr(set, c);
}

static void test_char_classes(void **state)
{
	(void)state;
	for (int b = 0; b < 256; b++) {
		char c = (char)b;
		bool alpha = b < 128 && isalpha(b);
		bool digit = b < 128 && isdigit(b);

		/* RFC 9110 section 5.6.2 */
		assert_int_equal(tako__is(c, TAKO__C_TOKEN),
		                 alpha || digit || in("!#$%&'*+-.^_`|~", b));
		/* RFC 9110 section 5.5: field-vchar = VCHAR / obs-text, and SP / HTAB */
		assert_int_equal(tako__is(c, TAKO__C_FIELD),
		                 (b > 0x20 && b < 0x7f) || b >= 0x80 || b == ' ' || b == '\t');
		/* RFC 6265 section 4.1.1: no CTLs, white space, DQUOTE, comma, semicolon, backslash */
		assert_int_equal(tako__is(c, TAKO__C_COOKIE),
		                 b > 0x20 && b < 0x7f && !in("\",;\\", b));
		/* RFC 3986 section 2.3 */
		assert_int_equal(tako__is(c, TAKO__C_UNRESERVED), alpha || digit || in("-._~", b));
		assert_int_equal(tako__is(c, TAKO__C_DIGIT), digit);
		assert_int_equal(tako__is(c, TAKO__C_ALPHA), alpha);
		/* RFC 2046 section 5.1.1 */
		assert_int_equal(tako__is(c, TAKO__C_BOUNDARY),
		                 alpha || digit || in("'()+_,-./:=? ", b));
	}
}

static void test_all(void **state)
{
	(void)state;
	assert_true(tako__all("", 0, TAKO__C_DIGIT));
	assert_true(tako__all("0123", 4, TAKO__C_DIGIT));
	assert_false(tako__all("0123a", 5, TAKO__C_DIGIT));
	assert_true(tako__all("0123a", 5, TAKO__C_DIGIT | TAKO__C_ALPHA));
	assert_false(tako__all("\0", 1, TAKO__C_FIELD));
}

/* ---- Comparison ------------------------------------------------------------- */

static bool slow_ieq(const char *a, const char *b, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int x = (unsigned char)a[i];
		int y = (unsigned char)b[i];

		if ((x < 128 ? tolower(x) : x) != (y < 128 ? tolower(y) : y))
			return false;
	}
	return true;
}

/* Every pair of bytes, in every place of every short length, in blocks of just that size. */
static void test_ieq_pairs(void **state)
{
	(void)state;
	for (size_t n = 1; n <= 20; n++) {
		char *a = malloc(n);
		char *b = malloc(n);

		for (size_t at = 0; at < n; at++) {
			memset(a, 'x', n);
			memset(b, 'X', n);
			for (int pair = 0; pair < 65536; pair += n < 10 ? 1 : 7) {
				a[at] = (char)(pair >> 8);
				b[at] = (char)pair;
				if (tako__str_ieq(a, b, n) != slow_ieq(a, b, n))
					fail_msg("n %zu at %zu: %02x %02x", n, at,
					         (unsigned)pair >> 8, (unsigned)pair & 255);
			}
		}
		free(a);
		free(b);
	}
	assert_true(tako__str_ieq(NULL, NULL, 0));
}

/* Bytes of all values side by side: no carry leaks from one into the next. */
static void test_ieq_random(void **state)
{
	uint32_t seed = 7;

	(void)state;
	for (int round = 0; round < 200000; round++) {
		char a[16];
		char b[16];

		for (size_t i = 0; i < sizeof(a); i++) {
			seed = seed * 1664525 + 1013904223;
			a[i] = (char)(seed >> 24);
			b[i] = (char)(seed >> 16 & 1 ? a[i] ^ 0x20 : a[i]);
		}
		assert_int_equal(tako__str_ieq(a, b, 16), slow_ieq(a, b, 16));
		assert_int_equal(tako__str_ieq(a, b, 2), slow_ieq(a, b, 2));
	}
}

static void test_trim(void **state)
{
	static const struct {
		const char *in, *out;
	} table[] = {
		{"", ""},      {" ", ""},           {"\t \t", ""},      {"a", "a"},
		{" a\t", "a"}, {"\t a b  ", "a b"}, {"\ra\n", "\ra\n"},
	};

	(void)state;
	for (size_t i = 0; i < TAKO__COUNT(table); i++)
		assert_true(tako_str_eq(tako__str_trim(tako_str_z(table[i].in)),
		                        tako_str_z(table[i].out)));
	assert_null(tako__str_trim((tako_str){NULL, 0}).p);
}

/* ---- Numbers ------------------------------------------------------------------ */

static void test_parse_u64(void **state)
{
	static const struct {
		const char *text;
		int result;
		uint64_t value;
	} table[] = {
		{"0", 0, 0},
		{"7", 0, 7},
		{"00000000000000000000000042", 0, 42},
		{"4294967296", 0, UINT64_C(4294967296)},
		{"18446744073709551615", 0, UINT64_MAX},
		{"18446744073709551616", TAKO_ETOOBIG, 0},
		{"18446744073709551620", TAKO_ETOOBIG, 0},
		{"28446744073709551615", TAKO_ETOOBIG, 0},
		{"99999999999999999999", TAKO_ETOOBIG, 0},
		{"1000000000000000000000000", TAKO_ETOOBIG, 0},
		/* RFC 9110 section 8.6: Content-Length = 1*DIGIT */
		{"", TAKO_EINVAL, 0},
		{"-1", TAKO_EINVAL, 0},
		{"+1", TAKO_EINVAL, 0},
		{" 1", TAKO_EINVAL, 0},
		{"1 ", TAKO_EINVAL, 0},
		{"1,1", TAKO_EINVAL, 0},
		{"0x10", TAKO_EINVAL, 0},
		{"1e3", TAKO_EINVAL, 0},
		{"1_000", TAKO_EINVAL, 0},
		{"/", TAKO_EINVAL, 0},
		{":", TAKO_EINVAL, 0},
		{"\xc2\xb2", TAKO_EINVAL, 0},
		{"99999999999999999999x", TAKO_EINVAL, 0},
	};

	(void)state;
	for (size_t i = 0; i < TAKO__COUNT(table); i++) {
		uint64_t v = 4711;
		int result = tako__parse_u64(table[i].text, strlen(table[i].text), &v);

		if (result != table[i].result)
			fail_msg("\"%s\": %d", table[i].text, result);
		assert_true(v == (result ? 4711 : table[i].value));
	}
}

static void check_format(uint64_t v)
{
	char want[32];
	char got[32];
	size_t n = (size_t)snprintf(want, sizeof(want), "%" PRIu64, v);
	uint64_t back = 0;

	memset(got, '#', sizeof(got));
	assert_int_equal(tako__format_u64(got, v), n);
	assert_memory_equal(got, want, n);
	assert_int_equal(got[n], '#');
	assert_int_equal(tako__parse_u64(got, n, &back), 0);
	assert_true(back == v);
}

static void test_format_u64(void **state)
{
	(void)state;
	for (uint64_t v = 0; v < 12000; v++)
		check_format(v);
	for (uint64_t power = 1; power < UINT64_MAX / 10; power *= 10) {
		check_format(power - 1);
		check_format(power);
		check_format(power * 9 + 7);
	}
	check_format(UINT64_C(10000000000000000000));
	check_format(UINT64_MAX);
	check_format(UINT64_MAX - 1);
}

static void test_hex(void **state)
{
	char text[16];

	(void)state;
	for (int b = 0; b < 256; b++) {
		int want = b < 128 && isxdigit(b) ? (int)strtol((char[]){(char)b, 0}, NULL, 16)
		                                  : -1;

		assert_int_equal(tako__hex_value((char)b), want);
	}
	tako__hex_encode(text, "\x00\x01\x7f\x80\xfe\xff", 6);
	assert_memory_equal(text, "00017f80feff", 12);
}

/* ---- Percent-encoding ------------------------------------------------------------ */

static void test_percent_decode(void **state)
{
	static const struct {
		const char *in, *plain, *form; /* NULL: TAKO_EINVAL */
	} table[] = {
		{"", "", ""},
		{"abc", "abc", "abc"},
		{"a+b", "a+b", "a b"},
		{"a%20b", "a b", "a b"},
		{"a%2Bb", "a+b", "a+b"},
		{"%2b%2B", "++", "++"},
		{"%25%32%35", "%25", "%25"}, /* decoded once, not twice */
		{"%c3%A9", "\xc3\xa9", "\xc3\xa9"},
		{"%ff", "\xff", "\xff"},
		{"\xff", "\xff", "\xff"},
		/* RFC 3986 section 2.1: pct-encoded = "%" HEXDIG HEXDIG */
		{"%", NULL, NULL},
		{"%2", NULL, NULL},
		{"a%", NULL, NULL},
		{"a%2", NULL, NULL},
		{"%%20", NULL, NULL},
		{"%2%20", NULL, NULL},
		{"%gg", NULL, NULL},
		{"%2g", NULL, NULL},
		{"%g2", NULL, NULL},
		{"% 2", NULL, NULL},
		{"%+2", NULL, NULL},
		{"%-1", NULL, NULL},
		{"%0x", NULL, NULL},
		{"%u00e9", NULL, NULL},
	};

	(void)state;
	for (size_t i = 0; i < TAKO__COUNT(table); i++) {
		for (int form = 0; form < 2; form++) {
			const char *want = form ? table[i].form : table[i].plain;
			size_t n = strlen(table[i].in);
			char *in_place = malloc(n + 1);
			size_t got = 4711;
			int result;

			memcpy(in_place, table[i].in, n);
			result = tako__percent_decode(in_place, &got, in_place, n, form);
			if (result != (want ? 0 : TAKO_EINVAL))
				fail_msg("\"%s\": %d", table[i].in, result);
			if (want) {
				assert_int_equal(got, strlen(want));
				assert_memory_equal(in_place, want, got);
			}
			free(in_place);
		}
	}
}

/* The escape must not be read past the end. */
static void test_percent_decode_bounds(void **state)
{
	char out[4];
	size_t n;

	(void)state;
	assert_int_equal(tako__percent_decode(out, &n, "%41", 2, false), TAKO_EINVAL);
	assert_int_equal(tako__percent_decode(out, &n, "%41", 1, false), TAKO_EINVAL);
	assert_int_equal(tako__percent_decode(out, &n, "%00", 3, false), 0);
	assert_int_equal(n, 1);
	assert_int_equal(out[0], 0);
}

static void test_percent_encode(void **state)
{
	char every[256];
	char encoded[768];
	char back[768];
	size_t n;
	size_t back_n;

	(void)state;
	n = tako__percent_encode(encoded, "a b/c~\xff\n", 8);
	assert_int_equal(n, 16);
	assert_memory_equal(encoded, "a%20b%2Fc~%FF%0A", 16);
	for (int i = 0; i < 256; i++)
		every[i] = (char)i;
	n = tako__percent_encode(encoded, every, 256);
	assert_int_equal(n, 66 + 190 * 3);
	for (int form = 0; form < 2; form++) {
		assert_int_equal(tako__percent_decode(back, &back_n, encoded, n, form), 0);
		assert_int_equal(back_n, 256);
		assert_memory_equal(back, every, 256);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_char_classes),   cmocka_unit_test(test_all),
		cmocka_unit_test(test_ieq_pairs),      cmocka_unit_test(test_ieq_random),
		cmocka_unit_test(test_trim),           cmocka_unit_test(test_parse_u64),
		cmocka_unit_test(test_format_u64),     cmocka_unit_test(test_hex),
		cmocka_unit_test(test_percent_decode), cmocka_unit_test(test_percent_decode_bounds),
		cmocka_unit_test(test_percent_encode),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
