/* SPDX-License-Identifier: MIT
 *
 * UTF-8 by piece: every character, every pair of a lead and what may not follow it, every cut; and
 * that a byte is refused where RFC 3629's grammar first fails, not later.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include <tako/base.h>
#include "transports/ws/ws_utf8.h"

/* RFC 3629 section 4's grammar, spelled out: the ranges of the bytes of each form. */
static const struct form {
	unsigned char n;
	unsigned char range[4][2];
} forms[] = {
	{1, {{0x00, 0x7f}}},
	{2, {{0xc2, 0xdf}, {0x80, 0xbf}}},
	{3, {{0xe0, 0xe0}, {0xa0, 0xbf}, {0x80, 0xbf}}},
	{3, {{0xe1, 0xec}, {0x80, 0xbf}, {0x80, 0xbf}}},
	{3, {{0xed, 0xed}, {0x80, 0x9f}, {0x80, 0xbf}}},
	{3, {{0xee, 0xef}, {0x80, 0xbf}, {0x80, 0xbf}}},
	{4, {{0xf0, 0xf0}, {0x90, 0xbf}, {0x80, 0xbf}, {0x80, 0xbf}}},
	{4, {{0xf1, 0xf3}, {0x80, 0xbf}, {0x80, 0xbf}, {0x80, 0xbf}}},
	{4, {{0xf4, 0xf4}, {0x80, 0x8f}, {0x80, 0xbf}, {0x80, 0xbf}}},
};
enum { FORMS = sizeof(forms) / sizeof(forms[0]) };

/* How many of the bytes can begin some character, and in *whole whether they are one. */
static size_t prefix_by_grammar(const unsigned char *p, size_t n, bool *whole)
{
	size_t best = 0;

	*whole = false;
	for (size_t f = 0; f < FORMS; f++) {
		size_t i = 0;

		while (i < n && i < forms[f].n && p[i] >= forms[f].range[i][0] &&
		       p[i] <= forms[f].range[i][1])
			i++;
		if (i == forms[f].n && i == n)
			*whole = true;
		if (i > best)
			best = i;
	}
	return best;
}

/* Bytes taken before the first refusal, one at a time. */
static size_t taken(const unsigned char *p, size_t n, bool *whole)
{
	struct tako__utf8 u = {0};
	size_t i = 0;

	while (i < n && tako__utf8_feed(&u, (const char *)p + i, 1))
		i++;
	*whole = i == n && tako__utf8_done(&u);
	return i;
}

static void same_as_grammar(const unsigned char *p, size_t n)
{
	bool want;
	bool got;
	size_t at = prefix_by_grammar(p, n, &want);

	assert_int_equal(taken(p, n, &got), at);
	assert_int_equal(got, want);
}

/* Every sequence of up to three bytes, and of four with tails of interest, from the leads on. */
static void test_every_sequence(void **state)
{
	static const unsigned char tails[] = {0x00, 0x7f, 0x80, 0x8f, 0x90,
	                                      0x9f, 0xa0, 0xbf, 0xc0, 0xff};
	unsigned char b[4];

	(void)state;
	for (unsigned v = 0x80; v < 0x1000000; v += v < 0x1000000 - 7 ? 7 : 1) {
		b[0] = (unsigned char)(v >> 16 | 0x80);
		b[1] = (unsigned char)(v >> 8);
		b[2] = (unsigned char)v;
		b[3] = tails[v % sizeof(tails)];
		/* What follows a character is another one, which the grammar above does not know. */
		for (size_t n = 1; n <= 4; n++) {
			bool whole;

			same_as_grammar(b, n);
			(void)prefix_by_grammar(b, n, &whole);
			if (whole)
				break;
		}
	}
}

static size_t encode(uint32_t c, char *to)
{
	if (c < 0x80) {
		to[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		to[0] = (char)(0xc0 | c >> 6);
		to[1] = (char)(0x80 | (c & 63));
		return 2;
	}
	if (c < 0x10000) {
		to[0] = (char)(0xe0 | c >> 12);
		to[1] = (char)(0x80 | (c >> 6 & 63));
		to[2] = (char)(0x80 | (c & 63));
		return 3;
	}
	to[0] = (char)(0xf0 | c >> 18);
	to[1] = (char)(0x80 | (c >> 12 & 63));
	to[2] = (char)(0x80 | (c >> 6 & 63));
	to[3] = (char)(0x80 | (c & 63));
	return 4;
}

/* Each number up to what four bytes hold: valid if it is a character, refused if not. */
static void test_every_number(void **state)
{
	char to[4];

	(void)state;
	for (uint32_t c = 0; c < 0x200000; c++) {
		bool want = c <= 0x10ffff && (c < 0xd800 || c > 0xdfff);
		struct tako__utf8 u = {0};
		size_t n = encode(c, to);

		assert_int_equal(tako__utf8_feed(&u, to, n), want);
		assert_int_equal(tako__utf8_done(&u), want);
	}
}

static const struct text {
	const char *text;
	int refused_at; /* -1: valid */
} texts[] = {
	{"", -1},
	{"Hello-\xc2\xb5@\xc3\x9f\xc3\xb6\xc3\xa4\xc3\xbc\xc3\xa0\xc3\xa1-UTF-8!!", -1},
	{"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5", -1},
	{"\xf4\x8f\xbf\xbf", -1},
	{"\xef\xbb\xbf", -1}, /* a byte order mark is a character */
	{"\xef\xbf\xbe\xef\xbf\xbf", -1},
	{"\xc0\x80", 0},
	{"a\xc1\xbf", 1},
	{"\xe0\x9f\xbf", 1},
	{"\xf0\x8f\xbf\xbf", 1},
	{"\xed\xa0\x80", 1},
	{"\xed\xbf\xbf", 1},
	{"\xf4\x90\x80\x80", 1},
	{"\xf5\x80", 0},
	{"\xfe", 0},
	{"\xff", 0},
	{"\x80", 0},
	{"\xc3(", 1},
	{"\xe2\x82(", 2},
	{"\xf0\x9f\x98(", 3},
	{"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80"
         "edited",
         12},
	{"0123456789012345678901234567890123456789\xc2\xb5 0123456789 0123456789 \xff", 65},
};

/* Each text cut in two and three, behind 0 to 40 letters so that every place of a block is met. */
static void test_texts(void **state)
{
	char b[160];

	(void)state;
	for (size_t t = 0; t < sizeof(texts) / sizeof(texts[0]); t++) {
		size_t n = strlen(texts[t].text);

		for (size_t before = 0; before <= 40; before++) {
			memset(b, 'x', before);
			memcpy(b + before, texts[t].text, n);
			for (size_t cut = 0; cut <= before + n; cut++) {
				struct tako__utf8 u = {0};
				bool first = tako__utf8_feed(&u, b, cut);
				bool second = tako__utf8_feed(&u, b + cut, before + n - cut);
				size_t bad = before + (size_t)texts[t].refused_at;

				assert_int_equal(second, texts[t].refused_at < 0);
				assert_int_equal(first, texts[t].refused_at < 0 || cut <= bad);
				assert_int_equal(tako__utf8_done(&u), texts[t].refused_at < 0);
			}
		}
	}
}

/* An end inside a character is neither valid nor refused yet. */
static void test_cut_character(void **state)
{
	static const char *const whole[] = {"\xc2\xb5", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		for (size_t n = 1; n <= strlen(whole[i]); n++) {
			struct tako__utf8 u = {0};

			assert_true(tako__utf8_feed(&u, whole[i], n));
			assert_int_equal(tako__utf8_done(&u), n == strlen(whole[i]));
		}
	}
}

static void test_refused_for_ever(void **state)
{
	struct tako__utf8 u = {0};
	char good[100];

	(void)state;
	memset(good, 'a', sizeof(good));
	assert_false(tako__utf8_feed(&u, "\xff", 1));
	assert_false(tako__utf8_feed(&u, good, sizeof(good)));
	assert_false(tako__utf8_feed(&u, good, 0));
	assert_false(tako__utf8_done(&u));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_sequence),
		cmocka_unit_test(test_every_number),
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_cut_character),
		cmocka_unit_test(test_refused_for_ever),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
