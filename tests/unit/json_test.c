/* SPDX-License-Identifier: MIT
 *
 * JSON escaping: the escapes of RFC 8259 section 7, the sequences of RFC 3629, and the same
 * result however little room a call is given.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "core/base.h"
#include "core/json.h"

#define ROW(in, want)                                                                              \
	{                                                                                          \
		"" in, sizeof(in) - 1, want                                                        \
	}

static const struct {
	const char *in;
	size_t n;
	const char *want;
} table[] = {
	ROW("", ""),
	ROW("plain text", "plain text"),
	ROW("\"", "\\\""),
	ROW("\\", "\\\\"),
	ROW("/", "/"),
	ROW("say \"hi\" \\o/", "say \\\"hi\\\" \\\\o/"),
	ROW("\b\t\n\f\r", "\\b\\t\\n\\f\\r"),
	ROW("\0\1\x0b\x1f", "\\u0000\\u0001\\u000b\\u001f"),
	ROW("\x7f~", "\\u007f~"),
	ROW("\xc2\x80\xc2\x9b\xc2\x9f\xc2\xa0", "\\u0080\\u009b\\u009f\xc2\xa0"),
	ROW("\xc3\xa9", "\xc3\xa9"),
	ROW("\xe2\x82\xac", "\xe2\x82\xac"),
	ROW("\xf0\x9f\x90\x99 tako", "\xf0\x9f\x90\x99 tako"),
	/* RFC 3629 section 4: not in UTF8-octets */
	ROW("a\x80z", "a\\ufffdz"),
	ROW("\xff\xfe", "\\ufffd\\ufffd"),
	ROW("\xc3", "\\ufffd"),
	ROW("\xc3(", "\\ufffd("),
	ROW("\xc0\xaf", "\\ufffd\\ufffd"),                       /* overlong "/" */
	ROW("\xe0\x80\xaf", "\\ufffd\\ufffd\\ufffd"),            /* overlong "/" */
	ROW("\xf0\x80\x80\xaf", "\\ufffd\\ufffd\\ufffd\\ufffd"), /* overlong "/" */
	ROW("\xed\xa0\x80", "\\ufffd\\ufffd\\ufffd"),            /* surrogate */
	ROW("\xf4\x90\x80\x80", "\\ufffd\\ufffd\\ufffd\\ufffd"), /* U+110000 */
	ROW("\xe2\x82", "\\ufffd\\ufffd"),                       /* cut short */
	ROW("\xf0\x9f\x90\"", "\\ufffd\\ufffd\\ufffd\\\""),
};

static size_t run(tako_str text, size_t room, char *out)
{
	size_t n = 0;

	while (text.n) {
		char *part = malloc(room);
		size_t got;

		assert_non_null(part);
		got = tako__json_escape(part, room, &text);
		assert_true(got > 0 && got <= room);
		memcpy(out + n, part, got);
		n += got;
		free(part);
	}
	return n;
}

static void test_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < TAKO__COUNT(table); i++) {
		char *in = malloc(table[i].n + !table[i].n);

		assert_non_null(in);
		memcpy(in, table[i].in, table[i].n);
		for (size_t room = TAKO__JSON_CHAR_BYTES; room < 40; room++) {
			char out[128];
			size_t n = run((tako_str){in, table[i].n}, room, out);

			if (!tako_str_eq((tako_str){out, n}, tako_str_z(table[i].want)))
				fail_msg("row %zu, room %zu: %.*s", i, room, (int)n, out);
		}
		free(in);
	}
}

/* Too little room leaves the character for the next call, whole. */
static void test_too_little_room(void **state)
{
	static const char *const whole[] = {"\"", "\x01", "\xff", "\xf0\x9f\x90\x99"};
	static const size_t needs[] = {2, 6, 6, 4};
	char out[16];

	(void)state;
	for (size_t i = 0; i < TAKO__COUNT(whole); i++) {
		for (size_t room = 0; room <= needs[i]; room++) {
			tako_str text = tako_str_z(whole[i]);
			size_t n = tako__json_escape(out, room, &text);

			assert_int_equal(n, room == needs[i] ? needs[i] : 0);
			assert_int_equal(text.n, n ? 0 : strlen(whole[i]));
		}
	}
}

/* Every code point of the Basic Multilingual Plane and a sample of the rest, encoded by
 * arithmetic; and leads with a second byte that is no tail. */
static void test_utf8(void **state)
{
	static const unsigned char lead_bits[] = {0, 0, 0xc0, 0xe0, 0xf0};
	char b[4] = {0};

	(void)state;
	for (uint32_t cp = 0; cp < 0x120000; cp += cp < 0x11000 ? 1 : 61) {
		size_t n = cp < 0x80 ? 1 : cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
		bool valid = (cp < 0xd800 || cp > 0xdfff) && cp <= 0x10ffff;

		for (size_t i = n; i-- > 1;)
			b[i] = (char)(0x80 | (cp >> 6 * (n - 1 - i) & 0x3f));
		b[0] = (char)(lead_bits[n] | cp >> 6 * (n - 1));
		assert_int_equal(tako__utf8_length(b, 4), valid ? n : 0);
		if (n > 1)
			assert_int_equal(tako__utf8_length(b, n - 1), 0);
	}
	for (int lead = 0x80; lead < 0x100; lead++) {
		for (int second = 0; second < 0x80; second++) {
			memcpy(b, (char[]){(char)lead, (char)second, '\x80', '\x80'}, 4);
			assert_int_equal(tako__utf8_length(b, 4), 0);
		}
	}
	assert_int_equal(tako__utf8_length(b, 0), 0);
}

/* Any two bytes in one word, and any one byte at every place of up to two words: eight at a
 * time or one, the first that is not plain is found. */
static bool plain(unsigned c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

static void test_plain_length(void **state)
{
	(void)state;
	for (unsigned a = 0; a < 256; a++) {
		for (size_t n = 1; n <= 17; n++) {
			for (size_t at = 0; at < n; at++) {
				char *p = malloc(n);

				assert_non_null(p);
				memset(p, '~', n);
				p[at] = (char)a;
				assert_int_equal(tako__plain_length(p, n), plain(a) ? n : at);
				free(p);
			}
		}
		for (unsigned b = 0; b < 256; b++) {
			char p[8] = {'a', ' ', '~', (char)a, (char)b, '!', '#', '['};

			assert_int_equal(tako__plain_length(p, 8), !plain(a)   ? 3
			                                           : !plain(b) ? 4
			                                                       : 8);
		}
	}
	assert_int_equal(tako__plain_length("", 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_too_little_room),
		cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_plain_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
